"""Analyzes a service statically, starting from its import string.

docs/service-metadata.md describes the supported subset of Python. A value that unsupported code might affect is
unknown. Such values require a rule attribute, a flag, or an import of the service.
"""

from __future__ import annotations

import ast
import re

from rules_bento.errors import BentoError
from rules_bento.service.constants import DEPENDS, Constants
from rules_bento.service.import_code import CHANGES, WORDS, ImportCode, callee
from rules_bento.service.metadata import ServiceInfo, SourceTree, Unknown
from rules_bento.service.modules import FUNCTIONS, Module, Names, NotConstantError, PythonFiles
from rules_bento.service.sdk_names import old_service
from rules_bento.service.services import ServiceReader
from rules_bento.typing_lite import Iterable, Mapping

_MAKERS = ("bentoml.service", "bentoml.Service", "bentoml.legacy.Service", "bentoml.load", "bentoml.runner_service")


def read(service: str, files: Mapping[str, bytes] | SourceTree, arguments: Mapping[str, object]) -> ServiceInfo:
    """Determine the metadata of a service. See `rules_bento.service.read_service` for the arguments and errors."""
    sources = PythonFiles(files)
    module, attribute = _parts(service)
    path = sources.find(module)
    if path is None or path.endswith("/"):
        raise _no_module(service, module, sources)
    try:
        return _Reading(service, module, path, sources, arguments).read(attribute)
    except RecursionError:
        problem = f"the analysis of `{service[:200]}` exceeds Python's recursion limit"
        remedy = "Simplify deeply nested expressions, and remove circular imports."
        raise BentoError(problem, place=path, remedy=remedy) from None


