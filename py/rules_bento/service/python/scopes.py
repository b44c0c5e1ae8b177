"""Keeps the names of a module, a class body or a function while it is being read."""

from __future__ import annotations

from rules_bento.records import dataclass, field
from rules_bento.service.python.values import Opaque, Place, Symbol, Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ast

# What every module has before its first line; the values matter only for being defined.
_IMPLICIT = frozenset({"__file__", "__builtins__", "__spec__", "__loader__", "__path__", "__cached__"})


@dataclass(eq=False)
class Module:
    """Holds a module of the sources, which is read once.

    Attributes:
        running: its statements are still being read (a circular import sees it so).
        may_fail: something in it raises on some way.
        star: a `from … import *` from outside the sources, which may have bound any name.

    """

    name: str
    path: str
    package: bool
    scope: Scope = field(init=False)
    running: bool = True
    may_fail: bool = False
    star: Opaque | None = None
    volatile: frozenset[str] = frozenset()


@dataclass(eq=False)
class Scope:
    """Holds the names of one module, class body or function call.

    Attributes:
        kind: `module`, `class` or `function`.
        parent: the scope around it.
        maybe: names that only some way through the code binds.
        outer: names that a function declares `global` or `nonlocal`.
        returns: what a function has returned so far.
        left: some way has left it before its end.
        annotations: what names are annotated with.

    """

    kind: str
    module: Module
    parent: Scope | None = None
    names: dict[str, Value] = field(default_factory=dict)
    maybe: set[str] = field(default_factory=set)
    outer: set[str] = field(default_factory=set)
    returns: list[Value] = field(default_factory=list)
    left: bool = False
    annotations: dict[str, ast.expr] = field(default_factory=dict)

    def find(self, name: str) -> Value | None:
        """Look a name up as Python does: here, in the functions around, in the module."""
        scope: Scope | None = self
        while scope is not None:
            # A class body is seen from itself only, not from the functions in it.
            if name in scope.names and (scope is self or scope.kind != "class"):
                return scope.names[name]
            scope = scope.parent
        return None

    def lookup(self, name: str, node: ast.AST, builtins: frozenset[str]) -> Value:
        """Return the value of a name, `Opaque` where nothing plain binds it."""
        value = self.find(name)
        if value is not None:
            return value
        place = self.place(node)
        if name in _IMPLICIT:
            return Opaque(f"`{name}` is known only when the code runs", place, inert=True, origin="os")
        if self.module.star is not None:
            return self.module.star
        if name in builtins:
            return Symbol(f"builtins.{name}")
        return Opaque(f"`{name}` is not bound plainly in {self.module.path}", place)

    def place(self, node: ast.AST) -> Place:
        """Return where a node stands."""
        return Place(self.module.path, getattr(node, "lineno", 1))
