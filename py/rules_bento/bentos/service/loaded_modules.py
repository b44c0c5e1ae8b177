"""Examines the modules of the sources that importing a service certainly loads.

Only imports at the top of a module, and in `with bentoml.importing()`, are certain.
"""

from __future__ import annotations

import ast
import re
import sys

from rules_bento.base.dataclasses_lite import NamedTuple
from rules_bento.base.errors import BentoError
from rules_bento.base.typing_lite import TYPE_CHECKING, Collection, Iterable, Iterator
from rules_bento.bentos.service import python_syntax
from rules_bento.bentos.service.loaded_names import LOADED, PROVIDED, PROVIDED_ELSEWHERE, SOMETIMES
from rules_bento.bentos.service.modules import (
    ALWAYS_OUTSIDE,
    NotConstantError,
    PythonFiles,
    import_base,
    import_statements,
)
from rules_bento.bentos.service.python_syntax import NewSyntax
from rules_bento.bentos.service.reader import module_of
from rules_bento.bentos.service.sdk_names import words

if TYPE_CHECKING:
    from rules_bento.bentos.service.metadata import SourceTree

# Modules of the standard library of another Python from 3.9 to 3.14 than this one.
_STDLIB = words(
    "_ctypes aifc annotationlib asynchat asyncore audioop binhex cgi cgitb chunk compression crypt distutils "
    "formatter imghdr imp lib2to3 mailcap msilib nis nntplib ossaudiodev parser pipes smtpd sndhdr spwd sunau "
    "symbol telnetlib tomllib uu xdrlib"
)
_CODE = (".py", ".pyc", ".so")  # ends of the names of modules
# Code that might change where Python finds modules.
_OTHER_PATHS = re.compile(
    rb"\bsys\.(?:meta_path|modules|path)\b|\baddsitedir\b|\b__path__\b|\bimport_module\b|from sys import"
)


class MissingModule(NamedTuple):
    """A module that a line imports (`place`: `path:line`), and that neither Python nor the sources provide.

    `reason` shows that probably no package provides the module: `directory` for the name of the project's directory,
    `submodule` for a part of a package of the sources, or the path of an excluded file. `loaded` means that
    the sources have the module, but that BentoML might load another one first. Otherwise, `reason` is empty.
    """

    module: str
    place: str
    reason: str = ""


def own_modules(paths: Iterable[str], depth: int | None = 1) -> set[str]:
    """Return the names of the directories and modules among sources. A link ends with a slash.

    If `depth` is None, Python's path can contain any of their directories.
    """
    modules = (path if path.endswith(_CODE) else path.rpartition("/")[0] for path in paths)
    return {name.partition(".")[0] for path in modules for name in path.split("/")[:depth]}


def of_packages(missing: Iterable[MissingModule], own: Collection[str]) -> list[MissingModule]:
    """Return the missing modules that only packages or the base can provide, because no source has their names."""
    return [each for each in missing if not each.reason and each.module.partition(".")[0] not in own]


class Survey(NamedTuple):
    """The syntax that requires the newest Python with its file (None for Python 3.9), and missing modules."""

    syntax: tuple[str, NewSyntax] | None
    missing: list[MissingModule]


def survey(service: str, sources: SourceTree, directory: str, excluded: Collection[str] = ()) -> Survey:
    """Examine the modules of the sources that importing a service certainly loads.

    Assumes that a newer Python supports syntax that this interpreter doesn't support. `directory` is the name of the
    project's directory, and `excluded` are the paths of excluded files.
    """
    files = PythonFiles(sources)
    tops = sys.stdlib_module_names - LOADED
    hiding = [name for name in tops if {f"{name}.py", f"{name}/__init__.py"} & files.paths]
    found, missing, has_other_paths = list[tuple[str, NewSyntax]](), list[MissingModule](), False
    for name, path, tree in loaded_modules(service, files):
        if isinstance(tree, SyntaxError):
            found.append((path, NewSyntax(sys.version_info.minor + 1, tree.msg, tree.lineno or 1)))
            continue
        data = sources.read(path)
        has_other_paths |= bool(_OTHER_PATHS.search(data))
        found += [(path, syntax) for syntax in python_syntax.new_syntax(data, tree)]
        lines, package = data.splitlines(), package_of(name, path)
        for statement in import_statements(tree):
            if any(map(PROVIDED_ELSEWHERE.search, lines[statement.lineno - 1 : statement.end_lineno])):
                continue
            for modules in imported(statement, package):
                row = _missing(files, modules, f"{path}:{statement.lineno}", directory, excluded)
                missing += [row] if row else []
                missing += _hidden(files, hiding, modules[0], f"{path}:{statement.lineno}")
        for guarded in (node for block in tree.body if isinstance(block, (ast.Try, ast.With)) for node in block.body):
            for modules in imported(guarded, package) if isinstance(guarded, (ast.Import, ast.ImportFrom)) else ():
                row = _missing(files, modules, f"{path}:{guarded.lineno}", directory, excluded)
                missing += [row] if row and row.reason in excluded and row not in missing else []
    return Survey(max(found, key=lambda one: one[1].minor, default=None), [] if has_other_paths else missing)


