"""Defines the program that starts containers of images, which need no shell, and checks the command that it runs.

The program accepts the variables and arguments of BentoML's images, so that an image of rules_bento can replace one of
them. `ENTRYPOINT` in rules_bento/bentos/assembly/env/common.py is the same program for a shell.
"""

from __future__ import annotations

import posixpath
import re
import sys
from types import MappingProxyType

from rules_bento.base.dataclasses_lite import NamedTuple
from rules_bento.base.typing_lite import TYPE_CHECKING, Collection, Iterator, Mapping, Sequence

if TYPE_CHECKING:
    from rules_bento.images.validation.base_compatibility import Base
    from rules_bento.images.validation.remedies import Remedies
    from rules_bento.images.wheels.libraries import Libraries

_PYTHON = re.compile(r"python(?:3(?:\.\d+)?)?")
_MODULE_OPTION, _FLAGS = re.compile(r"-[bBdEiIOPqsSuvx]*m(.*)"), re.compile(r"-[bBdEiIOPqsSuvx]+")
_SERVERS = ("gunicorn", "hypercorn", "uvicorn")
_APPLICATION = re.compile(r"([A-Za-z_][\w.]*):[A-Za-z_][\w.]*(\(.*\))?")  # an argument of a server
_PATH_OPTION = re.compile(r"(--app-dir|--chdir|--pythonpath)(=.*)?")  # of a server that finds more modules
_SCRIPTS = re.compile(r"(?:\.\./)+bin/([^/]+)")  # in a wheel's files, relative to site-packages

PROGRAM = '''\
"""Starts the Bento in BENTO_PATH. Without a Bento, or if the arguments don't select a server, runs the arguments."""
import os
import sys

# Hosts that choose the port set PORT. Servers read the port from their own variables.
if os.environ.get("PORT"):
    os.environ["BENTOML_PORT"] = os.environ["PORT"]
    for prefix in ("FLASK_RUN", "GRADIO_SERVER", "MLFLOW", "STREAMLIT_SERVER", "UVICORN"):
        os.environ.setdefault(prefix + "_PORT", os.environ["PORT"])

command = sys.argv[1:]
bento = os.environ.get("BENTO_PATH")
if bento:
    bentoml = [sys.executable, "-m", "bentoml"]
    start = [sys.executable, "-m", "bentoml_cli._internal.start"]
    if not command or command[0].startswith("-"):
        servers = {"http_server": "http-server", "grpc_server": "grpc-server", "runner": "runner-server"}
        server = servers.get(os.environ.get("BENTOML_SERVE_COMPONENT"))
        command = [*start, "start-" + server, *command, bento] if server else [*bentoml, "serve", *command, bento]
    elif command[0] in ("start-http-server", "start-grpc-server", "start-runner-server"):
        command = [*start, *command, bento]
    elif command[0] in ("serve", "serve-http", "serve-grpc"):
        command = [*bentoml, *command, bento]
try:
    os.execvp(command[0], command)
except OSError as error:
    sys.stderr.write(command[0] + ": " + error.strerror + "\\n")
    sys.exit(127)
'''


def path(environment: str) -> str:
    """Return the path of the program in an image with its packages in the directory `environment`."""
    return f"{environment}/bin/entrypoint.py"


def command(environment: str) -> list[str]:
    """Return the entry point of an image. Python ignores the container's variables, but its child doesn't."""
    return [f"{environment}/bin/python", "-I", "-S", path(environment)]


class ContainerCommand(NamedTuple):
    """The command of a container, and what an image contains of the user's files."""

    words: tuple[str, ...]
    environment: str  # directory of the virtual environment
    env: Mapping[str, str]  # of the base
    working_dir: str = ""
    directory: str = ""  # of the user's files
    files: Collection[str] | None = None  # in `directory`, or absolute; None if unknown; a directory ends with a slash
    scripts: Mapping[str, str] = MappingProxyType({})  # of the user's package in `environment`, and their modules


def problem(
    command: ContainerCommand, base: Base, packages: Sequence[Libraries], ignored: Collection[str], remedies: Remedies
) -> str:
    """Return an error message if an image lacks the program, file, or module that its command runs, or "".

    Files of unknown layers count as present. `ignored` contains names of files.
    """
    for kind, word in _missing(command, base, packages):
        name = word.rpartition("/")[2]
        if name not in ignored:
            text = f"{word}: the entry point runs this {kind}, but neither {base.name}, the packages, nor the files of "
            text += f"the image contain the {kind}. {remedies.correct_command(name)} If a volume contains {name}, "
            return text + f"{remedies.ignore_libraries({name, *ignored})}."
    return ""


