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
from collections import deque
from itertools import islice

from rules_bento.base.archives import compressors
from rules_bento.base.dataclasses_lite import NamedTuple
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, BinaryIO, Callable, Iterable, Iterator, Sequence, TypeVar

if TYPE_CHECKING:
    from collections.abc import Generator
    from concurrent.futures import Future, ThreadPoolExecutor

# Bytes of input in a block, measured with bench/archive.py. Larger blocks compress a few percent better, but need more
# memory and cache, and blur the choice between storing and compressing.
BLOCK = 1 << 20
_PRESET = 1  # for sources and pickled trees, 6 needs 5 to 10 times as long, and saves a tenth
_SAMPLES, _SAMPLE = 4, 4096
_WORTH = 0.75  # text and code are below 0.6, weights at least 0.8
_GLANCE = 1024  # bytes of each sample
_LEVEL = 9  # only this level of zlib-ng finds repetitions of 3 bytes, which machine code has
_HOPELESS = 0.95  # compressed, encrypted, and random data doesn't get smaller
_CHUNK = 1 << 16
_AHEAD = 8  # items that each thread of `read_ahead` keeps in memory
_FLAGS = b"\x00\x01"  # the check is CRC32
_FOOTER, _FOOTER_MAGIC = 12, b"YZ"
_LZMA2 = 0x21
_BOTH_SIZES = 0xC0
_MAX_THREADS = 8  # about 12 MB each: the encoder's tables, and the blocks that wait on both sides

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


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
    for encoded, record in ordered_map(block, split(data), threads):
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


def split(data: Iterable[bytes | memoryview], size: int = BLOCK) -> Iterator[bytes]:
    """Yield the data in blocks of `size` bytes. The last block can be shorter."""
    splitter = Splitter(size)
    for piece in data:
        yield from splitter.add(piece)
    yield from splitter.finish()


class Splitter:
    """Splits data that arrives in pieces into blocks of `size` bytes.

    >>> splitter = Splitter(2)
    >>> [*splitter.add(b"abcde"), *splitter.finish()]
    [b'ab', b'cd', b'e']
    """

    def __init__(self, size: int) -> None:
        self._size = self._missing = size
        self._waiting: list[memoryview] = []

    def add(self, piece: bytes | memoryview) -> Iterator[bytes]:
        """Add a piece, and yield the blocks that are now complete."""
        if len(piece) == self._missing == self._size and isinstance(piece, bytes):
            yield piece  # without a copy
            return
        rest = memoryview(piece)
        while len(rest) >= self._missing:
            yield b"".join((*self._waiting, rest[: self._missing]))
            self._waiting.clear()
            rest = rest[self._missing :]
            self._missing = self._size
        if rest:
            self._waiting.append(rest)
            self._missing -= len(rest)

    def finish(self) -> Iterator[bytes]:
        """Yield the last block, which can be shorter, unless it is empty."""
        if self._waiting:
            yield b"".join(self._waiting)


def ordered_map(
    function: Callable[[_Item], _Result], items: Iterable[_Item], threads: int | None = None
) -> Iterator[_Result]:
    """Apply `function` to items in threads, and yield the results in order. Keeps only a few items in memory."""
    pool = OrderedPool(function, threads)
    try:
        for item in items:
            yield from pool.add(item)
        yield from pool.finish()
    finally:
        pool.close()


