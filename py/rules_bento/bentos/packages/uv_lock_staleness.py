"""Compares a `uv.lock` with the pyproject.toml files of its workspace, as `uv lock --check` does.

A lock records requirements, groups, sources, and settings. Only static fields can be compared: for dynamic fields,
there is a note. Settings of indexes aren't compared, because a user can replace an index.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from urllib.parse import parse_qs

from rules_bento.base.dataclasses_lite import dataclass, field
from rules_bento.base.errors import BentoError
from rules_bento.base.formats import read_file
from rules_bento.base.formats.schema import validate
from rules_bento.base.formats.toml import read_toml
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Collection, Iterable, Iterator, Mapping
from rules_bento.bentos.packages import uv_lock_conflicts
from rules_bento.bentos.packages.requirement_syntax import normalize_name, parse_requirement
from rules_bento.bentos.packages.uv_lock_conflicts import conjunction
from rules_bento.bentos.packages.uv_lock_markers import bounds, format_condition, is_possible

if TYPE_CHECKING:
    from rules_bento.bentos.packages.uv_lock_conflicts import Condition

PYPROJECT = "pyproject.toml"
_OPTIONS = {  # keys of [tool.uv] and of the lock, and defaults
    "resolution": ("resolution-mode", "highest"),
    "prerelease": ("prerelease-mode", "if-necessary"),
    "fork-strategy": ("fork-strategy", "requires-python"),
}
_OR_EXPLICIT = "-or-explicit"  # uv 0.13 replaces `if-necessary-or-explicit` by `if-necessary`
_LISTS = {  # keys of [tool.uv] and of the lock
    "constraint-dependencies": "constraints",
    "override-dependencies": "overrides",
    "build-constraint-dependencies": "build-constraints",
}
_SETTINGS = {
    **{f"{key}?": str for key in _OPTIONS},
    **{f"{key}?": list for key in (*_LISTS, "exclude-dependencies")},
    "required-environments?": list,
    "conflicts?": [[{...: str}]],
    "dependency-metadata?": [{"name": str, "requires-dist?": [str]}],
}
_SHAPE = {
    "project?": {
        "name?": str,
        "version?": str,
        "requires-python?": str,
        "dependencies?": [str],
        "optional-dependencies?": {...: [str]},
        "dynamic?": [str],
    },
    "dependency-groups?": {...: list},
    "tool?": {
        "uv?": {
            **_SETTINGS,
            "dependency-groups?": {...: {"requires-python?": str}},
            "dev-dependencies?": [str],
            "index?": [{"url": str}],
            "sources?": dict,
            "workspace?": {"members?": [str], "exclude?": [str]},
        }
    },
}
_SOURCE = {f"{key}?": str for key in ("extra", "group", "git", "index", "marker", "path", "subdirectory", "url")}
_DIRECTORIES = ("editable", "directory", "virtual")
_DYNAMIC = (
    "{}: the lock can't be compared with the dynamic {} in {}. If they changed, run `uv lock`, which runs the code of "
    "the project."
)
Table = Mapping[str, Any]


@dataclass
class _Comparison:
    """The comparison of a lock with the files of its workspace in the directory `root`."""

    root: Path
    lock: Table
    notes: list[str] = field(default_factory=list)
    documents: dict[Path, Table] = field(default_factory=dict)

    @cached_property
    def python(self) -> Condition:
        """The Python versions that the lock supports."""
        return _python(self.lock["requires-python"])

    def table(self, directory: Path, *keys: str) -> Any:
        """Return a table in the pyproject.toml of a directory, or {} if it doesn't exist."""
        directory = Path(os.path.normpath(directory))
        if directory not in self.documents:
            self.documents[directory] = _read_project(directory, _SHAPE)
        value: Any = self.documents[directory]
        for key in keys:
            value = value.get(key, {}) if isinstance(value, dict) else {}
        return value

    @cached_property
    def members(self) -> dict[str, Path]:
        """The names and the directories of the projects in the workspace."""
        directories = [self.root, *(self.root / path for path in _member_paths(self.root, self._uv("workspace")))]
        found = [each for each in directories if self.table(each, "project", "name")]
        return {normalize_name(self.table(each, "project", "name")): each for each in found}

    def _uv(self, *keys: str, directory: Path | None = None) -> Any:
        return self.table(directory or self.root, "tool", "uv", *keys)

    def differences(self) -> Iterator[str]:
        """Yield the differences between the lock and the files."""
        members = self.members
        yield from self._settings()
        locked = {each["name"]: each for each in self.lock["package"] if each["source"].keys() & {*_DIRECTORIES}}
        roots = {name for name, each in locked.items() if "." in each["source"].values()}
        recorded = {*self.lock.get("manifest", {}).get("members", roots)}
        if recorded != {*members} or not recorded <= locked.keys():
            yield _differ("the members", sorted(recorded), sorted(members), "the workspace")
            return
        required = self._required()
        for name, directory in members.items():
            is_package = self._uv("package", directory=directory)
            if not isinstance(is_package, bool):
                is_package = name in required or "build-system" in self.table(directory)
            kind = "virtual" if not is_package else "directory" if required.get(name) is False else "editable"
            if kind not in locked[name]["source"]:
                yield _differ(f"the source of {name}", next(iter(locked[name]["source"])), kind)
        for package in locked.values():
            path = next(path for kind, path in package["source"].items() if kind in _DIRECTORIES)
            if self.table(self.root / path, "project"):
                yield from self._package(package, Path(os.path.normpath(self.root / path)))

    def _required(self) -> dict[str, bool | None]:
        """Return the members that other members require, and the values of `editable`."""
        found: dict[str, bool | None] = {}
        for directory in {self.root, *self.members.values()}:
            for name, sources in self._uv("sources", directory=directory).items():
                for source in sources if isinstance(sources, list) else [sources]:
                    if isinstance(source, dict) and source.get("workspace"):
                        found[normalize_name(name)] = source.get("editable", found.get(normalize_name(name)))
        return found

    def _settings(self) -> Iterator[str]:
        lock, settings, manifest = self.lock, self._uv(), self.lock.get("manifest", {})
        if (self.root / "uv.toml").is_file():  # replaces the table, but for settings of the project
            path = self.root / "uv.toml"
            settings = {"conflicts": settings.get("conflicts", []), **read_toml(read_file(path), str(path))}
            validate(settings, _SETTINGS, str(path), "Correct the file.")
        ranges = [self.table(each, "project").get("requires-python", "") for each in self.members.values()]
        limits = ", ".join(filter(None, ranges))
        if limits and bounds(self.python) != bounds(_python(limits)):
            yield _differ("requires-python", lock["requires-python"], limits)
        options = lock.get("options", {})
        for key, (recorded, default) in _OPTIONS.items():
            old, new = options.get(recorded, default), settings.get(key, default)
            if old.removesuffix(_OR_EXPLICIT) != new.removesuffix(_OR_EXPLICIT):
                yield _differ(key, old, new)
        yield from self._exclude_newer(options, settings)
        for key, recorded in _LISTS.items():
            texts = [each for each in settings.get(key, ()) if isinstance(each, str)]
            wanted = [one for text in texts for one in self._lower(text, self.root, key)]
            if key == "constraint-dependencies":  # without a range and a source, they limit nothing
                wanted = [one for one in wanted if one[0][2] or one[0][3]]
            yield from self._compare(manifest.get(recorded, ()), wanted, key)
        tables: tuple[tuple[str, list[Any], list[Any]], ...] = (
            ("conflicts", _conflicts(lock, self.members), _conflicts(settings, self.members)),
            ("dependency-metadata", _metadata(manifest), _metadata(settings)),
        )
        for key, recorded_items, items in tables:
            if _sorted(recorded_items) != _sorted(items):
                yield _differ(key, recorded_items, items)
        names = [each for each in settings.get("exclude-dependencies", ()) if isinstance(each, str)]
        if not {*manifest.get("excludes", ())} <= {*map(normalize_name, names)}:
            yield _differ("exclude-dependencies", manifest["excludes"], names)
        for key, recorded in (("environments", "supported-markers"), ("required-environments", "required-markers")):
            markers = settings.get(key) if isinstance(settings.get(key), (str, list)) else []
            new = [markers] if isinstance(markers, str) else [each for each in markers if isinstance(each, str)]
            old = lock.get(recorded, [])
            if len(old) != len(new) or not all(map(self._is_same, map(_read, old), map(_read, new))):
                yield _differ(key, old, new)
        groups = {} if self.table(self.root, "project") else self._groups(self.root)
        yield from self._compare_tables(manifest.get("dependency-groups", {}), groups, "the group {} of the workspace")

    def _exclude_newer(self, options: Table, settings: Table) -> Iterator[str]:
        """Compare `exclude-newer`. A date ends in the time zone of the machine that locked."""
        from datetime import datetime, timedelta

        if not isinstance(settings.get("exclude-newer", ""), str) or "exclude-newer-span" in options:
            return
        old, new = options.get("exclude-newer", ""), settings.get("exclude-newer", "")
        try:
            times = [datetime.fromisoformat(text.replace("Z", "+00:00")) for text in (old, new)]
        except ValueError:
            is_same = bool(old) == bool(new)  # a duration
        else:
            is_date = times[1].tzinfo is None
            end = times[1].replace(tzinfo=times[0].tzinfo) + timedelta(days=1) if is_date else times[1]
            is_same = abs(times[0] - end) < timedelta(hours=14 if is_date else 0, seconds=1)
        if not is_same:
            yield _differ("exclude-newer", old or "nothing", new or "nothing")

    def _package(self, package: Table, directory: Path) -> Iterator[str]:
        """Compare the metadata of a project."""
        from packaging.utils import canonicalize_version

        name, project = package["name"], self.table(directory, "project")
        recorded, dynamic = package.get("metadata", {}), project.get("dynamic", ())
        unknown = [key for key in ("dependencies", "optional-dependencies") if key in dynamic]
        if unknown:
            self.notes.append(_DYNAMIC.format(self.root / "uv.lock", " and ".join(unknown), directory / PYPROJECT))
        before, after = (table.get("version", "a dynamic version") for table in (package, project))
        if canonicalize_version(before) != canonicalize_version(after):
            yield _differ(f"the version of {name}", before, after)
        optional = {normalize_name(extra): texts for extra, texts in project.get("optional-dependencies", {}).items()}
        declared = {"": project.get("dependencies", ()), **optional}
        # In a lock of a dynamic version, the requirements of an extra replace a requirement such as `own-name[extra]`.
        is_flat = "version" not in package and all(one["name"] != name for one in recorded.get("requires-dist", ()))

        def entries(extra: str, within: tuple[str, ...]) -> Iterator[tuple[Any, Condition]]:
            place = "optional-dependencies" if extra else "dependencies"
            for text in declared.get(extra, ()) if extra not in within else ():
                for key, marker in self._lower(text, directory, place, extra=extra):
                    if key[0] != name or not is_flat:
                        yield key, marker
                    for each in key[1] if key[0] == name and is_flat else ():
                        yield from ((one, conjunction(marker, other)) for one, other in entries(each, (*within, extra)))

        wanted = [
            (key, conjunction(marker, _read(f"extra == '{extra}'" if extra else "")))
            for extra in declared
            for key, marker in entries(extra, ())
        ]
        if not unknown:
            yield from self._compare(recorded.get("requires-dist", ()), wanted, name)
            if {*recorded.get("provides-extras", ())} != {*optional}:
                yield _differ(f"the extras of {name}", recorded.get("provides-extras", []), [*optional])
        groups = self._groups(directory)
        yield from self._compare_tables(recorded.get("requires-dev", {}), groups, f"the group {{}} of {name}")

    def _groups(self, directory: Path) -> dict[str, list[tuple[Any, Condition]]]:
        """Return the requirements of each group and of the groups that it includes."""
        tables = self.table(directory, "dependency-groups")
        declared = {normalize_name(name): list(entries) for name, entries in tables.items()}
        if old := self._uv("dev-dependencies", directory=directory):
            declared["dev"] = [*declared.get("dev", ()), *old]
        limits = self._uv("dependency-groups", directory=directory)
        limits = {normalize_name(name): each.get("requires-python", "") for name, each in limits.items()}

        def entries(name: str, within: tuple[str, ...]) -> Iterator[tuple[Any, Condition]]:
            limit = _python(limits.get(name, ""))
            for entry in declared.get(name, ()) if name not in within else ():
                if isinstance(entry, str):
                    found = self._lower(entry, directory, "dependency-groups", group=name)
                else:
                    included = entry.get("include-group") if isinstance(entry, dict) else entry
                    found = entries(normalize_name(str(included)), (*within, name))
                yield from ((key, conjunction(marker, limit)) for key, marker in found)

        return {name: list(entries(name, ())) for name in declared}

    def _compare_tables(self, old: Table, new: Table, where: str) -> Iterator[str]:
        for name in sorted({*old, *new}):
            yield from self._compare(old.get(name, ()), new.get(name, ()), where.format(name))
            if (name in old) != (name in new):
                yield _differ(where.format(name), name in old, name in new)

    def _compare(self, old: Iterable[Table], new: Iterable[tuple[Any, Condition]], where: str) -> Iterator[str]:
        """Compare requirements of the lock with requirements of a file."""
        recorded: dict[Any, list[Condition]] = {}
        wanted: dict[Any, list[Condition]] = {}
        for one in old:
            key = (one["name"], frozenset(one.get("extras", ())), _specifiers(one.get("specifier", "")), _source(one))
            recorded.setdefault(key, []).append(_read(one.get("marker", "")))
        for key, marker in new:
            wanted.setdefault(key, []).append(marker)
        for key in sorted({*recorded, *wanted}, key=str):
            before, after = recorded.get(key, []), wanted.get(key, [])
            pairs = [(one, some) for ones, some in ((before, after), (after, before)) for one in ones]
            if not all(any(self._is_same(one, other) for other in some) for one, some in pairs):
                shown = []
                for each in (recorded, wanted):
                    found = [_written(one, marker) for one in each if one[0] == key[0] for marker in each[one]]
                    shown.append(" and ".join(sorted(found)) or f"no {key[0]}")
                yield _differ(where, shown[0], shown[1])
                return

    def _lower(
        self, text: str, directory: Path, place: str, *, extra: str = "", group: str = ""
    ) -> Iterator[tuple[Any, Condition]]:
        """Yield the keys and markers of a requirement for each of its sources."""
        place = f"{directory / PYPROJECT}: {place}"
        try:
            requirement = parse_requirement(text)
        except ValueError:
            remedy = "Correct the requirement."
            raise BentoError(f"invalid requirement {text!r}", place=place, remedy=remedy) from None
        name, rest = normalize_name(requirement.name), _read(str(requirement.marker or ""))
        key = (name, frozenset(map(normalize_name, requirement.extras)))
        specifiers = _specifiers(str(requirement.specifier))
        for source, owner in self._sources(name, directory):
            if source.get("extra", extra) in ("", extra) and source.get("group", group) in ("", group):
                condition = _read(source.get("marker", ""))
                if both := conjunction(rest, condition):
                    resolved = self._resolve(source, name, owner)
                    yield (*key, specifiers if resolved[0] == "index" else frozenset(), resolved), both
                rest = conjunction(rest, uv_lock_conflicts.negation(condition))
        if rest:
            source = _url_source(requirement.url) if requirement.url else {}
            yield (*key, specifiers, self._resolve(source, name, directory) if source else ()), rest

    def _sources(self, name: str, directory: Path) -> list[tuple[Table, Path]]:
        """Return the sources of a package in [tool.uv.sources], and the directories of the files that declare them."""
        between = [each for each in directory.parents if self.root in each.parents and (each / PYPROJECT).is_file()]
        is_member = directory in self.members.values() and not between  # uv looks for the root below such a project
        for owner in (directory, *([self.root] if is_member else [])):
            for each, sources in self._uv("sources", directory=owner).items():
                if normalize_name(each) == name:
                    listed = sources if isinstance(sources, list) else [sources]
                    validate(listed, [_SOURCE], f"{owner / PYPROJECT}: tool.uv.sources.{each}", "Correct the file.")
                    return [(one, owner) for one in listed]
        return []

    def _resolve(self, source: Table, name: str, owner: Path) -> tuple[Any, ...]:
        """Return a source of [tool.uv.sources] in a directory as in a lock."""
        if source.get("workspace"):
            source = {"path": self.members.get(name, owner), "editable": source.get("editable", True)}
        if "path" in source:
            path = Path(os.path.normpath(owner / source["path"]))
            place = os.path.relpath(path, self.root)
            if not path.is_dir():
                return ("path", place)
            is_package = source.get("package", self._uv("package", directory=path))
            return ("virtual" if is_package is False else "editable" if source.get("editable") else "directory", place)
        if "index" in source:
            indexes = [*self._uv("index", directory=owner), *self._uv("index")]
            return ("index", next((each["url"] for each in indexes if each.get("name") == source["index"]), ""))
        if "git" in source:
            reference = {key: source[key] for key in ("rev", "tag", "branch", "subdirectory") if key in source}
            return ("git", source["git"], *sorted(reference.items()))
        return ("url", source.get("url", ""), source.get("subdirectory", ""))

    def _is_same(self, one: Condition, other: Condition) -> bool:
        """Return whether two conditions are equal for all Python versions of the lock."""
        if one == other:
            return True
        ways = ((one, uv_lock_conflicts.negation(other)), (other, uv_lock_conflicts.negation(one)))
        return not any(is_possible(conjunction(*way, self.python)) for way in ways)


