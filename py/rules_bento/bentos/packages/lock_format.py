"""Reads, converts, and writes rules_bento locks, which contain packages, dependencies with markers, and file hashes.

Locks from other tools are converted to this format. A lock contains no URL of the default index, so it can be committed
and shared, and any index or cache can serve the files. The format is JSON because Starlark can decode JSON::

    {"lock": 1, "requires_python": ">=3.10",
     "inputs": {"requirements": ["bentoml"], "constraints": [...], "overrides": [...], "platforms": [...],
                "settings": ["no-build = true"], "indexes": "<digest>"},
     "roots": [{"name": "bentoml", "extras": [...], "marker": "..."}],
     "packages": [{"name": "numpy", "version": "2.5.5",
                   "dependencies": [{"name": ..., "version": ..., "extras": [...], "marker": ...}],
                   "extras": {"io": [<dependency>, ...]},
                   "index": "2",
                   "page": "https://.../whl/cpu/numpy/",
                   "files": {"numpy-2.5.5-....whl": "<sha256>"},
                   "source": {"git": "https://...", "commit": "<40 hex>", "subdirectory": "..."},
                   "rejected_files": ["numpy-2.5.5-....whl"],
                   "unlocked": true}]}

Empty optional fields are omitted. A dependency has a `version` only if the lock has several versions of the package,
and an `index` (a number) only if several indexes provide the version. For a package that isn't in the default index,
`page` is the URL of the package's file list. Bentos contain the URL, so that installers find the package.
`rejected_files` lists the files of the release that have no hash in the original lock. `source` is the git commit or
the URL (`{"url": ...}`) of a package that isn't in an index. `inputs` records the inputs of a `bento_requirements`
target, so that a test can detect a stale lock.

If the original lock is for a single platform, it lacks the packages that only other platforms require. Such packages
are `unlocked`: they have no files and no dependencies. Requiring an `unlocked` package is an error.
"""

from __future__ import annotations

import json
import posixpath
import re
from urllib.parse import unquote

from rules_bento.base.archives import sha256_of
from rules_bento.base.display import without_credentials
from rules_bento.base.errors import BentoError
from rules_bento.base.formats import FormatError, read_file, shapes
from rules_bento.base.formats.json import read_json
from rules_bento.base.formats.shapes import LOCK
from rules_bento.base.formats.toml import read_toml
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Collection, Iterable, Sequence
from rules_bento.bentos.packages import requirement_syntax, uv_lock_conflicts
from rules_bento.bentos.packages.indexes import EXPLICIT_GROUP, Indexes, reject_credentials, split_index
from rules_bento.bentos.packages.platforms import PLATFORMS, PYTHON_VERSIONS, supported_targets
from rules_bento.bentos.packages.requirement_syntax import LOCAL_REMEDY, normalize_name
from rules_bento.bentos.packages.uv_lock_conflicts import Choice
from rules_bento.bentos.packages.uv_lock_markers import format_condition

if TYPE_CHECKING:
    from pathlib import Path

FORMAT = 1
_WRITE_AGAIN = "Generate the lock with a bento_requirements target."

# Tags of Python, ABI, and platform that the supported interpreters can use.
_SUPPORTED_TAGS = tuple(
    re.compile(tag)
    for tag in (
        r"(cp|py)3\d*",
        r"none|abi3|cp3\d+m?",
        r"any|(many)?linux\w*_(x86_64|aarch64)|macosx_\w+_(x86_64|arm64|universal2?|intel|fat32|fat64)",
    )
)

Lock = dict[str, Any]

