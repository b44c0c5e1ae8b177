"""Evaluates packages against a policy for vulnerabilities, licenses, and hashes."""

from __future__ import annotations

from rules_bento.audit import licenses
from rules_bento.audit.advisories import DATE, RATINGS, Advisory, Database, highest_rating
from rules_bento.audit.versions import DEBIAN, PYPI, parse
from rules_bento.audit.vex import last_statement
from rules_bento.dataclasses_lite import NamedTuple
from rules_bento.errors import BentoError
from rules_bento.packages.requirements import normalize_name
from rules_bento.typing_lite import TYPE_CHECKING, Any, Iterable, Iterator, Mapping, Sequence

if TYPE_CHECKING:
    from rules_bento.audit.inventory import Package
    from rules_bento.audit.licenses import LicensePolicy, Terms
    from rules_bento.audit.vex import Statement

_OWN = "DEBIAN-"  # prefix of Debian's records about one CVE
ABOVE = "above"  # an unknown severity counts as above every maximum
REMEDY = (
    "Use unaffected versions, and packages with allowed licenses; or add a vulnerability with a reason to `allow`, "
    "and a package's actual license to `package_licenses`."
)


class Policy(NamedTuple):
    """A policy for vulnerabilities, licenses, and hashes."""

    max_severity: str  # the highest allowed rating of `RATINGS`
    unknown_severity: str  # the rating of a vulnerability without one: one of `RATINGS`, or `ABOVE`
    allow: Mapping[str, str]  # identifiers of advisories -> why they do no harm
    licenses: LicensePolicy
    package_licenses: Mapping[str, str]  # names of packages -> verified licenses
    require_hashes: bool
    vex: Sequence[Statement] = ()
    date: str = ""  # YYYY-MM-DD, compared with the expiry dates of `vex`; empty for the database's


class Vulnerability(NamedTuple):
    """A known vulnerability of a package. Several records can describe the same vulnerability under aliases."""

    package: Package
    ids: tuple[str, ...]  # of the matching records, then of their aliases
    rating: str  # empty if unknown
    fixed: str  # the first fixed version; empty if unknown
    certain: bool  # false if no matching record can be evaluated
    summary: str
    allowed: str  # the reason of the policy; empty for none
    rejected: bool
    remark: str = ""  # why a VEX statement doesn't allow it

    def __str__(self) -> str:
        text = f"{self.package}: {self.ids[0]}"
        if len(self.ids) > 1:
            text += f" ({', '.join(self.ids[1:])})"
        text += f", {self.rating or 'unknown severity'}"
        text += f", fixed in {self.fixed}" if self.fixed else ", no known fixed version"
        text += "" if self.certain else ", affected versions unknown"
        text += self.package.note() + (f": {self.summary}" if self.summary else "")
        return f"{text} [{self.remark}]" if self.remark else text


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
    records: int  # in the database; 0 without one
    vulnerabilities: tuple[Vulnerability, ...]
    licenses: tuple[PackageLicense, ...]  # empty if there is no metadata and no license policy
    violations: tuple[str, ...]
    notes: tuple[str, ...]

    def data(self) -> dict[str, Any]:
        """Return the report as a JSON object."""

        def described(item: Vulnerability | PackageLicense, **fields: object) -> dict[str, object]:
            return {"package": item.package.name, "version": item.package.version, **fields}

        return {
            "packages": self.packages,
            "records": self.records,
            "vulnerabilities": [
                described(each, required_by=list(each.package.required_by), ids=list(each.ids))
                | {"severity": each.rating or "unknown", **dict(zip(each._fields[3:], each[3:], strict=True))}
                for each in self.vulnerabilities
            ],
            "licenses": [
                described(each, license=licenses.format_terms(each.terms), rejected=each.rejected)
                for each in self.licenses
            ],
            "violations": list(self.violations),
            "notes": list(self.notes),
        }


def check(policy: Policy) -> None:
    """Raise BentoError if a value in a policy is invalid."""
    for name, choices in (("max_severity", RATINGS), ("unknown_severity", (ABOVE, *RATINGS))):
        if (value := getattr(policy, name)) not in choices:
            raise BentoError(f"{name}: invalid value {value!r}. Valid values: {', '.join(choices)}.")
    for identifier, reason in policy.allow.items():
        if not reason.strip():
            raise BentoError(f"allow: no reason for {identifier}. Specify why the vulnerability is harmless.")
    if policy.date and not DATE.fullmatch(policy.date):
        raise BentoError(f"date: expected YYYY-MM-DD, got {policy.date!r}.")
    for name, text in policy.package_licenses.items():
        if not licenses.parse_expression(text):
            raise BentoError(
                f"package_licenses: {name}: invalid SPDX expression {text!r}. Use an expression such as 'MIT'."
            )


