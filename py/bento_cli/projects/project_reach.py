"""Limits what the commands can reach while they read projects, bases, and wheels of strangers (`base.landlock`).

`confine` lets a command write only to its caches, its scratch directory, the store, and its outputs. `confined` lets a
function write only to a new directory, read only the project, what the user named, the caches, and the system, and use
no network.
"""

from __future__ import annotations

import atexit
import os
import sys
import tempfile
from bisect import insort
from contextlib import suppress
from functools import cache
from importlib.machinery import SourceFileLoader
from itertools import islice
from pathlib import Path

from rules_bento.base import landlock
from rules_bento.base.errors import BentoError
from rules_bento.base.landlock import Reach
from rules_bento.base.own_files import own_directory, remove, user_cache_directory
from rules_bento.base.tree_walk import GENERATED, walk
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Callable, Iterable, Iterator, TypeVar
from rules_bento.bentos.assembly.kinds import BENTO, MODEL

if TYPE_CHECKING:
    from bento_cli.store.home import Home

_Result = TypeVar("_Result")
_SCRATCH = "rules_bento-command-"  # a prefix of directories, each of which has a lock while its process runs
_MOST = 100  # directories of killed processes that one command looks at, and links of a chain
_MAX_SEARCHED = 100_000  # files that could be links


def confine(home: Home, outputs: Iterable[str] = ()) -> None:
    """Let this process write only to the caches of the command, its scratch directory, the store, and `outputs`.

    `outputs` are directories, which this function creates.
    """
    _remove_abandoned()
    scratch = _new_scratch()
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


def _new_scratch() -> Path:
    """Create a directory, with a lock that the kernel releases when this process ends."""
    import fcntl

    while True:
        scratch = Path(tempfile.mkdtemp(prefix=_SCRATCH))
        with suppress(OSError):  # of a file system without locks
            fcntl.flock(os.open(scratch, os.O_RDONLY | os.O_CLOEXEC), fcntl.LOCK_EX)
        if scratch.is_dir():  # otherwise, another process removed the directory before it had a lock
            return scratch


def _remove_abandoned() -> None:
    """Remove the scratch directories that killed processes of this user have left."""
    import fcntl

    for path in islice(Path(tempfile.gettempdir()).glob(f"{_SCRATCH}*"), _MOST):
        with suppress(OSError):  # a link, or the directory of a running process
            file = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(file).st_uid == os.geteuid():
                    remove(path, ignores_errors=True)  # writes: own, of an earlier process
            finally:
                os.close(file)


def _clean(scratch: Path, new: Iterable[Path]) -> None:
    remove(scratch, ignores_errors=True)  # writes: own, of this process
    for directory in new:
        with suppress(OSError):  # it is an output
            directory.rmdir()  # writes: output, if it is empty


def confined(
    places: Iterable[str | os.PathLike[str]],
    function: Callable[..., _Result],
    *arguments: Any,
    copy: Path | None = None,
    **keywords: Any,
) -> _Result:
    """Call a function that can read only the projects that contain `places`, the system, Python, and the caches.

    It has no network, and writes only to the empty directory `copy`, and to a new directory, which contains all
    temporary files of this process until the function returns, and which is then removed.
    """
    reads = [*landlock.SYSTEM, *_modules(), *_caches(), *map(tree, places)]
    before = tempfile.tempdir
    with own_directory() as scratch:
        writes = [scratch, *([copy] if copy else [])]
        try:
            tempfile.tempdir = str(scratch)
            return landlock.call(Reach(writes, reads, has_network=False), function, *arguments, **keywords)
        finally:
            tempfile.tempdir = before


@cache
def _modules() -> list[str | Path]:
    """Return the directories with modules that this process can import, and what links in them lead to.

    With Bazel, or uv's --link-mode=symlink, each file is a link. Searches only packages with links, and namespaces.
    """

    def enter(entry: os.DirEntry[str]) -> bool:
        if ".runfiles/" in entry.path:
            return True
        start = f"{entry.path}/__init__.py"
        return entry.name.isidentifier() and (os.path.islink(start) or not os.path.exists(start))  # noqa: PTH110, PTH114

    loaded = [each for name, each in [*sys.modules.items()] if "." not in name]
    roots = {*filter(None, sys.path), *(path for each in loaded for path in getattr(each, "__path__", ()))}
    roots |= {path.removesuffix(".zip") for path in roots}  # with Bazel, machine code is next to the zip of a package
    every = (entry for root in roots for _, entry in walk(root, without=GENERATED, enter=enter, strict=False))
    links = [entry.path for entry in islice(every, _MAX_SEARCHED) if entry.is_symlink()]
    return [sys.prefix, sys.base_prefix, *roots, *_whole(links)]


def _whole(links: Iterable[str]) -> Iterator[str]:
    """Yield what links lead to: a directory in place of its entries if links lead to all of them.

    A program of Bazel has thousands of links, and Landlock has a limited number of rules, of which each takes time.
    """
    entries: dict[str, set[str]] = {}
    real = cache(os.path.realpath)  # which looks at each part of a path
    for path in links:
        for _ in range(_MOST):  # a link can lead to another one
            above, name = os.path.split(path)
            directory = real(above)
            try:
                path = os.path.join(directory, os.readlink(f"{directory}/{name}"))  # noqa: PTH115, PTH118 - of thousands
            except OSError:
                break
        entries.setdefault(directory, set()).add(name)
    pending = sorted(entries, key=len)
    while pending:
        directory = pending.pop()  # a deepest one
        names = entries.pop(directory)
        with suppress(OSError):
            if names.issuperset({each.name for each in Path(directory).iterdir()} - GENERATED):
                above, name = os.path.split(directory)
                if above not in entries:
                    insort(pending, above, key=len)
                entries.setdefault(above, set()).add(name)
                continue
        yield from (f"{directory}/{name}" for name in names)


def _caches() -> list[Path]:
    return [*filter(None, [user_cache_directory()])]


def tree(place: str | os.PathLike[str]) -> Path:
    """Return the root of the Git repository of a file or directory, or of the projects above it, without reading them.

    The home directory, the root directory, and the directory of temporary files are of no project.
    """
    found = Path(os.path.realpath(place))  # unlike `resolve`, accepts a link to itself
    shared = [Path("~").expanduser().resolve(), Path(tempfile.gettempdir()).resolve(), Path(found.anchor)]
    for each in (found, *found.parents):
        if each in shared:
            break
        if os.path.lexists(each / ".git"):
            return each
        found = each if os.path.lexists(each / "pyproject.toml") else found
    return found
