"""Reads layers from any image builder as streams."""

from __future__ import annotations

from rules_bento.base.archives import tarread
from rules_bento.base.errors import BentoError
from rules_bento.base.typing_lite import TYPE_CHECKING, Callable, Iterable, Iterator, TypeVar
from rules_bento.bentos.sources.cpu_arch import HEAD
from rules_bento.images.registry.descriptor import new_hash

if TYPE_CHECKING:
    from pathlib import Path

    from rules_bento.base.archives.tarread import TarMember

# How a layer removes files of the layers below: OCI image layer specification, "Whiteouts".
WHITEOUT, OPAQUE_WHITEOUT = ".wh.", ".wh..wh..opq"
_MAX_SIZE = 256 << 30  # bytes of a file: skipping a file means reading it
_MAX_NAMES = 64 << 20  # characters of the paths of found files, which are kept in memory
_MAX_KEPT_FILE = 1 << 26
_MAX_KEPT = 1 << 28
_Value = TypeVar("_Value")


def members(blob: Path, media_type: str, diff_id: str = "") -> tarread.Members:
    """Yield each member with its contents. Omits a leading `./` of names.

    Raises BentoError for an unreadable layer or a decompression bomb. If `diff_id` is set, also raises BentoError for
    another diff ID after the last member, as runtimes do.
    """
    form = next((form for ending, form in (("+zstd", "zst"), ("+gzip", "gz")) if media_type.endswith(ending)), "tar")
    where = f"{blob.name}: the layer cannot be read"
    hashed = new_hash(diff_id or "sha256")
    with blob.open("rb") as file:
        for member, contents in tarread.compressed_members(file, form, where, hashed.update):
            if member.size > _MAX_SIZE:
                problem = f"{member.name!r} has {member.size} bytes, but the limit is {_MAX_SIZE}"
                raise BentoError(problem, place=where, remedy="Use an image without this file.")
            yield member._replace(name=member.name.removeprefix("./")), contents
    if diff_id and diff_id.partition(":")[2] != hashed.hexdigest():
        problem = f"the image config contains the diff ID {diff_id}, but the layer has {hashed.hexdigest()}"
        raise BentoError(problem, place=blob.name, remedy="Build or pull the image again.")


def merge(
    layers: Iterable[tuple[Path, str, str]],
    value: Callable[[str, TarMember, Iterator[bytes | memoryview]], _Value | None],
    place: Callable[[str], str] = str,
) -> dict[str, _Value]:
    """Return the values of the members of an image by path, without those whose value is None.

    A layer has a blob, a media type, and a diff ID. `value` gets a path, a member, and its contents. `place` returns
    the path of a member without the links of the image. A member replaces the one at its path in the layers below; what
    isn't a directory also replaces the contents of a directory, as in containers.
    """
    found: dict[str, _Value] = {}
    for layer in layers:
        hidden: set[str] = set()  # of the layers below
        here: dict[str, _Value] = {}
        for member, pieces in members(*layer):
            path = member.name.strip("/")
            if member.kind != "link":
                path = place(path)
            if path.rpartition("/")[2].startswith(WHITEOUT):
                hidden |= hidden_by(path)
            elif path not in ("", "."):
                hidden |= {path} if member.kind == "folder" else {path, f"{path}/"}
                here.pop(path, None)
                if (each := value(path, member, pieces)) is not None:
                    here[path] = each
        found = {path: each for path, each in found.items() if not is_hidden(path, hidden)} | here
    return found


def read_files(
    layers: Iterable[tuple[Path, str, str]],
    found: Callable[[str, bytes | None], bool],
    kept: Callable[[str], bool] = lambda _path: False,
) -> dict[str, bytes]:
    """Return the contents of selected files in an image, by path. A layer has a blob, a media type, and a diff ID.

    If `kept(path)` is true, the result includes the complete file. For other files, calls `found` with the path and the
    first `HEAD` bytes, or None for links. If `found` returns true, the result includes these bytes.
    """
    names = size = 0

    def value(path: str, member: TarMember, pieces: Iterator[bytes | memoryview]) -> bytes | None:
        nonlocal names, size
        data, is_kept = None, member.kind != "folder" and kept(path)
        if is_kept and (member.size > _MAX_KEPT_FILE or member.kind == "sparse file"):
            problem = f"{path} is a sparse file, or has more than {_MAX_KEPT_FILE} bytes"
            raise BentoError(problem, place="base", remedy="Use another base image.")
        if member.kind == "file":
            data = b"".join(pieces) if is_kept else _head(pieces)
        if not is_kept:
            data = (data or b"") if member.kind != "folder" and found(path, data) else None
        names, size = names + (0 if data is None else len(path)), size + len(data or b"")
        if names > _MAX_NAMES or size > _MAX_KEPT:
            problem = "the system files of the layers, such as the package database, exceed the size limit"
            raise BentoError(problem, place="base", remedy="Use another base image.")
        return data

    return merge(layers, value)


def hidden_by(path: str) -> set[str]:
    """Return what a whiteout hides in the layers below: a path and its content, or the content of a directory."""
    directory, _, name = path.rpartition("/")
    if name == OPAQUE_WHITEOUT:
        return {f"{directory}/" if directory else ""}
    removed = f"{directory}/{name.removeprefix(WHITEOUT)}".lstrip("/")
    return {removed, f"{removed}/"}


def is_hidden(path: str, hidden: set[str]) -> bool:
    """Return whether whiteouts, whose results of `hidden_by` are in `hidden`, hide a path."""
    if not hidden:
        return False
    places = (path[: at + 1] for at, character in enumerate(path) if character == "/")
    return path in hidden or "" in hidden or any(place in hidden for place in places)


def _head(contents: Iterator[bytes | memoryview]) -> bytes:
    head = b""
    for piece in contents:
        head += piece[: HEAD - len(head)]
        if len(head) >= HEAD:
            break
    return head
