"""Finds what a Bento asks to be run while its image is built, which only a build with a daemon can do."""

from __future__ import annotations

import shlex

from rules_bento.build_options import distros
from rules_bento.build_options.option_checks import is_system_package
from rules_bento.errors import BentoError
from rules_bento.hints import TYPE_CHECKING, Any
from rules_bento.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

_WAY_OUT = (
    "bento_image runs nothing. Put what it makes into the base or into layers, and build the image of a Bento without "
    "it; or import the Bento and let `bentoml containerize` build the image. If the base has what it makes, or the "
    "service does without, set ignore_system_requirements = "
)


class Refused(NamedTuple):
    """Describes something in a Bento that only a build with a daemon can do."""

    name: str  # as `ignore_system_requirements` has it
    said: str  # what the Bento does, for messages


class Installation(NamedTuple):
    """Describes a command of bento.yaml that installs packages of a distribution, and nothing else."""

    distro: str
    packages: tuple[str, ...]  # that somebody asked for: each image of the distribution has some more


def refuse_commands(bento: dict[str, Any], provided: Collection[str] = ()) -> None:
    """Raise BentoError for a bento.yaml whose image has commands, a template, or packages of conda.

    `provided` names those of which a target says that base and layers have what they make. Packages of a distribution
    are left to the checks of an image, which know what the base has.
    """
    for refused in not_run(bento):
        if refused.name not in provided:
            raise BentoError(f'{refused.said}, but {_WAY_OUT}["{_escaped(refused.name)}"].')


def not_run(bento: dict[str, Any]) -> Iterator[Refused]:
    """Yield what a bento.yaml asks for that only a build with a daemon can do."""
    image, docker, conda = (bento.get(key) or {} for key in ("image", "docker", "conda"))
    for command in [*image.get("commands", ()), *image.get("post_commands", ())]:
        if installation(command) is None:
            what = f"runs {command!r} (setup_script, run or run_script)"
            yield Refused(command, f"the image of the Bento {what}")
    for option in ("setup_script", "dockerfile_template"):
        if docker.get(option):
            yield Refused(option, f"the Bento has docker.{option} ({docker[option]})")
    if any(conda.get(key) for key in ("environment_yml", "dependencies", "pip")):
        yield Refused("conda", "the Bento has packages of conda")


def installation(command: str) -> Installation | None:
    """Read a command as bento.yaml has it for packages of a distribution; nothing if it is another one."""
    for distro in map(distros.get, distros.NAMES):
        if command == distro.first_command:
            return Installation(distro.name, ())
    for distro in map(distros.get, distros.NAMES):
        more = command.removeprefix(distro.further_command.partition("{")[0])
        packages = _words(more) if more != command else ()
        if packages and all(map(is_system_package, packages)):
            return Installation(distro.name, packages)
    return None


def _words(text: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(text))
    except ValueError:  # a quotation mark that is not closed
        return ()


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
