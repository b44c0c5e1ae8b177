"""Reads the options of a target, of `bentofile.yaml`, and of `[tool.bentoml.build]` in `pyproject.toml`."""

from __future__ import annotations

import re
from pathlib import Path as FilePath

from rules_bento.base.dataclasses_lite import replace
from rules_bento.base.errors import BentoError
from rules_bento.base.formats import decode_text, read_file
from rules_bento.base.formats.toml import read_project, read_toml
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Container, Sequence
from rules_bento.bentos.build_options import option_reader
from rules_bento.bentos.build_options.document import Document, LiteralFloat, arguments
from rules_bento.bentos.build_options.option_checks import check_package
from rules_bento.bentos.build_options.options import BuildOptions, merge
from rules_bento.bentos.packages.requirement_syntax import local_packages

if TYPE_CHECKING:
    from rules_bento.bentos.sources.patterns import Rule
    from rules_bento.bentos.sources.snapshot import Selection

NAMES = ("bentofile.yaml", "pyproject.toml")  # the files that BentoML reads options from, by priority
_TABLE = ("tool", "bentoml", "build")
_MAX_REPORTED = 20  # unmatched patterns with a warning of their own
_MAX_LISTED = 5
_LISTS = ("include", "exclude")  # of patterns for this project
_IN_TEMPLATES = re.compile(r"^/?[._]|[*?[$]")


def read(path: str | FilePath, origin: str, *, src_exists: bool = False) -> BuildOptions:
    """Read the options in a bentofile.yaml or pyproject.toml. Error messages begin with `origin`.

    `src_exists` is the default of `is_src_layout` for a pyproject.toml. Raises BentoError if an option is invalid. The
    message includes the line number.
    """
    text = _read_text(path, origin)
    if FilePath(path).suffix == ".toml":
        return from_pyproject(text, origin, src_exists=src_exists)
    return from_yaml(text, origin)


def read_arguments(path: str | FilePath, origin: str) -> dict[str, Any]:
    """Read a Bento's arguments from a YAML mapping. Raises BentoError if the YAML is invalid."""
    return arguments(yaml_document(_read_text(path, origin), origin), ())


def _read_text(path: str | FilePath, origin: str) -> str:
    try:
        return decode_text(read_file(path, origin), origin)
    except OSError as error:
        remedy = "Check the path and permissions."
        raise BentoError(f"cannot read the file: {error.strerror}", place=origin, remedy=remedy) from None


def from_yaml(text: str, origin: str) -> BuildOptions:
    """Parse a bentofile.yaml. Raises BentoError if a value is invalid. The message includes the line number."""
    return _with_lowercase_name(option_reader.parse(yaml_document(text, origin)))


def from_pyproject(text: str, origin: str, *, src_exists: bool = False) -> BuildOptions:
    """Parse the options, the name, and the dependencies in a pyproject.toml. Raises BentoError for an invalid value."""
    tables = read_toml(text, origin, LiteralFloat)
    section = tables
    for key in _TABLE:
        section = section.get(key, {})
        if not isinstance(section, dict):
            raise BentoError(f"{'.'.join(_TABLE)} must be a table", place=origin, remedy=f"Write [{'.'.join(_TABLE)}].")
    project = read_project(tables, origin)
    options = option_reader.parse(Document(origin, section))
    if options.name is None and isinstance(project.get("name"), str):
        places = {**options.places, "name": f"{origin}: project.name"}
        options = replace(options, name=project["name"], places=places)
    options = replace(options, local_packages=local_packages(tables))
    options = _with_dependencies(options, project, f"{origin}: project.dependencies")
    dynamic = project.get("dynamic")
    if isinstance(dynamic, list) and "dependencies" in dynamic and not options.python.requirements_txt:
        options = replace(options, places={**options.places, "project.dynamic": f"{origin}: project.dynamic"})
    if options.python.is_src_layout is None and src_exists:
        options = replace(options, python=replace(options.python, is_src_layout=True))
    return _with_lowercase_name(options)


def _with_dependencies(options: BuildOptions, project: dict[str, Any], place: str) -> BuildOptions:
    """Return `options` with the project's dependencies, unless the options specify a requirements file."""
    dependencies = project.get("dependencies", [])
    if not isinstance(dependencies, list) or not all(isinstance(item, str) for item in dependencies):
        raise BentoError(f"expected a list of strings, got {dependencies!r:.80}.", place=place)
    python = options.python
    if python.requirements_txt:
        return replace(options, unused_packages=tuple(dependencies))
    for dependency in dependencies:
        check_package(dependency, place)
    places = {"python.packages": place, **options.places}
    return replace(options, python=replace(python, packages=(*(python.packages or ()), *dependencies)), places=places)


