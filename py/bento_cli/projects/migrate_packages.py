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
from rules_bento.bentos.service.loaded_names import DISTRIBUTIONS, WITH_EFFECTS
from rules_bento.bentos.service.metadata import Image, ImageCall
from rules_bento.bentos.service.modules import (
    FUNCTIONS,
    Module,
    Names,
    PythonFiles,
    callee,
    dotted,
    is_guard,
    own_nodes,
)
from rules_bento.bentos.service.services import MOUNTS

from bento_cli.projects.from_directory import PYTHON_VERSION
from bento_cli.projects.starlark import keyword_string, string, top_level_calls

if TYPE_CHECKING:
    from packaging.requirements import Requirement
    from rules_bento.bentos.build_options.options import BuildOptions
    from rules_bento.bentos.build_options.project import ProjectFiles
    from rules_bento.bentos.service import ServiceInfo


PLATFORM = "linux_amd64"
_LOCKS = ("uv.lock", "pylock.toml", "requirements.lock.json", "requirements.lock", "requirements.lock.txt")
# The second pair is used if the project has a file with the first name.
_NAMES = (("requirements.in", "constraints.in"), ("bento_requirements.in", "bento_constraints.in"))
_LINKS = ("-f", "--extra-index-url", "--find-links")  # options whose values can be directories
_OUR_LOCK = "requirements.lock.json"
REQUIREMENTS = "requirements"  # name of the bento_requirements
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


def find_generated(files: ProjectFiles, build_file: str, options: BuildOptions) -> list[str]:
    """Return the paths of the files that an earlier migration generated for `REQUIREMENTS` in a BUILD file.

    Returns [] if the project's requirements file is one of these files, or if the BUILD file is missing or invalid.
    """
    targets = []
    with suppress(BentoError):
        calls = top_level_calls(files.text(build_file, build_file), build_file)
        targets = [node for _, node, _ in calls if keyword_string(node, "name") == REQUIREMENTS]
    named = {string(node) for target in targets for node in ast.walk(target) if isinstance(node, ast.Constant)}
    names = [name for name in (*_NAMES[0], *_NAMES[1]) if name in named] + [_OUR_LOCK] * bool(targets)
    return [] if options.python.requirements_txt in names else names


def read(
    options: BuildOptions,
    info: ServiceInfo,
    files: ProjectFiles,
    min_python: int,
    generated: Sequence[str],
    package: str,
) -> Packages:
    """Return the packages that the build options and the image require. Raises BentoError if a file is missing.

    `generated` contains the result of `find_generated`. `package` is the project's Bazel package.
    """
    image = _image(info, files)
    version = _python_version(options, image, files, max(min_python, int(PYTHON_VERSION[2:])))
    index_options, lines, limits, notes = _parse(_texts(options, info.path, image, files))
    if version in [f"3.{minor}" for minor in range(min_python)]:
        notes.append(f"the service has syntax of Python 3.{min_python}, but the project specifies Python {version}.")
    if not any(requirement_syntax.requirement_name(line) == "bentoml" for line in lines):
        lines.append(f"bentoml=={BENTOML_VERSION}")
    lines, libraries, local_notes = _without_local(lines, _pyproject(files), files, package)
    notes += local_notes
    parsed = [requirement_syntax.parse_requirement(line) for line in lines]
    if info.unknowns and any(_is_older(requirement, FIRST_BENTOML) for requirement in parsed):
        notes.append(f"importing the service requires BentoML {FIRST_BENTOML} or later. Change the requirement.")
    if any(_is_older(requirement, _FIRST_WITHOUT_FS) for requirement in parsed):
        limits.append(_SETUPTOOLS)
        notes.append(f"BentoML before 1.4.20 can't start with a newer setuptools, so the lock has `{_SETUPTOOLS}`.")
    if image and image is not info.image and image.calls:
        notes.append(f"check the requirements, because code in {info.path} determines the image.")
    environment = _LINUX | {"python_version": version, "python_full_version": f"{version}.0"}
    required = [each for each in parsed if not each.marker or each.marker.evaluate(environment)]
    lock, incomplete = _own_lock(options, files, generated, required)
    targets, missing = _targets(required, lock, files)
    notes += [*incomplete, *missing]
    python = options.python
    indexes = Indexes(
        default=python.index_url or "",
        extra=tuple(python.extra_index_url or ()),
        find_links=tuple(python.find_links or ()),
        no_index=bool(python.no_index),
        trusted_hosts=tuple(python.trusted_host or ()),
    )
    selection: dict[str, list[str]] = {}
    if lock == "uv.lock":
        if "\nconflicts = " in files.text(lock, "the lock"):
            selection = compatible_selection(read_uv_lock(files.text(lock, "the lock"), lock))
            chosen = ", ".join(f"{key} = {json.dumps(names)}" for key, names in selection.items())
            notes.append(f"uv.lock has conflicts, so bento.pypi selects {chosen}. To use others, change the tag.")
        indexes = _with_uv_indexes(indexes, files)
        if indexes.default and not python.index_url:
            notes.append(
                "the Bento doesn't record the default index of pyproject.toml, so containers that BentoML builds use "
                "PyPI. If PyPI doesn't have all packages, set python.index_url."
            )
    elif not lock:
        notes += _uv_setting_notes(files)
    hub_options = [option for option in index_options if option.flag not in _LINKS or "://" in option.value]
    return Packages(
        version,
        lock or _OUR_LOCK,
        lock is not None,
        list(dict.fromkeys([*(f"{option.flag} {option.value}".strip() for option in index_options), *lines])),
        list(dict.fromkeys(limits)),
        targets,
        _attributes(indexes),
        _attributes(indexes if lock or not hub_options else indexes.with_options(hub_options, "requirements")),
        _NAMES[files.has(_NAMES[0][0]) and _NAMES[0][0] not in generated],
        libraries,
        selection,
        [f"Packages: {note}" for note in dict.fromkeys(notes)],
    )


