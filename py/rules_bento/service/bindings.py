"""Names of modules: what binds each of them, and what a name is, through the imports of the sources.

A name is constant only if exactly one unconditional statement of its module binds it.
"""

from __future__ import annotations

import ast

from rules_bento.dataclasses_lite import NamedTuple
from rules_bento.service.sdk_names import public_name
from rules_bento.typing_lite import TYPE_CHECKING, Iterator

if TYPE_CHECKING:
    from rules_bento.service.python_files import PythonFiles

# Kinds of bindings and definitions.
IMPORT, FROM, VALUE, CLASS, FUNCTION, OTHER, MODULE, OUTSIDE, BUILTIN = range(9)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_MAX_HOPS = 100


class NotConstantError(Exception):
    """Reports a part of the source that is outside of the supported subset of Python."""

    def __init__(self, why: str, path: str, node: ast.AST | int) -> None:
        super().__init__(why)
        self.why = why if len(why) <= 300 else f"{why[:300]}…"
        self.path = path
        self.line = node if isinstance(node, int) else getattr(node, "lineno", 1)


class Binding(NamedTuple):
    """Describes a statement that binds a name: its kind, its node, and for imports the module and the name in it."""

    kind: int
    node: ast.AST
    module: str = ""
    name: str = ""

    @property
    def path(self) -> str:
        """The dotted path that an import names."""
        return f"{self.module}.{self.name}" if self.name else self.module


class Definition(NamedTuple):
    """Describes what a name is: the module that defines it (or None) and the kind of its definition there."""

    kind: int
    module: Module | None
    name: str
    node: ast.AST

    @property
    def key(self) -> tuple[str, str]:
        """The identity of the definition."""
        return (self.module.name if self.module else "", self.name)


class Module:
    """Holds one module's syntax tree and the bindings of its names."""

    def __init__(self, name: str, path: str, tree: ast.Module, *, is_package: bool) -> None:
        self.name = name
        self.path = path
        self.tree = tree
        self.package = name if is_package else name.rpartition(".")[0]
        self.bindings: dict[str, list[Binding]] = {}
        self.imports: dict[str, list[Binding]] = {}  # by the name that they bind, wherever they are in the module
        self.paths: set[str] = set()  # what it imports
        self.renamed: set[str] = set()  # modules of which it has an object, or another name
        self.star: ast.AST | None = None
        for statement in tree.body:
            self._bind(statement)
        for node in ast.walk(tree):
            self._bind_below(node)

    def _add(self, name: str, binding: Binding) -> None:
        known = self.bindings.setdefault(name, [])
        if not (binding.kind == IMPORT and any(each[::2] == binding[::2] for each in known[:1])):
            known.append(binding)

    def imported(self, node: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, Binding]]:
        """Yield the names that an import statement binds."""
        if isinstance(node, ast.Import):
            for alias in node.names:
                module = alias.name if alias.asname else alias.name.partition(".")[0]
                yield alias.asname or module, Binding(IMPORT, node, module)
            return
        base = node.module or ""
        if node.level:
            package = self.package.split(".") if self.package else []
            package = package[: len(package) - node.level + 1]
            base = ".".join([*package, *([node.module] if node.module else [])])
        for alias in node.names:
            if alias.name != "*":
                yield alias.asname or alias.name, Binding(FROM, node, base, alias.name)

    def _bind(self, statement: ast.stmt) -> None:
        match statement:
            case ast.Import() | ast.ImportFrom():
                for name, binding in self.imported(statement):
                    self._add(name, binding)
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                self._add(name, Binding(VALUE, value))
            case ast.AnnAssign(target=ast.Name(id=name), value=value):
                if value is not None:
                    self._add(name, Binding(VALUE, value))
            case ast.ClassDef(name=name):
                self._add(name, Binding(CLASS, statement))
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                self._add(name, Binding(FUNCTION, statement))
            case ast.If() if is_guard(self, statement):
                for each in statement.orelse:
                    self._bind(each)
            case ast.With(items=[ast.withitem(context_expr=ast.Call(func=function), optional_vars=None)]) if (
                dotted(self, function) == "bentoml.importing"
            ):
                for each in statement.body:
                    self._bind(each)
            case ast.Expr():
                pass
            case _:
                for name in bound_names([statement]):
                    self._add(name, Binding(OTHER, statement))

    def _bind_below(self, node: ast.AST) -> None:
        """Add what code at any depth binds in the module: `global`, `:=`, and imports."""
        if isinstance(node, ast.Global):
            for name in node.names:
                self._add(name, Binding(OTHER, node))
        elif isinstance(node, ast.NamedExpr):
            self._add(node.target.id, Binding(OTHER, node))
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            if isinstance(node, ast.ImportFrom) and node.names[0].name == "*":
                self.star = node
            for name, binding in self.imported(node):
                self.imports.setdefault(name, []).append(binding)
                self.paths |= {binding.module, binding.path}
                self.renamed.update([binding.module] if binding.name else [])
                self.renamed.update([binding.path] if name != binding.path.rpartition(".")[2] else [])
            if isinstance(node, ast.Import):
                self.paths |= {alias.name for alias in node.names}


