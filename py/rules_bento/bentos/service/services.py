"""Analyzes classes decorated with `@bentoml.service`: names, configuration, dependencies, models, and APIs."""

from __future__ import annotations

import ast

from rules_bento.base.dataclasses_lite import dataclass, replace
from rules_bento.base.errors import BentoError
from rules_bento.base.typing_lite import Any
from rules_bento.bentos.service import metadata
from rules_bento.bentos.service.api_types import ApiTypes
from rules_bento.bentos.service.bans import DEPENDS
from rules_bento.bentos.service.configuration import (
    BOOL,
    LIST,
    NONE,
    TEXT,
    TEXTS,
    ValueType,
    config_problem,
    env_problem,
)
from rules_bento.bentos.service.metadata import snake_case
from rules_bento.bentos.service.modules import (
    FUNCTIONS,
    Definition,
    Module,
    NotConstantError,
    callee,
    own_nodes,
    unsupported,
)
from rules_bento.bentos.service.sdk_names import IMAGE, IMAGE_METHODS, SERVICE_FIELDS, words
from rules_bento.bentos.service.values import Constants, keyword_of_service

_HUB_VARIABLE = b"HF_ENDPOINT"  # BentoML reads it if a `HuggingFaceModel` has no `endpoint`
_ENV = {"name": "", "value": "", "stage": "all"}
_STAGES = ("all", "build", "runtime")
# Arguments of functions of BentoML, in order, and the kinds of their values.
_HUGGINGFACE = {"model_id": TEXT, "revision": TEXT, "endpoint": TEXT | NONE, "include": TEXTS | NONE}
_HUGGINGFACE |= {"exclude": TEXTS | NONE}
_LOCATION = dict.fromkeys(("deployment", "cluster", "url"), TEXT | NONE)  # of a dependency
_ENDPOINT = {"route": TEXT | NONE, "batchable": BOOL}
_ENDPOINTS = ("bentoml.api", "bentoml.task")
_OF_CLASSES = ("__annotations__", "__class__", "__doc__", "__module__", "__name__", "__qualname__")
_HOOKS = ("bentoml.on_deployment", "bentoml.on_shutdown", "bentoml.on_startup")
# They keep the name of what they decorate.
_KEEP_NAME = ("torch.inference_mode", "torch.no_grad")
# Expressions that make no BentoML object, whatever is in them.
_DISPLAYS = (ast.Constant, ast.Dict, ast.JoinedStr, ast.Lambda, ast.List, ast.Set, ast.Tuple)

# They return a stored model: `bentoml.sklearn.get("m:latest")`.
_FRAMEWORKS = words(
    "catboost detectron diffusers easyocr fastai flax keras lightgbm mlflow models onnx picklable_model pytorch "
    "pytorch_lightning sklearn tensorflow torchscript transformers xgboost"
)
_STORED = frozenset(f"bentoml.{framework}.get" for framework in _FRAMEWORKS)

_ANY = ValueType("a value", lambda _: True)
_LABELS = ValueType(
    "a dict of strings",
    lambda value: isinstance(value, dict) and not any(isinstance(each, (dict, list)) for each in value.values()),
)

_CHAT = "/chat/completions"
MOUNTS = ("bentoml.asgi_app", "bentoml.mount_asgi_app")
_FASTAPI = ("fastapi.FastAPI", "fastapi.applications.FastAPI")
_PLAIN_ARGUMENTS = words("debug description lifespan middleware summary title version")
# Methods of an application: with a path as the first argument, and those that add no route.
_ROUTES = words(
    "add_api_route add_api_websocket_route add_route add_websocket_route api_route delete get head options patch post "
    "put route trace websocket websocket_route"
)
_OTHERS = words("add_event_handler add_exception_handler add_middleware exception_handler middleware on_event state")


@dataclass(frozen=True)
class Declaration:
    """A class decorated with `@bentoml.service`, with the decorator's arguments and the mounted applications."""

    module: Module
    node: ast.ClassDef
    name: str
    arguments: dict[str, ast.expr]
    mounts: list[tuple[ast.expr, str]]  # application and path

    def error(self, why: str) -> NotConstantError:
        """Return an error at the class."""
        return NotConstantError(why, self.module.path, self.node)


