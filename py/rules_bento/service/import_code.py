"""Finds the code that importing a service might run, unsupported operations in it, and its uses of each name.

Counted as run: all code of modules, classes, and lambdas; functions whose name such code mentions; methods of all
classes but services; functions below a decorator that may call them. Too much is counted rather than too little.
"""

from __future__ import annotations

import ast

from rules_bento.service.modules import FUNCTIONS, Binding, Module, Names, NotConstantError, dotted, is_guard
from rules_bento.service.sdk_names import public_name, words
from rules_bento.typing_lite import TYPE_CHECKING, Callable, Iterable, Iterator

if TYPE_CHECKING:
    from rules_bento.service.modules import Definition

# Attributes that lead from any object to names, modules, or classes, or that change them without naming them.
_ATTRIBUTES = words(
    "_getframe addsitedir currentframe f_back f_globals f_locals get_objects get_referrers import_module monkeypatch "
    "reload run_module run_path setattr setprofile settrace tb_frame MonkeyPatch"
)
_SAFE_DUNDERS = words("__annotations__ __doc__ __file__ __init__ __main__ __name__ __qualname__ __version__")
_BUILTINS = words("__builtins__ __import__ breakpoint compile delattr eval exec getattr globals locals setattr vars")
_OUTSIDE = tuple(
    words(
        "builtins ctypes gc imp importlib.machinery inspect pickle.loads pkgutil.resolve_name pydoc.locate "
        "sys._current_frames operator.attrgetter operator.methodcaller operator.setitem runpy sys.meta_path "
        "sys.modules sys.path unittest.mock"
    )
)
# Methods through which Python or a library runs code without a call.
_HOOKS = words("__class_getitem__ __get__ __getattribute__ __init_subclass__ __prepare__ __set_name__")
# Decorators that do not call what they decorate.
_PASSIVE = words(
    "abc.abstractmethod bentoml.api bentoml.task bentoml.on_deployment bentoml.on_shutdown bentoml.on_startup "
    "contextlib.asynccontextmanager contextlib.contextmanager functools.cache "
    "functools.cached_property functools.lru_cache functools.wraps staticmethod classmethod property "
    "torch.inference_mode torch.no_grad typing.final typing.no_type_check typing.overload"
)
_SERIALIZERS = ("pydantic.field_serializer", "pydantic.model_serializer")
_LIBRARIES = ("bentoml", "_bentoml_sdk", "_bentoml_impl")
# Libraries whose objects decide service metadata, too: nothing may be set on them.
_PATCHED = (*_LIBRARIES, "fastapi", "pydantic", "starlette", "typing")
# Decorators of an application of FastAPI or Starlette: with a path, and others.
ROUTES = words("api_route delete get head options patch post put route trace websocket websocket_route")
HANDLERS = words("exception_handler middleware on_event")
_NAMED_ELSEWHERE = words(
    "__base__ __bases__ __dict__ __globals__ __mro__ __subclasses__ attrgetter builtins ctypes gc inspect "
    "methodcaller mock modules pickle pkgutil pydoc runpy sys"
)
# A module that has none of these can't reach a service without its name, or that of a module that has it.
WORDS = frozenset(word.encode() for word in [*_ATTRIBUTES, *_BUILTINS, *_LIBRARIES, *_NAMED_ELSEWHERE])


