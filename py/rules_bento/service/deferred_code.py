"""Decides which functions, methods, and lambdas an import runs: those that running code uses by any name.

A method runs only if its class is used: if the class is called, passed on, or gets another name. An annotation, a base
class, or an import alone doesn't use a class. If creating a class runs code of a base class or metaclass, the class is
used, because this code can do anything with the class.
"""

from __future__ import annotations

import ast

from rules_bento.service.modules import FUNCTIONS, Module, Names, dotted
from rules_bento.service.sdk_names import words
from rules_bento.typing_lite import Callable

# Methods that run if a subclass, or a class of this metaclass, is created.
_ON_SUBCLASS = words("__init_subclass__ __pydantic_init_subclass__")
_CREATORS = words("__init__ __new__ __prepare__ mro")
# Methods that run if an annotation contains the class.
_ON_ANNOTATION = words(
    "__class_getitem__ __get_pydantic_core_schema__ __get_pydantic_json_schema__ __get_validators__ __modify_schema__"
)
_SERIALIZERS = ("pydantic.field_serializer", "pydantic.model_serializer")
# Class decorators that don't make objects.
_PASSIVE = words(
    "attr.attrs attr.dataclass attr.define attr.frozen attr.mutable attr.s attrs.define attrs.frozen attrs.mutable "
    "dataclasses.dataclass enum.unique functools.total_ordering pydantic.dataclasses.dataclass typing.final "
    "typing.runtime_checkable typing_extensions.final typing_extensions.runtime_checkable"
)
# Functions that keep a function or class, without calling it. Factories are called if an object of the class is made.
_KEEPERS = words("bentoml.depends bentoml.Dependency fastapi.Depends fastapi.Security fastapi.param_functions.Depends")
_FIELDS = words("attr.field attr.ib attrs.field dataclasses.field pydantic.Field pydantic.fields.Field")
_FACTORIES = ("default_factory", "factory")
_APPLICATIONS = words("fastapi.FastAPI fastapi.applications.FastAPI starlette.applications.Starlette")
_DISPLAYS = (ast.Dict, ast.List, ast.Set, ast.Tuple)


