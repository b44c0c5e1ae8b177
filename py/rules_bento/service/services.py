"""Reads services made by `@bentoml.service`: name, configuration, dependencies, models, APIs, and what BentoML adds."""

from __future__ import annotations

import ast

from rules_bento.dataclasses_lite import NamedTuple, dataclass, replace
from rules_bento.errors import BentoError
from rules_bento.service.bindings import (
    BUILTIN,
    CLASS,
    FUNCTIONS,
    OUTSIDE,
    VALUE,
    Definition,
    Module,
    NotConstantError,
    bound_names,
    text_of,
)
from rules_bento.service.constants import (
    REST,
    Constants,
    Scope,
    checked_text,
    first_unknown,
    has_rest,
)
from rules_bento.service.metadata import (
    Api,
    Dependency,
    Env,
    HuggingFace,
    Image,
    ImageCall,
    Model,
    Mount,
    Service,
    ServiceInfo,
    Unknown,
)
from rules_bento.service.mounts import Applications, join_paths
from rules_bento.service.overrides import bento_name_of
from rules_bento.service.python_files import in_standard_library
from rules_bento.service.sdk_names import FRAMEWORKS, IMAGE, IMAGE_METHODS, LOADERS, SERVICE_FIELDS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from rules_bento.service.metadata import Json

_HUB_VARIABLE = b"HF_ENDPOINT"  # BentoML reads it where a `HuggingFaceModel` has no `endpoint`
_CHAT = "/chat/completions"
_ENV = ("name", "value", "stage")
_STAGES = ("all", "build", "runtime")
_HUGGINGFACE = ["model_id", "revision", "endpoint", "include", "exclude"]
_DEPENDS = ("bentoml.depends", "bentoml.Dependency")
_MOUNTS = ("bentoml.asgi_app", "bentoml.mount_asgi_app")
_ENDPOINTS = ("bentoml.api", "bentoml.task")
_HOOKS = ("bentoml.on_deployment", "bentoml.on_shutdown", "bentoml.on_startup")
# Their objects are no part of a service.
_BESIDE = ("bentoml.exceptions.", "bentoml.metrics.", "bentoml.validators.")
# They keep the name of what they decorate.
_KEEP_NAME = ("torch.inference_mode", "torch.no_grad")
_PLAIN_BASES = ("abc.ABC", "typing.Generic", "typing.Protocol", "typing_extensions.Protocol")
# Expressions that make no BentoML object, whatever is in them.
_DISPLAYS = (ast.Constant, ast.Dict, ast.DictComp, ast.GeneratorExp, ast.JoinedStr, ast.Lambda, ast.List, ast.ListComp)
_DISPLAYS += (ast.Set, ast.SetComp, ast.Tuple, ast.Compare)  # type: ignore[assignment]
_SELF_MADE = frozenset({"__new__", "__get__", "__call__"})


@dataclass(eq=False)
class Declaration:
    """Describes where a service is made: its class, the arguments of `bentoml.service`, and what is mounted on it."""

    module: Module
    node: ast.ClassDef
    variable: str
    keywords: list[ast.keyword]
    mounts: list[ast.Call]


class Members(NamedTuple):
    """Holds the attributes of a service's class that BentoML looks for, by name."""

    models: dict[str, Model]
    dependencies: dict[str, tuple[Dependency, Declaration | None]]
    apis: dict[str, Api]
    command: bool


