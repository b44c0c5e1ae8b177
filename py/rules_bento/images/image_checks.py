"""Finds before an image runs what would fail in it; each problem names its package and a remedy."""

from __future__ import annotations

import re

from rules_bento.hints import TYPE_CHECKING
from rules_bento.images.wheels.loader import loaded
from rules_bento.records import NamedTuple
from rules_bento.sources.cpu_arch import COMPATIBLE, wrong_architecture

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from rules_bento.images.oci_image import Layer
    from rules_bento.images.wheels.libraries import Libraries
    from rules_bento.images.wheels.loader import File

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
    """Holds what is known of the base of an image."""

    name: str
    architecture: str  # as Go names it
    glibc: tuple[int, int] | None
    libraries: Collection[str] | None  # file names
    python_version: str = ""  # X.Y; empty if it does not matter
    allowed: tuple[int, int] | None = None  # glibc that the hub lets a wheel ask for; where the base's is not known


class Found(NamedTuple):
    """Holds the problems that checks found, and notes, as texts."""

    problems: tuple[str, ...]
    notes: tuple[str, ...]  # what only parts need that nobody loads by default


class _Problem(NamedTuple):
    text: str
    names: tuple[str, ...] = ()  # with which `ignore_libraries` would let it be
    is_missing: bool = False  # what other system packages would bring


def check(
    base: Base,
    wheels: Sequence[str],
    libraries: Sequence[Libraries],
    unchecked: Collection[str],
    machines: Mapping[str, str] | None = None,
) -> Found:
    """Return what is wrong with packages, and with machine code in further layers, in words.

    `wheels` are file names of all packages, `libraries` are of those that have some. `machines` are those that the
    files of layers are for, by their paths.
    """
    problems = list(_of_other_machines(base, machines or {}, unchecked))
    notes: list[str] = []
    newest = base.glibc or base.allowed
    if newest:
        problems += (_Problem(text) for wheel in wheels for text in _wrong_tag(wheel, base, newest))
    problems += (problem for package in libraries for problem in _wrong_machine(package, base, unchecked))
    libraries = [package.of_machine(base.architecture) for package in libraries]
    if newest:
        problems += (_Problem(text) for package in libraries for text in _old_glibc(package, base, newest))
    files = loaded(libraries, base.python_version)
    if base.libraries is not None:
        there = set(base.libraries).union(unchecked, *(package.names() for package in libraries))
        if without := _without_glibc(libraries, base, there):
            problems.append(_Problem(without))
        else:
            problems += _missing(files, base, there)
            notes += _missed_by_parts(files, libraries, there)
    problems += _duplicates(files, unchecked)
    names = {name for problem in problems for name in problem.names}
    are_missing = any(problem.is_missing for problem in problems)
    last = [_way_out(names.union(unchecked), are_missing=are_missing)] if names else []
    return Found(tuple([problem.text for problem in problems] + last), tuple(notes))


def too_large(layers: Iterable[Layer], limit: int) -> Iterator[str]:
    """Yield an error if the layers take more than `limit` bytes in a registry."""
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
    if not wanted or min(wanted) <= glibc:
        return
    if base.glibc is None:
        yield f"{wheel}: is for glibc {_dotted(min(wanted))}, {_not_known(base, glibc)}"
        return
    yield (
        f"{wheel}: is for glibc {_dotted(min(wanted))}, but {base.name} has {_dotted(glibc)}. Set glibc = "
        f'"{_dotted(glibc)}" in bento.pypi, which chooses older wheels, or take a newer base.'
    )


def _not_known(base: Base, allowed: tuple[int, int]) -> str:
    """Return what to say of a wheel that asks for more than the hub allows, such as one that was built here."""
    return (
        f"the hub allows {_dotted(allowed)}, and which glibc {base.name} has is not known. Set glibc of the base to "
        f"its version, as `ldd --version` in it says."
    )


def _tag(platform: str) -> tuple[int, int]:
    match = _MANYLINUX.match(platform)
    return (int(match[1]), int(match[2])) if match else _OLD.get(platform.partition("_")[0], (0, 0))


def _of_other_machines(base: Base, machines: Mapping[str, str], unchecked: Collection[str]) -> Iterator[_Problem]:
    wrong = wrong_architecture(machines, (base.architecture, *COMPATIBLE.get(base.architecture, ())))
    # What has a name that only macOS loads is one of several on purpose.
    paths = [path for path in sorted(wrong) if _name(path) not in unchecked and not path.endswith(".dylib")]
    for path in paths:
        yield _Problem(
            f"layers: /{path} is for {wrong[path]}, but {base.name} is for {base.architecture}. Put the file for "
            f"{base.architecture} in its place, or leave it out.",
            (_name(path),),
        )


