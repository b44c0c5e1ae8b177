"""Reads OpenVEX documents (0.2.0), whose statements can accept vulnerabilities in packages until an expiry date.

A statement accepts a vulnerability if the status is `not_affected` or `fixed`, and `status_notes` includes
`expires: YYYY-MM-DD`. The last statement about a package and vulnerability applies. Package URLs identify the products
of a statement. If a product has subcomponents, the statement applies only to the subcomponents. A statement about a
complete image has no effect.
"""

from __future__ import annotations

import datetime as dt
import re
from urllib.parse import unquote

from rules_bento.audit.advisories import DATE
from rules_bento.dataclasses_lite import NamedTuple
from rules_bento.errors import BentoError
from rules_bento.formats import schema
from rules_bento.formats.json import read_object
from rules_bento.formats.times import parse_time
from rules_bento.packages.requirements import normalize_name
from rules_bento.typing_lite import TYPE_CHECKING, Any, Collection, Iterator, Sequence

if TYPE_CHECKING:
    from rules_bento.audit.inventory import Package

_CONTEXT = "https://openvex.dev/ns/v0.2."
_STATUSES = ("affected", "fixed", "not_affected", "under_investigation")
_EXPIRES = re.compile(rf"\bexpires: *({DATE.pattern})(?![0-9])")
_PURL = re.compile(r"pkg:(pypi|deb/debian)/([^@?#/]+)(?:@([^?#]+))?(?:\?[^#]*)?(?:#.*)?")
_REMEDY = "Provide an OpenVEX 0.2 document in JSON, for example from vexctl."
_COMPONENT = {"@id?": str, "identifiers?": {"purl?": str}}
_SHAPE = {
    "@context": str,
    "timestamp": str,
    "statements": [
        {
            "vulnerability": {"name": str, "aliases?": [str]},
            "products?": [{**_COMPONENT, "subcomponents?": [_COMPONENT]}],
            "status": str,
            **dict.fromkeys(("timestamp?", "last_updated?"), str),
            **dict.fromkeys(("status_notes?", "justification?", "impact_statement?"), str),
        }
    ],
}


class Statement(NamedTuple):
    """The status of a vulnerability in packages, as a VEX document specifies it."""

    origin: str
    timestamp: dt.datetime
    status: str
    vulnerabilities: tuple[str, ...]  # names of one vulnerability
    packages: tuple[tuple[str, str, str], ...]  # type of package URL, name, and version; any version if it is empty
    reason: str
    expires: str  # YYYY-MM-DD; empty for none

    def is_about(self, package: Package) -> bool:
        """Return whether the statement lists a package or, for a source package, all its installed binary packages."""
        kind = "deb/debian" if package.binaries else "pypi"

        def named(name: str, version: str) -> bool:
            return (kind, name, version) in self.packages or (kind, name, "") in self.packages

        if named(package.name, package.version):
            return True
        pairs = [binary.partition(" ") for binary in package.binaries]
        return bool(pairs) and all(named(name, version) for name, _, version in pairs)

    def problem(self, date: str) -> str:
        """Return why the statement doesn't accept the vulnerability on `date`, or "" if the statement accepts it."""
        if self.status not in ("fixed", "not_affected"):
            return f"the status is {self.status}"
        if not self.expires:
            return "no expiry date. Add 'expires: YYYY-MM-DD' to status_notes"
        return f"expired on {self.expires}. Review the statement, and set a later date" if self.expires < date else ""


def read_vex(data: bytes, origin: str) -> list[Statement]:
    """Return the statements in a document. Raises BentoError for an invalid document."""
    document = schema.without_nulls(read_object(data, origin))
    schema.validate(document, _SHAPE, origin, _REMEDY)
    if not document["@context"].startswith(_CONTEXT):
        raise BentoError(f"{origin}: @context: expected {_CONTEXT}0, got {document['@context']!r:.100}. {_REMEDY}")
    return [_statement(entry, document["timestamp"], origin) for entry in document["statements"]]


def last_statement(statements: Sequence[Statement], package: Package, names: Collection[str]) -> Statement | None:
    """Return the last statement about `package` and a vulnerability in `names`, or None if no statement matches."""
    about = [each for each in statements if not set(each.vulnerabilities).isdisjoint(names) and each.is_about(package)]
    return max(about, key=lambda statement: (statement.timestamp, bool(statement.problem(""))), default=None)


def _statement(entry: dict[str, Any], timestamp: str, origin: str) -> Statement:
    vulnerability, status = entry["vulnerability"], entry["status"]
    where = f"{origin}: {vulnerability['name']!s:.100}"
    if status not in _STATUSES:
        raise BentoError(f"{where}: invalid status {status!r:.100}. Valid values: {', '.join(_STATUSES)}.")
    reason = entry.get("impact_statement") or entry.get("justification", "") or ("fixed" if status == "fixed" else "")
    if status == "not_affected" and not reason.strip():
        raise BentoError(f"{where}: the status not_affected requires a reason. Add justification or impact_statement.")
    expires = _EXPIRES.search(entry.get("status_notes", ""))
    return Statement(
        origin,
        _time(entry.get("last_updated") or entry.get("timestamp") or timestamp, where),
        status,
        (vulnerability["name"], *vulnerability.get("aliases", ())),
        tuple(_packages(entry.get("products", ()))),
        reason,
        expires[1] if expires else "",
    )


def _time(text: str, where: str) -> dt.datetime:
    try:
        time = parse_time(text)
    except ValueError:
        raise BentoError(f"{where}: invalid timestamp {text!r:.100}. {_REMEDY}") from None
    return time if time.tzinfo else time.replace(tzinfo=dt.timezone.utc)


def _packages(products: Sequence[dict[str, Any]]) -> Iterator[tuple[str, str, str]]:
    for product in products:
        for component in product.get("subcomponents") or [product]:
            for text in (component.get("@id", ""), component.get("identifiers", {}).get("purl", "")):
                if match := _PURL.fullmatch(text):
                    name = unquote(match[2])
                    yield match[1], normalize_name(name) if match[1] == "pypi" else name, unquote(match[3] or "")
