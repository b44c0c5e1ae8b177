"""Finds the packages that must be installed to import a service. For other packages, stand-in modules suffice.

The result is a proposal for the attribute `import_requirements`, and might be incomplete.
"""

from __future__ import annotations

import ast
import re

from rules_bento.service.import_code import callee
from rules_bento.service.modules import FUNCTIONS, Module, Names, PythonFiles, dotted, is_guard, own_nodes
from rules_bento.service.services import MOUNTS
from rules_bento.service.stand_ins import DISTRIBUTIONS, WITH_EFFECTS

_ALWAYS_IMPORTED = ("bentoml", "fastapi", "numpy", "pydantic", "starlette", "yaml")  # the modules that BentoML needs
_IMPORT = re.compile(rb"(?m)^\s*(?:from|import) (\w+)")
_LOADERS = ("pickle.load", "pickle.loads")
_PICKLED = ("catboost", "lightgbm", "pandas", "sklearn", "xgboost")  # modules whose objects are often in pickle files
_EVALUATED = (ast.BoolOp, ast.Compare, ast.FormattedValue, ast.UnaryOp)


def find(service: str, texts: dict[str, bytes]) -> set[str]:
    """Return the package hub targets that the import of a service requires.

    An item of the result can be a prefix of a target's name. `service` is the module of the service. `texts` maps paths
    to the contents of source files that Python can parse.
    """
    names = Names(PythonFiles(texts))
    required = {name.decode() for text in texts.values() for name in _IMPORT.findall(text)}.intersection(WITH_EFFECTS)
    pending = [(service, False)]  # modules, and whether they are imported in a `try`
    called: set[str] = set()
    for name, is_tried in pending:
        path = names.files.find(name)
        if path is None:
            required |= {name.partition(".")[0]} if is_tried and not names.files.owns(name) else set()
            continue
        module = names.parsed(name, path)
        nodes = executed(module, called)
        blocks = (node.body for node in nodes if isinstance(node, ast.Try) and node.handlers)
        tried = set(nodes) if is_tried else {node for block in blocks for node in own_nodes(*block)}
        required |= {used.partition(".")[0] for node in _used(module, nodes, tried) if (used := dotted(module, node))}
        if any(dotted(module, node) in _LOADERS for node in nodes):
            required.update(_PICKLED)
        for node in nodes:
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                imported = [each for _, binding in module.imported(node) for each in (binding.module, binding.path)]
                pending += [(each, node in tried) for each in imported if (each, node in tried) not in pending]
    packages = (DISTRIBUTIONS.get(each, each) for each in required.difference(_ALWAYS_IMPORTED))
    return {re.sub(r"[-_.]+", "_", package).lower().strip("_") for package in packages}


def executed(module: Module, called: set[str]) -> list[ast.AST]:
    """Return the nodes that the import of a module executes. Adds the names of called functions to `called`."""
    body = [node for node in module.tree.body if not (isinstance(node, ast.If) and is_guard(module, node))]
    body += [child for node in body if isinstance(node, ast.ClassDef) for child in node.body]
    called |= {getattr(node.func, "id", "") for node in own_nodes(*body) if isinstance(node, ast.Call)}
    body += [child for node in body if isinstance(node, FUNCTIONS) and node.name in called for child in node.body]
    return list(own_nodes(*body))


def _used(module: Module, nodes: list[ast.AST], tried: set[ast.AST]) -> list[ast.AST]:
    """Return the nodes whose values the import requires. `nodes` contains the executed nodes of a module.

    The result contains the nodes in `try` blocks (`tried`), conditions, comparisons, boolean and unary operations, and
    replacement fields of f-strings, the values of their variables, and the functions that create mounted applications.
    """
    used, makers = [*tried], []
    for node in nodes:
        if hasattr(node, "test") or isinstance(node, _EVALUATED):
            used += own_nodes(getattr(node, "test", node))
        for each in getattr(node, "decorator_list", ()):
            if isinstance(each, ast.Call) and dotted(module, each.func) in MOUNTS:
                makers += [callee(value) for application in each.args[:1] for value in _values(module, application)]
    values = [value for node in used for value in _values(module, node) if isinstance(value, ast.expr)]
    return [*used, *own_nodes(*values), *makers]


def _values(module: Module, node: ast.AST) -> list[ast.AST]:
    """Return the values that the module assigns to a variable."""
    return [binding.node for binding in module.bindings.get(getattr(node, "id", ""), ())]
