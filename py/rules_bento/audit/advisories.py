"""Reads records of vulnerabilities in OSV's format (schema 1.x), and matches them with versions of packages of PyPI.

Evaluated as OSV's schema describes: a version that is listed is affected, and so is one that lies in a range by its
events; withdrawn records affect nothing. A record may also be of a kind that cannot be judged here, such as one that
knows commits alone: then `Match.certain` is false, and it counts as one that affects.
"""

from __future__ import annotations

from rules_bento.audit import severity
from rules_bento.dataclasses_lite import NamedTuple
from rules_bento.formats import shapes
from rules_bento.packages.requirements import normalize_name
from rules_bento.typing_lite import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from packaging.version import Version

ECOSYSTEM = "PyPI"

_MALICIOUS = "MAL-"  # records of OpenSSF's malicious packages have no severity
_REMEDY = "Give records in OSV's format, as osv.dev and the advisory database of PyPA have them."
_SEVERITY = [{"type": str, "score": str}]
_SHAPE = {
    "id": str,
    "aliases?": [str],
    "summary?": str,
    "severity?": _SEVERITY,
    "database_specific?": {},
    "affected?": [
        {
            "package?": {"ecosystem": str, "name": str},
            "ranges?": [{"type": str, "events": [{...: str}]}],
            "versions?": [str],
            "severity?": _SEVERITY,
            "database_specific?": {},
            "ecosystem_specific?": {},
        }
    ],
}


class Match(NamedTuple):
    """Says that a record applies to a version."""

    certain: bool  # else the record says it in a way that cannot be judged
    fixed: str  # the version that no longer is; empty where none is known


class Affected(NamedTuple):
    """Holds what a record says of one package."""

    name: str  # normalized
    ranges: tuple[tuple[dict[str, str], ...], ...]  # events of each, as they stand there
    versions: tuple[str, ...]
    rating: str  # empty for none


class Advisory(NamedTuple):
    """Holds a record that is not withdrawn, with what it says of packages of PyPI."""

    id: str
    aliases: tuple[str, ...]
    summary: str
    rating: str  # the highest that it states of itself; empty for none
    affected: tuple[Affected, ...]

    def rating_of(self, name: str) -> str:
        """Return the rating for a package: the highest of what is stated; empty for none."""
        own = [affected.rating for affected in self.affected if affected.name == name]
        return severity.highest([self.rating, *own])

    def match(self, name: str, version: Version) -> Match | None:
        """Return whether the record is about a version of a package (by its normalized name); None if it is not."""
        judged = [_match(affected, version) for affected in self.affected if affected.name == name]
        matches = [match for match in judged if match]
        if not matches:
            return None
        fixed = [match.fixed for match in matches if match.certain]
        return Match(any(match.certain for match in matches), _latest(fixed) if all(fixed) else "")


def read(document: Any, origin: str) -> Advisory | None:
    """Return the record that a document is; None for one that is withdrawn.

    Raises BentoError, naming `origin`, for a document that is no such record.
    """
    document = shapes.without_nulls(document)
    shapes.check(document, _SHAPE, origin, _REMEDY)
    if document.get("withdrawn"):
        return None
    affected = tuple(
        _affected(entry)
        for entry in document.get("affected", ())
        # An ecosystem may have a suffix: `PyPI:<release>` says where, not what.
        if entry.get("package", {}).get("ecosystem", "").partition(":")[0] == ECOSYSTEM
    )
    rating = "critical" if document["id"].startswith(_MALICIOUS) else _rating(document)
    aliases = tuple(document.get("aliases", ()))
    return Advisory(document["id"], aliases, document.get("summary", ""), rating, affected)


def _affected(entry: dict[str, Any]) -> Affected:
    # GIT is of commits; SEMVER is for other ecosystems, whose numbers mean the same in this one.
    ranges = (each["events"] for each in entry.get("ranges", ()) if each["type"] in ("ECOSYSTEM", "SEMVER"))
    return Affected(
        normalize_name(entry["package"]["name"]),
        tuple(map(tuple, ranges)),
        tuple(entry.get("versions", ())),
        _rating(entry),
    )


def _rating(entry: dict[str, Any]) -> str:
    """Return the highest rating that a record, or a part of it, states in a way that is known."""
    ratings = [severity.of_vector(stated["score"]) for stated in entry.get("severity", ())]
    for place in ("database_specific", "ecosystem_specific"):
        word = entry.get(place, {}).get("severity")
        ratings.append(severity.of_word(word) if isinstance(word, str) else "")
    return severity.highest(ratings)


def _match(affected: Affected, version: Version) -> Match | None:
    from packaging.version import InvalidVersion

    fixed: list[str] = []
    certain = False
    uncertain = not affected.ranges and not affected.versions
    for events in affected.ranges:
        try:
            inside, at = _in_range(events, version)
        except InvalidVersion:
            uncertain = True
            continue
        uncertain = uncertain or not any("introduced" in event for event in events)
        if inside:
            certain = True
            fixed.append(at)
    if certain:
        return Match(True, _latest(fixed) if all(fixed) else "")
    if any(_is(text, version) for text in affected.versions):
        return Match(True, "")
    return Match(False, "") if uncertain else None


def _in_range(events: tuple[dict[str, str], ...], version: Version) -> tuple[bool, str]:
    """Return whether a version lies in a range, and the next one that is fixed. Raises InvalidVersion."""
    known = list(_events(events))
    limits = [event["limit"] for event in events if "limit" in event]
    if limits and not any(limit == "*" or version < version_of(limit) for limit in limits):
        return False, ""
    inside = False
    # Where two events name one version, they count in the order in which they stand.
    for at, kind, _ in sorted(known, key=lambda event: (event[0] is not None, event[0] or version)):
        if kind == 0 and (at is None or version >= at):
            inside = True
        elif at is not None and ((kind == 2 and version >= at) or (kind == 1 and version > at)):
            inside = False
    later = [(at, text) for at, kind, text in known if kind == 2 and at is not None and at > version]
    return inside, min(later)[1] if inside and later else ""


def _events(events: tuple[dict[str, str], ...]) -> Iterator[tuple[Version | None, int, str]]:
    """Yield version (None: before all others), kind (0 introduced, 1 last affected, 2 fixed) and text of events."""
    for event in events:
        for number, key in enumerate(("introduced", "last_affected", "fixed")):
            if key in event:
                text = event[key]
                yield (None if number == 0 and text == "0" else version_of(text)), number, text


def version_of(text: str) -> Version:
    """Return a version without its local part. Raises InvalidVersion."""
    from packaging.version import InvalidVersion, Version

    try:
        return Version(Version(text).public)
    except ValueError:  # also of Python, for a number of more than 4,300 digits
        raise InvalidVersion(text) from None


def _is(text: str, version: Version) -> bool:
    from packaging.version import InvalidVersion

    try:
        return version_of(text) == version
    except InvalidVersion:
        return False  # of before PEP 440, which no package is that can be installed


def _latest(versions: list[str]) -> str:
    return max(versions, key=version_of, default="")
