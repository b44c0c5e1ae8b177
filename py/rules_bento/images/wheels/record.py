"""RECORD, the manifest of a wheel: compares its digests with the wheel, or computes them if RECORD is wrong."""

from __future__ import annotations

from rules_bento.dataclasses_lite import NamedTuple
from rules_bento.errors import BentoError
from rules_bento.typing_lite import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rules_bento.archives.zipread import Chunk

SIGNATURES = ("RECORD.jws", "RECORD.p7s")
"""Files of *.dist-info that RECORD does not list."""

_DIGESTS = {"sha256": 32, "sha384": 48, "sha512": 64}
_URL_SAFE = bytes.maketrans(b"-_", b"+/")


class RecordedFile(NamedTuple):
    """Describes a file of a wheel: its position in the zip, and its line in RECORD."""

    path: str  # with slashes, relative to the root of the zip
    size: int  # unpacked size in bytes
    packed_size: int  # size in the zip in bytes
    crc: int  # CRC-32 of the contents
    offset: int  # offset of the local header in the zip
    room: int  # bytes from the local header to the next member or to the directory
    method: int  # compression: `zipread.DEFLATED` or `STORED`
    executable: bool
    algorithm: str  # "sha256", "sha384", "sha512"; "" for files that RECORD need not list
    digest: bytes  # digest of the contents, from RECORD


class RecordError(BentoError):
    """Reports that RECORD doesn't match the contents of the wheel."""


class Contents(Protocol):
    """Reads the contents of a wheel's zip."""

    def chunks(self, member: RecordedFile, *, join: bool = False) -> Iterator[Chunk]:
        """See `Wheel.chunks`."""

    def record_error(self, message: str, member: str) -> RecordError:
        """Return the error for a wrong RECORD."""

    def right_record_error(self) -> BentoError:
        """Return the error for a correct RECORD, if a wrong RECORD was expected."""


def with_digests(zip_file: Contents, members: Sequence[RecordedFile], path: str, text: str) -> tuple[RecordedFile, ...]:
    """Add the digests in `text`, the RECORD at a path, to the members. Raises RecordError if RECORD is wrong."""
    rows = _rows(zip_file, text)
    exempt = _exempt(path)
    recorded = tuple(
        member if member.path in exempt else _with_digest(zip_file, member, rows.get(member.path)) for member in members
    )
    for listed in rows.keys() - exempt - {member.path for member in members}:
        if not listed.endswith(("/", ".pyc")):  # some tools list directories, or compiled files that they exclude
            raise zip_file.record_error("RECORD lists it, but the wheel doesn't contain it", listed)
    return recorded


def measured(zip_file: Contents, members: Sequence[RecordedFile], path: str, text: str) -> tuple[RecordedFile, ...]:
    """Compute the digests of the members, for a RECORD that is wrong.

    Raises BentoError if RECORD is correct.
    """
    try:
        for member in with_digests(zip_file, members, path, text):
            for _ in zip_file.chunks(member):
                pass
    except RecordError:
        exempt = _exempt(path)
        return tuple(member if member.path in exempt else _measured(zip_file, member) for member in members)
    raise zip_file.right_record_error()


def _exempt(path: str) -> set[str]:
    return {path, *(f"{path.rpartition('/')[0]}/{name}" for name in SIGNATURES)}


def _measured(zip_file: Contents, member: RecordedFile) -> RecordedFile:
    import hashlib

    digest = hashlib.sha256()
    for chunk in zip_file.chunks(member):
        digest.update(chunk.data)
    return member._replace(algorithm="sha256", digest=digest.digest())


def _rows(zip_file: Contents, text: str) -> dict[str, tuple[str, str]]:
    import csv

    rows: dict[str, tuple[str, str]] = {}
    for row in csv.reader(text.splitlines()):
        if not row:
            continue
        path = row[0].lstrip("/")  # some tools write it this way
        if len(row) != 3 or path in rows:
            raise zip_file.record_error("its line in RECORD isn't PATH,DIGEST,SIZE, or is repeated", row[0])
        rows[path] = (row[1], row[2])
    return rows


def _with_digest(zip_file: Contents, member: RecordedFile, row: tuple[str, str] | None) -> RecordedFile:
    import binascii

    if row is None:
        raise zip_file.record_error("RECORD doesn't list it", member.path)
    algorithm, _, encoded = row[0].partition("=")
    length = _DIGESTS.get(algorithm)
    if length is None:
        known = ", ".join(_DIGESTS)
        message = f"the algorithm of its digest in RECORD is {algorithm or 'missing'}, not {known}"
        raise zip_file.record_error(message, member.path)
    try:
        digest = binascii.a2b_base64(encoded.encode("ascii").translate(_URL_SAFE) + b"=" * (-len(encoded) % 4))
    except ValueError:
        digest = b""
    if len(digest) != length:
        raise zip_file.record_error("its digest in RECORD is invalid", member.path)
    if row[1] and row[1] != str(member.size):
        raise zip_file.record_error(f"its size is {member.size} bytes, but {row[1]} in RECORD", member.path)
    return member._replace(algorithm=algorithm, digest=digest)