def check(root: Path, lock: Table, remedy: str = "Run `uv lock` in the project.") -> list[str]:
    """Raise BentoError for the first difference between a `uv.lock` and the pyproject.toml files of its workspace.

    Returns notes on dynamic fields.
    """
    comparison = _Comparison(root, lock)
    for difference in comparison.differences():
        raise BentoError(difference, place=str(root / "uv.lock"), remedy=remedy)
    return comparison.notes


def allows(text: str, version: str) -> bool:
    """Return whether a range of Python versions contains a version X.Y. Raises InvalidSpecifier for another text."""
    from packaging.specifiers import SpecifierSet

    return any(f"{version}.{patch}" in SpecifierSet(text) for patch in (0, 99))


def find_root(directory: Path) -> Path:
    """Return the root of the workspace that contains a project, as uv finds it, or the directory itself.

    The search ends at the root of the repository, and at a directory of another user.
    """
    if _tool(directory, "workspace") is not None:
        return directory
    owner, current = directory.stat().st_uid, directory
    while not (current / ".git").exists() and current != current.parent:
        current = current.parent
        if current.stat().st_uid != owner:
            break
        if (current / PYPROJECT).is_file():
            workspace = _tool(current, "workspace")
            is_member = workspace is not None and os.path.relpath(directory, current) in _member_paths(
                current, workspace
            )
            return current if is_member else directory
    return directory


