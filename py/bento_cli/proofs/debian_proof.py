"""Lists what a layer of Debian packages contains, by deb(5), dpkg(1), and the format of dpkg's database.

Reads packages with the standard library, and not with the modules that install them.
"""

from __future__ import annotations

import re
from fnmatch import translate
from hashlib import md5, sha256
from posixpath import basename, dirname, join, normpath
from types import SimpleNamespace

from rules_bento.base.dataclasses_lite import NamedTuple
from rules_bento.base.errors import BentoError
from rules_bento.base.typing_lite import IO, TYPE_CHECKING, Any, Collection, Iterator, Mapping, Sequence, TypeVar
from rules_bento.images.system_packages import SystemFiles, read_dpkg

from bento_cli.proofs.debian_results import Choices, cache_problem
from bento_cli.proofs.expected import Expected, Finding, LayerMember, Unproven, directories

if TYPE_CHECKING:
    from pathlib import Path
    from tarfile import TarInfo

    from bento_cli.proofs.base_files import BaseFiles

SOURCE = "Debian packages"
_PIECE = 1 << 20
# Bytes of one of the layer's files whose contents are compared, of all, and more for each.
_MAX_FILE, _MAX_KEPT, _COST = 1 << 18, 1 << 25, 1 << 14
STATUS, _OF_ONE, _INFO = "var/lib/dpkg/status", "var/lib/dpkg/status.d/", "var/lib/dpkg/info/"
_CHOICES, _SETTINGS, _CACHE = "var/lib/dpkg/alternatives/", "etc/dpkg/dpkg.cfg", "etc/ld.so.cache"
_BUNDLE, _CERTIFICATES = "etc/ssl/certs/ca-certificates.crt", "usr/share/ca-certificates/"
_IN_USR = re.compile(r"\A(bin|sbin|lib|lib32|lib64|libo32|libx32)(?=/|\Z)")
_FILTER = re.compile(r"^\s*path-(exclude|include)[\s=]+(/\S+)", re.MULTILINE)
_MADE = Expected(SOURCE, "this product", "file", 0o644, (0, 0))  # its content is judged apart
_Value = TypeVar("_Value")


class Judgement(NamedTuple):
    """The members of a layer that are proven, those that aren't, and what is wrong."""

    proven: list[LayerMember]
    unproven: list[Unproven]
    findings: list[Finding]


