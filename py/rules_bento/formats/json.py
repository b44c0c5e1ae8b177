"""JSON of others, as RFC 8259 has it: UTF-8, and each key of an object once.

The standard library's reader is used; what it lets through is held to the bounds, at the speed of `bytes.replace`
for a large text and without a look for a small one.
"""

from __future__ import annotations

import json

from rules_bento.formats import MAX_DEPTH, MAX_NUMBER, MAX_VALUES, FormatError, decoded
from rules_bento.typing_lite import Any, NoReturn


def read_json(data: bytes | str, origin: str, *, constants: bool = False) -> Any:
    """Read a JSON text; `origin` names it in messages.

    `constants` takes NaN and Infinity as Python writes them. Raises FormatError for what is no JSON, for a key that
    stands twice, for a half of a surrogate pair, and for what is beyond the bounds of `rules_bento.formats`.
    """
    text = decoded(data, origin)
    _check_size(text, origin)
    try:
        value = json.loads(
            text,
            object_pairs_hook=_table,
            parse_int=_integer,
            parse_float=_float,
            parse_constant=None if constants else _constant,
        )
        if "\\u" in text:
            _check_surrogates(text, value)
    except json.JSONDecodeError as error:
        raise FormatError(f"{origin}:{error.lineno}: not JSON: {error.msg}. Correct it.") from None
    except UnicodeEncodeError:
        raise FormatError(f"{origin}: not JSON: a text has half of a surrogate pair. Write the character.") from None
    except ValueError as error:
        raise FormatError(f"{origin}: not JSON: {error}. Correct it.") from None
    except RecursionError:
        raise FormatError(f"{origin}: not JSON: it is nested too deeply. Correct it.") from None
    return value


def read_object(data: bytes | str, origin: str) -> dict[str, Any]:
    """Read a JSON object. Raises FormatError as `read_json` does, and for any other value."""
    value = read_json(data, origin)
    if not isinstance(value, dict):
        raise FormatError(f"{origin}: not a JSON object, which begins with '{{'. Correct it.")
    return value


def _check_size(text: str, origin: str) -> None:
    """Raise FormatError for too many values, or too many in each other."""
    opened = text.count("[") + text.count("{")
    if opened <= MAX_DEPTH and len(text) < MAX_VALUES:
        return
    skeleton = _skeleton(text)
    opened = skeleton.count("[")
    # A table of n keys has n - 1 commas and n colons, a list of n items n - 1 commas.
    if opened + skeleton.count(",") + skeleton.count(":") > MAX_VALUES:
        raise FormatError(f"{origin}: has more than {MAX_VALUES:,} values, which cannot be meant. Make it smaller.")
    if opened <= MAX_DEPTH:
        return
    brackets = skeleton.replace(",", "").replace(":", "")
    for _ in range(MAX_DEPTH):  # each round takes the innermost ones away
        brackets, before = brackets.replace("[]", ""), brackets
        if len(brackets) == len(before):  # the reader will find what does not match
            return
    if "[" in brackets:
        raise FormatError(f"{origin}: is nested more than {MAX_DEPTH} deep, which cannot be meant. Make it flatter.")


_KEPT = str.maketrans("{}", "[]")


def _skeleton(text: str) -> str:
    """Return the brackets, commas and colons that are in no text; all brackets are square."""
    import re

    # Without escaped quotes each text ends at the next quote.
    bare = text.replace("\\\\", "").replace('\\"', "")
    return re.sub(r'"[^"]*"?|[^\[\]{},:"]+', "", bare).translate(_KEPT)


def _check_surrogates(text: str, value: Any) -> None:
    r"""Raise UnicodeEncodeError for a text with half of a surrogate pair, as `"\ud800"` is one."""
    import re

    if re.search(r"\\u[dD][89a-fA-F]", text):
        json.dumps(value, ensure_ascii=False).encode()


def _table(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise ValueError(f"the key {key[:100]!r} stands twice in one object")
            seen.add(key)
    return table


def _integer(digits: str) -> int:
    if len(digits) > MAX_NUMBER:
        raise ValueError(f"a number has more than {MAX_NUMBER} characters")
    return int(digits)


def _float(digits: str) -> float:
    number = float(digits)
    if len(digits) > MAX_NUMBER or number in (float("inf"), float("-inf")):
        raise ValueError(f"the number {digits[:40]} is beyond what a float can be")
    return number


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON's")
