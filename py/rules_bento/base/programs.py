"""Finds programs on PATH or next to this interpreter, but never in the current directory, and container engines."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

IMPORT_PATH = "import sys; sys.path[:] = [path for path in sys.path if path]; "
"""The prefix of code for `python -c` that prevents imports from the current directory. Python 3.10 has no `-P`."""


def which(name: str, path: str | None = None) -> str | None:
    """Return the path of a program in an absolute directory of PATH, or None if the program isn't found.

    Ignores empty and relative entries of PATH, such as `.`, because they could select a program in the current project.
    """
    import shutil

    if not name or "/" in name or "\0" in name:
        return None
    entries = (os.environ.get("PATH", os.defpath) if path is None else path).split(os.pathsep)
    return shutil.which(name, path=os.pathsep.join(entry for entry in entries if entry.startswith("/")))


LOADERS = ("docker", "podman", "nerdctl")  # programs that load an archive and run the image, in order of preference
# Arguments of a docker command that fails without a daemon.
DOCKER_PROBE = ("version", "--format", "{{json .Server.Version}}")
_PROBE_SECONDS = 30  # seconds within which a daemon must answer


def find_problem(name: str, probes: Sequence[Sequence[str]] = ()) -> str:
    """Return the reason why the program `name` is unusable, or an empty string if the program is usable.

    Runs the program with each list of arguments in `probes`. Each run must exit with status 0.
    """
    import subprocess

    from rules_bento.base.landlock import outside

    program = which(name)
    if not program:
        return f"{name} isn't installed"
    for probe in probes:
        command = f"`{' '.join([name, *probe])}`"
        try:
            words = [program, *probe]
            done = outside(subprocess.run, words, check=False, capture_output=True, timeout=_PROBE_SECONDS, text=True)
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"{command} doesn't respond ({error})"
        if done.returncode:
            return f"{command} fails: {' '.join((done.stderr or done.stdout).split())[:200]}"
    return ""


def find_loader() -> str:
    """Return the first usable program in `LOADERS`, or an empty string if no program is usable."""
    return next((name for name in LOADERS if not find_problem(name, [DOCKER_PROBE] if name == "docker" else [])), "")