def _read_project(directory: Path, shape: Any) -> dict[str, Any]:
    """Return the pyproject.toml of a directory, or {} if it doesn't exist."""
    path = directory / PYPROJECT
    document = read_toml(read_file(path), str(path)) if path.is_file() else {}
    validate(document, shape, str(path), "Correct the file.")
    return document


def _tool(directory: Path, key: str) -> Any:
    """Return a value of [tool.uv] in a directory, or None."""
    return _read_project(directory, {"tool?": _SHAPE["tool?"]}).get("tool", {}).get("uv", {}).get(key)


def _member_paths(root: Path, workspace: Table) -> list[str]:
    """Return the paths of the directories that a workspace includes, relative to its root."""
    included, excluded = (
        [os.path.normpath(each) for each in workspace.get(key, ()) if not each.startswith("/")]
        for key in ("members", "exclude")
    )
    found = {
        os.path.relpath(path, root)
        for pattern in included
        for path in ([root / pattern] if "*" not in pattern else root.glob(pattern))
        if (path / PYPROJECT).is_file() and _tool(path, "managed") is not False
    }
    return sorted(path for path in found - {"."} if not any(fnmatchcase(path, each) for each in excluded))


def _differ(where: str, old: Any, new: Any, file: str = PYPROJECT) -> str:
    return f"{where}: the lock has {_shown(old)}, but {file} has {_shown(new)}"


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= 200 else f"{text[:200]}…"


