"""Writes xz streams whose blocks are either stored or compressed, depending on the content.

liblzma needs minutes to encode a model, because liblzma tries to compress incompressible weights. This module splits
the input into blocks of `BLOCK` bytes. A block is either stored as LZMA2 *uncompressed* chunks, at memory speed, or
compressed with liblzma's raw LZMA2 encoder. The module writes the smaller result. A sample determines whether to try
the encoder. The blocks are independent, so threads can encode blocks in parallel. The bytes of a block depend neither
on the number of threads nor on the block's position. Therefore, a program can join streams by copying blocks (see
`read_index` and `tail`). A joined file has one stream, because some readers, such as Python's
`tarfile.open(mode="r|xz")`, ignore all streams after the first.

The format is "The .xz File Format", version 1.2.0. liblzma's `lzma2_decoder.c` describes the chunks of LZMA2. Every
block header contains both sizes of the block, so a multithreaded `xz` decodes on all cores. The check is CRC32. The
bytes of a compressed block depend on the version of liblzma, which Python's `lzma` loads. A Bento's identity is a
digest of uncompressed content, and doesn't depend on this version.
"""

from __future__ import annotations

import os
import struct
import zlib
from itertools import islice

from rules_bento.base.archives.compressors import compressible
from rules_bento.base.archives.streams import split
from rules_bento.base.dataclasses_lite import NamedTuple
from rules_bento.base.threads import ordered_map
from rules_bento.base.typing_lite import BinaryIO, Iterable, Iterator, Sequence

# Bytes of input in a block, measured with bench/archive.py. Larger blocks compress a few percent better, but need more
# memory and cache, and blur the choice between storing and compressing.
BLOCK = 1 << 20
_PRESET = 1  # for sources and pickled trees, 6 needs 5 to 10 times as long, and saves a tenth
_CHUNK = 1 << 16
_FLAGS = b"\x00\x01"  # the check is CRC32
_FOOTER, _FOOTER_MAGIC = 12, b"YZ"
_LZMA2 = 0x21
_BOTH_SIZES = 0xC0


def _crc32(data: bytes) -> bytes:
    return struct.pack("<I", zlib.crc32(data))


HEAD = b"\xfd7zXZ\0" + _FLAGS + _crc32(_FLAGS)  # the header of every stream


class Record(NamedTuple):
    """An index record with the sizes of one block: the encoded size without padding, and the uncompressed size."""

    unpadded_size: int
    size: int


def stream(data: Iterable[bytes], threads: int | None = None) -> Iterator[bytes]:
    """Yield `data` as an xz stream in pieces. By default, `threads` is the number of usable cores, at most eight."""
    return map(b"".join, buffers(data, threads))


def buffers(data: Iterable[bytes], threads: int | None = None) -> Iterator[Sequence[bytes | memoryview]]:
    """Yield the pieces of `stream` as lists of buffers, which refer to stored data without copying the data."""
    records = []
    yield [HEAD]
    for encoded, record in ordered_map(block, split(data, BLOCK), threads):
        records.append(record)
        yield encoded
    yield [tail(records)]


def block(data: bytes) -> tuple[list[bytes | memoryview], Record]:
    """Encode 1 to `BLOCK` bytes as a block. Returns the buffers of the block and its index record."""
    dictionary = max(12, (len(data) - 1).bit_length())  # the header has an exponent: the powers of two from 4 KiB on
    chunks = _store(data)
    size = sum(map(len, chunks))
    if compressible(data):
        compressed = _compress(data, dictionary)
        if len(compressed) < size:
            chunks, size = [compressed], len(compressed)
    header = _block_header(size, len(data), dictionary)
    check = _crc32(data)
    record = Record(len(header) + size + len(check), len(data))
    return [header, *chunks, bytes(-size % 4), check], record


def tail(records: Sequence[Record]) -> bytes:
    """Return the end of a stream: the index of all blocks, and the footer."""
    index = b"\0" + _integer(len(records))
    index += b"".join(_integer(record.unpadded_size) + _integer(record.size) for record in records)
    index += bytes(-len(index) % 4)
    index += _crc32(index)
    footer = struct.pack("<I", len(index) // 4 - 1) + _FLAGS
    return index + _crc32(footer) + footer + _FOOTER_MAGIC


def read_index(file: BinaryIO) -> tuple[int, list[Record]]:
    """Return the total encoded size and the index records of all blocks. Seeks to the first block.

    Raises ValueError if the file isn't one xz stream with a valid index.
    """
    end = file.seek(0, os.SEEK_END) - _FOOTER
    if end < len(HEAD):
        raise ValueError("the file is too short for an xz stream")
    file.seek(end)
    footer = file.read(_FOOTER)
    if footer != _crc32(footer[4:10]) + footer[4:8] + _FLAGS + _FOOTER_MAGIC:
        raise ValueError("the xz footer is invalid")
    size = (int.from_bytes(footer[4:8], "little") + 1) * 4
    file.seek(max(0, end - size))
    records = _records(file.read(size))
    file.seek(0)
    blocks = sum(record.unpadded_size + -record.unpadded_size % 4 for record in records)
    if file.read(len(HEAD)) != HEAD or len(HEAD) + blocks + size != end:
        raise ValueError("expected exactly one xz stream")
    return blocks, records


def _records(index: bytes) -> list[Record]:
    if _crc32(index[:-4]) != index[-4:]:
        raise ValueError("the xz index is damaged")
    numbers = _integers(index[1:-4])
    count = next(numbers, 0)
    return list(islice(map(Record, numbers, numbers), count))


def _block_header(size: int, uncompressed_size: int, dictionary: int) -> bytes:
    """Return the header of an LZMA2 block. The dictionary has `2**dictionary` bytes."""
    fields = bytes((_BOTH_SIZES,)) + _integer(size) + _integer(uncompressed_size)
    fields += bytes((_LZMA2, 1, 2 * (dictionary - 12)))
    length = len(fields) + 1 + 4
    length += -length % 4
    header = bytes((length // 4 - 1,)) + fields
    header += bytes(length - 4 - len(header))
    return header + _crc32(header)


def _compress(block: bytes, dictionary: int) -> bytes:
    import lzma

    lzma2 = {"id": lzma.FILTER_LZMA2, "preset": _PRESET, "dict_size": 1 << dictionary}
    return lzma.compress(block, format=lzma.FORMAT_RAW, filters=[lzma2])


def _store(block: bytes) -> list[bytes | memoryview]:
    """Return `block` as uncompressed LZMA2 chunks and an end marker."""
    view = memoryview(block)
    chunks: list[bytes | memoryview] = []
    for start in range(0, len(block), _CHUNK):
        chunk = view[start : start + _CHUNK]
        # A control byte (1 for the first chunk, otherwise 2), and the size of the chunk - 1.
        chunks += [struct.pack(">BH", 2 if start else 1, len(chunk) - 1), chunk]
    return [*chunks, b"\0"]


def _integer(value: int) -> bytes:
    """Encode a number in groups of seven bits, lowest first. A set high bit indicates that another group follows."""
    groups = bytearray()
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    groups.append(value)
    return bytes(groups)


def _integers(groups: bytes) -> Iterator[int]:
    value = shift = 0
    for group in groups:
        value |= (group & 0x7F) << shift
        shift += 7
        if group < 0x80:
            yield value
            value = shift = 0