def _with_lowercase_name(options: BuildOptions) -> BuildOptions:
    """Return `options` with the name converted to lowercase, as BentoML does."""
    return replace(options, name=options.name.lower()) if options.name else options


def yaml_document(text: str, origin: str) -> Document:
    """Parse a YAML mapping with line numbers. `text` can be empty. Raises BentoError if the YAML isn't a mapping."""
    from rules_bento.base.formats.yaml import read_with_lines

    data, lines = read_with_lines(text, origin, LiteralFloat)
    if data is None:
        data = {}
    if not isinstance(data, dict):
        raise BentoError(f"{origin}:1: expected a mapping", remedy="Write options such as 'service: \"service:Svc\"'.")
    return Document(origin, data, lines)


def find(directory: FilePath, names: Sequence[str] = NAMES) -> FilePath | None:
    """Return the first file in `names` that exists in `directory`, or None if no file exists."""
    return next((directory / name for name in names if (directory / name).is_file()), None)


def read_target(attributes: dict[str, Any], bentofiles: Sequence[tuple[str, ...]], *, src_exists: bool) -> BuildOptions:
    """Return the options of a target, merged with an optional bentofile.

    `attributes` has the format of a bentofile. `bentofiles` is empty, or contains one pair: the path of a bentofile,
    and its name in messages. `src_exists` specifies whether the build context contains a directory `src`. Raises
    BentoError for invalid options.
    """
    options = option_reader.parse(Document("", attributes))
    for path, name in bentofiles:
        options = merge(options, read(path, name, src_exists=src_exists))
    return options


def find_service(options: BuildOptions, sources: Container[str], directory: str = "") -> str:
    """Return the service, by default `service`. Raises BentoError, which names a command's `directory`."""
    if options.service is not None:
        return options.service
    if "service.py" not in sources:
        problem = "required, because the sources don't contain the default service.py"
        remedy = "Set service to 'module:Service', or check that include, exclude, and .bentoignore keep service.py."
        if directory:
            run = "Run the command in the directory of the service, or name it: `bento build DIRECTORY`. For the image "
            run += "of a uv project without a service, run `bento image`."
            problem = "the sources don't contain service.py"
            raise BentoError(problem, place=directory, remedy=f"{run}\n  Otherwise: {remedy}")
        raise BentoError(problem, place="service", remedy=remedy)
    return "service"


def unmatched_patterns(selection: Selection, options: BuildOptions, among: str) -> list[str]:
    """Return warnings about patterns that match no file. `among` describes the searched files in messages.

    One warning per list covers the patterns that were meant to exclude files, if no similar pattern matches a file. It
    omits patterns of an ignore file that is probably a template: names of tools, wildcards, and many patterns.
    """
    notes, others = [], dict[str, list[str]]()
    for index, rule in enumerate(selection.idle):
        hint = selection.rules.suggestion(rule) if index < _MAX_REPORTED else ""
        if hint or (selection.rules.is_including(rule) and index < _MAX_REPORTED):
            text = f"{_place(rule, options)}: {rule.text!r} matches no file in {among}."
            notes.append(f"{text} Did you mean {hint!r}?" if hint else text)
        elif rule.origin == "include" or not (rule.negated or _is_in_template(rule)):
            others.setdefault(rule.origin, []).append(repr(rule.text))
    for origin, texts in others.items():
        place, more = options.at(origin), len(texts) - _MAX_LISTED
        if more > 0 and origin not in _LISTS:
            continue
        listed = ", ".join(texts[:_MAX_LISTED]) + (f", or {more} more patterns" if more > 0 else "")
        notes.append(f"{place}: no file in {among} matches {listed}.")
    return notes


def _is_in_template(rule: Rule) -> bool:
    return rule.origin not in _LISTS and bool(_IN_TEMPLATES.search(rule.text))


def _place(rule: Rule, options: BuildOptions) -> str:
    if rule.origin in _LISTS:
        return options.at(f"{rule.origin}[{rule.number - 1}]")
    return f"{rule.origin}:{rule.number}"
