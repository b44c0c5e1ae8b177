"""Reads untrusted JSON (RFC 8259) in UTF-8, and rejects duplicate keys.

Checks size and nesting before the standard library parses the input. For small input, the check only counts brackets.
"""

from __future__ import annotations

import json

from rules_bento.base.formats import MAX_BYTES, MAX_DEPTH, MAX_NUMBER, MAX_VALUES, FormatError, decode_text
from rules_bento.base.typing_lite import Any, NoReturn

MAX_LARGE_BYTES = 64 << 20  # maximum size of a large document
MAX_LARGE_VALUES = 4_000_000  # maximum number of its values


def read_json(data: bytes | str, origin: str, *, constants: bool = False, is_large: bool = False) -> Any:
    """Parse a JSON document. Error messages begin with `origin`.

    `constants` allows NaN and Infinity. Raises FormatError for invalid JSON, a duplicate key, an unpaired surrogate, or
    input that exceeds the limits of `rules_bento.base.formats`. `is_large` raises the limits of bytes and values.
    """
    text = decode_text(data, origin, MAX_LARGE_BYTES if is_large else MAX_BYTES)
    _check_size(text, origin, MAX_LARGE_VALUES if is_large else MAX_VALUES)
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
        problem = "a string contains an unpaired surrogate (\\ud800 to \\udfff)"
        remedy = "Write the character itself or both escapes of the pair."
        raise FormatError(problem, place=origin, remedy=remedy) from None
    except ValueError as error:
        raise FormatError(f"invalid JSON: {error}.", place=origin) from None
    except RecursionError:
        raise FormatError("the JSON is nested too deeply", place=origin, remedy="Reduce the nesting.") from None
    return value


def read_object(data: bytes | str, origin: str, *, constants: bool = False, is_large: bool = False) -> dict[str, Any]:
    """Parse a JSON object. Raises FormatError if the JSON is invalid, exceeds the limits, or isn't an object."""
    value = read_json(data, origin, constants=constants, is_large=is_large)
    if not isinstance(value, dict):
        raise FormatError("expected a JSON object.", place=origin)
    return value


def _check_size(text: str, origin: str, most: int) -> None:
    """Raise FormatError if a document has too many values or levels of nesting."""
    opened = text.count("[") + text.count("{")
    if opened <= MAX_DEPTH and len(text) < most:
        return
    skeleton = _skeleton(text)
    opened = skeleton.count("[")
    # n keys have n - 1 commas and n colons, n items have n - 1 commas.
    if opened + skeleton.count(",") + skeleton.count(":") > most:
        problem = f"the file has more than {most:,} values"
        raise FormatError(problem, place=origin, remedy="Reduce the number of values.")
    if opened <= MAX_DEPTH:
        return
    brackets = skeleton.replace(",", "").replace(":", "")
    for _ in range(MAX_DEPTH):  # each round removes the innermost brackets
        brackets, before = brackets.replace("[]", ""), brackets
        if len(brackets) == len(before):  # unbalanced: the reader reports it
            return
    if "[" in brackets:
        problem = f"the file has more than {MAX_DEPTH} levels of nesting"
        raise FormatError(problem, place=origin, remedy="Reduce the nesting.")


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
