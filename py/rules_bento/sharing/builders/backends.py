"""Describes the builders: their names, whether they are installed and work, and what they set."""

from __future__ import annotations

import os
import shutil
import subprocess

from rules_bento.errors import BentoError
from rules_bento.hints import TYPE_CHECKING
from rules_bento.records import dataclass, field

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

VARIABLE = "BENTOML_CONTAINERIZE_BACKEND"
"""BentoML's variable for the one to take."""

_SECONDS = 30  # that a daemon has to answer


@dataclass(frozen=True)
class Backend:
    """Describes a builder; `command` makes its command line."""

    name: str
    program: str
    words: tuple[str, ...] = ("build",)
    buildkit: bool = True  # whether it always has BuildKit's ways: progress, secrets for single steps
    probes: tuple[tuple[str, ...], ...] = ()  # each has to succeed
    daemon: bool = False  # whether it needs buildkitd
    variables: Mapping[str, str] = field(default_factory=dict)  # unless they are set

    def problem(self) -> str:
        """Return why this builder cannot be used here, or "" if it can, by BentoML's own tests, run once."""
        if not shutil.which(self.program):
            return f"{self.program} is not installed"
        if self.daemon and not os.environ.get("BUILDKIT_HOST") and not shutil.which("buildkitd"):
            return "neither is buildkitd installed nor does BUILDKIT_HOST say where one is"
        return self.silence()

    def silence(self) -> str:
        """Return why this builder does not answer here, or "" if it does."""
        program = shutil.which(self.program)
        if not program:
            return f"{self.program} is not installed"
        for probe in self.probes:
            try:
                done = subprocess.run([program, *probe], check=False, capture_output=True, timeout=_SECONDS, text=True)
            except (OSError, subprocess.TimeoutExpired) as error:
                return f"`{' '.join([self.program, *probe])}` does not answer ({error})"
            if done.returncode:
                answer = " ".join((done.stderr or done.stdout).split())[:200]
                return f"`{' '.join([self.program, *probe])}` fails: {answer}"
        return ""


_DOCKER = ("version", "--format", "{{json .Server.Version}}")
_BUILDKIT = {"DOCKER_BUILDKIT": "1", "DOCKER_SCAN_SUGGEST": "false"}
_BUILDAH = {"BUILDAH_FORMAT": "oci", "DOCKER_BUILDKIT": "0"}

BACKENDS = {
    backend.name: backend
    for backend in (
        Backend("docker", "docker", probes=(_DOCKER,), variables=_BUILDKIT),
        Backend("buildx", "docker", ("buildx", "build"), probes=(_DOCKER, ("buildx", "version")), variables=_BUILDKIT),
        Backend("podman", "podman", buildkit=False, variables=_BUILDAH),
        Backend("buildah", "buildah", buildkit=False, variables=_BUILDAH),
        Backend("nerdctl", "nerdctl", daemon=True),
        Backend("buildctl", "buildctl", daemon=True),
    )
}

# buildx is docker's, and who has docker means docker.
_ORDER = ("docker", "podman", "buildah", "nerdctl", "buildctl")

LOADERS = ("docker", "podman", "nerdctl")
"""Those that take an image from `load` and run it, in the order in which they are taken."""


def choose(asked: str = "") -> Backend:
    """Return the backend of a name, else of BentoML's variable, else the first that is here and well.

    Raises BentoError for one that is none, or cannot be used here.
    """
    asked = asked or os.environ.get(VARIABLE, "")
    if asked == "native":
        raise BentoError(
            "native: images without a builder are made by the rule bento_image, which has the locked wheels and the "
            "base by their digests. Here nothing is locked for a platform. Take the rule, or another backend."
        )
    if asked and asked not in BACKENDS:
        raise BentoError(f"{asked!r}: is no backend. There are {', '.join(BACKENDS)}.")
    if asked:
        problem = BACKENDS[asked].problem()
        if problem:
            others = ", ".join(backend.name for backend in usable() if backend.name != asked)
            way_out = f"{others} would do: `--backend`." if others else "Install it, or one of the others."
            raise BentoError(f"{asked}: cannot be used here: {problem}. {way_out}")
        return BACKENDS[asked]
    for backend in usable():
        return backend
    raise BentoError(f"No builder of images is here, or none is well. Install one of {', '.join(_ORDER)}.")


def usable() -> Iterator[Backend]:
    """Return the backends that are here and well, in the order in which they are taken."""
    return (BACKENDS[name] for name in _ORDER if not BACKENDS[name].problem())


def loader() -> str:
    """Return the first of `LOADERS` that is here and answers; empty if there is none."""
    return next((name for name in LOADERS if not BACKENDS[name].silence()), "")
