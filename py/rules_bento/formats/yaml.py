"""YAML of others: the core types as PyYAML reads them, which is how BentoML does, and nothing else.

Values are made from the parser's events, one after the other: how deep and how large a document is, is known before
anything is made of it, and no text makes a parser or a value call itself. A scalar has the type that `yaml.safe_load`
gives it (null, flags, numbers, times, texts), and `<<` merges. Refused are what people do not expect and BentoML does
not write: other tags, keys that stand twice, `1:30` as the number 90, values that contain themselves.
"""

from __future__ import annotations

import re
from functools import cache

from rules_bento.formats import MAX_CHARACTERS, MAX_DEPTH, MAX_NUMBER, MAX_VALUES, FormatError, decoded
from rules_bento.hints import Any

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_TAG = "tag:yaml.org,2002:"
# As yaml.resolver has them, but for numbers in base sixty. PyYAML tells by the first character which may fit.
_BOOL = re.compile("yes|Yes|YES|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF")
_NULL = re.compile("~|null|Null|NULL|")
_INT = re.compile("[-+]?(?:0b[01_]+|0[0-7_]+|0|[1-9][0-9_]*|0x[0-9a-fA-F_]+)")
_FLOAT = re.compile(
    r"(?:[-+]?[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+][0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)
_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}|"
    r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt]|[ \t]+)[0-9]{1,2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]*)?"
    r"(?:[ \t]*(?:Z|[-+][0-9]{1,2}(?::[0-9]{2})?))?"
)
_BASE_SIXTY = re.compile(r"[-+]?[1-9][0-9_]*(?::[0-5]?[0-9])+|[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+\.[0-9_]*")
_TAGGED_FLOAT = re.compile(_FLOAT.pattern + r"|[-+]?[0-9][0-9_]*(?:[eE][-+]?[0-9]+)?")
_TRUE = ("yes", "true", "on")
_WORDS = frozenset(("", *"yYnNtTfFoO~"))
_DIGITS = frozenset("0123456789+-.")
_SCALAR_TAGS = ("null", "bool", "int", "float", "timestamp")
_MERGE = object()
"""The key `<<`."""
_NO_KEY = object()

_Place = tuple[int, dict[Any, Any]]
"""A line, and the places of what is in the value."""
_NOWHERE: _Place = (1, {})


def read_yaml(data: bytes | str, origin: str, *, binary: bool = False) -> Any:
    """Read a document of YAML, None where it is empty; `origin` names it in messages.

    `binary` takes `!!binary`, too, as bytes. Raises FormatError, with the line, for what is no YAML, for what this
    module refuses, and for what is beyond the bounds of `rules_bento.formats`.
    """
    return _read(data, origin, _Builder(origin, binary=binary))


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
    builder = _LineBuilder(origin, parse_float)
    value = _read(data, origin, builder)
    return value, Lines(builder.place)


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


def _read(data: bytes | str, origin: str, builder: _Builder) -> Any:
    import yaml

    text = decoded(data, origin)
    parser: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text)
    try:
        while parser.check_event():
            builder.take(parser.get_event())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{min(mark.line, text.count(chr(10))) + 1}" if mark else ""  # libyaml takes the end for another line
        raise FormatError(f"{origin}{line}: not YAML: {error.problem or error.context}. Correct it.") from None
    except (yaml.YAMLError, ValueError) as error:
        raise FormatError(f"{origin}: not YAML: {' '.join(str(error).split())}. Correct it.") from None
    finally:
        parser.dispose()
    return builder.value


class _Node:
    """Holds a list or a mapping that is being built, or what an anchor names."""

    __slots__ = (
        "anchor",
        "characters",
        "inner",
        "is_list",
        "key",
        "key_line",
        "line",
        "merged",
        "text",
        "value",
        "values",
    )

    def __init__(self, value: Any, anchor: str | None, line: int, text: str | None = None) -> None:
        self.value = value
        self.text = text  # of a scalar, as it is written
        self.is_list = isinstance(value, list)
        self.anchor = anchor
        self.line = line
        self.inner: dict[Any, _Place] = {}
        self.key: Any = _NO_KEY  # of a mapping: what the next value belongs to
        self.key_line = line
        self.merged: list[tuple[dict[Any, Any], dict[Any, _Place]]] = []  # what `<<` brings, later ones winning
        self.values = 1  # how many, and how much text, once aliases are written out
        self.characters = 0


