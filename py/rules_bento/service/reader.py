"""Reads the metadata of a service from its source: finds the module, the attribute in it, and what it stands for.

A small subset of Python is supported (docs/services.md lists it). Whatever the reader does not know, and what could
reach a service, is rejected by file and line: the value is unknown, and a statement or an import gives it.
"""

from __future__ import annotations

import ast

from rules_bento.errors import BentoError
from rules_bento.service.bindings import (
    BUILTIN,
    CLASS,
    FUNCTION,
    MODULE,
    OTHER,
    OUTSIDE,
    VALUE,
    Definition,
    Module,
    Names,
    NotConstantError,
    cut,
)
from rules_bento.service.constants import Constants
from rules_bento.service.import_code import WORDS, ImportCode
from rules_bento.service.legacy import LegacyReader
from rules_bento.service.metadata import Service, ServiceInfo, SourceTree, Unknown
from rules_bento.service.overrides import unread
from rules_bento.service.python_files import PythonFiles
from rules_bento.service.sdk_names import words
from rules_bento.service.services import Declaration, ServiceReader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_FORM = "write `module:attribute`, `file.py:attribute` or `module`"


def read(service: str, files: Mapping[str, bytes] | SourceTree, arguments: Mapping[str, object]) -> ServiceInfo:
    """Read a service; see `rules_bento.service.read_service`."""
    sources = PythonFiles(files)
    module, attribute = _parts(service, sources)
    path = sources.find(module)
    if path is None or path.endswith("/"):
        raise _no_module(service, module, sources)
    try:
        return _Reading(service, module, sources, arguments).read(attribute)
    except RecursionError:
        raise BentoError(
            f"{path}: the sources of service `{service[:200]}` are nested too deeply: names that import each other, or "
            "expressions in expressions, by the hundred. Flatten them."
        ) from None


