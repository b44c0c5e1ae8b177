"""Reads which packages are required: requirements files, pyproject.toml and bentofile.yaml."""

from __future__ import annotations

import posixpath
import re

from rules_bento.dataclasses_lite import NamedTuple, dataclass, field
from rules_bento.errors import BentoError
from rules_bento.formats import read_file, schema
from rules_bento.formats.toml import read_toml
from rules_bento.packages import requirements
from rules_bento.packages.indexes import reject_credentials
from rules_bento.packages.requirements import Option
from rules_bento.typing_lite import Any, Literal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

_PYPROJECT = {
    "project": {"name?": str, "dependencies?": [str], "optional-dependencies?": {...: [str]}},
    "dependency-groups?": {...: list},
    "tool?": {"uv?": {"constraint-dependencies?": [str], "override-dependencies?": [str], "sources?": dict}},
}
_UNSUPPORTED_UV_KEYS = frozenset({"exclude-dependencies", "dependency-metadata"})

# Kinds of lines: a requirement, a constraint on versions, an override of what other packages require.
Kind = Literal["requirements", "constraints", "overrides"]
_BENTOFILE = {"packages?": [str], "requirements_txt?": str, "no_index?": bool}  # of its `python`
_REMEDY = "Correct the file."


class RequirementSource(NamedTuple):
    """Holds a file's path, and its name for messages."""

    path: Path
    name: str


@dataclass
class DeclaredRequirements:
    """Collects requirements, constraints and overrides (PEP 508), each once, in order, and option lines."""

    requirements: dict[str, str] = field(default_factory=dict)  # text to `file:line` or the like
    constraints: dict[str, str] = field(default_factory=dict)
    overrides: dict[str, str] = field(default_factory=dict)
    options: list[Option] = field(default_factory=list)

    def add(self, text: str, origin: str, kind: Kind = "requirements") -> None:
        """Take a requirement; one that is there already keeps its place.

        Raises BentoError, naming the origin, for a text that is none.
        """
        reject_credentials(text, origin)
        text = re.sub(r"\s+", " ", text.strip())
        requirements.check(text, origin)
        origins: dict[str, str] = getattr(self, kind)
        origins.setdefault(text, origin)


def read(
    sources: Sequence[RequirementSource],
    extras: Sequence[str] = ("*",),
    groups: Sequence[str] = ("*",),
    constraints: Sequence[RequirementSource] = (),
    overrides: Sequence[RequirementSource] = (),
) -> DeclaredRequirements:
    """Read files; `extras` and `groups` choose what a pyproject.toml adds to its dependencies, `*` for all.

    A requirements file among `sources` that another one names with `-r` or `-c` counts where it is named, and nowhere
    else. `constraints` are requirements files that limit versions and ask for nothing, `overrides` such as stand for
    what packages ask of one another. Raises BentoError, naming file and line.
    """
    declared = DeclaredRequirements()
    reader = _RequirementsFiles(
        declared, {posixpath.normpath(one.name): one for one in (*overrides, *constraints, *sources)}
    )
    files = [source for source in sources if not source.name.endswith((".toml", ".yaml", ".yml"))]
    included = {name for source in files for name in reader.included_names(source)}
    for source in sources:
        if source.name.endswith(".toml"):
            _read_pyproject(source, extras, groups, declared)
        elif source.name.endswith((".yaml", ".yml")):
            _read_bentofile(source, reader)
        elif posixpath.normpath(source.name) not in included:
            reader.read(source)
    for source in files:
        if posixpath.normpath(source.name) not in reader.read_names:
            reader.read(source)  # one of a circle, which is then told
    for source in constraints:
        reader.read(source, "constraints")
    for source in overrides:
        reader.read(source, "overrides")
    return declared


def read_bentofile(path: Path) -> DeclaredRequirements:
    """Read `python.packages`, `python.requirements_txt` and the indexes of a bentofile and the files beside it.

    Raises BentoError, naming file and line.
    """
    declared = DeclaredRequirements()
    _read_bentofile(RequirementSource(path, str(path)), _RequirementsFiles(declared, None))
    return declared


