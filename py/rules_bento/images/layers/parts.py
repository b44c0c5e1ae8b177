"""Builds layers with several wheels by joining parts. All images that contain a wheel share its part.

A part contains the files of one wheel as separate gzip members or zstd frames, which can be concatenated (RFC 1952, RFC
8878). A part contains no directories, because wheels share directories. Instead, the listing of a part names the
directories, and joining writes each directory once, at the beginning of the layer. Joining copies the parts, and
decompresses the parts only to compute the layer's diff id.

Two wheels can have an equal file at the same path. In this case, the part of the earlier wheel is compressed again
without the file. Different files are an error, except for those that `check_shared_files` accepts.
"""

from __future__ import annotations

import hashlib
import json
from itertools import chain

from rules_bento.base.archives import streams
from rules_bento.base.archives.streams import coalesce
from rules_bento.base.archives.tarstream import END, directories_above
from rules_bento.base.dataclasses_lite import NamedTuple
from rules_bento.base.errors import BentoError
from rules_bento.base.typing_lite import TYPE_CHECKING, Iterable, Iterator, Sequence
from rules_bento.bentos.packages.shared_files import PackageFiles, check_shared_files, exclude_in_hub
from rules_bento.images.layers import headers, layer
from rules_bento.images.layers.forms import LayerForm, TarFile, encode
from rules_bento.images.layers.layer import WheelPlan, new_form, wheel_form
from rules_bento.images.wheels.install import InstallLayout, file_digests, relative
from rules_bento.images.wheels.wheel_metadata import normalized

if TYPE_CHECKING:
    from pathlib import Path

    from rules_bento.base.formats.oci import Layer
    from rules_bento.images.layers.layer import Compression, Watch
    from rules_bento.images.wheels.wheel import Wheel


class PartListing(NamedTuple):
    """The listing of a part: the directories that the part requires, and the digest of each file."""

    wheel: str  # file name
    directories: tuple[str, ...]  # parent directories of the files, topmost first; not in the part
    files: dict[str, str]  # path to a digest; see `file_digests`
    python: str = ""  # X.Y.Z, the version of the interpreter that compiled the files

    @staticmethod
    def loads(text: str) -> PartListing:
        """Parse the JSON object that `dumps` returned."""
        fields = json.loads(text)
        return PartListing(fields["wheel"], tuple(fields["directories"]), fields["files"], fields["python"])

    def dumps(self) -> str:
        """Return the listing as a JSON object for `loads`."""
        return json.dumps(self._asdict(), ensure_ascii=False, indent=0) + "\n"


class WheelPart(NamedTuple):
    """A layer part: its listing, and the path of its file."""

    listing: PartListing
    path: Path


def write_wheel_part(
    out: Path, wheel: Wheel, layout: InstallLayout, compression: Compression, *, watch: Watch | None = None
) -> PartListing:
    """Write a wheel's part atomically, and return the listing. `watch` inspects chunks, and yields them unchanged."""
    plan = WheelPlan.of(wheel, layout)
    directories = plan.all_directories()
    form = wheel_form(compression, 1)
    _write(out, plan.tar_files(set(directories), form, watch), form)  # writes: output, of the caller
    return PartListing(wheel.name, tuple(sorted(directories)), file_digests(wheel, plan.files))


def write_files_part(
    out: Path, name: str, files: Iterable[tuple[str, bytes]], layout: InstallLayout, compression: Compression
) -> PartListing:
    """Write a part with files, given as paths and contents, atomically. `name` is the file name of their wheel."""
    digests: dict[str, str] = {}

    def members() -> Iterator[TarFile]:
        for path, content in files:
            digests[path] = f"sha256:{hashlib.sha256(content).hexdigest()}"
            header = headers.header(path, headers.REGULAR, 0o644, layout.uid, layout.gid, len(content))
            yield TarFile(header + content + headers.padding(len(content)))

    _write(out, members(), new_form(compression, 1))  # writes: output, of the caller
    return PartListing(name, tuple(sorted(directories_above(digests))), digests)


def _write(out: Path, files: Iterable[TarFile], form: LayerForm) -> None:
    with layer.open_output(out) as file:  # writes: output, of the caller
        file.writelines(coalesce(encode(form, files)))


def join_parts(out: Path, parts: Sequence[WheelPart], layout: InstallLayout, compression: Compression) -> Layer:
    """Atomically join parts into a layer. Raises BentoError if the files of two parts contradict each other.

    All parts with bytecode must be compiled by the same version of Python.
    """
    excluded = _repeated_files([part.listing for part in parts], layout)
    tar = layer.Sum()

    def packed(pieces: Iterable[bytes]) -> Iterator[bytes]:
        """Compress the tar pieces that aren't copied from a part."""
        return encode(new_form(compression, 1), map(TarFile, tar.hashing(pieces)))

    def joined() -> Iterator[bytes]:
        directories = sorted({directory for part in parts for directory in part.listing.directories})
        yield from packed(layer.directory_header(directory, layout) for directory in directories)
        for part, names in zip(parts, excluded, strict=True):
            contents = _decompressed(part.path, compression)
            if names:
                yield from packed(_without_files(names, contents, part, layout))
                continue
            yield from _pieces(part.path)
            for piece in contents:
                tar.add(piece)
        yield from packed([END])

    python = max(part.listing.python for part in parts)
    return layer.write_encoded(out, joined(), compression, tar)._replace(python=python)  # writes: output, of the caller


def _repeated_files(listings: Sequence[PartListing], layout: InstallLayout) -> list[set[str]]:
    """Return the files of each part that a later part also contains.

    Raises BentoError if the contents differ, or if a path is also a directory.
    """
    root = layout.site_packages.lstrip("/")
    check_shared_files(
        [
            PackageFiles(
                normalized(listing.wheel.partition("-")[0]),
                {relative(path, root): digest for path, digest in listing.files.items()},
            )
            for listing in listings
        ],
        exclude_in_hub,
    )
    directories = {directory: listing.wheel for listing in listings for directory in listing.directories}
    taken: dict[str, str] = {}
    repeated: list[set[str]] = []
    for listing in reversed(listings):
        repeated.append(listing.files.keys() & taken.keys())
        taken.update(dict.fromkeys(listing.files.keys() - repeated[-1], listing.wheel))
    for path in sorted(directories.keys() & taken.keys()):
        problem = f"{path} is a file in this package, but a directory in {directories[path]}"
        raise BentoError(problem, place=taken[path], remedy="Remove one of the packages.")
    return repeated[::-1]


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb", buffering=0) as file:
        yield from streams.pieces(file)


def _decompressed(path: Path, compression: Compression) -> Iterator[bytes]:
    if compression == "none":
        yield from _pieces(path)
    elif compression == "gzip":
        yield from streams.gunzip(_pieces(path))
    else:
        import zstandard

        with path.open("rb") as file:
            reader = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
            while piece := reader.read(streams.PIECE):
                yield piece


def _without_files(names: set[str], tar: Iterable[bytes], part: WheelPart, layout: InstallLayout) -> Iterator[bytes]:
    from rules_bento.base.archives import tarread

    stream = tarread.PieceReader(chain(tar, [END]), str(part.path))
    for member, contents in tarread.members(stream):
        if member.name not in names:
            yield headers.header(member.name, headers.REGULAR, member.mode, layout.uid, layout.gid, member.size)
            yield from map(bytes, contents)
            yield headers.padding(member.size)
