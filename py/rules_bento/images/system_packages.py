"""Packages of a distribution that a system has installed: what dpkg and apk write down, and how one is asked for."""

from __future__ import annotations

import fnmatch
import json
import re

from rules_bento.hints import TYPE_CHECKING, Any
from rules_bento.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_STATUS = "var/lib/dpkg/status"
_STATUS_OF_ONE = "var/lib/dpkg/status.d/"  # distroless has a file for each package
_APK = ("lib/apk/db/installed", "usr/lib/apk/db/installed")
_RELEASE = ("etc/os-release", "usr/lib/os-release")
_FIELD = re.compile(r"^(Package|Status|Version|Architecture|Provides):(.*)$", re.MULTILINE)
_INSTALLED = "install ok installed"
_ANY_ARCHITECTURE = ("", "any", "native")
# `name`, `name:arch`, `name=version`, `name/release`; not patterns, tasks (`name^`), removals (`name-`), or ranges.
_ASKED = re.compile(r"([A-Za-z0-9][A-Za-z0-9+._-]*)(?::([a-z0-9-]+))?(?:=([A-Za-z0-9.+:~*-]+)|/([A-Za-z0-9._-]+))?")
# One word of apk's `p:`, or one of dpkg's `Provides`.
_PROVIDED = re.compile(r"([^\s=(<>~:]+)(?::\w+)?\s*(?:\(\s*=\s*([^)\s]+)\s*\)|=(\S+))?")


class Package(NamedTuple):
    """Describes an installed package."""

    name: str
    version: str
    architecture: str  # `all` for each
    provides: tuple[tuple[str, str], ...] = ()  # name and version of virtual packages; a version may be empty


class Asked(NamedTuple):
    """Describes a package as somebody asks for it."""

    name: str
    architecture: str  # empty for any
    version: str  # empty for any

    @staticmethod
    def of(text: str) -> Asked | None:
        """Read what package managers take; nothing for patterns, removals, tasks and ranges of versions."""
        match = _ASKED.fullmatch(text)
        if not match or (match[1].endswith("-") and not match[3]):
            return None
        return Asked(match[1], match[2] or "", match[3] or "")

    def is_met(self, packages: Iterable[Package]) -> bool:
        """Return whether one of the packages is it, or provides it."""
        return any(self._is(package) for package in packages)

    def _is(self, package: Package) -> bool:
        if self.architecture not in (*_ANY_ARCHITECTURE, package.architecture) and package.architecture != "all":
            return False
        offered = ((package.name, package.version), *package.provides)
        return any(name == self.name and self._takes(version) for name, version in offered)

    def _takes(self, version: str) -> bool:
        return not self.version or fnmatch.fnmatchcase(version, self.version)


class SystemFiles(NamedTuple):
    """Holds what the files of a system say of its distribution and packages."""

    ids: tuple[str, ...]  # ID and ID_LIKE of os-release; empty if there is none
    packages: tuple[Package, ...] | None  # that are installed; None if neither dpkg nor apk has written a list

    @staticmethod
    def has(path: str) -> bool:
        """Return whether a file of an image, without the slash before it, is one of these."""
        return path in (_STATUS, *_APK, *_RELEASE) or (
            path.startswith(_STATUS_OF_ONE) and not path.endswith(".md5sums")
        )

    @staticmethod
    def of(files: Mapping[str, bytes]) -> SystemFiles:
        """Read the contents of files, by their paths."""
        texts = {path: data.decode("utf-8", "replace") for path, data in sorted(files.items())}
        release = next((texts[path] for path in _RELEASE if path in texts), "")
        match: list[Package] = []
        for path, text in texts.items():
            if path not in _RELEASE:
                match += read_apk(text) if path in _APK else read_dpkg(text)
        return SystemFiles(_os_ids(release), tuple(match) if texts.keys() - set(_RELEASE) else None)

    @staticmethod
    def loads(text: str) -> SystemFiles:
        """Read what `dumps` wrote."""
        fields = json.loads(text)
        packages = fields["packages"]
        return SystemFiles(tuple(fields["ids"]), None if packages is None else tuple(map(_package, packages)))

    def dumps(self) -> str:
        """Return the packages as a JSON object."""
        return json.dumps(self._asdict(), indent=0) + "\n"


def _package(fields: list[Any]) -> Package:
    name, version, architecture, provides = fields
    return Package(name, version, architecture, tuple((virtual, of) for virtual, of in provides))


def read_dpkg(text: str) -> Iterator[Package]:
    """Yield the packages of dpkg's status file, or of one of distroless' `status.d`, that are installed."""
    for paragraph in text.split("\n\n"):
        fields = {name: value.strip() for name, value in _FIELD.findall(paragraph)}
        # distroless writes no status.
        if "Package" in fields and fields.get("Status", _INSTALLED) == _INSTALLED:
            provides = _provided(fields.get("Provides", "").split(","))
            yield Package(fields["Package"], fields.get("Version", ""), fields.get("Architecture", ""), provides)


def read_apk(text: str) -> Iterator[Package]:
    """Yield the packages of Alpine's `installed`."""
    for paragraph in text.split("\n\n"):
        fields: dict[str, str] = {
            line[0]: line[2:] for line in paragraph.splitlines() if line[1:2] == ":" and line[0] in "PVAp"
        }
        if "P" in fields:
            provides = _provided(fields.get("p", "").split())
            yield Package(fields["P"], fields.get("V", ""), fields.get("A", ""), provides)


def _provided(texts: Iterable[str]) -> tuple[tuple[str, str], ...]:
    matches = (_PROVIDED.match(text.strip()) for text in texts)
    return tuple((match[1], match[2] or match[3] or "") for match in matches if match)


def _os_ids(text: str) -> tuple[str, ...]:
    """Return `ID` and `ID_LIKE` of an os-release file, the closest distribution first."""
    fields = {
        key.strip(): value.strip().strip("\"'") for key, _, value in (line.partition("=") for line in text.split("\n"))
    }
    return tuple(name for name in (fields.get("ID", ""), *fields.get("ID_LIKE", "").split()) if name)
