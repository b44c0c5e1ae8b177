"""Finds images to build on in an OCI layout, for given platforms, each verified against its index."""

from __future__ import annotations

import re

from rules_bento.dataclasses_lite import NamedTuple, replace
from rules_bento.errors import BentoError
from rules_bento.formats.json import read_object
from rules_bento.registry import descriptor as oci
from rules_bento.registry.blob_sources import FileSource
from rules_bento.registry.descriptor import Descriptor, Manifest
from rules_bento.typing_lite import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from rules_bento.registry.layout import Layout

_CONFIGS = (oci.CONFIG, "application/vnd.docker.container.image.v1+json")
# Docker's names of the same things.
_LAYERS = {
    f"application/vnd.docker.image.rootfs.diff.tar{docker}": oci.TAR_LAYER + suffix
    for docker, suffix in (("", ""), (".gzip", "+gzip"), (".zstd", "+zstd"))
} | {oci.TAR_LAYER + suffix: oci.TAR_LAYER + suffix for suffix in ("", "+gzip", "+zstd")}
_MAGIC = {"+gzip": b"\x1f\x8b", "+zstd": b"\x28\xb5\x2f\xfd"}
_VARIABLE = re.compile(r"[^=\0]+=[^\0]*")
_LARGEST_DOCUMENT = 4 << 20  # OCI distribution specification: what registries have to take
_MOST_MANIFESTS = 1000


class BaseImage(NamedTuple):
    """Describes an image without its layers."""

    digest: str
    facts: dict[str, Any]  # architecture, os, env, perhaps variant and history
    layers: tuple[tuple[Descriptor, str], ...]  # with an OCI media type, and the diff ID

    def to_json(self) -> dict[str, Any]:
        """Return the description as JSON."""
        layers = [_described(layer, diff_id) for layer, diff_id in self.layers]
        return {"digest": self.digest, "facts": self.facts, "layers": layers}


def _described(layer: Descriptor, diff_id: str) -> dict[str, Any]:
    described = {"media_type": layer.media_type, "digest": layer.digest, "size": layer.size, "diff_id": diff_id}
    # Without those of eStargz, nobody pulls the layer lazily.
    return described | {"annotations": dict(layer.annotations)} if layer.annotations else described


def find(layout: Layout, platforms: Collection[str]) -> dict[str, BaseImage]:
    """Return the images of a layout for the platforms, `os/architecture`.

    Manifests that are not there are left out if their index says which platform they are for: of what was pulled, those
    for others are not. Raises BentoError for a document that is none, or does not have its digest or size; for several
    images of one platform, and where there is none for any.
    """
    images: dict[str, BaseImage] = {}
    others: set[str] = set()
    for manifest in _manifests(layout):
        config = _config(layout, manifest)
        platform = f"{config.get('os')}/{config.get('architecture')}"
        odd = sorted({layer.media_type for layer in manifest.layers()} - _LAYERS.keys())
        if platform not in platforms:
            others.add(platform if not odd else "")
        elif odd:
            others.add(f"{platform} (with layers of {odd[0]})")
        elif platform in images:
            raise BentoError(f"{layout.folder}: has several images for {platform}. Leave one there.")
        else:
            images[platform] = _image(layout, manifest, config)
    if not images:
        more = f", only for {' and '.join(sorted(others - {''}))}" if others - {""} else ""
        raise BentoError(f"{layout.folder}: has no image for {' or '.join(platforms)}{more}.")
    return {platform: images[platform] for platform in platforms if platform in images}


def check_layers(layout: Layout, images: Collection[BaseImage]) -> None:
    """Hold each layer to its digest, size and media type, once. Raises BentoError."""
    for layer in {layer.digest: layer for image in images for layer, _ in image.layers}.values():
        path = layout.blob(layer.digest)
        _check_size(layout, path, layer)
        FileSource(path).check(layer.digest, layer.size)
        with path.open("rb") as file:
            start = file.read(4)
        suffix = next((suffix for suffix, magic in _MAGIC.items() if start.startswith(magic)), "")
        if layer.media_type != oci.TAR_LAYER + suffix:
            raise BentoError(f"{path}: is called {layer.media_type}, but is {suffix[1:] or 'not compressed'}. {_AGAIN}")


_AGAIN = "Copy the whole image into the layout again."


def _manifests(layout: Layout) -> Iterator[Manifest]:
    """Yield the manifests of images, those of nested indexes among them, each once."""
    queue = layout.index()
    seen: set[str] = set()
    while queue:
        entry = queue.pop(0)
        if entry.digest in seen or (entry.platform and not layout.blob(entry.digest).exists()):
            continue
        seen.add(entry.digest)
        if len(seen) > _MOST_MANIFESTS:
            raise BentoError(f"{layout.folder}: has more than {_MOST_MANIFESTS} manifests. Copy one image.")
        content = _document(layout, entry)
        manifest = Manifest.read(content, entry.media_type, str(layout.blob(entry.digest)))
        if manifest.is_index:
            queue += manifest.children()
        else:
            yield manifest


def _document(layout: Layout, entry: Descriptor) -> bytes:
    path = layout.blob(entry.digest)
    _check_size(layout, path, entry)
    if entry.size > _LARGEST_DOCUMENT:
        raise BentoError(f"{path}: has {entry.size} bytes; no manifest or config is that large.")
    return oci.verify(path.read_bytes(), entry.digest, str(path))


def _check_size(layout: Layout, path: Path, entry: Descriptor) -> None:
    if not path.is_file():
        raise BentoError(f"{layout.folder}: has no blob {entry.digest}; copy the whole image into the layout.")
    if path.stat().st_size != entry.size:
        raise BentoError(f"{path}: has {path.stat().st_size} bytes, not {entry.size}. {_AGAIN}")


def _config(layout: Layout, manifest: Manifest) -> dict[str, Any]:
    """Return the config, or an empty one for what is no image."""
    if manifest.config.media_type not in _CONFIGS:
        return {}
    return read_object(_document(layout, manifest.config), str(layout.blob(manifest.config.digest)))


def _image(layout: Layout, manifest: Manifest, config: dict[str, Any]) -> BaseImage:
    path = layout.blob(manifest.config.digest)
    rootfs, settings = config.get("rootfs"), config.get("config") or {}
    diff_ids = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    layers = manifest.layers()
    if not isinstance(diff_ids, list) or not all(isinstance(of, str) and oci.is_digest(of) for of in diff_ids):
        raise BentoError(f"{path}: has no rootfs.diff_ids, a list of digests. {_AGAIN}")
    if len(diff_ids) != len(layers):
        raise BentoError(f"{path}: is for {len(diff_ids)} layers, but its manifest has {len(layers)}. {_AGAIN}")
    variables = (settings.get("Env") or []) if isinstance(settings, dict) else None
    if not isinstance(variables, list) or not all(isinstance(of, str) and _VARIABLE.fullmatch(of) for of in variables):
        raise BentoError(f"{path}: config.Env is not a list of variables, NAME=value. {_AGAIN}")
    facts: dict[str, Any] = {key: config[key] for key in ("architecture", "os", "variant", "history") if key in config}
    if not isinstance(facts.get("variant", ""), str) or not isinstance(facts.get("history") or [], list):
        raise BentoError(f"{path}: variant is not a text, or history not a list. {_AGAIN}")
    facts["env"] = dict(variable.split("=", 1) for variable in variables)
    renamed = [replace(layer, media_type=_LAYERS[layer.media_type]) for layer in layers]
    return BaseImage(manifest.descriptor.digest, facts, tuple(zip(renamed, diff_ids, strict=True)))
