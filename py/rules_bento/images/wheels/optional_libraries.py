"""Finds the libraries that aren't required to import a package, by analyzing the package's Python sources.

The analysis is conservative. An extension module is optional if every import of the module is in a `try` statement that
handles the failure. A library is optional if its name occurs only in functions that aren't called when the package is
imported. All other libraries are treated as required.
"""

from __future__ import annotations

import ast
import re

from rules_bento.base.dataclasses_lite import NamedTuple
from rules_bento.base.python_source import parse
from rules_bento.base.typing_lite import Callable, Collection, Iterable, Iterator

_WORD = re.compile(r"[A-Za-z0-9_+-]+")
_PATH = re.compile(r"[\w.]*\.[\w.]+")
_CAUGHT = {"BaseException", "Exception", "ImportError", "ModuleNotFoundError", "OSError"}
# Limits for the analysis; beyond them, libraries are treated as required: depth of calls, bytes of one file,
# and bytes of all parsed files.
_ROUNDS = 8
_LARGEST = 1 << 21
_MOST = 1 << 23


class _NameUse(NamedTuple):
    function: str  # the innermost function; empty for code that runs at import
    is_guarded: bool  # in a `try` statement that handles a failed import
    kind: str  # `import`, `path` (a string with a dot and no space), `text` (another string), or `code`


class _UnclearError(Exception):
    """Raised for sources that can't be analyzed."""


def optional_libraries(
    modules: Collection[str], libraries: Collection[str], read: Callable[[], Iterable[bytes]]
) -> frozenset[str]:
    """Return the stems of optional modules and libraries, or an empty set if the sources can't be analyzed.

    Each call to `read` must yield all sources.
    """
    try:
        places = _places({*modules, *libraries}, read)
        excused = {name for name in modules if _is_tried(places[name])}
        for name in libraries:
            functions = {place.function for place in places[name]}
            if functions and not _runs(functions, read):
                excused.add(name)
    except _UnclearError:
        return frozenset()
    return frozenset(excused)


def _is_tried(places: Iterable[_NameUse]) -> bool:
    """Return whether a module is imported only by code that handles a failed import."""
    loading = [place for place in places if place.kind in ("import", "path")]
    return bool(loading) and all(place.kind == "import" and place.is_guarded for place in loading)


def _runs(functions: set[str], read: Callable[[], Iterable[bytes]]) -> bool:
    """Return whether importing the package might call one of the functions named in `functions`."""
    seen: set[str] = set()
    for _ in range(_ROUNDS):
        if "" in functions:
            return True
        new = functions - seen
        if not new:
            return False
        seen |= new
        places = _places(new, read)
        functions = {place.function for name in new for place in places[name] if place.kind != "import"}
    return True


def _places(names: Collection[str], read: Callable[[], Iterable[bytes]]) -> dict[str, set[_NameUse]]:
    """Return a dict that maps each name to its uses in imports, in strings except docstrings, and in code."""
    places: dict[str, set[_NameUse]] = {name: set() for name in names}
    encoded = [name.encode() for name in names]
    parsed = 0
    for source in read() if names else ():
        if not any(name in source for name in encoded):
            continue
        parsed += len(source)
        if len(source) > _LARGEST or parsed > _MOST:
            raise _UnclearError
        aliases: dict[str, set[str]] = {}
        try:
            uses = list(_uses(parse(source), aliases))
        except (SyntaxError, ValueError, LookupError, RecursionError, MemoryError):
            raise _UnclearError from None
        for word, place in uses:
            for name in {word, *aliases.get(word, ())} & places.keys():
                places[name].add(place)
    return places


def _uses(tree: ast.Module, aliases: dict[str, set[str]]) -> Iterator[tuple[str, _NameUse]]:
    """Yield each name in a module, and how the name is used. Adds the alias of each renamed import to `aliases`."""
    stack: list[tuple[ast.AST, str, bool]] = [(tree, "", False)]
    while stack:
        node, function, is_guarded = stack.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            # Python calls special methods such as `__init__` implicitly.
            inner = function if node.name.startswith("__") else node.name
            stack += ((child, inner, False) for child in node.body)
            stack += ((child, function, is_guarded) for child in (*node.decorator_list, node.args))
        elif isinstance(node, ast.Try):
            stack += ((child, function, is_guarded or _goes_on(node)) for child in node.body)
            stack += ((child, function, is_guarded) for child in (*node.handlers, *node.orelse, *node.finalbody))
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            place = _NameUse(function, is_guarded, "import")
            module = node.module or "" if isinstance(node, ast.ImportFrom) else ""
            for alias in node.names:
                if alias.asname:
                    aliases.setdefault(alias.asname, set()).add(alias.name)
                yield from ((word, place) for word in f"{module}.{alias.name}".split("."))
        elif not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
            if words := _words(node):
                place = _NameUse(function, is_guarded, _kind(node))
                yield from ((word, place) for word in words)
            # `ast.iter_child_nodes` takes twice as long.
            for value in vars(node).values():
                if isinstance(value, list):
                    stack += [(child, function, is_guarded) for child in value if isinstance(child, ast.AST)]
                elif isinstance(value, ast.AST) and value._fields:
                    stack.append((value, function, is_guarded))


def _kind(node: ast.AST) -> str:
    if not isinstance(node, ast.Constant):
        return "code"
    return "path" if isinstance(node.value, str) and _PATH.fullmatch(node.value) else "text"


def _words(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Name):
        return [node.id]
    if isinstance(node, ast.Attribute):
        return [node.attr]
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return _WORD.findall(node.value)
    return []


def _goes_on(node: ast.Try) -> bool:
    """Return whether a `try` statement handles a failed import without raising another error."""
    for handler in node.handlers:
        caught = {getattr(name, "id", "") for name in ast.walk(handler.type)} if handler.type else _CAUGHT
        if caught & _CAUGHT:
            return not any(isinstance(inner, ast.Raise) for inner in ast.walk(handler))
    return False
