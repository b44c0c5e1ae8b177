"""Reads `Pipfile.lock` of form 6, as Pipenv writes it. Its categories are groups, named as in the Pipfile."""

from __future__ import annotations

from rules_bento.base.formats.json import read_object
from rules_bento.base.formats.schema import validate
from rules_bento.base.typing_lite import Any, Mapping
from rules_bento.bentos.packages.locks.neutral_lock import PROJECT, NeutralLock

_PACKAGE = {"version?": str, "hashes?": [str], "markers?": str, "index?": str, "git?": str, "path?": str, "file?": str}
_META = {"hash?": {"sha256?": str}, "pipfile-spec": int, "sources?": [{"name?": str, "url?": str}]}
_SHAPE = {"_meta": _META | {"requires?": {"python_version?": str, "python_full_version?": str}}}
_SECTIONS = ("default", "develop", "dev-packages", "packages", "pipenv", "pipfile", "requires", "scripts", "source")


def read(lock: NeutralLock, text: str, project: Mapping[str, Any]) -> None:
    """Add what a lock has. Raises BentoError for a stale lock, and for what an image can't verify."""
    tables = read_object(text, lock.origin)
    validate(tables, _SHAPE, lock.origin, f"Run `{lock.command}`.")
    meta = tables.pop("_meta")
    lock.check_form(meta["pipfile-spec"], "6")
    validate(tables, {...: {...: _PACKAGE}}, lock.origin, f"Run `{lock.command}`.")
    if project:
        lock.check_current(meta.get("hash", {}).get("sha256"), [_content(project)], (",", ":"))
    required = meta.get("requires", {})
    if version := required.get("python_version") or required.get("python_full_version"):
        lock.requires_python = f"=={'.'.join(version.split('.')[:2])}.*"
    indexes = {each.get("name"): each.get("url") for each in meta.get("sources", ()) if each.get("name") != "pypi"}
    for section, packages in tables.items():
        user = PROJECT if section == "default" else ("group", "dev-packages" if section == "develop" else section)
        lock.declare(user[0], [user[1]])
        for name, package in packages.items():
            kind = next((key for key in ("git", "path", "file") if key in package), "")
            if kind and lock.is_project(name, kind, package[kind]):
                continue
            version, url = package.get("version", ""), indexes.get(package.get("index"))
            if not version.startswith("=="):
                lock.fail(f"{name[:100]} has no exact version")
            files = [{"hash": digest} for digest in package.get("hashes", ())]
            edge = lock.add(name, version.lstrip("="), files, [f"--index-url {url}"] if url else ())
            lock.require(user, edge, package.get("markers", ""))


def _content(pipfile: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `get_hash` of plette, which Pipenv contains, hashes of a Pipfile."""
    known = {"default": pipfile.get("packages", {}), "develop": pipfile.get("dev-packages", {})}
    meta = {"sources": pipfile.get("source", []), "requires": pipfile.get("requires", {})}
    return {"_meta": meta, **known, **{name: table for name, table in pipfile.items() if name not in _SECTIONS}}
