"""Checks a set of packages against a policy."""

from __future__ import annotations

from rules_bento.audit import licenses
from rules_bento.audit.severity import RATINGS, highest
from rules_bento.dataclasses_lite import NamedTuple
from rules_bento.errors import BentoError
from rules_bento.packages.requirements import normalize_name
from rules_bento.typing_lite import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from rules_bento.audit.advisories import Advisory
    from rules_bento.audit.database import Database
    from rules_bento.audit.inventory import Package
    from rules_bento.audit.licenses import Taken, Terms

ABOVE = "above"
"""The rating of what has none: above every maximum."""

WAY_OUT = (
    "Take versions that are not affected, and packages of other licences; or say in `allow` why a vulnerability does "
    "no harm, and in `package_licenses` what a package's licence is."
)


class Policy(NamedTuple):
    """Holds the rules of a policy: which vulnerabilities and licences it accepts."""

    max_severity: str  # the highest that is taken: one of `RATINGS`
    unknown_severity: str  # what counts for a vulnerability without a rating: one of `RATINGS`, or `ABOVE`
    allow: Mapping[str, str]  # identifiers of advisories to why they do no harm
    licenses: Taken
    stated_licenses: Mapping[str, str]  # names of packages to what somebody has found out of their licence
    require_hashes: bool


class Vulnerability(NamedTuple):
    """Describes a known vulnerability of a package; records that are aliases of each other are one."""

    package: Package
    ids: tuple[str, ...]  # of the records that say it; then of their aliases
    rating: str  # empty where none is stated
    fixed: str  # the version that is not affected; empty where none is known
    certain: bool  # else no record says which versions are affected in a way that can be judged
    summary: str
    allowed: str  # why it does no harm; empty where nobody says so
    refused: bool

    def __str__(self) -> str:
        text = f"{self.package}: {self.ids[0]}"
        if len(self.ids) > 1:
            text += f" ({', '.join(self.ids[1:])})"
        text += f", {self.rating or 'unknown severity'}"
        text += f", fixed in {self.fixed}" if self.fixed else ", no version is known that mends it"
        text += "" if self.certain else ", says not which versions in a way that can be judged"
        return text + _asked_by(self.package) + (f": {self.summary}" if self.summary else "")


class Licensed(NamedTuple):
    """The licence of a package."""

    package: Package
    terms: Terms | None
    refused: bool

    def __str__(self) -> str:
        return f"{self.package}: {licenses.shown(self.terms)}{_asked_by(self.package)}"


class Report(NamedTuple):
    """Holds what is known of packages; `refusals` repeats what the policy does not accept."""

    packages: int
    records: int  # of the database; 0 without one
    vulnerabilities: tuple[Vulnerability, ...]
    licenses: tuple[Licensed, ...]  # empty where no metadata is at hand and nobody asks
    refusals: tuple[str, ...]
    notes: tuple[str, ...]

    def data(self) -> dict[str, Any]:
        """Return the report for programs."""
        return {
            "packages": self.packages,
            "records": self.records,
            "vulnerabilities": [
                {
                    "package": vulnerability.package.name,
                    "version": vulnerability.package.version,
                    "asked_by": list(vulnerability.package.asked_by),
                    "ids": list(vulnerability.ids),
                    "severity": vulnerability.rating or "unknown",
                    "fixed": vulnerability.fixed,
                    "certain": vulnerability.certain,
                    "summary": vulnerability.summary,
                    "allowed": vulnerability.allowed,
                    "refused": vulnerability.refused,
                }
                for vulnerability in self.vulnerabilities
            ],
            "licenses": [
                {
                    "package": licensed.package.name,
                    "version": licensed.package.version,
                    "license": licenses.shown(licensed.terms),
                    "refused": licensed.refused,
                }
                for licensed in self.licenses
            ],
            "refusals": list(self.refusals),
            "notes": list(self.notes),
        }


def check(policy: Policy) -> None:
    """Raise BentoError for a policy whose values mean nothing."""
    if policy.max_severity not in RATINGS:
        raise BentoError(f"max_severity: {policy.max_severity!r} is none of {', '.join(RATINGS)}. Choose one.")
    if policy.unknown_severity not in (ABOVE, *RATINGS):
        choices = ", ".join((ABOVE, *RATINGS))
        raise BentoError(f"unknown_severity: {policy.unknown_severity!r} is none of {choices}. Choose one.")
    for identifier, reason in policy.allow.items():
        if not reason.strip():
            raise BentoError(f"allow: {identifier} has no reason. Write why it does no harm.")
    for name, text in policy.stated_licenses.items():
        if not licenses.parsed(text):
            raise BentoError(
                f"package_licenses: {text!r}, of {name}, is no expression of SPDX. Write one, such as 'MIT'."
            )


