"""Compares two documents field by field."""

from __future__ import annotations

import json

from rules_bento.dataclasses_lite import NamedTuple
from rules_bento.typing_lite import Any, Iterator

_LONGEST = 200
_MISSING = object()


class FieldDifference(NamedTuple):
    """A field that differs, such as `services.0.config.workers`. Values are truncated JSON, or `nothing` if missing."""

    field: str
    first: str
    second: str


def differences(first: Any, second: Any, field: str = "") -> Iterator[FieldDifference]:
    """Yield each field whose values or key orders differ. Compares lists of equal length item by item."""
    if isinstance(first, dict) and isinstance(second, dict):
        differs = False
        for key in dict.fromkeys([*first, *second]):
            inner = f"{field}.{key}" if field else str(key)
            for difference in differences(first.get(key, _MISSING), second.get(key, _MISSING), inner):
                differs = True
                yield difference
        if not differs and list(first) != list(second):
            yield FieldDifference(f"{field} (order)", _text(list(first)), _text(list(second)))
    elif isinstance(first, list) and isinstance(second, list) and len(first) == len(second):
        for index, (one, other) in enumerate(zip(first, second, strict=True)):
            yield from differences(one, other, f"{field}.{index}")
    elif type(first) is not type(second) or first != second:
        yield FieldDifference(field, _text(first), _text(second))


def _text(value: Any) -> str:
    if value is _MISSING:
        return "nothing"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
