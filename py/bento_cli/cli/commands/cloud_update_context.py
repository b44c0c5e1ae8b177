"""`bento cloud update-current-context`: chooses the cloud that is used."""

from __future__ import annotations

from rules_bento.typing_lite import TYPE_CHECKING

from bento_cli.cli import show, status

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from rules_bento.bento.kinds import Kind

    from bento_cli.library import Store


def add_arguments(parser: ArgumentParser, kind: Kind) -> None:
    """Add the argument for the context's name."""
    parser.add_argument("name", metavar="NAME", help="select this context")


def run(options: Namespace, store: Store, kind: Kind) -> int:
    """Make a context the current one."""
    from bento_cli.sharing.cloud.contexts import Contexts

    context = Contexts(store.home).set_current(options.name)
    show.out(f"The context is {show.plain(context.name)}, {context.address}.")
    return status.OK
