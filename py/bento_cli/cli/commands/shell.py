"""Implements `bento completion`, `bento version`, and `bento cache`."""

from __future__ import annotations

import os
import re

import click
from click.shell_completion import BashComplete, add_completion_class, get_completion_class, split_arg_string
from rules_bento.base.errors import BentoError
from rules_bento.base.typing_lite import TYPE_CHECKING, Any

from bento_cli.cli import shared_options, show
from bento_cli.cli.command import COMPLETE, command, print_version
from bento_cli.cli.groups import COMMANDS

if TYPE_CHECKING:
    from pathlib import Path

    from click.shell_completion import CompletionItem

    from bento_cli.library import Store


_HELP = """Print a shell completion script.

\b
bash: bento completion bash > ~/.local/share/bash-completion/completions/bento
zsh:  bento completion zsh > DIRECTORY/_bento, for a directory in $fpath
fish: bento completion fish > ~/.config/fish/completions/bento.fish"""


@add_completion_class
class _Bash(BashComplete):
    """Completion for bash, which ends words at the colons of tags."""

    name = "bash"

    def get_completion_args(self) -> tuple[list[str], str]:
        words = os.environ["COMP_WORDS"].split("\n")[1 : int(os.environ["COMP_CWORD"]) + 1]
        text = re.sub(r"\n?(:+)\n?", r"\1", "\n".join(words))
        args = split_arg_string(text)
        last = args.pop() if args and not text.endswith("\n") else ""
        self._start = last[: last.rfind(":") + 1] if any(word.startswith(":") for word in words) else ""
        return args, last

    def format_completion(self, item: CompletionItem[Any]) -> str:
        return f"{item.type},{str(item.value).removeprefix(self._start)}"


@command("bash", help=_HELP)
@click.argument("shell", metavar="SHELL", type=click.Choice(("bash", "zsh", "fish")), help="Print this shell's script")
def completion_command(store: Store, shell: str) -> None:
    complete = get_completion_class(shell)
    assert complete
    show.out(complete(COMMANDS, {}, "bento", COMPLETE).source().rstrip("\n"))


@command()
def version_command(store: Store) -> None:
    """Print the version of bento."""
    print_version(click.get_current_context(), click.Option(["--version"]), True)


@command()
def dir_command(store: Store) -> None:
    """Print the directory of the cache."""
    show.out(str(_cache()))


@command()
@shared_options.output("text", "json", "yaml")
def size_command(store: Store, output: str) -> None:
    """Print the size of the cache: layers of native images, and records of pushed blobs."""
    size = _size(_cache())
    if not show.data({"path": str(_cache()), "size_bytes": size}, output):
        show.out(show.size(size))


@command()
def clean_command(store: Store) -> None:  # writes: own, the files of the user's cache
    """Remove the cache. Bentos and models are in the store, and remain."""
    from bento_cli.sharing import native_cache

    cache = _cache()
    size = _size(cache)
    native_cache.clean(cache / "native", lambda: show.note("Waiting for other commands that use the cache."))
    for path in cache.glob("*"):
        if path.is_file():
            path.unlink(missing_ok=True)  # another command replaced the record
    show.done(f"Removed {show.size(size)} from {_cache()}.")


def _cache() -> Path:
    from rules_bento.base.own_files import user_cache_directory

    directory = user_cache_directory()
    if not directory:
        raise BentoError("the home directory is unknown. Set HOME or XDG_CACHE_HOME.")
    return directory


def _size(cache: Path) -> int:
    """Return the size of what `clean` removes."""
    paths = (path for pattern in ("*", "native/**/*") for path in cache.glob(pattern))
    return sum(path.lstat().st_size for path in paths if not path.is_dir())
