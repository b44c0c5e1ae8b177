"""What calls of BentoML's own names make (BentoML 1.4, new style and legacy), and Starlette's routes."""

from __future__ import annotations

from rules_bento.service.classes import members
from rules_bento.service.effects import spoil_all
from rules_bento.service.values import (
    AsgiApp,
    AsgiRoute,
    Class,
    Const,
    DependsOn,
    Dict,
    Endpoint,
    Function,
    ImageSpec,
    LegacyService,
    ModelRef,
    Mounted,
    Opaque,
    Partial,
    Place,
    RunnerObject,
    Sequence,
    ServiceObject,
    Symbol,
    Value,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from rules_bento.service.interpreter import Interpreter

# Where the private packages' names are public.
_PUBLIC = {
    **dict.fromkeys(["Image", "PythonImage"], "bentoml.images.Image"),
    **{name: f"bentoml.models.{name}" for name in ("BentoModel", "HuggingFaceModel", "Model")},
    **{
        name: f"bentoml.{name}"
        for name in [
            "Dependency",
            "Service",
            "Tag",
            "api",
            "asgi_app",
            "depends",
            "importing",
            "mount_asgi_app",
            "on_deployment",
            "on_shutdown",
            "on_startup",
            "runner_service",
            "service",
            "task",
        ]
    },
}
_LEGACY = ("Resource", "Runnable", "Runner", "Strategy")
# Calls of these give a service, a model or the like that is not read here.
MAKERS = ("bentoml.runner_service", "bentoml.load", "bentoml.models.Model", "bentoml.triton", "bentoml.legacy")

_SERVICE_FIELDS = ("name", "image", "description", "path_prefix", "envs", "labels", "cmd", "service_class")
_SERVICE_OBJECT = [
    "name",
    "config",
    "inner",
    "image",
    "description",
    "path_prefix",
    "envs",
    "labels",
    "models",
    "cmd",
    "apis",
]
_IMAGE_FIELDS = [
    "base_image",
    "distro",
    "python_version",
    "commands",
    "lock_python_packages",
    "pack_git_packages",
    "python_requirements",
    "post_commands",
    "build_include_paths",
]
_IMAGE_METHODS = {
    "build_include": "",
    "pyproject_toml": "file_path",
    "python_packages": "",
    "requirements_file": "file_path",
    "run": "command",
    "run_script": "script",
    "system_packages": "",
    "uv_lock": "",
}
_HTTP_METHODS = frozenset(
    [
        "delete",
        "get",
        "head",
        "options",
        "patch",
        "post",
        "put",
        "route",
        "trace",
        "websocket",
        "websocket_route",
        "api_route",
    ]
)
_ADD_ROUTE = frozenset({"add_route", "add_api_route", "add_websocket_route", "add_api_websocket_route"})
_FASTAPI_ROUTES = ("/openapi.json", "/docs", "/docs/oauth2-redirect", "/redoc")
MOUNTED = "__bentoml_mounted_apps__"


def public_name(dotted: str) -> str:
    """Give the public spelling of a name of BentoML: `_bentoml_sdk.models.BentoModel`, old aliases."""
    head, _, last = dotted.rpartition(".")
    if dotted.startswith(("bentoml._internal.service.", "bentoml._internal.service.service.")) and last == "Service":
        return "bentoml.legacy.Service"
    if dotted.startswith(("_bentoml_sdk.", "_bentoml_impl.", "bentoml._internal.", "bentoml.service.")):
        return _PUBLIC.get(last, dotted)
    if dotted == "bentoml.images.PythonImage":
        return "bentoml.images.Image"
    if head == "bentoml" and last in _LEGACY:
        return f"bentoml.legacy.{last}"
    return dotted


def decorator(apply: Callable[[Value], Value], place: Place) -> Partial:
    """Give what waits for the one value that it decorates."""

    def called(args: list[Value], kwargs: dict[str, Value]) -> Value:
        return apply(args[0]) if len(args) == 1 and not kwargs else Opaque("", place)

    return Partial(called)


def call(reader: Interpreter, dotted: str, args: list[Value], kwargs: dict[str, Value], place: Place) -> Value | None:
    """Give what calling an outside name makes; None where it is none of BentoML's or Starlette's."""
    if not dotted.startswith("bentoml."):
        return _asgi(reader, dotted, args, kwargs, place)
    match dotted.removeprefix("bentoml."):
        case "service":
            if args:
                return make_service(reader, args[0], kwargs, place)
            return decorator(lambda inner: make_service(reader, inner, kwargs, place), place)
        case "Service":
            return _service_object(reader, args, kwargs, place)
        case ("api" | "task") as kind:
            if args:
                return _endpoint(args[0], kwargs, kind == "task", place)
            return decorator(lambda inner: _endpoint(inner, kwargs, kind == "task", place), place)
        case "depends":
            return DependsOn(_named(["on"], args, kwargs), place)
        case "Dependency":
            return DependsOn(_named(["on", "deployment", "cluster", "url"], args, kwargs), place)
        case "asgi_app" | "mount_asgi_app" | "gradio.mount_gradio_app":
            return decorator(lambda target: _mount(reader, target, args, kwargs, place), place)
        case "images.Image":
            return reader.fresh(ImageSpec(_named(_IMAGE_FIELDS, args, kwargs), place))
        case "Tag":
            return _tag(_named(["name", "version"], args, kwargs), place)
        case "legacy.Service":
            fields = _named(["name"], args, kwargs)
            none = Const(None)
            name = fields.get("name", none)
            return reader.fresh(LegacyService(name, fields.get("runners", none), fields.get("models", none), place))
        case "legacy.Runner":
            return RunnerObject(_named(["runnable_class"], args, kwargs), place)
        case name:
            return _model(name, args, kwargs, place)


def _model(name: str, args: list[Value], kwargs: dict[str, Value], place: Place) -> Value | None:
    module, _, function = name.rpartition(".")
    match function:
        case "BentoModel" if module == "models":
            return ModelRef(_named(["tag"], args, kwargs).get("tag"), place)
        case "HuggingFaceModel" if module == "models":
            fields = ["model_id", "revision", "endpoint", "include", "exclude"]
            return ModelRef(None, place, _named(fields, args, kwargs))
        case "get" if module == "models":
            return ModelRef(_named(["tag"], args, kwargs).get("tag"), place, stored=True)
        case "get" if module and "." not in module:  # `bentoml.sklearn.get`
            fields = ["tag_like"]
            return ModelRef(_named(fields, args, kwargs).get("tag_like"), place, stored=True, framework=module)
        case _:
            return None


def _named(names: list[str], args: list[Value], kwargs: dict[str, Value]) -> dict[str, Value]:
    """Give arguments by name, positional ones by their place."""
    return {**dict(zip(names, args, strict=False)), **kwargs}


def call_open(
    reader: Interpreter,
    function: Value,
    args: list[Value],
    kwargs: dict[str, Value],
    rest: Opaque,
    place: Place,
) -> Value:
    """Give what a call with a `*` or `**` makes that is not plain."""
    if isinstance(function, Symbol) and function.dotted == "bentoml.service" and not args:
        fields: dict[str, Value] = {name: rest for name in _SERVICE_FIELDS if name != "service_class"}
        given = {**fields, **kwargs}

        def apply(inner: Value) -> Value:
            service = make_service(reader, inner, given, place)
            if isinstance(service, ServiceObject):
                reader.spoil(service.config, rest.why, place)
            return service

        return decorator(apply, place)
    if isinstance(function, Symbol) and function.dotted in ("bentoml.depends", "bentoml.Dependency"):
        return DependsOn({"on": rest, **kwargs}, place)
    if isinstance(function, Symbol) and function.dotted == "bentoml.images.Image":
        image = ImageSpec({}, place)
        reader.spoil(image, rest.why, place)
        return image
    spoil_all(reader, [*args, *kwargs.values(), rest], "a function may change it", place)
    if isinstance(function, Symbol) and not function.dotted.startswith("bentoml."):
        return Opaque(rest.why, place, rest.inert and not rest.opens, function.dotted)
    return Opaque(rest.why, place)


# New-style services


def make_service(reader: Interpreter, inner: Value, given: dict[str, Value], place: Place) -> Value:
    """Give the service that `@bentoml.service(**given)` makes of a class, as its constructor does."""
    inner = reader.force(inner)
    if isinstance(inner, ServiceObject):
        return Opaque("`bentoml.service` is applied twice, which BentoML refuses", place)
    found: dict[str, Value] = {}
    more: list[Opaque] = []
    if isinstance(inner, Class):
        found, more = members(inner, reader.force)
        place = inner.place
    elif isinstance(inner, Opaque):
        more = [Opaque(inner.why or "its class is not plain", place)]
    maker = given.get("service_class", Symbol("bentoml.Service"))
    if not isinstance(maker, Symbol) or maker.dotted != "bentoml.Service":
        more.append(Opaque("it has a `service_class` of its own, which may add to it", place))
    fields = {name: value for name, value in given.items() if name in _SERVICE_FIELDS}
    fields["envs"] = _own_copy(reader, fields.get("envs", Const(None)))
    if _is_none(fields.get("labels")):
        fields["labels"] = reader.fresh(Dict({}))
    config = Dict({name: value for name, value in given.items() if name not in _SERVICE_FIELDS})
    reader.fresh(config)
    mounted = found.get(MOUNTED)
    mounts = mounted.items if isinstance(mounted, Sequence) else []
    service = ServiceObject("", inner, fields, config, found, more, [], place)
    reader.fresh(service)
    for mount in mounts:
        _add_mount(reader, service, mount)
    if isinstance(inner, Class):
        inner.attributes.pop(MOUNTED, None)
    _complete_config(reader, service)
    return service


def _is_none(value: Value | None) -> bool:
    return value is None or (isinstance(value, Const) and not value.value)


def _own_copy(reader: Interpreter, envs: Value) -> Value:
    """Copy the envs as BentoML does: what happens to the given list later does not matter."""
    if _is_none(envs):
        return reader.fresh(Sequence([]))
    if not isinstance(envs, Sequence):
        return envs
    copies = [reader.fresh(Dict(dict(env.items))) if isinstance(env, Dict) else env for env in envs.items]
    return reader.fresh(Sequence(copies))


def _complete_config(reader: Interpreter, service: ServiceObject) -> None:
    """Add what BentoML adds: for tasks, for a command of its own, for a path prefix."""
    config, place = service.config, service.place
    tasks = any(isinstance(value, Endpoint) and value.is_task for value in service.members.values())
    if tasks:
        traffic = config.items.setdefault("traffic", reader.fresh(Dict({})))
        # The given dict itself is changed, so every service that shares it is.
        if isinstance(traffic, Dict) and reader.may_change(traffic, "a task changes it", place):
            traffic.items["external_queue"] = Const(True)
            traffic.items.setdefault("concurrency", Const(1))
    command = service.fields.get("cmd")
    has_command = "__command__" in service.members or not (isinstance(command, Const) and command.value is None)
    if _is_none(config.items.get("workers")) and has_command and (command or "__command__" in service.members):
        why = "a service with a command has as many workers as the machine that imports it has CPUs for"
        config.items["workers"] = Opaque(why, place, inert=True)
    prefix = service.fields.get("path_prefix")
    if prefix is None or _is_none(prefix):
        return
    endpoints = config.items.setdefault("endpoints", reader.fresh(Dict({})))
    if isinstance(endpoints, Dict) and reader.may_change(endpoints, "a path prefix changes it", place):
        for name in ("livez", "readyz"):
            endpoints.items.setdefault(name, joined_path(prefix, Const(name)))


def joined_path(*paths: Value) -> Value:
    """Join URL paths as BentoML does."""
    result = ""
    for path in paths:
        if isinstance(path, Opaque):
            return path
        text = path.value if isinstance(path, Const) else None
        if text is not None and not isinstance(text, str):
            return Const(None)
        if text:
            result = f"{result.rstrip('/')}/{text.lstrip('/')}"
    return Const(result or "/")


def _service_object(reader: Interpreter, args: list[Value], kwargs: dict[str, Value], place: Place) -> Value:
    """Give `bentoml.Service(name, config, inner, …)`, the class behind the decorator."""
    given = _named(_SERVICE_OBJECT, args, kwargs)
    config = given.pop("config", Const(None))
    inner = given.pop("inner", Class("_DummyService", [], {}, place))
    extra = [name for name in ("models", "apis") if not _is_none(given.pop(name, None))]
    service = make_service(reader, inner, given, place)
    if isinstance(service, ServiceObject):
        service.place = place
        if isinstance(config, Dict):
            service.config.items.update(config.items)
        elif not _is_none(config):
            reader.spoil(service.config, "its `config` is not plain", place)
        for name in extra:
            service.open_ended.append(Opaque(f"it is given `{name}=`", place))
    return service


def _endpoint(inner: Value, given: dict[str, Value], is_task: bool, place: Place) -> Value:
    fields = dict(given)
    name: Value = Opaque("another decorator stands between it and its function", place, inert=True)
    streams: Value = name
    if isinstance(inner, Function):
        from rules_bento.service.effects import is_generator

        name, streams = Const(inner.name), Const(is_generator(inner.node))
    fields["name"] = name
    if _is_none(fields.get("route")):
        fields["route"] = Const(f"/{name.value!s}") if isinstance(name, Const) else name
    return Endpoint(fields, is_task, streams, place)


def _tag(fields: dict[str, Value], place: Place) -> Value:
    name, version = fields.get("name"), fields.get("version", Const(None))
    if isinstance(name, Const) and isinstance(version, Const):
        return Const(f"{name.value!s}:{version.value!s}" if version.value is not None else name.value)
    return Opaque("the tag is not plain", place, inert=True)


# Methods


def method(
    reader: Interpreter, owner: Value, name: str, args: list[Value], kwargs: dict[str, Value], place: Place
) -> Value:
    """Give what a method of a service, an image, a model or an application returns."""
    match owner:
        case ServiceObject():
            if name in ("mount_asgi_app", "mount_wsgi_app"):
                _mount_on(reader, owner, name, _named(["app", "path", "name"], args, kwargs), place)
                return Const(None)
            return Opaque("", place, inert=name != "find_dependent_by_name")
        case ImageSpec() if name in _IMAGE_METHODS:
            if reader.may_change(owner, f"`.{name}` is called on some way only", place):
                owner.calls.append((name, [*args, *kwargs.values()]))
            return owner
        case ModelRef():
            return _model_method(owner, name, args, kwargs, place)
        case LegacyService():
            return _legacy_method(reader, owner, name, args, kwargs, place)
        case AsgiApp():
            return _asgi_method(reader, owner, name, args, kwargs, place)
        case _:
            return Opaque("", place, inert=True)


def _model_method(owner: ModelRef, name: str, args: list[Value], kwargs: dict[str, Value], place: Place) -> Value:
    match name:
        case "resolve":
            return (
                ModelRef(owner.tag, owner.place, stored=True) if owner.fields is None else Opaque("", place, inert=True)
            )
        case "with_options":
            return owner
        case "to_runner":
            return RunnerObject({**_named(["name"], args, kwargs), "models": Sequence([owner])}, place)
        case _:
            return Opaque("", place, inert=True)


def _legacy_method(
    reader: Interpreter, owner: LegacyService, name: str, args: list[Value], kwargs: dict[str, Value], place: Place
) -> Value:
    if name in ("on_startup", "on_shutdown", "on_deployment"):
        return args[0] if args else Const(None)
    if name == "mount_asgi_app":
        return Const(None)
    if name != "api":
        return Opaque("", place, inert=True)
    fields = _named(["input", "output"], args, kwargs)

    def define(function: Value) -> Value:
        if reader.may_change(owner, "an API is defined on some way only", place):
            own = function.name if isinstance(function, Function) else None
            named = Const(own) if own else Opaque("its function is not plain", place)
            name = fields.get("name", named)
            owner.apis.append({**fields, "name": named if _is_none(name) else name})
        return function

    return decorator(define, place)


# Applications beside the APIs


def _mount(reader: Interpreter, target: Value, args: list[Value], kwargs: dict[str, Value], place: Place) -> Value:
    """Follow `@bentoml.asgi_app(app, path=…)` on a service or on a class that becomes one."""
    fields = _named(["app", "path", "name"], args, kwargs)
    if isinstance(target, ServiceObject):
        _mount_on(reader, target, "mount_asgi_app", fields, place)
    elif isinstance(target, Class) and reader.may_change(target, "an application is mounted on some way only", place):
        mounted = target.attributes.setdefault(MOUNTED, reader.fresh(Sequence([])))
        if isinstance(mounted, Sequence):
            mounted.items.append(_mounted(fields, "mount_asgi_app", place))
    return target


def _mounted(fields: dict[str, Value], how: str, place: Place) -> Mounted:
    app = fields.get("app") or fields.get("blocks") or Const(None)
    kind = "wsgi" if how == "mount_wsgi_app" else "asgi"
    return Mounted(app, fields.get("path", Const("/")), fields.get("name", Const(None)), kind, place)


def _mount_on(reader: Interpreter, service: ServiceObject, how: str, fields: dict[str, Value], place: Place) -> None:
    mount = _mounted(fields, how, place)
    if service.born >= reader.region:
        _add_mount(reader, service, mount)
    else:
        service.mounts.append(Opaque("an application is mounted on some way only", place))


def _add_mount(reader: Interpreter, service: ServiceObject, mount: Value) -> None:
    if isinstance(mount, Mounted) and mount.kind == "asgi":
        prefix = service.fields.get("path_prefix", Const(None))
        path = joined_path(prefix, mount.path)
        mount = Mounted(mount.app, path, mount.name, mount.kind, mount.place)
    service.mounts.append(mount)


def _asgi(reader: Interpreter, dotted: str, args: list[Value], kwargs: dict[str, Value], place: Place) -> Value | None:
    match dotted:
        case "starlette.applications.Starlette":
            routes = _named(["debug", "routes"], args, kwargs).get("routes", Const(None))
            return reader.fresh(AsgiApp(_routes(routes, place), place))
        case "fastapi.FastAPI" | "fastapi.applications.FastAPI":
            plain = not any(name.endswith("_url") or name == "routes" for name in kwargs)
            unread = Opaque("the application sets its own documentation paths or routes", place)
            own: list[Value] = [AsgiRoute(Const(path), None) for path in _FASTAPI_ROUTES] if plain else [unread]
            return reader.fresh(AsgiApp(own, place))
        case "starlette.routing.Route" | "starlette.routing.WebSocketRoute":
            return AsgiRoute(_named(["path"], args, kwargs).get("path", Const(None)), None)
        case "starlette.routing.Mount":
            fields = _named(["path", "app"], args, kwargs)
            return _asgi_mount(fields, place)
        case _:
            return None


def _asgi_mount(fields: dict[str, Value], place: Place) -> AsgiRoute:
    path = fields.get("path")
    text = path.value if isinstance(path, Const) else None
    stripped: Value = Const(text.rstrip("/")) if isinstance(text, str) else Opaque("its path is not plain", place)
    return AsgiRoute(stripped, fields.get("app"))


def _routes(value: Value, place: Place) -> list[Value]:
    if isinstance(value, Sequence) and not value.spoiled:
        return list(value.items)
    return [] if _is_none(value) else [Opaque("its routes are not plain", place)]


def _asgi_method(
    reader: Interpreter, owner: AsgiApp, name: str, args: list[Value], kwargs: dict[str, Value], place: Place
) -> Value:
    fields = _named(["path", "app"], args, kwargs)
    if name in _HTTP_METHODS or name in _ADD_ROUTE:
        route: Value = AsgiRoute(fields.get("path", Const(None)), None)
    elif name == "mount":
        route = _asgi_mount(fields, place)
    elif name in ("include_router", "host"):
        route = Opaque(f"`.{name}` adds routes that are not read", place)
    else:
        # Middleware, handlers and hooks: decorators or plain calls that add no route.
        return decorator(lambda function: function, place)
    if reader.may_change(owner, "a route is added on some way only", place):
        owner.routes.append(route)
    return decorator(lambda function: function, place) if name in _HTTP_METHODS else Const(None)
