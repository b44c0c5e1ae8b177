"""`bento pull`, `bento models pull`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rules_bento.cli import importation, registries, show, status
from rules_bento.store.home import BENTO

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Sequence

    from rules_bento.store.api import Store
    from rules_bento.store.entries import Entry
    from rules_bento.store.home import Kind
    from rules_bento.tag import Tag


def add_arguments(parser: ArgumentParser, kind: Kind) -> None:
    """Where from; how it is taken; the output."""
    parser.add_argument("source", metavar="REFERENCE", help=registries.ADDRESS)
    parser.add_argument("-f", "--force", action="store_true", help="replace what the store has under the tag")
    if kind is BENTO:
        parser.add_argument("--no-models", action="store_true", help="leave the models of the Bento out")
        # BentoML's, where models stay out unless it is said.
        parser.add_argument("--with-models", action="store_true", help="the default: models that are missing come, too")
    importation.add_options(parser)
    registries.add_arguments(parser)
    show.add_output(parser, "text", "json", "yaml", "path")
    parser.epilog = (
        f"What the store has is not fetched. A pull that was cut goes on where it was, and nothing is in the store\n"
        f"before the whole {kind.noun} was fetched and every digest found right."
    )


def run(options: Namespace, store: Store, kind: Kind) -> int:
    """Pull."""
    from rules_bento.distribution.pulling import pull
    from rules_bento.registry.reference import Reference

    reference = Reference.of_address(options.source)
    taken = importation.options_of(options)
    with registries.connected(options, f"Pulling {reference}") as (servers, progress):
        done = pull(store.home, kind, reference, servers, progress, taken, force=options.force)
    tell(options, done.entry, done.models, done.known, done.notes, new=done.new, origin=f"oci://{done.reference}")
    return status.OK


def tell(
    options: Namespace,
    entry: Entry,
    models: Sequence[Entry],
    known: Sequence[Tag],
    notes: Sequence[str],
    *,
    new: bool,
    origin: str,
) -> None:
    """Print what a pull has brought."""
    for note in notes:
        show.note(note)
    if options.output == "path":
        show.out(str(entry.path))
    elif options.output == "text":
        if not new:
            show.out(f"{entry.kind.noun} {entry.tag} was there.")
            return
        text = f"Pulled {entry.kind.noun} {entry.tag}"
        text += f" with {', '.join(str(model.tag) for model in models)}" if models else ""
        text += f" ({', '.join(map(str, known))} {'was' if len(known) == 1 else 'were'} there)" if known else ""
        show.out(f"{text}.")
    facts = {
        "tag": str(entry.tag),
        "path": str(entry.path),
        "reference": origin,
        "new": new,
        "models": [str(model.tag) for model in models],
        "known_models": [str(tag) for tag in known],
    }
    show.data(facts, options.output)
