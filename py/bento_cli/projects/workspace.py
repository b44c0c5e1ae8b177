"""Reads the declarations in MODULE.bazel, so that `bento migrate` doesn't repeat them."""

from __future__ import annotations

import itertools
import os
import re
from pathlib import Path

from rules_bento.base.dataclasses_lite import dataclass, field
from rules_bento.base.formats import read_file

from bento_cli.projects.starlark import keyword_string, string, top_level_calls

_ROOT_FILES = ("MODULE.bazel", "REPO.bazel", "WORKSPACE.bazel", "WORKSPACE")
_INCLUDE = re.compile(r"""^include\(\s*["']//([^"']+)["']""", re.MULTILINE)  # include("//:deps.MODULE.bazel")
EXTENSION = "@rules_bento//toolchains:extensions.bzl"
_EXTENSIONS: dict[tuple[str, ...], str] = {
    (EXTENSION, "bento"): "bento",
    (EXTENSION, "bento_tools"): "bento_tools",
    ("@rules_python//python/extensions:python.bzl", "python"): "python",
    ("@rules_python//python/extensions:pip.bzl", "pip"): "pip",
}


@dataclass()
class Workspace:
    """The declarations in a workspace that affect a migration."""

    has_rules: bool = False  # whether MODULE.bazel depends on rules_bento
    extension: str = ""  # variable of the extension `bento` in MODULE.bazel; empty if unused
    hubs: dict[str, str] = field(default_factory=dict)  # name of each package hub to the label of its lock
    parsed: dict[str, str] = field(default_factory=dict)  # name of each hub of pip.parse to the label of its lock
    names: set[str] = field(default_factory=set)  # names of repositories
    interpreter: str = ""  # the host's interpreter that actions use
    visible: dict[str, str] = field(default_factory=dict)  # apparent name to name of each package hub
    version: str = ""  # Python version (`X.Y`) from rules_python that actions use
    toolchains: set[str] = field(default_factory=set)  # Python versions (`X.Y`) of rules_python's toolchains

    def free_name(self, package: str) -> str:
        """Return an unused name for the package hub of `package`: `pypi`, `pypi_PACKAGE`, or `pypi_PACKAGE_NUMBER`."""
        own = "pypi_" + re.sub(r"\W", "_", package.rpartition("/")[2] or "project", flags=re.ASCII)
        numbered = (f"{own}_{number}" for number in itertools.count(2))
        return next(name for name in itertools.chain(("pypi", own), numbered) if name not in self.names)


def find_root(directory: Path) -> Path | None:
    """Return the root of the workspace that contains `directory`, or None outside of a workspace."""
    resolved = Path(os.path.realpath(directory))  # unlike `resolve`, accepts a link to itself
    return next(
        (root for root in (resolved, *resolved.parents) if any((root / name).is_file() for name in _ROOT_FILES)), None
    )


def read_root(root: Path) -> Workspace:
    """Return the declarations in MODULE.bazel and in included files. Raises BentoError for an invalid file."""
    workspace = None
    paths = ["MODULE.bazel"]
    for path in paths:
        if (root / path).is_file():
            text = read_file(root / path, path).decode(errors="replace")
            workspace = read(text, path, workspace)
            included = [label.replace(":", "/").lstrip("/") for label in _INCLUDE.findall(text)]
            paths += [each for each in dict.fromkeys(included) if each not in paths]
    return workspace or Workspace()


def read(text: str, origin: str, including: Workspace | None = None) -> Workspace:
    """Return the declarations in a MODULE.bazel file. `origin` is the file name in messages.

    For an included file, adds the declarations to `including`. Raises BentoError for an invalid file.
    """
    workspace = including or Workspace()
    extensions: dict[str, str] = {}  # variable to name of each extension; variables are local to a file
    repositories: dict[str, str] = {}  # apparent name to name of each repository of the extension `bento`
    for function, call, variable in top_level_calls(text, origin):
        owner, _, tag = function.rpartition(".")
        extension = extensions.get(owner, "")
        name, strings = keyword_string(call, "name"), [word for word in map(string, call.args) if word]
        declared: dict[str, str] = {}  # names of repositories; for use_repo, to the names in the extension
        if function == "use_extension" and variable:
            extensions[variable] = _EXTENSIONS.get(tuple(strings[:2]), "")
            if extensions[variable] == "bento" and not including:
                workspace.extension = variable
        elif (extension, tag) == ("python", "toolchain"):
            workspace.toolchains |= {".".join(keyword_string(call, "python_version").split(".")[:2])} - {""}
        elif (extension, tag) == ("bento_tools", "python"):
            interpreter = keyword_string(call, "interpreter")
            has_version = not (interpreter or keyword_string(call, "debian_lock"))
            workspace.interpreter, workspace.version = interpreter, keyword_string(call, "version") * has_version
        elif (extension, tag) == ("pip", "parse"):
            lock = keyword_string(call, "requirements_lock")
            workspace.parsed[keyword_string(call, "hub_name")] = f"//{lock}" if lock.startswith(":") else lock
        elif (extension, tag) == ("bento", "pypi"):
            workspace.hubs[name] = keyword_string(call, "lock")
            declared = {name: name}
        elif function == "use_repo" and call.args:
            used = getattr(call.args[0], "id", "")
            declared = {word: word for word in strings}
            declared |= {each.arg: string(each.value) for each in call.keywords if each.arg}
            if extensions.get(used) == "bento":
                repositories |= declared
        elif not owner:  # bazel_dep, module, or a rule of use_repo_rule
            # module: the checkout of rules_bento
            workspace.has_rules |= function in ("bazel_dep", "module") and name == "rules_bento"
            declared = {keyword_string(call, "repo_name") or name: ""}
        workspace.names |= set(filter(None, declared))
    workspace.visible |= {name: hub for name, hub in repositories.items() if hub in workspace.hubs}
    return workspace
