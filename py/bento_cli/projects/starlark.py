"""Formats and reads calls in BUILD and MODULE files."""

from __future__ import annotations

import ast
import re

from rules_bento.base.errors import BentoError
from rules_bento.base.python_source import parse
from rules_bento.base.typing_lite import Any


def call(rule: str, attributes: dict[str, Any]) -> str:
    """Return Starlark code that calls a rule or tag class. Omits attributes whose value is None or empty."""
    declared = {key: value for key, value in attributes.items() if value not in (None, [], {}, "")}
    return f"{rule}(\n" + "".join(f"    {key} = {literal(value, 1)},\n" for key, value in declared.items()) + ")"


def literal(value: Any, depth: int = 0) -> str:
    """Return a value as a Starlark literal in buildifier's format."""
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        return '"' + re.sub(r"[\x00-\x1f\x7f]", lambda match: f"\\{ord(match[0]):03o}", escaped) + '"'
    if not isinstance(value, (dict, list, tuple)):
        return repr(value)
    inner = depth + 1 if len(value) > 1 else depth
    items, (start, end) = [literal(item, inner) for item in value], "[]"
    if isinstance(value, dict):
        items, (start, end) = [f"{literal(str(key))}: {literal(item, inner)}" for key, item in value.items()], "{}"
    if len(items) < 2:
        return start + "".join(items) + end
    indent = "    " * depth
    return f"{start}\n" + "".join(f"{indent}    {item},\n" for item in items) + indent + end


def top_level_calls(text: str, origin: str, remedy: str = "") -> list[tuple[str, ast.Call, str]]:
    """Parse a Starlark file as Python. Returns the function name, the call, and the variable of each top-level call.

    The variable is empty if the call isn't assigned to a variable. Raises BentoError for an invalid file.
    """
    calls = []
    try:
        tree = parse(text)
        ast.dump(tree)  # raises RecursionError if an expression is nested too deeply to compare calls
        for statement in tree.body:
            if isinstance(statement, (ast.Expr, ast.Assign)) and isinstance(statement.value, ast.Call):
                [target, *_] = getattr(statement, "targets", [None])
                calls.append((ast.unparse(statement.value.func), statement.value, getattr(target, "id", "")))
    except (SyntaxError, ValueError) as error:
        line, reason = getattr(error, "lineno", None) or 1, getattr(error, "msg", error)
        raise BentoError(f"{origin}:{line}: cannot parse the file: {reason}.{remedy}") from None
    except (RecursionError, MemoryError):
        problem = "an expression is nested too deeply"
        raise BentoError(problem, place=origin, remedy="Simplify the expression.") from None
    return calls


def keyword_string(call: ast.Call, name: str) -> str:
    """Return the value of the keyword argument `name`, or "" if the argument is missing or isn't a string literal."""
    return next((string(keyword.value) for keyword in call.keywords if keyword.arg == name), "")


def string(node: ast.expr) -> str:
    """Return the value of a string literal, or an empty string for any other expression."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