def _parse(
    texts: Iterable[tuple[str, str, bool]],
) -> tuple[list[requirement_syntax.Line], list[str], list[str], list[str]]:
    """Return the index options, the requirements, the constraints, and notes on invalid lines."""
    index_options: list[requirement_syntax.Line] = []
    lines: list[str] = []
    limits: list[str] = []
    notes: list[str] = []
    for place, text, is_limit in texts:
        declared, own_options = requirement_syntax.parse(text, place)
        for option in own_options:
            if option.flag in requirement_syntax.INDEX_OPTIONS and not is_limit:
                index_options.append(option)
            elif problem := error_message(requirement_syntax.reject_option, option):
                notes.append(problem)
        for item in declared:
            problem = error_message(requirement_syntax.check, item.text, place)
            (notes if problem else limits if is_limit else lines).append(problem or item.text)
    return index_options, lines, limits, notes


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


def _python_version(options: BuildOptions, image: Image | None, files: ProjectFiles, first: int) -> str:
    """Return the Python version (`X.Y`) from the options, the image, or pyproject.toml. The default is 3.`first`."""
    declared = options.docker.python_version or (image.arguments.get("python_version") if image else None)
    if declared:
        return ".".join(str(declared).split(".")[:2])
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    project = read_project(_pyproject(files), "pyproject.toml")
    try:
        allowed = SpecifierSet(project.get("requires-python", f">=3.{first}"))
    except InvalidSpecifier:
        return f"3.{first}"
    # `==3.12.7` allows only one of these patch versions.
    fits = [version for version in _VERSIONS if any(allowed.contains(f"{version}.{patch}") for patch in range(100))]
    return next((version for version in fits if int(version[2:]) >= first), [*fits, f"3.{first}"][0])


def _texts(
    options: BuildOptions, path_of_service: str, image: Image | None, files: ProjectFiles
) -> Iterator[tuple[str, str, bool]]:
    """Yield three values for each list of requirements: its origin, its text, and whether it contains constraints."""
    python = options.python
    named = [(python.requirements_txt, options.at("python.requirements_txt"))] if python.requirements_txt else []
    if not named:
        yield options.at("python.packages"), "\n".join(python.packages or ()), False
    place = f"{path_of_service}: the image"
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


