"""`bento cloud list-context`: lists the clouds that the user is logged in to."""

from __future__ import annotations

from rules_bento.cli import show, status
from rules_bento.typing_lite import TYPE_CHECKING

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from rules_bento.library import Store
    from rules_bento.store.home import Kind


def add_arguments(parser: ArgumentParser, kind: Kind) -> None:
    """Add the option for the output."""
    show.add_output(parser, "json", "yaml")


def run(options: Namespace, store: Store, kind: Kind) -> int:
    """List the names, in the order of the file."""
    from rules_bento.sharing.cloud.contexts import Contexts

    show.data([context.name for context in Contexts(store.home).contexts], options.output)
    return status.OK
