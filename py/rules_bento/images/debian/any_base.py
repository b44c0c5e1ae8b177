"""Installs Debian packages above a base image that another program built, as one layer. Runs no scripts.

The base's own files contain what is installed, the owner of each path, and the paths that its dpkg excludes.
"""

from __future__ import annotations

import re
from itertools import chain

from rules_bento.base.dataclasses_lite import NamedTuple
from rules_bento.base.errors import BentoError
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Callable, Iterable, Iterator, Mapping, Sequence
from rules_bento.images.debian import alternatives, ld_cache, system
from rules_bento.images.debian.apt import MAIN, SECURITY, UBUNTU, parse_stanzas, relations
from rules_bento.images.debian.deb import Deb
from rules_bento.images.debian.deb_rootfs import GENERATED, Index, PathFilter, Rootfs, merged, stanza_of
from rules_bento.images.layers import contents
from rules_bento.images.layers.layer import write_tar_layer
from rules_bento.images.system_packages import InstalledPackage, os_release, read_dpkg

if TYPE_CHECKING:
    from pathlib import Path

    from rules_bento.base.archives.tarread import TarMember
    from rules_bento.base.formats.oci import Layer
    from rules_bento.images.layers.layer import Compression

_DPKG = "var/lib/dpkg/"
_STATUS, _OF_ONE, _LISTS = f"{_DPKG}status", f"{_DPKG}status.d/", f"{_DPKG}info/"
_ALTERNATIVES, _SETTINGS = f"{_DPKG}alternatives/", "etc/dpkg/dpkg.cfg"
_SOURCES = "etc/apt/sources.list"
# The address and the first suite of a line, and of a stanza.
_SOURCE = re.compile(r"^deb\s+(?:\[[^]\n]*\]\s*)?(https?://\S+)\s+(\S+)", re.MULTILINE)
_STANZA = re.compile(r"^URIs:[ \t]*(https?://\S+).*\n(?:.+\n)*?Suites:[ \t]*(\S+)", re.MULTILINE)
_RELEASE = ("etc/os-release", "usr/lib/os-release")
_DEPENDS = re.compile(r"^((?:Pre-)?Depends:)(.*(?:\n[ \t].*)*)\n", re.MULTILINE)
_FILTER = re.compile(r"^\s*path-(exclude|include)[\s=]+(/\S+)", re.MULTILINE)
_MAX_KEPT = 1 << 26  # bytes of all files that are read
_OLDER = "Use a base of Debian 12 or later."


class UnfitBaseError(BentoError):
    """Raised for a base above which Debian packages can't be installed."""


