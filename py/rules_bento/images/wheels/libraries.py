"""Lists the shared libraries in a wheel, and the libraries that the wheel requires from other packages."""

from __future__ import annotations

import json
import re
from itertools import chain

from rules_bento.base.dataclasses_lite import NamedTuple
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Callable, Iterable, Iterator
from rules_bento.bentos.sources.cpu_arch import HEAD, machine_of
from rules_bento.images.wheels.declared_license import DeclaredLicense
from rules_bento.images.wheels.elf import MAGIC, Elf, SparseFile, read_elf
from rules_bento.images.wheels.gpu_code import GpuCodeScanner
from rules_bento.images.wheels.install import shared_files
from rules_bento.images.wheels.wheel_metadata import normalized

if TYPE_CHECKING:
    from rules_bento.base.archives.zipread import Chunk, ZipMember
    from rules_bento.images.wheels.wheel import Wheel

_LIBRARY = re.compile(r"\.so(?:\.|$)")
# Libraries of every system that runs a compiled Python.
_OF_SYSTEMS = re.compile(r"(?:ld-linux-.*|lib(?:c|dl|gcc_s|m|pthread|rt|stdc\+\+|util))\.so(?:\.\d+)?")
# How Python code names a library that it loads by ctypes or cffi: completely, or as a prefix.
_BEGINNING, _ENDING = re.compile(rb"lib[A-Za-z0-9_+-]+"), re.compile(rb"\.so\b")
_LETTERS = frozenset(b"+-_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
_REQUIRED = re.compile(r"\A\s*([A-Za-z0-9._-]+)(?!.*\bextra\s*==)")  # the name in a Requires-Dist without an extra
_SMALL = 1 << 20  # bytes of a file that is read completely


class Linked(NamedTuple):
    """A dynamically linked file in a wheel."""

    path: str  # in the wheel
    elf: Elf


class Libraries(NamedTuple):
    """The properties of a wheel that the checks and the SBOM of an image use."""

    wheel: str  # the file name
    distribution: str
    linked: tuple[Linked, ...]
    named: frozenset[str] = frozenset()  # words in its Python sources that might be names of libraries
    machines: tuple[tuple[str, str], ...] = ()  # paths and machines of all files with machine code
    optional: frozenset[str] = frozenset()  # paths of files that the package can be imported without
    files: dict[str, str] = {}  # noqa: RUF012 - never changed; see `install.shared_files`
    requires: frozenset[str] = frozenset()  # distributions that it requires without an extra
    license: DeclaredLicense = DeclaredLicense()
    bytecode: int = 0  # see `Wheel`

    @staticmethod
    def read(wheel: Wheel, watched: Watched | None = None) -> Libraries:
        """Analyze the libraries and Python sources of a wheel. Doesn't read files that `watched` already analyzed."""
        seen = watched.files if watched else {}
        candidates = [member for member in wheel.members if _is_candidate(member)]
        others = [member for member in candidates if member.path not in seen]
        openers = zip(others, wheel.unverified(others), strict=True)
        known = seen | {member.path: code(member.size, opener) for member, opener in openers}
        read = {member.path: known[member.path] for member in candidates}
        linked = [Linked(path, elf) for path, (_, elf) in read.items() if elf]
        machines = tuple((path, machine) for path, (machine, _) in read.items() if machine)
        sources = [member for member in wheel.members if member.path.endswith(".py")] if linked else []
        texts = map(_text, wheel.chunks(sources))
        named = frozenset(word.decode() for word in {word for text in texts for word in words(text)})
        requires = frozenset(normalized(name) for text in wheel.metadata.requires for name in _REQUIRED.findall(text))
        libraries = Libraries(
            wheel.name,
            wheel.distribution,
            tuple(linked),
            named,
            machines,
            files=shared_files(wheel),
            requires=requires,
            license=wheel.metadata.license,
            bytecode=wheel.bytecode,
        )
        return libraries._replace(optional=libraries.without(lambda: map(_text, wheel.chunks(sources))))

    @staticmethod
    def loads(text: str) -> Libraries:
        """Parse JSON that `dumps` returned."""
        fields: dict[str, Any] = json.loads(text)
        linked = [
            Linked(path, Elf._make(tuple(field) if isinstance(field, list) else field for field in elf))
            for path, elf in fields["linked"].items()
        ]
        machines = tuple(fields["machines"].items())
        named, optional = frozenset(fields["named"]), frozenset(fields["optional"])
        files, requires = fields["files"], frozenset(fields["requires"])
        expression, license_text, classifiers = fields["license"]
        return Libraries(
            fields["wheel"],
            fields["distribution"],
            tuple(linked),
            named,
            machines,
            optional,
            files,
            requires,
            DeclaredLicense(expression, license_text, tuple(classifiers)),
            fields["bytecode"],
        )

    def dumps(self) -> str:
        """Return the libraries as a JSON object for `loads`."""
        linked = {path: list(elf) for path, elf in self.linked}
        fields: dict[str, Any] = {"wheel": self.wheel, "distribution": self.distribution}
        fields |= {"linked": linked, "named": sorted(self.named), "machines": dict(self.machines)}
        fields |= {"optional": sorted(self.optional), "files": self.files, "requires": sorted(self.requires)}
        fields |= {"license": self.license, "bytecode": self.bytecode}
        return json.dumps(fields, indent=1) + "\n"

    def of_machine(self, machine: str) -> Libraries:
        """Return a copy that contains only linked files for `machine`."""
        return self._replace(linked=tuple(linked for linked in self.linked if linked.elf.machine == machine))

    def names(self) -> set[str]:
        """Return the names by which other files can refer to libraries in the wheel."""
        return {path.rpartition("/")[2] for path, _ in self.linked} | {elf.soname for _, elf in self.linked} - {""}

    def without(self, sources: Callable[[], Iterable[bytes]]) -> frozenset[str]:
        """Return the paths of files that need other packages' libraries, but aren't loaded by importing the package."""
        own = self.names()
        asking = [
            linked
            for linked in self.linked
            if any(name not in own and not _OF_SYSTEMS.fullmatch(name) for name in linked.elf.needed)
        ]
        stems = {linked.path: linked.path.rpartition("/")[2].partition(".")[0] for linked in asking}
        # Top-level extension modules are never optional: other wheels can import them by name, so they always
        # count as loaded.
        modules = {stems[path] for path, elf in asking if "/" in path and stems[path] in elf.modules}
        named = set(stems.values()) & self.named - modules
        if not modules and not named:
            return frozenset()
        from rules_bento.images.wheels.optional_libraries import optional_libraries

        excused = optional_libraries(modules, named, sources)
        return frozenset(path for path, stem in stems.items() if stem in excused)


class Watched:
    """Analyzes a wheel's libraries and executables while another function copies the wheel's contents."""

    def __init__(self, wheel: Wheel) -> None:
        self._wheel = wheel
        self.files: dict[str, tuple[str, Elf | None]] = {}

    def libraries(self) -> Libraries:
        """Return the libraries of the wheel. Call this method after all contents are copied."""
        return Libraries.read(self._wheel, self)

    def watch(self, member: ZipMember, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
        """Yield a member's chunks unchanged. Stores the linking information of libraries and executables in `files`."""
        return self._watching(member, chunks) if _is_candidate(member) else chunks

    def _watching(self, member: ZipMember, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
        begin: list[Chunk] = []
        while sum(len(chunk.data) for chunk in begin) < HEAD and (chunk := next(chunks, None)):
            begin.append(chunk)
        head = b"".join(chunk.data for chunk in begin)
        if len(head) == member.size or not head.startswith(MAGIC):
            self.files[member.path] = code(member.size, lambda: iter(begin))
            yield from chain(begin, chunks)
            return
        openers, scanner = self._wheel.unverified([member]), GpuCodeScanner()
        with SparseFile(member.size, next(openers)) as spread:
            yield from spread.tee(scanner.watch(chain(begin, chunks)), read_elf)
            self.files[member.path] = machine_of(head), read_elf(spread.data, spread.fetch, scanner.within)
        openers.close()


def _is_candidate(member: ZipMember) -> bool:
    return bool(_LIBRARY.search(member.path)) or member.executable


def _text(chunks: Iterator[Chunk]) -> bytes:
    return b"".join(chunk.data for chunk in chunks)


def words(source: bytes) -> Iterator[bytes]:
    """Yield the possible library names in `source`: words that begin with `lib`, and the word before each `.so`."""
    for match in _BEGINNING.finditer(source):
        start = match.start()
        if not start or source[start - 1] not in _LETTERS:
            yield match[0]
    for match in _ENDING.finditer(source):
        end = start = match.start()
        while start and source[start - 1] in _LETTERS:
            start -= 1
        if start < end:
            yield source[start:end]


def code(size: int, read: Callable[[], Iterator[Chunk]]) -> tuple[str, Elf | None]:
    """Return a file's machine type ("" if unknown), and its linking information (None if `read_elf` finds none)."""
    chunks = read()
    head = b""
    while len(head) < HEAD and (chunk := next(chunks, None)):
        head += chunk.data
    machine = machine_of(head)
    if not head.startswith(MAGIC):
        return machine, None
    scanner = GpuCodeScanner()
    if size <= _SMALL:
        data, chunks = b"", scanner.watch(read())
        while len(data) < size and (chunk := next(chunks, None)):
            data += chunk.data
        return machine, read_elf(data, None, scanner.within)
    with SparseFile(size, lambda: scanner.watch(read())) as spread:
        return machine, read_elf(spread.data, spread.fetch, scanner.within)
