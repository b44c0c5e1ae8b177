"""Finds the modules in a Bento's src/, the statements that bind names, and the definitions of imported names.

A name is constant only if its module binds the name exactly once, in an unconditional statement.
"""

from __future__ import annotations

import ast
import re
import sys
import warnings
from collections import deque
from itertools import islice

from rules_bento.dataclasses_lite import NamedTuple
from rules_bento.errors import BentoError
from rules_bento.service.loaded_names import LOADED
from rules_bento.service.metadata import SourceTree
from rules_bento.service.sdk_names import IMPORT_WAYS, public_name
from rules_bento.typing_lite import Iterable, Iterator, Mapping, Sequence

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_DEFINITIONS = (*FUNCTIONS, ast.ClassDef)
# The fields of imports, functions, classes, handlers, and patterns that bind names.
_NAME_FIELDS = {
    kind: fields
    for kind in vars(ast).values()
    if isinstance(kind, type)
    and (fields := [each for each in getattr(kind, "_fields", ()) if each in ("asname", "name", "rest")])
}
_MAX_HOPS = 100
MAX_BYTES = 8 << 20
_NAMES = re.compile(rb"\w+")
# Whatever src/ holds, these are loaded before src/ is on sys.path.
ALWAYS_OUTSIDE = LOADED | {"bentoml", "_bentoml_sdk", "_bentoml_impl", "builtins"}


class NotConstantError(Exception):
    """Raised for a value that isn't a constant, or for code outside the supported subset of Python."""

    def __init__(self, why: str, path: str, node: ast.AST | int, topic: str = "expressions") -> None:
        super().__init__(why)
        self.topic = topic  # the anchor in docs/service-metadata.md
        self.type = ""  # `str` or `number`, if the value certainly has this type
        self.service = ""  # the name of the service that has the value, if it isn't the entry service
        self.why = why if len(why) <= 300 else f"{why[:300]}…"
        self.path = path
        self.line = node if isinstance(node, int) else getattr(node, "lineno", 1)


class PythonFiles:
    """The Python files in src/. Finds modules like Python does if src/ is the first entry of `sys.path`."""

    def __init__(self, files: Mapping[str, bytes] | SourceTree) -> None:
        tree = files if isinstance(files, SourceTree) else SourceTree(files.keys(), files.__getitem__)
        self.paths = frozenset(tree.paths)
        self.read = tree.read
        self._words: dict[str, frozenset[bytes]] = {}
        python = [path for path in self.paths if path.endswith(".py")]
        self._directories = {path[: slash.start()] for path in python for slash in re.finditer("/", path)}
        self._by_word: dict[bytes, list[str]] | None = None
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

    def owns(self, module: str) -> bool:
        """Return whether Python would find the top-level package of `module` in src/."""
        return self.find(module.partition(".")[0]) is not None

    def words(self, path: str) -> frozenset[bytes]:
        """Return all words in a file, including words in comments."""
        if path not in self._words:
            self._words[path] = frozenset() if path.endswith("/") else frozenset(_NAMES.findall(self.read(path)))
        return self._words[path]

    def modules_named_in(self, path: str) -> list[str]:
        """Return the modules that a file might import: all modules whose last name component is a word in the file."""
        if self._by_word is None:
            self._by_word = {}
            files = [path[:-3].removesuffix("/__init__") for path in self.paths if path.endswith(".py")]
            for name in sorted(file.replace("/", ".") for file in files):
                self._by_word.setdefault(name.rpartition(".")[2].encode(), []).append(name)
        return [name for word in sorted(self.words(path) & self._by_word.keys()) for name in self._by_word[word]]

    def first_mention(self, word: bytes) -> tuple[str, int] | None:
        """Return the path and line where `word` first occurs, or None if no Python file contains `word`."""
        for path in sorted(path for path in self.paths if path.endswith(".py")):
            before, keyword, _ = self.read(path).partition(word)
            if keyword:
                return path, before.count(b"\n") + 1
        return None

    def parse(self, module: str, path: str) -> ast.Module:
        """Parse a Python file. Raises BentoError if it is oversized, invalid, or shadowed by a compiled module."""
        base = module.replace(".", "/")
        binary = self._binary.get(base) or self._binary.get(f"{base}/__init__")
        if binary:
            raise BentoError(
                f"this compiled module shadows {path}, so the source can't be analyzed",
                place=binary,
                remedy=f"Exclude the module, or import the service: {IMPORT_WAYS}",
            )
        return _parsed(path, b"" if path.endswith("/") else self.read(path))


