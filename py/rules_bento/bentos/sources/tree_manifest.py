"""Lists the files in a Bento's directory tree, and computes the identity and the version of the Bento."""

from __future__ import annotations

import errno
import json
import os
import stat
from itertools import pairwise
from json.encoder import encode_basestring
from operator import attrgetter

from rules_bento.base.dataclasses_lite import dataclass, field, replace
from rules_bento.base.errors import BentoError
from rules_bento.base.tree_walk import open_below
from rules_bento.base.typing_lite import Any, BinaryIO, Iterable

_REGULAR = 0o644
_EXECUTABLE = 0o755
_LINK = 0o777

# First bytes of ELF, Mach-O, and fat Mach-O files.
_MACHINE_CODE = (
    *(b"\x7fELF", b"\xca\xfe\xba\xbe"),
    *(b"\xce\xfa\xed\xfe", b"\xcf\xfa\xed\xfe", b"\xfe\xed\xfa\xce", b"\xfe\xed\xfa\xcf"),
)
_PIECE = 4 << 20  # bytes per read, hashed on all cores


@dataclass(frozen=True)
class TreeEntry:
    """A file or a symbolic link in a tree. Exactly one of ``blake3`` and ``link`` is set."""

    path: str  # POSIX, relative to the tree
    size: int  # bytes; 0 for a link
    mode: int  # permission bits: 0o644 or 0o755; 0o777 for a link
    blake3: str | None  # of the content, 64 hexadecimal digits
    link: str | None = None  # the target as it is stored
    machine: str = field(default="", compare=False)  # Go's name of the architecture; not part of the identity

    @staticmethod
    def of_bytes(path: str, content: bytes) -> TreeEntry:
        """Return the entry of a file that contains ``content``."""
        from blake3 import blake3

        return TreeEntry(path, len(content), mode_of(content), blake3(content).hexdigest())

    @staticmethod
    def of_link(path: str, target: str) -> TreeEntry:
        """Return the entry of a symbolic link to ``target``."""
        return TreeEntry(path, 0, _LINK, None, target)

    @staticmethod
    def of_file(path: str, source: str, origin: str, below: str = "") -> TreeEntry:
        """Return the entry of the file at ``source``. Raises the same errors as `read_entry`."""
        return read_entry(path, source, origin, below)[0]


@dataclass(frozen=True)
class TreeManifest:
    """The entries of a tree, sorted by the UTF-8 bytes of their paths."""

    entries: tuple[TreeEntry, ...]

    @staticmethod
    def of(entries: Iterable[TreeEntry]) -> TreeManifest:
        """Sort `entries`, and return a manifest. Raises BentoError if two entries have the same path."""
        # Code points and their UTF-8 bytes sort alike.
        ordered = sorted(entries, key=attrgetter("path"))
        for one, other in pairwise(ordered):
            if one.path == other.path:
                raise BentoError(f"two files have the path {one.path}", remedy="Remove or exclude one of the files.")
        return TreeManifest(tuple(ordered))

    @staticmethod
    def from_json(text: str, origin: str) -> TreeManifest:
        """Parse JSON that `to_json` returned. Raises BentoError for invalid JSON. Messages begin with ``origin``."""
        try:
            return TreeManifest.of(_from_object(item) for item in json.loads(text))
        except (ValueError, TypeError, KeyError) as error:
            raise BentoError(f"invalid manifest ({error})", place=origin, remedy="Build the target again.") from None

    def to_json(self) -> str:
        """Return a JSON array with one entry per line. Equal manifests have equal JSON."""
        lines = ",\n".join([_to_json(entry) for entry in self.entries])
        return f"[\n{lines}\n]\n" if lines else "[]\n"

    def under(self, directory: str) -> TreeManifest:
        """Return a manifest with ``directory``, such as ``src``, prepended to each path."""
        return TreeManifest(tuple([replace(entry, path=f"{directory}/{entry.path}") for entry in self.entries]))

    def identity(self) -> bytes:
        """Return the BLAKE3 digest (32 bytes) of the paths, executable bits, link targets, and contents.

        The hashed strings are "bento-tree-1" and, for each entry: the kind ("f" for a file, "x" for an executable file,
        or "l" for a link), the path, and the digest of the content (hexadecimal) or the link target. A NUL terminates
        each string. Raises BentoError for a path with a NUL.
        """
        from blake3 import blake3

        fields = ["bento-tree-1"]
        for entry in self.entries:
            if entry.blake3 is None:
                fields += ("l", entry.path, entry.link or "")
            else:
                fields += ("x" if entry.mode & 0o100 else "f", entry.path, entry.blake3)
        for path in (text for text in fields if "\0" in text):
            remedy = "Remove the character from the path."
            raise BentoError("the path contains a NUL character", place=repr(path), remedy=remedy)
        return blake3("\0".join([*fields, ""]).encode()).digest()