_UV_EDGE = {"name": "name", "version?": "version", "source?": dict, "extra?": ["extra"], "marker?": str}
_UV_FILE = {"url?": "address", "path?": "place", "filename?": "file name", "hash?": "hash"}
_UV_REQUIREMENT: dict[str, Any] = {"name": "name", "extras?": ["extra"]}
_UV_REQUIREMENT |= {f"{key}?": str for key in ("specifier", "marker", "git", "index", "path", "url")}
_UV_REQUIREMENT |= {f"{key}?": str for key in ("subdirectory", "editable", "directory", "virtual")}
_UV_LOCK = {
    "requires-python": str,
    "supported-markers?": [str],
    "required-markers?": [str],
    "options?": dict.fromkeys(("resolution-mode?", "prerelease-mode?", "fork-strategy?", "exclude-newer?"), str),
    "manifest?": {
        "members?": ["name"],
        "constraints?": [_UV_REQUIREMENT],
        "overrides?": [_UV_REQUIREMENT],
        "build-constraints?": [_UV_REQUIREMENT],
        "excludes?": ["name"],
        "dependency-groups?": ("extra", [_UV_REQUIREMENT]),
        "dependency-metadata?": [{"name": "name", "requires-dist?": [str]}],
    },
    "conflicts?": [[{"package": "name", "extra?": "extra", "group?": "extra"}]],
    "package": [
        {
            "name": "name",
            "version?": "version",
            "source": {
                "git?": "git source",
                "registry?": "registry",
                "url?": "address",
                **{f"{key}?": "place" for key in ("path", "directory", "editable", "subdirectory", "virtual")},
            },
            "resolution-markers?": [str],
            "dependencies?": [_UV_EDGE],
            "optional-dependencies?": ("extra", [_UV_EDGE]),
            "dev-dependencies?": ("extra", [_UV_EDGE]),
            "wheels?": [_UV_FILE],
            "sdist?": _UV_FILE,
            "metadata?": {
                "provides-extras?": ["extra"],
                "requires-dev?": ("extra", [_UV_REQUIREMENT]),
                "requires-dist?": [_UV_REQUIREMENT],
            },
        }
    ],
}


def dumps(lock: Lock) -> str:
    """Return a lock as JSON with one value per line, for readable diffs."""
    return json.dumps(lock, indent=1, ensure_ascii=False) + "\n"


def load(path: Path) -> Lock:
    """Read a lock in the format of rules_bento. Raises BentoError for an invalid file."""
    try:
        lock: Lock = read_json(read_file(path), str(path))
    except FormatError as error:
        raise error.with_remedy(_WRITE_AGAIN) from None
    if not isinstance(lock, dict) or lock.get("lock") != FORMAT:
        raise BentoError(f"{path} isn't a rules_bento lock in format {FORMAT}. {_WRITE_AGAIN}")
    remedy = "Restore the committed file, or empty the file and run the bento_requirements target with `bazel run`."
    shapes.check(lock, LOCK, str(path), remedy)
    return lock


def with_pages(lock: Lock, indexes: Indexes) -> Lock:
    """Add the `page` of packages in explicit indexes, whose URLs a lock of rules_bento doesn't contain.

    Raises BentoError for a URL with secrets or invalid characters.
    """
    urls = dict(map(split_index, indexes.extra))
    explicit = {normalize_name(name): index for name, index in indexes.explicit.items()}
    packages = []
    for package in lock["packages"]:
        index = explicit.get(package["name"])
        if index and urls.get(index, "").startswith(("http:", "https:")) and "source" not in package:
            page = f"{urls[index].rstrip('/')}/{package['name']}/"
            if not shapes.matches("page", page):
                problem = f"the URL of {index} has credentials, a query, or invalid characters"
                remedy = "Remove them from the URL. For credentials, use netrc, or UV_INDEX_<NAME>_USERNAME and "
                remedy += "UV_INDEX_<NAME>_PASSWORD."
                raise BentoError(problem, place="indexes", remedy=remedy)
            package = package | {"page": page}
        packages.append(package)
    return lock | {"packages": packages}


