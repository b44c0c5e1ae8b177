"""Runs BentoML's command line for BentoCloud and Yatai: `bento cloud`, `bento deploy`, and transfers."""

from __future__ import annotations

import subprocess
import sys

import click
from click.core import ParameterSource
from rules_bento.base.errors import BentoError
from rules_bento.base.exit_handling import exit_on_signals
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Mapping, Sequence

from bento_cli.cli import show
from bento_cli.cli.command import Tag, command

if TYPE_CHECKING:
    from bento_cli.library import Store

_OF_BENTOML = {"ignore_unknown_options": True}
_TOKEN = "--api-token"


@command("login", "login --endpoint https://cloud.example --api-token -", context_settings=_OF_BENTOML)
@click.argument("words", metavar="[COMMAND]...", nargs=-1, help="Run this command of `bentoml cloud`, with its options")
def cloud_command(store: Store, words: Sequence[str]) -> int:
    """Manage logins to BentoCloud and Yatai with BentoML.

    The command runs `bentoml cloud` of the environment in VIRTUAL_ENV, of `bentoml` on PATH, or of `bento`. All options
    are passed, and the output and exit code are BentoML's. Other users of the machine can see a token on the command
    line; `--api-token -` reads the token from standard input.
    """
    passed, variables = list(words), {}
    for at, word in enumerate(passed):
        if word == f"{_TOKEN}=-" or passed[at : at + 2] == [_TOKEN, "-"]:
            del passed[at : at + (1 if "=" in word else 2)]
            variables["BENTO_CLOUD_API_KEY"] = sys.stdin.readline().strip()
            break
    return run_bentoml(store, ["cloud", *passed], variables=variables)


@command("iris:latest", context_settings=_OF_BENTOML)
@click.argument("words", type=Tag(), metavar="[TAG]", nargs=-1, help="Deploy this Bento, with options of BentoML")
def deploy_command(store: Store, words: Sequence[str]) -> int:
    """Deploy a Bento on BentoCloud with BentoML.

    The command runs `bentoml deploy` of the environment in VIRTUAL_ENV, of `bentoml` on PATH, or of `bento`. All
    options are passed, and the output and exit code are BentoML's. For Kubernetes, push an image with `bento image`.
    """
    return run_bentoml(store, ["deploy", *words])


def run_bentoml(
    store: Store,
    words: Sequence[str],
    options: Mapping[str, object] | None = None,
    own: Sequence[str] = ("words",),
    variables: Mapping[str, str] | None = None,
    registry: str = "",
) -> int:
    """Run BentoML's command line on the store, and return its exit code.

    Passes `options`. Raises BentoError for other options on the command line, except `own`, and if BentoML isn't
    installed. `registry` is a command with which the user might have meant a registry.
    """
    from bento_cli.sharing.serving import bentoml, interpreter

    here = click.get_current_context()
    known = {"home", "no_notes", "verbose", "color", *own, *(options or ())}
    sources = {each: here.get_parameter_source(str(each.name)) for each in here.command.params}
    given = [each for each in sources if sources[each] is ParameterSource.COMMANDLINE and each.name not in known]
    if given or here.meta.get("no_progress"):
        place = "/".join(opt for each in given if each.name == given[0].name for opt in each.opts) or "--no-progress"
        problem = "BentoML's client for BentoCloud and Yatai has no such option"
        remedy = f"Remove the option{', or specify a registry' if registry else ''}."
        raise BentoError(problem, place=place, remedy=remedy)
    remedy = "For BentoCloud and Yatai, install it in an environment (`uv pip install bentoml`), and activate this one."
    python = interpreter(remedy=remedy + (f" For a registry, run `{registry}`." if registry else ""))
    everything = {**(options or {}), "quiet": "no_notes" in here.meta, "verbose": bool(here.meta.get("verbose"))}
    line = [*words, *(word for item in everything.items() for word in _words(*item))]
    process, environment = bentoml(store.home, python, line)
    colors = {"never": {"NO_COLOR": "1"}, "always": {"FORCE_COLOR": "1"}}.get(here.meta.get("color", ""), {})
    sys.stdout.flush()
    exit_on_signals()
    with show.on_interrupt("BentoML was stopped."):
        environment |= {**colors, **(variables or {})}
        umask = 0o077 if words[0] == "cloud" else -1  # BentoML's file of logins is only for the user
        code = subprocess.run(process, check=False, env=environment, umask=umask).returncode
    return code if code >= 0 else 128 - code


def _words(name: str, value: Any) -> list[str]:
    option = f"--{name.replace('_', '-')}"
    return [option] if value is True else [option, str(value)] if value else []
