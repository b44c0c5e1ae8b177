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

    parser.add_argument("tag", metavar="TAG", help="the Bento")
    parser.add_argument(
        "-t",
        "--image-tag",
        "--docker-image-tag",
        metavar="NAME:TAG",
        action="append",
        default=[],
        help="of the image, may be repeated (default: the Bento's)",
    )
    parser.add_argument(
        "--backend",
        metavar="NAME",
        help=f"{', '.join(BACKENDS)} (default: {VARIABLE}, else the first that is here and well)",
    )
    parser.add_argument("--enable-features", metavar="LIST", action="append", default=[], help="extras of bentoml")
    parser.add_argument("--run-as-root", action="store_true", help="start the backend by sudo")
    parser.add_argument("--no-verify", action="store_true", help="do not look for damage first")
    parser.add_argument("--opt", metavar="NAME[=VALUE]", action="append", default=[], help="any option of the backend")
    group = parser.add_argument_group("options of backends, as they know them; not every one has each")
    for name in sorted((*_VALUES, *_FLAGS)):
        if name in _FLAGS:
            group.add_argument(f"--{name}", action="store_true")
        elif name == "progress":
            group.add_argument("--progress", choices=("auto", "tty", "plain"))
        else:
            group.add_argument(f"--{name}", metavar="VALUE", action="append")
    # --output is the backend's here, as it is for BentoML.
    choices = ("text", "json", "yaml")
    parser.add_argument("-o", dest="shown", choices=choices, default="text", help="what is printed (default: text)")
    parser.epilog = (
        "All backends get the same folder: the Bento, its models and its Dockerfile. Variables of the stage build\n"
        "go to the backend as secrets, with the value that the Bento has. `--secret id=NAME` gives the value of your\n"
        "environment; no Bento gets one that was not asked for."
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
