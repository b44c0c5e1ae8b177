"""Pulls images and artifacts into a layout: manifests and configs first, layers on demand."""

from __future__ import annotations

from rules_bento.errors import BentoError
from rules_bento.net import transfers
from rules_bento.registry import descriptor as oci
from rules_bento.registry.blob_sources import RemoteSource
from rules_bento.registry.download import download
from rules_bento.registry.pushable import Pushable
from rules_bento.typing_lite import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from typing import Any

    from rules_bento.net.transfers import Counter
    from rules_bento.registry.client import Registries, Repository
    from rules_bento.registry.descriptor import Descriptor, Manifest
    from rules_bento.registry.layout import Layout
    from rules_bento.registry.reference import Reference


def find_manifest(references: Sequence[Reference], registries: Registries) -> tuple[Repository, Manifest]:
    """Return the first of the references (mirrors, then the origin) that exists.

    Raises the error of the last if none exists.
    """
    for reference in references[:-1]:
        repository = registries.repository(reference)
        try:
            return repository, repository.get_manifest(reference.target)
        except BentoError:
            continue  # a mirror can lack it or be down
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
    """Pull an image or index into a layout, under `name`; return its manifest.

    `references` are tried in order: mirrors, then the origin. `platforms` (`os/architecture[/variant]`; default: all)
    selects images of an index; with `lenient`, at least one must exist. `shallow` omits the layers (see `fetch_blobs`).
    Raises BentoError and RegistryError.
    """
    repository, root = find_manifest(references, registries)
    chosen = select_platforms(root, platforms, str(references[-1]), lenient=lenient)
    manifests = [*oci.collect_manifests(chosen, lambda entry: repository.get_manifest(entry.digest)), root]
    for manifest in manifests:
        layout.add(manifest.content)
    blobs = [blob for manifest in manifests for blob in manifest.blobs()]
    configs = {manifest.config.digest for manifest in manifests if not manifest.is_index}
    wanted = [blob for blob in blobs if not shallow or blob.digest in configs]
    fetch_blobs(wanted, [repository, *map(registries.repository, references)], layout, counter)
    with layout.lock():
        layout.add_manifest(root, name)
    return root


def fetch_blobs(
    blobs: Iterable[Descriptor],
    repositories: Sequence[Repository],
    layout: Layout,
    counter: Counter,
    *,
    jobs: int = transfers.JOBS,
) -> None:
    """Download blobs into a layout, each from the first repository that has it. Raises as `pull` does."""

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


def select_platforms(
    root: Manifest, platforms: Collection[str], origin: str, *, lenient: bool = False
) -> list[Descriptor]:
    """Return the entries of an index for the platforms, or all; empty for a manifest that isn't an index.

    Raises BentoError, beginning with `origin`, for a missing platform, or with `lenient` if all are missing.
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
        raise BentoError(f"{origin}: has no image for {' or '.join(lacking)}. Use one of: {there}.")
    return [entry for entries in by_platform.values() for entry in entries[:1]]


def from_repository(repository: Repository, root: Manifest) -> Pushable:
    """Return a manifest of a repository with all of its children and blobs, streamed from there."""
    children = oci.collect_manifests(root.children(), lambda entry: repository.get_manifest(entry.digest))
    blobs = [blob for manifest in (*children, root) for blob in manifest.blobs()]
    sources = {blob.digest: RemoteSource(repository, blob.digest) for blob in blobs}
    return Pushable(root, children, sources, mount_from=[str(repository)])


def _matches(platform: Mapping[str, Any], wanted: str) -> bool:
    """Return whether the platform is `os/architecture[/variant]`."""
    parts = wanted.split("/")
    offered = [platform.get("os", ""), platform.get("architecture", ""), platform.get("variant", "")]
    return offered[: len(parts)] == parts


def _name(platform: Mapping[str, Any]) -> str:
    return "/".join(filter(None, (platform.get(key, "") for key in ("os", "architecture", "variant"))))
