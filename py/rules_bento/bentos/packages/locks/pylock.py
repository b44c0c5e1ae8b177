"""Reads `pylock.toml` (PEP 751, version 1.0), whose markers can have the chosen `extras` and `dependency_groups`."""

from __future__ import annotations

import re

from rules_bento.base.formats.schema import validate
from rules_bento.base.formats.toml import read_toml
from rules_bento.base.typing_lite import Any, Mapping
from rules_bento.bentos.packages.locks.neutral_lock import PROJECT, NeutralLock, User
from rules_bento.bentos.packages.requirement_syntax import normalize_name

_FILE = {"url?": str, "path?": str, "size?": int, "hashes": {"sha256?": str}}
_VCS = {"type": str, "url?": str, "path?": str, "commit-id": str, "subdirectory?": str}
_PACKAGE = {"name": str, "version?": str, "marker?": str, "wheels?": [_FILE], "sdist?": _FILE, "archive?": _FILE}
_PACKAGE |= {"directory?": {"path": str}, "vcs?": _VCS}
_NAMES = {f"{key}?": [str] for key in ("extras", "dependency-groups", "default-groups")}
_SHAPE = {"lock-version": str, "requires-python?": str, "packages": [_PACKAGE], **_NAMES}
_ATOM = re.compile(r"""(['"])([A-Za-z0-9._-]+)\1\s+(not\s+)?in\s+(extras|dependency_groups)\b""")


def read(lock: NeutralLock, text: str, project: Mapping[str, Any]) -> None:
    """Add what a lock has. Raises BentoError for what an image can't verify."""
    tables = read_toml(text, lock.origin)
    lock.check_form(tables.get("lock-version"), r"1\.0")
    validate(tables, _SHAPE, lock.origin, f"Run `{lock.command}`.")
    lock.requires_python = tables.get("requires-python", lock.requires_python)
    lock.default_groups = [normalize_name(name) for name in tables.get("default-groups", ())]
    lock.declare("extra", tables.get("extras", ()))
    lock.declare("group", (*tables.get("dependency-groups", ()), *lock.default_groups))
    for package in tables["packages"]:
        name, vcs, archive = package["name"], package.get("vcs", {}), package.get("archive", {})
        if "directory" in package and lock.is_project(name, "directory", package["directory"]["path"]):
            continue
        files = [*package.get("wheels", ()), *([package["sdist"]] if "sdist" in package else [])]
        for file in (file for file in (*files, archive, vcs) if file):
            if "url" not in file or file.get("type", "git") != "git":
                lock.reject(name, file.get("type", "the path"), file.get("url", file.get("path", "-")))
        known = [{**file, "hash": f"sha256:{file['hashes']['sha256']}"} for file in files if "sha256" in file["hashes"]]
        if vcs:
            edge = lock.add_direct(name, vcs["url"], commit=vcs["commit-id"], path=vcs.get("subdirectory", ""))
        elif archive:
            edge = lock.add_direct(name, archive["url"], [*filter(None, [archive["hashes"].get("sha256")])])
        elif "version" in package:
            edge = lock.add(name, package["version"], known)
        else:
            lock.fail(f"{name[:100]} has no version")
        marker = package.get("marker", "")
        users = {_item(atom) for atom in _ATOM.finditer(marker)} & lock.roots.keys()
        # In uv's locks, `extra` has the names of all items of a project that are chosen.
        marker = _ATOM.sub(
            lambda atom: f"extra {'!=' if atom[3] else '=='} '{_name(lock.project, *_item(atom))}'", marker
        )
        for user in (PROJECT, *sorted(users)):
            lock.require(user, edge, marker)


def _item(atom: re.Match[str]) -> User:
    return "extra" if atom[4] == "extras" else "group", normalize_name(atom[2])


def _name(project: str, kind: str, name: str) -> str:
    return f"{kind}-{len(project)}-{project}-{name}"
