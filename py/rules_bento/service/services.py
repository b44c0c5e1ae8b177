"""Reads services made by `@bentoml.service`: name, configuration, dependencies, models, APIs, and what BentoML adds."""

from __future__ import annotations

import ast

from rules_bento.dataclasses_lite import NamedTuple, replace
from rules_bento.errors import BentoError
from rules_bento.service.bindings import (
    BUILTIN,
    FUNCTIONS,
    OUTSIDE,
    Definition,
    Module,
    NotConstantError,
    bound_names,
    text_of,
)
from rules_bento.service.constants import DEPENDS, REST, Constants, checked_text, first_unknown
from rules_bento.service.import_code import callee
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
from rules_bento.service.mounts import MOUNTS, Application, join_paths
from rules_bento.service.overrides import bento_name_of
from rules_bento.service.sdk_names import FRAMEWORKS, IMAGE, IMAGE_METHODS, SERVICE_FIELDS, words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rules_bento.service.metadata import Json

_HUB_VARIABLE = b"HF_ENDPOINT"  # BentoML reads it if a `HuggingFaceModel` has no `endpoint`
_CHAT = "/chat/completions"
_ENV = {"name": "", "value": "", "stage": "all"}
_STAGES = ("all", "build", "runtime")
_HUGGINGFACE = ["model_id", "revision", "endpoint", "include", "exclude"]
_ENDPOINTS = ("bentoml.api", "bentoml.task")
_HOOKS = ("bentoml.on_deployment", "bentoml.on_shutdown", "bentoml.on_startup")
# They keep the name of what they decorate.
_KEEP_NAME = ("torch.inference_mode", "torch.no_grad")
_PLAIN_BASES = ("abc.ABC", "typing.Generic", "typing.Protocol", "typing_extensions.Protocol")
# Expressions that make no BentoML object, whatever is in them.
_DISPLAYS = (ast.Constant, ast.Dict, ast.JoinedStr, ast.Lambda, ast.List, ast.Set, ast.Tuple)
_MODELS = words("bentoml.models.BentoModel bentoml.models.HuggingFaceModel bentoml.models.get") | {
    f"bentoml.{framework}.get" for framework in FRAMEWORKS
}
_MEMBERS = "the dependencies, models, and APIs"


class Declaration:
    """Describes where a service is made: its class, the arguments of `bentoml.service`, its name, and its mounts."""

    def __init__(self, module: Module, node: ast.ClassDef) -> None:
        self.module = module
        self.node = node
        self.place = NotConstantError("", module.path, node)
        self.mounts: list[ast.Call] = []
        self.arguments: dict[str, Any] = {}
        self.name: str | NotConstantError = node.name

    @property
    def label(self) -> str:
        """The name in messages: the class's if the service's own name is unknown."""
        return self.name if isinstance(self.name, str) else self.node.name


class _Dependency(NamedTuple):
    """Holds what a dependency is on, and its other arguments."""

    on: Declaration | NotConstantError | None
    fields: dict[str, Any]


class _Model(NamedTuple):
    """Holds a reference to a model, whose tag may be unknown."""

    model: Model
    error: NotConstantError | None = None


