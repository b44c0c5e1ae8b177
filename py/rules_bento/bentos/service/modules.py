"""Finds the modules in a Bento's src/, and what their code binds, imports, and mentions. Takes linear time."""

from __future__ import annotations

import ast
import re
import sys
from functools import cached_property
from itertools import islice

from rules_bento.base.dataclasses_lite import NamedTuple
from rules_bento.base.errors import BentoError
from rules_bento.base.typing_lite import Any, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from rules_bento.bentos.service.loaded_names import LOADED
from rules_bento.bentos.service.metadata import SourceTree
from rules_bento.bentos.service.sdk_names import public_name, words

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_DEFINITIONS = (*FUNCTIONS, ast.ClassDef)
_NAME_FIELDS = {ast.ExceptHandler: "name", ast.MatchAs: "name", ast.MatchMapping: "rest", ast.MatchStar: "name"}
# Decorators that leave a class to BentoML, and packages whose decorators don't call what they decorate.
_SERVICE_DECORATORS = ("bentoml.service", "bentoml.asgi_app", "bentoml.mount_asgi_app")
_PASSIVE = words(
    "abc.abstractmethod bentoml.api bentoml.on_deployment bentoml.on_shutdown bentoml.on_startup bentoml.task "
    "classmethod contextlib.asynccontextmanager contextlib.contextmanager functools.cache functools.cached_property "
    "functools.lru_cache property staticmethod tenacity.retry torch.inference_mode torch.no_grad"
)
_EXITS = ("exit", "os._exit", "quit", "sys.exit")
_MAX_HOPS = 100
MAX_BYTES = 8 << 20
# Whatever src/ holds, these are loaded before src/ is on sys.path.
ALWAYS_OUTSIDE = LOADED | {"bentoml", "_bentoml_sdk", "_bentoml_impl", "builtins"}


class NotConstantError(Exception):
    """Raised for a value that isn't a constant, or for code outside the supported subset of Python."""

    def __init__(self, why: str, path: str, node: ast.AST | int) -> None:
        super().__init__(why)
        self.why = why if len(why) <= 300 else f"{why[:300]}…"
        self.path = path
        self.line = node if isinstance(node, int) else getattr(node, "lineno", 1)


class PythonFiles:
    """The Python files in src/. Finds modules like Python does if src/ is the first entry of `sys.path`."""

    def __init__(self, files: Mapping[str, bytes] | SourceTree) -> None:
        tree = files if isinstance(files, SourceTree) else SourceTree(files.keys(), files.__getitem__)
        self.paths = frozenset(tree.paths)
        self.read, self._parse = tree.read, tree.parse
        self._bentoml_users = tree.bentoml_users
        python = [path for path in self.paths if path.endswith(".py")]
        self._directories = {path[: slash.start()] for path in python for slash in re.finditer("/", path)}
        # `lib/service` for `lib/service.cpython-311-x86_64-linux-gnu.so`
        self._binary = {re.sub(r"\.[^/]*$", "", path): path for path in self.paths if path.endswith((".so", ".pyd"))}

    def find(self, module: str) -> str | None:
        """Return a module's path, `DIRECTORY/` for a package without `__init__.py`, or None for a missing module."""
        top, base = module.partition(".")[0], module.replace(".", "/")
        if top in ALWAYS_OUTSIDE:
            return None
        for path in (f"{base}/__init__.py", f"{base}.py"):
            if path in self.paths:
                return path
        return f"{base}/" if base in self._directories else None

    def hidden(self, module: str) -> str:
        """Return the file or directory in src/ that Python doesn't find, because BentoML loads `module` before."""
        top = module.partition(".")[0]
        paths = [path for path in (f"{top}.py", f"{top}/__init__.py") if path in self.paths]
        return [*paths, top, ""][0] if top in ALWAYS_OUTSIDE and (paths or top in self._directories) else ""

    def owns(self, module: str) -> bool:
        """Return whether Python would find the top-level package of `module` in src/."""
        return self.find(module.partition(".")[0]) is not None

    @cached_property
    def bentoml_users(self) -> Collection[str]:
        """The modules of packages that require bentoml, as far as they are known."""
        return self._bentoml_users()

    def compiled(self, module: str) -> str | None:
        """Return the path of the compiled file of a module, or None."""
        base = module.replace(".", "/")
        return self._binary.get(base) or self._binary.get(f"{base}/__init__")

    def first_mention(self, word: bytes) -> tuple[str, int] | None:
        """Return the path and line where `word` first occurs, or None if no Python file contains `word`."""
        for path in sorted(path for path in self.paths if path.endswith(".py")):
            before, keyword, _ = self.read(path).partition(word)
            if keyword:
                return path, before.count(b"\n") + 1
        return None

    def parse(self, module: str, path: str) -> ast.Module:
        """Parse a Python file. Raises BentoError if it is oversized, invalid, or shadowed by a compiled module."""
        if binary := self.compiled(module):
            raise NotConstantError(f"this compiled module shadows {path}", binary, 1)
        return _parsed(path, b"" if path.endswith("/") else self.read(path), self._parse)


