"""Reads `pdm.lock` of version 4.4 and 4.5 (PDM 2.8 to 2.29), as pdm/project/lockfile/pdmlock.py writes it.

With the strategy `inherit_metadata`, the default, the lock states the groups and the marker of each package. Groups of
PDM are the extras of the project and groups of development. A package with extras is an entry besides the one without.
"""

from __future__ import annotations

from rules_bento.base.formats.schema import validate
from rules_bento.base.formats.toml import read_toml
from rules_bento.base.typing_lite import Any, Iterator, Mapping
from rules_bento.bentos.packages.locks.neutral_lock import PROJECT, NeutralLock, User
from rules_bento.bentos.packages.requirement_syntax import normalize_name

_PACKAGE = {"name": str, "version": str, "groups?": [str], "marker?": str, "files?": [{"hash": str, "url?": str}]}
_PACKAGE |= {"url?": str, "git?": str, "path?": str}
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
    if "inherit_metadata" not in metadata.get("strategy", ()):
        lock.fail("the lock states no groups", f"Run `{lock.command} --strategy inherit_metadata`.")
    lock.check_current(metadata.get("content_hash"), _contents(project))
    fields, pdm = project.get("project", {}), project.get("tool", {}).get("pdm", {})
    lock.requires_python = fields.get("requires-python", lock.requires_python)
    extras = dict.fromkeys(map(normalize_name, fields.get("optional-dependencies", ())))

    def user(group: str) -> User:
        return PROJECT if group == "default" else ("extra" if group in extras else "group", group)

    for group in ("default", *extras, *_merged(project)):
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
