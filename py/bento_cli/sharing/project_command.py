"""Finds the command of a uv project's container: a script, an application with its server, or main.py."""

from __future__ import annotations

import ast
import re
import shlex
from functools import partial

from rules_bento.base.errors import BentoError
from rules_bento.base.python_source import parse
from rules_bento.base.typing_lite import TYPE_CHECKING, Callable, Iterator, Sequence
from rules_bento.bentos.packages.requirement_syntax import normalize_name
from rules_bento.bentos.sources import snapshot
from rules_bento.images.plan import APP, ENVIRONMENT
from rules_bento.images.wheels.wheel import Locked, Wheel

from bento_cli.projects.uv_project import SERVICE_REMEDY, read_inside

if TYPE_CHECKING:
    from rules_bento.bentos.sources.snapshot import DeclaredFile

    from bento_cli.projects.uv_project import UvProject
    from bento_cli.sharing.native_packages import LocalWheel

    Sources = dict[str, Callable[[], bytes]]
    """Functions that read the files of a project, by path."""

MAIN = f"{APP}/_main"  # the directory of a project's files, as for python_image
_TEMPLATE = re.compile(rb'def main\(\) -> None:\n    print\("Hello from .*!"\)\n')  # the script of `uv init`
_MAX_SOURCE, _MAX_DEPTH, _MAX_MODULES, _MAX_LISTED = 1 << 20, 2, 200, 5
# Files that can define an application, in the order of the search, and the calls that create one.
_FILES = tuple(f"{name}.py" for name in ("main", "app", "api", "server", "asgi", "wsgi", "app/main", "app/__init__"))
_APPS = {"FastAPI": "ASGI", "Litestar": "ASGI", "Quart": "ASGI", "Starlette": "ASGI", "Flask": "WSGI"}
# Packages, and commands without the application. gunicorn listens on all interfaces if PORT is set.
_SERVERS: dict[str, dict[str, tuple[str, ...]]] = {
    "ASGI": {"uvicorn": ("uvicorn", "--host", "0.0.0.0"), "hypercorn": ("hypercorn", "--bind", "0.0.0.0:8000")},
    "WSGI": {"gunicorn": ("gunicorn",), "waitress": ("waitress-serve", "--listen=*:8000")},
}
# Clauses that describe what a module defines, and commands for --entrypoint.
_SUGGESTIONS = {
    "ASGI": ("creates", "uvicorn {module}:{name} --host 0.0.0.0"),
    "Django": ("creates Django's", "gunicorn {chdir}{module}:{name} --bind 0.0.0.0:8000"),
    "Flask factory": ("defines", "gunicorn '{module}:{name}()' --bind 0.0.0.0:8000"),
    "call": ("assigns", "uvicorn {module}:{name} --host 0.0.0.0"),
    "WSGI": ("creates", "gunicorn {module}:{name} --bind 0.0.0.0:8000"),
    "factory": ("defines", "uvicorn --factory {module}:{name} --host 0.0.0.0"),
    "service": ("imports", ""),
    "import": ("imports", "streamlit run {path} --server.address 0.0.0.0"),
    "program": ("is a", "python -m {module}"),
}


def project_sources(kept: Sequence[DeclaredFile], wheel: LocalWheel | None) -> Sources:
    """Return the files of a project's wheel, or `kept` if the project isn't installed."""
    if wheel:
        contents = Wheel.read(wheel.path, Locked(""))
        return {member.path: partial(contents.contents, member) for member in contents.members}
    return {file.path: partial(snapshot.content, file) for file in kept if file.link is None}


def split_command(entrypoint: str) -> list[str]:
    """Return the words of a command. Raises BentoError for a command that can't start."""
    try:
        words = shlex.split(entrypoint)
        if not words or "\0" in entrypoint:
            raise ValueError(f"{entrypoint!r} isn't a command")
    except ValueError as error:
        raise BentoError(f"--entrypoint: {error}. Quote the command as for a shell.") from None
    return words


def find_command(
    project: UvProject,
    entrypoint: str,
    sources: Sources,
    wheel: LocalWheel | None,
    packages: set[str],
    python: str,
) -> tuple[list[str], dict[str, str]]:
    """Return the command of a container, and its variables, for a project's files or wheel.

    Raises BentoError if the project has no known command.
    """
    if entrypoint:
        return split_command(entrypoint), {}
    scripts = project.fields.get("scripts", {})
    own = project.fields["name"] if project.fields["name"] in scripts else next(iter(scripts), "")
    script = wheel and own and (len(scripts) == 1 or own == project.fields["name"])
    is_template = script and _TEMPLATE.fullmatch(sources.get(f"{scripts[own].partition(':')[0]}/__init__.py", bytes)())
    if script and not is_template:
        return [f"{ENVIRONMENT}/bin/{own}"], {}
    name = normalize_name(project.fields["name"]).replace("-", "_")
    candidates = [f"{prefix}{path}" for prefix in ((f"{name}/", "") if wheel else ("", "src/")) for path in _FILES]
    candidates += [f"{name}/__init__.py"] if wheel else []
    for path in (path for path in candidates if path in sources):
        for kind, variable in _definitions(sources[path]):
            if kind not in _SERVERS:
                continue
            for package, command in _SERVERS[kind].items():
                if package in packages:
                    env = {"PORT": "8000"} if package == "gunicorn" else {}
                    return [command[0], f"{_module(path)}:{variable}", *command[1:]], env
            problem = f"{variable} is an application for {kind}, but the packages include no server for it"
            remedy = f"Run `uv add {next(iter(_SERVERS[kind]))}`, or set --entrypoint."
            raise BentoError(problem, place=path, remedy=remedy)
    if wheel:
        _check_other_files(project, sources)
    if is_template:
        return [f"{ENVIRONMENT}/bin/{own}"], {}
    if not wheel and "main.py" in sources and ("import", "streamlit") not in _definitions(sources["main.py"]):
        return [f"{ENVIRONMENT}/bin/python", f"{MAIN}/main.py"], {}  # in the image: without -I
    place = f"{ENVIRONMENT}/lib/python{python}/site-packages/" if wheel else ""
    raise _unknown_command(project, sources, place, packages)


