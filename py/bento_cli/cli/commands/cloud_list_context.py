"""`bento cloud list-context`: lists the clouds that the user is logged in to."""

from __future__ import annotations

from rules_bento.typing_lite import TYPE_CHECKING

from bento_cli.cli import show, status

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from rules_bento.bento.kinds import Kind

    from bento_cli.library import Store


def add_arguments(parser: ArgumentParser, kind: Kind) -> None:
    """Add the option for the output."""
    show.add_output(parser, "json", "yaml")


def run(options: Namespace, store: Store, kind: Kind) -> int:
    """List the names, in the order of the file."""
    from bento_cli.sharing.cloud.contexts import Contexts

    show.data([context.name for context in Contexts(store.home).contexts], options.output)
    return status.OK
