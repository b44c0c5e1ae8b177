"""Checks packages against a policy."""

from __future__ import annotations

from rules_bento.audit import licenses
from rules_bento.audit.advisories import RATINGS, Advisory, Database, highest_rating, parse_version
from rules_bento.dataclasses_lite import NamedTuple
from rules_bento.errors import BentoError
from rules_bento.packages.requirements import normalize_name
from rules_bento.typing_lite import TYPE_CHECKING, Any, Iterable, Iterator, Mapping, Sequence

if TYPE_CHECKING:
    from rules_bento.audit.inventory import Package
    from rules_bento.audit.licenses import LicensePolicy, Terms

ABOVE = "above"  # an unknown severity counts as above every maximum
REMEDY = (
    "Use unaffected versions, and packages with allowed licenses; or add a vulnerability with a reason to `allow`, "
    "and a package's actual license to `package_licenses`."
)


class Policy(NamedTuple):
    """Holds the rules of a policy for vulnerabilities and licenses."""

    max_severity: str  # the highest allowed rating of `RATINGS`
    unknown_severity: str  # the rating of a vulnerability without one: one of `RATINGS`, or `ABOVE`
    allow: Mapping[str, str]  # identifiers of advisories -> why they do no harm
    licenses: LicensePolicy
    package_licenses: Mapping[str, str]  # names of packages -> verified licenses
    require_hashes: bool


class Vulnerability(NamedTuple):
    """Describes a known vulnerability of a package, merged from records that are aliases of each other."""

    package: Package
    ids: tuple[str, ...]  # of the matching records, then of their aliases
    rating: str  # empty if unknown
    fixed: str  # the first fixed version; empty if unknown
    certain: bool  # false if no matching record can be evaluated
    summary: str
    allowed: str  # the reason of the policy; empty for none
    rejected: bool

    def __str__(self) -> str:
        text = f"{self.package}: {self.ids[0]}"
        if len(self.ids) > 1:
            text += f" ({', '.join(self.ids[1:])})"
        text += f", {self.rating or 'unknown severity'}"
        text += f", fixed in {self.fixed}" if self.fixed else ", no known fixed version"
        text += "" if self.certain else ", affected versions unknown"
        return text + _required_by(self.package) + (f": {self.summary}" if self.summary else "")


class PackageLicense(NamedTuple):
    """Describes the license of a package."""

    package: Package
    terms: Terms | None
    rejected: bool

    def __str__(self) -> str:
        return f"{self.package}: {licenses.format_terms(self.terms)}{_required_by(self.package)}"


class Report(NamedTuple):
    """Holds the result of an audit; `violations` are messages for everything that the policy rejects."""

    packages: int
    records: int  # in the database; 0 without one
    vulnerabilities: tuple[Vulnerability, ...]
    licenses: tuple[PackageLicense, ...]  # empty if there is no metadata and no license policy
    violations: tuple[str, ...]
    notes: tuple[str, ...]

    def data(self) -> dict[str, Any]:
        """Return the report as JSON."""
        return {
            "packages": self.packages,
            "records": self.records,
            "vulnerabilities": [
                {
                    "package": vulnerability.package.name,
                    "version": vulnerability.package.version,
                    "required_by": list(vulnerability.package.required_by),
                    "ids": list(vulnerability.ids),
                    "severity": vulnerability.rating or "unknown",
                    "fixed": vulnerability.fixed,
                    "certain": vulnerability.certain,
                    "summary": vulnerability.summary,
                    "allowed": vulnerability.allowed,
                    "rejected": vulnerability.rejected,
                }
                for vulnerability in self.vulnerabilities
            ],
            "licenses": [
                {
                    "package": licensed.package.name,
                    "version": licensed.package.version,
                    "license": licenses.format_terms(licensed.terms),
                    "rejected": licensed.rejected,
                }
                for licensed in self.licenses
            ],
            "violations": list(self.violations),
            "notes": list(self.notes),
        }


def check(policy: Policy) -> None:
    """Raise BentoError for an invalid policy."""
    if policy.max_severity not in RATINGS:
        raise BentoError(f"max_severity: invalid value {policy.max_severity!r}. Use one of: {', '.join(RATINGS)}.")
    if policy.unknown_severity not in (ABOVE, *RATINGS):
        choices = ", ".join((ABOVE, *RATINGS))
        raise BentoError(f"unknown_severity: invalid value {policy.unknown_severity!r}. Use one of: {choices}.")
    for identifier, reason in policy.allow.items():
        if not reason.strip():
            raise BentoError(f"allow: {identifier} has no reason. Add the reason why it is harmless.")
    for name, text in policy.package_licenses.items():
        if not licenses.parse_expression(text):
            raise BentoError(f"package_licenses: {name}: invalid SPDX expression {text!r}. Use one such as 'MIT'.")


