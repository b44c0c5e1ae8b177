"""Finds steps of a Bento's image build that need a container builder, such as commands."""

from __future__ import annotations

import shlex

from rules_bento.build_options import distros
from rules_bento.build_options.option_checks import is_system_package
from rules_bento.dataclasses_lite import NamedTuple
from rules_bento.errors import BentoError
from rules_bento.typing_lite import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator


class UnsupportedStep(NamedTuple):
    """Describes a step of a Bento's image build that only a container builder can run."""

    name: str  # the name for `ignore_system_requirements`
    description: str  # a clause for messages


class Installation(NamedTuple):
    """Describes a command of bento.yaml that only installs packages of a distribution."""

    distro: str
    packages: tuple[str, ...]  # the requested ones; every image of the distribution has further packages


def reject_commands(bento: dict[str, Any], provided: Collection[str] = ()) -> None:
    """Raise BentoError for a bento.yaml whose image has commands, a template, or conda packages.

    `provided` names the steps whose results are in the base or in layers, as declared by a target. The checks of the
    image handle system packages, because they have the base's list of packages.
    """
    for step in unsupported_steps(bento):
        if step.name not in provided:
            raise BentoError(
                f"{step.description}, but bento_image runs no commands. Put the results into the base or into layers, "
                f"or import the Bento and use `bentoml containerize`. If the service doesn't need the results, or the "
                f'base has them, set ignore_system_requirements = ["{_escaped(step.name)}"].'
            )


def unsupported_steps(bento: dict[str, Any]) -> Iterator[UnsupportedStep]:
    """Yield the steps of a bento.yaml that only a container builder can run."""
    image, docker, conda = (bento.get(key) or {} for key in ("image", "docker", "conda"))
    for command in [*image.get("commands", ()), *image.get("post_commands", ())]:
        if installation(command) is None:
            what = f"runs {command!r} (setup_script, run or run_script)"
            yield UnsupportedStep(command, f"the image of the Bento {what}")
    for option in ("setup_script", "dockerfile_template"):
        if docker.get(option):
            yield UnsupportedStep(option, f"the Bento has docker.{option} ({docker[option]})")
    if any(conda.get(key) for key in ("environment_yml", "dependencies", "pip")):
        yield UnsupportedStep("conda", "the Bento has conda packages")


def installation(command: str) -> Installation | None:
    """Parse a command with which bento.yaml installs system packages. Returns None for any other command."""
    for distro in map(distros.get, distros.NAMES):
        if command == distro.first_command:
            return Installation(distro.name, ())
    for distro in map(distros.get, distros.NAMES):
        more = command.removeprefix(distro.further_command.partition("{")[0])
        packages = _arguments(more) if more != command else ()
        if packages and all(map(is_system_package, packages)):
            return Installation(distro.name, packages)
    return None


def _arguments(text: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(text))
    except ValueError:  # an unclosed quotation mark
        return ()


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
