"""Evaluates packages against a policy for licenses and hashes."""

from __future__ import annotations

from rules_bento.audit import licenses
from rules_bento.dataclasses_lite import NamedTuple
from rules_bento.errors import BentoError
from rules_bento.packages.requirements import normalize_name
from rules_bento.typing_lite import TYPE_CHECKING, Any, Iterable, Iterator, Mapping

if TYPE_CHECKING:
    from rules_bento.audit.inventory import Package
    from rules_bento.audit.licenses import LicensePolicy, Terms

REMEDY = (
    "Use packages with allowed licenses and with hashes in the lock; or add a package's actual license to "
    "`package_licenses`."
)


class Policy(NamedTuple):
    """A policy for licenses and hashes."""

    licenses: LicensePolicy
    package_licenses: Mapping[str, str]  # names of packages -> verified licenses
    require_hashes: bool


class PackageLicense(NamedTuple):
    """The license terms of a package (None if unknown), and whether the policy rejects the license."""

    package: Package
    terms: Terms | None
    rejected: bool

    def __str__(self) -> str:
        return f"{self.package}: {licenses.format_terms(self.terms)}{self.package.note()}"


class Report(NamedTuple):
    """The result of an audit. `violations` contains a message for each rejected item."""

    packages: int
    licenses: tuple[PackageLicense, ...]  # empty if there is no metadata and no license policy
    violations: tuple[str, ...]
    notes: tuple[str, ...]

    def data(self) -> dict[str, Any]:
        """Return the report as a JSON object."""
        return {
            "packages": self.packages,
            "licenses": [
                {
                    "package": each.package.name,
                    "version": each.package.version,
                    "license": licenses.format_terms(each.terms),
                    "rejected": each.rejected,
                }
                for each in self.licenses
            ],
            "violations": list(self.violations),
            "notes": list(self.notes),
        }


def check(policy: Policy) -> None:
    """Raise BentoError if a value in a policy is invalid."""
    for name, text in policy.package_licenses.items():
        if not licenses.parse_expression(text):
            remedy = "Use an expression such as 'MIT'."
            raise BentoError(f"invalid SPDX expression {text!r}", place=f"package_licenses: {name}", remedy=remedy)


def evaluate(packages: Iterable[Package], policy: Policy) -> Report:
    """Evaluate packages against a policy. Raises BentoError if the policy is invalid, or `packages` is empty."""
    check(policy)
    known = sorted(set(packages))
    if not known:
        remedy = "Add packages from a package hub, or a requirements file."
        raise BentoError("the Bento lists no packages", place="requirements", remedy=remedy)
    terms = [_package_license(package, policy) for package in known]
    violations = [
        *(f"no version: {package}. Lock the package with a package hub." for package in known if not package.version),
        *(f"license: {licensed}" for licensed in terms if licensed.rejected),
    ]
    if policy.require_hashes:
        violations += [f"no hash: {package}{package.note()}" for package in known if not package.hashed]
    names = {package.name for package in known}
    violations += [
        f"package_licenses: {name}: the Bento doesn't contain the package. Remove the entry."
        for name in policy.package_licenses
        if normalize_name(name) not in names
    ]
    unknown = [str(licensed.package) for licensed in terms if licensed.terms is None]
    at_hand = policy.licenses.is_set or any(licensed.terms for licensed in terms)
    notes = [f"unknown licenses: {', '.join(unknown)}"] if unknown and at_hand else []
    return Report(len(known), tuple(terms) if at_hand else (), tuple(violations), tuple(notes))


def summary_lines(report: Report) -> Iterator[str]:
    """Yield the summary lines of a report: the number of packages, and notes."""
    yield f"{report.packages:,} package{'' if report.packages == 1 else 's'} checked."
    yield from report.notes


def _package_license(package: Package, policy: Policy) -> PackageLicense:
    override = {normalize_name(name): text for name, text in policy.package_licenses.items()}.get(package.name)
    declared = licenses.terms_from_metadata(package.license) if package.license else None
    terms = licenses.parse_expression(override) if override else declared
    return PackageLicense(package, terms, policy.licenses.is_set and not policy.licenses.allows(terms))
