"""Copies from registry to registry: through this machine, or mounted where both repositories are in one registry."""

from __future__ import annotations

from rules_bento.errors import BentoError
from rules_bento.net import limits
from rules_bento.registry.pull import as_package
from rules_bento.registry.push import push
from rules_bento.typing_lite import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rules_bento.net.transfers import Counter
    from rules_bento.registry.client import Registries, Repository
    from rules_bento.registry.descriptor import Manifest
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
        for manifest in _referrers(repository, root):
            untagged = {target.with_digest(manifest.descriptor.digest) for target in targets}
            push(as_package(repository, manifest), sorted(untagged, key=str), registries, counter)
    return pushed


def _referrers(repository: Repository, root: Manifest) -> Iterator[Manifest]:
    """Yield what refers to a manifest or one that it lists, and what refers to that, each behind what it refers to.

    That they do makes a circle of digests impossible, and not a chain of any length. Raises BentoError for too many,
    and for one that refers to something else.
    """
    pending = [root.descriptor.digest, *(entry.digest for entry in root.children())]
    count = 0
    while pending:
        subject = pending.pop()
        for digest in dict.fromkeys(entry.digest for entry in repository.referrers(subject)):
            count += 1
            if count > limits.MANIFESTS:
                raise BentoError(
                    f"{repository}: has more than {limits.MANIFESTS} manifests that refer to {root.descriptor.digest}. "
                    "Copy it without them: --no-referrers."
                )
            manifest = repository.get_manifest(digest)
            if manifest.subject is None or manifest.subject.digest != subject:
                raise BentoError(f"{repository}: lists {digest} among what refers to {subject}, which it does not.")
            yield manifest
            pending.append(digest)
