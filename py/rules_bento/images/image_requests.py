"""Checks what a Bento asks of its image against base and layers: packages, distribution, CUDA, commands."""

from __future__ import annotations

import re

from rules_bento.build_options import distros
from rules_bento.build_options.document import did_you_mean
from rules_bento.hints import TYPE_CHECKING, Any
from rules_bento.images.image_commands import installation, not_run
from rules_bento.images.system_packages import Asked, Package
from rules_bento.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

CUDA = "cuda"
DISTRO = "distro"

# What os-release calls a distribution of BentoML's, or one that is made of it.
_IDS = {"debian": {"debian"}, "alpine": {"alpine"}, "ubi8": {"rhel", "centos", "fedora"}, "amazonlinux": {"amzn"}}
_CUDA_WHEEL = re.compile(r"nvidia_cuda_runtime(?:_cu\d+)?-(\d+(?:\.\d+)*)")


class Requests(NamedTuple):
    """Holds what a Bento asks of its image."""

    distro: str  # a name of BentoML's; empty for none
    packages: tuple[str, ...]  # of the distribution, as they are asked for
    cuda: str  # a version; empty for none
    refused: tuple[str, ...]  # names of what an image without a daemon cannot have


class System(NamedTuple):
    """Holds what is known of the base and the layers."""

    base: str  # label
    ids: tuple[str, ...]  # ID and ID_LIKE of os-release; empty if they are not known
    packages: tuple[Package, ...]  # that are known to be installed
    is_known: bool  # whether those are all
    cuda: tuple[str, ...]  # versions, of the base and of packages


class Place(NamedTuple):
    """Tells, for messages, where packages can be added."""

    image: str  # name of the bento_image
    hub: str  # of Debian packages; empty for a base that is not made of them
    lower: str  # label of what a further layer lies over


def read_requests(bento: dict[str, Any]) -> Requests:
    """Return what a bento.yaml asks for."""
    image, docker = (bento.get(key) or {} for key in ("image", "docker"))
    installs = [install for command in image.get("commands", ()) if (install := installation(command))]
    packages = [*(docker.get("system_packages") or ()), *(name for install in installs for name in install.packages)]
    return Requests(
        str(docker.get("distro") or (installs[0].distro if installs else "")),
        tuple(dict.fromkeys(packages)),
        str(docker.get("cuda_version") or ""),
        tuple(refused.name for refused in not_run(bento)),
    )


def cuda_of_wheels(names: Iterable[str]) -> tuple[str, ...]:
    """Return the versions of CUDA that packages bring, by the names of their files."""
    return tuple(match[1] for name in names if (match := _CUDA_WHEEL.match(name)))


def problems(requests: Requests, system: System, place: Place, provided: Collection[str]) -> Iterator[str]:
    """Yield what the Bento asks for and the image would lack, each with a remedy.

    `provided` names what a target says is there in another way, or not needed.
    """
    yield from _unasked(requests, provided)
    if DISTRO not in provided:
        yield from _distro(requests, system)
    yield from _packages([name for name in requests.packages if name not in provided], system, place)
    if requests.cuda and CUDA not in provided:
        yield from _cuda(requests.cuda, system)


def _unasked(requests: Requests, provided: Iterable[str]) -> Iterator[str]:
    known = [*requests.packages, *requests.refused, *([CUDA] if requests.cuda else []), DISTRO]
    for name in provided:
        if name not in known:
            hint = did_you_mean(name, known)
            yield f"ignore_system_requirements has {name!r}, which the Bento does not ask for.{hint} Remove it."


def _distro(requests: Requests, system: System) -> Iterator[str]:
    """Yield a problem if the base is another distribution than the Bento names; BentoML's default counts as no name."""
    if not system.ids or not (requests.packages or requests.distro not in ("", distros.DEFAULT)):
        return
    if requests.distro and not _IDS[requests.distro].intersection(system.ids):
        yield (
            f"the Bento asks for the distribution {requests.distro}, but {system.base} is {system.ids[0]}. Take a base "
            f"of {requests.distro}, or change distro of the Bento; if it may be another one, set "
            f'ignore_system_requirements = ["{DISTRO}"].'
        )


def _cuda(asked: str, system: System) -> Iterator[str]:
    """Yield a problem if the image has another version of CUDA; patch releases are compatible."""
    if not any(version.split(".")[:2] == asked.split(".")[:2] for version in system.cuda):
        has = f"have {_listed(system.cuda)}" if system.cuda else "are not known to have any"
        yield (
            f"the Bento asks for CUDA {asked} (docker.cuda_version), and {system.base} and the packages {has}. Take a "
            f"base with it, or packages that bring it (nvidia-cuda-runtime); if the service runs with what is there, "
            f'set ignore_system_requirements = ["{CUDA}"].'
        )


def _packages(asked: Sequence[str], system: System, place: Place) -> Iterator[str]:
    for name in asked:
        if Asked.of(name) is None:
            yield (
                f"the Bento asks for the system package {name!r}, a pattern, range or option of its package manager "
                f"that cannot be looked up. Name the package, or set {_provided([name])}."
            )
    missing = [name for name in asked if (one := Asked.of(name)) and not one.is_met(system.packages)]
    if missing and system.is_known:
        yield "".join(_missing(missing, system, place))
    elif missing:
        yield (
            f"the Bento asks for the system packages {_listed(missing)}, and which {system.base} has is not known: "
            f"it has no list of dpkg or apk, or its layers stay in their registry (build with "
            f"--@rules_bento//rules:base_layers=fetched to have them read). If it has them, or the service does "
            f"without, set {_provided(missing)}."
        )


def _missing(names: list[str], system: System, place: Place) -> Iterator[str]:
    kind = "package" if len(names) == 1 else "packages"
    yield f"the Bento asks for the system {kind} {_listed(names)}, which neither {system.base} nor layers have"
    there = [
        f"{package.name} is {package.version} ({package.architecture})"
        for name in names
        for package in system.packages
        if (asked := Asked.of(name)) and package.name == asked.name
    ]
    yield f" ({', '.join(there)})" if there else ""
    if place.hub:
        labels = sorted({f"@{place.hub}//{asked.name}" for name in names if (asked := Asked.of(name))})
        listed = "".join(f'        "{label}",\n' for label in labels)
        yield (
            f". Add\n\nbento_deb_layer(\n"
            f'    name = "{place.image}_debs",\n'
            f'    base = "{place.lower}",\n'
            f"    packages = [\n{listed}    ],\n)\n\n"
            f'and layers = [":{place.image}_debs"] to the image. What the lock of @{place.hub} does not have is added '
            f"to `packages` of its bento_debs first. "
        )
    else:
        yield ". Take a base image that has them, or one made of Debian packages (bento_base). "
    yield f"If they are there in another way, or the service does without, set {_provided(names)}."


def _provided(names: Iterable[str]) -> str:
    return f"ignore_system_requirements = [{', '.join(_quoted(name) for name in names)}]"


def _quoted(name: str) -> str:
    return f'"{name}"'


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
