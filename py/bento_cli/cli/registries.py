"""Holds what the commands that use registries have in common."""

from __future__ import annotations

from contextlib import contextmanager

from rules_bento.typing_lite import TYPE_CHECKING

from bento_cli.cli import show

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterator

    from rules_bento.net.transfers import Progress
    from rules_bento.registry.client import Registries

    from bento_cli.library import Store
    from bento_cli.sharing.cloud.client import Cloud

ADDRESS = "oci://registry/repository:tag"


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options that say how registries are reached."""
    parser.add_argument(
        "--insecure",
        metavar="HOST",
        action="append",
        default=[],
        help="connect to this registry, host[:port], without encryption (repeatable)",
    )


@contextmanager
def connected(options: Namespace, what: str) -> Iterator[tuple[Registries, Progress]]:
    """Open registries and a progress line for the length of the block."""
    from rules_bento.net.transfers import Progress
    from rules_bento.registry.client import Registries

    with Registries(options.insecure) as registries, Progress(what, out=show.progress_output()) as progress:
        yield registries, progress


def jobs(text: str) -> int:
    """Return the number of transfers at once."""
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and int(text)):
        from argparse import ArgumentTypeError

        raise ArgumentTypeError(f"invalid number {text!r}. Use a positive integer.")
    return int(text)


@contextmanager
def cloud(options: Namespace, store: Store, what: str) -> Iterator[tuple[Cloud, Progress]]:
    """Open the cloud of `--context`, or the current one, and a progress line for the length of the block."""
    from rules_bento.net.transfers import Progress

    from bento_cli.sharing.cloud.client import Cloud
    from bento_cli.sharing.cloud.contexts import Contexts, of_environment

    context = of_environment() or Contexts(store.home).get(options.context or "")
    with Cloud(context) as reached, Progress(f"{what} {context.address}", out=show.progress_output()) as progress:
        yield reached, progress
