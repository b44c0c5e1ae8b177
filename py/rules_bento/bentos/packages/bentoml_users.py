"""Finds packages that require bentoml, directly or not: their functions might make objects of BentoML."""

from __future__ import annotations

import re

from rules_bento.base.formats import read_file
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Iterable, Mapping, Sequence
from rules_bento.bentos.packages.requirement_syntax import normalize_name, requirement_name

if TYPE_CHECKING:
    from pathlib import Path

_REQUIRED = re.compile(r"^Requires-Dist:[ \t]*(.{1,300})$", re.MULTILINE)


def bentoml_users(required: Mapping[str, Iterable[str]]) -> set[str]:
    """Return the packages that require bentoml. `required` maps packages to the packages that they require."""
    found = {"bentoml"}
    while more := {name for name, names in required.items() if name not in found and found.intersection(names)}:
        found |= more
    return found - {"bentoml"}


def users_in_lock(entries: Iterable[Mapping[str, Any]]) -> set[str]:
    """Return the packages in a lock that require bentoml. The entries have the form of uv.lock."""
    edges = {entry.get("name", ""): [edge["name"] for edge in entry.get("dependencies", ())] for entry in entries}
    return bentoml_users(edges)


def modules_of_users(sites: Sequence[Path]) -> set[str]:
    """Return the top-level modules of the packages that require bentoml, in directories such as site-packages."""
    directories = [path for site in sites for path in site.glob("*.dist-info") if (path / "METADATA").is_file()]
    names = {path: normalize_name(path.name.partition("-")[0]) for path in directories}
    required = {}
    for path, name in names.items():
        head = read_file(path / "METADATA").decode("utf-8", "replace").partition("\n\n")[0]
        required[name] = [normalize_name(each) for line in _REQUIRED.findall(head) if (each := requirement_name(line))]
    modules = set[str]()
    for path in (path for path, name in names.items() if name in bentoml_users(required)):
        record = path / "RECORD"
        files = read_file(record).decode("utf-8", "replace").splitlines() if record.is_file() else []
        modules.update(re.split(r"[./,]", file)[0] for file in files)
        modules.add(names[path].replace("-", "_"))
    return modules
