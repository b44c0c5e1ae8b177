"""Compares a built image with the image that a tag has in a registry: layers, packages, and bytes to pull."""

from __future__ import annotations

from urllib.parse import unquote

from rules_bento.base.dataclasses_lite import NamedTuple
from rules_bento.base.errors import BentoError
from rules_bento.base.formats.json import read_object
from rules_bento.base.formats.oci import SBOM_TYPES, Layer
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Collection, Iterator, Sequence
from rules_bento.images.oci_image import layer_names
from rules_bento.images.registry import RegistryError
from rules_bento.images.registry.reference import SCHEME, Reference

if TYPE_CHECKING:
    from rules_bento.images.plan import PlannedWheel
    from rules_bento.images.registry.client import Registries, Repository
    from rules_bento.images.registry.descriptor import Manifest


_PYPI = "pkg:pypi/"


class LayerChange(NamedTuple):
    """A layer of the built image or the image in the registry."""

    name: str
    size: int
    status: str  # same, new, or removed
    packages: tuple[str, ...] = ()  # that are new or have another version, such as `idna 3.10 -> 3.11`


class ImageChanges(NamedTuple):
    """The differences between a built image and the image in a registry."""

    before: str  # digest of the image in the registry, or "" if there is none
    layers: tuple[LayerChange, ...]
    removed: tuple[str, ...]  # packages
    has_packages: bool  # whether the registry has an SBOM of the image
    pulled: int  # bytes that a server with the image of the registry pulls

    def to_json(self) -> dict[str, Any]:
        """Return the differences as a JSON value."""
        return self._asdict() | {"layers": [layer._asdict() for layer in self.layers]}


def find_sbom(repository: Repository, digests: Sequence[str], media_types: Collection[str]) -> bytes | None:
    """Return the first SBOM with one of the media types that refers to one of the manifests."""
    for digest in digests:
        for referrer in repository.referrers(digest):
            if referrer.artifact_type in media_types:
                layers = repository.get_manifest(referrer.digest).blobs()
                for blob in (layer for layer in layers if layer.media_type == referrer.artifact_type):
                    return repository.read_blob(blob)
    return None


def compare(
    contents: Sequence[tuple[Layer, Sequence[PlannedWheel]]], platform: str, name: str, registries: Registries
) -> ImageChanges:
    """Compare an image with the image of the same platform that the tag `name` has in a registry."""
    repository, before = _image_in_registry(platform, name, registries)
    packages = _packages(repository, before) if before else None
    found = {layer.digest: layer for layer in before.layers()} if before else {}
    changes = []
    for layer, wheels in contents:
        changed: tuple[str, ...] = ()
        if layer.digest not in found and packages is not None:
            changed = tuple(
                f"{wheel.distribution} {f'{old} -> ' if old else ''}{wheel.version}"
                for wheel in wheels
                if (old := packages.get(wheel.distribution)) != wheel.version
            )
        changes.append(LayerChange(layer.name, layer.size, "same" if layer.digest in found else "new", changed))
    sizes = {layer.digest: layer.size for layer, _ in contents}
    names = _layer_names(repository, before) if found.keys() - sizes.keys() and before else {}
    changes += [
        LayerChange(names[digest], layer.size, "removed") for digest, layer in found.items() if digest not in sizes
    ]
    versions = {wheel.distribution for _, wheels in contents for wheel in wheels}
    removed = tuple(f"{name} {version}" for name, version in sorted((packages or {}).items()) if name not in versions)
    pulled = sum(size for digest, size in sizes.items() if digest not in found)
    digest = before.descriptor.digest if before else ""
    return ImageChanges(digest, tuple(changes), removed, packages is not None, pulled)


def compare_bases(before: str, after: str, platform: str, registries: Registries) -> ImageChanges:
    """Compare two bases for a platform: what a server that has the first one pulls for the second one."""
    old, new = (f"{SCHEME}{Reference.parse(each)}" for each in (before, after))
    repository, image = _image_in_registry(platform, new, registries)
    if image is None:
        raise BentoError(f"no image for {platform}", place=after, remedy="Set --platform.")
    names = _layer_names(repository, image)
    layers = [Layer(each.media_type, each.digest, each.size, "", name=names[each.digest]) for each in image.layers()]
    changes = compare([(layer, ()) for layer in layers], platform, old, registries)
    return changes._replace(removed=(), has_packages=True)  # an SBOM of a base isn't about the packages of the lock


def _image_in_registry(platform: str, name: str, registries: Registries) -> tuple[Repository, Manifest | None]:
    """Return the image for the platform, or None if the tag or the platform doesn't exist."""
    from rules_bento.images.registry.pull_from_registry import select_platforms

    reference = Reference.from_url(name)
    repository = registries.repository(reference)
    try:
        root = repository.get_manifest(reference.target)
    except RegistryError as error:
        if error.status == 404:
            return repository, None
        raise
    if not root.is_index:
        return repository, root
    try:
        [child] = select_platforms(root, [platform], name)
    except (BentoError, ValueError):
        return repository, None
    return repository, repository.get_manifest(child.digest)


def _layer_names(repository: Repository, manifest: Manifest) -> dict[str, str]:
    """Map the digests of an image's layers to the names in the history of the config."""
    config = read_object(repository.read_blob(manifest.config), str(repository))
    layers = manifest.layers()
    names = layer_names(config.get("history"), len(layers))
    return {layer.digest: name for layer, name in zip(layers, names, strict=True)}


def _packages(repository: Repository, manifest: Manifest) -> dict[str, str] | None:
    """Map Python packages in the SBOM of an image to versions, or return None if the registry has no SBOM."""
    content = find_sbom(repository, [manifest.descriptor.digest], SBOM_TYPES.values())
    if content is None:
        return None
    document = read_object(content, f"{repository}: SBOM")
    urls = [component.get("purl") for component in _objects(document.get("components"))]
    for package in _objects(document.get("packages")):
        urls += [reference.get("referenceLocator") for reference in _objects(package.get("externalRefs"))]
    found = [url.removeprefix(_PYPI).partition("@") for url in urls if isinstance(url, str) and url.startswith(_PYPI)]
    return {unquote(name): unquote(version) for name, _, version in found}


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    yield from (item for item in value if isinstance(item, dict)) if isinstance(value, list) else ()
