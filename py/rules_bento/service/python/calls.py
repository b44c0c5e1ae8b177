"""Reads calls: of BentoML's names, of functions and classes of the sources, of what Python has built in.

A call of anything else gives an `Opaque` value, and may change the lists and dicts that it is given.
"""

from __future__ import annotations

from rules_bento.records import replace
from rules_bento.service.bentoml import sdk
from rules_bento.service.python import expressions, operations
from rules_bento.service.python.arguments import decorator
from rules_bento.service.python.budget import check_growth, spend
from rules_bento.service.python.changes import CHANGERS, READING
from rules_bento.service.python.classes import linearize, lookup
from rules_bento.service.python.effects import forget_names, not_followed, objects_may_change, spoil_all
from rules_bento.service.sdk_names import LOADERS, MAKERS
from rules_bento.service.python.reach import containers, held, items_held, may_make, opens
from rules_bento.service.python.scopes import Scope
from rules_bento.service.python.sources import in_standard_library
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
    LegacyService,
    ModelRef,
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
    import ast

    from rules_bento.service.python.interpreter import Interpreter

# Functions of libraries that return their argument: what they decorate stays what it is.
_IDENTITIES = frozenset(
    {
        "abc.abstractmethod",
        "bentoml.on_deployment",
        "bentoml.on_shutdown",
        "bentoml.on_startup",
        "dataclasses.dataclass",
        "functools.total_ordering",
        "typing.final",
        "typing.no_type_check",
        "typing.override",
        "typing.runtime_checkable",
        "typing_extensions.final",
        "typing_extensions.override",
        "typing_extensions.runtime_checkable",
    }
)
_ANYTHING = frozenset({"builtins.exec", "builtins.eval"})
# What may be run by whoever is given it.
_RUN = (Function, Wrapped, Bound, Partial)
_IMPORTERS = frozenset({"builtins.__import__", "importlib.import_module", "runpy.run_module", "runpy.run_path"})
# Of the standard library: what gives its arguments, or something that holds them, and what gives their items.
_GIVING = frozenset({"getattr", "iter", "max", "min", "next"})
_GIVING_ITEMS = frozenset(
    {"dict", "enumerate", "filter", "frozenset", "list", "map", "reversed", "set", "sorted", "sum", "tuple", "zip"}
)
_GIVING_MODULES = frozenset(
    ["argparse", "contextlib", "contextvars", "copy", "functools", "itertools", "operator", "queue", "random", "types"]
)
_TYPES = frozenset({"dict", "list", "object", "set", "type"})
# What leads to the names of this module without `globals`.
_FRAMES = frozenset({"inspect.currentframe", "inspect.stack", "sys._current_frames", "sys._getframe"})
_NAMES = frozenset({"builtins.globals", "builtins.locals", "builtins.vars"})


def evaluate_call(reader: Interpreter, node: ast.Call, scope: Scope) -> Value:
    """Return the value of a call expression."""
    place = scope.place(node)
    function = expressions.evaluate(reader, node.func, scope)
    args = expressions.items_of(reader, node.args, scope)
    kwargs: dict[str, Value] = {}
    rest: Opaque | None = args if isinstance(args, Opaque) else None
    for keyword in node.keywords:
        value = expressions.evaluate(reader, keyword.value, scope)
        if keyword.arg is not None:
            kwargs[keyword.arg] = value
        elif isinstance(value, Dict) and all(isinstance(key, str) for key in value.items):
            kwargs.update({str(key): inner for key, inner in value.items.items()})
        else:
            rest = Opaque(f"`**{expressions.source_of(keyword.value)}` is not plain", place)
    if rest is not None:
        plain_args = [] if isinstance(args, Opaque) else args
        return sdk.call_open(reader, function, plain_args, kwargs, rest, place)
    assert not isinstance(args, Opaque)
    if isinstance(function, Symbol) and not args and function.dotted in _NAMES:
        return Names(scope.module.scope if function.dotted == "builtins.globals" else scope)
    if isinstance(function, Symbol) and function.dotted in _FRAMES:
        names = Names(scope.module.scope)
        return Opaque("a frame is known only when the code runs", place, parts=(names, *items_held(names)))
    if isinstance(function, Symbol) and function.dotted in _ANYTHING:
        forget_names(scope, Opaque(f"`{function.dotted.partition('.')[2]}` may have changed it", place))
    value = call(reader, function, args, kwargs, place)
    if isinstance(value, Opaque) and not value.why:
        return replace(value, why=f"`{expressions.source_of(node)}` is known only when the code runs")
    return value


