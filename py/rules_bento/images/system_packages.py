"""Reads installed packages from the databases of dpkg and apk, and parses package requests such as `name=version`."""

from __future__ import annotations

import fnmatch
import json
import re

from rules_bento.base.dataclasses_lite import NamedTuple
from rules_bento.base.formats import split_lines
from rules_bento.base.typing_lite import Iterable, Iterator, Mapping

_STATUS = "var/lib/dpkg/status"
_STATUS_OF_ONE = "var/lib/dpkg/status.d/"  # distroless has a file for each package
_APK = ("lib/apk/db/installed", "usr/lib/apk/db/installed")
_RELEASE = ("etc/os-release", "usr/lib/os-release")
_FIELD = re.compile(r"^(Package|Source|Status|Version|Architecture|Provides):(.*)$", re.MULTILINE)
_INSTALLED = "install ok installed"
_ANY_ARCHITECTURE = ("", "any", "native")
# `name`, `name:arch`, `name=version`, `name/release`; not patterns, tasks (`name^`), removals (`name-`), or ranges.
_REQUEST = re.compile(r"([A-Za-z0-9][A-Za-z0-9+._-]*)(?::([a-z0-9-]+))?(?:=([A-Za-z0-9.+:~*-]+)|/([A-Za-z0-9._-]+))?")
# One item of apk's `p:`, or one of dpkg's `Provides`.
_PROVIDED = re.compile(r"([^\s=(<>~:]+)(?::\w+)?\s*(?:\(\s*=\s*([^)\s]+)\s*\)|=(\S+))?")


class InstalledPackage(NamedTuple):
    """A package that is installed in an image."""

    name: str
    version: str
    architecture: str  # `all` for any architecture
    provides: tuple[tuple[str, str], ...] = ()  # name and version of virtual packages; a version can be empty


class PackageRequest(NamedTuple):
    """A package that a Bento requests, optionally with an architecture and version.

    >>> PackageRequest.parse("libgomp1=14.2*")
    PackageRequest(name='libgomp1', architecture='', version='14.2*')
    """

    name: str
    architecture: str  # empty for any
    version: str  # empty for any

    @staticmethod
    def parse(text: str) -> PackageRequest | None:
        """Parse a request such as `name=version`. Returns None for patterns, removals, tasks, and version ranges."""
        match = _REQUEST.fullmatch(text)
        if not match or (match[1].endswith("-") and not match[3]):
            return None
        return PackageRequest(match[1], match[2] or "", match[3] or "")

    def is_satisfied(self, packages: Iterable[InstalledPackage]) -> bool:
        """Return whether `packages` contains or provides the requested package."""
        return any(
            name == self.name and (not self.version or fnmatch.fnmatchcase(version, self.version))
            for package in packages
            if self.architecture in (*_ANY_ARCHITECTURE, package.architecture) or package.architecture == "all"
            for name, version in ((package.name, package.version), *package.provides)
        )


class SystemFiles(NamedTuple):
    """The distribution and the installed packages of an image, as recorded in the image's system files.

    >>> SystemFiles.from_files({"etc/os-release": b"ID=debian"})
    SystemFiles(ids=('debian',), packages=None)
    """

    ids: tuple[str, ...]  # ID and ID_LIKE of os-release; empty if there is none
    packages: tuple[InstalledPackage, ...] | None  # installed packages; None if neither dpkg nor apk has a database

    @staticmethod
    def has(path: str) -> bool:
        """Return whether `from_files` reads the file at `path`, which has no leading slash."""
        return path in (_STATUS, *_APK, *_RELEASE) or (
            path.startswith(_STATUS_OF_ONE) and not path.endswith(".md5sums")
        )

    @staticmethod
    def from_files(files: Mapping[str, bytes]) -> SystemFiles:
        """Parse the system files of an image. `files` maps paths without a leading slash to contents."""
        texts = {path: data.decode("utf-8", "replace") for path, data in sorted(files.items())}
        release = next((texts[path] for path in _RELEASE if path in texts), "")
        packages: list[InstalledPackage] = []
        for path, text in texts.items():
            if path not in _RELEASE:
                packages += read_apk(text) if path in _APK else read_dpkg(text)
        return SystemFiles(_os_ids(release), tuple(packages) if texts.keys() - set(_RELEASE) else None)

    @staticmethod
    def loads(text: str) -> SystemFiles:
        """Parse JSON that `dumps` returned."""
        fields = json.loads(text)
        if fields["packages"] is None:
            return SystemFiles(tuple(fields["ids"]), None)
        packages = (
            InstalledPackage(name, version, architecture, tuple((virtual, of) for virtual, of in provides))
            for name, version, architecture, provides, *_ in fields["packages"]
        )
        return SystemFiles(tuple(fields["ids"]), tuple(packages))

    def dumps(self) -> str:
        """Return the distribution and the packages as a JSON object for `loads`."""
        return json.dumps(self._asdict(), indent=0) + "\n"


def read_dpkg(text: str) -> Iterator[InstalledPackage]:
    """Yield the installed packages in dpkg's status file, or in a `status.d` file of a distroless image."""
    for paragraph in text.split("\n\n"):
        fields = {name: value.strip() for name, value in _FIELD.findall(paragraph)}
        # Distroless images omit the status.
        if "Package" in fields and fields.get("Status", _INSTALLED) == _INSTALLED:
            provides = _provided(fields.get("Provides", "").split(","))
            yield InstalledPackage(
                fields["Package"], fields.get("Version", ""), fields.get("Architecture", ""), provides
            )


def read_apk(text: str) -> Iterator[InstalledPackage]:
    """Yield the packages in Alpine's `installed` file."""
    for paragraph in text.split("\n\n"):
        fields: dict[str, str] = {
            line[0]: line[2:] for line in split_lines(paragraph) if line[1:2] == ":" and line[0] in "PVAp"
        }
        if "P" in fields:
            provides = _provided(fields.get("p", "").split())
            yield InstalledPackage(fields["P"], fields.get("V", ""), fields.get("A", ""), provides)


def _provided(texts: Iterable[str]) -> tuple[tuple[str, str], ...]:
    matches = (_PROVIDED.match(text.strip()) for text in texts)
    return tuple((match[1], match[2] or match[3] or "") for match in matches if match)


def os_release(text: str) -> dict[str, str]:
    """Return the fields of an os-release file."""
    lines = (line.partition("=") for line in text.split("\n"))
    return {key.strip(): value.strip().strip("\"'") for key, _, value in lines}


def _os_ids(text: str) -> tuple[str, ...]:
    """Return `ID` and `ID_LIKE` from an os-release file, beginning with the closest distribution."""
    fields = os_release(text)
    return tuple(name for name in (fields.get("ID", ""), *fields.get("ID_LIKE", "").split()) if name)
