"""YAML of others: the core types as PyYAML reads them, which is how BentoML does, and nothing else.

Values are built from the parser's events, so depth and size of a document are known before anything is built from it.
A scalar has the type that `yaml.safe_load` gives it (null, flags, numbers, times, strings), and `<<` merges. Rejected
is what people do not expect and BentoML does not write: other tags, duplicate keys, `1:30` as the number 90, values
that contain themselves.
"""

from __future__ import annotations

import re

from rules_bento.formats import MAX_CHARACTERS, MAX_DEPTH, MAX_NUMBER, MAX_VALUES, FormatError, decoded
from rules_bento.typing_lite import Any

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_TAG = "tag:yaml.org,2002:"
_SCALAR_TAGS = ("str", "null", "bool", "int", "float", "timestamp")
_TAGGED_FLOAT = re.compile(r"[-+]?[0-9][0-9_]*(?:[eE][-+]?[0-9]+)?")  # a float only with the tag
_DECIMAL = re.compile(r"[-+]?\d+\.\d+")
_MERGE = object()
"""The key `<<`."""

_Place = tuple[int, dict[Any, Any]]
"""A line, and the places of what is in the value."""
_NOWHERE: _Place = (1, {})


def read_yaml(data: bytes | str, origin: str, *, binary: bool = False) -> Any:
    """Read a document of YAML, None where it is empty; `origin` names it in messages.

    `binary` takes `!!binary`, too, as bytes. Raises FormatError, with the line, for what is no YAML, for what this
    module refuses, and for what is beyond the bounds of `rules_bento.formats`.
    """
    return _Reader(data, origin, binary=binary).read().value


def read_mapping(data: bytes | str, origin: str) -> dict[Any, Any]:
    """Read a mapping. Raises FormatError as `read_yaml` does, and for any other value."""
    value = read_yaml(data, origin)
    if not isinstance(value, dict):
        raise FormatError(f"{origin}: is empty, or no mapping: keys with values are expected.")
    return value


def read_with_lines(data: bytes | str, origin: str, parse_float: Callable[[str], Any]) -> tuple[Any, Lines]:
    """Read a document as `read_yaml` does, and the lines of its values.

    Keys are the texts that stand there, and `parse_float` makes the numbers with a point. Raises FormatError as
    `read_yaml` does, and for a key that is null or a time.
    """
    root = _Reader(data, origin, parse_float=parse_float).read()
    return root.value, Lines((root.line, root.inner))


class Lines:
    """Finds the line of each value of a document, by the keys and indices that lead to it from the root."""

    def __init__(self, root: _Place) -> None:
        """Look up lines below a root."""
        self._root = root

    def get(self, path: tuple[str | int, ...]) -> int | None:
        """Return the line of a key, or of an item or the root; None for what is not there."""
        line, inner = self._root
        for part in path:
            if part not in inner:
                return None
            line, inner = inner[part]
        return line


class _Node:
    """Holds a value, its line, the text of a scalar, and the places of what is in the value."""

    __slots__ = ("inner", "line", "size", "text", "value")

    def __init__(self, value: Any, line: int, text: str | None = None, inner: dict[Any, _Place] | None = None) -> None:
        self.value = value
        self.line = line
        self.text = text
        self.inner = {} if inner is None else inner
        self.size = (1, 0)  # of an anchor: how many values, and how much text, once aliases are written out


