"""Prepares the source of a package for its build; repository rules run it, in the toolchain's interpreter.

source_archive.py pack FOLDER ARCHIVE        a tar of a folder, the same for the same files
source_archive.py requires ARCHIVE SUBFOLDER  prints the names that `build-system.requires` has, as JSON

A repository rule has no helper yet, so this stands alone, with the standard library's readers: it unpacks nothing, and
of an archive that a lock pins by hash it reads one text, within the bound that all texts have.
"""

from __future__ import annotations

import importlib
import json
import lzma
import re
import sys
import tarfile
import zipfile
import zlib
from pathlib import Path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import IO

# What PEP 517 says of a source without a pyproject.toml.
LEGACY = ["setuptools"]

MAX_BYTES = 1 << 24
"""Bytes of a text (as `rules_bento.formats` has it)."""

# What the readers of the standard library raise for archives that are damaged, or made to harm.
_UNREADABLE = (
    *(OSError, ValueError, ImportError, EOFError, RuntimeError),
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError),
)
_BOUNDED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # what zipfile unpacks no further than it is asked


def main() -> int:
    """Run a command; 1 and a message on standard error for a source that cannot be read."""
    command, source, argument = sys.argv[1:]
    try:
        if command == "pack":
            _pack(Path(source), Path(argument))
        else:
            sys.stdout.write(json.dumps(_requires(Path(source), argument)))
    except _UNREADABLE as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _pack(folder: Path, archive: Path) -> None:
    with tarfile.open(archive, "w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(folder.rglob("*")):
            if ".git" in path.relative_to(folder).parts or (path.is_dir() and not path.is_symlink()):
                continue
            entry = tar.gettarinfo(path, f"source/{path.relative_to(folder).as_posix()}")
            if not (entry and (entry.isreg() or entry.issym() or entry.islnk())):
                raise ValueError(f"{path}: is neither a file nor a link. Take it out of the source.")
            entry.uid = entry.gid = entry.mtime = 0
            entry.uname = entry.gname = ""
            entry.mode = 0o755 if entry.mode & 0o100 else 0o644
            if entry.isreg():
                with path.open("rb") as file:
                    tar.addfile(entry, file)
            else:
                tar.addfile(entry)


def _requires(archive: Path, subfolder: str) -> list[str]:
    text = _read(archive, f"{subfolder}/pyproject.toml" if subfolder else "pyproject.toml")
    if text is None:
        return LEGACY
    try:
        tomllib = importlib.import_module("tomllib")
    except ImportError:
        raise SystemExit(f"{archive.name}: TOML is read by Python 3.11 or newer; put one first on PATH") from None
    requires: object = tomllib.loads(text).get("build-system", {})
    requires = requires.get("requires", LEGACY) if isinstance(requires, dict) else None
    if not isinstance(requires, list) or not all(isinstance(entry, str) for entry in requires):
        raise ValueError("pyproject.toml: build-system.requires is no list of texts.")
    return [
        re.sub(r"[-_.]+", "-", re.split(r"[^-._A-Za-z0-9]", entry.strip(), maxsplit=1)[0]).lower() for entry in requires
    ]


def _read(archive: Path, name: str) -> str | None:
    """Return a file below the one folder that a source archive has."""
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive) as file:
            members = [entry for entry in file.infolist() if entry.filename.partition("/")[2] == name]
            if not members:
                return None
            if members[0].compress_type not in _BOUNDED:
                raise ValueError(f"{name}: is compressed in a way that sources of packages are not.")
            with file.open(members[0]) as content:
                return _text(content, name)
    with tarfile.open(archive) as tar:
        for entry in tar:
            if entry.isreg() and entry.name.removeprefix("./").partition("/")[2] == name:
                extracted = tar.extractfile(entry)
                return _text(extracted, name) if extracted else None
    return None


def _text(content: IO[bytes], name: str) -> str:
    data = content.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ValueError(f"{name}: has more than {MAX_BYTES} bytes, which cannot be meant.")
    return data.decode()


if __name__ == "__main__":
    sys.exit(main())