def call(
    reader: Interpreter,
    function: Value,
    args: list[Value],
    kwargs: dict[str, Value],
    place: Place,
    result: Value | None = None,
) -> Value:
    """Return what calling a value returns, `result` instead if that is set (for `+=`)."""
    args = [reader.force(arg) for arg in args]
    value = _called(reader, function, args, kwargs, place)
    return reader.fresh(value) if result is None else result


def _called(reader: Interpreter, function: Value, args: list[Value], kwargs: dict[str, Value], place: Place) -> Value:
    match function:
        case Partial():
            return function.apply(args, kwargs)
        case Symbol():
            return _symbol(reader, function, args, kwargs, place)
        case Function():
            return reader.call_function(function, args, kwargs, place)
        case Wrapped(inner=inner):
            return _called(reader, inner, args, kwargs, place)
        case Class():
            return _instance(reader, function, args, kwargs, place)
        case Instance() if isinstance(lookup(function.of, "__call__", reader.force), Function):
            return _own_method(reader, function, "__call__", args, kwargs, place)
        case Bound():
            return _method(reader, function, args, kwargs, place)
        case Opaque() if _may_decorate(function):
            return sdk.uncertain_service(reader, function, args, kwargs, place)
        case _:
            return _outside(reader, function, args, kwargs, place)


def _may_decorate(function: Opaque) -> bool:
    """Return whether a value is `bentoml.service` on some way through the code."""
    left, seen = list(function.parts), set[int]()
    while left:
        part = left.pop()
        if isinstance(part, Symbol) and part.dotted == "bentoml.service":
            return True
        if isinstance(part, Opaque) and id(part) not in seen:
            spend(1)
            seen.add(id(part))
            left += part.parts
    return False


def _symbol(reader: Interpreter, symbol: Symbol, args: list[Value], kwargs: dict[str, Value], place: Place) -> Value:
    if symbol.dotted in _IDENTITIES:
        if "slots" in kwargs:
            return decorator(lambda _: Opaque("`@dataclass(slots=True)` makes another class of it", place), place)
        # `@dataclass` and `@dataclass(frozen=True)` alike.
        return _kept(symbol.dotted, args[0]) if args else decorator(lambda value: _kept(symbol.dotted, value), place)
    if symbol.dotted == "typing.cast" and len(args) == 2:
        return args[1]
    if symbol.dotted in _IMPORTERS:
        return _imported(reader, symbol, args, kwargs, place)
    value = sdk.call(reader, symbol.dotted, args, kwargs, place)
    if value is None and symbol.dotted.startswith(("builtins.", "functools.partial")):
        value = _builtin(reader, symbol.dotted, args, kwargs, place)
    return _outside(reader, symbol, args, kwargs, place) if value is None else value


def _imported(reader: Interpreter, symbol: Symbol, args: list[Value], kwargs: dict[str, Value], place: Place) -> Value:
    """Return the module that a call imports, and follow what importing it changes."""
    match args:
        case _ if symbol.dotted.startswith("runpy."):
            reader.import_any()
        case [Const(value=str() as name)] if reader.sources.find(name) is not None:
            reader.import_module(name)
            return ModuleRef(name if symbol.dotted == "importlib.import_module" else name.partition(".")[0])
        case [Const(value=str() as name), *_] if not name.startswith("."):
            reader.import_module(name)
        case _:
            reader.import_any()
    return _outside(reader, symbol, args, kwargs, place)


def _kept(decorator: str, value: Value) -> Value:
    """Give back what a decorator leaves as it is; `@dataclass` writes a docstring where there is none."""
    doc = value.attributes.get("__doc__") if isinstance(value, Class) else None
    if isinstance(value, Class) and decorator == "dataclasses.dataclass" and (isinstance(doc, Const) and not doc.value):
        value.attributes["__doc__"] = Opaque("`@dataclass` makes it of the signature", value.place, inert=True)
    return value


