"""Copies from registry to registry: through this machine, or mounted where both repositories are in one registry."""

from __future__ import annotations

from rules_bento.errors import BentoError
from rules_bento.hints import TYPE_CHECKING
from rules_bento.registry.pull import as_package
from rules_bento.registry.push import push

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rules_bento.net.progress import Counter
    from rules_bento.registry.client import Registries, Repository
    from rules_bento.registry.push import Pushed
    from rules_bento.registry.reference import Reference


def copy(
    source: Reference,
    targets: Sequence[Reference],
    registries: Registries,
    counter: Counter,
    *,
    with_referrers: bool = True,
) -> list[Pushed]:
    """Copy an image, index or artifact, byte by byte; `with_referrers`, what refers to it, too.

    Returns and raises as `push` does. Nothing is written to this machine's disk.
    """
    repository = registries.repository(source)
    root = repository.get_manifest(source.target)
    pushed = push(as_package(repository, root), targets, registries, counter)
    if with_referrers:
        subjects = [root.descriptor.digest, *(entry.digest for entry in root.children())]
        for digest in subjects:
            _copy_referrers(repository, digest, targets, registries, counter)
    return pushed


def _copy_referrers(
    repository: Repository, digest: str, targets: Sequence[Reference], registries: Registries, counter: Counter
) -> None:
    """Copy what refers to a manifest, and what refers to that: that they do makes a circle of digests impossible."""
    for entry in repository.referrers(digest):
        manifest = repository.get_manifest(entry.digest)
        if manifest.subject is None or manifest.subject.digest != digest:
            raise BentoError(f"{repository}: lists {entry.digest} among what refers to {digest}, which it does not.")
        untagged = {target.with_digest(entry.digest) for target in targets}
        push(as_package(repository, manifest), sorted(untagged, key=str), registries, counter)
        _copy_referrers(repository, entry.digest, targets, registries, counter)