def read_entry(path: str, source: str, origin: str, below: str = "") -> tuple[TreeEntry, bytes, os.stat_result]:
    """Return the entry of the file at ``source`` (see `open_below`), its first `_PIECE` bytes, and its status before.

    Error messages contain ``origin``. Raises BentoError for a special or unreadable file.
    """
    try:
        file = open_below(source, below)
        try:
            return _of_open_file(path, file, origin)
        finally:
            os.close(file)
    except OSError as error:
        problem = f"{path} (from {origin}) can't be read at {source}: {error.strerror}"
        raise BentoError(problem, remedy="Check the file's permissions.") from None


def content_version(digest: bytes) -> str:
    """Return a version in BentoML's format: the first 160 bits of ``digest`` in lowercase base32 (RFC 4648)."""
    from base64 import b32encode

    return b32encode(digest[:20]).decode().lower()


def open_source(path: str) -> BinaryIO:
    """Open a regular file. Raises OSError, without blocking, for a pipe, a device, or a directory."""
    file = open_below(path, "")
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise OSError(errno.EINVAL, "not a regular file")
    return open(file, "rb")  # noqa: PTH123 - the caller closes it


def _to_json(entry: TreeEntry) -> str:
    # Formatted directly, because an encoder is slow for many small objects.
    path = encode_basestring(entry.path)
    if entry.blake3 is None:
        return f'{{"path":{path},"link":{encode_basestring(entry.link or "")}}}'
    machine = f',"machine":{encode_basestring(entry.machine)}' if entry.machine else ""
    return f'{{"path":{path},"size":{entry.size},"mode":"{entry.mode:04o}","blake3":"{entry.blake3}"{machine}}}'


def _from_object(item: dict[str, Any]) -> TreeEntry:
    if "link" in item:
        return TreeEntry.of_link(item["path"], item["link"])
    return TreeEntry(item["path"], item["size"], int(item["mode"], 8), item["blake3"], None, item.get("machine", ""))


def mode_of(beginning: bytes) -> int:
    """Return the permission bits for a file that starts with ``beginning``.

    The bits of the file system aren't reliable: Bazel sets 0555 for every output, remote execution can set 0555 for all
    inputs, git stores only one bit, and a umask removes bits. Therefore, only ELF files and scripts with a shebang
    become executable. BentoML ignores the permission bits when it imports a Bento.
    """
    return _EXECUTABLE if beginning.startswith((b"#!", b"\x7fELF")) else _REGULAR


def _of_open_file(path: str, file: int, origin: str) -> tuple[TreeEntry, bytes, os.stat_result]:
    status = os.fstat(file)
    if not stat.S_ISREG(status.st_mode):
        kind = "a directory" if stat.S_ISDIR(status.st_mode) else "a special file"
        raise BentoError(f"{path} (from {origin}) is {kind}, not a regular file", remedy=f"Replace or exclude {path}.")
    size, beginning, digest = hash_open_file(file, status.st_size)
    if size != status.st_size:
        raise BentoError(f"{path} (from {origin}) changed during the build", remedy="Run the build again.")
    return TreeEntry(path, size, mode_of(beginning), digest, None, _machine(beginning)), beginning, status


def _machine(beginning: bytes) -> str:
    """Return the machine type of a file, or "" if the file doesn't contain machine code for a known machine type."""
    if not beginning.startswith(_MACHINE_CODE):
        return ""
    from rules_bento.bentos.sources.cpu_arch import HEAD, machine_of

    return machine_of(beginning[:HEAD])


def hash_open_file(file: int, expected_size: int) -> tuple[int, bytes, str]:
    """Return the size, the first `_PIECE` bytes, and the hexadecimal BLAKE3 digest of an open file.

    Hashes on all cores.
    """
    from blake3 import blake3

    if expected_size < _PIECE:
        content = os.read(file, expected_size + 1)
        return len(content), content, blake3(content).hexdigest()
    # A mapped file would count as used memory.
    hasher = blake3(max_threads=blake3.AUTO)  # the digest does not depend on the number of threads
    buffer = bytearray(_PIECE)
    size, beginning = 0, b""
    while read := os.readv(file, [buffer]):
        hasher.update(memoryview(buffer)[:read])
        beginning = beginning or bytes(buffer[:read])
        size += read
    return size, beginning, hasher.hexdigest()
