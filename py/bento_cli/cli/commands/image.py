"""Implements `bento image`, which builds an image of a uv project."""

from __future__ import annotations

from pathlib import Path

import click
from rules_bento.typing_lite import TYPE_CHECKING, Any, Sequence

from bento_cli.cli import arguments, show
from bento_cli.cli.command import File, command

if TYPE_CHECKING:
    from bento_cli.library import Store
    from bento_cli.sharing.image_changes import ImageChanges

_VALUES = {
    "compression": ("FORMAT", "Compress layers with gzip or zstd (default: gzip)"),
    "output": ("oci:DIR", "Write an OCI layout to this directory"),
    "sbom": ("FORMAT", "Attach an SBOM: cyclonedx, spdx, or none (default: cyclonedx)"),
    "size-limit": ("MEGABYTES", "Fail if the layers are larger"),
}
_LISTS = {
    "exclude": ("PACKAGE:PATTERN", "Exclude these files of a package"),
    "ignore-library": ("NAME", "Ignore this missing library or program in checks"),
    "label": ("KEY=VALUE", "Set a label of the image"),
    "platform": ("OS/ARCHITECTURE", "Build for this platform, such as linux/arm64 (default: this machine's)"),
}
_FLAGS = {
    "explain": "Compare the image with the image that its tag has in the registry, and deliver only on request",
    "load": "Load the image into docker, podman, or nerdctl (default)",
    "push": "Push the image to the registry in its name",
    "soci": "Add a SOCI index for lazy pulling",
}


@command(". --base oci:python", ". --base python:3.12-slim -t registry.example/api:v1 --push")
@click.argument(
    "directory",
    type=File(),
    metavar="[DIRECTORY]",
    default=".",
    help="Build this uv project (default: the current directory)",
)
@click.option("--base", metavar="IMAGE", help="Use this base image, or oci:DIR for a layout (default: python:X.Y-slim)")
@arguments.repeatable("-t", "--image-tag", metavar="NAME:TAG", help="Set the image name (default: the project's name)")
@click.option("--entrypoint", metavar="COMMAND", default="", help="Run this command (default: a script or application)")
@arguments.repeatable("--extra", metavar="NAME", help="Include this extra of the project")
@arguments.repeatable("--group", metavar="NAME", help="Include this dependency group")
@click.option("--package", metavar="NAME", default="", help="Build this member of the workspace")
@arguments.combine(*(click.option(f"--{name}", metavar=form, help=text) for name, (form, text) in _VALUES.items()))
@arguments.combine(
    *(arguments.repeatable(f"--{name}", metavar=form, help=text) for name, (form, text) in _LISTS.items())
)
@arguments.combine(*(arguments.flag(f"--{name}", help=text) for name, text in _FLAGS.items()))
@arguments.insecure
@arguments.signing_options("sign-")
@arguments.repeatable("--allow-secret", metavar="PATH", help="Allow this file to contain secrets")
@arguments.flag("--no-secrets-check", help="Don't search the project's files for secrets")
@arguments.shown
def image_command(
    store: Store,
    directory: str,
    image_tag: Sequence[str],
    entrypoint: str,
    extra: Sequence[str],
    group: Sequence[str],
    package: str,
    allow_secret: Sequence[str],
    no_secrets_check: bool,
    explain: bool,
    shown: str,
    **options: Any,
) -> None:
    """Build a container image of a uv project, without a container engine.

    The packages come from the project's uv.lock, which must be current. Development groups aren't included. A project
    that isn't a package is copied to /app/_main, without files that .gitignore or .bentoignore match. A package
    becomes a wheel: its build back end runs in an isolated process, without network access. The container runs the
    project's script, or serves a FastAPI, Flask, Litestar, Quart, or Starlette application with the server among the
    packages.

    Each large package is a layer. The same lock, files, and base give the same digest on each machine; see also
    `bento containerize` for Bentos, and the rule python_image. The creation time is the commit's, unless the variable
    SOURCE_DATE_EPOCH is set.
    """
    from bento_cli.sharing.native_project import ProjectOptions, build_image

    signing = arguments.signing("sign-", **{name: options.pop(name) for name in arguments.SIGNING})
    if signing and not options["push"]:
        raise click.UsageError("Signing requires --push.")
    settings = {
        name.replace("_", "-"): value if value is True else [value] if isinstance(value, str) else [*value]
        for name, value in options.items()
        if value
    }
    secrets = None if no_secrets_check else tuple(allow_secret)
    chosen = ProjectOptions(tuple(extra), tuple(group), package, entrypoint, secrets, explain)
    result = build_image(Path(directory), image_tag, settings, chosen, home=store.home.own, signing=signing)
    for note in result.notes:
        show.note(note)
    fields = {"images": list(result.names), "digest": result.digest, "base": result.base, "sent": result.sent}
    if explain:
        fields["changes"] = [change.to_json() for change in result.changes]
    if not show.data(fields, shown):
        show.done(f"Built {', '.join(map(show.plain, result.names))}.")
        for change in result.changes:
            _show_changes(change)
        from bento_cli.cli.commands.run import show_image

        show_image(result, port=8000, is_pushed=bool(options["push"]))


def _show_changes(changes: ImageChanges) -> None:
    show.out(f"Before: {changes.before}" if changes.before else "The registry has no image with this tag and platform.")
    for layer in changes.layers:
        show.out(f"  {layer.status:8}{show.size(layer.size):>10}  {show.plain(layer.name)}")
        for package in layer.packages:
            show.out(f"{'':22}{show.plain(package)}")
    if changes.removed:
        show.out(f"Removed packages: {show.plain(', '.join(changes.removed))}")
    if changes.before and not changes.has_packages:
        show.out("The registry has no SBOM of the image, so packages can't be compared.")
    show.out(f"A server with the image of the registry pulls {show.size(changes.pulled)}.")