def evaluate(
    packages: Iterable[Package], database: Database | None, policy: Policy, *, system_known: bool = True
) -> Report:
    """Evaluate packages against a policy. Raises BentoError if the policy is invalid or no package is from PyPI.

    If `database` is None, finds no vulnerabilities. `system_known` is false for an image whose system packages are
    unknown. If the policy has VEX statements, the policy or the database must have a date.
    """
    check(policy)
    known = sorted(set(packages))
    if not any(package.ecosystem == PYPI for package in known):
        raise BentoError(
            "requirements: the Bento lists no packages. Add packages from a package hub, or a requirements file."
        )
    if policy.vex and not (policy.date or (database and database.date)):
        raise BentoError(
            "vex: the advisories have no modification date, so the evaluation date is unknown. Set date to a date "
            'such as "2026-01-31".'
        )
    vulnerabilities = [
        vulnerability for package in known if database for vulnerability in _vulnerabilities(package, database, policy)
    ]
    terms = [_package_license(package, policy) for package in known if package.ecosystem == PYPI]
    violations = [
        *(f"vulnerable: {vulnerability}" for vulnerability in vulnerabilities if vulnerability.rejected),
        *(f"no version: {package}. Lock the package with a package hub." for package in known if not package.version),
        *(f"license: {licensed}" for licensed in terms if licensed.rejected),
    ]
    if policy.require_hashes:
        violations += [f"no hash: {package}{package.note()}" for package in known if not package.hashed]
    violations += _unused_allowances(known, vulnerabilities, database, policy)
    unchecked = list(_unchecked_systems(known, database, system_known=system_known)) if database else []
    if database and any(name.startswith(DEBIAN) for name in database.ecosystems):
        violations += [f"not checked: {problem}" for problem in unchecked]
        unchecked = []
    unknown = [str(licensed.package) for licensed in terms if licensed.terms is None]
    at_hand = policy.licenses.is_set or any(licensed.terms for licensed in terms)
    notes = [f"unknown licenses: {', '.join(unknown)}"] if unknown and at_hand else []
    notes += [f"not checked: {problem}" for problem in unchecked]
    return Report(
        len(known),
        database.records if database else 0,
        tuple(vulnerabilities),
        tuple(terms) if at_hand else (),
        tuple(violations),
        tuple(notes),
    )


def summary_lines(report: Report) -> Iterator[str]:
    """Yield the summary lines of a report: totals, allowed vulnerabilities, and notes."""
    yield f"{report.packages:,} packages were checked against {report.records:,} advisories."
    for vulnerability in report.vulnerabilities:
        if not vulnerability.rejected:
            yield f"allowed{f' ({vulnerability.allowed})' if vulnerability.allowed else ''}: {vulnerability}"
    yield from report.notes


def _unchecked_systems(packages: Sequence[Package], database: Database, *, system_known: bool) -> Iterator[str]:
    """Yield a message if system packages are unknown, and a message for each distribution without advisories."""
    if not system_known:
        yield "the system packages of the image are unknown. Use a base with fetched layers."
    others = [package.ecosystem for package in packages if package.ecosystem != PYPI]
    for ecosystem in sorted(set(others).difference(database.ecosystems)):
        yield (
            f"{others.count(ecosystem)} packages of {ecosystem}. Add advisories of the image's Debian release, for "
            "example Debian/all.zip of osv.dev."
        )


def _vulnerabilities(package: Package, database: Database, policy: Policy) -> Iterator[Vulnerability]:
    """Yield the vulnerabilities of a package. Merges aliases. Raises BentoError for an invalid package version."""
    name, ecosystem = package.name, package.ecosystem
    if not package.version or not (ecosystem == PYPI or ecosystem.startswith(DEBIAN)):
        return
    try:
        version = parse(package.version, ecosystem)
    except ValueError:
        kind = "PEP 440" if ecosystem == PYPI else DEBIAN
        raise BentoError(f"{package!s:.100}: expected a {kind} version, got {package.version!r:.100}.") from None
    about = [
        advisory
        for advisory in database.advisories
        if any(affected.is_about(name, ecosystem) for affected in advisory.affected)
    ]
    for group in _group_aliases(about):
        matches = [(one, match) for one in group if (match := one.match(name, version, ecosystem))]
        if not matches:
            continue
        saying = [one.id for one, _ in matches]
        aliases = {alias for one in group for alias in (one.id, *one.aliases, *one.upstream)}
        # A record without a rating can get it from an alias.
        rating = highest_rating([one.rating_of(name, ecosystem) for one, _ in matches])
        rating = rating or highest_rating([one.rating_of(name, ecosystem) for one in group])
        counted = rating or policy.unknown_severity
        rejected = counted == ABOVE or RATINGS.index(counted) > RATINGS.index(policy.max_severity)
        allowed, remark = _acceptance(package, group, policy, policy.date or database.date)
        fixed = [match.fixed for _, match in matches if match.fixed]
        yield Vulnerability(
            package,
            (*saying, *sorted(aliases.difference(saying))),
            rating,
            max(fixed, key=lambda text: parse(text, ecosystem), default=""),
            any(match.certain for _, match in matches),
            next((one.summary for one, _ in matches if one.summary), ""),
            allowed if rejected else "",
            rejected and not allowed,
            "" if allowed else remark,
        )


