"""The code that importing a service may run, what it may do that can't be followed, and where it uses each name.

Counted as run: all code of modules, classes, and lambdas; functions whose name such code mentions; methods of all
classes but services; functions below a decorator that may call them. Too much is counted rather than too little.
"""

from __future__ import annotations

import ast

from rules_bento.service.bindings import (
    FUNCTIONS,
    Binding,
    Module,
    Names,
    NotConstantError,
    cut,
    dotted,
    is_guard,
)
from rules_bento.service.sdk_names import public_name, words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# Attributes that lead from any object to names, modules, or classes, or that change them without naming them.
_ATTRIBUTES = words(
    "_getframe addsitedir currentframe f_back f_globals f_locals get_objects get_referrers import_module monkeypatch "
    "reload run_module run_path setattr setprofile settrace tb_frame MonkeyPatch"
)
_SAFE_DUNDERS = words("__annotations__ __doc__ __file__ __init__ __main__ __name__ __qualname__ __version__")
_BUILTINS = words("__builtins__ __import__ breakpoint compile delattr eval exec globals locals setattr vars")
_OUTSIDE = (
    "builtins",
    "ctypes",
    "gc",
    "imp",
    "importlib.machinery",
    "inspect",
    "pickle.loads",
    "pkgutil.resolve_name",
    "pydoc.locate",
    "sys._current_frames",
    "operator.attrgetter",
    "operator.methodcaller",
    "operator.setitem",
    "runpy",
    "sys.meta_path",
    "sys.modules",
    "sys.path",
    "unittest.mock",
)
_SAFE_INSPECT = words("cleandoc getdoc isclass iscoroutinefunction isfunction ismethod signature Parameter Signature")
# Methods through which Python or a library runs code without a call: a class that has one is not followed.
_HOOKS = words("__class_getitem__ __get__ __getattribute__ __init_subclass__ __prepare__ __set_name__")
# Decorators that do not call what they decorate.
_PASSIVE = words(
    "abc.abstractmethod bentoml.api bentoml.task bentoml.on_deployment bentoml.on_shutdown bentoml.on_startup "
    "bentoml.legacy.Runnable.method contextlib.asynccontextmanager contextlib.contextmanager functools.cache "
    "functools.cached_property functools.lru_cache functools.wraps staticmethod classmethod property "
    "torch.inference_mode torch.no_grad typing.final typing.no_type_check typing.overload"
)
_SERIALIZERS = ("pydantic.field_serializer", "pydantic.model_serializer")
_LIBRARIES = ("bentoml", "_bentoml_sdk", "_bentoml_impl")
# Libraries whose objects decide service metadata, too: nothing may be set on them.
_PATCHED = (*_LIBRARIES, "fastapi", "pydantic", "starlette", "typing")
_ROUTES = words(
    "api_route delete get head options patch post put route trace websocket websocket_route middleware "
    "exception_handler on_event"
)
_NAMED_ELSEWHERE = words(
    "__base__ __bases__ __dict__ __globals__ __mro__ __subclasses__ attrgetter builtins ctypes gc getattr inspect "
    "methodcaller mock modules pickle pkgutil pydoc runpy sys"
)
# A module that has none of these can't reach a service without its name, or that of a module that has it.
WORDS = frozenset(word.encode() for word in [*_ATTRIBUTES, *_BUILTINS, *_LIBRARIES, *_NAMED_ELSEWHERE])


