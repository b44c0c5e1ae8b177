"""Analyzes the code that an import of the service might run. Finds unsupported operations, and each use of a name.

The analysis includes modules and the bodies of classes, and functions whose decorators might call them. Any other
function, method, or lambda is included if the analyzed code uses it, or its class (see `DeferredCode`).
"""

from __future__ import annotations

import ast
import re

from rules_bento.service.deferred_code import DeferredCode
from rules_bento.service.modules import FUNCTIONS, Definition, Module, Names, NotConstantError, children, is_guard
from rules_bento.service.scopes import Scopes, chain
from rules_bento.service.sdk_names import public_name, words
from rules_bento.typing_lite import Callable, Collection, Iterator

# Attributes that lead from any object to names, modules, or classes, or that change them without naming them.
_ATTRIBUTES = words(
    "_getframe addsitedir currentframe f_back f_globals f_locals get_objects get_referrers import_module monkeypatch "
    "reload run_module run_path setattr setprofile settrace tb_frame MonkeyPatch"
)
_SAFE_DUNDERS = words("__annotations__ __doc__ __file__ __init__ __main__ __name__ __qualname__ __version__")
_BUILTINS = words("__builtins__ __import__ breakpoint compile delattr eval exec getattr globals locals setattr vars")
_OUTSIDE = words(
    "builtins ctypes gc imp importlib.machinery inspect pickle.loads pkgutil.resolve_name pydoc.locate "
    "sys._current_frames operator.attrgetter operator.methodcaller operator.setitem runpy sys.meta_path "
    "sys.modules sys.path unittest.mock"
)
# Attributes of classes that Python calls, other than those that are rejected anyway.
_HOOKS_OF_OBJECTS = words("__init__ _generate_next_value_ _missing_ model_parametrized_name model_post_init mro")
# Methods through which Python or a library runs code without a call.
_HOOKS = words("__class_getitem__ __get__ __getattribute__ __init_subclass__ __prepare__ __set_name__")
# Decorators that do not call what they decorate.
_PASSIVE = words(
    "abc.abstractclassmethod abc.abstractmethod abc.abstractproperty abc.abstractstaticmethod backoff.on_exception "
    "backoff.on_predicate bentoml.api bentoml.on_deployment bentoml.on_shutdown bentoml.on_startup bentoml.task "
    "cachetools.cached cachetools.cachedmethod classmethod contextlib.asynccontextmanager contextlib.contextmanager "
    "functools.cache functools.cached_property functools.lru_cache functools.singledispatch "
    "functools.singledispatchmethod functools.wraps jax.jit numba.jit numba.njit property pydantic.computed_field "
    "pydantic.field_serializer pydantic.field_validator pydantic.model_serializer pydantic.model_validator "
    "pydantic.root_validator pydantic.validate_call pydantic.validator staticmethod tenacity.retry "
    "tensorflow.function torch.compile torch.inference_mode torch.jit.export torch.jit.ignore torch.jit.unused "
    "torch.no_grad typing.final typing.no_type_check typing.overload typing.override typing_extensions.final "
    "typing_extensions.overload typing_extensions.override"
)
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
# Functions and methods that change files. `bentoml build` reads and copies the project's files after the import.
_FILE_CHANGES = words(
    "joblib.dump logging.FileHandler numpy.save numpy.savetxt numpy.savez os.chmod os.link os.remove os.rename "
    "os.renames os.replace os.symlink os.truncate os.unlink shutil.copy shutil.copy2 shutil.copyfile shutil.copytree "
    "shutil.move shutil.rmtree shutil.unpack_archive sqlite3.connect torch.save urllib.request.urlretrieve"
)
_CHANGING_METHODS = words("extractall hardlink_to symlink_to to_csv touch unlink write_bytes write_text")
_OPENERS = words("ZipFile fdopen open")
_WRITING_MODE = re.compile(r"[rbt]*[awx+][awxbt+]*(:\w*)?")
CHANGES = re.compile(
    rb"\b(?:%s|shutil|filename|FileHandler|RotatingFileHandler|open\([^\n]*['\"][rbt]*[awx+][awxbt+]*['\"])"
    % "|".join([*_CHANGING_METHODS, *(each.rpartition(".")[2] for each in _FILE_CHANGES)]).encode()
)
_GENERICS = words("dict frozenset list set tuple type")
_PATH = re.compile(r"([\w.]+)[.:](\w+)")
_WORD = re.compile(r"\w+")
# A module that has none of these can't reach a service without its name, or that of a module that has it.
WORDS = frozenset(word.encode() for word in [*_ATTRIBUTES, *_BUILTINS, *_LIBRARIES, *_NAMED_ELSEWHERE])


