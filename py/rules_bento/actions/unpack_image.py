"""Takes the image of an archive (`docker save`, or an OCI archive) apart, into an OCI layout."""

from __future__ import annotations

from pathlib import Path

from rules_bento.registry import docker_archive
from rules_bento.registry.blob_sources import FileSource
from rules_bento.registry.layout import Layout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_bento.arguments import Arguments

FLAGS = {
    "--archive": 1,
    "--layout": 1,  # out: folder
    "--target": 1,
}

_PIECE = 1 << 20


def run(arguments: Arguments) -> None:
    """Copy each blob once, verified, and list the image."""
    package = docker_archive.read(Path(arguments.required("--archive")))
    layout = Layout.create(Path(arguments.required("--layout")))
    for manifest in package.children:
        layout.add(manifest.content)
    for blob in package.blobs():
        source = package.sources[blob.digest]
        source.check(blob.digest, blob.size)
        if not isinstance(source, FileSource):
            raise AssertionError
        _copy(source, blob.size, layout.blob(blob.digest))
    layout.add_manifest(package.root)


def _copy(source: FileSource, size: int, out: Path) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    with source.path.open("rb") as archive, out.open("wb") as file:
        archive.seek(source.start)
        while size:
            piece = archive.read(min(size, _PIECE))
            file.write(piece)
            size -= len(piece)
