"""Reads advisory databases in the OSV format (schema 1.x), and finds the records that affect a version of a package.

A database consists of files, directories, and zip files, as published on osv.dev. This module reads one record at a
time, and keeps only records about audited packages. A package is a PyPI package or a source package of a Debian
release. As in OSV's schema, a version is affected if the record lists the version, or if the record's events define a
range that contains the version. Withdrawn records are ignored. If a record can't be evaluated, for example because the
record lists only commits, the record matches every version, and `Match.certain` is false. The module computes the
rating of a record from CVSS 3 base scores and severity names.
"""

from __future__ import annotations

import math
import re

from rules_bento.audit.versions import DEBIAN, PYPI, parse
from rules_bento.dataclasses_lite import NamedTuple
from rules_bento.errors import BentoError
from rules_bento.formats import MAX_BYTES, read_file, schema
from rules_bento.formats.json import read_json
from rules_bento.packages.requirements import normalize_name
from rules_bento.typing_lite import TYPE_CHECKING, Any, Collection, Iterator, Mapping, Sequence

if TYPE_CHECKING:
    from pathlib import Path

# The ratings of CVSS 3.1, section 5, in ascending order.
RATINGS = ("none", "low", "medium", "high", "critical")
_WORDS = {rating: rating for rating in RATINGS} | {"moderate": "medium", "important": "high"}
_VECTOR = re.compile(r"CVSS:3\.([01])((?:/[A-Z]{1,3}:[A-Z])+)/?")
_WEIGHTS = {
    "AV": {"N": 0.85, "A": 0.62, "L": 0.55, "P": 0.2},
    "AC": {"L": 0.77, "H": 0.44},
    "PR": {"N": 0.85, "L": 0.62, "H": 0.27},
    "UI": {"N": 0.85, "R": 0.62},
    "S": {"U": 0.0, "C": 1.0},
    **{key: {"H": 0.56, "L": 0.22, "N": 0.0} for key in "CIA"},
}
_CHANGED_SCOPE_PRIVILEGES = {"N": 0.85, "L": 0.68, "H": 0.5}


def rating_from_vector(vector: str) -> str:
    """Return the rating for the base score of a CVSS 3.0 or 3.1 vector, or an empty string for an invalid vector."""
    score = base_score(vector)
    return "" if score is None else RATINGS[sum(score >= least for least in (0.1, 4.0, 7.0, 9.0))]


def base_score(vector: str) -> float | None:
    """Return the base score of a vector (CVSS 3.1, section 7.1), or None if the vector is incomplete or invalid."""
    match = _VECTOR.fullmatch(vector.strip())
    pairs = {pair.partition(":")[::2] for pair in match[2][1:].split("/")} if match else set()
    metrics = dict(pairs)
    missing = any(metrics.get(name) not in weights for name, weights in _WEIGHTS.items())
    if not match or missing or len(metrics) < len(pairs):
        return None
    weight = {name: weights[metrics[name]] for name, weights in _WEIGHTS.items()}
    changed = metrics["S"] == "C"
    if changed:
        weight["PR"] = _CHANGED_SCOPE_PRIVILEGES[metrics["PR"]]
    base = 1 - (1 - weight["C"]) * (1 - weight["I"]) * (1 - weight["A"])
    impact = 7.52 * (base - 0.029) - 3.25 * (base - 0.02) ** 15 if changed else 6.42 * base
    if impact <= 0:
        return 0.0
    exploitability = 8.22 * weight["AV"] * weight["AC"] * weight["PR"] * weight["UI"]
    total = min(1.08 * (impact + exploitability) if changed else impact + exploitability, 10)
    return math.ceil(total * 10) / 10 if match[1] == "0" else _round_up(total)


def highest_rating(ratings: list[str]) -> str:
    """Return the highest rating, or an empty string if `ratings` contains only empty strings."""
    return max(filter(None, ratings), key=RATINGS.index, default="")


