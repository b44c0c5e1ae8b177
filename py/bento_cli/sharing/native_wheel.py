"""Builds the wheels of uv projects for `bento image`, by their build back ends in isolation."""

from __future__ import annotations

import json
import os
import re
import shutil
from functools import cache
from pathlib import Path

from rules_bento.base.archives import sha256_of
from rules_bento.base.errors import BentoError
from rules_bento.base.formats import read_file
from rules_bento.base.formats.schema import validate
from rules_bento.base.formats.toml import read_toml
from rules_bento.base.net.secret_hosts import are_safe
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Iterator, Sequence
from rules_bento.bentos.packages.requirement_syntax import normalize_name, parse_requirement
from rules_bento.bentos.packages.uv import (
    CACHE_FIRST,
    REFUSED,
    Access,
    Run,
    checked,
    find_interpreter,
    login_remedy,
    reach,
    require_uv,
    start,
    version_of,
)
from rules_bento.bentos.packages.uv_inputs import LockInputs
from rules_bento.bentos.packages.virtualenv import Interpreter
from rules_bento.images.wheels.wheel import Locked, Wheel

from bento_cli.projects.project_reach import confined
from bento_cli.projects.project_tree import ProjectTree, UnpackedArchive
from bento_cli.projects.uv_project import path_advice
from bento_cli.sharing.native_cache import DamagedError
from bento_cli.sharing.native_packages import LocalWheel

if TYPE_CHECKING:
    from rules_bento.base.own_files import OwnDirectory

    from bento_cli.projects.project_tree import ProjectTree
    from bento_cli.projects.uv_project import UvProject
    from bento_cli.sharing.native_build import BuildWorkspace

_DEFAULT_REQUIRES = ("setuptools>=40.8.0",)  # PEP 518
_UV_BUILD = re.compile(r"uv[-_]build\s*(.*)")
# The variables of back ends that read the version from git: setuptools-scm and hatch-vcs, pdm-backend,
# uv-dynamic-versioning, and poetry-dynamic-versioning. Some have a suffix for each project.
_VERSION_VARIABLES = (
    *("SETUPTOOLS_SCM_PRETEND_VERSION", "VCS_VERSIONING_PRETEND_VERSION", "PDM_BUILD_SCM_VERSION"),
    *("UV_DYNAMIC_VERSIONING_BYPASS", "POETRY_DYNAMIC_VERSIONING_BYPASS"),
)
_GIT_READERS = {
    *("dunamai", "hatch-vcs", "poetry-dynamic-versioning", "setuptools-git-versioning", "setuptools-scm"),
    *("uv-dynamic-versioning", "versioningit"),
}
_NO_COMPILER = "no-compiler-for-source-distributions"  # a program that doesn't exist
_FLAGS = ("--quiet", "--color=never", "--no-python-downloads", "--no-build")
_interpreter = cache(find_interpreter)  # for the wheels of all members


def build_archive(
    package: LocalWheel, project: UvProject, workspace: BuildWorkspace, python: str
) -> tuple[LocalWheel, str]:
    """Return the wheel of a downloaded source archive for a project, and a note as `build_wheel`.

    `python` is the version (X.Y) of the base image.

    Raises BentoError for a wheel with machine code, which depends on the compiler of this machine. The build has no
    compiler, so it ends before it takes time, unless the machine code is optional.
    """
    from rules_bento.bentos.packages.build_wheel import unpack

    label = f"{package.distribution}=={package.version}"
    try:
        source = unpack(package.path, workspace.new_directory())
        path = source / "pyproject.toml"
        shape = {"build-system?": {"build-backend?": str, "requires?": [str], "backend-path?": [str]}}
        document = read_toml(read_file(path), label) if path.is_file() else {}
        validate(document, shape, label, "Lock another version of the package.")
    except BentoError as error:
        raise error.at(f"{label}: {package.path.name}: ") from None
    document["project"] = {"name": package.distribution, "version": package.version}
    own = project._replace(directory=source, document=document, label=label)
    tree = UnpackedArchive(source, package.sha256)
    name = ""
    try:
        wheel, note = build_wheel(own, tree, workspace, target=python)
        name = wheel.path.name
    except BentoError as error:
        if _NO_COMPILER not in str(error):
            raise
    if not name.endswith("-none-any.whl"):
        problem = f"the source distribution builds {name or 'a wheel'}, which contains machine code of this machine"
        marker = f", marker = \"python_version == '{python}' and sys_platform == 'linux'\""
        remedy = f"Lock a version with a wheel, or build a wheel, and {path_advice(package.distribution, marker)}"
        raise BentoError(problem, place=label, remedy=remedy)
    return wheel, note


