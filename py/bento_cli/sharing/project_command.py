"""Finds the command of a uv project's container.

The first of these sources wins:

1. `--entrypoint`
2. `entrypoint` of `[tool.bento.image]`
3. `web` of the Procfile
4. the last command of the Dockerfile
5. the script of a package
6. an application with its server, or main.py
"""

from __future__ import annotations

import ast
import re
import shlex
from contextlib import suppress
from functools import partial
from pathlib import Path
from posixpath import basename, join, normpath

from rules_bento.base.dataclasses_lite import replace
from rules_bento.base.errors import BentoError
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Callable, Iterator, Mapping, Sequence
from rules_bento.bentos.packages.requirement_syntax import decode, normalize_name
from rules_bento.bentos.service.metadata import SourceTree
from rules_bento.bentos.service.modules import own_nodes
from rules_bento.bentos.sources import snapshot
from rules_bento.bentos.sources.git_repository import find_repository
from rules_bento.images.plan import ENVIRONMENT
from rules_bento.images.wheels.wheel import Locked, Wheel

from bento_cli.projects import dockerfile
from bento_cli.projects.dockerfile import Translation, Translator
from bento_cli.projects.uv_project import SERVICE_REMEDY, read_inside
from bento_cli.sharing.base_syntax import syntax_error

if TYPE_CHECKING:
    from rules_bento.bentos.sources.snapshot import DeclaredFile

    from bento_cli.projects.uv_project import UvProject
    from bento_cli.sharing.native_packages import LocalWheel

MAIN = dockerfile.MAIN
# The script, and main.py or hello.py, of `uv init`.
_GREETING = re.compile(
    rb'def main\(\)(?: -> None)?:\s+print\("Hello from .*!"\)\s*(?:if __name__ == "__main__":\s+main\(\)\s*)?'
)
_MAX_DEPTH, _MAX_MODULES, _MAX_LISTED = 2, 200, 5
_SHELLS = frozenset(("ash", "bash", "busybox", "dash", "sh", "zsh"))
# Quoted parts of a command, and what a shell would expand or run.
_QUOTED = re.compile(r"""'[^']*'|\\.|"(?:\\.|[^"\\])*\"""")
_EXPANSION = re.compile(r"\$(?:\{[^}]*\}?|\(|\w+)|`")
_OPERATOR = re.compile(r"&&|\|\|?|[;<>]|(?<!\S)&(?!\S)")
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


def project_sources(
    kept: Sequence[DeclaredFile], wheel: LocalWheel | None, parse: Callable[[bytes, str], Any]
) -> SourceTree:
    """Return the files of a project's wheel, or `kept` if the project isn't installed."""
    if wheel:
        contents = Wheel.read(wheel.path, Locked(""))
        sources = {member.path: partial(contents.contents, member) for member in contents.members}
    else:
        sources = {file.path: partial(snapshot.content, file) for file in kept if file.link is None}
    return SourceTree(sources, lambda path: sources[path](), parse=parse)