def _parsed(path: str, data: bytes) -> ast.Module:
    if len(data) > MAX_BYTES:
        remedy = "Move data to a separate file."
        raise BentoError(f"the file exceeds the limit of {MAX_BYTES} bytes", place=path, remedy=remedy)
    try:
        with warnings.catch_warnings():
            # `"\d"` is a matter between the author and Python, not of this build.
            warnings.simplefilter("ignore")
            return ast.parse(data, filename=path)
    except SyntaxError as error:
        line = f":{error.lineno}" if error.lineno else ""
        major, minor = sys.version_info[:2]
        raise BentoError(
            f"syntax error in Python {major}.{minor} ({error.msg})",
            place=f"{path}{line}",
            remedy="Correct the code. If it requires a newer Python version, use a newer interpreter (in Bazel: "
            f'version in bento_tools.python, such as "{major}.{minor + 1}").',
        ) from None
    except (ValueError, LookupError) as error:  # a NUL byte, an unknown encoding
        raise BentoError(f"invalid Python source: {error}.", place=path) from None
    except (RecursionError, MemoryError):
        raise BentoError("an expression is nested too deeply", place=path, remedy="Simplify the expression.") from None


class Binding(NamedTuple):
    """A binding of a name. `node` is the value in `NAME = VALUE`, otherwise the statement or the `:=` expression."""

    node: ast.AST
    module: str = ""  # that is imported; empty if the binding isn't an import
    name: str = ""  # in the module; empty for the module itself

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


class Module:
    """A parsed module: its syntax tree, and the bindings of its names."""

    def __init__(self, name: str, path: str, tree: ast.Module, *, is_package: bool) -> None:
        self.name = name
        self.path = path
        self.tree = tree
        self.package = name if is_package else name.rpartition(".")[0]
        self.bindings: dict[str, list[Binding]] = {}
        self.imports: dict[str, list[Binding]] = {}  # by the name that they bind, wherever they are in the module
        self.paths: set[str] = set()  # what it imports, and what a library might import because a string names it
        self.renamed: set[str] = set()  # modules of which it has an object, or another name
        for statement in tree.body:
            self._bind(statement)
        todo = deque[ast.AST]([tree])
        while todo:
            node = todo.popleft()
            todo.extend(children(node))
            self._bind_below(node)

    def _add(self, name: str, binding: Binding) -> None:
        known = self.bindings.setdefault(name, [])
        if not (binding.module and any(each[1:] == binding[1:] for each in known)):
            known.append(binding)

    def imported(self, node: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, Binding]]:
        """Yield each name that an import statement binds, with its binding. Omits `*`."""
        if isinstance(node, ast.Import):
            for alias in node.names:
                module = alias.name if alias.asname else alias.name.partition(".")[0]
                yield alias.asname or module, Binding(node, module)
            return
        base = import_base(node, self.package)
        for alias in node.names:
            if alias.name != "*":
                yield alias.asname or alias.name, Binding(node, base, alias.name)

    def _bind(self, statement: ast.stmt) -> None:
        match statement:
            case ast.Import() | ast.ImportFrom():
                for name, binding in self.imported(statement):
                    self._add(name, binding)
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                if statement.value is not None:
                    self._add(name, Binding(statement.value))
            case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                self._add(statement.name, Binding(statement))
            case ast.If() if is_guard(self, statement):
                for each in statement.orelse:
                    self._bind(each)
            case ast.With(items=[ast.withitem(context_expr=ast.Call(func=function), optional_vars=None)]) if (
                dotted(self, function) == "bentoml.importing"
            ):
                for each in statement.body:
                    self._bind(each)
            case _:
                for name, _ in _bound_by(own_nodes(statement)):
                    self._add(name, Binding(statement))

    def _bind_below(self, node: ast.AST) -> None:
        """Bind names from a `global` statement or `:=`, and record the modules that an import or a string names."""
        if isinstance(node, (ast.Global, ast.NamedExpr)):
            for name in node.names if isinstance(node, ast.Global) else [node.target.id]:
                self._add(name, Binding(node))
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            for name, binding in self.imported(node):
                self.imports.setdefault(name, []).append(binding)
                self.paths |= {binding.module, binding.path}
                self.renamed.update([binding.module] if binding.name else [])
                self.renamed.update([binding.path] if name != binding.path.rpartition(".")[2] else [])
        text = node.name if isinstance(node, ast.alias) else getattr(node, "value", None)
        self.paths.update(re.split(r"[^\w.]+", text) if isinstance(text, str) else ())


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


