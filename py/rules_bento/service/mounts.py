"""Finds routes like OpenAI's in the FastAPI applications that a service mounts: BentoML adds a label for one."""

from __future__ import annotations

import ast

from rules_bento.service.bindings import VALUE, Module, NotConstantError, text_of
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


def join_paths(*paths: str | None) -> str:
    """Join URL paths as BentoML does."""
    result = ""
    for path in paths:
        if path:
            result = f"{result.rstrip('/')}/{path.lstrip('/')}"
    return result or "/"


def chat_paths(constants: Constants, module: Module, node: ast.expr, prefix: str) -> list[str]:
    """Return the paths of an application that end like OpenAI's. Raises NotConstantError if they aren't certain.

    All mentions of the application and of its routers must be plain.
    """
    definition = constants.names.resolve(module, node)
    made, of, code, found = definition.node, definition.module, constants.code, list[str]()
    name = constants.names.outside(of, made.func) if of and isinstance(made, ast.Call) else None
    if definition.kind != VALUE or of is None or not isinstance(made, ast.Call) or name not in (*_FASTAPI, *_ROUTERS):
        raise NotConstantError(f"application `{text_of(node)}` isn't a plain FastAPI()", module.path, node)

    def add(by: Module, node: ast.AST, value: ast.expr, *, is_certain: bool) -> None:
        path = constants.whole(by, value)
        full = join_paths(prefix, path) if isinstance(path, str) else ""
        suspect = full.endswith(CHAT) if name in _FASTAPI else "completions" in full  # routers have prefixes
        if not isinstance(path, (str, type(None))) or (suspect and not (is_certain and name in _FASTAPI)):
            raise NotConstantError(f"whether it has a path that ends in `{CHAT}` isn't certain", by.path, node)
        found.extend([full] if suspect else [])

    def is_plain(by: Module, node: ast.expr) -> bool:
        method = code.parent(node)
        call = code.parent(method) if isinstance(method, (ast.Attribute, ast.keyword)) else method
        if isinstance(method, ast.Attribute) and method.attr in _OTHERS:
            return True
        if not isinstance(call, ast.Call):
            return False
        if not isinstance(method, ast.Attribute):  # an argument
            is_mount = constants.names.outside(by, call.func) in MOUNTS and isinstance(code.parent(call), ast.ClassDef)
            return is_mount or (name in _ROUTERS and getattr(call.func, "attr", "") == "include_router")
        given = {each.arg: each.value for each in call.keywords}
        first = next(iter([*call.args, *(given[key] for key in ("path", "router") if key in given)]), None)
        if call.func is not method or None in given or first is None:
            return False
        outer, is_adder = code.parent(call), method.attr.startswith("add_")
        if method.attr == "include_router":
            add(by, call, given.get("prefix", ast.Constant("")), is_certain=False)
            return not chat_paths(constants, by, first, "")
        static = call.args[1] if method.attr == "mount" and len(call.args) == 2 else None
        is_static = isinstance(static, ast.Call) and constants.names.outside(by, static.func) in _STATIC
        adds = isinstance(outer, ast.Expr) if is_adder else call in getattr(outer, "decorator_list", ())
        add(by, call, first, is_certain=adds and outer is not None and code.parent(outer) is None)
        return is_static or method.attr in _ROUTES

    for each in made.keywords:
        if each.arg in (None, "routes") or made.args:
            raise NotConstantError(f"`{text_of(made)}` isn't a plain application", module.path, made)
        if each.arg == "prefix" or each.arg.endswith("_url"):
            add(of, made, each.value, is_certain=False)
    code.require_uses(definition, is_plain)
    return found