def from_uv_lock(
    text: str,
    origin: str,
    choice: Choice | None = None,
    indexes: Indexes | None = None,
    *,
    only_declared: bool = False,
    project: Path | None = None,
) -> Lock:
    """Convert a `uv.lock` to a lock of rules_bento.

    The roots are the dependencies of the workspace members, extras, and groups that `choice` selects. If `choice` is
    None, all members, extras, and groups are selected, and conflicts are allowed. Raises BentoError for an invalid
    lock, or if the selection contains conflicts.

    If `indexes` is set, packages that aren't in the default index have a `page`. If `only_declared` is true, packages
    from indexes that aren't in `indexes` have no `page`, because this machine's configuration specifies these indexes.

    uv writes no hash of a file in a local directory. If `project`, the directory of the `uv.lock`, is set, the function
    hashes the file. Otherwise, a file without a hash is an error.
    """
    document = read_uv_lock(text, origin)
    pages = _Pages(document["package"], indexes, origin, only_declared=only_declared) if indexes else None
    if choice:
        document = uv_lock_conflicts.resolve(document, choice, origin)
    packages = [package for package in document["package"] if not uv_lock_conflicts.is_member(package)]
    names = _EdgeNames(packages, origin)
    limit = _environments(document, origin)
    roots = [_and(names.edge(edge), limit) for edge in _root_edges(document, choice or Choice())]
    entries = [_package(package, names, origin, project) for package in packages]
    packages = [
        entry | (pages.page(package) if pages else {}) for entry, package in zip(entries, packages, strict=True)
    ]
    lock = {"lock": FORMAT, "requires_python": document["requires-python"], "roots": roots, "packages": packages}
    shapes.check(lock, LOCK, origin, "Restore the committed file, or run `uv lock` again.")
    return lock | {"packages": reachable(roots, packages)}


def _environments(document: dict[str, Any], origin: str) -> str:
    """Return the marker of the environments that a `uv.lock` supports, or an empty string for all environments.

    For other environments, the lock lacks packages, and omits markers of dependencies.
    """
    markers = document.get("supported-markers", [])
    for marker in markers:
        shapes.require("marker", marker, f"{origin}: supported-markers", "Run `uv lock` again.")
    if not markers or len(supported_targets(markers)) == len(PLATFORMS) * len(PYTHON_VERSIONS):
        return ""
    return " or ".join(f"({marker})" for marker in markers)


def _and(edge: dict[str, Any], marker: str) -> dict[str, Any]:
    """Return an edge with the condition `marker` in addition to its own marker."""
    if not marker:
        return edge
    return edge | {"marker": f"({edge['marker']}) and ({marker})" if "marker" in edge else marker}


def read_uv_lock(text: bytes | str, origin: str) -> dict[str, Any]:
    """Return the tables of a `uv.lock`. Raises BentoError for an invalid lock, as uv does."""
    document = read_toml(text, origin)
    if "package" not in document or "requires-python" not in document:
        raise BentoError(f"{origin} isn't a uv.lock file", remedy="Run `uv lock` to create a uv.lock file.")
    if repr(document.get("version")) != "1":
        problem = "the lock isn't of version 1, the only one that is supported"
        raise BentoError(problem, place=origin, remedy="Lock with a uv that writes this version.")
    check_tables(document, origin, "Run `uv lock` again.")
    return document


def check_tables(document: dict[str, Any], origin: str, remedy: str) -> None:
    """Raise BentoError for the first value in the tables of a `uv.lock` that doesn't have the syntax of its kind."""
    shapes.check(document, _UV_LOCK, origin, remedy)
    for package in document["package"]:
        name, version, place = package["name"], package.get("version", ""), f"{origin}: {package['name']}"
        if not version and "registry" in package["source"]:
            raise BentoError("no version", place=place, remedy=remedy)
        for file in map(_file_name, package.get("wheels", ())):
            shapes.require("wheel", file, place, remedy)
            requirement_syntax.check_wheel(file, name, version, place, remedy)
        if file := _file_name(package.get("sdist", {})):
            shapes.require("file name", file, place, remedy)


def _file_name(file: dict[str, Any]) -> str:
    """Return the name of a file in a `uv.lock`. It is empty if only the source of the package has the name."""
    if "url" in file:
        return unquote(file["url"].partition("#")[0].partition("?")[0].rpartition("/")[2])
    return str(file.get("path", file.get("filename", ""))).rpartition("/")[2]