def _parsed(path: str, data: bytes, parse: Callable[[bytes, str], Any]) -> ast.Module:
    if len(data) > MAX_BYTES:
        remedy = "Move data to a separate file."
        raise BentoError(f"the file exceeds the limit of {MAX_BYTES} bytes", place=path, remedy=remedy)
    try:
        tree: ast.Module = parse(data, path)
        return tree
    except SyntaxError as error:
        line = f":{error.lineno}" if error.lineno else ""
        major, minor = sys.version_info[:2]
        problem = f"syntax error in Python {major}.{minor} ({error.msg})"
        remedy = "Correct the code. If it requires a newer Python version, use a newer interpreter (in Bazel: "
        remedy += f'version in bento_tools.python, such as "{major}.{minor + 1}").'
        raise BentoError(problem, place=f"{path}{line}", remedy=remedy) from None
    except (ValueError, LookupError) as error:  # a NUL byte, an unknown encoding
        raise BentoError(f"invalid Python source: {error}.", place=path) from None
    except (RecursionError, MemoryError):
        raise BentoError("an expression is nested too deeply", place=path, remedy="Simplify the expression.") from None


class Binding(NamedTuple):
    """A binding of a name in a module. `node` is the value in a plain `NAME = VALUE`, otherwise what binds the name.

    A plain binding is a statement of the module's own, outside of conditions, loops, and `try`.
    """

    node: ast.AST
    module: str = ""  # that is imported; empty if the binding isn't an import
    name: str = ""  # in the module; empty for the module itself
    is_plain: bool = True

    @property
    def path(self) -> str:
        """The dotted name of the imported object, or an empty string if the binding isn't an import."""
        return f"{self.module}.{self.name}" if self.name else self.module

    @property
    def line(self) -> int:
        """The 1-based line number of `node`."""
        return getattr(self.node, "lineno", 1)


class Definition(NamedTuple):
    """The definition of a name in a module: an expression, a class, or a function."""

    module: Module
    name: str
    node: ast.expr | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef

    @property
    def key(self) -> tuple[str, str]:
        """A unique key: the names of the module and the definition."""
        return (self.module.name, self.name)


class Scope:
    """The names that a module, class, function, or comprehension binds. `shared` are its `global` names."""

    __slots__ = ("bound", "imports", "kind", "nonlocals", "parent", "shared")

    def __init__(self, kind: str, parent: Scope | None) -> None:
        self.kind = kind
        self.parent = parent
        self.bound: set[str] = set()
        self.shared: set[str] = set()
        self.nonlocals: set[str] = set()
        self.imports: dict[str, list[Binding]] = {}

    def binds(self, name: str) -> bool:
        """Return whether the scope has a variable of its own with this name."""
        return name in self.bound and name not in self.shared and name not in self.nonlocals

    def owner(self, name: str) -> Scope:
        """Return the scope whose variable a name in this scope is. A class might use the name of the module."""
        scope, is_shared = self, False
        while scope.parent is not None and (is_shared or scope.kind == "class" or not scope.binds(name)):
            is_shared |= name in scope.shared
            scope = scope.parent
        return scope


