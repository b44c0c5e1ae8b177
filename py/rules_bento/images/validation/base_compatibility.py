"""Checks images for excessive size, and for problems that cause failures at run time, such as missing libraries."""

from __future__ import annotations

import posixpath
import re
from collections import defaultdict

from rules_bento.base.dataclasses_lite import NamedTuple
from rules_bento.base.typing_lite import TYPE_CHECKING, Collection, Iterable, Iterator, Mapping, Sequence
from rules_bento.bentos.packages.wheel_choice import required_systems
from rules_bento.bentos.sources.cpu_arch import COMPATIBLE, wrong_architecture
from rules_bento.images.validation.remedies import Remedies

if TYPE_CHECKING:
    from rules_bento.base.formats.oci import Layer
    from rules_bento.images.wheels.elf import Elf
    from rules_bento.images.wheels.libraries import Libraries


_GLIBC = re.compile(r"GLIBC_(\d+)\.(\d+)(?:\.\d+)?")
# Libraries that the host's driver provides to a container with GPU access.
_DRIVER_LIBRARY = re.compile(r"lib(?:cuda|nvcuvid|nvidia-[a-z0-9-]+)\.so\.\d+")
# CUDA and the libraries that NVIDIA ships with it; auditwheel appends part of a digest to the name.
_CUDA_LIBRARY = re.compile(
    r"(lib(?:cu(?:blas|blasLt|dart|dnn|fft|fftw|file|pti|rand|solver|solverMg|sparse|sparseLt)"
    r"|nccl|nvJitLink|nvjpeg|nvrtc|nvrtc-builtins|nvToolsExt|npp[a-z]+))(?:-[0-9a-f]{6,16})?\.so(?:\.|$)"
)
_LIBC = "libc.so.6"
_MAX_LISTED = 5
_RULES = Remedies()


class Base(NamedTuple):
    """The known properties of a base image."""

    name: str
    architecture: str  # as named in Go
    glibc: tuple[int, int] | None
    libraries: Collection[str] | None  # file names
    python_version: str = ""  # X.Y; empty if it isn't relevant
    allowed: tuple[int, int] | None = None  # the newest glibc in the hub, if the base's is unknown


class CheckResult(NamedTuple):
    """The messages from a check: problems, which fail the build, and notes, which don't."""

    problems: tuple[str, ...]
    notes: tuple[str, ...]  # missing libraries of optional files


class _Problem(NamedTuple):
    text: str
    names: tuple[str, ...] = ()  # names that `ignore_libraries` needs in order to suppress the problem
    is_missing: bool = False  # whether further system packages would solve the problem


def check(
    base: Base,
    wheels: Sequence[str],
    libraries: Sequence[Libraries],
    unchecked: Collection[str],
    machines: Mapping[str, str] | None = None,
    remedies: Remedies = _RULES,
) -> CheckResult:
    """Check whether wheels and other files with machine code can run on a base image.

    `machines` maps the paths of the other files to their machine types. `unchecked` contains file names to ignore.
    """
    problems = list(_wrong_machine_files(base, machines or {}, unchecked))
    notes: list[str] = []
    newest = base.glibc or base.allowed
    if newest:
        problems += (_Problem(text) for wheel in wheels for text in _wrong_tag(wheel, base, newest, remedies))
    problems += (problem for package in libraries for problem in _wrong_machine_wheel(package, base, unchecked))
    libraries = [package.of_machine(base.architecture) for package in libraries]
    if newest:
        problems += (_Problem(text) for package in libraries for text in _old_glibc(package, base, newest))
    files = loaded(libraries, base.python_version)
    if base.libraries is not None:
        present = set(base.libraries).union(unchecked, *(package.names() for package in libraries))
        if without := _without_glibc(libraries, base, present):
            problems.append(_Problem(without))
        else:
            problems += _missing(files, base, present)
            notes += _missing_optional(files, libraries, present)
    problems += _duplicates(files, unchecked)
    names = {name for problem in problems for name in problem.names}
    are_missing = any(problem.is_missing for problem in problems)
    last = [_hint(remedies, names.union(unchecked), are_missing=are_missing)] if names else []
    return CheckResult(tuple([problem.text for problem in problems] + last), tuple(notes))


def too_large(layers: Iterable[Layer], limit: int, remedies: Remedies = _RULES) -> Iterator[str]:
    """Yield an error message if the blobs of the layers exceed `limit` bytes in total."""
    sizes = sorted(((layer.size, layer.name) for layer in layers), reverse=True)
    total = sum(size for size, _ in sizes)
    if total > limit:
        largest = ", ".join(f"{name} ({size / 1e6:.1f} MB)" for size, name in sizes[:_MAX_LISTED])
        yield (
            f"{remedies.size_limit}: the image has {total / 1e6:.1f} MB, but the limit is {limit / 1e6:.1f} MB. The "
            f"largest layers are {largest}. Remove one of these layers, or raise the limit."
        )


