"""Finds base images in an OCI layout by platform, and verifies them."""

from __future__ import annotations

import re

from rules_bento.base.dataclasses_lite import NamedTuple
from rules_bento.base.errors import BentoError
from rules_bento.base.formats.json import read_object
from rules_bento.base.formats.oci import HISTORY, Layer
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Collection, Iterator
from rules_bento.images.registry import descriptor as oci
from rules_bento.images.registry.blob_sources import FileSource
from rules_bento.images.registry.descriptor import Descriptor, Manifest
from rules_bento.images.registry.layout import COPY_AGAIN, Layout

if TYPE_CHECKING:
    from pathlib import Path


_CONFIGS = (oci.CONFIG, "application/vnd.docker.container.image.v1+json")
# Docker's media types -> OCI media types.
_LAYERS = {
    f"application/vnd.docker.image.rootfs.diff.tar{docker}": oci.TAR_LAYER + suffix
    for docker, suffix in (("", ""), (".gzip", "+gzip"), (".zstd", "+zstd"))
} | {oci.TAR_LAYER + suffix: oci.TAR_LAYER + suffix for suffix in ("", "+gzip", "+zstd")}
_VARIABLE = re.compile(r"[^=\0]+=[^\0]*")
_MAX_MANIFESTS = 1000


class BaseImage(NamedTuple):
    """The metadata of a base image. The layers have OCI media types, and names by their position."""

    digest: str
    config: dict[str, Any]  # architecture, os, env, and optionally variant and history
    layers: tuple[Layer, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the image as a JSON object."""
        return {"digest": self.digest, "config": self.config, "layers": [layer.to_json() for layer in self.layers]}


def find_images(
    layout: Layout,
    platforms: Collection[str],
    name: str = "",
    remedy: str = "Use a layout that contains an image for the platform.",
) -> dict[str, BaseImage]:
    """Return the images for `platforms` (`os/architecture`), by platform. Omits missing platforms.

    Raises BentoError if all platforms are missing, or if a platform has several images. In the message for missing
    platforms, `name` replaces the path of the layout.
    """
    images: dict[str, BaseImage] = {}
    others: set[str] = set()
    for manifest in _manifests(layout):
        config = _config(layout, manifest)
        platform = f"{config.get('os')}/{config.get('architecture')}"
        unsupported = sorted({layer.media_type for layer in manifest.layers()} - _LAYERS.keys())
        if platform not in platforms:
            others.add(platform if not unsupported else "")
        elif unsupported:
            others.add(f"{platform} (with layers of type {unsupported[0]})")
        elif platform in images:
            problem = f"the layout contains multiple images for {platform}"
            raise BentoError(problem, place=str(layout.directory), remedy="Keep only one of them.")
        else:
            images[platform] = _image(layout, manifest, config)
    if not images:
        more = f", only for {' and '.join(sorted(others - {''}))}" if others - {""} else ""
        problem = f"{name or f'{layout.directory}: the layout'} contains no image for {' or '.join(platforms)}{more}"
        raise BentoError(problem, remedy=remedy)
    return {platform: images[platform] for platform in platforms if platform in images}


def check_layers(layout: Layout, images: Collection[BaseImage]) -> None:
    """Verify the digest, size, and media type of each distinct layer. Raises BentoError for an invalid layer."""
    for layer in {layer.digest: layer for image in images for layer in image.layers}.values():
        path = _complete_blob(layout, layer)
        FileSource(path).check(layer.digest, layer.size)
        with path.open("rb") as file:
            actual = oci.tar_layer_type(file.read(4))
        if layer.media_type != actual:
            problem = f"the media type is {layer.media_type}, but the content is {actual}"
            raise BentoError(problem, place=str(path), remedy=COPY_AGAIN)


def _manifests(layout: Layout) -> Iterator[Manifest]:
    queue = layout.index()
    seen: set[str] = set()
    while queue:
        entry = queue.pop(0)
        if entry.digest in seen or (entry.platform and not layout.blob(entry.digest).exists()):
            continue
        seen.add(entry.digest)
        if len(seen) > _MAX_MANIFESTS:
            problem = f"the layout contains more than {_MAX_MANIFESTS} manifests"
            remedy = "Create a layout that contains only the required image."
            raise BentoError(problem, place=str(layout.directory), remedy=remedy)
        path = _complete_blob(layout, entry)
        manifest = Manifest.read(layout.read(entry), entry.media_type, str(path))
        if manifest.is_index:
            queue += manifest.children()
        else:
            yield manifest


def _complete_blob(layout: Layout, entry: Descriptor | Layer) -> Path:
    """Return the path of a blob. Raises BentoError if the blob is missing or has the wrong size."""
    path = layout.blob(entry.digest)
    if not path.is_file():
        raise BentoError(f"missing blob {entry.digest}", place=str(layout.directory), remedy=COPY_AGAIN)
    if path.stat().st_size != entry.size:
        raise BentoError(f"expected {entry.size} bytes, got {path.stat().st_size}", place=str(path), remedy=COPY_AGAIN)
    return path


def _config(layout: Layout, manifest: Manifest) -> dict[str, Any]:
    if manifest.config.media_type not in _CONFIGS:
        return {}
    path = _complete_blob(layout, manifest.config)
    return read_object(layout.read(manifest.config), str(path))


def _image(layout: Layout, manifest: Manifest, config: dict[str, Any]) -> BaseImage:
    path = layout.blob(manifest.config.digest)
    rootfs, settings = config.get("rootfs"), config.get("config") or {}
    diff_ids = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    layers = manifest.layers()
    if not isinstance(diff_ids, list) or not all(isinstance(of, str) and oci.is_digest(of) for of in diff_ids):
        raise BentoError("rootfs.diff_ids isn't a list of digests", place=str(path), remedy=COPY_AGAIN)
    if len(diff_ids) != len(layers):
        problem = f"rootfs.diff_ids: expected {len(layers)} digests, got {len(diff_ids)}"
        raise BentoError(problem, place=str(path), remedy=COPY_AGAIN)
    variables = (settings.get("Env") or []) if isinstance(settings, dict) else None
    if not isinstance(variables, list) or not all(isinstance(of, str) and _VARIABLE.fullmatch(of) for of in variables):
        raise BentoError("config.Env isn't a list of NAME=value strings", place=str(path), remedy=COPY_AGAIN)
    kept: dict[str, Any] = {key: config[key] for key in ("architecture", "os", "variant", "history") if key in config}
    if not isinstance(kept.get("variant", ""), str) or not isinstance(kept.get("history") or [], list):
        raise BentoError("variant must be a string, and history must be a list", place=str(path), remedy=COPY_AGAIN)
    kept["env"] = dict(variable.split("=", 1) for variable in variables)
    wrapper = settings.get("Entrypoint") if isinstance(settings, dict) else None
    if isinstance(wrapper, list) and wrapper and all(isinstance(word, str) for word in wrapper):
        kept["entrypoint"] = wrapper
    # The names are in the histories of images, so they don't depend on the name of the base. Lazy pulls need the
    # annotations, such as those of eStargz.
    names = _layer_names(config.get("history"), len(layers))
    described = [
        Layer(_LAYERS[layer.media_type], layer.digest, layer.size, diff_id, dict(layer.annotations), name=name)
        for layer, diff_id, name in zip(layers, diff_ids, names, strict=True)
    ]
    return BaseImage(manifest.descriptor.digest, kept, tuple(described))


def _layer_names(history: object, number: int) -> list[str]:
    """Return the names of a base's layers. Without names of a `bento_base`, they are numbers."""
    steps = history if isinstance(history, list) else []
    names = [str(step.get("created_by")) for step in steps if isinstance(step, dict)]
    if len(names) == number and all(name.startswith(HISTORY) for name in names):
        return [name.removeprefix(HISTORY)[:200] for name in names]
    return [f"base layer {index}" for index in range(number)]
