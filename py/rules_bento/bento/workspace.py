"""Reads what the MODULE.bazel of a workspace declares, so that `bento migrate` does not declare it again."""

from __future__ import annotations

import ast
import itertools
import re

from rules_bento.dataclasses_lite import dataclass, field, replace
from rules_bento.errors import BentoError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_MOST_CHARACTERS = 1 << 20  # parsing takes some 200 bytes of memory for each
_ROOT = ("MODULE.bazel", "REPO.bazel", "WORKSPACE.bazel", "WORKSPACE")
# `include("//:deps.MODULE.bazel")`.
_INCLUDED = re.compile(r"""^include\(\s*["']//([^"']+)["']""", re.MULTILINE)
EXTENSION = "@rules_bento//toolchains:extensions.bzl"
_PYTHONS = "@rules_python//python/extensions:python.bzl"


@dataclass(frozen=True)
class Twice:
    """A name that two lines give, each as `file:line`."""

    name: str
    first: str
    second: str
    is_tag: bool  # of two hubs, which extensions tell apart; else of two repositories
    extension: str  # the variable of the extension that the second line names; empty for others


@dataclass(frozen=True)
class Workspace:
    """Describes a workspace; without arguments, one whose MODULE.bazel declares nothing."""

    has_rules: bool = False  # whether it depends on rules_bento
    extension: str = ""  # the variable of the extension `bento`; empty where there is none
    hubs: dict[str, str] = field(default_factory=dict)  # name to lock, as a label
    names: frozenset[str] = frozenset()  # of repositories
    interpreter: str = ""  # of the host, that actions are to run in
    visible: dict[str, str] = field(default_factory=dict)  # what its BUILD files call a hub, to the hub's name
    version: str = ""  # of the Python of rules_python that actions are to run in, `X.Y`
    toolchains: frozenset[str] = frozenset()  # versions for which it asks rules_python for interpreters, `X.Y`
    twice: tuple[Twice, ...] = ()  # what is declared again

    def free_name(self, package: str) -> str:
        """Return a name for the hub of a package: `pypi`, else one that tells whose it is."""
        own = "pypi_" + re.sub(r"\W", "_", package.rpartition("/")[2] or "project", flags=re.ASCII)
        numbered = (f"{own}_{number}" for number in itertools.count(2))
        return next(name for name in itertools.chain(("pypi", own), numbered) if name not in self.names)


def root_above(folder: Path) -> Path | None:
    """Return the root of the workspace that a folder is in; None where it is in none."""
    here = folder.resolve()
    return next((root for root in (here, *here.parents) if any((root / name).is_file() for name in _ROOT)), None)


def read_root(root: Path) -> Workspace:
    """Read the MODULE.bazel of a workspace and the files that it includes. Raises BentoError as `read` does."""
    workspace = Workspace()
    left, seen = ["MODULE.bazel"], set()
    while left:
        path = left.pop()
        if path in seen or not (root / path).is_file():
            continue
        seen.add(path)
        text = (root / path).read_text("utf-8", errors="replace")
        more = read(text, path)
        left += [label.replace(":", "/").lstrip("/") for label in _INCLUDED.findall(text)]
        if len(seen) == 1:
            workspace = more
        else:  # an extension's variable is of its file alone
            workspace = replace(
                workspace,
                has_rules=workspace.has_rules or more.has_rules,
                hubs={**workspace.hubs, **more.hubs},
                interpreter=workspace.interpreter or more.interpreter,
                names=workspace.names | more.names,
                visible={**workspace.visible, **more.visible},
                version=workspace.version or more.version,
                toolchains=workspace.toolchains | more.toolchains,
                twice=workspace.twice + more.twice,
            )
    return workspace


def read(text: str, origin: str) -> Workspace:
    """Read a MODULE.bazel. Raises BentoError, naming `origin` and line, for one that cannot be read."""
    try:
        return _read(text, origin)
    except (RecursionError, MemoryError):
        raise BentoError(f"{origin}: cannot be read: an expression is nested too deeply. Simplify it.") from None


