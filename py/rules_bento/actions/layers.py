"""Subcommands that write zTOCs, and layers with a Bento, a program, a virtual environment, or tar members."""

from __future__ import annotations

import json
from heapq import merge
from pathlib import Path

from rules_bento.actions import secret_scan
from rules_bento.base.archives import streams, tarread
from rules_bento.base.archives.atomic import atomic_file
from rules_bento.base.archives.recipe import Recipe
from rules_bento.base.errors import BentoError
from rules_bento.base.formats.oci import Layer
from rules_bento.base.subcommand_arguments import LayerRequest, Pairs, Paths, Request, Strings, Triples
from rules_bento.base.typing_lite import TYPE_CHECKING, Iterator
from rules_bento.images.layers import description, forms, layer, members
from rules_bento.images.layers.layer import Compression, write_tar_layer

if TYPE_CHECKING:
    from rules_bento.bentos.sources.tree_manifest import TreeManifest

_MAX_FILE = 16 << 30  # of a program


class _BentoLayerRequest(LayerRequest):
    directory: str  # of the Bento, in the image
    model: Strings  # description
    mounted: str = ""  # directory that images of models are mounted below, in the image
    part: Strings
    user: str


def bento_layer(request: _BentoLayerRequest) -> None:
    """Write the layer of a Bento from archive parts. Other layers or images contain the `data` files and the models."""
    from rules_bento.base.archives.archive import items
    from rules_bento.bentos.models.model import ModelDescription

    # Merged by path, so that the layer doesn't depend on how the Bento is split into parts. The parts are sorted.
    parts = [items([Path(part)]) for part in request.part]
    models = [ModelDescription.loads(Path(path).read_text("utf-8")) for path in request.model]
    owner = description.owner(request.user)
    mounted = request.mounted.strip("/")
    tar = members.bento_tar(request.directory, owner, merge(*parts, key=members.bento_order), models, mounted)
    description.describe(request, write_tar_layer(request.output, tar, request.compression), "Bento")


class _EnvironmentLayerRequest(LayerRequest):
    home: str
    prefix: str
    python: str  # interpreter of the base
    python_version: str  # X.Y
    user: str


def environment_layer(request: _EnvironmentLayerRequest) -> None:
    """Write a layer with the user's home directory and a virtual environment without packages."""
    listed = members.environment_members(
        request.home, request.prefix, request.python, request.python_version, request.user
    )
    description.write_files(request, listed, "environment")


class _ProgramLayerRequest(LayerRequest, secret_scan.SecretsRequest):
    dependency: Triples  # path to read, Bazel short path, label
    digest: Path  # output
    directory: str  # of the program, in the image
    ignore_library: Strings  # file name of a library
    large: Pairs  # outputs: a layer with large files, of 0 bytes without such files; and its description
    name: str
    platform: str = ""
    tag: Path  # output


def program_layer(request: _ProgramLayerRequest) -> None:
    """Write the layers of a program's own files, the digest of the files, and the program's tag.

    The tag's version is derived from the digest. As in runfiles, paths begin with a repository's name, or with `_main`.
    """
    from rules_bento.base.tag import Tag, similar_word
    from rules_bento.bentos.sources import snapshot
    from rules_bento.bentos.sources.secrets import MAX_BYTES
    from rules_bento.bentos.sources.tree_manifest import content_version
    from rules_bento.bentos.sources.unresolved_links import follow

    declared = [
        snapshot.DeclaredFile(snapshot.runfiles_path(short_path), source, f"binary {label}", filtered=False)
        for source, short_path, label in snapshot.expand(follow(request.dependency))
    ]
    kept = snapshot.select(declared).kept
    snapshot.check_followed(kept)
    for file in kept:
        if Path(file.source).stat().st_size > _MAX_FILE:
            remedy = "Add the file to a tar file in layers."
            raise BentoError(f"the file exceeds the limit of {_MAX_FILE >> 30} GiB", place=file.path, remedy=remedy)
    manifest, listed = members.program_members(kept, request.directory)
    if request.scan_secrets:
        contents = snapshot.read_prefixes(kept, MAX_BYTES)
        # No other action has files of the target, so this one rejects unknown allowed paths.
        secret_scan.check_contents(request, ((path.removeprefix("src/"), data) for path, data in contents), ())
    _check_architectures(request, manifest)
    *large, (name, others) = members.program_layers(listed)
    description.write_files(request, others, name)
    for (path, described), (name, group) in zip(request.large, large, strict=True):
        of_group = LayerRequest(["--compression", request.compression, "--description", described, "--output", path])
        if group:
            description.write_files(of_group, group, name)
        else:
            sums = layer.Sum()
            empty = layer.write_encoded(of_group.output, (), request.compression, sums)  # writes: output, of the action
            description.describe(of_group, empty, name)
    identity = manifest.identity()
    tag = Tag(similar_word(request.name) or "program", content_version(identity))
    request.digest.write_text(f"blake3:{identity.hex()}\n", "utf-8")
    request.tag.write_text(f"{tag}\n", "utf-8")


