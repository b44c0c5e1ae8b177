"""`bento containerize`: builds an image of a Bento with docker or podman."""

from __future__ import annotations

import re

from rules_bento.typing_lite import TYPE_CHECKING

from bento_cli.cli import show, status

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Sequence

    from rules_bento.bento.kinds import Kind

    from bento_cli.library import Store

# BentoML's own, in its order; `--opt` says the same, and all others.
_VALUES = (
    *("add-host", "build-arg", "cache-from", "iidfile", "label", "network", "output", "platform", "progress"),
    *("secret", "ssh", "target", "allow", "attest", "build-context", "builder", "cache-to", "provenance"),
    *("cgroup-parent", "ulimit", "no-cache-filter", "metadata-file", "sbom", "shm-size"),
)
_FLAGS = ("no-cache", "pull", "load", "push", "quiet")


def add_arguments(parser: ArgumentParser, kind: Kind) -> None:
    """Add arguments for the Bento, the builder, the image's names and the builder's options."""
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
    for name in sorted((*_VALUES, *_FLAGS)):
        if name in _FLAGS:
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


def run(options: Namespace, store: Store, kind: Kind) -> int:
    """Build the image of a Bento."""
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
        _given(options),
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


def _given(options: Namespace) -> dict[str, Sequence[str] | bool]:
    """Return the options for the backend: BentoML's own, then those of `--opt`."""
    further: dict[str, Sequence[str] | bool] = {}
    for name in sorted((*_VALUES, *_FLAGS)):
        value = getattr(options, name.replace("-", "_"))
        if value:
            further[name] = [value] if isinstance(value, str) else value
    for text in options.opt:
        name, *values = re.split("[=:]", text, maxsplit=1)
        before = further.get(name, [])
        further[name] = [*(before if not isinstance(before, bool) else []), *values] if values else True
    return further