def build_wheel(
    project: UvProject, tree: ProjectTree, workspace: BuildWorkspace, version: str = "", *, target: str
) -> tuple[LocalWheel, str]:  # writes: own, a numbered directory; `wheel_name` checks the name
    """Return the wheel of a project, and lines of notes: build requirements without exact versions, or the version.

    `version` is the version for back ends that read it from git, and `target` the version (X.Y) of Python. Builds a
    wheel only if what it sees of `tree`, or the build requirements, have changed.
    """
    uv = require_uv("installs build requirements")
    scratch = workspace.new_directory()
    for name in ("packages", "build", "uv"):
        (scratch / name).mkdir(parents=True)
    back_end = _version_of_back_end(uv, project)
    indexes = [] if back_end else _write_settings(project, scratch)
    python = Interpreter.own() if back_end else _interpreter(target)
    flags = [*_FLAGS, "--python", str(python.path)]
    lock, note = "", _note_of_uv(project, back_end) if back_end else _note_of_python(project, python, target)
    if not back_end:
        lock, of_lock = _lock(project, scratch, [uv, "pip", "compile", *flags], indexes)
        note = f"{of_lock}\n{note}".strip()
    pretended = _pretended(version if project.is_version_dynamic else "")
    compilers = dict.fromkeys(("CC", "CXX"), _NO_COMPILER) if isinstance(tree, UnpackedArchive) else {}

    def write(directory: Path) -> None:
        from rules_bento.bentos.service import isolated_build

        if tree.copied is None:
            raise DamagedError(f"{project.path}: the cached wheel is damaged. Build the image again.")
        workspace.progress.begin(f"Building {project.name}")
        try:
            if lock:
                words = [uv, "pip", "sync", *flags, "--link-mode=copy", f"--target={scratch}/packages"]
                _start([*words, "pylock.toml"], scratch, project, indexes)
            paths, own = (scratch / "packages", scratch / "build"), project.fields.get("version", "")
            sources, program = isolated_build.Sources(tree.copied, tree.place(project), python), "" if lock else uv
            built = isolated_build.build_wheel(sources, *paths, own, pretended | compilers, program)
            shutil.copyfile(built, directory / built.name)
        except BentoError as error:
            advice = _advice(project, has_version=bool(pretended))
            raise BentoError(f"{error}\n{advice}", place=project.path) from None

    parts = [lock, pretended, python.version, back_end, compilers]
    key = confined(tree.places, tree.key, project)
    if not workspace.is_cached(["wheel", key, *parts]):
        copy = tree.copied or workspace.new_directory()
        key = confined(tree.places, tree.key, project, copy, copy=copy)  # of what is built
    wheel = _wheel_in(workspace.cached(["wheel", key, *parts], write), project)
    if project.is_version_dynamic and not pretended and not tree.has_git:
        note = f"{note}\n{_note_of_git(project, wheel.version)}".strip()
    return wheel, note


def _wheel_in(directory: Path, project: UvProject) -> LocalWheel:
    """Return the wheel in the output directory of a project's build. Raises BentoError for a wheel of another name."""
    [path] = directory.glob("*.whl")
    wheel = confined([path], Wheel.read, path, Locked(""))
    if wheel.distribution != normalize_name(project.fields["name"]):
        remedy = "Correct the back end's settings."
        raise BentoError(f"the build back end built {wheel.distribution}", place=project.path, remedy=remedy)
    return LocalWheel(wheel.distribution, wheel.metadata.version, path, sha256_of(path))


def _advice(project: UvProject, *, has_version: bool) -> str:
    """Return what a user can do if a build fails."""
    needs = "If the build needs a network or other programs, run `uv build --wheel`, and in a project that"
    advice = f"{needs} requires the wheel, {path_advice(project.name, lock=project.lock_name)}"
    if project.is_version_dynamic and not has_version:
        return f"If the build can't read the version from Git, add --project-version. {advice}"
    return advice


def _version_of_back_end(uv: str, project: UvProject) -> str:
    """Return the version of uv if it contains the build back end of a project, which then needs no requirements."""
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    system = project.build_system
    requires = system.get("requires", [])
    match = _UV_BUILD.fullmatch(requires[0]) if len(requires) == 1 else None
    if system.get("build-backend") != "uv_build" or match is None or "backend-path" in system:
        return ""
    version = version_of(uv)
    try:
        return version if version in SpecifierSet(match[1]) else ""
    except InvalidSpecifier:
        return ""


def _note_of_git(project: UvProject, version: str) -> str:
    names = (re.split(r"[^\w.-]", each.strip())[0] for each in project.build_system.get("requires", []))
    if _GIT_READERS.isdisjoint(map(normalize_name, names)):
        return ""
    problem = f"the wheel has version {version}, because the build can't read a Git repository"
    return f"{project.path}: {problem}. To set the version, add --project-version."


