"""Examines the modules of the sources that importing a service certainly loads.

Only imports at the top of a module, and in `with bentoml.importing()`, are certain.
"""

from __future__ import annotations

import ast
import sys

from rules_bento.errors import BentoError
from rules_bento.service import api_types, python_syntax
from rules_bento.service.modules import Names, PythonFiles, import_base
from rules_bento.service.python_syntax import NewSyntax
from rules_bento.service.reader import module_of
from rules_bento.typing_lite import TYPE_CHECKING, Iterator, Mapping

if TYPE_CHECKING:
    from rules_bento.service.metadata import SourceTree


def newest_syntax(
    service: str, sources: Mapping[str, bytes] | SourceTree, *, is_imported: bool
) -> tuple[str, NewSyntax] | None:
    """Return the syntax or type that requires the newest Python, and its file, in modules that an import loads.

    Returns None if Python 3.9 supports everything. Assumes that a newer Python supports syntax that this interpreter
    doesn't support. Unless `is_imported`, raises BentoError for APIs that BentoML rejects with each Python.
    """
    files = PythonFiles(sources)
    names = Names(files)
    found = list[tuple[str, NewSyntax]]()
    for name, path, tree in loaded_modules(service, names):
        if isinstance(tree, SyntaxError):
            found.append((path, NewSyntax(sys.version_info.minor + 1, tree.msg, tree.lineno or 1)))
            continue
        data = files.read(path)
        found += [(path, syntax) for syntax in python_syntax.new_syntax(data, tree)]
        apis = api_types.findings(names, names.parsed(name, path)) if _uses_bentoml(data) else ()
        for each in apis:
            if each.minor < api_types.NEVER:
                found.append((each.path, NewSyntax(each.minor, each.problem, each.line)))
            elif not is_imported:
                raise BentoError(f"{each.path}:{each.line}: {each.problem}.")
    return max(found, key=lambda one: one[1].minor, default=None)


def _uses_bentoml(data: bytes) -> bool:
    return b"bentoml" in data


def loaded_modules(service: str, names: Names) -> Iterator[tuple[str, str, ast.Module | SyntaxError]]:
    """Yield the name, the path, and the syntax tree or error of each module that importing a service loads."""
    files, waiting, seen = names.files, [module_of(service)], set[str]()
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
            tree = names.parsed(name, path).tree if _uses_bentoml(files.read(path)) else files.parse(name, path)
        except BentoError as error:
            if isinstance(error.__context__, SyntaxError):
                yield name, path, error.__context__
            continue
        yield name, path, tree
        package = name if path.endswith("/__init__.py") else name.rpartition(".")[0]
        waiting += [module for statement in import_statements(tree) for module in imported(statement, package)]


def import_statements(tree: ast.Module) -> Iterator[ast.Import | ast.ImportFrom]:
    """Yield the import statements that importing a module certainly executes."""
    todo = list(reversed(tree.body))
    while todo:
        match todo.pop():
            case ast.Import() | ast.ImportFrom() as statement:
                yield statement
            case ast.With(items=[ast.withitem(context_expr=ast.Call(func=function))], body=body):
                if ast.unparse(function) in ("bentoml.importing", "importing"):
                    todo += reversed(body)


def imported(statement: ast.Import | ast.ImportFrom, package: str) -> list[str]:
    """Return the dotted names of modules that a statement in `package` imports, and names that might be modules."""
    if isinstance(statement, ast.Import):
        return [alias.name for alias in statement.names]
    base = import_base(statement, package)
    return [base, *(f"{base}.{alias.name}" for alias in statement.names)]
