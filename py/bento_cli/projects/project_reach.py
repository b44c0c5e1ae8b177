"""Limits what the commands can reach while they read the project of a stranger (`rules_bento.base.landlock`).

`confine` lets a command write only to its caches, its scratch directory, the store, and its outputs. `read` lets a
function also read only the project, what the user named, and the system, and use no network.
"""

from __future__ import annotations

import atexit
import os
import sys
import tempfile
from contextlib import suppress
from importlib.machinery import SourceFileLoader
from pathlib import Path

from rules_bento.base import landlock
from rules_bento.base.errors import BentoError
from rules_bento.base.landlock import Reach
from rules_bento.base.own_files import remove, user_cache_directory
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Callable, Iterable, TypeVar
from rules_bento.bentos.assembly.kinds import BENTO, MODEL

if TYPE_CHECKING:
    from bento_cli.store.home import Home

_Result = TypeVar("_Result")


def confine(home: Home, outputs: Iterable[str] = ()) -> None:
    """Let this process write only to the caches of the command, its scratch directory, the store, and `outputs`.

    `outputs` are directories, which this function creates.
    """
    scratch = Path(tempfile.mkdtemp(prefix="rules_bento-"))
    new = [Path(each) for each in outputs if not os.path.lexists(each)]
    atexit.register(landlock.outside, _clean, scratch, new)
    for directory in (*_caches(), *map(Path, outputs)):
        with suppress(OSError):  # of a home directory that is read-only
            directory.mkdir(parents=True, exist_ok=True)  # writes: output, of the user
    sections = [home.entries_dir(kind) for kind in (BENTO, MODEL)]  # which can be links
    landlock.confine([scratch, *_caches(), home.root, *sections, *outputs])
    tempfile.tempdir = str(scratch)
    original = SourceFileLoader.set_data
    SourceFileLoader.set_data = lambda *arguments, **keywords: landlock.outside(  # type: ignore[method-assign]
        original, *arguments, **keywords
    )


def require() -> None:
    """Raise BentoError if the system can't limit or isolate processes."""
    from rules_bento.bentos.service.import_twice import isolation_problem

    if reason := landlock.problem() or isolation_problem():
        remedy = "Use another system, or remove --require-isolation if you trust the project."
        raise BentoError(reason, place="--require-isolation", remedy=remedy)


def _clean(scratch: Path, new: Iterable[Path]) -> None:
    remove(scratch, ignores_errors=True)  # writes: own, of this process
    for directory in new:
        with suppress(OSError):  # it is an output
            directory.rmdir()  # writes: output, if it is empty


def read(
    places: Iterable[str | os.PathLike[str]], function: Callable[..., _Result], *arguments: Any, **keywords: Any
) -> _Result:
    """Call a function that can read only the projects that contain `places`, the system, and the caches.

    It has no network, and writes only to the caches and the scratch directory.
    """
    paths = [os.path.realpath(each) for each in (*sys.path, sys.prefix, sys.base_prefix) if each]
    # Files of Bazel, and of uv with --link-mode=symlink, are links to directories that nothing here knows.
    is_linked = not os.path.realpath(landlock.__file__).startswith(tuple(f"{each}/" for each in paths))
    is_linked |= any(".runfiles/" in each for each in sys.path)
    own: list[str | Path] = [tempfile.gettempdir(), *_caches()]
    reads: list[str | Path] | None = None if is_linked else [*landlock.SYSTEM, *paths, *own, *map(tree, places)]
    return landlock.call(Reach(own, reads, has_network=False), function, *arguments, **keywords)


def _caches() -> list[Path]:
    return [*filter(None, [user_cache_directory()])]


def tree(place: str | os.PathLike[str]) -> Path:
    """Return the root of the Git repository of a file or directory, or of the projects above it, without reading them.

    The home directory and the root directory are of no project.
    """
    found = Path(os.path.realpath(place))  # unlike `resolve`, accepts a link to itself
    home = Path("~").expanduser().resolve()
    for each in (found, *found.parents):
        if each in (home, Path(each.anchor)):
            break
        if os.path.lexists(each / ".git"):
            return each
        found = each if os.path.lexists(each / "pyproject.toml") else found
    return found
