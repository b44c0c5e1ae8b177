"""Finds models that a service loads with framework functions, such as `bentoml.xgboost.load_model("clf:latest")`."""

from __future__ import annotations

import ast
import re

from rules_bento.base.python_source import parse
from rules_bento.base.typing_lite import Iterator, Mapping

_LOADER = re.compile(r"bentoml\.(?!models\.)(\w+)\.(load_model|get)")


def find_model_loads(sources: Mapping[str, bytes]) -> list[list[str]]:
    """Return the tag, framework, function, and `path:line` of each call such as `bentoml.sklearn.load_model("a:1")`."""
    loads: list[list[str]] = []
    for path, content in sorted(sources.items()):
        if b"bentoml" in content and (b"load_model" in content or b"get" in content):
            loads += ([*call, f"{path}:{line}"] for *call, line in sorted(_find_calls(content)))
    return loads


def _find_calls(content: bytes) -> Iterator[tuple[str, str, str, int]]:
    """Yield the tag, module, function name, and line of each call that passes a constant tag to a loader."""
    try:
        nodes = list(ast.walk(parse(content)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # the static analysis of the service rejects it
        return
    names = dict(name for node in nodes for name in _imported_names(node))
    assignments: dict[str, list[ast.expr]] = {}
    for node in nodes:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            assignments.setdefault(node.targets[0].id, []).append(node.value)
    for node in nodes:
        match = _LOADER.fullmatch(_dotted_name(node.func, names)) if isinstance(node, ast.Call) else None
        if match and isinstance(node, ast.Call):
            [tag, *_] = [*node.args, *(keyword.value for keyword in node.keywords), None]
            if isinstance(tag, ast.Name) and len(assignments.get(tag.id, [])) == 1:
                tag = assignments[tag.id][0]
            if isinstance(tag, ast.Constant) and isinstance(tag.value, str):
                yield tag.value, match[1], match[2], node.lineno


def _imported_names(node: ast.AST) -> Iterator[tuple[str, str]]:
    """Yield pairs of an imported name and its full dotted name."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            top = alias.name.partition(".")[0]
            yield (alias.asname, alias.name) if alias.asname else (top, top)
    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
        yield from ((alias.asname or alias.name, f"{node.module}.{alias.name}") for alias in node.names)


def _dotted_name(node: ast.expr, names: Mapping[str, str]) -> str:
    """Return the full name for `a` or `a.b`, or "" for other expressions. `names` maps imported names to full names."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([names.get(node.id, ""), *reversed(parts)]) if isinstance(node, ast.Name) else ""
