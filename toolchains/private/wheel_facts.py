"""Prints what Starlark cannot ask for: the bytes of a wheel, and in a second line its Requires-Python, or nothing.

    wheel_facts.py WHEEL SHA256

The hash, hexadecimal, which Bazel has verified, becomes an attribute of the file where the file system has such: a
Bazel that is told of it (docs/ci.md) need not read the wheel again.

A hub runs it once for each wheel that it fetches, so it reads the zip's directory and METADATA by itself: `zipfile`,
`re` and `json` take twice the time of a bare interpreter to be imported. What the directory says is held against the
rest of the file where the wheel is installed. Stands alone, for repository rules run it.
"""

from __future__ import annotations

import sys
import zlib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO

_IN_64 = 0xFFFFFFFF  # of a field whose value is in an extra field or record
_STORED, _DEFLATED = 0, 8
_LONGEST_END = 22 + 0xFFFF  # bytes, with a comment
_MOST = 1 << 20  # bytes of METADATA that its header is looked for in
_FIELD = "requires-python:"
_DIGEST_ATTRIBUTE = "user.rules_bento.sha256"  # as layers have it


def main(path: str, sha256: str) -> None:
    """Print both. The status is 1, with a message, for a file that is no wheel."""
    with open(path, "rb") as file:  # noqa: PTH123 - pathlib takes as long to be imported as all else here
        size = file.seek(0, 2)
        try:
            metadata = _metadata(file, size)
        except (IndexError, UnicodeDecodeError, ValueError, zlib.error) as error:
            sys.exit(f"its zip is damaged ({error})")
    _mark(path, bytes.fromhex(sha256))
    sys.stdout.write(f"{size}\n{_requires_python(metadata.decode('utf-8', 'replace'))}\n")


def _mark(path: str, digest: bytes) -> None:
    """Give the file the attribute, unless it has it: files of one cache may be one, and are left as they are then."""
    if sys.platform != "linux":
        return
    import posix  # what `os` has of it, which without `site` has yet to be imported

    try:
        marked = posix.getxattr(path, _DIGEST_ATTRIBUTE)
    except OSError:
        marked = b""
    if marked != digest:
        try:  # noqa: SIM105 - contextlib takes longer to be imported than all else here
            posix.setxattr(path, _DIGEST_ATTRIBUTE, digest)
        except OSError:
            pass


def _requires_python(metadata: str) -> str:
    """Return what the header of METADATA says."""
    for line in metadata.splitlines():
        if not line:
            break
        if line.lower().startswith(_FIELD):
            return line[len(_FIELD) :].strip()
    return ""


def _metadata(file: BinaryIO, size: int) -> bytes:
    """Return the begin of METADATA; nothing if there is none."""
    directory = _directory(file, size)
    at = 0
    while directory.startswith(b"PK\1\2", at):
        method = _number(directory, at + 10, 2)
        name_at = at + 46
        extra_at = name_at + _number(directory, at + 28, 2)
        comment_at = extra_at + _number(directory, at + 30, 2)
        name = directory[name_at:extra_at]
        if name.endswith(b".dist-info/METADATA") and name.count(b"/") == 1:
            fields = [_number(directory, at + place, 4) for place in (24, 20, 42)]  # size, packed size, offset
            _, packed_size, offset = _wide(fields, directory[extra_at:comment_at])
            return _contents(file, offset, packed_size, method)
        at = comment_at + _number(directory, at + 32, 2)
    if at < len(directory):
        raise ValueError("directory")
    return b""


def _directory(file: BinaryIO, size: int) -> bytes:
    """Return the central directory."""
    tail_at = max(0, size - _LONGEST_END)
    file.seek(tail_at)
    tail = file.read()
    end = tail.rfind(b"PK\5\6")
    if end < 0:
        raise ValueError("no end of a zip")
    length, start = _number(tail, end + 12, 4), _number(tail, end + 16, 4)
    if _IN_64 in (length, start):
        file.seek(tail_at + end - 20)
        record_at = _number(file.read(20), 8, 8)
        file.seek(record_at)
        record = file.read(56)
        length, start = _number(record, 40, 8), _number(record, 48, 8)
    if start + length > size:
        raise ValueError("directory")
    file.seek(start)
    return file.read(length)


def _wide(fields: list[int], extra: bytes) -> list[int]:
    """Return the fields, with those in their places that were too large for them."""
    at = 0
    while at < len(extra):
        kind, length = _number(extra, at, 2), _number(extra, at + 2, 2)
        if kind == 1:
            places = iter(range(at + 4, at + 4 + length, 8))
            return [_number(extra, next(places), 8) if value == _IN_64 else value for value in fields]
        at += 4 + length
    return fields


def _contents(file: BinaryIO, offset: int, packed_size: int, method: int) -> bytes:
    """Return the begin of what a member holds."""
    file.seek(offset)
    local = file.read(30)
    file.seek(offset + 30 + _number(local, 26, 2) + _number(local, 28, 2))
    packed = file.read(min(packed_size, _MOST))
    if method == _DEFLATED:
        return zlib.decompressobj(-15).decompress(packed, _MOST)
    if method != _STORED:
        raise ValueError("METADATA is neither stored nor deflated")
    return packed


def _number(data: bytes, at: int, size: int) -> int:
    """Return an unsigned number. Raises ValueError where the bytes are not there."""
    field = data[at : at + size]
    if len(field) != size:
        raise ValueError("too short")
    return int.from_bytes(field, "little")


if __name__ == "__main__":
    main(*sys.argv[1:])
