"""Analyzes a service statically, starting from its import string.

docs/service-metadata.md describes what is literal. For anything else, the import decides.
"""

from __future__ import annotations

import ast
import re

from rules_bento.base.errors import BentoError
from rules_bento.base.typing_lite import Iterable, Mapping
from rules_bento.bentos.service.bans import DEPENDS, Program
from rules_bento.bentos.service.metadata import ServiceInfo, SourceTree, Unknown
from rules_bento.bentos.service.modules import (
    FUNCTIONS,
    Module,
    Names,
    NotConstantError,
    PythonFiles,
    callee,
    import_base,
    import_statements,
)
from rules_bento.bentos.service.sdk_names import OLD_SERVICE
from rules_bento.bentos.service.services import ServiceReader
from rules_bento.bentos.service.values import Constants

_MAKERS = ("bentoml.service", "bentoml.Service", "bentoml.legacy.Service", "bentoml.load", "bentoml.runner_service")


def read(service: str, files: Mapping[str, bytes] | SourceTree, arguments: Mapping[str, object]) -> ServiceInfo:
    """Determine the metadata of a service. `read_service` has the arguments and errors."""
    names = Names(PythonFiles(files))
    name, attribute = _parts(service)
    path = names.files.find(name)
    if hidden := names.files.hidden(name):
        problem = f"service: BentoML loads another module `{name}` before the service, so {hidden} is never imported"
        raise BentoError(problem, remedy=f"Rename {hidden}.")
    if path is None or path.endswith("/"):
        raise _no_module(service, name, names.files)
    try:
        module = names.parsed(name, path)
        for call in module.nodes.get(ast.Call, ()):
            given = {each.arg for each in call.keywords}
            is_old = len(call.args) < 3 and not given & {"inner", None}
            if is_old and names.outside(module, call.func) == "bentoml.Service":
                raise BentoError(f"{path}:{call.lineno}: {OLD_SERVICE}.")
        if attribute and "." not in attribute:
            _require_class(service, module, attribute)
        program = Program(names, module)
        _require_names(program)
        attribute = attribute or _only_service(program, module)
        reader = ServiceReader(Constants(program, arguments))
        definition = names.lookup(module, attribute, path, module.tree)
        info = reader.info(reader.declaration(definition), f"{name}:{attribute}", path)
        reader.require_plain_classes()
        return info
    except NotConstantError as error:
        what = f"service `{attribute or name}`: {error.why}"
        unknown = Unknown(what, error.path, error.line, "service", attribute)
    except RecursionError:
        what = f"service `{attribute or name}`: an expression or a chain of names is too long to analyze"
        unknown = Unknown(what, path, 1, "service", attribute)
    return ServiceInfo(service, path, "new", None, None, unknowns=(unknown,))


def _require_names(program: Program) -> None:
    """Raise BentoError for an import of a name that a module of the sources certainly lacks."""
    files = program.names.files
    for module in program.modules.values():
        for node in import_statements(module.tree):
            base = import_base(node, module.package) if isinstance(node, ast.ImportFrom) else ""
            source = program.modules.get(base)
            bound = {"__getattr__"}
            if source and not source.path.endswith("/"):  # a module that imports its own name binds it too late
                names = source.bindings.items()
                bound = {name for name, by in names if any((one.module, one.name) != (base, name) for one in by)}
            for name in () if "__getattr__" in bound else (alias.name for alias in node.names):
                inner = f"{base}.{name}"
                is_other = files.find(inner) or files.compiled(inner) or name in program.stored or name[:2] == "__"
                if source and name not in bound and not is_other:
                    near = _close(name, sorted(bound), 1)
                    problem = f"{source.path} has no name `{name}`, which this line imports"
                    remedy = f"Did you mean `{near[0]}`?" if near else f"Define the name in {source.path}."
                    raise BentoError(problem, place=f"{module.path}:{node.lineno}", remedy=remedy)


