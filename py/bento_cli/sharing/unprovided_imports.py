"""Finds modules that the command of an image certainly imports, and that none of the image's packages provides."""

from __future__ import annotations

from contextlib import suppress

from rules_bento.base.errors import BentoError
from rules_bento.base.typing_lite import TYPE_CHECKING, Iterable, Mapping, Sequence
from rules_bento.bentos.service import loaded_modules
from rules_bento.images.entrypoint import target
from rules_bento.images.plan import ENVIRONMENT

if TYPE_CHECKING:
    from rules_bento.bentos.service.loaded_modules import MissingModule
    from rules_bento.bentos.service.metadata import SourceTree


def started_modules(command: Sequence[str], scripts: Mapping[str, str], sources: SourceTree) -> list[str]:
    """Return the modules (a.b) and files (a/b.py) of the sources that a command runs.

    `scripts` maps the project's scripts to entry points.
    """
    program = command[0] if command else ""
    if "/" in program and not program.startswith(f"{ENVIRONMENT}/bin/"):
        return []  # another interpreter, which has other packages
    kind, script = target(command)  # other files are arguments of the script
    words = [scripts.get(program.rpartition("/")[2], "").partition(":")[0].strip(), *command[1:]]
    words = [script] if kind == "file" else words
    return [module for word in words if (module := _find_module(word, sources))]


def _find_module(word: str, sources: SourceTree) -> str:
    """Return the module of the sources that a word of a command names, such as `main:app`, or an empty string."""
    for path in sources.paths if word.endswith(".py") else ():
        if word == path or word.endswith(f"/_main/{path}"):
            return path
    module = word.partition(":")[0].partition("(")[0]
    path = module.replace(".", "/")
    if f"{path}/__main__.py" in sources.paths:
        return f"{module}.__main__"
    return module if {f"{path}.py", f"{path}/__init__.py"}.intersection(sources.paths) else ""


def of_modules(
    modules: Iterable[str], sources: SourceTree, files: Iterable[str], depth: int | None = None
) -> list[MissingModule]:
    """Return what importing `modules` certainly imports, and neither Python nor `files` provide.

    For `files` and `depth`, see `loaded_modules.own_modules`.
    """
    found: list[MissingModule] = []
    for module in modules:
        with suppress(BentoError):  # an invalid name, which the program reports
            found += loaded_modules.survey(module, sources, "").missing
    return loaded_modules.of_packages(found, loaded_modules.own_modules(files, depth))
