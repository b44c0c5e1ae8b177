"""Reads requirements from requirements files, pyproject.toml, and bentofile.yaml."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from rules_bento.base.dataclasses_lite import NamedTuple, dataclass, field
from rules_bento.base.errors import BentoError
from rules_bento.base.formats import read_file, schema
from rules_bento.base.formats.toml import read_toml
from rules_bento.base.typing_lite import Any, Iterable, Literal, Mapping, Sequence
from rules_bento.bentos.packages import requirement_syntax as requirements
from rules_bento.bentos.packages import uv_settings
from rules_bento.bentos.packages.indexes import reject_credentials
from rules_bento.bentos.packages.requirement_syntax import Line

_PYPROJECT = {
    "project": {"name?": str, "dependencies?": [str], "dynamic?": [str], "optional-dependencies?": {...: [str]}},
    "dependency-groups?": {...: list},
    "tool?": {"uv?": dict},
}

# Kinds of lines: requirements, constraints on versions, and overrides of other packages' requirements.
Kind = Literal["requirements", "constraints", "overrides"]
Names = Sequence[str]  # of extras or groups; `*` selects all
_BENTOFILE = {"packages?": [str], "requirements_txt?": str, "no_index?": bool}  # of `python` in a bentofile
_REMEDY = "See the specification of pyproject.toml."
_GIT_KEYS = frozenset({"git", "rev", "tag", "branch", "subdirectory"})


class RequirementSource(NamedTuple):
    """A file that contains requirements. Messages and include options refer to the file by `name`."""

    path: Path
    name: str

    def read_text(self) -> str:
        """Return the decoded content of the file. Raises BentoError for invalid bytes."""
        return requirements.decode(read_file(self.path, self.name), self.name)

    @property
    def normalized_name(self) -> str:
        """The name without `.` and `..` components."""
        return posixpath.normpath(self.name)

    def included_name(self, value: str) -> str:
        """Return the normalized name of an included file. `value` is the file's path relative to the including file."""
        return posixpath.normpath(posixpath.join(posixpath.dirname(self.name), value))


@dataclass
class DeclaredRequirements:
    """Unique requirements, constraints, and overrides (PEP 508), options, and settings, in order of declaration.

    `settings` are settings of uv that change the lock, as keys and TOML values. `target_settings` must be attributes of
    the target.
    """

    requirements: dict[str, str] = field(default_factory=dict)  # requirement to its place, such as `file:line`
    constraints: dict[str, str] = field(default_factory=dict)
    overrides: dict[str, str] = field(default_factory=dict)
    options: list[Line] = field(default_factory=list)
    settings: dict[str, str] = field(default_factory=dict)
    target_settings: list[uv_settings.TargetSetting] = field(default_factory=list)

    def add_settings(self, settings: Mapping[str, str], origin: str) -> None:
        """Add settings. Raises BentoError if a setting has another value in an earlier file."""
        for key, value in settings.items():
            if self.settings.setdefault(key, value) != value:
                problem = f"tool.uv.{key} is {value}, but another file in srcs has {self.settings[key]}"
                raise BentoError(problem, place=origin, remedy="Set equal values, because a lock has only one value.")

    def add(self, text: str, origin: str, kind: Kind = "requirements") -> None:
        """Add a requirement. Ignores duplicates. Raises BentoError for invalid text. Messages begin with `origin`."""
        reject_credentials(text, origin)
        text = re.sub(r"\s+", " ", text.strip())
        requirements.check(text, origin)
        origins: dict[str, str] = getattr(self, kind)
        origins.setdefault(text, origin)


def read(
    sources: Sequence[RequirementSource],
    extras: Names = ("*",),
    groups: Names = ("*",),
    constraints: Sequence[RequirementSource] = (),
    overrides: Sequence[RequirementSource] = (),
) -> DeclaredRequirements:
    """Read requirements from files.

    `extras` and `groups` select tables in pyproject.toml files. `*` selects all tables. `constraints` and `overrides`
    are requirements files. Constraints limit versions. An override replaces all requirements for its package. A file in
    `sources` is read only once, even if another file includes it. Raises BentoError for an invalid file. The message
    contains the file, and the line or the table.
    """
    declared = DeclaredRequirements()
    reader = _RequirementsFiles(declared, {one.normalized_name: one for one in (*overrides, *constraints, *sources)})
    files = [source for source in sources if not source.name.endswith((".toml", ".yaml", ".yml"))]
    included = {name for source in files for name in _included_names(source)}
    for source in sources:
        if source.name.endswith(".toml"):
            _read_pyproject(source, extras, groups, declared)
        elif source.name.endswith((".yaml", ".yml")):
            _read_bentofile(source, reader)
        elif source.normalized_name not in included:
            reader.read(source.normalized_name)
    for source in files:
        if source.normalized_name not in reader.read_names:
            reader.read(source.normalized_name)  # part of an include cycle, which is reported
    for source in constraints:
        reader.read(source.normalized_name, kind="constraints")
    for source in overrides:
        reader.read(source.normalized_name, kind="overrides")
    declared.add_settings(uv_settings.binary_settings(reader.binary_options), "--only-binary")
    return declared


