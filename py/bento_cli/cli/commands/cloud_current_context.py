"""`bento cloud current-context`: shows the cloud that is in use."""

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
    parser.epilog = "Unlike BentoML's command, this command doesn't show the API token."


def run(options: Namespace, store: Store, kind: Kind) -> int:
    """Show it, but for its token."""
    from bento_cli.sharing.cloud.contexts import Contexts, of_environment

    context = of_environment() or Contexts(store.home).get()
    show.data({"name": context.name, "endpoint": context.address, "email": context.email}, options.output)
    return status.OK