class ImportCode:
    """Analyzes the code that an import might run. `hazard` is the first unsupported operation, or None.

    Using a module of the sources as a value is unsupported. An example is `values` in `values.LABELS`.
    """

    def __init__(self, names: Names, modules: list[Module], others: frozenset[bytes]) -> None:
        """Analyze `modules`. Words in `others`, the other modules, are uses of functions and classes with this name."""
        self.names = names
        self._modules = {module.name: module for module in modules}
        self._packages = {each for name in self._modules for each in _ancestors(name)}
        self.mentions: dict[tuple[str, str], list[tuple[Module, ast.expr]]] = {}
        self.hazard: NotConstantError | None = None
        self._scopes = Scopes(names, self._modules)
        self.parent = self._scopes.parent
        self._deferred = DeferredCode(self._scopes, others, self._run_body)
        self._todo: list[tuple[Module, ast.AST]] = []
        self._properties: dict[tuple[ast.AST, str], bool] = {}
        for module in modules:
            self._todo += [(module, node) for node in reversed(module.tree.body)]
            while self._todo:
                self._run(*self._todo.pop())

    @property
    def suspects(self) -> set[bytes]:
        """The names of functions and classes that were analyzed only because other modules contain these words."""
        return self._deferred.suspects

    def is_local(self, node: ast.AST) -> bool:
        """Return whether an expression is in the body of a function or lambda, where names can be local."""
        return any(not isinstance(each, ast.ClassDef) for each in self._scopes.around(node))

    def uses(self, definition: Definition) -> Iterator[tuple[Module, ast.expr]]:
        """Yield the uses of a definition, except for assignments and uses in annotations."""
        for by, node in self.mentions.get(definition.key, ()):
            if not self._is_binding(node) and not self.in_annotation(node):
                yield by, node

    def require_uses(self, definition: Definition, is_plain: Callable[[Module, ast.expr], bool]) -> None:
        """Raise NotConstantError unless `is_plain` returns true for every use of a definition."""
        for by, node in self.uses(definition):
            if not is_plain(by, node):
                why = f"`{definition.name}` is used again on this line, which might modify it"
                raise NotConstantError(why, by.path, node, "copies")

    def in_annotation(self, node: ast.AST) -> bool:
        """Return whether a name is part of an annotation, but not part of a call in the annotation."""
        around = self.parent(node)
        while isinstance(around, (ast.Subscript, ast.Tuple, ast.List, ast.BinOp, ast.Attribute)):
            node, around = around, self.parent(around)
        if isinstance(around, (ast.arg, ast.AnnAssign)):
            return around.annotation is node
        return isinstance(around, FUNCTIONS) and around.returns is node

    def is_route(self, module: Module, decorator: ast.AST, node: ast.AST) -> bool:
        """Return whether a decorator of `node`, such as `@app.get`, only registers a function as a route or handler."""
        match decorator:
            case ast.Attribute(value=ast.Name(id=name), attr=attribute) if attribute in ROUTES | HANDLERS:
                made = [each.node for each in module.bindings.get(name, ())]
                makers = [self.names.outside(module, each.func) for each in made if isinstance(each, ast.Call)]
                return len(made) == 1 and any(makers) and not self._scopes.binders(node, name)
        return False

    def _stop(self, why: str, module: Module, node: ast.AST, topic: str = "code-at-import") -> None:
        self.hazard = self.hazard or NotConstantError(why, module.path, node, topic)

    def _is_binding(self, node: ast.expr) -> bool:
        return isinstance(getattr(node, "ctx", None), ast.Store) and not isinstance(self.parent(node), ast.AugAssign)

    def _run(self, module: Module, node: ast.AST) -> None:
        below, around = list(children(node)), self.parent(node)
        for each in below:
            self._scopes.add(each, node)
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                accessors = self._function(module, node)
                below = [each for each in below if not isinstance(each, ast.stmt) and each not in accessors]
            case ast.Lambda():
                below = [node.args]
                self._deferred.add_lambda(module, node)
            case ast.ClassDef():
                self._deferred.add_class(module, node)
            case ast.If() if around is None and is_guard(module, node):
                below = list(node.orelse)
            case ast.Import() | ast.ImportFrom():
                self._import(module, node)
            case ast.Call() if self._changes_file(module, node):
                text = ast.unparse(node.func)[:80]
                self._stop(f"`{text}` might change a file, which BentoML reads after the import", module, node)
            case ast.Attribute() | ast.Name() if not (isinstance(around, ast.Attribute) and around.value is node):
                self._chain(module, node)
            case ast.Constant(value=str(text)) if self.in_annotation(node):
                if "(" in text:
                    self._stop("a string annotation might call something", module, node, "annotations")
                self._deferred.annotate(module, node, _WORD.findall(text))
            case ast.Constant(value=str(text)) if not isinstance(around, ast.Expr):
                self._string(module, node, text)
            case ast.MatchClass(kwd_attrs=attributes):
                self._check_attributes(attributes, module, node)
                self._deferred.use(*(f".{each}" for each in attributes))
        self._todo += [(module, each) for each in reversed(below)]

    # Functions

    def _function(self, module: Module, node: ast.FunctionDef | ast.AsyncFunctionDef) -> set[ast.AST]:
        """Schedule the analysis of a function's body, now or as soon as the function might be called.

        Returns the decorators such as `@x.setter`.
        """
        known = self._scopes.decorators(module, node)
        others = [each for name, each in zip(known, node.decorator_list, strict=True) if name not in _PASSIVE]
        accessors: set[ast.AST] = {each for each in others if self._is_accessor(module, each, node)}
        self._deferred.add_decorators(module, node)
        if all(each in accessors or self.is_route(module, callee(each), node) for each in others):
            self._deferred.add_function(module, node, known)
        else:
            self._run_body(module, node)
        return accessors

    def _run_body(self, module: Module, node: ast.AST) -> None:
        if getattr(node, "name", "") in _HOOKS:
            self._stop(f"`{getattr(node, 'name', '')}` runs without a call", module, node)
        body: list[ast.AST] = [node.body] if isinstance(node, ast.Lambda) else getattr(node, "body", [])
        for each in reversed(body):
            self._scopes.add(each, node)
            self._todo.append((module, each))

    def _is_accessor(self, module: Module, decorator: ast.AST, node: ast.AST) -> bool:
        """Return whether a decorator of `node` is `@x.setter`, or `@Base.x.setter`, of a property `x`."""
        scope: ast.AST | None = self._scopes.owner(node)
        match decorator:
            case ast.Attribute(value=ast.Name(id=name), attr="deleter" | "getter" | "setter"):
                pass
            case ast.Attribute(value=ast.Attribute(value=of, attr=name), attr="deleter" | "getter" | "setter"):
                if self._scopes.outside(module, of, node):
                    return True
                base = getattr(of, "id", "")
                bound = [] if self._scopes.binders(node, base) else module.bindings.get(base, [])
                scope = bound[0].node if len(bound) == 1 else None
            case _:
                return False
        return isinstance(scope, ast.ClassDef) and self._is_property(module, scope, name)

    def _is_property(self, module: Module, scope: ast.ClassDef, name: str) -> bool:
        """Return whether a name in the body of a class is a method with the decorator `property`, or with another."""
        if (scope, name) not in self._properties:
            made = self._scopes.bindings(scope).get(name, [])
            kinds = {
                each for one in made if isinstance(one, FUNCTIONS) for each in self._scopes.decorators(module, one)
            }
            is_library = any(each == "property" or (each and not self.names.files.owns(each)) for each in kinds)
            self._properties[scope, name] = is_library and all(isinstance(each, FUNCTIONS) for each in made)
        return self._properties[scope, name]

    def _changes_file(self, module: Module, node: ast.Call) -> bool:
        """Return whether a call changes a file, other than a file at an absolute path or in a temporary directory."""
        function, name = node.func, self._scopes.known(module, node.func, node)
        receiver = [function.value] if isinstance(function, ast.Attribute) and not name else []
        last = function.attr if isinstance(function, ast.Attribute) else name.rpartition(".")[2]
        named = {each.arg: each.value for each in node.keywords}
        paths = [*receiver, *node.args, *(named[key] for key in ("filename", "file") if key in named)]
        if last in _OPENERS:
            mode = named.get("mode", [*paths, None, None][1])
            is_change = isinstance(mode, ast.Constant) and bool(_WRITING_MODE.fullmatch(str(mode.value)))
        else:
            is_change = name in _FILE_CHANGES or last in _CHANGING_METHODS or last.endswith("RotatingFileHandler")
            is_change |= name == "logging.basicConfig" and "filename" in named
        count = 2 if name.startswith("os.re") or last == "move" else 1
        paths = paths[1:2] if "copy" in last else paths[:count]
        return bool(is_change and paths) and not all(self._is_elsewhere(module, each) for each in paths)

    def _is_elsewhere(self, module: Module, node: ast.AST) -> bool:
        """Return whether a path is certainly absolute, or below a temporary or the user's directory."""
        for _ in range(20):
            match node:
                case ast.Constant(value=value):
                    return str(value).startswith(("/", "~", ":memory:"))
                case ast.BinOp(left=first) | ast.Attribute(value=first) | ast.JoinedStr(values=[first, *_]):
                    node = first
                case ast.Call(func=function, args=arguments):
                    name = self._scopes.known(module, function, node)
                    if name.startswith("tempfile.") or name == "pathlib.Path.home":
                        return True
                    node = arguments[0] if name and arguments else function
                case ast.Name(id=name) if len(module.bindings.get(name, ())) == 1:
                    node = module.bindings[name][0].node
                case _:
                    return False
        return False

    # Names

    def _import(self, module: Module, node: ast.Import | ast.ImportFrom) -> None:
        if node.names[0].name == "*":
            self._stop("`import *` isn't supported", module, node)
        for alias, binding in module.imported(node):
            if binding.name and alias != binding.name and self.names.files.owns(binding.path):
                self._deferred.rename(binding.name, alias)
            if self._scopes.owner(node):
                self._deferred.use(binding.name or alias)
            source = self._modules.get(binding.module)
            if source and binding.name and binding.name not in source.bindings:
                self._deferred.use("__getattr__")  # of the module
            if binding.name and (_is_below(binding.path, _OUTSIDE) or binding.name in _ATTRIBUTES):
                self._stop(f"`{binding.path}` is imported", module, node)

    def _string(self, module: Module, node: ast.AST, text: str) -> None:
        """Register a string such as "lib.models:Net", which a library might import, or "Net | None"."""
        for path, name in _PATH.findall(text):
            self._deferred.use(f".{name}")  # as in `"{0.name}".format(x)`
            if self.names.files.find(path):
                self._deferred.use(name)
        if "|" in text or "[" in text:
            self._deferred.mention_class(_WORD.findall(text), is_operand=True)
        if "(" in text and self._is_type(module, node):
            self._stop("a string annotation might call something", module, node, "annotations")

    def _is_type(self, module: Module, node: ast.AST) -> bool:
        """Return whether a string is a type argument, as in `Optional["Net"]`."""
        text, around = node, self.parent(node)
        while isinstance(around, (ast.BinOp, ast.List, ast.Tuple)):
            node, around = around, self.parent(around)
        if not isinstance(around, ast.Subscript) or around.slice is not node:
            return False
        name = self._scopes.known(module, around.value, around)
        is_first = text is getattr(node, "elts", [node])[0]
        is_metadata = name.endswith(".Literal") or (name.endswith(".Annotated") and not is_first)
        return not is_metadata and (name in _GENERICS or name.startswith(("typing.", "typing_extensions.")))

    def _chain(self, module: Module, node: ast.Attribute | ast.Name) -> None:
        """Analyze a name or a chain of attributes, such as `lib.values.LABELS`."""
        attributes, root = chain(node)
        self._check_attributes(attributes, module, node)
        if not isinstance(node.ctx, ast.Load) and attributes and attributes[-1] in _HOOKS_OF_OBJECTS:
            self._stop(f"`.{attributes[-1]}` is modified on this line", module, node)
        name = root.id if isinstance(root, ast.Name) else ""
        if self.in_annotation(node):
            self._deferred.annotate(module, node, [*([name] if name else []), *attributes])
        else:
            self._deferred.mention(module, node, name, attributes)
        if isinstance(root, ast.Name):
            made = module.bindings.get(root.id, ())
            if root.id in _BUILTINS and not (
                made and all(each.module or isinstance(each.node, FUNCTIONS) for each in made)
            ):
                self._stop(f"`{root.id}` isn't supported", module, node)
            self._mention(module, root, node, attributes)

    def _check_attributes(self, names: list[str], module: Module, node: ast.AST) -> None:
        for name in names:
            if name in _ATTRIBUTES or (name.startswith("__") and name.endswith("__") and name not in _SAFE_DUNDERS):
                self._stop(f"`.{name}` isn't supported", module, node)

    def _mention(self, module: Module, root: ast.Name, node: ast.expr, attributes: list[str]) -> None:
        """Record a use of each definition to which a name refers, and check uses of external names."""
        found = [(module.name, root.id)]
        for owner, name in found:
            self.mentions.setdefault((owner, name), []).append((module, root))
            source = None if self._is_binding(root) else self._modules.get(owner)
            for binding in source.imports.get(name, ()) if source else ():
                if not self.names.files.owns(binding.path):
                    self._outside(module, public_name(".".join([binding.path, *attributes])), node)
                elif binding.path in self._packages:
                    why = f"module `{binding.path}` is used as a value (write `from {binding.path} import ...`)"
                    self._stop(why, module, node, "modules")
                elif (binding.module, binding.name) not in found:
                    found.append((binding.module, binding.name))

    def _outside(self, module: Module, name: str, node: ast.expr) -> None:
        """Set `hazard` if code uses an external name in an unsupported way."""
        around: ast.AST | None = node
        while isinstance(around, (ast.Attribute, ast.Subscript, ast.Name)):
            if not isinstance(around.ctx, ast.Load) and _is_below(name, _PATCHED):
                self._stop(f"`{name}` is modified on this line", module, node)
            around = self.parent(around)
        if _is_below(name, _OUTSIDE):
            self._stop(f"`{name}` isn't supported", module, node)
        elif name == "sys" or (_is_below(name, _LIBRARIES) and not self._is_plain_use(name, node)):
            self._stop(f"`{name}` is passed on as a value", module, node, "services")

    def _is_plain_use(self, name: str, node: ast.expr) -> bool:
        """Return whether a use of a BentoML object is a call, decorator, base class, annotation, or exception."""
        if name in ("bentoml", "bentoml.models", "bentoml.images"):
            return False
        if name in ("bentoml.Context", "bentoml.get_current_service"):
            return True
        match self.parent(node):
            case ast.Call(func=function):
                return function is node
            case ast.FunctionDef(decorator_list=decorators) | ast.AsyncFunctionDef(decorator_list=decorators):
                return node in decorators or self.in_annotation(node)
            case ast.ClassDef() | ast.Expr():
                return True
        return name.startswith("bentoml.exceptions.") or self.in_annotation(node)


def callee(decorator: ast.AST) -> ast.AST:
    """Return the function expression of a decorator: `f` for both `@f` and `@f(x)`."""
    return decorator.func if isinstance(decorator, ast.Call) else decorator


def _is_below(name: str, roots: Collection[str]) -> bool:
    """Return whether `name` is in `roots`, or begins with a root and a dot."""
    return any(each in roots for each in _ancestors(name))


def _ancestors(name: str) -> Iterator[str]:
    """Yield a dotted name, and the names of the packages that contain it."""
    while name:
        yield name
        name = name.rpartition(".")[0]