class DebianProof:
    """What a layer contains that installs the packages of a lock above a base. `debs` has their files by name.

    `expected` is complete after `judge`. Raises BentoError for other files and bases than the lock's.
    """

    def __init__(
        self, packages: Sequence[Mapping[str, Any]], debs: Mapping[str, Path], base: BaseFiles, architecture: str
    ) -> None:
        self.expected: dict[str, Expected] = {}
        self._left, self._architecture = _MAX_KEPT, architecture
        self._base = {_merged(path) if "/" in path else path: each for path, each in base.members.items()}
        roots = (STATUS, _CHOICES, _SETTINGS, _CACHE)
        files = base.read([each for each in base.members if each.startswith(roots) or _package_of(each, ".list")])
        texts = {path: data.decode("utf-8", "surrogateescape") for path, data in sorted(files.items())}
        self._filters = _filters("\n".join(_below(texts, _SETTINGS).values()))
        self._cache = files.get(_CACHE, b"")
        stanzas = [*filter(None, re.split(rb"\n[ \t\n]*\n", files.get(STATUS, b"").strip()))]
        installed = [each for each in stanzas if _field(each, "Status").endswith(" installed")]
        installed += [data for path, data in _below(files, _OF_ONE).items() if not path.endswith(".md5sums")]
        there = {_field(each, "Package"): _field(each, "Version") for each in installed}
        new = {each["name"]: each for each in packages if there.get(each["name"]) != each["version"]}
        replaced = new.keys() & there
        self._stanzas = [_fields(each) for each in stanzas if _field(each, "Package") not in new]
        removed = self._files_of(replaced, texts)
        # The targets of links by path; empty for other files and directories.
        links = {path: each.link if each.kind == "link" else "" for path, each in self._base.items()}
        self._there = {path: link for path, link in links.items() if path not in removed}
        self._choices = Choices(_below(files, _CHOICES), self._exists)
        self._stated: dict[str, Expected] = {}  # directories
        self._certificates: dict[str, bytes] = {}
        for name, package in sorted(new.items()):
            if there.get(name) not in (None, package.get("replaces")):
                problem = f"the base has {name} {there[name]}, which the lock doesn't replace"
                raise BentoError(problem, place="--lock", remedy="Use the lock and the base of the image.")
            self._install(debs[name], package["sha256"])
        self._generate(has_bundle="ca-certificates" in new)
        for path in removed - self._there.keys():
            self._make(f"{dirname(path)}/.wh.{basename(path)}", b"")

    def installed(self, before: SystemFiles) -> SystemFiles:
        """Return the packages that the image must have. `before` has the packages of the base."""
        own = [*read_dpkg(b"\n\n".join(map(b"\n".join, self._stanzas)).decode("utf-8", "replace"))]
        names = {each.name for each in own}
        return SystemFiles(before.ids, (*own, *(each for each in before.packages or () if each.name not in names)))

    def keeps(self, path: str, size: int) -> bool:
        """Return whether `judge` needs the contents of a file of the layer. Their sum is limited."""
        if path not in (STATUS, _CACHE) and not path.startswith(_CHOICES):
            return False
        self._left -= size + _COST
        right = sum(len(b"\n".join(each)) + 2 for each in self._stanzas) if path == STATUS else min(size, _MAX_FILE)
        return self._left >= 0 and size == right

    def judge(self, layer: int, members: Sequence[LayerMember]) -> Judgement:
        """Judge the members of the layer at a position."""
        result, doubts, seen = Judgement([], [], []), dict[str, str](), set[str]()
        # The linker's cache names links of alternatives.
        ordered = sorted(members, key=lambda each: (not each.path.startswith(_CHOICES), each.path))
        problems = {each.path: self._content_problem(each, doubts) for each in ordered if each.content is not None}
        visible = [path for path in self.expected if not basename(path).startswith(".wh.")]
        for path, implied in directories(visible, {}, SOURCE, "the path of a file").items():
            self.expected.setdefault(path, self._directory(path, self._stated.get(path, implied)))
        for member in members:
            path, want = member.path, self.expected.get(member.path)
            if want is None:
                problem = problems.get(path) or "isn't a file of a package"
            elif want.kind == "hard link" and want.link not in seen:
                problem = "is a hard link to a file that isn't before it"
            else:
                problem = want.difference(member) or problems.get(path, "has an unusual size" if want == _MADE else "")
            seen.add(path)
            if problem:
                result.findings.append(Finding(layer, path, problem))
            elif path in doubts:
                result.unproven.append(Unproven(layer, path, member.size, doubts[path]))
            else:
                result.proven.append(member)
        for path in sorted(self.expected.keys() - seen):
            result.findings.append(Finding(layer, path, f"is missing, but {self.expected[path].origin} implies it"))
        return result

    def _content_problem(self, member: LayerMember, doubts: dict[str, str]) -> str:
        """Return a clause on what is wrong with a file that this product writes, or ""."""
        path, content = member.path, member.content or b""
        if path == STATUS:
            listed = content[:-2].split(b"\n\n") if content[:-2] else []
            is_same = content.endswith(b"\n\n") and sorted(map(_fields, listed)) == sorted(self._stanzas)
            return "" if is_same else "isn't what the base and the packages imply"
        if path == _CACHE:
            problem, doubt = cache_problem(content, self._cache, self._architecture, self._exists)
            doubts |= {path: doubt} if doubt else {}
            return problem
        problem, links = self._choices.judge(path.removeprefix(_CHOICES), content)
        for link, name, target in links:
            self.expected[path] = _MADE
            place, middle = _merged(link), f"etc/alternatives/{name}"
            if place not in self._there:
                self._link(place, f"/{middle}")
            if middle not in self.expected and self._there.get(middle) != target:
                self._link(middle, target)
        return problem

    def _install(self, path: Path, digest: str) -> None:
        """Expect the files of a package, and what dpkg's database has for it."""
        control, kept, listed = dict[str, bytes](), dict[str, bytes](), ["/."]
        for part, info, file in _members(path, digest):
            name = info.name.removeprefix("./")
            if part == "control":
                control[name] = file.read() if file else b""
                continue
            place = name if info.issym() and "/" not in name else _merged(name)
            want = Expected(SOURCE, path.name, "directory", info.mode & 0o7777, (info.uid, info.gid))
            if info.isdir():
                self._stated.setdefault(place, want)
            if name in ("", ".") or self._is_excluded(place, is_link=info.issym()):
                continue
            listed.append(f"/{name}")
            if info.isdir():
                want = self._directory(place, self._stated[place])
            elif info.issym():
                want = want._replace(kind="link", mode=0o777, link=info.linkname)
            elif info.islnk():
                want = want._replace(kind="hard link", link=_merged(info.linkname.removeprefix("./")))
            elif file:
                if place.startswith(_CERTIFICATES) or f"/{place}".encode() in control.get("conffiles", b""):
                    kept[place] = file.read()
                content = sha256(kept[place]).hexdigest() if place in kept else _digest(file)
                want = want._replace(kind="file", digest=content)
            # A link of the base or of another package can be at the place of a directory.
            below = self._there.get(place)
            if not below or (not info.isdir() and below != want.link):
                self.expected[place], self._there[place] = want, want.link if info.issym() else ""
        self._certificates |= {key: text for key, text in _below(kept, _CERTIFICATES).items() if key.endswith(".crt")}
        self._configure(control, kept, listed, path.name)

    def _configure(self, control: dict[str, bytes], kept: dict[str, bytes], listed: list[str], origin: str) -> None:
        """Expect the files of dpkg's database for a package with control files, kept contents, and listed paths."""
        stanza = re.sub(rb"(?m)^([^\s:]+):[ \t]*(?=\S)", rb"\1: ", control["control"].strip())
        is_same = _field(stanza, "Multi-Arch") == "same"
        info = f"{_INFO}{_field(stanza, 'Package')}{':' + _field(stanza, 'Architecture') if is_same else ''}"
        self._make(f"{info}.list", "".join(f"{each}\n" for each in listed).encode("utf-8", "surrogateescape"), origin)
        if "md5sums" in control:
            lines = control["md5sums"].splitlines(keepends=True)
            own = {each[1:].encode("utf-8", "surrogateescape") for each in listed}
            self._make(f"{info}.md5sums", b"".join(each for each in lines if each[34:].strip() in own), origin)
        named = {line.decode().rstrip() for line in control.get("conffiles", b"").split(b"\n")}
        stanza += b"\nStatus: install ok installed"
        if settings := sorted(f"/{each}" for each in kept if f"/{each}" in named):
            self._make(f"{info}.conffiles", "".join(f"{each}\n" for each in settings).encode(), origin)
            sums = (f"\n {each} {md5(kept[each[1:]], usedforsecurity=False).hexdigest()}" for each in settings)
            stanza += f"\nConffiles:{''.join(sums)}".encode()
        self._stanzas.append(_fields(stanza))
        self._choices.add(control.get("postinst", b""))

    def _generate(self, *, has_bundle: bool) -> None:
        """Expect the files that this product writes itself."""
        if has_bundle and self._certificates:
            certificates = sorted(self._certificates.items())
            self._make("etc/ca-certificates.conf", "".join(f"{name}\n" for name, _ in certificates).encode())
            self._make(_BUNDLE, b"".join(data if data.endswith(b"\n") else data + b"\n" for _, data in certificates))
            for name, target in (("cert.pem", _BUNDLE), ("certs", dirname(_BUNDLE))):
                if f"usr/lib/ssl/{name}" not in self._there:
                    self._link(f"usr/lib/ssl/{name}", f"/{target}")
        if f"{_INFO}format" not in self._there:
            self._make(f"{_INFO}format", b"1\n")
        for path in ("var/lib/dpkg/updates", "var/lib/dpkg/triggers"):
            if path not in self._there:
                self.expected[path] = _MADE._replace(kind="directory", mode=0o755)
        written = [STATUS, *([_CACHE] if self._cache else []), *(_CHOICES + name for name in self._choices.names())]
        self.expected |= dict.fromkeys(written, _MADE)

    def _make(self, path: str, content: bytes, origin: str = _MADE.origin) -> None:
        self.expected[path] = _MADE._replace(origin=origin, digest=sha256(content).hexdigest())
        self._there[path] = ""

    def _link(self, path: str, target: str) -> None:
        self.expected[path] = _MADE._replace(kind="link", mode=0o777, link=target)
        self._there[path] = target

    def _directory(self, path: str, stated: Expected) -> Expected:
        """Return a directory as the base has it, otherwise as a package states it."""
        own = self._base.get(path)
        is_own = own is not None and own.kind == "folder"
        return stated._replace(mode=own.mode & 0o7777, owner=(own.uid, own.gid)) if own and is_own else stated

    def _exists(self, path: str) -> bool:
        """Return whether a path leads to a file or directory."""
        for _ in range(40):  # as in Linux
            path = _merged(normpath(path))
            if not (target := self._there.get(path)):
                return path in self._there
            path = join("/", dirname(path), target)
        return False

    def _is_excluded(self, path: str, *, is_link: bool) -> bool:
        """Return whether the base's dpkg wouldn't install a path. It keeps links above included paths."""
        exclude, include, above = (bool(each.match(f"/{path}")) for each in self._filters)
        return exclude and not include and not (is_link and above)

    def _files_of(self, packages: Collection[str], lists: Mapping[str, str]) -> set[str]:
        """Return the paths of packages of the base that no other package has, except directories."""
        mine, others = {path for path in self._base if _package_of(path) in packages}, set[str]()
        for path, text in lists.items():
            if package := _package_of(path):
                (mine if package in packages else others).update(map(_merged, text.split("\n")))
        return {path for path in mine - others if path in self._base and self._base[path].kind != "folder"}


