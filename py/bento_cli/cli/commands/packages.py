"""Implements `bento sbom`, which prints an SBOM."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from rules_bento.base.errors import BentoError
from rules_bento.base.formats import decode_text, read_file
from rules_bento.base.formats.oci import SBOM_TYPES
from rules_bento.base.typing_lite import TYPE_CHECKING, Mapping, Sequence, cast

from bento_cli.cli import shared_options, show
from bento_cli.cli.command import File, Tag, command

if TYPE_CHECKING:
    from rules_bento.images.sbom import Component

    from bento_cli.library import Store
    from bento_cli.store.entry_store import Entry


@command("iris:latest", "registry.example.com/iris:v1", "iris:latest --format spdx > iris.spdx.json")
@click.argument(
    "target",
    type=Tag(),
    metavar="TAG|IMAGE",
    help=f"Print the SBOM of this Bento ({shared_options.TAG}), or of this image in a registry",
)
@shared_options.option(
    "--format",
    "Print this format (default: cyclonedx, or the format that the image has)",
    name="form",
    type=click.Choice(tuple(SBOM_TYPES)),
)
@shared_options.option("--wheels DIRECTORY", "Read the licenses of a Bento's packages from these wheels", type=File())
@shared_options.insecure
def sbom_command(store: Store, target: str, form: str | None, wheels: str | None, insecure: Sequence[str]) -> None:
    """Print the SBOM of a Bento or an image as JSON.

    The SBOM of a Bento lists the Python packages that the Bento locks, and its models. The SBOM of an image also lists
    the system packages. The command prints the SBOM that was pushed with the image, and doesn't verify its signature;
    for that, run `bento verify --sbom`.
    """
    if "/" in target:
        if wheels:
            raise BentoError("--wheels isn't supported for images, whose SBOMs have licenses. Remove --wheels.")
        data = _image_sbom(target, form, insecure)
    else:
        data = _bento_sbom(store, target, form or "cyclonedx", _licenses(Path(wheels)) if wheels else {})
    sys.stdout.buffer.write(data)


def _licenses(directory: Path) -> dict[str, str]:
    """Return the licenses that the wheels in a directory declare, by distribution."""
    from rules_bento.images.wheels.wheel import Wheel

    paths = sorted(directory.glob("*.whl"))
    if not paths:
        remedy = "Specify a directory that contains .whl files."
        raise BentoError(f"{directory} contains no wheels", place="--wheels", remedy=remedy)
    return {wheel.distribution: wheel.metadata.license.name for wheel in map(Wheel.read, paths)}


def _bento_sbom(store: Store, tag: str, form: str, licenses: Mapping[str, str]) -> bytes:
    from rules_bento.base.archives import sha256_of
    from rules_bento.images import sbom

    entry = store.bentos.get(tag)
    models = []
    for model in entry.models:
        name, _, version = model.partition(":")
        models.append(sbom.Component("machine-learning-model", f"model:{model}", name, version))
    digest = f"sha256:{sha256_of(entry.path / entry.kind.descriptor)}"
    created = entry.creation_time.isoformat()
    subject = sbom.ImageSubject(entry.tag.name, entry.tag.version, digest, created, "application")
    return sbom.make_sbom(subject, [*_components(entry, licenses), *models], cast("sbom.Format", form))


def _components(entry: Entry, licenses: Mapping[str, str]) -> list[Component]:
    from rules_bento.base.archives.archive import REQUIREMENTS
    from rules_bento.bentos.packages.requirement_syntax import installed
    from rules_bento.images.sbom import python_package

    name = next((name for name in REQUIREMENTS if (entry.path / name).is_file()), "")
    if not name:
        raise BentoError(f"{entry.tag}: the Bento contains no {REQUIREMENTS[-1]}. Build the Bento again.")
    place = f"{entry.tag}: {name}"
    components, unlocked = {}, []
    python_version = entry.description.python_version
    for requirement in installed(decode_text(read_file(entry.path / name, place), place), place, python_version):
        package, version = requirement.package
        unlocked += [] if version else [package]
        # A universal lock has the hashes of several wheels, of which an image contains one.
        sha256 = requirement.hashes[0] if len(requirement.hashes) == 1 else ""
        component = python_package(package, version, sha256, license=licenses.get(package, ""))
        components[component.reference] = component
    if unlocked or not name.endswith(".lock.txt"):
        show.note(
            "The Bento's packages aren't locked, so the SBOM omits transitive dependencies. Run `bento lock`, and "
            "build the Bento again."
        )
    return list(components.values())


def _image_sbom(target: str, form: str | None, insecure: Sequence[str]) -> bytes:
    """Return the SBOM that refers to an image. For an index, returns the SBOM of its first image that has one."""
    from rules_bento.images.registry.reference import Reference

    from bento_cli.sharing.image_changes import find_sbom

    reference = Reference.from_url(target)
    wanted = [SBOM_TYPES[form]] if form else list(SBOM_TYPES.values())
    with shared_options.connected(insecure, f"Reading {target}") as (registries, _):
        repository = registries.repository(reference)
        manifest = repository.get_manifest(reference.target)
        digests = [manifest.descriptor.digest]
        digests += [child.digest for child in manifest.children()] if manifest.is_index else []
        if (found := find_sbom(repository, digests, wanted)) is not None:
            return found
    kind = f"{form} SBOM" if form else "SBOM"
    raise BentoError(f"{target}: the registry has no {kind} of this image. Push the image with bento_push.")
