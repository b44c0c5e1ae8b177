"""`bento serve`: serves a Bento of the store by BentoML."""

from __future__ import annotations

import os
import sys

from rules_bento.typing_lite import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from rules_bento.bento.kinds import Kind

    from bento_cli.library import Store

_OURS = ("--home", "--python")
# Options of `bentoml serve` without a value. The next word is the value of every other option.
_FLAGS = ("--debug", "--development", "--do-not-track", "--production", "--quiet", "-q", "--reload", "--verbose")
_HELP = ("-h", "--help")


def add_arguments(parser: ArgumentParser, kind: Kind) -> None:
    """Add the arguments for the tag, and the Python that serves it."""
    parser.add_argument("tag", metavar="TAG", help="serve this Bento")
    parser.add_argument("--python", metavar="PATH", help="use BentoML of this environment or interpreter")
    parser.epilog = (
        "All other options are passed to `bentoml serve`, such as --host, --port, and --reload. BentoML is\n"
        "used from --python, or else VIRTUAL_ENV, or else PATH. It replaces this process, so it gets the\n"
        "signals and sets the exit status."
    )


def split(words: list[str]) -> tuple[list[str], list[str]]:
    """Split the words into our arguments and BentoML's; the tag can be anywhere."""
    ours: list[str] = []
    theirs: list[str] = []
    tag = ""
    waiting = list(reversed(words))
    while waiting:
        word = waiting.pop()
        name, equals, _ = word.partition("=")
        side = theirs if tag or word.startswith("-") else ours
        if name in _OURS or word in _HELP:
            side = ours
        elif side is ours:
            tag = word
        side.append(word)
        if waiting and word.startswith("-") and not equals and word not in (*_FLAGS, *_HELP):
            side.append(waiting.pop())
    return ours, theirs


def run(options: Namespace, store: Store, kind: Kind) -> NoReturn:
    """Replace this process by the server."""
    from bento_cli.sharing.serving import server

    entry = store.bentos.get(options.tag)
    command, variables = server(store.home, entry, options.rest, options.python or "")
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(command[0], command, variables)
