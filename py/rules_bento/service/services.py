"""Analyzes classes with `@bentoml.service`: name, configuration, dependencies, models, APIs, BentoML's additions."""

from __future__ import annotations

import ast

from rules_bento.dataclasses_lite import dataclass, replace
from rules_bento.errors import BentoError
from rules_bento.service import metadata
from rules_bento.service.constants import DEPENDS, REST, Constants, first_unknown
from rules_bento.service.import_code import HANDLERS, ROUTES, callee
from rules_bento.service.modules import FUNCTIONS, Definition, Kind, Module, NotConstantError, own_nodes, unsupported
from rules_bento.service.overrides import snake_case
from rules_bento.service.sdk_names import FRAMEWORKS, IMAGE, IMAGE_METHODS, SERVICE_FIELDS, words
from rules_bento.typing_lite import Any

_HUB_VARIABLE = b"HF_ENDPOINT"  # BentoML reads it if a `HuggingFaceModel` has no `endpoint`
_ENV = {"name": "", "value": "", "stage": "all"}
_STAGES = ("all", "build", "runtime")
_HUGGINGFACE: dict[str, Any] = {
    "model_id": str,
    "revision": str,
    "endpoint": (str, type(None)),
    "include": (tuple, type(None)),
    "exclude": (tuple, type(None)),
}
_LOCATION = ("deployment", "cluster", "url")  # of a dependency
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

_CHAT = "/chat/completions"
_MOUNTS = ("bentoml.asgi_app", "bentoml.mount_asgi_app")
_FASTAPI = ("fastapi.FastAPI", "fastapi.applications.FastAPI")
_ROUTERS = ("fastapi.APIRouter", "fastapi.routing.APIRouter")
_STATIC = ("starlette.staticfiles.StaticFiles", "fastapi.staticfiles.StaticFiles")
_ROUTES = ROUTES | words("add_api_route add_api_websocket_route add_route add_websocket_route")
# They add no route: middleware, handlers, hooks.
_OTHERS = HANDLERS | words("add_event_handler add_exception_handler add_middleware state")


@dataclass(frozen=True)
class Declaration:
    """Describes where a service is made: its class, the arguments of `bentoml.service`, its name, and its mounts."""

    module: Module
    node: ast.ClassDef
    name: str
    arguments: dict[str, Any]
    mounts: list[tuple[ast.expr, str]]  # application and path

    @property
    def place(self) -> str:
        """The place of the class in messages."""
        return f"{self.module.path}:{self.node.lineno}"

    def error(self, value: Any, why: str) -> NotConstantError:
        """Return the first unknown part of a value, or else an error of its own."""
        return first_unknown(value) or NotConstantError(why, self.module.path, self.node)


