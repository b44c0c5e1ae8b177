"""Implements `bento audit`, which checks packages against a policy, and `bento sbom`, which prints an SBOM."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from rules_bento.errors import BentoError
from rules_bento.formats import MAX_BYTES, decode_text, read_file
from rules_bento.formats.oci import SBOM_TYPES
from rules_bento.typing_lite import TYPE_CHECKING, Sequence, cast

from bento_cli.cli import arguments, show, status
from bento_cli.cli.command import File, Tag, command

if TYPE_CHECKING:
    from rules_bento.audit.inventory import Package
    from rules_bento.images.sbom import Component

    from bento_cli.library import Store
    from bento_cli.store.entry_store import Entry


@command("iris:latest --wheels wheels --deny-license AGPL-3.0-only")
@click.argument(
    "tag",
    type=Tag(),
    help="Check this Bento (tag or archive), lock (.json, uv.lock, pylock.toml, or .txt), or SBOM (.json, or - for "
    "standard input)",
)
@arguments.repeatable("--allow-license SPDX", "Allow only packages with these licenses, such as MIT")
@arguments.repeatable("--deny-license SPDX", "Reject packages with this license, such as AGPL-3.0-only")
@arguments.pairs_option("--license", "NAME=SPDX", help="Override the license of a package, such as numpy=MIT")
@arguments.option("--wheels DIRECTORY", "Read the packages' licenses from these wheels", type=File())
@arguments.option("--require-hashes", "Reject packages that aren't pinned with a hash")
@arguments.output("text", "json", "yaml")
def audit_command(
    store: Store,
    tag: str,
    allow_license: Sequence[str],
    deny_license: Sequence[str],
    license: dict[str, str],  # noqa: A002
    wheels: str | None,
    require_hashes: bool,
    output: str,
) -> int:
    """Check the licenses and hashes of packages.

    The command checks only packages from PyPI, and makes no network requests. The exit code is 3 if a package is
    rejected.
    """
    from rules_bento.audit import inventory, licenses
    from rules_bento.images.wheels.wheel import declared_by

    accepted = licenses.read_policy(allow_license, deny_license)
    rules = inventory.Policy(accepted, license, require_hashes)
    if not (rules.licenses.is_set or wheels or require_hashes):
        remedy = "Add --allow-license, --deny-license, --wheels, or --require-hashes."
        raise BentoError("no checks are selected", remedy=remedy)
    inventory.check_policy_values(rules)
    packages = _packages(tag, store)
    if wheels:
        paths = sorted(Path(wheels).glob("*.whl"))
        if not paths:
            remedy = "Specify a directory that contains .whl files."
            raise BentoError(f"{wheels} contains no wheels", place="--wheels", remedy=remedy)
        declared = dict(map(declared_by, paths))
        packages = [package._replace(license=declared.get(package.name)) for package in packages]
    report = inventory.evaluate(packages, rules)
    if not show.data(report.data(), output):
        for line in inventory.summary_lines(report):
            show.out(show.plain(line))
        for violation in report.violations:
            show.out(f"{show.bad('rejected')}  {show.plain(violation)}")
    return status.FOUND if report.violations else status.OK


def _packages(text: str, store: Store) -> list[Package]:
    """Return the packages in a Bento, a lock, or an SBOM. Raises BentoError if the packages can't be determined."""
    from rules_bento.audit import inventory
    from rules_bento.packages import lock, requirements

    from bento_cli.library import is_archive

    if text == "-":
        return inventory.from_sbom(read_file(arguments.input_path(text)), "standard input")
    path = is_archive(text)
    if not path:
        return _of_bento(store.bentos.get(text).path, text)
    if path.name == "uv.lock":
        return inventory.from_lock(lock.from_uv_lock(requirements.decode(read_file(path), text), text)["packages"])
    if path.name.startswith("pylock") and path.suffix == ".toml":
        return inventory.from_pylock(read_file(path), text)
    if path.suffix == ".txt":
        return inventory.from_requirements(requirements.decode(read_file(path), text), text)
    if path.suffix == ".json":
        data = read_file(path)
        return (
            inventory.from_sbom(data, text)
            if b'"lock"' not in data[:100]
            else inventory.from_lock(lock.load(path)["packages"])
        )
    return _of_bento(path, text)


