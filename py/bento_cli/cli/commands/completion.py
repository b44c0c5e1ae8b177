"""`bento completion`: prints the script by which a shell completes words."""

from __future__ import annotations

import sys

from rules_bento.typing_lite import TYPE_CHECKING

from bento_cli.cli import status

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from rules_bento.bento.kinds import Kind

    from bento_cli.library import Store

# Each asks `bento complete` for lines; an empty answer is completed to files.
_SCRIPTS = {
    "bash": """\
_bento() {
    local line="${COMP_LINE:0:COMP_POINT}" words last found
    read -ra words <<<"$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    last="${words[${#words[@]}-1]}"
    local IFS=$'\\n'
    found=($(bento complete -- "${words[@]:1}" 2>/dev/null))
    # Bash takes a colon for the end of a word, and tags have one.
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


def add_arguments(parser: ArgumentParser, kind: Kind) -> None:
    """Add the argument for the shell."""
    parser.add_argument("shell", choices=_SCRIPTS, help="print the script for this shell")
    parser.epilog = (
        "bash: bento completion bash > ~/.local/share/bash-completion/completions/bento\n"
        "zsh:  bento completion zsh > DIRECTORY/_bento, for a directory of $fpath\n"
        "fish: bento completion fish > ~/.config/fish/completions/bento.fish"
    )


def run(options: Namespace, store: Store, kind: Kind) -> int:
    """Print the script of the shell."""
    sys.stdout.write(_SCRIPTS[options.shell])
    return status.OK
