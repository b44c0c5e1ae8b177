"""Lists the Python packages in a lock, a requirements file, a `pylock.toml`, or an SBOM, and evaluates a policy."""

from __future__ import annotations

import json
import re
from urllib.parse import unquote

from rules_bento.audit import licenses
from rules_bento.audit.licenses import DeclaredLicense, LicensePolicy, Terms
from rules_bento.dataclasses_lite import NamedTuple
from rules_bento.errors import BentoError
from rules_bento.formats import schema
from rules_bento.formats.json import read_json, read_object
from rules_bento.packages import requirements
from rules_bento.packages.requirements import normalize_name
from rules_bento.typing_lite import Any, Iterable, Iterator, Mapping

_PURL = re.compile(r"pkg:([^/]+)/([^@?#]+)@([^?#]+)(?:[?#].*)?")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_FILE = {"hashes?": {...: str}}
_PYLOCK_FILES = {"wheels?": [_FILE], "sdist?": _FILE, "archive?": _FILE}
_PYLOCK = {"packages": [{"name": str, "version?": str, "vcs?": {"commit-id": str}, **_PYLOCK_FILES}]}
_CYCLONEDX = {"components": [{"name": str, "purl?": str, "hashes?": [{...: str}]}]}
_SPDX_REFERENCE = {"referenceType": str, "referenceLocator": str}
_SPDX = {"packages": [{"name": str, "checksums?": [{...: str}], "externalRefs?": [_SPDX_REFERENCE]}]}
_SBOM_REMEDY = "Provide a CycloneDX or SPDX 2 SBOM in JSON."


class Package(NamedTuple):
    """A Python package to audit."""

    name: str  # normalized
    version: str  # empty if unknown
    hashed: bool  # pinned by a hash or a commit
    required_by: tuple[str, ...] = ()  # names, if known
    license: DeclaredLicense | None = None  # None if the metadata isn't available

    def __str__(self) -> str:
        return f"{self.name} {self.version}" if self.version else self.name

    def note(self) -> str:
        """Return a suffix for messages: the reason why the package is installed, or "" if the reason is unknown."""
        return f" (required by {', '.join(self.required_by)})" if self.required_by else ""


def from_lock(packages: Iterable[Mapping[str, Any]]) -> list[Package]:
    """Return the packages in a rules_bento lock (see `rules_bento.packages.lock`)."""
    entries = list(packages)
    required_by: dict[str, set[str]] = {}
    of_extras: dict[str, set[str]] = {}
    for package in entries:
        for edge in package.get("dependencies", ()):
            required_by.setdefault(edge["name"], set()).add(package["name"])
        for edge in (edge for edges in package.get("extras", {}).values() for edge in edges):
            of_extras.setdefault(edge["name"], set()).add(package["name"])
    return [
        Package(
            normalize_name(package["name"]),
            package["version"],
            bool(package.get("files")) or bool(_COMMIT.fullmatch(package.get("source", {}).get("commit", ""))),
            tuple(sorted(required_by.get(package["name"]) or of_extras.get(package["name"]) or ())),
        )
        for package in entries
    ]


def from_requirements(text: str, origin: str, python_version: str = "") -> list[Package]:
    """Return the packages in a requirements file. Raises BentoError for an invalid file.

    With `python_version`, returns only the packages that a Bento for this version installs.
    """
    lines = requirements.installed(text, origin, python_version)
    return [Package(*line.package, bool(line.hashes) or line.is_commit) for line in lines]


def from_pylock(data: bytes, origin: str) -> list[Package]:
    """Return the packages in a `pylock.toml` file (PEP 751). Raises BentoError for an invalid file."""
    from rules_bento.formats.toml import read_toml

    document = read_toml(data, origin)
    schema.validate(document, _PYLOCK, origin, "Export the file again, for example with `uv export`.")
    packages = []
    for entry in document["packages"]:
        files = [*entry.get("wheels", []), entry.get("sdist", {}), entry.get("archive", {})]
        is_commit = bool(_COMMIT.fullmatch(entry.get("vcs", {}).get("commit-id", "")))
        hashed = is_commit or any(file.get("hashes") for file in files)
        packages.append(Package(normalize_name(entry["name"]), entry.get("version", ""), hashed))
    return packages


def from_sbom(data: bytes, origin: str) -> list[Package]:
    """Return the PyPI packages in a CycloneDX or SPDX 2 SBOM. Raises BentoError for an invalid or unsupported SBOM."""
    document = read_object(data, origin)
    if document.get("bomFormat") == "CycloneDX":
        schema.validate(document, _CYCLONEDX, origin, _SBOM_REMEDY)
        entries = [(entry.get("purl", ""), bool(entry.get("hashes"))) for entry in document["components"]]
    elif str(document.get("spdxVersion", "")).startswith("SPDX-2"):
        schema.validate(document, _SPDX, origin, _SBOM_REMEDY)
        entries = [
            (reference["referenceLocator"], bool(entry.get("checksums")))
            for entry in document["packages"]
            for reference in entry.get("externalRefs", ())
            if reference["referenceType"] == "purl"
        ]
    else:
        raise BentoError("unsupported SBOM format", place=origin, remedy=_SBOM_REMEDY)
    packages = []
    for purl, hashed in entries:
        parts = _PURL.fullmatch(purl)
        if parts and parts[1] == "pypi":
            packages.append(Package(normalize_name(unquote(parts[2])), unquote(parts[3]), hashed))
    return packages


def dumps(packages: Iterable[Package]) -> str:
    """Return packages as JSON."""
    return json.dumps([package._asdict() for package in sorted(packages)], ensure_ascii=False, indent=1) + "\n"


def loads(text: bytes | str) -> tuple[Package, ...]:
    """Parse JSON that `dumps` returned."""
    packages = []
    for entry in read_json(text, "the packages"):
        entry["required_by"] = tuple(entry["required_by"])
        if entry["license"]:
            expression, license_text, classifiers = entry["license"]
            entry["license"] = DeclaredLicense(expression, license_text, tuple(classifiers))
        packages.append(Package(**entry))
    return tuple(packages)


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
    licenses: tuple[PackageLicense, ...]  # empty without metadata, or without a license policy
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


def check_policy_values(policy: Policy) -> None:
    """Raise BentoError if a value in a policy is invalid."""
    for name, text in policy.package_licenses.items():
        if not licenses.parse_expression(text):
            remedy = "Use an expression such as 'MIT'."
            raise BentoError(f"invalid SPDX expression {text!r}", place=f"package_licenses: {name}", remedy=remedy)


def evaluate(packages: Iterable[Package], policy: Policy) -> Report:
    """Evaluate packages against a policy. Raises BentoError if the policy is invalid, or `packages` is empty."""
    check_policy_values(policy)
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
