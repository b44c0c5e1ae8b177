"""A PyYAML loader with limits and line numbers. `formats.yaml` imports this module when a document is read.

libyaml's composer crashes for deeply nested documents, so PyYAML's own composer builds the nodes from libyaml's events.
"""

from __future__ import annotations

import re

import yaml
from yaml.composer import Composer

from rules_bento.base.formats import MAX_DEPTH, MAX_NUMBER, MAX_VALUES, FormatError
from rules_bento.base.typing_lite import Any, Callable

_TAG = "tag:yaml.org,2002:"
_SCALARS = ("str", "null", "bool", "int", "float", "timestamp")
_LONG = 128  # characters of a string that count as one more value
_DECIMAL = re.compile(r"[-+]?\d+\.\d+")
_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# The loader of libyaml composes nodes in C. PyYAML's own loader is a Composer.
_Bases: tuple[Any, ...] = (_Base,) if issubclass(_Base, Composer) else (Composer, _Base)
Lines = tuple[int, dict[Any, Any]]  # the line of a value, and the lines of contained values


class NumericKey(str):
    """A key as written, which YAML reads as a number."""


class Loader(*_Bases):  # type: ignore[misc]
    """Loads one document. If `parse_float` is set, keys are strings as written, and it converts decimal fractions."""

    def __init__(self, text: str, origin: str, tags: tuple[str, ...], parse_float: Callable[[str], Any] | None) -> None:
        _Base.__init__(self, text)
        Composer.__init__(self)
        self._origin = origin
        self._tags = {_TAG + tag for tag in (*_SCALARS, *tags)}
        self._parse_float = parse_float
        self._depth = self._size = 0
        self._sizes: dict[Any, int] = {}  # of complete nodes, aliases expanded
        self._values: dict[Any, tuple[Any, dict[Any, Lines]]] = {}

    def error(self, node: Any, problem: str) -> FormatError:
        """Return an error at the line of a node or an event."""
        return FormatError(problem, place=f"{self._origin}:{node.start_mark.line + 1}")

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Compose a node within the limits."""
        event: Any = self.peek_event()
        size = self._size
        if isinstance(event, yaml.AliasEvent):
            node: Any = super().compose_node(parent, index)
            if node not in self._sizes:
                raise self.error(event, "the value contains itself. Remove the alias.")
            self._add(event, self._sizes[node])
            return node
        if isinstance(event, yaml.ScalarEvent):
            self._add(event, 1 + len(event.value) // _LONG)
        elif self._depth == MAX_DEPTH:
            raise self.error(event, f"more than {MAX_DEPTH} levels of nesting. Reduce the nesting.")
        else:
            self._add(event, 1)
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        self._sizes[node] = self._size - size
        if isinstance(node, yaml.MappingNode):
            self._check_keys(node)
        return node

    def _add(self, event: Any, size: int) -> None:
        self._size += size
        if self._size > MAX_VALUES:
            limit = f"{MAX_VALUES:,} values, with aliases expanded"
            raise self.error(event, f"more than {limit}. Reduce the size of the file.")

    def _check_keys(self, node: Any) -> None:
        """Reject duplicate keys, and merge keys without a mapping, before PyYAML merges mappings into the node."""
        keys = set()
        for key, value in node.value:
            if key.tag == f"{_TAG}merge":
                parts = value.value if isinstance(value, yaml.SequenceNode) else [value]
                if not all(isinstance(part, yaml.MappingNode) for part in parts):
                    problem = "'<<' requires a mapping or a list of mappings. For a string, put '<<' in quotes."
                    raise self.error(value, problem)
                continue
            constructed = self._key(key)
            if constructed in keys:
                raise self.error(key, f"duplicate key {quote(key.value)}. Remove one of the keys.")
            keys.add(constructed)

    def _key(self, node: Any) -> Any:
        if not isinstance(node, yaml.ScalarNode):
            raise self.error(node, "the key isn't a string. Use a string.")
        value = node.value if node.tag == f"{_TAG}value" else self._scalar(node)
        if not self._parse_float:
            return value
        if isinstance(value, str):
            return node.value
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return NumericKey(node.value)
        kind = "a boolean" if isinstance(value, bool) else "null" if value is None else "a time"
        raise self.error(node, f"the key {quote(node.value)} is {kind} in YAML 1.1. Put the key in quotes.")

    def value(self, node: Any) -> tuple[Any, dict[Any, Lines]]:
        """Return the value of a node, and the lines of the contained values by key or index."""
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node), {}
        if node not in self._values:
            is_list = isinstance(node, yaml.SequenceNode)
            if node.tag != _TAG + ("seq" if is_list else "map"):
                raise self.error(node, f"tag {quote(node.tag)} isn't supported. Remove the tag.")
            self._values[node] = self._list(node) if is_list else self._mapping(node)
        return self._values[node]

    def _list(self, node: Any) -> tuple[list[Any], dict[Any, Lines]]:
        found, lines = [], {}
        for index, item in enumerate(node.value):
            value, inner = self.value(item)
            found.append(value)
            lines[index] = (item.start_mark.line + 1, inner)
        return found, lines

    def _mapping(self, node: Any) -> tuple[dict[Any, Any], dict[Any, Lines]]:
        self.flatten_mapping(node)
        found, lines = {}, {}
        for key_node, item in node.value:
            key = self._key(key_node)
            found[key], inner = self.value(item)
            lines[key] = (key_node.start_mark.line + 1, inner)
        return found, lines

    def _scalar(self, node: Any) -> Any:
        text, tag = node.value, node.tag
        if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
            problem = "a string has an unpaired surrogate. Replace the surrogate with the character itself."
            raise self.error(node, problem)  # libyaml rejects it
        if tag in (f"{_TAG}merge", f"{_TAG}value"):
            raise self.error(node, f"{text!r} isn't a value. Quote the value.")
        if tag not in self._tags:
            raise self.error(node, f"tag {quote(tag)} isn't supported. Remove the tag.")
        is_number = tag in (f"{_TAG}int", f"{_TAG}float")
        if is_number and ":" in text:
            raise self.error(node, f"{quote(text)} is a base-60 number in YAML 1.1. Quote the value.")
        try:
            if is_number and len(text) > MAX_NUMBER:
                raise ValueError(f"more than {MAX_NUMBER} characters")
            value = self.construct_object(node)
            if is_number and abs(value) == float("inf") and "inf" not in text.lower():
                raise ValueError("outside the range of a float")
        except (ValueError, OverflowError) as error:
            problem = f"invalid value {quote(text)}: {str(error).rstrip('.')}. Quote the value."
            raise self.error(node, problem) from None
        except (AttributeError, LookupError):  # PyYAML expects that a text matches its tag
            raise self.error(node, f"tag {quote(tag)} doesn't match {quote(text)}. Remove the tag.") from None
        is_decimal = tag == f"{_TAG}float" and self._parse_float and _DECIMAL.fullmatch(text)
        return self._parse_float(text) if is_decimal and self._parse_float else value


def quote(text: str) -> str:
    """Return a string in quotation marks, shortened to 40 characters."""
    return repr(text if len(text) <= 40 else text[:40] + "...")
