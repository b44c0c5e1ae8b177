"""Pulls images and artifacts into a layout. Shallow pulls omit the layers, which `fetch_blobs` can fetch later."""

from __future__ import annotations

from functools import partial

from rules_bento.base.display import format_size
from rules_bento.base.errors import BentoError
from rules_bento.base.net import terminal, transfers
from rules_bento.base.net.download import Download, open_partial
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Callable, Collection, Iterable, Mapping, Sequence, TypeVar
from rules_bento.images.registry import descriptor as oci

if TYPE_CHECKING:
    from pathlib import Path

    from rules_bento.base.net.transfers import Progress
    from rules_bento.images.registry.client import Registries, Repository
    from rules_bento.images.registry.descriptor import Descriptor, Manifest
    from rules_bento.images.registry.layout import Layout
    from rules_bento.images.registry.reference import Reference

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def find_manifest(references: Sequence[Reference], registries: Registries) -> tuple[Repository, Manifest]:
    """Return the first available reference's repository and manifest. If none is available, raises the last error."""

    def find(reference: Reference) -> tuple[Repository, Manifest]:
        repository = registries.repository(reference)
        return repository, repository.get_manifest(reference.target)

    return _first(find, references)


def _first(attempt: Callable[[_Item], _Result], items: Sequence[_Item]) -> _Result:
    for item in items[:-1]:
        try:
            return attempt(item)
        except BentoError:
            continue  # a mirror can lack it or be down
    return attempt(items[-1])


def pull(
    references: Sequence[Reference],
    layout: Layout,
    registries: Registries,
    counter: Progress,
    *,
    platforms: Collection[str] = (),
    lenient: bool = False,
    shallow: bool = False,
    name: str = "",
) -> Manifest:
    """Pull an image or index into a layout as `name`. Returns the manifest.

    Tries `references` in order. The last reference is the origin, and other references are mirrors. `platforms`
    (`os/architecture[/variant]`; default: all) selects images in an index. If `lenient` is true, skips missing
    platforms, and fails only if all platforms are missing. If `shallow` is true, omits the layers. Raises BentoError,
    or RegistryError (a subclass) for an error response.
    """
    repository, root = find_manifest(references, registries)
    chosen = select_platforms(root, platforms, str(references[-1]), lenient=lenient)
    manifests = [*oci.collect_manifests(chosen, lambda entry: repository.get_manifest(entry.digest)), root]
    for manifest in manifests:
        layout.add(manifest.content)
    blobs = [blob for manifest in manifests for blob in manifest.blobs()]
    configs = {manifest.config.digest for manifest in manifests if not manifest.is_index}
    wanted = [blob for blob in blobs if not shallow or blob.digest in configs]
    counter.expect_all(sum({blob.digest: blob.size for blob in wanted if not layout.has(blob)}.values()))
    fetch_blobs(wanted, [repository, *map(registries.repository, references)], layout, counter)
    with layout.lock():
        layout.add_manifest(root, name)
    return root


def fetch_blobs(
    blobs: Iterable[Descriptor], repositories: Sequence[Repository], layout: Layout, counter: Progress
) -> None:
    """Download each missing blob from the first repository that contains it. Raises the same errors as `pull`."""

    def one(blob: Descriptor) -> None:
        _first(lambda repository: download(repository, blob, layout.blob(blob.digest), counter), repositories)

    missing = {blob.digest: blob for blob in blobs if not layout.has(blob)}
    transfers.parallel_map(one, sorted(missing.values(), key=lambda blob: -blob.size))


def select_platforms(
    root: Manifest, platforms: Collection[str], origin: str, *, lenient: bool = False
) -> list[Descriptor]:
    """Return the index entries for `platforms` (default: all).

    Raises BentoError for a missing platform. If `lenient` is true, raises BentoError only if all platforms are missing.
    """
    entries = root.children()
    if not platforms or not root.is_index:
        return entries
    by_platform = {
        platform: [entry for entry in entries if _matches(entry.platform, platform)] for platform in platforms
    }
    lacking = [platform for platform, entries in by_platform.items() if not entries]
    if lacking and not (lenient and len(lacking) < len(by_platform)):
        there = ", ".join(sorted({_name(entry.platform) for entry in entries})) or "none"
        raise BentoError(f"no image for {' or '.join(lacking)}", place=origin, remedy=f"Valid platforms: {there}.")
    return [entry for entries in by_platform.values() for entry in entries[:1]]


def _matches(platform: Mapping[str, Any], wanted: str) -> bool:
    parts = wanted.split("/")
    offered = [platform.get("os", ""), platform.get("architecture", ""), platform.get("variant", "")]
    return offered[: len(parts)] == parts


def _name(platform: Mapping[str, Any]) -> str:
    return "/".join(filter(None, (platform.get(key, "") for key in ("os", "architecture", "variant"))))


def download(repository: Repository, blob: Descriptor, path: Path, counter: Progress) -> None:
    """Download a blob to `path`. Raises the same errors as `Registry.request`, and BentoError for invalid content."""
    name = f"{repository}: blob {blob.digest}"
    terminal.step(f"downloading {name} ({format_size(blob.size)})")
    with open_partial(path) as file:  # writes: digest, each caller's path contains it
        if file:
            request, retry = partial(repository.open_blob, blob.digest), repository.registry.retry()
            downloading = Download(name, request, file, counter, retry, size=blob.size, digest=blob.digest)
            downloading.run(partial(repository.registry.connection_error, name))
