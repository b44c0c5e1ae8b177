"""Lists packages with their licenses, and checks them against a policy."""

from __future__ import annotations

import sys
from pathlib import Path

from rules_bento.arguments import Arguments, Subcommand
from rules_bento.audit import inventory as inventories
from rules_bento.audit import licenses
from rules_bento.errors import BentoError
from rules_bento.formats import read_file
from rules_bento.formats.json import read_object


@Subcommand(
    {
        "--locked": 1,  # entry of a package in the lock
        "--output": 1,
        "--part": 1,  # of the archive, with the environment, if there is no lock
        "--target": 1,
        "--wheel": 1,
    }
)
def inventory(arguments: Arguments) -> None:
    """Write the packages of a Bento or an image, with the licenses that their wheels declare."""
    from rules_bento.archives.archive import read_requirements

    packages = inventories.from_lock(read_object(read_file(path), path) for path in arguments.repeated("--locked"))
    for path in arguments.repeated("--part"):
        packages += inventories.from_requirements(*read_requirements(Path(path)))
    if wheels := arguments.repeated("--wheel"):
        from rules_bento.images.wheels.wheel import stated_by

        packages = inventories.with_licenses(packages, dict(map(stated_by, wheels)))
    Path(arguments.required("--output")).write_text(inventories.dumps(packages), "utf-8")


@Subcommand(
    {
        "--inventory": 1,  # output of the subcommand `inventory`
        "--settings": 1,  # JSON: the attributes of the rule
        "--target": 1,
    }
)
def check_policy(arguments: Arguments) -> None:
    """Print the findings. Raises BentoError for packages that the policy rejects."""
    from rules_bento.audit import advisories, policy

    settings = read_object(Path(arguments.required("--settings")).read_bytes(), "the policy")
    packages = inventories.loads(Path(arguments.required("--inventory")).read_bytes())
    rules = policy.Policy(
        settings["max_severity"],
        settings["unknown_severity"],
        settings["allow"],
        licenses.read_policy(settings["allow_licenses"], settings["deny_licenses"]),
        settings["package_licenses"],
        settings["require_hashes"],
    )
    places = [(Path(path), name) for path, name in settings["advisories"]]
    known = advisories.read_database(places, {one.name for one in packages}) if places else None
    report = policy.evaluate(packages, known, rules)
    sys.stdout.write("".join(f"{line}\n" for line in policy.summary_lines(report)))
    if report.violations:
        listing = "".join(f"  {violation}\n" for violation in report.violations)
        raise BentoError(f"the policy rejects:\n{listing}{policy.REMEDY}")