def _outside(reader: Interpreter, function: Value, args: list[Value], kwargs: dict[str, Value], place: Place) -> Value:
    """Return the result of code that was not read."""
    origin = function.dotted if isinstance(function, Symbol) else ""
    if isinstance(function, Opaque):
        origin = function.origin
    arguments = [*args, *kwargs.values()]
    if isinstance(function, Opaque):
        # A method of it: containers change, classes and services do not lose their names by it.
        spoil_all(reader, containers(function.parts), "a method of it may be called", place)
        not_followed(reader, function, [], f"`{origin or 'a function'}` may change it", place)
    if isinstance(function, ServiceObject) and isinstance(function.inner, Class):
        objects_may_change(reader, function.inner, place)
    takes_functions = any(isinstance(value, _RUN) for value in arguments)
    if takes_functions and len(arguments) > 1:
        # One function alone is taken for what a decorator gets: it is not called at once.
        not_followed(reader, function, arguments, f"`{origin or 'a function'}` may change it", place, called=False)
    gives = _gives(origin)
    harmless = bool(origin) and in_standard_library(origin) and not origin.startswith(CHANGERS)
    if harmless and ((gives and isinstance(function, Opaque)) or _is_method_of_type(origin)):
        harmless = False  # a container of the standard library's, or as `dict.update(LABELS, …)`
        objects = (value for value in arguments if isinstance(value, (Class, ServiceObject)))
        spoil_all(reader, objects, f"`{origin}` may change it", place)
    for of in _classes(arguments):
        objects_may_change(reader, of, place)
    for value in arguments:
        changeable = not harmless and isinstance(value, (Sequence, Dict, Arguments, ImageSpec, AsgiApp))
        if isinstance(value, Mutable) and (changeable or origin == "builtins.vars"):
            reader.spoil(value, f"`{origin or 'a function'}` may change it", place)
        elif isinstance(value, Opaque) and not harmless:
            spoil_all(reader, value.parts, f"`{origin or 'a function'}` may change it", place)
        elif isinstance(value, ModuleRef) and reader.changing and not harmless:
            forget_names(reader.module(value.name).scope, Opaque(f"`{origin or 'a function'}` may bind it", place))
        elif isinstance(value, Names):
            assert isinstance(value.scope, Scope)
            forget_names(value.scope, Opaque(f"`{origin or 'a function'}` may bind it", place))
    makes = opens(function) or any(may_make(reader.sources, value) for value in arguments)
    makes = makes and not (isinstance(function, Symbol) and origin in LOADERS)
    parts: list[Value] = [value for value in arguments if isinstance(value, (ServiceObject, *_RUN))]
    for value in (function, *arguments):  # as `getter.setter` has the getter
        parts += [part for part in value.parts if isinstance(part, _RUN)] if isinstance(value, Opaque) else []
    if gives:
        parts += [part for value in arguments for part in (items_held(value) if gives == "items" else held([value]))]
    return Opaque("", place, not makes and not origin.startswith(MAKERS), origin, parts=tuple(parts))


def _gives(origin: str) -> str:
    """Return whether a function of the standard library may give its arguments, or the items that they hold."""
    module, _, name = origin.partition(".")
    if module == "builtins":
        return "items" if name in _GIVING_ITEMS else "arguments" if name in _GIVING else ""
    return "arguments" if module in _GIVING_MODULES else ""


def _is_method_of_type(origin: str) -> bool:
    """Return whether a name is a method of a built-in type that may change its first argument."""
    parts = origin.split(".")
    return parts[0] == "builtins" and len(parts) == 3 and parts[1] in _TYPES and parts[2] not in (*READING, "fromkeys")


def _classes(arguments: list[Value]) -> list[Class]:
    """Return the classes of arguments and of what is in their lists, each once: what they may change is the same."""
    given = [inner for value in arguments for inner in (value.items if isinstance(value, Sequence) else [value])]
    spend(len(given))
    classes = [value.of if isinstance(value, Instance) else value for value in given]
    return list({id(of): of for of in classes if isinstance(of, Class)}.values())


def _instance(reader: Interpreter, of: Class, args: list[Value], kwargs: dict[str, Value], place: Place) -> Value:
    for base in linearize(of, reader.force):
        if isinstance(base, Opaque) or (isinstance(base, Symbol) and base.dotted.startswith("bentoml.")):
            why = f"it is a `{of.name}`, which only running the code tells"
            return Opaque(why, place, parts=held([*args, *kwargs.values()]))
    if expressions.is_enumeration(reader, of) and len(args) == 1:
        objects_may_change(reader, of, place)
        return Opaque(f"it is a member of `{of.name}`", place, inert=True)
    given = [value for value in (*args, *kwargs.values()) if not isinstance(value, (Const, Symbol))]
    instance = Instance(of, plain=not args and not kwargs, given=given)
    initializer = lookup(of, "__init__", reader.force)
    if isinstance(initializer, Function):
        reader.call_function(initializer, [instance, *args], kwargs, place)
    if isinstance(lookup(of, "__new__", reader.force), (Function, Wrapped)):
        not_followed(reader, of, [*args, *kwargs.values()], f"`{of.name}.__new__` may change it", place)
        return Opaque(f"`{of.name}.__new__` gives it", place)
    objects_may_change(reader, instance, place)
    return instance


