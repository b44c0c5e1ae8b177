"""Writes image layers: compressed tars of wheels or files, with the digests to which images refer.

A layer is a tar (OCI image layer specification). The diff id is the digest of the tar, and the layer's digest is the
digest of the stored blob. One pass writes the layer and computes both digests and the sizes. All members have the same
time, and each directory precedes its contents.

The forms of layers (module `forms`) are:

- `gzip`: layers of wheels reuse the deflate streams of wheels (module `gzip`). Only files that the installation changes
  are compressed again. Other layers have a member per `GZIP_BLOCK` bytes of tar, or one member for readers of streams.
- `zstd`: one frame per `ZSTD_FRAME` bytes of tar. Each frame contains its size, but no checksum. In layers of models
  and files, incompressible data is stored without compression, as in `gzip` layers.
- `none`: uncompressed tars.

The bytes of a layer depend only on the inputs, and on pinned compressors (module `compressors`), but neither on the
number of cores nor on the host.
"""

from __future__ import annotations

import hashlib
from itertools import chain

from rules_bento.base.archives.atomic import atomic_file
from rules_bento.base.archives.recipe import RecipeWriter
from rules_bento.base.archives.streams import coalesce
from rules_bento.base.archives.tarstream import END, Member, contents, is_utf8
from rules_bento.base.archives.zipread import Chunk, ZipMember
from rules_bento.base.dataclasses_lite import NamedTuple
from rules_bento.base.errors import BentoError
from rules_bento.base.formats.oci import TAR_LAYER, Layer
from rules_bento.base.typing_lite import TYPE_CHECKING, BinaryIO, Callable, Iterable, Iterator, Literal
from rules_bento.images.layers import gzip, headers, zstd
from rules_bento.images.layers.forms import Blocks, LayerForm, TarFile, Uncompressed, encode
from rules_bento.images.wheels.install import Installed, InstallLayout, installed_directories, installed_files

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from rules_bento.images.wheels.wheel import Wheel

    Watch = Callable[[ZipMember, Iterator[Chunk]], Iterator[Chunk]]

Compression = Literal["zstd", "gzip", "none"]

# Bytes of tar in a zstd frame: the level's window. Smaller frames compress worse; larger frames need more memory.
ZSTD_FRAME = 2 << 20
GZIP_BLOCK = 1 << 20  # bytes of tar that are compressed together in gzip layers without reused streams
MEDIA_TYPES: dict[Compression, str] = {"none": TAR_LAYER, "gzip": f"{TAR_LAYER}+gzip", "zstd": f"{TAR_LAYER}+zstd"}

_LARGE = 4 << 20  # bytes
_DIRECTORY_MODE, _FILE_MODE, _EXECUTABLE_MODE = 0o755, 0o644, 0o755
_WHITEOUT = ".wh."


def new_form(
    compression: Compression, threads: int | None = None, *, storing: bool = False, one_member: bool = False
) -> LayerForm:
    """Return a form for any files. If `storing` is true, zstd writes incompressible data unchanged.

    If `one_member` is true, a gzip layer is a single member, in which a SOCI index can't refer to stored data.
    """
    if compression == "none":
        return Uncompressed()
    if compression == "gzip":
        return gzip.OneMember(GZIP_BLOCK, threads) if one_member else Blocks(gzip.compress, GZIP_BLOCK, threads)
    return Blocks(zstd.frames(storing=storing), ZSTD_FRAME, threads)


def wheel_form(compression: Compression, threads: int | None = None) -> LayerForm:
    """Return a form for the files of a wheel."""
    if compression == "gzip":
        return gzip.ReusingGzip()
    return new_form(compression, threads)


def write_wheel_layer(
    out: Path,
    wheel: Wheel,
    layout: InstallLayout,
    compression: Compression,
    *,
    threads: int | None = None,
    watch: Watch | None = None,
) -> Layer:
    """Atomically write a layer that contains an installed wheel. Uses less than 200 MB of memory."""
    form = wheel_form(compression, threads)
    files = WheelPlan.of(wheel, layout).tar_files(set(), form, watch, END, threads)
    return write_layer(out, files, compression, form)  # writes: output, of the caller