class ServiceReader:
    """Reads the services of a graph, one after the other, and notes the values that can be declared in their place.

    All methods raise NotConstantError for other parts that are not constant: only the import reads such a service.
    """

    def __init__(self, constants: Constants) -> None:
        self.constants = constants
        self.names = constants.names
        self.unknowns: list[metadata.Unknown] = []
        self._declared: dict[str, Declaration] = {}

    # Declarations

    def declaration(self, definition: Definition, by: Module, node: ast.AST) -> Declaration:
        """Return the service of a definition. Raises BentoError if another service has its name."""
        module, made = definition.module, definition.node
        if module is None:
            where = "is defined outside the sources" if definition.kind == Kind.OUTSIDE else "isn't a service"
            raise NotConstantError(f"`{definition.name}` {where}", by.path, node)
        if not isinstance(made, ast.ClassDef):
            raise NotConstantError(f"`{definition.name}` isn't a class with `@bentoml.service`", module.path, made)
        arguments: dict[str, Any] | None = None
        mounts: list[tuple[ast.expr, str]] = []
        for each in made.decorator_list:
            maker = self.names.outside(module, callee(each))
            if maker == "bentoml.service" and arguments is None and not getattr(each, "args", ()):
                arguments = self._arguments(module, getattr(each, "keywords", []))
            elif maker in _MOUNTS and isinstance(each, ast.Call):
                given = arguments_of(module, each, ["app", "path", "name"])
                path = self.constants.text(module, given["path"]) if "path" in given else ""
                mounts.insert(0, (given.get("app", each), path))
            else:
                raise unsupported(module, each, "isn't a supported decorator")
        if arguments is None:
            raise NotConstantError(f"`{made.name}` isn't a service", module.path, made)
        self.constants.require_service(definition)
        name = arguments.get("name") or made.name
        declared = Declaration(module, made, name, arguments, mounts)
        if not isinstance(name, str):
            raise declared.error(name, "the name of the service isn't a string")
        first = self._declared.setdefault(name, declared)
        if first.node is not made:
            raise BentoError(
                f"{declared.place}: the name `{name}` is already used by the service at {first.place}. "
                "Set a different `name` in `@bentoml.service`."
            )
        return first

    def _arguments(self, module: Module, keywords: list[ast.keyword]) -> dict[str, Any]:
        """Return the arguments of `bentoml.service` by name; the image remains an expression."""
        values: dict[str, Any] = {}
        for keyword in keywords:
            node = keyword.value
            if keyword.arg is None:
                more = self.constants.value(module, node)
                if not isinstance(more, dict) or REST in more or "image" in more:
                    raise unsupported(module, node, "isn't supported after `**`")
                values |= more
                continue
            try:
                values[keyword.arg] = node if keyword.arg == "image" else self.constants.value(module, node)
            except NotConstantError as error:
                values[keyword.arg] = error
        return values

    # The graph

    def info(self, entry: Declaration, service: str, path: str) -> metadata.ServiceInfo:
        """Read the whole graph below an entry service. Raises BentoError if BentoML could not import it."""
        services: dict[str, metadata.Service] = {}
        stack = [entry.name]
        while stack:  # in the order of BentoML's `all_services`: a service itself, then each dependency's
            name = stack.pop()
            if name not in services:
                services[name] = self._service(self._declared[name])
                stack += [each.service for each in reversed(services[name].dependencies) if each.service]
        own = entry.arguments
        description = own.get("description")
        if not isinstance(description, (str, type(None))):
            self._note(entry, "description", entry.error(description, "the value isn't a string"))
            description = None
        return metadata.ServiceInfo(
            service=service,
            path=path,
            kind="new",
            bento_name=snake_case(entry.name),
            entry_service=entry.name,
            services=tuple(services.values()),
            labels=self._labels(entry) | self._openai(entry, services[entry.name]),
            envs=self._envs(entry, is_entry=True),
            description=description,
            image=self._image(entry),
            unknowns=tuple(self.unknowns),
        )

    def _note(self, declared: Declaration, fact: str, error: NotConstantError) -> None:
        """Note a value that the source does not state as a constant."""
        what = f"`{fact}` of service `{declared.name}`: {error.why}"
        self.unknowns.append(metadata.Unknown(what, error.path, error.line, fact, declared.name))

    def _service(self, declared: Declaration) -> metadata.Service:
        node = declared.node
        if declared.arguments.keys() & {"path_prefix", "service_class"}:
            raise NotConstantError("`path_prefix` and `service_class` aren't supported", declared.module.path, node)
        self._envs(declared, is_entry=False)
        members = self._members(declared)
        apis = [each for each in members.values() if isinstance(each, metadata.Api)]
        return metadata.Service(
            declared.name,
            node.name,
            declared.module.path,
            node.lineno,
            tuple(each for each in members.values() if isinstance(each, metadata.Model)),
            tuple(each for each in members.values() if isinstance(each, metadata.Dependency)),
            self._config(declared, apis, has_command="__command__" in members),
            tuple(apis),
            tuple(f"/{path.lstrip('/')}" for _, path in declared.mounts),
            ast.get_docstring(node, clean=False),
        )

    # Members

    def _members(self, declared: Declaration) -> dict[str, Any]:
        """Return the attributes of a class: a `Model`, a `Dependency`, an `Api`, or None for no BentoML object."""
        module, node = declared.module, declared.node
        for base in node.bases:
            base = base.value if isinstance(base, ast.Subscript) else base
            plain = isinstance(base, ast.Name) and base.id == "object" and "object" not in module.bindings
            if not plain and self.names.outside(module, base) not in _PLAIN_BASES:
                raise unsupported(module, base, "isn't a supported base class")
        if any(self.names.outside(module, each.value) != "abc.ABCMeta" for each in node.keywords):
            raise NotConstantError(f"class `{node.name}` has unsupported keyword arguments", module.path, node)
        found: dict[str, Any] = {}
        for statement in node.body:
            self._add_member(declared, statement, found)
        return {name: found[name] for name in sorted(found)}  # as `dir()` lists them

    def _add_member(self, declared: Declaration, statement: ast.stmt, found: dict[str, Any]) -> None:
        """Add the names that a statement of a class body binds. Raises NotConstantError for other effects."""
        module, value, nodes = declared.module, None, list[ast.AST]([statement])
        match statement:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                nodes = [statement.args]
            case ast.ClassDef(name=name, decorator_list=[]):
                nodes = [*statement.bases, *statement.keywords]
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                value = None if isinstance(statement.value, _DISPLAYS) else statement.value
            case ast.Expr() | ast.Pass():
                name = ""
            case _:
                raise NotConstantError("this statement might modify attributes of the class", module.path, statement)
        evaluated = [value] if value else getattr(statement, "decorator_list", [])
        for each in (each for node in [*nodes, *evaluated] for each in ast.walk(node)):
            if isinstance(each, ast.NamedExpr) or (isinstance(each, ast.Name) and found.get(each.id) is not None):
                raise NotConstantError("this statement might modify attributes of the class", module.path, statement)
        for each in (each for node in evaluated for each in ast.walk(node)):
            if isinstance(each, ast.Name) and each.id in found:
                raise NotConstantError(f"the expression uses the class attribute `{each.id}`", module.path, each)
        if name in found:
            raise NotConstantError(f"`{name}` is assigned more than once", module.path, statement)
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
            if maker in _MODELS:
                return self._model(declared, name, node, maker)
        if not self._is_foreign(module, node):
            raise unsupported(module, node, "isn't supported as a class attribute")
        return None

    def _is_foreign(self, module: Module, node: ast.AST) -> bool:
        """Return whether an expression consists of libraries and constants only, and so isn't a BentoML object."""
        for each in ast.walk(node):
            if isinstance(each, ast.Name):
                outside = self.names.outside(module, each)
                if (outside or "").startswith("bentoml"):
                    return False
                if not outside and self.names.lookup(module, each.id, module.path, each).kind != Kind.BUILTIN:
                    self.constants.whole(module, each)
        return True

    def _dependency(self, module: Module, name: str, call: ast.Call, maker: str) -> metadata.Dependency:
        given = arguments_of(module, call, ["on", *_LOCATION], positional=1 if maker == "bentoml.depends" else 4)
        on = given.pop("on", None)
        fields = {key: self.constants.whole(module, node) for key, node in given.items()}
        if not all(isinstance(each, (str, type(None))) for each in fields.values()):
            raise unsupported(module, call)
        if on is not None and not (isinstance(on, ast.Constant) and on.value is None):
            declared = self.declaration(self.names.resolve(module, on), module, on)
            return metadata.Dependency(name, declared.name, **fields)
        if fields.get("deployment") is None and fields.get("url") is None:
            raise BentoError(
                f"{module.path}:{call.lineno}: `bentoml.depends` requires a service, `url`, or `deployment`. "
                "Add one of these arguments."
            )
        return metadata.Dependency(name, **fields)

    def _model(self, declared: Declaration, name: str, call: ast.Call, maker: str) -> metadata.Model:
        argument = "tag" if maker.startswith("bentoml.models.") else "tag_like"
        given = arguments_of(declared.module, call, [argument])
        if not given:
            raise unsupported(declared.module, call)
        try:
            tag = self.constants.text(declared.module, given[argument])
        except NotConstantError as error:
            self._note(declared, f"models.{name}", error)
            return metadata.Model(name, "")
        is_stored = maker.endswith(".get")
        return metadata.Model(name, tag if is_stored else tag.lower(), alias=is_stored)

    def _huggingface(self, module: Module, call: ast.Call) -> metadata.HuggingFace:
        values: dict[str, Any] = {}
        for name, node in arguments_of(module, call, [*_HUGGINGFACE]).items():
            value = self.constants.whole(module, node)
            values[name] = tuple(value) if isinstance(value, list) else value
            items = value if isinstance(value, list) else []
            if not isinstance(values[name], _HUGGINGFACE[name]) or not all(isinstance(each, str) for each in items):
                raise unsupported(module, call)
        if "model_id" not in values:
            raise unsupported(module, call)
        line = None if "endpoint" in values else self.names.files.first_mention(_HUB_VARIABLE)
        if line:
            raise NotConstantError("`endpoint` is the value of HF_ENDPOINT, which this line might set", *line)
        return metadata.HuggingFace(**values)

    # APIs

    def _function(self, module: Module, node: ast.FunctionDef | ast.AsyncFunctionDef) -> metadata.Api | None:
        """Return an API, or None for other methods. Raises NotConstantError if a decorator might create an API."""
        known = [self.names.outside(module, callee(each)) or "" for each in node.decorator_list]
        if known and known[0] in _ENDPOINTS and all(each in _KEEP_NAME for each in known[1:]):
            return self._endpoint(module, node, known[0])
        for name, each in zip(known, node.decorator_list, strict=True):
            is_route = self.constants.code.is_route(module, callee(each))
            if not (name in _HOOKS or is_route or self._is_foreign(module, each)):
                raise unsupported(module, each, "isn't a supported decorator")
        return None

    def _endpoint(self, module: Module, node: ast.FunctionDef | ast.AsyncFunctionDef, kind: str) -> metadata.Api:
        decorator = node.decorator_list[0]
        given = arguments_of(module, decorator, [], others=True) if isinstance(decorator, ast.Call) else {}
        values = {key: self.constants.whole(module, given[key]) for key in ("route", "batchable") if key in given}
        route = values.get("route")
        if route is None:
            route = "/" if node.name == "__call__" else f"/{node.name}"
        if not (isinstance(route, str) and route.startswith("/")):
            raise BentoError(
                f"{module.path}:{decorator.lineno}: the route of API `{node.name}` must begin with a slash, "
                f"got {route!r}. Correct the route."
            )
        return metadata.Api(
            node.name, route, kind == "bentoml.task", bool(values.get("batchable")), _is_generator(node)
        )

    # Configuration

    def _config(
        self, declared: Declaration, apis: list[metadata.Api], *, has_command: bool
    ) -> dict[str, metadata.Json]:
        own = declared.arguments
        given = {name: value for name, value in own.items() if name not in SERVICE_FIELDS}
        traffic = given.get("traffic", {})
        if any(api.is_task for api in apis) and isinstance(traffic, dict):
            added = {} if REST in traffic or "concurrency" in traffic else {"concurrency": 1}
            given["traffic"] = {**traffic, "external_queue": True, **added}
        if given.get("workers") is None and (has_command or own.get("cmd") is not None):
            why = "for a service with a command, BentoML derives the number of workers from the CPUs of the machine"
            given["workers"] = declared.error(None, why)
        return self._entries(declared, given, "config")

    def _entries(self, declared: Declaration, values: dict[str, Any], fact: str) -> dict[str, metadata.Json]:
        """Return the constant entries of a dict; the others are noted, each by its own path."""
        result: dict[str, metadata.Json] = {}
        for key, value in values.items():
            error = None if isinstance(value, dict) else first_unknown(value)
            if error:
                self._note(declared, fact if key == REST else f"{fact}.{key}", error)
            else:
                nested = isinstance(value, dict)
                result[key] = self._entries(declared, value, f"{fact}.{key}") if nested else value
        return result

    # Labels, envs, and the image of the entry service

    def _labels(self, declared: Declaration) -> dict[str, str]:
        labels = declared.arguments.get("labels") or {}
        if not isinstance(labels, dict):
            labels = {REST: declared.error(labels, "the value isn't a dict")}
        for key in [key for key, value in labels.items() if isinstance(value, (list, dict))]:
            labels[key] = declared.error(labels[key], "the value isn't a string")
        return {key: str(value) for key, value in self._entries(declared, labels, "labels").items()}

    def _openai(self, declared: Declaration, service: metadata.Service) -> dict[str, str]:
        """Return the label that BentoML adds for an endpoint like OpenAI's."""
        found = [api.route for api in service.apis if api.route.endswith(_CHAT)]
        try:
            for (application, _), path in zip([] if found else declared.mounts, service.mounts, strict=False):
                if "completions" in path:
                    raise unsupported(declared.module, application, f"might have a path that ends in `{_CHAT}`")
                found += [path.rstrip("/") + each for each in _chat_paths(self.constants, declared.module, application)]
        except NotConstantError as error:
            self._note(declared, "labels.openai_endpoint", error)
        return {"openai_endpoint": found[0].removesuffix(_CHAT)} if found else {}

    def _envs(self, declared: Declaration, *, is_entry: bool) -> tuple[metadata.Env, ...]:
        """Return `envs`. Raises BentoError for one with which BentoML can't import or build a service."""
        envs = declared.arguments.get("envs") or []
        result = list[metadata.Env]()
        for env in envs if isinstance(envs, list) else [declared.error(envs, "the value isn't a list")]:
            fields: dict[str, Any] = _ENV | (env if isinstance(env, dict) else {REST: env})
            known = {key: value for key, value in fields.items() if not first_unknown(value)}
            is_text = isinstance(known.get("value"), (str, type(None)))
            if not (known.keys() <= _ENV.keys() and known.get("stage", "all") in _STAGES and is_text):
                raise BentoError(
                    f"{declared.place}: invalid item in `envs` of service `{declared.name}`: {env!r}. Use a dict "
                    f"with a name and, optionally, a string value and a stage ({', '.join(_STAGES)})."
                )
            name, error = fields["name"], first_unknown(fields)
            if not name or not isinstance(name, str):
                error, name = declared.error(fields, "the name of a variable isn't a string"), ""
            if error and is_entry:
                self._note(declared, f"envs.{name}".rstrip("."), error)
            if name:
                result.append(metadata.Env(name, None, known.get("stage", "all")) if error else metadata.Env(**fields))
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
        match node:
            case ast.Call(func=function) if self.names.outside(module, function) == "bentoml.images.Image":
                given = arguments_of(module, node, IMAGE, others=True)
                return metadata.Image({name: self.constants.whole(module, each) for name, each in given.items()})
            case ast.Call(func=ast.Attribute(value=of, attr=method)) if method in IMAGE_METHODS:
                image = self._image_of(module, of)
                return replace(image, calls=(*image.calls, self._image_call(module, node, method)))
            case ast.Name():
                definition = self.names.resolve(module, node)
                if definition.module and isinstance(definition.node, ast.Call):
                    self.constants.code.require_uses(
                        definition, lambda by, use: self.constants.keyword_of_service(by, use) == "image"
                    )
                    return self._image_of(definition.module, definition.node)
        raise unsupported(module, node, "isn't a call of `bentoml.images.Image`")

    def _image_call(self, module: Module, call: ast.Call, method: str) -> metadata.ImageCall:
        values: list[Any] = []
        for each in [*call.args, *(keyword.value for keyword in call.keywords)]:
            value = self.constants.whole(module, each.value if isinstance(each, ast.Starred) else each)
            values += value if isinstance(each, ast.Starred) and isinstance(value, list) else [value]
        if not all(isinstance(each, str) for each in values) or not all(each.arg for each in call.keywords):
            raise unsupported(module, call, "isn't a supported method call of an image")
        return metadata.ImageCall(method, tuple(values))


