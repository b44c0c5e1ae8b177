"""Subcommands that list packages with their licenses, and check packages against a policy."""

from __future__ import annotations

import sys
from pathlib import Path

from rules_bento.arguments import Request, Strings
from rules_bento.audit import inventory as inventories
from rules_bento.audit import licenses
from rules_bento.errors import BentoError
from rules_bento.formats import read_file
from rules_bento.formats.json import read_object


class _InventoryRequest(Request):
    locked: Strings  # entry of a package in the lock
    output: Path
    part: Strings  # of the archive, with the environment, if there is no lock
    wheel: Strings


def inventory(request: _InventoryRequest) -> None:
    """Write an inventory of the Python packages in a Bento or an image, with the licenses that wheels declare."""
    from rules_bento.archives.archive import read_requirements

    packages = inventories.from_lock(read_object(read_file(path), path) for path in request.locked)
    for path in request.part:
        packages += inventories.from_requirements(*read_requirements(Path(path)))
    if wheels := request.wheel:
        from rules_bento.images.wheels.wheel import declared_by

        declared = dict(map(declared_by, wheels))
        packages = [package._replace(license=declared.get(package.name)) for package in packages]
    request.output.write_text(inventories.dumps(packages), "utf-8")


class _CheckPolicyRequest(Request):
    inventory: Path  # output of the subcommand `inventory`
    settings: Path  # JSON: the attributes of the rule


def check_policy(request: _CheckPolicyRequest) -> None:
    """Check an inventory against a policy. Raises BentoError for violations."""
    settings = read_object(request.settings.read_bytes(), "the policy")
    listed = licenses.read_policy(settings.pop("allow_licenses"), settings.pop("deny_licenses"))
    packages = inventories.loads(request.inventory.read_bytes())
    report = inventories.evaluate(packages, inventories.Policy(listed, **settings))
    sys.stdout.write("".join(f"{line}\n" for line in inventories.summary_lines(report)))
    if report.violations:
        listing = "".join(f"  {violation}\n" for violation in report.violations)
        raise BentoError(f"the Bento violates the policy:\n{listing}{inventories.REMEDY}")
