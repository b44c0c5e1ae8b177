"""Finds the files that an isolated interpreter needs, without starting the interpreter.

The files of an environment are data: nothing in a wheel makes another file visible. In an environment that the user
names, `.pth` files, packages in editable mode, and links can refer to directories with Python modules.
"""

# `Path.is_dir` and others raise an error for files below a directory that the user can't read.
# ruff: noqa: PTH100, PTH110, PTH111, PTH112, PTH113, PTH115, PTH118, PTH120

from __future__ import annotations

import os
import re
from os.path import exists, isdir, isfile
from pathlib import Path
from urllib.parse import unquote

from rules_bento.base import namespaces
from rules_bento.base.dataclasses_lite import NamedTuple
from rules_bento.base.errors import BentoError
from rules_bento.base.formats import read_file
from rules_bento.base.formats.json import read_object
from rules_bento.base.typing_lite import Iterator, Sequence

_PARTS = ("bin", "include", "lib", "lib64", "pyvenv.cfg", "share")  # of an environment or installation
_SETTING = re.compile(r"(?m)^\s*(home|include-system-site-packages)\s*=\s*(.*?)\s*$")
_SITE_PACKAGES = ("lib*/python3*/site-packages", "lib*/python3*/dist-packages", "local/lib/python3*/dist-packages")
_ADDED_SITE = re.compile(r'addsitedir\([^/]*"(/[^"\\]*)"\)')
# Most directories of an installation. A wheel's environment imports none of them, so their links aren't followed.
_NOT_IMPORTED = ("dist-packages", "site-packages", "test")
# A directory without these has nothing to import.
_MODULES = ("*.py", "*.so", "*.dist-info", "*/*.py", "*/*.so", "*/*/*.py")
_PACKAGES = ("*.dist-info",)  # in an unpacked wheel, or site-packages
_MODULE = re.compile(r".*\.(pyc?|so[.0-9]*)")


class PythonEnvironment(NamedTuple):
    """An interpreter, and the files and directories that it can read."""

    python: Path
    visible: Sequence[str]
    modules: Sequence[Path]  # directories of modules

    def has_module(self, name: str) -> bool:
        """Return whether the interpreter finds a package that isn't a namespace package."""
        return any(isfile(directory / name / "__init__.py") for directory in self.modules)


def wheel_environment(python: Path, roots: Sequence[Path]) -> PythonEnvironment:
    """Return the result of `make_environment` as an environment. `roots` are the directories of the wheels.

    Follows the links of Bazel's sandbox. Unpacked wheels contain no links.
    """
    directory, *installation = _prefixes(python)
    parts = [str(part) for prefix in installation for part in _parts(prefix)]
    visible = (*namespaces.targets(parts, _NOT_IMPORTED), *namespaces.targets(map(str, (directory, *roots))))
    return PythonEnvironment(python, visible, roots)


def named_environment(python: Path) -> PythonEnvironment:
    """Return the environment of an interpreter that the user names.

    Raises BentoError if a file of the environment refers to a directory that contains the user's home directory.
    """
    sites, added = _module_directories(python)
    parts = [part for prefix in _prefixes(python) for part in _parts(prefix)]
    modules = [*dict.fromkeys([*sites, *added])]
    return PythonEnvironment(
        python, (*map(str, parts), *_links_to(python), *map(str, added), *_linked(modules)), modules
    )


def module_directories(python: Path) -> list[Path]:
    """Return the directories of modules of an environment that the user names. Raises BentoError as above."""
    return [directory for directories in _module_directories(python) for directory in directories]


def _module_directories(python: Path) -> tuple[list[Path], list[Path]]:
    """Return the directories such as site-packages of an environment, and those to which files there refer."""
    prefixes = _prefixes(python)
    own = prefixes[:1] if "include-system-site-packages = false" in _settings(python) else prefixes
    sites = [path for prefix in own for pattern in _SITE_PACKAGES for path in sorted(prefix.glob(pattern))]
    added: list[Path] = []
    waiting, seen = [*sites], {*map(_real, sites)}
    for site in waiting:  # which grows
        for directory, is_site in _added_directories(site):
            added.append(directory)
            if is_site and _real(directory) not in seen:
                seen.add(_real(directory))
                waiting.append(directory)
    return sites, added


def _settings(python: Path) -> list[str]:
    """Return the settings in pyvenv.cfg, as `NAME = VALUE`, or an empty list for an interpreter without this file."""
    for directory in (python.parent, python.parent.parent):
        if isfile(directory / "pyvenv.cfg"):
            text = read_file(directory / "pyvenv.cfg").decode("utf-8", "surrogateescape")
            return [f"{name} = {value}" for name, value in _SETTING.findall(text)] or [""]
    return []


