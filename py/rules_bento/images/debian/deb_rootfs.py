"""Builds a layer with a root file system from Debian packages. The layer is a tar archive.

Unpacks packages as dpkg does, in one streaming pass without temporary files. Doesn't run programs or maintainer
scripts. The module `system` makes the changes that the scripts usually make. Writes dpkg's database, so that dpkg, apt,
and scanners find the packages. As in Debian 12 and later, /bin, /lib, and /sbin are links to directories in /usr.

A layer can extend other layers that this module built. The index of the lower layers is a JSON object. The numbers are
the mode, user ID, and group ID of a directory::

    {"packages": {"libc6": "2.41-12+deb13u4"}, "status": "<dpkg's status file>",
     "folders": {"etc": [493, 0, 0]}, "files": {"etc/passwd": "<package>"}, "links": {"bin": "usr/bin"}}
"""

from __future__ import annotations

import fnmatch
import hashlib
import re
from posixpath import dirname, join, normpath

from rules_bento.base.archives.zipread import Chunk
from rules_bento.base.dataclasses_lite import NamedTuple
from rules_bento.base.errors import BentoError
from rules_bento.base.formats import split_lines
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from rules_bento.images.debian.apt import Stanza, parse_stanzas
from rules_bento.images.debian.deb import REMEDY
from rules_bento.images.layers import headers
from rules_bento.images.wheels.elf import SparseFile, read_elf

if TYPE_CHECKING:
    from rules_bento.base.archives.tarread import TarMember
    from rules_bento.images.debian.deb import Deb
    from rules_bento.images.wheels.elf import Elf

Index = dict[str, Any]
Owner = tuple[int, int, int]  # mode, user, and group
HARD_LINK = b"1"
GENERATED = "rules_bento"  # owner of files that aren't from a package
_MERGED_USR = re.compile(r"\A(bin|sbin|lib|lib32|lib64|libo32|libx32)(?=/|\Z)")
_DPKG = "var/lib/dpkg/"
# Debian Policy 5.6.1, 5.6.8, and 5.6.12.
_FIELDS = {"Package": r"[a-z0-9][a-z0-9+.-]+", "Architecture": r"[a-z0-9][a-z0-9-]*", "Version": r"[A-Za-z0-9.+:~-]+"}
# Files that run, or that programs load.
_RUN = re.compile(r"\.so(?:\.|\Z)|(?:^|/)(?:bin|games|sbin)/[^/]+\Z")
_LONGEST_INTERPRETER = 256
_INTERPRETER = re.compile(rb"#![ \t]*(/[^\s\0]+)")
_MAX_SCRIPT = 1 << 18  # bytes that are read; real scripts have 30 kB
_MAX_LINKS = 40  # as for Linux
_WHITEOUT = ".wh."  # removes a file of a lower layer (OCI image layer specification)


def merged(path: str) -> str:
    """Return the relative path of a file, with `usr` before merged directories."""
    return _MERGED_USR.sub(r"usr/\1", path.lstrip("/"))


class PathFilter(NamedTuple):
    """Filter for paths, with the semantics of dpkg's options `path-exclude` and `path-include`."""

    exclude: re.Pattern[str]
    include: re.Pattern[str]
    directories: re.Pattern[str]  # links to directories with included files

    @staticmethod
    def from_patterns(exclude: Iterable[str], include: Sequence[str]) -> PathFilter:
        """Return a filter for patterns, in which `*` also matches slashes. Raises BentoError for a relative pattern."""
        for pattern in [*exclude, *include]:
            if not pattern.startswith("/"):
                problem = f"excludes, includes: invalid pattern {pattern!r}"
                raise BentoError(problem, remedy="Use an absolute pattern such as '/usr/share/doc/*'.")
        parents = [pattern.rpartition("/")[0] for pattern in include]
        return PathFilter(_match_any(exclude), _match_any(include), _match_directories(parents))

    def excludes(self, path: str, *, is_link: bool) -> bool:
        """Return whether the filter excludes a relative path. Keeps links that are parents of included paths."""
        text = f"/{path}"
        if not self.exclude.match(text) or self.include.match(text):
            return False
        return not (is_link and self.directories.match(text))


def _match_any(patterns: Iterable[str]) -> re.Pattern[str]:
    return re.compile("|".join(map(fnmatch.translate, patterns)) or r"(?!)")


def _match_directories(patterns: Iterable[str]) -> re.Pattern[str]:
    """Return a regular expression that matches any of `patterns`, in which `*` doesn't match slashes."""
    words = ["[^/]*".join(map(re.escape, pattern.split("*"))) + r"\Z" for pattern in patterns]
    return re.compile("|".join(words) or r"(?!)")


