"""Holds packages against advisories and a policy, without a network; `bazel test` starts it."""

from __future__ import annotations

import sys
from pathlib import Path

from rules_bento.audit import database, inventory, licenses, policy
from rules_bento.errors import BentoError
from rules_bento.formats.json import read_object

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_bento.arguments import Arguments

FLAGS = {
    "--inventory": 1,  # what the verb `inventory` wrote
    "--settings": 1,  # JSON: the attributes of the rule
    "--target": 1,
}


def run(arguments: Arguments) -> None:
    """Say what was found. Raises BentoError for what the policy refuses."""
    settings = read_object(Path(arguments.required("--settings")).read_bytes(), "the policy")
    packages = inventory.loads(Path(arguments.required("--inventory")).read_bytes())
    rules = policy.Policy(
        settings["max_severity"],
        settings["unknown_severity"],
        settings["allow"],
        licenses.read_taken(settings["allow_licenses"], settings["deny_licenses"]),
        settings["package_licenses"],
        settings["require_hashes"],
    )
    places = [(Path(path), name) for path, name in settings["advisories"]]
    report = policy.judge(packages, database.read(places, {one.name for one in packages}) if places else None, rules)
    sys.stdout.write("".join(f"{line}\n" for line in policy.lines(report)))
    if report.refusals:
        listing = "".join(f"  {refusal}\n" for refusal in report.refusals)
        raise BentoError(f"the policy refuses:\n{listing}{policy.WAY_OUT}")
