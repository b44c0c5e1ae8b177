"""Decodes compressed streams completely, in pieces of limited size.

Python's readers stop at the end of the requested data. Therefore, readers don't detect a wrong checksum, a truncated
stream, or trailing data. This module reads each stream to the end of the file, and reports these errors.
"""

from __future__ import annotations

from rules_bento.base.errors import BentoError
from rules_bento.base.typing_lite import Any, BinaryIO, Callable, Iterable, Iterator

PIECE = 1 << 20  # the maximum bytes of a decoded piece (except for zstd, see `_Zstd`)
# The maximum bytes of zeros after the end of an archive or a stream. A sparse file can have terabytes of zeros.
MAX_PADDING = 64 << 20
_RAW = 1 << 18
_MAGICS = {"xz": b"\xfd7zXZ\0", "gz": b"\x1f\x8b", "bz2": b"BZh", "zst": b"\x28\xb5\x2f\xfd", "zip": b"PK"}
_SKIPPABLE = b"\x2a\x4d\x18"  # the last three bytes of the magic of zstd's skippable frames
_ALIGNED = {"xz": 4, "gz": 1}  # the formats that support padding with zeros, and its alignment in bytes


def pieces(file: BinaryIO) -> Iterator[bytes]:
    """Yield the rest of a file in pieces of at most 256 KiB."""
    while piece := file.read(_RAW):
        yield piece


def coalesce(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Join small pieces into pieces of at least 256 KiB. The last piece can be smaller."""
    waiting = []
    size = 0
    for piece in pieces:
        waiting.append(piece)
        size += len(piece)
        if size >= _RAW:
            yield b"".join(waiting)
            waiting.clear()
            size = 0
    yield b"".join(waiting)


def split(data: Iterable[bytes | memoryview], size: int) -> Iterator[bytes]:
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


def gunzip(raw: Iterable[bytes]) -> Iterator[bytes]:
    """Decode a trusted gzip file with the fastest available decoder. Raises EOFError if the file is truncated."""
    from rules_bento.base.archives.zipread import fast_zlib

    return _decode_streams(raw, lambda: _Gzip(fast_zlib()), 0)


def detect_form(first: bytes) -> str:
    """Return the format of data that begins with `first`: `xz`, `gz`, `bz2`, `zst`, `zip`, or `tar` for other data."""
    return _guess(first) or "tar"


def decode(raw: Iterable[bytes], form: str, memory: int, where: str) -> Iterator[bytes]:
    """Decode pieces of data in the format `form`: `xz`, `gz`, `bz2`, `zst`, or `tar` (yielded unchanged).

    `memory` limits the decoder's memory, in bytes. Raises BentoError for data in another format, damaged or truncated
    data, trailing data, or a stream that requires more memory. The message begins with `where`.
    """
    from itertools import chain

    raw = iter(raw)
    first = next(raw, b"")
    if not first:
        raise BentoError("the file is empty", place=where, remedy="Download the file again.")
    check_beginning(first, form, where)
    if form == "tar":
        yield from chain([first], raw)
        return
    errors: tuple[type[Exception], ...] = (EOFError, OSError, *decoder_errors(form))
    try:
        yield from _decode_streams(chain([first], raw), decoder_factory(form, memory), _ALIGNED.get(form, 0))
    except errors as error:
        raise BentoError(_describe_error(error, form, memory), place=where) from error


def check_beginning(first: bytes, form: str, where: str) -> None:
    """Raise BentoError if a file that begins with `first` isn't in the format `form`. Verifies no header of a tar."""
    guess = _guess(first)
    if guess == form or (form == "tar" and not guess) or (form == "zst" and first[1:4] == _SKIPPABLE):
        return
    if not guess:
        remedy = "Specify an archive whose suffix states its format, or download the file again."
        if where.endswith((".py", ".toml", ".yaml", ".yml")):
            remedy = "To build a project, run `bento build`."
        raise BentoError(f"the file isn't in {form} format", place=where, remedy=remedy)
    problem = f"the file name implies {form} data, but the file contains {guess} data"
    remedy = f"Rename the file to end in '.{'tar.' if guess not in ('zip', 'tar') else ''}{guess}', or use `bento "
    remedy += f"import --format {guess}`."
    raise BentoError(problem, place=where, remedy=remedy)


def _guess(first: bytes) -> str:
    for form, magic in _MAGICS.items():
        if first.startswith(magic):
            return form
    return "tar" if first[257:262] == b"ustar" else ""


def _describe_error(error: Exception, form: str, memory: int) -> str:
    if isinstance(error, EOFError):
        return "the archive is truncated, or contains other data at its end. Download or copy the archive again."
    if "emory" in str(error):
        text = f"decompression requires more than {memory >> 20} MiB of memory. Allow more memory, or compress the "
        return text + "archive with a smaller dictionary."
    return f"the {form} data is damaged ({error}). Download or copy the archive again."


def decoder_factory(form: str, memory: int) -> Callable[[], Any]:
    """Return a function that returns a decoder of one stream, for `decoded`. `memory` limits its memory, in bytes."""
    if form == "xz":
        import lzma

        return lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=memory)
    if form == "bz2":
        import bz2

        return bz2.BZ2Decompressor
    if form == "zst":
        return lambda: _Zstd(memory)
    from rules_bento.base.archives.zipread import fast_zlib

    return lambda: _Gzip(fast_zlib())


