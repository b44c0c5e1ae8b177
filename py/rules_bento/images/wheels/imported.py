"""Decides which files of a wheel an interpreter imports, for what needs no installation."""

from __future__ import annotations

from rules_bento.errors import BentoError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

    from rules_bento.images.wheels.record import Member
    from rules_bento.images.wheels.wheel import Wheel


def imported_files(wheel: Wheel) -> dict[str, Member]:
    """Return what an interpreter imports, and the metadata, by path below site-packages; no scripts, headers and data.

    Raises BentoError for a wheel that has two files at one place, or one below another.
    """
    files: dict[str, Member] = {}
    for member in wheel.members:
        path = member.path
        if path.startswith(wheel.data_folder):
            scheme, _, path = path.removeprefix(wheel.data_folder).partition("/")
            if scheme not in ("purelib", "platlib"):
                continue
        if path in files:
            raise BentoError(twice(wheel, path))
        files[path] = member
    check_parents(wheel, files)
    return files


def twice(wheel: Wheel, path: str) -> str:
    """Return what is said of a wheel that has two files at one place."""
    return f"{wheel.name}: two files for {path}. Take another wheel of that package."


def check_parents(wheel: Wheel, paths: Collection[str]) -> None:
    """Raise BentoError if one of the files is below another, which only happens when a wheel is spread."""
    parents = {path.rpartition("/")[0] for path in paths}
    while parents:
        for parent in parents:
            if parent in paths:
                raise BentoError(f"{wheel.name}: {parent} is a file, but others are below it. Take another wheel.")
        parents = {parent.rpartition("/")[0] for parent in parents if parent}
