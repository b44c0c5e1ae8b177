"""Formats values and calls for BUILD and MODULE files, as buildifier does."""

from __future__ import annotations

from rules_bento.typing_lite import Any


class StarlarkCode(str):
    """Starlark code that is written unchanged."""

    __slots__ = ()


def call(rule: str, attributes: dict[str, Any]) -> str:
    """Return the call of a rule or tag, without attributes that have no value."""
    stated = {key: value for key, value in attributes.items() if value not in (None, [], {}, "")}
    return f"{rule}(\n" + "".join(f"    {key} = {literal(value, 1)},\n" for key, value in stated.items()) + ")"


def literal(value: Any, depth: int = 0) -> str:
    """Return a Starlark literal in buildifier's format."""
    if isinstance(value, StarlarkCode):
        return str(value)
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        return f'"{escaped}"'
    inner = depth + 1 if isinstance(value, (dict, list, tuple)) and len(value) > 1 else depth
    if isinstance(value, (list, tuple)):
        items = [literal(item, inner) for item in value]
        return _laid_out("[", items, "]", depth)
    if isinstance(value, dict):
        items = [f"{literal(str(key))}: {literal(item, inner)}" for key, item in value.items()]
        return _laid_out("{", items, "}", depth)
    return repr(value)


def _laid_out(start: str, items: list[str], end: str, depth: int) -> str:
    if len(items) < 2:
        return start + "".join(items) + end
    indent = "    " * depth
    return f"{start}\n" + "".join(f"{indent}    {item},\n" for item in items) + indent + end
