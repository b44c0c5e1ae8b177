"""Holds a tree of options as it was written, with the place of each value for messages."""

from __future__ import annotations

from rules_bento.dataclasses_lite import dataclass, field
from rules_bento.errors import BentoError, nearest
from rules_bento.typing_lite import Any, Protocol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

Path = tuple[str | int, ...]
"""Where a value stands: keys and indices from the root."""


class LiteralFloat(float):
    """A number with a point that remembers its text: the Python version `3.10` is not `3.1`."""

    string: str

    def __new__(cls, string: str) -> LiteralFloat:
        """Read the text of a number."""
        number = super().__new__(cls, string)
        number.string = string
        return number


class LineNumbers(Protocol):
    """Finds the lines of values."""

    def get(self, path: Path, /) -> int | None:
        """Return the line of a value; None where it is not known."""


@dataclass(frozen=True)
class Document:
    """Holds options as plain values: a file's, with its lines, or a target's attributes, which have none."""

    origin: str  # the file's name; empty for attributes
    data: dict[str, Any]
    lines: LineNumbers = field(default_factory=dict[Path, int])

    def at(self, path: Path) -> str:
        """Return the place of a value and its name, as a message begins."""
        if not self.origin:
            return dotted(path)
        known = path
        while known and self.lines.get(known) is None:
            known = known[:-1]
        number = self.lines.get(known)
        line = "" if number is None else f":{number}"
        return f"{self.origin}{line}: {dotted(path)}" if path else f"{self.origin}{line}"


def dotted(path: Path) -> str:
    """Write a path as text: `("models", 0, "tag")` becomes `models[0].tag`."""
    string = ""
    for part in path:
        if isinstance(part, int):
            string += f"[{part}]"
        else:
            string += f".{part}" if string else part
    return string


class Table:
    """Takes the values under one path of a document, by key and type."""

    def __init__(
        self, document: Document, path: Path, keys: Collection[str], hints: Mapping[str, str] | None = None
    ) -> None:
        """Look at a table with no other keys than `keys`; `hints` say of other words what to write instead.

        Raises BentoError for what is no table, and for another key.
        """
        data: Any = document.data
        for part in path:
            data = data[part]
        self._document = document
        self._path = path
        if data is None:
            data = {}
        if not isinstance(data, dict):
            raise BentoError(f"{document.at(path)} is {describe_value(data)}, where keys with values are expected.")
        self._data: dict[str, Any] = data
        for key in data:
            if key not in keys:
                raise BentoError(self._unknown(str(key), keys, hints or {}))

    def at(self, key: str, *more: int) -> str:
        """Return the place of a value."""
        return self._document.at((*self._path, key, *more))

    def has(self, key: str) -> bool:
        """Return whether the key is there and has a value."""
        return self._data.get(key) is not None

    def value(self, key: str) -> Any:
        """Return the value as it stands; None where the key is missing."""
        return self._data.get(key)

    def string(self, key: str) -> str | None:
        """Return a text; a number stands for its own text."""
        if not self.has(key):
            return None
        value = scalar_string(self._data[key])
        if value is None:
            raise self.type_error(key, "a text")
        return value

    def boolean(self, key: str) -> bool | None:
        """Return a value that has to be true or false."""
        value = self._data.get(key)
        if value is not None and not isinstance(value, bool):
            raise self.type_error(key, "true or false")
        return value

    def strings(self, key: str, *, or_one: bool = False) -> tuple[str, ...] | None:
        """Return a list of texts; with `or_one` a single text is a list of itself.

        Raises BentoError for other values.
        """
        value = self._data.get(key)
        if value is None:
            return None
        if or_one and isinstance(value, str):
            value = [value]
        if not isinstance(value, list):
            raise self.type_error(key, "a list of texts")
        strings = []
        for index, item in enumerate(value):
            string = scalar_string(item)
            if string is None or isinstance(item, bool):
                raise BentoError(
                    f"{self.at(key, index)} is {describe_value(item)}, where a text is expected. Put it in quotes."
                )
            strings.append(string)
        return tuple(strings)

    def mapping(self, key: str) -> dict[str, str] | None:
        """Return texts by name. Numbers and flags stand for their texts, as Python writes them.

        Raises BentoError for other values.
        """
        value = self._data.get(key)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise self.type_error(key, "keys with texts")
        strings = {}
        for name, item in value.items():
            string = scalar_string(item)
            if string is None:
                place = self._document.at((*self._path, key, name))
                raise BentoError(f"{place} is {describe_value(item)}, where a text is expected. Put it in quotes.")
            strings[str(name)] = string
        return strings

    def items(self, key: str) -> list[Any]:
        """Return a list of anything; it is empty where the key is missing."""
        value = self._data.get(key)
        if value is None:
            return []
        if not isinstance(value, list):
            raise self.type_error(key, "a list")
        return value

    def type_error(self, key: str, expected: str) -> BentoError:
        """Return the error of a value of another type."""
        return BentoError(f"{self.at(key)} is {describe_value(self._data[key])}, where {expected} is expected.")

    def _unknown(self, key: str, keys: Collection[str], hints: Mapping[str, str]) -> str:
        place = self._document.at((*self._path, key))
        hint = hints[key] if key in hints else did_you_mean(key, keys)
        return f"{place} is no option of BentoML 1.4.{hint} Known here: {', '.join(keys)}."


def scalar_string(value: Any) -> str | None:
    """Return the text that a scalar stands for; None for what is none."""
    if isinstance(value, LiteralFloat):
        return value.string
    if isinstance(value, (str, bool, int, float)):
        return str(value)
    return None


def plain(value: Any) -> Any:
    """Return a value with its numbers as Python's own, for writing it again."""
    if isinstance(value, LiteralFloat):
        return float(value)
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value


def describe_value(value: Any) -> str:
    """Return what a value is, in words."""
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return "a flag"
    if isinstance(value, (int, float)):
        return f"the number {scalar_string(value)}"
    if isinstance(value, str):
        return f"the text {value!r}"
    if isinstance(value, dict):
        return "a table of keys"
    return "a list" if isinstance(value, list) else f"a {type(value).__name__}"


def did_you_mean(word: str, known: Collection[str]) -> str:
    """Return ` Did you mean 'labels'?`, or "" where nothing is near."""
    near = nearest(word.lower(), known)
    return f" Did you mean {near!r}?" if near else ""
