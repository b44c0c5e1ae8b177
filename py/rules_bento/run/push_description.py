"""Parses push descriptions. A push description lists the files of an image, a Bento, or a model.

A push description is a JSON object that a rule writes. Except for `built`, each path is relative to the argument
`--directory`. The object has one of these keys:

- `image`: an object with `manifest`, `config`, and `blobs`. Optional: `referrers` (documents about the image, each with
  `media_type` and `path`), `soci` (the SOCI index), `ztocs` (the blobs of the SOCI index), and `index` (the OCI index
  that contains the image and the SOCI index). Each blob in `blobs` and `ztocs` is an object with a `digest` or a
  `description` (a JSON file with a `digest` and a `size`), and with one of these sources:
  - `path`: a file with the blob;
  - `recipe` and `wheel`: files from which the blob is assembled;
  - `from`: the repository that contains the blob;
  - `built`: an action's output, relative to the execution root. The output might exist only in the remote cache.
- `index`: an object with `manifest` and `images`;
- `bento`: an object with `bento_yaml`, `digest`, `parts`, and `models` (a list of objects with the keys of `model`);
- `model`: an object with `description` and `part`.

An `image` and a `bento` can also have `build_definition`, a JSON file with the inputs of the build. The top-level
object can have `mount_from`, a list of repositories that might have some of the blobs.
"""

from __future__ import annotations

import json

from rules_bento.base.dataclasses_lite import NamedTuple, replace
from rules_bento.base.errors import BentoError
from rules_bento.base.formats.json import read_object
from rules_bento.base.typing_lite import TYPE_CHECKING, Any
from rules_bento.bentos.models.model import ModelDescription
from rules_bento.images.artifacts import artifact
from rules_bento.images.registry import descriptor as oci
from rules_bento.images.registry.blob_sources import (
    BlobSource,
    BytesSource,
    FileSource,
    Pushable,
    RecipeSource,
    RemoteSource,
)
from rules_bento.images.registry.descriptor import Manifest
from rules_bento.images.registry.reference import Reference
from rules_bento.run import remote_cache

if TYPE_CHECKING:
    from pathlib import Path

    from rules_bento.images.registry.client import Registries


class PushContents(NamedTuple):
    """An artifact to push, the artifacts that refer to it, and the build definitions for provenance."""

    package: Pushable
    referrers: list[Pushable]  # artifacts that refer to an image
    definitions: dict[str, Path]  # build definitions (JSON files), by digest of an image or a Bento


def read(
    path: Path, directory: Path, registries: Registries, cache: remote_cache.Settings | None = None
) -> PushContents:
    """Read a push description. `cache` provides the blobs that Bazel didn't download.

    Raises BentoError if the description or a listed file can't be read.
    """
    try:
        document = json.loads(path.read_bytes())
        package = _package(document, directory, registries, cache)
        package = replace(package, mount_from=[*package.mount_from, *document.get("mount_from", ())])
        images = [document["image"]] if "image" in document else document.get("index", {}).get("images", [])
        described = [(_manifest(directory / image["manifest"]).descriptor, image) for image in images]
        if "bento" in document:
            described.append((package.root.descriptor, document["bento"]))
        referrers = [
            artifact.attach(descriptor, entry["media_type"], directory / entry["path"])
            for descriptor, item in described
            for entry in item.get("referrers", ())
        ]
        definitions = {
            descriptor.digest: directory / item["build_definition"]
            for descriptor, item in described
            if "build_definition" in item
        }
        return PushContents(package, referrers, definitions)
    except OSError as error:
        remedy = "Build the bento_push target again."
        raise BentoError(f"cannot read the file: {error.strerror}", place=error.filename, remedy=remedy) from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        remedy = "Build the bento_push target again."
        raise BentoError(f"the file is invalid ({error!r})", place=str(path), remedy=remedy) from None


def _package(
    document: dict[str, Any], directory: Path, registries: Registries, cache: remote_cache.Settings | None
) -> Pushable:
    if "image" in document:
        image = _image(document["image"], directory, registries, cache)
        if index := document["image"].get("index"):
            return replace(image, root=_manifest(directory / index), children=[*image.children, image.root])
        return image
    if "index" in document:
        images = [_image(image, directory, registries, cache) for image in document["index"]["images"]]
        root = _manifest(directory / document["index"]["manifest"])
        sources = {digest: source for image in images for digest, source in image.sources.items()}
        mount_from = dict.fromkeys(name for image in images for name in image.mount_from)
        children = [manifest for image in images for manifest in image.manifests()]
        return Pushable(root, children, sources, list(mount_from))
    if "bento" in document:
        bento = document["bento"]
        return artifact.pack_bento(
            (directory / bento["bento_yaml"]).read_bytes(),
            (directory / bento["digest"]).read_text("utf-8").strip(),
            [artifact.Part.from_file(directory / part) for part in bento["parts"]],
            [_model(model, directory) for model in bento["models"]],
        )
    return artifact.pack_model(*_model(document["model"], directory))


def _image(
    image: dict[str, Any], directory: Path, registries: Registries, cache: remote_cache.Settings | None
) -> Pushable:
    root = _manifest(directory / image["manifest"])
    sources: dict[str, BlobSource] = {root.config.digest: FileSource(directory / image["config"])}
    elsewhere: dict[str, None] = {}
    for blob in [*image["blobs"], *image.get("ztocs", ())]:
        described = json.loads((directory / blob["description"]).read_bytes()) if "description" in blob else blob
        digest = described["digest"]
        if "path" in blob:
            sources[digest] = FileSource(directory / blob["path"])
        elif "recipe" in blob:
            recipe, wheel = directory / blob["recipe"], directory / blob["wheel"]
            sources[digest] = RecipeSource(recipe, wheel, digest, described["size"])
        elif "built" in blob:
            file = remote_cache.built_file(blob["built"])
            sources[digest] = remote_cache.BuiltSource(file, digest, described["size"], cache)
        else:
            reference = Reference.parse(blob["from"])
            sources[digest] = RemoteSource(registries.repository(reference), digest)
            elsewhere[reference.name] = None
    children = []
    if "soci" in image:
        from rules_bento.images import soci

        manifest, *contents = soci.loads((directory / image["soci"]).read_bytes())
        children.append(Manifest.read(manifest, oci.MANIFEST, image["soci"]))
        sources |= {oci.digest_of(content): BytesSource(content) for content in contents}
    return Pushable(root, children, sources, list(elsewhere))


def _manifest(path: Path) -> Manifest:
    content = path.read_bytes()
    return Manifest.read(content, str(read_object(content, str(path)).get("mediaType", oci.MANIFEST)), str(path))


def _model(model: dict[str, Any], directory: Path) -> artifact.ModelPart:
    description = ModelDescription.loads((directory / model["description"]).read_text("utf-8"))
    return description, artifact.Part.from_file(directory / model["part"])