def bind_arguments(function: Function, args: list[Value], kwargs: dict[str, Value], names: dict[str, Value]) -> bool:
    """Bind a call's arguments to a function's parameters; False where they do not fit."""
    spec = function.node.args
    positional = [*spec.posonlyargs, *spec.args]
    rest = dict(kwargs)
    for index, parameter in enumerate(positional):
        default = index - (len(positional) - len(function.defaults))
        if index < len(args):
            names[parameter.arg] = args[index]
        elif parameter.arg in rest:
            names[parameter.arg] = rest.pop(parameter.arg)
        elif default >= 0:
            names[parameter.arg] = function.defaults[default]
        else:
            return False
    if spec.vararg:
        names[spec.vararg.arg] = Sequence(args[len(positional) :], "tuple")
    elif len(args) > len(positional):
        return False
    for parameter, value in zip(spec.kwonlyargs, function.keywords, strict=True):
        bound = rest.pop(parameter.arg, value)
        if bound is None:
            return False
        names[parameter.arg] = bound
    if spec.kwarg:
        names[spec.kwarg.arg] = Dict(dict(rest.items()))
        return True
    return not rest


# Methods


def _method(reader: Interpreter, bound: Bound, args: list[Value], kwargs: dict[str, Value], place: Place) -> Value:
    owner, name = bound.owner, bound.name
    match owner:
        case Const(value=str() as text):
            value = operations.string_method(text, name, args, kwargs)
            return value or Opaque("", place, inert=True)
        case Sequence():
            return _list_method(reader, owner, name, args, place)
        case Names():
            return _names_method(owner, name, args, kwargs, place)
        case Dict():
            return _dict_method(reader, owner, name, args, kwargs, place)
        case Instance() | Class():
            return _own_method(reader, owner, name, args, kwargs, place)
        case ServiceObject() | LegacyService() | ModelRef() | ImageSpec() | AsgiApp():
            return sdk.method(reader, owner, name, args, kwargs, place)
        case _:
            return Opaque("", place, inert=True)


def _own_method(
    reader: Interpreter,
    owner: Instance | Class,
    name: str,
    args: list[Value],
    kwargs: dict[str, Value],
    place: Place,
) -> Value:
    of = owner.of if isinstance(owner, Instance) else owner
    method = lookup(of, name, reader.force)
    if isinstance(method, Wrapped):
        first = [] if method.kind == "staticmethod" else [of]
        return _called(reader, method.inner, [*first, *args], kwargs, place)
    if isinstance(method, Function):
        return reader.call_function(method, [owner, *args], kwargs, place)
    objects_may_change(reader, of, place)  # by a method of a library's
    return Opaque("", place)


def _list_method(reader: Interpreter, owner: Sequence, name: str, args: list[Value], place: Place) -> Value:
    if name in ("index", "count", "copy") or owner.kind == "tuple":
        copy = Sequence(list(owner.items), owner.kind) if name == "copy" else None
        return copy or Opaque("", place, inert=True, parts=items_held(owner))
    if not reader.may_change(owner, f"`.{name}` changes it on some way only", place):
        return Opaque("", place, inert=True, parts=items_held(owner))
    match name, args:
        case ("append" | "add", [item]):
            owner.grow([item])
        case "extend", [Sequence(items=items, kind="list" | "tuple")] if owner.kind == "list":
            owner.grow(items)
        case "insert", [Const(value=int() as position), item]:
            check_growth(owner.items, 1)
            owner.items.insert(position, item)
        case _:
            reader.spoil(owner, f"`.{name}` changes it", place)
            return Opaque("", place, inert=True, parts=items_held(owner))
    return Const(None)


