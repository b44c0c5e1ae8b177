"""Reads `poetry.lock` of version 2.0 (Poetry 1.5 to 1.8) and 2.1 (Poetry 2), as poetry/packages/locker.py writes it.

Version 2.0 doesn't state groups, so the requirements in pyproject.toml are the roots.
"""

from __future__ import annotations

import re

from rules_bento.base.formats.schema import validate
from rules_bento.base.formats.toml import read_toml
from rules_bento.base.typing_lite import Any, Mapping
from rules_bento.bentos.packages.locks.neutral_lock import PROJECT, NeutralLock
from rules_bento.bentos.packages.locks.poetry_edges import add_edges, pep_440
from rules_bento.bentos.packages.requirement_syntax import normalize_name

_PACKAGE = {"name": str, "version": str, "files": [{"hash": str}], "groups?": [str], "dependencies?": dict}
_PACKAGE |= {"source?": {"type?": str, "url?": str}, "extras?": {...: [str]}}
_METADATA = dict.fromkeys(("lock-version", "content-hash", "python-versions"), str)
_SHAPE = {"metadata": _METADATA, "extras?": {...: [str]}, "package?": [_PACKAGE]}
_LEGACY = ("dependencies", "source", "extras", "dev-dependencies")


def read(lock: NeutralLock, text: str, project: Mapping[str, Any]) -> None:
    """Add what a lock has. Raises BentoError for a stale lock, and for what an image can't verify."""
    tables = read_toml(text, lock.origin)
    metadata, packages = tables.get("metadata", {}), tables.get("package", [])
    lock.check_form(metadata.get("lock-version") if isinstance(metadata, dict) else None, r"2\.[01]")
    validate(tables, _SHAPE, lock.origin, f"Run `{lock.command}`.")
    validate(project, {"project?": dict, "tool?": {"poetry?": dict}}, "pyproject.toml", "Correct the file.")
    is_old = re.search(r"Poetry (1\.|2\.[0-2]\.)", text.partition("\n")[0])  # which doesn't hash dependency-groups
    lock.check_current(metadata["content-hash"], [_content(project, has_groups=each) for each in (True, not is_old)])
    lock.requires_python = pep_440(metadata["python-versions"])
    lock.declare("extra", tables.get("extras", {}))
    for package in packages:
        source = package.get("source", {})
        kind, url = source.get("type", "legacy"), source.get("url", "")
        if kind not in ("legacy", "url") and lock.is_project(package["name"], kind, url):
            continue
        files = [{**file, "url": url} if kind == "url" else {"hash": file["hash"]} for file in package["files"]]
        edge = lock.add(package["name"], package["version"], files, [f"--index-url {url}"] if url else ())
        markers = package.get("markers", "")  # `extra == 'NAME'` is an extra of the project
        for group in package.get("groups", ["main"]):
            user = PROJECT if group == "main" else ("group", normalize_name(group))
            lock.require(user, edge, str(markers.get(group, "") if isinstance(markers, dict) else markers))
    if metadata["lock-version"] == "2.0":
        lock.upgrade = "uvx poetry lock"
        add_edges(lock, packages, project)


def _content(project: Mapping[str, Any], *, has_groups: bool) -> dict[str, Any]:
    """Return the requirements that `Locker._get_content_hash` of Poetry hashes."""
    poetry, fields = project.get("tool", {}).get("poetry", {}), project.get("project", {})
    own = {key: fields[key] for key in ("requires-python", "dependencies", "optional-dependencies") if key in fields}
    groups = project.get("dependency-groups", {}) if has_groups else {}
    relevant = {key: table for key, table in (("project", own), ("dependency-groups", groups)) if table}
    keys = [key for key in (*_LEGACY, "group") if key in poetry or (key in _LEGACY and not relevant)]
    chosen = {key: poetry.get(key) for key in keys}
    return relevant | {"tool": {"poetry": chosen}} if relevant else chosen
