"""Writes the same bytes as PyYAML's `safe_dump`, but ten times as fast for simple documents.

PyYAML examines each character about twenty times, and importing PyYAML takes longer than the rest of an action. Simple
documents contain only lists, mappings with plain keys, nulls, booleans, integers, and strings. The strings contain only
printable ASCII, tabs, and newlines. PyYAML writes all other documents.
"""

from __future__ import annotations

import re

from rules_bento.base.typing_lite import Any

_WIDTH = 80  # a single space after this column becomes a line break
_MAX_DEPTH = 20  # levels; deeper nesting leaves no room for words within the width

# Strings of printable ASCII that PyYAML's emitter.py writes unquoted in a block.
_PLAIN = re.compile(
    r"(?!---|\.\.\.|[-?:](?: |$))(?![ #,\[\]{}&*!|>'\"%@`])(?:[!-9;-~]|:(?=[!-~])| (?=[!-~ ])(?!#))+", re.ASCII
)
# Non-strings for PyYAML's resolver.py: words, and numbers and times, by their beginning.
_NON_STRINGS = frozenset((
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
_ESCAPED = re.compile(r"[\t\n -~]*")
_ESCAPED_RUNS = re.compile(r"[\t\n\"\\ ]|[^\t\n\"\\ ]+")
_ESCAPES = {"\t": "\\t", "\n": "\\n", '"': '\\"', "\\": "\\\\"}


class _NotSimpleError(Exception):
    """Raised for a document that `_YamlWriter` doesn't support. The caller then uses PyYAML."""


def dump_yaml(document: dict[str, Any], *, sort_keys: bool = False, allow_unicode: bool = True) -> bytes:
    """Return the output of `yaml.safe_dump` with the same arguments, encoded as UTF-8.

    A document with U+0085 is written as with `allow_unicode=False`.
    """
    writer = _YamlWriter(sort_keys=sort_keys)
    try:
        writer.mapping(document, 0)
    except _NotSimpleError:
        import yaml

        text: str = yaml.safe_dump(document, sort_keys=sort_keys, allow_unicode=allow_unicode)
        if "\x85" in text:  # PyYAML doesn't escape this line break, and reads it as a space
            text = yaml.safe_dump(document, sort_keys=sort_keys, allow_unicode=False)
        return text.encode()
    return "".join(writer.pieces).encode()


class _YamlWriter:
    """Writes documents in a subset of YAML. The methods raise _NotSimpleError for documents outside the subset."""

    def __init__(self, *, sort_keys: bool) -> None:
        self.pieces: list[str] = []
        self._sort_keys = sort_keys
        self._seen: set[int] = set()  # PyYAML writes repeated objects as anchors and aliases

    def mapping(self, values: dict[str, Any], indent: int) -> None:
        """Write a mapping in block style. The first line is already indented."""
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
        """Write a list in block style. The first line is already indented."""
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
        if id(values) in self._seen or indent > 2 * _MAX_DEPTH:
            raise _NotSimpleError
        self._seen.add(id(values))

    def _flat(self, value: Any, indent: int, before: int) -> None:
        """Write a scalar or an empty collection at the column `indent + before`."""
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
        elif _ESCAPED.fullmatch(text):
            self.pieces.append('"')
            self._escaped(text, indent, column + 1)
            self.pieces.append('"\n')
        else:
            raise _NotSimpleError

    def _folded(self, text: str, indent: int, column: int) -> None:
        """Write the content of a plain or single-quoted string, folded at the line width."""
        margin = "\n" + " " * (indent + 2)
        last = len(text)
        for run in _RUNS.finditer(text):
            words = run[0]
            if words[0] == "\n":
                # A single line break would be read as a space.
                words = words + margin
                column = indent + 2
            elif words == " " and column > _WIDTH and run.start() > 0 and run.end() < last:
                words = margin
                column = indent + 2
            else:
                column += len(words)
            self.pieces.append(words)

    def _escaped(self, text: str, indent: int, column: int) -> None:
        """Write the content of a double-quoted string with escapes, folded at the line width."""
        margin = "\\\n" + " " * (indent + 2)
        last, after_escape = len(text) - 1, False
        for run in _ESCAPED_RUNS.finditer(text):
            word, at = run[0], run.start()
            escape = _ESCAPES.get(word, "")
            if escape:
                self.pieces.append(escape)
                column += 2
                at += 1  # PyYAML breaks a line one column later after an escape
            follows_break = text[at : at + 1] == " "
            is_inside = 0 < run.start() < last
            if is_inside and (escape or after_escape or follows_break) and column - bool(escape) > _WIDTH:
                self.pieces.append(margin + "\\" * follows_break)
                column = indent + 2 + follows_break
            if not escape:
                self.pieces.append(word)
                column += len(word)
            after_escape = bool(escape)


def _is_plain_key(key: Any) -> bool:
    return type(key) is str and _KEY.fullmatch(key) is not None and not _is_other_type(key)


def _is_other_type(text: str) -> bool:
    if text[0] not in _DIGITS:
        return text in _NON_STRINGS
    return text in _NON_STRINGS or (_NUMBER.fullmatch(text) or _TIME.fullmatch(text)) is not None
