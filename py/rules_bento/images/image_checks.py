"""What may go wrong with an image only once it runs, found before: each problem with its package and a way out."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    from rules_bento.images.oci_image import Layer
    from rules_bento.images.wheels.libraries import Libraries

_MANYLINUX = re.compile(r"manylinux_(\d+)_(\d+)_")
_OLD = {"manylinux1": (2, 5), "manylinux2010": (2, 12), "manylinux2014": (2, 17)}
_GLIBC = re.compile(r"GLIBC_(\d+)\.(\d+)(?:\.\d+)?")
# What the driver of the host brings into a container that may use a GPU.
_OF_THE_DRIVER = re.compile(r"lib(?:cuda|nvcuvid|nvidia-[a-z0-9-]+)\.so\.\d+")
# CUDA and what NVIDIA gives with it; auditwheel puts a part of a digest behind the name.
_OF_CUDA = re.compile(
    r"(lib(?:cu(?:blas|blasLt|dart|dnn|fft|fftw|file|pti|rand|solver|solverMg|sparse|sparseLt)"
    r"|nccl|nvJitLink|nvjpeg|nvrtc|nvrtc-builtins|nvToolsExt|npp[a-z]+))(?:-[0-9a-f]{6,16})?\.so(?:\.|$)"
)
_LIBC = "libc.so.6"
_LARGEST = 5


class Base(NamedTuple):
    """What is known of what an image is built on."""

    name: str
    architecture: str  # as Go names it
    glibc: tuple[int, int] | None
    libraries: Collection[str] | None  # file names


def problems(
    base: Base, wheels: Sequence[str], libraries: Sequence[Libraries], unchecked: Collection[str]
) -> Iterator[str]:
    """What is wrong with packages: `wheels` are file names of all of them, `libraries` of those that have some."""
    if base.glibc:
        for wheel in wheels:
            yield from _wrong_tag(wheel, base, base.glibc)
    for package in libraries:
        yield from _wrong_machine(package, base)
        if base.glibc:
            yield from _old_glibc(package, base, base.glibc)
    if base.libraries is not None:
        there = set(base.libraries).union(unchecked, *(package.names() for package in libraries))
        if without := _without_glibc(libraries, base, there):
            yield without
        for package in libraries if not without else ():
            yield from _missing(package, base, lambda name: name in there or bool(_OF_THE_DRIVER.fullmatch(name)))
    yield from _duplicates(libraries, unchecked)


def too_large(layers: Iterable[Layer], limit: int) -> Iterator[str]:
    """Whether the layers take more than `limit` bytes, which a registry has."""
    sizes = sorted(((layer.size, layer.name) for layer in layers), reverse=True)
    total = sum(size for size, _ in sizes)
    if total > limit:
        largest = ", ".join(f"{name} ({size / 1e6:.1f} MB)" for size, name in sizes[:_LARGEST])
        yield (
            f"size_limit: the image has {total / 1e6:.1f} MB, more than {limit / 1e6:.1f} MB. The largest layers are "
            f"{largest}. Do without one of these, or raise the limit."
        )


def _wrong_tag(wheel: str, base: Base, glibc: tuple[int, int]) -> Iterator[str]:
    platforms = wheel.removesuffix(".whl").rpartition("-")[2].split(".")
    wanted = [_tag(platform) for platform in platforms if "manylinux" in platform]
    if wanted and min(wanted) > glibc:
        yield (
            f"{wheel}: is for glibc {_dotted(min(wanted))}, but {base.name} has {_dotted(glibc)}. Set glibc = "
            f'"{_dotted(glibc)}" in bento.pypi, which chooses older wheels, or take a newer base.'
        )


def _tag(platform: str) -> tuple[int, int]:
    found = _MANYLINUX.match(platform)
    return (int(found[1]), int(found[2])) if found else _OLD.get(platform.partition("_")[0], (0, 0))


def _wrong_machine(package: Libraries, base: Base) -> Iterator[str]:
    for path, elf in package.linked:
        if elf.machine != base.architecture:
            yield (
                f"{package.wheel}: {path} is for {elf.machine}, but {base.name} is for {base.architecture}. "
                f"Take another wheel of {package.distribution}."
            )
            return


def _old_glibc(package: Libraries, base: Base, glibc: tuple[int, int]) -> Iterator[str]:
    wanted = {
        (int(match[1]), int(match[2])): path
        for path, elf in package.linked
        for version in elf.versions
        if (match := _GLIBC.fullmatch(version))
    }
    if wanted and max(wanted) > glibc:
        yield (
            f"{package.wheel}: {wanted[max(wanted)]} uses functions of glibc {_dotted(max(wanted))}, but {base.name} "
            f"has {_dotted(glibc)}. Take an older wheel of {package.distribution}, or a newer base."
        )


def _without_glibc(libraries: Iterable[Libraries], base: Base, there: Collection[str]) -> str:
    """What to say of a base that has none: everything would be missing. Empty if all is well."""
    wheels = sorted(package.wheel for package in libraries if any(_LIBC in elf.needed for _, elf in package.linked))
    if _LIBC in there or not wheels:
        return ""
    return (
        f"{base.name}: has no {_LIBC}, which {wheels[0]} and all others with compiled modules need. Take a base "
        "with the GNU C library; Alpine, for one, has another."
    )


def _missing(package: Libraries, base: Base, is_there: Callable[[str], bool]) -> Iterator[str]:
    wanting: dict[str, str] = {}
    for path, elf in package.linked:
        for name in elf.needed:
            if not is_there(name):
                wanting.setdefault(name, path)
    for name, path in sorted(wanting.items()):
        yield (
            f"{package.wheel}: {path} needs {name}, which neither {base.name} nor another package has. Add the system "
            f"package with it to the base or to layers; if the service does not use that part of "
            f'{package.distribution}, set unchecked_libraries = ["{name}"].'
        )


def _duplicates(libraries: Iterable[Libraries], unchecked: Collection[str]) -> Iterator[str]:
    owners: dict[str, dict[str, str]] = {}
    for package in libraries:
        for path, _ in package.linked:
            name = path.rpartition("/")[2]
            if (found := _OF_CUDA.match(name)) and name not in unchecked:
                owners.setdefault(found[1], {}).setdefault(package.distribution, path)
    for stem, paths in sorted(owners.items()):
        if len(paths) > 1:
            names = [path.rpartition("/")[2] for path in paths.values()]
            listed = " and ".join(f"{path} of {distribution}" for distribution, path in sorted(paths.items()))
            yield (
                f"{stem}: is there more than once, {listed}; which one is used depends on the order of imports. Take "
                f"builds of these packages for one CUDA, or set unchecked_libraries = {sorted(names)}."
            )


def _dotted(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"
