"""Implements `bento containerize` and `bento image`, which build images, and `bento serve`, which serves a Bento."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

import click
from rules_bento.base.errors import BentoError
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, NoReturn, Sequence
from rules_bento.bentos.assembly.kinds import BENTO
from rules_bento.images.registry.reference import has_registry

from bento_cli.cli import shared_options, show
from bento_cli.cli.command import File, Names, Tag, command
from bento_cli.sharing.backends import BACKENDS, NATIVE, VARIABLE, choose
from bento_cli.sharing.image_options import LAYOUT, NATIVE_OPTIONS, OPTIONS
from bento_cli.sharing.image_options import Option as ImageOption

if TYPE_CHECKING:
    from rules_bento.images.artifacts.signatures import Signing

    from bento_cli.library import Store
    from bento_cli.sharing.backends import NativeImage, Options
    from bento_cli.sharing.image_changes import ImageChanges
    from bento_cli.sharing.native_build import Preview
    from bento_cli.sharing.native_project import ProjectOptions

_FINISHED = "Finished layers remain in the cache, and the next build reuses them."
"""What remains after an interrupted build of an image."""


_BUILDER_OPTIONS = [
    shared_options.option(f"--{name} {each.value and 'VALUE'}", each.builder, multiple=bool(each.value))
    for name, each in sorted(OPTIONS.items())
    if each.builder
]


def _formats(option: ImageOption) -> dict[str, Any]:
    """Return the type of an option for which a shell completes its formats."""
    return {"type": Names(*str(option.pattern).split("|"))} if option.value == "FORMAT" else {}


IMAGE_OPTIONS = {
    name: (shared_options.repeatable if each.is_repeatable else shared_options.option)(
        f"--{name} {each.value}", each.image, **_formats(each)
    )
    for name, each in OPTIONS.items()
    if each.image
}
_NATIVE_OPTIONS = shared_options.combine(
    shared_options.option("--base IMAGE", "Use this base image", multiple=True),
    *(shared_options.insecure, shared_options.signing_options("sign-")),
    *(IMAGE_OPTIONS[name] for name in NATIVE_OPTIONS if name in IMAGE_OPTIONS),
    is_hidden=True,
)
PROJECT_OPTIONS = shared_options.combine(
    shared_options.option("--entrypoint COMMAND", "Run this command (default: a script or application)", default=""),
    shared_options.repeatable("--extra NAME", "Include this extra of the project"),
    shared_options.option("--all-extras", "Include all extras of the project"),
    shared_options.repeatable("--group NAME", "Include this dependency group"),
    shared_options.repeatable("--no-group NAME", "Exclude this dependency group"),
    shared_options.repeatable(
        "--only-group NAME", "Include only this dependency group, without the project's dependencies"
    ),
    shared_options.option("--package NAME", "Build this member of the workspace", default=""),
    shared_options.option("--all-packages", "Include all members of the workspace"),
    shared_options.option(
        "--project-version VERSION", "Use this version if a build can't read it from Git", default=""
    ),
)
"""Options of `bento image` that select a project, its packages, and its command."""
# Options of `bento image` for projects only, and for Bentos only.
OF_PROJECT = (
    *("all_extras", "all_packages", "entrypoint", "extra", "group", "no_group", "only_group", "package"),
    "project_version",
)
_FOR_PROJECTS = (*OF_PROJECT, "allow_secret", "no_secrets_check")
_FOR_BENTOS = ("ignore_requirement", "no_verify")
_FOR_STARTS = {"insecure", "start", "start-env", "start-timeout"}
"""Options of `bento image` for an image that exists."""


@command("iris:latest", "iris:latest -t registry.example/iris:v1 -- --no-cache --build-arg NAME=VALUE", kept=_FINISHED)
@shared_options.tag(help=f"Containerize this Bento ({shared_options.TAG})")
@click.argument("words", nargs=-1, metavar="[-- OPTION...]", help="Pass these options to the builder")
@shared_options.repeatable(
    "-t, --image-tag, --docker-image-tag NAME:TAG", "Set the image name (default: the Bento's tag)"
)
@shared_options.option(
    "--backend NAME",
    f"Use this backend: {', '.join(BACKENDS)}, or {NATIVE.name}, which needs no builder (default: {VARIABLE} "
    f"if set, otherwise the first available builder, otherwise {NATIVE.name})",
    type=Names(*BACKENDS, NATIVE.name),
)
@shared_options.repeatable("--enable-features LIST", "Install these bentoml extras, such as grpc,tracing")
@shared_options.option("--run-as-root", "Run the builder with sudo")
@shared_options.no_verify
@shared_options.combine(*_BUILDER_OPTIONS)
@shared_options.option("--progress", "Set the type of progress output", type=click.Choice(("auto", "tty", "plain")))
@shared_options.shown
@_NATIVE_OPTIONS
def containerize_command(
    store: Store,
    tag: str,
    words: Sequence[str],
    image_tag: Sequence[str],
    backend: str | None,
    enable_features: Sequence[str],
    run_as_root: bool,
    no_verify: bool,
    shown: str,
    **options: Any,
) -> None:
    """Build a container image of a Bento.

    All builders get the same build context: the Bento, its models, and its Dockerfile. The environment variables for
    the stage `build` are passed as secrets, with the values in the Bento. To pass the value of a variable in your
    environment, use `--secret id=NAME`. Pass other options of the builder after `--`.

    The `native` backend builds the image of `bento image TAG`, and also supports the options of that command.
    """
    from rules_bento.bentos.build_options.option_checks import check_features

    from bento_cli.sharing.containers import containerize

    if words and not words[0].startswith("-"):
        raise click.UsageError(f"Got unexpected extra argument ({words[0]})")
    entry = store.bentos.get(tag)
    features = [feature for text in enable_features for feature in text.split(",") if feature]
    check_features(features, "--enable-features")
    chosen = choose(backend or "")
    if not backend:
        note = f"Building with {chosen.name}. To select another builder, set --backend or {VARIABLE}."
        image = f" `bento image {show.plain(tag)}` needs no builder, and writes the same bytes on each machine."
        show.note(note if chosen is NATIVE else f"{note}{image}")
    signing = {name: options.pop(name) for name in shared_options.SIGNING}
    settings = image_settings(options)
    if (signing["sign_key"] or signing["keyless"]) and not (chosen is NATIVE and "push" in settings):
        remedy = "Add the missing option, or run `bento sign` later."
        raise BentoError("signing requires --backend native and --push", remedy=remedy)
    for model in entry.description.models:
        if model.registry == "huggingface":
            show.note(
                f"{model.tag} isn't in the image: containers download the model from the Hugging Face Hub at startup."
            )
    result = containerize(
        store.home,
        entry,
        chosen,
        image_tag,
        settings,
        arguments=words,
        features=features,
        as_root=run_as_root,
        check=not no_verify,
        signing=shared_options.signing("sign-", **signing),
    )
    fields = {"tag": str(entry.tag), "backend": chosen.name}
    text = f" from Bento {entry.tag} with {chosen.name}"
    _show_image(result, fields, text, shown, port=3000, is_pushed=bool(options["push"]))


def _show_image(
    result: NativeImage, fields: dict[str, Any], words: str, shown: str, *, port: int, is_pushed: bool
) -> None:
    """Print how to run an image, and its base and digest, if they are known. The digest is the last line."""
    for note in result.notes:
        show.note(note)
    fields |= {"images": list(result.names)}
    if result.digest:
        fields |= {"digest": result.digest, "base": result.base, "sent": result.sent, "mounted": result.mounted}
    if result.changes:
        fields["changes"] = [change.to_json() for change in result.changes]
    if result.startup:
        fields["startup"] = result.startup
    if show.data(fields, shown):
        return
    show.done(f"Built {', '.join(map(show.plain, result.names))}{words}.")
    for change in result.changes:
        show_changes(change)
    if result.startup:
        _show_startup(result.startup)
    if result.runner:
        show.out(f"To run the image: {result.runner} run --rm -p {port}:{port} {show.plain(result.names[0])}")
    if result.digest:
        show.out(f"Base: {result.base}")
        if is_pushed:
            mounted = f", and mounted {show.size(result.mounted)} from another repository" if result.mounted else ""
            show.out(f"Pushed {show.size(result.sent)}{mounted}.")
        show.out(f"Digest: {result.digest}")


def _show_previews(previews: Sequence[Preview], shown: str) -> None:
    if show.data([each._asdict() for each in previews], shown):
        return
    for each in previews:
        show.out(f"Base: {each.base} ({each.platform})")
        show.out(f"Command: {show.plain(shlex.join(each.command))}")
        show.out(f"Packages: {show.plain(', '.join(each.packages))}")
        show.out(f"Files: {show.plain(', '.join(each.files) or 'of the package')}")
        rows = [(name, state, "unknown" if size is None else show.size(size)) for name, state, size in each.layers]
        show.table(("Layer", "State", "Size"), rows, right=["Size"])


def image_settings(options: dict[str, Any]) -> dict[str, Sequence[str] | bool]:
    """Return the options that are set, by their names on the command line."""
    result: dict[str, Sequence[str] | bool] = {}
    for name, value in sorted(options.items()):
        if value not in (None, False, ()):
            result[name.replace("_", "-")] = value if value is True else [value] if isinstance(value, str) else [*value]
    return result


# Options of `bentoml serve` without a value. The next argument is the value of every other option.
_SERVE_FLAGS = ("--debug", "--development", "--do-not-track", "--production", "--quiet", "-q", "--reload", "--verbose")


@command("iris:latest", "iris:latest --port 3001", context_settings={"ignore_unknown_options": True})
@click.argument(
    "words", type=Tag(), metavar="TAG", nargs=-1, required=True, help=f"Serve this Bento ({shared_options.TAG})"
)
@shared_options.option(
    "--python PATH",
    "Run BentoML from this Python environment or interpreter (default: the first that contains BentoML: "
    "VIRTUAL_ENV, the environment of the `bentoml` command on PATH, or the interpreter of `bento`)",
    type=File(),
)
def serve_command(store: Store, words: Sequence[str], python: str | None) -> NoReturn:
    """Serve a Bento with BentoML.

    All other options, such as --host, --port, and --reload, are passed to `bentoml serve`. BentoML's process replaces
    the process of this command, so BentoML receives the signals and determines the exit code.
    """
    from bento_cli.sharing.serving import check_port, server

    at = 0  # of the tag, which can be after options for BentoML
    while at < len(words) and words[at].startswith("-"):
        at += 1 if "=" in words[at] or words[at] in _SERVE_FLAGS else 2
    if at >= len(words):
        raise click.UsageError("Missing argument 'TAG'.")
    _reject_project(words[at], store)
    entry = store.bentos.get(words[at])
    command, variables = server(store.home, entry, [*words[:at], *words[at + 1 :]], python or "")
    check_port(entry, [*words[:at], *words[at + 1 :]])
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(command[0], command, variables)


def _reject_project(text: str, store: Store) -> None:
    """Raise BentoError if `text` is a project or a service in the current directory, instead of a tag."""
    source = text.partition(":")[0]
    files = (source, f"{source.replace('.', '/')}.py")
    is_project = Path(source).is_dir() or any(Path(file).is_file() for file in files)
    is_tag = source.strip(".") and (store.home.entries_dir(BENTO) / source).is_dir()
    if "/" in text or (is_project and not is_tag):
        remedy = f"Run `bento build {text}`, and serve the tag. For development, run `bentoml serve {text}`."
        raise BentoError(f"{text} is a project, but the command serves Bentos in the store", remedy=remedy)


@command(". --base oci:../python", "hello:latest -t registry.example/hello:v1 --push", kept=_FINISHED)
@click.argument(
    "target",
    type=Tag(),
    metavar="[DIRECTORY|TAG]",
    default=".",
    help="Build this uv project, or the Bento with this tag; an existing directory precedes a tag (default: the "
    "current directory). With --start, also an image (HOST/REPOSITORY:TAG), which is only started",
)
@shared_options.option(
    "--base IMAGE", "Use this base image, or oci:DIR for a layout (default: the Bento's, or python:X.Y-slim)"
)
@shared_options.repeatable("-t, --image-tag NAME:TAG", "Set the image name (default: the project's or Bento's)")
@PROJECT_OPTIONS
@shared_options.combine(*IMAGE_OPTIONS.values())
@shared_options.insecure
@shared_options.signing_options("sign-")
@shared_options.repeatable("--allow-secret PATH", "Allow this file to contain secrets")
@shared_options.option("--no-secrets-check", "Don't search the project's files for secrets")
@shared_options.isolation
@shared_options.no_verify
@shared_options.shown
def image_command(store: Store, target: str, image_tag: Sequence[str], shown: str, **options: Any) -> None:
    """Build a container image of a uv project or a Bento, without a container engine.

    The packages of a project come from its uv.lock, which must be current. Extras and groups are selected as in `uv
    sync`, but the group dev is included only by name. A project that isn't a package is copied to /app/_main, without
    files that Git or .bentoignore ignores. A package becomes a wheel with the files of `uv build`: its build back end
    runs in an isolated process, without network access. The container runs the project's script, or serves a FastAPI,
    Flask, Litestar, Quart, or Starlette application with the server among the packages.

    A Bento's packages must have hashes, and its image runs no commands. If it needs them, use `bento containerize`.

    Each large package is a layer. With one version of the command, the same lock or Bento, files, and base give the
    same digest on each machine, which is also the digest of the rules python_image and bento_image. The creation time
    is the Bento's or constant, unless the variable SOURCE_DATE_EPOCH is set.
    """
    signing = shared_options.signing("sign-", **{name: options.pop(name) for name in shared_options.SIGNING})
    output = options["output"] or ""
    if output in ("text", "json", "yaml"):
        raise BentoError("expected oci:DIR", place="--output", remedy=f"For the format of the output, add -o {output}.")
    outputs = [output.removeprefix(LAYOUT)] if output.startswith(LAYOUT) else []
    shared_options.confine(store, outputs, require_isolation=options.pop("require_isolation"))
    if signing and not options["push"]:
        raise click.UsageError("Signing requires --push.")
    is_path = Path(target).exists() or target.startswith((".", "/"))
    if options["start"] is not None and not is_path and has_registry(target):
        _start(store, target, image_settings(options | {"image_tag": image_tag}), shown)
        return
    is_project = Path(target).is_dir() or "/" in target or target.startswith(".")
    for name in _FOR_BENTOS if is_project else (*_FOR_PROJECTS, "dry_run"):
        if options[name]:
            option, kind = f"--{name.replace('_', '-')}", "Bentos" if is_project else "uv projects"
            what = "is a directory" if is_project else "isn't a directory"
            raise BentoError(f"{option} is for {kind}, but {target} {what}", remedy=f"Remove {option}.")
    no_verify = options.pop("no_verify")
    of_project = {name: options.pop(name) for name in _FOR_PROJECTS}
    settings = image_settings(options)
    if is_project:
        result: NativeImage | list[Preview] = _build_project(store, target, image_tag, settings, signing, **of_project)
    else:
        from bento_cli.projects.uv_project import SERVICE_REMEDY
        from bento_cli.sharing.native_image import build_image
        from bento_cli.store.entry_store import NotFoundError

        try:
            entry = store.bentos.get(target)
        except NotFoundError as error:
            if Path(target).is_file():
                remedy = f"Specify the project's directory. {SERVICE_REMEDY}"
                raise BentoError("a file, not a directory or a tag", place=target, remedy=remedy) from None
            raise error.with_remedy(f"{error.remedy} For a project, specify its directory.") from None
        result = build_image(store.home, entry, image_tag, settings, check=not no_verify, signing=signing)
    if isinstance(result, list):
        _show_previews(result, shown)
        return
    _show_image(result, {}, "", shown, port=8000 if is_project else 3000, is_pushed=bool(options["push"]))


def _start(store: Store, image: str, settings: dict[str, Sequence[str] | bool], shown: str) -> None:
    from bento_cli.patches.fleet_patch import start_published

    settings = {name: value for name, value in settings.items() if value != [""] or name == "start"}
    if others := settings.keys() - _FOR_STARTS:
        remedy = f"Remove --{min(others)}, or specify a directory or a Bento."
        raise BentoError(f"--{min(others)} is for builds, but {image} is an image", remedy=remedy)
    startup = start_published(image, settings, store.home.own)
    if not show.data({"startup": startup}, shown):
        _show_startup(startup)


def _build_project(
    store: Store, directory: str, names: Sequence[str], settings: Options, signing: Signing | None, **chosen: Any
) -> NativeImage | list[Preview]:
    from bento_cli.sharing.native_project import build_image

    secrets = None if chosen.pop("no_secrets_check") else tuple(chosen.pop("allow_secret"))
    options = project_options(secrets=secrets, **chosen)
    return build_image(Path(directory), names, settings, options, home=store.home.own, signing=signing)


def project_options(
    *, entrypoint: str, package: str, project_version: str, secrets: tuple[str, ...] | None, **selected: Any
) -> ProjectOptions:
    """Return the values of `PROJECT_OPTIONS`. `secrets` has files with allowed secrets, or is None without a check."""
    from rules_bento.bentos.packages.uv_lock_conflicts import PackageSelection

    from bento_cli.sharing.native_project import ProjectOptions

    names = ("extra", "group", "no_group", "only_group", "all_extras", "all_packages")
    selection = PackageSelection(*(selected[name] for name in names))
    return ProjectOptions(selection, package, project_version, entrypoint, secrets)


def show_changes(changes: ImageChanges) -> None:
    """Print the layers of an image that another image lacks, and what a server pulls."""
    show.out(f"Before: {changes.before}" if changes.before else "The registry has no image with this tag and platform.")
    for layer in changes.layers:
        show.out(f"  {layer.status:8}{show.size(layer.size):>10}  {show.plain(layer.name)}")
        for package in (each for each in layer.packages if each != layer.name):
            show.out(f"{'':22}{show.plain(package)}")
    if changes.removed:
        show.out(f"Removed packages: {show.plain(', '.join(changes.removed))}")
    if changes.before and not changes.has_packages:
        show.out("The registry has no SBOM of the image, so packages can't be compared.")
    own = "with the image of the registry " if changes.before else ""
    show.out(f"A server {own}pulls {show.size(changes.pulled)}.")


def _show_startup(startup: dict[str, Any]) -> None:
    how = f"{show.plain(startup['ready'])} answered" if "://" in startup["ready"] else f"the command {startup['ready']}"
    used = f"{startup['cpu_seconds']:.2f} s of CPU, {show.size(startup['memory'])} of memory"
    show.out(f"Startup: {how} after {startup['seconds']:.1f} s ({used}). It read, by layer:")
    total = {"name": "all layers"} | {key: sum(each[key] for each in startup["layers"]) for key in ("size", "read")}
    for layer in (*startup["layers"], total):
        share = f"{layer['read'] / max(layer['size'], 1):.0%}"
        show.out(f"  {share:>5} of {show.size(layer['size']):>10}  {show.plain(layer['name'])}")