class ServiceReader:
    """Reads the services of a graph, one after the other, and notes what is not constant."""

    def __init__(self, constants: Constants) -> None:
        self.constants = constants
        self.names = constants.names
        self.unknowns: list[Unknown] = []
        self.label = ""

    # Unknown metadata

    def unknown(
        self, fact: str, what: str, error: NotConstantError, attribute: str = "", *, required: bool = False
    ) -> None:
        """Note something that the source does not state as a constant."""
        text = f"{what}: {error.why}"
        self.unknowns.append(Unknown(text, error.path, error.line, attribute, fact, self.label, required))

    def _of(self, what: str) -> str:
        return f"{what} of service `{self.label}`"

    def text(
        self, value: Any, fact: str, what: str, place: NotConstantError, attribute: str = "", *, required: bool = False
    ) -> str | None:
        """Return a string or None; notes anything else."""
        error = first_unknown(value)
        if error is None and value is not None and not isinstance(value, str):
            error = NotConstantError("it isn't a string", place.path, place.line)
        if error:
            self.unknown(fact, what, error, attribute, required=required)
            return None
        return value  # type: ignore[no-any-return]

    # Declarations

    def find(self, scope: Scope, node: ast.expr) -> Declaration:
        """Return the service that an expression names. Raises NotConstantError if it isn't a plain one."""
        return self.declaration(self.names.resolve(scope.module, node), scope.module, node)

    def declaration(self, definition: Definition, by: Module, node: ast.AST) -> Declaration:
        """Return the service of a definition. Raises NotConstantError if it isn't a plain one."""
        module, made = definition.module, definition.node
        if module is None:
            why = f"`{definition.name}` is outside the sources" if definition.kind == OUTSIDE else "it isn't a service"
            raise NotConstantError(why, by.path, node)
        if definition.kind == CLASS:
            assert isinstance(made, ast.ClassDef)
            declared = self._decorated(module, made)
            self.constants.require_service_unchanged(module, made)
            return declared
        if definition.kind == VALUE and isinstance(made, (ast.Name, ast.Attribute)):
            return self.declaration(self.names.resolve(module, made), module, made)
        if definition.kind == VALUE and isinstance(made, ast.Call):
            return self._called(module, definition.name, made)
        raise NotConstantError(f"`{definition.name}` isn't a class below `@bentoml.service`", module.path, made)

    def _decorated(self, module: Module, node: ast.ClassDef) -> Declaration:
        keywords: list[ast.keyword] | None = None
        mounts: list[ast.Call] = []
        for each in node.decorator_list:
            function = each.func if isinstance(each, ast.Call) else each
            name = self.names.outside(module, function)
            if name == "bentoml.service" and keywords is None:
                if isinstance(each, ast.Call) and each.args:
                    raise NotConstantError("`bentoml.service` has arguments by position", module.path, each)
                keywords = list(each.keywords) if isinstance(each, ast.Call) else []
            elif name in _MOUNTS and isinstance(each, ast.Call):
                mounts.append(each)
            else:
                raise NotConstantError(f"decorator `{text_of(each)}` isn't supported", module.path, each)
        if keywords is None:
            raise NotConstantError(f"`{node.name}` isn't a service", module.path, node)
        return Declaration(module, node, node.name, keywords, mounts[::-1])

    def _called(self, module: Module, variable: str, call: ast.Call) -> Declaration:
        """Return the service of `Svc = bentoml.service(Class)` or `Svc = bentoml.service(…)(Class)`."""
        maker = call.func if isinstance(call.func, ast.Call) else call
        if (
            self.names.outside(module, maker.func) != "bentoml.service"
            or len(call.args) != 1
            or (maker is not call and (maker.args or call.keywords))
        ):
            raise NotConstantError(f"`{text_of(call)}` isn't a supported service", module.path, call)
        definition = self.names.resolve(module, call.args[0])
        node = definition.node
        if (
            definition.kind != CLASS
            or definition.module is not module
            or not isinstance(node, ast.ClassDef)
            or node.decorator_list
        ):
            raise NotConstantError(f"`{text_of(call.args[0])}` isn't a plain class of this module", module.path, call)
        for key in ((module.name, node.name), (module.name, variable)):
            for by, mention in self.constants.code.mentions.get(key, ()):
                stored = isinstance(mention, ast.Name) and isinstance(mention.ctx, ast.Store)
                if not stored and mention is not call.args[0] and not self.constants.is_reference(by, mention):
                    raise NotConstantError(f"`{key[1]}` is used at import", by.path, mention)
        return Declaration(module, node, variable, list(maker.keywords), [])

    def _arguments(self, declared: Declaration) -> dict[str, Any]:
        """Return the arguments of `bentoml.service` by name; the image is left as its expression."""
        scope = Scope(declared.module)
        values: dict[str, Any] = {}
        for keyword in declared.keywords:
            try:
                if keyword.arg == "image":
                    values["image"] = keyword.value
                elif keyword.arg:
                    values[keyword.arg] = self.constants.value(scope, keyword.value)
                else:
                    more = self.constants.value(scope, keyword.value)
                    if not isinstance(more, dict):
                        raise NotConstantError(
                            f"`**{text_of(keyword.value)}` isn't a dict", scope.module.path, keyword.value
                        )
                    values |= more
            except NotConstantError as error:
                values[keyword.arg or REST] = error
        rest = values.get(REST)
        if rest:
            values = {**{name: rest for name in SERVICE_FIELDS if name != "service_class"}, **values}
        return values

    def name_of(self, declared: Declaration, arguments: dict[str, Any]) -> str | NotConstantError:
        """Return a service's name, or why it is unknown."""
        name = arguments.get("name")
        error = first_unknown(name)
        if error or not name:
            return error or declared.node.name
        if not isinstance(name, str):
            return NotConstantError("it isn't a string", declared.module.path, declared.node)
        return checked_text(name, declared.module.path, declared.node)

    # The graph

    def info(self, entry: Declaration, service: str, path: str) -> ServiceInfo:
        """Read the whole graph below an entry service. Raises BentoError if BentoML could not import it."""
        graph = self._graph(entry)
        arguments = [self._arguments(each) for each in graph]
        self._require_other_names(graph, arguments)
        services = tuple(
            self._service(each, own, members) for (each, members), own in zip(graph.items(), arguments, strict=True)
        )
        for declared, own in zip(graph, arguments, strict=True):
            self._check_envs(declared, own)
        own, first = arguments[0], services[0]
        self.label = first.name or first.class_name
        place = NotConstantError("", entry.module.path, entry.node)
        labels = self._labels(own.get("labels"), place)
        self._require_openai(first)
        return ServiceInfo(
            service=service,
            path=path,
            kind="new",
            bento_name=None if first.name is None else bento_name_of(first.name),
            entry_service=first.name,
            services=services,
            labels={**labels, **_openai(first)},
            envs=self._envs(own.get("envs"), place),
            description=self.text(
                own.get("description"), "description", self._of("the description"), place, "description", required=True
            ),
            image=self._image(entry, own.get("image")),
            unknowns=tuple(self.unknowns),
        )

    def _graph(self, entry: Declaration) -> dict[Declaration, Members]:
        """Return the services in the order of BentoML's `all_services`: itself, then each dependency's."""
        graph: dict[Declaration, Members] = {}
        known: dict[int, Declaration] = {}
        stack = [entry]
        notes: dict[int, list[Unknown]] = {}
        while stack:
            declared = stack.pop()
            if id(declared.node) in known:
                continue
            known[id(declared.node)] = declared
            before, self.unknowns = self.unknowns, []
            graph[declared] = members = self._members(declared)
            notes[id(declared.node)], self.unknowns = self.unknowns, before
            below = [on for _, on in self._in_order(members.dependencies) if on]
            stack += reversed(below)
        self._notes = notes
        return graph

    def dependencies_of(self, declared: Declaration) -> dict[str, Declaration | NotConstantError]:
        """Return what the dependencies of a service are on, by attribute."""
        found: dict[str, Any] = {}
        for module, node in self._classes(declared):
            self._body(module, node, found)
        return {name: each.on for name, each in sorted(found.items()) if isinstance(each, _Dependency) and each.on}

    def _require_other_names(self, graph: Iterable[Declaration], arguments: list[dict[str, Any]]) -> None:
        named: dict[str, Declaration] = {}
        for declared, own in zip(graph, arguments, strict=True):
            name = self.name_of(declared, own)
            if not isinstance(name, str):
                continue
            if name in named:
                first = named[name]
                raise BentoError(
                    f"{declared.module.path}:{declared.node.lineno}: a second service named `{name}` is among the "
                    f"dependencies; the first is at {first.module.path}:{first.node.lineno}. "
                    "Give one of them another `name` in `@bentoml.service`."
                )
            named[name] = declared

    def _service(self, declared: Declaration, own: dict[str, Any], members: Members) -> Service:
        name, node = self.name_of(declared, own), declared.node
        self.label = name if isinstance(name, str) else node.name
        if isinstance(name, NotConstantError):
            self.unknown("name", f"the name of service `{node.name}`", name, "services", required=True)
        place = NotConstantError("", declared.module.path, node)
        for each in self._notes[id(node)]:
            self.unknowns.append(
                Unknown(
                    each.what.replace("\0", self.label),
                    each.path,
                    each.line,
                    each.attribute,
                    each.fact,
                    self.label,
                    each.required,
                )
            )
        if "service_class" in own and not isinstance(own["service_class"], NotConstantError):
            own["service_class"] = NotConstantError("it has a `service_class`", place.path, place.line)
        if "service_class" in own:
            self.unknown(
                "members",
                self._of("the dependencies, models, and APIs"),
                own["service_class"],
                "members",
                required=True,
            )
        prefix = self.text(own.get("path_prefix"), "paths", self._of("the path prefix"), place)
        apis = [
            replace(each, route=join_paths(prefix, each.route) if each.route else "")
            for each in self._in_order(members.apis)
        ]
        return Service(
            name if isinstance(name, str) else None,
            node.name,
            declared.module.path,
            node.lineno,
            tuple(self._in_order(members.models)),
            tuple(each for each, _ in self._in_order(members.dependencies)),
            self._config(declared, own, members, prefix),
            tuple(apis),
            tuple(self._mounts(declared, prefix)),
            ast.get_docstring(node, clean=False),
        )

    def _in_order(self, members: dict[str, Any]) -> list[Any]:
        """Return members in the order of `dir()`."""
        return [members[name] for name in sorted(members)]

    # Members

    def _members(self, declared: Declaration) -> Members:
        members = Members({}, {}, {}, False)
        self.label = "\0"
        found: dict[str, Any] = {}
        for module, node in self._classes(declared):
            self._body(module, node, found)
        for name, value in found.items():
            self._add_member(name, value, members)
        return members._replace(command="__command__" in found)

    def _classes(self, declared: Declaration) -> list[tuple[Module, ast.ClassDef]]:
        """Return the classes whose attributes a service has, the last ones first; notes a base that isn't plain."""
        module, node = declared.module, declared.node
        classes = [(module, node)]
        try:
            while True:
                bases = [each for each in node.bases if not self._is_plain_base(module, each)]
                if node.keywords and any(
                    self.names.outside(module, each.value) != "abc.ABCMeta" for each in node.keywords
                ):
                    raise NotConstantError(f"class `{node.name}` has keywords", module.path, node)
                if not bases:
                    break
                base = self.names.resolve(module, bases[0])
                if base.kind == OUTSIDE:
                    if not in_standard_library(base.name):
                        raise NotConstantError(
                            f"the base class `{base.name}` of `{node.name}` is outside the sources", module.path, node
                        )
                    break
                if (
                    len(bases) > 1
                    or base.kind != CLASS
                    or base.module is None
                    or any(base.node is each for _, each in classes)
                ):
                    raise NotConstantError(f"the base classes of `{node.name}` aren't supported", module.path, node)
                assert isinstance(base.node, ast.ClassDef)
                self._require_plain_base(base.module, base.node)
                module, node = base.module, base.node
                classes.append((module, node))
        except NotConstantError as error:
            self.unknown("members", self._of("the dependencies, models, and APIs"), error, "members", required=True)
        return classes[::-1]

    def _is_plain_base(self, module: Module, node: ast.expr) -> bool:
        node = node.value if isinstance(node, ast.Subscript) else node
        return self.names.outside(module, node) in _PLAIN_BASES or (
            isinstance(node, ast.Name) and node.id == "object" and "object" not in module.bindings
        )

    def _require_plain_base(self, module: Module, node: ast.ClassDef) -> None:
        """Raise NotConstantError for a base class that is decorated, or that other code uses but as a base."""
        if node.decorator_list:
            raise NotConstantError(f"base class `{node.name}` is decorated", module.path, node)
        for by, mention in self.constants.code.mentions.get((module.name, node.name), ()):
            around = self.constants.code.parent(mention)
            if not (
                isinstance(around, ast.ClassDef) and mention in around.bases
            ) and not self.constants.code.in_annotation(mention):
                raise NotConstantError(f"base class `{node.name}` may be changed", by.path, mention)

    def _body(self, module: Module, node: ast.ClassDef, found: dict[str, Any]) -> None:
        """Read the statements of a class body into `found`, names to what they are or why that is unknown."""
        names: dict[str, list[ast.stmt]] = {}
        for statement in node.body:
            for name in bound_names([statement]):
                names.setdefault(name, []).append(statement)
        scope = Scope(module, node, names)
        for name, statements in names.items():
            try:
                if len(statements) > 1:
                    raise NotConstantError(f"`{name}` is assigned more than once", module.path, statements[-1])
                found[_mangled(name, node.name)] = self._statement(scope, statements[0])
            except NotConstantError as error:
                found[_mangled(name, node.name)] = error
        for statement in node.body:
            if not self._is_plain(scope, statement, found):
                change = NotConstantError("this statement may change its attributes", module.path, statement)
                self.unknown(
                    "members", self._of("the dependencies, models, and APIs"), change, "members", required=True
                )
                return

    def _is_plain(self, scope: Scope, statement: ast.stmt, found: dict[str, Any]) -> bool:
        """Return whether a statement of a class body changes no object of the service."""
        match statement:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                nodes: list[ast.AST] = list(statement.decorator_list)
            case ast.Assign(targets=targets) if not all(isinstance(each, (ast.Name, ast.Tuple)) for each in targets):
                return False
            case ast.Assign() | ast.AnnAssign() | ast.Expr():
                nodes = [statement]
            case _:
                return isinstance(statement, (ast.Pass, ast.Import, ast.ImportFrom, ast.ClassDef))
        loads = [each for node in nodes for each in ast.walk(node) if isinstance(each, ast.Name) and scope.holds(each)]
        return not any(
            isinstance(found.get(each.id), (Model, OpenTag, _Dependency, _Api, NotConstantError)) for each in loads
        )

    def _statement(self, scope: Scope, statement: ast.stmt) -> Any:
        match statement:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                return self._function(scope, statement)
            case ast.Assign(value=value, targets=targets) if all(isinstance(each, ast.Name) for each in targets):
                return self._member(scope, value)
            case ast.AnnAssign(value=value):
                return self._member(scope, value) if value else None
            case ast.ClassDef(decorator_list=[]) | ast.Import():
                return None
        raise NotConstantError(
            "it is in a statement that isn't supported in the body of a service", scope.module.path, statement
        )

    def _member(self, scope: Scope, node: ast.expr) -> Any:
        """Return what a class attribute is: a Model, a Dependency with its service, None for no BentoML object."""
        if isinstance(node, _DISPLAYS):
            return None
        if isinstance(node, ast.Call):
            name = self.names.outside(scope.module, node.func) or ""
            if name in _DEPENDS:
                return self._dependency(scope, node, name)
            if name.startswith("bentoml.") and self.is_model(name):
                return self.model(scope, node, name)
        if isinstance(node, (ast.Name, ast.Attribute)) and not (scope.holds(node)):
            definition = self.names.resolve(scope.module, node) if self._is_name(node) else None
            if definition and definition.kind == VALUE and definition.module and isinstance(definition.node, ast.Call):
                name = self.names.outside(definition.module, definition.node.func) or ""
                if name in _DEPENDS or (name.startswith("bentoml.") and self.is_model(name)):
                    self._require_object_unchanged(definition)
                    return self._member(Scope(definition.module), definition.node)
        if self._is_foreign(scope, node, set()):
            names = [each for each in ast.walk(node) if isinstance(each, ast.Name)]
            third = [self.names.outside(scope.module, each) for each in names]
            known = next(
                (each for each in third if each and not in_standard_library(each) and not each.startswith("bentoml")),
                None,
            )
            return NotConstantError(f"`{known}` makes it", scope.module.path, node) if known else None
        raise NotConstantError(f"`{text_of(node)}` isn't supported there", scope.module.path, node)

    def _is_name(self, node: ast.expr) -> bool:
        while isinstance(node, ast.Attribute):
            node = node.value
        return isinstance(node, ast.Name)

    def is_model(self, name: str) -> bool:
        """Return whether calling a name of BentoML makes a reference to a model."""
        module, _, function = name.removeprefix("bentoml.").rpartition(".")
        return (module == "models" and function in ("BentoModel", "HuggingFaceModel", "get")) or (
            function == "get" and module in FRAMEWORKS
        )

    def _require_object_unchanged(self, definition: Definition) -> None:
        """Raise NotConstantError if code may change a model or dependency of a module."""
        for by, mention in self.constants.code.mentions.get(definition.key, ()):
            around = self.constants.code.parent(mention)
            assigned = isinstance(around, (ast.Assign, ast.AnnAssign)) and (
                around.value is mention or (isinstance(mention, ast.Name) and isinstance(mention.ctx, ast.Store))
            )
            given = isinstance(around, ast.Call) and (self.names.outside(by, around.func) or "").startswith("bentoml.")
            listed = isinstance(around, ast.List)
            if not (assigned or given or listed or self.constants.code.in_annotation(mention)):
                raise NotConstantError(f"`{definition.name}` may be changed", by.path, mention)

    def _is_foreign(self, scope: Scope, node: ast.AST, seen: set[tuple[str, str]]) -> bool:
        """Return whether an expression is made of libraries and constants only, and so is no BentoML object."""
        for each in ast.walk(node):
            if isinstance(each, ast.Await):
                return False
            if not isinstance(each, ast.Name):
                continue
            if scope.holds(each):
                return False
            outside = self.names.outside(scope.module, each)
            if outside:
                if outside.startswith("bentoml") and not self._is_beside(scope, node):
                    return False
                continue
            try:
                definition = self.names.lookup(scope.module, each.id, scope.module.path, each)
            except NotConstantError:
                return False
            if definition.kind == BUILTIN or definition.key in seen:
                continue
            seen.add(definition.key)
            if (
                definition.kind == VALUE
                and definition.module
                and self._is_foreign(Scope(definition.module), definition.node, seen)
            ):
                continue
            if definition.kind == CLASS and definition.module and self._is_plain_class(definition):
                continue
            return False
        return True

    def _is_beside(self, scope: Scope, node: ast.AST) -> bool:
        """Return whether all that an expression has of BentoML are its metrics, exceptions, and loaded models."""
        for each in ast.walk(node):
            if isinstance(each, (ast.Attribute, ast.Name)):
                name = self.names.outside(scope.module, each) or ""
                if name.startswith("bentoml") and not any(
                    known.startswith(name) or name.startswith(known) for known in (*_BESIDE, *LOADERS)
                ):
                    return False
        return True

    def _is_plain_class(self, definition: Definition) -> bool:
        """Return whether the objects of a class are of that class, and no descriptors."""
        node, module = definition.node, definition.module
        assert isinstance(node, ast.ClassDef)
        assert module is not None
        bases = [self.names.outside(module, each) for each in node.bases]
        functions = {each.name for each in node.body if isinstance(each, FUNCTIONS)}
        return (
            not node.decorator_list
            and all(each and not each.startswith("bentoml") for each in bases)
            and not functions & _SELF_MADE
        )

    def _add_member(self, name: str, value: Any, members: Members) -> None:
        if isinstance(value, NotConstantError):
            required = not value.why.endswith(" makes it")
            what = (
                f"attribute `{name}`, taken for no BentoML object,"
                if not required
                else f"whether attribute `{name}` is a dependency, a model or an API"
            )
            self.unknown(f"members.{name}", self._of(what), value, "members", required=required)
        elif isinstance(value, OpenTag) and value.is_snapshot:
            self.unknown(f"models.{name}", self._of(f"the model in `{name}`"), value.error, required=True)
        elif isinstance(value, (Model, OpenTag)):
            members.models[name] = self._named_model(name, value)
        elif isinstance(value, _Api):
            members.apis[name] = self._api(name, value)
        elif isinstance(value, _Dependency):
            members.dependencies[name] = self._named_dependency(name, value)

    # Dependencies

    def _dependency(self, scope: Scope, call: ast.Call, name: str) -> _Dependency:
        given = arguments_of(call, ["on"] if name == "bentoml.depends" else ["on", "deployment", "cluster", "url"])
        if given is None:
            raise NotConstantError(f"`{text_of(call)}` isn't supported", scope.module.path, call)
        on, fields = given.pop("on", None), {}
        for key in ("deployment", "cluster", "url"):
            try:
                fields[key] = self.constants.value(scope, given[key]) if key in given else None
            except NotConstantError as error:
                fields[key] = error
        if isinstance(on, ast.Constant) and on.value is None:
            on = None
        if on is None and fields["deployment"] is None and fields["url"] is None:
            raise BentoError(
                f"{scope.module.path}:{call.lineno}: `bentoml.depends` is on nothing, which BentoML rejects. "
                "Give it a service, or the `url` or `deployment` of one."
            )
        try:
            target = self.find(scope, on) if on is not None else None
        except NotConstantError as error:
            return _Dependency(error, fields, NotConstantError("", scope.module.path, call))
        return _Dependency(target, fields, NotConstantError("", scope.module.path, call))

    def _named_dependency(self, name: str, value: _Dependency) -> tuple[Dependency, Declaration | None]:
        what = self._of(f"the dependency `{name}`")
        service = None
        if isinstance(value.on, NotConstantError):
            self.unknown(f"dependencies.{name}", what, value.on, "services", required=True)
        elif value.on is not None:
            named = self.name_of(value.on, self._arguments(value.on))
            service = named if isinstance(named, str) else None
        fields = {
            key: self.text(each, f"dependencies.{name}.{key}", f"the {key} of {what}", value.place, required=True)
            for key, each in value.fields.items()
        }
        on = value.on if isinstance(value.on, Declaration) else None
        return Dependency(name, service, fields["deployment"], fields["cluster"], fields["url"]), on

    # Models

    def model(self, scope: Scope, call: ast.Call, name: str) -> Model | OpenTag:
        """Return a model reference. Raises NotConstantError if it isn't a plain one."""
        if name == "bentoml.models.HuggingFaceModel":
            try:
                return Model("", "", huggingface=self._huggingface(scope, call))
            except NotConstantError as error:
                return OpenTag(error, is_snapshot=True)
        given = arguments_of(call, ["tag" if name.startswith("bentoml.models.") else "tag_like"])
        node = next(iter((given or {}).values()), None)
        stored = name.endswith(".get")
        if node is None:
            raise NotConstantError(f"`{text_of(call)}` isn't supported", scope.module.path, call)
        try:
            tag = self._tag(scope, node)
        except NotConstantError as error:
            return OpenTag(error)
        return Model("", tag if stored else tag.lower(), alias=stored)

    def _tag(self, scope: Scope, node: ast.expr) -> str:
        if isinstance(node, ast.Call) and self.names.outside(scope.module, node.func) == "bentoml.Tag":
            given = arguments_of(node, ["name", "version"]) or {}
            parts = [self.constants.whole(scope, given[key]) for key in ("name", "version") if key in given]
            tag: Any = ":".join(each for each in parts if isinstance(each, str))
        else:
            tag = self.constants.whole(scope, node)
        if not isinstance(tag, str):
            raise NotConstantError("its tag isn't a string", scope.module.path, node)
        return tag

    def _huggingface(self, scope: Scope, call: ast.Call) -> HuggingFace:
        given = arguments_of(call, _HUGGINGFACE)
        if given is None:
            raise NotConstantError(f"`{text_of(call)}` isn't supported", scope.module.path, call)
        values = {name: self.constants.whole(scope, node) for name, node in given.items()}
        revision, lists = values.get("revision", "main"), {}
        for name in ("include", "exclude"):
            value = values.get(name)
            if value is not None and not (isinstance(value, list) and all(isinstance(each, str) for each in value)):
                raise NotConstantError(f"its `{name}` isn't a list of strings", scope.module.path, call)
            lists[name] = None if value is None else tuple(value)
        endpoint = values.get("endpoint")
        if (
            not isinstance(values.get("model_id"), str)
            or not isinstance(revision, str)
            or not isinstance(endpoint, (str, type(None)))
        ):
            raise NotConstantError("its `model_id`, `revision`, or `endpoint` isn't a string", scope.module.path, call)
        named = None if "endpoint" in values else self.names.files.first_mention(_HUB_VARIABLE)
        if named:
            why = "its `endpoint` is not given, and is then the value of HF_ENDPOINT, which this line may set"
            raise NotConstantError(why, *named)
        return HuggingFace(values["model_id"], revision, endpoint, lists["include"], lists["exclude"])

    def _named_model(self, name: str, model: Model | OpenTag) -> Model:
        if isinstance(model, OpenTag):
            self.unknown(f"models.{name}", self._of(f"the model in `{name}`"), model.error, "models", required=True)
            return Model(name, "", computed=True)
        return replace(model, attribute=name)

    # APIs

    def _function(self, scope: Scope, node: ast.FunctionDef | ast.AsyncFunctionDef) -> Any:
        """Return an API, or None for any other method. Raises NotConstantError if a decorator may make it one."""
        module = scope.module
        known = []
        for each in node.decorator_list:
            function = each.func if isinstance(each, ast.Call) else each
            known.append(self.names.outside(module, function) or "")
        endpoints = [index for index, name in enumerate(known) if name in _ENDPOINTS]
        if endpoints == [0]:
            return self._endpoint(scope, node, known[0], known[1:])
        if endpoints:
            raise NotConstantError("another decorator is applied to an API", module.path, node)
        for name, each in zip(known, node.decorator_list, strict=True):
            route = self.constants.code.is_route(module, each.func if isinstance(each, ast.Call) else each)
            if not (name in _HOOKS or route or self._is_foreign(Scope(module), each, set())):
                raise NotConstantError(f"decorator `{text_of(each)}` isn't supported", module.path, each)
        return None

    def _endpoint(
        self, scope: Scope, node: ast.FunctionDef | ast.AsyncFunctionDef, kind: str, inner: list[str]
    ) -> _Api:
        decorator = node.decorator_list[0]
        values: dict[str, Any] = {}
        for keyword in decorator.keywords if isinstance(decorator, ast.Call) else ():
            try:
                if keyword.arg in ("route", "batchable"):
                    values[keyword.arg] = self.constants.whole(scope, keyword.value)
                elif keyword.arg is None:
                    values |= self.constants.whole(scope, keyword.value)
            except (NotConstantError, TypeError) as error:
                failure = (
                    error
                    if isinstance(error, NotConstantError)
                    else NotConstantError("it isn't a dict", scope.module.path, keyword.value)
                )
                values |= dict.fromkeys([keyword.arg] if keyword.arg else ["route", "batchable"], failure)
        wrapped = next(
            (each for each, name in zip(node.decorator_list[1:], inner, strict=True) if name not in _KEEP_NAME), None
        )
        hidden = (
            NotConstantError("another decorator is between `bentoml.api` and its function", scope.module.path, wrapped)
            if wrapped
            else None
        )
        own = "/" if node.name == "__call__" else f"/{node.name}"
        route = values.get("route")
        if route is None:
            route = hidden or own
        if not isinstance(route, NotConstantError) and not (isinstance(route, str) and route.startswith("/")):
            raise BentoError(
                f"{scope.module.path}:{decorator.lineno}: the route of API `{node.name}` is {route!r}, and BentoML "
                "requires one that begins with a slash. Correct it."
            )
        batchable = values.get("batchable", False)
        return _Api(hidden or node.name, route, kind == "bentoml.task", batchable, hidden or _is_generator(node))

    def _api(self, attribute: str, api: _Api) -> Api:
        known: dict[str, Any] = {}
        for key in ("name", "route", "batchable", "is_stream"):
            value = getattr(api, key)
            if isinstance(value, NotConstantError):
                self.unknown(f"apis.{attribute}.{key}", self._of(f"the {key} of API `{attribute}`"), value)
                value = attribute if key == "name" else "" if key == "route" else False
            known[key] = value
        return Api(known["name"], known["route"], api.is_task, bool(known["batchable"]), known["is_stream"])

    # Configuration

    def _config(
        self, declared: Declaration, own: dict[str, Any], members: Members, prefix: str | None
    ) -> dict[str, Json]:
        given = {name: value for name, value in own.items() if name not in SERVICE_FIELDS}
        place = NotConstantError("", declared.module.path, declared.node)
        traffic, endpoints, is_open = given.get("traffic", {}), given.get("endpoints", {}), REST in given
        if any(api.is_task for api in members.apis.values()) and isinstance(traffic, dict) and not is_open:
            added = {} if REST in traffic or "concurrency" in traffic else {"concurrency": 1}
            given["traffic"] = {**traffic, "external_queue": True, **added}
        command = own.get("cmd")
        if given.get("workers") is None and (members.command or (command is not None and not is_open)):
            why = "a service with a command has as many workers as the machine that imports it has CPUs for"
            given["workers"] = NotConstantError(why, place.path, place.line)
        error = own.get("path_prefix")
        if isinstance(error, NotConstantError) and not is_open:
            given["endpoints"] = error
        elif prefix and (is_open or has_rest(endpoints)):
            given["endpoints"] = NotConstantError("a path prefix adds to it", place.path, place.line)
        elif prefix and isinstance(endpoints, dict):
            own_paths = {name: join_paths(prefix, name) for name in ("livez", "readyz") if name not in endpoints}
            given["endpoints"] = {**endpoints, **own_paths}
        return self._entries(given, "config", place, "the configuration")

    def _entries(self, values: dict[Any, Any], fact: str, place: NotConstantError, what: str) -> dict[str, Json]:
        """Return the constant entries of a dict; the others are noted, each by its own path."""
        result: dict[str, Json] = {}
        for key, value in values.items():
            if key is REST:
                self.unknown(fact, self._of(what), value, "config", required=True)
            elif not isinstance(key, str):
                self.unknown(f"{fact}.{key}", self._of(f"`{fact}`"), value, required=True)
            elif isinstance(value, dict):
                result[key] = self._entries(value, f"{fact}.{key}", place, f"`{fact}.{key}`")
            else:
                error = first_unknown(value)
                if error:
                    self.unknown(f"{fact}.{key}", self._of(f"`{fact}.{key}`"), error, "config", required=True)
                else:
                    result[key] = value
        return result

    # Labels, envs, and the image of the entry service

    def _labels(self, value: Any, place: NotConstantError) -> dict[str, str]:
        if value is None:
            return {}
        if not isinstance(value, dict):
            known = NotConstantError("it isn't a dict", place.path, place.line)
            error = value if isinstance(value, NotConstantError) else known
            self.unknown("labels", self._of("the labels"), error, "labels", required=True)
            return {}
        labels: dict[str, str] = {}
        for key, each in value.items():
            missing = first_unknown(each)
            if key is REST:
                self.unknown("labels", self._of("the labels"), each, "labels", required=True)
            elif missing:
                self.unknown(f"labels.{key}", self._of(f"label `{key}`"), missing, "labels", required=True)
            else:
                labels[key] = str(each)
        return labels

    def _require_openai(self, service: Service) -> None:
        """Note that the label of an endpoint like OpenAI's is open where a path that isn't constant may make it."""
        in_api = any(api.route.endswith(_CHAT) for api in service.apis)
        for one in [one for one in self.unknowns if one.service == self.label]:
            route = one.fact.startswith("apis.") and one.fact.endswith(".route")
            if route or (one.fact == "paths" and not in_api) or one.fact == "members":
                error = NotConstantError(f"whether a path ends in `{_CHAT}` isn't certain", one.path, one.line)
                self.unknown(
                    "labels.openai_endpoint", self._of("label `openai_endpoint`"), error, "labels", required=True
                )
                return

    def _check_envs(self, declared: Declaration, own: dict[str, Any]) -> None:
        """Raise BentoError for variables with which BentoML can't import or build a service."""
        name, value = self.name_of(declared, own), own.get("envs")
        of = f"of service `{name}`" if isinstance(name, str) else "of this service"
        place = f"{declared.module.path}:{declared.node.lineno}"
        for env in value if isinstance(value, list) else ():
            if isinstance(env, (NotConstantError, tuple)):
                continue
            if not isinstance(env, dict):
                raise BentoError(
                    f"{place}: one of the envs {of} is {env!r}, where BentoML requires a dict, such as "
                    "{'name': 'A', 'value': '1'}."
                )
            foreign = [key for key in env if key is not REST and key not in _ENV]
            if foreign:
                raise BentoError(
                    f"{place}: an env {of} has `{foreign[0]}`, which BentoML rejects. It accepts {', '.join(_ENV)}."
                )
            stage, text = env.get("stage", "all"), env.get("value", "")
            if not isinstance(stage, NotConstantError) and stage not in _STAGES:
                raise BentoError(
                    f"{place}: the stage of an env {of} is {stage!r}, and BentoML accepts {', '.join(_STAGES)}."
                )
            if not isinstance(text, (str, NotConstantError, type(None))):
                raise BentoError(
                    f"{place}: the value of an env {of} is {text!r}, and BentoML requires a string. "
                    f"Write {str(text)!r}."
                )

    def _envs(self, value: Any, place: NotConstantError) -> tuple[Env, ...]:
        if not value:
            return ()
        if not isinstance(value, list):
            error = (
                value
                if isinstance(value, NotConstantError)
                else NotConstantError("it isn't a list", place.path, place.line)
            )
            self.unknown("envs", self._of("the envs"), error, "envs", required=True)
            return ()
        envs = [self._env(each, place) for each in value]
        return tuple(env for env in envs if env)

    def _env(self, env: Any, place: NotConstantError) -> Env | None:
        env = env[1] if isinstance(env, tuple) else env
        name = env.get("name", env.get(REST)) if isinstance(env, dict) else env
        text = self.text(name, "envs", self._of("an env"), place, "envs", required=True)
        if text is None or not isinstance(env, dict):
            return None
        fields: dict[str, Any] = {"value": "", "stage": "all"}
        for key in fields:
            value = env.get(key, env.get(REST, fields[key]))
            error = first_unknown(value)
            if error:
                self.unknown(f"envs.{text}", self._of(f"`{key}` of env `{text}`"), error, "envs", required=True)
            fields[key] = None if error else value
        return Env(text, fields["value"], str(fields["stage"] or "all"))

    def _image(self, entry: Declaration, node: Any) -> Image | None:
        if node is None or (isinstance(node, ast.Constant) and node.value is None):
            return None
        try:
            if isinstance(node, NotConstantError):
                raise node
            if not isinstance(node, ast.expr):
                raise NotConstantError("it isn't an `Image`", entry.module.path, entry.node)
            arguments, calls = self._image_of(Scope(entry.module), node)
        except NotConstantError as error:
            self.unknown("image", self._of("the image"), error, "image", required=True)
            return None
        return Image(arguments, tuple(calls))

    def _image_of(self, scope: Scope, node: ast.expr) -> tuple[dict[str, Json], list[ImageCall]]:
        match node:
            case ast.Call(func=function) if self.names.outside(scope.module, function) == "bentoml.images.Image":
                given = arguments_of(node, IMAGE)
                if given is not None:
                    return {name: self.constants.whole(scope, each) for name, each in given.items()}, []
            case ast.Call(func=ast.Attribute(value=of, attr=method)) if method in IMAGE_METHODS:
                arguments, calls = self._image_of(scope, of)
                return arguments, [*calls, self._image_call(scope, node)]
            case ast.Name() | ast.Attribute():
                definition = self._evolved(scope.module, node) or self.names.resolve(scope.module, node)
                if definition.kind == VALUE and definition.module and isinstance(definition.node, ast.Call):
                    arguments, calls = self._image_of(Scope(definition.module), definition.node)
                    return arguments, [*calls, *self._image_statements(definition)]
        raise NotConstantError(f"`{text_of(node)}` isn't a plain `bentoml.images.Image`", scope.module.path, node)

    def _evolved(self, module: Module, node: ast.expr) -> Definition | None:
        """Return the first definition of an image that `image = image.run("…")` gives its own name again."""
        known = module.bindings.get(node.id, []) if isinstance(node, ast.Name) else []
        for binding in known[1:]:
            root: ast.AST = binding.node
            while isinstance(root, (ast.Call, ast.Attribute)):
                root = root.func if isinstance(root, ast.Call) else root.value
            if binding.kind != VALUE or not isinstance(root, ast.Name) or root.id != getattr(node, "id", ""):
                return None
        return (
            Definition(VALUE, module, node.id, known[0].node) if len(known) > 1 and isinstance(node, ast.Name) else None
        )

    def _image_statements(self, definition: Definition) -> list[ImageCall]:
        """Return the calls that statements such as `image.run("…")` make. Raises NotConstantError for any other use."""
        code, module = self.constants.code, definition.module
        statements: list[tuple[int, list[ImageCall]]] = []
        assert module is not None
        for by, mention in code.mentions.get(definition.key, ()):
            around: ast.AST | None = code.parent(mention)
            if isinstance(mention, ast.Name) and isinstance(mention.ctx, ast.Store):
                continue
            if isinstance(around, ast.keyword) and around.arg == "image":
                call = code.parent(around)
                if isinstance(call, ast.Call) and self.constants.is_service_decorator(by, call):
                    continue
            outer: ast.AST = mention
            calls: list[ast.Call] = []
            while isinstance(around, (ast.Attribute, ast.Call)) and (
                isinstance(around, ast.Attribute) or around.func is outer
            ):
                calls += [around] if isinstance(around, ast.Call) else []
                outer, around = around, code.parent(around)
            again = isinstance(around, ast.Assign) and getattr(around.targets[0], "id", "") == definition.name
            plain = isinstance(around, ast.Expr) or again
            if not plain or around is None or code.parent(around) is not None or by is not module or not calls:
                raise NotConstantError(f"`{definition.name}` may be changed", by.path, mention)
            statements.append((mention.lineno, [self._image_call(Scope(module), call) for call in calls]))
        return [each for _, made in sorted(statements, key=lambda one: one[0]) for each in made]

    def _image_call(self, scope: Scope, call: ast.Call) -> ImageCall:
        """Return a call of a method of an image. Raises NotConstantError if it isn't plain."""
        values: list[Any] = []
        for each in [*call.args, *(keyword.value for keyword in call.keywords)]:
            value = self.constants.whole(scope, each.value if isinstance(each, ast.Starred) else each)
            values += value if isinstance(each, ast.Starred) and isinstance(value, list) else [value]
        method = call.func.attr if isinstance(call.func, ast.Attribute) else ""
        plain = all(isinstance(each, str) for each in values) and all(each.arg for each in call.keywords)
        if method not in IMAGE_METHODS or not plain:
            raise NotConstantError(f"`{text_of(call)}` isn't a supported call of an image", scope.module.path, call)
        return ImageCall(method, tuple(values))

    # Mounts

    def _mounts(self, declared: Declaration, prefix: str | None) -> list[Mount]:
        scope, mounts = Scope(declared.module), []
        applications = Applications(self.constants, declared.node)
        for call in declared.mounts:
            try:
                given = arguments_of(call, ["app", "path", "name"])
                if given is None or "app" not in given:
                    raise NotConstantError("its arguments aren't plain", scope.module.path, call)
                path, name = (
                    self.constants.whole(scope, given[key]) if key in given else None for key in ("path", "name")
                )
                full = join_paths(prefix, path if "path" in given else "/")
            except NotConstantError as error:
                self.unknown("paths", self._of("the mounted applications"), error)
                continue
            routes: tuple[str, ...] | None = None
            try:
                listed = applications.routes(scope, given["app"], full)
                if not applications.unlisted:
                    routes = tuple(dict.fromkeys(listed))
                else:
                    chat = any(path.endswith(_CHAT) for path in applications.unlisted)
                    why = "FastAPI's version decides how routers are listed"
                    what = self._of(f"the routes of the application at `{full}`")
                    place = NotConstantError(why, scope.module.path, call)
                    self.unknown("paths" if chat else "paths.listed", what, place)
            except NotConstantError as error:
                self.unknown("paths", self._of(f"the routes of the application at `{full}`"), error)
            mounts.append(Mount(full, name, "asgi", routes))
        return mounts


