"""Checks which image builders are available, and creates their command lines."""

from __future__ import annotations

import os

from rules_bento.base.dataclasses_lite import dataclass, field
from rules_bento.base.errors import BentoError
from rules_bento.base.programs import DOCKER_PROBE, find_problem, which
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Iterator, Mapping, Sequence
from rules_bento.images.registry.reference import DEFAULT_REGISTRY, has_registry

if TYPE_CHECKING:
    from pathlib import Path

    from bento_cli.sharing.image_changes import ImageChanges
    from bento_cli.store.entry_store import Entry

    Options = Mapping[str, Sequence[str] | bool]
    """Options by name, without leading hyphens: the values of a repeatable option, or true for a flag."""

VARIABLE = "BENTOML_CONTAINERIZE_BACKEND"
"""BentoML's variable for the default backend."""


@dataclass(frozen=True)
class Backend:
    """An image builder: its program, subcommand, requirements, and default environment variables."""

    name: str
    program: str
    words: tuple[str, ...] = ("build",)
    buildkit: bool = True  # always supports BuildKit's features, such as progress and secrets
    probes: tuple[tuple[str, ...], ...] = ()  # commands that succeed if the builder is available
    daemon: bool = False  # requires the daemon buildkitd
    variables: Mapping[str, str] = field(default_factory=dict)  # default values of environment variables

    def problem(self) -> str:
        """Return why this builder isn't available, or "" if it is available. Applies the same checks as BentoML."""
        problem = find_problem(self.program, self.probes)
        if not problem and self.daemon and not os.environ.get("BUILDKIT_HOST") and not which("buildkitd"):
            return "buildkitd isn't installed, and BUILDKIT_HOST isn't set"
        return problem


@dataclass(frozen=True)
class NativeImage:
    """The result of building an image. `runner` is the program that can run the image, or "" if no program can."""

    names: tuple[str, ...]
    runner: str
    digest: str
    base: str  # the base image with its digest
    sent: int  # bytes
    mounted: int  # bytes that the registry had in other repositories
    notes: tuple[str, ...]
    changes: tuple[ImageChanges, ...]  # for each platform, with --explain
    startup: dict[str, Any]  # measurements, with --start


@dataclass(frozen=True)
class Containerized(NativeImage):
    """The image of a Bento. Only the native backend sets more than `names` and `runner`."""

    entry: Entry
    backend: Backend


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

NATIVE = Backend("native", "")
"""The backend without a builder: the actions of `bento_image` (see `native_image`)."""

BUILDER = f"`bento containerize` with a --backend that runs the Bento's Dockerfile: {', '.join(BACKENDS)}"
BUILDER_REMEDY = f"Use {BUILDER}."

# docker includes buildx as a plugin.
_ORDER = ("docker", "podman", "buildah", "nerdctl", "buildctl")


def choose(requested: str = "") -> Backend:
    """Return the requested backend. Raises BentoError if the backend is unknown or unavailable.

    If `requested` is empty, uses the backend that the variable BENTOML_CONTAINERIZE_BACKEND specifies. If the variable
    isn't set either, uses the first available backend, or `NATIVE` if no other backend is available.
    """
    source = "--backend" if requested else VARIABLE
    requested = requested or os.environ.get(VARIABLE, "")
    if requested in ("", NATIVE.name):
        return NATIVE if requested else next(usable(), NATIVE)
    if requested not in BACKENDS:
        remedy = f"Valid values: {', '.join((*BACKENDS, NATIVE.name))}."
        raise BentoError(f"invalid value {requested!r}", place=source, remedy=remedy)
    if problem := BACKENDS[requested].problem():
        others = ", ".join([*(backend.name for backend in usable() if backend.name != requested), NATIVE.name])
        remedy = f"Select an available backend: {others}."
        raise BentoError(f"can't use {requested}: {problem}", place=source, remedy=remedy)
    return BACKENDS[requested]


def usable() -> Iterator[Backend]:
    """Yield the available backends in order of preference."""
    return (BACKENDS[name] for name in _ORDER if not BACKENDS[name].problem())


# Options of buildctl. All other options are passed to its frontend.
_OF_BUILDCTL = ("output", "progress", "no-cache", "export-cache", "import-cache", "secret")
# Names of docker's options, and the corresponding names in buildctl.
_FROM_DOCKER = {"cache-to": "export-cache", "cache-from": "import-cache"}

DOCKERFILE = "env/docker/Dockerfile"
"""The path of the Dockerfile in the build context."""


def words(
    backend: Backend, context: Path, names: Sequence[str], options: Options, arguments: Sequence[str] = ()
) -> list[str]:
    """Return the arguments for the backend's program, beginning with the subcommand. `arguments` are its own options.

    Raises BentoError for an unsupported option.
    """
    options = dict(options)
    if backend.name == "buildctl":
        return [*backend.words, *_buildctl(context, names, options, arguments)]
    own = {argument.partition("=")[0].lstrip("-") for argument in arguments}
    if backend.name == "buildx" and not (options.keys() | own) & {"push", "load", "output", "o"}:
        options["load"] = True
    option_words = [word for name, value in options.items() for word in _option(name, value)]
    tags = [word for name in names for word in ("--tag", name)]
    return [*backend.words, *option_words, *arguments, *tags, "--file", str(context / DOCKERFILE), str(context)]


def _option(name: str, value: Sequence[str] | bool) -> list[str]:
    if isinstance(value, bool):
        return [f"--{name}"] if value else []
    return [word for one in value for word in (f"--{name}", one)]


def _buildctl(
    context: Path, names: Sequence[str], options: dict[str, Sequence[str] | bool], arguments: Sequence[str]
) -> list[str]:
    words = ["--local", f"context={context}", "--local", f"dockerfile={(context / DOCKERFILE).parent}"]
    words += ["--frontend", "dockerfile.v0"]
    outputs = options.pop("output", None) or [_loadable(names)]
    words += _option("output", outputs)
    options = {_FROM_DOCKER.get(name, name): value for name, value in options.items()}
    for name in [name for name in options if name in _OF_BUILDCTL]:
        words += _option(name, options.pop(name))
    for name, value in options.items():
        if isinstance(value, bool):
            remedy = f"Remove --{name}, or use another --backend."
            raise BentoError(f"--{name} isn't supported by buildctl", remedy=remedy)
        for one in value:
            words += ["--opt", f"{name}:{one}" if name in ("build-arg", "label") else f"{name}={one}"]
    return [*words, *arguments]


def _loadable(names: Sequence[str]) -> str:
    """Return the value of buildctl's `--output` that produces an archive for `docker load`."""
    listed = ",".join(name if has_registry(name) else f"{DEFAULT_REGISTRY}/{name}" for name in names)
    return f'type=docker,"name={listed}"' if len(names) > 1 else f"type=docker,name={listed}"
