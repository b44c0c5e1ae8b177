"""Writes image layers: compressed tars of wheels or files, with the digests to which images refer.

A layer is a tar (OCI image layer specification). The diff id is the digest of the tar, and the layer's digest is the
digest of the stored blob. One pass writes the layer and computes both digests and the sizes. All members have the same
time, and each directory precedes its contents.

- `gzip` layers reuse the deflate streams of wheels (module `gzip`). Only files that the installation changes are
  compressed again.
- `zstd` layers have one frame per `ZSTD_FRAME` bytes of tar. Each frame contains its size, but no checksum. In layers
  of models and files, incompressible data is stored without compression, as in `gzip` layers.
- `none` layers are uncompressed tars.

The bytes of a layer depend only on the inputs, and on the versions of libzstd (pinned) and zlib (for data that wheels
don't compress). The bytes don't depend on the number of cores or on the host.
"""

from __future__ import annotations

from itertools import chain

from rules_bento.archives import xz
from rules_bento.archives.atomic import atomic_file
from rules_bento.archives.recipe import RecipeWriter
from rules_bento.archives.streams import coalesce
from rules_bento.archives.tarstream import END, Member, contents, is_utf8
from rules_bento.dataclasses_lite import NamedTuple
from rules_bento.errors import BentoError
from rules_bento.images.layers import gzip, headers, zstd
from rules_bento.images.layers.gzip import RAW, RECORD_TEXT, REUSED, REUSED_WHOLE
from rules_bento.images.wheels.install import InstallLayout, installed_directories, installed_files
from rules_bento.typing_lite import TYPE_CHECKING, BinaryIO, Callable, Iterable, Iterator, Literal

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from rules_bento.archives.zipread import Chunk, ZipMember
    from rules_bento.images.layers.gzip import Piece
    from rules_bento.images.wheels.install import Installed
    from rules_bento.images.wheels.wheel import Wheel

    Encoder = Callable[[Iterator[Piece]], Iterator[bytes]]
    Watch = Callable[[ZipMember, Iterator[Chunk]], Iterator[Chunk]]

Compression = Literal["zstd", "gzip", "none"]

# Bytes of tar in a zstd frame: the level's window. Smaller frames compress worse; larger frames need more memory.
ZSTD_FRAME = 2 << 20
GZIP_MEMBER = 1 << 20  # bytes of tar in a gzip member without reused streams
MEDIA_TYPES: dict[Compression, str] = {
    "none": "application/vnd.oci.image.layer.v1.tar",
    "gzip": "application/vnd.oci.image.layer.v1.tar+gzip",
    "zstd": "application/vnd.oci.image.layer.v1.tar+zstd",
}

_LARGE = 4 << 20  # bytes
_DIRECTORY_MODE, _FILE_MODE, _EXECUTABLE_MODE = 0o755, 0o644, 0o755
_WHITEOUT = ".wh."


class LayerInfo(NamedTuple):
    """The digests (`sha256:` and hexadecimal digits) and sizes in bytes of a written layer."""

    diff_id: str  # of the tar
    digest: str  # of the file
    size: int  # of the file
    uncompressed_size: int  # of the tar


def write_wheel_layer(
    out: Path,
    wheel: Wheel,
    layout: InstallLayout,
    compression: Compression,
    *,
    threads: int | None = None,
    watch: Watch | None = None,
) -> LayerInfo:
    """Atomically write a layer that contains an installed wheel. Uses less than 200 MB of memory."""
    tar = Sum()
    return write_blob(
        out, tar, _wheel_blob(WheelPlan.of(wheel, layout), set(), layout, compression, tar, threads, watch)
    )