def stated(project: UvProject, file: Path | None = None) -> tuple[str, Translation]:
    """Return the origin of the command, and the translation of a Dockerfile, with the command of a Procfile.

    `file` replaces both.
    """
    top = project.directory
    path = file or next((top / name for name in dockerfile.NAMES if (top / name).is_file()), None)

    def kind(name: str) -> str:
        place = (context / name).resolve()
        if not place.is_relative_to(context.resolve()) or ".git" in place.parts:
            return ""
        return "file" if place.is_file() else "directory" if place.is_dir() else ""

    tables = project.fields.get("optional-dependencies"), project.document.get("dependency-groups")
    names = {key: [*table] for key, table in zip(("extra", "group"), tables, strict=True) if isinstance(table, dict)}
    names["package"] = [each["name"] for each in project.lock["package"]]
    text = decode(read_inside(path), str(path)) if path else ""
    if len(text) > dockerfile.MAX_SIZE:
        problem = f"more than {dockerfile.MAX_SIZE} characters"
        raise BentoError(problem, place=str(path), remedy="Write a shorter file, and add --from FILE to `bento init`.")
    repository = find_repository(top)
    home = top.relative_to(repository.root).as_posix() if repository else "."
    # Docker gets the context on its command line. It is the repository if the file copies from the project by its path.
    is_above = home != "." and not (top / home).exists() and dockerfile.copies_from(text, home)
    context = repository.root if repository and is_above else top
    home = home if context != top else ""
    translator = partial(Translator, kind=kind, is_package=project.is_package, names=names, home=home)
    found = translator(text).translate()
    origin = f"{path.name}:{found.line}" if path else ""
    procfile = top / "Procfile"
    if file is None and procfile.is_file():
        web = re.search(r"^web:[ \t]*(.+)", decode(read_inside(procfile), str(procfile)), re.M)
        if web and (command := translator(f"FROM procfile\nCMD {web[1]}").translate().table.get("entrypoint")):
            found.table["entrypoint"], origin = command, "Procfile"
    return origin, found


def split_command(entrypoint: str, place: str = "--entrypoint") -> list[str]:
    """Return the words of a command. Raises BentoError for a command that can't start, or that requires a shell."""
    try:
        if len(entrypoint) > dockerfile.MAX_TEXT:
            raise ValueError(f"more than {dockerfile.MAX_TEXT} characters")
        words = shlex.split(entrypoint)
        if not words or "\0" in entrypoint:
            raise ValueError(f"{entrypoint!r} isn't a command")
    except ValueError as error:
        raise BentoError(f"{error}", place=place, remedy="Quote the command as for a shell.") from None
    expanded = _QUOTED.sub(lambda match: match[0] if match[0][0] == '"' else "", entrypoint)
    operator = _OPERATOR.search(_QUOTED.sub("", entrypoint))
    if (found := operator or _EXPANSION.search(expanded)) and _SHELLS.isdisjoint(map(basename, words)):
        script = entrypoint if operator else f"exec {entrypoint}"
        value = f"sh -c {shlex.quote(script)}" if re.search(r"[\"\\]", script) else f'sh -c "{script}"'
        remedy = f"Remove it, or use a shell of the base: --entrypoint {shlex.quote(value)}."
        if "PORT" in found[0]:
            remedy += " Servers such as uvicorn and gunicorn read PORT without an option."
        problem = f"{found[0]} requires a shell, without which the image starts the command"
        raise BentoError(problem, place=place, remedy=remedy)
    return words


def check_line_ends(command: Sequence[str], files: Mapping[str, Callable[[], bytes]]) -> None:
    """Raise BentoError if a command runs a script whose first line ends with CR LF. `files` have paths in the image."""
    program, *rest = [word for each in command for word in each.split()]
    for word in [program, *(rest if basename(program) in _SHELLS else ())]:
        path = normpath(join(MAIN, word))
        line = files[path]().partition(b"\n")[0] if path in files else b""
        if line.startswith(b"#!") and line.endswith(b"\r"):
            name = basename(path)
            problem = "the first line ends with CR LF, and Linux finds no interpreter whose name ends with CR"
            remedy = f"Run `sed -i 's/\\r$//' {shlex.quote(name)}`, and add `{name} text eol=lf` to .gitattributes."
            raise BentoError(problem, place=word, remedy=remedy)


