"""Finds which modules of the sources may change, while they are imported, what other modules have.

A module of which no name is needed is not read, for most have nothing to say of the service. One that changes what the
service is made of, by `consts.LABELS["team"] = "a"` or `bentoml.service = mine`, says something though nobody asks it.
They are looked for by words first, so that nearly all modules are not even parsed: whoever changes a thing has to name
the module that it comes from, or one that names that.
"""

from __future__ import annotations

import ast
import re

from rules_bento.errors import BentoError
from rules_bento.service.python.budget import spend
from rules_bento.service.python.changes import READING, same_scope
from rules_bento.service.python.sources import Moved

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from rules_bento.service.python.sources import Sources

_WORD = re.compile(rb"\w+")
_LIBRARY = b"bentoml"
_ROUNDS = 4  # of names that are bound to names
# Functions that import a module by a name that need not stand in the source.
_BY_NAME = frozenset([b"__import__", b"import_module", b"run_module", b"walk_packages", b"iter_modules"])
# What changes where Python looks for modules, and what may put another folder before the sources there.
_PATH = re.compile(
    rb"\bsys\s*\.\s*path\s*(?:\.\s*\w+\s*\(|\[|\+?=[^=])|\bfrom\s+sys\s+import\b[^\n]*\bpath\b|\baddsitedir\b"
)
_FIRST_ON_PATH = re.compile(
    rb"\bsys\s*\.\s*path\s*(?:\.\s*(?!append\b|extend\b)\w+\s*\(|\[|=[^=])|\bfrom\s+sys\s+import\b[^\n]*\bpath\b"
)
# Built-in functions that leave what they are given as it is.
_PURE = frozenset(
    [
        "abs",
        "all",
        "any",
        "bool",
        "dict",
        "enumerate",
        "filter",
        "float",
        "frozenset",
        "getattr",
        "hasattr",
        "int",
        "isinstance",
        "issubclass",
        "len",
        "list",
        "map",
        "max",
        "min",
        "print",
        "range",
        "repr",
        "reversed",
        "round",
        "set",
        "sorted",
        "str",
        "sum",
        "super",
        "tuple",
        "type",
        "zip",
    ]
)


def moved(sources: Sources, service: str) -> Moved | None:
    """Return what changes, while `service` is imported, where modules are looked for; None where nothing does."""
    modules = sources.modules()
    if len(modules) == 1:
        return None
    found = None
    for name in sorted(_reached(sources, modules, service)):
        path, text = sources.find(name), sources.content(name)
        known = _PATH.search(text)
        if path is None or known is None:
            continue
        first = _FIRST_ON_PATH.search(text) is not None
        if found is None or (first and not found.first):
            found = Moved(path, text.count(b"\n", 0, known.start()) + 1, first)
    return found


def changing(sources: Sources, service: str, needed: Collection[str]) -> list[str]:
    """Name the modules that importing `service` may import and that may change what modules of `needed` have.

    `needed` are the modules that facts were read from, `service` among them.
    """
    modules = sources.modules()
    if len(modules) == 1:
        return []
    words = _reached(sources, modules, service)
    meant = _naming(words, needed)
    return [name for name in sorted(words) if name in meant and _may_change(sources, name, modules)]


