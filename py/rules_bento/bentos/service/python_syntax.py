"""Finds the version of Python that a file's syntax requires, and compares the version with the Bento's Python."""

from __future__ import annotations

import ast
import io
import re
import sys

from rules_bento.base.dataclasses_lite import NamedTuple
from rules_bento.base.errors import BentoError
from rules_bento.base.typing_lite import Iterator

# Types of nodes, and the minor versions of Python 3 that introduced the syntax.
_NEW_NODES = {
    "Match": (10, "a `match` statement"),
    "TryStar": (11, "`except*`"),
    "TypeAlias": (12, "a `type` statement"),
    "TemplateStr": (14, "a t-string"),
}
_STRING = re.compile(rb"""[fF][rR]?["']""")
_LONG_STRING = re.compile(rb"""[fF][rR]?(?:"{3}|'{3})""")
_ODD = re.compile(rb"""["'\\#]""")


class NewSyntax(NamedTuple):
    """Syntax that requires at least Python 3.`minor`, the reason, and the line in the file."""

    minor: int
    reason: str
    line: int


def new_syntax(data: bytes, tree: ast.Module) -> Iterator[NewSyntax]:
    """Yield the syntax that Python 3.9 doesn't support in a file, whose syntax tree is `tree`."""
    for minor, what, line in _new_nodes(data, tree):
        yield NewSyntax(minor, f"{what} requires Python 3.{minor}", line)


def _new_nodes(data: bytes, tree: ast.Module) -> Iterator[tuple[int, str, int]]:
    """Yield the minor version, the description, and the line of syntax that is newer than Python 3.9."""
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 1)
        if known := _NEW_NODES.get(type(node).__name__):
            yield *known, line
        for parameter in getattr(node, "type_params", ()):
            is_newer = getattr(parameter, "default_value", None) is not None
            newest = (13, "a default of a type parameter") if is_newer else (12, "a type parameter")
            yield *newest, line
        match node:
            case ast.ExceptHandler(type=ast.Tuple() as types) if _is_bare(data, types):
                yield 14, "`except` with types without parentheses", line
            case ast.Subscript(slice=ast.Tuple(elts=items) as index) if _is_bare(data, index):
                if any(isinstance(item, ast.Starred) for item in items):
                    yield 11, "`*` in an index", line
            case ast.arg(annotation=ast.Starred()):
                yield 11, "`*` in an annotation", line
            case ast.Subscript(slice=ast.NamedExpr() as value) if _is_bare(data, value):
                yield 10, "`:=` without parentheses", line
            case ast.FormattedValue(format_spec=ast.JoinedStr(values=parts)):
                inner = (each for part in parts for each in ast.walk(getattr(part, "format_spec", None) or ast.Pass()))
                if any(isinstance(each, ast.FormattedValue) for each in inner):
                    yield 12, "an expression in the format of a format", line
    if sys.version_info >= (3, 12) and _might_have_new_strings(data):
        yield from ((12, "an expression of an f-string", line) for line in _new_strings(data))


def check(path: str, syntax: NewSyntax, python_version: str) -> None:
    """Raise BentoError if the Bento's Python version (`X.Y`) doesn't support the syntax in a file."""
    if syntax.minor > int(python_version.partition(".")[2]):
        problem = f"the Bento's Python {python_version} doesn't support this line ({syntax.reason})"
        remedy = "Set a newer python_version (docker.python_version in a bentofile, or --python-version of "
        remedy += "`bento build`), or change the line."
        raise BentoError(problem, place=f"{path}:{syntax.line}", remedy=remedy)


def _is_bare(data: bytes, node: ast.expr) -> bool:
    """Return whether an expression begins without parentheses."""
    if isinstance(node, ast.Tuple):
        return bool(node.elts) and (node.lineno, node.col_offset) == (node.elts[0].lineno, node.elts[0].col_offset)
    before = data.splitlines()[node.lineno - 1][: node.col_offset].rstrip()
    return not before.endswith(b"(")


def _might_have_new_strings(data: bytes) -> bool:
    """Return whether the tokens of a file must be read. Lines of most f-strings show that they aren't new."""
    fields = (piece for line in data.split(b"\n") if _STRING.search(line) for piece in line.split(b"{")[1:])
    return bool(_LONG_STRING.search(data)) or any(
        b"}" not in field or _ODD.search(field.partition(b"}")[0]) for field in fields
    )


def _new_strings(data: bytes) -> Iterator[int]:
    """Yield the lines of expressions in f-strings that Python 3.11 can't parse (PEP 701).

    These have the quotes of the f-string, backslashes, comments, or, in an f-string of one line, line breaks.
    """
    import tokenize

    quotes: list[str] = []  # of the f-strings around a token
    for token in tokenize.tokenize(io.BytesIO(data).readline):
        kind = tokenize.tok_name[token.type]
        if kind == "FSTRING_END":
            quotes.pop()
        around = quotes[:-1] if kind == "FSTRING_MIDDLE" else quotes
        marks = ["\\", *around, *("\n" for quote in around if len(quote) == 1)]
        if around and (kind == "COMMENT" or any(mark in token.string for mark in marks)):
            yield token.start[0]
        if kind == "FSTRING_START":
            quotes.append(token.string.lstrip("rRfF"))
