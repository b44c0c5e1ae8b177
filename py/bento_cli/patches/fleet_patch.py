"""Implements `bento patch`: patches images one after the other, and pushes each before its tag refers to it."""

from __future__ import annotations

from rules_bento.base.dataclasses_lite import NamedTuple, dataclass
from rules_bento.base.errors import BentoError
from rules_bento.base.formats.oci import to_bytes
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Callable, Mapping, Sequence
from rules_bento.images.registry.reference import Reference

from bento_cli.patches.image_patch import ImagePlanner
from bento_cli.patches.published_image import read_images, read_packages
from bento_cli.sharing import native_build
from bento_cli.sharing.image_options import read_options
from bento_cli.sharing.native_cache import DamagedError
from bento_cli.sharing.native_delivery import Delivery

if TYPE_CHECKING:
    from pathlib import Path

    from rules_bento.images.artifacts.signatures import Signing
    from rules_bento.images.registry.client import Registries

    from bento_cli.sharing.backends import Options
    from bento_cli.sharing.native_build import BuildWorkspace

REJECTED, AFFECTED = "rejected", "affected"


@dataclass(frozen=True)
class Request:
    """What the user specifies: versions by normalized name, and the tags of the patched images."""

    pins: Mapping[str, str]
    suffix: str = ""
    tag: str = ""
    moves_tags: bool = False
    is_dry: bool = False

    def target(self, reference: Reference) -> Reference:
        """Return the tag of a patched image. Raises BentoError if an option is missing."""
        tag = self.tag or (f"{reference.tag or 'latest'}{self.suffix}" if reference.tag or not reference.digest else "")
        if not tag:
            raise BentoError("a digest has no tag", remedy="Add --tag TAG for the patched image.")
        return reference.with_tag(tag)


class Outcome(NamedTuple):
    """The result for one image."""

    image: str
    status: str  # patched, would be patched, unchanged, rejected, affected, or not affected
    target: str = ""  # the reference of the patched image
    before: str = ""  # digests of the images
    digest: str = ""
    packages: tuple[tuple[str, str, str], ...] = ()  # names, and the versions before and after
    base: str = ""  # the new base
    bytes: int = 0  # that were sent, or of layers that would be new
    notes: tuple[str, ...] = ()  # or why the image was rejected


def patch_images(
    images: Sequence[str], request: Request, options: Options, *, home: Path, signing: Signing | None
) -> list[Outcome]:
    """Patch images, and push them. Returns the result for each image. Rejects an image without writing anything.

    Raises BentoError for a wrong request.
    """
    if not (request.suffix or request.tag or request.moves_tags or request.is_dry):
        raise BentoError("the patched images need tags", remedy="Add --suffix, --tag, or --move-tags.")
    targets = [str(request.target(Reference.from_url(image))) for image in images]
    if twice := {each for each in targets if targets.count(each) > 1}:
        raise BentoError(f"{min(twice)} would be the tag of several images", remedy="Use --suffix, or fewer images.")
    settings = read_options(options, (), signing, is_delivered=False) | {"push": [""]}
    base = next(iter(settings.get("base", ())), "")
    done: dict[str, Outcome] = {}

    def run(workspace: BuildWorkspace) -> list[Outcome]:
        planner = ImagePlanner(workspace, request.pins, base)
        return _outcomes(images, done, workspace, lambda image: _patch(planner, image, request, signing))

    return native_build.build("Patching images", home, settings, run)


def affected(images: Sequence[str], name: str, versions: str, insecure: Sequence[str], home: Path) -> list[Outcome]:
    """Return which images have a package in a range of versions (PEP 440), as their SBOMs state."""
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        allowed = SpecifierSet(versions, prereleases=True)
    except InvalidSpecifier:
        remedy = "Write a name and a range of versions, such as 'urllib3<2.6.3'."
        raise BentoError(f"{versions!r} isn't a range of versions", place="--affected", remedy=remedy) from None

    def find(image: str, registries: Registries) -> Outcome:
        packages = [read_packages(each.components()) for each in read_images(Reference.from_url(image), registries)]
        versions = dict.fromkeys(each[name].version for each in packages if name in each)
        found = tuple((name, each, "") for each in versions if allowed.contains(each))
        return Outcome(image, AFFECTED if found else "not affected", packages=found)

    def run(workspace: BuildWorkspace) -> list[Outcome]:
        return _outcomes(images, {}, workspace, lambda image: find(image, workspace.registries))

    settings = read_options({"insecure": [*insecure]}, (), is_delivered=False)
    return native_build.build("Reading images", home, settings, run)


