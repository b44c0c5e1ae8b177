"""`bento containerize` and `bento serve`: build images of Bentos and serve them."""

from __future__ import annotations

import os
import re
import sys

from rules_bento.typing_lite import TYPE_CHECKING, NoReturn

from bento_cli.cli import show, status

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Sequence

    from rules_bento.bento.kinds import Kind

    from bento_cli.library import Store


# BentoML's own, in its order; `--opt` says the same, and all others.
_BUILDER_VALUES = (
    *("add-host", "build-arg", "cache-from", "iidfile", "label", "network", "output", "platform", "progress"),
    *("secret", "ssh", "target", "allow", "attest", "build-context", "builder", "cache-to", "provenance"),
    *("cgroup-parent", "ulimit", "no-cache-filter", "metadata-file", "sbom", "shm-size"),
)


_BUILDER_FLAGS = ("no-cache", "pull", "load", "push", "quiet")


def add_containerize_arguments(parser: ArgumentParser, kind: Kind) -> None:
    from bento_cli.sharing.builders.backends import BACKENDS, VARIABLE

    parser.add_argument("tag", metavar="TAG", help="build an image of this Bento")
    parser.add_argument(
        "-t",
        "--image-tag",
        "--docker-image-tag",
        metavar="NAME:TAG",
        action="append",
        default=[],
        help="name the image (repeatable; default: the tag of the Bento)",
    )
    parser.add_argument(
        "--backend",
        metavar="NAME",
        help=f"build with {', '.join(BACKENDS)} (default: {VARIABLE}, or else the first available one)",
    )
    parser.add_argument(
        "--enable-features",
        metavar="LIST",
        action="append",
        default=[],
        help="install these extras of bentoml, separated by commas",
    )
    parser.add_argument("--run-as-root", action="store_true", help="start the builder with sudo")
    parser.add_argument("--no-verify", action="store_true", help="don't check the files for damage first")
    parser.add_argument(
        "--opt",
        metavar="NAME[=VALUE]",
        action="append",
        default=[],
        help="pass this option to the builder (repeatable)",
    )
    group = parser.add_argument_group("options of builders (a builder might not support all of them)")
    for name in sorted((*_BUILDER_VALUES, *_BUILDER_FLAGS)):
        if name in _BUILDER_FLAGS:
            group.add_argument(f"--{name}", action="store_true", help=f"pass --{name} to the builder")
        elif name == "progress":
            group.add_argument("--progress", choices=("auto", "tty", "plain"), help="show progress in this form")
        else:
            group.add_argument(
                f"--{name}", metavar="VALUE", action="append", help=f"pass --{name} to the builder (repeatable)"
            )
    # As in BentoML, --output is an option of the builder.
    choices = ("text", "json", "yaml")
    parser.add_argument(
        "-o", dest="shown", choices=choices, default="text", help="print the result in this format (default: text)"
    )
    parser.epilog = (
        "Every builder gets the same directory: the Bento, its models, and its Dockerfile. Environment\n"
        "variables of the stage build are passed as secrets with the value from the Bento. `--secret\n"
        "id=NAME` passes a variable of your environment instead."
    )


def run_containerize(options: Namespace, store: Store, kind: Kind) -> int:
    from rules_bento.build_options.option_checks import check_features

    from bento_cli.sharing.builders.backends import VARIABLE, choose
    from bento_cli.sharing.builders.building import containerize

    entry = store.bentos.get(options.tag)
    features = [feature for text in options.enable_features for feature in text.split(",") if feature]
    check_features(features, "--enable-features")
    backend = choose(options.backend or "")
    if not options.backend:
        show.note(f"{backend.name} builds. --backend or {VARIABLE} names another one.")
    for model in entry.describe().models:
        if model.registry == "huggingface":
            show.note(f"{model.tag} of Hugging Face is not in the image. It is fetched when that is started.")
    done = containerize(
        store.home,
        entry,
        backend,
        options.image_tag,
        _builder_options(options),
        features=features,
        as_root=options.run_as_root,
        check=not options.no_verify,
    )
    facts = {"tag": str(entry.tag), "backend": backend.name, "images": list(done.names)}
    if not show.data(facts, options.shown):
        show.out(f"Built {', '.join(map(show.plain, done.names))} of Bento {entry.tag} with {backend.name}.")
        if done.runner:
            show.out(f"To run it: {done.runner} run --rm -p 3000:3000 {show.plain(done.names[0])}")
    return status.OK


def _builder_options(options: Namespace) -> dict[str, Sequence[str] | bool]:
    """Return the options for the backend: BentoML's own, then those of `--opt`."""
    further: dict[str, Sequence[str] | bool] = {}
    for name in sorted((*_BUILDER_VALUES, *_BUILDER_FLAGS)):
        value = getattr(options, name.replace("-", "_"))
        if value:
            further[name] = [value] if isinstance(value, str) else value
    for text in options.opt:
        name, *values = re.split("[=:]", text, maxsplit=1)
        before = further.get(name, [])
        further[name] = [*(before if not isinstance(before, bool) else []), *values] if values else True
    return further


_OWN_OPTIONS = ("--home", "--python")


# Options of `bentoml serve` without a value. The next word is the value of every other option.
_SERVE_FLAGS = ("--debug", "--development", "--do-not-track", "--production", "--quiet", "-q", "--reload", "--verbose")


_HELP_OPTIONS = ("-h", "--help")


def add_serve_arguments(parser: ArgumentParser, kind: Kind) -> None:
    parser.add_argument("tag", metavar="TAG", help="serve this Bento")
    parser.add_argument("--python", metavar="PATH", help="use BentoML of this environment or interpreter")
    parser.epilog = (
        "All other options are passed to `bentoml serve`, such as --host, --port, and --reload. BentoML is\n"
        "used from --python, or else VIRTUAL_ENV, or else PATH. It replaces this process, so it gets the\n"
        "signals and sets the exit status."
    )


def split_serve(words: list[str]) -> tuple[list[str], list[str]]:
    """Split the words into our arguments and BentoML's; the tag can be anywhere."""
    ours: list[str] = []
    theirs: list[str] = []
    tag = ""
    waiting = list(reversed(words))
    while waiting:
        word = waiting.pop()
        name, equals, _ = word.partition("=")
        side = theirs if tag or word.startswith("-") else ours
        if name in _OWN_OPTIONS or word in _HELP_OPTIONS:
            side = ours
        elif side is ours:
            tag = word
        side.append(word)
        if waiting and word.startswith("-") and not equals and word not in (*_SERVE_FLAGS, *_HELP_OPTIONS):
            side.append(waiting.pop())
    return ours, theirs


def run_serve(options: Namespace, store: Store, kind: Kind) -> NoReturn:
    from bento_cli.sharing.serving import server

    entry = store.bentos.get(options.tag)
    command, variables = server(store.home, entry, options.rest, options.python or "")
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(command[0], command, variables)
