"""Finds what unevaluated statements may do: the names they bind, the objects they change."""

from __future__ import annotations

import ast

from rules_bento.service.python.budget import spend
from rules_bento.service.python.changes import (
    READING,
    alters,
    bound_names,
    changed,
    changed_by,
    changed_by_objects,
    same_scope,
)
from rules_bento.service.python.classes import lookup
from rules_bento.service.python.reach import held, items_held
from rules_bento.service.python.scopes import Scope
from rules_bento.service.python.values import (
    Bound,
    Class,
    Dict,
    Function,
    Instance,
    Lazy,
    ModuleRef,
    Mutable,
    Names,
    Opaque,
    Partial,
    Place,
    Sequence,
    ServiceObject,
    Symbol,
    Value,
    Wrapped,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from rules_bento.service.python.interpreter import Interpreter

# Stands in a class body for attributes whose names are not plain.
ANY_NAME = "*"


def is_generator(node: ast.AST) -> bool:
    """Return whether a function yields."""
    body: list[ast.AST] = getattr(node, "body", []) if not isinstance(node, ast.Lambda) else [node.body]
    return any(isinstance(inner, (ast.Yield, ast.YieldFrom)) for inner in same_scope(body))


def changed_globals(tree: ast.Module) -> frozenset[str]:
    """Return the names that functions of a module change with `global`."""
    nodes = (node for node in ast.walk(tree) if isinstance(node, ast.Global))
    return frozenset(name for node in nodes for name in node.names)


def give_up(reader: Interpreter, nodes: list[ast.AST], scope: Scope, why: str) -> None:
    """Make everything unknown that statements may bind, return or change."""
    reader.may_import(nodes, scope)
    spoiled = changed(reader, nodes, scope)
    if reader.changing and any(
        isinstance(each, ast.Call) and not _only_reads(each, scope) for each in same_scope(nodes)
    ):
        spoiled += [value for value in _used(nodes, scope) if isinstance(value, ModuleRef)]
    inner = _comprehension_targets(nodes)
    for node in same_scope(nodes):
        place = scope.place(node)
        for name in bound_names(node) if id(node) not in inner else []:
            reader.bind(name, Opaque(why, place), scope)
        if isinstance(node, ast.Return):
            scope.returns.append(Opaque(why, place))
            scope.left = True
            reader.region = reader.new_region()
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            value = scope.find(node.id)
            if isinstance(value, (Sequence, Dict)):
                reader.spoil(value, why, place)
    spoil_all(reader, spoiled, why, scope.place(nodes[0]))


def _comprehension_targets(nodes: list[ast.AST]) -> set[int]:
    """Return the ids of the nodes that bind the variables of comprehensions, which no scope around them has."""
    targets = (node.target for node in same_scope(nodes) if isinstance(node, ast.comprehension))
    return {id(node) for target in targets for node in ast.walk(target)}


def _used(nodes: list[ast.AST], scope: Scope) -> list[Value]:
    names = {node.id for node in same_scope(nodes) if isinstance(node, ast.Name)}
    return [value for name in sorted(names) if (value := scope.find(name)) is not None]


def not_followed(
    reader: Interpreter, function: Value, arguments: Iterable[Value], why: str, place: Place, *, called: bool = True
) -> None:
    """Give up what a call that is not followed may change: its arguments, and what its function reaches."""
    functions = [function] if called else []
    for value in arguments:
        if isinstance(value, (Function, Wrapped, Bound, Partial)):
            functions.append(value)
        else:
            spoil_all(reader, [value], why, place)
    spoil_all(reader, changed_by(reader, functions), why, place)
    for value in functions:
        inner = value.inner if isinstance(value, Wrapped) else value
        if isinstance(inner, Bound) and isinstance(inner.owner, Mutable):
            spoil_all(reader, [inner.owner], why, place)
        elif isinstance(inner, Function):
            assert isinstance(inner.scope, Scope)
            reader.may_import(list(ast.iter_child_nodes(inner.node)), inner.scope)


def objects_may_change(reader: Interpreter, value: Instance | Class, place: Place) -> None:
    """Give up what objects of a class may change where code has one: by a property, an operator, a library's call."""
    if spoiled := changed_by_objects(reader, value):
        name = value.of.name if isinstance(value, Instance) else value.name
        spoil_all(reader, spoiled, f"an object of `{name}` may change it", place)


def may_alter_class(reader: Interpreter, of: Class) -> bool:
    """Return whether what runs as a class is made may set attributes of it."""
    bases = [base for base in of.bases if isinstance(base, Class)]
    run = [lookup(base, "__init_subclass__", reader.force) for base in bases]
    objects = [value.of for value in of.attributes.values() if isinstance(value, Instance)]
    run += [lookup(each, "__set_name__", reader.force) for each in objects]
    return alters(reader, [function for function in run if isinstance(function, (Function, Wrapped))])


def annotated(reader: Interpreter, nodes: Iterable[ast.expr | None], scope: Scope) -> None:
    """Give up what annotations change by methods that they call; nothing else of them is read."""
    for node in nodes:
        if node is None or isinstance(node, (ast.Name, ast.Constant, ast.Attribute)):
            continue
        for inner in ast.walk(node):
            method = inner.func if isinstance(inner, ast.Call) else None
            if isinstance(method, ast.Attribute) and isinstance(method.value, ast.Name) and method.attr not in READING:
                value = scope.find(method.value.id)
                if isinstance(value, Mutable):
                    spoil_all(reader, [value], "an annotation may change it", scope.place(node))


def comprehension(reader: Interpreter, node: ast.expr, scope: Scope) -> tuple[Value, ...]:
    """Give up what an expression that is not followed may change by the calls in it; return what it may hold."""
    if any(isinstance(inner, ast.Call) and not _only_reads(inner, scope) for inner in ast.walk(node)):
        give_up(reader, [node], scope, "a comprehension may change it")
    else:
        spoil_all(reader, changed(reader, [node], scope), "a comprehension may change it", scope.place(node))
    return _held_by(reader, node, scope)


def _held_by(reader: Interpreter, node: ast.expr, scope: Scope) -> tuple[Value, ...]:
    """Return what a comprehension may hold: what its items name, and the items of what it goes through."""
    through = [each.iter for each in same_scope([node]) if isinstance(each, ast.comprehension)]
    gone_through = {id(_read_of(each)) for each in through}
    parts: list[Value] = []
    for inner in same_scope([node]):
        value: Value | None = None
        if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Load):
            value = scope.find(inner.id)
        elif isinstance(inner, ast.Attribute) and isinstance(inner.value, ast.Name):
            of = scope.find(inner.value.id)
            if isinstance(of, ModuleRef):
                value = reader.module_attribute(of.name, inner.attr, scope.place(node))
        if value is not None:
            value = reader.force(value)
            parts += items_held(value) if id(inner) in gone_through else held([value])
    return tuple(parts)