def _bound_by(nodes: Iterable[ast.AST]) -> Iterator[tuple[str, ast.AST]]:
    """Yield the names that nodes bind, without their descendants.

    With each name, yields the value in `NAME = VALUE`, otherwise the node that binds the name.
    """
    values: dict[ast.AST, ast.AST | None] = {}
    for node in nodes:
        if isinstance(node, (ast.Assign, ast.AnnAssign, ast.NamedExpr)):
            values |= dict.fromkeys(node.targets if isinstance(node, ast.Assign) else [node.target], node.value)
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            yield node.id, values.get(node) or node
        for field in _NAME_FIELDS.get(type(node), ()):
            name = getattr(node, field)
            if isinstance(name, str):
                yield name.partition(".")[0], node


def bindings_of(scope: ast.AST) -> dict[str, list[ast.AST]]:
    """Return what `_bound_by` yields for each local name of a module, class, function, or lambda."""
    body = getattr(scope, "body", [])
    nodes = body if isinstance(body, list) else [body]
    found: dict[str, list[ast.AST]] = {}
    own = list(own_nodes(*nodes))
    for name, node in _bound_by(own):
        found.setdefault(name, []).append(node)
    for node in ast.walk(scope.args) if isinstance(scope, (ast.Lambda, *FUNCTIONS)) else ():
        if isinstance(node, ast.arg):
            found.setdefault(node.arg, []).append(node)
    for node in own:
        for name in node.names if isinstance(node, (ast.Global, ast.Nonlocal)) else ():
            found.pop(name, None)
    return found


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


class Names:
    """Resolves names in a Bento's modules. Parses modules on demand."""

    def __init__(self, files: PythonFiles) -> None:
        self.files = files
        self.modules: set[str] = set()  # those that values were read from
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

    def resolve(self, module: Module, node: ast.expr, *, in_row: bool = False) -> Definition:
        """Return the definition of a name. Raises NotConstantError unless the sources have exactly one definition.

        If `in_row` is true, returns the first of several definitions that are expressions.
        """
        if outside := self.outside(module, node):
            raise NotConstantError(f"`{outside}` is defined outside the sources", module.path, node)
        if not isinstance(node, ast.Name):
            raise unsupported(module, node)
        return self.lookup(module, node.id, module.path, node, in_row=in_row)

    def lookup(self, module: Module, name: str, path: str, node: ast.AST, *, in_row: bool = False) -> Definition:
        """Return the definition of `name`. Raises NotConstantError (at `node` in `path`) unless it has exactly one."""
        for _ in range(_MAX_HOPS):
            known = module.bindings.get(name, [])
            is_row = in_row and bool(known) and all(isinstance(each.node, ast.expr) for each in known)
            if len(known) != 1 and not is_row:
                why = f"is assigned more than once (line {known[-1].line})" if known else "is unknown"
                raise NotConstantError(f"`{name}` {why}", path, node, "assignments")
            made, source = known[0].node, known[0].module
            if path == module.path and getattr(node, "lineno", known[0].line) < known[0].line:
                raise NotConstantError(
                    f"`{name}` is used before line {known[0].line} assigns it", path, node, "assignments"
                )
            if isinstance(made, (ast.expr, ast.ClassDef, *FUNCTIONS)):
                return Definition(module, name, made)
            is_loaded = source.partition(".")[0] in sys.stdlib_module_names  # before src/ is on sys.path
            file = self.files.find(source) if source and not is_loaded else None
            if file is None or self.files.find(known[0].path):
                why = "isn't a name of the sources" if source else "is assigned by an unsupported statement"
                raise NotConstantError(f"`{known[0].path or name}` {why} (line {known[0].line})", path, node, "modules")
            module, name = self.parsed(source, file), known[0].name
            self.modules.add(module.name)
        raise NotConstantError(f"the import of `{name}` is circular", path, node, "modules")


def unsupported(
    module: Module, node: ast.AST, why: str = "isn't a supported expression", topic: str = "expressions"
) -> NotConstantError:
    """Return the error for an unsupported expression. `why` follows the expression in the message."""
    is_long = any(islice(ast.walk(node), 201, None))
    text = "" if is_long else " ".join(ast.unparse(node).split())
    return NotConstantError(f"`{text[:80]}{'…' if is_long or len(text) > 80 else ''}` {why}", module.path, node, topic)
