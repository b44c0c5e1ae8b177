"""Finds the container engines on this machine."""

from __future__ import annotations

import subprocess

from rules_bento.programs import which
from rules_bento.typing_lite import Sequence

LOADERS = ("docker", "podman", "nerdctl")  # programs that load an archive and run the image, in order of preference
# Machine names of the kernel, as docker reports them, to their names in OCI images.
# Arguments of a docker command that fails without a daemon.
DOCKER_PROBE = ("version", "--format", "{{json .Server.Version}}")
_SECONDS = 30  # seconds within which a daemon must answer


def find_problem(name: str, probes: Sequence[Sequence[str]] = ()) -> str:
    """Return the reason why the program `name` is unusable, or an empty string if the program is usable.

    Runs the program with each list of arguments in `probes`. Each run must exit with status 0.
    """
    program = which(name)
    if not program:
        return f"{name} isn't installed"
    for probe in probes:
        command = f"`{' '.join([name, *probe])}`"
        try:
            done = subprocess.run([program, *probe], check=False, capture_output=True, timeout=_SECONDS, text=True)
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"{command} doesn't respond ({error})"
        if done.returncode:
            return f"{command} fails: {' '.join((done.stderr or done.stdout).split())[:200]}"
    return ""


def find_loader() -> str:
    """Return the first usable program in `LOADERS`, or an empty string if no program is usable."""
    return next((name for name in LOADERS if not find_problem(name, [DOCKER_PROBE] if name == "docker" else [])), "")