def read_bentofile(path: Path) -> DeclaredRequirements:
    """Read the packages, requirements file, and indexes in a bentofile. Raises BentoError for an invalid file."""
    declared = DeclaredRequirements()
    _read_bentofile(RequirementSource(path, str(path)), _RequirementsFiles(declared, None))
    return declared


def _read_bentofile(source: RequirementSource, files: _RequirementsFiles) -> None:
    from rules_bento.base.formats.yaml import read_yaml

    document = read_yaml(read_file(source.path, source.name), source.name) or {}
    python = document.get("python") or {} if isinstance(document, dict) else None
    if not isinstance(python, dict):
        raise BentoError("expected a mapping.", place=f"{source.name}: python")
    python = {key: value for key, value in python.items() if value is not None}
    schema.validate(python, _BENTOFILE, f"{source.name}: python", "See BentoML's documentation of bentofile.yaml.")
    for package in python.get("packages", []):
        files.declared.add(package, f"{source.name}: python.packages")
    if "requirements_txt" in python:
        files.read(source.included_name(python["requirements_txt"]), f"{source.name}: python.requirements_txt")
    options = ["--no-index"] if python.get("no_index") else []
    for key in ("index_url", "extra_index_url", "find_links", "trusted_host"):
        values = python.get(key, [])
        options += [f"--{key.replace('_', '-')} {value}" for value in ([values] if isinstance(values, str) else values)]
    files.declared.options += [Line(f"{source.name}: python", 0, text, text) for text in options]


@dataclass
class _RequirementsFiles:
    """Reader for requirements files and the files that they include."""

    declared: DeclaredRequirements
    sources: dict[str, RequirementSource] | None  # by normalized path; None: any file that exists
    read_names: set[str] = field(default_factory=set)  # normalized paths
    binary_options: list[Line] = field(default_factory=list)  # `--only-binary`

    def read(self, name: str, place: str = "", kind: Kind = "requirements") -> None:
        """Add the requirements and options of a file and its included files. Raises BentoError for an invalid file."""

        def add(line: Line, is_limit: bool) -> None:
            self._add(line, "constraints" if is_limit else kind)

        requirements.visit_lines(name, self._text, add, place)

    def _text(self, name: str, place: str) -> str:
        self.read_names.add(name)
        if self.sources is None and Path(name).is_file():
            return RequirementSource(Path(name), name).read_text()
        if self.sources and name in self.sources:
            return self.sources[name].read_text()
        if self.sources is None:
            raise BentoError(f"{name} doesn't exist", place=place, remedy="Create the file, or remove the line.")
        remedy = "Add the file to srcs, constraints, or overrides."
        raise BentoError(f"{name} isn't declared", place=place, remedy=remedy)

    def _add(self, line: Line, kind: Kind) -> None:
        for requirement in (found := requirements.parse_lines([line]))[0]:
            if requirement.hashes:
                problem = f"{requirement.text!r} has a hash, but the lock gets its hashes from the index"
                remedy = "Remove --hash, or use the file as the lock of bento.pypi."
                raise BentoError(problem, place=requirement.place, remedy=remedy)
            self.declared.add(requirement.text, requirement.place, kind)
        for option in found[1]:
            if option.flag in requirements.INDEX_OPTIONS:
                self.declared.options.append(option)
            elif option.flag == "--only-binary":
                self.binary_options.append(option)
            else:
                requirements.reject_option(option)


def _included_names(source: RequirementSource) -> Iterable[str]:
    """Yield the normalized names of the files that `source` includes."""
    for line in requirements.logical_lines(source.read_text(), source.name):
        if line.reference:
            yield source.included_name(line.reference[1])


def _read_pyproject(source: RequirementSource, extras: Names, groups: Names, declared: DeclaredRequirements) -> None:
    document = read_toml(source.read_text(), source.name)
    if "project" not in document:
        problem = "the [project] table is missing"
        raise BentoError(problem, place=source.name, remedy="Add the table, or use a requirements file in srcs.")
    schema.validate(document, _PYPROJECT, source.name, _REMEDY)
    project, uv = document["project"], document.get("tool", {}).get("uv", {})
    if dynamic := sorted({"dependencies", "optional-dependencies"} & set(project.get("dynamic", ()))):
        problem = f"project.dynamic contains {dynamic[0]}, which only a build of the project determines"
        remedy = "List the dependencies in the file, or in a requirements file in srcs."
        raise BentoError(problem, place=source.name, remedy=remedy)
    declared.add_settings(uv_settings.copied_settings(uv, source.name), source.name)
    declared.target_settings += uv_settings.target_settings(uv, source.name)
    reader = _PyprojectReader(
        source.name,
        project.get("name", ""),
        project.get("optional-dependencies", {}),
        document.get("dependency-groups", {}),
        uv,
    )
    for text in project.get("dependencies", []):
        reader.add(text, "project.dependencies", declared)
    for name in _select(extras, reader.extras, f"{source.name}: extras"):
        reader.add_extra(name, declared)
    for name in _select(groups, reader.groups, f"{source.name}: groups"):
        reader.add_group(name, declared)
    for text in uv.get("constraint-dependencies", []):
        declared.add(text, f"{source.name}: tool.uv.constraint-dependencies", "constraints")
    for text in uv.get("override-dependencies", []):
        reader.add(text, "tool.uv.override-dependencies", declared, "overrides")
    reader.reject_conflicts()


