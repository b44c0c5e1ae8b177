"""`bento gc`: removes what nothing in the store uses any more."""

from __future__ import annotations

from rules_bento.typing_lite import TYPE_CHECKING

from bento_cli.cli import show, status

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from rules_bento.bento.kinds import Kind

    from bento_cli.library import Store


def add_arguments(parser: ArgumentParser, kind: Kind) -> None:
    """Add the arguments for a trial, and the output."""
    parser.add_argument("-n", "--dry-run", action="store_true", help="only say what would be removed")
    show.add_output(parser, "text", "json", "yaml")
    parser.epilog = (
        "Bentos and models stay: this is about files that were shared with what `bentoml delete` deleted, and about\n"
        "remainders of commands that were killed."
    )


def run(options: Namespace, store: Store, kind: Kind) -> int:
    """Remove what nothing uses, and print it."""
    done = store.gc(
        dry_run=options.dry_run, waiting=lambda: show.note("Another command is at work; this waits for its end.")
    )
    facts = {"files": done.files, "size": done.size, "records": done.records}
    if not show.data(facts, options.output):
        verb = "Would remove" if options.dry_run else "Removed"
        what = f"{show.count(done.files, 'file')} ({show.size(done.size)}) and {show.count(done.records, 'record')}"
        show.out(f"{verb} {what}.")
    return status.OK
