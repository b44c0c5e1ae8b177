#!/usr/bin/env python3
"""Lists every message of the product: `python3 tools/messages.py [DIRECTORY]...`.

Messages are the string arguments of exceptions that are raised, of `fail` in Starlark, and of notes that the command
prints, and the help of its options. `{}` represents a value. A `part` becomes the reason in another message. Reviewers
read the list, and tools/prose.py checks it.
"""

from __future__ import annotations

import ast
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

DIRECTORIES = ("private", "py", "rules", "toolchains")
# Exceptions that a caller in the same package turns into another message, or that Python itself expects.
INTERNAL = frozenset({"AssertionError", "AttributeError", "KeyError", "NotImplementedError", "StopIteration"})
# BentoError and the errors that derive from it.
SHOWN = frozenset(
    {
        "fail",
        "BentoError",
        "ChangedError",
        "FormatError",
        "MissingError",
        "NotFoundError",
        "RecordError",
        "RegistryError",
        "SignatureError",
    }
)
NOTES = frozenset({"note", "warn", "warning"})
ERROR, NOTE, HELP = "error", "note", "help"


@dataclass(frozen=True)
class Message:
    """Describes a message.

    Attributes:
        kind: `error`, `note`, or `help`.
        path: the source file.
        line: the line number, from 1.
        text: the message, with `{}` for each value.
        is_for_people: whether users see the message unchanged. Other exceptions become a part of another message.

    """

    kind: str
    path: str
    line: int
    text: str
    is_for_people: bool


def messages(root: Path, directories: tuple[str, ...] = DIRECTORIES) -> Iterator[Message]:
    """Yield the messages of the sources below `root`, ordered by path and line."""
    for directory in directories:
        for source in sorted((root / directory).rglob("*")):
            if source.suffix in (".py", ".bzl") and source.is_file():
                path = source.relative_to(root).as_posix()
                yield from _of_tree(ast.parse(source.read_text("utf-8")), path)


def _of_tree(tree: ast.Module, path: str) -> Iterator[Message]:
    """Yield the messages of a syntax tree. The project's Starlark is valid Python, so one parser reads both."""
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        values = [(ERROR, argument) for argument in node.args] if _raises(name, path) else []
        values += [(NOTE, argument) for argument in node.args if name in NOTES]
        values += [(HELP, key.value) for key in node.keywords if key.arg in ("help", "epilog", "doc")]
        default = next((key.value for key in node.keywords if key.arg == "default" and path.endswith(".bzl")), None)
        for kind, value in values:
            text = _text(value)
            for key in node.keywords if kind == ERROR else ():
                text = f"{_text(key.value) or '{}'}: {text}" if key.arg == "place" else text
                text = f"{text.rstrip('.')}. {_text(key.value) or '{}'}" if key.arg == "remedy" else text
            if kind == HELP and isinstance(default, ast.Constant | ast.List) and "efault" not in text:
                text += f" Default: `{ast.unparse(default).replace(chr(39), chr(34))}`."  # as in docs/reference.md
            if " " in text.strip("{} ") and any(character.isalpha() for character in text):
                found.append(Message(kind, path, node.lineno, text, kind != ERROR or name in SHOWN))
    yield from sorted(found, key=lambda message: message.line)


def _raises(name: str, path: str) -> bool:
    return name == "fail" if path.endswith(".bzl") else name.endswith("Error") and name not in INTERNAL


def _text(node: ast.expr) -> str:
    """Return the string of an expression, with `{}` for each value, or an empty string for any other expression."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(_text(part) if isinstance(part, ast.Constant) else "{}" for part in parts)
        case ast.BinOp(op=ast.Add(), left=left, right=right):
            return (_text(left) or "{}") + (_text(right) or "{}")
        case ast.BinOp(op=ast.Mod(), left=left):
            return _text(left)
        case ast.Call(func=ast.Attribute(value=value, attr="format" | "strip" | "join")):
            return _text(value)
        case ast.IfExp(body=body, orelse=other):
            return _text(body) or _text(other)
    return ""


def main(directories: list[str]) -> None:
    """Print the list."""
    for message in messages(Path(__file__).resolve().parents[1], tuple(directories) or DIRECTORIES):
        text = " ".join(message.text.split())
        kind = message.kind if message.is_for_people else "part"
        sys.stdout.write(f"{message.path}:{message.line}: {kind}: {text}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