@dataclass
class _PyprojectReader:
    """Reader for the requirements, extras, and groups in a pyproject.toml. Applies `tool.uv.sources`."""

    origin: str
    name: str
    extras: dict[str, list[str]]
    groups: dict[str, list[Any]]
    uv: dict[str, Any]
    added: set[tuple[str, str]] = field(default_factory=set)  # extras and groups, which can refer to one another

    def add(self, text: str, table: str, declared: DeclaredRequirements, kind: Kind = "requirements") -> None:
        """Add a requirement. For the project itself (`project[a,b]`), adds the requirements of the extras."""
        requirement = requirements.check(text, f"{self.origin}: {table}")
        name = requirements.normalize_name(requirement.name)
        if name == requirements.normalize_name(self.name) and kind == "requirements":
            requested = {requirements.normalize_name(extra) for extra in requirement.extras}
            for extra in self.extras:
                if requirements.normalize_name(extra) in requested:
                    self.add_extra(extra, declared)
            return
        sources = {requirements.normalize_name(name): value for name, value in self.uv.get("sources", {}).items()}
        source = sources.get(name)
        if isinstance(source, dict) and source.keys() == {"index"}:
            setting = uv_settings.explicit_setting(name, str(source["index"]), self.uv, self.origin)
            declared.target_settings.append(setting)
        elif source is not None:
            text = _with_source(text, source, f"{self.origin}: tool.uv.sources.{name}")
        declared.add(text, f"{self.origin}: {table}", kind)

    def add_extra(self, name: str, declared: DeclaredRequirements) -> None:
        """Add the requirements of an extra. Does nothing if the extra was already added."""
        if self._mark_added("extra", name):
            for text in self.extras[name]:
                self.add(text, f"project.optional-dependencies.{name}", declared)

    def add_group(self, name: str, declared: DeclaredRequirements) -> None:
        """Add the requirements of a dependency group and its included groups. Skips groups that were already added."""
        for entry in self.groups[name] if self._mark_added("group", name) else ():
            if isinstance(entry, str):
                self.add(entry, f"dependency-groups.{name}", declared)
                continue
            included = entry.get("include-group") if isinstance(entry, dict) else None
            if included not in self.groups:
                problem = f"invalid entry {entry}"
                remedy = "Use a requirement, or include-group with an existing group."
                raise BentoError(problem, place=f"{self.origin}: dependency-groups.{name}", remedy=remedy)
            self.add_group(included, declared)

    def reject_conflicts(self) -> None:
        """Raise BentoError if two of the added extras and groups conflict."""
        for conflict in self.uv.get("conflicts", ()):
            items = [(kind, item[kind]) for item in conflict for kind in ("extra", "group") if kind in item]
            found = [f"the {kind} {name!r}" for kind, name in items if (kind, name) in self.added]
            if len(found) > 1:
                problem = f"{' and '.join(found)} conflict"
                remedy = "Select only one of them in extras and groups of the target."
                raise BentoError(problem, place=f"{self.origin}: tool.uv.conflicts", remedy=remedy)

    def _mark_added(self, kind: str, name: str) -> bool:
        is_new = (kind, name) not in self.added
        self.added.add((kind, name))
        return is_new


def _select(requested: Sequence[str], available: dict[str, Any], origin: str) -> list[str]:
    missing = sorted(set(requested) - available.keys() - {"*"})
    if missing:
        valid = ", ".join(sorted(available)) or "none"
        raise BentoError(f"unknown values: {', '.join(missing)}", place=origin, remedy=f"Valid values: {valid}.")
    return sorted(available) if "*" in requested else list(requested)


def _with_source(text: str, source: Any, origin: str) -> str:
    """Return the requirement `text` with the URL of a git source. Raises BentoError for an unsupported source."""
    if not isinstance(source, dict) or not isinstance(source.get("git"), str) or source.keys() - _GIT_KEYS:
        problem = f"only `index`, and `git` with {', '.join(sorted(_GIT_KEYS - {'git'}))}, are supported"
        raise BentoError(problem, place=origin, remedy=requirements.LOCAL_REMEDY)
    revision = source.get("rev") or source.get("tag") or source.get("branch")
    address = f"git+{source['git']}" + (f"@{revision}" if revision else "")
    directory = f"#subdirectory={source['subdirectory']}" if "subdirectory" in source else ""
    requirement, marker = requirements.parse_requirement(text), text.partition(";")[2].strip()
    extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
    return f"{requirement.name}{extras} @ {address}{directory}" + (f" ; {marker}" if marker else "")