def find_command(
    project: UvProject, entrypoint: str, sources: SourceTree, wheel: LocalWheel | None, packages: set[str], python: str
) -> tuple[list[str], dict[str, str]]:
    """Return the command of a container, and its variables, for a project's files or wheel.

    Raises BentoError if the project has no known command.
    """
    if entrypoint:
        return split_command(entrypoint), {}
    scripts = project.fields.get("scripts", {})
    own = project.fields["name"] if project.fields["name"] in scripts else next(iter(scripts), "")
    script = wheel and own and (len(scripts) == 1 or own == project.fields["name"])
    if script and not _is_greeting(sources, scripts[own]):
        return [f"{ENVIRONMENT}/bin/{own}"], {}
    name = normalize_name(project.fields["name"]).replace("-", "_")
    candidates = [f"{prefix}{path}" for prefix in ((f"{name}/", "") if wheel else ("", "src/")) for path in _FILES]
    candidates += [f"{name}/__init__.py"] if wheel else []
    for path in (path for path in candidates if path in sources.paths):
        try:
            found = [*_definitions(sources.parse(sources.read(path), path).body)]
        except SyntaxError as error:
            raise syntax_error(error, path, python) from None
        for kind, variable in found:
            if kind not in _SERVERS:
                continue
            for package, command in _SERVERS[kind].items():
                if package in packages:
                    env = {"PORT": "8000"} if package == "gunicorn" else {}
                    return [command[0], f"{_module(path)}:{variable}", *command[1:]], env
            problem = f"{variable} is an application for {kind}, but the packages include no server for it"
            adding = project.adding(next(iter(_SERVERS[kind])))
            raise BentoError(problem, place=path, remedy=f"{adding[0].upper()}{adding[1:]}, or set --entrypoint.")
    if wheel:
        _check_other_files(project, sources)
    elif django := _django_command(sources, packages):
        return django, {"PORT": "8000"}
    elif "main.py" in sources.paths and _is_program(sources, packages):
        return [f"{ENVIRONMENT}/bin/python", f"{MAIN}/main.py"], {}  # in the image: without -I
    place = f"{ENVIRONMENT}/lib/python{python}/site-packages/" if wheel else ""
    raise _unknown_command(project, sources, place, packages)


def _is_greeting(sources: SourceTree, path: str) -> bool:
    """Return whether a file, or the package of an entry point, only prints the greeting of `uv init`."""
    path = path if path.endswith(".py") else f"{path.partition(':')[0]}/__init__.py"
    return path in sources.paths and _GREETING.fullmatch(sources.read(path)) is not None


def _is_program(sources: SourceTree, packages: set[str]) -> bool:
    """Return whether main.py does something, unless a server among the packages shows that it defines something."""
    statements = _statements(sources, "main.py")
    kinds = {kind for kind, _ in _definitions(statements)}
    if "import" in kinds or _is_greeting(sources, "main.py"):
        return False
    if "program" in kinds or packages.isdisjoint(name for servers in _SERVERS.values() for name in servers):
        return True
    return kinds.isdisjoint(_SERVERS) and any(isinstance(each, (ast.Expr, ast.While)) for each in statements)


def _django_command(sources: SourceTree, packages: set[str]) -> list[str]:
    """Return the command that serves the only application of Django with gunicorn, or an empty list."""
    paths = [path for path in sources.paths if basename(path) == "wsgi.py" and path.count("/") <= _MAX_DEPTH]
    if len(paths) != 1 or "gunicorn" not in packages:
        return []
    names = [name for kind, name in _definitions(_statements(sources, paths[0])) if kind == "Django"]
    above, module = _django_module(sources, paths[0])
    return ["gunicorn", *(["--chdir", above] if above else []), f"{module}:{names[0]}"] if names else []


def _django_module(sources: SourceTree, path: str) -> tuple[str, str]:
    """Return the directory with manage.py if it's above the module's package, or "", and the module's name in it."""
    above = path.rsplit("/", 2)[0]
    above = above if f"{above}/manage.py" in sources.paths else ""
    return above, _module(path.removeprefix(f"{above}/"))