class ServiceReader:
    """Analyzes a service and its dependencies.

    Records a value that isn't a constant in `unknowns`. Raises NotConstantError if the structure isn't constant.
    """

    def __init__(self, constants: Constants) -> None:
        self.constants = constants
        self.names = constants.names
        self.unknowns: list[metadata.Unknown] = []
        self._declared: dict[str, Declaration] = {}
        self._variables: dict[str, tuple[metadata.Env, ...]] = {}

    # Declarations

    def declaration(self, definition: Definition) -> Declaration:
        """Return the service that a definition declares. Raises BentoError if another service has the same name."""
        while isinstance(definition.node, ast.Name):  # `svc = Class`
            definition = self.names.resolve(definition.module, definition.node)
        module, made = definition.module, definition.node
        if not isinstance(made, ast.ClassDef) or made not in module.services:
            why = f"`{definition.name}` isn't a class with `@bentoml.service` and only decorators of BentoML"
            raise NotConstantError(why, module.path, made)
        arguments: dict[str, ast.expr] | None = None
        mounts: list[tuple[ast.expr, str]] = []
        for each in made.decorator_list:
            maker = self.names.outside(module, callee(each))
            if maker == "bentoml.service" and arguments is None and not getattr(each, "args", ()):
                arguments = arguments_of(module, each, [], others=True) if isinstance(each, ast.Call) else {}
            elif maker in MOUNTS and isinstance(each, ast.Call):
                given = arguments_of(module, each, ["app", "path", "name"])
                path = self.constants.text(module, given["path"]) if "path" in given else ""
                mounts.insert(0, (given.get("app", each), path))
            else:
                raise unsupported(module, each, "isn't a supported decorator")
        if arguments is None or made.bases or made.keywords:
            raise NotConstantError(f"`{made.name}` has base classes or a metaclass", module.path, made)
        name = self.constants.value(module, arguments["name"]) if "name" in arguments else None
        declared = Declaration(module, made, name or made.name, arguments, mounts)
        if not isinstance(declared.name, str):
            raise declared.error("the name of the service isn't a string")
        first = self._declared.setdefault(declared.name, declared)
        if first.node is not made:
            raise BentoError(
                f"{module.path}:{made.lineno}: the service at {first.module.path}:{first.node.lineno} is also named "
                f"`{name}`",
                remedy="Set a different name in `@bentoml.service`.",
            )
        return first

    # The graph

    def info(self, entry: Declaration, service: str, path: str) -> metadata.ServiceInfo:
        """Return the metadata of an entry service and its dependencies. Raises BentoError for an invalid service."""
        services: dict[str, metadata.Service] = {}
        stack = [entry.name]
        while stack:  # in the order of BentoML's `all_services`: a service itself, then each dependency's
            name = stack.pop()
            if name not in services:
                services[name] = self._service(self._declared[name])
                stack += [each.service for each in reversed(services[name].dependencies) if each.service]
        description = self._argument(entry, "description", TEXT | NONE)
        return metadata.ServiceInfo(
            service=service,
            path=path,
            kind="new",
            bento_name=snake_case(entry.name),
            entry_service=entry.name,
            services=tuple(services.values()),
            labels=self._labels(entry, services[entry.name]),
            envs=self._variables[entry.name],
            description=description,
            image=self._image(entry),
            unknowns=tuple(self.unknowns),
        )

    def require_plain_classes(self) -> None:
        """Raise NotConstantError if the body of a service that isn't part of the graph might call its methods."""
        for module in self.constants.program.modules.values():
            for node in module.services:
                self._members(Declaration(module, node, node.name, {}, []))

    def _note(self, declared: Declaration, field: str, error: NotConstantError) -> None:
        """Record that the field `field` of a service isn't a constant in the source."""
        what = f"`{field}` of service `{declared.name}`: {error.why}"
        self.unknowns.append(metadata.Unknown(what, error.path, error.line, field, declared.name))

    def _argument(self, declared: Declaration, name: str, kind: ValueType, field: str = "") -> Any:
        """Return the value of an argument of `@bentoml.service`. Records it and returns None if it isn't constant."""
        if name not in declared.arguments:
            return None
        try:
            value = self.constants.value(declared.module, declared.arguments[name])
            if kind.holds(value):
                return value
            raise unsupported(declared.module, declared.arguments[name], f"isn't {kind.words}")
        except NotConstantError as error:
            calls = (node.func for node in ast.walk(declared.arguments[name]) if isinstance(node, ast.Call))
            if name == "workers" and any(self.names.outside(declared.module, call) == "os.cpu_count" for call in calls):
                error.why += '. For a worker for each CPU, write `workers="cpu_count"`.'
            self._note(declared, field or name, error)
            return None

    def _service(self, declared: Declaration) -> metadata.Service:
        if declared.arguments.keys() & {"path_prefix", "service_class"}:
            raise declared.error("`path_prefix` and `service_class` aren't supported")
        self._variables[declared.name] = self._envs(declared)
        members = self._members(declared)
        apis = [each for each in members.values() if isinstance(each, metadata.Api)]
        return metadata.Service(
            declared.name,
            declared.node.name,
            declared.module.path,
            declared.node.lineno,
            tuple(each for each in members.values() if isinstance(each, metadata.Model)),
            tuple(each for each in members.values() if isinstance(each, metadata.Dependency)),
            self._config(declared, apis, has_command="__command__" in members),
            tuple(apis),
            tuple(f"/{path.lstrip('/')}" for _, path in declared.mounts),
            ast.get_docstring(declared.node, clean=False),
        )

    # Members

    def _members(self, declared: Declaration) -> dict[str, Any]:
        """Map each attribute of a service class to a `Model`, `Dependency`, or `Api`, or to None for other objects."""
        found: dict[str, Any] = {}
        for statement in declared.node.body:
            self._add_member(declared, statement, found)
        return {name: found[name] for name in sorted(found)}  # as `dir()` lists them

    def _add_member(self, declared: Declaration, statement: ast.stmt, found: dict[str, Any]) -> None:
        """Update `found` if a statement defines an attribute. Raises NotConstantError for unsupported code."""
        module, value, nodes = declared.module, None, list[ast.AST | None]([statement])
        match statement:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                nodes = [statement.args, statement.returns, *statement.decorator_list]
            case ast.ClassDef(name=name, decorator_list=[], bases=[], keywords=[]):
                nodes = []
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                value = None if isinstance(statement.value, _DISPLAYS) else statement.value
            case ast.Expr() | ast.Pass():
                name = ""
            case _:
                raise NotConstantError("this statement isn't supported in a service", module.path, statement)
        for each in (each for node in nodes if node for each in ast.walk(node)):
            if isinstance(each, ast.NamedExpr) or (isinstance(each, ast.Name) and each.id in found):
                why = "this statement might use or modify attributes of the class"
                raise NotConstantError(why, module.path, each)
        if name in found:
            raise NotConstantError(f"`{name}` is assigned more than once", module.path, statement)
        if name in _OF_CLASSES:
            raise NotConstantError(f"`{name}` is assigned", module.path, statement)
        if isinstance(statement, FUNCTIONS):
            found[name] = self._function(module, statement)
        elif name:
            found[name] = self._member(declared, name, value) if value else None
        if name.startswith("__") and not name.endswith("__") and found[name]:
            raise NotConstantError(f"`{name}` is a private name, which isn't supported", module.path, statement)

    def _member(self, declared: Declaration, name: str, node: ast.expr) -> Any:
        module = declared.module
        if isinstance(node, ast.Call):
            maker = self.names.outside(module, node.func) or ""
            if maker in DEPENDS:
                return self._dependency(module, name, node, maker)
            if maker == "bentoml.models.HuggingFaceModel":
                return metadata.Model(name, "", huggingface=self._huggingface(module, node))
            if maker in ("bentoml.models.BentoModel", *_STORED):
                return self._model(declared, name, node, is_stored=maker in _STORED)
        if not self._is_foreign(module, node):
            raise unsupported(module, node, "isn't supported as a class attribute")
        return None

    def _is_foreign(self, module: Module, node: ast.AST) -> bool:
        """Return whether an expression makes no BentoML object. Raises NotConstantError for a name of unknown value."""
        for each in ast.walk(node):
            if isinstance(each, ast.Name):
                outside = self.names.outside(module, each)
                if self.names.makes_bentoml_objects(outside or ""):
                    return False
                if not outside and each.id in module.bindings:
                    self.constants.value(module, each)
        return True

    def _dependency(self, module: Module, name: str, call: ast.Call, maker: str) -> metadata.Dependency:
        given = arguments_of(module, call, ["on", *_LOCATION], positional=1 if maker == "bentoml.depends" else 4)
        on = given.pop("on", None)
        fields = self._values(module, call, given, _LOCATION)
        if on is not None and not (isinstance(on, ast.Constant) and on.value is None):
            declared = self.declaration(self.names.resolve(module, on))
            return metadata.Dependency(name, declared.name, **fields)
        if fields.get("deployment") is None and fields.get("url") is None:
            problem = f"{module.path}:{call.lineno}: `bentoml.depends` requires a service, `url`, or `deployment`"
            raise BentoError(problem, remedy="Add one of these arguments.")
        return metadata.Dependency(name, **fields)

    def _values(
        self, module: Module, call: ast.Call, given: dict[str, ast.expr], kinds: dict[str, ValueType]
    ) -> dict[str, Any]:
        """Return a mapping from argument names to values. Raises NotConstantError for an unknown or invalid value."""
        values = {name: self.constants.value(module, node) for name, node in given.items()}
        if not all(kinds[name].holds(value) for name, value in values.items()):
            raise unsupported(module, call)
        return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}

    def _model(self, declared: Declaration, name: str, call: ast.Call, *, is_stored: bool) -> metadata.Model:
        given = arguments_of(declared.module, call, ["tag"])
        try:
            tag = self.constants.text(declared.module, given.get("tag", call))
        except NotConstantError as error:
            self._note(declared, f"models.{name}", error)
            return metadata.Model(name, "")
        return metadata.Model(name, tag if is_stored else tag.lower(), alias=is_stored)

    def _huggingface(self, module: Module, call: ast.Call) -> metadata.HuggingFace:
        values = self._values(module, call, arguments_of(module, call, [*_HUGGINGFACE]), _HUGGINGFACE)
        if "model_id" not in values:
            raise unsupported(module, call)
        line = None if "endpoint" in values else self.constants.program.first_environment_change(_HUB_VARIABLE)
        if line:
            raise NotConstantError("`endpoint` is the value of HF_ENDPOINT, which this line might set", *line)
        return metadata.HuggingFace(**values)

    # APIs

    def _function(self, module: Module, node: ast.FunctionDef | ast.AsyncFunctionDef) -> metadata.Api | None:
        """Return a method's API, or None if it has none. Raises NotConstantError for an unsupported decorator."""
        known = [self.names.outside(module, callee(each)) or "" for each in node.decorator_list]
        if known and known[0] in _ENDPOINTS and all(each in _KEEP_NAME for each in known[1:]):
            return self._endpoint(module, node, known[0])
        is_endpoint = any(name in _ENDPOINTS for name in known)
        for name, each in zip(known, node.decorator_list, strict=True):
            is_plain = name in _HOOKS or self._is_route(module, each)
            if name not in _ENDPOINTS and (is_endpoint or not (is_plain or self._is_foreign(module, each))):
                raise unsupported(module, each, f"isn't a supported decorator of `{node.name}`")
        if is_endpoint:
            raise unsupported(module, node.decorator_list[0], f"isn't the only decorator of `{node.name}`")
        return None

    def _is_route(self, module: Module, decorator: ast.expr) -> bool:
        """Return whether a decorator, such as `@app.get("/x")`, only registers a function with a library's object."""
        function = callee(decorator)
        owner = function.value if isinstance(function, ast.Attribute) else None
        bindings = module.bindings.get(owner.id, []) if isinstance(owner, ast.Name) else []
        made = bindings[0].node if len(bindings) == 1 else None
        maker = self.names.outside(module, made.func) if isinstance(made, ast.Call) else None
        return maker is not None and not self.names.makes_bentoml_objects(maker)

    def _endpoint(self, module: Module, node: ast.FunctionDef | ast.AsyncFunctionDef, kind: str) -> metadata.Api:
        decorator = node.decorator_list[0]
        values: dict[str, Any] = {}
        if isinstance(decorator, ast.Call):
            given = arguments_of(module, decorator, [], others=True)
            given = {key: given[key] for key in _ENDPOINT if key in given}
            values = self._values(module, decorator, given, _ENDPOINT)
        route = f"/{node.name}" if values.get("route") is None else values["route"]
        place = f"{module.path}:{decorator.lineno}: API `{node.name}`"
        if node.name.startswith("__"):
            raise BentoError("invalid name", place=place, remedy="Use a name that doesn't start with `__`.")
        if not route.startswith("/"):
            raise BentoError(f"invalid route {route!r}", place=place, remedy="Use a route that starts with `/`.")
        ApiTypes(self.names, module).require_accepted(node, decorator, is_task=kind == "bentoml.task")
        is_stream = any(isinstance(each, (ast.Yield, ast.YieldFrom)) for each in own_nodes(*node.body))
        return metadata.Api(node.name, route, kind == "bentoml.task", values.get("batchable", False), is_stream)

    # Configuration

    def _config(
        self, declared: Declaration, apis: list[metadata.Api], *, has_command: bool
    ) -> dict[str, metadata.Json]:
        config: dict[str, metadata.Json] = {}
        for name in (name for name in declared.arguments if name not in SERVICE_FIELDS):
            before = len(self.unknowns)
            value = self._argument(declared, name, _ANY, f"config.{name}")
            if len(self.unknowns) == before:
                config[name] = value
                if problem := config_problem(name, value):
                    self._note(declared, f"config.{name}", declared.error(problem))
        traffic = config.get("traffic", {} if "traffic" not in declared.arguments else None)
        if any(api.is_task for api in apis) and isinstance(traffic, dict):
            added = {} if "concurrency" in traffic else {"concurrency": 1}
            config["traffic"] = {**traffic, "external_queue": True, **added}
        command = self._argument(declared, "cmd", _ANY)
        if config.get("workers") is None and (has_command or command is not None or "cmd" in declared.arguments):
            why = "for a service with a command, BentoML derives the number of workers from the CPUs of the machine"
            config.pop("workers", None)
            self._note(declared, "config.workers", declared.error(why))
        return config

    # Labels, envs, and the image of the entry service

    def _labels(self, declared: Declaration, service: metadata.Service) -> dict[str, str]:
        labels = self._argument(declared, "labels", _LABELS | NONE) or {}
        labels = {key: str(value) for key, value in labels.items()}
        found = [api.route.removesuffix(_CHAT) for api in service.apis if api.route.endswith(_CHAT)]
        try:
            for application, path in [] if found else declared.mounts:
                self._check_application(declared.module, application)
                if "completions" in path:
                    raise declared.error(f"the path {path!r} might be part of a path that ends in `{_CHAT}`")
        except NotConstantError as error:
            self._note(declared, "labels.openai_endpoint", error)
        return labels | ({"openai_endpoint": found[0]} if found else {})

    def _check_application(self, module: Module, node: ast.expr) -> None:
        """Raise NotConstantError unless an application of FastAPI certainly has no OpenAI-compatible endpoint."""
        definition, program = self.names.resolve(module, node), self.constants.program
        made, of = definition.node, definition.module
        if not isinstance(made, ast.Call) or self.names.outside(of, made.func) not in _FASTAPI:
            raise unsupported(module, node, "isn't a call of `fastapi.FastAPI`")
        given = arguments_of(of, made, [], others=True)
        without = {
            name for name, value in given.items() if name.endswith("_url") and getattr(value, "value", 1) is None
        }
        if not given.keys() - without <= _PLAIN_ARGUMENTS:
            raise unsupported(of, made, "has arguments that might add routes")

        def is_plain(by: Module, use: ast.expr) -> bool:
            method = by.parents.get(use)
            name = getattr(method, "attr", "")
            call = by.parents.get(method) if method and name in _ROUTES else None
            if isinstance(call, ast.Call) and call.func is method and call.args:
                return isinstance(call.args[0], ast.Constant) and "completions" not in str(call.args[0].value)
            return name in _OTHERS or program.receiver(by, use) in MOUNTS

        program.require_uses(of, definition.name, is_plain)

    def _envs(self, declared: Declaration) -> tuple[metadata.Env, ...]:
        """Return a service's envs. Raises BentoError for invalid items."""
        result = list[metadata.Env]()
        place = f"{declared.module.path}:{declared.node.lineno}"
        for env in self._argument(declared, "envs", LIST | NONE) or []:
            fields: dict[str, Any] = _ENV | (env if isinstance(env, dict) else {"": env})
            if not (fields.keys() <= _ENV.keys() and fields["stage"] in _STAGES):
                remedy = f"Use a dict with a name and, optionally, a value and a stage ({', '.join(_STAGES)})."
                raise BentoError(f"invalid item in `envs` of `{declared.name}`: {env!r}", place=place, remedy=remedy)
            if problem := env_problem(fields["name"], fields["value"]):
                raise BentoError(f"envs of `{declared.name}`: {problem}.", place=place)
            result.append(metadata.Env(**fields))
        return tuple(result)

    def _image(self, declared: Declaration) -> metadata.Image | None:
        node = declared.arguments.get("image")
        if node is None or (isinstance(node, ast.Constant) and node.value is None):
            return None
        try:
            return self._image_of(declared.module, node)
        except NotConstantError as error:
            self._note(declared, "image", error)
            return None

    def _image_of(self, module: Module, node: ast.expr) -> metadata.Image:
        root, calls = self._image_calls(module, node)
        match root:
            case ast.Call(func=function) if self.names.outside(module, function) == "bentoml.images.Image":
                given = arguments_of(module, root, IMAGE, others=True)
                image = metadata.Image({name: self.constants.value(module, each) for name, each in given.items()})
            case ast.Name():
                image = self._named_image(module, root)
            case _:
                raise unsupported(module, root, "isn't a call of `bentoml.images.Image`")
        return replace(image, calls=(*image.calls, *calls))

    def _named_image(self, module: Module, name: ast.Name) -> metadata.Image:
        """Return the image with a name, with the calls in statements such as `image = image.run("x")`.

        A call modifies the image, and returns it. Raises NotConstantError if other code might modify the image.
        """
        of, key = module, name.id
        if (bindings := module.bindings.get(name.id, [])) and bindings[0].module:
            source = self.names.files.find(bindings[0].module)
            if len(bindings) > 1 or not source or not bindings[0].name:
                raise unsupported(module, name, "isn't a call of `bentoml.images.Image`")
            of, key = self.names.parsed(bindings[0].module, source), bindings[0].name
        values = [each.node for each in of.bindings.get(key, []) if each.is_plain]
        own: dict[ast.expr, ast.expr] = {}  # values of statements, by the name in the value
        for statement in of.tree.body:
            value = getattr(statement, "value", None)
            root = image_root(value) if isinstance(value, ast.Call) else None
            is_own = isinstance(statement, ast.Expr) or value in values
            if value and is_own and isinstance(root, ast.Name) and root.id == key:
                own[root] = value
        first = [each for each in values if each not in own.values()]
        if len(first) != 1 or len(values) != len(of.bindings[key]) or not isinstance(first[0], ast.Call):
            raise unsupported(module, name, "is assigned more than once, or isn't a call of `bentoml.images.Image`")

        def is_image(by: Module, use: ast.expr) -> bool:
            return keyword_of_service(self.constants.program, by, use) == "image"

        self.constants.program.require_uses(of, key, lambda by, use: use in own or use is name or is_image(by, use))
        is_late = of is module and any(each.lineno > name.lineno for each in own)
        if key in self.constants.program.stored or (is_late and not is_image(module, name)):
            raise NotConstantError(f"`{key}` is modified after this line", module.path, name)
        image = self._image_of(of, first[0])
        calls = [call for value in own.values() for call in self._image_calls(of, value)[1]]
        return replace(image, calls=(*image.calls, *calls))

    def _image_calls(self, module: Module, node: ast.expr) -> tuple[ast.expr, list[metadata.ImageCall]]:
        """Split `x.run("a").run("b")` into the expression `x` and the calls of methods of an image."""
        root, calls = image_root(node), list[metadata.ImageCall]()
        while isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node is not root:
            nodes = [*node.args, *(each.value if each.arg else node for each in node.keywords)]
            if any(isinstance(each, ast.Starred) or each is node for each in nodes):
                raise unsupported(module, node, "has unpacked arguments")
            arguments = tuple(self.constants.text(module, each) for each in nodes)
            calls.insert(0, metadata.ImageCall(node.func.attr, arguments))
            node = node.func.value
        return root, calls


def image_root(node: ast.expr) -> ast.expr:
    """Return `x` for calls of methods of an image, such as `x.run("a").run("b")`."""
    while isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in IMAGE_METHODS:
        node = node.func.value
    return node


def arguments_of(
    module: Module, call: ast.Call, names: list[str], *, positional: int | None = None, others: bool = False
) -> dict[str, ast.expr]:
    """Return a mapping from parameter names to the argument expressions in a call.

    The first `positional` names (default: all) can be positional arguments. Raises NotConstantError for `*`, `**`, and
    arguments that aren't in `names`. If `others` is set, accepts any keyword.
    """
    given = dict(zip(names[:positional], call.args, strict=False))
    given |= {each.arg: each.value for each in call.keywords if each.arg}
    starred = any(isinstance(each, ast.Starred) for each in call.args)
    if starred or any(each.arg is None for each in call.keywords):
        raise unsupported(module, call, "has unpacked arguments")
    if len(given) < len(call.args) + len(call.keywords) or not (others or given.keys() <= {*names}):
        raise unsupported(module, call)
    return given
