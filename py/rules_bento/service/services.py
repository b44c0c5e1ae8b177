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
from rules_bento.service.constants import DEPENDS, REST, Constants, first_unknown
from rules_bento.service.import_code import callee
from rules_bento.service.metadata import (
    Api,
    Dependency,
    Env,
    HuggingFace,
    Image,
    ImageCall,
    Model,
    Service,
    ServiceInfo,
    Unknown,
)
from rules_bento.service.mounts import CHAT, MOUNTS, chat_paths, join_paths
from rules_bento.service.overrides import snake_case
from rules_bento.service.sdk_names import FRAMEWORKS, IMAGE, IMAGE_METHODS, SERVICE_FIELDS, words
from rules_bento.typing_lite import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rules_bento.service.metadata import Json

_HUB_VARIABLE = b"HF_ENDPOINT"  # BentoML reads it if a `HuggingFaceModel` has no `endpoint`
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
_MEMBERS = "the dependencies, models, APIs, and mounts"


class Declaration:
    """Describes where a service is made: its class, the arguments of `bentoml.service`, its name, and its mounts."""

    def __init__(self, module: Module, node: ast.ClassDef) -> None:
        self.module = module
        self.node = node
        self.mounts: list[dict[str, ast.expr]] = []
        self.arguments: dict[str, Any] = {}
        self.name: str | NotConstantError = node.name

    @property
    def label(self) -> str:
        """The name in messages: the class's if the service's own name is unknown."""
        return self.name if isinstance(self.name, str) else self.node.name

    @property
    def place(self) -> str:
        """The place of the class in messages."""
        return f"{self.module.path}:{self.node.lineno}"

    def error(self, value: Any, why: str) -> NotConstantError:
        """Return the first unknown part of a value, or else an error of its own."""
        return first_unknown(value) or NotConstantError(why, self.module.path, self.node)


class _Dependency(NamedTuple):
    """Holds a dependency, and the service of the sources that it is on."""

    dependency: Dependency
    on: Declaration | None


