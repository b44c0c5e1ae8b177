"""Decodes compressed streams, a bounded piece at a time and to their very end.

Python's own readers stop where they have what they were asked for: what follows is not looked at, so a wrong
checksum, a missing end or foreign bytes behind it pass unseen. Here a stream is read until its file ends, and each
of these is an error.
"""

from __future__ import annotations

from rules_bento.errors import BentoError
from rules_bento.typing_lite import TYPE_CHECKING, BinaryIO, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

PIECE = 1 << 20
"""The most bytes that one decoded piece has (but for zstd, see `_Zstd`)."""

MAX_PADDING = 64 << 20
"""The most zeros behind the end of an archive or a stream. A file with gaps has terabytes of them and takes no disk."""

_RAW = 1 << 18
_MAGICS = {"xz": b"\xfd7zXZ\0", "gz": b"\x1f\x8b", "bz2": b"BZh", "zst": b"\x28\xb5\x2f\xfd", "zip": b"PK"}
_SKIPPABLE = b"\x2a\x4d\x18"  # the last three bytes of the magic of zstd's skippable frames
_ALIGNED = {"xz": 4, "gz": 1}  # the forms that may be padded with zeros, and to a multiple of what


class Decoder(Protocol):
    """Decodes one stream: the methods that the decompressors of `lzma` and `bz2` share."""

    @property
    def eof(self) -> bool: ...  # noqa: D102
    @property
    def needs_input(self) -> bool: ...  # noqa: D102
    @property
    def unused_data(self) -> bytes: ...  # noqa: D102
    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...  # noqa: D102


def pieces(file: BinaryIO) -> Iterator[bytes]:
    """Yield the bytes of a file, as they come."""
    while piece := file.read(_RAW):
        yield piece


def detect_form(first: bytes) -> str:
    """Return the form of what begins so, as `decode` calls them; a tar, if it is none of the others."""
    return _guess(first) or "tar"


def decode(raw: Iterable[bytes], form: str, memory: int, where: str) -> Iterator[bytes]:
    """Yield the bytes that `raw` holds in a form: `tar` (as they are), `xz`, `gz`, `bz2` or `zst`.

    `memory` (bytes) bounds what the stream may demand of the decoder. Raises BentoError that begins with `where`
    for another form, a damaged or truncated stream, a wrong checksum, bytes after the end, and too large a demand.
    """
    import zlib
    from itertools import chain

    raw = iter(raw)
    first = next(raw, b"")
    if not first:
        raise BentoError(f"{where}: is empty.")
    _check_magic(first, form, where)
    if form == "tar":
        yield from chain([first], raw)
        return
    errors: tuple[type[Exception], ...] = (EOFError, OSError, zlib.error)
    try:
        if form == "xz":
            import lzma

            errors = (*errors, lzma.LZMAError)
        elif form == "zst":
            import zstandard

            errors = (*errors, zstandard.ZstdError)
        yield from _decode_streams(chain([first], raw), _decoder_factory(form, memory), _ALIGNED.get(form, 0))
    except errors as error:
        raise BentoError(f"{where}: {_describe_error(error, form, memory)}") from error


def _check_magic(first: bytes, form: str, where: str) -> None:
    guess = _guess(first)
    if guess == form or (form == "tar" and not guess) or (form == "zst" and first[1:4] == _SKIPPABLE):
        return
    if not guess:
        raise BentoError(f"{where}: is no {form} data, which its name says it is. Is it whole, and is it an archive?")
    raise BentoError(
        f"{where}: is {guess} data, but its name says {form}. Rename it so that it ends in "
        f"'.{'tar.' if guess not in ('zip', 'tar') else ''}{guess}'; `bento import` also has --format {guess}."
    )


def _guess(first: bytes) -> str:
    for form, magic in _MAGICS.items():
        if first.startswith(magic):
            return form
    return "tar" if first[257:262] == b"ustar" else ""


def _describe_error(error: Exception, form: str, memory: int) -> str:
    if isinstance(error, EOFError):
        return "ends early: the archive is truncated. Transfer it again."
    if "emory" in str(error):
        return (
            f"needs more than {memory >> 20} MiB to be decompressed. Allow more memory, or compress it with a smaller "
            f"dictionary."
        )
    return f"is damaged {form} data ({error}). Transfer it again."


def _decoder_factory(form: str, memory: int) -> Callable[[], Decoder]:
    if form == "xz":
        import lzma

        return lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=memory)
    if form == "bz2":
        import bz2

        return bz2.BZ2Decompressor
    return _Gzip if form == "gz" else lambda: _Zstd(memory)


def _decode_streams(raw: Iterable[bytes], make: Callable[[], Decoder], alignment: int) -> Iterator[bytes]:
    """Decode one stream after the other; zeros between and after them are padding if there is an alignment."""
    decoder: Decoder | None = None
    padding = 0
    for piece in raw:
        data = piece
        while data:
            if decoder is None:
                stripped = data.lstrip(b"\0") if alignment else data
                padding += len(data) - len(stripped)
                if padding > MAX_PADDING:
                    raise OSError(f"more than {MAX_PADDING} zeros after the end")
                if not stripped:
                    break
                _check_padding(padding, alignment)
                data, decoder, padding = stripped, make(), 0
            yield from _decoded(decoder, data)
            data = b""
            if decoder.eof:
                data, decoder = decoder.unused_data, None
    if decoder is not None:
        raise EOFError
    _check_padding(padding, alignment)


def _check_padding(padding: int, alignment: int) -> None:
    if padding and padding % alignment:
        raise OSError("zeros after the end")


def _decoded(decoder: Decoder, data: bytes) -> Iterator[bytes]:
    while True:
        if piece := decoder.decompress(data, PIECE):
            yield piece
        data = b""
        if decoder.eof or decoder.needs_input:
            return


class _Gzip:
    """Decodes one member of a gzip file; zlib checks its CRC and length."""

    def __init__(self) -> None:
        import zlib

        self._inflate = zlib.decompressobj(16 + zlib.MAX_WBITS)
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return self._inflate.eof

    @property
    def unused_data(self) -> bytes:
        return self._inflate.unused_data

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        output = self._inflate.decompress(self._inflate.unconsumed_tail + data, max_length)
        # When the bound is met, more may wait inside of zlib though all input is taken.
        self.needs_input = len(output) < max_length and not self._inflate.unconsumed_tail
        return output


class _Zstd:
    """Decodes one frame of zstd. Its decoder takes no bound, so it is fed so little that a bomb stays below 70 MB."""

    _FED = 2048  # a block has at least 4 bytes and at most 128 KiB come out of it

    def __init__(self, memory: int) -> None:
        import zstandard

        # Half of the memory for the window, for the decoder has buffers beside it.
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
            self._waiting = memoryview(data)  # it is only given when nothing waits
        pieces: list[bytes] = []
        size = 0
        while self._waiting and not self._decoder.eof and size < max_length:
            pieces.append(self._decoder.decompress(self._waiting[: self._FED]))
            self._waiting = self._waiting[self._FED :]
            size += len(pieces[-1])
        return b"".join(pieces)