def locked_files(package: dict[str, Any], origin: str, project: Path) -> dict[str, str]:
    """Return the URLs or paths of a package's wheels in a `uv.lock` of the directory `project`, by SHA-256.

    Without wheels, returns the source archive. Raises BentoError for a file without a SHA-256.
    """
    source = package["source"]
    place = f"{origin}: {package['name']} {package.get('version', '')}".rstrip()
    files = {}
    for file in package.get("wheels") or ([package["sdist"]] if "sdist" in package else []):
        path = source.get("path") or posixpath.join(source.get("registry", ""), file.get("path", ""))
        url = file.get("url") or source.get("url") or str(project / path)
        files[_sha256(file, url.rpartition("/")[2], package, place, project)] = url
    return files


def regular_file(path: Path) -> Path:
    """Return the path of a file. Raises BentoError for another kind of file, whose reading might not end."""
    if not posixpath.isfile(path):  # False for a name that is too long, too
        raise BentoError("the lock has the file, but it doesn't exist", place=str(path), remedy="Run `uv lock` again.")
    return path


def locked_size(package: dict[str, Any], sha256: str) -> int:
    """Return the size in bytes that a `uv.lock` states for a package's file, or 0."""
    files = (*package.get("wheels", ()), package.get("sdist", {}))
    sizes = (file.get("size") for file in files if file.get("hash") == f"sha256:{sha256}")
    return next((size for size in sizes if type(size) is int and size > 0), 0)


def export(document: dict[str, Any], choice: Choice, origin: str) -> list[requirement_syntax.Line]:
    """Return the packages that `choice` installs, with markers and hashes, as `uv export` does.

    Raises BentoError for a package at a local path.
    """
    lines = []
    for package, condition in uv_lock_conflicts.installed(document, choice, origin):
        source, name = package["source"], package["name"]
        if uv_lock_conflicts.is_member(package) and (choice.members is None or name in choice.members):
            continue
        if source.keys() & {"directory", "editable", "path", "virtual"}:
            problem = f"a Bento can't contain {name}, which the lock has as a local path"
            remedy = "Build a wheel, replace the requirement with python.wheels of the bentofile, and lock again."
            raise BentoError(problem, place=origin, remedy=remedy)
        found = _source(package, origin)
        if found and "subdirectory" in source:
            found |= {"subdirectory": source["subdirectory"]}
        name += f"[{','.join(package['extras'])}]" if package.get("extras") else ""
        text = requirement_syntax.direct(name, found) if found else f"{name}=={package.get('version', '')}"
        marker = format_condition(condition)
        text += f" ; {marker}" if marker else ""
        shapes.require("line", text, f"{origin}: {name}", "Run `uv lock` again.")
        if not requirement_syntax.plain_pin(text):
            requirement_syntax.check(text, f"{origin}: {name}")
        files = [*package.get("wheels", ()), *([package["sdist"]] if "sdist" in package else [])]
        known = {file.get("hash", "").partition(":")[::2] for file in files}
        hashes = sorted({*package.get("hashes", ()), *(digest for algorithm, digest in known if algorithm == "sha256")})
        lines.append(requirement_syntax.Line(origin, 0, text, text, tuple(hashes)))
    return lines


def keep_locked(lock: Lock, names: Collection[str], hashes: Collection[str], origin: str) -> Lock:
    """Return a copy of `lock` in which packages that aren't in `names` are `unlocked`.

    Removes files whose hash isn't in `hashes`. `rejected_files` lists the removed files of a package. Raises BentoError
    if all files of a package in `names` are removed.
    """
    kept = []
    for package in lock["packages"]:
        unlocked = {"name": package["name"], "version": package["version"], "files": {}, "unlocked": True}
        kept.append(package if package["name"] in names else unlocked)
    packages = []
    for package in reachable(lock["roots"], kept):
        if "source" in package or "unlocked" in package:
            packages.append(package)
            continue
        files = {name: sha256 for name, sha256 in package["files"].items() if sha256 in hashes}
        rejected = sorted(package["files"].keys() - files.keys())
        if not files:
            problem = f"the lock's hashes of {package['name']}=={package['version']} match no file on the index: "
            problem += f"{', '.join(rejected)}"
            raise BentoError(problem, place=origin, remedy="Check whether the release changed, and update the lock.")
        packages.append(package | {"files": files} | ({"rejected_files": rejected} if rejected else {}))
    return lock | {"packages": packages}


