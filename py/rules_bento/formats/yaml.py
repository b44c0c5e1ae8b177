"""Reads untrusted YAML. Returns the same values as PyYAML's `safe_load`, which BentoML uses.

The reader builds values from the parser's events, so the limits on depth and size apply during parsing. Scalars are
null, booleans, numbers, times, or strings, and `<<` merges mappings. The reader rejects error-prone features that
BentoML never writes: tags of other types, duplicate keys, base-60 numbers (`1:30`), and recursive values.
"""

from __future__ import annotations

import re

from rules_bento.formats import MAX_CHARACTERS, MAX_DEPTH, MAX_NUMBER, MAX_VALUES, FormatError, decode_text
from rules_bento.typing_lite import Any, Callable

_TAG = "tag:yaml.org,2002:"
_SCALAR_TAGS = ("str", "null", "bool", "int", "float", "timestamp")
_TAGGED_FLOAT = re.compile(r"[-+]?[0-9][0-9_]*(?:[eE][-+]?[0-9]+)?")  # a float only if tagged
_DECIMAL = re.compile(r"[-+]?\d+\.\d+")
_MERGE = object()  # the key `<<`
_Lines = tuple[int, dict[Any, Any]]  # the line of a value, and the lines of contained values
_NOWHERE: _Lines = (1, {})


def read_yaml(data: bytes | str, origin: str, *, binary: bool = False) -> Any:
    """Parse a YAML document. Returns None for an empty document. Error messages begin with `origin`.

    If `binary` is true, converts `!!binary` scalars to bytes. Raises FormatError for invalid YAML, an unsupported
    feature, or input that exceeds the limits of `rules_bento.formats`.
    """
    return _YamlReader(data, origin, binary=binary).read().value


def read_mapping(data: bytes | str, origin: str) -> dict[Any, Any]:
    """Parse a YAML mapping. Raises FormatError if the YAML is invalid, exceeds the limits, or isn't a mapping."""
    value = read_yaml(data, origin)
    if not isinstance(value, dict):
        raise FormatError(f"{origin}: expected a mapping. Write `key: value` lines.")
    return value


def read_with_lines(data: bytes | str, origin: str, parse_float: Callable[[str], Any]) -> tuple[Any, LineIndex]:
    """Parse a YAML document. Returns the value, and the line numbers of all contained values.

    Keys are strings as written, such as "1" for `1`. `parse_float` converts decimal fractions. Raises FormatError for
    invalid YAML, an unsupported feature, input that exceeds the limits, or a key that is null or a time.
    """
    root = _YamlReader(data, origin, parse_float=parse_float).read()
    return root.value, LineIndex((root.line, root.inner))


class LineIndex:
    """Maps the path of each value in a document to a line. A path contains the keys and indices from the root."""

    def __init__(self, root: _Lines) -> None:
        """Create an index from the line of the root, and the lines of the values in the root."""
        self._root = root

    def get(self, path: tuple[str | int, ...]) -> int | None:
        """Return the line of the key, item, or root at `path`, or None if `path` doesn't exist."""
        line, inner = self._root
        for part in path:
            if part not in inner:
                return None
            line, inner = inner[part]
        return line


class _YamlNode:
    """A value and its line number. `text` is the source text of a scalar. `inner` maps keys and indices to lines."""

    __slots__ = ("inner", "line", "size", "text", "value")

    def __init__(self, value: Any, line: int, text: str | None = None, inner: dict[Any, _Lines] | None = None) -> None:
        self.value = value
        self.line = line
        self.text = text
        self.inner = {} if inner is None else inner
        self.size = (1, 0)  # of an anchor: number of values and characters, with aliases expanded


