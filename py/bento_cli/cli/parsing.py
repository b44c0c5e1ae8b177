"""Parses command lines. Creates an `argparse` parser only for the command that runs."""

from __future__ import annotations

import argparse
import os
import sys

from rules_bento.errors import nearest
from rules_bento.typing_lite import TYPE_CHECKING, Any, NoReturn

from bento_cli.cli import show, status, table

if TYPE_CHECKING:
    from bento_cli.cli.table import Command

_HEAD = """\
Usage: bento [OPTIONS] COMMAND ...

Build, inspect, and share Bentos without installing BentoML.
"""
_TAIL = "\nFor help on a command, run `bento COMMAND --help` or `bento help COMMAND`.\n"
_GLOBAL_FLAGS = ("-q", "--quiet", "-v", "--verbose")
_GLOBAL_OPTIONS = ("--home", "--color")  # with a value


def parse(words: list[str]) -> tuple[Command, argparse.Namespace]:
    """Return the command and its options. Raises SystemExit after printing help, or for an invalid command line."""
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
        own, forwarded = command.split(rest[count:])
        options = make_parser(command).parse_args(before + own)
        options.rest = forwarded
    elif "--" in words:
        options = make_parser(command).parse_args(words)
    else:
        # Intermixed: options can be between positional arguments, as in `TAG --format zip PATH`.
        options = make_parser(command).parse_intermixed_args(words)
    show.configure(color=options.color, quiet=options.no_notes, verbose=options.verbose)
    return command, options


class _Formatter(argparse.HelpFormatter):
    """A help formatter that doesn't import `shutil`, because `shutil` imports all decompressors."""

    def __init__(self, prog: str) -> None:
        try:
            columns = os.get_terminal_size().columns
        except (OSError, ValueError):
            columns = 100
        super().__init__(prog, width=min(columns, 120) - 2)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        import textwrap

        return "\n".join(textwrap.fill(line, width, break_on_hyphens=False) for line in text.splitlines())

    def add_usage(self, usage: str | None, actions: Any, groups: Any, prefix: str | None = "Usage: ") -> None:
        super().add_usage(usage, actions, groups, prefix)


class _Parser(argparse.ArgumentParser):
    """A parser that reports errors on one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(
            status.USAGE, f"{self.prog}: error: {message.rstrip('.')}. For all options, run `{self.prog} --help`.\n"
        )


def make_parser(command: Command) -> argparse.ArgumentParser:
    """Return a parser for one command."""
    parser = _Parser(
        f"bento {command.name}",
        description=command.summary,
        formatter_class=_Formatter,
        allow_abbrev=False,
        add_help=False,
    )
    parser._positionals.title, parser._optionals.title = "Arguments", "Options"
    command.add_arguments(parser)
    parser.usage = " ".join(["%(prog)s [OPTIONS]", *map(_word, parser._get_positional_actions())])
    _add_global_options(parser)
    if command.name in table.EXAMPLES:
        lines = "".join(f"  bento {command.name} {words}".rstrip() + "\n" for words in table.EXAMPLES[command.name])
        parser.epilog = f"{parser.epilog or ''}\n\nExamples:\n{lines}".strip("\n")
    return parser


def _word(action: argparse.Action) -> str:
    """Format a positional argument for the usage line."""
    return {"?": "[{}]", "*": "[{}...]", "+": "{}..."}.get(str(action.nargs), "{}").format(action.metavar)


def _add_global_options(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    group = parser.add_argument_group("Global options")
    group.add_argument(
        "--home",
        metavar="DIRECTORY",
        help="Use the store in this directory (default: BENTOML_HOME, otherwise ~/bentoml)",
    )
    # `bento containerize` has the builder's --quiet.
    quiet = ("-q",) if "--quiet" in parser._option_string_actions else ("-q", "--quiet")
    group.add_argument(*quiet, dest="no_notes", action="store_true", help="Don't print notes or progress")
    group.add_argument("-v", "--verbose", action="store_true", help="Print tracebacks for internal errors")
    colors = ("auto", "always", "never")
    text = "Color the output: auto, always, or never (default: auto)"
    group.add_argument("--color", metavar="WHEN", choices=colors, default="auto", help=text)
    group.add_argument("-h", "--help", action="help", help="Print this help")
    return group


def split(words: list[str]) -> tuple[list[str], list[str]]:
    """Split a command line into the options before the command, and the remaining arguments."""
    at = 0
    while at < len(words):
        if words[at] in _GLOBAL_FLAGS or words[at].startswith(tuple(f"{name}=" for name in _GLOBAL_OPTIONS)):
            at += 1
        elif words[at] in _GLOBAL_OPTIONS:
            at += 2
        else:
            break
    return words[:at], words[at:]


def _help(words: list[str], prefix: str = "") -> NoReturn:
    head = f"Usage: bento {prefix}COMMAND ...\n" if prefix else _HEAD
    options = _Parser(usage=argparse.SUPPRESS, formatter_class=_Formatter, add_help=False)
    _add_global_options(options).add_argument("-V", "--version", action="store_true", help="Print the version")
    width = max(len(command.name) for command in table.COMMANDS if command.name.startswith(prefix))
    text = ""
    for group, commands in table.GROUPS.items():
        shown = [command for command in commands if not command.hidden and command.name.startswith(prefix)]
        lines = "".join(f"  {command.name:{width}}  {command.summary.rstrip('.')}\n" for command in shown)
        text += f"\n{group}:\n{lines}" if lines else ""
    text = f"{head}{text}\n{options.format_help()}{_TAIL}"
    (sys.stdout if words else sys.stderr).write(text)
    sys.exit(status.OK if words else status.USAGE)


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
    start = words[0].rpartition(" ")[0]
    names = {command.name for command in table.COMMANDS if not command.hidden and command.name.startswith(start)}
    close = nearest(words[0].removeprefix(f"{start} "), [name.removeprefix(f"{start} ") for name in names], 0.65)
    close = f"{start} {close}" if start and close else close
    hint = f"Did you mean {close!r}? " if close else ""
    sys.stderr.write(f"bento: unknown command {words[0]!r}. {hint}To list the commands, run `bento --help`.\n")
    sys.exit(status.USAGE)