def judge(packages: Iterable[Package], database: Database | None, policy: Policy) -> Report:
    """Return what is known of packages, and what of it a policy refuses. Raises BentoError as `check` does."""
    check(policy)
    known = sorted(set(packages))
    if not known:
        raise BentoError(
            "no packages are known that could be held against anything: take them from a lock, by a hub or a "
            "requirements file of the Bento."
        )
    vulnerabilities = [
        vulnerability
        for package in known
        if database
        for vulnerability in _of_package(package, database.advisories, policy)
    ]
    terms = [_licensed(package, policy) for package in known]
    refusals = [
        *(f"vulnerable: {vulnerability}" for vulnerability in vulnerabilities if vulnerability.refused),
        *(
            f"no version: {package}: is stated without a version. Lock it, by a hub."
            for package in known
            if not package.version
        ),
        *(f"license: {licensed}" for licensed in terms if licensed.refused),
    ]
    if policy.require_hashes:
        refusals += [f"no hash: {package}{_asked_by(package)}" for package in known if not package.hashed]
    refusals += _useless(known, vulnerabilities, database, policy)
    unknown = [str(licensed.package) for licensed in terms if licensed.terms is None]
    at_hand = policy.licenses.judges or any(licensed.terms for licensed in terms)
    notes = [f"licenses: not known of {', '.join(unknown)}"] if unknown and at_hand else []
    return Report(
        len(known),
        database.records if database else 0,
        tuple(vulnerabilities),
        tuple(terms) if at_hand else (),
        tuple(refusals),
        tuple(notes),
    )


def lines(report: Report) -> Iterator[str]:
    """Yield what people should know beside the refusals."""
    yield f"{report.packages:,} packages were held against {report.records:,} records of vulnerabilities."
    for vulnerability in report.vulnerabilities:
        if not vulnerability.refused:
            yield f"passes{f' ({vulnerability.allowed})' if vulnerability.allowed else ''}: {vulnerability}"
    yield from report.notes


def _of_package(package: Package, advisories: Sequence[Advisory], policy: Policy) -> Iterator[Vulnerability]:
    """Yield the vulnerabilities of a package: one for each set of aliases."""
    from packaging.version import InvalidVersion

    from rules_bento.audit.advisories import version_of

    if not package.version:
        return
    try:
        version = version_of(package.version)
    except InvalidVersion:
        raise BentoError(
            f"{package!s:.100}: is no version (PEP 440) that advisories could be held against. Lock another one."
        ) from None
    about = [
        advisory for advisory in advisories if any(affected.name == package.name for affected in advisory.affected)
    ]
    for group in _groups(about):
        matches = [(one, match) for one in group if (match := one.match(package.name, version))]
        if not matches:
            continue
        saying = [one.id for one, _ in matches]
        aliases = {name for one in group for name in (one.id, *one.aliases)}
        # What one record leaves out, another of the same vulnerability may say.
        rating = highest([one.rating_of(package.name) for one, _ in matches])
        rating = rating or highest([one.rating_of(package.name) for one in group])
        counted = rating or policy.unknown_severity
        refused = counted == ABOVE or RATINGS.index(counted) > RATINGS.index(policy.max_severity)
        allowed = next((policy.allow[name] for name in sorted(aliases) if name in policy.allow), "")
        fixed = [match.fixed for _, match in matches if match.fixed]
        yield Vulnerability(
            package,
            (*saying, *sorted(aliases.difference(saying))),
            rating,
            max(fixed, key=version_of, default=""),
            any(match.certain for _, match in matches),
            next((one.summary for one, _ in matches if one.summary), ""),
            allowed if refused else "",
            refused and not allowed,
        )


def _groups(advisories: Sequence[Advisory]) -> list[list[Advisory]]:
    """Return the records in sets: those of one vulnerability, as their aliases say."""
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


def _licensed(package: Package, policy: Policy) -> Licensed:
    own = {normalize_name(name): text for name, text in policy.stated_licenses.items()}.get(package.name)
    terms = licenses.parsed(own) if own else licenses.terms_of(package.stated) if package.stated else None
    return Licensed(package, terms, policy.licenses.judges and not policy.licenses.takes(terms))


def _useless(
    packages: Sequence[Package],
    vulnerabilities: Sequence[Vulnerability],
    database: Database | None,
    policy: Policy,
) -> Iterator[str]:
    """Yield the entries of a policy that apply to none of these packages."""
    used = {name for vulnerability in vulnerabilities if vulnerability.allowed for name in vulnerability.ids}
    for identifier in policy.allow:
        if identifier not in used:
            why = "nothing here has it, or max_severity takes it anyway" if database else "there are no advisories"
            yield f"allow: {identifier}: {why}. Take the entry out."
    names = {package.name for package in packages}
    for name in policy.stated_licenses:
        if normalize_name(name) not in names:
            yield f"package_licenses: {name}: is not among the packages. Take the entry out."


def _asked_by(package: Package) -> str:
    return f" (asked for by {', '.join(package.asked_by)})" if package.asked_by else ""