def _check_other_files(project: UvProject, sources: SourceTree) -> None:
    """Raise BentoError if a file next to the package defines an application."""
    beside = replace(sources, read=lambda path: read_inside(Path(path)))
    for place in (project.directory / path for path in _FILES if path not in sources.paths):
        definitions = _definitions(_statements(beside, str(place))) if place.is_file() else ()
        if found := [name for kind, name in definitions if kind in _SERVERS]:
            problem = f"{found[0]} is an application, but the image has only the files of the package"
            remedy = "Move the file into the package, or remove [build-system] from pyproject.toml, and lock again."
            raise BentoError(problem, place=str(place), remedy=remedy)


def _unknown_command(project: UvProject, sources: SourceTree, place: str, packages: set[str]) -> BentoError:
    """Return the error for a project without a known command, which names what could be the command.

    `place` is the directory of a package's files in the image, or "".
    """
    needs_package = "" if place else ", which only a package with [build-system] installs"
    found = [
        (f"project.{table} defines {', '.join(names)}{needs_package}", names[0])
        for table in ("scripts", "gui-scripts")
        if (
            names := sorted(
                name for name, entry in project.fields.get(table, {}).items() if not _is_greeting(sources, entry)
            )
        )
    ]
    modules = [path for path in sources.paths if path.endswith(".py") and path.count("/") <= _MAX_DEPTH]
    for path in sorted(modules, key=lambda path: (path.count("/"), path))[:_MAX_MODULES]:
        definitions = _definitions(() if _is_greeting(sources, path) else _statements(sources, path))
        for kind, name in [("program", "program")] if path.endswith("/__main__.py") else definitions:
            clause, command = _SUGGESTIONS[kind]
            above, module = _django_module(sources, path) if kind == "Django" else ("", _module(path))
            chdir = f"--chdir {above} " if above else ""
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
        remedy += f" Before, {project.adding(program)}."
    if any(not command for _, command in found):
        remedy = f"{SERVICE_REMEDY} For another program, s{remedy[1:]}"
    if project.others:
        remedy += f" For another project of the workspace, set --package: {', '.join(project.others)}."
    return BentoError(f"the container's command is unknown: {problem}", place=str(project.directory), remedy=remedy)


def _module(path: str) -> str:
    return re.sub(r"(/__init__|/__main__)?\.py$", "", path).replace("/", ".")


def _statements(sources: SourceTree, path: str) -> list[ast.stmt]:
    """Return the statements of a module, also those in blocks, but not in functions, or none for invalid syntax."""
    with suppress(SyntaxError):
        body = sources.parse(sources.read(path), path).body
        return sorted((each for each in own_nodes(*body) if isinstance(each, ast.stmt)), key=lambda each: each.lineno)
    return []


def _definitions(body: Sequence[ast.stmt]) -> Iterator[tuple[str, str]]:
    """Yield the kind and the name of what statements define and a container could run."""
    factories = {each.name: _mentioned(each) for each in body if isinstance(each, ast.FunctionDef)}
    for node in body:
        match node:
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=ast.Call(func=function))
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.Call(func=function))
            ):
                called = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
                made = _APPS.get(called) or _APPS.get(factories.get(called, ""))
                if kind := "Django" if called == "get_wsgi_application" else made:
                    yield kind, name
                elif name in ("app", "application") and called.islower():  # not a class, such as Celery
                    yield "call", name
            case ast.FunctionDef(name="create_app" | "make_app" as name):
                yield ("Flask factory" if factories[name] == "Flask" else "factory"), name
            case ast.Import(names=names) if any(each.name == "streamlit" for each in names):
                yield "import", "streamlit"
            case ast.Import(names=[ast.alias(name="bentoml")]) | ast.ImportFrom(module="bentoml"):
                yield "service", "bentoml"
            case ast.If(test=ast.Compare(left=ast.Name(id="__name__"))):
                yield "program", "program"


def _mentioned(function: ast.FunctionDef) -> str:
    """Return the only class of applications that a function mentions, or an empty string."""
    found = {each.id for each in ast.walk(function) if isinstance(each, ast.Name)} & _APPS.keys()
    return min(found) if len(found) == 1 else ""
