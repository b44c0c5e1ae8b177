"""RECORD, the manifest of a wheel: compares its digests with the wheel, or computes them if RECORD is wrong."""

from __future__ import annotations

import re

from rules_bento.dataclasses_lite import NamedTuple
from rules_bento.errors import BentoError
from rules_bento.typing_lite import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rules_bento.archives.zipread import Chunk


SIGNATURES = ("RECORD.jws", "RECORD.p7s")  # files of *.dist-info that RECORD does not list
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
    """Compute the digests of the members, for a RECORD that is wrong. Raises BentoError if it is correct."""
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


_FILE_NAME = re.compile(r"([^-]+)-([^-]+)(?:-\d[^-]*)?-([^-]+)-([^-]+)-([^-]+)\.whl")
# PEP 440, appendix B.
_VERSION = r"""v?(?:([0-9]+)!)?([0-9]+(?:\.[0-9]+)*)
    (?:[-_.]?(alpha|a|beta|b|preview|pre|c|rc)[-_.]?([0-9]*))?
    (?:-([0-9]+)|[-_.]?(post|rev|r)[-_.]?([0-9]*))?
    (?:[-_.]?(dev)[-_.]?([0-9]*))?
    (?:\+([a-z0-9]+(?:[-_.][a-z0-9]+)*))?"""
_RELEASE = re.compile(r"[0-9]+(\.[0-9]+)*")  # the form of most versions
_PRE = {"alpha": "a", "beta": "b", "c": "rc", "pre": "rc", "preview": "rc"}
_LONGEST_VERSION = 1000  # characters; Python's int() rejects more than 4,300 digits


class FileName(NamedTuple):
    """Holds the name and the version in the name of a wheel's file."""

    name: str
    version: str

    @staticmethod
    def of(text: str) -> FileName | None:
        """Parse the file name NAME-VERSION-PYTHON-ABI-PLATFORM.whl; None if it has another form."""
        parts = _FILE_NAME.fullmatch(text)
        return FileName(parts[1], parts[2]) if parts and canonical_version(parts[2]) else None


class Metadata(NamedTuple):
    """Holds the fields of METADATA that rules_bento uses."""

    name: str
    version: str
    requires: tuple[str, ...]  # Requires-Dist, unchanged
    license_expression: str = ""
    license: str = ""  # a name, or the complete license text
    license_classifiers: tuple[str, ...] = ()  # classifiers that begin with `License ::`

    @staticmethod
    def read(text: str, file: FileName) -> Metadata:
        """Read METADATA. Raises BentoError, with the problem, if it doesn't match the wheel's file name."""
        fields = _fields(text)
        core = Metadata(
            next(iter(fields.get("name", ())), ""),
            next(iter(fields.get("version", ())), ""),
            tuple(fields.get("requires-dist", ())),
            next(iter(fields.get("license-expression", ())), ""),
            next(iter(fields.get("license", ())), ""),
            tuple(text for text in fields.get("classifier", ()) if text.startswith("License ::")),
        )
        if not core.name or not core.version:
            raise BentoError("its METADATA doesn't have both Name and Version")
        if normalized(core.name) != normalized(file.name) or not _is_version(core.version, file.version):
            raise BentoError(
                f"its METADATA is for {core.name} {core.version}, but its file name is for {file.name} {file.version}"
            )
        return core


def normalized(name: str) -> str:
    """Normalize the name of a distribution (PyPA's "Names and normalization")."""
    return re.sub(r"[-_.]+", "-", name).lower()


def canonical_version(text: str) -> str:
    """Return the canonical form of a version (PEP 440), without trailing zeros; empty for an invalid version."""
    text = text.strip().lower()
    if len(text) > _LONGEST_VERSION:
        return ""
    if _RELEASE.fullmatch(text):
        return _canonical_release(text)
    parts = re.fullmatch(_VERSION, text, re.VERBOSE)  # compiled on first use, which takes a millisecond
    if not parts:
        return ""
    epoch, release, pre, pre_number, implicit, post, post_number, dev, dev_number, local = parts.groups()
    canonical = f"{int(epoch)}!" if epoch and int(epoch) else ""
    canonical += _canonical_release(release)
    if pre:
        canonical += f"{_PRE.get(pre, pre)}{int(pre_number or 0)}"
    if implicit or post:
        canonical += f".post{int(implicit or post_number or 0)}"
    if dev:
        canonical += f".dev{int(dev_number or 0)}"
    if local:
        segments = re.split(r"[-_.]", local)
        canonical += "+" + ".".join(str(int(segment)) if segment.isdigit() else segment for segment in segments)
    return canonical


def _canonical_release(text: str) -> str:
    numbers = [int(number) for number in text.split(".")]
    while len(numbers) > 1 and not numbers[-1]:
        numbers.pop()
    return ".".join(map(str, numbers))


def _is_version(stated: str, in_file_name: str) -> bool:
    """Compare the version in METADATA with the file name, where the local part (`+cu126`) is optional."""
    own, wanted = canonical_version(stated), canonical_version(in_file_name)
    return bool(own) and own in (wanted, wanted.partition("+")[0])


def _fields(text: str) -> dict[str, list[str]]:
    """Return the headers before the first empty line by lower-case key, with continuation lines."""
    fields: dict[str, list[list[str]]] = {}  # pieces are joined once: repeated concatenation takes quadratic time
    last: list[str] = []
    for line in text.replace("\r\n", "\n").partition("\n\n")[0].split("\n"):
        if line[:1] in (" ", "\t"):
            last.append(line.strip())
            continue
        key, _, value = line.partition(":")
        last = [value.strip()]
        fields.setdefault(key.strip().lower(), []).append(last)
    return {key: [" ".join(filter(None, pieces)) for pieces in values] for key, values in fields.items()}
