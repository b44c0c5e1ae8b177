"""Implements `bento audit`, which checks packages against advisories and a policy."""

from __future__ import annotations

from pathlib import Path

from rules_bento.errors import BentoError
from rules_bento.typing_lite import TYPE_CHECKING

from bento_cli.cli import arguments, show, status

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from rules_bento.audit.inventory import Package
    from rules_bento.bento.kinds import Kind

    from bento_cli.library import Store


def add_audit_arguments(parser: ArgumentParser, kind: Kind) -> None:
    parser.add_argument(
        "tag",
        metavar="TAG",
        help="Check this Bento (tag or archive), lock (.json, uv.lock, pylock.toml, or .txt), or SBOM (.json, or - for "
        "standard input)",
    )
    arguments.add_repeatable(
        parser,
        "--advisories",
        metavar="PATH",
        help="Read OSV advisories from this file, zip archive, or directory",
        type=Path,
    )
    parser.add_argument(
        "--max-severity",
        default="none",
        help="Reject packages with a vulnerability above this severity: none, low, medium, high, or critical "
        "(default: none)",
    )
    parser.add_argument(
        "--unknown-severity",
        default="above",
        help="Set the severity of unrated vulnerabilities: none, low, medium, high, critical, or 'above', which "
        "exceeds every --max-severity (default: above)",
    )
    arguments.add_repeatable(
        parser,
        "--allow",
        metavar="ID=REASON",
        help="Allow the vulnerability with this ID, and specify why (example: CVE-2024-1234=unreachable)",
    )
    arguments.add_repeatable(
        parser,
        "--allow-license",
        metavar="SPDX",
        help="Allow only packages with a license that this option specifies, such as MIT",
    )
    arguments.add_repeatable(
        parser, "--deny-license", metavar="SPDX", help="Reject packages with this license, such as AGPL-3.0-only"
    )
    arguments.add_repeatable(
        parser, "--license", metavar="NAME=SPDX", help="Override the license of a package (example: numpy=BSD-3-Clause)"
    )
    parser.add_argument(
        "--wheels", metavar="DIRECTORY", type=Path, help="Read the packages' licenses from the wheels in this directory"
    )
    arguments.add_flag(parser, "--require-hashes", help="Reject packages that aren't pinned with a hash")
    show.add_output(parser, "text", "json", "yaml")
    parser.epilog = (
        "The command makes no network requests, so the result depends on the age of the advisories. The command checks "
        f"only packages from PyPI. The exit code is {status.FOUND} if a package is rejected."
    )


def run_audit(options: Namespace, store: Store, kind: Kind) -> int:
    from rules_bento.audit import licenses, policy
    from rules_bento.audit.advisories import read_database
    from rules_bento.audit.versions import PYPI
    from rules_bento.images.wheels.wheel import declared_by

    rules = policy.Policy(
        options.max_severity,
        options.unknown_severity,
        arguments.pairs(options.allow, "--allow", "ID=REASON"),
        licenses.read_policy(options.allow_license, options.deny_license),
        arguments.pairs(options.license, "--license", "NAME=SPDX"),
        options.require_hashes,
    )
    if not (options.advisories or rules.licenses.is_set or options.wheels):
        raise BentoError("No checks are selected. Add --advisories, --allow-license, --deny-license, or --wheels.")
    policy.check(rules)
    packages = _packages(options.tag, store, kind)
    if options.wheels:
        wheels = sorted(options.wheels.glob("*.whl"))
        if not wheels:
            raise BentoError(
                f"--wheels: {options.wheels} contains no wheels. Specify a directory that contains .whl files."
            )
        declared = dict(map(declared_by, wheels))
        packages = [package._replace(license=declared.get(package.name)) for package in packages]
    advisories = [(path, str(path)) for path in options.advisories]
    known = read_database(advisories, {PYPI: {package.name for package in packages}}) if advisories else None
    report = policy.evaluate(packages, known, rules)
    if not show.data(report.data(), options.output):
        for line in policy.summary_lines(report):
            show.out(show.plain(line))
        for violation in report.violations:
            show.out(f"{show.bad('rejected')}  {show.plain(violation)}")
    return status.FOUND if report.violations else status.OK


def _packages(text: str, store: Store, kind: Kind) -> list[Package]:
    """Return the packages in a Bento, a lock, or an SBOM. Raises BentoError if the packages can't be determined."""
    from rules_bento.audit import inventory
    from rules_bento.formats import read_file
    from rules_bento.packages import lock, requirements

    from bento_cli.library import is_archive

    if text == "-":
        return inventory.from_sbom(read_file(arguments.input_path(text)), "standard input")
    path = is_archive(text)
    if not path:
        return _of_bento(store.section(kind).get(text).path, text)
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
                raise BentoError(f"{name}: {item.path} exceeds {MAX_BYTES} bytes. Specify a lock or an SBOM instead.")
            texts[item.path] = b"".join(contents)
    for inner in REQUIREMENTS:
        if texts.get(inner):
            origin = f"{name}/{inner}"
            return inventory.from_requirements(requirements.decode(texts[inner], origin), origin)
    raise BentoError(f"{name}: {REQUIREMENTS[1]} is missing. Specify a lock or an SBOM instead of the Bento.")