class _Builder:
    """Builds a value from the parser's events."""

    def __init__(self, origin: str, *, binary: bool = False) -> None:
        """Start without a value; `binary` takes `!!binary`."""
        import yaml

        self.value: Any = None
        self._origin = origin
        self._binary = binary
        self._line = 1
        self._documents = 0
        self._stack: list[_Node] = []
        self._anchors: dict[str, _Node | None] = {}  # None while it is in the making
        self._values = 0
        self._characters = 0
        self._takers: dict[Any, Callable[[Any], None]] = {
            yaml.ScalarEvent: self._scalar,
            yaml.AliasEvent: self._alias,
            yaml.SequenceStartEvent: self._start,
            yaml.MappingStartEvent: self._start,
            yaml.SequenceEndEvent: self._end,
            yaml.MappingEndEvent: self._end,
            yaml.DocumentStartEvent: self._document,
        }

    def take(self, event: Any) -> None:
        """Take the next event. Raises FormatError for what is refused."""
        taker = self._takers.get(type(event))
        if taker is not None:
            self._line = event.start_mark.line + 1
            taker(event)

    def _refused(self, problem: str) -> FormatError:
        return FormatError(f"{self._origin}:{self._line}: {problem}")

    def _document(self, event: Any) -> None:
        self._documents += 1
        if self._documents > 1:
            raise self._refused("a second document begins. Keep one of them.")

    def _scalar(self, event: Any) -> None:
        text = event.value
        self._count(1, len(text))
        node = _Node(self._value(text, event.tag, is_plain=event.implicit[0]), event.anchor, self._line, text)
        if event.anchor:
            node.characters = len(text)
            self._open_anchor(event.anchor)
            self._anchors[event.anchor] = node
        self._add(node)

    def _alias(self, event: Any) -> None:
        if event.anchor not in self._anchors:
            raise self._refused(f"the alias *{event.anchor} has no anchor above. Write what it stands for.")
        node = self._anchors[event.anchor]
        if node is None:
            raise self._refused("a value that contains itself. Write it out.")
        self._count(node.values, node.characters)
        self._add(node)

    def _start(self, event: Any) -> None:
        is_list = type(event).__name__ == "SequenceStartEvent"
        if len(self._stack) == MAX_DEPTH:
            raise self._refused(f"is nested more than {MAX_DEPTH} deep, which cannot be meant. Make it flatter.")
        if event.tag not in (None, "!", _TAG + ("seq" if is_list else "map")):
            raise self._refused(f"the tag {_shown(event.tag)} is not taken here. Leave it out.")
        if event.anchor:
            self._open_anchor(event.anchor)
        node = _Node([] if is_list else {}, event.anchor, self._line)
        node.values, node.characters = self._values, self._characters
        self._count(1, 0)
        self._stack.append(node)

    def _end(self, event: Any) -> None:
        node = self._stack.pop()
        node.values, node.characters = self._values - node.values, self._characters - node.characters
        if node.merged:
            own, inner = dict(node.value), node.inner
            node.value.clear()
            node.inner = {}
            for value, places in node.merged:
                node.value.update(value)
                node.inner.update(places)
            node.value.update(own)
            node.inner.update(inner)
        if node.anchor:
            self._anchors[node.anchor] = node
        self._add(node)

    def _open_anchor(self, anchor: str) -> None:
        if anchor in self._anchors:
            raise self._refused(f"the anchor &{anchor} stands there twice. Name one of them otherwise.")
        self._anchors[anchor] = None

    def _count(self, values: int, characters: int) -> None:
        self._values += values
        self._characters += characters
        if self._values > MAX_VALUES or self._characters > MAX_CHARACTERS:
            raise self._refused(
                f"more than {MAX_VALUES:,} values or {MAX_CHARACTERS >> 20} MiB of text, aliases written out, which "
                f"cannot be meant. Make it smaller."
            )

    def _add(self, node: _Node) -> None:
        """Put a value where it belongs."""
        outer = self._stack[-1] if self._stack else None
        if outer is not None and not outer.is_list and outer.key is _NO_KEY:
            outer.key, outer.key_line = self._key(node, outer), self._line
        elif outer is not None and outer.key is _MERGE:
            outer.merged += self._merged(node)
            outer.key = _NO_KEY
        elif node.value is _MERGE:
            raise self._refused("'<<' is no value. Put it in quotes.")
        elif outer is None:
            self._place_root(node)
        elif outer.is_list:
            self._place(outer, len(outer.value), node.line, node)
            outer.value.append(node.value)
        else:
            self._place(outer, outer.key, outer.key_line, node)
            outer.value[outer.key] = node.value
            outer.key = _NO_KEY

    def _key(self, node: _Node, outer: _Node) -> Any:
        """Return what a key is. Raises FormatError for a list or a mapping, and for one that stands there twice."""
        if node.value is _MERGE:
            return _MERGE
        if node.text is None:
            raise self._refused("a key that is no text. Write one.")
        key = self._named(node.value, node.text)
        if key in outer.value:
            raise self._refused(f"{_shown(node.text)} stands there twice. Keep one of them.")
        return key

    def _merged(self, node: _Node) -> list[tuple[dict[Any, Any], dict[Any, _Place]]]:
        """Return the mappings that `<<` names, later ones winning. Raises FormatError for what is none."""
        mappings = [(node.value, node.inner)]
        if isinstance(node.value, list):
            places = [node.inner.get(index, _NOWHERE)[1] for index in range(len(node.value))]
            mappings = list(zip(node.value, places, strict=True))[::-1]
        if not all(isinstance(value, dict) for value, _ in mappings):
            raise self._refused("'<<' takes a mapping, or a list of mappings. Put it in quotes if it is a text.")
        return mappings

    def _value(self, text: str, tag: str | None, *, is_plain: bool) -> Any:
        """Return what a scalar is. Raises FormatError for what is refused."""
        if not text.isascii():
            self._check_text(text)
        try:
            if tag is not None and tag != "!":
                return self._tagged(text, tag.removeprefix(_TAG))
            return self._plain(text) if is_plain else text
        except (ValueError, OverflowError) as error:
            raise self._refused(f"{_shown(text)} cannot be read: {str(error).rstrip('.')}. Put it in quotes.") from None

    def _check_text(self, text: str) -> None:
        """Raise FormatError for half of a surrogate pair, which Python's parser takes and libyaml does not."""
        try:
            text.encode()
        except UnicodeEncodeError:
            raise self._refused("a text has half of a surrogate pair. Write the character.") from None

    def _plain(self, text: str) -> Any:
        """Return what a text without quotes is. Raises ValueError, and FormatError for numbers in base sixty."""
        first = text[:1]
        if first in _DIGITS:
            if _INT.fullmatch(text):
                return _integer(text)
            if _FLOAT.fullmatch(text):
                return self._float(text)
            if _TIME.fullmatch(text):
                return _time(text)
            if _BASE_SIXTY.fullmatch(text):
                raise self._refused(f"{_shown(text)} is a number in base sixty for YAML 1.1. Put it in quotes.")
        elif first in _WORDS:
            if _BOOL.fullmatch(text):
                return text.lower() in _TRUE
            if _NULL.fullmatch(text):
                return None
        elif text == "<<":
            return _MERGE
        elif text == "=" and not self._expects_key():
            raise self._refused("'=' has a meaning of its own in YAML 1.1. Put it in quotes.")
        return text

    def _expects_key(self) -> bool:
        return bool(self._stack) and not self._stack[-1].is_list and self._stack[-1].key is _NO_KEY

    def _tagged(self, text: str, tag: str) -> Any:
        """Return what a text with a tag is. Raises ValueError, and FormatError for tags of other types."""
        if tag == "str":
            return text
        if tag == "null" and _NULL.fullmatch(text):
            return None
        if tag == "bool" and _BOOL.fullmatch(text):
            return text.lower() in _TRUE
        if tag == "int" and _INT.fullmatch(text):
            return _integer(text)
        if tag == "float" and _TAGGED_FLOAT.fullmatch(text):
            return self._float(text)
        if tag == "timestamp" and _TIME.fullmatch(text):
            return _time(text)
        if tag == "binary" and self._binary:
            return _binary(text)
        problem = f"does not fit {_shown(text)}" if tag in _SCALAR_TAGS else "is not taken here"
        raise self._refused(f"the tag {_shown(tag)} {problem}. Leave it out.")

    # Methods that a reader which keeps the lines of values overrides.

    def _named(self, value: Any, text: str) -> Any:
        return value

    def _float(self, text: str) -> Any:
        return _number(text)

    def _place(self, outer: _Node, key: Any, line: int, node: _Node) -> None: ...

    def _place_root(self, node: _Node) -> None:
        self.value = node.value


