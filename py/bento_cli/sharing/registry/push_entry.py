"""Pushes Bentos and models from the store to registries. Sends only missing blobs."""

from __future__ import annotations

from rules_bento.base.errors import BentoError
from rules_bento.base.net.transfers import JOBS, Progress
from rules_bento.base.typing_lite import TYPE_CHECKING, Sequence
from rules_bento.bentos.assembly.kinds import BENTO
from rules_bento.images.registry import RegistryError
from rules_bento.images.registry import descriptor as oci
from rules_bento.images.registry.push_to_registry import PushResult
from rules_bento.images.registry.push_to_registry import push as push_package

from bento_cli.sharing.registry import packing
from bento_cli.store import verification
from bento_cli.store.entry_store import Entry, models_of

if TYPE_CHECKING:
    from rules_bento.images.artifacts.signatures import Signing
    from rules_bento.images.registry.client import Registries, Repository
    from rules_bento.images.registry.descriptor import Manifest
    from rules_bento.images.registry.reference import Reference

    from bento_cli.store.home import Home


def push(
    home: Home,
    entry: Entry,
    targets: Sequence[Reference],
    registries: Registries,
    counter: Progress,
    *,
    check: bool = True,
    jobs: int = JOBS,
    signing: Signing | None = None,
    form: str = "artifact",
) -> list[PushResult]:
    """Push an entry to each target. If the entry is a Bento, also pushes its models.

    The default tag is the entry's version. If all targets already have the artifact, doesn't push it again. If `check`
    is true, verifies all files before a push. If `signing` is set, signs the entry before tagging it. `form` is
    `artifact`, or `kserve` or `modelpack` for a model. Raises BentoError if a model is missing or the push fails.
    """
    if signing:
        from rules_bento.images.artifacts.signatures import sign_in_registries
    for target in targets:
        if target.digest:
            raise BentoError("expected a tag, got a digest", place=str(target), remedy="Use HOST/REPOSITORY[:TAG].")
    targets = [target if target.tag else target.with_tag(entry.tag.version) for target in targets]
    models = models_of(home, entry) if entry.kind is BENTO else []
    described = packing.EntryArtifact(home, entry, models)
    is_artifact = form == "artifact"
    manifests = [
        _already_pushed(described, registries.repository(target), target) if is_artifact else None for target in targets
    ]
    existing = [(manifest, target) for manifest, target in zip(manifests, targets, strict=True) if manifest]
    if len(existing) == len(targets):
        for manifest, target in existing:
            if signing:
                sign_in_registries(manifest.descriptor, [target], signing, registries)
        return [_unchanged(manifest, target) for manifest, target in existing]
    if check:
        verification.require_intact(home, [entry, *models], described.noted)
    if not is_artifact:
        from bento_cli.sharing.registry import model_image

    counter.begin(f"Packing {entry.tag}")
    with described.packed() if is_artifact else model_image.packed(entry, form) as package:
        if signing:
            sign_in_registries(package.root.descriptor, targets, signing, registries)
        counter.begin(f"Pushing {entry.tag}")
        return push_package(package, targets, registries, counter, jobs=jobs)


def _already_pushed(described: packing.EntryArtifact, repository: Repository, target: Reference) -> Manifest | None:
    """Return the manifest at `target` if its config matches `described`, otherwise None. Doesn't pack the entry."""
    try:
        manifest = repository.get_manifest(target.tag)
    except RegistryError as error:
        if error.status == 404:
            return None
        raise
    if manifest.is_index or manifest.config.digest != oci.digest_of(described.config()):
        return None
    return manifest


def _unchanged(manifest: Manifest, target: Reference) -> PushResult:
    reference = target.with_digest(manifest.descriptor.digest)
    return PushResult(reference, (target.tag,), len(list(manifest.blobs())), 0, 0, 0)
