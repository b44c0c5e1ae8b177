"""Checks whether an image meets the requirements of a Bento: packages, distribution, CUDA, and commands."""

from __future__ import annotations

import re
import shlex

from rules_bento.base.dataclasses_lite import NamedTuple
from rules_bento.base.errors import BentoError
from rules_bento.base.typing_lite import Any, Collection, Iterable, Iterator, Mapping, Sequence
from rules_bento.bentos.build_options import distros
from rules_bento.bentos.build_options.document import did_you_mean
from rules_bento.bentos.build_options.option_checks import is_system_package
from rules_bento.images.system_packages import InstalledPackage, PackageRequest
from rules_bento.images.validation.remedies import Remedies, listed

_RULES = Remedies()


def reject_commands(
    bento: dict[str, Any], provided: Collection[str] = (), remedies: Remedies = _RULES, where: str = ""
) -> None:
    """Raise BentoError for an unsupported step whose name isn't in `provided`. The message begins with `where`."""
    for name, step in unsupported_steps(bento):
        if name not in provided:
            remedy = f"Use {remedies.builder}. If the base image or a layer already contains the results of this "
            remedy += f"step, you can instead {remedies.ignore_requirements([name])}."
            raise BentoError(f"{where}{step}, but {remedies.front} can't run commands", remedy=remedy)


