"""Reads the declarations in MODULE.bazel, so that `bento migrate` doesn't repeat them."""

from __future__ import annotations

import ast
import itertools
import re

from rules_bento.dataclasses_lite import dataclass, field, replace
from rules_bento.errors import BentoError
from rules_bento.typing_lite import TYPE_CHECKING, Iterator

from bento_cli.projects.starlark import keyword_string, string

if TYPE_CHECKING:
    from pathlib import Path

MAX_CHARACTERS = 1 << 20  # each character needs about 200 bytes of memory
_ROOT_FILES = ("MODULE.bazel", "REPO.bazel", "WORKSPACE.bazel", "WORKSPACE")
_INCLUDE = re.compile(r"""^include\(\s*["']//([^"']+)["']""", re.MULTILINE)  # include("//:deps.MODULE.bazel")
EXTENSION = "@rules_bento//toolchains:extensions.bzl"
_PYTHONS = "@rules_python//python/extensions:python.bzl"


@dataclass(frozen=True)
class DuplicateName:
    """A name that is declared twice. `first` and `second` are the locations of the declarations (`FILE:LINE`).

    `is_tag` is true if both declarations declare a package hub. If the second declaration uses the module extension
    `bento`, `extension` is the variable of the module extension, otherwise "".
    """

    name: str
    first: str
    second: str
    is_tag: bool
    extension: str


@dataclass(frozen=True)
class Workspace:
    """The declarations in a workspace that affect a migration."""

    has_rules: bool = False  # whether MODULE.bazel depends on rules_bento
    extension: str = ""  # variable of the extension `bento`; empty if unused
    hubs: dict[str, str] = field(default_factory=dict)  # name of each package hub to the label of its lock
    names: frozenset[str] = frozenset()  # names of repositories
    interpreter: str = ""  # the host's interpreter that actions use
    visible: dict[str, str] = field(default_factory=dict)  # apparent name to name of each package hub
    version: str = ""  # Python version (`X.Y`) from rules_python that actions use
    toolchains: frozenset[str] = frozenset()  # Python versions (`X.Y`) of rules_python's toolchains
    duplicates: tuple[DuplicateName, ...] = ()  # names that are declared twice

    def free_name(self, package: str) -> str:
        """Return an unused name for the package hub of `package`: `pypi`, `pypi_PACKAGE`, or `pypi_PACKAGE_NUMBER`."""
        own = "pypi_" + re.sub(r"\W", "_", package.rpartition("/")[2] or "project", flags=re.ASCII)
        numbered = (f"{own}_{number}" for number in itertools.count(2))
        return next(name for name in itertools.chain(("pypi", own), numbered) if name not in self.names)


def find_root(directory: Path) -> Path | None:
    """Return the root of the workspace that contains `directory`, or None outside of a workspace."""
    resolved = directory.resolve()
    return next(
        (root for root in (resolved, *resolved.parents) if any((root / name).is_file() for name in _ROOT_FILES)), None
    )


def read_root(root: Path) -> Workspace:
    """Return the declarations in MODULE.bazel and in included files. Raises BentoError for an invalid file."""
    workspace = Workspace()
    pending, seen = ["MODULE.bazel"], set()
    while pending:
        path = pending.pop()
        if path in seen or not (root / path).is_file():
            continue
        seen.add(path)
        text = (root / path).read_text("utf-8", errors="replace")
        included = read(text, path)
        pending += [label.replace(":", "/").lstrip("/") for label in _INCLUDE.findall(text)]
        if len(seen) == 1:
            workspace = included
        else:  # variables of extensions are local to a file
            workspace = replace(
                workspace,
                has_rules=workspace.has_rules or included.has_rules,
                hubs={**workspace.hubs, **included.hubs},
                interpreter=workspace.interpreter or included.interpreter,
                names=workspace.names | included.names,
                visible={**workspace.visible, **included.visible},
                version=workspace.version or included.version,
                toolchains=workspace.toolchains | included.toolchains,
                duplicates=workspace.duplicates + included.duplicates,
            )
    return workspace


def read(text: str, origin: str) -> Workspace:
    """Parse a MODULE.bazel file. `origin` is the file name in messages. Raises BentoError for an invalid file."""
    try:
        return _read(text, origin)
    except (RecursionError, MemoryError):
        raise BentoError(f"{origin}: an expression is nested too deeply. Simplify the expression.") from None


