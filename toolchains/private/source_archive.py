"""Prepares the source of a package for its build; repository rules run it, in the toolchain's interpreter.

source_archive.py pack FOLDER ARCHIVE        a tar of a folder, the same for the same files
source_archive.py requires ARCHIVE SUBFOLDER  prints the names that `build-system.requires` has, as JSON
"""

from __future__ import annotations

import importlib
import json
import re
import sys
import tarfile
import zipfile
from pathlib import Path

# What PEP 517 says of a source without a pyproject.toml.
LEGACY = ["setuptools"]


def main() -> int:
    """Run a command; 1 and a message on standard error for a source that cannot be read."""
    command, source, argument = sys.argv[1:]
    try:
        if command == "pack":
            _pack(Path(source), Path(argument))
        else:
            sys.stdout.write(json.dumps(_requires(Path(source), argument)))
    except (OSError, ValueError, ImportError, tarfile.TarError, zipfile.BadZipFile) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _pack(folder: Path, archive: Path) -> None:
    with tarfile.open(archive, "w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(folder.rglob("*")):
            if ".git" in path.relative_to(folder).parts or path.is_dir():
                continue
            entry = tar.gettarinfo(path, f"source/{path.relative_to(folder).as_posix()}")
            entry.uid = entry.gid = entry.mtime = 0
            entry.uname = entry.gname = ""
            entry.mode = 0o755 if entry.mode & 0o100 else 0o644
            with path.open("rb") as file:
                tar.addfile(entry, file if entry.isreg() else None)


def _requires(archive: Path, subfolder: str) -> list[str]:
    text = _read(archive, f"{subfolder}/pyproject.toml" if subfolder else "pyproject.toml")
    if text is None:
        return LEGACY
    try:
        tomllib = importlib.import_module("tomllib")
    except ImportError:
        raise SystemExit(f"{archive.name}: TOML is read by Python 3.11 or newer; put one first on PATH") from None
    requires = tomllib.loads(text).get("build-system", {}).get("requires", LEGACY)
    return [
        re.sub(r"[-_.]+", "-", re.split(r"[^-._A-Za-z0-9]", entry.strip(), maxsplit=1)[0]).lower() for entry in requires
    ]


def _read(archive: Path, name: str) -> str | None:
    """A file below the one folder that a source archive has."""
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive) as file:
            found = [entry for entry in file.namelist() if entry.partition("/")[2] == name]
            return file.read(found[0]).decode() if found else None
    with tarfile.open(archive) as tar:
        for entry in tar:
            if entry.isreg() and entry.name.removeprefix("./").partition("/")[2] == name:
                content = tar.extractfile(entry)
                return content.read().decode() if content else None
    return None


if __name__ == "__main__":
    sys.exit(main())