def _check_architectures(request: _ProgramLayerRequest, manifest: TreeManifest) -> None:
    """Raise BentoError for machine code that isn't for the image's platform."""
    files = {entry.path: entry.machine for entry in manifest.entries if entry.machine}
    if files:
        from rules_bento.bentos.sources.cpu_arch import reject_wrong_architecture

        # The wheels of the image can have the other libraries.
        names = {path.rpartition("/")[2] for path in files}
        unchecked = [name for name in request.ignore_library if name in names]
        reject_wrong_architecture(files, request.platform, unchecked)


# The forms of `streams` that OCI supports.
_COMPRESSIONS: dict[str, Compression] = {"gz": "gzip", "tar": "none", "zst": "zstd"}


class _TarLayerRequest(LayerRequest):
    tar: Pairs  # path to read, name in messages


def tar_layer(request: _TarLayerRequest) -> None:
    """Check another rule's tar, and write it as a layer. Compresses the tar unless it is already compressed."""
    [(path, where)] = request.tar
    with Path(path).open("rb") as file:
        form = streams.detect_form(file.read(streams.PIECE))
    if form not in _COMPRESSIONS:
        remedy = "Use an uncompressed tar file, or a tar file compressed with gzip or zstd."
        raise BentoError(f"unsupported format {form}", place=where, remedy=remedy)
    with Path(path).open("rb") as file:
        for member, _ in tarread.compressed_members(file, form, where):
            if ".." in member.name.split("/"):
                remedy = "Remove the member from the tar file."
                raise BentoError(f"the path {member.name!r} contains '..'", place=where, remedy=remedy)
    if form == "tar":
        with Path(path).open("rb") as file:
            pieces, compression = map(forms.TarFile, streams.pieces(file)), request.compression
            written = layer.write_layer(request.output, pieces, compression, layer.new_form(compression))
    else:
        written = _copy_tar(Path(path), request.output, form, where)
    description.describe(request, written, where)


def _copy_tar(path: Path, out: Path, form: str, where: str) -> Layer:
    """Copy a compressed tar, and return its layer."""
    blob, tar = layer.Sum(), layer.Sum()

    def copied() -> Iterator[bytes]:
        for piece in blob.hashing(streams.pieces(file)):
            to.write(piece)
            yield piece

    with path.open("rb") as file, atomic_file(out) as to:  # writes: output, of the action
        for piece in streams.decode(copied(), form, tarread.MAX_MEMORY, where):
            tar.add(piece)
    return layer.written_layer(_COMPRESSIONS[form], blob, tar)


class _LayerZtocRequest(Request):
    description: Path  # output, of the zTOC
    layer: Paths  # description, then the blob, or its recipe and the wheel
    output: Path


def layer_ztoc(request: _LayerZtocRequest) -> None:
    """Write the zTOC of a layer, and a description of the zTOC. For a small or unsupported layer, the zTOC is empty."""
    from rules_bento.images import soci
    from rules_bento.images.layers import ztoc
    from rules_bento.images.registry.blob_sources import FileSource

    described, *files = request.layer
    info = Layer.loads(described.read_text("utf-8"))
    made = b""
    if info.size >= soci.MIN_LAYER and info.media_type == layer.MEDIA_TYPES["gzip"]:
        read = Recipe(*files).pieces if len(files) > 1 else FileSource(files[0]).pieces
        made = ztoc.make(read, info.size, info.name)
    request.output.write_bytes(made)
    request.description.write_text(json.dumps(soci.describe(info, made)) + "\n", "utf-8")
