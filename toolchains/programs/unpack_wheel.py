"""Unpacks the importable files and the metadata of a wheel.

    unpack_wheel.py WHEEL DIRECTORY [--all] [--compile]

Repository rules run the program, and an action runs it for tools of actions. The action needs only sources and the
interpreter, not the helper, so that it can run on each machine before other actions, without downloads from a cache.
Bazel has verified the hash of the wheel, but its author chose the names of its members, and Bazel's `extract` writes
members with `../` outside of its directory. The program is a single file of the standard library, so it can't
import other modules.
"""

from __future__ import annotations

import re
import shutil
import stat
import sys
import zipfile
import zlib
from pathlib import Path, PurePosixPath

_SCHEMES = ("purelib", "platlib")  # directories of *.data with files for site-packages
# As for images (wheel.py of the helper): absolute, with a separator or a control character, or not normalized.
_INVALID_NAME = re.compile(r"\A/|\A[A-Za-z]:|[\\\x00-\x1f\x7f]|(?:\A|/)\.?\.?(?:/|\Z)")
_MAX_MEMBERS, _MAX_GROWTH, _SMALL = 200_000, 100, 64 << 20  # growth counts only above `_SMALL` bytes
_READ_ERRORS = (EOFError, NotImplementedError, OSError, RuntimeError, ValueError, zipfile.BadZipFile, zlib.error)


def main(wheel: str, directory: str, *options: str) -> None:
    """Unpack a wheel into a directory. Exits with a message for an invalid wheel.

    With `--all`, also unpack scripts, headers, and data, which stay in the directory *.data. With `--compile`, also
    compile the modules to bytecode that isn't compared with the sources.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            members = archive.infolist()
            _check(members, Path(wheel).stat().st_size)
            tops = {member.filename.partition("/")[0] for member in members}
            data = {top.removesuffix(".dist-info") + ".data" for top in tops if top.endswith(".dist-info")}
            Path(directory).mkdir(exist_ok=True)
            for member in members:
                path = _installed(member.filename, data)
                if not member.is_dir() and (path or "--all" in options):
                    _extract(archive, member, Path(directory, path or member.filename))
    except _READ_ERRORS as error:
        remedy = "Check the free disk space, or select another version of the package and update the lock."
        sys.exit(f"{Path(wheel).name}: cannot unpack the wheel: {error}. {remedy}")
    if "--compile" in options and not _compile(directory):
        sys.exit(f"{Path(wheel).name}: cannot compile the modules. Select another interpreter with bento_tools.python.")


def _check(members: list[zipfile.ZipInfo], size: int) -> None:
    """Raise ValueError before anything is written. The contents can't exceed the declared sizes."""
    for member in members:
        # `zipfile` shortens a name with NUL, and newer versions prefer the name in an extra field.
        if member.filename != member.orig_filename or _INVALID_NAME.search(_path(member.filename)):
            raise ValueError(f"invalid path {member.orig_filename!r}")
        if stat.S_ISLNK(member.external_attr >> 16):
            raise ValueError(f"{member.filename!r} is a symbolic link")
    unpacked = sum(member.file_size for member in members)
    if len(members) > _MAX_MEMBERS or unpacked > max(_SMALL, _MAX_GROWTH * size):
        raise ValueError(f"{size} bytes unpack to {len(members)} files with {unpacked} bytes")


def _path(name: str) -> str:
    """Return the path of a member. Hatchling begins names with `./` if the packages are in the project's directory."""
    return name.removeprefix("./").removesuffix("/")


def _installed(name: str, data: set[str]) -> PurePosixPath | None:
    """Return the path of a member in site-packages, or None. `data` contains the names of *.data directories."""
    top, *rest = PurePosixPath(name).parts
    if top not in data:
        return PurePosixPath(name)
    return PurePosixPath(*rest[1:]) if rest[1:] and rest[0] in _SCHEMES else None


def _extract(archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> None:
    """Write a member to a new file. A second file with the same path is an error."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(member) as source, target.open("xb") as file:
        shutil.copyfileobj(source, file)
    if member.external_attr >> 16 & 0o111:
        target.chmod(0o755)


def _compile(directory: str) -> bool:
    """Compile the modules. The bytecode contains no path of this machine. Returns whether all could be compiled."""
    import compileall
    from py_compile import PycInvalidationMode

    mode = PycInvalidationMode.UNCHECKED_HASH
    return bool(compileall.compile_dir(directory, quiet=1, stripdir=directory, invalidation_mode=mode))


if __name__ == "__main__":
    main(*sys.argv[1:])
