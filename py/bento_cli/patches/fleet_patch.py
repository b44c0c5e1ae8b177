"""Implements `bento patch`: patches images one after the other, and pushes each before its tag refers to it."""

from __future__ import annotations

from rules_bento.base.dataclasses_lite import NamedTuple, dataclass
from rules_bento.base.errors import BentoError
from rules_bento.base.formats.oci import ANNOTATION
from rules_bento.base.typing_lite import TYPE_CHECKING, Mapping, Sequence
from rules_bento.images.registry.blob_sources import Pushable
from rules_bento.images.registry.push_to_registry import push, push_all
from rules_bento.images.registry.reference import Reference

from bento_cli.patches.image_claims import read_packages
from bento_cli.patches.image_patch import ImagePlanner
from bento_cli.patches.published_image import read_images
from bento_cli.sharing import native_build
from bento_cli.sharing.image_options import read_options
from bento_cli.sharing.native_build import Delivery
from bento_cli.sharing.native_cache import DamagedError

if TYPE_CHECKING:
    from pathlib import Path

    from rules_bento.images.artifacts.signatures import Signing

    from bento_cli.sharing.backends import Options
    from bento_cli.sharing.native_build import BuildWorkspace

REJECTED = "rejected"


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
    status: str  # patched, would be patched, unchanged, or rejected
    target: str = ""  # the reference of the patched image
    before: str = ""  # digests of the images
    digest: str = ""
    packages: tuple[tuple[str, str, str], ...] = ()  # names, and the versions before and after
    base: str = ""  # the new base
    bytes: int = 0  # that were sent, or of layers that would be new
    source: str = ""  # address of the sources, as the image states
    notes: tuple[str, ...] = ()
    problem: str = ""


class _Delivery(Delivery):
    def _push(self, names: Sequence[str], signing: Signing | None) -> tuple[int, int]:
        """Push image, SBOM, and signature by their digests, and then the tag, so that a tag never has only a part."""
        registries, progress = self._workspace.registries, self._workspace.progress
        targets = [Reference.from_url(name) for name in names]
        origins = dict.fromkeys(image.base.origin for image in self.images if image.base.origin)
        package = Pushable(self.root, self.children, self.sources, [*origins])
        sent = push(package, [each.with_digest(self.root.descriptor.digest) for each in targets], registries, progress)
        referrers = [
            (referrer, [target.with_digest(referrer.root.descriptor.digest) for target in targets])
            for referrer in self._referrers()
        ]
        push_all(referrers, registries, progress)
        if signing:
            self._sign(targets, signing)
        push(package, targets, registries, progress)
        return sum(each.size for each in sent), sum(each.mounted_size for each in sent)


def patch_images(
    images: Sequence[str], request: Request, options: Options, *, home: Path, signing: Signing | None
) -> list[Outcome]:
    """Patch images, and push them. Returns the result for each image. Rejects an image without writing anything.

    Raises BentoError for a wrong request.
    """
    references = [Reference.from_url(image) for image in images]
    if not (request.suffix or request.tag or request.moves_tags or request.is_dry):
        raise BentoError("the patched images need tags", remedy="Add --suffix, --tag, or --move-tags.")
    targets = [str(request.target(reference)) for reference in references]
    if twice := {each for each in targets if targets.count(each) > 1}:
        raise BentoError(f"{min(twice)} would be the tag of several images", remedy="Use --suffix, or fewer images.")
    settings = read_options(options, (), signing, is_delivered=False) | {"push": [""]}
    done: dict[str, Outcome] = {}

    def run(workspace: BuildWorkspace) -> list[Outcome]:
        planner = ImagePlanner(workspace, request.pins, next(iter(workspace.values("base")), ""))
        for image, reference in zip(images, references, strict=True):
            if image in done:  # before files of the cache were replaced
                continue
            workspace.notes = []
            workspace.progress.begin(f"Patching {image}")
            try:
                done[image] = _patch(planner, image, reference, request, signing)
            except DamagedError:
                raise
            except BentoError as error:
                done[image] = Outcome(image, REJECTED, problem=str(error))
        return [done[image] for image in images]

    return native_build.build("Patching images", home, settings, run)


def _patch(
    planner: ImagePlanner, image: str, reference: Reference, request: Request, signing: Signing | None
) -> Outcome:
    workspace, target = planner.workspace, request.target(reference)
    repository = workspace.registries.repository(reference)
    root = repository.get_manifest(reference.target).descriptor.digest
    pinned = reference.with_digest(root)  # all requests are for one image, also if its tag moves meanwhile
    published = [planner.read(each) for each in read_images(pinned, workspace.registries)]
    contents = {each.claims.contents for each in published}
    before = Delivery(workspace, [each.before for each in published if each.before], lambda: "").root.descriptor.digest
    if before != root or len(contents) > 1:
        raise BentoError("the index isn't what a build writes", remedy="Build the image again.")
    patches = [planner.patch(each) for each in published]
    found = [each for each in patches if each]
    result = Outcome(image, "unchanged", before=root, digest=root)
    if not found:
        return result
    images = [each.image if each else old.before for each, old in zip(patches, published, strict=True)]
    [sources] = contents
    delivery = _Delivery(workspace, [each for each in images if each], lambda: sources)
    digest, old = delivery.root.descriptor.digest, {layer.digest for each in published for layer in each.claims.layers}
    there = "" if request.is_dry else repository.manifest_digest(target.tag)
    if there not in ("", digest) and not request.moves_tags:
        raise BentoError(f"the tag {target.tag} has another image", remedy="Choose another tag, or add --move-tags.")
    new = {
        layer.digest: layer.size for each in delivery.images for layer, _ in each.contents if layer.digest not in old
    }
    labels = published[0].claims.settings["Labels"]
    result = result._replace(
        status="would be patched",
        target=str(target),
        digest=digest,
        packages=tuple(dict.fromkeys(change for each in found for change in each.changes)),
        base=found[0].base,
        bytes=sum(new.values()),
        source=labels.get(f"{ANNOTATION}source", ""),
        notes=tuple(dict.fromkeys(note for each in found for note in each.notes)),
    )
    if request.is_dry:
        return result
    workspace.notes = []
    delivered = delivery.deliver([str(target)], signing)
    return result._replace(status="patched", bytes=delivered.sent)


def affected(images: Sequence[str], name: str, versions: str, insecure: Sequence[str], home: Path) -> list[Outcome]:
    """Return which images have a package in a range of versions (PEP 440), as their SBOMs state."""
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        allowed = SpecifierSet(versions, prereleases=True)
    except InvalidSpecifier:
        remedy = "Write a name and a range of versions, such as 'urllib3<2.6.3'."
        raise BentoError(f"{versions!r} isn't a range of versions", place="--affected", remedy=remedy) from None

    def run(workspace: BuildWorkspace) -> list[Outcome]:
        found = []
        for image in images:
            try:
                sources = read_images(Reference.from_url(image), workspace.registries)
                there = [read_packages(each)[0].get(name) for each in sources]
                versions = dict.fromkeys(each.version for each in there if each and allowed.contains(each.version))
                status = "affected" if versions else "not affected"
                found.append(Outcome(image, status, packages=tuple((name, each, "") for each in versions)))
            except BentoError as error:
                found.append(Outcome(image, REJECTED, problem=str(error)))
        return found

    settings = read_options({"insecure": [*insecure]}, (), is_delivered=False)
    return native_build.build("Reading images", home, settings, run)