def decoder_errors(form: str) -> tuple[type[Exception], ...]:
    """Return what a decoder raises for damaged data."""
    if form == "xz":
        import lzma

        return (lzma.LZMAError,)
    if form == "zst":
        import zstandard

        return (zstandard.ZstdError,)
    from rules_bento.base.archives.zipread import fast_zlib

    return (fast_zlib().error,)


def _decode_streams(raw: Iterable[bytes], make: Callable[[], Any], alignment: int) -> Iterator[bytes]:
    """Decode consecutive streams. Zero padding must be a multiple of `alignment` bytes; 0 allows no padding."""
    decoder: Any = None
    padding = 0
    for piece in raw:
        data = piece
        while data:
            if decoder is None:
                stripped = data.lstrip(b"\0") if alignment else data
                padding += len(data) - len(stripped)
                if padding > MAX_PADDING:
                    raise OSError(f"the stream is followed by more than {MAX_PADDING} zero bytes")
                if not stripped:
                    break
                _check_padding(padding, alignment)
                data, decoder, padding = stripped, make(), 0
            yield from decoded(decoder, data)
            data = b""
            if decoder.eof:
                data, decoder = decoder.unused_data, None
    if decoder is not None:
        raise EOFError
    _check_padding(padding, alignment)


def _check_padding(padding: int, alignment: int) -> None:
    if padding and padding % alignment:
        raise OSError("the stream is followed by zero bytes")


def decoded(decoder: Any, data: bytes) -> Iterator[bytes]:
    """Yield what a decoder makes of `data`, in pieces of limited size."""
    while True:
        if piece := decoder.decompress(data, PIECE):
            yield piece
        data = b""
        if decoder.eof or decoder.needs_input:
            return


class _Gzip:
    """Decodes one gzip member. zlib verifies the CRC and the length."""

    def __init__(self, module: Any) -> None:
        self._inflate = module.decompressobj(31)  # zlib's number for gzip's header and checksum
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return bool(self._inflate.eof)

    @property
    def unused_data(self) -> bytes:
        return bytes(self._inflate.unused_data)

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        output: bytes = self._inflate.decompress(self._inflate.unconsumed_tail + data, max_length)
        # If the bound is reached, zlib can hold more output although it has consumed all input.
        self.needs_input = len(output) < max_length and not self._inflate.unconsumed_tail
        return output


class _Zstd:
    """Decodes one zstd frame.

    The underlying decoder can't limit its output. Therefore, this class passes small pieces of input to the decoder.
    The output for a piece is less than 70 MB, even for a decompression bomb.
    """

    _FED = 2048  # a block has at least 4 bytes, and at most 128 KiB of output

    def __init__(self, memory: int) -> None:
        import zstandard

        # half of the memory for the window, because the decoder also has buffers
        self._decoder = zstandard.ZstdDecompressor(max_window_size=memory // 2).decompressobj()
        self._waiting = memoryview(b"")

    @property
    def eof(self) -> bool:
        return self._decoder.eof

    @property
    def needs_input(self) -> bool:
        return not self._waiting

    @property
    def unused_data(self) -> bytes:
        return self._decoder.unused_data + bytes(self._waiting)

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        if data:
            self._waiting = memoryview(data)  # a caller only passes data if nothing is waiting
        pieces: list[bytes] = []
        size = 0
        while self._waiting and not self._decoder.eof and size < max_length:
            pieces.append(self._decoder.decompress(self._waiting[: self._FED]))
            self._waiting = self._waiting[self._FED :]
            size += len(pieces[-1])
        return b"".join(pieces)