def bound_names(nodes: list[ast.AST]) -> Iterator[str]:
    """Yield the names that statements bind at any depth, functions and classes with their names only."""
    todo = list(nodes)
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Name):
            if not isinstance(node.ctx, ast.Load):
                yield node.id
        elif isinstance(node, ast.alias):
            yield (node.asname or node.name).partition(".")[0]
        for field in ("name", "rest"):  # of functions, classes, handlers, patterns
            name = getattr(node, field, None)
            if isinstance(name, str) and not isinstance(node, ast.alias):
                yield name
        if not isinstance(node, (*FUNCTIONS, ast.ClassDef, ast.Lambda)):
            todo += ast.iter_child_nodes(node)


def is_guard(module: Module, node: ast.If) -> bool:
    """Return whether importing skips the body: `if TYPE_CHECKING:` or `if __name__ == "__main__":`."""
    match node.test:
        case ast.Name() | ast.Attribute():
            return dotted(module, node.test) in ("typing.TYPE_CHECKING", "typing_extensions.TYPE_CHECKING")
        case ast.Compare(left=ast.Name(id="__name__"), ops=[ast.Eq()], comparators=[ast.Constant(value="__main__")]):
            return "__name__" not in module.bindings
    return False


def dotted(module: Module, node: ast.AST) -> str | None:
    """Return `bentoml.service` for an expression that names something by an import, maybe of the sources; else None."""
    attributes: list[str] = []
    while isinstance(node, ast.Attribute):
        attributes.append(node.attr)
        node = node.value
    known = module.bindings.get(node.id, ()) if isinstance(node, ast.Name) else ()
    if len(known) != 1 or known[0].kind not in (IMPORT, FROM):
        return None
    return public_name(".".join([known[0].path, *reversed(attributes)]))


class Names:
    """Resolves names through the modules of the sources, which it parses as they are needed."""

    def __init__(self, files: PythonFiles) -> None:
        self.files = files
        self.modules: set[str] = set()  # those that values were read from
        self._parsed: dict[str, Module] = {}
        self.stores: dict[tuple[str, str], tuple[Module, ast.AST]] = {}  # assigned from outside of their module

    def parsed(self, name: str, path: str) -> Module:
        """Return a module by its name and file, parsed once. Raises BentoError if it can't be parsed."""
        if name not in self._parsed:
            tree = self.files.parse(name, path)
            self._parsed[name] = Module(name, path, tree, is_package=self.files.is_package(path))
        return self._parsed[name]

    def outside(self, module: Module, node: ast.AST) -> str | None:
        """Return the dotted name of something outside of the sources; None for anything else."""
        name = dotted(module, node)
        return name if name and not self.files.owns(name) else None

    def resolve(self, module: Module, node: ast.expr) -> Definition:
        """Return what a name is. Raises NotConstantError if it isn't certain."""
        outside = self.outside(module, node)
        if outside:
            return Definition(OUTSIDE, None, outside, node)
        if not isinstance(node, ast.Name):
            raise unsupported(module, node, "isn't a supported constant expression")
        return self.lookup(module, node.id, module.path, node)

    def lookup(self, module: Module, name: str, path: str, node: ast.AST) -> Definition:
        """Return the definition of a name of a module."""
        for _ in range(_MAX_HOPS):
            known = module.bindings.get(name, [])
            if (module.name, name) in self.stores:
                by, store = self.stores[module.name, name]
                raise NotConstantError(f"`{name}` is changed", by.path, store)
            if len(known) > 1 or (known and known[0].kind == OTHER):
                line = getattr(known[-1].node, "lineno", getattr(node, "lineno", 1))
                why = "more than once" if len(known) > 1 else "by an unsupported statement"
                raise NotConstantError(f"`{name}` is assigned {why} (line {line})", path, node)
            if not known:
                return Definition(BUILTIN, None, name, node)
            binding = known[0]
            if binding.kind in (IMPORT, FROM) and not self.files.owns(binding.module):
                return Definition(OUTSIDE, None, public_name(binding.path), node)
            if binding.kind == IMPORT:
                return Definition(MODULE, None, binding.module, node)
            if binding.kind != FROM:
                return Definition(binding.kind, module, name, binding.node)
            file = self.files.find(binding.module)
            source = self.parsed(binding.module, file) if file else None
            if source is None or binding.name not in source.bindings or self.files.find(binding.path):
                raise NotConstantError(f"`{binding.path}` isn't a name of a module of the sources", path, node)
            self.modules.add(source.name)
            module, name = source, binding.name
        raise NotConstantError(f"`{name}` has a circular import", path, node)


def unsupported(module: Module, node: ast.AST, why: str = "isn't supported") -> NotConstantError:
    """Return the error for an expression."""
    return NotConstantError(f"`{text_of(node)}` {why}", module.path, node)


def text_of(node: ast.AST) -> str:
    """Return the source of an expression for a message."""
    for size, _ in enumerate(ast.walk(node)):
        if size > 200:
            return "…"
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= 80 else f"{text[:80]}…"