class _LineBuilder(_Builder):
    """Builds values and notes their lines; keys are texts."""

    def __init__(self, origin: str, parse_float: Callable[[str], Any]) -> None:
        """Start without a value; `parse_float` makes numbers with a point."""
        super().__init__(origin)
        self.place: _Place = (1, {})
        self._parse_float = parse_float

    def _named(self, value: Any, text: str) -> str:
        if not isinstance(value, (str, int, float)):
            raise self._refused("a key that is no text. Write one.")
        return text

    def _float(self, text: str) -> Any:
        number = _number(text)
        return self._parse_float(text) if re.fullmatch(r"[-+]?\d+\.\d+", text) else number

    def _place(self, outer: _Node, key: Any, line: int, node: _Node) -> None:
        outer.inner[key] = (line, node.inner)

    def _place_root(self, node: _Node) -> None:
        super()._place_root(node)
        self.place = (node.line, node.inner)


def _integer(text: str) -> int:
    """Read a number as YAML 1.1 writes it. Raises ValueError."""
    _check_length(text)
    digits = text.replace("_", "")
    sign = -1 if digits.startswith("-") else 1
    digits = digits.lstrip("+-")
    if digits.startswith("0b"):
        return sign * int(digits[2:], 2)
    if digits.startswith("0x"):
        return sign * int(digits[2:], 16)
    return sign * int(digits, 8 if digits.startswith("0") else 10)


def _number(text: str) -> float:
    """Read a number with a point, or with an exponent. Raises ValueError for one that no float can be."""
    _check_length(text)
    digits = text.replace("_", "").lower()
    if digits.endswith(("inf", "nan")):
        return float(digits.replace(".", ""))
    number = float(digits)
    if abs(number) == float("inf"):
        raise ValueError("it is beyond what a float can be")
    return number


def _check_length(text: str) -> None:
    if len(text) > MAX_NUMBER:
        raise ValueError(f"it has more than {MAX_NUMBER} characters")


def _time(text: str) -> Any:
    """Read a date or a time as PyYAML does. Raises ValueError for one that there is not, OverflowError likewise."""
    import yaml

    return _constructor().construct_yaml_timestamp(yaml.ScalarNode(_TAG + "timestamp", text))


@cache
def _constructor() -> Any:
    import yaml

    return yaml.constructor.SafeConstructor()


def _binary(text: str) -> bytes:
    """Read Base64. Raises ValueError."""
    import base64

    return base64.b64decode("".join(text.split()), validate=True)


def _shown(text: str) -> str:
    """Return the beginning of a text, in quotes."""
    return repr(text if len(text) <= 40 else text[:40] + "...")