class AnyBase(NamedTuple):
    """A base image: its files, and what apt and dpkg need."""

    files: Index  # for `Rootfs`
    status: str  # of all installed packages, for apt; without dependencies that the base lacks, such as on purpose
    release: Mapping[str, str]  # os-release
    exclude: Sequence[str]  # patterns of paths that dpkg doesn't install
    include: Sequence[str]
    linker_cache: bytes  # /etc/ld.so.cache, if the base has one
    mirrors: Mapping[str, str]  # of archives, in its settings of apt

    @property
    def suites(self) -> list[str]:
        """The suites of the archive for the base. Raises BentoError for another distribution."""
        name, code = self.release.get("ID", ""), self.release.get("VERSION_CODENAME", "")
        if name not in (MAIN, UBUNTU) or not re.fullmatch("[a-z]+", code):
            raise BentoError(f"the base is {name or 'unknown'} {code}", place="--apt", remedy="Use a base of Debian.")
        is_released = "VERSION_ID" in self.release
        return [code, *(f"{code}-{pocket}" for pocket in ("updates", "security") if is_released)]

    @staticmethod
    def read(layers: Iterable[tuple[Path, str, str]], name: str) -> AnyBase:
        """Read a base, whose layers have a blob, a media type, and a diff ID. Raises BentoError for other systems."""
        kinds, kept = read_tree(layers, _is_kept)
        texts = {path: data.decode("utf-8", "replace") for path, data in kept.items()}
        release = os_release(next((texts[path] for path in _RELEASE if path in texts), ""))
        of_one = {path: text for path, text in texts.items() if path.startswith(_OF_ONE)}
        if _STATUS not in texts and not of_one:
            raise UnfitBaseError("the base has no database of dpkg", place=name, remedy="Use a base of Debian.")
        if kinds.get("lib", ("",))[0] != "link":
            raise UnfitBaseError("/lib isn't a link to /usr/lib", place=name, remedy=_OLDER)
        # Packages of distroless images have no status.
        installed = [text.strip() for text in re.split(r"\n\s*\n", texts.get(_STATUS, "")) if text.strip()]
        own = "\n\n".join([*installed, ""]) if installed else ""
        installed += [_with_status(text.strip()) for _, text in sorted(of_one.items())]
        try:
            stanzas = [one for text in installed for one in parse_stanzas(text) if _is_installed(one)]
        except ValueError as error:
            raise BentoError(f"dpkg's database is invalid: {error}", place=name, remedy="Use another base.") from None
        settings = [text for path, text in sorted(texts.items()) if path.startswith(_SETTINGS)]
        filters = [match for text in settings for match in _FILTER.findall(text)]
        owners = _owners(texts)
        names = {one["Package"] for one in stanzas}
        names |= {each[0] for one in stanzas for each in relations(one.get("Provides", ""))}
        given = "\n\n".join([*(_without_missing(text, names) for text in installed), ""])
        chosen = {path: text for path, text in texts.items() if path.startswith(_ALTERNATIVES)}
        index = {
            "packages": {one["Package"]: one["Version"] for one in stanzas},
            "status": own,
            "folders": {path: each[1:4] for path, each in kinds.items() if each[0] == "folder" and path},
            "files": {path: owners.get(path, GENERATED) for path, each in kinds.items() if each[0] != "folder"},
            "links": {path: each[4] for path, each in kinds.items() if each[0] == "link"},
            "alternatives": [one for path, text in sorted(chosen.items()) for one in alternatives.entries(path, text)],
        }
        exclude, include = ([path for of, path in filters if of == key] for key in ("exclude", "include"))
        linker_cache = kept.get(ld_cache.PATH, b"")
        return AnyBase(index, given, release, exclude, include, linker_cache, _mirrors(texts))


def read_tree(
    layers: Iterable[tuple[Path, str, str]], is_kept: Callable[[str], bool]
) -> tuple[dict[str, tuple[Any, ...]], dict[str, bytes]]:
    """Return the members of an image (kind, mode, owner, group, and target), and the kept files, by path.

    Paths in merged directories begin with `usr`. Raises BentoError if the kept files are too large.
    """
    size = 0

    def value(
        path: str, member: TarMember, pieces: Iterator[bytes | memoryview]
    ) -> tuple[tuple[Any, ...], bytes | None]:
        nonlocal size
        kind = (member.kind, member.mode & 0o7777, member.uid, member.gid, member.link)
        if member.kind != "file" or not is_kept(path):
            return kind, None
        size += member.size
        if size > _MAX_KEPT:
            raise BentoError("dpkg's files exceed the size limit", place="base", remedy="Use another base.")
        return kind, b"".join(pieces)

    found = contents.merge(layers, value, merged)
    kept = {path: data for path, (_, data) in found.items() if data is not None}
    return {path: kind for path, (kind, _) in found.items()}, kept


