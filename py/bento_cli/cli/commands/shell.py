"""Implements `bento completion` and `bento complete`, which complete command lines in a shell."""

from __future__ import annotations

import sys
from argparse import SUPPRESS

from rules_bento.typing_lite import TYPE_CHECKING, Iterable

from bento_cli.cli import parsing, show, status, table

if TYPE_CHECKING:
    from argparse import Action, ArgumentParser, Namespace

    from rules_bento.bento.kinds import Kind

    from bento_cli.library import Store


# Each script runs `bento complete`; if it prints nothing, the shell completes file names.
_SCRIPTS = {
    "bash": """\
_bento() {
    local line="${COMP_LINE:0:COMP_POINT}" words last found
    read -ra words <<<"$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    last="${words[${#words[@]}-1]}"
    local IFS=$'\\n'
    found=($(bento complete -- "${words[@]:1}" 2>/dev/null))
    # Bash ends words at colons, which tags contain.
    [[ $last == *:* && $COMP_WORDBREAKS == *:* ]] && found=("${found[@]#"${last%"${last##*:}"}"}")
    COMPREPLY=("${found[@]}")
}
complete -o default -F _bento bento
""",
    "zsh": """\
#compdef bento
_bento() {
    local -a found
    found=(${(f)"$(bento complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)"})
    if (( ${#found} )); then
        compadd -- "${found[@]}"
    else
        _files
    fi
}
if [ "$funcstack[1]" = _bento ]; then
    _bento "$@"
else
    compdef _bento bento
fi
""",
    "fish": """\
function __bento_complete
    set -l words (commandline -opc) (commandline -ct)
    set -l found (bento complete -- $words[2..-1] 2>/dev/null)
    if test (count $found) -gt 0
        printf '%s\\n' $found
    else
        __fish_complete_path (commandline -ct)
    end
end
complete -c bento -f -a '(__bento_complete)'
""",
}


def add_completion_arguments(parser: ArgumentParser, kind: Kind) -> None:
    parser.add_argument(
        "shell", metavar="SHELL", choices=_SCRIPTS, help="Print the completion script for bash, zsh, or fish"
    )
    parser.epilog = (
        "bash: bento completion bash > ~/.local/share/bash-completion/completions/bento\n"
        "zsh:  bento completion zsh > DIRECTORY/_bento, for a directory in $fpath\n"
        "fish: bento completion fish > ~/.config/fish/completions/bento.fish"
    )


def run_completion(options: Namespace, store: Store, kind: Kind) -> int:
    sys.stdout.write(_SCRIPTS[options.shell])
    return status.OK


def add_complete_arguments(parser: ArgumentParser, kind: Kind) -> None:
    parser.add_argument(
        "words", metavar="WORD", nargs="*", help="Print the completions for the last word of this command line"
    )


def run_complete(options: Namespace, store: Store, kind: Kind) -> int:
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
    # argparse has no public API for this.
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
        # Reads only directory names, because the shell waits for the completions.
        places = store.section(kind).entry_store.directory.glob("*/*")
        return [f"{path.parent.name}:{path.name}" for path in places if path.is_dir()]
    return []