class DeferredCode:
    """Registers code that waits for the use of a name, and runs the code as soon as the name is used.

    The keys `subclass K` and `metaclass K` represent that a subclass of K, or a class with the metaclass K, runs code
    of K while it is created, and `enum K` that K is an enumeration, whose creation runs `__init__`. `suspects` contains
    the names that only words of files in `others` use.
    """

    def __init__(
        self,
        names: Names,
        others: frozenset[bytes],
        parent: Callable[[ast.AST | None], ast.AST | None],
        run: Callable[[Module, ast.AST], None],
    ) -> None:
        self.suspects: set[bytes] = set()
        self._names = names
        self._others = others
        self._parent = parent
        self._run = run
        self._used: set[str] = set()
        self._started: set[ast.AST] = set()
        self._waiting: dict[str, list[tuple[Module, ast.AST]]] = {}
        self._links: dict[str, set[str]] = {}

    def use(self, name: str) -> None:
        """Mark a name, and the names that it uses, as used. Runs the code that waits for these names."""
        todo = [name]
        while todo:
            name = todo.pop()
            if name not in self._used:
                self._used.add(name)
                todo += sorted(self._links.pop(name, ()))
                for module, node in self._waiting.pop(name, ()):
                    self._start(module, node)

    def link(self, name: str, *others: str) -> None:
        """Mark `others` as used if `name` is used, now or later."""
        if name in self._used:
            for each in others:
                self.use(each)
        else:
            self._links.setdefault(name, set()).update(others)

    def rename(self, name: str, alias: str) -> None:
        """Register another name of a function or class."""
        self.link(alias, name)
        for kind in ("enum", "subclass", "metaclass"):
            self.link(f"{kind} {name}", f"{kind} {alias}")

    def _wait(self, name: str, module: Module, node: ast.AST) -> None:
        self._check_others(name)
        if name in self._used:
            self._start(module, node)
        else:
            self._waiting.setdefault(name, []).append((module, node))

    def _start(self, module: Module, node: ast.AST) -> None:
        if node not in self._started:
            self._started.add(node)
            self._run(module, node)

    def _check_others(self, name: str) -> None:
        if name not in self._used and name.encode() in self._others:
            self.suspects.add(name.encode())
            self.use(name)

    # Definitions

    def add_class(self, module: Module, node: ast.ClassDef) -> None:
        """Register a class. The class is used if a decorator, a base class, or a metaclass might use it."""
        name = node.name
        self._check_others(name)
        owner = self.owner(node)
        if owner:
            self.link(owner.name, name)
        for base in node.bases:
            known = self._class_name(module, base)
            self.link(name, known)
            self.link(f"subclass {known}", known, name, f"subclass {name}")
            self.link(f"metaclass {known}", f"metaclass {name}")
            self.link(f"enum {known}", f"enum {name}")
            if (dotted(module, base) or "").startswith("enum."):
                self.use(f"enum {name}")
            if not known:
                self.use(name)
        for keyword in node.keywords:
            if keyword.arg == "metaclass":
                known = self._class_name(module, keyword.value)
                self.link(name, known)
                self.link(f"metaclass {known}", known, name, f"subclass {name}")
                if not known:
                    self.use(name)
        decorators = [each.func if isinstance(each, ast.Call) else each for each in node.decorator_list]
        if not self._is_service(module, node) and any(dotted(module, each) not in _PASSIVE for each in decorators):
            self.use(name)

    def add_function(self, module: Module, node: ast.FunctionDef | ast.AsyncFunctionDef, kinds: list[str]) -> None:
        """Register a function whose decorators `kinds` don't call it."""
        owner = self.owner(node)
        if owner is None or self._is_service(module, owner):
            return self._wait(node.name, module, node)
        if node.name in _ON_SUBCLASS:
            self.use(f"subclass {owner.name}")
        if node.name in _CREATORS:
            self.use(f"metaclass {owner.name}")
        if node.name.startswith("_") and node.name.endswith("_"):
            self._wait(f"enum {owner.name}", module, node)
        if node.name in _ON_ANNOTATION:
            return self._start(module, node)
        return self._wait(node.name if any(each in _SERIALIZERS for each in kinds) else owner.name, module, node)

    def add_lambda(self, module: Module, node: ast.Lambda) -> None:
        """Register a lambda. Runs it unless it is the value of a name, or of a field that has a factory."""
        around = self._parent(node)
        while isinstance(around, _DISPLAYS):
            around = self._parent(around)
        owner = self.owner(node)
        owner = None if owner and self._is_service(module, owner) else owner
        if isinstance(around, ast.Assign) and len(around.targets) == 1 and isinstance(around.targets[0], ast.Name):
            return self._wait(owner.name if owner else around.targets[0].id, module, node)
        if isinstance(around, ast.AnnAssign) and isinstance(around.target, ast.Name):
            return self._wait(owner.name if owner else around.target.id, module, node)
        if owner and self._is_factory(module, node):
            return self._wait(owner.name, module, node)
        return self._start(module, node)

    # Uses

    def mention(self, module: Module, node: ast.expr, names: list[str]) -> None:
        """Register an expression that consists of `names`, such as `lib.values.LABELS`, outside of annotations."""
        if not isinstance(getattr(node, "ctx", None), ast.Load):
            names = names[:-1]  # an assignment doesn't call the function that has the name
        elif self._is_base(node) or self._is_kept(module, node):
            names = []
        elif self._is_factory(module, node):
            owner = self.owner(node)
            if owner:
                self.link(owner.name, *names)
                names = []
        for name in names:
            self.use(name)

    def _is_base(self, node: ast.AST) -> bool:
        around = self._parent(node)
        while isinstance(around, ast.Subscript) and around.value is node:
            node, around = around, self._parent(around)
        if isinstance(around, ast.keyword):
            return around.arg == "metaclass" and isinstance(self._parent(around), ast.ClassDef)
        return isinstance(around, ast.ClassDef) and node in around.bases

    def _is_kept(self, module: Module, node: ast.AST) -> bool:
        keyword, call = self._argument_of(node)
        maker = self._names.outside(module, call.func) if call else None
        return maker in _KEEPERS or (maker in _APPLICATIONS and keyword == "lifespan")

    def _is_factory(self, module: Module, node: ast.AST) -> bool:
        keyword, call = self._argument_of(node)
        return keyword in _FACTORIES and call is not None and self._names.outside(module, call.func) in _FIELDS

    def _argument_of(self, node: ast.AST) -> tuple[str, ast.Call | None]:
        """Return the call that has `node` as an argument, or None, and the name of the keyword."""
        around, keyword = self._parent(node), ""
        if isinstance(around, ast.keyword):
            keyword, around = around.arg or "", self._parent(around)
        is_argument = isinstance(around, ast.Call) and around.func is not node
        return keyword, around if isinstance(around, ast.Call) and is_argument else None

    # Classes

    def owner(self, node: ast.AST) -> ast.ClassDef | None:
        """Return the class whose body contains a node, or None if the node is in a module or function."""
        around = self._parent(node)
        while around and not isinstance(around, (ast.ClassDef, ast.Lambda, *FUNCTIONS)):
            around = self._parent(around)
        return around if isinstance(around, ast.ClassDef) else None

    def _is_service(self, module: Module, node: ast.ClassDef) -> bool:
        decorators = [each.func if isinstance(each, ast.Call) else each for each in node.decorator_list]
        return "bentoml.service" in [dotted(module, each) for each in decorators]

    def _class_name(self, module: Module, node: ast.expr) -> str:
        """Return the last part of the name of a base class or metaclass, or "" for any other expression."""
        while isinstance(node, ast.Subscript):
            node = node.value
        if isinstance(node, ast.Call) and self._names.outside(module, node.func):
            return "object"  # such as `namedtuple("K", "a b")`; the arguments are used
        root = node
        while isinstance(root, ast.Attribute):
            root = root.value
        if not isinstance(root, ast.Name):
            return ""
        bound = [each.node for each in module.bindings.get(root.id, ())]
        if root.id in module.imports or all(isinstance(each, ast.ClassDef) for each in bound):
            return node.attr if isinstance(node, ast.Attribute) else root.id
        makers = [self._names.outside(module, each.func) for each in bound if isinstance(each, ast.Call)]
        return "object" if len(bound) == 1 and any(makers) else ""
