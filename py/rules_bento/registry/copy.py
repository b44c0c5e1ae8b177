"""Copies images and artifacts between registries: through this machine, or mounted within one registry."""

from __future__ import annotations

from rules_bento.errors import BentoError
from rules_bento.net import limits
from rules_bento.registry.pull import from_repository
from rules_bento.registry.push import push
from rules_bento.typing_lite import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rules_bento.net.transfers import Counter
    from rules_bento.registry.client import Registries, Repository
    from rules_bento.registry.descriptor import Manifest
    from rules_bento.registry.push import PushResult
    from rules_bento.registry.reference import Reference


def copy(
    source: Reference,
    targets: Sequence[Reference],
    registries: Registries,
    counter: Counter,
    *,
    with_referrers: bool = True,
) -> list[PushResult]:
    """Copy an image, index, or artifact unchanged, by default with its referrers.

    Returns and raises as `push` does. Writes nothing to disk.
    """
    repository = registries.repository(source)
    root = repository.get_manifest(source.target)
    pushed = push(from_repository(repository, root), targets, registries, counter)
    if with_referrers:
        for manifest in _walk_referrers(repository, root):
            untagged = {target.with_digest(manifest.descriptor.digest) for target in targets}
            push(from_repository(repository, manifest), sorted(untagged, key=str), registries, counter)
    return pushed


def _walk_referrers(repository: Repository, root: Manifest) -> Iterator[Manifest]:
    """Yield the referrers of a manifest and of its children, and their referrers, each after its subject.

    Digests make cycles impossible, but a chain can have any length. Raises BentoError for too many referrers, and for a
    referrer with another subject.
    """
    pending = [root.descriptor.digest, *(entry.digest for entry in root.children())]
    count = 0
    while pending:
        subject = pending.pop()
        for digest in dict.fromkeys(entry.digest for entry in repository.referrers(subject)):
            count += 1
            if count > limits.MANIFESTS:
                raise BentoError(
                    f"{repository}: {root.descriptor.digest} has more than {limits.MANIFESTS} referrers. "
                    "Copy it without referrers: --no-referrers."
                )
            manifest = repository.get_manifest(digest)
            if manifest.subject is None or manifest.subject.digest != subject:
                raise BentoError(f"{repository}: {digest} isn't a referrer of {subject}. Report this to its owner.")
            yield manifest
            pending.append(digest)
