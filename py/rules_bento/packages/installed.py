"""Adds hashes and extras from the lock of a rules_python package hub to the entries of its packages.

rules_python installs a package from the lock, and keeps only the package's METADATA. The lock has the hashes of all
files of a release, and the extras with which rules_python installed the package.
"""

from __future__ import annotations

from rules_bento.errors import BentoError
from rules_bento.formats import read_file
from rules_bento.packages import requirements
from rules_bento.typing_lite import TYPE_CHECKING, Any, Iterable, Sequence

if TYPE_CHECKING:
    from pathlib import Path

_EXTRAS = "extras_in_lock"
_SEVERAL_INDEXES = ("--extra-index-url", "-f", "--find-links")


def complete(entries: Iterable[dict[str, Any]], path: Path, name: str) -> list[dict[str, Any]]:
    """Return the entries with hashes and extras. Raises BentoError if the lock `path` lacks a package's version."""
    lines, options = requirements.parse(requirements.decode(read_file(path, name), name), name)
    for option in options:
        if option.flag in _SEVERAL_INDEXES:
            raise BentoError(
                f"{name}:{option.line}: {option.flag} isn't supported with packages of rules_python, because the lock "
                "doesn't contain the index of each package",
                place="requirements",
                remedy="Use a package hub of bento.pypi.",
            )
    by_name: dict[str, list[requirements.Requirement]] = {}
    for line in lines:
        by_name.setdefault(line.name, []).append(line)
    return [
        _complete(entry, by_name.get(entry["name"], ()), name) if "dependencies_of_extras" in entry else entry
        for entry in entries
    ]


def _complete(entry: dict[str, Any], lines: Sequence[requirements.Requirement], name: str) -> dict[str, Any]:
    # A lock can have the same version twice, with different markers.
    lines = [
        line
        for line in lines
        if line.pin and line.hashes and requirements.is_same_version(line.pin[1], entry["version"])
    ]
    if not lines:
        raise BentoError(
            f"{name} doesn't contain {entry['name']}=={entry['version']} with hashes, but rules_python installs this "
            "version",
            place="requirements",
            remedy="Use the file in requirements_lock of pip.parse, and lock with `uv pip compile --generate-hashes` "
            "or `pip-compile --generate-hashes`.",
        )
    extras = sorted({extra for line in lines for extra in requirements.parse_requirement(line.text).extras})
    edges = entry["dependencies_of_extras"]
    # The names of the files are unknown, so a Bento has the hashes of all files.
    return {key: value for key, value in entry.items() if key != "dependencies_of_extras"} | {
        "extras": dict.fromkeys(extras, edges),
        "files": {sha256: sha256 for line in lines for sha256 in line.hashes},
        _EXTRAS: extras,
    }


def with_extras(names: Iterable[str], entries: Iterable[dict[str, Any]]) -> list[str]:
    """Return requirements that include the extras with which rules_python installed packages."""
    extras = {entry["name"]: f"{entry['name']}[{','.join(entry[_EXTRAS])}]" for entry in entries if entry.get(_EXTRAS)}
    return list(dict.fromkeys([*(extras.get(name, name) for name in names), *extras.values()]))
