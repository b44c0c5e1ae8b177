"""Excludes files of a wheel from images, as `exclude` and `exclude_presets` of `bento.pypi` specify.

RECORD, bytecode, and library checks use only the remaining files. Patterns have the syntax of `exclude` in a bentofile.
A pattern matches the path of a file in site-packages. For headers and data, the pattern matches the file's name in the
wheel, such as `acme-1.0.data/data/etc/run.conf`. A pattern such as `bin/run` matches a script.
"""

from __future__ import annotations

import re

from rules_bento.base.archives.tarstream import directories_above
from rules_bento.base.dataclasses_lite import NamedTuple
from rules_bento.base.errors import BentoError, nearest
from rules_bento.base.typing_lite import TYPE_CHECKING, Iterable, Mapping, Sequence
from rules_bento.bentos.sources.patterns import Patterns, Rule

if TYPE_CHECKING:
    from rules_bento.images.wheels.wheel import Wheel

_IMPORTED = (".py", ".so")


class Exclude(NamedTuple):
    """Patterns that exclude files of a wheel. Patterns in `own` override patterns in `preset`."""

    own: Sequence[str] = ()  # each must match a file of the wheel
    preset: Sequence[str] = ()  # these can name files of other releases
    option: str = ""  # the option that specifies `own`; empty for `exclude` of bento.pypi


def without(wheel: Wheel, exclude: Exclude) -> Wheel:
    """Return `wheel` without the excluded files.

    Raises BentoError for an invalid pattern, for a pattern that excludes a required file, and for a pattern in
    `exclude.own` that matches no file.
    """
    paths = {member.path: _imported_path(wheel, member.path) for member in wheel.members}
    scripts = {f"bin/{point.name}": point.name for point in wheel.entry_points}
    scripts |= {f"bin/{name}": path for path in paths if (name := _script(wheel, path))}
    own = _own(wheel, exclude, [*paths.values(), *scripts])
    preset = Patterns(exclude.preset, "a preset of bento.pypi")

    def rule(path: str) -> Rule | None:
        line = own.rule(path) or preset.rule(path)
        return None if line is None or line.negated else line

    excluded = {name: line for name, path in paths.items() if (line := rule(path))}
    lines = [(name, line) for path, name in scripts.items() if (line := own.rule(path)) and not line.negated]
    dropped = {name: line for name, line in lines if re.match("/?bin/", line.text)}
    excluded |= {name: line for name, line in dropped.items() if name in paths}
    points = tuple(point for point in wheel.entry_points if point.name not in dropped)
    if exclude.own and not excluded and points == wheel.entry_points:
        remedy = "Correct or remove the patterns."
        raise BentoError(f"{_origin(wheel, exclude)} excludes no files", place=wheel.name, remedy=remedy)
    kept = {path for name, path in paths.items() if name not in excluded}
    for name, line in excluded.items():
        if name.startswith(f"{wheel.dist_info}/"):
            problem = f"{line} excludes {name}, but the image requires the wheel's metadata"
            remedy = "Use a more specific pattern, or add '!*.dist-info/' after the pattern."
            raise BentoError(problem, place=wheel.name, remedy=remedy)
    origin = exclude.option or "the exclude attribute of bento.pypi"
    _check_modules(wheel, {paths[name]: line for name, line in excluded.items()}, kept, origin)
    emptied = directories_above(paths) - directories_above(name for name in paths if name not in excluded)
    return wheel._replace(
        entry_points=points,
        members=tuple(member for member in wheel.members if member.path not in excluded),
        directories=tuple(
            name for name in wheel.directories if name not in emptied and not rule(f"{_imported_path(wheel, name)}/")
        ),
    )


def _imported_path(wheel: Wheel, name: str) -> str:
    """Return a file's path in site-packages. For a file that is installed elsewhere, returns its name in the wheel."""
    for scheme in ("purelib/", "platlib/"):
        name = name.removeprefix(wheel.data_directory + scheme)
    return name


def _script(wheel: Wheel, name: str) -> str:
    """Return the name of the script that a file of the wheel is, or an empty string."""
    directory = f"{wheel.data_directory}scripts/"
    return name[len(directory) :] if name.startswith(directory) else ""


def _origin(wheel: Wheel, exclude: Exclude) -> str:
    name = wheel.distribution
    return f"{exclude.option}={name}" if exclude.option else f'exclude["{name}"] of bento.pypi'


def _own(wheel: Wheel, exclude: Exclude, paths: Iterable[str]) -> Patterns:
    patterns = Patterns(exclude.own, _origin(wheel, exclude))
    for rule in patterns.unmatched(paths):
        near = _nearest(rule.text, paths)
        hint = f"Did you mean {near!r}? " if near else ""
        key = f' If the files exist only on one platform, use the key "{wheel.distribution}@<platform>".'
        problem = f"{rule} matches no file. {hint}Correct or remove the pattern.{'' if exclude.option else key}"
        raise BentoError(problem, place=wheel.name)
    if len(patterns.rules) < len(exclude.own):
        problem = "a pattern is empty, is a comment, or has an unclosed `[`"
        raise BentoError(problem, place=_origin(wheel, exclude), remedy="Correct or remove the pattern.")
    return patterns


def _nearest(pattern: str, paths: Iterable[str]) -> str:
    """Return the file, directory, or suffix most similar to `pattern`, or an empty string if none is similar."""
    plain = pattern.removeprefix("!").strip("/").removesuffix("/**").removeprefix("**/")
    names = {*paths, *directories_above(paths)}
    if "/" not in plain:
        names = {name.rpartition("/")[2] for name in names}
        if plain.startswith("*."):
            names = {"*." + name.rpartition(".")[2] for name in names if "." in name}
    return nearest(plain, sorted(names))


def _check_modules(wheel: Wheel, excluded: Mapping[str, Rule], kept: set[str], origin: str) -> None:
    imported = {path for path in kept if path.endswith(_IMPORTED)}
    lines = [line for path, line in excluded.items() if path.endswith(_IMPORTED)]
    if not imported and lines and all(line.text.startswith("/") for line in lines):
        return  # intended: another package has the same modules
    packages = directories_above(imported)
    entry_modules = wheel.entry_modules()
    for path, rule in excluded.items():
        directory, _, name = path.rpartition("/")
        if rule.text in (f"/{path}", f"/{path.partition('/')[0]}/"):
            continue  # intended: another package has the same files, as `check_shared_files` reports
        if name == "__init__.py" and directory in packages:
            problem = f"{rule} excludes {path}, but keeps other modules of the package"
            remedy = f"Exclude '{directory}/', or add '!/{path}' after the pattern."
            raise BentoError(problem, place=wheel.name, remedy=remedy)
        if (module := _module(path)) in entry_modules:
            problem = f"{rule} excludes {path}, but an entry point requires {module}"
            remedy = f"Use a more specific pattern, or add '!/{path}' after the pattern."
            raise BentoError(problem, place=wheel.name, remedy=remedy)
    if not imported and lines:
        remedy = "Exclude fewer files, or remove the package. If another package has the same modules, begin the "
        remedy += "patterns with a slash."
        raise BentoError(f"{origin} excludes all of the package's modules", place=wheel.name, remedy=remedy)


def _module(path: str) -> str:
    if path.endswith(".py"):
        return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    directory, _, name = path.rpartition("/")
    return f"{directory}/{name.partition('.')[0]}".lstrip("/").replace("/", ".") if name.endswith(".so") else ""