class ImportCode:
    """Holds where code that runs at import mentions the definitions of the sources, and what in it is not followed."""

    def __init__(self, names: Names, modules: Iterable[Module], others: frozenset[bytes]) -> None:
        """Look at modules; `others` are the words of further modules that are imported, which may call anything."""
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
            self._run()

    def parent(self, node: ast.AST) -> ast.AST | None:
        """Return the node around one that runs at import; None for a statement of a module."""
        return self._parents.get(node)

    def parents(self, node: ast.AST) -> Iterator[ast.AST]:
        """Yield all nodes around one, inner ones first."""
        around = self._parents.get(node)
        while around is not None:
            yield around
            around = self._parents.get(around)

    def _stop(self, why: str, module: Module, node: ast.AST) -> None:
        self.hazard = self.hazard or NotConstantError(why, module.path, node)

    def _run(self) -> None:
        while self._todo:
            module, node = self._todo.pop()
            if isinstance(node, (*FUNCTIONS, ast.Lambda)):
                self._function(module, node)
                continue
            below = list(ast.iter_child_nodes(node))
            match node:
                case ast.If() if self._parents.get(node) is None and is_guard(module, node):
                    below = list(node.orelse)
                case ast.Import() | ast.ImportFrom():
                    self._import(module, node)
                case ast.Attribute() | ast.Name():
                    if not self._inner(node):
                        self._chain(module, node)
                case ast.AnnAssign():
                    self._annotation(module, node.annotation)
                case ast.ClassDef():
                    self._class(module, node)
                case ast.Subscript() if not isinstance(node.ctx, ast.Load):
                    self._store(module, node)
            self._push(module, below, node)

    def _push(self, module: Module, nodes: Iterable[ast.AST], around: ast.AST) -> None:
        for each in reversed(list(nodes)):
            self._parents[each] = around
            self._todo.append((module, each))

    def _inner(self, node: ast.AST) -> bool:
        """Return whether an attribute around a name has been looked at."""
        around = self._parents.get(node)
        return isinstance(around, ast.Attribute) and around.value is node

    # Functions

    def _function(self, module: Module, node: ast.AST) -> None:
        assert isinstance(node, (*FUNCTIONS, ast.Lambda))
        arguments = node.args
        defaults = [*arguments.defaults, *(each for each in arguments.kw_defaults if each)]
        if isinstance(node, ast.Lambda):
            self._push(module, [*defaults, node.body], node)
            return
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
        annotations = [each for each in every if each and each.annotation]
        returns = [node.returns] if node.returns else []
        for each in [*(each.annotation for each in annotations), *returns]:
            self._annotation(module, each)
        self._push(module, [*node.decorator_list, *defaults, *annotations, *returns], node)
        owner = self._parents.get(node)
        decorators = [_callee(each) for each in node.decorator_list]
        known = [dotted(module, each) or (each.id if isinstance(each, ast.Name) else "") for each in decorators]
        if isinstance(owner, ast.ClassDef) and not self.is_service(module, owner):
            if node.name in _HOOKS:
                self._stop(f"`{node.name}` runs without a call", module, node)
            runs = not any(each in _SERIALIZERS for each in known)
        else:
            routes = (self.is_route(module, each) for each in decorators)
            runs = not all(each in _PASSIVE or route for each, route in zip(known, routes, strict=True))
        if runs or node.name in self._called or node.name.encode() in self._others:
            self._push(module, node.body, node)
        else:
            self._functions.setdefault(node.name, []).append((module, node))

    def _annotation(self, module: Module, node: ast.AST | None) -> None:
        """Stop at a string in an annotation that calls something when BentoML or pydantic evaluates it."""
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and "(" in node.value:
            self._stop("a string annotation calls something", module, node)
        elif isinstance(node, ast.Subscript):
            name = getattr(node.value, "attr", getattr(node.value, "id", ""))
            if name not in ("Annotated", "Literal"):
                self._annotation(module, node.slice)
        elif isinstance(node, (ast.Tuple, ast.List, ast.BinOp)):
            for each in ast.iter_child_nodes(node):
                self._annotation(module, each)

    def _call(self, name: str) -> None:
        """Run all functions of a name."""
        if name in self._called:
            return
        self._called.add(name)
        for module, node in self._functions.pop(name, ()):
            assert isinstance(node, FUNCTIONS)
            self._push(module, node.body, node)

    def is_service(self, module: Module, node: ast.ClassDef) -> bool:
        """Return whether a class statement is decorated by `@bentoml.service`."""
        return any(dotted(module, _callee(each)) == "bentoml.service" for each in node.decorator_list)

    def is_route(self, module: Module, decorator: ast.expr) -> bool:
        """Return whether a decorator is a route of a library's object made in this module: not called at import."""
        if not isinstance(decorator, ast.Attribute) or decorator.attr not in _ROUTES:
            return False
        known = module.bindings.get(decorator.value.id, ()) if isinstance(decorator.value, ast.Name) else ()
        made = known[0].node.func if len(known) == 1 and isinstance(known[0].node, ast.Call) else None
        name = dotted(module, made) if made else None
        return bool(name and not self.names.files.owns(name))

    # Statements and names

    def _class(self, module: Module, node: ast.ClassDef) -> None:
        for keyword in node.keywords:
            if keyword.arg == "metaclass" and dotted(module, keyword.value) != "abc.ABCMeta":
                self._stop(f"class `{cut(node.name)}` has a metaclass", module, node)

    def _import(self, module: Module, node: ast.Import | ast.ImportFrom) -> None:
        for _, binding in module.imported(node):
            self._call(binding.name)
            name = f"{binding.module}.{binding.name}"
            if binding.name and (_is_below(name, _OUTSIDE) or binding.name in _ATTRIBUTES):
                self._stop(f"`{cut(name)}` is imported", module, node)

    def _chain(self, module: Module, node: ast.Attribute | ast.Name) -> None:
        """Look at a name, or at attributes of one: `lib.values.LABELS`."""
        attributes: list[ast.Attribute] = []
        root: ast.expr = node
        while isinstance(root, ast.Attribute):
            attributes.append(root)
            root = root.value
        for each in attributes:
            self._attribute(module, each, root)
        if isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load):
            self._store(module, node)
        if not isinstance(root, ast.Name):
            return
        self._call(root.id)
        if root.id == "getattr" and not self._reads_plainly(module, root):
            self._stop("`getattr` is used with a name that isn't plain", module, node)
        if root.id in _BUILTINS and root.id not in module.bindings and not self._of_itself(root):
            self._stop(f"`{root.id}` is used", module, node)
        self._mention(module, root.id, module.imports_of(root.id), root, attributes[::-1])

    def _attribute(self, module: Module, node: ast.Attribute, root: ast.expr) -> None:
        name = node.attr
        self._call(name)
        dunder = name.startswith("__") and name.endswith("__") and name not in _SAFE_DUNDERS
        if name == "__class__" and isinstance(root, ast.Name) and root.id == "self":
            dunder = False
        if dunder and isinstance(node.value, ast.Call) and dotted(module, node.value.func) is None:
            dunder = getattr(node.value.func, "id", "") != "super" or "super" in module.bindings
        if dunder or name in _ATTRIBUTES:
            self._stop(f"`.{name}` is used", module, node)

    def _reads_plainly(self, module: Module, root: ast.Name) -> bool:
        """Return whether `getattr` reads an attribute whose name is written out, or one of `self` or a library."""
        call = self._parents.get(root)
        if "getattr" in module.bindings:
            return True
        if not isinstance(call, ast.Call) or call.func is not root or len(call.args) < 2:
            return False
        owner, name = call.args[:2]
        if isinstance(name, ast.Constant) and isinstance(name.value, str):
            return not name.value.startswith("__") and name.value not in _ATTRIBUTES
        outside = dotted(module, owner)
        library = bool(outside and not self.names.files.owns(outside) and not _is_below(outside, ("sys", *_LIBRARIES)))
        return library or self._of_itself(root)

    def _of_itself(self, root: ast.Name) -> bool:
        """Return whether `setattr` and the like change only the object whose method calls them."""
        call = self._parents.get(root)
        return (
            isinstance(call, ast.Call)
            and call.func is root
            and bool(call.args)
            and isinstance(call.args[0], ast.Name)
            and call.args[0].id == "self"
        )

    def _mention(
        self, module: Module, name: str, known: list[Binding], node: ast.expr, attributes: list[ast.Attribute]
    ) -> None:
        """Note which definition of the sources, or which outside name, an expression mentions."""
        self.mentions.setdefault((module.name, name), []).append((module, node))
        in_place = isinstance(self._parents.get(node), ast.AugAssign)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and not in_place:
            return
        seen = {(module.name, name)}
        todo = [(each, node, attributes) for each in known]
        while todo:
            binding, node, attributes = todo.pop()
            path = f"{binding.module}.{binding.name}" if binding.name else binding.module
            if not self.names.files.owns(path):
                self._outside(module, path, node, attributes)
                continue
            owner, name = (binding.module, binding.name) if binding.name else (path, "")
            if self.names.files.find(path):
                owner, name = path, ""
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
                self._stop(f"module `{cut(owner)}` is used as a value", module, node)
            elif (owner, name) not in seen:
                seen.add((owner, name))
                self.mentions.setdefault((owner, name), []).append((module, node))
                file = self.names.files.find(owner)
                source = self.names.parsed(owner, file) if file else None
                todo += [(each, node, attributes) for each in (source.imports_of(name) if source else ())]

    def _outside(self, module: Module, path: str, node: ast.expr, attributes: list[ast.Attribute]) -> None:
        name = public_name(".".join([path, *(each.attr for each in attributes)]))
        top = attributes[-1] if attributes else node
        if name.startswith("inspect.") and name.split(".")[1] in _SAFE_INSPECT:
            return
        if _is_below(name, _OUTSIDE):
            self._stop(f"`{cut(name)}` is used", module, node)
        elif name == "sys" or (name.partition(".")[0] in _LIBRARIES and not self._is_plain_use(module, name, top)):
            self._stop(f"`{cut(name)}` is passed on as a value", module, node)

    def _is_plain_use(self, module: Module, name: str, node: ast.expr) -> bool:
        """Return whether an outside object is called, subclassed, named in an annotation, or given another name."""
        around = self._parents.get(node)
        if name in ("bentoml", "bentoml.models", "bentoml.images"):
            return False
        match around:
            case ast.Call():
                if around.func is node:
                    return True
                outside = dotted(module, around.func)
                name = around.func.id if isinstance(around.func, ast.Name) else ""
                return bool(outside and not self.names.files.owns(outside)) or name in ("isinstance", "issubclass")
            case ast.Assign():
                return self._parents.get(around) is None  # another name, which `dotted` follows
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                return around.returns is node or node in around.decorator_list
            case ast.arg() | ast.ClassDef() | ast.Expr() | ast.ExceptHandler() | ast.Compare() | ast.Raise():
                return True
            case ast.Attribute() | ast.Subscript():
                return around.value is node or self.in_annotation(node)
            case ast.FormattedValue():
                return True
        return name.startswith("bentoml.exceptions.") or self.in_annotation(node)

    def in_annotation(self, node: ast.AST) -> bool:
        """Return whether a name is a part of an annotation, without a call around it."""
        inner = node
        for around in self.parents(node):
            match around:
                case ast.arg() | ast.AnnAssign():
                    return around.annotation is inner
                case ast.FunctionDef() | ast.AsyncFunctionDef():
                    return around.returns is inner
                case ast.Subscript() | ast.Tuple() | ast.List() | ast.BinOp() | ast.Attribute():
                    inner = around
                case _:
                    return False
        return False

    def _store(self, module: Module, node: ast.expr) -> None:
        """Stop where code sets something on a library that decides service metadata."""
        root = node
        while isinstance(root, (ast.Attribute, ast.Subscript)):
            root = root.value
        name = dotted(module, root) if isinstance(root, ast.Name) else None
        if name and name.partition(".")[0] in _PATCHED and not self.names.files.owns(name):
            self._stop(f"`{cut(name)}` is changed", module, node)


def _callee(decorator: ast.expr) -> ast.expr:
    return decorator.func if isinstance(decorator, ast.Call) else decorator


def _is_below(name: str, roots: tuple[str, ...]) -> bool:
    return any(name == each or name.startswith(f"{each}.") for each in roots)
