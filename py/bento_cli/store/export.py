"""Writes an entry of the store as an archive that BentoML can import.

Members are sorted by path and have no times or owners; files have mode 0644 or 0755. Therefore, the archive doesn't
depend on the user who exports the entry. In contrast to BentoML's export, which temporarily adds `models/` to the
entry, this export doesn't change the store. The archive is created atomically.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from itertools import chain, groupby
from pathlib import Path

from rules_bento.base import tree_walk
from rules_bento.base.archives import archive, tarstream
from rules_bento.base.archives.atomic import atomic_dir, atomic_file, is_unfinished, write_error
from rules_bento.base.archives.tarstream import Member
from rules_bento.base.dataclasses_lite import dataclass
from rules_bento.base.errors import BentoError
from rules_bento.base.formats.times import newest
from rules_bento.base.tag import LATEST, Tag
from rules_bento.base.typing_lite import TYPE_CHECKING, BinaryIO, Iterable, Iterator, cast
from rules_bento.bentos.assembly.kinds import BENTO, Kind

if TYPE_CHECKING:
    from rules_bento.base.archives.unpack import Advance, Form

    from bento_cli.store.entry_store import Entry
    from bento_cli.transports.address import Address

_KNOWN: dict[str, Form] = {".gz": "gz", ".xz": "xz", ".bz2": "bz2", ".tar": "tar", ".zip": "zip", ".zst": "zst"}
_SUFFIX: dict[str, str] = {"gz": ".tar.gz", "bz2": ".tar.bz2", "zst": ".tar.zst", "tar": ".tar", "zip": ".zip"}


@dataclass(frozen=True)
class Exported:
    """The result of an export. `excluded` contains the tags of models on Hugging Face Hub."""

    entry: Entry
    path: Path | Address
    models: tuple[Tag, ...]  # models in the archive
    excluded: tuple[str, ...]  # models on the Hugging Face Hub, which are downloaded when the Bento is served


def destination(kind: Kind, tag: Tag, out: str, form: Form | None) -> tuple[Path, Form]:
    """Return the path and the format of the archive that `bentoml export TAG OUT` writes.

    An empty `out` means the current directory. If `out` is a directory or ends with a slash, the file name is
    `NAME-VERSION` with the suffix of the format. If the suffix of `out` is unknown, appends the default suffix.
    """
    path = Path(out or ".")
    if form == "folder":
        return path, form
    directory = not out or out.endswith("/") or path.is_dir()
    name, form = file_name(kind, tag, "" if directory else path.name, form)
    return (path / name if directory else path.with_name(name)), form


def file_name(kind: Kind, tag: Tag, name: str, form: Form | None) -> tuple[str, Form]:
    """Return an archive's file name and format. If `name` is empty, the file name is `NAME-VERSION` with a suffix."""
    suffix = f".{kind.extension}"
    if not name:
        return f"{tag.name}-{tag.version}{_SUFFIX.get(form or '', suffix)}", form or "xz"
    if form is None:
        known = Path(name).suffix
        form = _KNOWN.get(known)
        if form is None:
            return (name if known == suffix else name + suffix), "xz"
    return name, form


def contents(entry: Entry, models: Iterable[Entry]) -> Iterator[Member]:
    """Yield the members of an entry and its models, sorted by path. Raises BentoError for an unsupported file."""
    models = sorted(models, key=lambda model: model.tag)
    bundled = False
    for member in own_members(entry):
        if models and not bundled and member.path > "models":
            bundled = True
            yield from _models(models)
        yield member
    if models and not bundled:
        yield from _models(models)


def write(file: BinaryIO, form: Form, members: Iterable[Member]) -> None:
    """Write members to an open file in any format except `folder`."""
    if form == "zip":
        archive.write_zip(file, streamed_members(members))
    else:
        archive.write_tar(file, cast("archive.TarForm", form), chain(tarstream.stream(members), [tarstream.END]))


@contextmanager
def whole(path: Path) -> Iterator[BinaryIO]:  # writes: output, of the user
    """Yield a temporary file that replaces `path` if the `with` block succeeds. Converts OSError to BentoError."""
    try:
        with atomic_file(path) as file:
            yield file
    except OSError as error:
        raise _failure(path, error) from error


def _failure(path: Path, error: OSError) -> BentoError:
    if error.filename is None or is_unfinished(os.fsdecode(error.filename), path):
        return write_error(path, error)
    problem = f"cannot read the file: {error.strerror or error}"
    return BentoError(problem, place=str(error.filename), remedy="Check the file's permissions.")


def _models(models: list[Entry]) -> Iterator[Member]:
    yield Member.directory("models")
    for name, group in groupby(models, lambda model: model.tag.name):
        versions = [*group]
        yield Member.directory(f"models/{name}")
        if latest := newest(versions, lambda model: model.creation_time):
            yield Member.inline(f"models/{name}/{LATEST}", latest.tag.version.encode())
        for model in versions:
            top = f"models/{name}/{model.tag.version}"
            yield Member.directory(top)
            yield from walk(model.path, f"{top}/")


def own_members(entry: Entry) -> Iterator[Member]:
    """Yield the members of an entry, sorted by path, without a Bento's models. Raises the same errors as `walk`."""
    return walk(entry.path, "", skip="models" if entry.kind is BENTO else "")


def walk(directory: Path, prefix: str, skip: str = "") -> Iterator[Member]:
    """Yield files, directories, and links of an entry, except the path `skip`. Raises BentoError for special files."""
    top = os.path.join(directory, skip)  # noqa: PTH118 - as in `DirEntry.path`
    for name, entry in tree_walk.walk(directory, without=tree_walk.GENERATED, enter=lambda entry: entry.path != top):
        path = prefix + name
        if name == skip:
            continue
        if entry.is_symlink():
            yield Member.symlink(path, os.readlink(entry.path))  # noqa: PTH115 - Path.readlink normalizes the target
        elif entry.is_dir():
            yield Member.directory(path)
        elif entry.is_file():
            status = entry.stat()
            yield Member.file(path, entry.path, size=status.st_size, mode=0o755 if status.st_mode & 0o100 else 0o644)
        else:
            remedy = "Remove the file."
            raise BentoError("sockets, pipes, and devices aren't supported", place=entry.path, remedy=remedy)


def counted(members: Iterable[Member], progress: Advance | None) -> Iterator[Member]:
    """Yield the members unchanged. Calls `progress` with the size of each member that was written."""
    for member in members:
        yield member
        if progress:
            progress(member.size)


def streamed_members(members: Iterable[Member]) -> Iterator[Member]:
    """Yield the members with their contents. Raises BentoError for a member that an archive can't contain."""
    for member in tarstream.checked_members(members):
        is_file = not (member.is_directory or member.link is not None)
        yield member._replace(contents=tarstream.contents(member) if is_file else None)


def write_directory(path: Path, members: Iterable[Member]) -> None:  # writes: output, of the user
    """Atomically write members to a new or empty directory. Raises BentoError on failure."""
    if path.is_dir() and any(path.iterdir()):
        raise BentoError("the directory isn't empty", place=str(path), remedy="Specify a new or empty directory.")
    try:
        with atomic_dir(path) as directory:
            archive.write_directory(directory, streamed_members(members))
    except OSError as error:
        raise _failure(path, error) from error
