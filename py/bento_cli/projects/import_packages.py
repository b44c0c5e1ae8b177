"""Finds the packages that must be installed to import a service. For other packages, stand-in modules suffice.

The result is a proposal for the attribute `import_packages`, and might be incomplete.
"""

from __future__ import annotations

import ast
import re

from rules_bento.service.import_code import callee
from rules_bento.service.modules import FUNCTIONS, Module, dotted, is_guard, own_nodes
from rules_bento.service.services import MOUNTS
from rules_bento.service.stand_ins import DISTRIBUTIONS
from rules_bento.typing_lite import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# Targets of packages that change the environment, by module.
_ENVIRONMENT_PACKAGES = {"dotenv": "python_dotenv", "environs": "environs", "truststore": "truststore"}
_ALWAYS_IMPORTED = ("bentoml", "fastapi", "numpy", "pydantic", "starlette", "yaml")  # the modules that BentoML needs
_IMPORT = re.compile(rb"(?m)^\s*(?:from|import) (\w+)")
_LOADERS = ("pickle.load", "pickle.loads")
_PICKLED = ("catboost", "lightgbm", "pandas", "sklearn", "xgboost")  # modules whose objects are often in pickle files
_EVALUATED = (ast.BoolOp, ast.Compare, ast.FormattedValue, ast.UnaryOp)


def find(service: str, texts: dict[str, bytes]) -> set[str]:
    """Return the package hub targets that the import of a service requires.

    An item of the result can be a prefix of a target's name. `service` is the path of the service's file. `texts` maps
    paths to the contents of source files that Python can parse.
    """
    imported = {name.decode() for text in texts.values() for name in _IMPORT.findall(text)}
    modules = {*_mounted(service, texts.get(service, b"")), *_evaluated(service, texts)}
    names = (DISTRIBUTIONS.get(module, module) for module in modules.difference(_ALWAYS_IMPORTED))
    found = {re.sub(r"[-_.]+", "_", name).lower().strip("_") for name in names}
    return found | {target for module, target in _ENVIRONMENT_PACKAGES.items() if module in imported}


def _mounted(path: str, text: bytes) -> Iterator[str]:
    """Yield the top-level modules, such as `fastapi`, that create the mounted ASGI applications in a file."""
    module = Module("", path, ast.parse(text), is_package=False)
    for each in (each for node in ast.walk(module.tree) for each in getattr(node, "decorator_list", ())):
        if isinstance(each, ast.Call) and dotted(module, each.func) in MOUNTS and each.args:
            for binding in module.bindings.get(getattr(each.args[0], "id", ""), ()):
                yield from _packages(module, [callee(binding.node)])


def _evaluated(service: str, texts: dict[str, bytes]) -> Iterator[str]:
    """Yield the modules that the import of the file `service` uses in conditions or in `try` blocks."""
    files = {f".{path[:-3].removesuffix('/__init__').replace('/', '.')}": path for path in texts}
    pending = [(service, False)]  # files, and whether they are imported in a `try`
    called: set[str] = set()
    for path, is_tried in pending:
        module = Module("", path, ast.parse(texts.get(path, b"")), is_package=False)
        nodes = _executed(module, called)
        blocks = (node.body for node in nodes if isinstance(node, ast.Try) and node.handlers)
        tried = set(nodes) if is_tried else {node for block in blocks for node in own_nodes(*block)}
        yield from _packages(module, _with_values(module, [*tried, *_conditions(nodes)]))
        if any(dotted(module, node) in _LOADERS for node in nodes):
            yield from _PICKLED
        for node in nodes:
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                bound = [binding for _, binding in module.imported(node)]
                names = [name.strip(".") for binding in bound for name in (binding.module, binding.path)]
                own = [file for name, file in files.items() if name.endswith(tuple(f".{name}" for name in names))]
                pending += [entry for file in own if (entry := (file, node in tried)) not in pending]
                if node in tried and not own:
                    yield from (name.partition(".")[0] for name in names)


def _executed(module: Module, called: set[str]) -> list[ast.AST]:
    """Return the nodes that the import of a module executes. Adds the names of called functions to `called`."""
    body = [node for node in module.tree.body if not (isinstance(node, ast.If) and is_guard(module, node))]
    body += [child for node in body if isinstance(node, ast.ClassDef) for child in node.body]
    called |= {getattr(node.func, "id", "") for node in own_nodes(*body) if isinstance(node, ast.Call)}
    body += [child for node in body if isinstance(node, FUNCTIONS) and node.name in called for child in node.body]
    return list(own_nodes(*body))


def _conditions(nodes: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """Yield the nodes in conditions, comparisons, boolean and unary operations, and replacement fields of f-strings."""
    for node in nodes:
        if hasattr(node, "test") or isinstance(node, _EVALUATED):
            yield from own_nodes(getattr(node, "test", node))


def _with_values(module: Module, nodes: list[ast.AST]) -> list[ast.AST]:
    """Return `nodes`, and the nodes of each expression that the module assigns to a variable in `nodes`."""
    bindings = (binding for node in nodes for binding in module.bindings.get(getattr(node, "id", ""), ()))
    return [*nodes, *own_nodes(*(binding.node for binding in bindings if isinstance(binding.node, ast.expr)))]


def _packages(module: Module, nodes: Iterable[ast.AST]) -> Iterator[str]:
    """Yield the top-level module of each node that refers to an imported object."""
    for node in nodes:
        if name := dotted(module, node):
            yield name.partition(".")[0]
