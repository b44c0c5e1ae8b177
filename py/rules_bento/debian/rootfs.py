"""Makes a root file system of Debian packages, as the tar of a layer.

Packages are unpacked one after the other, as dpkg would, in one streaming pass: nothing lies on the disk in between,
and nothing of them runs. What maintainer scripts would have done is in `system`; here is dpkg's database, so that
dpkg, apt and scanners see what is installed. /bin, /lib and /sbin are links to /usr, as Debian has had it since 12.

A layer may lie over others that this module has made: it knows them by an index, a JSON object::

    {"packages": {"libc6": "2.41-12+deb13u4"}, "status": "<text of dpkg's status file>",
     "folders": {"etc": [493, 0, 0]}, "files": {"etc/passwd": "<package>"}, "links": {"bin": "usr/bin"}}
"""

from __future__ import annotations

import fnmatch
import hashlib
import re

from rules_bento.dataclasses_lite import NamedTuple
from rules_bento.debian.apt import Stanza, parse_stanzas
from rules_bento.errors import BentoError
from rules_bento.images.layers import headers
from rules_bento.typing_lite import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    from rules_bento.debian.deb import Deb, Member

Index = dict[str, Any]

HARD_LINK = b"1"
MADE = "rules_bento"
"""Who a file belongs to that no package has."""

_MERGED = re.compile(r"\A(bin|sbin|lib|lib32|lib64|libo32|libx32)(?=/|\Z)")
_DPKG = "var/lib/dpkg/"
# Debian Policy 5.6.1, 5.6.8 and 5.6.12.
_FIELDS = {
    "Package": re.compile(r"[a-z0-9][a-z0-9+.-]+"),
    "Architecture": re.compile(r"[a-z0-9][a-z0-9-]*"),
    "Version": re.compile(r"[A-Za-z0-9.+:~-]+"),
}
_WHITEOUT = ".wh."  # OCI image layer specification: such a file removes one of a layer below


class Filter(NamedTuple):
    """Decides which paths are left out, by patterns of dpkg's `path-exclude` and `path-include`."""

    exclude: re.Pattern[str]
    include: re.Pattern[str]
    folders: re.Pattern[str]  # links to folders that have something to include

    @staticmethod
    def of(exclude: Iterable[str], include: Sequence[str]) -> Filter:
        """Make a filter of patterns, which begin with a slash and whose `*` stands for slashes, too.

        Raises BentoError for others.
        """
        for pattern in [*exclude, *include]:
            if not pattern.startswith("/"):
                raise BentoError(f"the pattern {pattern!r} does not begin with a slash, as those of dpkg do")
        return Filter(_any_of(exclude), _any_of(include), _folders(pattern.rpartition("/")[0] for pattern in include))

    def leaves_out(self, path: str, *, is_link: bool) -> bool:
        """Return whether a path, without the slash before it, is left out."""
        text = f"/{path}"
        if not self.exclude.match(text) or self.include.match(text):
            return False
        return not (is_link and self.folders.match(text))


def _any_of(patterns: Iterable[str]) -> re.Pattern[str]:
    return re.compile("|".join(map(fnmatch.translate, patterns)) or r"(?!)")


def _folders(patterns: Iterable[str]) -> re.Pattern[str]:
    """Return a pattern in which stars do not stand for slashes."""
    words = ["[^/]*".join(map(re.escape, pattern.split("*"))) + r"\Z" for pattern in patterns]
    return re.compile("|".join(words) or r"(?!)")