def _members(  # writes: exempt, opens files only for reading
    path: Path, digest: str
) -> Iterator[tuple[str, TarInfo, IO[bytes] | None]]:
    """Yield `control` or `data`, a member, and its contents. Raises BentoError for another digest than the lock's."""
    import gzip
    import lzma
    import tarfile

    import zstandard

    forms: dict[str, Any] = {"": lambda file: file, ".gz": gzip.open, ".xz": lzma.open, ".zst": zstandard.open}
    with path.open("rb") as file:
        if _digest(file) != digest:
            raise BentoError("isn't the package of the lock", place=path.name, remedy="Delete the file.")
        file.seek(len("!<arch>\n"))
        while header := file.read(60):
            name, end = header[:16].rstrip(b" /").decode(), file.tell() + int(header[48:58])
            part, _, form = name.partition(".tar")
            if part in ("control", "data"):
                section = SimpleNamespace(read=lambda most, end=end: file.read(min(most, end - file.tell())))
                with tarfile.open(fileobj=forms[form](section), mode="r|", bufsize=_PIECE, encoding="utf-8") as tar:
                    yield from ((part, info, tar.extractfile(info) if info.isreg() else None) for info in tar)
            file.seek(end + end % 2)


def _digest(file: IO[bytes]) -> str:
    whole = sha256()
    while piece := file.read(_PIECE):
        whole.update(piece)
    return whole.hexdigest()


