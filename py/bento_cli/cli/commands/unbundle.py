"""`bento unbundle`: takes a bundle's entries into the store."""

from __future__ import annotations

from rules_bento.errors import BentoError
from rules_bento.typing_lite import TYPE_CHECKING

from bento_cli.cli import show, status
from bento_cli.cli.commands import import_
from bento_cli.cli.progress import progress

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from pathlib import Path

    from rules_bento.bento.kinds import Kind

    from bento_cli.library import Store


def add_arguments(parser: ArgumentParser, kind: Kind) -> None:
    """Add the arguments for the bundle, the archives' folder, and the output."""
    parser.add_argument("path", metavar="PATH", help="import this bundle")
    parser.add_argument(
        "--to",
        metavar="DIRECTORY",
        help="write archives, which BentoML can import, to this directory instead of the store",
    )
    import_.add_options(parser)
    show.add_output(parser, "text", "json", "yaml")
    parser.epilog = (
        "Entries are added to the store only after the complete bundle was read. Existing entries aren't\nchanged."
    )


def run(options: Namespace, store: Store, kind: Kind) -> int:
    """Take the entries of the bundle into the store."""
    from bento_cli.library import local
    from bento_cli.sharing import bundle

    path = local(options.path)
    total = path.stat().st_size if path.is_file() else 0
    taken = import_.options_of(options)
    _check_form(path)
    with progress("Unbundling", total) as tell:
        if options.to:
            files = bundle.extract(path, local(options.to), taken.limits, tell)
            if not show.data([str(file) for file in files], options.output):
                show.out(f"Wrote {show.count(len(files), 'archive')} to {show.plain(options.to)}.")
            return status.OK
        done = bundle.read(store.home, path, taken, tell)
    for imported in done.imported:
        for note in imported.notes:
            show.note(note)
    facts = {"imported": [import_.data(imported) for imported in done.imported], "known": list(done.known)}
    if not show.data(facts, options.output):
        for imported in done.imported:
            show.out(import_.describe(imported))
        for tag in done.known:
            show.out(f"{tag} exists already.")
    return status.OK


def _check_form(path: Path) -> None:
    """Raise BentoError for an archive of another form, such as that of one Bento."""
    from rules_bento.archives import streams

    if path.is_file():
        with path.open("rb") as file:
            form = streams.detect_form(file.read(512))
        if form != "tar":
            raise BentoError(f"{path} is a {form} archive, not a bundle. To import it, run `bento import {path}`.")
