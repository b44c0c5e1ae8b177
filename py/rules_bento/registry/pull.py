"""Brings images and artifacts of registries into a layout: manifests and configs first, layers when they are needed."""

from __future__ import annotations

from rules_bento.errors import BentoError
from rules_bento.net import transfers
from rules_bento.registry import descriptor as oci
from rules_bento.registry.blob_sources import RemoteSource
from rules_bento.registry.download import download
from rules_bento.registry.pushable import Package
from rules_bento.typing_lite import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from typing import Any

    from rules_bento.net.transfers import Counter
    from rules_bento.registry.client import Registries, Repository
    from rules_bento.registry.descriptor import Descriptor, Manifest
    from rules_bento.registry.layout import Layout
    from rules_bento.registry.reference import Reference


def find(references: Sequence[Reference], registries: Registries) -> tuple[Repository, Manifest]:
    """Return the first of the references (mirrors, then the origin) that has it.

    Raises the error of the last if none has.
    """
    for reference in references[:-1]:
        repository = registries.repository(reference)
        try:
            return repository, repository.get_manifest(reference.target)
        except BentoError:
            continue  # a mirror may lack it, or be down
    repository = registries.repository(references[-1])
    return repository, repository.get_manifest(references[-1].target)


def pull(
    references: Sequence[Reference],
    layout: Layout,
    registries: Registries,
    counter: Counter,
    *,
    platforms: Collection[str] = (),
    lenient: bool = False,
    shallow: bool = False,
    name: str = "",
) -> Manifest:
    """Have an image or index in a layout, listed under `name`; returns its manifest.

    `references` are tried in turn: mirrors, then the origin. Of an index, only the images of the `platforms`
    (`os/architecture[/variant]`; default: all) are taken; if it is `lenient`, those that are there, one at least.
    `shallow` leaves the layers out; `fetch` brings them. Raises BentoError and RegistryError.
    """
    repository, root = find(references, registries)
    chosen = choose(root, platforms, str(references[-1]), lenient=lenient)
    manifests = [*oci.descend(chosen, lambda entry: repository.get_manifest(entry.digest)), root]
    for manifest in manifests:
        layout.add(manifest.content)
    blobs = [blob for manifest in manifests for blob in manifest.blobs()]
    configs = {manifest.config.digest for manifest in manifests if not manifest.is_index}
    wanted = [blob for blob in blobs if not shallow or blob.digest in configs]
    fetch(wanted, [repository, *map(registries.repository, references)], layout, counter)
    with layout.lock():
        layout.record(root, name)
    return root


def fetch(
    blobs: Iterable[Descriptor],
    repositories: Sequence[Repository],
    layout: Layout,
    counter: Counter,
    *,
    jobs: int = transfers.JOBS,
) -> None:
    """Have blobs in a layout, each from the first of the repositories that gives it. Raises as `pull` does."""

    def one(blob: Descriptor, counter: Counter) -> None:
        for repository in repositories[:-1]:
            try:
                download(repository, blob, layout.blob(blob.digest), counter)
            except BentoError:
                continue
            return
        download(repositories[-1], blob, layout.blob(blob.digest), counter)

    missing = {blob.digest: blob for blob in blobs if not layout.has(blob)}
    transfers.parallel_map(one, sorted(missing.values(), key=lambda blob: -blob.size), counter, jobs)


def choose(root: Manifest, platforms: Collection[str], origin: str, *, lenient: bool = False) -> list[Descriptor]:
    """Return the entries of an index for the platforms, or all; none of a manifest that is no index.

    Raises BentoError, naming `origin`, if a platform is not there, or, if it is `lenient`, none of them.
    """
    entries = root.children()
    if not platforms or not root.is_index:
        return entries
    by_platform = {
        platform: [entry for entry in entries if _matches(entry.platform, platform)] for platform in platforms
    }
    lacking = [platform for platform, entries in by_platform.items() if not entries]
    if lacking and not (lenient and len(lacking) < len(by_platform)):
        there = ", ".join(sorted({_name(entry.platform) for entry in entries}))
        raise BentoError(f"{origin}: has nothing for {' or '.join(lacking)}. It has: {there}.")
    return [entry for entries in by_platform.values() for entry in entries[:1]]


def as_package(repository: Repository, root: Manifest) -> Package:
    """Return what `push` takes: all that belongs to a manifest in a repository, streamed from there."""
    children = oci.descend(root.children(), lambda entry: repository.get_manifest(entry.digest))
    blobs = [blob for manifest in (*children, root) for blob in manifest.blobs()]
    sources = {blob.digest: RemoteSource(repository, blob.digest) for blob in blobs}
    return Package(root, children, sources, mount_from=[str(repository)])


def _matches(platform: Mapping[str, Any], wanted: str) -> bool:
    """Return whether `os/architecture`, and the variant if it is named, are those of the platform."""
    parts = wanted.split("/")
    offered = [platform.get("os", ""), platform.get("architecture", ""), platform.get("variant", "")]
    return offered[: len(parts)] == parts


def _name(platform: Mapping[str, Any]) -> str:
    return "/".join(filter(None, (platform.get(key, "") for key in ("os", "architecture", "variant"))))
