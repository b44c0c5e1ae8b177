"""Formats values and calls for BUILD and MODULE files in buildifier's style, and merges BUILD files."""

from __future__ import annotations

import ast
import re
from types import MappingProxyType

from rules_bento.base.errors import BentoError
from rules_bento.base.formats import split_lines
from rules_bento.base.python_source import parse
from rules_bento.base.typing_lite import Any, Mapping, Sequence

KEPT = "kept (use --force to replace)"
RULES = "@rules_bento//rules:defs.bzl"


class StarlarkCode(str):
    """Starlark code that `literal` returns unchanged, without quotes."""

    __slots__ = ()


def call(rule: str, attributes: dict[str, Any]) -> str:
    """Return Starlark code that calls a rule or tag class. Omits attributes whose value is None or empty."""
    declared = {key: value for key, value in attributes.items() if value not in (None, [], {}, "")}
    return f"{rule}(\n" + "".join(f"    {key} = {literal(value, 1)},\n" for key, value in declared.items()) + ")"


def glob(include: str, exclude: Sequence[str] = ()) -> StarlarkCode:
    """Return Starlark code for the value of an attribute of a target: a glob of a pattern, with excluded patterns."""
    pattern = literal([include])
    if not exclude:
        return StarlarkCode(f"glob({pattern})")
    return StarlarkCode(f"glob(\n        {pattern},\n        exclude = {literal(exclude, 2)},\n    )")


def load(rules: list[str], aliases: Mapping[str, str] = MappingProxyType({})) -> str:
    """Return a load statement for rules of rules_bento. `aliases` maps other names to rules."""
    renamed = (f"{name} = {literal(rule)}" for name, rule in aliases.items())
    return f"load({', '.join([literal(RULES), *map(literal, rules), *renamed])})\n"


def literal(value: Any, depth: int = 0) -> str:
    """Return a value as a Starlark literal in buildifier's format."""
    if isinstance(value, StarlarkCode):
        return str(value)
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


def merge_build_files(existing: str, new: str, origin: str, *, force: bool = False) -> tuple[str, dict[str, list[str]]]:
    """Add the loads and targets of a new BUILD file to an existing BUILD file.

    Returns the merged file, and the names of added, replaced, and kept targets. If both files define a target with the
    same name, keeps the existing target unless `force` is true. Raises BentoError if a file is invalid, or if the
    existing BUILD file loads another symbol under the name of a required rule. The error message begins with `origin`
    and the line.
    """
    calls = top_level_calls(existing, origin, " Fix the file, or omit --write.")
    targets = {name: node for _, node, _ in calls if (name := keyword_string(node, "name"))}
    names: dict[str, list[str]] = {"added": [], "replaced": [], KEPT: []}
    lines = [f"{line}\n" for line in split_lines(existing)]
    edits = []  # first line, line after the last one, and new text
    rules = set()
    for function, node, _ in top_level_calls(new, origin):
        name, text = keyword_string(node, "name"), f"{ast.get_source_segment(new, node)}\n"
        old = targets.get(name)
        if not name or (old and ast.dump(old) == ast.dump(node)):
            continue
        state = "added" if old is None else "replaced" if force else KEPT
        names[state].append(name)
        if state != KEPT:
            rules.add(function)
            end = len(lines)
            edits.append((end, end, f"\n{text}") if old is None else (old.lineno - 1, old.end_lineno or end, text))
    edits = sorted([*_load_edits(calls, lines, rules, origin), *edits], key=lambda edit: edit[0])
    for first, after, text in edits[::-1]:
        lines[first:after] = [text]
    return "".join(lines).lstrip("\n"), names


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


def _load_edits(
    calls: list[tuple[str, ast.Call, str]], lines: list[str], rules: set[str], origin: str
) -> list[tuple[int, int, str]]:
    """Return at most one edit, which loads the missing rules. Raises BentoError if another symbol has a rule's name."""
    loads = [node for function, node, _ in calls if function == "load" and node.args]
    missing, own = set(rules), None
    for node in loads:
        file, *symbols = map(string, node.args)
        loaded = {symbol: symbol for symbol in symbols} | {str(each.arg): string(each.value) for each in node.keywords}
        own = node if file == RULES else own
        for rule in sorted(rules & set(loaded)):
            if file != RULES or loaded[rule] != rule:
                raise BentoError(
                    f"{origin}:{node.lineno}: another symbol is loaded as {rule!r}, but the new targets need the rule "
                    f"{rule!r} in {RULES}",
                    remedy="Load the other symbol under another name.",
                )
        missing -= set(loaded)
    if not missing:
        return []
    if own:
        symbols = sorted({*missing, *map(string, own.args[1:])})
        aliases = {str(each.arg): string(each.value) for each in own.keywords}
        return [(own.lineno - 1, own.end_lineno or own.lineno, load(symbols, aliases))]
    if loads:
        end = loads[-1].end_lineno or 0
        return [(end, end, load(sorted(missing)))]
    first = calls[0][1].lineno - 1 if calls else len(lines)
    while first and lines[first - 1].startswith("#"):
        first -= 1
    return [(first, first, load(sorted(missing)) + "\n" * bool(calls))]
