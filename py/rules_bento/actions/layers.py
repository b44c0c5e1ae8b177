"""Subcommands that write layers and zTOCs. A layer contains a Bento, a virtual environment, files, or tar members."""

from __future__ import annotations

import json
from heapq import merge
from itertools import pairwise
from pathlib import Path

from rules_bento.archives.atomic import atomic_file
from rules_bento.archives.tarstream import Member
from rules_bento.arguments import LayerRequest, Pairs, Paths, Request, Strings
from rules_bento.errors import BentoError
from rules_bento.images import entrypoint
from rules_bento.images.layers import description, headers, layer
from rules_bento.images.layers.layer import write_tar_layer
from rules_bento.typing_lite import TYPE_CHECKING, Iterable, Iterator

if TYPE_CHECKING:
    from rules_bento.archives.archive import StreamedMember
    from rules_bento.images.layers.layer import Compression
    from rules_bento.models.model import ModelDescription


_DIRECTORY_MODE, _FILE_MODE, _LINK_MODE = 0o755, 0o644, 0o777


class _BentoLayerRequest(LayerRequest):
    directory: str  # of the Bento, in the image
    model: Strings  # description
    mounted: str = ""  # directory that images of models are mounted below, in the image
    part: Strings
    user: str


def bento_layer(request: _BentoLayerRequest) -> None:
    """Write the layer of a Bento from archive parts. Other layers or images contain the `data` files and the models."""
    from rules_bento.archives.archive import items
    from rules_bento.models.model import ModelDescription

    # Merged by path, so that the layer doesn't depend on how the Bento is split into parts. The parts are sorted.
    parts = [items([Path(part)]) for part in request.part]
    models = [ModelDescription.loads(Path(path).read_text("utf-8")) for path in request.model]
    owner = description.owner(request.user)
    mounted = request.mounted.strip("/")
    tar = bento_tar(request.directory, owner, merge(*parts, key=bento_order), models, mounted)
    description.describe(request, write_tar_layer(request.output, tar, request.compression), "Bento")


def bento_order(member: StreamedMember) -> tuple[bool, str]:
    """Return a sort key for archive members: bento.yaml first, then the other members by path."""
    return member.path != "bento.yaml", member.path


def bento_tar(
    directory: str,
    owner: dict[str, int],
    members: Iterable[StreamedMember],
    models: list[ModelDescription],
    mounted: str = "",
) -> Iterator[bytes]:
    """Yield pieces of the tar for the layer of a Bento in `directory`. `members` must be sorted by `bento_order`.

    If `mounted` is set, images of models are mounted below this directory.
    """
    from rules_bento.models.model import latest_versions

    directory = directory.strip("/")
    put = _Headers(directory, **owner)
    yield put.directory(directory)
    for member in members:
        path = f"{directory}/{member.path}"
        yield put.file(path, member.mode, member.size) if member.link is None else put.link(path, member.link)
        if member.contents is not None:
            yield from member.contents
            yield headers.padding(member.size)
    if mounted:
        yield from _model_links(put, directory, mounted, models)
    for name, version in latest_versions(models).items():
        data = version.encode()
        yield put.small_file(f"{directory}/models/{name}/latest", data)


def _model_links(put: _Headers, bento: str, mounted: str, models: list[ModelDescription]) -> Iterator[bytes]:
    """Yield tar members for each model: a link to the mount point of the model image, and a placeholder model.yaml.

    If an image isn't mounted, BentoML reports an error that contains the placeholder. If the placeholder didn't exist,
    BentoML would search BentoCloud. Raises BentoError for two versions of a model.
    """
    from urllib.parse import quote

    from rules_bento.models.model import MODEL_YAML, hub_cache

    tags = sorted(model.tag for model in models)
    for one, other in pairwise(tags):
        if one.partition(":")[0] == other.partition(":")[0]:
            raise BentoError(
                f'models: "image" mounts each model by name, but the models {one} and {other} have the same name. '
                'Rename one of the models, or set models = "layers".'
            )
    for tag in tags:
        name, _, version = tag.partition(":")
        entry = f"{mounted}/{name}/{bento}/models/{name}/{version}"
        missing = f"{tag} is not mounted. Mount the image of the model (bento_model_image) at /{mounted}/{name}."
        yield put.small_file(f"{entry}/{MODEL_YAML}", f'!<{quote(missing)}> ""\n'.encode())
        yield put.link(f"{bento}/models/{name}/{version}", f"/{entry}")
    for model in models:
        for path, link, data in hub_cache(bento, model):
            yield put.link(path, link) if link else put.small_file(path, data)


class _Headers:
    """Builds the tar headers in a Bento's layer. Root owns the directories outside of the home directory."""

    def __init__(self, directory: str, uid: int, gid: int) -> None:
        self._home = directory.rpartition("/")[0]
        self._owner = (uid, gid)
        self._known: set[str] = set()

    def directory(self, path: str) -> bytes:
        """Return the headers of a directory and its parents. Omits directories that the layer already contains."""
        if not path or path in self._known:
            return b""
        self._known.add(path)
        owner = self._owner if f"{path}/".startswith(f"{self._home}/") else (0, 0)
        return self._above(path) + headers.header(path, headers.DIRECTORY, _DIRECTORY_MODE, *owner)

    def file(self, path: str, mode: int, size: int) -> bytes:
        """Return the headers of the parent directories (see `directory`), and the header of a file."""
        return self._above(path) + headers.header(path, headers.REGULAR, mode, *self._owner, size)

    def small_file(self, path: str, data: bytes) -> bytes:
        """Return the headers of the parent directories (see `directory`), and the header and contents of a file."""
        return self.file(path, _FILE_MODE, len(data)) + data + headers.padding(len(data))

    def link(self, path: str, target: str) -> bytes:
        """Return the headers of the parent directories (see `directory`), and the header of a symbolic link."""
        return self._above(path) + headers.header(path, headers.LINK, _LINK_MODE, *self._owner, 0, target)

    def _above(self, path: str) -> bytes:
        return self.directory(path.rpartition("/")[0])