def script_notes(command: ContainerCommand, packages: Sequence[Libraries]) -> list[str]:
    """Return a note on the scripts whose modules no package provides."""
    missing = [f"{name} ({module})" for name, module in command.scripts.items() if _is_absent_module(packages, module)]
    return [f"No package of the image provides the modules of the scripts {', '.join(missing)}."] if missing else []


def _is_absent_module(packages: Sequence[Libraries], module: str) -> bool:
    path = module.replace(".", "/")
    starts, is_standard = (f"{path}.", f"{path}/"), module.partition(".")[0] in sys.stdlib_module_names
    return not is_standard and not any(file.startswith(starts) for package in packages for file in package.files)


def _missing(command: ContainerCommand, base: Base, packages: Sequence[Libraries]) -> Iterator[tuple[str, str]]:
    """Yield the kind and the name of what the command runs and the image lacks."""
    if not command.words:
        return
    program, *rest = command.words
    directory, _, name = posixpath.join(command.working_dir, program).rpartition("/")
    own = f"{command.environment}/bin"
    scripts = {match[1] for package in packages for file in package.files if (match := _SCRIPTS.fullmatch(file))}
    scripts |= {"python", "python3", f"python{base.python_version}", path(own).rpartition("/")[2]}
    places = [directory] if "/" in program else command.env.get("PATH", "/bin").split(":")
    is_known = base.libraries is not None and all(place.rpartition("/")[2] in ("bin", "sbin") for place in places)
    is_listed = (is_known or places == [own]) and name not in scripts.union(base.libraries or ())
    if is_listed or ("/" in program and _is_absent(command, program)):
        yield "program", program
    kind, word = target(command.words)
    if name in _SERVERS and not any(map(_PATH_OPTION.fullmatch, rest)):
        kind, word = next((("module", match[1]) for each in rest if (match := _APPLICATION.fullmatch(each))), ("", ""))
    if kind == "file" and _is_absent(command, word):
        yield kind, word
    if (
        name in command.scripts
        and ("/" not in program or places == [own])
        and _is_absent_module(packages, command.scripts[name])
    ):
        yield "module", command.scripts[name]
    # Another interpreter also has the packages of the base.
    if kind == "module" and ("/" not in program or places == [own]) and _is_unknown_module(command, packages, word):
        yield kind, word


def target(words: Sequence[str]) -> tuple[str, str]:
    """Return the file or module that a command runs with Python, as (kind, name), or empty strings."""
    arguments = words[1:] if words and _PYTHON.fullmatch(posixpath.basename(words[0])) else ()
    for position, word in enumerate(arguments):
        if match := _MODULE_OPTION.fullmatch(word):
            return "module", match[1] or "".join(arguments[position + 1 : position + 2])
        if not _FLAGS.fullmatch(word):
            return ("", "") if word.startswith("-") else ("file", word)
    return "", ""


def _is_absent(command: ContainerCommand, name: str) -> bool:
    """Return whether a path must be one of the user's files, and isn't."""
    place = posixpath.normpath(posixpath.join(command.working_dir, name))
    # A relative path in the root directory would be a user's file, but the image has no directory of these files.
    is_own = place.startswith(f"{command.directory}/") or not (name.startswith("/") or command.working_dir != "/")
    if command.files is None or not is_own or place.startswith(f"{command.environment}/"):
        return False
    files = (posixpath.join(command.directory, file) for file in command.files)
    return not any(
        file == place or file.startswith(f"{place}/") or (file.endswith("/") and place.startswith(file))
        for file in files
    )


def _is_unknown_module(command: ContainerCommand, packages: Sequence[Libraries], module: str) -> bool:
    """Return whether no package and no file of the user can contain a module."""
    top = module.partition(".")[0]
    if command.files is None or "PYTHONPATH" in command.env or not _is_absent(command, f"{top}.py"):
        return False
    names = {file.partition("/")[0] for package in packages for file in package.files}
    names.update(part for file in command.files for part in file.split("/"))
    return top not in sys.stdlib_module_names and top not in {name.partition(".")[0] for name in names}