class _Reading:
    """Statically analyzes one service, in as many passes as needed to cover all modules that affect the metadata."""

    def __init__(
        self, service: str, module: str, path: str, files: PythonFiles, arguments: Mapping[str, object]
    ) -> None:
        self._service = service
        self._files = files
        self._arguments = arguments
        self._names = Names(files)
        self._module = self._names.parsed(module, path)

    def read(self, attribute: str) -> ServiceInfo:
        """Return the metadata of the service `attribute`, or of the module's only service if `attribute` is empty."""
        needed = {self._module.name}
        suspects: set[bytes] = set()
        while True:
            modules, others = self._reached(needed, suspects)
            users = {module.name for module in modules if module.renamed & needed}
            if not users <= needed:
                needed |= users
                continue
            self._names.modules = set()
            code = ImportCode(self._names, modules, others)
            self._constants = Constants(self._names, code, self._arguments)
            name = attribute or self._only_service()
            self._reject_old_service(name)
            try:
                if code.hazard:
                    raise code.hazard
                info = self._info(name)
            except NotConstantError as error:  # of a service that exists, nothing is constant
                what = f"service `{error.service or name}`: {error.why}"
                unknown = Unknown(what, error.path, error.line, "service", name, error.topic)
                info = ServiceInfo(self._service, self._module.path, "new", None, None, unknowns=(unknown,))
            is_clean = not info.unknowns or code.suspects <= suspects
            if self._names.modules <= needed and is_clean:
                return info
            needed |= self._names.modules
            suspects |= set() if is_clean else code.suspects  # these modules might not use the names

    # Modules

    def _reached(self, users: set[str], suspects: set[bytes]) -> tuple[list[Module], frozenset[bytes]]:
        """Split the modules that an import might load. Returns one part, and the words in the files of the other part.

        The first part might affect the metadata: the modules named in `users`, and the modules whose files contain a
        word from `WORDS` or the last component of a name in `users`. The first part also includes valid modules with a
        word in `suspects`.
        """
        words = WORDS | {name.rpartition(".")[2].encode() for name in users}
        found: list[Module] = []
        others: set[bytes] = set()
        waiting, seen = [self._module.name], set()
        while waiting:
            name = waiting.pop()
            if name in seen:
                continue
            seen.add(name)
            waiting += [name.rpartition(".")[0]] if "." in name else []
            path = self._files.find(name)
            found_words = self._files.words(path) if path else frozenset()
            if path and (
                name in users
                or words & found_words
                or (
                    (suspects & found_words or CHANGES.search(b"" if path[-1] == "/" else self._files.read(path)))
                    and self._is_valid(name, path)
                )
            ):
                found.append(self._names.parsed(name, path))
                waiting += sorted(found[-1].paths)
            elif path:
                waiting += self._files.modules_named_in(path)
                others |= self._files.words(path)
        return found, frozenset(others)

    def _is_valid(self, name: str, path: str) -> bool:
        try:
            self._names.parsed(name, path)
        except BentoError:
            return False
        return True

    # The attribute

    def _info(self, attribute: str) -> ServiceInfo:
        name, path = f"{self._module.name}:{attribute}", self._module.path
        if "." in attribute:
            raise NotConstantError("attributes of other services aren't supported", path, 1, "services")
        if attribute not in self._module.bindings:
            near = _close(attribute, [known for known in self._module.bindings if not known.startswith("__")], 1)
            raise BentoError(
                f"service: {path} has no attribute `{attribute[:100]}` (got `{self._service[:200]}`). "
                + (f"Did you mean `{near[0]}`?" if near else "Specify a class decorated with `@bentoml.service`.")
            )
        definition = self._names.lookup(self._module, attribute, path, self._module.tree)
        made = definition.node
        if isinstance(made, (ast.Constant, *FUNCTIONS)) or not getattr(made, "decorator_list", True):
            raise BentoError(
                f"{definition.module.path}:{made.lineno}: `{attribute}` isn't a class decorated with "
                "`@bentoml.service`",
                remedy="Decorate the class, or set service to another class.",
            )
        reader = ServiceReader(self._constants)
        return reader.info(reader.declaration(definition), name, path)

    def _reject_old_service(self, attribute: str) -> None:
        """Raise BentoError if the attribute is a `bentoml.Service` of BentoML before 1.4."""
        try:
            module, _, made = self._names.lookup(self._module, attribute, self._module.path, self._module.tree)
        except NotConstantError:
            return
        if isinstance(made, ast.Call) and self._names.outside(module, made.func) == "bentoml.Service":
            given = {each.arg for each in made.keywords}
            if len(made.args) < 3 and not given & {"inner", None}:
                raise old_service(f"{module.path}:{made.lineno}")

    def _might_be_service(self, name: str) -> bool:
        """Return whether a name might be a service on which no other service depends."""
        module, nodes = self._module, [each.node for each in self._module.bindings[name]]
        try:
            definition = self._names.lookup(module, name, module.path, module.tree)
        except NotConstantError:
            pass
        else:
            if any(self._constants.receiver(by, use) in DEPENDS for by, use in self._constants.code.uses(definition)):
                return False
            module, nodes = definition.module, [definition.node]
        parts = [each for node in nodes if not isinstance(node, FUNCTIONS) for each in ast.walk(node)]
        calls = [each.func for each in parts if isinstance(each, ast.Call)]
        decorators = [callee(one) for each in parts if isinstance(each, ast.ClassDef) for one in each.decorator_list]
        made = [self._names.outside(module, each) for each in calls]
        return any(each in _MAKERS for each in made) or any(
            self._names.outside(module, each) in ("bentoml.service", None) for each in decorators
        )

    def _only_service(self) -> str:
        """Return the only name in the module that might be a service. Raises BentoError for several names or none."""
        names = [name for name in self._module.bindings if self._might_be_service(name)]
        if len(names) == 1:
            return names[0]
        if not names:
            remedy = "Decorate a class with `@bentoml.service`, or set service to another module."
            raise BentoError(f"{self._module.path} defines no service", remedy=remedy)
        remedy = f"Specify one of the services in `service`, such as `{self._module.name}:{names[0]}`."
        raise BentoError(f"{self._module.path} defines multiple services: {_listed(names)}", remedy=remedy)


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
