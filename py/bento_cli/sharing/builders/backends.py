"""Describes the builders: their names, whether they are available, and their default variables."""

from __future__ import annotations

import os

from rules_bento.dataclasses_lite import dataclass, field
from rules_bento.errors import BentoError
from rules_bento.images.engines import DOCKER_PROBE, find_problem
from rules_bento.programs import which
from rules_bento.typing_lite import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

VARIABLE = "BENTOML_CONTAINERIZE_BACKEND"
"""BentoML's variable for the default backend."""


@dataclass(frozen=True)
class Backend:
    """Describes a builder; `command` creates its command line."""

    name: str
    program: str
    words: tuple[str, ...] = ("build",)
    buildkit: bool = True  # always supports BuildKit's features: progress, secrets for single steps
    probes: tuple[tuple[str, ...], ...] = ()  # commands that must succeed
    daemon: bool = False  # requires buildkitd
    variables: Mapping[str, str] = field(default_factory=dict)  # default values of variables

    def problem(self) -> str:
        """Return why this builder isn't available, or "" if it is, by BentoML's own checks, which run once."""
        if not which(self.program):
            return f"{self.program} is not installed"
        if self.daemon and not os.environ.get("BUILDKIT_HOST") and not which("buildkitd"):
            return "buildkitd is not installed, and BUILDKIT_HOST is not set"
        return find_problem(self.program, self.probes)


_BUILDKIT = {"DOCKER_BUILDKIT": "1", "DOCKER_SCAN_SUGGEST": "false"}
_BUILDAH = {"BUILDAH_FORMAT": "oci", "DOCKER_BUILDKIT": "0"}

BACKENDS = {
    backend.name: backend
    for backend in (
        Backend("docker", "docker", probes=(DOCKER_PROBE,), variables=_BUILDKIT),
        Backend(
            "buildx", "docker", ("buildx", "build"), probes=(DOCKER_PROBE, ("buildx", "version")), variables=_BUILDKIT
        ),
        Backend("podman", "podman", buildkit=False, variables=_BUILDAH),
        Backend("buildah", "buildah", buildkit=False, variables=_BUILDAH),
        Backend("nerdctl", "nerdctl", daemon=True),
        Backend("buildctl", "buildctl", daemon=True),
    )
}

# buildx is a plugin of docker
_ORDER = ("docker", "podman", "buildah", "nerdctl", "buildctl")


def choose(asked: str = "") -> Backend:
    """Return the backend with the given name, else from BentoML's variable, else the first available backend.

    Raises BentoError for an unknown or unavailable backend.
    """
    asked = asked or os.environ.get(VARIABLE, "")
    if asked == "native":
        raise BentoError(
            "native: without an image builder, only the rule bento_image builds images, from locked wheels and a base "
            "image with a digest. Use the rule, or another backend."
        )
    if asked and asked not in BACKENDS:
        raise BentoError(f"invalid backend {asked!r}. Valid values: {', '.join(BACKENDS)}.")
    if asked:
        problem = BACKENDS[asked].problem()
        if problem:
            others = ", ".join(backend.name for backend in usable() if backend.name != asked)
            way_out = f"Use another --backend: {others}." if others else "Install it, or another builder."
            raise BentoError(f"{asked}: not available: {problem}. {way_out}")
        return BACKENDS[asked]
    for backend in usable():
        return backend
    raise BentoError(f"No image builder is available. Install one of {', '.join(_ORDER)}.")


def usable() -> Iterator[Backend]:
    """List the available backends in order of preference."""
    return (BACKENDS[name] for name in _ORDER if not BACKENDS[name].problem())
