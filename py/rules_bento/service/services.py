"""Analyzes classes decorated with `@bentoml.service`: names, configuration, dependencies, models, and APIs."""

from __future__ import annotations

import ast
from contextlib import suppress

from rules_bento.dataclasses_lite import dataclass, replace
from rules_bento.errors import BentoError
from rules_bento.service import metadata
from rules_bento.service.configuration import BOOL, NONE, TEXT, TEXTS, ValueType, env_problem
from rules_bento.service.constants import DEPENDS, REST, Constants, UnknownValue, first_unknown
from rules_bento.service.import_code import HANDLERS, ROUTES, callee
from rules_bento.service.metadata import snake_case
from rules_bento.service.modules import FUNCTIONS, Definition, Module, NotConstantError, own_nodes, unsupported
from rules_bento.service.sdk_names import IMAGE, IMAGE_METHODS, SERVICE_FIELDS, words
from rules_bento.typing_lite import Any

_HUB_VARIABLE = b"HF_ENDPOINT"  # BentoML reads it if a `HuggingFaceModel` has no `endpoint`
_ENV = {"name": "", "value": "", "stage": "all"}
_STAGES = ("all", "build", "runtime")
# Arguments of functions of BentoML, in order, and the kinds of their values.
_HUGGINGFACE = {"model_id": TEXT, "revision": TEXT, "endpoint": TEXT | NONE, "include": TEXTS | NONE}
_HUGGINGFACE |= {"exclude": TEXTS | NONE}
_LOCATION = dict.fromkeys(("deployment", "cluster", "url"), TEXT | NONE)  # of a dependency
_ENDPOINT = {"route": TEXT | NONE, "batchable": BOOL}
_ENDPOINTS = ("bentoml.api", "bentoml.task")
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

_CHAT = "/chat/completions"
MOUNTS = ("bentoml.asgi_app", "bentoml.mount_asgi_app")
_FASTAPI = ("fastapi.FastAPI", "fastapi.applications.FastAPI")
_ROUTERS = ("fastapi.APIRouter", "fastapi.routing.APIRouter")
_STATIC = ("starlette.staticfiles.StaticFiles", "fastapi.staticfiles.StaticFiles")
_ROUTES = ROUTES | words("add_api_route add_api_websocket_route add_route add_websocket_route include_router mount")
# They add no route: middleware, handlers, hooks.
_OTHERS = HANDLERS | words("add_event_handler add_exception_handler add_middleware state")


@dataclass(frozen=True)
class Declaration:
    """A class decorated with `@bentoml.service`, with the decorator's arguments and the mounted applications."""

    module: Module
    node: ast.ClassDef
    name: str
    arguments: dict[str, Any]
    mounts: list[tuple[ast.expr, str]]  # application and path

    def error(self, value: Any, why: str) -> NotConstantError:
        """Return the error of the first unknown value in `value`, or a new error with the message `why`."""
        return first_unknown(value) or NotConstantError(why, self.module.path, self.node)

    def unknown(self, value: Any, why: str) -> UnknownValue:
        """Return an unknown value that replaces `value`, with the error that `error` returns."""
        return UnknownValue(self.error(value, why))