class ImportCode:
    """Records where code that runs during the import mentions definitions, and its first unsupported operation."""

    def __init__(self, names: Names, modules: Iterable[Module], others: frozenset[bytes]) -> None:
        """Analyze the modules. `others`: the words of other imported modules, which might call any function."""
        self.names = names
        self._others = others
        self.mentions: dict[tuple[str, str], list[tuple[Module, ast.expr]]] = {}
        self.hazard: NotConstantError | None = None
        self._parents: dict[ast.AST, ast.AST] = {}
        self._functions: dict[str, list[tuple[Module, ast.AST]]] = {}
        self._called: set[str] = set()
        self._todo: list[tuple[Module, ast.AST]] = []
        for module in modules:
            if module.star:
                self._stop("`import *` isn't supported", module, module.star)
            self._todo += [(module, node) for node in reversed(module.tree.body)]
            while self._todo:
                self._run(*self._todo.pop())

    def parent(self, node: ast.AST) -> ast.AST | None:
        """Return the node around one that runs at import; None for a statement of a module."""
        return self._parents.get(node)

    def uses(self, definition: Definition) -> Iterator[tuple[Module, ast.expr]]:
        """Yield the mentions of a definition other than the binding itself and annotations."""
        for by, node in self.mentions.get(definition.key, ()):
            binding = isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
            if not (binding and not isinstance(self.parent(node), ast.AugAssign)) and not self.in_annotation(node):
                yield by, node

    def require_uses(self, definition: Definition, is_plain: Callable[[Module, ast.expr], bool]) -> None:
        """Raise NotConstantError unless all uses of a definition are plain."""
        for by, node in self.uses(definition):
            if not is_plain(by, node):
                raise NotConstantError(f"`{definition.name}` might be modified on this line", by.path, node)

    def in_annotation(self, node: ast.AST) -> bool:
        """Return whether a name is a part of an annotation, without a call around it."""
        around = self.parent(node)
        while isinstance(around, (ast.Subscript, ast.Tuple, ast.List, ast.BinOp, ast.Attribute)):
            node, around = around, self.parent(around)
        if isinstance(around, (ast.arg, ast.AnnAssign)):
            return around.annotation is node
        return isinstance(around, FUNCTIONS) and around.returns is node

    def is_route(self, module: Module, decorator: ast.expr) -> bool:
        """Return whether a decorator is a route of a library's object of this module: it doesn't call the function."""
        match decorator:
            case ast.Attribute(value=ast.Name(id=name), attr=attribute) if attribute in ROUTES | HANDLERS:
                match module.bindings.get(name):
                    case [Binding(node=ast.Call(func=function))]:
                        return bool(self.names.outside(module, function))
        return False

    def _stop(self, why: str, module: Module, node: ast.AST) -> None:
        self.hazard = self.hazard or NotConstantError(why, module.path, node)

    def _run(self, module: Module, node: ast.AST) -> None:
        below = list(ast.iter_child_nodes(node))
        around = self._parents.get(node)
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                below = self._function(module, node)
            case ast.Lambda(args=arguments, body=body):
                below = [*arguments.defaults, *(each for each in arguments.kw_defaults if each), body]
            case ast.If() if around is None and is_guard(module, node):
                below = list(node.orelse)
            case ast.Import() | ast.ImportFrom():
                self._import(module, node)
            case ast.Attribute() | ast.Name() if not (isinstance(around, ast.Attribute) and around.value is node):
                self._chain(module, node)
            case ast.AnnAssign():
                self._annotation(module, node.annotation)
            case ast.ClassDef():
                for keyword in node.keywords:
                    if keyword.arg == "metaclass" and dotted(module, keyword.value) != "abc.ABCMeta":
                        self._stop(f"class `{node.name}` has a metaclass", module, node)
            case ast.Subscript() if not isinstance(node.ctx, ast.Load):
                self._store(module, node)
        self._push(module, below, node)

    def _push(self, module: Module, nodes: list[ast.AST], around: ast.AST) -> None:
        for each in reversed(nodes):
            self._parents[each] = around
            self._todo.append((module, each))

    # Functions

    def _function(self, module: Module, node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[ast.AST]:
        """Return the parts of a function that the import runs: the whole function if it might be called."""
        arguments = node.args
        defaults = [*arguments.defaults, *(each for each in arguments.kw_defaults if each)]
        annotated = [each for each in ast.walk(arguments) if isinstance(each, ast.arg) and each.annotation]
        returns = [node.returns] if node.returns else []
        for annotation in [*(each.annotation for each in annotated), *returns]:
            self._annotation(module, annotation)
        runs: list[ast.AST] = [*node.decorator_list, *defaults, *annotated, *returns]
        owner = self._parents.get(node)
        decorators = [callee(each) for each in node.decorator_list]
        known = [dotted(module, each) or (each.id if isinstance(each, ast.Name) else "") for each in decorators]
        kinds = [dotted(module, callee(each)) for each in getattr(owner, "decorator_list", ())]
        if isinstance(owner, ast.ClassDef) and "bentoml.service" not in kinds:
            if node.name in _HOOKS:
                self._stop(f"`{node.name}` runs without a call", module, node)
            called = not any(each in _SERIALIZERS for each in known)
        else:
            pairs = zip(known, decorators, strict=True)
            called = not all(name in _PASSIVE or self.is_route(module, each) for name, each in pairs)
        if called or node.name in self._called or node.name.encode() in self._others:
            return [*runs, *node.body]
        self._functions.setdefault(node.name, []).append((module, node))
        return runs

    def _annotation(self, module: Module, node: ast.AST | None) -> None:
        """Stop at a string in an annotation that calls something when BentoML or pydantic evaluates it."""
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and "(" in node.value:
            self._stop("a string annotation calls something", module, node)
        elif isinstance(node, ast.Subscript):
            if getattr(node.value, "attr", getattr(node.value, "id", "")) not in ("Annotated", "Literal"):
                self._annotation(module, node.slice)
        elif isinstance(node, (ast.Tuple, ast.List, ast.BinOp)):
            for each in ast.iter_child_nodes(node):
                self._annotation(module, each)

    def _call(self, name: str) -> None:
        """Run all functions of a name."""
        if name not in self._called:
            self._called.add(name)
            for module, node in self._functions.pop(name, ()):
                self._push(module, getattr(node, "body"), node)  # noqa: B009

    # Names

    def _import(self, module: Module, node: ast.Import | ast.ImportFrom) -> None:
        for _, binding in module.imported(node):
            self._call(binding.name)
            if binding.name and (_is_below(binding.path, _OUTSIDE) or binding.name in _ATTRIBUTES):
                self._stop(f"`{binding.path}` is imported", module, node)

    def _chain(self, module: Module, node: ast.Attribute | ast.Name) -> None:
        """Look at a name, or at attributes of one: `lib.values.LABELS`."""
        attributes: list[ast.Attribute] = []
        root: ast.expr = node
        while isinstance(root, ast.Attribute):
            attributes.insert(0, root)
            root = root.value
            self._attribute(module, attributes[0])
        if isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load):
            self._store(module, node)
        if isinstance(root, ast.Name):
            self._call(root.id)
            if root.id in _BUILTINS and root.id not in module.bindings:
                self._stop(f"`{root.id}` isn't supported", module, node)
            self._mention(module, root, attributes)

    def _attribute(self, module: Module, node: ast.Attribute) -> None:
        name = node.attr
        self._call(name)
        dunder = name.startswith("__") and name.endswith("__") and name not in _SAFE_DUNDERS
        if dunder or name in _ATTRIBUTES:
            self._stop(f"`.{name}` isn't supported", module, node)

    def _mention(self, module: Module, root: ast.Name, attributes: list[ast.Attribute]) -> None:
        """Note which definition of the sources, or which outside name, an expression mentions."""
        self.mentions.setdefault((module.name, root.id), []).append((module, root))
        if isinstance(root.ctx, ast.Store) and not isinstance(self._parents.get(root), ast.AugAssign):
            return
        seen = {(module.name, root.id)}
        todo: list[tuple[Binding, ast.expr, list[ast.Attribute]]]
        todo = [(each, root, attributes) for each in module.imports.get(root.id, ())]
        while todo:
            binding, node, attributes = todo.pop()
            if not self.names.files.owns(binding.path):
                self._outside(module, binding.path, node, attributes)
                continue
            owner, name = binding.module, binding.name
            if self.names.files.find(binding.path):
                owner, name = binding.path, ""
            while not name and attributes:
                node, attributes = attributes[0], attributes[1:]
                assert isinstance(node, ast.Attribute)
                if self.names.files.find(f"{owner}.{node.attr}"):
                    owner = f"{owner}.{node.attr}"
                else:
                    name = node.attr
                    if not isinstance(node.ctx, ast.Load):
                        self.names.stores.setdefault((owner, name), (module, node))
            if not name:
                self._stop(f"module `{owner}` is used as a value", module, node)
            elif (owner, name) not in seen:
                seen.add((owner, name))
                self.mentions.setdefault((owner, name), []).append((module, node))
                file = self.names.files.find(owner)
                source = self.names.parsed(owner, file) if file else None
                todo += [(each, node, attributes) for each in (source.imports.get(name, ()) if source else ())]

    def _outside(self, module: Module, path: str, node: ast.expr, attributes: list[ast.Attribute]) -> None:
        name = public_name(".".join([path, *(each.attr for each in attributes)]))
        top = attributes[-1] if attributes else node
        if _is_below(name, _OUTSIDE):
            self._stop(f"`{name}` isn't supported", module, node)
        elif name == "sys" or (name.partition(".")[0] in _LIBRARIES and not self._is_plain_use(name, top)):
            self._stop(f"`{name}` is passed on as a value", module, node)

    def _is_plain_use(self, name: str, node: ast.expr) -> bool:
        """Return whether an object of BentoML is called, subclassed, caught, or named in an annotation."""
        if name in ("bentoml", "bentoml.models", "bentoml.images"):
            return False
        match self._parents.get(node):
            case ast.Call(func=function):
                return function is node
            case ast.FunctionDef(decorator_list=decorators) | ast.AsyncFunctionDef(decorator_list=decorators):
                return node in decorators or self.in_annotation(node)
            case ast.ClassDef() | ast.Expr():
                return True
        return name.startswith("bentoml.exceptions.") or self.in_annotation(node)

    def _store(self, module: Module, node: ast.expr) -> None:
        """Stop where code sets something on a library that decides service metadata."""
        root = node
        while isinstance(root, (ast.Attribute, ast.Subscript)):
            root = root.value
        name = self.names.outside(module, root) if isinstance(root, ast.Name) else None
        if name and name.partition(".")[0] in _PATCHED:
            self._stop(f"`{name}` is modified on this line", module, node)


def callee(decorator: ast.expr) -> ast.expr:
    """Return the function of a decorator with or without arguments."""
    return decorator.func if isinstance(decorator, ast.Call) else decorator


def _is_below(name: str, roots: Iterable[str]) -> bool:
    return any(name == each or name.startswith(f"{each}.") for each in roots)
