"""Reads the project that `bento migrate` migrates, and finds out what importing its service requires."""

from __future__ import annotations

import ast
import re
from contextlib import suppress
from pathlib import PurePosixPath

from rules_bento.base.errors import BentoError
from rules_bento.base.typing_lite import TYPE_CHECKING
from rules_bento.bentos import service as services
from rules_bento.bentos.build_options import bentofile as bentofiles
from rules_bento.bentos.build_options.options import BuildOptions
from rules_bento.bentos.models.model_loads import find_model_loads
from rules_bento.bentos.service import python_syntax
from rules_bento.bentos.service.loaded_names import DISTRIBUTIONS, WITH_EFFECTS
from rules_bento.bentos.service.modules import (
    FUNCTIONS,
    Module,
    Names,
    PythonFiles,
    callee,
    dotted,
    is_guard,
    own_nodes,
)
from rules_bento.bentos.service.services import MOUNTS

from bento_cli.projects.bento_project import BentoProject
from bento_cli.projects.starlark import keyword_string, string, top_level_calls

if TYPE_CHECKING:
    from pathlib import Path

REQUIREMENTS = "requirements"  # name of the bento_requirements
OUR_LOCK = "requirements.lock.json"
# The second pair is used if the project has a file with the first name.
INPUTS = (("requirements.in", "constraints.in"), ("bento_requirements.in", "bento_constraints.in"))
_BUILD_FILES = ("BUILD", "BUILD.bazel")


class MigratedProject(BentoProject):
    """A project to migrate, with the results of its analysis."""

    def __init__(self, directory: Path, package: str, bentofile: str | None, store: Path) -> None:
        """Read the options, and analyze the service. Raises BentoError for an invalid project."""
        path = directory / bentofile if bentofile else bentofiles.find(directory)
        options = BuildOptions()
        if path is not None:
            options = bentofiles.read(path, path.name, src_exists=(path.parent / "src").is_dir())
        super().__init__(directory, options, path)
        sources = [file for file in self.selection.kept if file.link is None]
        self._require_service({file.path for file in sources})
        self.package, self.store = package.strip("/"), store  # the directory's package in the workspace
        self.info = services.read_service(options.service or "service", self.source_tree(sources), options.args)
        paths = sorted(file.path for file in self.declared)
        self.build_files = [path for path in paths if PurePosixPath(path).name in _BUILD_FILES]
        is_short = "BUILD" in self.build_files and "BUILD.bazel" not in self.build_files
        self.build_name = "BUILD" if is_short else "BUILD.bazel"
        self.generated = self._find_generated()  # paths of files that an earlier migration generated
        kept = {file.source for file in sources}  # files that BentoML would include
        self.kept = [file for file in self.declared if file.source in kept and file.path not in self.generated]
        texts = self.read_contents
        python = {path: texts[path] for path in texts if path.endswith(".py") and python_syntax.is_valid(texts[path])}
        self.model_loads = find_model_loads(texts)
        # The first minor version of Python that supports the syntax of the service.
        self.min_python = python_syntax.min_minor(python.values())
        self.import_packages = _find_imported(self.info.service.partition(":")[0], python)

    def _require_service(self, sources: set[str]) -> None:
        below = [file.path for file in self.declared if PurePosixPath(file.path).name == bentofiles.NAMES[0]]
        if self.bentofile is None and below and not {"service.py", "service/__init__.py"} & sources:
            inner = self.directory / PurePosixPath(below[0]).parent
            raise BentoError(
                f"{self.directory}: the directory contains neither a bentofile nor service.py. If the paths in "
                f"{below[0]} are relative to this directory, add --bentofile {below[0]}. Otherwise, run "
                f"`bento migrate {inner}`."
            )

    def _find_generated(self) -> list[str]:
        """Return the paths of the files that an earlier migration generated for `REQUIREMENTS` in a BUILD file.

        Returns [] if the project's requirements file is one of these files, or if the BUILD file is missing or invalid.
        """
        targets = []
        with suppress(BentoError):
            calls = top_level_calls(self.files.text(self.build_name, self.build_name), self.build_name)
            targets = [node for _, node, _ in calls if keyword_string(node, "name") == REQUIREMENTS]
        named = {string(node) for target in targets for node in ast.walk(target) if isinstance(node, ast.Constant)}
        names = [name for pair in INPUTS for name in pair if name in named] + [OUR_LOCK] * bool(targets)
        return [] if self.options.python.requirements_txt in names else names


_ALWAYS_IMPORTED = ("bentoml", "fastapi", "numpy", "pydantic", "starlette", "yaml")  # the modules that BentoML needs
_IMPORT = re.compile(rb"(?m)^\s*(?:from|import) (\w+)")
_LOADERS = ("pickle.load", "pickle.loads")
_PICKLED = ("catboost", "lightgbm", "pandas", "sklearn", "xgboost")  # modules whose objects are often in pickle files
_EVALUATED = (ast.BoolOp, ast.Compare, ast.FormattedValue, ast.UnaryOp)


def _find_imported(service: str, texts: dict[str, bytes]) -> set[str]:
    """Propose the package hub targets that the import of a service requires. For others, stand-in modules suffice.

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