def _own_lock(
    options: BuildOptions, files: ProjectFiles, generated: Sequence[str], required: list[Requirement]
) -> tuple[str | None, list[str]]:
    """Return the path of the project's lock, if any, and notes on locks that don't contain all required packages."""
    named = options.python.requirements_txt
    if named and "--hash=" in files.text(named, options.at("python.requirements_txt")):
        return files.path(named, "requirements_txt"), []
    notes: list[str] = []
    for lock in (name for name in _LOCKS if files.has(name) and name not in generated):
        text = files.text(lock, "the lock")
        names = [requirement_syntax.normalize_name(requirement.name) for requirement in required]
        patterns = {name: rf"(?im)(?:^|\"){name.replace('-', '[-_.]+')}(?:\"|\s*[\[=@;])" for name in names}
        absent = [name for name, pattern in patterns.items() if not re.search(pattern, text)]
        if not absent:
            return lock, notes
        notes.append(f"{lock} isn't used, because it doesn't contain {', '.join(absent)}.")
    return None, notes


def _targets(required: list[Requirement], lock: str | None, files: ProjectFiles) -> tuple[list[str], list[str]]:
    """Return two lists: the package hub's targets for the requirements, and notes on missing targets."""
    text = files.text(lock, "the lock") if lock else ""
    targets, notes = [], []
    for requirement in required:
        name = requirement_syntax.normalize_name(requirement.name).replace("-", "_")
        has_extras = lock in (None, "uv.lock", _OUR_LOCK) or re.search(rf"(?im)^{re.escape(requirement.name)}\[", text)
        if requirement.extras and has_extras:
            targets += [f"{name}:{requirement_syntax.normalize_name(extra)}" for extra in requirement.extras]
            continue
        targets.append(name)
        if requirement.extras:
            notes.append(
                f"{lock} has no extras, so the hub has no target for {requirement}. Lock with --no-strip-extras or "
                f"`uv lock`, or add the packages of the extra to requirements."
            )
    return sorted(set(targets)), notes


def _pyproject(files: ProjectFiles) -> dict[str, Any]:
    """Return the tables of pyproject.toml, or {} if the file is missing."""
    name = "pyproject.toml"
    return read_toml(files.text(name, name), name) if files.has(name) else {}


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


def _without_local(
    lines: Iterable[str], pyproject: dict[str, Any], files: ProjectFiles, package: str
) -> tuple[list[str], list[str], list[str]]:
    """Replace requirements for local projects with the requirements of these projects.

    Returns the requirements, the labels of existing py_library targets of the local projects, and notes. `pyproject` is
    the content of the project's pyproject.toml. `package` is the project's Bazel package.
    """
    local = requirement_syntax.local_packages(pyproject, ("workspace", "path"))
    kept: dict[str, None] = {}
    labels, notes = [], []
    projects = _projects(files) if local else {}
    queue, seen = list(lines), set[str]()
    for line in queue:
        name = requirement_syntax.requirement_name(line)
        if name not in local:
            kept[line] = None
        elif name not in seen:
            seen.add(name)
            directory, document = projects.get(name, ("", {}))
            queue += [text for text in document.get("dependencies", []) if isinstance(text, str)]
            label, note = _library(name, local[name], directory, files, package)
            labels += [label] if label else []
            notes += [note] if note else []
    return list(kept), labels, notes


def _projects(files: ProjectFiles) -> dict[str, tuple[str, dict[str, Any]]]:
    """Map the normalized name of each project in a subdirectory to its directory and its table `project`."""
    found: dict[str, tuple[str, dict[str, Any]]] = {}
    for path in sorted(path for path in files.paths if path.endswith("/pyproject.toml")):
        with suppress(BentoError):
            project = read_project(read_toml(files.text(path, path), path), path)
            if isinstance(project.get("name"), str):
                found.setdefault(requirement_syntax.normalize_name(project["name"]), (posixpath.dirname(path), project))
    return found


def _library(name: str, source: str, directory: str, files: ProjectFiles, package: str) -> tuple[str, str]:
    """Return the label of the py_library of a local project, or "", and a note if the py_library doesn't exist."""
    if not directory:
        return "", f"{name} comes from {source}. Add a py_library of its modules to deps of the bento_package."
    place = f"//{package}/{directory}" if package else f"//{directory}"
    for file in (f"{directory}/{build}" for build in ("BUILD.bazel", "BUILD")):
        with suppress(BentoError):
            calls = top_level_calls(files.text(file, file), file) if files.has(file) else []
            targets = [keyword_string(call, "name") for function, call, _ in calls if function == "py_library"]
            if targets:
                return f"{place}:{targets[0]}", ""
    target = name.replace("-", "_")
    root = "src" if any(path.startswith(f"{directory}/src/") for path in files.paths) else "."
    pattern = "src/**/*.py" if root == "src" else "**/*.py"
    return "", (
        f"{name} is the local project {directory}. Create {directory}/BUILD.bazel with "
        f'`load("@rules_python//python:defs.bzl", "py_library")` and `py_library(name = "{target}", '
        f'srcs = glob(["{pattern}"]), imports = ["{root}"], visibility = ["//visibility:public"])`, and add '
        f'`deps = ["{place}:{target}"]` to the bento_package. MODULE.bazel must depend on rules_python.'
    )