def _filters(settings: str) -> list[re.Pattern[str]]:
    """Return expressions for the paths that dpkg excludes, for those that it includes, and for directories above."""
    found = _FILTER.findall(settings)
    exclude, include = ([path for kind, path in found if kind == of] for of in ("exclude", "include"))
    above = ["[^/]*".join(map(re.escape, dirname(path).split("*"))) + r"\Z" for path in include]
    return [re.compile("|".join(each) or "(?!)") for each in (map(translate, exclude), map(translate, include), above)]


def _below(files: Mapping[str, _Value], directory: str) -> dict[str, _Value]:
    """Return the files in a directory, by their paths in it."""
    return {path.removeprefix(directory): each for path, each in files.items() if path.startswith(directory)}


def _package_of(path: str, suffix: str = "") -> str:
    """Return the package of a file in dpkg's database, or ""."""
    is_own = path.startswith(_INFO) and path.endswith(suffix)
    return path.removeprefix(_INFO).rpartition(".")[0].partition(":")[0] if is_own else ""


def _merged(path: str) -> str:
    """Return a path without a leading slash, and with `usr` before directories that are links to it."""
    return _IN_USR.sub(r"usr/\1", path.lstrip("/"))


def _field(stanza: bytes, name: str) -> str:
    found = re.search(rf"(?m)^{name}:(.*)$".encode(), stanza)
    return found[1].decode().strip() if found else ""


def _fields(stanza: bytes) -> list[bytes]:
    """Return the fields of a stanza, sorted."""
    return sorted(re.split(rb"\n(?![ \t])", stanza))
