"""Migrates a project's Python packages to Bazel: finds the requirements, the lock, and the package hub's targets."""

from __future__ import annotations

import ast
import json
import posixpath
import re
from contextlib import suppress

from rules_bento.actions.service import FIRST_BENTOML
from rules_bento.base.dataclasses_lite import dataclass, field, replace
from rules_bento.base.errors import BentoError
from rules_bento.base.formats import schema
from rules_bento.base.formats.toml import read_project, read_toml
from rules_bento.base.python_source import parse
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Callable, Iterable, Iterator, Sequence
from rules_bento.bentos.assembly.image_steps import project_dependencies
from rules_bento.bentos.assembly.kinds import BENTOML_VERSION
from rules_bento.bentos.assembly.named_files import inline_requirements
from rules_bento.bentos.packages import requirement_syntax, uv_settings
from rules_bento.bentos.packages.indexes import Indexes
from rules_bento.bentos.packages.lock_format import read_uv_lock
from rules_bento.bentos.packages.requirement_syntax import join
from rules_bento.bentos.packages.uv_lock_conflicts import compatible_selection
from rules_bento.bentos.service.metadata import Image, ImageCall

from bento_cli.projects.from_directory import PYTHON_VERSION
from bento_cli.projects.migrated_project import INPUTS, OUR_LOCK
from bento_cli.projects.starlark import keyword_string, top_level_calls

if TYPE_CHECKING:
    from packaging.requirements import Requirement
    from rules_bento.bentos.build_options.project import ProjectFiles
    from rules_bento.bentos.service import ServiceInfo

    from bento_cli.projects.migrated_project import MigratedProject

PLATFORM = "linux_amd64"
_LOCKS = ("uv.lock", "pylock.toml", "requirements.lock.json", "requirements.lock", "requirements.lock.txt")
_LINKS = ("-f", "--extra-index-url", "--find-links")  # options whose values can be directories
_VERSIONS = (PYTHON_VERSION, "3.12", "3.13", "3.14", "3.10")
_UV = {"index?": [{"name?": str, "url": str, "default?": bool}], "sources?": dict}  # tool.uv in pyproject.toml
_PACKAGE_METHODS = ("python_packages", "pyproject_toml", "requirements_file")
_IMAGES = ("Image", "PythonImage")
# BentoML before the first version requires the package fs, and this requires pkg_resources, which setuptools 82 lacks.
_FIRST_WITHOUT_FS, _SETUPTOOLS = "1.4.20", "setuptools<82"
_LINUX = {"os_name": "posix", "platform_machine": "x86_64", "platform_system": "Linux", "sys_platform": "linux"}


@dataclass(frozen=True)
class Packages:
    """The packages that a project requires, and their lock."""

    python_version: str  # X.Y
    lock: str  # path in the project
    is_locked: bool  # whether the project has the lock
    declared: list[str]  # index options and requirements, including bentoml
    constraints: list[str]
    targets: list[str]  # targets of the package hub: `bentoml`, `bentoml:io`
    indexes: dict[str, Any]  # attributes of bento_requirements, which reads the index options in `declared`
    hub_indexes: dict[str, Any]  # attributes of bento.pypi, which doesn't read them
    files: tuple[str, str]  # names of new files for requirements and constraints
    libraries: list[str]  # labels of py_library targets of local packages
    selection: dict[str, list[str]]  # attributes of bento.pypi that select no conflicting parts of uv.lock
    notes: list[str] = field(default_factory=list)

    @property
    def sources(self) -> list[str]:
        """The names of the new files that aren't empty."""
        return [name for name, lines in zip(self.files, (self.declared, self.constraints), strict=True) if lines]


def read(project: MigratedProject) -> Packages:
    """Return the packages that the build options and the image require. Raises BentoError if a file is missing."""
    return _PackageReader(project).read()


