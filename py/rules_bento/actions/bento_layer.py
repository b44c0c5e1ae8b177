"""Packs a Bento without models and data into a layer: the one that a changed source line changes."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from rules_bento.archives.archive import items
from rules_bento.errors import BentoError
from rules_bento.images.layers import description, headers
from rules_bento.images.layers.layer import write_tar_layer
from rules_bento.models.model import MODEL_YAML, ModelDescription, latest_versions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from rules_bento.arguments import Arguments

FLAGS = description.FLAGS | {
    "--folder": 1,  # of the Bento, in the image
    "--model": 1,  # description
    "--mounted": 1,  # folder below which images of models are mounted, in the image
    "--part": 1,
    "--user": 1,
}

_FOLDER, _FILE, _LINK = 0o755, 0o644, 0o777


def run(arguments: Arguments) -> None:
    """Write layer and description."""
    out, compression = description.output(arguments)
    info = write_tar_layer(out, _tar(arguments), compression)
    description.describe(arguments, info, "Bento")


def _tar(arguments: Arguments) -> Iterator[bytes]:
    """Yield the members of the parts as they come: a source may be larger than memory."""
    folder = arguments.required("--folder").strip("/")
    put = _Place(folder, **description.owner(arguments.required("--user")))
    yield put.folder(folder)
    for part in arguments.repeated("--part"):
        for item in items([Path(part)]):
            path = f"{folder}/{item.path}"
            yield put.file(path, item.mode, item.size) if item.link is None else put.link(path, item.link)
            if item.contents is not None:
                yield from item.contents
                yield headers.padding(item.size)
    models = [ModelDescription.loads(Path(path).read_text("utf-8")) for path in arguments.repeated("--model")]
    for mounted in arguments.repeated("--mounted"):
        yield from _links(put, folder, mounted.strip("/"), models)
    for name, version in latest_versions(models).items():
        data = version.encode()
        yield put.small_file(f"{folder}/models/{name}/latest", data)


def _links(put: _Place, bento: str, mounted: str, models: list[ModelDescription]) -> Iterator[bytes]:
    """Yield where images of the models are mounted, and links to that from where the Bento has its models.

    Until something is mounted there, BentoML finds an entry that says so where its error says what it cannot read: of
    a link to nothing it would ask BentoCloud, and tell of that.
    """
    from urllib.parse import quote

    tags = sorted(model.tag for model in models)
    for one, other in pairwise(tags):
        if one.partition(":")[0] == other.partition(":")[0]:
            raise BentoError(
                f'models = "image": the Bento has {one} and {other}, but images of models are mounted by their names. '
                'Give one of them another name, or set models = "layers".'
            )
    for tag in tags:
        name, _, version = tag.partition(":")
        entry = f"{mounted}/{name}/{bento}/models/{name}/{version}"
        missing = (
            f"{tag} is not mounted. Start the container with an image of it (bento_model_image) at /{mounted}/{name}."
        )
        yield put.small_file(f"{entry}/{MODEL_YAML}", f'!<{quote(missing)}> ""\n'.encode())
        yield put.link(f"{bento}/models/{name}/{version}", f"/{entry}")


class _Place:
    """Makes the headers of a Bento's folder, whose contents belong to the user that owns the home above it."""

    def __init__(self, folder: str, uid: int, gid: int) -> None:
        self._home = folder.rpartition("/")[0]
        self._owner = (uid, gid)
        self._known: set[str] = set()

    def folder(self, path: str) -> bytes:
        """Return the header of a folder, after those above it that are not there yet."""
        if not path or path in self._known:
            return b""
        self._known.add(path)
        owner = self._owner if f"{path}/".startswith(f"{self._home}/") else (0, 0)
        return self._above(path) + headers.header(path, headers.FOLDER, _FOLDER, *owner)

    def file(self, path: str, mode: int, size: int) -> bytes:
        """Return the header of a file, after those of folders."""
        return self._above(path) + headers.header(path, headers.REGULAR, mode, *self._owner, size)

    def small_file(self, path: str, data: bytes) -> bytes:
        """Return a file with its contents, after the headers of folders."""
        return self.file(path, _FILE, len(data)) + data + headers.padding(len(data))

    def link(self, path: str, target: str) -> bytes:
        """Return the header of a symbolic link, after those of folders."""
        return self._above(path) + headers.header(path, headers.LINK, _LINK, *self._owner, 0, target)

    def _above(self, path: str) -> bytes:
        return self.folder(path.rpartition("/")[0])