def arguments_of(
    module: Module, call: ast.Call, names: list[str], *, positional: int | None = None, others: bool = False
) -> dict[str, ast.expr]:
    """Return the arguments of a call by name. Raises NotConstantError for `*`, `**`, and names that it lacks.

    `positional` is the number of names that can be positional; with `others`, keywords can have any name.
    """
    given = dict(zip(names[:positional], call.args, strict=False))
    given |= {each.arg: each.value for each in call.keywords if each.arg}
    starred = any(isinstance(each, ast.Starred) for each in call.args)
    if starred or len(given) < len(call.args) + len(call.keywords) or not (others or given.keys() <= {*names}):
        raise unsupported(module, call)
    return given


def _is_generator(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Return whether a function itself yields."""
    return any(isinstance(each, (ast.Yield, ast.YieldFrom)) for each in own_nodes(*node.body))


def _chat_paths(constants: Constants, module: Module, node: ast.expr, *, is_router: bool = False) -> list[str]:
    """Return the paths of an application that end like OpenAI's. Raises NotConstantError if it might have others.

    All mentions of it and of its routers must be plain, and only a decorator of it can name completions in a path.
    """
    definition = constants.names.resolve(module, node)
    made, of, code, found = definition.node, definition.module, constants.code, list[str]()
    name = constants.names.outside(of, made.func) if of and isinstance(made, ast.Call) else None
    if of is None or not isinstance(made, ast.Call) or name not in (_ROUTERS if is_router else _FASTAPI):
        raise unsupported(module, node, "isn't a supported FastAPI application or router")

    def check(by: Module, node: ast.expr, *, is_certain: bool = False) -> None:
        path = constants.text(by, node)
        if is_certain and path.endswith(_CHAT):
            found.append(path)
        elif "completions" in path:
            raise unsupported(by, node, f"might be part of a path that ends in `{_CHAT}`")

    def is_plain(by: Module, node: ast.expr) -> bool:
        method = code.parent(node)
        call = code.parent(method) if isinstance(method, (ast.Attribute, ast.keyword)) else method
        if isinstance(method, ast.Attribute) and method.attr in _OTHERS:
            return True
        if not isinstance(call, ast.Call):
            return False
        if not isinstance(method, ast.Attribute):  # an argument
            is_mount = constants.receiver(by, node) in _MOUNTS and isinstance(code.parent(call), ast.ClassDef)
            return is_mount or getattr(call.func, "attr", "") == "include_router"
        given = {each.arg: each.value for each in call.keywords}
        first = next(iter([*call.args, *(given[key] for key in ("path", "router") if key in given)]), None)
        if call.func is not method or None in given or first is None:
            return False
        if method.attr == "include_router":
            check(by, given.get("prefix", ast.Constant("")))
            return not _chat_paths(constants, by, first, is_router=True)
        outer = code.parent(call)
        decorates = outer is not None and code.parent(outer) is None and call in getattr(outer, "decorator_list", ())
        check(by, first, is_certain=decorates and not is_router)
        mounted = call.args[1] if method.attr == "mount" and len(call.args) == 2 else None
        is_static = isinstance(mounted, ast.Call) and constants.names.outside(by, mounted.func) in _STATIC
        return is_static or method.attr in _ROUTES

    for each in made.keywords:
        if each.arg in (None, "routes") or made.args:
            raise unsupported(of, made, "isn't a supported application")
        if each.arg == "prefix" or (each.arg.endswith("_url") and getattr(each.value, "value", "") is not None):
            check(of, each.value)
    code.require_uses(definition, is_plain)
    return found