class OrderedPool:
    """Applies a function to items in threads. The results have the order of the items.

    >>> pool = OrderedPool(len)
    >>> [*pool.add("a"), *pool.add("bcd"), *pool.finish()]
    [1, 3]
    """

    def __init__(self, function: Callable[[Any], Any], threads: int | None = None) -> None:
        self._function = function
        self._threads = threads or default_threads()
        self._first: list[Any] = []  # the only item so far, which needs no thread
        self._pending: deque[Future[Any]] = deque()
        self._executor: ThreadPoolExecutor | None = None

    def add(self, item: Any) -> Iterator[Any]:
        """Add an item, and yield the results that don't have to wait."""
        if self._threads == 1:
            yield self._function(item)
        elif not self._executor and not self._first:
            self._first.append(item)
        else:
            for each in (*self._first, item):
                self._pending.append(self._submit(each))
            self._first.clear()
            while len(self._pending) > self._threads:
                yield self._pending.popleft().result()

    def finish(self) -> Iterator[Any]:
        """Yield the remaining results."""
        yield from map(self._function, self._first)
        while self._pending:
            yield self._pending.popleft().result()
        self.close()

    def close(self) -> None:
        """End the threads, and drop items that no thread has begun."""
        if self._executor:
            self._executor.shutdown(cancel_futures=True)

    def _submit(self, item: Any) -> Future[Any]:
        if not self._executor:
            from concurrent.futures import ThreadPoolExecutor  # lazily: the import costs more than a small part

            self._executor = ThreadPoolExecutor(self._threads)
        return self._executor.submit(self._function, item)


def read_ahead(sources: Iterable[Iterable[_Item]], threads: int | None = None) -> Generator[Iterator[_Item]]:
    """For each source, yield an iterator over its items. Exhaust each iterator before the next iteration.

    Unless `threads` is 1, a thread for the current source and a thread for the next source compute items ahead. Each
    thread keeps only a few items in memory.
    """
    if (threads or _usable_cores()) == 1:
        yield from map(iter, sources)
        return
    running: deque[_ReadAhead] = deque()
    try:
        for source in sources:
            running.append(_ReadAhead(source))
            if len(running) > 1:
                yield running[0].items()
                running.popleft().close()
        while running:
            yield running[0].items()
            running.popleft().close()
    finally:
        for reader in running:
            reader.close()


class _ReadAhead:
    """Computes the items of a source in a thread. Queues are faster than a future for each item."""

    def __init__(self, source: Iterable[Any]) -> None:
        from queue import SimpleQueue
        from threading import Thread

        self._source = source
        self._permits: SimpleQueue[bool] = SimpleQueue()
        self._results: SimpleQueue[tuple[bool, Any]] = SimpleQueue()  # an item, or the error or None
        self._is_closed = False
        for _ in range(_AHEAD - 1):
            self._permits.put(True)
        self._thread = Thread(target=self._compute, daemon=True)
        self._thread.start()

    def items(self) -> Iterator[Any]:
        """Yield the items. Raises the error of the source."""
        while (result := self._results.get())[0]:
            self._permits.put(True)
            yield result[1]
        if result[1]:
            raise result[1]

    def close(self) -> None:
        """End the thread."""
        self._is_closed = True
        self._permits.put(True)
        self._thread.join()

    def _compute(self) -> None:
        end = None
        try:
            for item in self._source:
                self._results.put((True, item))
                self._permits.get()
                if self._is_closed:
                    return
        except BaseException as error:
            end = error
        self._results.put((False, end))


def compressible(block: bytes) -> bool:
    """Return whether a block is worth compressing. Small blocks are always worth compressing.

    A compressor must shrink a sample of a larger block by at least a quarter. Text and code shrink enough, but
    weights don't: 32-bit floats shrink by only 7 percent, and 16-bit floats by 8 to 25 percent.
    """
    if len(block) <= _SAMPLES * _SAMPLE:
        return True
    step = (len(block) - _SAMPLE) // (_SAMPLES - 1)

    def share(size: int) -> float:
        """Return the ratio of compressed size to original size for the first `size` bytes of each sampled piece."""
        sample = b"".join([block[start : start + size] for start in range(0, _SAMPLES * step, step)])
        return len(compressors.zlib_ng().compress(sample, _LEVEL)) / len(sample)

    return share(_GLANCE) <= _HOPELESS and share(_SAMPLE) <= _WORTH


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


def default_threads() -> int:
    """Return the number of threads of `ordered_map` for this machine."""
    return min(_usable_cores(), _MAX_THREADS)


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
