"""Reads expressions: what value each one stands for."""

from __future__ import annotations

import ast

from rules_bento.service.python import calls, operations
from rules_bento.service.python.budget import MAX_TEXT, check_growth, spend
from rules_bento.service.python.classes import attributes_are_the_instances, enum_attribute, is_enum, lookup
from rules_bento.service.python.effects import comprehension, forget_names, not_followed, objects_may_change, spoil_all
from rules_bento.service.sdk_names import public_name
from rules_bento.service.python.reach import containers, held, is_inert, items_held, opens
from rules_bento.service.python.scopes import Scope
from rules_bento.service.python.values import (
    Arguments,
    AsgiApp,
    Bound,
    Class,
    Const,
    DependsOn,
    Dict,
    Endpoint,
    Function,
    ImageSpec,
    Instance,
    LegacyService,
    ModelRef,
    ModuleRef,
    Mutable,
    Names,
    Opaque,
    Place,
    Sequence,
    ServiceObject,
    Symbol,
    Value,
    Wrapped,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_bento.service.python.interpreter import Interpreter

# Parts of an application, an image and a legacy service that can be changed in place.
_PARTS = frozenset(
    ["apis", "build_include_paths", "commands", "models", "post_commands", "router", "routes", "runners"]
)
# Methods of a pydantic model that leave it as it is.
_COPYING = frozenset(["copy", "dict", "json", "model_copy", "model_dump", "model_dump_json", "model_fields_set"])


def evaluate(reader: Interpreter, node: ast.expr, scope: Scope) -> Value:
    """Return the value of an expression; it is never a `Lazy` one."""
    spend(1)
    value = _evaluate(reader, node, scope)
    if isinstance(value, Mutable) and value.spoiled is not None and isinstance(value, (Sequence, Dict)):
        return value.spoiled
    if isinstance(value, Instance):
        objects_may_change(reader, value, scope.place(node))
    return value


def _evaluate(reader: Interpreter, node: ast.expr, scope: Scope) -> Value:
    from rules_bento.service.python.interpreter import BUILTINS

    match node:
        case ast.Constant():
            return Const(node.value)
        case ast.Name():
            return reader.force(scope.lookup(node.id, node, BUILTINS))
        case ast.Attribute():
            owner = evaluate(reader, node.value, scope)
            return reader.force(get_attribute(reader, owner, node.attr, scope.place(node)))
        case ast.Call():
            return calls.evaluate_call(reader, node, scope)
        case ast.Tuple() | ast.List() | ast.Set():
            return _sequence(reader, node, scope)
        case ast.Dict():
            return _dict(reader, node, scope)
        case ast.JoinedStr():
            return _joined(reader, node, scope)
        case ast.Subscript():
            return _subscript(reader, node, scope)
        case ast.NamedExpr():
            value = evaluate(reader, node.value, scope)
            reader.assign(node.target, value, scope)
            return value
        case ast.Lambda():
            return _lambda(reader, node, scope)
        case _:
            return _operation(reader, node, scope)


def _operation(reader: Interpreter, node: ast.expr, scope: Scope) -> Value:
    place = scope.place(node)
    match node:
        case ast.BinOp():
            left, right = evaluate(reader, node.left, scope), evaluate(reader, node.right, scope)
            return reader.fresh(operations.binary(node.op, left, right, place))
        case ast.UnaryOp(op=ast.Not()):
            test = truth(evaluate(reader, node.operand, scope))
            return Opaque("it is a condition", place, inert=True) if test is None else Const(not test)
        case ast.UnaryOp():
            return operations.unary(node.op, evaluate(reader, node.operand, scope), place)
        case ast.BoolOp():
            return _boolean(reader, node, scope)
        case ast.Compare():
            values = [evaluate(reader, part, scope) for part in (node.left, *node.comparators)]
            return operations.compare(node.ops, values, place)
        case ast.IfExp():
            test = truth(evaluate(reader, node.test, scope))
            if test is not None:
                return evaluate(reader, node.body if test else node.orelse, scope)
            return _either(reader, [node.body, node.orelse], scope, "it depends on a condition")
        case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
            parts = comprehension(reader, node, scope)
            return Opaque("it is built by a comprehension", place, inert=True, opens=True, parts=parts)
        case _:
            return Opaque(f"`{source_of(node)}` is known only when the code runs", place)


def _either(reader: Interpreter, nodes: list[ast.expr], scope: Scope, why: str) -> Value:
    """Join expressions of which one is taken."""
    outer, fresh = reader.region, reader.new_region()
    values = []
    for node in nodes:
        reader.region = reader.new_region()
        values.append(evaluate(reader, node, scope))
    reader.region = outer
    result = values[0]
    for value in values[1:]:
        result = reader.join(result, value, Opaque(why, scope.place(nodes[0])), fresh)
    return result


def _boolean(reader: Interpreter, node: ast.BoolOp, scope: Scope) -> Value:
    stops_at = isinstance(node.op, ast.Or)
    for index, part in enumerate(node.values):
        value = evaluate(reader, part, scope)
        if index == len(node.values) - 1:
            return value
        test = truth(value)
        if test is None:
            outer, reader.region = reader.region, reader.new_region()
            rest = [evaluate(reader, other, scope) for other in node.values[index + 1 :]]
            reader.region = outer
            parts = [value, *rest]
            inert, open_ = all(map(is_inert, parts)), any(map(opens, parts))
            return Opaque("it depends on a condition", scope.place(node), inert, opens=open_, parts=held(parts))
        if test is stops_at:
            return value
    raise AssertionError("a boolean operation has operands")


def truth(value: Value) -> bool | None:
    """Return whether a value is true; None where only running the code tells."""
    match value:
        case Const(value=inner):
            return bool(inner)
        case Sequence(items=items) if not value.spoiled:
            return bool(items)
        case Dict(items=entries) if not value.spoiled:
            return bool(entries)
        case Symbol(dotted="typing.TYPE_CHECKING" | "typing_extensions.TYPE_CHECKING"):
            return False
        case Function() | Class() | ModuleRef() | ServiceObject() | ModelRef() | DependsOn() | Endpoint():
            return True
        case _:
            return None


def _lambda(reader: Interpreter, node: ast.Lambda, scope: Scope) -> Value:
    defaults = [evaluate(reader, default, scope) for default in node.args.defaults]
    keywords = [evaluate(reader, default, scope) if default else None for default in node.args.kw_defaults]
    return Function(node, scope, scope.place(node), "<lambda>", defaults, keywords)


# Displays


def _sequence(reader: Interpreter, node: ast.Tuple | ast.List | ast.Set, scope: Scope) -> Value:
    items = items_of(reader, node.elts, scope)
    if isinstance(items, Opaque):
        return items
    return reader.fresh(Sequence(items, type(node).__name__.lower()))


def items_of(reader: Interpreter, nodes: list[ast.expr], scope: Scope) -> list[Value] | Opaque:
    """Read expressions of a display or a call, with `*` taken apart."""
    items: list[Value] = []
    for node in nodes:
        if not isinstance(node, ast.Starred):
            items.append(evaluate(reader, node, scope))
            continue
        inner = evaluate(reader, node.value, scope)
        if not isinstance(inner, Sequence) or inner.spoiled or inner.kind == "set":
            why, parts = f"`*{source_of(node.value)}` is not plain", (*held(items), *items_held(inner))
            return Opaque(why, scope.place(node), parts=parts)
        check_growth(items, len(inner.items))
        items += inner.items
    return items


def _dict(reader: Interpreter, node: ast.Dict, scope: Scope) -> Value:
    entries: dict[object, Value] = {}
    for key_node, value_node in zip(node.keys, node.values, strict=True):
        value = evaluate(reader, value_node, scope)
        if key_node is None:
            if not isinstance(value, Dict) or value.spoiled:
                why, parts = f"`**{source_of(value_node)}` is not plain", (*held(entries.values()), *items_held(value))
                return Opaque(why, scope.place(node), inert=True, opens=True, parts=parts)
            entries.update(value.items)
            continue
        key = evaluate(reader, key_node, scope)
        if not isinstance(key, Const):
            return Opaque(f"the key `{source_of(key_node)}` is not plain", scope.place(key_node), inert=True)
        entries[key.value] = value
    return reader.fresh(Dict(entries))


def _joined(reader: Interpreter, node: ast.JoinedStr, scope: Scope) -> Value:
    text = ""
    for part in node.values:
        inner, spec, conversion = part, "", -1
        if isinstance(part, ast.FormattedValue):
            inner, conversion = part.value, part.conversion
            if part.format_spec is not None:
                form = evaluate(reader, part.format_spec, scope)
                if not isinstance(form, Const):
                    return Opaque("its format is not plain", scope.place(node), inert=True)
                spec = str(form.value)
        value = evaluate(reader, inner, scope)
        piece = operations.formatted(value, conversion, spec)
        if piece is None or len(text) + len(piece) > MAX_TEXT:
            why = value.why if isinstance(value, Opaque) else f"`{source_of(inner)}` is not plain"
            return Opaque(why, scope.place(node), inert=True)
        text += piece
    return Const(text)


def _subscript(reader: Interpreter, node: ast.Subscript, scope: Scope) -> Value:
    owner = evaluate(reader, node.value, scope)
    if isinstance(owner, Symbol) and owner.dotted == "sys.modules":
        return _loaded_module(reader, evaluate(reader, node.slice, scope), scope.place(node))
    if isinstance(owner, Symbol) and not _takes_types(owner.dotted):
        why = f"`{source_of(node)}` is known only when the code runs"
        return Opaque(why, scope.place(node), not opens(owner), f"{owner.dotted}[]")
    if isinstance(owner, Class):
        objects_may_change(reader, owner, scope.place(node))
    if isinstance(owner, (Class, Symbol)) and not is_enumeration(reader, owner):
        return owner  # `Base[int]`, `Generic[T]`: the type arguments change nothing that is read here
    index = _index(reader, node.slice, scope)
    if isinstance(owner, Names) and isinstance(index, Const):
        assert isinstance(owner.scope, Scope)
        value = owner.scope.names.get(str(index.value))
        if value is not None:
            return reader.force(value)
    return reader.force(operations.item(owner, index, scope.place(node)))


def _takes_types(dotted: str) -> bool:
    """Return whether `name[…]` of an outside name is a class with type arguments, as its spelling says."""
    return dotted.startswith("builtins.") or dotted.rpartition(".")[2][:1].isupper()


def _loaded_module(reader: Interpreter, name: Value, place: Place) -> Value:
    if isinstance(name, Const) and isinstance(name.value, str) and reader.sources.find(name.value):
        return ModuleRef(name.value)
    return Opaque("`sys.modules` is known only when the code runs", place)


def _index(reader: Interpreter, node: ast.expr, scope: Scope) -> Value | slice:
    if not isinstance(node, ast.Slice):
        return evaluate(reader, node, scope)
    bounds: list[object] = []
    for bound in (node.lower, node.upper, node.step):
        value = evaluate(reader, bound, scope) if bound else Const(None)
        if not isinstance(value, Const):
            return Opaque("a bound of the slice is not plain", scope.place(node))
        bounds.append(value.value)
    return slice(*bounds)


def is_enumeration(reader: Interpreter, value: Value) -> bool:
    """Return whether a value is an enumeration's class."""
    return isinstance(value, Class) and is_enum(value, reader.force)


# Attributes


def get_attribute(reader: Interpreter, owner: Value, name: str, place: Place) -> Value:
    """Return what `owner.name` stands for."""
    match owner:
        case ModuleRef() if name == "__dict__":
            return Names(reader.module(owner.name).scope)
        case ModuleRef():
            value = reader.module_attribute(owner.name, name, place)
            return value or Opaque(f"`{name}` is not bound in `{owner.name}`", place)
        case Symbol():
            dotted = public_name(f"{owner.dotted}.{name}")
            return reader.patched.get(dotted) or Symbol(dotted)
        case Class():
            return _class_attribute(reader, owner, name, place)
        case Instance():
            return _instance_attribute(reader, owner, name, place)
        case Arguments():
            return _argument(reader, owner, name, place)
        case ServiceObject():
            return _service_attribute(owner, name, place)
        case AsgiApp() | ImageSpec() | LegacyService() if name in _PARTS:
            # Whoever takes these at module level changes them.
            reader.spoil(owner, f"`.{name}` of it is used", place)
            return Opaque(f"`.{name}` of it is known only when the code runs", place, inert=True)
        case Opaque():
            origin = f"{owner.origin}.{name}" if owner.origin else ""
            return Opaque(owner.why, owner.place, not opens(owner), origin, parts=owner.parts)
        case Const() | Sequence() | Dict() | Names() | ImageSpec() | LegacyService() | ModelRef() | AsgiApp():
            return Bound(owner, name)
        case Function() if name in ("__name__", "__qualname__"):
            return Const(owner.name)
        case Function(scope=Scope() as scope) if name == "__globals__":
            return Names(scope.module.scope)
        case Function():
            parts = held([*owner.defaults, *(default for default in owner.keywords if default is not None)])
            return Opaque(f"`.{name}` of it is known only when the code runs", place, inert=True, parts=parts)
        case _:
            return Opaque(f"`.{name}` of it is known only when the code runs", place, inert=True)


def _argument(reader: Interpreter, owner: Arguments, name: str, place: Place) -> Value:
    if owner.spoiled:
        return owner.spoiled
    if name in owner.fields:
        return owner.fields[name]
    if name in _COPYING and owner.model is not None:
        return Opaque(f"`.{name}` of it is known only when the code runs", place, inert=True)
    declared = owner.model is not None and name in owner.model.annotations and not name.startswith("_")
    if not declared and (owner.model is not None or name.startswith("__")):
        # A method or a property of its model, or its `__dict__`, by which it may be changed.
        reader.spoil(owner, f"`.{name}` of it is used", place)
        return Opaque(f"`.{name}` of it is known only when the code runs", place, inert=True)
    return Opaque(f"no argument `{name}` of the Bento is given, as `args` or --arg gives one", place, inert=True)


def _class_attribute(reader: Interpreter, owner: Class, name: str, place: Place) -> Value:
    if owner.spoiled:
        return owner.spoiled
    if name in ("__name__", "__qualname__"):
        return Const(owner.name)
    member = lookup(owner, name, reader.force)
    if member is None:
        return Opaque(f"`{owner.name}` has no plain attribute `{name}`", place)
    if is_enum(owner, reader.force) and not isinstance(member, (Function, Opaque)):
        return Instance(owner, plain=False, member=(name, member))
    if isinstance(member, Opaque):  # a method of a library's that makes an object, say
        objects_may_change(reader, owner, place)
    if isinstance(member, Wrapped):
        return member.inner if member.kind == "staticmethod" else Bound(owner, name)
    return member


def _instance_attribute(reader: Interpreter, owner: Instance, name: str, place: Place) -> Value:
    if owner.member is not None and name in ("name", "value"):
        value = enum_attribute(owner.of, owner.member, name, reader.force)
        return value or Opaque(f"`{owner.of.name}` gives its members another `{name}`", place, inert=True)
    member = lookup(owner.of, name, reader.force)
    if isinstance(member, (Function, Wrapped)):
        return Bound(owner, name)
    if isinstance(member, Opaque):
        # A property, say: what it gives is not what it is, and its function runs now.
        not_followed(reader, member, [], f"`.{name}` of a `{owner.of.name}` may change it", place)
        why = member.why or f"`.{name}` of a `{owner.of.name}` is known only when the code runs"
        return Opaque(why, place, not opens(member), member.origin, parts=tuple(owner.given))
    if name == "__class__":
        return owner.of
    if owner.plain and member is not None and attributes_are_the_instances(owner.of, reader.force):
        return member
    why = f"`.{name}` of a `{owner.of.name}` is known only when the code runs"
    return Opaque(why, place, parts=tuple(owner.given))


def _service_attribute(owner: ServiceObject, name: str, place: Place) -> Value:
    if owner.spoiled:
        return Opaque(owner.spoiled.why, owner.spoiled.place)
    match name:
        case "inner":
            return owner.inner
        case "config":
            return owner.config
        case "name" | "description" | "labels" | "envs" | "image":
            return owner.fields.get(name, Const(None))
        case "models" | "dependencies" | "apis":
            # Whoever takes these at module level changes them.
            owner.open_ended.append(Opaque(f"`.{name}` of it is used", place))
            return Opaque(f"`.{name}` of a service is known only when the code runs", place, inert=True)
        case _:
            return Bound(owner, name)


def set_attribute(reader: Interpreter, owner: Value, name: str, value: Value, place: Place) -> None:
    """Follow `owner.name = value`."""
    why = f"`.{name}` of it is assigned"
    match owner:
        case Class() if reader.may_change(owner, why, place):
            if name == "__name__" and isinstance(value, Const) and isinstance(value.value, str):
                owner.name = value.value
            elif name in ("__name__", "__qualname__", "__bases__", "__doc__"):
                reader.spoil(owner, why, place)
            else:
                owner.attributes[name] = value
                owner.assigned.add(name)
        case Arguments() if reader.may_change(owner, why, place):
            owner.fields[name] = value
        case ServiceObject() if reader.may_change(owner, why, place):
            if name in ("name", "description", "labels", "envs", "image"):
                owner.fields[name] = value
            elif name == "inner":
                # Dependencies, models and APIs are those of the class that it was made of.
                owner.inner = value
            else:
                reader.spoil(owner, why, place)
        case ModuleRef():
            reader.module(owner.name).scope.names[name] = Opaque(f"another module assigns `{name}`", place)
        case Symbol():
            dotted = public_name(f"{owner.dotted}.{name}")
            reader.patched[dotted] = Opaque(f"`{dotted}` is assigned", place)
        case ImageSpec() | LegacyService() | AsgiApp():
            reader.spoil(owner, why, place)
        case DependsOn() | Endpoint():
            owner.fields[name] = Opaque(why, place, inert=True)
        case ModelRef(fields=dict() as fields):
            fields[name] = Opaque(why, place, inert=True)
        case Instance():
            owner.plain = False
            owner.given.append(value)
            if isinstance(member := lookup(owner.of, name, reader.force), Opaque):  # a property, whose setter runs
                not_followed(reader, member, [], why, place)
        case Opaque():
            spoil_all(reader, owner.parts, why, place)
            owner.parts += held([value])
        case Sequence() | Dict():  # a variable of the image, for which BentoML makes an object
            reader.spoil(owner, why, place)
        case _:
            _given_away(reader, owner, value, why, place)


def _given_away(reader: Interpreter, owner: Value, value: Value, why: str, place: Place) -> None:
    """Follow what becomes part of something whose parts are not followed: it has another name there."""
    if isinstance(owner, Bound) and isinstance(owner.owner, Mutable):  # as `image.__dict__["a"] = …`
        reader.spoil(owner.owner, why, place)
    spoil_all(reader, containers([value]), why, place)


def set_item(reader: Interpreter, owner: Value, node: ast.expr, value: Value, scope: Scope) -> None:
    """Follow `owner[index] = value`."""
    place = scope.place(node)
    index = _index(reader, node, scope)
    match owner:
        case Dict() if reader.may_change(owner, "it is changed on some way only", place):
            if isinstance(index, Const):
                owner.grow({index.value: value})
            else:
                reader.spoil(owner, "a key that is not plain is set", place)
        case Sequence() if reader.may_change(owner, "it is changed on some way only", place):
            if (
                isinstance(index, Const)
                and isinstance(index.value, int)
                and -len(owner.items) <= index.value < len(owner.items)
            ):
                owner.items[index.value] = value
            else:
                reader.spoil(owner, "an index that is not plain is set", place)
        case Opaque():
            spoil_all(reader, owner.parts, "an item of it may be set", place)
            owner.parts += held([value])
        case Instance():
            owner.plain = False
            owner.given.append(value)
        case Names():
            names = owner.scope
            assert isinstance(names, Scope)
            if isinstance(index, Const):
                reader.bind(str(index.value), value, names)
            else:
                forget_names(names, Opaque("a name that is not plain is set in `globals()`", place))
        case Class() | Dict() | Sequence():
            pass
        case _:
            _given_away(reader, owner, value, "an item of something that is not followed is set to it", place)


def augmented(reader: Interpreter, node: ast.AugAssign, scope: Scope) -> Value:
    """Return the value of `target op= value`; lists and dicts change in place as in Python."""
    place = scope.place(node)
    right = evaluate(reader, node.value, scope)
    match node.target:
        case ast.Name():
            left = evaluate(reader, ast.copy_location(ast.Name(node.target.id, ast.Load()), node), scope)
        case ast.Attribute():
            owner = evaluate(reader, node.target.value, scope)
            left = reader.force(get_attribute(reader, owner, node.target.attr, place))
        case _:
            return Opaque("it is changed in place", place)
    match left, node.op, right:
        case Sequence(kind="list"), ast.Add(), _:
            return calls.call(reader, Bound(left, "extend"), [right], {}, place, result=left)
        case Dict(), ast.BitOr(), _:
            return calls.call(reader, Bound(left, "update"), [right], {}, place, result=left)
        case Sequence(kind="list" | "set") | Dict(), _, _:
            reader.spoil(left, "it is changed in place", place)
            return left.spoiled or left
        case _:
            return reader.fresh(operations.binary(node.op, left, right, place))


def source_of(node: ast.AST) -> str:
    """Return an expression as it is written, short enough for a message."""
    try:
        text = " ".join(ast.unparse(node).split())
    except RecursionError:
        return "this expression"
    return text if len(text) <= 60 else f"{text[:57]}..."
