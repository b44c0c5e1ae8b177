"""Adds libraries to ld.so.cache, which `ldconfig` writes: `ctypes.util.find_library` finds libraries only there.

Source: struct cache_file_new in sysdeps/generic/dl-cache.h of glibc, format 1.1, of little-endian machines.
"""

from __future__ import annotations

import re
import struct
from posixpath import dirname

from rules_bento.base.typing_lite import TYPE_CHECKING

if TYPE_CHECKING:
    from rules_bento.images.debian.deb_rootfs import Rootfs

PATH = "etc/ld.so.cache"
_MAGIC = b"glibc-ld.so.cache1.1"
_HEADER = struct.Struct("<20sIIB3xI12x")  # magic, entries, bytes of strings, little endian, offset of extensions
_ENTRY = struct.Struct("<iIIIQ")  # flags, offsets of name and path, version of the system, processor
_LITTLE_ENDIAN = 2
_FLAGS = {"amd64": 0x303, "arm64": 0xA03}  # FLAG_ELF_LIBC6, and FLAG_X8664_LIB64 or FLAG_AARCH64_LIB64
_TRIPLETS = {"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}
_LIBRARY = re.compile(r"lib[^/]*\.so[^/]*")


def updated(cache: bytes, root: Rootfs, architecture: str) -> bytes:
    """Return a cache with the libraries of the top layer in the linker's default directories.

    Omits entries for some processors only, for which the linker then takes the library for all.
    """
    flags = _FLAGS[architecture]
    places = [f"usr/lib/{_TRIPLETS[architecture]}", "usr/lib", "usr/local/lib"]
    entries = dict(_read(cache, flags))
    for path, elf in root.linked.items():
        name = elf.soname or path.rpartition("/")[2]
        if dirname(path) in places and elf.machine == architecture and _LIBRARY.fullmatch(name):
            link = f"{dirname(path)}/{name}"
            entries[name] = _linked(link if root.has(link) else path)
    for path in sorted(root.links):  # of alternatives
        name, of_link = path.rpartition("/")[2], root.linked.get(root.resolve(path))
        if dirname(path) in places and of_link and of_link.soname == name:
            entries.setdefault(name, _linked(path))
    ordered = sorted(entries.items(), key=lambda entry: _order(entry[0]), reverse=True)
    start = _HEADER.size + _ENTRY.size * len(ordered)
    table, strings = b"", b""
    for texts in ordered:
        offsets = []
        for text in texts:
            offsets.append(start + len(strings))
            strings += text.encode() + b"\0"
        table += _ENTRY.pack(flags, *offsets, 0, 0)
    return _HEADER.pack(_MAGIC, len(ordered), len(strings), _LITTLE_ENDIAN, 0) + table + strings


def _linked(path: str) -> str:
    """Return the path of a library as in a cache: of the link /lib instead of /usr/lib."""
    return f"/{path.removeprefix('usr/') if path.startswith('usr/lib/') else path}"


def _read(cache: bytes, flags: int) -> list[tuple[str, str]]:
    """Return the names and paths of a cache, or nothing for another format."""
    if len(cache) < _HEADER.size or not cache.startswith(_MAGIC):
        return []
    found = []
    count = min(_HEADER.unpack_from(cache)[1], (len(cache) - _HEADER.size) // _ENTRY.size)
    for kind, name, path, _, processor in _ENTRY.iter_unpack(cache[_HEADER.size : _HEADER.size + count * _ENTRY.size]):
        texts = [cache[at : cache.find(b"\0", at)].decode("utf-8", "replace") for at in (name, path)]
        if kind == flags and not processor and all(texts):
            found.append((texts[0], texts[1]))
    return found


def _order(name: str) -> list[tuple[int, int]]:
    """Return a sort key, as `_dl_cache_libcmp` compares: numbers by their value, and after all other characters."""
    return [(1, int(text)) if text.isdigit() else (0, ord(text)) for text in re.findall(r"[0-9]+|[^0-9]", name)]