class Rootfs:
    """A root file system that consists of layers. The methods that add files yield tar data for the top layer."""

    def __init__(
        self,
        lower: Index | None,
        paths: PathFilter,
        is_captured: Callable[[str], bool],
        on_demand: Collection[str] = (),
    ) -> None:
        """Initialize the file system. `lower` is the index of the lower layers, or None for the lowest layer.

        `paths` filters package files. The attribute `captured` collects the contents of each file whose path
        `is_captured` accepts. The file system omits each directory in `on_demand` that is empty.
        """
        below = lower or {}
        self.packages: dict[str, str] = dict(below.get("packages", {}))
        directories = below.get("folders", {}).items()
        self.directories: dict[str, Owner] = {path: tuple(owner) for path, owner in directories}
        self.files: dict[str, str] = dict(below.get("files", {}))
        self.links: dict[str, str] = dict(below.get("links", {}))
        self.captured: dict[str, bytes] = {}
        self.components: list[Mapping[str, Any]] = list(below.get("components", []))  # for SBOMs, without packages
        self.alternatives: list[Any] = list(below.get("alternatives", []))  # see `alternatives.Alternative`
        self.linked: dict[str, Elf] = {}  # programs and libraries of this layer
        self.interpreters: dict[str, str] = {}  # of scripts of this layer
        self.scripts: dict[str, str] = {}  # the scripts that configure packages of this layer
        self._status = "".join(f"{stanza}\n\n" for stanza in below.get("status", "").split("\n\n") if stanza)
        self._paths = paths
        self._is_captured = is_captured
        self._on_demand = on_demand
        self._written: set[str] = set()  # directories of this layer
        self._pending: dict[str, Owner] = {}  # directories without content so far

    def index(self) -> Index:
        """Return the index of this layer and all lower layers, for use as the parameter `lower` of the next layer."""
        return {
            "packages": dict(sorted(self.packages.items())),
            "status": self._status,
            "folders": dict(sorted(self.directories.items())),
            "files": dict(sorted(self.files.items())),
            "links": dict(sorted(self.links.items())),
        } | {
            name: value
            for name, value in (("alternatives", self.alternatives), ("components", self.components))
            if value
        }

    def install(self, deb: Deb, architecture: str = "") -> Iterator[bytes]:
        """Yield the tar members of a package and of its dpkg files, or nothing if the package is already installed.

        Raises BentoError if another version of the package is installed, or if two packages have conflicting files.
        Also raises BentoError if `architecture` is set and the package is for another architecture.
        """
        control = deb.control()
        stanza = stanza_of(deb.name, control)
        name, version = stanza["Package"], stanza["Version"]
        if architecture and stanza["Architecture"] not in (architecture, "all"):
            problem = f"{name} is for {stanza['Architecture']}, but the layer is for {architecture}"
            remedy = f"Use the {architecture} package from the bento_debs lock."
            raise BentoError(problem, place=deb.name, remedy=remedy)
        if self.packages.get(name) == version:
            return
        if name in self.packages:
            other = self.packages[name]
            problem = f"{name} {version}: the image already contains version {other}"
            raise BentoError(problem, remedy="Use the same lock for all layers.")
        self.packages[name] = version
        self._remove_stanza(name)  # of a package that was removed, but not its configuration
        self.scripts[name] = control.get("postinst", b"")[:_MAX_SCRIPT].decode("utf-8", "replace")
        own: dict[str, str] = {}  # path -> MD5, as in dpkg's database
        paths = ["/."]
        lines = split_lines(_decode(deb.name, "conffiles", control.get("conffiles", b"")))
        conffiles = {line.rstrip() for line in lines if line.startswith("/")}  # other lines are for earlier versions
        for member, data in deb.members():
            path = _MERGED_USR.sub(r"usr/\1", member.name) if not _is_merged_link(member) else member.name
            if self._is_excluded(path, member.kind):
                if member.kind == "folder":
                    self._pending.setdefault(path, (member.mode, member.uid, member.gid))
                continue
            paths.append(f"/{member.name}")
            yield from self._member(member._replace(name=path), data, name, own, conffiles)
        self._pending.clear()
        yield from self._dpkg_files(stanza, control, own, paths)

    def remove(self, package: str) -> set[str]:
        """Remove a package of a lower layer, which `install` then replaces. Returns the paths of its files."""
        of_dpkg = re.compile(rf"{_DPKG}info/{re.escape(package)}(:[^/]*)?\.[a-z0-9]+")
        paths = {path for path, owner in self.files.items() if owner == package or of_dpkg.fullmatch(path)}
        for path in paths:
            self.files.pop(path)
            self.links.pop(path, None)
        del self.packages[package]
        self._remove_stanza(package)
        return paths

    def _remove_stanza(self, package: str) -> None:
        start = f"Package: {package}\n"
        if start in self._status:
            stanzas = self._status.split("\n\n")
            self._status = "\n\n".join(each for each in stanzas if not each.startswith(start))

    def whiteouts(self, paths: Iterable[str]) -> Iterator[bytes]:
        """Yield the tar members that remove paths of lower layers, unless this layer contains them."""
        for path in sorted(path for path in paths if not self.has(path)):
            head, slash, name = path.rpartition("/")
            yield headers.header(f"{head}{slash}{_WHITEOUT}{name}", headers.REGULAR, 0o644, 0, 0, 0)

    def directory(self, path: str, mode: int = 0o755, uid: int = 0, gid: int = 0) -> Iterator[bytes]:
        """Yield the tar header of a directory, unless the path exists. Raises BentoError if a parent is a file."""
        if path not in self.files and path not in self.directories:
            yield from self._directory(path, (mode, uid, gid), GENERATED)

    def file(self, path: str, data: bytes, mode: int = 0o644, uid: int = 0, gid: int = 0) -> Iterator[bytes]:
        """Yield the tar member of a file that isn't from a package. Raises BentoError if the path exists."""
        yield from self._claim(path, GENERATED)
        if self._is_captured(path):
            self.captured[path] = data
        yield headers.header(path, headers.REGULAR, mode, uid, gid, len(data))
        yield data + headers.padding(len(data))

    def link(self, path: str, target: str) -> Iterator[bytes]:
        """Yield the tar header of a symbolic link that isn't from a package. Raises BentoError if the path exists."""
        yield from self._claim(path, GENERATED)
        self.links[path] = target
        yield headers.header(path, headers.LINK, 0o777, 0, 0, 0, target)

    def replace(self, path: str, data: bytes) -> Iterator[bytes]:
        """Yield the tar member of a file that isn't from a package, and that a layer below can contain."""
        if self.files.get(path) == GENERATED:
            self.files.pop(path)
        yield from self.file(path, data)

    def merged(self, path: str) -> str:
        """Return the relative path of a file, with `usr` before merged directories."""
        return merged(path)

    def resolve(self, path: str) -> str:
        """Return the path of a file after following links, or an empty string if it doesn't exist."""
        for _ in range(_MAX_LINKS):
            path = self.merged(normpath(path))
            if path not in self.links:
                return path if self.has(path) else ""
            path = join("/", dirname(path), self.links[path])
        return ""

    def has(self, path: str) -> bool:
        """Return whether a file, directory, or link exists at `path`."""
        return path in self.files or path in self.directories

    def database(self) -> Iterator[bytes]:
        """Yield the tar members of dpkg's database, which lists all packages in the layers. Call this method last."""
        stanzas = sorted(self._status.split("\n\n"))
        self._status = "\n\n".join(stanza for stanza in stanzas if stanza)
        if not self.has(f"{_DPKG}info/format"):
            yield from self.file(f"{_DPKG}info/format", b"1\n")
        for name in ("updates", "triggers"):
            yield from self.directory(_DPKG + name)
        yield from self.replace(f"{_DPKG}status", f"{self._status}\n\n".encode())

    def _is_excluded(self, path: str, kind: str) -> bool:
        if not path or (kind == "folder" and path in self._on_demand):
            return True
        return self._paths.excludes(path, is_link=kind == "link")

    def _member(
        self, member: TarMember, data: Iterable[bytes], package: str, own: dict[str, str], conffiles: Collection[str]
    ) -> Iterator[bytes]:
        path = member.name
        if member.kind == "folder":
            if path not in self.links:  # another package's link to a directory
                yield from self._directory(path, (member.mode, member.uid, member.gid), package)
            return
        if member.kind == "link" and self.links.get(path) == member.link:
            return
        yield from self._claim(path, package)
        if member.kind == "link":
            self.links[path] = member.link
            yield headers.header(path, headers.LINK, 0o777, member.uid, member.gid, 0, member.link)
            return
        if member.kind == "hard link":
            target = _MERGED_USR.sub(r"usr/\1", member.link)
            if self.files.get(target) != package:
                problem = f"/{path} is a hard link to /{target}, which is excluded"
                raise BentoError(problem, place=package, remedy="Include both files.")
            yield headers.header(path, HARD_LINK, member.mode, member.uid, member.gid, 0, target)
            return
        yield headers.header(path, headers.REGULAR, member.mode, member.uid, member.gid, member.size)
        yield from self._contents(path, data, own if f"/{path}" in conffiles else None, member.size)
        yield headers.padding(member.size)

    def _contents(self, path: str, data: Iterable[bytes], own: dict[str, str] | None, size: int) -> Iterator[bytes]:
        if own is None and not self._is_captured(path):
            yield from self._probed(path, size, data) if size and _RUN.search(path) else data
            return
        whole = b"".join(data)
        if own is not None:
            own[f"/{path}"] = hashlib.md5(whole, usedforsecurity=False).hexdigest()
        if self._is_captured(path):
            self.captured[path] = whole
        yield whole

    def _probed(self, path: str, size: int, data: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the contents of a program or library unchanged. Stores what it needs to start."""
        with SparseFile(size, lambda: iter(())) as spread:
            for chunk in spread.tee((Chunk(piece, None) for piece in data), read_elf):
                yield chunk.data
            if elf := read_elf(spread.data, spread.fetch):
                self.linked[path] = elf
            elif match := _INTERPRETER.match(spread.data[:_LONGEST_INTERPRETER]):
                self.interpreters[path] = match[1].decode("utf-8", "replace")

    def _directory(self, path: str, owner: Owner, package: str) -> Iterator[bytes]:
        """Yield the tar headers of a directory and its parents. Omits directories that this layer already contains."""
        if path in self.files:
            raise BentoError(self._conflict(path, package))
        if path in self._written:
            return
        yield from self._parents(path, package)
        self._written.add(path)
        mode, uid, gid = self.directories.setdefault(path, owner)
        yield headers.header(path, headers.DIRECTORY, mode, uid, gid)

    def _parents(self, path: str, package: str) -> Iterator[bytes]:
        above = path.rpartition("/")[0]
        if above and above not in self._written:
            yield from self._directory(above, self._pending.get(above, (0o755, 0, 0)), package)

    def _claim(self, path: str, package: str) -> Iterator[bytes]:
        """Add a package's path. Yields headers of missing directories. Raises BentoError for conflicts or whiteouts."""
        if path in self.files or path in self.directories:
            raise BentoError(self._conflict(path, package))
        if path.rpartition("/")[2].startswith(_WHITEOUT):
            problem = f"/{path} is a whiteout, which would remove files from lower layers"
            raise BentoError(problem, place=package, remedy=f"Add '/{path}' to excludes.")
        yield from self._parents(path, package)
        self.files[path] = package

    def _conflict(self, path: str, package: str) -> str:
        other = self.files.get(path)
        if other is None:
            return f"{package}: another package has a directory at /{path}. Exclude one of the packages."
        return f"/{path}: {other} and {package} both contain this path. Exclude the path, or one of the packages."

    def _dpkg_files(
        self, stanza: Stanza, control: dict[str, bytes], own: dict[str, str], paths: list[str]
    ) -> Iterator[bytes]:
        """Yield the tar members that dpkg's database has for a package. The member `<package>.list` lists `paths`."""
        name = stanza["Package"]
        base = f"{_DPKG}info/{name}" + (f":{stanza['Architecture']}" if stanza.get("Multi-Arch") == "same" else "")
        yield from self.file(f"{base}.list", "".join(f"{path}\n" for path in paths).encode())
        if "md5sums" in control:
            existing = {path[1:].encode() for path in paths}
            lines = [line for line in control["md5sums"].splitlines(keepends=True) if line[34:].strip() in existing]
            yield from self.file(f"{base}.md5sums", b"".join(lines))
        fields = {"Package": name, "Status": "install ok installed"} | stanza
        if own:
            yield from self.file(f"{base}.conffiles", "".join(f"{path}\n" for path in sorted(own)).encode())
            fields["Conffiles"] = "".join(f"\n {path} {own[path]}" for path in sorted(own))
        text = "\n".join(f"{key}:{'' if of.startswith(chr(10)) else ' '}{of}" for key, of in fields.items())
        self._status += f"{text}\n\n"


def _decode(deb: str, name: str, data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise BentoError(f"the control file {name} isn't UTF-8", place=deb, remedy=REMEDY) from None


def stanza_of(name: str, control: Mapping[str, bytes]) -> Stanza:
    """Parse the control file of a package. Raises BentoError for an invalid file, name, architecture, or version."""
    try:
        stanzas = parse_stanzas(_decode(name, "control", control["control"]))
    except ValueError as error:
        raise BentoError(f"invalid control file: {error}", place=name, remedy=REMEDY) from None
    if len(stanzas) != 1:
        raise BentoError(f"expected 1 paragraph in the control file, got {len(stanzas)}", place=name, remedy=REMEDY)
    for field, pattern in _FIELDS.items():
        value = stanzas[0].get(field, "")
        if not re.fullmatch(pattern, value):
            raise BentoError(f"the control file has an invalid {field} {value!r}", place=name, remedy=REMEDY)
    return stanzas[0]


def _is_merged_link(member: TarMember) -> bool:
    """Return whether a member is a top-level link of the merged /usr layout, such as /bin."""
    return member.kind == "link" and _MERGED_USR.fullmatch(member.name) is not None