_ALWAYS_IMPORTED = ("bentoml", "fastapi", "numpy", "pydantic", "starlette", "yaml")  # the modules that BentoML needs
_IMPORT = re.compile(rb"(?m)^\s*(?:from|import) (\w+)")
_LOADERS = ("pickle.load", "pickle.loads")
_PICKLED = ("catboost", "lightgbm", "pandas", "sklearn", "xgboost")  # modules whose objects are often in pickle files
_EVALUATED = (ast.BoolOp, ast.Compare, ast.FormattedValue, ast.UnaryOp)


def find_imported(service: str, texts: dict[str, bytes]) -> set[str]:
    """Propose the package hub targets that the import of a service requires. For others, stand-in modules suffice.

    An item of the result can be a prefix of a target's name. `service` is the module of the service. `texts` maps paths
    to the contents of source files that Python can parse.
    """
    names = Names(PythonFiles(texts))
    required = {name.decode() for text in texts.values() for name in _IMPORT.findall(text)}.intersection(WITH_EFFECTS)
    pending = [(service, False)]  # modules, and whether they are imported in a `try`
    called: set[str] = set()
    for name, is_tried in pending:
        path = names.files.find(name)
        if path is None:
            required |= {name.partition(".")[0]} if is_tried and not names.files.owns(name) else set()
            continue
        module = names.parsed(name, path)
        nodes = executed(module, called)
        blocks = (node.body for node in nodes if isinstance(node, ast.Try) and node.handlers)
        tried = set(nodes) if is_tried else {node for block in blocks for node in own_nodes(*block)}
        required |= {used.partition(".")[0] for node in _used(module, nodes, tried) if (used := dotted(module, node))}
        if any(dotted(module, node) in _LOADERS for node in nodes):
            required.update(_PICKLED)
        for node in nodes:
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                imported = [each for _, binding in module.imported(node) for each in (binding.module, binding.path)]
                pending += [(each, node in tried) for each in imported if (each, node in tried) not in pending]
    packages = (DISTRIBUTIONS.get(each, each) for each in required.difference(_ALWAYS_IMPORTED))
    return {re.sub(r"[-_.]+", "_", package).lower().strip("_") for package in packages}


def executed(module: Module, called: set[str]) -> list[ast.AST]:
    """Return the nodes that the import of a module executes. Adds the names of called functions to `called`."""
    body = [node for node in module.tree.body if not (isinstance(node, ast.If) and is_guard(module, node))]
    body += [child for node in body if isinstance(node, ast.ClassDef) for child in node.body]
    called |= {getattr(node.func, "id", "") for node in own_nodes(*body) if isinstance(node, ast.Call)}
    body += [child for node in body if isinstance(node, FUNCTIONS) and node.name in called for child in node.body]
    return list(own_nodes(*body))


def _used(module: Module, nodes: list[ast.AST], tried: set[ast.AST]) -> list[ast.AST]:
    """Return the nodes whose values the import requires. `nodes` contains the executed nodes of a module.

    The result contains the nodes in `try` blocks (`tried`), conditions, comparisons, boolean and unary operations, and
    replacement fields of f-strings, the values of their variables, and the functions that create mounted applications.
    """
    used, makers = [*tried], []
    for node in nodes:
        if hasattr(node, "test") or isinstance(node, _EVALUATED):
            used += own_nodes(getattr(node, "test", node))
        for each in getattr(node, "decorator_list", ()):
            if isinstance(each, ast.Call) and dotted(module, each.func) in MOUNTS:
                makers += [callee(value) for application in each.args[:1] for value in _values(module, application)]
    values = [value for node in used for value in _values(module, node) if isinstance(value, ast.expr)]
    return [*used, *own_nodes(*values), *makers]


def _values(module: Module, node: ast.AST) -> list[ast.AST]:
    """Return the values that the module assigns to a variable."""
    return [binding.node for binding in module.bindings.get(getattr(node, "id", ""), ())]
