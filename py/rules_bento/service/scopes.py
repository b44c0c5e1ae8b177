"""Finds the scope of analyzed code, and whether names refer to objects of libraries, of Python, or of the sources."""

from __future__ import annotations

import ast
import sys
from itertools import islice

from rules_bento.service.modules import FUNCTIONS, Binding, Module, Names, bindings_of, dotted
from rules_bento.service.sdk_names import public_name
from rules_bento.typing_lite import Iterator, Mapping, Sequence

_MAX_LITERAL = 1000
_LITERALS = (ast.Constant, ast.Dict, ast.List, ast.Load, ast.Set, ast.Tuple)


class Scopes:
    """The parents and scopes of analyzed nodes. A scope is a class, function, or lambda, or None for a module."""

    def __init__(self, names: Names, modules: Mapping[str, Module]) -> None:
        self._names = names
        self._modules = modules
        self._parents: dict[ast.AST, ast.AST] = {}
        self._scopes: dict[ast.AST, ast.AST | None] = {}
        self._bindings: dict[ast.AST, dict[str, list[ast.AST]]] = {}
        self._decorators: dict[ast.AST, list[str]] = {}
        self._foreign: dict[ast.AST, bool] = {}
        self._classes: dict[tuple[str, ...], bool] = {}

    def add(self, node: ast.AST, around: ast.AST) -> None:
        """Record the parent of a node. Decorators, defaults, and base classes belong to the scope of the definition."""
        is_body = isinstance(around, (ast.ClassDef, *FUNCTIONS)) and isinstance(node, ast.stmt)
        is_body |= isinstance(around, ast.Lambda) and not isinstance(node, ast.arguments)
        self._parents[node] = around
        self._scopes[node] = around if is_body else self._scopes.get(around)

    def parent(self, node: ast.AST | None) -> ast.AST | None:
        """Return the parent of `node`, or None if `node` is None, is a top-level statement, or wasn't analyzed."""
        return self._parents.get(node) if node else None

    def around(self, node: ast.AST) -> Iterator[ast.AST]:
        """Yield the scopes that contain a node, from the innermost to the outermost."""
        scope = self._scopes.get(node)
        while scope is not None:
            yield scope
            scope = self._scopes.get(scope)

    def owner(self, node: ast.AST) -> ast.ClassDef | None:
        """Return the class whose body runs a node, or None if a module or function runs the node."""
        scope = self._scopes.get(node)
        return scope if isinstance(scope, ast.ClassDef) else None

    def bindings(self, scope: ast.AST) -> dict[str, list[ast.AST]]:
        """Return the nodes that bind each name of a scope, without the names that are `global` or `nonlocal`."""
        if scope not in self._bindings:
            self._bindings[scope] = bindings_of(scope)
        return self._bindings[scope]

    def binders(self, node: ast.AST, name: str) -> list[ast.AST]:
        """Return the nodes that bind a name in a scope around a node, or [] if the name is a name of the module."""
        for at, scope in enumerate(self.around(node)):
            found = [] if at and isinstance(scope, ast.ClassDef) else self.bindings(scope).get(name, [])
            if found:
                return found
        return []

    def known(self, module: Module, node: ast.AST, at: ast.AST) -> str:
        """Return the dotted name of an object that is imported, or is a builtin, or "" for any other expression.

        `at` is `node`, or the analyzed node that `node` is a part of.
        """
        attributes, root = chain(node)
        if not isinstance(root, ast.Name):
            return ""
        binders = self.binders(at, root.id)
        if not binders and root is node and root.id not in module.bindings:
            return root.id
        paths = {each.path for each in module.imports.get(root.id, ())}
        is_import = len(paths) == 1 and all(isinstance(each, ast.alias) for each in binders)
        name = public_name(".".join([*paths, *attributes])) if is_import else ""
        name = name if binders else dotted(module, node) or ""
        is_replaced = self._names.files.owns(name) and name.partition(".")[0] not in sys.stdlib_module_names
        return "" if is_replaced else name

    def decorators(self, module: Module, node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
        """Return the name that `known` returns for each decorator."""
        if node not in self._decorators:
            functions = [each.func if isinstance(each, ast.Call) else each for each in node.decorator_list]
            self._decorators[node] = [self.known(module, each, node) for each in functions]
        return self._decorators[node]

    def outside(self, module: Module, node: ast.AST, at: ast.AST) -> str:
        """Return the dotted name of an object imported from outside the sources, or "" for any other expression."""
        name = self.known(module, node, at)
        is_builtin = isinstance(node, ast.Name) and name == node.id and name not in module.imports
        return "" if not name or is_builtin or self._names.files.owns(name) else name

    def sources_of(self, module: Module, node: ast.AST) -> Sequence[str]:
        """Return the dotted names of objects outside the sources to which an expression might refer."""
        while isinstance(node, (ast.Call, ast.Subscript)):
            node = node.func if isinstance(node, ast.Call) else node.value
        attributes, root = chain(node)
        found = module.imports.get(root.id, ()) if isinstance(root, ast.Name) else ()
        return [".".join([each.path, *attributes]) for each in found if not self._names.files.owns(each.path)]

    def is_class(self, module: Module, node: ast.AST, at: ast.AST) -> bool:
        """Return whether a name, or attributes of a name, are certainly a class, or defined outside the sources."""
        attributes, root = chain(node)
        if not isinstance(root, ast.Name):
            return False
        if binders := self.binders(at, root.id):
            return all(self._is_class(module, root.id, each, attributes, at, ()) for each in binders)
        key = (module.name, root.id, *attributes)
        if key not in self._classes:
            self._classes[key] = self._is_global_class(module, root.id, attributes, ())
        return self._classes[key]

    def _is_global_class(self, module: Module, name: str, attributes: list[str], seen: tuple[Binding, ...]) -> bool:
        binders = self.bindings(module.tree).get(name, [])
        elsewhere = any(isinstance(each.node, ast.Global) for each in module.bindings.get(name, ()))
        return not elsewhere and all(self._is_class(module, name, each, attributes, None, seen) for each in binders)

    def _is_class(
        self,
        module: Module,
        name: str,
        binder: ast.AST,
        attributes: list[str],
        at: ast.AST | None,
        seen: tuple[Binding, ...],
    ) -> bool:
        """Return whether attributes of what `binder` binds to a name are certainly a class, or from a library."""
        if isinstance(binder, ast.alias):
            return all(self._is_imported_class(each, attributes, seen) for each in module.imports.get(name, ()))
        if not isinstance(binder, ast.ClassDef):
            return isinstance(binder, ast.expr) and self.is_foreign(module, binder, at)
        decorators = self.decorators(module, binder)
        if not all(decorators) or any(map(self._names.files.owns, decorators)):
            return False
        inner = self.bindings(binder).get(attributes[0], []) if attributes else [binder]
        rest = attributes[1:]
        return bool(inner) and all(
            each is binder or (isinstance(each, ast.ClassDef) and self._is_class(module, "", each, rest, at, seen))
            for each in inner
        )

    def _is_imported_class(self, binding: Binding, attributes: list[str], seen: tuple[Binding, ...]) -> bool:
        if not self._names.files.owns(binding.path):
            return True
        source = self._modules.get(binding.module)
        if source is None or binding in seen or binding.name not in source.bindings:
            return False
        return self._is_global_class(source, binding.name, attributes, (*seen, binding))

    def is_owned(self, module: Module, name: str) -> bool:
        """Return whether a name might be imported from the sources."""
        return any(self._names.files.owns(each.path) for each in module.imports.get(name, ()))

    def is_foreign(self, module: Module, node: ast.AST, at: ast.AST | None) -> bool:
        """Return whether an expression uses only literals, and objects that the sources don't define."""
        if node not in self._foreign:
            parts = list(ast.walk(node))
            names = {each.id for each in parts if isinstance(each, ast.Name)}
            is_plain = not any(isinstance(each, ast.Lambda) for each in parts)
            self._foreign[node] = is_plain and all(self._is_foreign_name(module, each, at) for each in names)
        return self._foreign[node]

    def _is_foreign_name(self, module: Module, name: str, at: ast.AST | None) -> bool:
        def is_plain(binding: Binding) -> bool:
            parts = list(islice(ast.walk(binding.node), _MAX_LITERAL))
            is_literal = len(parts) < _MAX_LITERAL and all(isinstance(each, _LITERALS) for each in parts)
            return bool(binding.module) or is_literal

        is_known = not self.is_owned(module, name) and not (at and self.binders(at, name))
        return is_known and all(map(is_plain, module.bindings.get(name, ())))


def chain(node: ast.AST) -> tuple[list[str], ast.AST]:
    """Split `x.y.z` into the names of the attributes and the expression `x`."""
    attributes: list[str] = []
    while isinstance(node, ast.Attribute):
        attributes.insert(0, node.attr)
        node = node.value
    return attributes, node