def _read(text: str, origin: str) -> Workspace:
    if len(text) > MAX_CHARACTERS:
        raise BentoError(f"{origin}: the file exceeds {MAX_CHARACTERS} characters. Split the file with include().")
    try:
        statements = ast.parse(text).body  # the syntax of modules is a subset of Python's
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None) or 1
        raise BentoError(f"{origin}:{line}: cannot parse the file: {getattr(error, 'msg', error)}.") from None
    has_rules, extension, tools, interpreter, version, hubs, names = False, "", "", "", "", {}, set()
    repositories: dict[str, str] = {}
    pythons, toolchains = "", set()
    for function, call, variable in _calls(statements):
        strings = [word for word in map(string, call.args) if word]
        if function == "use_extension" and strings[:2] == [EXTENSION, "bento"]:
            extension = variable
        elif function == "use_extension" and strings[:2] == [EXTENSION, "bento_tools"]:
            tools = variable
        elif function == "use_extension" and strings[:2] == [_PYTHONS, "python"]:
            pythons = variable
        elif function == f"{pythons}.toolchain":
            toolchains.add(".".join(keyword_string(call, "python_version").split(".")[:2]))
        elif function.endswith(".python") and function == f"{tools}.python":
            interpreter = keyword_string(call, "interpreter")
            version = "" if keyword_string(call, "debian_lock") or interpreter else keyword_string(call, "version")
        elif function == "module":
            has_rules = has_rules or keyword_string(call, "name") == "rules_bento"  # the checkout of rules_bento
            names.add(keyword_string(call, "name"))
        elif function == "bazel_dep":
            name, repository = keyword_string(call, "name"), keyword_string(call, "repo_name")
            has_rules = has_rules or name == "rules_bento"
            names.add(repository or name)
        elif function == "use_repo":
            names |= {*strings, *(keyword.arg or "" for keyword in call.keywords)}
            if extension and call.args and ast.unparse(call.args[0]) == extension:
                repositories |= {word: word for word in strings} | {
                    each.arg: keyword_string(call, each.arg) for each in call.keywords if each.arg
                }
        elif function.endswith(".pypi") and function == f"{extension}.pypi":
            hubs[keyword_string(call, "name")] = keyword_string(call, "lock")
            names.add(keyword_string(call, "name"))
        elif "." not in function:  # module(), or a rule of use_repo_rule
            names.add(keyword_string(call, "name"))
    visible = {name: hub for name, hub in repositories.items() if hub in hubs}
    return Workspace(
        has_rules=has_rules,
        extension=extension,
        hubs=hubs,
        names=frozenset(names - {""}),
        interpreter=interpreter,
        visible=visible,
        version=version,
        toolchains=frozenset(toolchains - {""}),
        duplicates=tuple(_find_duplicates(statements, origin, extension)),
    )


def _find_duplicates(statements: list[ast.stmt], origin: str, extension: str) -> Iterator[DuplicateName]:
    """Yield each repository name that is declared twice, and each package hub that has two different declarations."""
    lines: dict[str, int] = {}
    tags: dict[str, ast.Call] = {}
    for function, call, _ in _calls(statements):
        if function == f"{extension}.pypi":
            name = keyword_string(call, "name")
            first = tags.setdefault(name, call)
            if ast.dump(first) != ast.dump(call):
                yield DuplicateName(name, f"{origin}:{first.lineno}", f"{origin}:{call.lineno}", True, extension)
        declared_names = (
            [keyword_string(call, "repo_name") or keyword_string(call, "name")] if function == "bazel_dep" else []
        )
        extension_name = ast.unparse(call.args[0]) if function == "use_repo" and call.args else ""
        if extension_name:
            declared_names = [
                *[word for word in map(string, call.args) if word],
                *(each.arg for each in call.keywords if each.arg),
            ]
        for name in filter(None, declared_names):
            line = lines.setdefault(name, call.lineno)
            if line != call.lineno:
                variable = extension if extension_name == extension else ""
                yield DuplicateName(name, f"{origin}:{line}", f"{origin}:{call.lineno}", False, variable)


def _calls(statements: list[ast.stmt]) -> Iterator[tuple[str, ast.Call, str]]:
    """Yield the function name, the call, and the assigned variable (or an empty string) of each top-level call."""
    for statement in statements:
        if isinstance(statement, (ast.Expr, ast.Assign)) and isinstance(statement.value, ast.Call):
            target = statement.targets[0] if isinstance(statement, ast.Assign) else None
            yield ast.unparse(statement.value.func), statement.value, target.id if isinstance(target, ast.Name) else ""