class _PackageReader:
    """Reads the packages of one project, and collects notes for the user."""

    def __init__(self, project: MigratedProject) -> None:
        self._project, self._files, self._options = project, project.files, project.options
        self._image = _image(project.info, project.files)
        self._notes: list[str] = []

    def read(self) -> Packages:
        """Return the packages. Raises BentoError if a file is missing."""
        files, generated = self._files, self._project.generated
        version = self._python_version()
        index_options, lines, limits = self._read_requirements()
        if version in [f"3.{minor}" for minor in range(self._project.min_python)]:
            syntax = f"the service has syntax of Python 3.{self._project.min_python}"
            self._notes.append(f"{syntax}, but the project specifies Python {version}.")
        if not any(requirement_syntax.requirement_name(line) == "bentoml" for line in lines):
            lines.append(f"bentoml=={BENTOML_VERSION}")
        lines, libraries = self._without_local(lines)
        parsed = [requirement_syntax.parse_requirement(line) for line in lines]
        limits += self._check_bentoml(parsed)
        environment = _LINUX | {"python_version": version, "python_full_version": f"{version}.0"}
        required = [each for each in parsed if not each.marker or each.marker.evaluate(environment)]
        lock = self._find_lock(required)
        targets = self._targets(required, lock)
        selection = self._select(lock)
        indexes = self._indexes(lock)
        hub_options = [option for option in index_options if option.flag not in _LINKS or "://" in option.value]
        return Packages(
            version,
            lock or OUR_LOCK,
            lock is not None,
            list(dict.fromkeys([*(f"{option.flag} {option.value}".strip() for option in index_options), *lines])),
            list(dict.fromkeys(limits)),
            targets,
            _attributes(indexes),
            _attributes(indexes if lock or not hub_options else indexes.with_options(hub_options, "requirements")),
            INPUTS[files.has(INPUTS[0][0]) and INPUTS[0][0] not in generated],
            libraries,
            selection,
            [f"Packages: {note}" for note in dict.fromkeys(self._notes)],
        )

    def _python_version(self) -> str:
        """Return the Python version (`X.Y`) from the options, the image, or pyproject.toml, or the default."""
        image, first = self._image, max(self._project.min_python, int(PYTHON_VERSION[2:]))
        declared = self._options.docker.python_version or (image.arguments.get("python_version") if image else None)
        if declared:
            return ".".join(str(declared).split(".")[:2])
        from packaging.specifiers import InvalidSpecifier, SpecifierSet

        project = read_project(_pyproject(self._files), "pyproject.toml")
        try:
            allowed = SpecifierSet(project.get("requires-python", f">=3.{first}"))
        except InvalidSpecifier:
            return f"3.{first}"
        # `==3.12.7` allows only one of these patch versions.
        fits = [version for version in _VERSIONS if any(allowed.contains(f"{version}.{patch}") for patch in range(100))]
        return next((version for version in fits if int(version[2:]) >= first), [*fits, f"3.{first}"][0])

    def _read_requirements(self) -> tuple[list[requirement_syntax.Line], list[str], list[str]]:
        """Return the index options, the requirements, and the constraints. Notes invalid lines."""
        index_options: list[requirement_syntax.Line] = []
        lines: list[str] = []
        limits: list[str] = []
        for place, text, is_limit in self._texts():
            declared, own_options = requirement_syntax.parse(text, place)
            for option in own_options:
                if option.flag in requirement_syntax.INDEX_OPTIONS and not is_limit:
                    index_options.append(option)
                elif problem := error_message(requirement_syntax.reject_option, option):
                    self._notes.append(problem)
            for item in declared:
                problem = error_message(requirement_syntax.check, item.text, place)
                (self._notes if problem else limits if is_limit else lines).append(problem or item.text)
        return index_options, lines, limits

    def _texts(self) -> Iterator[tuple[str, str, bool]]:
        """Yield three values for each list of requirements: its origin, its text, and whether it has constraints."""
        options, files, image = self._options, self._files, self._image
        named = []
        if options.python.requirements_txt:
            named = [(options.python.requirements_txt, options.at("python.requirements_txt"))]
        else:
            yield options.at("python.packages"), "\n".join(options.python.packages or ()), False
        place = f"{self._project.info.path}: the image"
        for step in image.calls if image else ():
            if step.method == "python_packages":
                yield place, "\n".join(step.args), False
            elif step.method == "pyproject_toml":
                path = step.args[0] if step.args else "pyproject.toml"
                yield place, "\n".join(project_dependencies(path, files, place)), False
            elif step.method == "requirements_file":
                named.append((step.args[0], f"{place}: requirements_file"))
        for path, origin in named:
            for limits in (False, True):
                yield origin, join(inline_requirements(path, files, origin, constraints=limits, check=False)), limits

    def _without_local(self, lines: Iterable[str]) -> tuple[list[str], list[str]]:
        """Replace requirements for local projects with the requirements of these projects.

        Returns the requirements, and the labels of existing py_library targets of the local projects.
        """
        local = requirement_syntax.local_packages(_pyproject(self._files), ("workspace", "path"))
        kept: dict[str, None] = {}
        labels = []
        projects = _projects(self._files) if local else {}
        queue, seen = list(lines), set[str]()
        for line in queue:
            name = requirement_syntax.requirement_name(line)
            if name not in local:
                kept[line] = None
            elif name not in seen:
                seen.add(name)
                directory, document = projects.get(name, ("", {}))
                queue += [text for text in document.get("dependencies", []) if isinstance(text, str)]
                if directory:
                    labels += self._find_library(name, directory)
                else:
                    source = f"{name} comes from {local[name]}."
                    self._notes.append(f"{source} Add a py_library of its modules to deps of the bento_package.")
        return list(kept), labels

    def _find_library(self, name: str, directory: str) -> list[str]:
        """Return the label of the py_library of a local project. Without a py_library, notes how to create one."""
        files, package = self._files, self._project.package
        place = f"//{package}/{directory}" if package else f"//{directory}"
        for file in (f"{directory}/{build}" for build in ("BUILD.bazel", "BUILD")):
            with suppress(BentoError):
                calls = top_level_calls(files.text(file, file), file) if files.has(file) else []
                targets = [keyword_string(call, "name") for function, call, _ in calls if function == "py_library"]
                if targets:
                    return [f"{place}:{targets[0]}"]
        target = name.replace("-", "_")
        root = "src" if any(path.startswith(f"{directory}/src/") for path in files.paths) else "."
        pattern = "src/**/*.py" if root == "src" else "**/*.py"
        self._notes.append(
            f"{name} is the local project {directory}. Create {directory}/BUILD.bazel with "
            f'`load("@rules_python//python:defs.bzl", "py_library")` and `py_library(name = "{target}", '
            f'srcs = glob(["{pattern}"]), imports = ["{root}"], visibility = ["//visibility:public"])`, and add '
            f'`deps = ["{place}:{target}"]` to the bento_package. MODULE.bazel must depend on rules_python.'
        )
        return []

    def _check_bentoml(self, parsed: Sequence[Requirement]) -> list[str]:
        """Return the constraints that an old BentoML requires. Notes requirements to change or check."""
        info, image, limits = self._project.info, self._image, []
        if info.unknowns and any(_is_older(requirement, FIRST_BENTOML) for requirement in parsed):
            self._notes.append(
                f"importing the service requires BentoML {FIRST_BENTOML} or later. Change the requirement."
            )
        if any(_is_older(requirement, _FIRST_WITHOUT_FS) for requirement in parsed):
            limits.append(_SETUPTOOLS)
            problem = "BentoML before 1.4.20 can't start with a newer setuptools"
            self._notes.append(f"{problem}, so the lock has `{_SETUPTOOLS}`.")
        if image and image is not info.image and image.calls:
            self._notes.append(f"check the requirements, because code in {info.path} determines the image.")
        return limits

    def _find_lock(self, required: list[Requirement]) -> str | None:
        """Return the path of the project's lock, if any. Notes locks that don't contain all required packages."""
        files, named = self._files, self._options.python.requirements_txt
        if named and "--hash=" in files.text(named, self._options.at("python.requirements_txt")):
            return files.path(named, "requirements_txt")
        for lock in (name for name in _LOCKS if files.has(name) and name not in self._project.generated):
            text = files.text(lock, "the lock")
            names = [requirement_syntax.normalize_name(requirement.name) for requirement in required]
            patterns = {name: rf"(?im)(?:^|\"){name.replace('-', '[-_.]+')}(?:\"|\s*[\[=@;])" for name in names}
            absent = [name for name, pattern in patterns.items() if not re.search(pattern, text)]
            if not absent:
                return lock
            self._notes.append(f"{lock} isn't used, because it doesn't contain {', '.join(absent)}.")
        return None

    def _targets(self, required: list[Requirement], lock: str | None) -> list[str]:
        """Return the package hub's targets for the requirements. Notes missing targets."""
        text = self._files.text(lock, "the lock") if lock else ""
        targets = []
        for requirement in required:
            name = requirement_syntax.normalize_name(requirement.name).replace("-", "_")
            is_listed = re.search(rf"(?im)^{re.escape(requirement.name)}\[", text)
            if requirement.extras and (lock in (None, "uv.lock", OUR_LOCK) or is_listed):
                targets += [f"{name}:{requirement_syntax.normalize_name(extra)}" for extra in requirement.extras]
                continue
            targets.append(name)
            if requirement.extras:
                self._notes.append(
                    f"{lock} has no extras, so the hub has no target for {requirement}. Lock with --no-strip-extras or "
                    f"`uv lock`, or add the packages of the extra to requirements."
                )
        return sorted(set(targets))

    def _select(self, lock: str | None) -> dict[str, list[str]]:
        """Return the attributes of bento.pypi that select no conflicting parts of a uv.lock."""
        if lock != "uv.lock" or "\nconflicts = " not in (text := self._files.text(lock, "the lock")):
            return {}
        selection = compatible_selection(read_uv_lock(text, lock))
        chosen = ", ".join(f"{key} = {json.dumps(names)}" for key, names in selection.items())
        self._notes.append(f"uv.lock has conflicts, so bento.pypi selects {chosen}. To use others, change the tag.")
        return selection

    def _indexes(self, lock: str | None) -> Indexes:
        """Return the indexes of the options and, for a uv.lock, of uv. Notes settings that get lost."""
        python = self._options.python
        indexes = Indexes(
            default=python.index_url or "",
            extra=tuple(python.extra_index_url or ()),
            find_links=tuple(python.find_links or ()),
            no_index=bool(python.no_index),
            trusted_hosts=tuple(python.trusted_host or ()),
        )
        if lock == "uv.lock":
            indexes = _with_uv_indexes(indexes, self._files)
            if indexes.default and not python.index_url:
                self._notes.append(
                    "the Bento doesn't record the default index of pyproject.toml, so containers that BentoML builds "
                    "use PyPI. If PyPI doesn't have all packages, set python.index_url."
                )
        elif not lock:
            self._notes += _uv_setting_notes(self._files)
        return indexes


