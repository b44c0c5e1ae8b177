"""Reads the source of a package for its build. Repository rules run this program in the toolchain's interpreter.

source_archive.py pack DIRECTORY ARCHIVE                  writes a tar of a directory; equal files give equal bytes
source_archive.py requires ARCHIVE SUBDIRECTORY PACKAGES  prints the names in `build-system.requires`, as JSON

PACKAGES is the directory of tomli. Repository rules can't run the helper yet, so the program otherwise uses only the
standard library. It doesn't unpack archives, and reads one file of limited size from an archive that a lock pins by
hash.
"""

from __future__ import annotations

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

# Build requirements of a source without a pyproject.toml (PEP 517).
LEGACY_REQUIRES = ["setuptools"]

MAX_BYTES = 1 << 24
"""Maximum size of a text file in bytes, as in `rules_bento.base.formats`."""

# Exceptions of the standard library for damaged or malicious archives.
_UNREADABLE = (
    *(OSError, ValueError, ImportError, EOFError, RuntimeError),
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError),
)
_SUPPORTED_COMPRESSIONS = (
    zipfile.ZIP_STORED,
    zipfile.ZIP_DEFLATED,
)  # zipfile decompresses them only as far as requested


def main() -> int:
    """Run a command. Returns 1, with a message on standard error, if the source can't be read."""
    command, source, argument, *packages = sys.argv[1:]
    sys.path += packages
    try:
        if command == "pack":
            _pack(Path(source), Path(argument))
        else:
            sys.stdout.write(json.dumps(_requires(Path(source), argument)))
    except _UNREADABLE as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _pack(directory: Path, archive: Path) -> None:
    with tarfile.open(archive, "w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(directory.rglob("*")):
            if ".git" in path.relative_to(directory).parts or (path.is_dir() and not path.is_symlink()):
                continue
            entry = tar.gettarinfo(path, f"source/{path.relative_to(directory).as_posix()}")
            if not (entry and (entry.isreg() or entry.issym() or entry.islnk())):
                raise ValueError(f"{path} isn't a regular file or a link. Lock another version of the package.")
            entry.uid = entry.gid = entry.mtime = 0
            entry.uname = entry.gname = ""
            entry.mode = 0o755 if entry.mode & 0o100 else 0o644
            if entry.isreg():
                with path.open("rb") as file:
                    tar.addfile(entry, file)
            else:
                tar.addfile(entry)


def _requires(archive: Path, subdirectory: str) -> list[str]:
    text = _read(archive, f"{subdirectory}/pyproject.toml" if subdirectory else "pyproject.toml")
    if text is None:
        return LEGACY_REQUIRES
    import tomli

    requires: object = tomli.loads(text).get("build-system", {})
    requires = requires.get("requires", LEGACY_REQUIRES) if isinstance(requires, dict) else None
    if not isinstance(requires, list) or not all(isinstance(entry, str) for entry in requires):
        problem = "build-system.requires isn't a list of strings"
        raise ValueError(f"pyproject.toml: {problem}. Lock another version of the package.")
    return [
        re.sub(r"[-_.]+", "-", re.split(r"[^-._A-Za-z0-9]", entry.strip(), maxsplit=1)[0]).lower() for entry in requires
    ]


def _read(archive: Path, name: str) -> str | None:
    """Return the text of a file below the root directory of a source archive, or None if it doesn't exist."""
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive) as file:
            members = [entry for entry in file.infolist() if entry.filename.partition("/")[2] == name]
            if not members:
                return None
            if members[0].compress_type not in _SUPPORTED_COMPRESSIONS:
                raise ValueError(f"{name}: unsupported compression method. Lock another version of the package.")
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
        problem = f"the file exceeds the limit of {MAX_BYTES} bytes"
        raise ValueError(f"{name}: {problem}. Lock another version of the package.")
    return data.decode()


if __name__ == "__main__":
    sys.exit(main())
