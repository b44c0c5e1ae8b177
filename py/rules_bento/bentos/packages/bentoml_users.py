"""Finds packages that require bentoml, directly or not: their functions might make objects of BentoML."""

from __future__ import annotations

import re
from pathlib import Path

from rules_bento.base.formats import read_file
from rules_bento.base.typing_lite import Any, Iterable, Mapping, Sequence
from rules_bento.bentos.packages.requirement_syntax import normalize_name, requirement_name

_REQUIRED = re.compile(r"^Requires-Dist:[ \t]*(.{1,300})$", re.MULTILINE)


def bentoml_users(required: Mapping[str, Iterable[str]]) -> set[str]:
    """Return the packages that require bentoml. `required` maps packages to the packages that they require."""
    found = {"bentoml"}
    while more := {name for name, names in required.items() if name not in found and found.intersection(names)}:
        found |= more
    return found - {"bentoml"}


def users_in_lock(entries: Any) -> set[str]:
    """Return the packages in a lock that require bentoml. The entries have the form of uv.lock, or are ignored."""
    edges: dict[str, list[str]] = {}
    for entry in entries if isinstance(entries, (list, tuple)) else ():
        listed = entry.get("dependencies") if isinstance(entry, dict) else None
        for edge in listed if isinstance(listed, list) else ():
            if isinstance(edge, dict):
                edges.setdefault(str(entry.get("name")), []).append(str(edge.get("name")))
    return bentoml_users(edges)


def modules_of_users(sites: Sequence[Path]) -> set[str]:
    """Return the top-level modules of the packages that require bentoml, in directories such as site-packages."""
    required, records = dict[str, list[str]](), dict[str, Path]()
    for path in (path for site in sites for path in site.glob("*.dist-info/METADATA") if path.is_file()):
        name = normalize_name(path.parent.name.partition("-")[0])
        head = read_file(path).decode("utf-8", "replace").partition("\n\n")[0]
        required[name] = [normalize_name(each) for line in _REQUIRED.findall(head) if (each := requirement_name(line))]
        records[name] = path.with_name("RECORD")
    users = bentoml_users(required)
    files = (read_file(records[name]).decode("utf-8", "replace") for name in users if records[name].is_file())
    modules = {re.split(r"[./,]", line)[0] for text in files for line in text.splitlines()}
    return modules | {name.replace("-", "_") for name in users}
