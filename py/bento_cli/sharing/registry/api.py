"""Push and pull with references as users write them: the API of `bento_cli.library`."""

from __future__ import annotations

from rules_bento.net.transfers import Progress
from rules_bento.registry.client import Registries
from rules_bento.registry.reference import Reference
from rules_bento.typing_lite import TYPE_CHECKING

from bento_cli.sharing.registry import pulling, pushing

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from bento_cli.sharing.registry.pulling import Pulled
    from bento_cli.sharing.registry.pushing import Delivered
    from bento_cli.store.entry_store import EntryStore
    from bento_cli.store.import_session import Options


def push(entries: EntryStore, tag: str, targets: Sequence[str], insecure: Collection[str]) -> list[Delivered]:
    """Push an entry to registries."""
    references = [Reference.from_url(target) for target in targets]
    with Registries(insecure) as registries, Progress(f"Pushing {tag}") as progress:
        return pushing.push(entries.home, entries.get(tag), references, registries, progress)


def pull(entries: EntryStore, source: str, force: bool, options: Options | None, insecure: Collection[str]) -> Pulled:
    """Pull an entry into a store."""
    reference = Reference.from_url(source)
    with Registries(insecure) as registries, Progress(f"Pulling {source}") as progress:
        return pulling.pull(entries.home, entries.kind, reference, registries, progress, options, force=force)
