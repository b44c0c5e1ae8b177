"""`bento delete`, `bento models delete`: deletes entries of the store."""

from __future__ import annotations

import sys

from rules_bento.bento.kinds import MODEL
from rules_bento.errors import BentoError
from rules_bento.typing_lite import TYPE_CHECKING

from bento_cli.cli import show, status

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from rules_bento.bento.kinds import Kind

    from bento_cli.library import Store
    from bento_cli.store.entries import Entry


def add_arguments(parser: ArgumentParser, kind: Kind) -> None:
    """Add the arguments for the tags, and whether to ask first."""
    parser.add_argument(
        "tags",
        metavar="TAG",
        nargs="+",
        help=f"delete this {kind.noun}, or all versions of a name (also separated by commas)",
    )
    parser.add_argument("-y", "--yes", "--assume-yes", action="store_true", help="delete without confirmation")
    if kind is MODEL:
        parser.add_argument("--force", action="store_true", help="delete the model even if a Bento uses it")
    show.add_output(parser, "text", "json", "yaml")


def run(options: Namespace, store: Store, kind: Kind) -> int:
    """Find all, then ask for each, then delete it."""
    section = store.section(kind)
    tags = [tag for text in options.tags for tag in text.replace(",", " ").split()]
    entries: dict[str, Entry] = {}
    for tag in tags:
        chosen = [section.get(tag)] if ":" in tag else section.list(tag)
        entries |= {f"{entry.path.parent.name}:{entry.path.name}": entry for entry in chosen}
    deleted = []
    for tag in entries:
        if options.yes or _confirmed(f"Delete {kind.noun} {tag}?"):
            section.delete(tag, force=getattr(options, "force", False))
            deleted.append(tag)
            if options.output == "text":
                show.out(f"Deleted {kind.noun} {tag}.")
    show.data(deleted, options.output)
    return status.OK


def _confirmed(question: str) -> bool:
    if not sys.stdin.isatty():
        raise BentoError(
            "Standard input isn't a terminal to confirm the deletion. Add --yes to delete without confirmation."
        )
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")