def _note_of_uv(project: UvProject, version: str) -> str:
    pin = f"uv_build=={version}"
    if project.build_system["requires"] == [pin]:
        return ""
    return (
        f"{project.path}: the wheel depends on the version of uv, {version}. For the same digest with another version, "
        f'set requires = ["{pin}"] in [build-system].'
    )


def _pretended(version: str) -> dict[str, str]:
    """Return the variables for back ends that read the version from Git, of the user and for `version`."""
    found = {name: os.environ[name] for name in sorted(os.environ) if name.startswith(_VERSION_VARIABLES)}
    return found | (dict.fromkeys(_VERSION_VARIABLES, version) if version else {})


def _note_of_python(project: UvProject, python: Interpreter, target: str) -> str:
    if python.release(2) == target:
        return ""
    problem = f"the wheel is built with Python {python.release(2)}, because this machine has no Python {target}"
    return f"{project.path}: {problem}. If it depends on the version, run `uv python install {target}`."


def _lock(
    project: UvProject, scratch: OwnDirectory, command: Sequence[str], indexes: Sequence[tuple[str, str]]
) -> tuple[str, str]:
    """Lock the build requirements, and return the lock (PEP 751), and a note on those without exact versions, or ""."""
    settings = project.settings
    names = [*_requirements(project, project.build_system.get("requires", _DEFAULT_REQUIRES), "build-system.requires")]
    key = "build-constraint-dependencies"
    constraints = [*_requirements(project, settings.get(key, ()), f"tool.uv.{key}")]
    (scratch / "constraints.txt").write_text("".join(f"{each}\n" for each in constraints), "utf-8")
    words = [*command, "--format=pylock.toml", f"--constraints={scratch}/constraints.txt"]
    lines = "".join(f"{name}\n" for name in names)
    try:
        lock = _start([*words, "--no-header", "-"], scratch, project, indexes, lines)
    except BentoError as error:
        remedy = "Correct build-system.requires. Each requirement needs a wheel for this machine."
        remedy = login_remedy(indexes) if REFUSED.search(str(error)) else remedy
        raise error.at(f"{project.path}: uv can't lock the build requirements. {remedy}\n") from None
    (scratch / "uv/pylock.toml").write_text(lock, "utf-8")
    packages = read_toml(lock, "pylock.toml").get("packages", [])
    if not all(file.get("hashes", {}).get("sha256") for package in packages for file in package.get("wheels", [{}])):
        raise BentoError(f"{project.path}: build-system.requires: the index has no hashes. Use another index.")
    pins = [f"{package['name']}=={package['version']}" for package in packages]
    pinned = {normalize_name(text.partition("==")[0]) for text in (*names, *constraints) if re.search("==[^*]*$", text)}
    if all(normalize_name(pin.partition("==")[0]) in pinned for pin in pins):
        return lock, ""
    return lock, (
        f"{project.path}: the wheel depends on the versions of {', '.join(pins)}. For the same digest on another day, "
        f"set {key} = {json.dumps(pins)} in [tool.uv]."
    )


def _requirements(project: UvProject, texts: Sequence[str], field: str) -> Iterator[str]:
    """Yield requirements for uv. Raises BentoError for a requirement that isn't of an index."""
    for text in texts:
        try:
            requirement = parse_requirement(text)
        except ValueError:
            requirement = None
        if requirement is None or requirement.url:
            raise BentoError(f"{project.path}: {field}: unsupported requirement {text!r}. Use a package of an index.")
        yield str(requirement)


def _write_settings(project: UvProject, scratch: OwnDirectory) -> Sequence[tuple[str, str]]:
    """Write uv.toml with the indexes of a project, and return their names and addresses."""
    settings = project.settings
    chosen: dict[str, Any] = {
        key: settings[key] for key in ("exclude-newer", "extra-index-url", "index-url") if key in settings
    }
    chosen["index"] = [index for index in settings.get("index", ()) if not index.get("explicit")]
    inputs = LockInputs(project.root, "Use the URL of an index, or a directory in the project.", allows_http=True)
    lines = inputs.settings(chosen, f"{project.path}: tool.uv")
    (scratch / "uv/uv.toml").write_text("".join(f"{line}\n" for line in lines), "utf-8")
    inputs.link(scratch / "uv")
    return inputs.indexes


def _start(
    words: Sequence[str], scratch: Path, project: UvProject, indexes: Sequence[tuple[str, str]], text: str = ""
) -> str:
    access = Access(indexes, is_safe=are_safe([address for _, address in indexes], ()))
    config, python = str(scratch / "uv/uv.toml"), Path(words[words.index("--python") + 1])
    limits = reach([project.root, python.parents[1]], access, [scratch])
    return checked(start(Run(words, access, scratch / "uv", config, text, attempts=CACHE_FIRST, reach=limits)))