def _of_bento(path: Path, name: str) -> list[Package]:
    from rules_bento.archives import unpack
    from rules_bento.archives.archive import REQUIREMENTS
    from rules_bento.audit import inventory
    from rules_bento.bento import descriptors
    from rules_bento.bento.kinds import BENTO
    from rules_bento.packages import requirements

    from bento_cli.library import form_of

    texts: dict[str, bytes] = {}
    for item, contents in unpack.read(path, form_of(path)):
        if item.path.removeprefix("./") in (BENTO.descriptor, *REQUIREMENTS):
            if item.size > MAX_BYTES:
                remedy = "Specify a lock or an SBOM instead."
                raise BentoError(f"{item.path} exceeds {MAX_BYTES} bytes", place=name, remedy=remedy)
            texts[item.path.removeprefix("./")] = b"".join(contents)
    for inner in REQUIREMENTS:
        if texts.get(inner):
            origin = f"{name}/{inner}"
            document = texts.get(BENTO.descriptor)
            version = descriptors.parse(BENTO, document, name).python_version if document else ""
            return inventory.from_requirements(requirements.decode(texts[inner], origin), origin, version)
    remedy = "Specify a lock or an SBOM instead of the Bento."
    raise BentoError(f"{REQUIREMENTS[1]} is missing", place=name, remedy=remedy)


@command("iris:latest", "registry.example.com/iris:v1", "iris:latest --format spdx > iris.spdx.json")
@click.argument(
    "target",
    type=Tag(),
    metavar="TAG|IMAGE",
    help=f"Print the SBOM of this Bento ({arguments.TAG}), or of this image in a registry",
)
@arguments.option(
    "--format",
    "Print this format (default: cyclonedx, or the format that the image has)",
    name="form",
    type=click.Choice(tuple(SBOM_TYPES)),
)
@arguments.insecure
def sbom_command(store: Store, target: str, form: str | None, insecure: Sequence[str]) -> None:
    """Print the SBOM of a Bento or an image as JSON.

    The SBOM of a Bento lists the Python packages that the Bento locks, and its models. The SBOM of an image also lists
    the system packages. The command prints the SBOM that was pushed with the image, and doesn't verify its signature;
    for that, run `bento verify --sbom`.
    """
    data = _image_sbom(target, form, insecure) if "/" in target else _bento_sbom(store, target, form or "cyclonedx")
    sys.stdout.buffer.write(data)


def _bento_sbom(store: Store, tag: str, form: str) -> bytes:
    from rules_bento.archives import sha256_of
    from rules_bento.images import sbom

    entry = store.bentos.get(tag)
    models = []
    for model in entry.models:
        name, _, version = model.partition(":")
        models.append(sbom.Component("machine-learning-model", f"model:{model}", name, version))
    digest = f"sha256:{sha256_of(entry.path / entry.kind.descriptor)}"
    created = entry.creation_time.isoformat()
    subject = sbom.ImageSubject(entry.tag.name, entry.tag.version, digest, created, "application")
    return sbom.make_sbom(subject, [*_components(entry), *models], cast("sbom.Format", form))


def _components(entry: Entry) -> list[Component]:
    from rules_bento.archives.archive import REQUIREMENTS
    from rules_bento.images.sbom import python_package
    from rules_bento.packages.requirements import installed

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
        component = python_package(package, version, sha256)
        components[component.reference] = component
    if unlocked or not name.endswith(".lock.txt"):
        show.note(
            "The Bento's packages aren't locked, so the SBOM omits transitive dependencies. Run `bento lock`, and "
            "build the Bento again."
        )
    return list(components.values())


def _image_sbom(target: str, form: str | None, insecure: Sequence[str]) -> bytes:
    """Return the SBOM that refers to an image. For an index, returns the SBOM of its first image that has one."""
    from rules_bento.registry.reference import Reference

    from bento_cli.sharing.image_changes import find_sbom

    reference = Reference.from_url(target)
    wanted = [SBOM_TYPES[form]] if form else list(SBOM_TYPES.values())
    with arguments.connected(insecure, f"Reading {target}") as (registries, _):
        repository = registries.repository(reference)
        manifest = repository.get_manifest(reference.target)
        digests = [manifest.descriptor.digest]
        digests += [child.digest for child in manifest.children()] if manifest.is_index else []
        if (found := find_sbom(repository, digests, wanted)) is not None:
            return found
    kind = f"{form} SBOM" if form else "SBOM"
    raise BentoError(f"{target}: the registry has no {kind} of this image. Push the image with bento_push.")