def _read(text: str, origin: str) -> Workspace:
    if len(text) > _MOST_CHARACTERS:
        raise BentoError(f"{origin}: has {len(text)} characters; {_MOST_CHARACTERS} are read of such a file.")
    try:
        statements = ast.parse(text).body  # Starlark's syntax is Python's, as far as modules may use it
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None) or 1
        raise BentoError(f"{origin}:{line}: cannot be read: {getattr(error, 'msg', error)}. Correct it.") from None
    has_rules, extension, tools, interpreter, version, hubs, names = False, "", "", "", "", {}, set()
    taken: dict[str, str] = {}
    pythons, toolchains = "", set()
    for called, call, variable in _calls(statements):
        words = _words(call)
        if called == "use_extension" and words[:2] == [EXTENSION, "bento"]:
            extension = variable
        elif called == "use_extension" and words[:2] == [EXTENSION, "bento_tools"]:
            tools = variable
        elif called == "use_extension" and words[:2] == [_PYTHONS, "python"]:
            pythons = variable
        elif called == f"{pythons}.toolchain":
            toolchains.add(".".join(_keyword(call, "python_version").split(".")[:2]))
        elif called.endswith(".python") and called == f"{tools}.python":
            interpreter = _keyword(call, "interpreter")
            version = "" if _keyword(call, "debian_lock") or interpreter else _keyword(call, "version")
        elif called == "module":
            has_rules = has_rules or _keyword(call, "name") == "rules_bento"  # its own checkout
            names.add(_keyword(call, "name"))
        elif called == "bazel_dep":
            name, repository = _keyword(call, "name"), _keyword(call, "repo_name")
            has_rules = has_rules or name == "rules_bento"
            names.add(repository or name)
        elif called == "use_repo":
            names |= {*words, *(keyword.arg or "" for keyword in call.keywords)}
            if extension and call.args and ast.unparse(call.args[0]) == extension:
                taken |= {word: word for word in words} | {
                    each.arg: _keyword(call, each.arg) for each in call.keywords if each.arg
                }
        elif called.endswith(".pypi") and called == f"{extension}.pypi":
            hubs[_keyword(call, "name")] = _keyword(call, "lock")
            names.add(_keyword(call, "name"))
        elif "." not in called:  # the module itself, or a rule of use_repo_rule
            names.add(_keyword(call, "name"))
    visible = {name: hub for name, hub in taken.items() if hub in hubs}
    return Workspace(
        has_rules=has_rules,
        extension=extension,
        hubs=hubs,
        names=frozenset(names - {""}),
        interpreter=interpreter,
        visible=visible,
        version=version,
        toolchains=frozenset(toolchains - {""}),
        twice=tuple(_twice(statements, origin, extension)),
    )


def _twice(statements: list[ast.stmt], origin: str, extension: str) -> Iterator[Twice]:
    """Yield what is refused: a name of a repository that is taken, and a hub that two tags describe."""
    lines: dict[str, int] = {}
    tags: dict[str, ast.Call] = {}
    for called, call, _ in _calls(statements):
        if called == f"{extension}.pypi":
            name = _keyword(call, "name")
            first = tags.setdefault(name, call)
            if ast.dump(first) != ast.dump(call):
                yield Twice(name, f"{origin}:{first.lineno}", f"{origin}:{call.lineno}", True, extension)
        given = [_keyword(call, "repo_name") or _keyword(call, "name")] if called == "bazel_dep" else []
        of = ast.unparse(call.args[0]) if called == "use_repo" and call.args else ""
        if of:
            given = [*_words(call), *(each.arg for each in call.keywords if each.arg)]
        for name in filter(None, given):
            line = lines.setdefault(name, call.lineno)
            if line != call.lineno:
                ours = of if of == extension else ""
                yield Twice(name, f"{origin}:{line}", f"{origin}:{call.lineno}", False, ours)


def _calls(statements: list[ast.stmt]) -> Iterator[tuple[str, ast.Call, str]]:
    """Yield each call at the top of a file: the function's name, the call, and the variable that it is assigned to."""
    for statement in statements:
        if isinstance(statement, (ast.Expr, ast.Assign)) and isinstance(statement.value, ast.Call):
            target = statement.targets[0] if isinstance(statement, ast.Assign) else None
            yield ast.unparse(statement.value.func), statement.value, target.id if isinstance(target, ast.Name) else ""


def _words(call: ast.Call) -> list[str]:
    return [word.value for word in call.args if isinstance(word, ast.Constant) and isinstance(word.value, str)]


def _keyword(call: ast.Call, name: str) -> str:
    """Return the text of an argument; empty for none, and for what is no plain text."""
    values = [keyword.value for keyword in call.keywords if keyword.arg == name]
    value = values[0].value if values and isinstance(values[0], ast.Constant) else ""
    return value if isinstance(value, str) else ""