def _prefixes(python: Path) -> list[Path]:
    """Return the directory of a virtual environment, if `python` is in one, and the directories of installations."""
    settings = _settings(python)
    programs = [Path(os.path.realpath(python)).parent]
    for home in (Path(each.removeprefix("home = ")) for each in settings if each.startswith("home = /")):
        programs[:0] = [home, _real(home)] if "\0" not in str(home) else []
    # Only with Python's own modules: ~/.local can also have `bin/python3` and packages.
    installed = [path.parent for path in programs if any(path.parent.glob("lib*/python3*/os.py"))]
    return [*dict.fromkeys([*([python.parent.parent] if settings else []), *installed])]


def _parts(prefix: Path) -> Iterator[Path]:
    """Yield the parts of an environment or installation that are in its directory."""
    for name in _PARTS:
        if exists(prefix / name) and _real(prefix / name).is_relative_to(_real(prefix)):
            yield prefix / name


def _links_to(python: Path) -> Iterator[str]:
    """Yield the paths of an interpreter to which links lead."""
    path = str(python)
    for _ in range(40):  # as the kernel
        if not Path(path).is_symlink():
            break
        path = os.path.join(os.path.realpath(os.path.dirname(path)), os.readlink(path))
        yield os.path.abspath(path)


def _added_directories(site: Path) -> Iterator[tuple[Path, bool]]:
    """Yield the directories in `.pth` files, and of packages in editable mode (direct_url.json, PEP 610).

    Also yields whether the directory can have `.pth` files. Doesn't run code in `.pth` files, but reads the calls of
    `site.addsitedir` that `uv run --with` writes.
    """
    for file in sorted(filter(isfile, site.glob("*.pth"))):
        for line in read_file(file).decode("utf-8", "surrogateescape").splitlines():
            is_code = line.startswith(("import ", "import\t"))
            if is_code or (line.strip() and not line.startswith("#")):
                for path in _ADDED_SITE.findall(line) if is_code else [line.rstrip()]:
                    directory = Path(os.path.abspath(site / path))
                    yield from ((each, is_code) for each in _visible(directory, file))
    for file in sorted(filter(isfile, site.glob("*.dist-info/direct_url.json"))):
        origin = read_object(read_file(file), str(file))
        info, url = origin.get("dir_info"), str(origin.get("url"))
        if isinstance(info, dict) and info.get("editable") and url.startswith("file:///"):
            yield from ((each, False) for each in _visible(Path(unquote(url.removeprefix("file://"))), file))


def _linked(directories: Sequence[Path]) -> Iterator[str]:
    """Yield the directories and modules to which links in directories of modules lead, and links in those directories.

    For a link into an unpacked wheel, such as in the cache of uv, yields the directory of the wheel. In tests of Bazel,
    each file is such a link, into a directory of further links.
    """
    waiting = [*map(_real, directories)]
    seen = {*waiting}
    wheels: dict[str, bool] = {}  # whether a directory is one
    while waiting:
        found = {}
        for link, relative in namespaces.links(str(waiting.pop())):
            target = os.path.abspath(os.path.join(os.path.dirname(link), os.readlink(link)))
            wheel = target.removesuffix(f"/{relative}") or target
            if wheel not in wheels:
                wheels[wheel] = target != wheel and any(Path(wheel).glob("*.dist-info"))
            if wheels[wheel]:
                found[Path(wheel)] = link
            elif isdir(target):
                found[Path(target)] = link
            elif isfile(target) and all(_MODULE.fullmatch(path.name) for path in (Path(target), _real(link))):
                yield target
        for path, link in found.items():
            if seen.isdisjoint((path, *path.parents)):
                visible = [*_visible(path, Path(link))]
                yield from map(str, visible)
                waiting += {*visible[-1:]} - seen  # the path without links
                seen.update(visible)


def _visible(directory: Path, file: Path) -> Iterator[Path]:
    """Yield `directory`, to which `file` refers, if it has modules. Raises BentoError if it contains all user files.

    A hidden directory of the user, such as ~/.config, must have packages of a wheel, as the cache of uv has.
    """
    if not isdir(directory):
        return
    real, home = _real(directory), _real(os.path.expanduser("~"))
    if home.is_relative_to(real):
        problem = f"the file refers to {directory}, which contains your home directory, and an import can read the "
        problem += "directories of the environment"
        raise BentoError(problem, place=str(file), remedy="Remove the reference, or use another environment.")
    is_hidden = real.is_relative_to(home) and any(part.startswith(".") for part in real.relative_to(home).parts)
    if any(next(real.glob(pattern), None) for pattern in (_PACKAGES if is_hidden else _MODULES)):
        yield from dict.fromkeys([directory, real])


def _real(path: Path | str) -> Path:
    """Return the path without links, as `Path.resolve`, but also for a loop of links."""
    return Path(os.path.realpath(path))
