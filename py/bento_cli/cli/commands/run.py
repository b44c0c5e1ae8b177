"""Implements `bento containerize`, which builds an image of a Bento, and `bento serve`, which serves a Bento."""

from __future__ import annotations

import os
import re
import sys

from rules_bento.errors import BentoError
from rules_bento.typing_lite import TYPE_CHECKING, Any, NoReturn, Sequence

from bento_cli.cli import arguments, show, status

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from rules_bento.bento.kinds import Kind

    from bento_cli.library import Store


# BentoML has an option for each of these builder options. `--opt` passes any other builder option.
_BUILDER_VALUES = {
    "add-host": "Add a custom host-to-IP mapping, as HOST:IP (repeatable)",
    "allow": "Allow a privileged entitlement, such as network.host (repeatable)",
    "attest": "Add an attestation, such as type=sbom (repeatable)",
    "build-arg": "Set a build-time variable, as NAME=VALUE (repeatable)",
    "build-context": "Add a named build context, as NAME=PATH (repeatable)",
    "builder": "Use the buildx builder instance with this name",
    "cache-from": "Import the build cache from this source (repeatable)",
    "cache-to": "Export the build cache to this destination (repeatable)",
    "cgroup-parent": "Set the parent cgroup for RUN instructions",
    "iidfile": "Write the image ID to this file",
    "label": "Set a label of the image, as KEY=VALUE (repeatable)",
    "metadata-file": "Write the metadata of the build result to this file",
    "network": "Set the network mode for RUN instructions, such as host or none",
    "no-cache-filter": "Build this stage without the cache (repeatable)",
    "output": "Write the result here, such as type=oci,dest=image.tar (repeatable)",
    "platform": "Set the target platform, such as linux/arm64",
    "provenance": "Add a provenance attestation, such as true or mode=max",
    "sbom": "Add an SBOM attestation, such as true or generator=IMAGE",
    "secret": "Expose a secret to the build, such as id=NAME (repeatable)",
    "shm-size": "Set the size of /dev/shm, in bytes or with a suffix such as m or g",
    "ssh": "Expose an SSH agent socket or keys to the build (repeatable)",
    "target": "Build this stage of the Dockerfile",
    "ulimit": "Set a ulimit, such as nofile=1024 (repeatable)",
}
_BUILDER_FLAGS = {
    "load": "Load the image into the local image store",
    "no-cache": "Don't use the build cache",
    "pull": "Pull all referenced images, even if local copies exist",
    "push": "Push the image to the registry in its name",
    "quiet": "Suppress the builder's output",
}


def add_containerize_arguments(parser: ArgumentParser, kind: Kind) -> None:
    from bento_cli.sharing.backends import BACKENDS, NATIVE, VARIABLE

    parser.add_argument(
        "tag", metavar="TAG", help="Containerize this Bento (NAME:VERSION, or NAME for the latest version)"
    )
    arguments.add_repeatable(
        parser,
        "-t",
        "--image-tag",
        "--docker-image-tag",
        metavar="NAME:TAG",
        help="Set the image name (default: the Bento's tag)",
    )
    parser.add_argument(
        "--backend",
        metavar="NAME",
        help=f"Use this backend: {', '.join(BACKENDS)}, or {NATIVE.name}, which needs no builder (default: {VARIABLE} "
        f"if set, otherwise the first available builder, otherwise {NATIVE.name})",
    )
    parser.add_argument(
        "--base",
        metavar="IMAGE",
        action="append",
        help="Use this base image: a registry reference, or oci:DIR for an OCI layout (default: the Bento's base "
        f"image); requires --backend {NATIVE.name}",
    )
    arguments.add_insecure(parser)
    arguments.add_signing(parser, "sign-")
    arguments.add_repeatable(
        parser, "--enable-features", metavar="LIST", help="Install these bentoml extras, such as grpc,tracing"
    )
    arguments.add_flag(parser, "--run-as-root", help="Run the builder with sudo")
    arguments.add_no_verify(parser)
    arguments.add_repeatable(
        parser, "--opt", metavar="NAME[=VALUE]", help="Pass an option to the builder, such as isolation=chroot"
    )
    group = parser.add_argument_group("Builder options (not all builders support all options)")
    for name, text in sorted((_BUILDER_VALUES | _BUILDER_FLAGS).items()):
        if name in _BUILDER_FLAGS:
            arguments.add_flag(group, f"--{name}", help=text)
        else:
            group.add_argument(f"--{name}", metavar="VALUE", action="append", help=text)
    group.add_argument("--progress", choices=("auto", "tty", "plain"), help="Set the type of progress output")
    # As in BentoML, --output is an option of the builder.
    choices = ("text", "json", "yaml")
    parser.add_argument(
        "-o", dest="shown", choices=choices, default="text", help="Set the output format (default: text)"
    )
    parser.epilog = (
        "All builders get the same build context: the Bento, its models, and its Dockerfile. The environment variables "
        "for the stage `build` are passed as secrets, with the values in the Bento. To pass the value of a variable in "
        "your environment, use `--secret id=NAME`. The `native` backend writes the same image as the bento_image "
        "rule. It requires packages with hashes, runs no commands, and supports these builder options: "
        "--label, --load, --output oci:DIR, --platform, --push, --opt compression=gzip, and --opt "
        "exclude=PACKAGE:PATTERN. Only this backend signs images, with --push."
    )


