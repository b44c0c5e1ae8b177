"""Names of modules: what binds each of them, and what one stands for, through the imports of the sources.

A name counts only if one unconditional statement of its module binds it. Any other name is `OTHER`, and nothing that
depends on it is constant.
"""

from __future__ import annotations

import ast

from rules_bento.dataclasses_lite import NamedTuple
from rules_bento.service.sdk_names import public_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from rules_bento.service.python_files import PythonFiles

IMPORT, FROM, VALUE, CLASS, FUNCTION, OTHER, MODULE, OUTSIDE, BUILTIN = range(9)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_MAX_HOPS = 100


class NotConstantError(Exception):
    """Reports a part of the source that is outside of the supported subset of Python."""

    def __init__(self, why: str, path: str, node: ast.AST | int) -> None:
        super().__init__(why)
        self.why = why
        self.path = path
        self.line = node if isinstance(node, int) else getattr(node, "lineno", 1)


class Binding(NamedTuple):
    """Describes a statement that binds a name: its kind, its node, and for imports the module and the name in it."""

    kind: int
    node: ast.AST
    module: str = ""
    name: str = ""


class Definition(NamedTuple):
    """Describes what a name stands for: the module that defines it (or None) and the kind of its definition there."""

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
        self.local_imports: dict[str, list[Binding]] = {}  # of functions, which import when they run
        self.imports: list[tuple[str, str]] = []  # module and name, of every import wherever it is
        self.renamed: set[str] = set()  # modules of which it has an object, or another name
        self.star: ast.AST | None = None
        self._imports_of: dict[str, list[Binding]] = {}
        for statement in tree.body:
            self._bind(statement)
        self._bind_below()

    def _add(self, name: str, binding: Binding) -> None:
        known = self.bindings.setdefault(name, [])
        if not (binding.kind == IMPORT and any(each[::2] == binding[::2] for each in known[:1])):
            known.append(binding)

    def imports_of(self, name: str) -> list[Binding]:
        """Return the imports that bind a name anywhere in the module."""
        if name not in self._imports_of:
            known = [*self.bindings.get(name, ()), *self.local_imports.get(name, ())]
            self._imports_of[name] = [each for each in known if each.kind in (IMPORT, FROM)]
        return self._imports_of[name]

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
            case ast.Assign(targets=[target], value=value):
                self._assign(target, value, statement)
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

    def _assign(self, target: ast.expr, value: ast.expr, statement: ast.stmt) -> None:
        if isinstance(target, ast.Name):
            self._add(target.id, Binding(VALUE, value))
        elif (
            isinstance(target, (ast.Tuple, ast.List))
            and isinstance(value, (ast.Tuple, ast.List))
            and len(target.elts) == len(value.elts)
            and not any(isinstance(each, ast.Starred) for each in [*target.elts, *value.elts])
        ):
            for one, of in zip(target.elts, value.elts, strict=True):
                self._assign(one, of, statement)
        else:
            for name in bound_names([target]):
                self._add(name, Binding(OTHER, statement))

    def _bind_below(self) -> None:
        """Add what nested code binds here: `global`, `:=`, and the imports of functions."""
        top = {id(binding.node) for known in self.bindings.values() for binding in known}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Global):
                for name in node.names:
                    self._add(name, Binding(OTHER, node))
            elif isinstance(node, ast.NamedExpr):
                self._add(node.target.id, Binding(OTHER, node))
            elif isinstance(node, (ast.Import, ast.ImportFrom)):
                if isinstance(node, ast.ImportFrom) and node.names[0].name == "*":
                    self.star = node
                for name, binding in self.imported(node):
                    self.imports.append((binding.module, binding.name))
                    own = f"{binding.module}.{binding.name}" if binding.name else binding.module
                    self.renamed.update([binding.module] if binding.name else [])
                    self.renamed.update([own] if name != own.rpartition(".")[2] else [])
                    if id(node) not in top:
                        self.local_imports.setdefault(name, []).append(binding)
                if isinstance(node, ast.Import):
                    self.imports += [(alias.name, "") for alias in node.names]


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
            return (dotted(module, node.test) or "").rpartition(".")[::2] in (
                ("typing", "TYPE_CHECKING"),
                ("typing_extensions", "TYPE_CHECKING"),
            )
        case ast.Compare(left=ast.Name(id="__name__"), ops=[ast.Eq()], comparators=[ast.Constant(value="__main__")]):
            return "__name__" not in module.bindings
    return False


def dotted(module: Module, node: ast.AST) -> str | None:
    """Return `bentoml.service` for an expression that names something by an import; None for any other.

    The name may be of src/, too: `Names.resolve` says.
    """
    attributes: list[str] = []
    for _ in range(_MAX_HOPS):
        while isinstance(node, ast.Attribute):
            attributes.append(node.attr)
            node = node.value
        known = module.bindings.get(node.id, ()) if isinstance(node, ast.Name) else ()
        if len(known) != 1:
            return None
        binding = known[0]
        if binding.kind in (IMPORT, FROM):
            head = [binding.module, binding.name] if binding.name else [binding.module]
            return public_name(".".join([*head, *reversed(attributes)]))
        if binding.kind != VALUE or not isinstance(binding.node, (ast.Name, ast.Attribute)):
            return None
        node = binding.node
    return None