def _wrong_machine(package: Libraries, base: Base, unchecked: Collection[str]) -> Iterator[_Problem]:
    also = COMPATIBLE.get(base.architecture, ())
    # Programs of 32 bits start, but no Python of 64 loads their libraries.
    machines = {path: machine for path, machine in package.machines if ".so" in _name(path) or machine not in also}
    wrong = wrong_architecture(machines, (base.architecture,))
    wrong = {path: machine for path, machine in wrong.items() if _name(path) not in unchecked}
    if wrong:
        path, machine = min(wrong.items())
        # Of a wheel for another machine nothing works; one for any may have parts that other machines use.
        is_for_any = package.wheel.endswith("-any.whl") or base.architecture in machines.values()
        yield _Problem(
            f"{package.wheel}: {path} is for {machine}, but {base.name} is for {base.architecture}. "
            f"Take another wheel of {package.distribution}.",
            tuple(map(_name, wrong)) if is_for_any else (),
        )


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _old_glibc(package: Libraries, base: Base, glibc: tuple[int, int]) -> Iterator[str]:
    wanted = {
        (int(match[1]), int(match[2])): path
        for path, elf in package.linked
        for version in elf.versions
        if (match := _GLIBC.fullmatch(version))
    }
    if not wanted or max(wanted) <= glibc:
        return
    what = f"{package.wheel}: {wanted[max(wanted)]} uses functions of glibc {_dotted(max(wanted))}"
    if base.glibc is None:
        yield f"{what}, {_not_known(base, glibc)}"
        return
    yield (
        f"{what}, but {base.name} has {_dotted(glibc)}. Take an older wheel of {package.distribution}, or a newer base."
    )


def _without_glibc(libraries: Iterable[Libraries], base: Base, there: Collection[str]) -> str:
    """Return what to say of a base that has none: everything would be missing. Empty if all is well."""
    wheels = sorted(package.wheel for package in libraries if any(_LIBC in elf.needed for _, elf in package.linked))
    if _LIBC in there or not wheels:
        return ""
    return (
        f"{base.name}: has no {_LIBC}, which {wheels[0]} and all others with compiled modules need. Take a base "
        "with the GNU C library; Alpine, for one, has another."
    )


def _missing(files: Iterable[File], base: Base, there: Collection[str]) -> Iterator[_Problem]:
    """Yield the libraries that loaded files need and nothing has; each name once for a package."""
    wanting: dict[tuple[str, str], str] = {}
    for file in files:
        for name in _lacking(file.elf.needed, there):
            wanting.setdefault((file.package.wheel, name), file.path)
    for (wheel, name), path in sorted(wanting.items()):
        text = f"{wheel}: {path} needs {name}, which neither {base.name} nor another package has."
        yield _Problem(text, (name,), is_missing=True)


def _missed_by_parts(files: Iterable[File], libraries: Iterable[Libraries], there: Collection[str]) -> Iterator[str]:
    """Yield what is missing for files that nothing links to, which a package loads by name or not at all."""
    are_loaded = {(file.package.wheel, file.path) for file in files}
    for package in libraries:
        for path, elf in package.linked:
            lacking = _lacking(elf.needed, there)
            if lacking and (package.wheel, path) not in are_loaded:
                yield f"{package.distribution}: {path} needs {', '.join(lacking)}"


def _lacking(needed: Iterable[str], there: Collection[str]) -> list[str]:
    return [name for name in needed if name not in there and not _OF_THE_DRIVER.fullmatch(name)]


def _duplicates(files: Iterable[File], unchecked: Collection[str]) -> Iterator[_Problem]:
    """Yield the CUDA libraries that are loaded from more than one package."""
    owners: dict[str, dict[str, str]] = {}
    for file in files:
        if (match := _OF_CUDA.match(file.name)) and file.name not in unchecked:
            owners.setdefault(match[1], {}).setdefault(file.package.distribution, file.path)
    for stem, paths in sorted(owners.items()):
        if len(paths) > 1:
            listed = " and ".join(f"{path} of {distribution}" for distribution, path in sorted(paths.items()))
            text = (
                f"{stem}: is loaded from more than one package, {listed}; which one is used depends on the order of "
                f"imports. Take builds of these packages for one CUDA."
            )
            yield _Problem(text, tuple(path.rpartition("/")[2] for path in paths.values()))


def _way_out(names: Collection[str], *, are_missing: bool) -> str:
    listed = ", ".join(f'"{name}"' for name in sorted(names))
    added = "Add the system packages that have what is missing to the base or to layers. " if are_missing else ""
    return (
        f"{added}If the service does not load these parts of the packages and layers, or has them twice on purpose: "
        f"ignore_libraries = [{listed}]"
    )


def _dotted(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"