def error_message(check: Callable[..., object], *arguments: Any, **options: Any) -> str:
    """Return the message of the BentoError that `check` raises, or an empty string if `check` succeeds."""
    try:
        check(*arguments, **options)
    except BentoError as error:
        return str(error)
    return ""


def _is_older(found: Requirement, first: str) -> bool:
    """Return whether a requirement limits BentoML to versions before `first`."""
    later = [f"1.{minor}.{patch}" for minor in range(3, 10) for patch in range(100)]
    later = [*later[later.index(first) :], "1.99.0", "99.0.0"]
    is_bentoml = requirement_syntax.normalize_name(found.name) == "bentoml" and not found.url
    return is_bentoml and not any(map(found.specifier.contains, later))


def _pyproject(files: ProjectFiles) -> dict[str, Any]:
    """Return the tables of pyproject.toml, or {} if the file is missing."""
    name = "pyproject.toml"
    return read_toml(files.text(name, name), name) if files.has(name) else {}


def _attributes(indexes: Indexes) -> dict[str, Any]:
    """Return index settings as attributes of bento.pypi and bento_requirements."""
    return {
        "find_links": list(dict.fromkeys(indexes.find_links)),
        "index_url": indexes.default,
        "indexes": list(dict.fromkeys(indexes.extra)),
        "no_index": indexes.no_index or None,
        "trusted_hosts": list(dict.fromkeys(indexes.trusted_hosts)),
        "explicit": indexes.explicit,
    }