class _Reader:
    """Builds a value from the parser's events; with `parse_float`, keys are texts, and lines are kept."""

    def __init__(
        self, data: bytes | str, origin: str, *, binary: bool = False, parse_float: Callable[[str], Any] | None = None
    ) -> None:
        import yaml

        self._origin = origin
        self._text = decoded(data, origin)
        self._parse_float = parse_float
        self._tags = (*_SCALAR_TAGS, "binary") if binary else _SCALAR_TAGS
        self._yaml: Any = yaml
        self._loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(self._text)
        self._typed = self._loader.yaml_implicit_resolvers  # by the first character of a scalar without quotes
        self._anchors: dict[str, _Node | None] = {}  # None until the value ends
        self._depth = self._count = self._characters = 0

    def read(self) -> _Node:
        """Return the root. Raises FormatError for what is refused."""
        yaml, loader = self._yaml, self._loader
        root = _Node(None, 1)
        try:
            loader.get_event()
            if loader.check_event(yaml.DocumentStartEvent):
                loader.get_event()
                root = self._item(loader.get_event())
                loader.get_event()
            if not loader.check_event(yaml.StreamEndEvent):
                raise self._refused(_line(loader.get_event()), "a second document begins. Keep one of them.")
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            last = self._text.count("\n")  # libyaml takes the end for another line
            line = f":{min(mark.line, last) + 1}" if mark else ""
            raise FormatError(
                f"{self._origin}{line}: not YAML: {error.problem or error.context}. Correct it."
            ) from None
        except (yaml.YAMLError, ValueError) as error:
            raise FormatError(f"{self._origin}: not YAML: {' '.join(str(error).split())}. Correct it.") from None
        finally:
            loader.dispose()
        return root

    def _refused(self, line: int, problem: str) -> FormatError:
        return FormatError(f"{self._origin}:{line}: {problem}")

    def _item(self, event: Any) -> _Node:
        """Return what begins with an event, and is a value, not a key."""
        node = self._node(event)
        if node.value is _MERGE:
            raise self._refused(node.line, "'<<' is no value. Put it in quotes.")
        return node

    def _node(self, event: Any, *, is_key: bool = False) -> _Node:
        line, anchor = _line(event), event.anchor
        if type(event) is self._yaml.AliasEvent:
            return self._alias(anchor, line)
        if anchor:
            if anchor in self._anchors:
                raise self._refused(line, f"the anchor &{anchor} stands there twice. Name one of them otherwise.")
            self._anchors[anchor] = None
        before = self._count, self._characters
        if type(event) is self._yaml.ScalarEvent:
            self._add(line, 1, len(event.value))
            node = _Node(self._scalar(event, line, is_key=is_key), line, event.value)
        else:
            node = self._collection(event, line)
        if anchor:
            node.size = (self._count - before[0], self._characters - before[1])
            self._anchors[anchor] = node
        return node

    def _alias(self, anchor: str, line: int) -> _Node:
        if anchor not in self._anchors:
            raise self._refused(line, f"the alias *{anchor} has no anchor above. Write what it stands for.")
        node = self._anchors[anchor]
        if node is None:
            raise self._refused(line, "a value that contains itself. Write it out.")
        self._add(line, *node.size)
        return node

    def _add(self, line: int, count: int, characters: int) -> None:
        self._count += count
        self._characters += characters
        if self._count > MAX_VALUES or self._characters > MAX_CHARACTERS:
            raise self._refused(
                line,
                f"more than {MAX_VALUES:,} values or {MAX_CHARACTERS >> 20} MiB of text, aliases written out, which "
                f"cannot be meant. Make it smaller.",
            )

    def _collection(self, event: Any, line: int) -> _Node:
        is_list = type(event) is self._yaml.SequenceStartEvent
        if self._depth == MAX_DEPTH:
            raise self._refused(line, f"is nested more than {MAX_DEPTH} deep, which cannot be meant. Make it flatter.")
        if event.tag not in (None, "!", _TAG + ("seq" if is_list else "map")):
            raise self._refused(line, f"the tag {_shown(event.tag)} is not taken here. Leave it out.")
        self._add(line, 1, 0)
        self._depth += 1
        node = self._list(line) if is_list else self._mapping(line)
        self._depth -= 1
        return node

    def _list(self, line: int) -> _Node:
        node = _Node([], line)
        next_event, end = self._loader.get_event, self._yaml.SequenceEndEvent
        while type(event := next_event()) is not end:
            item = self._item(event)
            if self._parse_float:
                node.inner[len(node.value)] = (item.line, item.inner)
            node.value.append(item.value)
        return node

    def _mapping(self, line: int) -> _Node:
        own = _Node({}, line)
        merged: list[_Node] = []  # what `<<` brings, later ones winning
        next_event, end = self._loader.get_event, self._yaml.MappingEndEvent
        while type(event := next_event()) is not end:
            key_line, key_node = _line(event), self._node(event, is_key=True)
            if key_node.value is _MERGE:
                merged += self._merged(self._item(next_event()))
                continue
            key = self._key(key_node, key_line)
            if key in own.value:
                raise self._refused(key_line, f"{_shown(key_node.text or '')} stands there twice. Keep one of them.")
            item = self._item(next_event())
            if self._parse_float:
                own.inner[key] = (key_line, item.inner)
            own.value[key] = item.value
        if not merged:
            return own
        node = _Node({}, line)
        for part in (*merged, own):
            node.value.update(part.value)
            node.inner.update(part.inner)
        return node

    def _merged(self, node: _Node) -> list[_Node]:
        """Return the mappings that `<<` names, later ones winning. Raises FormatError for what is none."""
        nodes = [node]
        if isinstance(node.value, list):
            inner = [node.inner.get(index, _NOWHERE)[1] for index in range(len(node.value))]
            nodes = [_Node(value, node.line, None, inner[index]) for index, value in enumerate(node.value)][::-1]
        if not all(isinstance(part.value, dict) for part in nodes):
            problem = "'<<' takes a mapping, or a list of mappings. Put it in quotes if it is a text."
            raise self._refused(node.line, problem)
        return nodes

    def _key(self, node: _Node, line: int) -> Any:
        if node.text is not None and self._parse_float is None:
            return node.value
        if node.text is not None and isinstance(node.value, (str, int, float)):
            return node.text
        raise self._refused(line, "a key that is no text. Write one.")

    def _scalar(self, event: Any, line: int, *, is_key: bool) -> Any:
        """Return what a scalar is. Raises FormatError for what is refused."""
        text, tag = event.value, event.tag
        if not text.isascii():
            try:
                text.encode()  # Python's parser takes what libyaml does not
            except UnicodeEncodeError:
                raise self._refused(line, "a text has half of a surrogate pair. Write the character.") from None
        if tag is None or tag == "!":
            if not event.implicit[0] or text[:1] not in self._typed:
                return text
            tag = self._resolve(text)
        else:
            tag = tag.removeprefix(_TAG)
            if tag not in self._tags:
                raise self._refused(line, f"the tag {_shown(tag)} is not taken here. Leave it out.")
            fits = tag in ("str", "binary", self._resolve(text)) or (tag == "float" and _TAGGED_FLOAT.fullmatch(text))
            if not fits:
                raise self._refused(line, f"the tag {_shown(tag)} does not fit {_shown(text)}. Leave it out.")
        if tag == "str" or (tag == "value" and is_key):
            return text
        if tag == "merge":
            return _MERGE
        if tag == "value":
            raise self._refused(line, "'=' has a meaning of its own in YAML 1.1. Put it in quotes.")
        return self._typed_value(tag, text, line)

    def _resolve(self, text: str) -> str:
        """Return the tag that YAML 1.1 gives a scalar without quotes."""
        tag: str = self._loader.resolve(self._yaml.ScalarNode, text, (True, False))
        return tag.removeprefix(_TAG)

    def _typed_value(self, tag: str, text: str, line: int) -> Any:
        is_number = tag in ("int", "float")
        if is_number and ":" in text:
            raise self._refused(line, f"{_shown(text)} is a number in base sixty for YAML 1.1. Put it in quotes.")
        try:
            if is_number and len(text) > MAX_NUMBER:
                raise ValueError(f"it has more than {MAX_NUMBER} characters")
            if tag == "binary":
                return _base64(text)
            value = getattr(self._loader, f"construct_yaml_{tag}")(self._yaml.ScalarNode(_TAG + tag, text))
            if tag == "float" and abs(value) == float("inf") and "inf" not in text.lower():
                raise ValueError("it is beyond what a float can be")
        except (ValueError, OverflowError) as error:
            problem = f"{_shown(text)} cannot be read: {str(error).rstrip('.')}. Put it in quotes."
            raise self._refused(line, problem) from None
        return self._parse_float(text) if tag == "float" and self._parse_float and _DECIMAL.fullmatch(text) else value


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1


def _base64(text: str) -> bytes:
    """Read Base64 without passing over other characters, as PyYAML does. Raises ValueError."""
    import base64

    return base64.b64decode("".join(text.split()), validate=True)


def _shown(text: str) -> str:
    """Return the beginning of a text, in quotes."""
    return repr(text if len(text) <= 40 else text[:40] + "...")
