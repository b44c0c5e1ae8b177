"""Finds the command in a command line, and parses its options.

Only the parser of the command that is asked for is made.
"""

from __future__ import annotations

import argparse
import os
import sys

from rules_bento.errors import nearest
from rules_bento.typing_lite import TYPE_CHECKING, NoReturn

from bento_cli.cli import status, table

if TYPE_CHECKING:
    from bento_cli.cli.table import Command

_USAGE = "usage: bento [--home FOLDER] COMMAND ...\n"
_RENAMED = {"audit": {"--refuse-unhashed": "--require-hashes"}, "build": {"--stated-in-full": "--complete"}}
_HOME = "the store, instead of what BENTOML_HOME names, or else ~/bentoml"


def parse(words: list[str]) -> tuple[Command, argparse.Namespace]:
    """Return the command and its options. Exits for a wrong command line, and for those that ask for help."""
    before, rest = split(words)
    if not rest or rest[0] in ("-h", "--help"):
        _help(rest)
    if rest[0] == "--version":
        _version()
    named = table.find(rest)
    if named is None:
        _unknown(rest)
    command, count = named
    words = before + rest[count:]
    if command.forwards:
        return command, _forwarding(command, words)
    if "--" in words:
        return command, make_parser(command).parse_args(words)
    # Intermixed, for options may stand between positional arguments, as in `TAG --format zip PATH`.
    return command, make_parser(command).parse_intermixed_args(words)


def _forwarding(command: Command, words: list[str]) -> argparse.Namespace:
    """Split off a command's own options; `rest` are the words that it forwards."""
    ours, theirs = command.load().split(words)
    options = make_parser(command).parse_args(ours)
    options.rest = theirs
    return options


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """As wide as the terminal. argparse asks `shutil` for that, which imports all decompressors."""

    def __init__(self, prog: str) -> None:
        try:
            columns = os.get_terminal_size().columns
        except (OSError, ValueError):
            columns = 100
        super().__init__(prog, width=min(columns, 120) - 2)


class _Renamed(argparse.Action):
    """Rejects an option by the name that it had."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        parser.error(f"{self.option_strings[0]} was renamed. Use {self.const}.")


def make_parser(command: Command) -> argparse.ArgumentParser:
    """Return the parser of one command."""
    parser = argparse.ArgumentParser(
        f"bento {command.name}",
        description=command.summary,
        formatter_class=_Formatter,
        allow_abbrev=False,
    )
    parser.add_argument("--home", metavar="FOLDER", help=_HOME)
    command.load().add_arguments(parser, command.kind)
    for old, new in _RENAMED.get(command.name, {}).items():
        parser.add_argument(
            old, action=_Renamed, nargs="?", const=new, default=argparse.SUPPRESS, help=argparse.SUPPRESS
        )
    return parser


def split(words: list[str]) -> tuple[list[str], list[str]]:
    """Return the options that stand before the command, and the rest."""
    at = 0
    while at < len(words) and words[at].startswith("--home"):
        at += 1 if words[at].startswith("--home=") else 2
    return words[:at], words[at:]


def overview(prefix: str = "") -> str:
    """Return the commands, one to a line, those of a group if its word is given."""
    shown = [command for command in table.COMMANDS if not command.hidden and command.name.startswith(prefix)]
    width = max(len(command.name) for command in shown)
    return "".join(f"  {command.name:{width}}  {command.summary}\n" for command in shown)


def _help(words: list[str], prefix: str = "") -> NoReturn:
    text = f"{_USAGE}\nBentoML's store, without BentoML.\n\n{overview(prefix)}\n  --home FOLDER  {_HOME}\n"
    if words:
        sys.stdout.write(f"{text}\n`bento COMMAND --help` has the rest.\n")
        sys.exit(status.OK)
    sys.stderr.write(text)
    sys.exit(status.USAGE)


def _version() -> NoReturn:
    from importlib.metadata import PackageNotFoundError, version

    try:
        number = version("rules-bento-cli")
    except PackageNotFoundError:  # run from its sources
        number = "(from sources)"
    sys.stdout.write(f"bento {number}\n")
    sys.exit(status.OK)


def _unknown(words: list[str]) -> NoReturn:
    if table.is_group(words[0]):
        if words[1:2] in ([], ["-h"], ["--help"]):
            _help(words[1:], f"{words[0]} ")
        words = [" ".join(words[:2])]
    known = [command.name for command in table.COMMANDS if not command.hidden]
    close = nearest(words[0], known)
    hint = f" Did you mean {close!r}?" if close else ""
    sys.stderr.write(f"{_USAGE}bento: {words[0]!r} is no command.{hint} `bento --help` lists them.\n")
    sys.exit(status.USAGE)
