"""`bento complete -- WORD...`: prints completions of the last word, one to a line; none for a path."""

from __future__ import annotations

from argparse import SUPPRESS

from rules_bento.typing_lite import TYPE_CHECKING

from bento_cli.cli import parsing, show, status, table

if TYPE_CHECKING:
    from argparse import Action, ArgumentParser, Namespace
    from collections.abc import Iterable

    from rules_bento.bento.kinds import Kind

    from bento_cli.library import Store


def add_arguments(parser: ArgumentParser, kind: Kind) -> None:
    """Add an argument for the words of the command line so far, without the command's own name."""
    parser.add_argument("words", nargs="*", help="the words of the command line; the last one is completed")


def run(options: Namespace, store: Store, kind: Kind) -> int:
    """Print the candidates for a word that is being typed."""
    *before, last = options.words or [""]
    before = parsing.split(before)[1]
    for candidate in sorted(set(_candidates(before, store))):
        if candidate.startswith(last):
            show.out(candidate)
    return status.OK


def _candidates(before: list[str], store: Store) -> Iterable[str]:
    named = table.find(before)
    if named is None:
        start = " ".join([*before, ""]).lstrip()
        names = [command.name for command in table.COMMANDS if not command.hidden]
        return [name[len(start) :].partition(" ")[0] for name in names if name.startswith(start)]
    command, count = named
    # argparse has no other way to ask. Options without help are hidden.
    actions = [action for action in parsing.make_parser(command)._actions if action.help != SUPPRESS]
    option = next((action for action in actions if before[-1] in action.option_strings and action.nargs != 0), None)
    if option is not None:
        return _values(option, store, command.kind)
    flags = [flag for action in actions for flag in action.option_strings if flag.startswith("--")]
    positional = [action for action in actions if not action.option_strings]
    position = sum(not word.startswith("-") for word in before[count:])
    if not positional:
        return flags
    values = list(_values(positional[min(position, len(positional) - 1)], store, command.kind))
    return [*values, *flags] if values else []


def _values(action: Action, store: Store, kind: Kind) -> Iterable[str]:
    if action.choices:
        return [str(choice) for choice in action.choices]
    if action.metavar == "TAG":
        # Tags are read off the folders' names alone, for a shell waits for this at each press of the tab key.
        places = store.section(kind).entry_store.folder.glob("*/*")
        return [f"{path.parent.name}:{path.name}" for path in places if path.is_dir()]
    return []
