"""Finds modules of the project that an import doesn't reach, because BentoML has loaded others with the same names.

BentoML imports its dependencies before a service. Python then imports these modules, although the project's directory
is the first that it searches.
"""

from __future__ import annotations

import ast

from rules_bento.errors import BentoError
from rules_bento.service import loaded_modules
from rules_bento.service.loaded_names import LOADED
from rules_bento.service.modules import Names, PythonFiles
from rules_bento.service.reader import module_of
from rules_bento.typing_lite import TYPE_CHECKING, Collection, Iterator

if TYPE_CHECKING:
    from rules_bento.service.metadata import SourceTree


def check(service: str, sources: SourceTree) -> None:
    """Raise BentoError if importing the service certainly imports a module of BentoML in place of the project's."""
    for name, place, path in shadowed(service, sources, LOADED):
        raise BentoError(
            f"BentoML loads another module `{name}` before the service, so {path} is never imported",
            place=place,
            remedy=f"Rename {path}.",
        )


def shadowed(service: str, sources: SourceTree, names: Collection[str]) -> Iterator[tuple[str, str, str]]:
    """Yield each name in `names` for which the service uses the project's module: name, place, and path.

    An import for which the project's module has none of the used names refers to BentoML's module, and is omitted.
    """
    paths = [path for path in sorted(sources.paths) if path.endswith(".py")]
    own = {path.partition("/")[0].removesuffix(".py") for path in paths}.intersection(names)
    if not own:
        return
    known, main = Names(PythonFiles(sources)), module_of(service)
    if main.partition(".")[0] in own and (file := next((path for path in _paths(main) if path in paths), "")):
        yield main.partition(".")[0], "service", file
    for name, path, tree in loaded_modules.loaded_modules(service, known):
        if isinstance(tree, SyntaxError):
            continue
        for statement in loaded_modules.import_statements(tree):
            for imported in loaded_modules.imported(statement, loaded_modules.package_of(name, path)):
                top = imported[0].partition(".")[0]
                if top in own and (file := _used_file(known, tree, statement, imported)):
                    yield top, f"{path}:{statement.lineno}", file


def _used_file(names: Names, tree: ast.Module, statement: ast.stmt, imported: list[str]) -> str:
    """Return the path of the project's module that an import uses, or "". `imported` is from `loaded_modules`."""
    top, paths = imported[0].partition(".")[0], names.files.paths
    found = [path for each in imported for path in _paths(each) if path in paths]
    if inner := [path for path in found if path not in _paths(top)]:
        return inner[0]
    if not found:
        return ""
    used = {each.rpartition(".")[2] for each in imported[1:]}
    for alias in statement.names if isinstance(statement, ast.Import) else ():
        if alias.name == top:
            name = alias.asname or top
            used |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and _is_name(node, name)}
    try:
        own = names.parsed(top, found[0]).bindings.keys()
    except BentoError:  # whatever the file has
        return found[0]
    return found[0] if used & own or "*" in used or "__getattr__" in own else ""


def _paths(module: str) -> tuple[str, str]:
    return f"{module.replace('.', '/')}/__init__.py", f"{module.replace('.', '/')}.py"


def _is_name(node: ast.Attribute, name: str) -> bool:
    return isinstance(node.value, ast.Name) and node.value.id == name