def _hidden(files: PythonFiles, names: list[str], module: str, place: str) -> list[MissingModule]:
    """Return the modules of the sources (in `names`) that the standard library would import with `module`."""
    if not names or files.owns(module) or module.partition(".")[0] not in sys.stdlib_module_names:
        return []
    import dis
    from importlib.machinery import PathFinder

    found, waiting = set[str](), [module.partition(".")[0]]
    for name in waiting:  # which grows
        spec = PathFinder.find_spec(name)
        get_code = getattr(spec.loader, "get_code", None) if spec else None
        code = get_code(name) if get_code else None
        for line in dis.get_instructions(code) if code else ():
            if line.opname == "IMPORT_NAME" and (top := line.argval.partition(".")[0]) not in found:
                found.add(top)
                waiting += [top] if top in sys.stdlib_module_names else []
    return [MissingModule(name, place, "loaded") for name in names if name in found]


def _missing(
    files: PythonFiles, modules: list[str], place: str, directory: str, excluded: Collection[str]
) -> MissingModule | None:
    """Return the module that an import requires if it is missing. `modules` is a result of `imported`."""
    first = modules[0]
    top = first.partition(".")[0]
    if files.owns(top) and top in SOMETIMES | PROVIDED:
        return MissingModule(top, place, "loaded")
    if not top or top in sys.stdlib_module_names or top in _STDLIB or top in ALWAYS_OUTSIDE:
        return None
    candidates = [(module, module.replace(".", "/")) for module in modules if files.find(module) is None]
    for module, base in candidates:
        if dropped := next((path for path in excluded if path.startswith((f"{base}.py", f"{base}/"))), ""):
            return MissingModule(module, place, dropped)
    if files.owns(top):
        parent, base = first.rpartition(".")[0], first.replace(".", "/")
        is_known = not parent or any(path.startswith((f"{base}.", f"{base}/")) for path in files.paths)
        is_package = (files.find(parent) or "").endswith("/__init__.py")
        return MissingModule(first, place, "submodule") if is_package and not is_known else None
    inner = [module.partition(".")[2] for module in modules if "." in module]
    if top == directory and any(map(files.find, inner)):
        return MissingModule(first, place, "directory")
    is_excluded = (path for path in excluded if path == f"{top}.py" or path.startswith(f"{top}/"))
    return MissingModule(first, place, next(is_excluded, ""))


def loaded_modules(service: str, files: PythonFiles) -> Iterator[tuple[str, str, ast.Module | SyntaxError]]:
    """Yield the name, the path, and the syntax tree or error of each module that importing a service loads."""
    waiting, seen = [module_of(service)], set[str]()
    while waiting:
        name = waiting.pop()
        path = files.find(name)
        if path is None or name in seen:
            continue
        seen.add(name)
        waiting += [name.rpartition(".")[0]] if "." in name else []
        if path.endswith("/"):
            continue
        try:
            tree = files.parse(name, path)
        except (BentoError, NotConstantError) as error:
            if isinstance(error.__context__, SyntaxError):
                yield name, path, error.__context__
            continue
        yield name, path, tree
        found = (each for statement in import_statements(tree) for each in imported(statement, package_of(name, path)))
        waiting += [module for modules in found for module in modules]


def package_of(module: str, path: str) -> str:
    """Return the package of a module in the file `path`, for relative imports."""
    return module if path.endswith("/__init__.py") else module.rpartition(".")[0]


def imported(statement: ast.Import | ast.ImportFrom, package: str) -> list[list[str]]:
    """Return the modules that a statement in `package` imports: the dotted name, and names that might be modules."""
    if isinstance(statement, ast.Import):
        return [[alias.name] for alias in statement.names]
    base = import_base(statement, package)
    return [[base, *(f"{base}.{alias.name}" for alias in statement.names)]]
