"""Finds routes like OpenAI's in the FastAPI applications that a service mounts: BentoML adds a label for one."""

from __future__ import annotations

import ast

from rules_bento.service.bindings import Module, unsupported
from rules_bento.service.sdk_names import words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_bento.service.constants import Constants

CHAT = "/chat/completions"
MOUNTS = ("bentoml.asgi_app", "bentoml.mount_asgi_app")
_FASTAPI = ("fastapi.FastAPI", "fastapi.applications.FastAPI")
_ROUTERS = ("fastapi.APIRouter", "fastapi.routing.APIRouter")
_STATIC = ("starlette.staticfiles.StaticFiles", "fastapi.staticfiles.StaticFiles")
_ROUTES = words(
    "add_api_route add_api_websocket_route add_route add_websocket_route api_route delete get head options patch post "
    "put route trace websocket websocket_route"
)
# They add no route: middleware, handlers, hooks.
_OTHERS = words("add_event_handler add_exception_handler add_middleware exception_handler middleware on_event state")


def chat_paths(constants: Constants, module: Module, node: ast.expr, *, is_router: bool = False) -> list[str]:
    """Return the paths of an application that end like OpenAI's. Raises NotConstantError if it might have others.

    All mentions of it and of its routers must be plain, and only a decorator of it can name completions in a path.
    """
    definition = constants.names.resolve(module, node)
    made, of, code, found = definition.node, definition.module, constants.code, list[str]()
    name = constants.names.outside(of, made.func) if of and isinstance(made, ast.Call) else None
    if of is None or not isinstance(made, ast.Call) or name not in (_ROUTERS if is_router else _FASTAPI):
        raise unsupported(module, node, "isn't a plain FastAPI()")

    def check(by: Module, node: ast.expr, *, is_certain: bool = False) -> None:
        path = constants.text(by, node)
        if is_certain and path.endswith(CHAT):
            found.append(path)
        elif "completions" in path:
            raise unsupported(by, node, f"might be a part of a path that ends in `{CHAT}`")

    def is_plain(by: Module, node: ast.expr) -> bool:
        method = code.parent(node)
        call = code.parent(method) if isinstance(method, (ast.Attribute, ast.keyword)) else method
        if isinstance(method, ast.Attribute) and method.attr in _OTHERS:
            return True
        if not isinstance(call, ast.Call):
            return False
        if not isinstance(method, ast.Attribute):  # an argument
            is_mount = constants.names.outside(by, call.func) in MOUNTS and isinstance(code.parent(call), ast.ClassDef)
            return is_mount or getattr(call.func, "attr", "") == "include_router"
        given = {each.arg: each.value for each in call.keywords}
        first = next(iter([*call.args, *(given[key] for key in ("path", "router") if key in given)]), None)
        if call.func is not method or None in given or first is None:
            return False
        if method.attr == "include_router":
            check(by, given.get("prefix", ast.Constant("")))
            return not chat_paths(constants, by, first, is_router=True)
        outer = code.parent(call)
        decorates = outer is not None and code.parent(outer) is None and call in getattr(outer, "decorator_list", ())
        check(by, first, is_certain=decorates and not is_router)
        mounted = call.args[1] if method.attr == "mount" and len(call.args) == 2 else None
        is_static = isinstance(mounted, ast.Call) and constants.names.outside(by, mounted.func) in _STATIC
        return is_static or method.attr in _ROUTES

    for each in made.keywords:
        if each.arg in (None, "routes") or made.args:
            raise unsupported(of, made, "isn't a plain application")
        if each.arg == "prefix" or (each.arg.endswith("_url") and getattr(each.value, "value", "") is not None):
            check(of, each.value)
    code.require_uses(definition, is_plain)
    return found
