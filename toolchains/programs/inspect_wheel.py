"""Prints the size of a wheel in bytes and, on a second line, its Requires-Python if that excludes a Python version.

    inspect_wheel.py WHEEL SHA256 PYTHON_VERSION DIRECTORY...

The program stores the hash (hexadecimal), which Bazel has verified, in an extended attribute of the file if the file
system supports this, so that Bazel doesn't read the wheel again (docs/ci.md).

Package hubs run the program once for each fetched wheel. Therefore, it reads the central directory and METADATA without
`zipfile`, `re`, and `json`, whose imports would double the startup time of the interpreter. The installation of the
wheel verifies the central directory. The program imports modules in the directories only for a Requires-Python with
other operators than `>=` and `<`.
"""

from __future__ import annotations

import sys
import zlib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import BinaryIO

_ZIP64 = 0xFFFFFFFF  # value of a field whose number is in an extra field or record
_STORED, _DEFLATED = 0, 8
_MAX_END = 22 + 0xFFFF  # bytes, with a comment
_MAX_METADATA = 1 << 20  # bytes of METADATA, which begins with its header
_MAX_VERSION = 64  # characters of a version to compare
_FIELD = "requires-python:"
_DIGEST_ATTRIBUTE = "user.rules_bento.sha256"  # as in layers


def main(path: str, sha256: str, version: str, *import_path: str) -> None:
    """Print the size of a wheel, and an unsuitable Requires-Python. Exits with a message for an invalid wheel."""
    with open(path, "rb") as file:  # noqa: PTH123 - importing pathlib would double the time of the program
        size = file.seek(0, 2)
        try:
            metadata = _metadata(file, size)
        except (IndexError, UnicodeDecodeError, ValueError, zlib.error) as error:
            sys.exit(f"the zip archive is damaged ({error})")
    _mark(path, bytes.fromhex(sha256))
    required = _requires_python(metadata.decode("utf-8", "replace"))
    sys.stdout.write(f"{size}\n{'' if _includes(required, version, import_path) else required}\n")


def _mark(path: str, digest: bytes) -> None:
    """Set the extended attribute, unless it is already set, because cached files can be hard links."""
    if sys.platform != "linux":
        return
    import posix  # faster than `os`, which isn't imported without `site`

    try:
        marked = posix.getxattr(path, _DIGEST_ATTRIBUTE)
    except OSError:
        marked = b""
    if marked != digest:
        try:  # noqa: SIM105 - importing contextlib would be slower than the rest
            posix.setxattr(path, _DIGEST_ATTRIBUTE, digest)
        except OSError:
            pass


def _requires_python(metadata: str) -> str:
    """Return the value of Requires-Python in METADATA, or an empty string."""
    for line in metadata.splitlines():
        if not line:
            break
        if line.lower().startswith(_FIELD):
            return line[len(_FIELD) :].strip()
    return ""


def _includes(required: str, version: str, import_path: Sequence[str]) -> bool:
    """Return whether a Requires-Python includes a Python version or, for `X.Y`, any of its patch versions."""
    numbers = [int(number) for number in version.split(".")]
    for clause in required.split(",") if required else ():
        is_lower = clause.strip().startswith(">=")
        bound = clause.strip().removeprefix(">=" if is_lower else "<").strip()
        if len(bound) > _MAX_VERSION or not all(number.isdecimal() for number in bound.split(".")):
            sys.path += import_path
            from rules_bento.bentos.packages.platforms import includes_python

            return includes_python(required, version)
        limit = [int(number) for number in bound.split(".")]
        if [*numbers, 99][:3] < limit if is_lower else [*numbers, 0][:3] >= limit:
            return False
    return True


def _metadata(file: BinaryIO, size: int) -> bytes:
    """Return the beginning of METADATA, or b"" if the wheel doesn't contain it. `size` is the size of the file."""
    directory = _directory(file, size)
    at = 0
    while directory.startswith(b"PK\1\2", at):
        method = _number(directory, at + 10, 2)
        name_at = at + 46
        extra_at = name_at + _number(directory, at + 28, 2)
        comment_at = extra_at + _number(directory, at + 30, 2)
        name = directory[name_at:extra_at]
        if name.endswith(b".dist-info/METADATA") and name.count(b"/") == 1:
            fields = [_number(directory, at + offset, 4) for offset in (24, 20, 42)]  # size, packed size, offset
            _, packed_size, offset = _resolve_zip64(fields, directory[extra_at:comment_at])
            return _contents(file, offset, packed_size, method)
        at = comment_at + _number(directory, at + 32, 2)
    if at < len(directory):
        raise ValueError("invalid central directory")
    return b""


def _directory(file: BinaryIO, size: int) -> bytes:
    """Return the central directory of a zip file. `size` is the size of the file. Raises ValueError if invalid."""
    tail_at = max(0, size - _MAX_END)
    file.seek(tail_at)
    tail = file.read()
    end = tail.rfind(b"PK\5\6")
    if end < 0:
        raise ValueError("the end of the central directory is missing")
    length, start = _number(tail, end + 12, 4), _number(tail, end + 16, 4)
    if _ZIP64 in (length, start):
        file.seek(tail_at + end - 20)
        record_at = _number(file.read(20), 8, 8)
        file.seek(record_at)
        record = file.read(56)
        length, start = _number(record, 40, 8), _number(record, 48, 8)
    if start + length > size:
        raise ValueError("invalid central directory")
    file.seek(start)
    return file.read(length)


def _resolve_zip64(fields: list[int], extra: bytes) -> list[int]:
    """Return `fields` with the values from the ZIP64 extra field in place of values that were too large."""
    at = 0
    while at < len(extra):
        kind, length = _number(extra, at, 2), _number(extra, at + 2, 2)
        if kind == 1:
            offsets = iter(range(at + 4, at + 4 + length, 8))
            return [_number(extra, next(offsets), 8) if value == _ZIP64 else value for value in fields]
        at += 4 + length
    return fields


def _contents(file: BinaryIO, offset: int, packed_size: int, method: int) -> bytes:
    """Return the beginning of the decompressed contents of the member at `offset`."""
    file.seek(offset)
    local = file.read(30)
    file.seek(offset + 30 + _number(local, 26, 2) + _number(local, 28, 2))
    packed = file.read(min(packed_size, _MAX_METADATA))
    if method == _DEFLATED:
        return zlib.decompressobj(-15).decompress(packed, _MAX_METADATA)
    if method != _STORED:
        raise ValueError("METADATA uses an unsupported compression method")
    return packed


def _number(data: bytes, at: int, size: int) -> int:
    """Return the unsigned little-endian number at offset `at`. Raises ValueError if bytes are missing."""
    field = data[at : at + size]
    if len(field) != size:
        raise ValueError("truncated")
    return int.from_bytes(field, "little")


if __name__ == "__main__":
    main(*sys.argv[1:])
