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
    parser.add_argument("-n", "--dry-run", action="store_true", help="print what would be removed, and remove nothing")
    show.add_output(parser, "text", "json", "yaml")
    parser.epilog = (
        "Bentos and models aren't changed. The command removes files that were shared with entries that\n"
        "BentoML deleted, and partial files of interrupted commands."
    )


def run(options: Namespace, store: Store, kind: Kind) -> int:
    """Remove what nothing uses, and print it."""
    done = store.gc(dry_run=options.dry_run, waiting=lambda: show.note("Waiting for another command to end."))
    facts = {"files": done.files, "size": done.size, "records": done.records}
    if not show.data(facts, options.output):
        verb = "Would remove" if options.dry_run else "Removed"
        what = f"{show.count(done.files, 'file')} ({show.size(done.size)}) and {show.count(done.records, 'record')}"
        show.out(f"{verb} {what}.")
    return status.OK
