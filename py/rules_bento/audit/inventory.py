"""Lists the packages of a lock, a requirements file, a `pylock.toml`, or an SBOM."""

from __future__ import annotations

import json
import re
from urllib.parse import unquote

from rules_bento.audit.licenses import DeclaredLicense
from rules_bento.dataclasses_lite import NamedTuple
from rules_bento.errors import BentoError
from rules_bento.formats import schema
from rules_bento.formats.json import read_json, read_object
from rules_bento.packages import requirements
from rules_bento.packages.requirements import normalize_name
from rules_bento.typing_lite import Any, Iterable, Mapping

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
        {"name": str, "checksums?": [{...: str}], "externalRefs?": [{"referenceType": str, "referenceLocator": str}]}
    ]
}
_SBOM_REMEDY = "Provide a CycloneDX or SPDX 2 SBOM in JSON."


class Package(NamedTuple):
    """Describes one version of a package."""

    name: str  # normalized
    version: str  # empty if unknown
    hashed: bool  # pinned by a hash or a commit
    required_by: tuple[str, ...] = ()  # names, if known
    license: DeclaredLicense | None = None  # None if the metadata isn't available

    def __str__(self) -> str:
        return f"{self.name} {self.version}" if self.version else self.name


def from_lock(packages: Iterable[Mapping[str, Any]]) -> list[Package]:
    """Return the packages of a lock in its normal form (`rules_bento.packages.lock`)."""
    entries = list(packages)
    required_by: dict[str, set[str]] = {}
    of_extras: dict[str, set[str]] = {}
    for package in entries:
        for edge in package.get("dependencies", ()):
            required_by.setdefault(edge["name"], set()).add(package["name"])
        for edge in (edge for edges in package.get("extras", {}).values() for edge in edges):
            of_extras.setdefault(edge["name"], set()).add(package["name"])
    return [
        Package(
            normalize_name(package["name"]),
            package["version"],
            bool(package.get("files")) or bool(_COMMIT.fullmatch(package.get("source", {}).get("commit", ""))),
            tuple(sorted(required_by.get(package["name"]) or of_extras.get(package["name"]) or ())),
        )
        for package in entries
    ]


def from_requirements(text: str, origin: str) -> list[Package]:
    """Return the packages of a requirements file. Raises BentoError as `requirements.parse` does."""
    parsed, _ = requirements.parse(text, origin)
    return [
        Package(requirement.name, (requirement.pin or ("", ""))[1], bool(requirement.hashes) or requirement.is_commit)
        for requirement in parsed
    ]


def from_pylock(data: bytes, origin: str) -> list[Package]:
    """Return the packages of a `pylock.toml` (PEP 751). Raises BentoError for an invalid one."""
    from rules_bento.formats.toml import read_toml

    document = read_toml(data, origin)
    schema.validate(document, _PYLOCK, origin, "Export it again, for example with `uv export`.")
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


def from_sbom(data: bytes, origin: str) -> list[Package]:
    """Return the PyPI packages of an SBOM. Raises BentoError for an invalid one."""
    document = read_object(data, origin)
    if document.get("bomFormat") == "CycloneDX":
        schema.validate(document, _CYCLONEDX, origin, _SBOM_REMEDY)
        entries = [(entry.get("purl", ""), bool(entry.get("hashes"))) for entry in document["components"]]
    elif str(document.get("spdxVersion", "")).startswith("SPDX-2"):
        schema.validate(document, _SPDX, origin, _SBOM_REMEDY)
        entries = [
            (reference["referenceLocator"], bool(entry.get("checksums")))
            for entry in document["packages"]
            for reference in entry.get("externalRefs", ())
            if reference["referenceType"] == "purl"
        ]
    else:
        raise BentoError(f"{origin}: not a supported SBOM. {_SBOM_REMEDY}")
    packages = []
    for purl, hashed in entries:
        parts = _PURL.fullmatch(purl)
        if parts and parts[1] == "pypi":
            packages.append(Package(normalize_name(unquote(parts[2])), unquote(parts[3]), hashed))
    return packages


def with_licenses(packages: Iterable[Package], declared: Mapping[str, DeclaredLicense]) -> list[Package]:
    """Return packages with the licenses declared by their wheels, by normalized name."""
    return [package._replace(license=declared.get(package.name)) for package in packages]


def dumps(packages: Iterable[Package]) -> str:
    """Return packages as JSON, sorted by name."""
    return json.dumps([package._asdict() for package in sorted(packages)], ensure_ascii=False, indent=1) + "\n"


def loads(text: bytes | str) -> list[Package]:
    """Read the output of `dumps`."""
    return [
        Package(
            entry["name"],
            entry["version"],
            entry["hashed"],
            tuple(entry["required_by"]),
            _read_license(entry["license"]) if entry["license"] else None,
        )
        for entry in read_json(text, "the packages")
    ]


def _read_license(fields: list[Any]) -> DeclaredLicense:
    expression, text, classifiers = fields
    return DeclaredLicense(expression, text, tuple(classifiers))
