"""Finds the command of a uv project's container: a script, an application with its server, or main.py."""

from __future__ import annotations

import ast
import shlex
from functools import partial

from rules_bento.errors import BentoError
from rules_bento.images.plan import APP, ENVIRONMENT
from rules_bento.images.wheels.wheel import Locked, Wheel
from rules_bento.packages.requirements import normalize_name
from rules_bento.sources import snapshot
from rules_bento.typing_lite import TYPE_CHECKING, Callable, Iterator, Sequence

if TYPE_CHECKING:
    from rules_bento.sources.snapshot import DeclaredFile

    from bento_cli.sharing.native_packages import LocalWheel
    from bento_cli.sharing.uv_project import UvProject

MAIN = f"{APP}/_main"  # the directory of a project's files, as for python_image
_MAX_SOURCE = 1 << 20
# Files that can define an application, in the order of the search, and the calls that create one.
_FILES = tuple(f"{name}.py" for name in ("main", "app", "api", "server", "asgi", "wsgi", "app/main", "app/__init__"))
_APPS = {"FastAPI": "ASGI", "Litestar": "ASGI", "Quart": "ASGI", "Starlette": "ASGI", "Flask": "WSGI"}
# Packages, and commands without the application. gunicorn listens on all interfaces if PORT is set.
_SERVERS: dict[str, dict[str, tuple[str, ...]]] = {
    "ASGI": {"uvicorn": ("uvicorn", "--host", "0.0.0.0"), "hypercorn": ("hypercorn", "--bind", "0.0.0.0:8000")},
    "WSGI": {"gunicorn": ("gunicorn",), "waitress": ("waitress-serve", "--listen=*:8000")},
}


def find_command(
    project: UvProject,
    entrypoint: str,
    kept: Sequence[DeclaredFile],
    wheel: LocalWheel | None,
    packages: set[str],
) -> tuple[list[str], dict[str, str]]:
    """Return the command of a container, and its variables, for a project's files or wheel.

    Raises BentoError if the project has no known command.
    """
    if entrypoint:
        try:
            return shlex.split(entrypoint), {}
        except ValueError as error:
            raise BentoError(f"--entrypoint: {error}. Quote the command as for a shell.") from None
    scripts = project.fields.get("scripts", {})
    own = project.fields["name"] if project.fields["name"] in scripts else next(iter(scripts), "")
    if wheel and own and (len(scripts) == 1 or own == project.fields["name"]):
        return [f"{ENVIRONMENT}/bin/{own}"], {}
    sources: dict[str, Callable[[], bytes]]
    if wheel:
        contents = Wheel.read(wheel.path, Locked(""))
        sources = {member.path: partial(contents.contents, member) for member in contents.members}
    else:
        sources = {file.path: partial(snapshot.content, file) for file in kept if file.link is None}
    name = normalize_name(project.fields["name"]).replace("-", "_")
    candidates = [f"{prefix}{path}" for prefix in ((f"{name}/", "") if wheel else ("", "src/")) for path in _FILES]
    for path in (path for path in candidates if path in sources):
        for variable, kind in _applications(sources[path]):
            module = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
            for package, command in _SERVERS[kind].items():
                if package in packages:
                    env = {"PORT": "8000"} if package == "gunicorn" else {}
                    return [command[0], f"{module}:{variable}", *command[1:]], env
            problem = f"{variable} is an application for {kind}, but the packages include no server for it"
            remedy = f"Run `uv add {next(iter(_SERVERS[kind]))}`, or set --entrypoint."
            raise BentoError(problem, place=path, remedy=remedy)
    if not wheel and "main.py" in sources:
        return [f"{ENVIRONMENT}/bin/python", f"{MAIN}/main.py"], {}
    other = (
        f" For another project of the workspace, set --package: {', '.join(project.others)}." if project.others else ""
    )
    raise BentoError(
        f"{project.directory}: found neither a script in project.scripts of a package, nor an application "
        f"({', '.join(_APPS)}) in {', '.join(candidates)}{'' if wheel else ', nor main.py'}. Set --entrypoint to the "
        f'command, such as --entrypoint "uvicorn server:app --host 0.0.0.0".{other}'
    )


def _applications(read: Callable[[], bytes]) -> Iterator[tuple[str, str]]:
    """Yield the name and the kind of each application that a module creates at its top level."""
    data = read()
    try:
        body = ast.parse(data).body if len(data) <= _MAX_SOURCE else []
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    for node in body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call(func=function)):
                pass
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.Call(func=function)):
                pass
            case _:
                continue
        called = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
        if called in _APPS:
            yield name, _APPS[called]
