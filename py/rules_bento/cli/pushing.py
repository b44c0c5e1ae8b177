"""`bento push`, `bento models push`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rules_bento.cli import registries, show, status

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from rules_bento.distribution.pushing import Delivered
    from rules_bento.store.api import Store
    from rules_bento.store.entries import Entry
    from rules_bento.store.home import Kind


def add_arguments(parser: ArgumentParser, kind: Kind) -> None:
    """A tag; where to, and how; the output."""
    parser.add_argument("tag", metavar="TAG", help=f"the {kind.noun}")
    parser.add_argument(
        "targets", metavar="REFERENCE", nargs="+", help=f"{registries.ADDRESS}; without a tag, the version is it"
    )
    parser.add_argument("-t", "--threads", type=registries.jobs, metavar="N", help="transfers at once (6)")
    parser.add_argument("--no-verify", action="store_true", help="do not look for damage first")
    registries.add_arguments(parser)
    show.add_output(parser, "text", "json", "yaml")
    parser.epilog = (
        "Only what a registry lacks is sent: models that it has, and versions that it has, are not. Credentials are\n"
        "those of docker's config and its helpers."
    )


def run(options: Namespace, store: Store, kind: Kind) -> int:
    """Push."""
    from rules_bento.distribution.pushing import push
    from rules_bento.registry.parallel import JOBS
    from rules_bento.registry.reference import Reference

    targets = [Reference.of_address(text) for text in options.targets]
    entry = store.section(kind).get(options.tag)
    with registries.connected(options, f"Pushing {entry.tag}") as (servers, progress):
        done = push(
            store.home, entry, targets, servers, progress, check=not options.no_verify, jobs=options.threads or JOBS
        )
    if not show.data([_data(entry, delivered) for delivered in done], options.output):
        for delivered in done:
            show.out(_describe(entry, delivered))
    return status.OK


def _describe(entry: Entry, done: Delivered) -> str:
    pushed = done.pushed
    there = pushed.blobs - pushed.sent - pushed.mounted
    took = f"{pushed.sent} of {show.count(pushed.blobs, 'blob')} sent ({show.size(pushed.size)})"
    where = f"{pushed.reference.name} as {', '.join(done.tags)}"
    return f"Pushed {entry.kind.noun} {entry.tag} to {where}: {took}, {pushed.mounted} mounted, {there} there already."


def _data(entry: Entry, done: Delivered) -> dict[str, Any]:
    pushed = done.pushed
    return {
        "tag": str(entry.tag),
        "reference": f"oci://{pushed.reference}",
        "tags": list(done.tags),
        "blobs": pushed.blobs,
        "sent": pushed.sent,
        "mounted": pushed.mounted,
        "size": pushed.size,
    }
