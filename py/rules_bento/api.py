"""What a change of a service's API means for those who call it.

The API is BentoML's `schema.json`: routes with the JSON schemas of input and output. A change is *breaking* if a caller
who did right by the old schema can fail with the new one: what it sends is refused, or what it reads is gone or another
type. All else is compatible.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

Schema = dict[str, Any]


class Change(NamedTuple):
    """One difference between two schemas."""

    breaking: bool
    where: str  # `/route`, or `/route input.rows[]`
    what: str

    def __str__(self) -> str:
        return f"{'breaking' if self.breaking else 'compatible'}: {self.where}: {self.what}"


def changes(old: Schema, new: Schema) -> list[Change]:
    """The differences between two `schema.json`, in the order of the routes."""
    before, after = _routes(old), _routes(new)
    found = [Change(True, route, "the route is gone") for route in before if route not in after]
    found += [Change(False, route, "a new route") for route in after if route not in before]
    for route in before:
        if route in after:
            found += _route_changes(route, before[route], after[route])
    return sorted(found, key=lambda change: (change.where, change.what))


def _routes(schema: Schema) -> dict[str, Schema]:
    routes = {route["route"]: route for route in schema.get("routes", [])}
    paths = schema.get("paths", {})
    mounted = {path: {"route": path} for path, facts in paths.items() if facts.get("mounted")}
    return mounted | routes


def _route_changes(route: str, old: Schema, new: Schema) -> Iterator[Change]:
    if old.get("is_task") != new.get("is_task"):
        yield Change(True, route, "it is a task now" if new.get("is_task") else "it is no task any more")
    yield from _compare(f"{route} input", old.get("input"), new.get("input"), sent=True)
    yield from _compare(f"{route} output", old.get("output"), new.get("output"), sent=False)


def _compare(where: str, old: Any, new: Any, *, sent: bool) -> Iterator[Change]:
    """Differences of two JSON schemas; `sent` says that callers send values of it, else that they read them."""
    old, new = old or {}, new or {}
    if old == new:
        return
    if _kind(old) != _kind(new):
        wider = _kind(new) > _kind(old) if sent else _kind(new) < _kind(old)
        yield Change(not wider, where, f"{_words(old)} became {_words(new)}")
        return
    yield from _properties(where, old, new, sent=sent)
    if "items" in old or "items" in new:
        yield from _compare(f"{where}[]", old.get("items"), new.get("items"), sent=sent)
    for rule in sorted((old.keys() | new.keys()) - _STRUCTURE - _WORDS):
        if old.get(rule) != new.get(rule):
            yield Change(
                _tightens(rule, old, new, sent), where, f"{rule} {_value(old, rule)} became {_value(new, rule)}"
            )


def _properties(where: str, old: Schema, new: Schema, *, sent: bool) -> Iterator[Change]:
    before, after = old.get("properties", {}), new.get("properties", {})
    had, has = set(old.get("required", [])), set(new.get("required", []))
    for name in sorted(before.keys() | after.keys()):
        place = f"{where}.{name}"
        if name not in after:
            yield Change(True, place, "it is gone")
        elif name not in before:
            needed = sent and name in has
            yield Change(needed, place, "a new one that callers must send" if needed else "a new one")
        else:
            if (name in had) != (name in has):
                yield _required(place, now=name in has, sent=sent)
            yield from _compare(place, before[name], after[name], sent=sent)


def _required(place: str, *, now: bool, sent: bool) -> Change:
    if sent:
        return Change(now, place, "callers must send it now" if now else "it need not be sent any more")
    return Change(not now, place, "it is always there now" if now else "it may be missing now")


_STRUCTURE = frozenset(("type", "anyOf", "properties", "required", "items"))
_WORDS = frozenset(("title", "description", "examples", "default"))  # these change nothing for a caller


def _types(schema: Schema) -> frozenset[str]:
    """The types that a schema names."""
    if "anyOf" in schema:
        return frozenset().union(*(_types(option) for option in schema["anyOf"]))
    types = schema.get("type", "any")
    return frozenset([types] if isinstance(types, str) else types)


def _kind(schema: Schema) -> frozenset[str]:
    """The types that a schema takes: an integer is a number."""
    types = _types(schema)
    return types | {"integer"} if "number" in types else types


def _words(schema: Schema) -> str:
    return " or ".join(sorted(_types(schema)))


def _tightens(rule: str, old: Schema, new: Schema, sent: bool) -> bool:
    """Whether a change of a rule such as `maximum` can hurt: one that is new for what is sent, lifted for the rest."""
    return rule in new if sent else rule in old


def _value(schema: Schema, rule: str) -> str:
    return repr(schema[rule]) if rule in schema else "nothing"