class ServiceReader:
    """Reads the services of a graph, one after the other, and notes what is not constant."""

    def __init__(self, constants: Constants) -> None:
        self.constants = constants
        self.names = constants.names
        self.unknowns: list[Unknown] = []
        self.label = ""
        self._declared: dict[ast.AST, Declaration] = {}

    def unknown(self, fact: str, what: str, error: NotConstantError, attribute: str = "") -> None:
        """Note something that the source does not state as a constant."""
        text = f"{what} of service `{self.label}`: {error.why}"
        self.unknowns.append(Unknown(text, error.path, error.line, attribute, fact, self.label))

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
                maker = self.names.outside(module, callee(each))
                given = arguments_of(each, ["app", "path", "name"]) if isinstance(each, ast.Call) else None
                if maker == "bentoml.service" and not services and not (isinstance(each, ast.Call) and each.args):
                    services += 1
                    declared.arguments = self._arguments(module, each.keywords if isinstance(each, ast.Call) else [])
                elif maker in MOUNTS and given and "app" in given:
                    declared.mounts.insert(0, given)
                else:
                    raise NotConstantError(f"decorator `{text_of(each)}` isn't supported", module.path, each)
            if not services:
                raise NotConstantError(f"`{made.name}` isn't a service", module.path, made)
            self.constants.require_service(definition)
            name = declared.arguments.get("name") or made.name
            declared.name = name if isinstance(name, str) else declared.error(name, "it isn't a string")
            self._declared[made] = declared
        return self._declared[made]

    def _arguments(self, module: Module, keywords: list[ast.keyword]) -> dict[str, Any]:
        """Return the arguments of `bentoml.service` by name; the image remains an expression."""
        values: dict[str, Any] = {}
        for keyword in keywords:
            node = keyword.value
            if keyword.arg is None:
                more = self.constants.value(module, node)
                if not isinstance(more, dict) or REST in more or "image" in more:
                    raise NotConstantError(f"`**{text_of(node)}` isn't supported", module.path, node)
                values |= more
                continue
            try:
                values[keyword.arg] = node if keyword.arg == "image" else self.constants.value(module, node)
            except NotConstantError as error:
                values[keyword.arg] = error
        return values

    # The graph

    def info(self, entry: Declaration, service: str, path: str) -> ServiceInfo:
        """Read the whole graph below an entry service. Raises BentoError if BentoML could not import it."""
        services: dict[Declaration, Service] = {}
        envs: dict[Declaration, tuple[Env, ...]] = {}
        stack = [entry]
        while stack:  # in the order of BentoML's `all_services`: a service itself, then each dependency's
            declared = stack.pop()
            if declared not in services:
                self.label = declared.label
                self._require_other_name(declared, list(services))
                noted = list(self.unknowns)
                envs[declared] = self._envs(declared)
                self.unknowns = self.unknowns if declared is entry else noted  # BentoML writes those of the entry
                members = self._members(declared)
                services[declared] = self._service(declared, members)
                stack += [each.on for each in reversed(members.values()) if isinstance(each, _Dependency) and each.on]
        first, own = services[entry], entry.arguments
        self.label = entry.label
        description = own.get("description")
        if not isinstance(description, (str, type(None))):
            error = entry.error(description, "it isn't a string")
            self.unknown("description", "the description", error, "description")
            description = None
        return ServiceInfo(
            service=service,
            path=path,
            kind="new",
            bento_name=None if first.name is None else snake_case(first.name),
            entry_service=first.name,
            services=tuple(services.values()),
            labels=self._labels(entry, own.get("labels")) | self._openai(entry, first),
            envs=envs[entry],
            description=description,
            image=self._image(entry.module, own.get("image")),
            unknowns=tuple(self.unknowns),
        )

    def _require_other_name(self, declared: Declaration, others: list[Declaration]) -> None:
        for first in others:
            if isinstance(first.name, str) and first.name == declared.name:
                raise BentoError(
                    f"{declared.place}: a second service named `{first.name}` is among the dependencies; the first is "
                    f"at {first.place}. Give one of them another `name` in `@bentoml.service`."
                )

    def _service(self, declared: Declaration, members: dict[str, Any]) -> Service:
        own, node = declared.arguments, declared.node
        if isinstance(declared.name, NotConstantError):
            self.unknown("name", "the name", declared.name)
        prefix, mounts = own.get("path_prefix"), []
        try:
            if "service_class" in own or not isinstance(prefix, (str, type(None))):
                raise declared.error(prefix, "its `service_class` or `path_prefix` isn't supported")
            for each in declared.mounts:
                path = self.constants.whole(declared.module, each["path"]) if "path" in each else ""
                mounts.append(join_paths(prefix, path))
        except NotConstantError as error:
            self.unknown("members", _MEMBERS, error)
            prefix = None
        apis = [each for each in members.values() if isinstance(each, Api)]
        return Service(
            declared.name if isinstance(declared.name, str) else None,
            node.name,
            declared.module.path,
            node.lineno,
            tuple(each for each in members.values() if isinstance(each, Model)),
            tuple(each.dependency for each in members.values() if isinstance(each, _Dependency)),
            self._config(declared, apis, "__command__" in members, prefix),
            tuple(replace(each, route=join_paths(prefix, each.route) if each.route else "") for each in apis),
            tuple(mounts),
            ast.get_docstring(node, clean=False),
        )

    # Members

    def _members(self, declared: Declaration) -> dict[str, Any]:
        """Return the attributes of a class: a `Model`, a `_Dependency`, an `Api`, or None for no BentoML object."""
        module, node = declared.module, declared.node
        found: dict[str, Any] = {}
        what = _MEMBERS
        try:
            for base in node.bases:
                base = base.value if isinstance(base, ast.Subscript) else base
                plain = isinstance(base, ast.Name) and base.id == "object" and "object" not in module.bindings
                if not plain and self.names.outside(module, base) not in _PLAIN_BASES:
                    raise NotConstantError(f"the base class `{text_of(base)}` isn't supported", module.path, node)
            if any(self.names.outside(module, each.value) != "abc.ABCMeta" for each in node.keywords):
                raise NotConstantError(f"class `{node.name}` has keywords", module.path, node)
            for statement in node.body:
                what = f"attribute `{next(bound_names([statement]), node.name)}`"
                self._add_member(declared, statement, found)
        except NotConstantError as error:
            self.unknown("members", what, error)
        members = {_mangled(name, node.name): value for name, value in found.items()}
        return {name: members[name] for name in sorted(members)}  # as `dir()` lists them

    def _add_member(self, declared: Declaration, statement: ast.stmt, found: dict[str, Any]) -> None:
        """Add what a statement of a class body binds. Raises NotConstantError if it may do anything else."""
        module, value, nodes = declared.module, None, list[ast.AST]([statement])
        match statement:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                nodes = [statement.args]
            case ast.ClassDef(name=name, decorator_list=[]):
                nodes = [*statement.bases, *statement.keywords]
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                value = None if isinstance(statement.value, _DISPLAYS) else statement.value
            case ast.Import(names=[ast.alias(name=name, asname=None)]):
                name = name.partition(".")[0]
            case ast.Expr() | ast.Pass():
                name = ""
            case _:
                raise NotConstantError("this statement may change its attributes", module.path, statement)
        evaluated = [value] if value else getattr(statement, "decorator_list", [])
        for each in (each for node in [*nodes, *evaluated] for each in ast.walk(node)):
            if isinstance(each, ast.NamedExpr) or (isinstance(each, ast.Name) and found.get(each.id) is not None):
                raise NotConstantError("this statement may change its attributes", module.path, statement)
        for each in (each for node in evaluated for each in ast.walk(node)):
            if isinstance(each, ast.Name) and each.id in found:
                raise NotConstantError(f"it uses `{each.id}` of the class", module.path, each)
        if name in found:
            raise NotConstantError(f"`{name}` is assigned more than once", module.path, statement)
        if isinstance(statement, FUNCTIONS):
            found[name] = self._function(module, statement)
        elif name:
            mangled = _mangled(name, declared.node.name)
            found[name] = self._member(module, mangled, value) if value else None

    def _member(self, module: Module, name: str, node: ast.expr) -> Any:
        if isinstance(node, ast.Call):
            maker = self.names.outside(module, node.func) or ""
            if maker in DEPENDS:
                return self._dependency(module, name, node, maker)
            if maker == "bentoml.models.HuggingFaceModel":
                return Model(name, "", huggingface=self._huggingface(module, node))
            if maker in _MODELS:
                return self._model(module, name, node, maker)
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

    def _dependency(self, module: Module, name: str, call: ast.Call, maker: str) -> _Dependency:
        given = arguments_of(call, ["on"] if maker == "bentoml.depends" else ["on", "deployment", "cluster", "url"])
        if given is None:
            raise NotConstantError(f"`{text_of(call)}` isn't supported", module.path, call)
        fields = {key: self.constants.whole(module, node) for key, node in given.items() if key != "on"}
        if not all(isinstance(each, (str, type(None))) for each in fields.values()):
            raise NotConstantError(f"`{text_of(call)}` isn't supported", module.path, call)
        on = given.get("on")
        if on is not None and not (isinstance(on, ast.Constant) and on.value is None):
            declared = self.declaration(self.names.resolve(module, on), module, on)
            service = declared.name if isinstance(declared.name, str) else None
            return _Dependency(Dependency(name, service, **fields), declared)
        if fields.get("deployment") is None and fields.get("url") is None:
            raise BentoError(
                f"{module.path}:{call.lineno}: `bentoml.depends` is on nothing, which BentoML rejects. "
                "Give it a service, or the `url` or `deployment` of one."
            )
        return _Dependency(Dependency(name, **fields), None)

    def _model(self, module: Module, name: str, call: ast.Call, maker: str) -> Model:
        given = arguments_of(call, ["tag" if maker.startswith("bentoml.models.") else "tag_like"])
        node = next(iter((given or {}).values()), None)
        if node is None:
            raise NotConstantError(f"`{text_of(call)}` isn't supported", module.path, call)
        try:
            tag = self.constants.whole(module, node)
            if not isinstance(tag, str):
                raise NotConstantError("its tag isn't a string", module.path, node)
        except NotConstantError as error:
            self.unknown(f"models.{name}", f"the model in `{name}`", error, "models")
            return Model(name, "", computed=True)
        is_stored = maker.endswith(".get")
        return Model(name, tag if is_stored else tag.lower(), alias=is_stored)

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
        own = declared.arguments
        given = {name: value for name, value in own.items() if name not in SERVICE_FIELDS}
        traffic, endpoints = given.get("traffic", {}), given.get("endpoints", {})
        if any(api.is_task for api in apis) and isinstance(traffic, dict):
            added = {} if REST in traffic or "concurrency" in traffic else {"concurrency": 1}
            given["traffic"] = {**traffic, "external_queue": True, **added}
        if given.get("workers") is None and (has_command or own.get("cmd") is not None):
            why = "a service with a command has as many workers as the machine that imports it has CPUs for"
            given["workers"] = declared.error(None, why)
        if prefix and first_unknown(endpoints):
            given["endpoints"] = declared.error(None, "a path prefix adds to it")
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
                self.unknown(fact, f"`{fact}`", value, "config")
            elif error:
                self.unknown(f"{fact}.{key}", f"`{fact}.{key}`", error, "config")
            else:
                result[key] = self._entries(value, f"{fact}.{key}") if isinstance(value, dict) else value
        return result

    # Labels, envs, and the image of the entry service

    def _labels(self, declared: Declaration, value: Any) -> dict[str, str]:
        if value is not None and not isinstance(value, dict):
            value = {REST: declared.error(value, "it isn't a dict")}
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

    def _openai(self, declared: Declaration, service: Service) -> dict[str, str]:
        """Return the label that BentoML adds for an endpoint like OpenAI's."""
        found = [api.route for api in service.apis if api.route.endswith(CHAT)]
        try:
            for application, path in zip(declared.mounts, service.mounts, strict=False):
                found += [] if found else chat_paths(self.constants, declared.module, application["app"], path)
        except NotConstantError as error:
            self.unknown("labels.openai_endpoint", "label `openai_endpoint`", error, "labels")
        return {"openai_endpoint": found[0].removesuffix(CHAT)} if found else {}

    def _envs(self, declared: Declaration) -> tuple[Env, ...]:
        """Return the variables. Raises BentoError for one with which BentoML can't import or build a service."""
        value = declared.arguments.get("envs")
        if value and not isinstance(value, list):
            value = [declared.error(value, "it isn't a list")]
        envs = []
        for env in value or ():
            fields = _ENV | (env if isinstance(env, dict) else {})
            known = {key: one for key, one in fields.items() if first_unknown(one) is None}
            right = known.keys() <= _ENV.keys() and known.get("stage", "all") in _STAGES
            is_text = isinstance(known.get("value"), (str, type(None)))
            if not isinstance(env, (dict, NotConstantError)) or not right or not is_text:
                raise BentoError(
                    f"{declared.place}: env {env!r} of service `{declared.label}` is invalid. Write a dict with a "
                    f"name, and optionally a value, which is a string, and a stage: {', '.join(_STAGES)}."
                )
            name, error = known.get("name"), first_unknown(list(fields.values()))
            if not name or not isinstance(name, str):
                self.unknown("envs", "an env", declared.error(env, "its name isn't a string"), "envs")
            elif error:
                self.unknown(f"envs.{name}", f"env `{name}`", error, "envs")
                envs.append(Env(name, None, known.get("stage", "all")))
            else:
                envs.append(Env(name, known["value"], known["stage"]))
        return tuple(envs)

    def _image(self, module: Module, node: Any) -> Image | None:
        if node is None or (isinstance(node, ast.Constant) and node.value is None):
            return None
        try:
            arguments, calls = self._image_of(module, node)
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
                    self.constants.code.require_uses(
                        definition, lambda by, use: self.constants.keyword_of_service(by, use) == "image"
                    )
                    return self._image_of(definition.module, definition.node)
        raise NotConstantError(f"`{text_of(node)}` isn't a plain `bentoml.images.Image`", module.path, node)

    def _image_call(self, module: Module, call: ast.Call, method: str) -> ImageCall:
        """Return a call of a method of an image. Raises NotConstantError if it isn't plain."""
        values: list[Any] = []
        for each in [*call.args, *(keyword.value for keyword in call.keywords)]:
            value = self.constants.whole(module, each.value if isinstance(each, ast.Starred) else each)
            values += value if isinstance(each, ast.Starred) and isinstance(value, list) else [value]
        if not all(isinstance(each, str) for each in values) or not all(each.arg for each in call.keywords):
            raise NotConstantError(f"`{text_of(call)}` isn't a supported call of an image", module.path, call)
        return ImageCall(method, tuple(values))


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