class Rootfs:
    """Tracks what is in the layer so far and in those below it, and makes its tar."""

    def __init__(
        self, lower: Index | None, paths: Filter, captured: Callable[[str], bool], unmade: Collection[str] = ()
    ) -> None:
        """Begin with what is below.

        The contents of files that `captured` names are kept. Folders in `unmade` are made only if something is in them.
        """
        below = lower or {}
        self.packages: dict[str, str] = dict(below.get("packages", {}))
        self.folders: dict[str, tuple[int, int, int]] = {
            path: tuple(of) for path, of in below.get("folders", {}).items()
        }
        self.files: dict[str, str] = dict(below.get("files", {}))
        self.links: dict[str, str] = dict(below.get("links", {}))
        self.kept: dict[str, bytes] = {}
        self._status = "".join(f"{stanza}\n\n" for stanza in below.get("status", "").split("\n\n") if stanza)
        self._paths = paths
        self._captured = captured
        self._unmade = unmade
        self._written: set[str] = set()  # folders of this layer
        self._waiting: dict[str, tuple[int, int, int]] = {}  # folders that nothing needs so far

    def index(self) -> Index:
        """Return the index that a layer above needs."""
        return {
            "packages": dict(sorted(self.packages.items())),
            "status": self._status,
            "folders": dict(sorted(self.folders.items())),
            "files": dict(sorted(self.files.items())),
            "links": dict(sorted(self.links.items())),
        }

    def install(self, deb: Deb, architecture: str = "") -> Iterator[bytes]:
        """Yield the tar of a package and of dpkg's files about it; nothing if a layer below has the package.

        Raises BentoError for a second version of a package, for files of two packages in one place, and for a package
        of another architecture than that, where one is given.
        """
        control = deb.control()
        stanza = _stanza(deb.name, control["control"])
        name, version = stanza["Package"], stanza["Version"]
        if architecture and stanza["Architecture"] not in (architecture, "all"):
            raise BentoError(
                f"{deb.name}: {name} is for {stanza['Architecture']}, but the layer is for {architecture}. Take the "
                f"package for {architecture}; a lock that bento_debs writes has it."
            )
        if self.packages.get(name) == version:
            return
        if name in self.packages:
            raise BentoError(
                f"{name} {version}: version {self.packages[name]} is there already, below or beside it. Take all "
                f"packages from one lock, and layers over each other from the same."
            )
        self.packages[name] = version
        own: dict[str, str] = {}  # path to MD5, which is dpkg's
        paths = ["/."]
        lines = _text(deb.name, "conffiles", control.get("conffiles", b"")).splitlines()
        conffiles = {line.rstrip() for line in lines if line.startswith("/")}  # others are of earlier versions
        for member, data in deb.members():
            path = _MERGED.sub(r"usr/\1", member.path) if not _is_merged_link(member) else member.path
            if self._is_left_out(path, member.kind):
                if member.kind == "folder":
                    self._waiting.setdefault(path, (member.mode, member.uid, member.gid))
                continue
            paths.append(f"/{member.path}")
            yield from self._member(member._replace(path=path), data, name, own, conffiles)
        self._waiting.clear()
        yield from self._record(stanza, control, own, paths)

    def folder(self, path: str, mode: int = 0o755, uid: int = 0, gid: int = 0) -> Iterator[bytes]:
        """Add a folder, unless it is there; what is there keeps its mode and owner.

        Raises BentoError where something else is there.
        """
        if path not in self.files and path not in self.folders:
            yield from self._folder(path, (mode, uid, gid), MADE)

    def file(self, path: str, data: bytes, mode: int = 0o644, uid: int = 0, gid: int = 0) -> Iterator[bytes]:
        """Add a file that no package has. Raises BentoError where something is there."""
        yield from self._place(path, MADE)
        yield headers.header(path, headers.REGULAR, mode, uid, gid, len(data))
        yield data + headers.padding(len(data))

    def link(self, path: str, target: str) -> Iterator[bytes]:
        """Add a symbolic link that no package has. Raises BentoError where something is there."""
        yield from self._place(path, MADE)
        self.links[path] = target
        yield headers.header(path, headers.LINK, 0o777, 0, 0, 0, target)

    def has(self, path: str) -> bool:
        """Return whether there is something at a path."""
        return path in self.files or path in self.folders

    def database(self) -> Iterator[bytes]:
        """Yield the files of dpkg that are about all packages; to be written last."""
        stanzas = sorted(self._status.split("\n\n"))
        self._status = "\n\n".join(stanza for stanza in stanzas if stanza)
        if not self.has(f"{_DPKG}info/format"):
            yield from self.file(f"{_DPKG}info/format", b"1\n")
        for name in ("updates", "triggers"):
            yield from self.folder(_DPKG + name)
        self.files.pop(f"{_DPKG}status", None)  # the one of a layer below is replaced
        yield from self.file(f"{_DPKG}status", f"{self._status}\n\n".encode())

    def _is_left_out(self, path: str, kind: str) -> bool:
        if not path or (kind == "folder" and path in self._unmade):
            return True
        return self._paths.leaves_out(path, is_link=kind == "link")

    def _member(
        self, member: Member, data: Iterable[bytes], package: str, own: dict[str, str], conffiles: Collection[str]
    ) -> Iterator[bytes]:
        path = member.path
        if member.kind == "folder":
            if path not in self.links:  # of another package, to a folder
                yield from self._folder(path, (member.mode, member.uid, member.gid), package)
            return
        if member.kind == "link" and self.links.get(path) == member.link:
            return
        yield from self._place(path, package)
        if member.kind == "link":
            self.links[path] = member.link
            yield headers.header(path, headers.LINK, 0o777, member.uid, member.gid, 0, member.link)
            return
        if member.kind == "hard link":
            target = _MERGED.sub(r"usr/\1", member.link)
            if self.files.get(target) != package:
                raise BentoError(
                    f"{package}: /{path} is a hard link to /{target}, which is left out. Include that, too."
                )
            yield headers.header(path, HARD_LINK, member.mode, member.uid, member.gid, 0, target)
            return
        yield headers.header(path, headers.REGULAR, member.mode, member.uid, member.gid, member.size)
        yield from self._contents(path, data, own if f"/{path}" in conffiles else None)
        yield headers.padding(member.size)

    def _contents(self, path: str, data: Iterable[bytes], own: dict[str, str] | None) -> Iterator[bytes]:
        if own is None and not self._captured(path):
            yield from data
            return
        whole = b"".join(data)
        if own is not None:
            own[f"/{path}"] = hashlib.md5(whole, usedforsecurity=False).hexdigest()
        if self._captured(path):
            self.kept[path] = whole
        yield whole

    def _folder(self, path: str, owner: tuple[int, int, int], package: str) -> Iterator[bytes]:
        """Yield a folder of this layer, with those above it; one that a layer below has stays what it is."""
        if path in self.files:
            raise BentoError(self._conflict(path, package))
        if path in self._written:
            return
        yield from self._parents(path, package)
        self._written.add(path)
        mode, uid, gid = self.folders.setdefault(path, owner)
        yield headers.header(path, headers.FOLDER, mode, uid, gid)

    def _parents(self, path: str, package: str) -> Iterator[bytes]:
        above = path.rpartition("/")[0]
        if above and above not in self._written:
            yield from self._folder(above, self._waiting.get(above, (0o755, 0, 0)), package)

    def _place(self, path: str, package: str) -> Iterator[bytes]:
        """Claim a path for something that is not a folder."""
        if path in self.files or path in self.folders:
            raise BentoError(self._conflict(path, package))
        if path.rpartition("/")[2].startswith(_WHITEOUT):
            raise BentoError(f"{package}: /{path} would remove files of a layer. Exclude it.")
        yield from self._parents(path, package)
        self.files[path] = package

    def _conflict(self, path: str, package: str) -> str:
        other = self.files.get(path)
        if other is None:
            return (
                f"{package}: /{path} is a folder in another package, and something else in this. Leave one of them out."
            )
        return f"/{path} is in {other} and in {package}. Leave one of these packages out, or exclude the path."

    def _record(
        self, stanza: Stanza, control: dict[str, bytes], own: dict[str, str], paths: list[str]
    ) -> Iterator[bytes]:
        """Yield the files that dpkg keeps of a package, with only those paths that are really there."""
        name = stanza["Package"]
        base = f"{_DPKG}info/{name}" + (f":{stanza['Architecture']}" if stanza.get("Multi-Arch") == "same" else "")
        yield from self.file(f"{base}.list", "".join(f"{path}\n" for path in paths).encode())
        if "md5sums" in control:
            there = {path[1:].encode() for path in paths}
            lines = [line for line in control["md5sums"].splitlines(keepends=True) if line[34:].strip() in there]
            yield from self.file(f"{base}.md5sums", b"".join(lines))
        fields = {"Package": name, "Status": "install ok installed"} | {
            key: of for key, of in stanza.items() if key != "Package"
        }
        if own:
            yield from self.file(f"{base}.conffiles", "".join(f"{path}\n" for path in sorted(own)).encode())
            fields["Conffiles"] = "".join(f"\n {path} {own[path]}" for path in sorted(own))
        text = "\n".join(f"{key}:{'' if of.startswith(chr(10)) else ' '}{of}" for key, of in fields.items())
        self._status += f"{text}\n\n"


def _text(deb: str, name: str, data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise BentoError(f"{deb}: its control file {name} is not UTF-8. Fetch the package again.") from None


def _stanza(deb: str, data: bytes) -> Stanza:
    """Return the fields of a package, of which some become paths."""
    try:
        stanzas = parse_stanzas(_text(deb, "control", data))
    except ValueError as error:
        raise BentoError(f"{deb}: its control file cannot be read: {error}. Fetch the package again.") from None
    if len(stanzas) != 1:
        raise BentoError(f"{deb}: its control file has {len(stanzas)} paragraphs, not one. Fetch the package again.")
    for field, pattern in _FIELDS.items():
        value = stanzas[0].get(field, "")
        if not pattern.fullmatch(value):
            raise BentoError(f"{deb}: its control file has the {field} {value!r}. Fetch the package again.")
    return stanzas[0]


def _is_merged_link(member: Member) -> bool:
    """Return whether it is itself one of the links of a merged /usr."""
    return member.kind == "link" and _MERGED.fullmatch(member.path) is not None
