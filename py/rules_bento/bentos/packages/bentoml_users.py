"""Finds packages that require bentoml, directly or not: their functions might make objects of BentoML."""

from __future__ import annotations

from rules_bento.base.typing_lite import Any, Iterable, Mapping


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
