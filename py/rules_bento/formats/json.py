"""Reads untrusted JSON (RFC 8259) in UTF-8, and rejects duplicate keys.

Checks size and nesting before the standard library parses the input. For small input, the check only counts brackets.
"""

from __future__ import annotations

import json

from rules_bento.formats import MAX_DEPTH, MAX_NUMBER, MAX_VALUES, FormatError, decode_text
from rules_bento.typing_lite import Any, BinaryIO, Iterator, NoReturn

MAX_MEMBERS = 1_000_000  # maximum members of an object that is read as a stream
MAX_VALUE = 8 << 20  # maximum characters of the value of such a member
_AHEAD, _PIECE = 1 << 16, 1 << 18  # characters that contain each number and most values, and bytes of a read


def read_json(data: bytes | str, origin: str, *, constants: bool = False) -> Any:
    """Parse a JSON document. Error messages begin with `origin`.

    `constants` allows NaN and Infinity. Raises FormatError for invalid JSON, a duplicate key, an unpaired surrogate, or
    input that exceeds the limits of `rules_bento.formats`.
    """
    text = decode_text(data, origin)
    _check_size(text, origin)
    try:
        value = json.loads(
            text,
            object_pairs_hook=_parse_object,
            parse_int=_parse_int,
            parse_float=_parse_float,
            parse_constant=None if constants else _reject_constant,
        )
        if "\\u" in text:
            _check_surrogates(text, value)
    except json.JSONDecodeError as error:
        raise FormatError(f"invalid JSON: {error.msg}.", place=f"{origin}:{error.lineno}") from None
    except UnicodeEncodeError:
        raise FormatError(
            "a string contains an unpaired surrogate (\\ud800 to \\udfff)",
            place=origin,
            remedy="Write the character itself or both escapes of the pair.",
        ) from None
    except ValueError as error:
        raise FormatError(f"invalid JSON: {error}.", place=origin) from None
    except RecursionError:
        raise FormatError("the JSON is nested too deeply", place=origin, remedy="Reduce the nesting.") from None
    return value


def read_object(data: bytes | str, origin: str, *, constants: bool = False) -> dict[str, Any]:
    """Parse a JSON object. Raises FormatError if the JSON is invalid, exceeds the limits, or isn't an object."""
    value = read_json(data, origin, constants=constants)
    if not isinstance(value, dict):
        raise FormatError("expected a JSON object.", place=origin)
    return value


class JsonStream:
    """Reads an object that can exceed `formats.MAX_BYTES`. Keeps its keys and one value of a member in memory."""

    def __init__(self, file: BinaryIO, size: int, origin: str) -> None:
        """Read an object from the next `size` bytes of `file`. Error messages begin with `origin`."""
        import codecs
        import re

        self._file, self._left, self._origin = file, size, origin
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._decode = json.JSONDecoder(
            object_pairs_hook=_parse_object,
            parse_int=_parse_int,
            parse_float=_parse_float,
            parse_constant=_reject_constant,
        ).raw_decode
        self._spaces = re.compile(r"[ \t\n\r]*").match
        self._text, self._at, self._line = "", 0, 1

    def next(self) -> str:
        """Return the next character that isn't a space, without reading further, or an empty string at the end."""
        while True:
            self._at = self._spaces(self._text, self._at).end()  # type: ignore[union-attr]
            if self._at < len(self._text) or not self._left:
                return self._text[self._at : self._at + 1]
            self._fill(1)

    def members(self) -> Iterator[str]:
        """Yield the keys of the next object. The caller must read each value by `value` or `members`.

        Raises FormatError for another value, invalid JSON, a duplicate key, an unpaired surrogate, or exceeded limits.
        """
        if self.next() != "{":
            raise FormatError("expected a JSON object.", place=self._origin)
        self._at += 1
        keys: set[bytes] = set()  # less memory than strings
        mark = self.next()
        while mark != "}":
            if self.next() != '"':
                raise self._error("Expecting property name enclosed in double quotes")
            key = self.value()
            encoded = key.encode()
            if encoded in keys:
                raise self._error(f"duplicate key {key[:100]!r}")
            keys.add(encoded)
            if len(keys) > MAX_MEMBERS:
                raise self._limit_error(f"an object has more than {MAX_MEMBERS:,} members")
            self._expect(":")
            yield key
            mark = self._expect(",}")
        if not keys:
            self._at += 1

    def value(self) -> Any:
        """Return the next value."""
        self.next()
        ahead = _AHEAD
        while True:
            self._fill(ahead)
            try:
                value, end = self._decode(self._text, self._at)
                if self._text.find("\\u", self._at, end) >= 0:
                    _check_surrogates(self._text[self._at : end], value)
                if end < len(self._text) or not self._left:
                    self._at = end
                    return value
                problem = "the value isn't complete"
            except RecursionError:
                raise self._limit_error("the JSON is nested too deeply") from None
            except UnicodeEncodeError:
                raise self._error("a string contains an unpaired surrogate") from None
            except ValueError as error:
                problem = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
            if not self._left:
                raise self._error(problem)
            if ahead >= MAX_VALUE:
                raise self._limit_error(f"a value is invalid, or exceeds the limit of {MAX_VALUE >> 20} MiB")
            ahead *= 2

    def end(self) -> None:
        """Raise FormatError if anything except spaces follows."""
        if self.next():
            raise self._error("Extra data")

    def _expect(self, marks: str) -> str:
        mark = self.next()
        if not mark or mark not in marks:
            raise self._error(f"Expecting {' or '.join(map(repr, marks))}")
        self._at += 1
        return mark

    def _fill(self, size: int) -> None:
        """Read until `size` characters follow, or until the end."""
        length = len(self._text) - self._at
        if length >= size or not self._left:
            return
        texts = [self._text[self._at :]]
        self._line += self._text.count("\n", 0, self._at)
        self._at = 0
        while length < size and self._left:
            data = self._file.read(min(_PIECE, self._left))
            self._left = self._left - len(data) if data else 0
            try:
                texts.append(self._decoder.decode(data, final=not self._left))
            except UnicodeDecodeError:
                raise self._error("the text isn't UTF-8") from None
            length += len(texts[-1])
        self._text = "".join(texts)

    def _error(self, problem: str) -> FormatError:
        line = self._line + self._text.count("\n", 0, self._at)
        return FormatError(f"invalid JSON: {problem}.", place=f"{self._origin}:{line}")

    def _limit_error(self, problem: str) -> FormatError:
        return FormatError(problem, place=self._origin, remedy="Reduce the number of values, or the nesting.")