# BentoML creates these when it starts; if they exist, it can start on a read-only file system.
_STORE_DIRECTORIES = ("bentos", "envs", "models", "tmp")


class _EnvironmentLayerRequest(LayerRequest):
    home: str
    prefix: str
    python: str  # interpreter of the base
    python_version: str  # X.Y
    user: str


def environment_layer(request: _EnvironmentLayerRequest) -> None:
    """Write a layer with the user's home directory and a virtual environment without packages."""
    members = environment_members(request.home, request.prefix, request.python, request.python_version, request.user)
    description.write_files(request, members, "environment")


def environment_members(home: str, prefix: str, python: str, version: str, user: str) -> list[Member]:
    """Return the user's home directory, and a virtual environment for the interpreter `python` (version X.Y)."""
    prefix, home = prefix.strip("/"), home.strip("/")
    owner = description.owner(user)
    settings = f"home = {python.rpartition('/')[0]}\ninclude-system-site-packages = false\nversion = {version}\n"
    return [
        Member.directory(home, **owner),
        *(Member.directory(f"{home}/{directory}", **owner) for directory in _STORE_DIRECTORIES),
        Member.directory(prefix, **owner),
        Member.inline(f"{prefix}/pyvenv.cfg", settings.encode(), **owner),
        Member.inline(entrypoint.path(prefix), entrypoint.PROGRAM.encode(), **owner),
        Member.symlink(f"{prefix}/bin/python", python, **owner),
        Member.symlink(f"{prefix}/bin/python3", "python", **owner),
        Member.symlink(f"{prefix}/bin/python{version}", "python", **owner),
    ]


# The forms of `streams` that OCI supports.
_COMPRESSIONS: dict[str, Compression] = {"gz": "gzip", "tar": "none", "zst": "zstd"}


class _TarLayerRequest(LayerRequest):
    tar: Pairs  # path to read, name in messages


def tar_layer(request: _TarLayerRequest) -> None:
    """Check another rule's tar, and write it as a layer. Compresses the tar unless it is already compressed."""
    from rules_bento.archives import streams, tarread
    from rules_bento.images.layers import forms

    [(path, where)] = request.tar
    with Path(path).open("rb") as file:
        form = streams.detect_form(file.read(streams.PIECE))
    if form not in _COMPRESSIONS:
        raise BentoError(
            f"{where}: unsupported format {form}. Use an uncompressed tar file, or a tar file compressed with gzip or "
            "zstd."
        )
    with Path(path).open("rb") as file:
        for member, _ in tarread.compressed_members(file, form, where):
            if ".." in member.name.split("/"):
                raise BentoError(
                    f"{where}: the path {member.name!r} contains '..'. Remove the member from the tar file."
                )
    if form == "tar":
        compression = request.compression
        with Path(path).open("rb") as file:
            members = map(forms.TarFile, streams.pieces(file))
            info = layer.write_layer(request.output, members, layer.new_form(compression))
    else:
        compression = _COMPRESSIONS[form]
        info = _copy_tar(Path(path), request.output, form, where)
    description.describe(request, info, where, compression)


def _copy_tar(path: Path, out: Path, form: str, where: str) -> layer.LayerInfo:
    """Copy a compressed tar. Returns the digests and sizes of the tar and of the compressed file."""
    from rules_bento.archives import streams, tarread

    blob, tar = layer.Sum(), layer.Sum()

    def copied() -> Iterator[bytes]:
        for piece in blob.hashing(streams.pieces(file)):
            to.write(piece)
            yield piece

    with path.open("rb") as file, atomic_file(out) as to:
        for piece in streams.decode(copied(), form, tarread.MAX_MEMORY, where):
            tar.add(piece)
    return layer.LayerInfo(tar.digest, blob.digest, blob.size, tar.size)


class _LayerZtocRequest(Request):
    description: Path  # output, of the zTOC
    layer: Paths  # description, then the blob, or its recipe and the wheel
    output: Path


def layer_ztoc(request: _LayerZtocRequest) -> None:
    """Write the zTOC of a layer, and a description of the zTOC. For a small or unsupported layer, the zTOC is empty."""
    from rules_bento.archives.recipe import Recipe
    from rules_bento.images import soci
    from rules_bento.images.layers import ztoc
    from rules_bento.images.oci_image import Layer
    from rules_bento.registry.pushable import FileSource

    described, *files = request.layer
    info = Layer.loads(described.read_text("utf-8"))
    made = b""
    if info.size >= soci.MIN_LAYER and info.media_type == layer.MEDIA_TYPES["gzip"]:
        read = Recipe(*files).pieces if len(files) > 1 else FileSource(files[0]).pieces
        made = ztoc.make(read, info.size, info.name)
    request.output.write_bytes(made)
    request.description.write_text(json.dumps(soci.describe(info, made)) + "\n", "utf-8")
