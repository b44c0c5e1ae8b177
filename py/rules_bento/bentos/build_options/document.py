"""Represents build options as unvalidated values. Each value has a location, for use in messages."""

from __future__ import annotations

from rules_bento.base.dataclasses_lite import dataclass, field
from rules_bento.base.errors import BentoError, nearest
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Collection, Mapping, TypeVar

if TYPE_CHECKING:
    from rules_bento.base.formats.yaml import LineIndex

_T = TypeVar("_T")
Path = tuple[str | int, ...]  # the keys and indices from the root to a value


class LiteralFloat(float):
    """A float with its source text, because `3.10` and `3.1` are different Python versions, but equal floats."""

    string: str

    def __new__(cls, string: str) -> LiteralFloat:
        """Return the float that `string` represents."""
        number = super().__new__(cls, string)
        number.string = string
        return number


@dataclass(frozen=True)
class Document:
    """Options from a file, with line numbers, or from the attributes of a target."""

    origin: str  # the file's name; empty for attributes
    data: dict[str, Any]
    lines: dict[Path, int] | LineIndex = field(default_factory=dict[Path, int])

    def at(self, path: Path) -> str:
        """Return the location of the value at `path`, for the beginning of a message."""
        if not self.origin:
            return dotted(path)
        known = path
        while known and self.lines.get(known) is None:
            known = known[:-1]
        number = self.lines.get(known)
        line = "" if number is None else f":{number}"
        return f"{self.origin}{line}: {dotted(path)}" if path else f"{self.origin}{line}"


def dotted(path: Path) -> str:
    """Format a path as a string: `("models", 0, "tag")` becomes `models[0].tag`."""
    string = ""
    for part in path:
        if isinstance(part, int):
            string += f"[{part}]"
        else:
            string += f".{part}" if string else part
    return string


class Table:
    """A mapping in a document. Methods for a specific type raise BentoError if a value has another type."""

    def __init__(
        self, document: Document, path: Path, keys: Collection[str], hints: Mapping[str, str] | None = None
    ) -> None:
        """Read the mapping at `path`, or create an empty table if `path` has no value.

        Raises BentoError for another value, or for a key that isn't in `keys`. `hints` maps such keys to advice.
        """
        data: Any = document.data
        for part in path:
            data = data.get(part) if isinstance(data, dict) else data[part]
        self._document = document
        self._path = path
        if data is None:
            data = {}
        if not isinstance(data, dict):
            raise BentoError(f"expected a mapping, got {describe_value(data)}.", place=document.at(path))
        self._data: dict[str, Any] = data
        for key in data:
            if key not in keys:
                raise BentoError(self._unknown(str(key), keys, hints or {}))

    def at(self, key: str, *more: int) -> str:
        """Return the location of the value of `key` for error messages. `more` contains indexes of list items."""
        return self._document.at((*self._path, key, *more))

    def has(self, key: str) -> bool:
        """Return whether `key` has a value other than null."""
        return self._data.get(key) is not None

    def value(self, key: str) -> Any:
        """Return the value of `key`, or None if the key is missing."""
        return self._data.get(key)

    def string(self, key: str) -> str | None:
        """Return the value of `key`, or None if the key is missing. Converts numbers and booleans to strings."""
        value = self._data.get(key)
        return scalar_string(value) or self.typed(key, str, "a string")

    def boolean(self, key: str) -> bool | None:
        """Return the boolean value of `key`, or None if the key is missing."""
        return self.typed(key, bool, "true or false")

    def typed(self, key: str, kind: type[_T], expected: str) -> _T | None:
        """Return the value of `key`, or None if the key is missing.

        Raises BentoError if the type of the value isn't `kind`. `expected` describes this type in the error message.
        """
        value = self._data.get(key)
        if value is not None and not isinstance(value, kind):
            raise BentoError(f"expected {expected}, got {describe_value(value)}.", place=self.at(key))
        return value

    def strings(self, key: str, *, or_one: bool = False) -> tuple[str, ...] | None:
        """Return the strings at `key`, or None if the key is missing. If `or_one` is true, accepts a single string."""
        if or_one and isinstance(self._data.get(key), str):
            return (self._data[key],)
        value = self.typed(key, list, "a list of strings")
        if value is None:
            return None
        strings = []
        for index, item in enumerate(value):
            string = scalar_string(item)
            if string is None or isinstance(item, bool):
                place = self.at(key, index)
                remedy = "Put the value in quotes."
                raise BentoError(f"expected a string, got {describe_value(item)}", place=place, remedy=remedy)
            strings.append(string)
        return tuple(strings)

    def mapping(self, key: str) -> dict[str, str] | None:
        """Return the mapping at `key`, or None if the key is missing. Converts numbers and booleans to strings."""
        value = self.typed(key, dict, "a mapping of strings")
        if value is None:
            return None
        strings = {}
        for name, item in value.items():
            string = scalar_string(item)
            if string is None:
                place = self._document.at((*self._path, key, name))
                remedy = "Put the value in quotes."
                raise BentoError(f"expected a string, got {describe_value(item)}", place=place, remedy=remedy)
            strings[str(name)] = string
        return strings

    def items(self, key: str) -> list[Any]:
        """Return the list at `key`, or an empty list if the key is missing. Items can have any type."""
        return self.typed(key, list, "a list") or []

    def _unknown(self, key: str, keys: Collection[str], hints: Mapping[str, str]) -> str:
        place = self._document.at((*self._path, key))
        hint = hints[key] if key in hints else did_you_mean(key, keys)
        return f"{place}: unknown option of BentoML 1.4.{hint} Valid options: {', '.join(keys)}."


def scalar_string(value: Any) -> str | None:
    """Convert a string, number, boolean, or time to a string, as BentoML does. Returns None for other values."""
    if isinstance(value, LiteralFloat):
        return value.string
    if isinstance(value, (str, bool, int, float)) or type(value).__module__ == "datetime":
        return str(value)
    return None


def arguments(document: Document, path: Path) -> dict[str, Any]:
    """Return the arguments at `path`, without LiteralFloat.

    Raises BentoError for a key in an argument that is a number, because BentoML wouldn't convert it to a string.
    """

    def plain(value: Any, at: Path) -> Any:
        if isinstance(value, LiteralFloat):
            return float(value)
        if isinstance(value, list):
            return [plain(item, (*at, index)) for index, item in enumerate(value)]
        if not isinstance(value, dict):
            return value
        for key in value:
            if type(key) is not str and at != path:
                remedy = "Put the key in quotes."
                raise BentoError(f"the key {key} is a number", place=document.at((*at, key)), remedy=remedy)
        return {str(key): plain(item, (*at, key)) for key, item in value.items()}

    data: Any = document.data
    for part in path:
        data = data.get(part) or {}
    found: dict[str, Any] = plain(data, path)
    return found


def describe_value(value: Any) -> str:
    """Describe a value for a message. Includes the value of a number or a string, but only the type of other values."""
    if value is None:
        return "no value"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, (int, float)):
        return f"the number {scalar_string(value)}"
    if isinstance(value, str):
        return f"the string {value!r}"
    if isinstance(value, dict):
        return "a mapping"
    return "a list" if isinstance(value, list) else f"a {type(value).__name__}"


def did_you_mean(word: str, known: Collection[str]) -> str:
    """Return a hint such as ` Did you mean 'labels'?`, or an empty string if no known word is similar."""
    near = nearest(word.lower(), known)
    return f" Did you mean {near!r}?" if near else ""
