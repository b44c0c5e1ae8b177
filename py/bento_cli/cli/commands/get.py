"""`bento get`, `bento models get`: shows an entry of the store."""

from __future__ import annotations

from rules_bento.typing_lite import TYPE_CHECKING

from bento_cli.cli import show, status

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from rules_bento.bento.kinds import Kind

    from bento_cli.library import Store


def add_arguments(parser: ArgumentParser, kind: Kind) -> None:
    """Add the arguments for the tag and the output."""
    parser.add_argument(
        "tag",
        metavar="TAG",
        help=f"the {kind.noun}: name:version, a unique prefix of it, or a name for the latest version",
    )
    show.add_output(parser, "yaml", "json", "path")


def run(options: Namespace, store: Store, kind: Kind) -> int:
    """Show the descriptor with all defaults, as BentoML does."""
    entry = store.section(kind).get(options.tag)
    if options.output == "path":
        show.out(str(entry.path))
    else:
        show.data(entry.describe().document, options.output)
    return status.OK