class Module:
    """A parsed module: what its code binds and mentions, except for code that an import certainly doesn't run.

    It doesn't run the bodies of `if TYPE_CHECKING:` and `if __name__ == "__main__":`, and the methods of a service,
    because only BentoML has the class (`bans` ensures this). `problem` is the first statement that isn't supported.
    """

    def __init__(self, name: str, path: str, tree: ast.Module, *, is_package: bool) -> None:
        self.name = name
        self.path = path
        self.tree = tree
        self.package = name if is_package else name.rpartition(".")[0]
        self.bindings: dict[str, list[Binding]] = {}
        self.imports: dict[str, list[Binding]] = {}  # by the name that they bind, wherever they are in the module
        self.loaded: set[str] = set()  # modules such as `a.b` in `import a.b`, which binds `a`
        self.loads: list[tuple[ast.Name, Scope]] = []
        self.nodes: dict[type, list[Any]] = {}  # attributes, calls, strings, and functions
        self.parents: dict[ast.AST, ast.AST] = {}
        self.services: list[ast.ClassDef] = []  # classes whose methods were omitted
        self.problem: tuple[str, ast.AST] | None = None
        self._scope = Scope("module", None)
        self._methods: list[tuple[ast.ClassDef, ast.FunctionDef | ast.AsyncFunctionDef, Scope]] = []
        self._guards: set[ast.AST] = set()
        self._todo: list[tuple[ast.AST, Scope]] = []
        self._push(tree, tree.body, self._scope)
        self._visit()
        classes = [each for each in tree.body if isinstance(each, ast.ClassDef)]
        self.services = [each for each in classes if each.decorator_list and self._is_service(each)]
        for owner, function, scope in self._methods:
            if owner not in self.services or not self._is_passive(function):
                self._push(function, function.body, scope)
        self._visit()
        for guard in self._guards:
            if isinstance(guard, ast.If) and not is_guard(self, guard):
                self.problem = ("the name in this condition is assigned more than once", guard)

    def imported(self, node: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, Binding]]:
        """Yield each name that an import statement binds, with its binding. Omits `*`."""
        is_plain = self._is_plain(node)
        if isinstance(node, ast.Import):
            for alias in node.names:
                module = alias.name if alias.asname else alias.name.partition(".")[0]
                yield alias.asname or module, Binding(node, module, "", is_plain)
            return
        base = import_base(node, self.package)
        for alias in node.names:
            if alias.name != "*":
                yield alias.asname or alias.name, Binding(node, base, alias.name, is_plain)

    def uses(self) -> Iterator[tuple[ast.Name, list[Binding] | None]]:
        """Yield each use of a name of the module (with None), or of a name that a function imports (with bindings)."""
        for node, scope in self.loads:
            owner = scope.owner(node.id)
            if owner is self._scope:
                yield node, None
            elif node.id in owner.imports:
                yield node, owner.imports[node.id]

    def annotated(self, node: ast.AST) -> ast.AST | None:
        """Return the argument, assignment, or function whose annotation contains a name, except for names in calls."""
        around = self.parents.get(node)
        while isinstance(around, (ast.Subscript, ast.Tuple, ast.List, ast.BinOp, ast.Attribute)):
            node, around = around, self.parents.get(around)
        name = "returns" if isinstance(around, FUNCTIONS) else "annotation"
        return around if getattr(around, name, None) is node else None

    def in_annotation(self, node: ast.AST) -> bool:
        """Return whether a name is in an annotation, except for a field whose type other code might read."""
        target = self.annotated(node)
        owner = self.parents[target] if isinstance(target, ast.AnnAssign) else None
        return target is not None and (not isinstance(owner, ast.ClassDef) or owner in self.services)

    # The walk over the code

    def _push(self, parent: ast.AST, nodes: Iterable[ast.AST | None], scope: Scope) -> None:
        for node in reversed([each for each in nodes if each is not None]):
            self.parents[node] = parent
            self._todo.append((node, scope))

    def _is_plain(self, node: ast.AST) -> bool:
        around = self.parents.get(node, self.tree)
        while around in self._guards or isinstance(around, ast.With):
            if isinstance(around, ast.With) and not is_importing(self, around):
                return False
            around = self.parents[around]
        return around is self.tree

    def _visit(self) -> None:
        while self._todo:
            node, scope = self._todo.pop()
            kind = type(node)
            if kind in _KEPT:
                self.nodes.setdefault(kind, []).append(node)
            if isinstance(node, ast.Name):
                if isinstance(node.ctx, ast.Load):
                    self.loads.append((node, scope))
                else:
                    self._bind(node.id, Binding(node, is_plain=False), scope)
                continue
            special = _VISITORS.get(kind)
            if special:
                special(self, node, scope)
            else:
                self._push(node, children(node), scope)
            if kind in _NAME_FIELDS and (name := getattr(node, _NAME_FIELDS[kind])):
                self._bind(name, Binding(node, is_plain=False), scope)

    def _bind(self, name: str, binding: Binding, scope: Scope) -> None:
        while scope.kind == "comprehension" and isinstance(binding.node, ast.NamedExpr) and scope.parent:
            scope = scope.parent
        scope = self._scope if name in scope.shared else scope
        scope.bound.add(name)
        if scope is not self._scope:
            scope.imports.setdefault(name, []).extend([binding] if binding.module else [])
            return
        known = self.bindings.setdefault(name, [])
        if not (binding.module and any(each[1:] == binding[1:] for each in known)):
            known.append(binding)

    def _visit_assignment(self, node: ast.Assign | ast.AnnAssign, scope: Scope) -> None:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        if node.value and len(targets) == 1 and isinstance(targets[0], ast.Name) and self._is_plain(node):
            self._bind(targets[0].id, Binding(node.value), scope)
        elif node.value or scope is not self._scope:
            self._push(node, targets, scope)
        self._push(node, [getattr(node, "annotation", None), node.value], scope)

    def _visit_change(self, node: ast.AugAssign, scope: Scope) -> None:
        if isinstance(node.target, ast.Name):
            self.loads.append((node.target, scope))
        self._push(node, [node.target, node.value], scope)

    def _visit_named(self, node: ast.NamedExpr, scope: Scope) -> None:
        self._bind(node.target.id, Binding(node, is_plain=False), scope)
        self._push(node, [node.value], scope)

    def _visit_import(self, node: ast.Import | ast.ImportFrom, scope: Scope) -> None:
        if node.names[0].name == "*":
            self.problem = self.problem or ("`import *` isn't supported", node)
        elif scope.kind == "class" or scope.nonlocals:
            self.problem = self.problem or ("an import in a class or of a nonlocal name isn't supported", node)
        if isinstance(node, ast.Import):
            self.loaded.update(alias.name for alias in node.names)
        for name, binding in self.imported(node):
            self._bind(name, binding, scope)
            self.imports.setdefault(name, []).append(binding)

    def _visit_global(self, node: ast.Global, scope: Scope) -> None:
        scope.shared.update(node.names)
        for name in node.names:
            if name[:2] == "__" and name[-2:] != "__":  # in a class, another name
                self.problem = self.problem or (f"`{name}` is a private name, which isn't supported", node)
            self.bindings.setdefault(name, []).extend([Binding(node, is_plain=False)] * 2)

    def _visit_end(self, node: ast.Assert | ast.Expr | ast.Raise, scope: Scope) -> None:
        is_end = not isinstance(node, ast.Expr) or ast.unparse(callee(node.value)) in _EXITS
        if is_end and scope.kind != "function" and not isinstance(self.parents[node], ast.ExceptHandler):
            self.problem = self.problem or ("this statement might end the import", node)
        self._push(node, children(node), scope)

    def _visit_nonlocal(self, node: ast.Nonlocal, scope: Scope) -> None:
        scope.nonlocals.update(node.names)

    def _visit_condition(self, node: ast.If, scope: Scope) -> None:
        if self._is_plain(node) and is_guard(self, node):
            self._guards.add(node)
            self._push(node, node.orelse, scope)
        else:
            self._push(node, children(node), scope)

    def _visit_class(self, node: ast.ClassDef, scope: Scope) -> None:
        self._bind(node.name, Binding(node, is_plain=self._is_plain(node)), scope)
        inner = Scope("class", scope)
        self._push(node, node.body, inner)
        self._push(node, [each for each in children(node) if not isinstance(each, ast.stmt)], scope)

    def _visit_function(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda, scope: Scope) -> None:
        inner, body = Scope("function", scope), [node.body] if isinstance(node, ast.Lambda) else node.body
        given = node.args
        arguments = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
        inner.bound.update(each.arg for each in arguments if each)
        owner = self.parents.get(node)
        is_method = isinstance(owner, ast.ClassDef) and owner.decorator_list and self._is_plain(owner)
        if isinstance(owner, ast.ClassDef) and is_method and not isinstance(node, ast.Lambda):
            self._methods.append((owner, node, inner))
        else:
            self._push(node, body, inner)
        if not isinstance(node, ast.Lambda):
            self._bind(node.name, Binding(node, is_plain=self._is_plain(node)), scope)
        below = [given] if isinstance(node, ast.Lambda) else children(node)
        self._push(node, [each for each in below if not isinstance(each, ast.stmt)], scope)

    def _visit_comprehension(self, node: ast.ListComp, scope: Scope) -> None:
        inner, first = Scope("comprehension", scope), node.generators[0]
        self._push(node, [each for each in children(node) if each is not first], inner)
        self.parents[first] = node
        self._push(first, [first.target, *first.ifs], inner)
        self._push(first, [first.iter], scope)

    # Services

    def _is_service(self, node: ast.ClassDef) -> bool:
        """Return whether only BentoML's decorators have the class, and nothing else in the class can call a method."""
        names = [dotted(self, callee(each)) for each in node.decorator_list]
        is_plain = not (node.bases or node.keywords) and all(each in _SERVICE_DECORATORS for each in names)
        methods = {each.name for each in node.body if isinstance(each, FUNCTIONS)}
        mentioned = {each.id for each in own_nodes(*node.body) if isinstance(each, ast.Name)}
        return is_plain and "bentoml.service" in names and not methods & mentioned

    def _is_passive(self, function: ast.AST) -> bool:
        """Return whether no decorator calls a function."""
        decorators = getattr(function, "decorator_list", ())
        names = [dotted(self, callee(each)) or getattr(each, "id", "") for each in decorators]
        return all(each in _PASSIVE for each in names)


