"""Reads `pdm.lock` of version 4.4 and 4.5 (PDM 2.8 to 2.29), as pdm/project/lockfile/pdmlock.py writes it.

With the strategy `inherit_metadata`, the lock states the groups and the marker of each package. Otherwise, it has only
edges, so the requirements in pyproject.toml are the roots. Groups of PDM are the extras of the project and groups of
development. A package with extras is an entry besides the one without.
"""

from __future__ import annotations

from rules_bento.base.formats.schema import validate
from rules_bento.base.formats.toml import read_toml
from rules_bento.base.typing_lite import Any, Iterator, Mapping
from rules_bento.bentos.packages.locks.neutral_lock import PROJECT, Edge, NeutralLock, User
from rules_bento.bentos.packages.requirement_syntax import check, normalize_name

_PACKAGE = {"name": str, "version": str, "groups?": [str], "marker?": str, "files?": [{"hash": str, "url?": str}]}
_PACKAGE |= {"extras?": [str], "dependencies?": [str], "url?": str, "git?": str, "path?": str}
_SHAPE = {"metadata": {"lock_version": str, "content_hash?": str, "strategy?": [str]}, "package?": [_PACKAGE]}
_PDM = {"dev-dependencies?": {...: [str]}, "source?": [{"name?": str, "url?": str}], "resolution?": dict}
_FIELDS = {"dependencies?": [str], "optional-dependencies?": {...: [str]}, "requires-python?": str}
_PROJECT = {"project?": _FIELDS, "dependency-groups?": {...: list}, "tool?": {"pdm?": _PDM}}


def read(lock: NeutralLock, text: str, project: Mapping[str, Any]) -> None:
    """Add what a lock has. Raises BentoError for a stale lock, and for what an image can't verify."""
    tables = read_toml(text, lock.origin)
    metadata, packages = tables.get("metadata", {}), tables.get("package", [])
    lock.check_form(metadata.get("lock_version") if isinstance(metadata, dict) else None, r"4\.[45](\.\d+)?")
    validate(tables, _SHAPE, lock.origin, f"Run `{lock.command}`.")
    validate(project, _PROJECT, "pyproject.toml", "Correct the file.")
    lock.check_current(metadata.get("content_hash"), _contents(project))
    fields, pdm = project.get("project", {}), project.get("tool", {}).get("pdm", {})
    lock.requires_python = fields.get("requires-python", lock.requires_python)
    extras = {normalize_name(name): lines for name, lines in fields.get("optional-dependencies", {}).items()}
    groups = {"default": fields.get("dependencies", []), **extras, **_merged(project)}

    def user(group: str) -> User:
        return PROJECT if group == "default" else ("extra" if group in extras else "group", group)

    for group in groups:
        lock.declare(user(group)[0], [user(group)[1]])
    sources = [each["url"] for each in pdm.get("source", ()) if each.get("name") != "pypi" and "url" in each]
    for package in packages:
        kind = next((key for key in ("git", "path") if key in package), "")
        if kind and lock.is_project(package["name"], kind, str(package[kind])):
            continue
        files = [({"url": package["url"]} if "url" in package else {}) | file for file in package.get("files", ())]
        edge = lock.add(package["name"], package["version"], files, [f"--extra-index-url {url}" for url in sources])
        for group in package.get("groups", ()):
            lock.require(user(normalize_name(group)), edge, package.get("marker", ""))
    if "inherit_metadata" in metadata.get("strategy", ()):
        return
    lock.upgrade = f"{lock.command} --strategy inherit_metadata"
    for package in packages:
        edges = [_edge(lock, line) for line in package.get("dependencies", ())]
        table = lock.packages.get((normalize_name(package["name"]), package["version"]), {})
        for extra in package.get("extras", ()):
            table.setdefault("optional-dependencies", {}).setdefault(normalize_name(extra), []).extend(edges)
        table |= {} if package.get("extras") else {"dependencies": edges}
    for group, lines in groups.items():
        lock.roots[user(group)] += [_edge(lock, line) for line in lines]


def _edge(lock: NeutralLock, line: object) -> Edge:
    if not isinstance(line, str):
        lock.fail("a group includes another, but the lock states no groups", f"Run `{lock.upgrade}`.")
    found = check(line.removeprefix("-e "), lock.origin)
    return lock.edge(found.name, sorted(found.extras), str(found.marker or ""))


def _merged(project: Mapping[str, Any]) -> dict[str, list[Any]]:
    old = project.get("tool", {}).get("pdm", {}).get("dev-dependencies", {})
    merged: dict[str, list[Any]] = {}
    for name, items in (*project.get("dependency-groups", {}).items(), *old.items()):
        merged.setdefault(normalize_name(name), []).extend(items)
    return merged


def _contents(project: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the requirements that `content_hash` of PDM hashes, and those that it hashed before PDM 2.20 and 2.12."""
    fields, pdm = project.get("project", {}), project.get("tool", {}).get("pdm", {})
    content = {key: fields.get(key, {}) for key in ("optional-dependencies",)} | {"sources": pdm.get("source", [])}
    content |= {"dependencies": fields.get("dependencies", []), "requires-python": fields.get("requires-python", "")}
    resolution = pdm.get("resolution", {})
    for groups in (_merged(project), pdm.get("dev-dependencies", {})):
        yield content | {"dev-dependencies": groups, "resolution": resolution}
        yield content | {"dev-dependencies": groups, "overrides": resolution.get("overrides", {})}
