"""Finds the files that Python and the dynamic linker load from packages.

Python loads extension modules, and libraries whose names occur in Python code, for example with ctypes or cffi. The
dynamic linker loads the transitive dependencies of these files and of the programs in the environment's `bin`. All
other libraries are treated as optional. For example, NCCL loads libraries by name for networks that might be missing.
"""

from __future__ import annotations

import posixpath
import re
from collections import defaultdict

from rules_bento.dataclasses_lite import NamedTuple
from rules_bento.typing_lite import TYPE_CHECKING, Iterable, Iterator, Sequence

if TYPE_CHECKING:
    from rules_bento.images.wheels.elf import Elf
    from rules_bento.images.wheels.libraries import Libraries

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
    """Return the files that Python or the dynamic linker loads. The default `python_version` includes all versions."""
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
    return file.stem in words or any(word[-1] in "_-" and file.stem.startswith(word) for word in words)
