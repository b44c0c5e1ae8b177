"""Implements `bento sbom`, which prints the SBOM of a Bento or of an image."""

from __future__ import annotations

import sys

import click
from rules_bento.errors import BentoError
from rules_bento.formats.oci import SBOM_TYPES
from rules_bento.typing_lite import TYPE_CHECKING, Sequence

from bento_cli.cli import arguments, show
from bento_cli.cli.command import Tag, command

if TYPE_CHECKING:
    from rules_bento.images.sbom import Component

    from bento_cli.library import Store
    from bento_cli.store.entry_store import Entry

_REQUIREMENTS = ("env/python/requirements.lock.txt", "env/python/requirements.txt")  # the first that exists


@command("iris:latest", "registry.example.com/iris:v1", "iris:latest --format spdx > iris.spdx.json")
@click.argument(
    "target",
    type=Tag(),
    metavar="TAG|IMAGE",
    help=f"Print the SBOM of this Bento ({arguments.TAG}), or of this image in a registry",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(tuple(SBOM_TYPES)),
    help="Print this format (default: cyclonedx, or the format that the image has)",
)
@arguments.insecure
def sbom_command(store: Store, target: str, form: str | None, insecure: Sequence[str]) -> None:
    """Print the SBOM of a Bento or an image as JSON.

    The SBOM of a Bento lists the Python packages that the Bento locks, and its models. The SBOM of an image also lists
    the system packages. The command prints the SBOM that was pushed with the image, and doesn't verify its signature;
    for that, run `bento verify --sbom`.
    """
    data = _of_image(target, form, insecure) if "/" in target else _of_bento(store, target, form or "cyclonedx")
    sys.stdout.buffer.write(data)


def _of_bento(store: Store, tag: str, form: str) -> bytes:
    from rules_bento.archives import sha256_of
    from rules_bento.images import sbom
    from rules_bento.typing_lite import cast

    entry = store.bentos.get(tag)
    models = []
    for model in entry.models:
        name, _, version = model.partition(":")
        models.append(sbom.Component("machine-learning-model", f"model:{model}", name, version))
    digest = f"sha256:{sha256_of(entry.path / entry.kind.descriptor)}"
    created = entry.creation_time.isoformat()
    subject = sbom.ImageSubject(entry.tag.name, entry.tag.version, digest, created, "application")
    return sbom.make_sbom(subject, [*_packages(entry), *models], cast("sbom.Format", form))


def _packages(entry: Entry) -> list[Component]:
    from rules_bento.formats import decode_text, read_file
    from rules_bento.images.sbom import python_package
    from rules_bento.packages.requirements import parse

    name = next((name for name in _REQUIREMENTS if (entry.path / name).is_file()), "")
    if not name:
        raise BentoError(f"{entry.tag}: the Bento contains no {_REQUIREMENTS[-1]}. Build the Bento again.")
    place = f"{entry.tag}: {name}"
    components, unlocked = {}, []
    for requirement in parse(decode_text(read_file(entry.path / name, place), place), place)[0]:
        version = (requirement.pin or ("", ""))[1]
        unlocked += [] if version else [requirement.name]
        # A universal lock has the hashes of several wheels, of which an image contains one.
        sha256 = requirement.hashes[0] if len(requirement.hashes) == 1 else ""
        component = python_package(requirement.name, version, sha256)
        components[component.reference] = component
    if unlocked or not name.endswith(".lock.txt"):
        show.note(
            "The Bento's packages aren't locked, so the SBOM omits transitive dependencies. Run `bento lock`, and "
            "build the Bento again."
        )
    return list(components.values())


def _of_image(target: str, form: str | None, insecure: Sequence[str]) -> bytes:
    """Return the SBOM that refers to an image. For an index, returns the SBOM of its first image that has one."""
    from rules_bento.registry.reference import Reference

    from bento_cli.library import connected
    from bento_cli.sharing.image_changes import find_sbom

    reference = Reference.from_url(target)
    wanted = [SBOM_TYPES[form]] if form else list(SBOM_TYPES.values())
    with connected(insecure, f"Reading {target}", show.progress_output()) as (registries, _):
        repository = registries.repository(reference)
        manifest = repository.get_manifest(reference.target)
        digests = [manifest.descriptor.digest]
        digests += [child.digest for child in manifest.children()] if manifest.is_index else []
        if (found := find_sbom(repository, digests, wanted)) is not None:
            return found
    kind = f"{form} SBOM" if form else "SBOM"
    raise BentoError(f"{target}: the registry has no {kind} of this image. Push the image with bento_push.")