def write_packages(
    out: Path, base: AnyBase, debs: Mapping[str, Path], architecture: str, compression: Compression
) -> tuple[Layer, Rootfs]:
    """Write a layer with Debian packages, which can replace older ones of the base. `debs` has files by package.

    Returns the layer, and the file system with it. Raises BentoError if a package needs one that isn't there.
    """
    stanzas = [stanza_of(path.name, Deb(path).control()) for path in debs.values()]
    if need := missing(base, stanzas):
        raise BentoError(f"{need}, which neither the base nor the lock has", remedy="Lock the packages again.")
    root = Rootfs(base.files, PathFilter.from_patterns(base.exclude, base.include), system.is_captured)
    of_base, root.alternatives = root.alternatives, []

    def tar() -> Iterator[bytes]:
        older = [root.remove(name) for name in sorted(debs) if name in root.packages]
        for _, path in sorted(debs.items()):
            yield from root.install(Deb(path), architecture)
        names = {each[0] for script in root.scripts.values() for each in alternatives.read(script)}
        root.alternatives += [each for each in of_base if each[0] in names]
        if "ca-certificates" in debs:
            yield from system.certificates(root, [])
        yield from alternatives.links(root, ())
        if base.linker_cache:
            yield from root.replace(ld_cache.PATH, ld_cache.updated(base.linker_cache, root, architecture))
        yield from root.database()
        yield from root.whiteouts(chain(*older))

    layer = write_tar_layer(out, tar(), compression)  # writes: output, of the caller
    return layer, root


def installed(base: AnyBase, root: Rootfs) -> tuple[InstalledPackage, ...]:
    """Return the packages of a file system above a base."""
    own = [*read_dpkg(root.index()["status"])]
    names = {each.name for each in own}
    return (*own, *(each for each in read_dpkg(base.status) if each.name not in names))


def missing(base: AnyBase, stanzas: Sequence[Mapping[str, str]]) -> str:
    """Return a clause about the first package that packages with these stanzas need, and that isn't there, or ""."""
    there = [*parse_stanzas(base.status), *stanzas]
    names = {one["Package"] for one in there}
    names |= {each[0] for one in there for each in relations(one.get("Provides", ""))}
    for one in stanzas:
        for group in relations(f"{one.get('Pre-Depends', '')},{one.get('Depends', '')}"):
            if names.isdisjoint(group):
                return f"{one['Package']} requires {' or '.join(group)}"
    return ""


def _is_kept(path: str) -> bool:
    is_list = path.startswith(_LISTS) and path.endswith(".list")
    is_status = path.startswith(_OF_ONE) and not path.endswith(".md5sums")
    return (
        path in (_STATUS, ld_cache.PATH, *_RELEASE)
        or is_list
        or is_status
        or path.startswith((_ALTERNATIVES, _SETTINGS, _SOURCES))
    )


def _owners(texts: Mapping[str, str]) -> dict[str, str]:
    """Return the package of each path, as dpkg's lists state it."""
    owners: dict[str, str] = {}
    for path, text in texts.items():
        if path.startswith(_LISTS):
            package = path.removeprefix(_LISTS).removesuffix(".list").partition(":")[0]
            owners |= {merged(line): package for line in text.split("\n") if line.startswith("/")}
    return owners


def _mirrors(texts: Mapping[str, str]) -> dict[str, str]:
    """Return the first mirror of each archive in a base's settings of apt."""
    mirrors: dict[str, str] = {}
    for _, text in sorted((path, text) for path, text in texts.items() if path.startswith(_SOURCES)):
        for address, suite in (*_SOURCE.findall(text), *_STANZA.findall(text)):
            mirrors.setdefault(SECURITY if suite.endswith("-security") else MAIN, address.rstrip("/"))
            mirrors.setdefault(UBUNTU, address.rstrip("/"))
    return mirrors


def _with_status(text: str) -> str:
    return text if re.search(r"(?m)^Status:", text) else f"{text}\nStatus: install ok installed"


def _without_missing(text: str, names: set[str]) -> str:
    """Return a stanza without the dependencies that none of `names` satisfies, so that apt doesn't reject the base."""

    def kept(match: re.Match[str]) -> str:
        groups = [group for group in match[2].split(",") if group.strip() and not names.isdisjoint(*relations(group))]
        return f"{match[1]}{','.join(groups)}\n" if groups else ""

    return _DEPENDS.sub(kept, f"{text}\n").rstrip("\n")


def _is_installed(stanza: Mapping[str, str]) -> bool:
    return stanza.get("Status", "").endswith(" installed") and {*stanza} >= {"Package", "Version"}