class ServiceReader:
    """Analyzes a service and its dependencies.

    If a value isn't a constant, records the value in `unknowns`. If targets can't declare it, raises NotConstantError.
    """

    def __init__(self, constants: Constants) -> None:
        self.constants = constants
        self.names = constants.names
        self.unknowns: list[metadata.Unknown] = []
        self._declared: dict[str, Declaration] = {}

    # Declarations

    def declaration(self, definition: Definition) -> Declaration:
        """Return the service that a definition declares. Raises BentoError if another service has the same name."""
        module, made = definition.module, definition.node
        if not isinstance(made, ast.ClassDef):
            raise NotConstantError(
                f"`{definition.name}` isn't a class with `@bentoml.service`", module.path, made, "services"
            )
        arguments: dict[str, Any] | None = None
        mounts: list[tuple[ast.expr, str]] = []
        for each in made.decorator_list:
            maker = self.names.outside(module, callee(each))
            if maker == "bentoml.service" and arguments is None and not getattr(each, "args", ()):
                arguments = self._arguments(module, getattr(each, "keywords", []))
            elif maker in MOUNTS and isinstance(each, ast.Call):
                given = arguments_of(module, each, ["app", "path", "name"])
                path = self.constants.text(module, given["path"]) if "path" in given else ""
                mounts.insert(0, (given.get("app", each), path))
            else:
                raise unsupported(module, each, "isn't a supported decorator", "classes")
        if arguments is None:
            raise NotConstantError(f"`{made.name}` isn't a service", module.path, made, "services")
        self.constants.require_service(definition)
        name = arguments.get("name") or made.name
        declared = Declaration(module, made, name, arguments, mounts)
        if not isinstance(name, str):
            raise declared.error(name, "the name of the service isn't a string")
        first = self._declared.setdefault(name, declared)
        if first.node is not made:
            raise BentoError(
                f"{module.path}:{made.lineno}: the service at {first.module.path}:{first.node.lineno} is also named "
                f"`{name}`",
                remedy="Set a different name in `@bentoml.service`.",
            )
        return first

    def _arguments(self, module: Module, keywords: list[ast.keyword]) -> dict[str, Any]:
        """Return a mapping from names to values. `image` is a syntax node."""
        values: dict[str, Any] = {}
        for keyword in keywords:
            node = keyword.value
            if keyword.arg is None:
                raise unsupported(module, node, "isn't supported after `**`", "unpacking")
            try:
                values[keyword.arg] = node if keyword.arg == "image" else self.constants.value(module, node)
            except NotConstantError as error:
                values[keyword.arg] = UnknownValue(error)
        return values

    # The graph

    def info(self, entry: Declaration, service: str, path: str) -> metadata.ServiceInfo:
        """Return the metadata of an entry service and its dependencies. Raises BentoError for an invalid service."""
        services: dict[str, metadata.Service] = {}
        stack = [entry.name]
        while stack:  # in the order of BentoML's `all_services`: a service itself, then each dependency's
            name = stack.pop()
            if name not in services:
                try:
                    services[name] = self._service(self._declared[name])
                except NotConstantError as error:
                    error.service = error.service or name
                    raise
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

    def _note(self, declared: Declaration, field: str, error: NotConstantError) -> None:
        """Record that the field `field` of a service isn't a constant in the source."""
        what = f"`{field}` of service `{declared.name}`: {error.why}"
        self.unknowns.append(
            metadata.Unknown(what, error.path, error.line, field, declared.name, error.topic, error.type)
        )

    def _service(self, declared: Declaration) -> metadata.Service:
        node = declared.node
        if declared.arguments.keys() & {"path_prefix", "service_class"}:
            why = "`path_prefix` and `service_class` aren't supported"
            raise NotConstantError(why, declared.module.path, node, "applications")
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
        """Map each attribute of a service class to a `Model`, `Dependency`, or `Api`, or to None for other objects."""
        node = declared.node
        if node.bases or node.keywords:
            why = f"class `{node.name}` has base classes or a metaclass"
            raise NotConstantError(why, declared.module.path, node, "classes")
        found: dict[str, Any] = {}
        for statement in node.body:
            self._add_member(declared, statement, found)
        return {name: found[name] for name in sorted(found)}  # as `dir()` lists them

    def _add_member(self, declared: Declaration, statement: ast.stmt, found: dict[str, Any]) -> None:
        """Update `found` if a statement defines an attribute. Raises NotConstantError for unsupported code."""
        module, value, nodes = declared.module, None, list[ast.AST | None]([statement])
        match statement:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                nodes = [statement.args, statement.returns, *statement.decorator_list]
            case ast.ClassDef(name=name, decorator_list=[]):
                nodes = [*statement.bases, *statement.keywords]
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                value = None if isinstance(statement.value, _DISPLAYS) else statement.value
            case ast.Expr() | ast.Pass():
                name = ""
            case _:
                raise NotConstantError(
                    "this statement isn't supported in a service", module.path, statement, "attributes"
                )
        for each in (each for node in nodes if node for each in ast.walk(node)):
            if isinstance(each, ast.NamedExpr) or (isinstance(each, ast.Name) and each.id in found):
                why = "this statement might use or modify attributes of the class"
                raise NotConstantError(why, module.path, each, "attributes")
        if name in found:
            raise NotConstantError(f"`{name}` is assigned more than once", module.path, statement, "assignments")
        if isinstance(statement, FUNCTIONS):
            found[name] = self._function(module, statement)
        elif name:
            found[name] = self._member(declared, name, value) if value else None
        if name.startswith("__") and not name.endswith("__") and found[name]:
            why = f"`{name}` is a private name, which isn't supported"
            raise NotConstantError(why, module.path, statement, "attributes")

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
            raise unsupported(module, node, "isn't supported as a class attribute", "attributes")
        return None

    def _is_foreign(self, module: Module, node: ast.AST, topic: str = "attributes") -> bool:
        """Return whether an expression doesn't use BentoML. Raises NotConstantError if a name has an unknown value."""
        for each in ast.walk(node):
            if isinstance(each, ast.Name):
                outside = self.names.outside(module, each)
                if (outside or "").startswith("bentoml"):
                    return False
                if not outside and each.id in module.bindings:
                    try:
                        self.constants.whole(module, each)
                    except NotConstantError as error:
                        error.topic = topic
                        raise
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
        values = {name: self.constants.whole(module, node) for name, node in given.items()}
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
        line = None if "endpoint" in values else self.names.files.first_mention(_HUB_VARIABLE)
        if line:
            raise NotConstantError("`endpoint` is the value of HF_ENDPOINT, which this line might set", *line)
        return metadata.HuggingFace(**values)

    # APIs

    def _function(self, module: Module, node: ast.FunctionDef | ast.AsyncFunctionDef) -> metadata.Api | None:
        """Return a method's API, or None if it has none. Raises NotConstantError for an unsupported decorator."""
        known = [self.names.outside(module, callee(each)) or "" for each in node.decorator_list]
        if known and known[0] in _ENDPOINTS and all(each in _KEEP_NAME for each in known[1:]):
            return self._endpoint(module, node, known[0])
        pairs = list(zip(known, node.decorator_list, strict=True))
        if any(name in _ENDPOINTS for name in known):
            wrong = [each for name, each in pairs if name not in (*_ENDPOINTS, *_KEEP_NAME)]
            why = f"isn't a supported decorator of the API `{node.name}`"
            raise unsupported(module, [*wrong, node.decorator_list[0]][0], why, "decorators")
        for name, each in pairs:
            is_plain = name in _HOOKS or self.constants.code.is_route(module, callee(each), node)
            if not is_plain and not self._is_foreign(module, each, "decorators"):
                raise unsupported(module, each, "isn't a supported decorator", "decorators")
        return None

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
        _check_annotations(module, node, place)
        is_stream = any(isinstance(each, (ast.Yield, ast.YieldFrom)) for each in own_nodes(*node.body))
        return metadata.Api(node.name, route, kind == "bentoml.task", values.get("batchable", False), is_stream)

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
            given["workers"] = declared.unknown(None, why)
        return self._entries(declared, given, "config")

    def _entries(self, declared: Declaration, values: dict[Any, Any], field: str) -> dict[str, metadata.Json]:
        """Return a dict's constant entries. Records the path of each unknown entry. Each path begins with `field`."""
        result: dict[str, metadata.Json] = {}
        for key, value in values.items():
            error = None if isinstance(value, dict) else first_unknown(value)
            if error:
                self._note(declared, field if key is REST else f"{field}.{key}", error)
            else:
                nested = isinstance(value, dict)
                result[key] = self._entries(declared, value, f"{field}.{key}") if nested else value
        return result

    # Labels, envs, and the image of the entry service

    def _labels(self, declared: Declaration) -> dict[str, str]:
        labels = declared.arguments.get("labels") or {}
        if not isinstance(labels, dict):
            labels = {REST: declared.unknown(labels, "the value isn't a dict")}
        for key in [key for key, value in labels.items() if isinstance(value, (list, dict))]:
            labels[key] = declared.unknown(labels[key], "the value isn't a string")
        return {key: str(value) for key, value in self._entries(declared, labels, "labels").items()}

    def _openai(self, declared: Declaration, service: metadata.Service) -> dict[str, str]:
        """Return the label `openai_endpoint` of an API, or {}. Records the label as unknown if a mount might set it."""
        found = [api.route for api in service.apis if api.route.endswith(_CHAT)]
        try:
            for application, path in [] if found else declared.mounts:
                _check_path(self.constants, declared.module, ast.Constant(path, lineno=declared.node.lineno))
                _check_paths(self.constants, declared.module, application, _FASTAPI)
        except NotConstantError as error:
            error.topic = "applications"
            self._note(declared, "labels.openai_endpoint", error)
        return {"openai_endpoint": found[0].removesuffix(_CHAT)} if found else {}

    def _envs(self, declared: Declaration, *, is_entry: bool) -> tuple[metadata.Env, ...]:
        """Return a service's envs. If `is_entry`, records the unknown values. Raises BentoError for invalid items."""
        envs = declared.arguments.get("envs") or []
        result = list[metadata.Env]()
        for env in envs if isinstance(envs, list) else [declared.unknown(envs, "the value isn't a list")]:
            fields: dict[Any, Any] = _ENV | (env if isinstance(env, dict) else {REST: env})
            known = {key: value for key, value in fields.items() if not first_unknown(value)}
            place = f"{declared.module.path}:{declared.node.lineno}"
            if not (known.keys() <= _ENV.keys() and known.get("stage", "all") in _STAGES):
                remedy = f"Use a dict with a name and, optionally, a value and a stage ({', '.join(_STAGES)})."
                raise BentoError(f"invalid item in `envs` of `{declared.name}`: {env!r}", place=place, remedy=remedy)
            error = first_unknown(fields)
            name = "" if REST in fields else known.get("name", "")
            if problem := env_problem("?" if error and not name else name, known.get("value")):
                raise BentoError(f"envs of `{declared.name}`: {problem}.", place=place)
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
            error.topic = "images" if error.topic in ("assignments", "copies") else error.topic
            self._note(declared, "image", error)
            return None

    def _image_of(self, module: Module, node: ast.expr) -> metadata.Image:
        root, calls = self._image_calls(module, node)
        match root:
            case ast.Call(func=function) if self.names.outside(module, function) == "bentoml.images.Image":
                given = arguments_of(module, root, IMAGE, others=True)
                image = metadata.Image({name: self.constants.whole(module, each) for name, each in given.items()})
            case ast.Name():
                image = self._named_image(module, root)
            case _:
                raise unsupported(module, root, "isn't a call of `bentoml.images.Image`", "images")
        return replace(image, calls=(*image.calls, *calls))

    def _named_image(self, module: Module, name: ast.Name) -> metadata.Image:
        """Return the image with a name, with the calls in statements such as `image = image.run("x")`.

        A call modifies the image, and returns it. Raises NotConstantError if other code might modify the image.
        """
        definition = self.names.resolve(module, name, in_row=True)
        of, first = definition.module, definition.node
        if not isinstance(first, ast.Call):
            raise unsupported(module, name, "isn't a call of `bentoml.images.Image`", "images")
        assigned = [each for each in of.bindings[definition.name] if each.node is not first]
        own: dict[ast.expr, ast.expr] = {}  # values of statements, by the name in the value
        for statement in of.tree.body:
            value = getattr(statement, "value", None)
            root = image_root(value) if isinstance(value, ast.Call) else None
            is_own = isinstance(statement, ast.Expr) or value in [each.node for each in assigned]
            if value and is_own and isinstance(root, ast.Name) and root.id == definition.name:
                own[root] = value
        if again := [each for each in assigned if each.node not in own.values()]:
            why = f"`{definition.name}` is assigned more than once (line {again[0].line})"
            raise NotConstantError(why, module.path, name, "assignments")

        def is_image(by: Module, use: ast.expr) -> bool:
            return self.constants.keyword_of_service(by, use) == "image"

        self.constants.code.require_uses(definition, lambda by, use: use in own or use is name or is_image(by, use))
        if of is module and not is_image(module, name) and any(each.lineno > name.lineno for each in own):
            why = f"`{definition.name}` is modified after this line"
            raise NotConstantError(why, module.path, name, "copies")
        image = self._image_of(of, first)
        calls = [call for value in own.values() for call in self._image_calls(of, value)[1]]
        return replace(image, calls=(*image.calls, *calls))

    def _image_calls(self, module: Module, node: ast.expr) -> tuple[ast.expr, list[metadata.ImageCall]]:
        """Split `x.run("a").run("b")` into the expression `x` and the calls of methods of an image."""
        root, calls = image_root(node), list[metadata.ImageCall]()
        while isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node is not root:
            nodes = [*node.args, *(each.value if each.arg else node for each in node.keywords)]
            if any(isinstance(each, ast.Starred) or each is node for each in nodes):
                raise unsupported(module, node, "has unpacked arguments", "unpacking")
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
        raise unsupported(module, call, "has unpacked arguments", "unpacking")
    if len(given) < len(call.args) + len(call.keywords) or not (others or given.keys() <= {*names}):
        raise unsupported(module, call)
    return given


