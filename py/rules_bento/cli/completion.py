"""`bento completion`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from rules_bento.cli import status

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from rules_bento.store.api import Store
    from rules_bento.store.home import Kind

# Each asks `bento complete` for lines; an empty answer is completed to files.
_SCRIPTS = {
    "bash": """\
_bento() {
    local IFS=$'\\n' words=("${COMP_WORDS[@]:1:COMP_CWORD}") found
    # Bash takes a colon for the end of a word, and tags have one.
    if declare -F _get_comp_words_by_ref >/dev/null; then
        local cur all index
        _get_comp_words_by_ref -n : -c cur -w all -i index
        words=("${all[@]:1:index}")
    fi
    found=($(bento complete -- "${words[@]}" 2>/dev/null))
    COMPREPLY=("${found[@]}")
    if [ ${#COMPREPLY[@]} -eq 0 ]; then
        compopt -o default
    elif declare -F __ltrim_colon_completions >/dev/null; then
        __ltrim_colon_completions "${words[${#words[@]}-1]}"
    fi
}
complete -F _bento bento
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


def add_arguments(parser: ArgumentParser, kind: Kind) -> None:
    """The shell."""
    parser.add_argument("shell", choices=_SCRIPTS)
    parser.epilog = (
        "bash: bento completion bash > ~/.local/share/bash-completion/completions/bento\n"
        "zsh:  bento completion zsh > a folder of $fpath, as _bento\n"
        "fish: bento completion fish > ~/.config/fish/completions/bento.fish"
    )


def run(options: Namespace, store: Store, kind: Kind) -> int:
    """Print the script."""
    sys.stdout.write(_SCRIPTS[options.shell])
    return status.OK