class _Reading:
    """Reads one service, again with more modules where those that it needs are used by others."""

    def __init__(self, service: str, module: str, files: PythonFiles, arguments: Mapping[str, object]) -> None:
        self.service = service
        self.module_name = module
        self.files = files
        self.arguments = arguments
        self.names = Names(files)

    def read(self, attribute: str) -> ServiceInfo:
        """Return the metadata. Raises BentoError if there is no such service."""
        needed = {self.module_name}
        while True:
            modules, others = self._imported(needed)
            self.names.modules, self.names.stores = {}, {}
            self.code = ImportCode(self.names, modules, others)
            self.constants = Constants(self.names, self.code, self.arguments)
            self.module = self._module()
            found = attribute or self._only_service()
            info = self._info(found)
            if set(self.names.modules) <= needed:
                return info
            needed |= set(self.names.modules)

    def _module(self) -> Module:
        module = self.names.module(self.module_name)
        assert module is not None
        return module

    # Modules

    def _imported(self, needed: set[str]) -> tuple[list[Module], frozenset[bytes]]:
        """Return the modules that importing the service may import and that may change what the needed ones have.

        Only those are parsed that have a word of `WORDS`, or that name a needed module, or one that has objects of one.
        Of the others, return the words.
        """
        users = set(needed)
        while True:
            modules, others = self._reached(users)
            more = {module.name for module in modules if module.renamed & users}
            if more <= users:
                return modules, others
            users |= more

    def _reached(self, users: set[str]) -> tuple[list[Module], frozenset[bytes]]:
        words = WORDS | {name.rpartition(".")[2].encode() for name in users}
        found: list[Module] = []
        others: set[bytes] = set()
        waiting, seen = [self.module_name], set()
        while waiting:
            name = waiting.pop()
            path = self.files.find(name)
            if name in seen or path is None:
                continue
            seen.add(name)
            waiting += [name.rpartition(".")[0]] if "." in name else []
            if name in users or words & self.files.words(path):
                module = self.names.parsed(name, path)
                found.append(module)
                for one, below in module.imports:
                    waiting += [one, f"{one}.{below}"]
            else:
                waiting += self.files.modules_named_in(path)
                others |= self.files.words(path)
        return found, frozenset(others)

    # The attribute

    def _info(self, attribute: str) -> ServiceInfo:
        name = f"{self.module_name}:{attribute}"
        try:
            if self.code.hazard:
                raise self.code.hazard
            definition = self._resolved(attribute)
            reader = ServiceReader(self.constants)
            if isinstance(definition, Declaration):
                return reader.info(definition, name, self.module.path)
            called = isinstance(definition.node, ast.Call) and definition.module and definition.kind == VALUE
            maker = self.names.outside(definition.module, definition.node.func) if called else None  # type: ignore[arg-type,attr-defined]
            if maker == "bentoml.legacy.Service":
                return LegacyReader(reader, definition).info(name, self.module.path)
            self._require_service(definition, attribute, maker)
            return reader.info(reader.declaration(definition, self.module, definition.node), name, self.module.path)
        except NotConstantError as error:
            return self._unread(error, name, attribute)

    def _resolved(self, attribute: str) -> Definition | Declaration:
        """Follow a dotted attribute: through modules, and through the dependencies of a service."""
        first, *rest = attribute.split(".")
        if first not in self.module.bindings and not self.files.find(f"{self.module_name}.{first}"):
            raise self._no_attribute(first)
        place = (
            ast.copy_location(ast.Name(first, ast.Load()), self.module.tree.body[0])
            if self.module.tree.body
            else ast.Name(first, ast.Load())
        )
        definition = self.names.attribute(self.module_name, first, self.module.path, place)
        found: Definition | Declaration = definition
        for part in rest:
            if isinstance(found, Definition) and found.kind == MODULE:
                found = self.names.attribute(found.name, part, self.module.path, place)
                continue
            reader = ServiceReader(self.constants)
            owner = found if isinstance(found, Declaration) else reader.declaration(found, self.module, place)
            dependencies = reader.dependencies_of(owner)
            if part not in dependencies:
                raise BentoError(
                    f"{owner.module.path}:{owner.node.lineno}: the service has no dependency `{part}`, which "
                    f"`{self.service}` names. It has {_listed(dependencies) or 'none'}."
                )
            on = dependencies[part]
            if isinstance(on, NotConstantError):
                raise on
            found = on
        return found

    def _no_attribute(self, name: str) -> BentoError:
        import difflib

        public = [cut(known) for known in self.module.bindings if not known.startswith("__")][:1000]
        near = difflib.get_close_matches(cut(name), public, n=1, cutoff=0.5)
        services = [known for known in self.module.bindings if self._is_service(known)]
        hint = f" Did you mean `{near[0]}`?" if near else ""
        if services and services != near:
            hint += f" Its services are {_listed(map(cut, services))}: name one in `service`."
        return BentoError(
            f"{self.module.path} has no attribute `{cut(name)}` (`service` is `{self.service[:200]}`).{hint}"
        )

    def _require_service(self, definition: Definition, attribute: str, maker: str | None) -> None:
        """Raise BentoError for what certainly is no service."""
        node, module = definition.node, definition.module or self.module
        what, remedy = "", "Name a service in `service`."
        if definition.kind == CLASS and not getattr(node, "decorator_list", ()):
            what, remedy = "a class that isn't a service", "Decorate it with `@bentoml.service`."
        elif definition.kind == FUNCTION:
            what, remedy = "a function", "Name a class that is decorated with `@bentoml.service`."
        elif definition.kind == MODULE:
            what = "a module"
        elif definition.kind in (OUTSIDE, BUILTIN):
            what, remedy = f"`{definition.name}`, from outside the sources", "Define the service in the sources."
        elif isinstance(node, (ast.Constant, ast.List, ast.Dict, ast.Tuple)):
            what = "a plain value"
        elif maker == "bentoml.Service":
            _require_new_service(module, node, attribute)
        if what:
            raise BentoError(f"{module.path}:{getattr(node, 'lineno', 1)}: `{attribute}` is {what}. {remedy}")

    def _is_service(self, name: str, kinds: tuple[str, ...] = ("bentoml.service", "bentoml.legacy.Service")) -> bool:
        """Return whether a name of the module is a service as far as its own statement says."""
        try:
            definition = self.names.lookup(self.module, name, self.module.path, self.module.tree)
        except (NotConstantError, BentoError):
            return False
        node = definition.node
        decorators = getattr(node, "decorator_list", ()) if definition.kind == CLASS else ()
        called = [each.func if isinstance(each, ast.Call) else each for each in decorators]
        while definition.kind == VALUE and isinstance(node, ast.Call):
            node = node.func
            called.append(node)
        return definition.module is not None and any(
            self.names.outside(definition.module, each) in kinds for each in called
        )

    def _only_service(self) -> str:
        """Find the one service of the module as BentoML does, which ignores what another one depends on."""
        names = [name for name in self.module.bindings if self._is_service(name, ("bentoml.service",))]
        below: set[int] = set()
        found: dict[str, Declaration] = {}
        for name in names:
            reader = ServiceReader(self.constants)
            try:
                found[name] = reader.declaration(
                    self.names.lookup(self.module, name, self.module.path, self.module.tree),
                    self.module,
                    self.module.tree,
                )
                below |= {
                    id(on.node) for on in reader.dependencies_of(found[name]).values() if isinstance(on, Declaration)
                }
            except NotConstantError:
                continue
        names = [name for name in names if name not in found or id(found[name].node) not in below]
        names = names or [name for name in self.module.bindings if self._is_service(name)]
        uncertain = [name for name in self.module.bindings if name not in names and self._may_be_service(name)]
        if len(names) + len(uncertain) == 1:
            return [*names, *uncertain][0]
        for name, known in self.module.bindings.items():
            node = known[0].node
            if (
                not names
                and isinstance(node, ast.Call)
                and self.names.outside(self.module, node.func) == "bentoml.Service"
            ):
                _require_new_service(self.module, node, name)
        path, example = self.module.path, (names or uncertain or ["MyService"])[0]
        name_one = f"Name one in `service`, as `{self.module_name}:{example}`."
        if len(names) == 1:
            raise BentoError(
                f"{path} has the service `{names[0]}`, and {_listed(uncertain)} may be one, too. {name_one}"
            )
        if names:
            raise BentoError(f"{path} has several services: {_listed(dict.fromkeys([*names, *uncertain]))}. {name_one}")
        if uncertain:
            raise BentoError(f"{path} has no service that is certain; {_listed(uncertain)} may be one. {name_one}")
        raise BentoError(
            f"{path} has no service (`service` is `{self.service[:200]}`). "
            "Decorate its class with `@bentoml.service`, or name another module in `service`."
        )

    def _may_be_service(self, name: str) -> bool:
        """Return whether a name may be a service, of which its statement does not say enough."""
        makers = (
            "bentoml.service",
            "bentoml.Service",
            "bentoml.legacy.Service",
            "bentoml.load",
            "bentoml.runner_service",
        )
        for binding in self.module.bindings[name]:
            if binding.kind not in (OTHER, VALUE, CLASS):
                continue
            for node in ast.walk(binding.node) if binding.kind != CLASS else [binding.node]:
                if isinstance(node, ast.Call) and self.names.outside(self.module, node.func) in makers:
                    return True
                called = [
                    each.func if isinstance(each, ast.Call) else each for each in getattr(node, "decorator_list", ())
                ]
                if isinstance(node, ast.ClassDef) and not all(self.names.outside(self.module, each) for each in called):
                    return True
        return False

    def _unread(self, error: NotConstantError, service: str, attribute: str) -> ServiceInfo:
        """Return the metadata of a service that exists, and of which nothing is constant."""
        why, path, line = error.why, error.path, error.line
        legacy = any(b"legacy" in self.files.words(module.path) for module in self._imported({self.module_name})[0])
        kind = "" if legacy else "services"
        whole = Unknown(f"what service `{attribute}` is: {why}", path, line, kind, "service", attribute, required=True)
        own = {"labels": "the labels", "envs": "the envs", "image": "the image", "description": "the description"}
        of_entry = [
            Unknown(f"{what} of service `{attribute}`: {why}", path, line, fact, fact, attribute, required=True)
            for fact, what in own.items()
        ]
        unknowns = (whole, *unread(attribute, why, path, line), *of_entry)
        services = (Service(None, attribute, path, line),) if kind else ()
        return ServiceInfo(service, self.module.path, "new", None, None, services, unknowns=unknowns)