def _root_edges(document: dict[str, Any], choice: Choice) -> list[dict[str, Any]]:
    """Return the dependencies of the items in `choice`. Replaces a workspace member with the member's dependencies."""
    members = {package["name"]: package for package in document["package"] if uv_lock_conflicts.is_member(package)}
    chosen = [item for item in choice.items(document) if item[2] != EXPLICIT_GROUP]
    queue: list[tuple[uv_lock_conflicts.Item, tuple[str, ...]]] = [(item, ()) for item in chosen]
    roots: list[dict[str, Any]] = []
    seen = set(queue)
    while queue:
        item, markers = queue.pop(0)
        for edge in uv_lock_conflicts.dependencies(members[item[1]], item[0], item[2]):
            together = tuple(dict.fromkeys((*markers, edge["marker"]) if "marker" in edge else markers))
            if edge["name"] not in members:
                joined = " and ".join(f"({marker})" for marker in together) if len(together) > 1 else "".join(together)
                roots.append(edge | ({"marker": joined} if joined else {}))
                continue
            names = [("project", edge["name"], "")] + [("extra", edge["name"], name) for name in edge.get("extra", ())]
            new = [(name, together) for name in names if not {(name, ()), (name, together)} & seen]
            seen.update(new)
            queue += new
    return roots


