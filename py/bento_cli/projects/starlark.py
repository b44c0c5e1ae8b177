"""Formats calls in BUILD and MODULE files."""

from __future__ import annotations

import re

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