def write_wheel_recipe(out: Path, wheel: Wheel, layout: InstallLayout, *, watch: Watch | None = None) -> LayerInfo:
    """Write a recipe that rebuilds a wheel's gzip layer. Returns the digests and sizes of the layer."""
    tar, blob = Sum(), Sum()
    with wheel.file.open("rb") as source, open_output(out) as file:
        recipe = RecipeWriter(file, source)

        def begin(member: ZipMember, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
            recipe.begin(member)
            return watch(member, chunks) if watch else chunks

        pieces = _wheel_blob(WheelPlan.of(wheel, layout), set(), layout, "gzip", tar, None, begin)
        for piece in blob.hashing(pieces):
            recipe.add(piece)
        recipe.close()
    return LayerInfo(tar.digest, blob.digest, blob.size, tar.size)


def write_files_layer(
    out: Path, entries: Iterable[Member], compression: Compression, *, threads: int | None = None, parents: bool = True
) -> LayerInfo:
    """Sort `entries` by path, and write them atomically as a layer. Uses all cores unless `threads` is set.

    Adds missing directories, each with the owner of the directory above it. If `parents` is false, adds no directories,
    so that unpacking keeps the directories of lower layers. Raises BentoError if a source doesn't have its declared
    size. Also raises BentoError if a path is absolute, not normalized, repeated, or below a file or link.
    """
    entries = list(entries)
    given = {entry.path for entry in entries}
    whole = [entry for entry in _with_directories(entries) if parents or entry.path in given]
    tar = Sum()
    return write_blob(out, tar, _tar_blob(_files_tar(whole), compression, tar, threads, storing=True))


def stream_files_layer(entries: Iterable[Member], compression: Literal["gzip", "zstd"], tar: Sum) -> Iterator[bytes]:
    """Yield a compressed layer with `entries` and missing parent directories. Adds the uncompressed data to `tar`."""
    return _tar_blob(_files_tar(_with_directories(entries)), compression, tar, None, storing=True)


def write_tar_layer(
    out: Path, tar: Iterable[bytes], compression: Compression, *, threads: int | None = None
) -> LayerInfo:
    """Write a layer atomically. `tar` yields the pieces of a tar without end-of-archive records."""
    total = Sum()
    return write_blob(out, total, _tar_blob(map(raw_piece, tar), compression, total, threads))


class Sum:
    """Computes the SHA-256 digest and the size of a stream of bytes."""

    def __init__(self) -> None:
        import hashlib

        self._digest = hashlib.sha256()
        self.size = 0

    def add(self, data: bytes | memoryview) -> None:
        """Add a piece of the stream to the digest and the size."""
        self._digest.update(data)
        self.size += len(data)

    def hashing(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the pieces unchanged, and add each to the digest and the size."""
        for piece in pieces:
            self.add(piece)
            yield piece

    @property
    def digest(self) -> str:
        """The digest in OCI format: `sha256:` and hexadecimal digits."""
        return f"sha256:{self._digest.hexdigest()}"


def write_layer(out: Path, pieces: Iterable[Piece], encode: Encoder) -> LayerInfo:
    """Encode the pieces of a tar with `encode`, and write them as a layer atomically."""
    tar = Sum()
    return write_blob(out, tar, encode(_counted(pieces, tar)))


def write_blob(out: Path, tar: Sum, pieces: Iterable[bytes]) -> LayerInfo:
    """Atomically write `pieces`, which yields the compressed layer, and adds the uncompressed data to `tar`."""
    blob = Sum()
    with open_output(out) as file:
        file.writelines(blob.hashing(coalesce(pieces)))
    return LayerInfo(tar.digest, blob.digest, blob.size, tar.size)


def write_part(out: Path, pieces: Iterable[Piece], compression: Compression) -> None:
    """Atomically write a layer part (see `parts`)."""
    _write_part(out, _tar_blob(pieces, compression, None, 1))


def write_wheel_part(
    out: Path, plan: WheelPlan, layout: InstallLayout, known: set[str], compression: Compression, watch: Watch | None
) -> None:
    """Write the layer part for a wheel, as `write_part` does. Omits the directories in `known`."""
    _write_part(out, _wheel_blob(plan, known, layout, compression, None, 1, watch))


def _write_part(out: Path, pieces: Iterable[bytes]) -> None:
    with open_output(out) as file:
        file.writelines(coalesce(pieces))


def _tar_blob(
    pieces: Iterable[Piece], compression: Compression, tar: Sum | None, threads: int | None, *, storing: bool = False
) -> Iterator[bytes]:
    """Compress `pieces` to a layer, or to a layer part if `tar` is None."""
    encode = encoder(compression, threads, storing=storing)
    return encode(_counted(chain(pieces, [raw_piece(END)]), tar) if tar else iter(pieces))


def _wheel_blob(
    plan: WheelPlan,
    known: set[str],
    layout: InstallLayout,
    compression: Compression,
    tar: Sum | None,
    threads: int | None,
    watch: Watch | None,
) -> Iterator[bytes]:
    """Do the same as `_tar_blob`, for the files of a wheel. Omits the directories in `known`."""
    carry = compression == "gzip"
    encode = gzip.reuse if carry else encoder(compression, threads)
    pieces = _pieces(wheel_members(plan, known, carry=carry, watch=watch), layout, END if tar else b"")
    return encode(_counted(pieces, tar) if tar else pieces)


def _counted(pieces: Iterable[Piece], tar: Sum) -> Iterator[Piece]:
    for piece in pieces:
        records, _, data, _ = piece
        if records:
            tar.add(records)
        if data:
            tar.add(data)
        yield piece


def open_output(out: Path) -> AbstractContextManager[BinaryIO]:
    """Open a temporary file that is renamed to `out` if the `with` block succeeds."""
    # Until a large block is freed once, glibc returns free memory to the kernel and requests it again:
    # 17,000 page faults, and 4 percent of the time of a layer.
    bytes(_LARGE)
    return atomic_file(out)


def raw_piece(data: bytes) -> Piece:
    """Return a tar piece for `data`, without a deflate stream to reuse."""
    return b"", RAW, data, b""


def encoder(compression: Compression, threads: int | None, *, storing: bool = False) -> Encoder:
    """Return a function that compresses tar pieces. If `storing` is true, zstd writes incompressible data unchanged."""
    if compression == "none":
        return _tar
    if compression == "gzip":
        return lambda pieces: xz.ordered_map(gzip.compress, xz.split(_tar(pieces), GZIP_MEMBER), threads)
    frame = zstd.frames(storing=storing)
    return lambda pieces: xz.ordered_map(frame, xz.split(_tar(pieces), ZSTD_FRAME), threads)


def _tar(pieces: Iterable[Piece]) -> Iterator[bytes]:
    for records, _, data, _ in pieces:
        if records:
            yield records
        if data:
            yield data


class WheelPlan(NamedTuple):
    """A wheel, and the directories and files to install from it."""

    wheel: Wheel
    directories: list[str]  # directories that the wheel lists
    files: list[Installed]

    @classmethod
    def of(cls, wheel: Wheel, layout: InstallLayout) -> WheelPlan:
        """Return the plan for a wheel. Raises BentoError if the wheel can't be installed in this layout."""
        return cls(wheel, installed_directories(wheel, layout), installed_files(wheel, layout))

    def all_directories(self) -> set[str]:
        """Return the directories that the wheel lists, and all parent directories of its files."""
        known: set[str] = set()
        for path in (*(f"{directory}/" for directory in self.directories), *(file.path for file in self.files)):
            _new_directories(path, known)
        return known


class WheelMember(NamedTuple):
    """The directories to write next, and the wheel's file after the directories (None if no file follows)."""

    directories: list[str]
    file: Installed | None
    chunks: Iterable[Chunk]


def wheel_members(
    plan: WheelPlan, known: set[str], *, carry: bool, watch: Watch | None = None
) -> Iterator[WheelMember]:
    """Yield a wheel's files, and the directories that aren't in `known`.

    If `watch` is set, passes each file's chunks to `watch`, which must yield the chunks unchanged.
    `carry` is passed to `Wheel.chunks` as `join`.
    """
    wheel, directories, files = plan
    members = wheel.chunks((file.member for file in files if file.member and file.size), join=carry)
    for directory in directories:
        yield WheelMember(_new_directories(f"{directory}/", known), None, ())
    for file in files:
        new = [] if file.path.rpartition("/")[0] in known else _new_directories(file.path, known)
        chunks: Iterable[Chunk] = ()
        if file.member and file.member.size:
            chunks = watch(file.member, next(members)) if watch else next(members)
        yield WheelMember(new, file, chunks)


def _pieces(members: Iterable[WheelMember], layout: InstallLayout, end: bytes) -> Iterator[Piece]:
    before = b""  # bytes to write before the next header
    for directories, file, chunks in members:
        if directories:
            before += b"".join([directory_header(directory, layout) for directory in directories])
        if file is None:
            continue
        size = file.size
        mode = _EXECUTABLE_MODE if file.executable else _FILE_MODE
        before += headers.header(file.path, headers.REGULAR, mode, layout.uid, layout.gid, size)
        if file.member and size:
            for data, packed, joined in chunks:
                kind = RAW if packed is None else REUSED_WHOLE if joined else REUSED
                yield before, kind, data, packed or b""
                before = b""
        else:
            yield before, RECORD_TEXT, file.data, b""
        before = headers.padding(size)
    yield before + end, RAW, b"", b""


def directory_header(directory: str, layout: InstallLayout) -> bytes:
    """Return the tar header of a directory. Root owns directories outside of the environment."""
    return headers.header(directory, headers.DIRECTORY, _DIRECTORY_MODE, *_directory_owner(directory, layout))


def _directory_owner(directory: str, layout: InstallLayout) -> tuple[int, int]:
    roots = (layout.prefix, layout.site_packages, layout.scripts, layout.headers)
    is_in_environment = any(f"/{directory}/".startswith(f"{root}/") for root in roots)
    return (layout.uid, layout.gid) if is_in_environment else (0, 0)


def _files_tar(entries: Iterable[Member]) -> Iterator[Piece]:
    for entry in entries:
        kind = headers.DIRECTORY if entry.is_directory else headers.REGULAR if entry.link is None else headers.LINK
        size, link = entry.size, entry.link or ""
        yield raw_piece(headers.header(entry.path, kind, entry.mode, entry.uid, entry.gid, size, link))
        yield from map(raw_piece, contents(entry))
        yield raw_piece(headers.padding(size))


def _with_directories(entries: Iterable[Member]) -> list[Member]:
    """Return the entries and their missing parent directories, sorted by path. Raises BentoError for conflicts."""
    by_path: dict[str, Member] = {}
    for entry in entries:
        for text in (entry.path, entry.link or ""):
            if not is_utf8(text):
                raise BentoError(f"{text!r}: the name isn't UTF-8. Rename the file.")
        for part in entry.path.split("/"):
            if part in ("", ".", "..") or "\0" in part or part.startswith(_WHITEOUT):
                raise BentoError(
                    f"{entry.path!r}: invalid path in a layer. Use a normalized relative path. Names of files and "
                    f"directories must not start with {_WHITEOUT!r}."
                )
        if entry.path in by_path:
            raise BentoError(f"{entry.path}: the layer contains this path twice. Remove one of the files.")
        by_path[entry.path] = entry
    for path in sorted(by_path):
        above: Member | None = None
        for directory in _parents(path):
            uid, gid = (above.uid, above.gid) if above else (0, 0)
            above = by_path.setdefault(directory, Member.directory(directory, uid=uid, gid=gid))
            if not above.is_directory:
                raise BentoError(
                    f"{path}: the parent directory {directory} is also a file or a link. Move or rename one of the "
                    "files."
                )
    return [by_path[path] for path in sorted(by_path)]


def _new_directories(path: str, known: set[str]) -> list[str]:
    """Return the parents of `path` that aren't in `known`, topmost first, and add them to `known`."""
    directory = path.rpartition("/")[0]
    if directory in known:
        return []
    new = [directory for directory in _parents(path) if directory not in known]
    known.update(new)
    return new


def _parents(path: str) -> list[str]:
    parents = []
    at = path.find("/")
    while at >= 0:
        parents.append(path[:at])
        at = path.find("/", at + 1)
    return parents