def evaluate(packages: Iterable[Package], database: Database | None, policy: Policy) -> Report:
    """Check packages against a policy. Raises BentoError as `check` does, and without packages."""
    check(policy)
    known = sorted(set(packages))
    if not known:
        raise BentoError("no packages found. Use a package hub or a requirements file in the Bento.")
    vulnerabilities = [
        vulnerability
        for package in known
        if database
        for vulnerability in _vulnerabilities(package, database.advisories, policy)
    ]
    terms = [_package_license(package, policy) for package in known]
    violations = [
        *(f"vulnerable: {vulnerability}" for vulnerability in vulnerabilities if vulnerability.rejected),
        *(f"no version: {package}. Lock it with a package hub." for package in known if not package.version),
        *(f"license: {licensed}" for licensed in terms if licensed.rejected),
    ]
    if policy.require_hashes:
        violations += [f"no hash: {package}{_required_by(package)}" for package in known if not package.hashed]
    violations += _unused_allowances(known, vulnerabilities, database, policy)
    unknown = [str(licensed.package) for licensed in terms if licensed.terms is None]
    at_hand = policy.licenses.is_set or any(licensed.terms for licensed in terms)
    notes = [f"unknown licenses: {', '.join(unknown)}"] if unknown and at_hand else []
    return Report(
        len(known),
        database.records if database else 0,
        tuple(vulnerabilities),
        tuple(terms) if at_hand else (),
        tuple(violations),
        tuple(notes),
    )


def summary_lines(report: Report) -> Iterator[str]:
    """Yield the parts of the report that aren't violations."""
    yield f"{report.packages:,} packages were checked against {report.records:,} advisories."
    for vulnerability in report.vulnerabilities:
        if not vulnerability.rejected:
            yield f"allowed{f' ({vulnerability.allowed})' if vulnerability.allowed else ''}: {vulnerability}"
    yield from report.notes


def _vulnerabilities(package: Package, advisories: Sequence[Advisory], policy: Policy) -> Iterator[Vulnerability]:
    """Yield the vulnerabilities of a package, one for each set of aliases."""
    from packaging.version import InvalidVersion

    if not package.version:
        return
    try:
        version = parse_version(package.version)
    except InvalidVersion:
        raise BentoError(f"{package!s:.100}: invalid version (PEP 440). Lock a valid one.") from None
    about = [
        advisory for advisory in advisories if any(affected.name == package.name for affected in advisory.affected)
    ]
    for group in _group_aliases(about):
        matches = [(one, match) for one in group if (match := one.match(package.name, version))]
        if not matches:
            continue
        saying = [one.id for one, _ in matches]
        aliases = {name for one in group for name in (one.id, *one.aliases)}
        # A record without a rating can get it from an alias.
        rating = highest_rating([one.rating_of(package.name) for one, _ in matches])
        rating = rating or highest_rating([one.rating_of(package.name) for one in group])
        counted = rating or policy.unknown_severity
        rejected = counted == ABOVE or RATINGS.index(counted) > RATINGS.index(policy.max_severity)
        allowed = next((policy.allow[name] for name in sorted(aliases) if name in policy.allow), "")
        fixed = [match.fixed for _, match in matches if match.fixed]
        yield Vulnerability(
            package,
            (*saying, *sorted(aliases.difference(saying))),
            rating,
            max(fixed, key=parse_version, default=""),
            any(match.certain for _, match in matches),
            next((one.summary for one, _ in matches if one.summary), ""),
            allowed if rejected else "",
            rejected and not allowed,
        )


def _group_aliases(advisories: Sequence[Advisory]) -> list[list[Advisory]]:
    """Return the records grouped by vulnerability, that is, by common aliases."""
    groups: list[tuple[set[str], list[Advisory]]] = []
    for advisory in advisories:
        names, members = {advisory.id, *advisory.aliases}, [advisory]
        apart = []
        for other in groups:
            if other[0] & names:
                names |= other[0]
                members = other[1] + members
            else:
                apart.append(other)
        groups = [*apart, (names, members)]
    return sorted((members for _, members in groups), key=lambda members: members[0].id)


def _package_license(package: Package, policy: Policy) -> PackageLicense:
    override = {normalize_name(name): text for name, text in policy.package_licenses.items()}.get(package.name)
    declared = licenses.terms_from_metadata(package.license) if package.license else None
    terms = licenses.parse_expression(override) if override else declared
    return PackageLicense(package, terms, policy.licenses.is_set and not policy.licenses.allows(terms))


def _unused_allowances(
    packages: Sequence[Package], vulnerabilities: Sequence[Vulnerability], database: Database | None, policy: Policy
) -> Iterator[str]:
    """Yield the entries of a policy that match no package."""
    used = {name for vulnerability in vulnerabilities if vulnerability.allowed for name in vulnerability.ids}
    for identifier in policy.allow:
        if identifier not in used:
            why = "no package has it, or max_severity allows it" if database else "there are no advisories"
            yield f"allow: {identifier}: {why}. Remove the entry."
    names = {package.name for package in packages}
    for name in policy.package_licenses:
        if normalize_name(name) not in names:
            yield f"package_licenses: {name}: isn't among the packages. Remove the entry."


def _required_by(package: Package) -> str:
    return f" (required by {', '.join(package.required_by)})" if package.required_by else ""
