"""Files of the user: of a project, a Bento, models, and others. They are trusted, and compared byte by byte."""

import hashlib
import os
import posixpath
import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from bento_proof.base import Base
from bento_proof.model import HOME, USER, Expected, Found, Member, UnableError

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
        paths = [(each, f"{target}/{os.path.relpath(each, source)}") for each in _walk(source)]
        for path, place in paths if source.is_dir() and not source.is_symlink() else [(source, target)]:
            directory, _, name = posixpath.normpath(place.strip("/")).rpartition("/")
            place = f"{base.resolve(directory)}/{name}" if directory else name
            is_writable = place.startswith(tuple(f"{each}/" for each in writable))
            if place in there or exact:
                found[place] = _read(path, USER if is_writable else owner, place, exact)
            elif not _HIDDEN.fullmatch(place):
                absent.append(place)
    return found, sorted(absent)


def _walk(top: Path) -> Iterator[Path]:
    for directory, names, files in os.walk(top):
        yield from (path for name in (*files, *names) if (path := Path(directory, name)).is_symlink() or name in files)


def _read(path: Path, owner: tuple[int, int], place: str, exact: bool) -> Expected:
    source = "Debian packages" if exact else "models" if place.startswith(_MODELS) else "sources"
    if path.is_symlink():
        return Expected(Member("link", 0o777, owner, os.readlink(path)), source, str(path))
    try:
        with path.open("rb") as file:
            digest, status = hashlib.file_digest(file, "sha256").hexdigest(), os.fstat(file.fileno())
    except OSError as error:
        raise UnableError(f"{path}: {error.strerror}.") from None
    mode = status.st_mode & 0o7777 if exact else 0o755 if status.st_mode & 0o100 else 0o644
    return Expected(Member("file", mode, owner, digest), source, str(path))


def summed(path: Path) -> dict[str, Expected]:
    """Return the files of models that the output of sha256sum lists, by their paths in the image."""
    found = {}
    for digest, place in (each.split("  ", 1) for each in path.read_text("utf-8").split("\n") if each):
        found[place.lstrip("/")] = Expected(Member("file", 0o644, USER, digest), "models", str(path))
    return found


def with_links(files: dict[str, Expected], members: Collection[Found]) -> dict[str, Expected]:
    """Return files, where an image has links to files of models in their places: the link is as good as the file."""
    found = dict(files)
    for _, path, member in members:
        each, target = files.get(path), posixpath.normpath(f"{posixpath.dirname(path)}/{member.what}")
        is_model = each and each.source == "models" and each.member.kind == "file" and member.kind == "link"
        is_one = each and found.get(target, each).member.what == each.member.what  # for all links to it
        if each and is_model and is_one and target.startswith(_MODELS):
            found |= {target: each, path: each._replace(member=Member("link", 0o777, USER, member.what))}
    return found