_LEGACY = "Write `bentoml.legacy.Service`, which is what that name was for before."
_SERVICE = words("name config inner image description path_prefix envs labels models cmd apis")


def _require_new_service(module: Module, node: ast.AST, name: str) -> None:
    """Raise BentoError for `bentoml.Service` with the arguments of a service of BentoML before 1.4."""
    given = [each.arg for each in node.keywords if each.arg] if isinstance(node, ast.Call) else []
    foreign = next((each for each in given if each not in _SERVICE), None)
    if foreign:
        raise BentoError(
            f"{module.path}:{getattr(node, 'lineno', 1)}: `{name}` is `bentoml.Service`, which takes no `{foreign}` "
            f"since BentoML 1.4. {_LEGACY}"
        )
    line = getattr(node, "lineno", 1)
    raise NotConstantError(f"`bentoml.Service` isn't supported. {_LEGACY[:-1]}", module.path, line)


def _parts(service: str, sources: PythonFiles) -> tuple[str, str]:
    """Split an import string into the dotted module and the dotted attribute, which may be empty."""
    target, colon, attribute = service.partition(":")
    bad = f"service `{service}` is malformed: "
    if not target:
        raise BentoError(f"{bad}it names no module; {_FORM}.")
    if colon and not attribute:
        raise BentoError(f"{bad}nothing follows the colon; {_FORM}.")
    if attribute and not all(part.isidentifier() for part in attribute.split(".")):
        raise BentoError(f"{bad}`{attribute}` isn't an attribute; {_FORM}.")
    is_file = target.endswith(".py") and f"{target[:-3]}/py" not in sources.paths
    if is_file or "/" in target:
        target = _module_of_file(target, bad)
    if not all(part.isidentifier() for part in target.split(".")):
        raise BentoError(f"{bad}`{target}` isn't a module; {_FORM}.")
    return target, attribute


def _module_of_file(path: str, bad: str) -> str:
    if not path.endswith(".py"):
        raise BentoError(f"{bad}`{path}` is a path and does not end in .py; {_FORM}.")
    parts = [part for part in path[:-3].split("/") if part not in ("", ".")]
    if path.startswith("/") or ".." in parts:
        raise BentoError(f"{bad}`{path}` is not a path inside of the Bento's sources; {_FORM}.")
    return ".".join(parts)


def _no_module(service: str, module: str, sources: PythonFiles) -> BentoError:
    import difflib

    path = f"{cut(module).replace('.', '/')}.py"
    modules = [cut(name) for name in sorted(sources.paths) if name.endswith(".py")][:1000]
    near = difflib.get_close_matches(path, modules, n=3, cutoff=0.5)
    same = [name for name in modules if name.rpartition("/")[2] == path.rpartition("/")[2] and name not in near]
    matches = f" Near matches: {_listed([*same[:3], *near])}." if near or same else ""
    if not modules:
        matches = " There is no Python file among the sources."
    return BentoError(
        f"the service `{service}` needs {path} (or a package of that name), which is not among the sources.{matches} "
        "Add it to `srcs` or `deps`, correct `service`, or look whether `include` and `exclude` keep it."
    )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