def _read_of(node: ast.expr) -> ast.expr:
    """Return `values` of `values.items()` and the like; any other expression as it is."""
    of = node.func if isinstance(node, ast.Call) else None
    return of.value if isinstance(of, ast.Attribute) and of.attr in READING else node


def _only_reads(call: ast.Call, scope: Scope) -> bool:
    """Return whether a call changes nothing, by the name of its method or of its built-in function."""
    if isinstance(call.func, ast.Attribute):
        return call.func.attr in READING
    value = scope.find(call.func.id) if isinstance(call.func, ast.Name) else None
    return isinstance(call.func, ast.Name) and (value is None or isinstance(value, (Class, Symbol)))


def spoil_all(reader: Interpreter, values: Iterable[Value], why: str, place: Place) -> None:
    """Give up values that code which is not followed may change, and what they lead to."""
    seen: set[int] = set()
    for value in values:
        _spoil_deep(reader, value, why, place, seen)


def _spoil_deep(reader: Interpreter, value: Value, why: str, place: Place, seen: set[int]) -> None:
    """Give up a value and the classes and services that it leads to."""
    spend(1)
    value = reader.force(value) if isinstance(value, Lazy) else value
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, Mutable):
        reader.spoil(value, why, place)
    if isinstance(value, ModuleRef) and reader.changing:
        _spoil_module(reader, value.name, why, place, seen)
    if isinstance(value, Names):
        assert isinstance(value.scope, Scope)
        forget_names(value.scope, Opaque(why, place))
    if isinstance(value, Instance):
        value.plain = False
        for inner in value.given:
            _spoil_deep(reader, inner, why, place, seen)
    match value:
        case Sequence(items=items) | Opaque(parts=items):
            below = list(items)
        case Dict(items=entries):
            below = list(entries.values())
        case ServiceObject():
            below = [value.inner, value.config]
        case Class(attributes=attributes) | Instance(of=Class(attributes=attributes)):
            below = [inner for inner in attributes.values() if isinstance(inner, (Class, Dict, Sequence))]
        case _:
            below = []
    for inner in below:
        _spoil_deep(reader, inner, why, place, seen)


def _spoil_module(reader: Interpreter, name: str, why: str, place: Place, seen: set[int]) -> None:
    """Give up the names of a module, and all that they and the modules below it lead to."""
    for known in [known for known in reader.modules if known == name or known.startswith(f"{name}.")]:
        scope = reader.modules[known].scope
        if id(scope) not in seen:
            seen.add(id(scope))
            for value in list(scope.names.values()):
                _spoil_deep(reader, value, why, place, seen)
            forget_names(scope, Opaque(why, place))


def forget_names(scope: Scope, why: Opaque) -> None:
    """Follow what may bind any name of a scope, as `exec` does."""
    for known, value in scope.names.items():
        if not isinstance(value, Symbol) and not known.startswith("__"):
            scope.names[known] = why
    if scope.kind == "class":
        scope.names[ANY_NAME] = why
    else:
        scope.module.star = why
