"""Implements `bento audit`, which checks packages against a policy."""

from __future__ import annotations

from pathlib import Path

import click
from rules_bento.errors import BentoError
from rules_bento.typing_lite import TYPE_CHECKING, Sequence

from bento_cli.cli import arguments, show, status
from bento_cli.cli.command import File, Tag, command

if TYPE_CHECKING:
    from rules_bento.audit.inventory import Package

    from bento_cli.library import Store


@command("iris:latest --wheels wheels --deny-license AGPL-3.0-only")
@click.argument(
    "tag",
    type=Tag(),
    help="Check this Bento (tag or archive), lock (.json, uv.lock, pylock.toml, or .txt), or SBOM (.json, or - for "
    "standard input)",
)
@arguments.repeatable("--allow-license", metavar="SPDX", help="Allow only packages with these licenses, such as MIT")
@arguments.repeatable("--deny-license", metavar="SPDX", help="Reject packages with this license, such as AGPL-3.0-only")
@arguments.pairs_option("--license", "NAME=SPDX", help="Override the license of a package, such as numpy=MIT")
@click.option("--wheels", type=File(), metavar="DIRECTORY", help="Read the packages' licenses from these wheels")
@arguments.flag("--require-hashes", help="Reject packages that aren't pinned with a hash")
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
        raise BentoError("No checks are selected", remedy=remedy)
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
    from rules_bento.formats import read_file
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
    from rules_bento.formats import MAX_BYTES
    from rules_bento.packages import requirements

    from bento_cli.library import form_of

    texts: dict[str, bytes] = {}
    for item, contents in unpack.read(path, form_of(path)):
        if item.path.removeprefix("./") in REQUIREMENTS:
            if item.size > MAX_BYTES:
                remedy = "Specify a lock or an SBOM instead."
                raise BentoError(f"{item.path} exceeds {MAX_BYTES} bytes", place=name, remedy=remedy)
            texts[item.path] = b"".join(contents)
    for inner in REQUIREMENTS:
        if texts.get(inner):
            origin = f"{name}/{inner}"
            return inventory.from_requirements(requirements.decode(texts[inner], origin), origin)
    remedy = "Specify a lock or an SBOM instead of the Bento."
    raise BentoError(f"{REQUIREMENTS[1]} is missing", place=name, remedy=remedy)