def _projects(files: ProjectFiles) -> dict[str, tuple[str, dict[str, Any]]]:
    """Map the normalized name of each project in a subdirectory to its directory and its table `project`."""
    found: dict[str, tuple[str, dict[str, Any]]] = {}
    for path in sorted(path for path in files.paths if path.endswith("/pyproject.toml")):
        with suppress(BentoError):
            project = read_project(read_toml(files.text(path, path), path), path)
            if isinstance(project.get("name"), str):
                found.setdefault(requirement_syntax.normalize_name(project["name"]), (posixpath.dirname(path), project))
    return found


def _image(info: ServiceInfo, files: ProjectFiles) -> Image | None:
    """Return the service's image, if any. If static analysis failed, the image contains only constant arguments."""
    if info.image or not info.unknowns or not files.has(info.path):
        return info.image
    arguments: dict[str, Any] = {}
    calls = []
    for node in ast.walk(parse(files.read(info.path, "service"))):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            args = tuple(str(each.value) for each in node.args if isinstance(each, ast.Constant))
            is_known = len(args) == len(node.args) and (name == "python_packages" or all(map(files.has, args)))
            if name in _PACKAGE_METHODS and is_known:
                calls.append(ImageCall(name, args))
            elif name in _IMAGES:
                pairs = ((each.arg, each.value) for each in node.keywords)
                arguments |= {key: value.value for key, value in pairs if key and isinstance(value, ast.Constant)}
    return Image(arguments, tuple(calls))


