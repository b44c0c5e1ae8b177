"""Defines the settings, environment variables, and entry point that both formats of `env/` share."""

from __future__ import annotations

import re

from rules_bento.base.dataclasses_lite import dataclass, field
from rules_bento.base.errors import BentoError
from rules_bento.base.formats import split_lines
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Callable, Mapping, Sequence, TypeAlias
from rules_bento.bentos.assembly.kinds import BENTOML_VERSION
from rules_bento.bentos.build_options.option_checks import check_env
from rules_bento.bentos.build_options.options import BuildOptions, EnvVariable
from rules_bento.bentos.build_options.project import ProjectFiles

if TYPE_CHECKING:
    from rules_bento.bentos.assembly.installed_packages import InstalledPackage
    from rules_bento.bentos.packages.requirement_syntax import Line, LockedRequirements
    from rules_bento.bentos.service.loaded_modules import Survey

    # Returns the locked packages for requirements, a Python version, and whether the options allow a lock.
    Resolver: TypeAlias = "Callable[[Sequence[Line], str, bool], LockedRequirements | None]"

PYTHON_VERSION = "3.11"
CREATION_TIME = "1980-01-01T00:00:00+00:00"
# The entry point of containers, for any image builder and any POSIX shell.
ENTRYPOINT = """\
#!/bin/sh
# Serves the Bento without arguments, or with only options. Adds the path of the Bento to commands such as `serve` and
# `start-http-server`. Runs any other command unchanged.
set -eu
: "${BENTO_PATH:=/home/bentoml/bento}"

for environment in /app/.venv .venv; do
    if [ -d "$environment/bin" ]; then
        VIRTUAL_ENV=$(cd -- "$environment" && pwd)
        PATH="$VIRTUAL_ENV/bin:$PATH"
        export VIRTUAL_ENV PATH
        break
    fi
done

# Platforms that choose the port set PORT.
if [ -n "${PORT:-}" ]; then
    BENTOML_PORT=$PORT
    export BENTOML_PORT
fi

start() {
    exec python -m bentoml_cli._internal.start "$@" "$BENTO_PATH"
}

if [ "$#" -eq 0 ] || [ "${1#-}" != "$1" ]; then
    case "${BENTOML_SERVE_COMPONENT:-}" in
    http_server) start start-http-server "$@" ;;
    grpc_server) start start-grpc-server "$@" ;;
    runner) start start-runner-server "$@" ;;
    *) exec bentoml serve "$@" "$BENTO_PATH" ;;
    esac
fi

case "$1" in
start-http-server | start-grpc-server | start-runner-server) start "$@" ;;
serve | serve-http | serve-grpc) exec bentoml "$@" "$BENTO_PATH" ;;
esac
exec "$@"
"""
_SETTING = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*(?:=|:\s)\s*(.*)")
_LITERAL = re.compile(r"'([^']*)'\s*(?:#.*)?")
_QUOTED = re.compile(r'"((?:\\.|[^"\\])*)"\s*(?:#.*)?')
_VARIABLE = re.compile(r"(\\)?\$(?:\{([A-Za-z_][A-Za-z0-9_]*)\}|([A-Za-z_][A-Za-z0-9_]*))")


@dataclass(frozen=True)
class ApiDescription:
    """The API schema and the OpenAPI document of an imported service."""

    schema: dict[str, Any]  # of bento.yaml; empty for a legacy service
    openapi: str  # content of apis/openapi.yaml


@dataclass(frozen=True)
class BentoOptions:
    """Options that BentoML doesn't have, of the rules, the command, and the Python API. Defaults are of the rules."""

    creation_time: str = CREATION_TIME  # ISO 8601
    python_version: str = PYTHON_VERSION  # X.Y: of the lock, of the packages in `pins`, or the default of images
    features: tuple[str, ...] = ()  # extras of bentoml
    spec: int | None = None  # 1 or 2; default: 2 if it supports the options
    lock: LockedRequirements | None = None  # replaces all packages


