"""Files of the user: of a project, a Bento, models, and others. They are trusted, and compared byte by byte."""

import hashlib
import os
import posixpath
import re
from collections.abc import Collection, Sequence
from pathlib import Path

from bento_proof.base import Base
from bento_proof.model import HOME, USER, Expected, Found, Member

_HIDDEN = re.compile(r"(.*/)?(\..*|__pycache__(/.*)?)")  # which images of projects don't have
_MODELS = tuple(f"{HOME}/{each}/" for each in ("bento/models", "weights", "huggingface"))
Pairs = Sequence[tuple[Path, str, tuple[int, int]]]


def given(
    pairs: Pairs, base: Base, there: Collection[str], writable: Sequence[str] = (), *, exact: bool = False
) -> tuple[dict[str, Expected], list[str]]:
    """Return files of this machine that an image has, and the paths of those that it lacks, but for hidden ones.

    Pairs have a file or directory, its path in the image, and the owner. `exact` means of Debian, with any modes.
    """
    found, absent = dict[str, Expected](), list[str]()
    for source, target, owner in pairs:  # the last one wins
        each_file = (each for each in source.rglob("*") if each.is_symlink() or not each.is_dir())
        paths = [(each, f"{target}/{os.path.relpath(each, source)}") for each in each_file]
        for path, place in paths if source.is_dir() and not source.is_symlink() else [(source, target)]:
            directory, _, name = posixpath.normpath(place.strip("/")).rpartition("/")
            place = f"{base.resolve(directory)}/{name}" if directory else name
            is_writable = place.startswith(tuple(f"{each}/" for each in writable))
            if place in there or exact:
                found[place] = _read(path, USER if is_writable else owner, place, exact)
            elif not _HIDDEN.fullmatch(place):
                absent.append(place)
    return found, sorted(absent)


def _read(path: Path, owner: tuple[int, int], place: str, exact: bool) -> Expected:
    source = "Debian packages" if exact else "models" if place.startswith(_MODELS) else "sources"
    if path.is_symlink():
        return Expected(Member("link", 0o777, owner, os.readlink(path)), source, str(path))
    with path.open("rb") as file:
        digest, status = hashlib.file_digest(file, "sha256").hexdigest(), os.fstat(file.fileno())
    mode = status.st_mode & 0o7777 if exact else 0o755 if status.st_mode & 0o100 else 0o644
    return Expected(Member("file", mode, owner, digest), source, str(path))


def summed(path: Path) -> dict[str, Expected]:
    """Return the files of models that the output of sha256sum lists, by their paths in the image."""
    lines = (each.split("  ", 1) for each in path.read_text("utf-8").split("\n") if each)
    files = {place.lstrip("/"): Member("file", 0o644, USER, digest) for digest, place in lines}
    return {place: Expected(each, "models", str(path)) for place, each in files.items()}


def with_links(files: dict[str, Expected], members: Collection[Found]) -> dict[str, Expected]:
    """Return files, where an image can have a link to a file of models in place of a file with the same hash."""
    found = dict(files)
    for _, path, member in members:
        each, directory = files.get(path), posixpath.dirname(path)
        target = posixpath.normpath(posixpath.join(directory, member.what))
        is_model = each and each.source == "models" and each.member.kind == "file" and member.kind == "link"
        # In this one form, no part of a path can be a link.
        is_plain = target != path and member.what == posixpath.relpath(target, directory)
        is_same_content = each and found.get(target, each).member.what == each.member.what
        if each and is_model and is_plain and is_same_content and target.startswith(_MODELS):
            found |= {target: each, path: each._replace(member=Member("link", 0o777, USER, member.what))}
    return found