def _wrong_tag(wheel: str, base: Base, glibc: tuple[int, int], remedies: Remedies) -> Iterator[str]:
    wanted = required_systems(wheel.rpartition("-")[2], "linux")
    if wanted and min(wanted) > glibc:
        of_base = _glibc_of(base, glibc, remedies.older_wheels(_dotted(glibc)))
        yield f"{wheel}: requires glibc {_dotted(min(wanted))}, {of_base}"


def _glibc_of(base: Base, glibc: tuple[int, int], remedy: str) -> str:
    """Return the end of the error message for a wheel that requires a newer glibc than `glibc`."""
    if base.glibc:
        return f"but {base.name} has {_dotted(glibc)}. {remedy}"
    return (
        f"the package hub allows {_dotted(glibc)}, and the glibc version of {base.name} is unknown. Set glibc of the "
        "base to the version that `ldd --version` prints in the base image."
    )


def _wrong_machine_files(base: Base, machines: Mapping[str, str], unchecked: Collection[str]) -> Iterator[_Problem]:
    wrong = wrong_architecture(machines, (base.architecture, *COMPATIBLE.get(base.architecture, ())))
    # Only macOS loads files with this suffix, so the file is one of several variants on purpose.
    paths = [path for path in sorted(wrong) if _name(path) not in unchecked and not path.endswith(".dylib")]
    for path in paths:
        yield _Problem(
            f"layers: /{path} is for {wrong[path]}, but {base.name} is for {base.architecture}. Use a file "
            f"for {base.architecture}, or exclude the file.",
            (_name(path),),
        )


