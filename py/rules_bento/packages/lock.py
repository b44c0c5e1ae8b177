"""The lock that a hub is made of: packages, edges with markers, files with hashes; no host.

Tools write locks in several forms. A hub is made of this one, which keeps what does not depend on where a file came
from, so that it can be committed and shared, and any index or cache that has a file of that hash can serve it. The
form is JSON, which Starlark reads without help::

    {"lock": 1, "requires_python": ">=3.10",
     "stated": {"requirements": ["bentoml"], "constraints": [...], "overrides": [...], "platforms": [...],
                "indexes": "<digest>"},
     "roots": [{"name": "bentoml", "extras": [...], "marker": "..."}],
     "packages": [{"name": "numpy", "version": "2.5.5",
                   "dependencies": [{"name": ..., "version": ..., "extras": [...], "marker": ...}],
                   "extras": {"io": [<dependency>, ...]},
                   "files": {"numpy-2.5.5-....whl": "<sha256>"},
                   "source": {"git": "https://...", "commit": "<40 hex>", "subdirectory": "..."},
                   "refused": ["numpy-2.5.5-....whl"],
                   "unlocked": true}]}

Optional fields are left out where they are empty. A dependency has a version only where the lock holds several of
it. `refused` are files of the release whose hash the source of the lock does not name. `source` is there for what comes
from no index: a commit of a git repository, or `{"url": ...}` of a file. `unlocked` packages are those that a lock for
one platform leaves out and others would need: they have neither files nor edges, and who needs one fails. `stated` is
what a `bento_requirements` target locked, by which a test knows that the lock is stale.
"""

from __future__ import annotations

import json
import re
from urllib.parse import unquote

from rules_bento.errors import BentoError
from rules_bento.formats import FormatError, read_file, shapes
from rules_bento.formats.json import read_json
from rules_bento.formats.toml import read_toml
from rules_bento.hints import Any
from rules_bento.packages.indexes import EXPLICIT_GROUP, refuse_credentials
from rules_bento.packages.requirements import LOCAL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

FORMAT = 1

# Of Python, the ABI and the platform: what the interpreters can run that the rules know.
_KNOWN_TAGS = tuple(
    re.compile(tag)
    for tag in (
        r"(cp|py)3\d*",
        r"none|abi3|cp3\d+m?",
        r"any|(many)?linux\w*_(x86_64|aarch64)|macosx_\w+_(x86_64|arm64|universal2?|intel|fat32|fat64)",
    )
)

Lock = dict[str, Any]

_EDGE = {"name": str, "version?": str, "extras?": [str], "marker?": str}
_LOCK = {
    "requires_python": str,
    "stated?": {
        "requirements?": [str],
        "constraints?": [str],
        "overrides?": [str],
        "platforms?": [str],
        "indexes?": str,
    },
    "roots": [_EDGE],
    "packages": [
        {
            "name": str,
            "version": str,
            "dependencies?": [_EDGE],
            "extras?": {...: [_EDGE]},
            "files": {...: str},
            "source?": {...: str},
            "refused?": [str],
            "unlocked?": bool,
        }
    ],
}
_UV_EDGE = {"name": str, "version?": str, "extra?": [str], "marker?": str}
_UV_FILE = {"url?": str, "path?": str, "hash?": str}
_UV_LOCK = {
    "requires-python": str,
    "package": [
        {
            "name": str,
            "version?": str,
            "source": {"git?": str, "url?": str},
            "dependencies?": [_UV_EDGE],
            "optional-dependencies?": {...: [_UV_EDGE]},
            "dev-dependencies?": {...: [_UV_EDGE]},
            "wheels?": [_UV_FILE],
            "sdist?": _UV_FILE,
        }
    ],
}


def dumps(lock: Lock) -> str:
    """Return the text of a lock: a package, an edge and a file on a line each, so that changes read well."""
    return json.dumps(lock, indent=1, ensure_ascii=False) + "\n"


def load(path: Path) -> Lock:
    """Return a lock in the normal form. Raises BentoError for a file that is none."""
    try:
        lock: Lock = read_json(read_file(path), str(path))
    except FormatError as error:
        raise BentoError(f"{error} Or write the lock again with a bento_requirements target.") from None
    if not isinstance(lock, dict) or lock.get("lock") != FORMAT:
        raise BentoError(
            f"{path}: not a lock of rules_bento in format {FORMAT}. Write it with a bento_requirements target."
        )
    shapes.check(lock, _LOCK, str(path), "Take the file as it was committed, or empty it and lock again.")
    return lock


def from_uv_lock(
    text: str, origin: str, *, extras: Collection[str] | None = None, groups: Collection[str] | None = None
) -> Lock:
    """Return the normal form of a `uv.lock`.

    Roots are what the project and the members of its workspace depend on, with the named extras and dependency groups
    (None: all of them). Raises BentoError for what is none.
    """
    document = read_toml(text, origin)
    if "package" not in document or "requires-python" not in document:
        raise BentoError(f"{origin}: not a uv.lock: it has no packages. Write it with `uv lock`.")
    shapes.check(document, _UV_LOCK, origin, "Write it again with `uv lock`.")
    counts: dict[str, int] = {}
    for package in document["package"]:
        counts[package["name"]] = counts.get(package["name"], 0) + 1
    members = [package for package in document["package"] if package["source"].keys() & {"virtual", "editable"}]
    own = {member["name"] for member in members}
    roots = [
        _dependency(edge, counts, origin)
        for member in members
        for edge in _root_edges(member, extras, groups)
        if edge["name"] not in own
    ]
    packages = [_package(package, counts, origin) for package in document["package"] if package["name"] not in own]
    packages = reachable(roots, packages)
    return {"lock": FORMAT, "requires_python": document["requires-python"], "roots": roots, "packages": packages}