_KEPT = (ast.Attribute, ast.Call, ast.Constant, ast.MatchClass, ast.Name)
_VISITORS: dict[type, Callable[[Module, Any, Scope], None]] = {
    ast.AnnAssign: Module._visit_assignment, ast.Assign: Module._visit_assignment, ast.ClassDef: Module._visit_class,
    ast.AsyncFunctionDef: Module._visit_function, ast.FunctionDef: Module._visit_function,
    ast.Lambda: Module._visit_function, ast.Global: Module._visit_global, ast.Nonlocal: Module._visit_nonlocal,
    ast.If: Module._visit_condition, ast.Import: Module._visit_import, ast.ImportFrom: Module._visit_import,
    ast.NamedExpr: Module._visit_named, ast.AugAssign: Module._visit_change,
    **dict.fromkeys((ast.Assert, ast.Expr, ast.Raise), Module._visit_end),
    **dict.fromkeys((ast.DictComp, ast.GeneratorExp, ast.ListComp, ast.SetComp), Module._visit_comprehension),
}  # fmt: skip


def import_statements(tree: ast.Module) -> Iterator[ast.Import | ast.ImportFrom]:
    """Yield the import statements that importing a module certainly executes."""
    todo = list(reversed(tree.body))
    while todo:
        match todo.pop():
            case ast.Import() | ast.ImportFrom() as statement:
                yield statement
            case ast.With(items=[ast.withitem(context_expr=ast.Call(func=function))], body=body):
                if ast.unparse(function) in ("bentoml.importing", "importing"):
                    todo += reversed(body)


