"""Decides whether an unevaluated value can be, or lead to, an object of BentoML.

A class attribute that may be a dependency or a model has to be declared; one that a library made of plain
arguments need not. What comes from outside the sources is taken for no BentoML object, unless something was
put into it from which it could make one.
"""

from __future__ import annotations

import ast

from rules_bento.service.python.budget import spend
from rules_bento.service.python.scopes import Scope
from rules_bento.service.python.values import (
    Arguments,
    AsgiApp,
    Bound,
    Class,
    Const,
    Dict,
    Function,
    ImageSpec,
    Instance,
    Lazy,
    LegacyService,
    ModuleRef,
    Mounted,
    Names,
    Opaque,
    Sequence,
    ServiceObject,
    Symbol,
    Value,
    Wrapped,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from rules_bento.service.python.sources import Sources

# What its methods change.
_CONTAINERS = (Sequence, Dict, Arguments, ImageSpec, AsgiApp, LegacyService, Names)
_HELD = (*_CONTAINERS, Instance, ServiceObject)


def is_inert(value: Value) -> bool:
    """Return whether a class attribute of this value is no dependency, model or API for certain."""
    match value:
        case Opaque():
            return value.inert
        case Const() | Sequence() | Dict() | Symbol() | ModuleRef() | Instance() | Bound() | Arguments():
            return True
        case Function() | Wrapped() | Class() | ImageSpec() | AsgiApp() | Mounted():
            return True
        case _:
            return False


def opens(value: Value) -> bool:
    """Return whether an item, an attribute or a call of a value may be a BentoML object."""
    match value:
        case Opaque():
            return value.opens or not value.inert
        case Sequence(items=items):
            spend(len(items))
            return any(not is_inert(item) or opens(item) for item in items)
        case Dict(items=entries):
            spend(len(entries))
            return any(not is_inert(item) or opens(item) for item in entries.values())
        case Symbol():
            return value.dotted == "bentoml" or value.dotted.startswith("bentoml.")
        case Function() | Wrapped() | Class() | Instance() | Bound():
            return True
        case _:
            return False


def held(values: Iterable[Value]) -> tuple[Value, ...]:
    """Return which of several values can change, or lead to one that can: what code has by another name afterwards."""
    return tuple(value for value in values if isinstance(value, _HELD) or (isinstance(value, Opaque) and value.parts))


def items_held(value: Value) -> tuple[Value, ...]:
    """Return what a list, a dict or the like holds of such values; of any other value, itself if it is one."""
    match value:
        case Sequence(items=items):
            inner = items
        case Dict(items=entries):
            inner = list(entries.values())
        case Names(scope=scope):
            assert isinstance(scope, Scope)
            inner = list(scope.names.values())
        case _:
            inner = [value]
    spend(len(inner))
    return held(inner)


def containers(values: Iterable[Value]) -> list[Value]:
    """Return the lists, dicts, images and applications among values, and among what those of them may be."""
    found: list[Value] = []
    left, seen = list(values), set[int]()
    while left:
        value = left.pop()
        spend(1)
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, (Opaque, Instance)):
            left += value.parts if isinstance(value, Opaque) else value.given
        elif isinstance(value, _CONTAINERS):
            found.append(value)
    return found


def may_make(sources: Sources, value: Value, seen: set[int] | None = None) -> bool:
    """Return whether code outside the sources that is given a value may make a BentoML object with it."""
    spend(1)
    seen = set() if seen is None else seen
    if id(value) in seen:
        return False
    seen.add(id(value))
    match value:
        case Class():
            return False
        case Instance(of=of):
            return "__get__" in of.attributes
        case Function():
            return any(may_make(sources, used, seen) for used in _used(value))
        case Wrapped(inner=inner) | Bound(owner=inner):
            return may_make(sources, inner, seen)
        case Sequence(items=items):
            return any(may_make(sources, item, seen) for item in items)
        case Dict(items=entries):
            return any(may_make(sources, item, seen) for item in entries.values())
        case Lazy(module=module) | ModuleRef(name=module):
            path = sources.find(module)
            return path is not None and sources.mentions(path, b"bentoml")
        case _:
            return not is_inert(value) or opens(value)


def _used(function: Function) -> list[Value]:
    """Return the values of the names that a function's body reads from around it."""
    scope = function.scope
    assert isinstance(scope, Scope)
    names = {node.id for node in ast.walk(function.node) if isinstance(node, ast.Name)}
    return [value for name in sorted(names) if (value := scope.find(name)) is not None]