class Names:
    """Resolves names through the modules of the sources, which it parses as they are needed."""

    def __init__(self, files: PythonFiles) -> None:
        self.files = files
        self.modules: dict[str, Module] = {}  # that facts were read from
        self._parsed: dict[str, Module] = {}
        self.stores: dict[tuple[str, str], tuple[Module, ast.AST]] = {}  # assigned from outside of their module

    def parsed(self, name: str, path: str) -> Module:
        """Return a module by its name and file, parsed once. Raises BentoError if it can't be parsed."""
        if name not in self._parsed:
            tree = self.files.parse(name, path)
            self._parsed[name] = Module(name, path, tree, is_package=self.files.is_package(path))
        return self._parsed[name]

    def module(self, name: str) -> Module | None:
        """Return a module of the sources; None if there is none of that name."""
        path = self.files.find(name)
        if path is None:
            return None
        return self.parsed(name, path)

    def outside(self, module: Module, node: ast.AST) -> str | None:
        """Return the dotted name of something outside of the sources; None for anything else."""
        name = dotted(module, node)
        return name if name and not self.files.owns(name) else None

    def resolve(self, module: Module, node: ast.expr) -> Definition:
        """Return what a name, or an attribute of a module, stands for. Raises NotConstantError if it is not certain."""
        if isinstance(node, ast.Name):
            return self.lookup(module, node.id, module.path, node)
        if isinstance(node, ast.Attribute):
            outside = self.outside(module, node)
            if outside:
                return Definition(OUTSIDE, None, outside, node)
            owner = self.resolve(module, node.value)
            if owner.kind == MODULE:
                return self.attribute(owner.name, node.attr, module.path, node)
        raise NotConstantError(f"`{text_of(node)}` isn't a supported constant expression", module.path, node)

    def lookup(self, module: Module, name: str, path: str, node: ast.AST) -> Definition:
        """Return what a name of a module stands for."""
        for _ in range(_MAX_HOPS):
            known = module.bindings.get(name, [])
            if (module.name, name) in self.stores:
                by, store = self.stores[module.name, name]
                raise NotConstantError(f"`{cut(name)}` is changed", by.path, store)
            if len(known) > 1 or (known and known[0].kind == OTHER):
                line = getattr(known[-1].node, "lineno", getattr(node, "lineno", 1))
                why = "more than once" if len(known) > 1 else "by a statement that isn't followed"
                raise NotConstantError(f"`{cut(name)}` is assigned {why} (line {line})", path, node)
            if not known:
                return Definition(BUILTIN, None, name, node)
            binding = known[0]
            if binding.kind == IMPORT:
                kind = MODULE if self.files.owns(binding.module) else OUTSIDE
                return Definition(kind, None, binding.module, node)
            if binding.kind != FROM:
                return Definition(binding.kind, module, name, binding.node)
            if not self.files.owns(binding.module):
                return Definition(OUTSIDE, None, public_name(f"{binding.module}.{binding.name}"), node)
            source = self.module(binding.module)
            submodule = self.files.find(f"{binding.module}.{binding.name}")
            if source is None:
                raise NotConstantError(f"module `{cut(binding.module)}` isn't among the sources", path, node)
            if binding.name not in source.bindings:
                if submodule:
                    return Definition(MODULE, None, f"{binding.module}.{binding.name}", node)
                raise NotConstantError(f"`{cut(binding.module)}` has no plain `{cut(binding.name)}`", path, node)
            if submodule:
                raise NotConstantError(f"`{cut(binding.name)}` is a module and a name of `{source.name}`", path, node)
            self.modules[source.name] = source
            module, name = source, binding.name
        raise NotConstantError(f"`{cut(name)}` is imported in a circle", path, node)

    def attribute(self, name: str, attribute: str, path: str, node: ast.AST) -> Definition:
        """Return what an attribute of a module of the sources stands for."""
        module, submodule = self.module(name), self.files.find(f"{name}.{attribute}")
        if module is None:
            raise NotConstantError(f"module `{cut(name)}` isn't among the sources", path, node)
        if attribute in module.bindings:
            if submodule and self._own_module(module, attribute) != f"{name}.{attribute}":
                raise NotConstantError(f"`{cut(attribute)}` is a module and a name of `{name}`", path, node)
            self.modules[name] = module
            return self.lookup(module, attribute, path, node)
        if submodule:
            return Definition(MODULE, None, f"{name}.{attribute}", node)
        raise NotConstantError(f"`{cut(name)}` has no plain `{cut(attribute)}`", path, node)

    def _own_module(self, module: Module, name: str) -> str:
        known = module.bindings[name]
        return f"{known[0].module}.{known[0].name}" if len(known) == 1 and known[0].kind == FROM else ""


def cut(name: str) -> str:
    """Return a name for a message, which may be of any length."""
    return name if len(name) <= 100 else f"{name[:100]}…"


def text_of(node: ast.AST) -> str:
    """Return the source of an expression for a message."""
    for size, _ in enumerate(ast.walk(node)):
        if size > 200:
            return "…"
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= 80 else f"{text[:80]}…"
