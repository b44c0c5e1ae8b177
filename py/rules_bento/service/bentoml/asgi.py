"""Evaluates applications beside the APIs: what `asgi_app` mounts, and the routes of Starlette and FastAPI."""

from __future__ import annotations

from rules_bento.service.python.arguments import decorator, is_none, named
from rules_bento.service.python.scopes import Scope
from rules_bento.service.python.values import (
    AsgiApp,
    AsgiRoute,
    Class,
    Const,
    Function,
    Mounted,
    Opaque,
    Place,
    Sequence,
    ServiceObject,
    Value,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_bento.service.python.interpreter import Interpreter

# Where BentoML keeps what is mounted on a class before it is a service.
MOUNTED = "__bentoml_mounted_apps__"
_HTTP_METHODS = frozenset(
    [
        "api_route",
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
    ]
)
_ADD_ROUTE = frozenset(["add_api_route", "add_api_websocket_route", "add_route", "add_websocket_route"])
_FASTAPI_ROUTES = ("/openapi.json", "/docs", "/docs/oauth2-redirect", "/redoc")


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


def mount(reader: Interpreter, target: Value, args: list[Value], kwargs: dict[str, Value], place: Place) -> Value:
    """Follow `@bentoml.asgi_app(app, path=…)` on a service or on a class that becomes one."""
    fields = named(["app", "path", "name"], args, kwargs)
    if isinstance(target, ServiceObject):
        mount_on(reader, target, "mount_asgi_app", fields, place)
    elif isinstance(target, Class) and reader.may_change(target, "an application is mounted on some way only", place):
        mounted = target.attributes.setdefault(MOUNTED, reader.fresh(Sequence([])))
        if isinstance(mounted, Sequence):
            mounted.items.append(_mounted(fields, "mount_asgi_app", place))
    return target


def _mounted(fields: dict[str, Value], how: str, place: Place) -> Mounted:
    app = fields.get("app") or fields.get("blocks") or Const(None)
    kind = "wsgi" if how == "mount_wsgi_app" else "asgi"
    return Mounted(app, fields.get("path", Const("/")), fields.get("name", Const(None)), kind, place)


def mount_on(reader: Interpreter, service: ServiceObject, how: str, fields: dict[str, Value], place: Place) -> None:
    """Follow a service's `mount_asgi_app` or `mount_wsgi_app`."""
    mount = _mounted(fields, how, place)
    if service.born >= reader.region:
        add_mount(service, mount)
    else:
        service.mounts.append(Opaque("an application is mounted on some way only", place))


def add_mount(service: ServiceObject, mount: Value) -> None:
    """Mount on a service; only ASGI applications come under its path prefix."""
    if isinstance(mount, Mounted) and mount.kind == "asgi":
        prefix = service.fields.get("path_prefix", Const(None))
        path = joined_path(prefix, mount.path)
        mount = Mounted(mount.app, path, mount.name, mount.kind, mount.place)
    service.mounts.append(mount)


def application(
    reader: Interpreter, dotted: str, args: list[Value], kwargs: dict[str, Value], place: Place
) -> Value | None:
    """Return what calling a name of Starlette or FastAPI makes; None for any other name."""
    match dotted:
        case "starlette.applications.Starlette":
            routes = named(["debug", "routes"], args, kwargs).get("routes", Const(None))
            return reader.fresh(AsgiApp(_routes(routes, place), place))
        case "fastapi.FastAPI" | "fastapi.applications.FastAPI":
            plain = not any(name.endswith("_url") or name == "routes" for name in kwargs)
            unread = Opaque("the application sets its own documentation paths or routes", place)
            own: list[Value] = [AsgiRoute(Const(path), None) for path in _FASTAPI_ROUTES] if plain else [unread]
            return reader.fresh(AsgiApp(own, place))
        case "starlette.staticfiles.StaticFiles" | "fastapi.staticfiles.StaticFiles":
            return reader.fresh(AsgiApp([], place))
        case "starlette.routing.Route" | "starlette.routing.WebSocketRoute":
            return AsgiRoute(named(["path"], args, kwargs).get("path", Const(None)), None)
        case "starlette.routing.Mount":
            fields = named(["path", "app"], args, kwargs)
            return _mount_route(fields, place)
        case _:
            return None


def _mount_route(fields: dict[str, Value], place: Place) -> AsgiRoute:
    path = fields.get("path")
    text = path.value if isinstance(path, Const) else None
    stripped: Value = Const(text.rstrip("/")) if isinstance(text, str) else Opaque("its path is not plain", place)
    return AsgiRoute(stripped, fields.get("app"))


def _routes(value: Value, place: Place) -> list[Value]:
    if isinstance(value, Sequence) and not value.spoiled:
        return list(value.items)
    return [] if is_none(value) else [Opaque("its routes are not plain", place)]


def application_method(
    reader: Interpreter, owner: AsgiApp, name: str, args: list[Value], kwargs: dict[str, Value], place: Place
) -> Value:
    """Follow a method of an application: the ones that add routes."""
    fields = named(["path", "app"], args, kwargs)
    if name in _HTTP_METHODS or name in _ADD_ROUTE:
        route: Value = AsgiRoute(fields.get("path", Const(None)), None)
    elif name == "mount":
        route = _mount_route(fields, place)
    elif name in ("include_router", "host"):
        route = Opaque(f"`.{name}` adds routes that are not read", place)
    else:
        # Middleware, handlers and hooks: decorators or plain calls that add no route.
        return decorator(lambda function: function, place)
    if reader.may_change(owner, "a route is added on some way only", place):
        owner.routes.append(route)

    def endpoint(function: Value) -> Value:
        if isinstance(function, Function) and isinstance(function.scope, Scope) and function.scope.kind == "class":
            owner.routes.append(Opaque("BentoML moves the routes of a service's own methods", place))
        return function

    return decorator(endpoint, place) if name in _HTTP_METHODS else Const(None)
