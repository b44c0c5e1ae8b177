"""Finds the command in a command line, and parses its options.

Creates only the parser of the command that is run.
"""

from __future__ import annotations

import argparse
import os
import sys

from rules_bento.errors import nearest
from rules_bento.typing_lite import TYPE_CHECKING, NoReturn

from bento_cli.cli import show, status, table

if TYPE_CHECKING:
    from bento_cli.cli.table import Command

_RENAMED = {"audit": {"--refuse-unhashed": "--require-hashes"}, "build": {"--stated-in-full": "--complete"}}
_HEAD = """\
usage: bento [OPTIONS] COMMAND ...

Build, inspect, and share Bentos without installing BentoML.
"""
_TAIL = """
Options of all commands:
  --home DIRECTORY  use this store (default: BENTOML_HOME, or else ~/bentoml)
  -q, --quiet       print no notes and no progress
  -v, --verbose     print tracebacks of internal errors
  --color WHEN      color the output: auto, always, or never (default: auto)
  -V, --version     print the version
  -h, --help        print the help of a command, as `bento help COMMAND` does
"""
_GLOBAL = ("-q", "--quiet", "-v", "--verbose")
_GLOBAL_WITH_VALUE = ("--home", "--color")


def parse(words: list[str]) -> tuple[Command, argparse.Namespace]:
    """Return the command and its options. Exits for an invalid command line, and for options that request help."""
    before, rest = split(words)
    if rest[:1] == ["help"]:
        rest = [*rest[1:], "--help"]
    if not rest or rest[0] in ("-h", "--help"):
        _help(rest)
    if rest[0] in ("-V", "--version"):
        _version()
    named = table.find(rest)
    if named is None:
        _unknown(rest)
    command, count = named
    words = before + rest[count:]
    if command.forwards:
        options = _forwarding(command, before, rest[count:])
    elif "--" in words:
        options = make_parser(command).parse_args(words)
    else:
        # Intermixed: options can be between positional arguments, as in `TAG --format zip PATH`.
        options = make_parser(command).parse_intermixed_args(words)
    show.configure(color=options.color, quiet=options.no_notes, verbose=options.verbose)
    return command, options


def _forwarding(command: Command, before: list[str], words: list[str]) -> argparse.Namespace:
    """Parse a command's own options; `rest` has the arguments that it forwards."""
    ours, theirs = command.split(words)
    options = make_parser(command).parse_args(before + ours)
    options.rest = theirs
    return options


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Uses the width of the terminal. For it, argparse would import `shutil`, which imports all decompressors."""

    def __init__(self, prog: str) -> None:
        try:
            columns = os.get_terminal_size().columns
        except (OSError, ValueError):
            columns = 100
        super().__init__(prog, width=min(columns, 120) - 2)


class _Parser(argparse.ArgumentParser):
    """Reports an error in two lines, without the usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(
            status.USAGE, f"{self.prog}: error: {message.rstrip('.')}. For all options, run `{self.prog} --help`.\n"
        )


class _Renamed(argparse.Action):
    """Rejects the old name of an option."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        parser.error(f"{self.option_strings[0]} was renamed. Use {self.const}")


def make_parser(command: Command) -> argparse.ArgumentParser:
    """Return the parser of one command."""
    parser = _Parser(
        f"bento {command.name}",
        description=command.summary,
        formatter_class=_Formatter,
        allow_abbrev=False,
    )
    command.add_arguments(parser)
    group = parser.add_argument_group("options of all commands")
    group.add_argument("--home", metavar="DIRECTORY", help="use this store (default: BENTOML_HOME, or else ~/bentoml)")
    # `bento containerize` has the builder's --quiet.
    quiet = ("-q",) if "--quiet" in parser._option_string_actions else ("-q", "--quiet")
    group.add_argument(*quiet, dest="no_notes", action="store_true", help="print no notes and no progress")
    group.add_argument("-v", "--verbose", action="store_true", help="print tracebacks of internal errors")
    group.add_argument(
        "--color", choices=("auto", "always", "never"), default="auto", help="color the output (default: auto)"
    )
    for old, new in _RENAMED.get(command.name, {}).items():
        parser.add_argument(
            old, action=_Renamed, nargs="?", const=new, default=argparse.SUPPRESS, help=argparse.SUPPRESS
        )
    if command.name in table.EXAMPLES:
        lines = "".join(f"  bento {command.name} {words}".rstrip() + "\n" for words in table.EXAMPLES[command.name])
        parser.epilog = f"{parser.epilog or ''}\n\nexamples:\n{lines}".strip("\n")
    return parser


def split(words: list[str]) -> tuple[list[str], list[str]]:
    """Return the options before the command, and the rest."""
    at = 0
    while at < len(words):
        if words[at] in _GLOBAL or words[at].startswith(tuple(f"{name}=" for name in _GLOBAL_WITH_VALUE)):
            at += 1
        elif words[at] in _GLOBAL_WITH_VALUE:
            at += 2
        else:
            break
    return words[:at], words[at:]


def _overview(prefix: str = "") -> str:
    """Return the commands by group; those that begin with `prefix`."""
    width = max(len(command.name) for command in table.COMMANDS if command.name.startswith(prefix))
    text = ""
    for group, commands in table.GROUPS.items():
        shown = [command for command in commands if not command.hidden and command.name.startswith(prefix)]
        lines = "".join(f"  {command.name:{width}}  {command.summary}\n" for command in shown)
        text += f"\n{group}:\n{lines}" if lines else ""
    return text


def _help(words: list[str], prefix: str = "") -> NoReturn:
    head = f"usage: bento {prefix}COMMAND ...\n" if prefix else _HEAD
    text = f"{head}{_overview(prefix)}{_TAIL}"
    if words:
        sys.stdout.write(text)
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
    hint = f"Did you mean {close!r}? " if close else ""
    sys.stderr.write(f"bento: unknown command {words[0]!r}. {hint}To list the commands, run `bento --help`.\n")
    sys.exit(status.USAGE)