@dataclass(frozen=True)
class BentoSettings(BentoOptions):
    """The settings of a Bento that aren't service metadata."""

    bentoml_version: str = BENTOML_VERSION  # if no requirement names bentoml
    options: BuildOptions = field(default_factory=BuildOptions)
    files: ProjectFiles = field(default_factory=lambda: ProjectFiles({}))  # that options refer to
    version: str = ""  # default: from the content
    readme: bytes | None = None  # of the project
    loads: list[list[str]] = field(
        default_factory=list
    )  # calls of framework functions that load models, from `model_loads`
    survey: Survey | None = None  # of the sources
    requires_modules: bool = False  # whether a module that no package provides is an error
    installed: Callable[[Mapping[str, str]], Mapping[str, InstalledPackage]] = lambda _pins: {}  # known packages
    requirements: tuple[Line, ...] = ()  # of requirements files, in addition to the options'
    own_packages: tuple[str, ...] = ()  # names of packages that the sources contain, from `importable_names`
    pins: tuple[str, ...] = ()  # `name==version`: packages of libraries from other hubs
    is_python_of_pins: bool = False  # whether `python_version` is the version for which `pins` are installed
    resolve: Resolver | None = None  # locks the requirements, unless `lock` is set
    api: ApiDescription | None = None  # of an imported service
    is_bentoml_chosen: bool = False  # whether `bentoml_version` also limits requirements for bentoml


@dataclass(frozen=True)
class Environment:
    """The environment of a Bento in spec 1 or spec 2: fields of bento.yaml, variables, and files."""

    document: dict[str, Any]  # the keys of bento.yaml from `spec`
    envs: tuple[EnvVariable, ...]  # of bento.yaml
    files: dict[str, bytes]  # by path in the Bento
    bentoml_version: str  # the pinned version


def docker_env(options: BuildOptions, files: ProjectFiles) -> dict[str, str] | None:
    """Return the variables in `docker.env_file` and `docker.env` (which has priority), or None if both are unset."""
    docker = options.docker
    if docker.env_file is None:
        return docker.env
    place = options.at("docker.env")
    variables = parse_dotenv(files.text(docker.env_file, place), docker.env_file)
    for name, value in variables.items():
        check_env(EnvVariable(name, value), place)
    return variables | (docker.env or {})


def merge_envs(env: dict[str, str] | None, envs: Sequence[EnvVariable]) -> tuple[EnvVariable, ...]:
    """Return the variables in `env` and `envs`. If both define a variable, `envs` takes precedence."""
    named = {one.name for one in envs}
    return (*(EnvVariable(name, value) for name, value in (env or {}).items() if name not in named), *envs)


def parse_dotenv(text: str, origin: str) -> dict[str, str]:
    """Parse a dotenv file. `$NAME` refers to a variable on an earlier line, never to the machine's environment.

    Raises BentoError with the file and line for an invalid line or an undefined `$NAME`.
    """
    values: dict[str, str] = {}
    for number, raw in enumerate(split_lines(text), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        setting = _SETTING.fullmatch(line)
        if not setting:
            # Don't print the line, which might contain a secret.
            raise BentoError(f"{origin}:{number}: invalid line", remedy="Write NAME=value.")
        values[setting[1]] = _value(setting[2], values, f"{origin}:{number}")
    return values


def _value(text: str, variables: dict[str, str], place: str) -> str:
    literal = _LITERAL.fullmatch(text)
    if literal:
        return literal[1]
    quoted = _QUOTED.fullmatch(text)
    if quoted:
        return _expand(re.sub(r"\\([^$])", r"\1", quoted[1]), variables, place)
    if text.startswith(("'", '"')):
        raise BentoError(f"{text!r} doesn't end with a closing quote", place=place, remedy="Quote the entire value.")
    return _expand(re.sub(r"(^|\s)#.*", "", text).strip(), variables, place)


def _expand(value: str, variables: dict[str, str], place: str) -> str:
    def replacement(match: re.Match[str]) -> str:
        name = match[2] or match[3]
        if match[1]:
            return match[0][1:]
        if name not in variables:
            remedy = f"Define the variable, or write \\${name} for a literal dollar sign."
            raise BentoError(f"${name} isn't defined on a previous line", place=place, remedy=remedy)
        return variables[name]

    return _VARIABLE.sub(replacement, value)