def _check_annotations(module: Module, node: ast.FunctionDef | ast.AsyncFunctionDef, place: str) -> None:
    """Raise BentoError if an annotation of an API has a name that the module imports only for type checkers."""
    given = node.args
    arguments = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
    todo: list[ast.AST | None] = [node.returns, *(each.annotation for each in arguments if each)]
    for annotation in todo:
        for each in ast.walk(annotation) if annotation else ():
            if isinstance(each, ast.Constant) and isinstance(each.value, str):
                with suppress(SyntaxError, ValueError):
                    todo.append(ast.parse(each.value, mode="eval"))
            if isinstance(each, ast.Name) and each.id in module.imports and each.id not in module.bindings:
                raise BentoError(
                    f"BentoML can't find `{each.id}`, because the module imports it only for type checkers or in a "
                    "function",
                    place=place,
                    remedy="Import the name at the top of the module.",
                )


def _check_path(constants: Constants, module: Module, node: ast.expr) -> None:
    """Raise NotConstantError if a string might be part of the path of an OpenAI-compatible endpoint."""
    if "completions" in constants.text(module, node):
        raise unsupported(module, node, f"might be part of a path that ends in `{_CHAT}`", "applications")


def _check_paths(constants: Constants, module: Module, node: ast.expr, makers: tuple[str, ...]) -> None:
    """Raise NotConstantError if an application isn't from `makers`, or might have an OpenAI-compatible endpoint."""
    definition = constants.names.resolve(module, node)
    made, of, code = definition.node, definition.module, constants.code
    if not isinstance(made, ast.Call) or constants.names.outside(of, made.func) not in makers:
        raise unsupported(module, node, "isn't a supported FastAPI application or router", "applications")
    for name, value in arguments_of(of, made, [], others=True).items():
        if name == "routes":
            raise unsupported(of, made, "isn't a supported application", "applications")
        if name == "prefix" or (name.endswith("_url") and getattr(value, "value", "") is not None):
            _check_path(constants, of, value)

    def is_plain(by: Module, node: ast.expr) -> bool:
        method, call = code.parent(node), code.parent(code.parent(node))
        if not isinstance(method, ast.Attribute):  # an argument
            is_router = getattr(getattr(method, "func", None), "attr", "") == "include_router"
            return is_router or constants.receiver(by, node) in MOUNTS
        if method.attr not in _ROUTES or not isinstance(call, ast.Call) or call.func is not method:
            return method.attr in _OTHERS
        given = arguments_of(by, call, ["router" if method.attr == "include_router" else "path", "app"], others=True)
        _check_path(constants, by, given.get("path" if "path" in given else "prefix", ast.Constant("")))
        if method.attr == "include_router":
            _check_paths(constants, by, given.get("router", call), _ROUTERS)
        return method.attr != "mount" or constants.names.outside(by, callee(given.get("app", call))) in _STATIC

    code.require_uses(definition, is_plain)
