"""Writes YAML, byte for byte as PyYAML's `safe_dump` does, ten times as fast where a document is simple.

PyYAML looks at each character some twenty times, and its import alone takes longer than an action needs for all else.
Simple are mappings with plain keys, lists, flags, whole numbers, and texts of printable ASCII that need no escapes.
Any other document is PyYAML's to write.
"""

from __future__ import annotations

import re

from rules_bento.typing_lite import Any

_WIDTH = 80  # a single space behind this column becomes a line break
_DEEPEST = 20  # levels: what is nested deeper leaves no room for words within the width

# What emitter.py of PyYAML writes without quotes in a block, of texts of printable ASCII.
_PLAIN = re.compile(
    r"(?!---|\.\.\.|[-?:](?: |$))(?![ #,\[\]{}&*!|>'\"%@`])(?:[!-9;-~]|:(?=[!-~])| (?=[!-~ ])(?!#))+", re.ASCII
)
# What its resolver.py takes for anything but a text: words; and numbers and times, by what they begin with.
_WORDS = frozenset((
    "~", "null", "Null", "NULL", "<<", "=",
    "yes", "Yes", "YES", "no", "No", "NO", "true", "True", "TRUE", "false", "False", "FALSE",
    "on", "On", "ON", "off", "Off", "OFF",
    *(sign + number for sign in ("", "+", "-") for number in (".inf", ".Inf", ".INF")), ".nan", ".NaN", ".NAN",
))  # fmt: skip
_NUMBER = re.compile(
    r"[-+]?(?:0b[01_]+|0x[0-9a-fA-F_]+|0[0-7_]*|[1-9][0-9_]*(?::[0-5]?[0-9])*"
    r"|[0-9][0-9_]*(?:\.[0-9_]*(?:[eE][-+][0-9]+)?|(?::[0-5]?[0-9])+\.[0-9_]*))"
    r"|\.[0-9][0-9_]*(?:[eE][-+][0-9]+)?"
)
_TIME = re.compile(
    r"[0-9]{4}-(?:[0-9]{2}-[0-9]{2}|[0-9]{1,2}-[0-9]{1,2}(?:[Tt]|[ \t]+)[0-9]{1,2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]*)?"
    r"(?:[ \t]*(?:Z|[-+][0-9]{1,2}(?::[0-9]{2})?))?)"
)
_DIGITS = frozenset(".+-0123456789")
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,99}")
_QUOTED = re.compile(r"(?:[!-~]| (?!\n)|\n(?! ))*")
_RUNS = re.compile(r" +|\n+|[^ \n]+")


class _NotSimpleError(Exception):
    """Says that a document is left to PyYAML."""


def dump_yaml(document: dict[str, Any], *, sort_keys: bool = False, allow_unicode: bool = True) -> bytes:
    """Return the text of a document, as `yaml.safe_dump` with these arguments."""
    writer = _Writer(sort_keys=sort_keys)
    try:
        writer.mapping(document, 0)
    except _NotSimpleError:
        import yaml

        text: str = yaml.safe_dump(document, sort_keys=sort_keys, allow_unicode=allow_unicode)
        return text.encode()
    return "".join(writer.pieces).encode()


class _Writer:
    """Collects the text of a document. Methods raise _NotSimpleError for what PyYAML shall write."""

    def __init__(self, *, sort_keys: bool) -> None:
        self.pieces: list[str] = []
        self._sort_keys = sort_keys
        self._seen: set[int] = set()  # PyYAML names what comes twice, and refers to it

    def mapping(self, values: dict[str, Any], indent: int) -> None:
        """Write a mapping in a block; its first line is indented already where something stands before it."""
        self._enter(values, indent)
        if not values:
            self.pieces.append("{}\n")
            return
        margin = " " * indent
        if not all(map(_is_plain_key, values)):
            raise _NotSimpleError
        for number, key in enumerate(sorted(values) if self._sort_keys else values):
            self.pieces.append(f"{margin if number else ''}{key}:")
            value = values[key]
            if type(value) is dict and value:
                self.pieces.append("\n" + margin + "  ")
                self.mapping(value, indent + 2)
            elif type(value) is list and value:
                self.pieces.append("\n" + margin)
                self._items(value, indent)
            else:
                self.pieces.append(" ")
                self._flat(value, indent, len(key) + 2)

    def _items(self, values: list[Any], indent: int) -> None:
        """Write a list in a block, its first line as that of `mapping`."""
        self._enter(values, indent)
        margin = " " * indent
        for number, value in enumerate(values):
            self.pieces.append(f"{margin if number else ''}- ")
            if type(value) is dict and value:
                self.mapping(value, indent + 2)
            elif type(value) is list and value:
                self._items(value, indent + 2)
            else:
                self._flat(value, indent, 2)

    def _enter(self, values: dict[str, Any] | list[Any], indent: int) -> None:
        if id(values) in self._seen or indent > 2 * _DEEPEST:
            raise _NotSimpleError
        self._seen.add(id(values))

    def _flat(self, value: Any, indent: int, before: int) -> None:
        """Write what takes no block, behind `before` characters and the indentation, and end the line."""
        kind = type(value)
        if kind is str:
            self._text(value, indent, indent + before)
        elif value is None:
            self.pieces.append("null\n")
        elif kind is bool:
            self.pieces.append("true\n" if value else "false\n")
        elif kind is int:
            self.pieces.append(f"{value}\n")
        elif kind is dict or kind is list:
            self._enter(value, indent)
            self.pieces.append("{}\n" if kind is dict else "[]\n")
        else:
            raise _NotSimpleError

    def _text(self, text: str, indent: int, column: int) -> None:
        if _PLAIN.fullmatch(text) and not _is_other_type(text):
            if column + len(text) <= _WIDTH:
                self.pieces.append(f"{text}\n")
            else:
                self._folded(text, indent, column)
                self.pieces.append("\n")
        elif _QUOTED.fullmatch(text):
            self.pieces.append("'")
            self._folded(text.replace("'", "''"), indent, column + 1)
            self.pieces.append("'\n")
        else:
            raise _NotSimpleError

    def _folded(self, text: str, indent: int, column: int) -> None:
        """Write a text that may have line breaks, and get some more."""
        margin = "\n" + " " * (indent + 2)
        last = len(text)
        for run in _RUNS.finditer(text):
            words = run[0]
            if words[0] == "\n":
                # A single break would be read as a space.
                words = words + margin
                column = indent + 2
            elif words == " " and column > _WIDTH and run.start() > 0 and run.end() < last:
                words = margin
                column = indent + 2
            else:
                column += len(words)
            self.pieces.append(words)


def _is_plain_key(key: Any) -> bool:
    return type(key) is str and _KEY.fullmatch(key) is not None and not _is_other_type(key)


def _is_other_type(text: str) -> bool:
    if text[0] not in _DIGITS:
        return text in _WORDS
    return text in _WORDS or (_NUMBER.fullmatch(text) or _TIME.fullmatch(text)) is not None