def unsupported_steps(bento: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield each step in bento.yaml that only a container builder can run: its name, and a clause for messages."""
    image, docker, conda = (bento.get(key) or {} for key in ("image", "docker", "conda"))
    for command in [*image.get("commands", ()), *image.get("post_commands", ())]:
        if installation(command) is None:
            what = f"runs {command!r} (setup_script, run or run_script)"
            yield command, f"the image of the Bento {what}"
    for option in ("setup_script", "dockerfile_template"):
        if docker.get(option):
            yield option, f"the Bento has docker.{option} ({docker[option]})"
    if any(conda.get(key) for key in ("environment_yml", "dependencies", "pip")):
        yield "conda", "the Bento has conda packages"


def installation(command: str) -> tuple[str, tuple[str, ...]] | None:
    """Parse a command of bento.yaml that only installs system packages. Returns the distribution and the packages.

    Returns None for other commands.
    """
    for distro in map(distros.get, distros.NAMES):
        if command == distro.first_command:
            return distro.name, ()
    for distro in map(distros.get, distros.NAMES):
        more = command.removeprefix(distro.further_command.partition("{")[0])
        try:
            packages = tuple(shlex.split(more)) if more != command else ()
        except ValueError:  # an unclosed quotation mark
            packages = ()
        if packages and all(map(is_system_package, packages)):
            return distro.name, packages
    return None


CUDA = "cuda"
DISTRO = "distro"

# IDs in os-release of BentoML's distributions, or of distributions that are based on them.
_IDS = {"debian": {"debian"}, "alpine": {"alpine"}, "ubi8": {"rhel", "centos", "fedora"}, "amazonlinux": {"amzn"}}
# Packages that contain only code for NVIDIA GPUs, and are large.
_GPU_WHEEL = re.compile(r"(nvidia_(?!ml_py)|triton-|cupy_cuda|jax_cuda|flash_attn-)", re.IGNORECASE)
_MIN_GPU_BYTES = 100_000_000
_MAX_LISTED = 3
_CUDA_WHEEL = re.compile(r"nvidia_cuda_runtime(?:_cu\d+)?-(\d+(?:\.\d+)*)")


class ImageRequirements(NamedTuple):
    """A Bento's requirements for its image."""

    distro: str  # BentoML's name; empty for none
    packages: tuple[str, ...]  # of the distribution, as requested
    cuda: str  # a version; empty for none
    unsupported: tuple[str, ...]  # names of steps that need a container builder
    may_use_gpu: bool = True  # false only if all services are known, and none requests a GPU


class ImageSystem(NamedTuple):
    """The known contents of the base image and the layers."""

    base: str  # label
    ids: tuple[str, ...]  # ID and ID_LIKE of os-release; empty if unknown
    packages: tuple[InstalledPackage, ...]  # the installed packages, as far as known
    is_known: bool  # whether `packages` is complete
    cuda: tuple[str, ...]  # versions in the base and in packages


def read_requirements(bento: dict[str, Any]) -> ImageRequirements:
    """Return the requirements that a bento.yaml specifies for the image."""
    image, docker = (bento.get(key) or {} for key in ("image", "docker"))
    installs = [install for command in image.get("commands", ()) if (install := installation(command))]
    packages = [*(docker.get("system_packages") or ()), *(name for _, names in installs for name in names)]
    return ImageRequirements(
        str(docker.get("distro") or (installs[0][0] if installs else "")),
        tuple(dict.fromkeys(packages)),
        str(docker.get("cuda_version") or ""),
        tuple(name for name, _ in unsupported_steps(bento)),
        _may_use_gpu(bento),
    )


def _may_use_gpu(bento: dict[str, Any]) -> bool:
    resources = service_resources(bento)
    return not resources or any("gpu" in each or "gpu_type" in each for each in resources)


def service_resources(bento: dict[str, Any]) -> list[dict[str, Any]]:
    """Return `resources` of each service of a bento.yaml, which is empty if it isn't a mapping."""
    found = [(service.get("config") or {}).get("resources") for service in bento.get("services") or ()]
    return [each if isinstance(each, dict) else {} for each in found]


def cuda_versions(env: Mapping[str, str], wheels: Iterable[str]) -> tuple[str, ...]:
    """Return the CUDA versions of a base with the variables `env`, and of CUDA runtime wheels, by their file names."""
    base = [version] if (version := env.get("CUDA_VERSION", "")) else []
    return (*base, *(match[1] for name in wheels if (match := _CUDA_WHEEL.match(name))))


def gpu_note(
    requirements: ImageRequirements,
    wheels: Iterable[tuple[str, int]],
    provided: Collection[str],
    remedies: Remedies = _RULES,
) -> str:
    """Return a note about large CUDA packages in `wheels`, which contains pairs of file name and size in bytes.

    Returns an empty string if there are no such packages, if the Bento requires CUDA or might use a GPU, or if
    `provided` contains `cuda`.
    """
    of_cuda = [(size, name) for name, size in wheels if _GPU_WHEEL.match(name)]
    total = sum(size for size, _ in of_cuda)
    if requirements.may_use_gpu or requirements.cuda or CUDA in provided or total < _MIN_GPU_BYTES:
        return ""
    largest = [name.partition("-")[0] for _, name in sorted(of_cuda, reverse=True)]
    packages = ", ".join([*largest[:_MAX_LISTED], *(["..."] if len(largest) > _MAX_LISTED else [])])
    return (
        f"{total / 1e6:,.0f} MB of the packages are for CUDA ({packages}), "
        "but no service requests a GPU. Lock packages for CPU (`explicit` and `indexes` of bento_requirements), or set "
        f'resources = {{"gpu": 1}} on the service. To hide this note, {remedies.ignore_requirements([CUDA])}.'
    )


def problems(
    requirements: ImageRequirements, system: ImageSystem, remedies: Remedies, provided: Collection[str]
) -> Iterator[str]:
    """Yield an error message for each unmet requirement that isn't in `provided`.

    Also yields an error message for each name in `provided` that the Bento doesn't require.
    """
    yield from _unrequested(requirements, provided, remedies)
    if DISTRO not in provided:
        yield from _distro(requirements, system, remedies)
    yield from _packages([name for name in requirements.packages if name not in provided], system, remedies)
    if requirements.cuda and CUDA not in provided:
        yield from _cuda(requirements.cuda, system, remedies)


def _unrequested(requirements: ImageRequirements, provided: Iterable[str], remedies: Remedies) -> Iterator[str]:
    # CUDA also hides `gpu_note`.
    known = [*requirements.packages, *requirements.unsupported, CUDA, DISTRO]
    for name in provided:
        if name not in known:
            near = did_you_mean(name, known)
            yield f"{remedies.ignored_requirements}: the Bento doesn't require {name!r}.{near} Remove the name."


def _distro(requirements: ImageRequirements, system: ImageSystem, remedies: Remedies) -> Iterator[str]:
    """Yield an error message if the base doesn't have the distribution that the Bento requires."""
    if not system.ids or not (requirements.packages or requirements.distro not in ("", distros.DEFAULT)):
        return
    if requirements.distro and not _IDS[requirements.distro].intersection(system.ids):
        yield (
            f"the Bento requires the distribution {requirements.distro}, but {system.base} is {system.ids[0]}. Use a "
            f"base of {requirements.distro}, or change distro of the Bento. If the service supports both, "
            f"{remedies.ignore_requirements([DISTRO])}."
        )


def _cuda(requested: str, system: ImageSystem, remedies: Remedies) -> Iterator[str]:
    """Yield an error message if the image lacks the requested major and minor version of CUDA."""
    if not any(version.split(".")[:2] == requested.split(".")[:2] for version in system.cuda):
        has = f"contain {listed(system.cuda)}" if system.cuda else "contain no known CUDA version"
        yield (
            f"the Bento requires CUDA {requested} (docker.cuda_version), but {system.base} and the packages {has}. Use "
            "a base or packages (nvidia-cuda-runtime) with this version. If the service also runs with this image, "
            f"{remedies.ignore_requirements([CUDA])}."
        )


def _packages(requested: Sequence[str], system: ImageSystem, remedies: Remedies) -> Iterator[str]:
    missing: dict[str, PackageRequest] = {}
    for name in requested:
        request = PackageRequest.parse(name)
        if request is None:
            yield (
                f"the Bento requires the system package {name!r}, a pattern, range, or option of the package manager "
                f"that cannot be checked. Specify the name of the package, or {remedies.ignore_requirements([name])}."
            )
        elif not request.is_satisfied(system.packages):
            missing[name] = request
    if missing and system.is_known:
        yield "".join(_missing(missing, system, remedies))
    elif missing:
        yield (
            f"the Bento requires the system packages {listed([*missing])}, but the packages of {system.base} are "
            f"unknown. {remedies.unknown_packages} If the base contains the packages, or the service doesn't need the "
            f"packages, {remedies.ignore_requirements(missing)}."
        )


def _missing(requests: Mapping[str, PackageRequest], system: ImageSystem, remedies: Remedies) -> Iterator[str]:
    names = [*requests]
    kind = "package" if len(names) == 1 else "packages"
    yield f"the Bento requires the system {kind} {listed(names)}, but {system.base} and the layers lack the {kind}"
    details = [
        f"{package.name} is {package.version} ({package.architecture})"
        for request in requests.values()
        for package in system.packages
        if package.name == request.name
    ]
    yield f" ({', '.join(details)})" if details else ""
    yield f". {remedies.add_packages(request.name for request in requests.values())}"
    yield f"If the image contains or the service doesn't need the {kind}, {remedies.ignore_requirements(names)}."
