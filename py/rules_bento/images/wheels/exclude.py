"""Files of a wheel that images leave out, as `bento.pypi` names them (`exclude`, `exclude_presets`).

A wheel without them is read as one that never had them: RECORD, byte code and the checks of libraries follow from what
is left. Patterns are those of a bentofile's `exclude`. What they are held against is where a file is below
site-packages, or, for scripts, headers and data, its name in the wheel (`acme-1.0.data/scripts/run`).
"""

from __future__ import annotations

from rules_bento.errors import BentoError
from rules_bento.hints import TYPE_CHECKING
from rules_bento.records import NamedTuple
from rules_bento.sources.patterns import Patterns

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rules_bento.images.wheels.wheel import Wheel
    from rules_bento.sources.patterns import Rule

_IMPORTED = (".py", ".so")


class Exclude(NamedTuple):
    """Decides which files are left out of a wheel; a pattern of `own` wins over one of `preset`."""

    own: Sequence[str] = ()  # each has to name a file of the wheel
    preset: Sequence[str] = ()  # which name what other releases have, too


def without(wheel: Wheel, exclude: Exclude) -> Wheel:
    """Return the wheel without the files that are left out.

    Raises BentoError for what is no pattern, or names no file, and for patterns that take what the rest of the wheel
    needs: its metadata, the module of an entry point, `__init__.py` of a package that stays, or all modules.
    """
    paths = {member.path: _imported_path(wheel, member.path) for member in wheel.members}
    own = _own(wheel, exclude, paths.values())
    preset = Patterns(exclude.preset, "a preset of bento.pypi")

    def rule(path: str) -> Rule | None:
        line = own.rule(path) or preset.rule(path)
        return None if line is None or line.negated else line

    left_out = {name: line for name, path in paths.items() if (line := rule(path))}
    if exclude.own and not left_out:
        raise BentoError(f"{wheel.name}: exclude of bento.pypi leaves nothing out. Leave {_key(wheel)} out of it.")
    kept = {path for name, path in paths.items() if name not in left_out}
    _check_metadata(wheel, left_out)
    _check_modules(wheel, {paths[name]: line for name, line in left_out.items()}, kept)
    emptied = _folders(paths) - _folders(name for name in paths if name not in left_out)
    return wheel._replace(
        members=tuple(member for member in wheel.members if member.path not in left_out),
        folders=tuple(
            folder
            for folder in wheel.folders
            if folder not in emptied and not rule(f"{_imported_path(wheel, folder)}/")
        ),
    )


def _imported_path(wheel: Wheel, name: str) -> str:
    """Return where a file of the wheel is below site-packages; its name for what is not there."""
    for scheme in ("purelib/", "platlib/"):
        name = name.removeprefix(wheel.data_folder + scheme)
    return name


def _key(wheel: Wheel) -> str:
    return f'"{wheel.distribution}"'


def _own(wheel: Wheel, exclude: Exclude, paths: Iterable[str]) -> Patterns:
    patterns = Patterns(exclude.own, f"exclude[{_key(wheel)}] of bento.pypi")
    for rule in patterns.unmatched(paths):
        near = _nearest(rule.text, paths)
        raise BentoError(
            f"{wheel.name}: {rule} names no file of it{f'; there is {near!r}' if near else ''}. Correct or remove it; "
            f'what wheels for one platform have stands at "{wheel.distribution}@<platform>".'
        )
    if len(patterns.rules) < len(exclude.own):
        raise BentoError(
            f"exclude[{_key(wheel)}] of bento.pypi: a pattern is empty, a remark, or a set without its end. Correct it."
        )
    return patterns


def _nearest(pattern: str, paths: Iterable[str]) -> str:
    """Return the file, folder or ending that a pattern may have meant; empty if nothing is like it."""
    import difflib

    plain = pattern.removeprefix("!").strip("/").removesuffix("/**").removeprefix("**/")
    names = {*paths, *_folders(paths)}
    if "/" not in plain:
        names = {name.rpartition("/")[2] for name in names}
        if plain.startswith("*."):
            names = {"*." + name.rpartition(".")[2] for name in names if "." in name}
    near = difflib.get_close_matches(plain, sorted(names), n=1)
    return near[0] if near else ""


def _check_metadata(wheel: Wheel, left_out: Mapping[str, Rule]) -> None:
    for name, rule in left_out.items():
        if name.startswith(f"{wheel.dist_info}/"):
            raise BentoError(
                f"{wheel.name}: {rule} leaves out {name}, which is metadata that installers, importlib.metadata and "
                "who asks for licences read. Name more exactly what to leave out, or add '!*.dist-info/' behind it."
            )


def _check_modules(wheel: Wheel, left_out: Mapping[str, Rule], kept: set[str]) -> None:
    imported = {path for path in kept if path.endswith(_IMPORTED)}
    packages = _folders(imported)
    entry_modules = wheel.entry_modules()
    for path, rule in left_out.items():
        folder, _, name = path.rpartition("/")
        if name == "__init__.py" and folder in packages:
            raise BentoError(
                f"{wheel.name}: {rule} leaves out {path}, but not all modules of that package. "
                f"Leave out '{folder}/', or add '!/{path}' behind it."
            )
        if (module := _module(path)) in entry_modules:
            raise BentoError(
                f"{wheel.name}: {rule} leaves out {path}, but its entry points name {module}. "
                f"Name more exactly what to leave out, or add '!/{path}' behind it."
            )
    if not imported and any(path.endswith(_IMPORTED) for path in left_out):
        raise BentoError(
            f"{wheel.name}: exclude of bento.pypi leaves no module of it. Leave out less, or the package itself."
        )


def _module(path: str) -> str:
    """Return the dotted name that a file is imported by; empty for a file that is not."""
    if path.endswith(".py"):
        return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    folder, _, name = path.rpartition("/")
    return f"{folder}/{name.partition('.')[0]}".lstrip("/").replace("/", ".") if name.endswith(".so") else ""


def _folders(paths: Iterable[str]) -> set[str]:
    """Return the folders above the paths."""
    folders: set[str] = set()
    new = {path.rpartition("/")[0] for path in paths} - {""}
    while new:
        folders |= new
        new = {folder.rpartition("/")[0] for folder in new} - folders - {""}
    return folders