class _YamlReader:
    """Builds YAML values from parser events. If `parse_float` is set, records line numbers, and keys are strings."""

    def __init__(
        self, data: bytes | str, origin: str, *, binary: bool = False, parse_float: Callable[[str], Any] | None = None
    ) -> None:
        import yaml

        self._origin = origin
        self._text = decode_text(data, origin)
        self._parse_float = parse_float
        self._tags = (*_SCALAR_TAGS, "binary") if binary else _SCALAR_TAGS
        self._yaml: Any = yaml
        self._loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(self._text)
        self._resolvers = self._loader.yaml_implicit_resolvers  # by the first character of an unquoted scalar
        self._anchors: dict[str, _YamlNode | None] = {}  # None inside of the value
        self._depth = self._count = self._characters = 0

    def read(self) -> _YamlNode:
        """Return the root node. Raises FormatError for invalid YAML or an unsupported feature."""
        yaml, loader = self._yaml, self._loader
        root = _YamlNode(None, 1)
        try:
            loader.get_event()
            if loader.check_event(yaml.DocumentStartEvent):
                loader.get_event()
                root = self._item(loader.get_event())
                loader.get_event()
            if not loader.check_event(yaml.StreamEndEvent):
                raise self._error(_line(loader.get_event()), "expected one YAML document. Remove the other documents.")
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            last = self._text.count("\n")  # libyaml counts the end as another line
            line = f":{min(mark.line, last) + 1}" if mark else ""
            problem = error.problem or error.context
            raise FormatError(f"{self._origin}{line}: invalid YAML: {problem}.") from None
        except (yaml.YAMLError, ValueError) as error:
            raise FormatError(f"{self._origin}: invalid YAML: {' '.join(str(error).split())}.") from None
        finally:
            loader.dispose()
        return root

    def _error(self, line: int, problem: str) -> FormatError:
        return FormatError(f"{self._origin}:{line}: {problem}")

    def _item(self, event: Any) -> _YamlNode:
        """Return the node for the root, a list item, or a mapping value. Raises FormatError for the merge key `<<`."""
        node = self._node(event)
        if node.value is _MERGE:
            raise self._error(node.line, "'<<' isn't a value. Quote the value.")
        return node

    def _node(self, event: Any, *, is_key: bool = False) -> _YamlNode:
        line, anchor = _line(event), event.anchor
        if type(event) is self._yaml.AliasEvent:
            return self._alias(anchor, line)
        if anchor:
            if anchor in self._anchors:
                raise self._error(line, f"duplicate anchor &{anchor}. Rename one of the anchors.")
            self._anchors[anchor] = None
        before = self._count, self._characters
        if type(event) is self._yaml.ScalarEvent:
            self._add(line, 1, len(event.value))
            node = _YamlNode(self._scalar(event, line, is_key=is_key), line, event.value)
        else:
            node = self._collection(event, line)
        if anchor:
            node.size = (self._count - before[0], self._characters - before[1])
            self._anchors[anchor] = node
        return node

    def _alias(self, anchor: str, line: int) -> _YamlNode:
        if anchor not in self._anchors:
            raise self._error(line, f"alias *{anchor} has no preceding anchor. Replace the alias with the value.")
        node = self._anchors[anchor]
        if node is None:
            raise self._error(line, "the value contains itself. Remove the alias.")
        self._add(line, *node.size)
        return node

    def _add(self, line: int, count: int, characters: int) -> None:
        self._count += count
        self._characters += characters
        if self._count > MAX_VALUES or self._characters > MAX_CHARACTERS:
            limits = f"{MAX_VALUES:,} values or {MAX_CHARACTERS >> 20} MiB of text, with aliases expanded"
            raise self._error(line, f"more than {limits}. Reduce the size of the file.")

    def _collection(self, event: Any, line: int) -> _YamlNode:
        is_list = type(event) is self._yaml.SequenceStartEvent
        if self._depth == MAX_DEPTH:
            raise self._error(line, f"more than {MAX_DEPTH} levels of nesting. Reduce the nesting.")
        if event.tag not in (None, "!", _TAG + ("seq" if is_list else "map")):
            raise self._error(line, f"tag {_quote(event.tag)} isn't supported. Remove the tag.")
        self._add(line, 1, 0)
        self._depth += 1
        node = self._list(line) if is_list else self._mapping(line)
        self._depth -= 1
        return node

    def _list(self, line: int) -> _YamlNode:
        node = _YamlNode([], line)
        next_event, end = self._loader.get_event, self._yaml.SequenceEndEvent
        while type(event := next_event()) is not end:
            item = self._item(event)
            if self._parse_float:
                node.inner[len(node.value)] = (item.line, item.inner)
            node.value.append(item.value)
        return node

    def _mapping(self, line: int) -> _YamlNode:
        own = _YamlNode({}, line)
        merged: list[_YamlNode] = []  # mappings of `<<`; later ones take precedence
        next_event, end = self._loader.get_event, self._yaml.MappingEndEvent
        while type(event := next_event()) is not end:
            key_line, key_node = _line(event), self._node(event, is_key=True)
            if key_node.value is _MERGE:
                merged += self._merged(self._item(next_event()))
                continue
            key = self._key(key_node, key_line)
            if key in own.value:
                raise self._error(key_line, f"duplicate key {_quote(key_node.text or '')}. Remove one of the keys.")
            item = self._item(next_event())
            if self._parse_float:
                own.inner[key] = (key_line, item.inner)
            own.value[key] = item.value
        if not merged:
            return own
        node = _YamlNode({}, line)
        for part in (*merged, own):
            node.value.update(part.value)
            node.inner.update(part.inner)
        return node

    def _merged(self, node: _YamlNode) -> list[_YamlNode]:
        """Return the mappings that `<<` merges, in increasing precedence. Raises FormatError for invalid values."""
        nodes = [node]
        if isinstance(node.value, list):
            inner = [node.inner.get(index, _NOWHERE)[1] for index in range(len(node.value))]
            nodes = [_YamlNode(value, node.line, None, inner[index]) for index, value in enumerate(node.value)][::-1]
        if not all(isinstance(part.value, dict) for part in nodes):
            problem = "'<<' requires a mapping or a list of mappings. For a string, put '<<' in quotes."
            raise self._error(node.line, problem)
        return nodes

    def _key(self, node: _YamlNode, line: int) -> Any:
        if node.text is not None and self._parse_float is None:
            return node.value
        if node.text is not None and isinstance(node.value, (str, int, float)):
            return node.text
        raise self._error(line, "the key isn't a string. Use a string.")

    def _scalar(self, event: Any, line: int, *, is_key: bool) -> Any:
        """Return the value of a scalar event. Raises FormatError for an invalid or unsupported scalar."""
        text, tag = event.value, event.tag
        if not text.isascii():
            try:
                text.encode()  # Python's parser accepts surrogates, libyaml doesn't
            except UnicodeEncodeError:
                raise self._error(
                    line, "a string has an unpaired surrogate. Replace the surrogate with the character itself."
                ) from None
        if tag is None or tag == "!":
            if not event.implicit[0] or text[:1] not in self._resolvers:
                return text
            tag = self._resolve(text)
        else:
            tag = tag.removeprefix(_TAG)
            if tag not in self._tags:
                raise self._error(line, f"tag {_quote(tag)} isn't supported. Remove the tag.")
            fits = tag in ("str", "binary", self._resolve(text)) or (tag == "float" and _TAGGED_FLOAT.fullmatch(text))
            if not fits:
                raise self._error(line, f"tag {_quote(tag)} doesn't match {_quote(text)}. Remove the tag.")
        if tag == "str" or (tag == "value" and is_key):
            return text
        if tag == "merge":
            return _MERGE
        if tag == "value":
            raise self._error(line, "'=' is special in YAML 1.1. Quote the value.")
        return self._typed_value(tag, text, line)

    def _resolve(self, text: str) -> str:
        """Return the YAML 1.1 tag of an unquoted scalar."""
        tag: str = self._loader.resolve(self._yaml.ScalarNode, text, (True, False))
        return tag.removeprefix(_TAG)

    def _typed_value(self, tag: str, text: str, line: int) -> Any:
        is_number = tag in ("int", "float")
        if is_number and ":" in text:
            raise self._error(line, f"{_quote(text)} is a base-60 number in YAML 1.1. Quote the value.")
        try:
            if is_number and len(text) > MAX_NUMBER:
                raise ValueError(f"more than {MAX_NUMBER} characters")
            if tag == "binary":
                return _decode_base64(text)
            value = getattr(self._loader, f"construct_yaml_{tag}")(self._yaml.ScalarNode(_TAG + tag, text))
            if tag == "float" and abs(value) == float("inf") and "inf" not in text.lower():
                raise ValueError("outside the range of a float")
        except (ValueError, OverflowError) as error:
            problem = f"invalid value {_quote(text)}: {str(error).rstrip('.')}. Quote the value."
            raise self._error(line, problem) from None
        return self._parse_float(text) if tag == "float" and self._parse_float and _DECIMAL.fullmatch(text) else value


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1


def _decode_base64(text: str) -> bytes:
    """Decode base64. Raises ValueError for invalid characters, which PyYAML ignores."""
    import base64

    return base64.b64decode("".join(text.split()), validate=True)


def _quote(text: str) -> str:
    """Return a string in quotation marks, shortened to 40 characters."""
    return repr(text if len(text) <= 40 else text[:40] + "...")
