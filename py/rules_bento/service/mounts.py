"""Routes of the FastAPI applications that a service mounts, as BentoML lists them.

An application counts only if each mention of it in code that importing runs is one that is listed here.
"""

from __future__ import annotations

import ast

from rules_bento.service.bindings import VALUE, Definition, Module, NotConstantError, text_of
from rules_bento.service.sdk_names import words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_bento.service.constants import Constants

_FASTAPI = ("fastapi.FastAPI", "fastapi.applications.FastAPI")
_STATIC = ("starlette.staticfiles.StaticFiles", "fastapi.staticfiles.StaticFiles")
_METHODS = words("api_route delete get head options patch post put route trace websocket websocket_route")
_ADDERS = words("add_api_route add_api_websocket_route add_route add_websocket_route")
# They add no route: middleware, handlers, hooks.
_OTHERS = words("add_event_handler add_exception_handler add_middleware exception_handler middleware on_event")
# Paths that a FastAPI application has of its own: argument, path, and the arguments that must have a value.
_OWN = (
    ("openapi_url", "/openapi.json", ("openapi_url",)),
    ("docs_url", "/docs", ("docs_url", "openapi_url")),
    ("swagger_ui_oauth2_redirect_url", "/docs/oauth2-redirect", ("openapi_url", "docs_url")),
    ("redoc_url", "/redoc", ("redoc_url", "openapi_url")),
)
MOUNTS = ("bentoml.asgi_app", "bentoml.mount_asgi_app")


def join_paths(*paths: str | None) -> str:
    """Join URL paths as BentoML does."""
    result = ""
    for path in paths:
        if path:
            result = f"{result.rstrip('/')}/{path.lstrip('/')}"
    return result or "/"


class Application:
    """Lists the routes of an application that a service mounts."""

    def __init__(self, constants: Constants, owner: ast.ClassDef, module: Module, node: ast.expr) -> None:
        """Read all routes. Raises NotConstantError if something about them is not certain."""
        self._constants = constants
        self._owner = owner
        definition = constants.names.resolve(module, node)
        call, of = definition.node, definition.module
        if definition.kind != VALUE or of is None or not isinstance(call, ast.Call):
            raise NotConstantError(f"application `{text_of(node)}` isn't a plain FastAPI()", module.path, node)
        self.key = definition.key
        self.paths = self._own(of, call)
        # Of the service's methods: whether BentoML lists them depends on the version of FastAPI.
        self.unlisted: list[str] = []
        self._added: list[tuple[int, str]] = []
        self._require_known(definition, of)
        self.paths += [path for _, path in sorted(self._added, key=lambda each: each[0])]

    def _own(self, module: Module, call: ast.Call) -> list[str]:
        """Return the paths that the constructor adds."""
        if self._constants.names.outside(module, call.func) not in _FASTAPI:
            raise NotConstantError(f"`{text_of(call.func)}` isn't FastAPI", module.path, call)
        given = {each.arg: each.value for each in call.keywords}
        if call.args or None in given or "routes" in given:
            raise NotConstantError("the application has positional arguments, `**`, or `routes`", module.path, call)
        paths = {name: path for name, path, _ in _OWN}
        paths |= {name: self._constants.whole(module, given[name]) for name in paths.keys() & given.keys()}
        if not all(isinstance(path, (str, type(None))) for path in paths.values()):
            raise NotConstantError("the path of a route isn't a string", module.path, call)
        return [paths[name] for name, _, required in _OWN if all(paths[each] for each in (name, *required))]

    def _require_known(self, definition: Definition, module: Module) -> None:
        def is_plain(by: Module, node: ast.expr) -> bool:
            return by is module and self._read(by, node)

        self._constants.code.require_uses(definition, lambda by, node: self._is_mount(by, node) or is_plain(by, node))

    def _is_mount(self, module: Module, node: ast.expr) -> bool:
        """Return whether a mention is an argument of `@bentoml.asgi_app`."""
        code = self._constants.code
        around = code.parent(node)
        call = code.parent(around) if isinstance(around, ast.keyword) else around
        is_mount = isinstance(call, ast.Call) and self._constants.names.outside(module, call.func) in MOUNTS
        return is_mount and call is not None and isinstance(code.parent(call), ast.ClassDef)

    def _read(self, module: Module, node: ast.expr) -> bool:
        """Add the paths of a statement or decorator; return whether they are certain."""
        code = self._constants.code
        method = code.parent(node)
        call = code.parent(method) if isinstance(method, ast.Attribute) else None
        if not isinstance(method, ast.Attribute) or not isinstance(call, ast.Call) or call.func is not method:
            return False
        outer = code.parent(call)
        if not isinstance(outer, (ast.Expr, ast.FunctionDef, ast.AsyncFunctionDef)):
            return False
        below, decorators = code.parent(outer), getattr(outer, "decorator_list", ())
        if method.attr in _OTHERS and below is None:
            return True
        if method.attr in _METHODS and call in decorators and (below is None or len(decorators) == 1):
            path = self._path(module, call)
            if below is self._owner:
                self.unlisted.append(path)
            else:
                self._added.append((node.lineno, path))
            return below in (None, self._owner)
        if method.attr in _ADDERS and isinstance(outer, ast.Expr) and below is None:
            self._added.append((node.lineno, self._path(module, call)))
            return True
        if method.attr == "mount" and isinstance(outer, ast.Expr) and below is None and len(call.args) == 2:
            static = call.args[1]
            if isinstance(static, ast.Call) and self._constants.names.outside(module, static.func) in _STATIC:
                self._added.append((node.lineno, self._path(module, call).rstrip("/")))
                return True
        return False

    def _path(self, module: Module, call: ast.Call) -> str:
        given = [*call.args[:1], *(each.value for each in call.keywords if each.arg == "path")]
        path = self._constants.whole(module, given[0]) if given else None
        if not isinstance(path, str):
            raise NotConstantError("the path of a route isn't a string", module.path, call)
        return path