def _require_class(service: str, module: Module, attribute: str) -> None:
    """Raise BentoError if a module certainly has no service with a name."""
    if attribute not in module.bindings:
        near = _close(attribute, [known for known in module.bindings if not known.startswith("__")], 1)
        raise BentoError(
            f"service: {module.path} has no attribute `{attribute[:100]}` (got `{service[:200]}`). "
            + (f"Did you mean `{near[0]}`?" if near else "Specify a class decorated with `@bentoml.service`.")
        )
    made = module.bindings[attribute][0].node
    is_plain = len(module.bindings[attribute]) == 1 and module.bindings[attribute][0].is_plain
    if is_plain and (isinstance(made, (ast.Constant, *FUNCTIONS)) or not getattr(made, "decorator_list", True)):
        problem = f"`{attribute}` isn't a class decorated with `@bentoml.service`"
        remedy = "Decorate the class, or set service to another class."
        raise BentoError(problem, place=f"{module.path}:{module.bindings[attribute][0].line}", remedy=remedy)


def _only_service(program: Program, module: Module) -> str:
    """Return the only name in the module that might be a service. Raises BentoError for several names or none."""
    for by in program.modules.values():
        for call in by.nodes.get(ast.Call, ()):
            if program.names.outside(by, call.func) in _MAKERS and not isinstance(by.parents[call], ast.ClassDef):
                raise NotConstantError("this call might make a service", by.path, call)
    names = [name for name in module.bindings if _might_be_service(program, module, name)]
    if len(names) == 1:
        return names[0]
    if not names:
        remedy = "Decorate a class with `@bentoml.service`, or set service to another module."
        raise BentoError(f"{module.path} defines no service", remedy=remedy)
    remedy = f"Specify one of the services in `service`, such as `{module.name}:{names[0]}`."
    raise BentoError(f"{module.path} defines multiple services: {_listed(names)}", remedy=remedy)


def _might_be_service(program: Program, module: Module, name: str) -> bool:
    """Return whether a name might be a service on which no other service depends."""
    try:
        definition = program.names.lookup(module, name, module.path, module.tree)
        while isinstance(definition.node, ast.Name):
            definition = program.names.resolve(definition.module, definition.node)
    except NotConstantError:
        bound, files = module.bindings[name], program.names.files
        decorated = [
            each for each in bound if getattr(each.node, "decorator_list", []) and isinstance(each.node, ast.ClassDef)
        ]
        return bool(decorated) or any(files.owns(each.path) and not files.find(each.path) for each in bound)
    made, uses = definition.node, program.uses.get(definition.key, ())
    decorators = made.decorator_list if isinstance(made, ast.ClassDef) else []
    is_service = any(
        program.names.outside(definition.module, callee(each)) in ("bentoml.service", None) for each in decorators
    )
    return is_service and not any(program.receiver(by, use) in DEPENDS for by, use in uses)


def module_of(service: str) -> str:
    """Return the name of the module in an import string. Raises BentoError for an invalid string."""
    return _parts(service)[0]


def _parts(service: str) -> tuple[str, str]:
    """Split an import string into module and attribute ("" if omitted). Raises BentoError for an invalid string."""
    target, colon, attribute = service.partition(":")
    if target.endswith(".py"):
        target = ".".join(part for part in target[:-3].split("/") if part != ".")
    wrong = [name for name in target.split(".") if not re.fullmatch(r"[\w-]+", name)]
    wrong += [name for name in (attribute.split(".") if colon else ()) if not name.isidentifier()]
    if wrong:
        problem = f"invalid value `{service}`, because `{wrong[0]}` isn't a name"
        remedy = "Use `module:Class`, `file.py:Class`, or `module`, relative to the Bento's sources."
        raise BentoError(problem, place="service", remedy=remedy)
    return target, attribute


def _no_module(service: str, module: str, sources: PythonFiles) -> BentoError:
    path = f"{module[:100].replace('.', '/')}.py"
    modules = [name for name in sorted(sources.paths) if name.endswith(".py")]
    near = _close(path, modules, 3)
    matches = f" Near matches: {_listed(near)}." if near else "" if modules else " The sources contain no Python files."
    return BentoError(
        f"the sources don't contain {path}, which `{service}` requires.{matches} Add the file to the sources (in "
        "Bazel, to srcs or deps), correct the service's import string, or check include and exclude.",
        place="service",
    )


def _close(name: str, names: list[str], count: int) -> list[str]:
    import difflib

    return difflib.get_close_matches(name[:100], [each[:100] for each in names[:1000]], n=count, cutoff=0.5)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
