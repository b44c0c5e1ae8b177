"""Reads OSV records (schema 1.x) and matches them with versions of PyPI packages.

As in OSV's schema, a version is affected if it is listed or in a range of events; withdrawn records are ignored. If a
record can't be evaluated, for example because it lists only commits, `Match.certain` is false, and it counts as a
match.
"""

from __future__ import annotations

from rules_bento.audit import severity
from rules_bento.dataclasses_lite import NamedTuple
from rules_bento.formats import schema
from rules_bento.packages.requirements import normalize_name
from rules_bento.typing_lite import TYPE_CHECKING, Any, Iterator

if TYPE_CHECKING:
    from packaging.version import Version

ECOSYSTEM = "PyPI"

_MALICIOUS = "MAL-"  # OpenSSF's malicious packages have no severity
_REMEDY = "Provide OSV records, for example from osv.dev or PyPA's advisory database."
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
    """Describes the match of a record with a version."""

    certain: bool  # false if the record can't be evaluated
    fixed: str  # the first fixed version; empty if unknown


class Affected(NamedTuple):
    """Holds what a record specifies for one package."""

    name: str  # normalized
    ranges: tuple[tuple[dict[str, str], ...], ...]  # each a list of events, unchanged
    versions: tuple[str, ...]
    rating: str  # empty for none


class Advisory(NamedTuple):
    """Holds a record, without packages of other ecosystems."""

    id: str
    aliases: tuple[str, ...]
    summary: str
    rating: str  # the highest of the record itself; empty for none
    affected: tuple[Affected, ...]

    def rating_of(self, name: str) -> str:
        """Return the highest rating for a package; empty for none."""
        own = [affected.rating for affected in self.affected if affected.name == name]
        return severity.highest([self.rating, *own])

    def match(self, name: str, version: Version) -> Match | None:
        """Return the match with a version of a package (normalized name); None if it isn't affected."""
        judged = [_match(affected, version) for affected in self.affected if affected.name == name]
        matches = [match for match in judged if match]
        if not matches:
            return None
        fixed = [match.fixed for match in matches if match.certain]
        return Match(any(match.certain for match in matches), _latest(fixed) if all(fixed) else "")


def read(document: Any, origin: str) -> Advisory | None:
    """Read a record; return None if it is withdrawn.

    Raises BentoError, beginning with `origin`, for an invalid record.
    """
    document = schema.without_nulls(document)
    schema.validate(document, _SHAPE, origin, _REMEDY)
    if document.get("withdrawn"):
        return None
    affected = tuple(
        _affected(entry)
        for entry in document.get("affected", ())
        # An ecosystem can have a suffix, `PyPI:<release>`.
        if entry.get("package", {}).get("ecosystem", "").partition(":")[0] == ECOSYSTEM
    )
    rating = "critical" if document["id"].startswith(_MALICIOUS) else _rating(document)
    aliases = tuple(document.get("aliases", ()))
    return Advisory(document["id"], aliases, document.get("summary", ""), rating, affected)


def _affected(entry: dict[str, Any]) -> Affected:
    # GIT ranges are for commits; SEMVER versions are also valid PyPI versions.
    ranges = (each["events"] for each in entry.get("ranges", ()) if each["type"] in ("ECOSYSTEM", "SEMVER"))
    return Affected(
        normalize_name(entry["package"]["name"]),
        tuple(map(tuple, ranges)),
        tuple(entry.get("versions", ())),
        _rating(entry),
    )


def _rating(entry: dict[str, Any]) -> str:
    """Return the highest supported rating of a record or an entry of it."""
    ratings = [severity.from_vector(stated["score"]) for stated in entry.get("severity", ())]
    for place in ("database_specific", "ecosystem_specific"):
        word = entry.get(place, {}).get("severity")
        ratings.append(severity.from_word(word) if isinstance(word, str) else "")
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
    if any(_equals(text, version) for text in affected.versions):
        return Match(True, "")
    return Match(False, "") if uncertain else None


def _in_range(events: tuple[dict[str, str], ...], version: Version) -> tuple[bool, str]:
    """Return whether a version is in a range, and the next fixed version. Raises InvalidVersion."""
    known = list(_events(events))
    limits = [event["limit"] for event in events if "limit" in event]
    if limits and not any(limit == "*" or version < parse_version(limit) for limit in limits):
        return False, ""
    inside = False
    # Events of the same version keep their order.
    for at, kind, _ in sorted(known, key=lambda event: (event[0] is not None, event[0] or version)):
        if kind == 0 and (at is None or version >= at):
            inside = True
        elif at is not None and ((kind == 2 and version >= at) or (kind == 1 and version > at)):
            inside = False
    later = [(at, text) for at, kind, text in known if kind == 2 and at is not None and at > version]
    return inside, min(later)[1] if inside and later else ""


def _events(events: tuple[dict[str, str], ...]) -> Iterator[tuple[Version | None, int, str]]:
    """Yield version (None: first), kind (0 introduced, 1 last affected, 2 fixed), and text of each event."""
    for event in events:
        for number, key in enumerate(("introduced", "last_affected", "fixed")):
            if key in event:
                text = event[key]
                yield (None if number == 0 and text == "0" else parse_version(text)), number, text


def parse_version(text: str) -> Version:
    """Return a version without its local part. Raises InvalidVersion."""
    from packaging.version import InvalidVersion, Version

    try:
        return Version(Version(text).public)
    except ValueError:  # also raised by Python for a number of more than 4,300 digits
        raise InvalidVersion(text) from None


def _equals(text: str, version: Version) -> bool:
    from packaging.version import InvalidVersion

    try:
        return parse_version(text) == version
    except InvalidVersion:
        return False  # not a PEP 440 version, so not installable


def _latest(versions: list[str]) -> str:
    return max(versions, key=parse_version, default="")
