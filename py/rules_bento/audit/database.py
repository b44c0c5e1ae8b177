"""Reads advisory databases: OSV records in files, directories, and zips, as published by osv.dev.

Reads one record at a time and keeps only records of the audited packages.
"""

from __future__ import annotations

from pathlib import Path

from rules_bento.audit import advisories
from rules_bento.dataclasses_lite import NamedTuple
from rules_bento.errors import BentoError
from rules_bento.formats import MAX_BYTES, read_file
from rules_bento.typing_lite import Any, Collection, Iterator, Sequence

SUFFIXES = (".json", ".yaml", ".yml")
_MAX_RECORDS = 1_000_000
_MAX_UNPACKED = 8 << 30  # bytes of an unpacked zip; only one record is in memory


class Database(NamedTuple):
    """Holds the advisories for the given packages, and the number of records in the database."""

    advisories: tuple[advisories.Advisory, ...]  # sorted by id
    records: int  # for PyPI packages, without withdrawn ones


def read(places: Sequence[tuple[Path, str]], names: Collection[str]) -> Database:
    """Read the records at paths, each with a name for messages; keep those for `names`.

    Raises BentoError for an invalid record, and for a database without records for PyPI.
    """
    kept: list[advisories.Advisory] = []
    records = 0
    for data, origin in _files(places):
        record = advisories.read(_document(data, origin), origin)
        if record and record.affected:
            records += 1
            if any(affected.name in names for affected in record.affected):
                kept.append(record)
    if not records:
        listed = ", ".join(name for _, name in places)
        raise BentoError(
            f"advisories: {listed}: has no records for PyPI packages. Provide OSV records of the ecosystem PyPI, "
            "for example from osv.dev or PyPA's advisory database."
        )
    return Database(tuple(sorted(kept, key=lambda advisory: advisory.id)), records)


def _document(data: bytes, origin: str) -> Any:
    if origin.endswith(".json"):
        from rules_bento.formats.json import read_json

        return read_json(data, origin)
    from rules_bento.formats.yaml import read_yaml

    return read_yaml(data, origin)


def _files(places: Sequence[tuple[Path, str]]) -> Iterator[tuple[bytes, str]]:
    """Yield the content and name of each record."""
    for path, name in places:
        if path.is_dir():
            yield from _read_directory(path, name)
        elif path.name.endswith(".zip"):
            yield from _read_zip(path, name)
        elif path.name.endswith(SUFFIXES):
            yield read_file(path, name), name
        else:
            raise BentoError(f"advisories: {name}: isn't JSON, YAML, a zip, or a directory. Provide one of these.")


def _read_directory(folder: Path, name: str) -> Iterator[tuple[bytes, str]]:
    import os

    count = 0
    for root, folders, files in os.walk(folder):
        folders[:] = sorted(inner for inner in folders if not inner.startswith("."))
        for file in sorted(file for file in files if _is_record(file)):
            count += 1
            if count > _MAX_RECORDS:
                raise BentoError(
                    f"advisories: {name}: more than {_MAX_RECORDS:,} records. Provide only those for PyPI."
                )
            path = Path(root, file)
            origin = f"{name}/{path.relative_to(folder).as_posix()}"
            if not path.is_file():
                raise BentoError(f"advisories: {origin}: isn't a file. Remove it.")
            yield read_file(path, origin), origin


def _read_zip(path: Path, name: str) -> Iterator[tuple[bytes, str]]:
    from rules_bento.archives.zipread import Bounds, FileZip

    bounds = Bounds(100, _MAX_UNPACKED, _MAX_RECORDS, way_out="Provide only the records for PyPI")
    with path.open("rb") as file:
        archive = FileZip(file, name, bounds)
        for member in archive.members():
            if member.is_folder or not all(map(_is_visible, member.path.split("/"))) or not _is_record(member.path):
                continue
            if member.size > MAX_BYTES:
                raise archive.error("exceeds the size limit of a record", member.path)
            yield b"".join(archive.contents(member)), f"{name}/{member.path}"


def _is_record(path: str) -> bool:
    return path.endswith(SUFFIXES) and not path.startswith(".")


def _is_visible(part: str) -> bool:
    return not part.startswith(".")