def reachable(roots: list[dict[str, Any]], packages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the packages that are reachable from `roots`, with their reachable extras. Ignores markers."""
    by_name: dict[str, list[dict[str, Any]]] = {}
    for package in packages:
        by_name.setdefault(package["name"], []).append(package)
    seen: set[tuple[str, ...]] = set()
    queue = list(roots)
    while queue:
        edge = queue.pop()
        for package in by_name.get(edge["name"], []):
            if any(edge.get(field, package.get(field)) != package.get(field) for field in ("version", "index")):
                continue
            for extra in ("", *edge.get("extras", [])):
                key = (package["name"], package["version"], package.get("index", ""), extra)
                if key not in seen:
                    seen.add(key)
                    queue += package.get("extras", {}).get(extra, []) if extra else package.get("dependencies", [])
    result = []
    for package in packages:
        release = (package["name"], package["version"], package.get("index", ""))
        if (*release, "") in seen:
            # Unreachable extras refer to packages that are removed.
            extras = {name: edges for name, edges in package.get("extras", {}).items() if (*release, name) in seen}
            others = {name: value for name, value in package.items() if name != "extras"}
            result.append(package | {"extras": extras} if extras else others)
    return result


class _EdgeNames:
    """Converts `uv.lock` edges. Adds a version and an index number to edges with an ambiguous name."""

    def __init__(self, packages: list[dict[str, Any]], origin: str) -> None:
        self.origin = origin
        self.sources: dict[str, dict[str | None, list[Any]]] = {}  # by name and version
        for package in packages:
            versions = self.sources.setdefault(package["name"], {})
            versions.setdefault(package.get("version"), []).append(package["source"])

    def index(self, package: dict[str, Any]) -> dict[str, str]:
        """Return `{"index": NUMBER}` for a package or edge, or {} if only one index provides the package's version."""
        sources = self.sources[package["name"]].get(package.get("version"), [])
        return {"index": str(sources.index(package["source"]) + 1)} if len(sources) > 1 else {}

    def edge(self, edge: dict[str, Any]) -> dict[str, Any]:
        """Convert an edge of a `uv.lock` to the format of rules_bento. Raises BentoError if the edge is ambiguous."""
        result = {"name": edge["name"]}
        versions = self.sources.get(edge["name"], {})
        if sum(map(len, versions.values())) > 1:
            sources = versions.get(edge.get("version"), [])
            if "version" not in edge or (len(sources) > 1 and edge.get("source") not in sources):
                remedy = "Run `uv lock` again."
                raise BentoError(f"a dependency on {edge['name']} is ambiguous", place=self.origin, remedy=remedy)
            result |= {"version": edge["version"], **self.index(edge)}
        if "extra" in edge:
            result["extras"] = edge["extra"]
        if "marker" in edge:
            result["marker"] = edge["marker"]
        return result


class _Pages:
    """Determines the `page` of each package in an index that installers don't search by default."""

    def __init__(self, packages: list[dict[str, Any]], indexes: Indexes, origin: str, *, only_declared: bool) -> None:
        self.origin = origin
        named = dict(map(split_index, indexes.extra))
        self.explicit = {normalize_name(name): named[index] for name, index in indexes.explicit.items()}
        self.flat = {_canonical(link) for link in indexes.find_links}
        self.recorded = {_canonical(split_index(entry)[1]) for entry in indexes.extra} | self.flat
        if only_declared:
            return
        found = [
            (each["name"], _canonical(each["source"]["registry"])) for each in packages if "registry" in each["source"]
        ]
        urls = [url for _, url in found]
        # A uv.lock doesn't name its default index, which usually has bentoml.
        likely = (_canonical(indexes.default), dict(found).get("bentoml"))
        default = next((url for url in likely if url in urls), None) or max(urls, key=urls.count, default="")
        self.recorded = set(urls) - {default}

    def page(self, package: dict[str, Any]) -> dict[str, str]:
        """Return the URL of a package's index page as `{"page": URL}`, or {} if installers don't need the page."""
        registry, name = package["source"].get("registry", ""), package["name"]
        if not registry.startswith("http") or _canonical(registry) not in self.recorded:
            return {}
        if self.explicit.get(name, "").startswith("http"):
            registry = self.explicit[name]  # builds fetch the package from this index
        reject_credentials(registry, f"{self.origin}: {name}")
        bare = re.split("[?#]", registry)[0]
        if bare != registry:
            problem = f"the URL of the index {bare} has a query or a fragment. Both might contain secrets"
            remedy = "Remove the query and the fragment from the index URL, and update the lock."
            raise BentoError(problem, place=f"{self.origin}: {name}", remedy=remedy)
        url = _canonical(registry)
        is_flat = url in self.flat or url.endswith((".html", ".htm"))
        return {"page": registry if is_flat else f"{url}/{name}/"}


def _canonical(url: str) -> str:
    """Return a URL with a lowercase host, and without a slash at the end."""
    host = re.match(r"\w+://[^/]*", url)
    return (host[0].lower() + url[host.end() :] if host else url).rstrip("/")


def _package(package: dict[str, Any], names: _EdgeNames, origin: str, project: Path | None) -> dict[str, Any]:
    source = _source(package, origin)
    if "version" not in package:
        raise BentoError(f"{package['name']} has no version", place=origin, remedy="Run `uv lock` again.")
    files = {}
    for file in [*package.get("wheels", []), *([package["sdist"]] if "sdist" in package else [])]:
        name = _file_name(file)
        if _is_supported(name):
            files[name] = _sha256(file, name, package, f"{origin}: {package['name']} {package['version']}", project)
    result: dict[str, Any] = {"name": package["name"], "version": package["version"], **names.index(package)}
    if edges := [names.edge(edge) for edge in package.get("dependencies", [])]:
        result["dependencies"] = edges
    if extras := package.get("optional-dependencies", {}):
        result["extras"] = {name: [names.edge(edge) for edge in edges] for name, edges in extras.items()}
    result["files"] = files
    return result | ({"source": source} if source else {})


def _sha256(file: dict[str, str], name: str, package: dict[str, Any], place: str, project: Path | None) -> str:
    """Return the SHA-256 of a file in a `uv.lock`. Raises BentoError if neither the lock nor a directory has it."""
    algorithm, _, digest = file.get("hash", "").partition(":")
    if algorithm == "sha256":
        return digest
    index = package["source"].get("registry") or package["source"].get("url", "")
    if project and "path" in file and "://" not in index:
        return sha256_of(regular_file(project / index / file["path"]))
    remedy = "Use an index that has the SHA-256 of each file, or put the file into a directory of find_links."
    raise BentoError(f"the index {without_credentials(index)} has no SHA-256 of {name}", place=place, remedy=remedy)


def _source(package: dict[str, Any], origin: str) -> dict[str, str]:
    """Return a package's git commit or URL, or {} for a package from an index. Raises BentoError for a local path."""
    source = package["source"]
    place = f"{origin}: {package['name']}"
    if "git" in source:
        address, _, commit = source["git"].partition("#")
        address, _, query = address.partition("?")
        reject_credentials(address, place)
        directory = [value.partition("=")[2] for value in query.split("&") if value.startswith("subdirectory=")]
        return {"git": address, "commit": commit} | ({"subdirectory": unquote(directory[0])} if directory else {})
    if "url" in source:
        reject_credentials(source["url"], place)
        return {"url": source["url"]}
    if source.keys() & {"directory", "path"}:
        problem = f"{place} is a local path. {LOCAL_REMEDY} Remove the requirement from the project's dependencies."
        raise BentoError(problem)
    return {}


def _is_supported(filename: str) -> bool:
    """Return whether a file supports CPython on Linux with glibc or on macOS."""
    if not filename.endswith(".whl"):
        return filename.endswith((".tar.gz", ".zip"))
    tags = filename.removesuffix(".whl").split("-")[-3:]
    return len(tags) == len(_SUPPORTED_TAGS) and all(
        any(known.fullmatch(tag) for tag in tags_of_kind.split("."))
        for known, tags_of_kind in zip(_SUPPORTED_TAGS, tags, strict=True)
    )


_EXTRAS = "extras_in_lock"
_SEVERAL_INDEXES = ("--extra-index-url", "-f", "--find-links")


def complete_installed(entries: Iterable[dict[str, Any]], path: Path, name: str) -> list[dict[str, Any]]:
    """Return the entries with hashes and extras. Raises BentoError if the lock `path` lacks a package's version."""
    lines, options = requirement_syntax.parse(requirement_syntax.decode(read_file(path, name), name), name)
    for option in options:
        if option.flag in _SEVERAL_INDEXES:
            problem = f"{option.place}: {option.flag} isn't supported with packages of rules_python, because the lock "
            problem += "doesn't contain the index of each package"
            raise BentoError(problem, place="requirements", remedy="Use a package hub of bento.pypi.")
    by_name: dict[str, list[requirement_syntax.Line]] = {}
    for line in lines:
        by_name.setdefault(line.name, []).append(line)
    return [
        _complete(entry, by_name.get(entry["name"], ()), name) if "dependencies_of_extras" in entry else entry
        for entry in entries
    ]


def _complete(entry: dict[str, Any], lines: Sequence[requirement_syntax.Line], name: str) -> dict[str, Any]:
    # A lock can have the same version twice, with different markers.
    lines = [
        line
        for line in lines
        if line.pin and line.hashes and requirement_syntax.is_same_version(line.pin[1], entry["version"])
    ]
    if not lines:
        raise BentoError(
            f"{name} doesn't contain {entry['name']}=={entry['version']} with hashes, but rules_python installs this "
            "version",
            place="requirements",
            remedy="Use the file in requirements_lock of pip.parse (all packages of a Bento come from one hub), and "
            "lock with `uv pip compile --generate-hashes` or `pip-compile --generate-hashes`.",
        )
    if entry["changed"]:
        raise BentoError(
            f"rules_python changes {entry['changed']} of {entry['name']}=={entry['version']}, which the package index "
            "has unchanged",
            place="requirements",
            remedy=f"Lock another version with the changed files, such as {entry['version']}+company.1.",
        )
    extras = sorted({extra for line in lines for extra in requirement_syntax.parse_requirement(line.text).extras})
    edges = entry["dependencies_of_extras"]
    # The names of the files are unknown, so a Bento has the hashes of all files.
    return {key: value for key, value in entry.items() if key not in ("changed", "dependencies_of_extras")} | {
        "extras": dict.fromkeys(extras, edges),
        "files": {sha256: sha256 for line in lines for sha256 in line.hashes},
        _EXTRAS: extras,
    }


def with_installed_extras(names: Iterable[str], entries: Iterable[dict[str, Any]]) -> list[str]:
    """Return requirements that include the extras with which rules_python installed packages."""
    extras = {entry["name"]: f"{entry['name']}[{','.join(entry[_EXTRAS])}]" for entry in entries if entry.get(_EXTRAS)}
    return list(dict.fromkeys([*(extras.get(name, name) for name in names), *extras.values()]))