class OpenTag(NamedTuple):
    """Holds why the tag of a model, or the snapshot of a hub's, isn't constant."""

    error: NotConstantError
    is_snapshot: bool = False


class _Dependency(NamedTuple):
    """Holds what a dependency is on, its other arguments, and its place."""

    on: Declaration | NotConstantError | None
    fields: dict[str, Any]
    place: NotConstantError


class _Api(NamedTuple):
    """Holds an API whose parts may be unknown."""

    name: str | NotConstantError
    route: str | NotConstantError
    is_task: bool
    batchable: Any
    is_stream: bool | NotConstantError


def _openai(service: Service) -> dict[str, str]:
    """Return the label that BentoML adds for an endpoint like OpenAI's."""
    mounted = [path for mount in service.mounts for path in mount.routes or ()]
    for path in [*(api.route for api in service.apis), *mounted]:
        if path.endswith(_CHAT):
            return {"openai_endpoint": path.removesuffix(_CHAT)}
    return {}


def arguments_of(call: ast.Call, names: list[str]) -> dict[str, ast.expr] | None:
    """Return the arguments of a call by name; None if it has `*`, `**`, or too many."""
    if (
        len(call.args) > len(names)
        or any(isinstance(each, ast.Starred) for each in call.args)
        or any(each.arg is None for each in call.keywords)
    ):
        return None
    return dict(zip(names, call.args, strict=False)) | {str(each.arg): each.value for each in call.keywords}


def _mangled(attribute: str, name: str) -> str:
    """Apply Python's rule for `__private` names of a class."""
    if not attribute.startswith("__") or attribute.endswith("__") or not name.strip("_"):
        return attribute
    return f"_{name.lstrip('_')}{attribute}"


def _is_generator(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Return whether a function itself yields."""
    todo: list[ast.AST] = list(node.body)
    while todo:
        each = todo.pop()
        if isinstance(each, (ast.Yield, ast.YieldFrom)):
            return True
        if not isinstance(each, (*FUNCTIONS, ast.Lambda, ast.ClassDef)):
            todo += ast.iter_child_nodes(each)
    return False