def import_base(node: ast.ImportFrom, package: str) -> str:
    """Return the dotted name of the module from which a statement in `package` imports."""
    if not node.level:
        return node.module or ""
    parents = package.split(".") if package else []
    parents = parents[: len(parents) - node.level + 1] if node.level <= len(parents) else [""]
    return ".".join([*parents, *([node.module] if node.module else [])])


def own_nodes(*nodes: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes and their descendants, except for the bodies of functions, lambdas, and classes."""
    todo = list(nodes)
    while todo:
        yield (node := todo.pop())
        if isinstance(node, ast.Lambda):
            todo.append(node.args)
        elif isinstance(node, _DEFINITIONS):
            todo += [each for each in children(node) if not isinstance(each, ast.stmt)]
        else:
            todo += children(node)


def children(node: ast.AST) -> Sequence[ast.AST]:
    """Return the direct children of a node, without contexts such as `ast.Load`. Faster than `ast.iter_child_nodes`."""
    if isinstance(node, (ast.Name, ast.Constant)):
        return ()
    if isinstance(node, ast.Attribute):
        return (node.value,)
    return [each for each in ast.iter_child_nodes(node) if not isinstance(each, ast.expr_context)]


def is_guard(module: Module, node: ast.If) -> bool:
    """Return whether an `if` tests `TYPE_CHECKING` or `__name__ == "__main__"`. Imports don't run the body."""
    match node.test:
        case ast.Name() | ast.Attribute():
            return dotted(module, node.test) in ("typing.TYPE_CHECKING", "typing_extensions.TYPE_CHECKING")
        case ast.Compare(left=ast.Name(id="__name__"), ops=[ast.Eq()], comparators=[ast.Constant(value="__main__")]):
            return "__name__" not in module.bindings
    return False


def dotted(module: Module, node: ast.AST) -> str | None:
    """Return the dotted name of `node`, such as `bentoml.service`, or None if `node` isn't an imported object."""
    attributes: list[str] = []
    while isinstance(node, ast.Attribute):
        attributes.append(node.attr)
        node = node.value
    known = module.bindings.get(node.id, ()) if isinstance(node, ast.Name) else ()
    if len(known) != 1 or not known[0].module:
        return None
    return public_name(".".join([known[0].path, *reversed(attributes)]))


def is_importing(module: Module, node: ast.With) -> bool:
    """Return whether a statement is `with bentoml.importing():`."""
    call = node.items[0].context_expr
    is_call = len(node.items) == 1 and node.items[0].optional_vars is None and isinstance(call, ast.Call)
    return is_call and dotted(module, callee(call)) == "bentoml.importing"


def callee(decorator: ast.AST) -> ast.AST:
    """Return the function expression of a decorator: `f` for both `@f` and `@f(x)`."""
    return decorator.func if isinstance(decorator, ast.Call) else decorator


class Names:
    """Resolves names in a Bento's modules. Parses modules on demand."""

    def __init__(self, files: PythonFiles) -> None:
        self.files = files
        self._parsed: dict[str, Module] = {}

    def parsed(self, name: str, path: str) -> Module:
        """Return the module `name`. Parses the file `path` on the first call. Raises BentoError for an invalid file."""
        if name not in self._parsed:
            tree = self.files.parse(name, path)
            self._parsed[name] = Module(name, path, tree, is_package=path.endswith(("/", "/__init__.py")))
        return self._parsed[name]

    def outside(self, module: Module, node: ast.AST) -> str | None:
        """Return the dotted name of `node`, or None if `node` isn't an object imported from outside the sources."""
        name = dotted(module, node)
        return name if name and not self.files.owns(name) else None

    def makes_bentoml_objects(self, name: str) -> bool:
        """Return whether a function from outside the sources might return objects of BentoML."""
        return name.startswith("bentoml") or name.partition(".")[0] in self.files.bentoml_users

    def resolve(self, module: Module, node: ast.expr) -> Definition:
        """Return the definition of a name. Raises NotConstantError unless the sources have exactly one definition."""
        if outside := self.outside(module, node):
            raise NotConstantError(f"`{outside}` is defined outside the sources", module.path, node)
        if not isinstance(node, ast.Name):
            raise unsupported(module, node)
        return self.lookup(module, node.id, module.path, node)

    def lookup(self, module: Module, name: str, path: str, node: ast.AST) -> Definition:
        """Return the definition of `name`. Raises NotConstantError (at `node` in `path`) unless it has exactly one."""
        for _ in range(_MAX_HOPS):
            known = module.bindings.get(name, [])
            if len(known) != 1:
                why = f"is assigned more than once (line {known[-1].line})" if known else "is unknown"
                raise NotConstantError(f"`{name}` {why}", path, node)
            made, source = known[0].node, known[0].module
            if path == module.path and getattr(node, "lineno", known[0].line) < known[0].line:
                raise NotConstantError(f"`{name}` is used before line {known[0].line} assigns it", path, node)
            is_submodule = module.package == module.name and self.files.find(f"{module.name}.{name}")
            if known[0].is_plain and not is_submodule and isinstance(made, (ast.expr, ast.ClassDef, *FUNCTIONS)):
                return Definition(module, name, made)
            is_loaded = source.partition(".")[0] in sys.stdlib_module_names  # before src/ is on sys.path
            file = self.files.find(source) if source and known[0].is_plain and not is_loaded else None
            if file is None or self.files.find(known[0].path):
                why = "isn't a name of the sources" if source else "is assigned by an unsupported statement"
                raise NotConstantError(f"`{known[0].path or name}` {why} (line {known[0].line})", path, node)
            module, name = self.parsed(source, file), known[0].name
        raise NotConstantError(f"the import of `{name}` is circular", path, node)


def unsupported(module: Module, node: ast.AST, why: str = "isn't a supported expression") -> NotConstantError:
    """Return the error for an unsupported expression. `why` follows the expression in the message."""
    is_long = any(islice(ast.walk(node), 201, None))
    text = "" if is_long else " ".join(ast.unparse(node).split())
    return NotConstantError(f"`{text[:80]}{'…' if is_long or len(text) > 80 else ''}` {why}", module.path, node)
