"""Classifies the changes to a service's API by their effect on callers.

BentoML's `schema.json` describes the API: routes with the JSON schemas of input and output. A change is *breaking* if
the change can affect a caller that complies with the old schema. For example, the service rejects a value that the
caller sends, or returns a value of another type. All other changes are compatible. Titles, descriptions, and examples
are ignored.
"""

from __future__ import annotations

from math import inf

from rules_bento.base.dataclasses_lite import NamedTuple
from rules_bento.base.typing_lite import Any, Iterator, Literal

Schema = dict[str, Any]
_Way = Literal["wider", "narrower", "other"]


class Change(NamedTuple):
    """A difference between two schemas."""

    breaking: bool
    where: str  # `/route`, or `/route input.rows[]`
    what: str

    def __str__(self) -> str:
        return f"{'breaking' if self.breaking else 'compatible'}: {self.where}: {self.what}"


def changes(old: Schema, new: Schema) -> list[Change]:
    """Return the differences between two parsed `schema.json` files, sorted by route."""
    before, after = _routes(old), _routes(new)
    differences = [Change(True, route, "the route is gone") for route in before if route not in after]
    differences += [Change(False, route, "a new route") for route in after if route not in before]
    for route in before:
        if route in after:
            differences += _route_changes(route, before[route], after[route])
    return sorted(differences, key=lambda change: (change.where, change.what))


def _routes(schema: Schema) -> dict[str, Schema]:
    routes = {route["route"]: route for route in schema.get("routes", [])}
    paths = schema.get("paths", {})
    mounted = {path: {"route": path} for path, item in paths.items() if item.get("mounted")}
    return mounted | routes


def _route_changes(route: str, old: Schema, new: Schema) -> Iterator[Change]:
    if ("name" in old) != ("name" in new):
        yield Change(
            True,
            route,
            "the route became an API" if "name" in new else "the route became a route of a mounted application",
        )
        return
    if old.get("name") != new.get("name"):
        yield Change(True, route, f"BentoML clients must call {new['name']} instead of {old['name']}")
    if old.get("is_task") != new.get("is_task"):
        yield Change(True, route, "the API became a task" if new.get("is_task") else "the API isn't a task anymore")
    yield from _compare(f"{route} input", old.get("input"), new.get("input"), sent=True)
    yield from _compare(f"{route} output", old.get("output"), new.get("output"), sent=False)


def _compare(where: str, old: Any, new: Any, *, sent: bool) -> Iterator[Change]:
    """Yield the differences between two JSON schemas. `sent` specifies whether callers send or receive the values."""
    old, new = _schema(old), _schema(new)
    if old == new:
        return
    if _kind(old) != _kind(new):
        wider = _kind(new) > _kind(old) if sent else _kind(new) < _kind(old)
        yield Change(not wider, where, f"{_words(old)} became {_words(new)}")
    if "default" in old and "default" in new and old["default"] != new["default"] and sent:
        yield Change(False, where, f"default {old['default']!r} became {new['default']!r}")
    before, after = _by_type(old), _by_type(new)
    if "integer" in before and "integer" not in after and "number" in after and "number" not in before:
        before["number"] = before.pop("integer")
    for kind in before.keys() & after.keys():
        if len(before[kind]) == len(after[kind]) == 1:
            yield from _compare_one(where, before[kind][0], after[kind][0], sent=sent)
        else:
            yield from _alternatives(where, before[kind], after[kind], sent=sent)


def _alternatives(where: str, old: list[Schema], new: list[Schema], *, sent: bool) -> Iterator[Change]:
    """Yield a change for each added or removed alternative of one JSON type, such as `object`."""
    for form in old:
        if form not in new:
            yield Change(sent, where, f"the form {_title(form)} was removed")
    for form in new:
        if form not in old:
            yield Change(not sent, where, f"the form {_title(form)} was added")


def _compare_one(where: str, old: Schema, new: Schema, *, sent: bool) -> Iterator[Change]:
    yield from _properties(where, old, new, sent=sent)
    yield from _additional(where, old, new, sent=sent)
    if "items" in old or "items" in new:
        yield from _compare(f"{where}[]", old.get("items"), new.get("items"), sent=sent)
    first, then = old.get("prefixItems", []), new.get("prefixItems", [])
    if len(first) != len(then):
        yield Change(True, where, f"{len(first)} values became {len(then)}")
    for number, (one, other) in enumerate(zip(first, then, strict=False)):
        yield from _compare(f"{where}[{number}]", one, other, sent=sent)
    for rule in sorted((old.keys() | new.keys()) - _STRUCTURE - _WORDS):
        if old.get(rule) != new.get(rule):
            way = _way(rule, old, new)
            breaking = way == "other" or way == ("narrower" if sent else "wider")
            yield Change(breaking, where, f"{rule} {_value(old, rule)} became {_value(new, rule)}")