def _check_other_files(project: UvProject, sources: Sources) -> None:
    """Raise BentoError if a file next to the package defines an application."""
    for place in (project.directory / path for path in _FILES if path not in sources):
        definitions = _definitions(partial(read_inside, place)) if place.is_file() else ()
        if found := [name for kind, name in definitions if kind in _SERVERS]:
            problem = f"{found[0]} is an application, but the image has only the files of the package"
            remedy = "Move the file into the package, or remove [build-system] from pyproject.toml and run `uv lock`."
            raise BentoError(problem, place=str(place), remedy=remedy)


def _unknown_command(project: UvProject, sources: Sources, place: str, packages: set[str]) -> BentoError:
    """Return the error for a project without a known command, which names what could be the command.

    `place` is the directory of a package's files in the image, or "".
    """
    needs_package = "" if place else ", which only a package with [build-system] installs"
    found = [
        (f"project.{table} defines {', '.join(names)}{needs_package}", names[0])
        for table in ("scripts", "gui-scripts")
        if (names := sorted(project.fields.get(table, {})))
    ]
    modules = [path for path in sources if path.endswith(".py") and path.count("/") <= _MAX_DEPTH]
    for path in sorted(modules, key=lambda path: (path.count("/"), path))[:_MAX_MODULES]:
        is_program = path.endswith("/__main__.py")
        for kind, name in [("program", "program")] if is_program else _definitions(sources[path]):
            clause, command = _SUGGESTIONS[kind]
            above = path.rsplit("/", 2)[0]
            chdir = f"--chdir {above} " if kind == "Django" and f"{above}/manage.py" in sources else ""
            module = _module(path.removeprefix(f"{above}/") if chdir else path)
            command = command.format(module=module, name=name, path=place + path, chdir=chdir)
            found.append((f"{path} {clause} {name}", command))
    lacking = {"gunicorn", "streamlit", "uvicorn"} - packages
    found.sort(key=lambda each: (each[1].startswith("python -m"), each[1].partition(" ")[0] in lacking))
    problem = "; ".join(dict.fromkeys(what for what, _ in found[:_MAX_LISTED])) or (
        f"found no script in project.scripts of a package, and no application ({', '.join(_APPS)}) in a file such as "
        "main.py or app.py"
    )
    commands = [command for _, command in found if command] or ["python -m MODULE"]
    remedy = f'Set --entrypoint to the command, such as --entrypoint "{commands[0]}".'
    if (program := commands[0].partition(" ")[0]) in lacking:
        remedy += f" Before, run `uv add {program}`."
    if any(not command for _, command in found):
        remedy = f"{SERVICE_REMEDY} For another program, s{remedy[1:]}"
    if project.others:
        remedy += f" For another project of the workspace, set --package: {', '.join(project.others)}."
    return BentoError(f"the container's command is unknown: {problem}", place=str(project.directory), remedy=remedy)


def _module(path: str) -> str:
    return re.sub(r"(/__init__|/__main__)?\.py$", "", path).replace("/", ".")


def _definitions(read: Callable[[], bytes]) -> Iterator[tuple[str, str]]:
    """Yield the kind and the name of what a module defines at its top level and a container could run."""
    data = read()
    try:
        body = parse(data).body if len(data) <= _MAX_SOURCE else []
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    for node in body:
        match node:
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=ast.Call(func=function))
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.Call(func=function))
            ):
                called = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
                if kind := "Django" if called == "get_wsgi_application" else _APPS.get(called):
                    yield kind, name
                elif name in ("app", "application") and called.islower():  # not a class, such as Celery
                    yield "call", name
            case ast.FunctionDef(name="create_app" | "make_app" as name):
                is_flask = any(getattr(each, "id", "") == "Flask" for each in ast.walk(node))
                yield ("Flask factory" if is_flask else "factory"), name
            case ast.Import(names=names) if any(each.name == "streamlit" for each in names):
                yield "import", "streamlit"
            case ast.Import(names=[ast.alias(name="bentoml")]) | ast.ImportFrom(module="bentoml"):
                yield "service", "bentoml"
            case ast.If(test=ast.Compare(left=ast.Name(id="__name__"))):
                yield "program", "program"
