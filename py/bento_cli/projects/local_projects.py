"""Migrates requirements for local projects, such as members of a uv workspace, to py_library targets."""

from __future__ import annotations

import posixpath
from contextlib import suppress

from rules_bento.errors import BentoError
from rules_bento.formats.toml import read_project, read_toml
from rules_bento.packages import requirements
from rules_bento.typing_lite import TYPE_CHECKING, Any, Iterable

from bento_cli.projects.starlark import keyword_string, top_level_calls

if TYPE_CHECKING:
    from rules_bento.build_options.project import ProjectFiles

_NAME = "pyproject.toml"


def replace(
    lines: Iterable[str], pyproject: dict[str, Any], files: ProjectFiles, package: str
) -> tuple[list[str], list[str], list[str]]:
    """Replace requirements for local projects with the requirements of these projects.

    Returns the requirements, the labels of existing py_library targets of the local projects, and notes. `pyproject` is
    the content of the project's pyproject.toml. `package` is the project's Bazel package.
    """
    local = requirements.local_packages(pyproject, ("workspace", "path"))
    kept: dict[str, None] = {}
    labels, notes = [], []
    projects = _projects(files) if local else {}
    queue, seen = list(lines), set[str]()
    for line in queue:
        name = requirements.requirement_name(line)
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
    for path in sorted(path for path in files.paths if path.endswith(f"/{_NAME}")):
        with suppress(BentoError):
            project = read_project(read_toml(files.text(path, path), path), path)
            if isinstance(project.get("name"), str):
                found.setdefault(requirements.normalize_name(project["name"]), (posixpath.dirname(path), project))
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
