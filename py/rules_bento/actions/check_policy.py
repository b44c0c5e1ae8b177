"""Subcommands that list packages with their licenses, and check packages against a policy."""

from __future__ import annotations

import sys
from pathlib import Path

from rules_bento.arguments import Pairs, Request, Strings
from rules_bento.audit import inventory as inventories
from rules_bento.audit import licenses
from rules_bento.errors import BentoError
from rules_bento.formats import read_file
from rules_bento.formats.json import read_object


class _InventoryRequest(Request):
    base_system: Path | None = None  # packages of an existing image
    image: bool = False  # an image, which has system packages
    index: Strings  # of Debian packages in the base or in a layer
    locked: Strings  # entry of a package in the lock
    output: Path
    part: Strings  # of the archive, with the environment, if there is no lock
    wheel: Strings


def inventory(request: _InventoryRequest) -> None:
    """Write an inventory of the packages in a Bento or an image, with the licenses that wheels declare."""
    from rules_bento.archives.archive import read_requirements

    packages = inventories.from_lock(read_object(read_file(path), path) for path in request.locked)
    for path in request.part:
        packages += inventories.from_requirements(*read_requirements(Path(path)))
    if wheels := request.wheel:
        from rules_bento.images.wheels.wheel import declared_by

        declared = dict(map(declared_by, wheels))
        packages = [package._replace(license=declared.get(package.name)) for package in packages]
    system = _system_packages(request)
    known = not request.image or bool(system)
    text = inventories.dumps([*packages, *system], system_known=known)
    request.output.write_text(text, "utf-8")


def _system_packages(request: _InventoryRequest) -> list[inventories.Package]:
    from rules_bento.images.system_packages import SystemFiles, read_dpkg

    below = request.base_system
    base = SystemFiles.loads(below.read_text("utf-8")) if below else SystemFiles((), ())
    packages = [*(base.packages or ())]
    for path in request.index:
        packages += read_dpkg(read_object(read_file(path), path)["status"])
    names = ((package.name, package.version, package.source) for package in packages)
    return inventories.from_system(next(iter(base.ids), "debian"), names)


class _CheckPolicyRequest(Request):
    advisories: Pairs  # path, name in messages
    inventory: Path  # output of the subcommand `inventory`
    path: str = ""  # of the BUILD file, for --sarif
    sarif: Path | None = None  # output; with it, findings do not fail the action
    settings: Path  # JSON: the attributes of the rule
    vex: Pairs  # path, name in messages


def check_policy(request: _CheckPolicyRequest) -> None:
    """Check an inventory against a policy. Raises BentoError for violations. With `--sarif`, writes SARIF instead."""
    from rules_bento.audit import advisories, policy
    from rules_bento.audit.vex import read_vex

    settings = read_object(request.settings.read_bytes(), "the policy")
    packages, system_known = inventories.loads(request.inventory.read_bytes())
    listed = licenses.read_policy(settings.pop("allow_licenses"), settings.pop("deny_licenses"))
    vex = [each for path, name in request.vex for each in read_vex(read_file(path, name), name)]
    rules = policy.Policy(**settings, licenses=listed, vex=vex)
    places = [(Path(path), name) for path, name in request.advisories]
    names: dict[str, set[str]] = {}
    for package in packages:
        names.setdefault(package.ecosystem, set()).add(package.name)
    known = advisories.read_database(places, names) if places else None
    report = policy.evaluate(packages, known, rules, system_known=system_known)
    if request.sarif:
        from rules_bento.audit import sarif

        request.sarif.write_text(sarif.dumps(report, request.target, request.path), "utf-8")
        return
    sys.stdout.write("".join(f"{line}\n" for line in policy.summary_lines(report)))
    if report.violations:
        listing = "".join(f"  {violation}\n" for violation in report.violations)
        raise BentoError(f"the Bento violates the policy:\n{listing}{policy.REMEDY}")
