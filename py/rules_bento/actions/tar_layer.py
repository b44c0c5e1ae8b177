"""Makes a layer of a tar that another rule made: read to its end, and otherwise as it is."""

from __future__ import annotations

from pathlib import Path

from rules_bento.archives import streams, tarread
from rules_bento.archives.atomic import atomic_file
from rules_bento.errors import BentoError
from rules_bento.images.layers import description, layer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from rules_bento.arguments import Arguments

FLAGS = description.FLAGS | {
    "--tar": 2,  # path to read, name in messages
}
# What OCI knows, of the forms of `streams`.
_COMPRESSIONS: dict[str, layer.Compression] = {"gz": "gzip", "tar": "none", "zst": "zstd"}


def run(arguments: Arguments) -> None:
    """Write layer and description."""
    [(path, where)] = arguments.tuples("--tar")
    form = _form(Path(path), where)
    _check(Path(path), form, where)
    out, wanted = description.output(arguments)
    if form == "tar":
        compression = wanted
        with Path(path).open("rb") as file:
            pieces = map(layer.raw_piece, streams.pieces(file))
            info = layer.write_layer(out, pieces, layer.encoder(compression, None))
    else:
        compression = _COMPRESSIONS[form]
        info = _copy(Path(path), out, form, where)
    description.describe(arguments, info, where, compression)


def _form(path: Path, where: str) -> str:
    with path.open("rb") as file:
        form = streams.form_of(file.read(streams.PIECE))
    if form not in _COMPRESSIONS:
        raise BentoError(
            f"{where}: is {form} data, which no layer can be. Have the tar made plain, or compressed with gzip or zstd."
        )
    return form


def _check(path: Path, form: str, where: str) -> None:
    """Refuse what is no tar, and members that lie outside of an image."""
    with path.open("rb") as file:
        for member, _ in tarread.packed_members(file, form, where):
            if ".." in member.name.split("/"):
                raise BentoError(f"{where}: {member.name!r} leaves the image. Make the tar without it.")


def _copy(path: Path, out: Path, form: str, where: str) -> layer.LayerInfo:
    """Copy a compressed tar, and return what a description says of it. Its contents were read and bounded before."""
    blob, tar = layer.Sum(), layer.Sum()

    def copied() -> Iterator[bytes]:
        for piece in blob.hashing(streams.pieces(file)):
            to.write(piece)
            yield piece

    with path.open("rb") as file, atomic_file(out) as to:
        for piece in streams.decode(copied(), form, tarread.MOST_MEMORY, where):
            tar.add(piece)
    return layer.LayerInfo(tar.digest, blob.digest, blob.size, tar.size)
