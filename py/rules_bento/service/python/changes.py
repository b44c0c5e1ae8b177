"""Finds what unevaluated code may change: by assignments, by methods that it calls, by functions that it reaches.

A body is read for what stands left of a change: the name that `LABELS.update(…)` or `image.run(…)` begins with. Where
that is a name of the code's own (the variable of a loop, a parameter), it may stand for anything that the code names,
and all of that counts.
"""

from __future__ import annotations

import ast

from rules_bento.service.python.budget import spend
from rules_bento.service.python.classes import linearize, lookup, open_end
from rules_bento.service.python.scopes import Scope
from rules_bento.service.python.sources import in_standard_library
from rules_bento.service.python.values import (
    Arguments,
    AsgiApp,
    Bound,
    Class,
    Dict,
    Function,
    ImageSpec,
    Instance,
    Lazy,
    ModuleRef,
    Names,
    Opaque,
    Partial,
    Sequence,
    Symbol,
    Value,
    Wrapped,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rules_bento.service.python.interpreter import Interpreter

# Methods that leave what they belong to as it is.
READING = frozenset(
    [
        "copy",
        "count",
        "decode",
        "encode",
        "endswith",
        "format",
        "get",
        "index",
        "items",
        "join",
        "keys",
        "lower",
        "lstrip",
        "partition",
        "replace",
        "rstrip",
        "split",
        "startswith",
        "strip",
        "title",
        "upper",
        "values",
    ]
)
# Built-in functions that change, or run, what they are given.
_CHANGING = frozenset(["delattr", "eval", "exec", "next", "setattr"])
# The standard library's functions that change an argument; all others leave theirs as they are.
CHANGERS = ("bisect.", "collections.", "functools.update_wrapper", "heapq.", "operator.", "random.shuffle")
_NAMESPACES = frozenset(["globals", "locals", "vars"])
# Methods that are followed where they run.
_FOLLOWED = frozenset(["__init__", "__call__"])
# What code from outside of the sources changes when it is given it.
_CONTAINERS = (Sequence, Dict, Arguments, ImageSpec, AsgiApp)

_WORK = 4  # to look at a node of a body, which is done for each statement that may run it


def same_scope(nodes: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """Walk nodes without entering functions, whose bodies run later if at all."""
    stack = list(nodes)
    while stack:
        node = stack.pop()
        yield node
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            stack.extend(ast.iter_child_nodes(node))


def bound_names(node: ast.AST) -> list[str]:
    """Return the names that one node binds in its scope."""
    match node:
        case ast.Name(ctx=ast.Store() | ast.Del()):
            return [node.id]
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return [node.name]
        case ast.Import() | ast.ImportFrom():
            return [alias.asname or alias.name.partition(".")[0] for alias in node.names]
        case ast.ExceptHandler(name=str() as name) | ast.MatchAs(name=str() as name):
            return [name]
        case ast.MatchStar(name=str() as name) | ast.MatchMapping(rest=str() as name):
            return [name]
        case _:
            return []


def changed(reader: Interpreter, nodes: list[ast.AST], scope: Scope) -> list[Value]:
    """Return the values that statements may change which are not followed, or the functions that they reach."""
    own = {name for node in same_scope(nodes) for name in bound_names(node)}
    frame = _Frame(reader, nodes, scope, own, shadowing=False)
    return _changed(reader, frame.named, [frame])


def changed_by(reader: Interpreter, functions: Iterable[Value]) -> list[Value]:
    """Return the values that functions may change when they are called."""
    return _changed(reader, functions, [])


def hooks(reader: Interpreter, of: Class) -> list[Value]:
    """Return what Python and libraries run of a class and its objects without a call in the source."""
    functions: list[Value] = []
    linear = linearize(of, reader.force)
    outside = any(not isinstance(base, Class) and open_end(base, of) is not None for base in linear)
    for base in linear:
        if not isinstance(base, Class):
            continue
        spend(_WORK * len(base.attributes))
        for name, value in base.attributes.items():
            special = outside or (name.startswith("_") and name.endswith("_"))
            if isinstance(value, Opaque) or (special and isinstance(value, (Function, Wrapped))):
                functions.append(value)
    return functions


def changed_by_objects(reader: Interpreter, value: Instance | Class) -> list[Value]:
    """Return the values, besides themselves, that objects of a class may change, or making more of them."""
    spend(_WORK)
    if isinstance(value, Class):
        return _changed(reader, hooks(reader, value), [], itself=True)
    followed = [lookup(value.of, name, reader.force) for name in _FOLLOWED]
    run = [each for each in hooks(reader, value.of) if each not in followed]
    frames: list[_Frame] = []
    values = _changed(reader, [*run, *value.given], frames, itself=True)
    if any(frame.alters for frame in frames):
        value.plain = False
    return [*values, value.of, *value.given] if any(frame.aliased for frame in frames) else values


def alters(reader: Interpreter, functions: Iterable[Value]) -> bool:
    """Return whether functions may change what they are given."""
    frames: list[_Frame] = []
    _changed(reader, functions, frames, itself=True)
    return any(frame.aliased for frame in frames)


def _changed(reader: Interpreter, named: Iterable[Value], frames: list[_Frame], *, itself: bool = False) -> list[Value]:
    """Return what these frames change, and what all functions reachable from their names change."""
    seen: set[int] = set()
    left = list(named)
    while left:
        value = left.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, Function):
            frames.append(_frame_of(reader, value, itself=itself))
            left += frames[-1].named
        else:
            left += _run_by(reader, value)
    values = [value for frame in frames for value in frame.changed]
    if any(frame.aliased for frame in frames):
        values += [value for frame in frames for value in frame.named]
    return values


def _run_by(reader: Interpreter, value: Value) -> list[Value]:
    """Return the functions that may run where code has a value: a method, what makes or calls objects of a class."""
    match value:
        case Wrapped(inner=inner):
            return [inner]
        case Partial(parts=parts):
            return [*parts]
        case Bound(owner=Instance() | Class() as owner, name=name):
            method = lookup(owner.of if isinstance(owner, Instance) else owner, name, reader.force)
            return [method] if method is not None else []
        case Instance(of=of) | (Class() as of):
            # Properties, too, for objects come under other names: where a class is named, any of them may be read.
            given = value.given if isinstance(value, Instance) else ()
            return [*hooks(reader, of), *given]
        case Opaque(parts=parts):  # what a decorator such as `property` made of a function
            return [*parts]
        case _:
            return []


def _frame_of(reader: Interpreter, function: Function, *, itself: bool) -> _Frame:
    spend(8 * _WORK)
    node, arguments = function.node, function.node.args
    assert isinstance(function.scope, Scope)
    parameters = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
    own = {parameter.arg for parameter in parameters if parameter is not None}
    body: list[ast.AST] = [node.body] if isinstance(node, ast.Lambda) else list(node.body)
    own.update(name for inner in same_scope(body) for name in bound_names(inner))
    own.difference_update(name for inner in same_scope(body) for name in _declared(inner))
    this = parameters[0].arg if itself and parameters[0] and function.scope.kind == "class" else ""
    frame = _Frame(reader, body, function.scope, own, shadowing=True, this=this if this == "self" else "")
    frame.named += [default for default in (*function.defaults, *function.keywords) if default is not None]
    return frame


def _declared(node: ast.AST) -> list[str]:
    return node.names if isinstance(node, (ast.Global, ast.Nonlocal)) else []


class _Frame:
    """Holds a body, with the values from outside that it names and those that it changes."""

    def __init__(
        self,
        reader: Interpreter,
        nodes: list[ast.AST],
        scope: Scope,
        own: set[str],
        *,
        shadowing: bool,
        this: str = "",
    ) -> None:
        self.named: list[Value] = []
        self.changed: list[Value] = []
        self.aliased = False  # it changes what another of its names may stand for
        self.alters = False  # it sets attributes of the object that it belongs to
        self._reader, self._scope, self._own = reader, scope, own
        self._shadowing = shadowing  # its own names are not those around it
        self._this = this  # the object that is given up as a whole
        for node in nodes:
            for inner in ast.walk(node):
                spend(_WORK)
                try:
                    self._look(inner)
                except RecursionError:  # an expression that is nested too deeply
                    self.aliased = True

    def _look(self, node: ast.AST) -> None:
        match node:
            case ast.Attribute() | ast.Subscript() if not isinstance(node.ctx, ast.Load):
                self._set(node.value) if isinstance(node, ast.Attribute) else self._change(node.value)
                self._name(node)  # whose setter may run
            case ast.AugAssign(target=ast.Name() as target):
                self._change(target)
            case ast.Call():
                self._call(node)
            case ast.Name() | ast.Attribute():
                self._name(node)

    def _set(self, node: ast.expr) -> None:
        """Note that an attribute of an object is set."""
        if isinstance(node, ast.Name) and node.id == self._this:
            self.alters = True
        else:
            self._change(node)

    def _name(self, node: ast.expr) -> None:
        value = self._resolve(node)
        if value is not None:
            self.named.append(value)

    def _resolve(self, node: ast.expr) -> Value | None:
        """Return what a name of the surroundings stands for, or an attribute of a module or a class; else None."""
        spend(1)
        if isinstance(node, ast.Name):
            value = None if self._shadowing and node.id in self._own else self._scope.find(node.id)
            return self._reader.force(value) if isinstance(value, Lazy) else value
        if not isinstance(node, ast.Attribute):
            return None
        match self._resolve(node.value):
            case ModuleRef(name=name):
                return self._reader.module_attribute(name, node.attr, self._scope.place(node))
            case Instance(of=of) | (Class() as of):
                return lookup(of, node.attr, self._reader.force)
            case _:
                return None

    def _change(self, node: ast.expr) -> None:
        """Note that an object changes, which an expression gives or leads to."""
        value = self._resolve(node)
        if value is not None:
            self.changed.append(value)
        match node:
            case ast.Name(id=name):
                self.aliased = self.aliased or name in self._own
            case ast.Attribute(value=inner) | ast.Subscript(value=inner) | ast.Starred(value=inner):
                self._change(inner)
            case ast.Call(func=ast.Attribute(value=inner)):
                self._change(inner)
            case ast.Call(func=ast.Name(id=name)) if name in _NAMESPACES:
                self.changed.append(Names(self._scope))
            case ast.Call(func=ast.Name(id="type"), args=[inner]):
                self._change(inner)
            case ast.Call(func=function):
                self.aliased = self.aliased or not self._is_outside(self._resolve(function), function)
            case ast.Constant() | ast.JoinedStr():
                pass
            case _:
                self.aliased = True

    def _call(self, node: ast.Call) -> None:
        function = self._resolve(node.func)
        if isinstance(node.func, ast.Name) and node.func.id in ("delattr", "setattr") and node.args:
            self._set(node.args[0])
        if isinstance(node.func, ast.Attribute) and node.func.attr not in READING:
            if not isinstance(function, (Function, Wrapped)):
                self._change(node.func.value)
        elif isinstance(function, Bound) and function.name not in READING:
            self.changed.append(function.owner)
        elif isinstance(function, Partial):
            self.changed += function.parts
        if isinstance(node.func, ast.Attribute) and node.func.attr in READING:
            return
        outside = self._is_outside(function, node.func)
        if outside and self._leaves_arguments(function, node.func):
            return
        for argument in (*node.args, *(keyword.value for keyword in node.keywords)):
            for inner in ast.walk(argument):
                value = self._resolve(inner) if isinstance(inner, ast.expr) else None
                if isinstance(value, _CONTAINERS) or (value is not None and not outside):
                    self.changed.append(value)

    def _is_outside(self, function: Value | None, node: ast.expr) -> bool:
        """Return whether a function is not of the sources, and so changes no classes and services of theirs."""
        while isinstance(node, ast.Attribute):
            if node.attr.startswith("__"):  # `type.__setattr__` and the like
                return False
            node = node.value
            function = self._resolve(node) if function is None else function
        if isinstance(node, ast.Name) and function is None:
            return node.id not in self._own and node.id not in _CHANGING
        return isinstance(function, Symbol) and function.dotted.removeprefix("builtins.") not in _CHANGING

    @staticmethod
    def _leaves_arguments(function: Value | None, node: ast.expr) -> bool:
        if isinstance(function, Symbol):
            return in_standard_library(function.dotted) and not function.dotted.startswith(CHANGERS)
        return isinstance(node, ast.Name)  # built in
