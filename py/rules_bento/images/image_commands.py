"""What the image that a Bento asks for runs while it is built: nothing that an image without a daemon can do."""

from __future__ import annotations

from typing import Any

from rules_bento.build_options import distros
from rules_bento.errors import BentoError

_WAY_OUT = (
    "bento_image runs nothing. Put what it makes into the base or into layers, and build the image of a Bento without "
    "it; or import the Bento and let `bentoml containerize` build the image."
)


def refuse_commands(bento: dict[str, Any]) -> None:
    """Raise BentoError for a bento.yaml whose image has commands, a template, or packages of conda.

    Packages of a distribution are left to the base, which is made of them.
    """
    image, docker, conda = (bento.get(key) or {} for key in ("image", "docker", "conda"))
    for command in [*image.get("commands", ()), *image.get("post_commands", ())]:
        if not _installs_packages(command):
            what = f"runs {command!r} (setup_script, run or run_script)"
            raise BentoError(f"the image of the Bento {what}, but {_WAY_OUT}")
    for option in ("setup_script", "dockerfile_template"):
        if docker.get(option):
            raise BentoError(f"the Bento has docker.{option} ({docker[option]}), but {_WAY_OUT}")
    if any(conda.get(key) for key in ("environment_yml", "dependencies", "pip")):
        raise BentoError(f"the Bento has packages of conda, but {_WAY_OUT}")


def _installs_packages(command: str) -> bool:
    for distro in map(distros.get, distros.NAMES):
        start = distro.further_command.partition("{")[0]
        more = command.removeprefix(start)
        if command == distro.first_command or (command.startswith(start) and not set(more) & set(";&|<>")):
            return True
    return False