def _read_bentofile(source: RequirementSource, files: _RequirementsFiles) -> None:
    from rules_bento.formats.yaml import read_yaml

    document = read_yaml(read_file(source.path, source.name), source.name) or {}
    python = document.get("python") or {} if isinstance(document, dict) else None
    if not isinstance(python, dict):
        raise BentoError(f"{source.name}: not a bentofile: `python` has to be a table.")
    python = {key: value for key, value in python.items() if value is not None}
    schema.validate(python, _BENTOFILE, f"{source.name}: python", _REMEDY)
    for package in python.get("packages", []):
        files.declared.add(package, f"{source.name}: python.packages")
    if "requirements_txt" in python:
        files.include(source, python["requirements_txt"], f"{source.name}: python.requirements_txt")
    for key in ("index_url", "extra_index_url", "find_links", "trusted_host"):
        values = python.get(key, [])
        for value in [values] if isinstance(values, str) else values:
            files.declared.options.append(Option(f"--{key.replace('_', '-')}", str(value), 0))
    if python.get("no_index"):
        files.declared.options.append(Option("--no-index", "", 0))


@dataclass
class _RequirementsFiles:
    """Reads requirements files, which can name one another."""

    declared: DeclaredRequirements
    sources: dict[str, RequirementSource] | None  # by normalized path; None: those that lie beside who names them
    read_names: set[str] = field(default_factory=set)  # normalized paths

    def read(self, source: RequirementSource, kind: Kind = "requirements", chain: tuple[str, ...] = ()) -> None:
        """Take requirements and options of a file and of those that it names."""
        self.read_names.add(posixpath.normpath(source.name))
        requirements_of_file, options = self._parse(source)
        for requirement in requirements_of_file:
            if requirement.hashes:
                raise BentoError(
                    f"{source.name}:{requirement.line}: {requirement.text!r} has a hash, which the lock would lose: it "
                    f"has those of the index. Remove --hash, or name a file with hashes as lock of bento.pypi."
                )
            self.declared.add(requirement.text, f"{source.name}:{requirement.line}", kind)
        for option in options:
            place = f"{source.name}:{option.line}"
            if option.flag in requirements.INCLUDE_FLAGS | requirements.CONSTRAINT_FLAGS:
                included_kind: Kind = "constraints" if option.flag in requirements.CONSTRAINT_FLAGS else kind
                self.include(source, option.value, place, included_kind, (*chain, source.name))
            elif option.flag in requirements.INDEX_OPTIONS:
                self.declared.options.append(option)
            else:
                requirements.reject_option(option, source.name)

    def include(
        self,
        source: RequirementSource,
        value: str,
        place: str,
        kind: Kind = "requirements",
        chain: tuple[str, ...] = (),
    ) -> None:
        """Read a file that another one names. Raises BentoError, which begins with `place`, if it cannot be had."""
        if "://" in value:
            raise BentoError(f"{place}: {value!r} is on a network. Declare a copy of the file.")
        name = posixpath.normpath(posixpath.join(posixpath.dirname(source.name), value))
        if name in map(posixpath.normpath, chain):
            raise BentoError(f"{place}: {name} names itself, by way of {', '.join(chain)}. Break the circle.")
        if self.sources is None:
            included = RequirementSource(source.path.parent / value, name)
            if not value or not included.path.is_file():
                raise BentoError(f"{place}: there is no file {value!r}. Correct the line.")
        elif value and name in self.sources:
            included = self.sources[name]
        else:
            raise BentoError(f"{place}: {name} is not among the sources. Add it to srcs, constraints or overrides.")
        self.read(included, kind, chain)

    def included_names(self, source: RequirementSource) -> Iterable[str]:
        """Yield the normalized paths that a file names."""
        for option in self._parse(source)[1]:
            if option.flag in requirements.INCLUDE_FLAGS | requirements.CONSTRAINT_FLAGS:
                yield posixpath.normpath(posixpath.join(posixpath.dirname(source.name), option.value))

    @staticmethod
    def _parse(source: RequirementSource) -> tuple[list[requirements.Requirement], list[Option]]:
        return requirements.parse(requirements.decode(read_file(source.path, source.name), source.name), source.name)


