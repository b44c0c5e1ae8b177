"""Evaluates classes of the sources: method resolution order, attributes along it, `dir()`."""

from __future__ import annotations

from rules_bento.service.python.budget import spend
from rules_bento.service.python.sources import in_standard_library
from rules_bento.service.python.values import (
    Class,
    Const,
    DependsOn,
    Dict,
    Instance,
    ModelRef,
    Opaque,
    Place,
    Sequence,
    Symbol,
    Value,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

# Bases and metaclasses that add nothing that BentoML looks for.
_PLAIN_METACLASSES = frozenset({"builtins.type", "abc.ABCMeta"})
# Bases of the standard library through which a class's attributes read as they are written.
_PLAIN_BASES = frozenset(
    {"builtins.object", "abc.ABC", "typing.Generic", "typing.Protocol", "typing_extensions.Protocol"}
)
# Where an enumeration defines these, they may give its members other values.
_VALUERS = ("__init__", "__new__", "_value_")
_TYPES = {
    "builtins.float": float,
    "builtins.int": int,
    "builtins.str": str,
    "enum.IntEnum": int,
    "enum.IntFlag": int,
    "enum.StrEnum": str,
}
# Where these are defined, an instance's attributes are not the class's.
_MAKERS = ("__init__", "__new__", "__getattr__", "__getattribute__", "__post_init__", "__slots__")


def class_of(name: str, bases: list[Value], names: dict[str, Value], keywords: dict[str, Value], place: Place) -> Class:
    """Make the class of a class statement from its body's names."""
    attributes = {_mangled(attribute, name): value for attribute, value in names.items()}
    extended = None
    for keyword, value in keywords.items():
        plain = isinstance(value, Symbol) and value.dotted in _PLAIN_METACLASSES
        if keyword == "metaclass" and plain:
            continue
        extended = Opaque(f"`{name}` has the class keyword `{keyword}`, which may add attributes", place)
    metaclass = keywords.get("metaclass")
    inherited = [base.metaclass for base in bases if isinstance(base, Class) and isinstance(base.metaclass, Class)]
    if metaclass is None and inherited:
        metaclass = inherited[0]
        extended = extended or Opaque(f"the metaclass of a base class of `{name}` may add attributes", place)
    return Class(name, bases, attributes, place, extended, metaclass)


def _mangled(attribute: str, name: str) -> str:
    """Apply Python's rule for `__private` names of a class."""
    if not attribute.startswith("__") or attribute.endswith("__") or not name.strip("_"):
        return attribute
    return f"_{name.lstrip('_')}{attribute}"


def linearize(of: Class, force: Callable[[Value], Value]) -> list[Value]:
    """Return a class and its bases in method resolution order (C3); outside bases stand for themselves."""
    return _linear(of, force, [], {})


def _linear(
    of: Value, force: Callable[[Value], Value], path: list[Value], known: dict[int, list[Value]]
) -> list[Value]:
    of = force(of)
    if not isinstance(of, Class):
        return [of]
    if id(of) not in known:
        known[id(of)] = _merged(of, force, path, known)
    return known[id(of)]


def _merged(
    of: Class, force: Callable[[Value], Value], path: list[Value], known: dict[int, list[Value]]
) -> list[Value]:
    if of.spoiled:
        return [of, Opaque(f"`{of.name}` may be changed: {of.spoiled.why}", of.spoiled.place)]
    if any(of is seen for seen in path):
        return [Opaque(f"`{of.name}` is among its own bases", of.place)]
    bases = [_explained(force(base), of) for base in of.bases]
    queues = [_linear(base, force, [*path, of], known) for base in bases] + [bases[:]]
    order: list[Value] = [of]
    while any(queues):
        spend(sum(map(len, queues)))
        head = next((queue[0] for queue in queues if queue and not _in_a_tail(queue[0], queues)), None)
        if head is None:
            return [*order, Opaque(f"the bases of `{of.name}` have no consistent order", of.place)]
        order.append(head)
        queues = [queue[1:] if queue and _same(queue[0], head) else queue for queue in queues]
    return order


def _explained(base: Value, of: Class) -> Value:
    if isinstance(base, Opaque):
        return Opaque(f"a base class of `{of.name}` is not plain ({base.why})", base.place)
    return base


def _same(left: Value, right: Value) -> bool:
    if isinstance(left, Symbol) and isinstance(right, Symbol):
        return left.dotted == right.dotted
    return left is right


def _in_a_tail(value: Value, queues: list[list[Value]]) -> bool:
    return any(_same(value, other) for queue in queues for other in queue[1:])


def lookup(of: Class, attribute: str, force: Callable[[Value], Value]) -> Value | None:
    """Return a class's attribute; `Opaque` where a base that was not read may have it, None where none has."""
    for base in linearize(of, force):
        if isinstance(base, Class):
            if attribute in base.attributes:
                value = force(base.attributes[attribute])
                # What may add attributes may change those that are there, too.
                return base.extended if base.extended and isinstance(value, (Const, Sequence, Dict)) else value
            if base.extended is not None:
                return base.extended
        elif not (isinstance(base, Symbol) and base.dotted in _PLAIN_BASES):
            return open_end(base, of) or Opaque(f"it comes from a base class of `{of.name}`", of.place, inert=True)
    return None


def is_enum(of: Class, force: Callable[[Value], Value]) -> bool:
    """Return whether a class is an enumeration."""
    return any(isinstance(base, Symbol) and base.dotted.startswith("enum.") for base in linearize(of, force))


def enum_attribute(of: Class, member: tuple[str, Value], name: str, force: Callable[[Value], Value]) -> Value | None:
    """Return `name` or `value` of a member of an enumeration; None where its class may give another one."""
    for base in linearize(of, force):
        if isinstance(base, Class) and any(own in base.attributes for own in (name, *_VALUERS)):
            return None
        if not _takes(base, member[1]):
            return None
    if name == "value":
        return member[1]
    for known, value in of.attributes.items():  # a second name of a value is an alias of the first
        same = isinstance(value, Const) and isinstance(member[1], Const) and value.value == member[1].value
        if same and not known.startswith("_"):
            return Const(known)
    return Const(member[0])


def _takes(base: Value, value: Value) -> bool:
    """Return whether a base class that is a type leaves the value of a member as it is written."""
    if not isinstance(base, Symbol) or base.dotted not in _TYPES:
        return True
    return isinstance(value, Const) and type(value.value) is _TYPES[base.dotted]


def members(of: Class, force: Callable[[Value], Value]) -> tuple[dict[str, Value], list[Opaque]]:
    """Return what `dir()` lists with the values, in its order, and why there may be more.

    An attribute of the standard library's bases is no BentoML object and is left out. So are models and dependencies
    of a class that may be changed: it may have lost them, and whoever states its members states all there are.
    """
    bound: dict[str, Value] = {}
    more: list[Opaque] = []
    for base in linearize(of, force):
        if isinstance(base, Class):
            for attribute, value in base.attributes.items():
                if not (base.spoiled and isinstance(force(value), (DependsOn, ModelRef))):
                    bound.setdefault(attribute, value)
            if base.extended is not None:
                more.append(base.extended)
            if "__init_subclass__" in base.attributes and base is not of:
                more.append(Opaque(f"`{base.name}.__init_subclass__` may add attributes", base.place))
        else:
            end = open_end(base, of)
            if end is not None:
                more.append(end)
    return {name: _taken(force(bound[name]), force) for name in sorted(bound)}, more


def _taken(value: Value, force: Callable[[Value], Value]) -> Value:
    """Return what `getattr` of a class gives for an attribute; unknown for a descriptor of the sources."""
    if isinstance(value, Instance) and lookup(value.of, "__get__", force) is not None:
        return Opaque(f"`{value.of.name}.__get__` gives it when the code runs", value.of.place)
    return value


def open_end(base: Value, of: Class) -> Opaque | None:
    """Say why a base that is no class of the sources may add attributes; None where it does not."""
    if isinstance(base, Symbol):
        if in_standard_library(base.dotted) or base.dotted.startswith("typing_extensions."):
            return None
        return Opaque(f"the base class `{base.dotted}` of `{of.name}` is outside the sources", of.place)
    if isinstance(base, Opaque):
        return base
    if isinstance(base, Const):
        return None
    return Opaque(f"a base class of `{of.name}` is not plain", of.place)


def attributes_are_the_instances(of: Class, force: Callable[[Value], Value]) -> bool:
    """Return whether `of().x` is `of.x` for what the class body assigns."""
    for base in linearize(of, force):
        if isinstance(base, Class):
            if base.extended or any(name in base.attributes for name in _MAKERS):
                return False
        elif not (isinstance(base, Symbol) and base.dotted in _PLAIN_BASES):
            return False
    return True
