"""Evaluates calls of BentoML's own names (BentoML 1.4, new style and legacy)."""

from __future__ import annotations

from rules_bento.service.bentoml.arguments import arguments_object, model_field
from rules_bento.service.bentoml.asgi import (
    MOUNTED,
    add_mount,
    application,
    application_method,
    joined_path,
    mount,
    mount_on,
)
from rules_bento.service.python.arguments import decorator, is_none, named
from rules_bento.service.python.classes import members
from rules_bento.service.python.effects import not_followed
from rules_bento.service.sdk_names import FRAMEWORKS, IMAGE, IMAGE_METHODS, SERVICE_FIELDS, SERVICE_OBJECT
from rules_bento.service.python.values import (
    AsgiApp,
    Class,
    Const,
    DependsOn,
    Dict,
    Endpoint,
    Function,
    ImageSpec,
    LegacyService,
    ModelRef,
    Mutable,
    Opaque,
    Place,
    Refused,
    RunnerObject,
    Sequence,
    ServiceObject,
    Symbol,
    Value,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_bento.service.python.interpreter import Interpreter


def call(reader: Interpreter, dotted: str, args: list[Value], kwargs: dict[str, Value], place: Place) -> Value | None:
    """Return what calling an outside name makes; None where it is none of BentoML's or Starlette's."""
    if dotted in ("pydantic.Field", "pydantic.fields.Field"):
        return model_field(args, kwargs, place)
    if not dotted.startswith("bentoml."):
        return application(reader, dotted, args, kwargs, place)
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
            return DependsOn(named(["on"], args, kwargs), place)
        case "Dependency":
            return DependsOn(named(["on", "deployment", "cluster", "url"], args, kwargs), place)
        case "asgi_app" | "mount_asgi_app" | "gradio.mount_gradio_app":
            return decorator(lambda target: mount(reader, target, args, kwargs, place), place)
        case "images.Image":
            return reader.fresh(ImageSpec(named(IMAGE, args, kwargs), place))
        case "Tag":
            return _tag(named(["name", "version"], args, kwargs), place)
        case "legacy.Service":
            fields = named(["name"], args, kwargs)
            none = Const(None)
            name = fields.get("name", none)
            return reader.fresh(LegacyService(name, fields.get("runners", none), fields.get("models", none), place))
        case "legacy.Runner":
            return RunnerObject(named(["runnable_class"], args, kwargs), place)
        case "triton.Runner":
            behind = Class("_TritonRunner", [], {}, place)
            return RunnerObject({**named(["name"], args, kwargs), "runnable_class": behind}, place)
        case "use_arguments":
            return arguments_object(reader, named(["model"], args, kwargs).get("model"), place)
        case name:
            return _model(name, args, kwargs, place)


def _model(name: str, args: list[Value], kwargs: dict[str, Value], place: Place) -> Value | None:
    module, _, function = name.rpartition(".")
    match function:
        case "BentoModel" if module == "models":
            return ModelRef(named(["tag"], args, kwargs).get("tag"), place)
        case "HuggingFaceModel" if module == "models":
            fields = ["model_id", "revision", "endpoint", "include", "exclude"]
            return ModelRef(None, place, named(fields, args, kwargs))
        case "get" if module == "models":
            return ModelRef(named(["tag"], args, kwargs).get("tag"), place, stored=True)
        case "get" if module in FRAMEWORKS:
            fields = ["tag_like"]
            return ModelRef(named(fields, args, kwargs).get("tag_like"), place, stored=True, framework=module)
        case _:
            return None


def call_open(
    reader: Interpreter,
    function: Value,
    args: list[Value],
    kwargs: dict[str, Value],
    rest: Opaque,
    place: Place,
) -> Value:
    """Return the result of a call whose `*` or `**` is not plain."""
    if isinstance(function, Symbol) and function.dotted == "bentoml.service" and not args:
        fields: dict[str, Value] = {name: rest for name in SERVICE_FIELDS if name != "service_class"}
        arguments = {**fields, **kwargs}

        def apply(inner: Value) -> Value:
            service = make_service(reader, inner, arguments, place)
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
    not_followed(reader, function, [*args, *kwargs.values(), rest], "a function may change it", place)
    if isinstance(function, Symbol) and not function.dotted.startswith("bentoml."):
        return Opaque(rest.why, place, rest.inert and not rest.opens, function.dotted)
    return Opaque(rest.why, place)


# New-style services


def uncertain_service(
    reader: Interpreter, function: Opaque, args: list[Value], kwargs: dict[str, Value], place: Place
) -> Value:
    """Return the result of a decorator that is `bentoml.service` on some ways through the code only."""

    def apply(inner: Value) -> Value:
        service = make_service(reader, inner, kwargs, place)
        if isinstance(service, ServiceObject):
            service.uncertain = Opaque(f"what decorates it is not plain: {function.why}", function.place)
        return service

    return apply(args[0]) if args else decorator(apply, place)


def make_service(reader: Interpreter, inner: Value, arguments: dict[str, Value], place: Place) -> Value:
    """Return the service that `@bentoml.service(**given)` makes of a class, as its constructor does."""
    inner = reader.force(inner)
    if isinstance(inner, ServiceObject):
        return Opaque("`bentoml.service` is applied twice, which BentoML refuses", place)
    settings: dict[str, Value] = {}
    more: list[Opaque] = []
    if isinstance(inner, Class):
        settings, more = members(inner, reader.force)
        place = inner.place
    elif isinstance(inner, Opaque):
        more = [Opaque(inner.why or "its class is not plain", place)]
    maker = arguments.get("service_class", Symbol("bentoml.Service"))
    if not isinstance(maker, Symbol) or maker.dotted != "bentoml.Service":
        more.append(Opaque("it has a `service_class` of its own, which may add to it", place))
    fields = {name: value for name, value in arguments.items() if name in SERVICE_FIELDS}
    if isinstance(inner, Class) and not inner.spoiled and is_none(fields.get("name")):
        fields["name"] = Const(inner.name)
    fields["envs"] = _own_copy(reader, fields.get("envs", Const(None)))
    if is_none(fields.get("labels")):
        fields["labels"] = reader.fresh(Dict({}))
    config = Dict({name: value for name, value in arguments.items() if name not in SERVICE_FIELDS})
    reader.fresh(config)
    mounted = settings.get(MOUNTED)
    mounts = mounted.items if isinstance(mounted, Sequence) else []
    service = ServiceObject("", inner, fields, config, settings, more, [], place)
    reader.fresh(service)
    for each in mounts:
        add_mount(service, each)
    if isinstance(inner, Class):
        inner.attributes.pop(MOUNTED, None)
    _complete_config(reader, service)
    return service


def _own_copy(reader: Interpreter, envs: Value) -> Value:
    """Copy the envs as BentoML does: what happens to the given list later does not matter."""
    if is_none(envs):
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
    if is_none(config.items.get("workers")) and has_command and (command or "__command__" in service.members):
        why = "a service with a command has as many workers as the machine that imports it has CPUs for"
        config.items["workers"] = Opaque(why, place, inert=True)
    prefix = service.fields.get("path_prefix")
    if prefix is None or is_none(prefix):
        return
    endpoints = config.items.setdefault("endpoints", reader.fresh(Dict({})))
    if isinstance(endpoints, Dict) and reader.may_change(endpoints, "a path prefix changes it", place):
        for name in ("livez", "readyz"):
            endpoints.items.setdefault(name, joined_path(prefix, Const(name)))


_LEGACY_REMEDY = "Write `bentoml.legacy.Service`, which is what that name was for before."


def _service_object(reader: Interpreter, args: list[Value], kwargs: dict[str, Value], place: Place) -> Value:
    """Return `bentoml.Service(name, config, inner, …)`, the class behind the decorator."""
    arguments = named(SERVICE_OBJECT, args, kwargs)
    foreign = [name for name in arguments if name not in SERVICE_OBJECT]
    if foreign:
        return Refused(f"`bentoml.Service`, which takes no `{foreign[0]}` since BentoML 1.4", _LEGACY_REMEDY, place)
    config = arguments.pop("config", Const(None))
    inner = arguments.pop("inner", Class("_DummyService", [], {}, place))
    extra = [name for name in ("models", "apis") if not is_none(arguments.pop(name, None))]
    service = make_service(reader, inner, arguments, place)
    if isinstance(service, ServiceObject):
        service.place = place
        if isinstance(config, Dict):
            service.config.items.update(config.items)
        elif not is_none(config):
            reader.spoil(service.config, "its `config` is not plain", place)
        for name in extra:
            service.open_ended.append(Opaque(f"it is given `{name}=`", place))
    return service


def _endpoint(inner: Value, arguments: dict[str, Value], is_task: bool, place: Place) -> Value:
    fields = dict(arguments)
    name: Value = Opaque("another decorator stands between it and its function", place, inert=True)
    streams: Value = name
    if isinstance(inner, Function):
        from rules_bento.service.python.effects import is_generator

        name, streams = Const(inner.name), Const(is_generator(inner.node))
    fields["name"] = name
    if is_none(fields.get("route")):
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
    """Return what a method of a service, an image, a model or an application returns."""
    if name.startswith("__") and isinstance(owner, Mutable):  # as `image.__init__(…)`
        reader.spoil(owner, f"`.{name}` of it is called", place)
        return Opaque("", place, inert=True)
    match owner:
        case ServiceObject():
            if name in ("mount_asgi_app", "mount_wsgi_app"):
                mount_on(reader, owner, name, named(["app", "path", "name"], args, kwargs), place)
                return Const(None)
            if name == "api":
                owner.open_ended.append(Opaque(f"`.api` is called on it. {_LEGACY_REMEDY[:-1]}", place))
            return Opaque("", place, inert=name != "find_dependent_by_name")
        case ImageSpec() if name in IMAGE_METHODS:
            if reader.may_change(owner, f"`.{name}` is called on some way only", place):
                owner.calls.append((name, [*args, *kwargs.values()]))
            return owner
        case ModelRef():
            return _model_method(owner, name, args, kwargs, place)
        case LegacyService():
            return _legacy_method(reader, owner, name, args, kwargs, place)
        case AsgiApp():
            return application_method(reader, owner, name, args, kwargs, place)
        case _:
            return Opaque("", place, inert=True)


def _model_method(owner: ModelRef, name: str, args: list[Value], kwargs: dict[str, Value], place: Place) -> Value:
    match name:
        case "resolve":
            if owner.fields is not None:
                return Opaque("", place, inert=True)
            return ModelRef(owner.tag, owner.place, stored=owner.stored)
        case "with_options":
            return owner
        case "to_runner":
            return RunnerObject({**named(["name"], args, kwargs), "models": Sequence([owner])}, place)
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
    fields = named(["input", "output"], args, kwargs)

    def define(function: Value) -> Value:
        if reader.may_change(owner, "an API is defined on some way only", place):
            own = function.name if isinstance(function, Function) else None
            named = Const(own) if own else Opaque("its function is not plain", place)
            name = fields.get("name", named)
            owner.apis.append({**fields, "name": named if is_none(name) else name})
        return function

    return decorator(define, place)