def write_wheel_recipe(out: Path, wheel: Wheel, layout: InstallLayout, *, watch: Watch | None = None) -> Layer:
    """Write a recipe that rebuilds a wheel's gzip layer. Returns the layer."""
    tar, blob, form = Sum(), Sum(), wheel_form("gzip")
    with wheel.file.open("rb") as source, open_output(out) as file:  # writes: output, of the caller
        recipe = RecipeWriter(file, source)

        def begin(member: ZipMember, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
            recipe.begin(member)
            return watch(member, chunks) if watch else chunks

        files = WheelPlan.of(wheel, layout).tar_files(set(), form, begin, END, None)
        for piece in blob.hashing(encode(form, _counted(files, tar))):
            recipe.add(piece)
        recipe.close()
    return written_layer("gzip", blob, tar)


def write_files_layer(
    out: Path,
    entries: Iterable[Member],
    compression: Compression,
    *,
    threads: int | None = None,
    one_member: bool = False,
) -> Layer:
    """Sort `entries` by path, and write them atomically as a layer. Uses all cores unless `threads` is set.

    Adds missing directories, each with the owner of the directory above it. Raises BentoError if a source doesn't have
    its declared size. Also raises BentoError if a path is absolute, not normalized, repeated, or below a file or link.
    """
    form = new_form(compression, threads, storing=True, one_member=one_member)
    return write_layer(out, _tar_files(_with_directories(entries)), compression, form)  # writes: output, of the caller


def stream_files_layer(entries: Iterable[Member], compression: Literal["gzip", "zstd"], tar: Sum) -> Iterator[bytes]:
    """Yield a compressed layer with `entries` and missing parent directories. Adds the uncompressed data to `tar`."""
    form = new_form(compression, storing=True, one_member=True)
    return encode(form, _counted(_tar_files(_with_directories(entries)), tar))


def write_tar_layer(out: Path, tar: Iterable[bytes], compression: Compression) -> Layer:
    """Write a layer atomically. `tar` yields the pieces of a tar without end-of-archive records."""
    return write_layer(
        out, map(TarFile, chain(tar, [END])), compression, new_form(compression)
    )  # writes: output, of the caller


class Sum:
    """Computes the SHA-256 digest and the size of a stream of bytes.

    >>> total = Sum()
    >>> total.add(b"abc")
    >>> total.size, total.digest[:11]
    (3, 'sha256:ba78')
    """

    def __init__(self) -> None:
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


def write_layer(out: Path, files: Iterable[TarFile], compression: Compression, form: LayerForm) -> Layer:
    """Atomically write a layer. `files` includes the end-of-archive records."""
    tar = Sum()
    return write_encoded(out, encode(form, _counted(files, tar)), compression, tar)  # writes: output, of the caller


def write_encoded(out: Path, pieces: Iterable[bytes], compression: Compression, tar: Sum) -> Layer:
    """Atomically write an encoded layer. The iteration over `pieces` must add the uncompressed data to `tar`."""
    blob = Sum()
    with open_output(out) as file:  # writes: output, of the caller
        file.writelines(blob.hashing(coalesce(pieces)))
    return written_layer(compression, blob, tar)


def written_layer(compression: Compression, blob: Sum, tar: Sum) -> Layer:
    """Return the layer with the digests and sizes of its blob and of its tar. Layers get names where they are used."""
    return Layer(MEDIA_TYPES[compression], blob.digest, blob.size, tar.digest, uncompressed_size=tar.size)


def _counted(files: Iterable[TarFile], tar: Sum) -> Iterator[TarFile]:
    for file in files:
        tar.add(file.records)
        tar.add(file.text)
        yield file._replace(chunks=_counted_chunks(file.chunks, tar)) if file.chunks else file


def _counted_chunks(chunks: Iterable[Chunk], tar: Sum) -> Iterator[Chunk]:
    for chunk in chunks:
        tar.add(chunk.data)
        yield chunk


def open_output(out: Path) -> AbstractContextManager[BinaryIO]:
    """Open a temporary file that is renamed to `out` if the `with` block succeeds."""
    # Until a large block is freed once, glibc returns free memory to the kernel and requests it again:
    # 17,000 page faults, and 4 percent of the time of a layer.
    bytes(_LARGE)
    return atomic_file(out)  # writes: output, of the caller


class WheelPlan(NamedTuple):
    """A wheel, and the directories and files to install from it."""

    wheel: Wheel
    layout: InstallLayout
    directories: list[str]  # directories that the wheel lists
    files: list[Installed]

    @classmethod
    def of(cls, wheel: Wheel, layout: InstallLayout) -> WheelPlan:
        """Return the plan for a wheel. Raises BentoError if the wheel can't be installed in this layout."""
        return cls(wheel, layout, installed_directories(wheel, layout), installed_files(wheel, layout))

    def all_directories(self) -> set[str]:
        """Return the directories that the wheel lists, and all parent directories of its files."""
        known: set[str] = set()
        for path in (*(f"{directory}/" for directory in self.directories), *(file.path for file in self.files)):
            _new_directories(path, known)
        return known

    def tar_files(
        self, known: set[str], form: LayerForm, watch: Watch | None, end: bytes = b"", threads: int | None = 1
    ) -> Iterator[TarFile]:
        """Yield the files and their directories, except for the directories in `known`, and then the records `end`.

        If `watch` is set, passes the chunks of each file to `watch`, which must yield the chunks unchanged. Unless
        `threads` is 1, another thread inflates large files.
        """
        layout = self.layout
        stored = (file.member for file in self.files if file.member and file.size)
        members = self.wheel.chunks(stored, join=form.reuses_streams, threads=threads)
        records = b""

        def add_directories(path: str) -> None:
            nonlocal records
            records += b"".join([directory_header(directory, layout) for directory in _new_directories(path, known)])

        for directory in self.directories:
            add_directories(f"{directory}/")
        for file in self.files:
            if file.path.rpartition("/")[0] not in known:
                add_directories(file.path)
            size, mode = file.size, _EXECUTABLE_MODE if file.executable else _FILE_MODE
            records += headers.header(file.path, headers.REGULAR, mode, layout.uid, layout.gid, size)
            if file.member and size:
                yield TarFile(records, watch(file.member, next(members)) if watch else next(members))
            else:
                yield TarFile(records, text=file.data)
            records = headers.padding(size)
        yield TarFile(records + end)


def directory_header(directory: str, layout: InstallLayout) -> bytes:
    """Return the tar header of a directory. Root owns directories outside of the environment."""
    return headers.header(directory, headers.DIRECTORY, _DIRECTORY_MODE, *_directory_owner(directory, layout))


def _directory_owner(directory: str, layout: InstallLayout) -> tuple[int, int]:
    roots = (layout.prefix, layout.site_packages, layout.scripts, layout.headers)
    is_in_environment = any(f"/{directory}/".startswith(f"{root}/") for root in roots)
    return (layout.uid, layout.gid) if is_in_environment else (0, 0)


def _tar_files(entries: Iterable[Member]) -> Iterator[TarFile]:
    padding = b""
    for entry in entries:
        kind = headers.DIRECTORY if entry.is_directory else headers.REGULAR if entry.link is None else headers.LINK
        header = headers.header(entry.path, kind, entry.mode, entry.uid, entry.gid, entry.size, entry.link or "")
        yield TarFile(padding + header, (Chunk(data, None) for data in contents(entry)))
        padding = headers.padding(entry.size)
    yield TarFile(padding + END)


def _with_directories(entries: Iterable[Member]) -> list[Member]:
    """Return the entries and their missing parent directories, sorted by path. Raises BentoError for conflicts."""
    by_path: dict[str, Member] = {}
    for entry in entries:
        for text in (entry.path, entry.link or ""):
            if not is_utf8(text):
                raise BentoError("the name isn't UTF-8", place=repr(text), remedy="Rename the file.")
        for part in entry.path.split("/"):
            if part in ("", ".", "..") or "\0" in part or part.startswith(_WHITEOUT):
                remedy = (
                    f"Use a normalized relative path. Names of files and directories must not start with {_WHITEOUT!r}."
                )
                raise BentoError("invalid path in a layer", place=repr(entry.path), remedy=remedy)
        if entry.path in by_path:
            raise BentoError("the layer contains this path twice", place=entry.path, remedy="Remove one of the files.")
        by_path[entry.path] = entry
    for path in sorted(by_path):
        above: Member | None = None
        for directory in _parents(path):
            uid, gid = (above.uid, above.gid) if above else (0, 0)
            above = by_path.setdefault(directory, Member.directory(directory, uid=uid, gid=gid))
            if not above.is_directory:
                problem = f"the parent directory {directory} is also a file or a link"
                raise BentoError(problem, place=path, remedy="Move or rename one of the files.")
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
