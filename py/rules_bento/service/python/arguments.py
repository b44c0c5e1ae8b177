"""Binds the arguments of a call to names, and keeps values that wait for arguments."""

from __future__ import annotations

from rules_bento.service.python.values import Const, Opaque, Partial, Place, Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def named(names: Iterable[str], args: list[Value], kwargs: dict[str, Value]) -> dict[str, Value]:
    """Return arguments by name, positional ones by their place."""
    return {**dict(zip(names, args, strict=False)), **kwargs}


def is_none(value: Value | None) -> bool:
    """Return whether an argument is missing, None or empty, which BentoML takes for the same."""
    return value is None or (isinstance(value, Const) and not value.value)


def decorator(apply: Callable[[Value], Value], place: Place) -> Partial:
    """Return a `Partial` that waits for the value that is decorated."""

    def called(args: list[Value], kwargs: dict[str, Value]) -> Value:
        return apply(args[0]) if len(args) == 1 and not kwargs else Opaque("", place)

    return Partial(called)
