"""The packages that a Bento, an image or a lock has: of a lock, of requirements, or of a bill of materials."""

from __future__ import annotations

import json
import re
from urllib.parse import unquote

from rules_bento.audit.licenses import Stated
from rules_bento.dataclasses_lite import NamedTuple
from rules_bento.errors import BentoError
from rules_bento.formats import shapes
from rules_bento.formats.json import read_json, read_object
from rules_bento.packages import requirements
from rules_bento.packages.requirements import normalize_name
from rules_bento.typing_lite import Any

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_PURL = re.compile(r"pkg:([^/]+)/([^@?#]+)@([^?#]+)(?:[?#].*)?")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_FILE = {"hashes?": {...: str}}
_PYLOCK = {
    "packages": [
        {
            "name": str,
            "version?": str,
            "wheels?": [_FILE],
            "sdist?": _FILE,
            "archive?": _FILE,
            "vcs?": {"commit-id": str},
        }
    ]
}
_CYCLONEDX = {"components": [{"name": str, "purl?": str, "hashes?": [{...: str}]}]}
_SPDX = {
    "packages": [
        {
            "name": str,
            "checksums?": [{...: str}],
            "externalRefs?": [{"referenceType": str, "referenceLocator": str}],
        }
    ]
}
_SBOM = "Give a bill of materials in JSON, of CycloneDX or SPDX 2."


class Package(NamedTuple):
    """Describes one version of a package."""

    name: str  # normalized
    version: str  # empty where it is not stated
    hashed: bool  # whether it is named by what its contents are
    asked_by: tuple[str, ...] = ()  # names, where they are known
    stated: Stated | None = None  # None where its metadata is not at hand

    def __str__(self) -> str:
        return f"{self.name} {self.version}" if self.version else self.name


def of_lock(packages: Iterable[Mapping[str, Any]]) -> list[Package]:
    """Return the packages of a lock in the normal form (`rules_bento.packages.lock`)."""
    entries = list(packages)
    asked_by: dict[str, set[str]] = {}
    of_extras: dict[str, set[str]] = {}
    for package in entries:
        for edge in package.get("dependencies", ()):
            asked_by.setdefault(edge["name"], set()).add(package["name"])
        for edge in (edge for edges in package.get("extras", {}).values() for edge in edges):
            of_extras.setdefault(edge["name"], set()).add(package["name"])
    return [
        Package(
            normalize_name(package["name"]),
            package["version"],
            bool(package.get("files")) or bool(_COMMIT.fullmatch(package.get("source", {}).get("commit", ""))),
            tuple(sorted(asked_by.get(package["name"]) or of_extras.get(package["name"]) or ())),
        )
        for package in entries
    ]


def of_requirements(text: str, origin: str) -> list[Package]:
    """Return the packages of a requirements file; raises BentoError as `requirements.parse` does."""
    stated, _ = requirements.parse(text, origin)
    return [
        Package(requirement.name, (requirement.pin or ("", ""))[1], bool(requirement.hashes) or requirement.is_commit)
        for requirement in stated
    ]


def of_pylock(data: bytes, origin: str) -> list[Package]:
    """Return the packages of a `pylock.toml` (PEP 751). Raises BentoError for what is none."""
    from rules_bento.formats.toml import read_toml

    document = read_toml(data, origin)
    shapes.check(document, _PYLOCK, origin, "Write it again with the tool that locked, such as `uv export`.")
    return [
        Package(
            normalize_name(entry["name"]),
            entry.get("version", ""),
            any(
                file.get("hashes")
                for file in [*entry.get("wheels", []), entry.get("sdist", {}), entry.get("archive", {})]
            )
            or bool(_COMMIT.fullmatch(entry.get("vcs", {}).get("commit-id", ""))),
        )
        for entry in document["packages"]
    ]


def of_sbom(data: bytes, origin: str) -> list[Package]:
    """Return the packages of PyPI in a bill of materials. Raises BentoError for what is none."""
    document = read_object(data, origin)
    if document.get("bomFormat") == "CycloneDX":
        shapes.check(document, _CYCLONEDX, origin, _SBOM)
        entries = [(entry.get("purl", ""), bool(entry.get("hashes"))) for entry in document["components"]]
    elif str(document.get("spdxVersion", "")).startswith("SPDX-2"):
        shapes.check(document, _SPDX, origin, _SBOM)
        entries = [
            (reference["referenceLocator"], bool(entry.get("checksums")))
            for entry in document["packages"]
            for reference in entry.get("externalRefs", ())
            if reference["referenceType"] == "purl"
        ]
    else:
        raise BentoError(f"{origin}: is no bill of materials. {_SBOM}")
    packages = []
    for purl, hashed in entries:
        parts = _PURL.fullmatch(purl)
        if parts and parts[1] == "pypi":
            packages.append(Package(normalize_name(unquote(parts[2])), unquote(parts[3]), hashed))
    return packages


def with_licenses(packages: Iterable[Package], stated: Mapping[str, Stated]) -> list[Package]:
    """Return packages with what their wheels' metadata, by normalized name, has about licences."""
    return [package._replace(stated=stated.get(package.name)) for package in packages]


def dumps(packages: Iterable[Package]) -> str:
    """Return the text of packages, by name."""
    return json.dumps([package._asdict() for package in sorted(packages)], ensure_ascii=False, indent=1) + "\n"


def loads(text: bytes | str) -> list[Package]:
    """Read what `dumps` wrote."""
    return [
        Package(
            entry["name"],
            entry["version"],
            entry["hashed"],
            tuple(entry["asked_by"]),
            Stated(entry["stated"][0], entry["stated"][1], tuple(entry["stated"][2])) if entry["stated"] else None,
        )
        for entry in read_json(text, "the packages")
    ]