def _acceptance(package: Package, group: Sequence[Advisory], policy: Policy, date: str) -> tuple[str, str]:
    """Return the reason for allowing a vulnerability, and the reason for ignoring a VEX statement.

    The first reason is "" if the vulnerability isn't allowed. The second reason is "" if no VEX statement is ignored.
    An advisory about several vulnerabilities is allowed if all these vulnerabilities are allowed.
    """
    names = {name for one in group for name in _names(one)}
    reason, remark = _acceptance_by_name(package, names, policy, date)
    several = [each for one in group for each in _upstream(one) if not names & each]
    if reason or not several:
        return reason, remark
    answers = [_acceptance_by_name(package, each, policy, date) for each in several]
    remark = next((text for _, text in answers if text), remark)
    return "; ".join(dict.fromkeys(why for why, _ in answers)) if all(why for why, _ in answers) else "", remark


def _acceptance_by_name(package: Package, names: set[str], policy: Policy, date: str) -> tuple[str, str]:
    if reason := next((policy.allow[name] for name in sorted(names) if name in policy.allow), ""):
        return reason, ""
    statement = last_statement(policy.vex, package, names)
    problem = statement.problem(date) if statement else ""
    if statement and not problem:
        return f"{statement.reason}, until {statement.expires}", ""
    return "", f"{statement.origin}: {problem}" if statement else ""


def _upstream(advisory: Advisory) -> list[set[str]]:
    """For each upstream vulnerability of an advisory, return a set: the name with and without the prefix `DEBIAN-`."""
    stems = dict.fromkeys(name.removeprefix(_OWN) for name in advisory.upstream)
    return [{stem, _OWN + stem} for stem in stems]


def _names(advisory: Advisory) -> set[str]:
    """Return the names of an advisory. If only one upstream vulnerability exists, adds its names."""
    upstream = _upstream(advisory)
    return {advisory.id, *advisory.aliases, *(upstream[0] if len(upstream) == 1 else ())}


def _group_aliases(advisories: Sequence[Advisory]) -> list[list[Advisory]]:
    """Group advisories that have a name in common, so that each group is about one vulnerability."""
    groups: list[tuple[set[str], list[Advisory]]] = []
    for advisory in advisories:
        names = _names(advisory)
        same = [group for group in groups if group[0] & names]
        members = [*(member for _, others in reversed(same) for member in others), advisory]
        apart = [group for group in groups if not group[0] & names]
        groups = [*apart, (names.union(*(others for others, _ in same)), members)]
    return sorted((members for _, members in groups), key=lambda members: members[0].id)


def _package_license(package: Package, policy: Policy) -> PackageLicense:
    override = {normalize_name(name): text for name, text in policy.package_licenses.items()}.get(package.name)
    declared = licenses.terms_from_metadata(package.license) if package.license else None
    terms = licenses.parse_expression(override) if override else declared
    return PackageLicense(package, terms, policy.licenses.is_set and not policy.licenses.allows(terms))


def _unused_allowances(
    packages: Sequence[Package], vulnerabilities: Sequence[Vulnerability], database: Database | None, policy: Policy
) -> Iterator[str]:
    """Yield a message for each entry of the policy that matches no package or vulnerability."""
    used = {name for vulnerability in vulnerabilities if vulnerability.allowed for name in vulnerability.ids}
    for identifier in policy.allow:
        if identifier not in used:
            why = (
                "no package has this vulnerability, or max_severity allows the vulnerability"
                if database
                else "there are no advisories"
            )
            yield f"allow: {identifier}: {why}. Remove the entry."
    names = {package.name for package in packages}
    for name in policy.package_licenses:
        if normalize_name(name) not in names:
            yield f"package_licenses: {name}: the Bento doesn't contain the package. Remove the entry."