def keep_locked(lock: Lock, names: Collection[str], hashes: Collection[str], origin: str) -> Lock:
    """Take away the files whose hashes are not committed, and of packages that are not, all but the name.

    `refused` remembers the files, `unlocked` the packages: those are for other platforms than the lock.
    """
    kept = [package if package["name"] in names else _unlocked(package) for package in lock["packages"]]
    packages = []
    for package in reachable(lock["roots"], kept):
        if "source" in package or "unlocked" in package:
            packages.append(package)
            continue
        files = {name: sha256 for name, sha256 in package["files"].items() if sha256 in hashes}
        refused = sorted(package["files"].keys() - files.keys())
        if not files:
            raise BentoError(
                f"{origin}: {package['name']}=={package['version']}: none of its files has a hash that stands in the "
                f"lock: {', '.join(refused)}. Lock again, or find out who changed the release."
            )
        packages.append(package | {"files": files} | ({"refused": refused} if refused else {}))
    return lock | {"packages": packages}


def _unlocked(package: dict[str, Any]) -> dict[str, Any]:
    return {"name": package["name"], "version": package["version"], "files": {}, "unlocked": True}


def _root_edges(
    member: dict[str, Any], extras: Collection[str] | None, groups: Collection[str] | None
) -> list[dict[str, Any]]:
    edges = list(member.get("dependencies", []))
    for table, chosen in (("optional-dependencies", extras), ("dev-dependencies", groups)):
        for name, stated in member.get(table, {}).items():
            if (chosen is None or name in chosen) and name != EXPLICIT_GROUP:
                edges += stated
    return edges


def reachable(roots: list[dict[str, Any]], packages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the packages that the roots lead to, whatever the markers."""
    by_name: dict[str, list[dict[str, Any]]] = {}
    for package in packages:
        by_name.setdefault(package["name"], []).append(package)
    seen: set[tuple[str, str, str]] = set()
    queue = list(roots)
    while queue:
        edge = queue.pop()
        for package in by_name.get(edge["name"], []):
            for extra in (
                ("", *edge.get("extras", [])) if package["version"] == edge.get("version", package["version"]) else ()
            ):
                key = (package["name"], package["version"], extra)
                if key not in seen:
                    seen.add(key)
                    queue += package.get("extras", {}).get(extra, []) if extra else package.get("dependencies", [])
    return [package for package in packages if (package["name"], package["version"], "") in seen]


def _package(package: dict[str, Any], counts: dict[str, int], origin: str) -> dict[str, Any]:
    source = _source(package, origin)
    if "version" not in package:
        raise BentoError(f"{origin}: {package['name']} has no version. Write the lock again with `uv lock`.")
    files = {}
    for file in [*package.get("wheels", []), *([package["sdist"]] if "sdist" in package else [])]:
        name = (file.get("url") or file.get("path", "")).rpartition("/")[2].partition("#")[0]
        if _can_be_used(name) and file.get("hash", "").startswith("sha256:"):
            files[name] = file["hash"].removeprefix("sha256:")
    result: dict[str, Any] = {"name": package["name"], "version": package["version"]}
    if edges := [_dependency(edge, counts, origin) for edge in package.get("dependencies", [])]:
        result["dependencies"] = edges
    extras = package.get("optional-dependencies", {})
    if extras:
        result["extras"] = {
            name: [_dependency(edge, counts, origin) for edge in edges] for name, edges in extras.items()
        }
    result["files"] = files
    return result | ({"source": source} if source else {})


def _source(package: dict[str, Any], origin: str) -> dict[str, str]:
    """Return where a package comes from that no index has."""
    source = package["source"]
    if "git" in source:
        address, _, commit = source["git"].partition("#")
        address, _, query = address.partition("?")
        refuse_credentials(address, f"{origin}: {package['name']}")
        folder = [value.partition("=")[2] for value in query.split("&") if value.startswith("subdirectory=")]
        return {"git": address, "commit": commit} | ({"subdirectory": unquote(folder[0])} if folder else {})
    if "url" in source:
        refuse_credentials(source["url"], f"{origin}: {package['name']}")
        return {"url": source["url"]}
    if source.keys() & {"directory", "path"}:
        raise BentoError(
            f"{origin}: {package['name']} is a folder or file of this machine. {LOCAL}. Take it out of "
            f"the project's dependencies."
        )
    return {}


def _dependency(edge: dict[str, Any], counts: dict[str, int], origin: str) -> dict[str, Any]:
    result = {"name": edge["name"]}
    if counts.get(edge["name"], 0) > 1:
        if "version" not in edge:
            raise BentoError(
                f"{origin}: a dependency on {edge['name']} says not which of several versions is meant. Write the lock "
                f"again with `uv lock`."
            )
        result["version"] = edge["version"]
    if "extra" in edge:
        result["extras"] = edge["extra"]
    if "marker" in edge:
        result["marker"] = edge["marker"]
    return result


def _can_be_used(filename: str) -> bool:
    """Return whether a file is for CPython on Linux with glibc or on macOS, the platforms that the rules know."""
    if not filename.endswith(".whl"):
        return filename.endswith((".tar.gz", ".zip"))
    tags = filename.removesuffix(".whl").split("-")[-3:]
    return len(tags) == len(_KNOWN_TAGS) and all(
        any(known.fullmatch(tag) for tag in several.split("."))
        for known, several in zip(_KNOWN_TAGS, tags, strict=True)
    )
