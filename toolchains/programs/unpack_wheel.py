"""Unpacks the importable files and the metadata of a wheel, but not its scripts, headers, or data.

    unpack_wheel.py WHEEL DIRECTORY

Tools of actions import the files. The action of this program needs only sources and the interpreter, not the helper, so
that it can run on each machine before other actions, without downloads from a cache. Bazel has verified the hash of the
wheel. The program is a single file of the standard library, so it can't import other modules.
"""

from __future__ import annotations

import shutil
import sys
import zipfile
import zlib
from pathlib import Path, PurePosixPath

_SCHEMES = ("purelib", "platlib")  # directories of *.data with files for site-packages


def main(wheel: str, directory: str) -> None:
    """Unpack a wheel into an existing directory. Exits with a message for an invalid wheel."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            tops = {name.partition("/")[0] for name in archive.namelist()}
            data = {top.removesuffix(".dist-info") + ".data" for top in tops if top.endswith(".dist-info")}
            for member in archive.infolist():
                path = None if member.is_dir() else _installed(member.filename, data)
                if path:
                    _extract(archive, member, Path(directory, path))
    except (NotImplementedError, OSError, RuntimeError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        remedy = "Check the free disk space, or select another version of the package and update the lock."
        sys.exit(f"{Path(wheel).name}: cannot unpack the wheel: {error}. {remedy}")


def _installed(name: str, data: set[str]) -> PurePosixPath | None:
    """Return the path of a member in site-packages, or None. `data` contains the names of *.data directories."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name:
        raise ValueError(f"invalid path {name!r}")
    top, *rest = path.parts
    if top not in data:
        return path
    return PurePosixPath(*rest[1:]) if rest[1:] and rest[0] in _SCHEMES else None


def _extract(archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> None:
    """Write a member to a new file. A second file with the same path is an error."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(member) as source, target.open("xb") as file:
        shutil.copyfileobj(source, file)


if __name__ == "__main__":
    main(*sys.argv[1:])
