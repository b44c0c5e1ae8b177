"""Routes of the ASGI applications that a service mounts: plain FastAPI and Starlette applications, as BentoML lists.

An application counts only if each mention of it in code that importing runs is one that is listed here.
"""

from __future__ import annotations

import ast

from rules_bento.service.bindings import VALUE, Definition, Module, NotConstantError, text_of
from rules_bento.service.constants import Scope
from rules_bento.service.sdk_names import words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_bento.service.constants import Constants

_FASTAPI = ("fastapi.FastAPI", "fastapi.applications.FastAPI")
_STARLETTE = ("starlette.applications.Starlette",)
_ROUTERS = ("fastapi.APIRouter", "fastapi.routing.APIRouter")
_STATIC = ("starlette.staticfiles.StaticFiles", "fastapi.staticfiles.StaticFiles")
_ROUTES = ("starlette.routing.Route", "starlette.routing.WebSocketRoute")
_METHODS = words("api_route delete get head options patch post put route trace websocket websocket_route")
_ADDERS = words("add_api_route add_api_websocket_route add_route add_websocket_route")
# They add no route: middleware, handlers, hooks.
_OTHERS = words("add_event_handler add_exception_handler add_middleware exception_handler middleware on_event")
# Paths that a FastAPI application has of its own: argument, path, and what else must not be None.
_OWN = (
    ("openapi_url", "/openapi.json", ()),
    ("docs_url", "/docs", ("openapi_url",)),
    ("swagger_ui_oauth2_redirect_url", "/docs/oauth2-redirect", ("openapi_url", "docs_url")),
    ("redoc_url", "/redoc", ("openapi_url",)),
)


def join_paths(*paths: str | None) -> str:
    """Join URL paths as BentoML does."""
    result = ""
    for path in paths:
        if path:
            result = f"{result.rstrip('/')}/{path.lstrip('/')}"
    return result or "/"