def _dict_method(
    reader: Interpreter, owner: Dict, name: str, args: list[Value], kwargs: dict[str, Value], place: Place
) -> Value:
    match name, args:
        case "get", [Const(value=key), *rest]:
            return owner.items.get(key, rest[0] if rest else Const(None))
        case "copy", []:
            return Dict(dict(owner.items))
        case (("get" | "keys" | "values" | "items" | "copy"), _):
            return Opaque("", place, parts=(*items_held(owner), *held(args)))
    if not reader.may_change(owner, f"`.{name}` changes it on some way only", place):
        return Opaque("", place, parts=(*items_held(owner), *held(args)))
    match name, args:
        case "update", [] | [Dict()]:
            for other in args:
                assert isinstance(other, Dict)
                owner.grow(other.items)
            owner.grow(dict(kwargs.items()))
            return Const(None)
        case "setdefault", [Const(value=key), default]:
            check_growth(owner.items, 1)
            return owner.items.setdefault(key, default)
    reader.spoil(owner, f"`.{name}` changes it", place)
    return Opaque("", place, parts=(*items_held(owner), *held(args)))


def _names_method(owner: Names, name: str, args: list[Value], kwargs: dict[str, Value], place: Place) -> Value:
    scope = owner.scope
    assert isinstance(scope, Scope)
    plain = isinstance(args[0], Dict) and not args[0].spoiled if args else True
    if name == "update" and plain:
        entries = args[0].items if args and isinstance(args[0], Dict) else {}
        scope.names.update({str(key): value for key, value in [*entries.items(), *kwargs.items()]})
    elif name not in ("get", "keys", "values", "items", "copy"):
        forget_names(scope, Opaque(f"`globals().{name}` may have changed it", place))
    elif name == "get" and args and isinstance(args[0], Const) and str(args[0].value) in scope.names:
        return scope.names[str(args[0].value)]
    return Opaque("", place, parts=items_held(owner))


# Built-in functions


def _builtin(
    reader: Interpreter, dotted: str, args: list[Value], kwargs: dict[str, Value], place: Place
) -> Value | None:
    match dotted.partition(".")[2], args:
        case ("staticmethod" | "classmethod") as kind, [inner]:
            return Wrapped(kind, inner) if isinstance(inner, Function) else inner
        case "partial", [inner, *first]:
            return _partial(reader, inner, first, kwargs, place)
        case "dict", [] | [Dict()]:
            entries: dict[object, Value] = dict(args[0].items) if args and isinstance(args[0], Dict) else {}
            entries.update(kwargs)
            return Dict(entries)
        case ("list" | "tuple") as kind, [] | [Sequence(kind="list" | "tuple")]:
            return Sequence(list(args[0].items) if args and isinstance(args[0], Sequence) else [], kind)
        case ("str" | "int" | "float" | "bool") as kind, [Const(value=value)]:
            return _converted(kind, value)
        case "len", [Sequence() | Dict() as sized]:
            return Const(len(sized.items))
        case "len", [Const(value=str() | bytes() as text)]:
            return Const(len(text))
        case "getattr", [owner, Const(value=str() as name), *_]:
            return reader.force(expressions.get_attribute(reader, owner, name, place))
        case "setattr", [owner, Const(value=str() as name), value]:
            expressions.set_attribute(reader, owner, name, value, place)
            return Const(None)
        case (("setattr" | "delattr"), [Mutable() as owner, *_]):
            reader.spoil(owner, "an attribute whose name is not plain is set", place)
            return Const(None)
        case "type", [Instance(of=of)]:
            return of
        case "vars", [ModuleRef(name=name)]:
            return Names(reader.module(name).scope)
        case "type", [Const(value=str() as name), Sequence(items=bases), Dict(items=names)]:
            attributes = {str(key): value for key, value in names.items()}
            for base in bases:
                if isinstance(base, Class):
                    objects_may_change(reader, base, place)
            return Class(name, list(bases), attributes, place)
        case _:
            return None


def _partial(reader: Interpreter, inner: Value, first: list[Value], keywords: dict[str, Value], place: Place) -> Value:
    """Return what a `functools.partial` calls, with its arguments."""
    parts = (inner, *first, *keywords.values())
    return Partial(lambda args, kwargs: call(reader, inner, [*first, *args], {**keywords, **kwargs}, place), parts)


def _converted(kind: str, value: object) -> Value | None:
    if not isinstance(value, (str, int, float, bool, type(None))):
        return None
    try:
        match kind:
            case "str":
                return Const(str(value))
            case "bool":
                return Const(bool(value))
            case "int" if value is not None and len(str(value)) <= 20:
                return Const(int(value))
            case "float" if value is not None and len(str(value)) <= 64:
                return Const(float(value))
    except (ValueError, OverflowError):
        pass
    return None