def _uv_setting_notes(files: ProjectFiles) -> list[str]:
    """Return a note if pyproject.toml has settings of uv that the generated requirements file can't contain."""
    pyproject = _pyproject(files)
    schema.validate(pyproject, {"tool?": {"uv?": dict}}, "pyproject.toml", "See the specification of pyproject.toml.")
    uv = pyproject.get("tool", {}).get("uv", {})
    settings = ", ".join(f"tool.uv.{key}" for key in sorted(uv.keys() & uv_settings.COPIED.keys()))
    return [
        f"the lock ignores {settings} of pyproject.toml. Add pyproject.toml to srcs of the bento_requirements, with "
        "extras = [] and groups = []."
    ] * bool(settings)


def _with_uv_indexes(indexes: Indexes, files: ProjectFiles) -> Indexes:
    """Return `indexes` with uv's index settings in pyproject.toml."""
    uv = _pyproject(files).get("tool", {}).get("uv", {})
    schema.validate(uv, _UV, "pyproject.toml: tool.uv", "Check the file with `uv lock --check`.")
    default, extra, explicit = indexes.default, [], {}
    for index in uv.get("index", []):
        if index.get("default"):
            default = index["url"]
        else:
            extra.append(f"{index['name']}={index['url']}" if "name" in index else index["url"])
    for package, source in uv.get("sources", {}).items():
        sources = source if isinstance(source, list) else [source]
        named = {each.get("index") for each in sources if isinstance(each, dict)}
        if len(named) == 1 and isinstance(name := named.pop(), str):
            explicit[requirement_syntax.normalize_name(package)] = name
    return replace(indexes, default=default, extra=tuple(extra) or indexes.extra, explicit=explicit)
