"""Writes libraries with code for GPUs as CUDA's compiler does. The contents of entries are zeros."""

import struct

PTX, MACHINE_CODE, JOINED = 1, 2, 256
ARCHITECTURE_ONLY, FAMILY_ONLY = 1 << 20, 1 << 21


def header(kind: int, architecture: int, flags: int = 0, size: int = 0, length: int = 64) -> bytes:
    """Return the header of an entry with contents of `size` bytes."""
    fields = (kind, 0x101, length, size, size, 64, 8, 1, architecture, 0, 0, 0x8011 | flags, 0, 5 * size)
    return struct.pack("<HHIQIIHHIIIQQQ", *fields)


def entry(kind: int, architecture: int, flags: int = 0, size: int = 88, more: bytes = b"") -> bytes:
    """Return an entry whose header has `more` bytes."""
    return header(kind, architecture, flags, size, 64 + len(more)) + more + bytes(size)


def joined(*headers: bytes, size: int = 1176) -> bytes:
    """Return an entry whose contents are compressed together."""
    return entry(JOINED, 0, 0, size, struct.pack("<II", len(headers), 8 + 64 * len(headers)) + b"".join(headers))


def container(*entries: bytes) -> bytes:
    """Return a container with entries."""
    contents = b"".join(entries)
    return struct.pack("<IHHQ", 0xBA55ED50, 1, 16, len(contents)) + contents


def library(
    code: bytes, *, section: bytes = b".nv_fatbin", before: bytes = b"", after: bytes = b"", linked: bool = True
) -> bytes:
    """Return a shared library with GPU code in a section between other bytes, and a table of sections at the end."""
    names = b"\0.text\0" + section + b"\0.shstrtab\0"
    strings = b"\0libcudart.so.13\0PyInit__gpu\0"
    dynamic = b"".join(struct.pack("<QQ", *each) for each in ((5, 0x200), (10, len(strings)), (1, 1), (0, 0)))
    body = bytearray(0x400)
    body[0x200 : 0x200 + len(strings)] = strings
    body[0x300 : 0x300 + len(dynamic)] = dynamic
    body += before + bytes(-len(before) % 8)
    code_at = len(body)
    body += code + after
    names_at = len(body)
    body += names + bytes(-(len(body) + len(names)) % 8)
    places = [(0, 0, 0), (1, 0x400, code_at - 0x400), (7, code_at, len(code))]
    places += [(names.index(b".shstrtab"), names_at, len(names))]
    sections = b"".join(struct.pack("<IIQQQQIIQQ", name, 1, 2, at, at, size, 0, 0, 8, 0) for name, at, size in places)
    fields = (b"\x7fELF\2\1\1", 3, 62, 1, 0, 64, len(body), 0, 64, 56, 2, 64, len(places), len(places) - 1)
    head = struct.pack("<16sHHIQQQIHHHHHH", *fields)
    head += struct.pack("<IIQQQQQQ", 1, 5, 0, 0, 0, 0x400, 0x400, 0x1000)
    head += struct.pack("<IIQQQQQQ", 2 if linked else 0, 6, 0x300, 0x300, 0x300, len(dynamic), len(dynamic), 8)
    body[: len(head)] = head
    return bytes(body) + sections