def start_published(image: str, options: Options, home: Path) -> dict[str, Any]:
    """Start an image of a registry, and return measurements. Raises BentoError if it isn't ready in time."""
    from bento_cli.sharing.start_option import start, startable

    settings = read_options(options, (), is_delivered=False)

    def run(workspace: BuildWorkspace) -> dict[str, Any]:
        images = {each.platform: each for each in read_images(Reference.from_url(image), workspace.registries)}
        found = startable(images, *settings["platform"])
        layers = [(each, found.save(each, workspace.new_directory())) for each in found.layers]
        return start(settings, layers, to_bytes(found.config), str(workspace.scratch))

    return native_build.build(f"Starting {image}", home, settings, run)


def _outcomes(
    images: Sequence[str], done: dict[str, Outcome], workspace: BuildWorkspace, outcome: Callable[[str], Outcome]
) -> list[Outcome]:
    """Return the results for all images, of which some can be rejected. Skips images in `done`, and adds to it."""
    for image in images:
        if image not in done:
            workspace.progress.begin(image)
            try:
                done[image] = outcome(image)
            except DamagedError:
                raise
            except BentoError as error:
                done[image] = Outcome(image, REJECTED, notes=(str(error),))
    return [*done.values()]


def _patch(planner: ImagePlanner, image: str, request: Request, signing: Signing | None) -> Outcome:
    reference, workspace = Reference.from_url(image), planner.workspace
    repository, target = workspace.registries.repository(reference), request.target(reference)
    root = repository.get_manifest(reference.target).descriptor.digest
    pinned = reference.with_digest(root)  # all requests are for one image, also if its tag moves meanwhile
    published = [planner.read(each) for each in read_images(pinned, workspace.registries)]
    contents = {each.claims.contents for each in published}
    if Delivery(workspace, published, str).root.descriptor.digest != root or len(contents) > 1:
        raise BentoError("the index isn't what a build writes", remedy="Build the image again.")
    workspace.notes = []
    pairs = [(old, planner.patch(old) or old) for old in published]
    if all(old is new for old, new in pairs):
        return Outcome(image, "unchanged", before=root, digest=root)
    delivery = Delivery(workspace, [new for _, new in pairs], lambda: pairs[0][1].claims.contents)
    digest = delivery.root.descriptor.digest
    there = "" if request.is_dry else repository.manifest_digest(target.tag)
    if there not in ("", digest) and not request.moves_tags:
        raise BentoError(f"the tag {target.tag} has another image", remedy="Choose another tag, or add --move-tags.")
    known = {layer.digest for old in published for layer, _ in old.contents}
    sizes = {layer.digest: layer.size for _, new in pairs for layer, _ in new.contents if layer.digest not in known}
    changes = dict.fromkeys(
        (new.distribution, old.version, new.version)
        for before, after in pairs
        for old, new in zip(sorted(before.plan.wheels), sorted(after.plan.wheels), strict=True)
        if old.version != new.version
    )
    base = next((new.base.name for old, new in pairs if new.base is not old.base), "")
    notes, size = tuple(dict.fromkeys(workspace.notes)), sum(sizes.values())
    result = Outcome(image, "would be patched", str(target), root, digest, tuple(changes), base, size, notes)
    if request.is_dry:
        return result
    # Image, SBOM, and signature precede the tag, which never has only a part.
    delivered = delivery.deliver([str(target.with_digest(digest))], signing)
    repository.put_manifest(delivery.root, target.tag)
    return result._replace(status="patched", bytes=delivered.sent, notes=delivered.notes)