class Applications:
    """Lists the routes of the applications that one service mounts."""

    def __init__(self, constants: Constants, owner: ast.ClassDef) -> None:
        self.constants = constants
        self.owner = owner
        self.names = constants.names
        # Of methods and included routers: which of them BentoML lists depends on the version of FastAPI.
        self.unlisted: list[str] = []
        self._seen: set[tuple[str, str]] = set()

    def routes(self, scope: Scope, node: ast.expr, prefix: str) -> list[str]:
        """Return the full paths of an application that is mounted at a prefix; once for each application.

        Raises NotConstantError if something about them is not certain.
        """
        definition = self.names.resolve(scope.module, node)
        if definition.kind != VALUE or not isinstance(definition.node, ast.Call) or definition.module is None:
            raise NotConstantError(
                f"application `{text_of(node)}` isn't a plain FastAPI() or Starlette()", scope.module.path, node
            )
        if definition.key in self._seen:
            return []
        self._seen.add(definition.key)
        called = self.names.outside(definition.module, definition.node.func)
        own = self._own_routes(definition, called or "")
        return [join_paths(prefix, path) for path in dict.fromkeys([*own, *self._added(definition, called or "")])]

    def _text(self, scope: Scope, node: ast.expr | None, around: ast.AST) -> str:
        value = self.constants.whole(scope, node) if node is not None else None
        if not isinstance(value, str):
            raise NotConstantError("the path of a route isn't a string", scope.module.path, around)
        return value

    def _own_routes(self, definition: Definition, called: str) -> list[str]:
        """Return what the constructor of an application adds."""
        call, module = definition.node, definition.module
        assert isinstance(call, ast.Call)
        assert module is not None
        scope = Scope(module)
        given = {each.arg: each.value for each in call.keywords if each.arg}
        if len(given) < len(call.keywords) or (call.args and called not in _STATIC):
            raise NotConstantError("the application has arguments that aren't keywords", module.path, call)
        if called in _FASTAPI:
            if "routes" in given:
                raise NotConstantError("the application is given `routes`", module.path, call)
            paths = {name: path for name, path, _ in _OWN}
            paths |= {name: self.constants.whole(scope, given[name]) for name in paths.keys() & given.keys()}
            return [
                self._own_path(paths[name], module, call)
                for name, _, more in _OWN
                if all(paths[each] for each in (name, *more))
            ]
        if called in _STARLETTE:
            routes = given.get("routes")
            if routes is None:
                return []
            if not isinstance(routes, ast.List):
                raise NotConstantError(
                    "the `routes` of the application aren't a list that is written out", module.path, call
                )
            return [self._route(scope, each) for each in routes.elts]
        if called in _ROUTERS:
            if given.keys() & {"routes", "default", "redirect_slashes"}:
                raise NotConstantError("the router is given `routes`", module.path, call)
            return []
        raise NotConstantError(f"`{text_of(call.func)}` isn't FastAPI or Starlette", module.path, call)

    def _own_path(self, path: object, module: Module, node: ast.AST) -> str:
        if isinstance(path, str):
            return path
        raise NotConstantError("the path of a route isn't a string", module.path, node)

    def _route(self, scope: Scope, node: ast.expr) -> str:
        """Return the path of `Route("/path", …)` in a list."""
        if isinstance(node, ast.Call) and self.names.outside(scope.module, node.func) in _ROUTES:
            return self._text(scope, _argument(node, 0, "path"), node)
        raise NotConstantError(f"`{text_of(node)}` isn't a plain Route", scope.module.path, node)

    def _added(self, definition: Definition, called: str) -> list[str]:
        """Return the paths that code adds to an application or router, in the order of the code."""
        module = definition.module
        assert module is not None
        added: list[tuple[int, list[str]]] = []
        for by, node in self.constants.code.mentions.get(definition.key, ()):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                continue
            paths = self._of_mention(by, node, called)
            if paths is None:
                raise NotConstantError(f"what happens to application `{text_of(node)}` isn't certain", by.path, node)
            if paths and by is not module:
                raise NotConstantError("a route is added by another module", by.path, node)
            if self.owner in self.constants.code.parents(node):
                self.unlisted += paths
            else:
                added.append((node.lineno, paths))
        return [path for _, paths in sorted(added, key=lambda each: each[0]) for path in paths]

    def _of_mention(self, module: Module, node: ast.expr, called: str) -> list[str] | None:
        """Return the paths that a mention of an application adds; None if that isn't certain."""
        scope, code = Scope(module), self.constants.code
        around = code.parent(node)
        call = code.parent(around) if around is not None else None
        if isinstance(around, (ast.keyword, ast.Call)):
            owner = code.parent(around) if isinstance(around, ast.keyword) else around
            return [] if isinstance(owner, ast.Call) and self._is_mount(module, owner, node) else None
        if isinstance(around, ast.Attribute) and around.attr == "state" and isinstance(call, ast.Attribute):
            return []  # `app.state.x = …`
        if not isinstance(around, ast.Attribute) or not isinstance(call, ast.Call) or call.func is not around:
            return None
        outer = code.parent(call)
        if around.attr in _OTHERS and self._is_top(call):
            return []
        if around.attr in _METHODS and isinstance(outer, (ast.FunctionDef, ast.AsyncFunctionDef)):
            below = code.parent(outer)
            own = below is self.owner and called in _FASTAPI and len(outer.decorator_list) == 1
            if call in outer.decorator_list and (below is None or own):
                return (
                    [self._text(scope, _argument(call, 0, "path"), call)] if self._fits(called, around.attr) else None
                )
        if not isinstance(outer, ast.Expr) or code.parent(outer) is not None:
            return None
        if around.attr in _ADDERS:
            return [self._text(scope, _argument(call, 0, "path"), call)]
        if around.attr == "mount":
            app = _argument(call, 1, "app")
            if isinstance(app, ast.Call) and self.names.outside(module, app.func) in _STATIC:
                return [self._text(scope, _argument(call, 0, "path"), call).rstrip("/")]
        if around.attr == "include_router" and called in (*_FASTAPI, *_ROUTERS):
            self.unlisted += self._included(scope, call)
            return []
        return None

    def _fits(self, called: str, method: str) -> bool:
        return called in (*_FASTAPI, *_ROUTERS) or method in ("route", "websocket_route")

    def _is_top(self, node: ast.AST) -> bool:
        """Return whether a call is a statement or a decorator of a function of the module."""
        around = self.constants.code.parent(node)
        return around is not None and self.constants.code.parent(around) is None

    def _is_mount(self, module: Module, call: ast.Call, node: ast.AST) -> bool:
        """Return whether a call takes an application only to mount it on a service, or to include it as a router."""
        name = self.names.outside(module, call.func)
        if name in ("bentoml.asgi_app", "bentoml.mount_asgi_app"):
            return isinstance(self.constants.code.parent(call), ast.ClassDef)
        return isinstance(call.func, ast.Attribute) and call.func.attr == "include_router"

    def _included(self, scope: Scope, call: ast.Call) -> list[str]:
        """Return the paths of `app.include_router(router, prefix=…)`, whose router has got all of its own before."""
        router = self.names.resolve(scope.module, call.args[0]) if len(call.args) == 1 else None
        given = {each.arg: each.value for each in call.keywords}
        made = router.node if router else None
        if (
            router is None
            or router.module is None
            or router.kind != VALUE
            or not isinstance(made, ast.Call)
            or None in given
        ):
            raise NotConstantError("the router that is included isn't a plain APIRouter", scope.module.path, call)
        called = self.names.outside(router.module, made.func) or ""
        if called not in _ROUTERS:
            raise NotConstantError("the router that is included isn't a plain APIRouter", scope.module.path, call)
        self._own_routes(router, called)
        own = {each.arg: each.value for each in made.keywords}
        prefix = self._text(scope, given["prefix"], call) if "prefix" in given else ""
        prefix += self._text(Scope(router.module), own["prefix"], made) if "prefix" in own else ""
        mentions = self.constants.code.mentions.get(router.key, ())
        if router.module is scope.module and any(
            node.lineno > call.lineno for by, node in mentions if by is scope.module
        ):
            raise NotConstantError("the router has routes that are added after it is included", scope.module.path, call)
        if router.key in self._seen:
            raise NotConstantError("the router is included twice", scope.module.path, call)
        self._seen.add(router.key)
        return [prefix + path for path in self._added(router, called)]


def _argument(call: ast.Call, index: int, name: str) -> ast.expr | None:
    """Return an argument of a call, by position or keyword."""
    if len(call.args) > index and not any(isinstance(each, ast.Starred) for each in call.args):
        return call.args[index]
    return next((each.value for each in call.keywords if each.arg == name), None)
