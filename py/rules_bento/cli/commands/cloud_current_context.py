"""`bento cloud current-context`: shows the cloud that is in use."""

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
    parser.epilog = "The API token is not shown, which BentoML does."


def run(options: Namespace, store: Store, kind: Kind) -> int:
    """Show it, but for its token."""
    from rules_bento.sharing.cloud.contexts import Contexts, of_environment

    context = of_environment() or Contexts(store.home).get()
    show.data({"name": context.name, "endpoint": context.address, "email": context.email}, options.output)
    return status.OK