def _read_pyproject(
    source: RequirementSource, extras: Sequence[str], groups: Sequence[str], declared: DeclaredRequirements
) -> None:
    document = read_toml(requirements.decode(read_file(source.path, source.name), source.name), source.name)
    if "project" not in document:
        raise BentoError(f"{source.name}: it has no [project], so it requires nothing. Name another file in srcs.")
    schema.validate(document, _PYPROJECT, source.name, _REMEDY)
    project, uv = document["project"], document.get("tool", {}).get("uv", {})
    for key in _UNSUPPORTED_UV_KEYS & uv.keys():
        raise BentoError(
            f"{source.name}: tool.uv.{key} changes what packages themselves ask for, which this lock does not. Lock "
            f"with `uv lock`, and name uv.lock as the lock of bento.pypi."
        )
    reader = _PyprojectReader(
        source.name,
        project.get("name", ""),
        project.get("optional-dependencies", {}),
        document.get("dependency-groups", {}),
        {requirements.normalize_name(name): value for name, value in uv.get("sources", {}).items()},
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
        declared.add(text, f"{source.name}: tool.uv.override-dependencies", "overrides")


@dataclass
class _PyprojectReader:
    """Holds the tables of a pyproject.toml that its requirements refer to."""

    origin: str
    name: str
    extras: dict[str, list[str]]
    groups: dict[str, list[Any]]
    sources: dict[str, Any]
    added: set[tuple[str, str]] = field(default_factory=set)  # extras and groups, which may name one another

    def add(self, text: str, table: str, declared: DeclaredRequirements) -> None:
        """Take a requirement; one of the project itself, as in `all = ["project[a,b]"]`, stands for its extras."""
        requirement = requirements.check(text, f"{self.origin}: {table}")
        name = requirements.normalize_name(requirement.name)
        if name == requirements.normalize_name(self.name):
            requested = {requirements.normalize_name(extra) for extra in requirement.extras}
            for extra in self.extras:
                if requirements.normalize_name(extra) in requested:
                    self.add_extra(extra, declared)
            return
        source = self.sources.get(name)
        declared.add(_with_source(text, source, f"{self.origin}: tool.uv.sources.{name}"), f"{self.origin}: {table}")

    def add_extra(self, name: str, declared: DeclaredRequirements) -> None:
        """Take the requirements of an extra, once."""
        if self._mark_added("extra", name):
            for text in self.extras[name]:
                self.add(text, f"project.optional-dependencies.{name}", declared)

    def add_group(self, name: str, declared: DeclaredRequirements) -> None:
        """Take the requirements of a dependency group, once, with those of the groups that it includes."""
        for entry in self.groups[name] if self._mark_added("group", name) else ():
            if isinstance(entry, str):
                self.add(entry, f"dependency-groups.{name}", declared)
                continue
            included = entry.get("include-group") if isinstance(entry, dict) else None
            if included not in self.groups:
                raise BentoError(f"{self.origin}: dependency-groups.{name}: {entry} names no group. Correct it.")
            self.add_group(included, declared)

    def _mark_added(self, kind: str, name: str) -> bool:
        is_new = (kind, name) not in self.added
        self.added.add((kind, name))
        return is_new


def _select(requested: Sequence[str], available: dict[str, Any], origin: str) -> list[str]:
    missing = sorted(set(requested) - available.keys() - {"*"})
    if missing:
        raise BentoError(
            f"{origin}: there is no {', '.join(missing)}; there are {', '.join(sorted(available)) or 'none'}."
        )
    return sorted(available) if "*" in requested else list(requested)


def _with_source(text: str, source: Any, origin: str) -> str:
    """Return a requirement with the git repository that `tool.uv.sources` says that it comes from."""
    if source is None or (isinstance(source, dict) and "index" in source):
        return text  # indexes are named by the target
    if not isinstance(source, dict) or not isinstance(source.get("git"), str):
        raise BentoError(f"{origin}: only `git` and `index` can be locked. {requirements.LOCAL_REMEDY}.")
    revision = source.get("rev") or source.get("tag") or source.get("branch")
    address = f"git+{source['git']}" + (f"@{revision}" if revision else "")
    folder = f"#subdirectory={source['subdirectory']}" if "subdirectory" in source else ""
    requirement, marker = requirements.parse_requirement(text), text.partition(";")[2].strip()
    extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
    return f"{requirement.name}{extras} @ {address}{folder}" + (f" ; {marker}" if marker else "")