def _properties(where: str, old: Schema, new: Schema, *, sent: bool) -> Iterator[Change]:
    before, after = old.get("properties", {}), new.get("properties", {})
    had, has = set(old.get("required", [])), set(new.get("required", []))
    for name in sorted(before.keys() | after.keys()):
        place = f"{where}.{name}"
        if name not in after:
            yield Change(True, place, "the property was removed")
        elif name not in before:
            needed = sent and name in has
            yield Change(needed, place, "a required property was added" if needed else "a property was added")
        else:
            if (name in had) != (name in has):
                yield _required(place, now=name in has, sent=sent)
            yield from _compare(place, before[name], after[name], sent=sent)


def _required(place: str, *, now: bool, sent: bool) -> Change:
    if sent:
        return Change(now, place, "the property became required" if now else "the property became optional")
    return Change(not now, place, "the property is always present" if now else "the property might be missing")


def _additional(where: str, old: Schema, new: Schema, *, sent: bool) -> Iterator[Change]:
    """Yield the differences in `additionalProperties` between two schemas."""
    before, after = (schema.get("additionalProperties", True) for schema in (old, new))
    if isinstance(before, dict) and isinstance(after, dict):
        yield from _compare(f"{where}.*", before, after, sent=sent)
    elif before != after:
        narrower = after is False or before is True
        breaking = narrower if sent else isinstance(before, dict)
        yield Change(breaking, f"{where}.*", f"{_others(before)} became {_others(after)}")


def _others(additional: Any) -> str:
    if isinstance(additional, dict):
        return f"others of type {_words(additional)}"
    return "any others" if additional else "no others"


_STRUCTURE = frozenset(("type", "anyOf", "oneOf", "properties", "required", "items", "prefixItems", "discriminator"))
_STRUCTURE |= {"additionalProperties"}
_WORDS = frozenset(("title", "description", "examples", "default"))
_MOST = frozenset(("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"))
_LEAST = frozenset(("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"))
_FORM = frozenset(("is_stream", "root_input"))  # another way to send or to read the same


def _schema(value: Any) -> Schema:
    """Convert None and True to an empty dict. If the schema contains `const`, adds an `enum` with the same value."""
    schema = {} if value is None or value is True else value
    return {**schema, "enum": [schema["const"]]} if "const" in schema else schema


def _by_type(schema: Schema) -> dict[str, list[Schema]]:
    """Return the alternatives in a schema by JSON type, from `anyOf`, `oneOf`, or a list of types."""
    by_type: dict[str, list[Schema]] = {}
    for form in map(_schema, schema.get("anyOf") or schema.get("oneOf") or [schema]):
        types = form.get("type", "any")
        if "anyOf" in form or "oneOf" in form:
            for kind, forms in _by_type(form).items():
                by_type.setdefault(kind, []).extend(forms)
        else:
            for kind in [types] if isinstance(types, str) else types:
                by_type.setdefault(kind, []).append({key: value for key, value in form.items() if key != "const"})
    return by_type


def _kind(schema: Schema) -> frozenset[str]:
    """Return the JSON types that a schema accepts. If the result contains `number`, it also contains `integer`."""
    types = frozenset(_by_type(schema))
    return types | {"integer"} if "number" in types else types


def _words(schema: Schema) -> str:
    return " or ".join(sorted(_by_type(_schema(schema))))


def _title(schema: Schema) -> str:
    return repr(schema.get("title", schema.get("type", "any")))


def _way(rule: str, old: Schema, new: Schema) -> _Way:
    """Return `wider` if the new rule accepts more values, `narrower` if it accepts fewer, otherwise `other`."""
    before, after = old.get(rule), new.get(rule)
    if rule in _FORM:
        return "other"
    if rule in _MOST or rule in _LEAST:
        sign, none = (1, inf) if rule in _MOST else (-1, -inf)
        more = sign * (none if after is None else after) > sign * (none if before is None else before)
        return "wider" if more else "narrower"
    if before is None or after is None:
        return "narrower" if before is None else "wider"
    if rule == "enum":
        kept = [value for value in before if value in after]
        return "wider" if kept == before else "narrower" if len(kept) == len(after) else "other"
    return "other"


def _value(schema: Schema, rule: str) -> str:
    return repr(schema[rule]) if rule in schema else "nothing"
