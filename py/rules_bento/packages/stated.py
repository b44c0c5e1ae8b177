"""What people say that they require: requirements files, pyproject.toml and bentofile.yaml."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from rules_bento.errors import BentoError
from rules_bento.formats import read_file
from rules_bento.formats.toml import read_toml
from rules_bento.packages import requirements
from rules_bento.packages.indexes import INDEX_OPTIONS, refuse_credentials
from rules_bento.packages.requirements import Option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_OPTIONS_WITHOUT_EFFECT = frozenset({"--only-binary", "--prefer-binary", "--require-hashes", "--use-feature"})


class Source(NamedTuple):
    """A file, and what people call it."""

    path: Path
    name: str


@dataclass
class Stated:
    """Requirements and constraints (PEP 508), each once and in the order of the sources, and option lines."""

    requirements: dict[str, str] = field(default_factory=dict)  # text to `file:line` or the like
    constraints: dict[str, str] = field(default_factory=dict)
    options: list[Option] = field(default_factory=list)

    def add(self, text: str, origin: str, *, constraint: bool = False) -> None:
        """Take a requirement; one that is there already keeps its place."""
        refuse_credentials(text, origin)
        text = re.sub(r"\s+", " ", text.strip())
        (self.constraints if constraint else self.requirements).setdefault(text, origin)


def read(sources: Iterable[Source], extras: Sequence[str] = ("*",), groups: Sequence[str] = ("*",)) -> Stated:
    """Read files; `extras` and `groups` choose what a pyproject.toml adds to its dependencies, `*` for all.

    Raises BentoError, naming file and line.
    """
    stated = Stated()
    for source in sources:
        if source.name.endswith(".toml"):
            _read_pyproject(source, extras, groups, stated)
        elif source.name.endswith((".yaml", ".yml")):
            read_bentofile(source, stated)
        else:
            _read_requirements(source, stated)
    return stated


def read_bentofile(source: Source, stated: Stated) -> None:
    """Add `python.packages`, `python.requirements_txt` and the indexes of a bentofile."""
    from rules_bento.formats.yaml import read_yaml

    document = read_yaml(read_file(source.path, source.name), source.name) or {}
    python = document.get("python") or {} if isinstance(document, dict) else None
    if not isinstance(python, dict):
        raise BentoError(f"{source.name}: not a bentofile: `python` has to be a table.")
    for package in python.get("packages") or []:
        stated.add(str(package), f"{source.name}: python.packages")
    if python.get("requirements_txt"):
        _include(source, str(python["requirements_txt"]), 0, stated, constraint=False)
    for key in ("index_url", "extra_index_url", "find_links", "trusted_host"):
        values = python.get(key) or []
        for value in [values] if isinstance(values, str) else values:
            stated.options.append(Option(f"--{key.replace('_', '-')}", str(value), 0))
    if python.get("no_index"):
        stated.options.append(Option("--no-index", "", 0))


def _read_requirements(source: Source, stated: Stated, *, constraint: bool = False) -> None:
    found, options = requirements.parse(source.path.read_text("utf-8"), source.name)
    for requirement in found:
        stated.add(requirement.text, f"{source.name}:{requirement.line}", constraint=constraint)
    for option in options:
        if option.flag in ("-r", "--requirement", "-c", "--constraint"):
            is_constraint = constraint or option.flag in ("-c", "--constraint")
            _include(source, option.value, option.line, stated, constraint=is_constraint)
        elif option.flag in INDEX_OPTIONS:
            stated.options.append(option)
        elif option.flag not in _OPTIONS_WITHOUT_EFFECT:
            raise BentoError(
                f"{source.name}:{option.line}: a lock has no use for the option {option.flag}. Take the line out; "
                f"code of your own belongs into deps."
            )


def _include(source: Source, value: str, line: int, stated: Stated, *, constraint: bool) -> None:
    included = Source(source.path.parent / value, str(Path(source.name).parent / value))
    if not included.path.is_file():
        at = f"{source.name}:{line}" if line else source.name
        raise BentoError(f"{at}: {included.name} is not among the sources. Add it to srcs.")
    _read_requirements(included, stated, constraint=constraint)


def _read_pyproject(source: Source, extras: Sequence[str], groups: Sequence[str], stated: Stated) -> None:
    document = read_toml(read_file(source.path, source.name), source.name)
    project = document.get("project")
    if not isinstance(project, dict):
        raise BentoError(f"{source.name}: it has no [project], so it requires nothing. Name another file in srcs.")
    optional = project.get("optional-dependencies", {})
    reader = _Pyproject(source.name, project.get("name", ""), optional, document.get("dependency-groups", {}))
    uv = document.get("tool", {}).get("uv", {})
    reader.sources = uv.get("sources", {})
    for text in project.get("dependencies", []):
        reader.add(text, "project.dependencies", stated)
    for name in _chosen(extras, optional, f"{source.name}: extras"):
        for text in optional[name]:
            reader.add(text, f"project.optional-dependencies.{name}", stated)
    for name in _chosen(groups, reader.groups, f"{source.name}: groups"):
        reader.add_group(name, stated)
    for text in uv.get("constraint-dependencies", []):
        stated.add(text, f"{source.name}: tool.uv.constraint-dependencies", constraint=True)


@dataclass
class _Pyproject:
    """What is looked up while a pyproject.toml is read."""

    origin: str
    name: str
    extras: dict[str, list[str]]
    groups: dict[str, list[Any]]
    sources: dict[str, Any] = field(default_factory=dict)

    def add(self, text: str, table: str, stated: Stated) -> None:
        name = requirements.Requirement(text, (), 0).name
        if name == requirements.normalized(self.name):
            # `all = ["project[a,b]"]`: the extras that it names.
            for extra in re.findall(r"[-\w.]+", text.partition("[")[2].partition("]")[0]):
                for inner in self.extras.get(extra, []):
                    self.add(inner, table, stated)
            return
        source = self.sources.get(name)
        stated.add(_with_source(text, source, f"{self.origin}: tool.uv.sources.{name}"), f"{self.origin}: {table}")

    def add_group(self, name: str, stated: Stated) -> None:
        for entry in self.groups[name]:
            if isinstance(entry, str):
                self.add(entry, f"dependency-groups.{name}", stated)
            elif entry.get("include-group") in self.groups:
                self.add_group(entry["include-group"], stated)
            else:
                raise BentoError(f"{self.origin}: dependency-groups.{name}: {entry} names no group. Correct it.")


def _chosen(wanted: Sequence[str], there: dict[str, Any], origin: str) -> list[str]:
    missing = sorted(set(wanted) - there.keys() - {"*"})
    if missing:
        raise BentoError(f"{origin}: there is no {', '.join(missing)}; there are {', '.join(sorted(there)) or 'none'}.")
    return sorted(there) if "*" in wanted else list(wanted)


def _with_source(text: str, source: Any, origin: str) -> str:
    """A requirement with the git repository that `tool.uv.sources` says that it comes from."""
    if source is None or (isinstance(source, dict) and "index" in source):
        return text  # indexes are named by the target
    if not isinstance(source, dict) or "git" not in source:
        raise BentoError(
            f"{origin}: only `git` and `index` can be locked. Code of the repository belongs into deps of its targets."
        )
    requirement, _, marker = text.partition(";")
    name = re.sub(r"[<>=!~].*", "", requirement).strip()
    revision = source.get("rev") or source.get("tag") or source.get("branch")
    address = f"git+{source['git']}" + (f"@{revision}" if revision else "")
    folder = f"#subdirectory={source['subdirectory']}" if "subdirectory" in source else ""
    return f"{name} @ {address}{folder}" + (f" ; {marker.strip()}" if marker else "")
