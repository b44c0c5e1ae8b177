"""Subcommands that list packages with their licenses, and check packages against a policy."""

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
        "--base-system": 1,  # packages of an existing image
        "--image": 0,  # an image, which has system packages
        "--index": 1,  # of Debian packages in the base or in a layer
        "--locked": 1,  # entry of a package in the lock
        "--output": 1,
        "--part": 1,  # of the archive, with the environment, if there is no lock
        "--wheel": 1,
    }
)
def inventory(arguments: Arguments) -> None:
    """Write an inventory of the packages in a Bento or an image, with the licenses that wheels declare."""
    from rules_bento.archives.archive import read_requirements

    packages = inventories.from_lock(read_object(read_file(path), path) for path in arguments.repeated("--locked"))
    for path in arguments.repeated("--part"):
        packages += inventories.from_requirements(*read_requirements(Path(path)))
    if wheels := arguments.repeated("--wheel"):
        from rules_bento.images.wheels.wheel import declared_by

        declared = dict(map(declared_by, wheels))
        packages = [package._replace(license=declared.get(package.name)) for package in packages]
    system = _system_packages(arguments)
    known = not arguments.has("--image") or bool(system)
    text = inventories.dumps([*packages, *system], system_known=known)
    Path(arguments.required("--output")).write_text(text, "utf-8")


def _system_packages(arguments: Arguments) -> list[inventories.Package]:
    from rules_bento.images.system_packages import SystemFiles, read_dpkg

    below = arguments.optional("--base-system")
    base = SystemFiles.loads(Path(below).read_text("utf-8")) if below else SystemFiles((), ())
    packages = [*(base.packages or ())]
    for path in arguments.repeated("--index"):
        packages += read_dpkg(read_object(read_file(path), path)["status"])
    names = ((package.name, package.version, package.source) for package in packages)
    return inventories.from_system(next(iter(base.ids), "debian"), names)


@Subcommand(
    {
        "--advisories": 2,  # path, name in messages
        "--inventory": 1,  # output of the subcommand `inventory`
        "--path": 1,  # of the BUILD file, for --sarif
        "--sarif": 1,  # output; findings are no error
        "--settings": 1,  # JSON: the attributes of the rule
        "--vex": 2,  # path, name in messages
    }
)
def check_policy(arguments: Arguments) -> None:
    """Check an inventory against a policy. Raises BentoError for violations. With `--sarif`, writes SARIF instead."""
    from rules_bento.audit import advisories, policy
    from rules_bento.audit.vex import read_vex

    settings = read_object(Path(arguments.required("--settings")).read_bytes(), "the policy")
    packages, system_known = inventories.loads(Path(arguments.required("--inventory")).read_bytes())
    listed = licenses.read_policy(settings.pop("allow_licenses"), settings.pop("deny_licenses"))
    vex = [each for path, name in arguments.tuples("--vex") for each in read_vex(read_file(path, name), name)]
    rules = policy.Policy(**settings, licenses=listed, vex=vex)
    places = [(Path(path), name) for path, name in arguments.tuples("--advisories")]
    names: dict[str, set[str]] = {}
    for package in packages:
        names.setdefault(package.ecosystem, set()).add(package.name)
    known = advisories.read_database(places, names) if places else None
    report = policy.evaluate(packages, known, rules, system_known=system_known)
    if output := arguments.optional("--sarif"):
        from rules_bento.audit import sarif

        text = sarif.dumps(report, arguments.required("--target"), arguments.required("--path"))
        Path(output).write_text(text, "utf-8")
        return
    sys.stdout.write("".join(f"{line}\n" for line in policy.summary_lines(report)))
    if report.violations:
        listing = "".join(f"  {violation}\n" for violation in report.violations)
        raise BentoError(f"the Bento violates the policy:\n{listing}{policy.REMEDY}")