def _check_size(text: str, origin: str) -> None:
    """Raise FormatError if a document has too many values or levels of nesting."""
    opened = text.count("[") + text.count("{")
    if opened <= MAX_DEPTH and len(text) < MAX_VALUES:
        return
    skeleton = _skeleton(text)
    opened = skeleton.count("[")
    # n keys have n - 1 commas and n colons, n items have n - 1 commas.
    if opened + skeleton.count(",") + skeleton.count(":") > MAX_VALUES:
        raise FormatError(
            f"the file has more than {MAX_VALUES:,} values", place=origin, remedy="Reduce the number of values."
        )
    if opened <= MAX_DEPTH:
        return
    brackets = skeleton.replace(",", "").replace(":", "")
    for _ in range(MAX_DEPTH):  # each round removes the innermost brackets
        brackets, before = brackets.replace("[]", ""), brackets
        if len(brackets) == len(before):  # unbalanced: the reader reports it
            return
    if "[" in brackets:
        raise FormatError(
            f"the file has more than {MAX_DEPTH} levels of nesting", place=origin, remedy="Reduce the nesting."
        )


_TO_SQUARE = str.maketrans("{}", "[]")


def _skeleton(text: str) -> str:
    """Return only the brackets, commas, and colons outside of strings. Converts braces to square brackets."""
    import re

    # Without escaped quotes, each string ends at the next quote.
    bare = text.replace("\\\\", "").replace('\\"', "")
    return re.sub(r'"[^"]*"?|[^\[\]{},:"]+', "", bare).translate(_TO_SQUARE)


def _check_surrogates(text: str, value: Any) -> None:
    r"""Raise UnicodeEncodeError for a string with an unpaired surrogate, such as `"\ud800"`."""
    import re

    if re.search(r"\\u[dD][89a-fA-F]", text):
        json.dumps(value, ensure_ascii=False).encode()


def _parse_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise ValueError(f"duplicate key {key[:100]!r}")
            seen.add(key)
    return table


def _parse_int(digits: str) -> int:
    if len(digits) > MAX_NUMBER:
        raise ValueError(f"a number has more than {MAX_NUMBER} characters")
    return int(digits)


def _parse_float(digits: str) -> float:
    number = float(digits)
    if len(digits) > MAX_NUMBER or number in (float("inf"), float("-inf")):
        raise ValueError(f"the number {digits[:40]} is too long or exceeds the range of a float")
    return number


def _reject_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} isn't a JSON number")