def run_containerize(options: Namespace, store: Store, kind: Kind) -> int:
    from rules_bento.build_options.option_checks import check_features

    from bento_cli.sharing.backends import NATIVE, VARIABLE, choose
    from bento_cli.sharing.containers import containerize

    entry = store.bentos.get(options.tag)
    features = [feature for text in options.enable_features for feature in text.split(",") if feature]
    check_features(features, "--enable-features")
    backend = choose(options.backend or "")
    if not options.backend:
        show.note(f"Building with {backend.name}. To select another builder, set --backend or {VARIABLE}.")
    settings = _builder_options(options)
    if (options.sign_key or options.keyless) and not (backend is NATIVE and "push" in settings):
        raise BentoError(
            "Signing requires --backend native and --push. Add the missing option, or run `bento sign` later."
        )
    for model in entry.description.models:
        if model.registry == "huggingface":
            show.note(
                f"{model.tag} isn't in the image: containers download the model from the Hugging Face Hub at startup."
            )
    result = containerize(
        store.home,
        entry,
        backend,
        options.image_tag,
        settings,
        features=features,
        as_root=options.run_as_root,
        check=not options.no_verify,
        signing=arguments.signing(options),
    )
    fields: dict[str, Any] = {"tag": str(entry.tag), "backend": backend.name, "images": list(result.names)}
    if result.digest:
        fields |= {"digest": result.digest, "base": result.base, "sent": result.sent}
    if not show.data(fields, options.shown):
        show.out(f"Built {', '.join(map(show.plain, result.names))} from Bento {entry.tag} with {backend.name}.")
        if result.digest:
            show.out(f"Digest: {result.digest} (base {result.base}).")
        if result.digest and options.push:
            show.out(f"Pushed {show.size(result.sent)}.")
        if result.runner:
            show.out(f"To run the image: {result.runner} run --rm -p 3000:3000 {show.plain(result.names[0])}")
    return status.OK


def _builder_options(options: Namespace) -> dict[str, Sequence[str] | bool]:
    """Return the options for the container builder, from flags such as `--progress` and from the values of `--opt`."""
    result: dict[str, Sequence[str] | bool] = {}
    for name in sorted((*_BUILDER_VALUES, *_BUILDER_FLAGS, "base", "insecure", "progress")):
        value = getattr(options, name.replace("-", "_"))
        if value:
            result[name] = [value] if isinstance(value, str) else value
    for text in options.opt:
        name, *values = re.split("[=:]", text, maxsplit=1)
        before = result.get(name, [])
        result[name] = [*(before if not isinstance(before, bool) else []), *values] if values else True
    return result


_OWN_OPTIONS = ("--home", "--python")
# Options of `bentoml serve` without a value. The next argument is the value of every other option.
_SERVE_FLAGS = ("--debug", "--development", "--do-not-track", "--production", "--quiet", "-q", "--reload", "--verbose")
_HELP_OPTIONS = ("-h", "--help")


def add_serve_arguments(parser: ArgumentParser, kind: Kind) -> None:
    parser.add_argument("tag", metavar="TAG", help="Serve this Bento (NAME:VERSION, or NAME for the latest version)")
    parser.add_argument(
        "--python",
        metavar="PATH",
        help="Run BentoML from this Python environment or interpreter (default: the first that contains BentoML: "
        "VIRTUAL_ENV, the environment of the `bentoml` command on PATH, or the interpreter of `bento`)",
    )
    parser.epilog = (
        "All other options, such as --host, --port, and --reload, are passed to `bentoml serve`. BentoML's process "
        "replaces the process of this command, so BentoML receives the signals and determines the exit code."
    )


def split_serve(words: list[str]) -> tuple[list[str], list[str]]:
    """Split the arguments of `bento serve` into arguments for `bento`, such as the tag, and arguments for BentoML."""
    own: list[str] = []
    forwarded: list[str] = []
    tag = ""
    remaining = list(reversed(words))
    while remaining:
        word = remaining.pop()
        name, equals, _ = word.partition("=")
        side = forwarded if tag or word.startswith("-") else own
        if name in _OWN_OPTIONS or word in _HELP_OPTIONS:
            side = own
        elif side is own:
            tag = word
        side.append(word)
        if remaining and word.startswith("-") and not equals and word not in (*_SERVE_FLAGS, *_HELP_OPTIONS):
            side.append(remaining.pop())
    return own, forwarded


def run_serve(options: Namespace, store: Store, kind: Kind) -> NoReturn:
    from bento_cli.sharing.serving import server

    entry = store.bentos.get(options.tag)
    command, variables = server(store.home, entry, options.rest, options.python or "")
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(command[0], command, variables)