def _written(key: tuple[Any, ...], marker: Condition) -> str:
    name, extras, specifiers, source = key
    shown = f"{name}[{','.join(sorted(extras))}]" if extras else name
    shown += ",".join(sorted(f"{operator}{version}" for operator, version in specifiers))
    shown += f" from {' '.join(map(str, source[1:]))}" if source else ""
    return shown if marker == uv_lock_conflicts.TRUE else f"{shown} ; {format_condition(marker)}"


def _read(marker: str) -> Condition:
    return uv_lock_conflicts.parse_marker(marker, uv_lock_conflicts.Work(PYPROJECT))


def _python(text: str) -> Condition:
    """Return a range of Python versions as a condition, which is false for an invalid range."""
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        clauses = [f"python_full_version {each.operator} '{each.version}'" for each in SpecifierSet(text)]
    except InvalidSpecifier:
        return uv_lock_conflicts.FALSE
    return _read(" and ".join(clauses))


def _specifiers(text: str) -> frozenset[tuple[str, str]]:
    if not text:
        return frozenset()
    from packaging.specifiers import InvalidSpecifier, SpecifierSet
    from packaging.utils import canonicalize_version

    try:
        return frozenset((each.operator, canonicalize_version(each.version)) for each in SpecifierSet(text))
    except InvalidSpecifier:
        return frozenset([("", text)])