def _round_up(value: float) -> float:
    """Round up to one decimal place, without floating-point errors (CVSS 3.1, appendix A)."""
    whole = round(value * 100_000)
    return whole / 100_000 if whole % 10_000 == 0 else (whole // 10_000 + 1) / 10


_URGENCY = ("ecosystem_specific", "urgency")  # Debian's severity
_MALICIOUS = "MAL-"  # OpenSSF's malicious packages have no severity
_REMEDY = "Provide OSV records, for example from osv.dev or PyPA's advisory database."
_SEVERITY = [{"type": str, "score": str}]
_SHAPE = {
    "id": str,
    "aliases?": [str],
    "upstream?": [str],
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
    """A match between an advisory and a version that is affected or might be affected."""

    certain: bool  # false if the record can't be evaluated
    fixed: str  # the first fixed version; empty if unknown


class Affected(NamedTuple):
    """The affected versions of one package in an advisory."""

    ecosystem: str  # `PyPI`, `Debian` for all releases, or `Debian:13`
    name: str  # normalized; of a source package for Debian
    ranges: tuple[tuple[dict[str, str], ...], ...]  # each a list of events, unchanged
    versions: tuple[str, ...]
    rating: str  # empty for none

    def is_about(self, name: str, ecosystem: str) -> bool:
        """Return whether the entry applies to the package `name` in `ecosystem`."""
        return self.name == name and self.ecosystem in (ecosystem, ecosystem.partition(":")[0])


class Advisory(NamedTuple):
    """An OSV record, without packages of unsupported ecosystems."""

    id: str
    aliases: tuple[str, ...]
    upstream: tuple[str, ...]  # vulnerabilities that the record is about, if it is an advisory of a distribution
    summary: str
    rating: str  # the highest of the record itself; empty for none
    affected: tuple[Affected, ...]

    def rating_of(self, name: str, ecosystem: str = PYPI) -> str:
        """Return the highest rating for a package, or "" if no rating exists. Debian's rating `none` has precedence."""
        own = [affected.rating for affected in self.affected if affected.is_about(name, ecosystem)]
        if ecosystem != PYPI and own and set(own) == {"none"}:
            return "none"  # the distribution's own rating
        return highest_rating([self.rating, *own])

    def match(self, name: str, version: Any, ecosystem: str = PYPI) -> Match | None:
        """Return the match for a parsed version of the package `name`, or None if the version isn't affected."""
        judged = [_match(affected, version) for affected in self.affected if affected.is_about(name, ecosystem)]
        matches = [match for match in judged if match]
        if not matches:
            return None
        fixed = [match.fixed for match in matches if match.certain]
        return Match(any(match.certain for match in matches), _latest(fixed, ecosystem) if all(fixed) else "")


def read_record(document: Any, origin: str) -> Advisory | None:
    """Parse a record. Returns None for a withdrawn record. Raises BentoError for an invalid record."""
    document = schema.without_nulls(document)
    schema.validate(document, _SHAPE, origin, _REMEDY)
    if document.get("withdrawn"):
        return None
    affected = tuple(filter(None, map(_affected, document.get("affected", ()))))
    rating = "critical" if document["id"].startswith(_MALICIOUS) else _rating(document)
    aliases, upstream = (tuple(document.get(key, ())) for key in ("aliases", "upstream"))
    return Advisory(document["id"], aliases, upstream, document.get("summary", ""), rating, affected)


def _affected(entry: dict[str, Any]) -> Affected | None:
    """Parse an `affected` entry. Returns None if its package is from an unsupported ecosystem."""
    package = entry.get("package", {})
    ecosystem, _, release = package.get("ecosystem", "").partition(":")
    if ecosystem not in (PYPI, DEBIAN):
        return None
    # GIT ranges are for commits; SEMVER versions are also valid PyPI versions.
    ranges = (each["events"] for each in entry.get("ranges", ()) if each["type"] in ("ECOSYSTEM", "SEMVER"))
    return Affected(
        f"{ecosystem}:{release}" if ecosystem == DEBIAN and release else ecosystem,
        normalize_name(package["name"]) if ecosystem == PYPI else package["name"],
        tuple(map(tuple, ranges)),
        tuple(entry.get("versions", ())),
        _rating(entry),
    )


def _rating(entry: dict[str, Any]) -> str:
    """Return the highest rating in a record or `affected` entry, or "" if no rating exists."""
    if entry.get(_URGENCY[0], {}).get(_URGENCY[1]) == "unimportant":
        return "none"  # of Debian, for vulnerabilities that don't affect its binary packages
    ratings = [rating_from_vector(declared["score"]) for declared in entry.get("severity", ())]
    for place, key in (("database_specific", "severity"), ("ecosystem_specific", "severity"), _URGENCY):
        word = entry.get(place, {}).get(key)
        ratings.append(_WORDS.get(word.strip().lower(), "") if isinstance(word, str) else "")
    return highest_rating(ratings)


def _match(affected: Affected, version: Any) -> Match | None:
    fixed: list[str] = []  # of the ranges that include the version; empty if unknown
    uncertain = not affected.ranges and not affected.versions
    for events in affected.ranges:
        try:
            inside, at = _in_range(events, version, affected.ecosystem)
        except ValueError:
            uncertain = True
            continue
        uncertain = uncertain or not any("introduced" in event for event in events)
        if inside:
            fixed.append(at)
    if fixed:
        return Match(True, _latest(fixed, affected.ecosystem) if all(fixed) else "")
    if any(_equals(text, version, affected.ecosystem) for text in affected.versions):
        return Match(True, "")
    return Match(False, "") if uncertain else None


def _in_range(events: tuple[dict[str, str], ...], version: Any, ecosystem: str) -> tuple[bool, str]:
    """Return whether `version` is in the range that `events` define, and the next version that contains a fix.

    The next fixed version is "" if it is unknown or `version` isn't in the range. Raises ValueError for invalid events.
    """
    known = list(_events(events, ecosystem))
    limits = [event["limit"] for event in events if "limit" in event]
    if limits and not any(limit == "*" or version < parse(limit, ecosystem) for limit in limits):
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


def _events(events: tuple[dict[str, str], ...], ecosystem: str) -> Iterator[tuple[Any, int, str]]:
    """Yield the parsed version, the kind, and the version string of each event.

    For `introduced: 0`, the parsed version is None. Kinds are 0 (introduced), 1 (last affected), and 2 (fixed).
    """
    for event in events:
        for number, key in enumerate(("introduced", "last_affected", "fixed")):
            if key in event:
                text = event[key]
                yield (None if number == 0 and text == "0" else parse(text, ecosystem)), number, text


def _equals(text: str, version: Any, ecosystem: str) -> bool:
    try:
        return bool(parse(text, ecosystem) == version)
    except ValueError:
        return False  # not a valid version, so not installable


def _latest(versions: list[str], ecosystem: str) -> str:
    return max(versions, key=lambda text: parse(text, ecosystem), default="")


SUFFIXES = (".json", ".yaml", ".yml")
_MAX_RECORDS = 1_000_000
_MAX_UNPACKED = 8 << 30  # bytes of an unpacked zip; only one record is in memory


DATE = re.compile(r"[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])")


class Database(NamedTuple):
    """The advisories about the audited packages, and the number of records in the database."""

    advisories: tuple[Advisory, ...]  # sorted by id
    records: int  # of the packages' ecosystems, without withdrawn ones
    ecosystems: frozenset[str] = frozenset()  # of all records; Debian's with its release
    date: str = ""  # YYYY-MM-DD, of the last modified record; empty if unknown


def read_database(places: Sequence[tuple[Path, str]], names: Mapping[str, Collection[str]]) -> Database:
    """Read a database. Keeps only the records about the packages in `names`, which maps ecosystems to package names.

    `places` contains pairs of a path and the path's name in messages. Raises BentoError if a record is invalid, or if
    no record is about a PyPI package.
    """
    kept: list[Advisory] = []
    ecosystems: set[str] = set()
    records, date = 0, ""
    for data, origin in _files(places):
        document = _document(data, origin)
        record = read_record(document, origin)
        if not record or not record.affected:
            continue
        modified = str(document.get("modified"))[:10]  # in YAML, a time without quotes isn't a string
        date = max(date, modified) if DATE.fullmatch(modified) else date
        found = {affected.ecosystem for affected in record.affected}
        ecosystems |= found
        records += any(name in found or name.partition(":")[0] in found for name in names)
        if any(
            entry.name in names[key] and entry.is_about(entry.name, key) for entry in record.affected for key in names
        ):
            kept.append(record)
    if PYPI not in ecosystems:
        listed = ", ".join(name for _, name in places)
        raise BentoError(
            f"advisories: no records for PyPI packages in {listed}. Provide OSV records for PyPI, for example from "
            "osv.dev."
        )
    return Database(tuple(sorted(kept, key=lambda advisory: advisory.id)), records, frozenset(ecosystems), date)


def _document(data: bytes, origin: str) -> Any:
    if origin.endswith(".json"):
        return read_json(data, origin)
    from rules_bento.formats.yaml import read_yaml

    return read_yaml(data, origin)


def _files(places: Sequence[tuple[Path, str]]) -> Iterator[tuple[bytes, str]]:
    """Yield the content of each record file, and its name for messages. Raises BentoError for an unsupported file."""
    for path, name in places:
        if path.is_dir():
            yield from _read_directory(path, name)
        elif path.name.endswith(".zip"):
            yield from _read_zip(path, name)
        elif path.name.endswith(SUFFIXES):
            yield read_file(path, name), name
        else:
            raise BentoError(f"advisories: unsupported file {name}. Provide JSON, YAML, a zip file, or a directory.")


def _read_directory(directory: Path, name: str) -> Iterator[tuple[bytes, str]]:
    from rules_bento.tree_walk import walk

    count = 0
    for path, entry in walk(directory, enter=lambda entry: not entry.name.startswith("."), strict=False):
        if entry.is_dir() or not _is_record(entry.name):
            continue
        count += 1
        if count > _MAX_RECORDS:
            raise BentoError(
                f"advisories: {name} contains more than {_MAX_RECORDS:,} records. Keep only the records for PyPI."
            )
        origin = f"{name}/{path}"
        if not entry.is_file():
            raise BentoError(f"advisories: {origin} isn't a regular file. Remove {entry.name} from the directory.")
        yield read_file(entry.path, origin), origin


def _read_zip(path: Path, name: str) -> Iterator[tuple[bytes, str]]:
    from rules_bento.archives.zipread import Bounds, FileZip

    bounds = Bounds(100, _MAX_UNPACKED, _MAX_RECORDS, remedy="Provide only the records for PyPI")
    with path.open("rb") as file:
        archive = FileZip(file, name, bounds)
        for member in archive.members():
            if member.is_directory or "/." in f"/{member.path}" or not _is_record(member.path):
                continue
            if member.size > MAX_BYTES:
                raise archive.error("the member exceeds the size limit of a record", member.path)
            yield b"".join(archive.contents(member)), f"{name}/{member.path}"


def _is_record(path: str) -> bool:
    return path.endswith(SUFFIXES) and not path.startswith(".")