def _reached(sources: Sources, modules: Collection[str], service: str) -> dict[str, frozenset[bytes]]:
    """Return the words of each module that may be imported: whatever imports a module has its name as a word."""
    if sources.reached is not None:
        return sources.reached
    by_word: dict[bytes, list[str]] = {}
    for module in modules:
        by_word.setdefault(_own_word(module), []).append(module)
    words: dict[str, frozenset[bytes]] = {}
    waiting = [service, *_packages(service)]
    while waiting:
        name = waiting.pop()
        if name in words or name not in modules:
            continue
        text = sources.content(name)
        spend(len(text) // 64)
        words[name] = frozenset(_WORD.findall(text))
        if not _BY_NAME.isdisjoint(words[name]):
            waiting += modules
        for word in words[name] & by_word.keys():
            for other in by_word[word]:
                waiting += [other, *_packages(other)]
    sources.reached = words
    return words


def _naming(words: dict[str, frozenset[bytes]], needed: Collection[str]) -> set[str]:
    """Return the modules that name one of `needed`, BentoML, or a module that does."""
    meant: set[str] = set()
    sought = {_own_word(name) for name in needed} | {_LIBRARY}
    while True:
        more = {name for name in words.keys() - meant if not sought.isdisjoint(words[name])}
        if not more:
            return meant
        meant |= more
        sought |= {_own_word(name) for name in more}


def _own_word(module: str) -> bytes:
    return module.rpartition(".")[2].encode()


def _packages(module: str) -> list[str]:
    """Return the packages that a module is in."""
    parts = module.split(".")
    return [".".join(parts[:end]) for end in range(1, len(parts))]


def _may_change(sources: Sources, module: str, modules: Collection[str]) -> bool:
    """Return whether the statements of a module that run when it is imported may change what is not its own."""
    path = sources.find(module)
    assert path is not None
    try:
        tree = sources.parse(path)
    except BentoError:  # to be told only if the module is imported
        return True
    names = _Names(tree, {name.partition(".")[0] for name in modules})
    return any(map(names.may_change, _run_at_import(tree)))


def _run_at_import(tree: ast.Module) -> Iterator[ast.AST]:
    """Walk what runs when a module is imported: bodies of functions do not, their decorators and defaults do."""
    for node in same_scope(tree.body):
        yield node
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            default = [value for value in (*node.args.defaults, *node.args.kw_defaults) if value is not None]
            yield from same_scope([*node.decorator_list, *default])


class _Names:
    """Classifies the names of a module: from other modules of the sources, of BentoML, of libraries, or its own."""

    def __init__(self, tree: ast.Module, tops: Collection[str]) -> None:
        self._theirs: set[str] = set()
        self._library: set[str] = set()
        self._own: set[str] = set()
        for node in ast.walk(tree):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                self._imported(node, tops)
        bound: list[tuple[ast.AST, ast.AST]] = []
        for node in same_scope(tree.body):
            match node:
                case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                    self._own.add(node.name)
                case ast.Assign():
                    bound += [(target, node.value) for target in node.targets]
                case ast.AnnAssign(value=ast.expr() as value) | ast.NamedExpr(value=value):
                    bound.append((node.target, value))
                case ast.For() | ast.AsyncFor():
                    bound.append((node.target, node.iter))
        self._follow(bound)

    def _imported(self, node: ast.Import | ast.ImportFrom, tops: Collection[str]) -> None:
        from_here = isinstance(node, ast.ImportFrom) and node.level > 0
        for alias in node.names:
            module = (node.module or "") if isinstance(node, ast.ImportFrom) else alias.name
            top = module.partition(".")[0]
            name = alias.asname or (alias.name if isinstance(node, ast.ImportFrom) else top)
            if from_here or top in tops:
                self._theirs.add(name)
            elif top == "bentoml":
                self._library.add(name)

    def _follow(self, bound: list[tuple[ast.AST, ast.AST]]) -> None:
        """Note the names that are bound to what others have."""
        spend(len(bound))
        for _ in range(_ROUNDS):
            before = len(self._theirs)
            for target, value in bound:
                if not self._theirs.isdisjoint(_names(value)):
                    self._theirs |= _names(target)
            if len(self._theirs) == before:
                return

    def may_change(self, node: ast.AST) -> bool:
        """Return whether a piece of code may change what others have."""
        match node:
            case ast.Attribute(ctx=ast.Store() | ast.Del()) | ast.Subscript(ctx=ast.Store() | ast.Del()):
                return not (root := _root(node)) or root in self._theirs | self._library | self._own
            case ast.AugAssign(target=target):
                return _root(target) in self._theirs | self._library
            case ast.Attribute(value=ast.Name("sys"), attr="modules"):
                return True
            case ast.FunctionDef(decorator_list=decorators):
                return any(_root(each) in self._theirs | self._own for each in decorators)
            case ast.ClassDef(decorator_list=decorators, bases=bases, keywords=keywords):
                hooks = [
                    *decorators,
                    *bases,
                    *(keyword.value for keyword in keywords),
                ]  # `__init_subclass__`, a metaclass
                return any(_root(each) in self._theirs | self._own for each in hooks)
            case ast.Call():
                return self._call_may_change(node)
            case _:
                return False

    def _call_may_change(self, call: ast.Call) -> bool:
        """Return whether a call may change what others have: by its method, its function, or as an argument."""
        root = _root(call.func)
        method = call.func.attr if isinstance(call.func, ast.Attribute) else ""
        if method in ("import_module", "reload") or root in ("__import__", "exec", "eval"):
            return True
        if root in self._library or method in READING:
            return False
        if root in self._theirs or root in self._own:
            return True
        if not method and root in _PURE:
            return False
        given = [*call.args, *(keyword.value for keyword in call.keywords)]
        return any(_root(value) in self._theirs | self._library for value in given)


def _names(node: ast.AST) -> set[str]:
    return {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)}


def _root(node: ast.AST) -> str:
    """Return the name that an expression begins with; empty where it begins with none."""
    while isinstance(node, (ast.Attribute, ast.Subscript, ast.Starred, ast.Call)):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else ""