def _source(requirement: Table) -> tuple[Any, ...]:
    """Return the source of a requirement in a lock."""
    for kind in (*_DIRECTORIES, "path"):
        if kind in requirement:
            return (kind, requirement[kind])
    if "git" in requirement:
        address, _, query = requirement["git"].partition("?")
        return ("git", address, *sorted((key, values[-1]) for key, values in parse_qs(query).items()))
    if "url" in requirement:
        return ("url", requirement["url"], requirement.get("subdirectory", ""))
    return ("index", requirement["index"]) if "index" in requirement else ()


def _url_source(url: str) -> Table:
    """Return the URL of a requirement (`name @ url`) as a source of [tool.uv.sources]."""
    address, _, fragment = url.partition("#")
    source = {key: values[-1] for key, values in parse_qs(fragment).items() if key == "subdirectory"}
    if address.startswith("git+"):
        repository, at, revision = address.removeprefix("git+").rpartition("@")
        if at and "/" not in revision:
            return {"git": repository, "rev": revision, **source}
        return {"git": address.removeprefix("git+"), **source}
    if address.startswith("file://") or "://" not in address:
        return {"path": address.removeprefix("file://")}
    return {"url": address, **source}


def _metadata(table: Table) -> list[Any]:
    """Return the tables `dependency-metadata` with normalized requirements."""
    found = []
    for entry in table.get("dependency-metadata", ()):
        requirements = []
        for text in entry.get("requires-dist", ()):
            with suppress(ValueError):
                requirements.append(parse_requirement(text))
        keys = [
            (normalize_name(one.name), sorted(one.extras), sorted(_specifiers(str(one.specifier))), str(one.marker))
            for one in requirements
        ]
        found.append({**entry, "name": normalize_name(entry.get("name", "")), "requires-dist": keys})
    return found


def _conflicts(table: Table, members: Collection[str]) -> list[Any]:
    """Return the sets of conflicting items, with the names of their packages."""
    found = []
    for items in table.get("conflicts", ()):
        named = [{"package": next(iter(members), ""), **item} for item in items]
        found.append(_sorted([{key: normalize_name(value) for key, value in item.items()} for item in named]))
    return found


def _sorted(values: Iterable[Any]) -> list[Any]:
    return sorted(values, key=lambda each: json.dumps(each, sort_keys=True, default=str))
