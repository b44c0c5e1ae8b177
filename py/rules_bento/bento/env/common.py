"""Common parts of `env/` and bento.yaml in both of BentoML's formats."""

from __future__ import annotations

from rules_bento.build_options.option_checks import check_env
from rules_bento.build_options.options import EnvVariable
from rules_bento.dataclasses_lite import dataclass
from rules_bento.typing_lite import Any

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from rules_bento.build_options.options import BuildOptions
    from rules_bento.build_options.project import ProjectFiles


@dataclass(frozen=True)
class Environment:
    """The environment of a Bento in one of BentoML's two formats."""

    document: dict[str, Any]  # the keys of bento.yaml from `spec`
    envs: tuple[EnvVariable, ...]  # of bento.yaml
    files: dict[str, bytes]  # by path in the Bento
    bentoml_version: str  # the pinned version


def docker_env(options: BuildOptions, files: ProjectFiles) -> dict[str, str] | None:
    """Return `docker.env` merged with the variables of its file."""
    docker = options.docker
    if docker.env_file is None:
        return docker.env
    place = options.at("docker.env")
    from rules_bento.bento.env import dotenv

    variables = dotenv.parse(files.text(docker.env_file, place), docker.env_file)
    for name, value in variables.items():
        check_env(EnvVariable(name, value), place)
    return variables | (docker.env or {})


def merge_envs(env: dict[str, str] | None, envs: Sequence[EnvVariable]) -> tuple[EnvVariable, ...]:
    """Merge `docker.env` and `envs`, which override it."""
    named = {one.name for one in envs}
    return (*(EnvVariable(name, value) for name, value in (env or {}).items() if name not in named), *envs)