class ServiceReader:
    """Reads the services of a graph, one after the other, and notes what is not constant."""

    def __init__(self, constants: Constants) -> None:
        self.constants = constants
        self.names = constants.names
        self.unknowns: list[Unknown] = []
        self.label = ""
        self._declared: dict[ast.AST, Declaration] = {}

    # Unknown metadata

    def unknown(
        self, fact: str, what: str, error: NotConstantError, attribute: str = "", *, required: bool = True
    ) -> None:
        """Note something that the source does not state as a constant."""
        text = f"{what} of service `{self.label}`: {error.why}"
        self.unknowns.append(Unknown(text, error.path, error.line, attribute, fact, self.label, required))

    def _text(self, value: Any, fact: str, what: str, place: NotConstantError, attribute: str = "") -> str | None:
        """Return a string or None; notes anything else."""
        error = first_unknown(value)
        if error is None and value is not None and not isinstance(value, str):
            error = NotConstantError("it isn't a string", place.path, place.line)
        if error:
            self.unknown(fact, what, error, attribute)
        return None if error else value

    # Declarations

    def declaration(self, definition: Definition, by: Module, node: ast.AST) -> Declaration:
        """Return the service of a definition. Raises NotConstantError if it isn't a plain one."""
        module, made = definition.module, definition.node
        if module is None:
            why = f"`{definition.name}` is outside the sources" if definition.kind == OUTSIDE else "it isn't a service"
            raise NotConstantError(why, by.path, node)
        if not isinstance(made, ast.ClassDef):
            raise NotConstantError(f"`{definition.name}` isn't a class below `@bentoml.service`", module.path, made)
        if made not in self._declared:
            declared, services = Declaration(module, made), 0
            for each in made.decorator_list:
                name = self.names.outside(module, callee(each))
                if name == "bentoml.service" and not services and not (isinstance(each, ast.Call) and each.args):
                    services += 1
                    declared.arguments = self._arguments(module, each.keywords if isinstance(each, ast.Call) else [])
                elif name in MOUNTS and isinstance(each, ast.Call):
                    declared.mounts.insert(0, each)
                else:
                    raise NotConstantError(f"decorator `{text_of(each)}` isn't supported", module.path, each)
            if not services:
                raise NotConstantError(f"`{made.name}` isn't a service", module.path, made)
            self.constants.require_service(definition)
            declared.name = self._name(declared)
            self._declared[made] = declared
        return self._declared[made]

    def _arguments(self, module: Module, keywords: list[ast.keyword]) -> dict[str, Any]:
        """Return the arguments of `bentoml.service` by name; the image remains an expression."""
        values: dict[str, Any] = {}
        for keyword in keywords:
            try:
                value: Any = keyword.value if keyword.arg == "image" else self.constants.value(module, keyword.value)
                if keyword.arg is None and not isinstance(value, dict):
                    raise NotConstantError(f"`**{text_of(keyword.value)}` isn't a dict", module.path, keyword.value)
                values |= value if keyword.arg is None else {keyword.arg: value}
            except NotConstantError as error:
                values[keyword.arg or REST] = error
        if REST in values:
            values = dict.fromkeys(sorted(SERVICE_FIELDS - {"service_class"}), values[REST]) | values
        return values

    def _name(self, declared: Declaration) -> str | NotConstantError:
        name = declared.arguments.get("name")
        error = first_unknown(name)
        if error or not name:
            return error or declared.node.name
        if not isinstance(name, str):
            return NotConstantError("it isn't a string", declared.place.path, declared.node)
        return checked_text(name, declared.place.path, declared.node)

    # The graph

    def info(self, entry: Declaration, service: str, path: str) -> ServiceInfo:
        """Read the whole graph below an entry service. Raises BentoError if BentoML could not import it."""
        services: dict[Declaration, Service] = {}
        stack = [entry]
        while stack:  # in the order of BentoML's `all_services`: a service itself, then each dependency's
            declared = stack.pop()
            if declared not in services:
                self.label = declared.label
                self._require_other_name(declared, list(services))
                self._check_envs(declared)
                members = self._members(declared)
                services[declared] = self._service(declared, members)
                on = [each.on for _, each in sorted(members.items()) if isinstance(each, _Dependency)]
                stack += [each for each in reversed(on) if isinstance(each, Declaration)]
        own, first, place = entry.arguments, services[entry], entry.place
        self.label = entry.label
        labels = self._labels(own.get("labels"), place)
        self._require_openai(first)
        return ServiceInfo(
            service=service,
            path=path,
            kind="new",
            bento_name=None if first.name is None else bento_name_of(first.name),
            entry_service=first.name,
            services=tuple(services.values()),
            labels={**labels, **_openai(first)},
            envs=self._envs(own.get("envs"), place),
            description=self._text(own.get("description"), "description", "the description", place, "description"),
            image=self._image(entry, own.get("image")),
            unknowns=tuple(self.unknowns),
        )

    def dependencies_of(self, declared: Declaration) -> list[Declaration]:
        """Return the services that a service depends on."""
        on = [each.on for _, each in sorted(self._members(declared).items()) if isinstance(each, _Dependency)]
        return [each for each in on if isinstance(each, Declaration)]

    def _require_other_name(self, declared: Declaration, others: list[Declaration]) -> None:
        for first in others:
            if isinstance(first.name, str) and first.name == declared.name:
                raise BentoError(
                    f"{declared.place.path}:{declared.node.lineno}: a second service named `{first.name}` is among the "
                    f"dependencies; the first is at {first.place.path}:{first.node.lineno}. "
                    "Give one of them another `name` in `@bentoml.service`."
                )

    def _service(self, declared: Declaration, members: dict[str, Any]) -> Service:
        own, place, node = declared.arguments, declared.place, declared.node
        if isinstance(declared.name, NotConstantError):
            self.unknown("name", "the name", declared.name)
        if "service_class" in own:
            self.unknown("members", _MEMBERS, NotConstantError("it has a `service_class`", place.path, place.line))
        prefix = own.get("path_prefix")
        if prefix is not None and not isinstance(prefix, str):
            error = first_unknown(prefix) or NotConstantError("it isn't a string", place.path, place.line)
            self.unknown("paths", "the path prefix", error, required=False)
            prefix = None
        members = dict(sorted(members.items()))  # as `dir()` lists them
        apis = [each for each in members.values() if isinstance(each, Api)]
        return Service(
            declared.name if isinstance(declared.name, str) else None,
            node.name,
            place.path,
            node.lineno,
            tuple(self._model(name, each) for name, each in members.items() if isinstance(each, _Model)),
            tuple(self._named(name, each, place) for name, each in members.items() if isinstance(each, _Dependency)),
            self._config(declared, apis, "__command__" in members, prefix),
            tuple(replace(each, route=join_paths(prefix, each.route) if each.route else "") for each in apis),
            tuple(self._mounts(declared, prefix)),
            ast.get_docstring(node, clean=False),
        )

    # Members

    def _members(self, declared: Declaration) -> dict[str, Any]:
        """Return the attributes of a class: a `_Model`, a `_Dependency`, an `Api`, or None for no BentoML object."""
        module, node = declared.module, declared.node
        found: dict[str, Any] = {}
        for statement in node.body:
            for name in bound_names([statement]):
                try:
                    if name in found:
                        raise NotConstantError(f"`{name}` is assigned more than once", module.path, statement)
                    found[name] = self._statement(module, statement, found)
                except NotConstantError as error:
                    found[name] = error
        for name, value in found.items():
            if isinstance(value, NotConstantError):
                self.unknown(f"members.{name}", f"attribute `{name}`", value)
        try:
            self._require_plain(module, node, found)
        except NotConstantError as error:
            self.unknown("members", _MEMBERS, error)
        return {_mangled(name, node.name): value for name, value in found.items()}

    def _require_plain(self, module: Module, node: ast.ClassDef, found: dict[str, Any]) -> None:
        """Raise NotConstantError if a base class, or a statement, may add or change attributes."""
        for base in node.bases:
            base = base.value if isinstance(base, ast.Subscript) else base
            plain = isinstance(base, ast.Name) and base.id == "object" and "object" not in module.bindings
            if not plain and self.names.outside(module, base) not in _PLAIN_BASES:
                raise NotConstantError(f"the base class `{text_of(base)}` isn't supported", module.path, node)
        if any(self.names.outside(module, each.value) != "abc.ABCMeta" for each in node.keywords):
            raise NotConstantError(f"class `{node.name}` has keywords", module.path, node)
        for statement in node.body:
            match statement:
                case ast.FunctionDef() | ast.AsyncFunctionDef():
                    nodes: list[ast.AST] = [*statement.decorator_list]
                case ast.Assign(targets=[ast.Name()]) | ast.AnnAssign(target=ast.Name()) | ast.Expr():
                    nodes = [statement]
                case ast.Pass() | ast.Import() | ast.ImportFrom() | ast.ClassDef():
                    continue
                case _:
                    raise NotConstantError("this statement may change its attributes", module.path, statement)
            for each in (each for one in nodes for each in ast.walk(one)):
                if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Load) and found.get(each.id) is not None:
                    raise NotConstantError("this statement may change its attributes", module.path, statement)

    def _statement(self, module: Module, statement: ast.stmt, found: dict[str, Any]) -> Any:
        match statement:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                self._require_outer(module, statement.decorator_list, found)
                return self._function(module, statement)
            case ast.Assign(value=value, targets=[ast.Name()]):
                return self._member(module, value, found)
            case ast.AnnAssign(value=value):
                return self._member(module, value, found) if value else None
            case ast.ClassDef(decorator_list=[]) | ast.Import():
                return None
        raise NotConstantError("it is in an unsupported statement in the body of a service", module.path, statement)

    def _member(self, module: Module, node: ast.expr, found: dict[str, Any]) -> Any:
        if isinstance(node, _DISPLAYS):
            return None
        self._require_outer(module, [node], found)
        if isinstance(node, ast.Call):
            name = self.names.outside(module, node.func) or ""
            if name in DEPENDS:
                return self._dependency(module, node, name)
            if name in _MODELS:
                return self._reference(module, node, name)
        if not self._is_foreign(module, node):
            raise NotConstantError(f"`{text_of(node)}` isn't supported there", module.path, node)
        return None

    def _is_foreign(self, module: Module, node: ast.AST) -> bool:
        """Return whether an expression consists of libraries and constants only, and so isn't a BentoML object."""
        for each in ast.walk(node):
            if isinstance(each, ast.Name):
                outside = self.names.outside(module, each)
                if (outside or "").startswith("bentoml"):
                    return False
                if not outside and self.names.lookup(module, each.id, module.path, each).kind != BUILTIN:
                    self.constants.whole(module, each)
        return True

    def _require_outer(self, module: Module, nodes: list[ast.expr], found: dict[str, Any]) -> None:
        """Raise NotConstantError for expressions that use a name of the class body around them."""
        for each in (each for node in nodes for each in ast.walk(node)):
            if isinstance(each, ast.Name) and each.id in found:
                raise NotConstantError(f"it uses `{each.id}` of the class", module.path, each)

    # Dependencies

    def _dependency(self, module: Module, call: ast.Call, name: str) -> _Dependency:
        given = arguments_of(call, ["on"] if name == "bentoml.depends" else ["on", "deployment", "cluster", "url"])
        if given is None:
            raise NotConstantError(f"`{text_of(call)}` isn't supported", module.path, call)
        fields = {
            key: self.constants.whole(module, given[key]) if key in given else None
            for key in ("deployment", "cluster", "url")
        }
        on = given.get("on")
        if on is not None and not (isinstance(on, ast.Constant) and on.value is None):
            try:
                return _Dependency(self.declaration(self.names.resolve(module, on), module, on), fields)
            except NotConstantError as error:
                return _Dependency(error, fields)
        if fields["deployment"] is None and fields["url"] is None:
            raise BentoError(
                f"{module.path}:{call.lineno}: `bentoml.depends` is on nothing, which BentoML rejects. "
                "Give it a service, or the `url` or `deployment` of one."
            )
        return _Dependency(None, fields)

    def _named(self, name: str, value: _Dependency, place: NotConstantError) -> Dependency:
        if isinstance(value.on, NotConstantError):
            self.unknown(f"dependencies.{name}", f"the dependency `{name}`", value.on)
        service = value.on.name if isinstance(value.on, Declaration) and isinstance(value.on.name, str) else None
        fields = {
            key: self._text(each, f"dependencies.{name}.{key}", f"the {key} of dependency `{name}`", place)
            for key, each in value.fields.items()
        }
        return Dependency(name, service, fields["deployment"], fields["cluster"], fields["url"])

    # Models

    def _reference(self, module: Module, call: ast.Call, name: str) -> _Model:
        if name == "bentoml.models.HuggingFaceModel":
            return _Model(Model("", "", huggingface=self._huggingface(module, call)))
        given = arguments_of(call, ["tag" if name.startswith("bentoml.models.") else "tag_like"])
        node = next(iter((given or {}).values()), None)
        if node is None:
            raise NotConstantError(f"`{text_of(call)}` isn't supported", module.path, call)
        try:
            tag = self.constants.whole(module, node)
            if not isinstance(tag, str):
                raise NotConstantError("its tag isn't a string", module.path, node)
        except NotConstantError as error:
            return _Model(Model("", "", computed=True), error)
        stored = name.endswith(".get")
        return _Model(Model("", tag if stored else tag.lower(), alias=stored))

    def _huggingface(self, module: Module, call: ast.Call) -> HuggingFace:
        given = arguments_of(call, _HUGGINGFACE)
        if given is None:
            raise NotConstantError(f"`{text_of(call)}` isn't supported", module.path, call)
        values = {name: self.constants.whole(module, node) for name, node in given.items()}
        revision, lists = values.get("revision", "main"), {}
        for name in ("include", "exclude"):
            value = values.get(name)
            if value is not None and not (isinstance(value, list) and all(isinstance(each, str) for each in value)):
                raise NotConstantError(f"its `{name}` isn't a list of strings", module.path, call)
            lists[name] = None if value is None else tuple(value)
        texts = (values.get("model_id"), revision, values.get("endpoint") or "")
        if not all(isinstance(each, str) for each in texts):
            raise NotConstantError("its `model_id`, `revision`, or `endpoint` isn't a string", module.path, call)
        line = None if "endpoint" in values else self.names.files.first_mention(_HUB_VARIABLE)
        if line:
            raise NotConstantError("its `endpoint` is the value of HF_ENDPOINT, which this line may set", *line)
        return HuggingFace(values["model_id"], revision, values.get("endpoint"), lists["include"], lists["exclude"])

    def _model(self, name: str, reference: _Model) -> Model:
        if reference.error:
            self.unknown(f"models.{name}", f"the model in `{name}`", reference.error, "models")
        return replace(reference.model, attribute=name)

    # APIs

    def _function(self, module: Module, node: ast.FunctionDef | ast.AsyncFunctionDef) -> Api | None:
        """Return an API, or None for any other method. Raises NotConstantError if a decorator may make it one."""
        known = [self.names.outside(module, callee(each)) or "" for each in node.decorator_list]
        if known and known[0] in _ENDPOINTS and all(each in _KEEP_NAME for each in known[1:]):
            return self._endpoint(module, node, known[0])
        for name, each in zip(known, node.decorator_list, strict=True):
            is_route = self.constants.code.is_route(module, callee(each))
            if not (name in _HOOKS or is_route or self._is_foreign(module, each)):
                raise NotConstantError(f"decorator `{text_of(each)}` isn't supported", module.path, each)
        return None

    def _endpoint(self, module: Module, node: ast.FunctionDef | ast.AsyncFunctionDef, kind: str) -> Api:
        decorator = node.decorator_list[0]
        values: dict[str, Any] = {}
        for keyword in decorator.keywords if isinstance(decorator, ast.Call) else ():
            if keyword.arg is None:
                raise NotConstantError(f"`{text_of(decorator)}` isn't supported", module.path, decorator)
            if keyword.arg in ("route", "batchable"):
                values[keyword.arg] = self.constants.whole(module, keyword.value)
        route = values.get("route")
        if route is None:
            route = "/" if node.name == "__call__" else f"/{node.name}"
        if not (isinstance(route, str) and route.startswith("/")):
            raise BentoError(
                f"{module.path}:{decorator.lineno}: the route of API `{node.name}` is {route!r}, and BentoML "
                "requires one that begins with a slash. Correct it."
            )
        is_task, batchable = kind == "bentoml.task", bool(values.get("batchable", False))
        return Api(node.name, route, is_task, batchable, _is_generator(node))

    # Configuration

    def _config(self, declared: Declaration, apis: list[Api], has_command: bool, prefix: str | None) -> dict[str, Json]:
        own, place = declared.arguments, declared.place
        given = {name: value for name, value in own.items() if name not in SERVICE_FIELDS}
        traffic, endpoints, is_open = given.get("traffic", {}), given.get("endpoints", {}), REST in given
        if any(api.is_task for api in apis) and isinstance(traffic, dict) and not is_open:
            added = {} if REST in traffic or "concurrency" in traffic else {"concurrency": 1}
            given["traffic"] = {**traffic, "external_queue": True, **added}
        if given.get("workers") is None and (has_command or (own.get("cmd") is not None and not is_open)):
            why = "a service with a command has as many workers as the machine that imports it has CPUs for"
            given["workers"] = NotConstantError(why, place.path, place.line)
        error = first_unknown(own.get("path_prefix"))
        if error and not is_open:
            given["endpoints"] = error
        elif prefix and (is_open or first_unknown(endpoints)):
            given["endpoints"] = NotConstantError("a path prefix adds to it", place.path, place.line)
        elif prefix and isinstance(endpoints, dict):
            own_paths = {name: join_paths(prefix, name) for name in ("livez", "readyz") if name not in endpoints}
            given["endpoints"] = {**endpoints, **own_paths}
        return self._entries(given, "config")

    def _entries(self, values: dict[str, Any], fact: str) -> dict[str, Json]:
        """Return the constant entries of a dict; the others are noted, each by its own path."""
        result: dict[str, Json] = {}
        for key, value in values.items():
            error = None if isinstance(value, dict) else first_unknown(value)
            if key is REST:
                self.unknown(fact, "the configuration" if fact == "config" else f"`{fact}`", value, "config")
            elif error:
                self.unknown(f"{fact}.{key}", f"`{fact}.{key}`", error, "config")
            else:
                result[key] = self._entries(value, f"{fact}.{key}") if isinstance(value, dict) else value
        return result

    # Labels, envs, and the image of the entry service

    def _labels(self, value: Any, place: NotConstantError) -> dict[str, str]:
        if value is not None and not isinstance(value, dict):
            value = {REST: first_unknown(value) or NotConstantError("it isn't a dict", place.path, place.line)}
        labels: dict[str, str] = {}
        for key, each in (value or {}).items():
            missing = first_unknown(each)
            if key is REST:
                self.unknown("labels", "the labels", each, "labels")
            elif missing:
                self.unknown(f"labels.{key}", f"label `{key}`", missing, "labels")
            else:
                labels[key] = str(each)
        return labels

    def _require_openai(self, service: Service) -> None:
        """Note that BentoML's label of an endpoint like OpenAI's is unknown if an unknown path may make it."""
        in_api = any(api.route.endswith(_CHAT) for api in service.apis)
        for one in [one for one in self.unknowns if one.service == self.label]:
            if one.fact == "paths" and not in_api:
                error = NotConstantError(f"whether a path ends in `{_CHAT}` isn't certain", one.path, one.line)
                self.unknown("labels.openai_endpoint", "label `openai_endpoint`", error, "labels")
                return

    def _check_envs(self, declared: Declaration) -> None:
        """Raise BentoError for variables with which BentoML can't import or build a service."""
        value = declared.arguments.get("envs")
        place = f"{declared.place.path}:{declared.node.lineno}"
        of = f"of service `{declared.label}`"
        for env in value if isinstance(value, list) else ():
            items = env.items() if isinstance(env, dict) else ()
            known = {key: one for key, one in items if first_unknown(one) is None}
            right = known.keys() <= _ENV.keys() and known.get("stage", "all") in _STAGES
            if not isinstance(env, (dict, NotConstantError)) or not right or not _is_text(known.get("value")):
                raise BentoError(
                    f"{place}: env {env!r} {of} is invalid. Write a dict with a name, and optionally a "
                    f"value, which is a string, and a stage: {', '.join(_STAGES)}."
                )

    def _envs(self, value: Any, place: NotConstantError) -> tuple[Env, ...]:
        if value and not isinstance(value, list):
            value = [first_unknown(value) or NotConstantError("it isn't a list", place.path, place.line)]
        envs = [self._env(each, place) for each in value or ()]
        return tuple(env for env in envs if env)

    def _env(self, env: Any, place: NotConstantError) -> Env | None:
        name = env.get("name", env.get(REST)) if isinstance(env, dict) else env
        text = self._text(name, "envs", "an env", place, "envs")
        if text is None:
            return None
        fields: dict[str, Any] = {}
        for key in ("value", "stage"):
            fields[key] = env.get(key, env.get(REST, _ENV[key]))
            error = first_unknown(fields[key])
            if error:
                self.unknown(f"envs.{text}", f"`{key}` of env `{text}`", error, "envs")
                fields[key] = None
        return Env(text, fields["value"], str(fields["stage"] or "all"))

    def _image(self, entry: Declaration, node: Any) -> Image | None:
        if node is None or (isinstance(node, ast.Constant) and node.value is None):
            return None
        try:
            if not isinstance(node, ast.expr):
                raise first_unknown(node) or NotConstantError("it isn't an `Image`", entry.place.path, entry.node)
            arguments, calls = self._image_of(entry.module, node)
        except NotConstantError as error:
            self.unknown("image", "the image", error, "image")
            return None
        return Image(arguments, tuple(calls))

    def _image_of(self, module: Module, node: ast.expr) -> tuple[dict[str, Json], list[ImageCall]]:
        match node:
            case ast.Call(func=function) if self.names.outside(module, function) == "bentoml.images.Image":
                given = arguments_of(node, IMAGE)
                if given is not None:
                    return {name: self.constants.whole(module, each) for name, each in given.items()}, []
            case ast.Call(func=ast.Attribute(value=of, attr=method)) if method in IMAGE_METHODS:
                arguments, calls = self._image_of(module, of)
                return arguments, [*calls, self._image_call(module, node, method)]
            case ast.Name():
                definition = self.names.resolve(module, node)
                if definition.module and isinstance(definition.node, ast.Call):
                    arguments, calls = self._image_of(definition.module, definition.node)
                    return arguments, [*calls, *self._image_statements(definition, definition.module)]
        raise NotConstantError(f"`{text_of(node)}` isn't a plain `bentoml.images.Image`", module.path, node)

    def _image_statements(self, definition: Definition, module: Module) -> list[ImageCall]:
        """Return the calls that statements such as `image.run("…")` make. Raises NotConstantError for any other use."""
        code = self.constants.code
        found: list[tuple[int, list[ImageCall]]] = []

        def is_plain(by: Module, node: ast.expr) -> bool:
            around: ast.AST | None = code.parent(node)
            if isinstance(around, ast.keyword) and around.arg == "image":
                call = code.parent(around)
                return isinstance(call, ast.Call) and self.names.outside(by, call.func) == "bentoml.service"
            calls: list[ImageCall] = []
            while isinstance(around, ast.Attribute):
                call = code.parent(around)
                if not isinstance(call, ast.Call) or call.func is not around or by is not module:
                    return False
                calls.append(self._image_call(module, call, around.attr))
                around = code.parent(call)
            found.append((node.lineno, calls))
            return isinstance(around, ast.Expr) and code.parent(around) is None and bool(calls)

        code.require_uses(definition, is_plain)
        return [each for _, calls in sorted(found, key=lambda one: one[0]) for each in calls]

    def _image_call(self, module: Module, call: ast.Call, method: str) -> ImageCall:
        """Return a call of a method of an image. Raises NotConstantError if it isn't plain."""
        values: list[Any] = []
        for each in [*call.args, *(keyword.value for keyword in call.keywords)]:
            value = self.constants.whole(module, each.value if isinstance(each, ast.Starred) else each)
            values += value if isinstance(each, ast.Starred) and isinstance(value, list) else [value]
        plain = all(isinstance(each, str) for each in values) and all(each.arg for each in call.keywords)
        if method not in IMAGE_METHODS or not plain:
            raise NotConstantError(f"`{text_of(call)}` isn't a supported call of an image", module.path, call)
        return ImageCall(method, tuple(values))

    # Mounts

    def _mounts(self, declared: Declaration, prefix: str | None) -> list[Mount]:
        module, mounts = declared.module, []
        seen: set[tuple[str, str]] = set()
        for call in declared.mounts:
            try:
                given = arguments_of(call, ["app", "path", "name"])
                if given is None or "app" not in given:
                    raise NotConstantError("its arguments aren't plain", module.path, call)
                values = {key: self.constants.whole(module, node) for key, node in given.items() if key != "app"}
                full = join_paths(prefix, values.get("path", "/"))
                application = Application(self.constants, declared.node, module, given["app"])
                if application.key in seen:
                    raise NotConstantError("it is mounted twice", module.path, call)
            except NotConstantError as error:
                self.unknown("paths", "the mounted applications", error, required=False)
                continue
            seen.add(application.key)
            routes = tuple(dict.fromkeys(join_paths(full, path) for path in application.paths))
            if application.unlisted:
                chat = any(path.endswith(_CHAT) for path in application.unlisted)
                why = NotConstantError("FastAPI's version decides which are listed", module.path, call)
                what = f"the routes of the application at `{full}`"
                self.unknown("paths" if chat else "paths.listed", what, why, required=False)
            mounts.append(Mount(full, None if application.unlisted else routes))
        return mounts


def _openai(service: Service) -> dict[str, str]:
    """Return the label that BentoML adds for an endpoint like OpenAI's."""
    mounted = [path for mount in service.mounts for path in mount.routes or ()]
    for path in [*(api.route for api in service.apis), *mounted]:
        if path.endswith(_CHAT):
            return {"openai_endpoint": path.removesuffix(_CHAT)}
    return {}


def _is_text(value: object) -> bool:
    return value is None or isinstance(value, str)


def arguments_of(call: ast.Call, names: list[str]) -> dict[str, ast.expr] | None:
    """Return the arguments of a call by name; None if it has `*`, `**`, or too many."""
    starred = any(isinstance(each, ast.Starred) for each in call.args)
    if len(call.args) > len(names) or starred or any(each.arg is None for each in call.keywords):
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
