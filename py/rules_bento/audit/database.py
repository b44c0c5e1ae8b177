"""Reads databases of advisories: files of OSV's records, folders of them, zips as osv.dev has them.

Everything is read, one record at a time, and only what is about the packages in question is kept.
"""

from __future__ import annotations

from pathlib import Path

from rules_bento.audit import advisories
from rules_bento.dataclasses_lite import NamedTuple
from rules_bento.errors import BentoError
from rules_bento.formats import MAX_BYTES, read_file
from rules_bento.typing_lite import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from rules_bento.audit.advisories import Advisory

SUFFIXES = (".json", ".yaml", ".yml")
_MOST_RECORDS = 1_000_000
_MOST_UNPACKED = 8 << 30  # bytes of a zip, of which one record at a time is held


class Database(NamedTuple):
    """Holds the advisories of a database that are about the given packages, and its number of records."""

    advisories: tuple[Advisory, ...]  # about the packages, not withdrawn, by id
    records: int  # about packages of PyPI, withdrawn ones left out


def read(places: Sequence[tuple[Path, str]], names: Collection[str]) -> Database:
    """Read what lies at paths, which messages call by the names beside them; keep what is about packages.

    Raises BentoError for what is no record, and for a database without a record of PyPI.
    """
    kept: list[Advisory] = []
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
            f"advisories: {listed}: no record of a package of PyPI is in there. Give OSV's records of the ecosystem "
            f"PyPI, as osv.dev and the advisory database of PyPA have them."
        )
    return Database(tuple(sorted(kept, key=lambda advisory: advisory.id)), records)


def _document(data: bytes, origin: str) -> Any:
    if origin.endswith(".json"):
        from rules_bento.formats.json import read_json

        return read_json(data, origin)
    from rules_bento.formats.yaml import read_yaml

    return read_yaml(data, origin)


def _files(places: Sequence[tuple[Path, str]]) -> Iterator[tuple[bytes, str]]:
    """Yield the text and the name of each record."""
    for path, name in places:
        if path.is_dir():
            yield from _of_folder(path, name)
        elif path.name.endswith(".zip"):
            yield from _of_zip(path, name)
        elif path.name.endswith(SUFFIXES):
            yield read_file(path, name), name
        else:
            raise BentoError(
                f"advisories: {name} is neither JSON, YAML, a zip nor a folder of these. Give one of them."
            )


def _of_folder(folder: Path, name: str) -> Iterator[tuple[bytes, str]]:
    import os

    count = 0
    for root, folders, files in os.walk(folder):
        folders[:] = sorted(inner for inner in folders if not inner.startswith("."))
        for file in sorted(file for file in files if _is_record(file)):
            count += 1
            if count > _MOST_RECORDS:
                raise BentoError(
                    f"advisories: {name}: has more than {_MOST_RECORDS:,} records. Give those of PyPI alone."
                )
            path = Path(root, file)
            origin = f"{name}/{path.relative_to(folder).as_posix()}"
            if not path.is_file():
                raise BentoError(f"advisories: {origin} is no file. Take it out.")
            yield read_file(path, origin), origin


def _of_zip(path: Path, name: str) -> Iterator[tuple[bytes, str]]:
    from rules_bento.archives.zipread import Bounds, ZipOfFile

    bounds = Bounds(100, _MOST_UNPACKED, _MOST_RECORDS, way_out="Give the records of PyPI alone")
    with path.open("rb") as file:
        archive = ZipOfFile(file, name, bounds)
        for member in archive.members():
            if member.is_folder or not all(map(_is_shown, member.path.split("/"))) or not _is_record(member.path):
                continue
            if member.size > MAX_BYTES:
                raise archive.error("is too large for a record", member.path)
            yield b"".join(archive.contents(member)), f"{name}/{member.path}"


def _is_record(path: str) -> bool:
    return path.endswith(SUFFIXES) and not path.startswith(".")


def _is_shown(part: str) -> bool:
    return not part.startswith(".")