def _wrong_machine_wheel(package: Libraries, base: Base, unchecked: Collection[str]) -> Iterator[_Problem]:
    also = COMPATIBLE.get(base.architecture, ())
    # 32-bit programs start, but a 64-bit Python loads no 32-bit libraries.
    machines = {path: machine for path, machine in package.machines if ".so" in _name(path) or machine not in also}
    wrong = wrong_architecture(machines, (base.architecture,))
    wrong = {path: machine for path, machine in wrong.items() if _name(path) not in unchecked}
    if wrong:
        path, machine = min(wrong.items())
        # No file in a wheel for another machine works; an `any` wheel might have files for other machines.
        is_for_any = package.wheel.endswith("-any.whl") or base.architecture in machines.values()
        yield _Problem(
            f"{package.wheel}: {path} is for {machine}, but {base.name} is for {base.architecture}. "
            f"Lock another version of {package.distribution}.",
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
    if wanted and max(wanted) > glibc:
        what = f"{package.wheel}: {wanted[max(wanted)]} uses functions of glibc {_dotted(max(wanted))}"
        remedy = f"Use an older wheel of {package.distribution}, or a newer base."
        yield f"{what}, {_glibc_of(base, glibc, remedy)}"


def _without_glibc(libraries: Iterable[Libraries], base: Base, present: Collection[str]) -> str:
    """Return an error message if a wheel requires glibc and the base lacks glibc. Otherwise, return an empty string."""
    wheels = sorted(package.wheel for package in libraries if any(_LIBC in elf.needed for _, elf in package.linked))
    if _LIBC in present or not wheels:
        return ""
    text = f"{base.name}: {_LIBC} is missing, but {wheels[0]} and all other wheels with native code require it. Use a "
    return text + "base with the GNU C library. Alpine uses musl."


def _missing(files: Iterable[File], base: Base, present: Collection[str]) -> Iterator[_Problem]:
    """Yield a problem for each missing library that a package's loaded files require."""
    wanting: dict[tuple[str, str], str] = {}
    for file in files:
        for name in _absent(file.elf.needed, present):
            wanting.setdefault((file.package.wheel, name), file.path)
    for (wheel, name), path in sorted(wanting.items()):
        text = f"{wheel}: {path} needs {name}, which neither {base.name} nor another package provides."
        yield _Problem(text, (name,), is_missing=True)


def _missing_optional(files: Iterable[File], libraries: Iterable[Libraries], present: Collection[str]) -> Iterator[str]:
    """Yield a note for each optional file that requires missing libraries. `files` contains the loaded files."""
    are_loaded = {(file.package.wheel, file.path) for file in files}
    for package in libraries:
        for path, elf in package.linked:
            lacking = _absent(elf.needed, present)
            if lacking and (package.wheel, path) not in are_loaded:
                yield f"{package.distribution}: {path} needs {', '.join(lacking)}"


def _absent(needed: Iterable[str], present: Collection[str]) -> list[str]:
    return [name for name in needed if name not in present and not _DRIVER_LIBRARY.fullmatch(name)]


def _duplicates(files: Iterable[File], unchecked: Collection[str]) -> Iterator[_Problem]:
    owners: dict[str, dict[str, str]] = {}
    for file in files:
        if (match := _CUDA_LIBRARY.match(file.name)) and file.name not in unchecked:
            owners.setdefault(match[1], {}).setdefault(file.package.distribution, file.path)
    for stem, paths in sorted(owners.items()):
        if len(paths) > 1:
            listed = " and ".join(f"{path} of {distribution}" for distribution, path in sorted(paths.items()))
            text = (
                f"{stem}: several packages contain this library, {listed}, and the order of imports determines which "
                "library is loaded. Use builds of these packages for a single version of CUDA."
            )
            yield _Problem(text, tuple(map(_name, paths.values())))


def _hint(remedies: Remedies, names: Collection[str], *, are_missing: bool) -> str:
    ignore = remedies.ignore_libraries(names)
    ignore = f"If the service doesn't load these files, or if several copies are intended, {ignore}"
    return f"{remedies.add_libraries(names)} {ignore}" if are_missing else ignore


def _dotted(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"


# The suffixes of extension modules on Linux (`importlib.machinery.EXTENSION_SUFFIXES`).
_MODULE = re.compile(r"([^./]+)(?:\.cpython-(\d)(\d+)-[\w-]+|\.abi3)?\.so")
_DATA = re.compile(r"[^/]+\.data/(?:purelib|platlib)/")
_SCRIPTS = re.compile(r"[^/]+\.data/scripts/")
_ORIGIN = re.compile(r"\$ORIGIN|\$\{ORIGIN\}")


class File(NamedTuple):
    """A dynamically linked file of a package."""

    package: Libraries
    path: str  # in the wheel
    elf: Elf

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]

    @property
    def stem(self) -> str:
        """The part of the file name before `.so`."""
        return self.name.partition(".so")[0]


def loaded(packages: Sequence[Libraries], python_version: str = "") -> list[File]:
    """Return the files that Python or the dynamic linker loads. The default `python_version` includes all versions.

    Python loads extension modules, and libraries whose names occur in Python code, for example with ctypes or cffi. The
    dynamic linker loads the transitive dependencies of these files and of the programs in the environment's `bin`. All
    other libraries are treated as optional. For example, NCCL loads libraries by name for networks that might be
    missing.
    """
    files = [File(package, *linked) for package in packages for linked in package.linked]
    by_place = {_installed(file.path): file for file in files}
    by_name: dict[str, list[File]] = defaultdict(list)
    for file in files:
        for name in {file.name, file.elf.soname}:
            by_name[name].append(file)
    queue = list(_roots(files, packages, python_version))
    winners: dict[tuple[str, str], File] = {}
    while queue:
        file = queue.pop()
        if (file.package.wheel, file.path) in winners:
            continue
        winners[file.package.wheel, file.path] = file
        for name in file.elf.needed:
            near = next((by_place[path] for path in _searched(file, name) if path in by_place), None)
            # A library that the linker doesn't find in its search path might have been loaded by a package that was
            # imported before, so all libraries with this name count.
            queue += [near] if near else by_name.get(name, [])
    return [file for file in files if (file.package.wheel, file.path) in winners]


def _installed(path: str) -> str:
    return _DATA.sub("", path, count=1)


def _searched(file: File, name: str) -> Iterator[str]:
    origin = posixpath.dirname(_installed(file.path))
    for directory in file.elf.search:
        yield posixpath.normpath(posixpath.join(_ORIGIN.sub(lambda _: origin or ".", directory), name))


def _roots(files: Sequence[File], packages: Sequence[Libraries], python_version: str) -> Iterator[File]:
    modules = [file for file in files if _is_module(file, python_version)]
    yield from (file for file in modules if file.path not in file.package.optional)
    yield from (file for file in files if _SCRIPTS.match(file.path) and file.elf.is_program)
    with_modules = {file.package.wheel for file in modules}
    bare = [file for file in files if file.package.wheel not in with_modules]
    for package in packages:
        own = [file for file in files if file.package is package]
        named = [file for file in own if _is_named(file, package.named)]
        yield from (file for file in named if file.path not in package.optional)
        # If a package contains only libraries, other packages load the libraries by name.
        stems = {file.stem for file in own}
        yield from (file for file in bare if file.stem not in stems and _is_named(file, package.named))
        if package.wheel not in with_modules and not named and package.named:
            yield from own  # Python code builds the name from parts


def _is_module(file: File, python_version: str) -> bool:
    match = _MODULE.fullmatch(file.name)
    if match is None or match[1] not in file.elf.modules:
        return False
    return not (match[2] and python_version) or f"{match[2]}.{match[3]}" == python_version


def _is_named(file: File, words: Iterable[str]) -> bool:
    return file.stem in words or any(word.endswith(("_", "-")) and file.stem.startswith(word) for word in words)
