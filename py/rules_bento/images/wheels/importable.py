"""Decides which files of a wheel an interpreter can import without an installation."""

from __future__ import annotations

from rules_bento.errors import BentoError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

    from rules_bento.images.wheels.record import RecordedFile
    from rules_bento.images.wheels.wheel import Wheel


def imported_files(wheel: Wheel) -> dict[str, RecordedFile]:
    """Return the importable files and the metadata by path in site-packages, without scripts, headers, and data.

    Raises BentoError for a wheel with two files at one path, or with a file inside of another file.
    """
    files: dict[str, RecordedFile] = {}
    for member in wheel.members:
        path = member.path
        if path.startswith(wheel.data_folder):
            scheme, _, path = path.removeprefix(wheel.data_folder).partition("/")
            if scheme not in ("purelib", "platlib"):
                continue
        if path in files:
            raise BentoError(duplicate_message(wheel, path))
        files[path] = member
    check_parents(wheel, files)
    return files


def duplicate_message(wheel: Wheel, path: str) -> str:
    """Return the error message for a wheel with two files at one path."""
    return f"{wheel.name}: two files have the path {path}. Use another wheel of that package."


def check_parents(wheel: Wheel, paths: Collection[str]) -> None:
    """Raise BentoError if the path of a file is the parent directory of another file."""
    parents = {path.rpartition("/")[0] for path in paths}
    while parents:
        for parent in parents:
            if parent in paths:
                raise BentoError(f"{wheel.name}: {parent} is a file and a directory. Use another wheel.")
        parents = {parent.rpartition("/")[0] for parent in parents if parent}
