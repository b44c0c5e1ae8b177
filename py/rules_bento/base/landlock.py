"""Limits which files threads and programs can reach with Landlock of Linux, so that the kernel rejects all others.

A thread can't lift its limits, and passes them on to the threads and programs that it starts. `confine` therefore keeps
one thread without limits, and `outside` runs functions there: those that start programs with limits of their own, such
as mounts, which Landlock forbids, and those that write the outputs of the user.

Source: Documentation/userspace-api/landlock.rst and include/uapi/linux/landlock.h of Linux.
"""

from __future__ import annotations

import ctypes
import os
import platform
import stat
import struct
import sys
import threading
from contextlib import suppress
from queue import SimpleQueue

from rules_bento.base.dataclasses_lite import NamedTuple
from rules_bento.base.errors import BentoError
from rules_bento.base.typing_lite import Any, Callable, Iterable, Sequence, TypeVar

_CREATE, _ADD, _RESTRICT = 444, 445, 446  # system calls, with the same numbers on all machines
_GET_VERSION, _BENEATH, _NO_NEW_PRIVILEGES = 1, 1, 38
# LANDLOCK_ACCESS_FS_*: execute, write, read, and list, the first that a file can have; then remove and make; 13 is
# refer (version 2), 14 truncate (3), and 15 ioctl of devices (5).
_READ = 1 << 0 | 1 << 2 | 1 << 3
_OF_FILES = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 14
_RIGHTS = {2: (1 << 14) - 1, 3: (1 << 15) - 1}
_MOST = 1 << 15  # without ioctl, which standard streams need
_TCP, _SCOPES = 0b11, 0b11  # bind and connect (version 4); abstract sockets and signals of other processes (6)
_DEVICES = [f"/dev/{name}" for name in ("null", "zero", "full", "random", "urandom")]
_SECONDS = 5  # that an interrupted thread has to end
_Result = TypeVar("_Result")
SYSTEM = (
    *("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/nix/store", "/gnu/store", "/home/linuxbrew/.linuxbrew"),
    *("/opt", "/etc", "/proc", "/sys", "/var/lib/ca-certificates"),
    # Often links to other directories, such as /run.
    *(
        f"/etc/{name}"
        for name in ("gitconfig", "group", "hosts", "localtime", "passwd", "resolv.conf", "ssl/certs", "uv")
    ),
)
"""Programs, libraries, and settings of the system."""


class Reach(NamedTuple):
    """What a thread and its programs can reach. A path allows all below it. Missing paths are ignored."""

    writes: Sequence[str | os.PathLike[str]]
    reads: Sequence[str | os.PathLike[str]] | None = None  # also the paths in `writes`; None: everything
    has_network: bool = True  # whether TCP works (a kernel from 6.7 on enforces it)


def problem() -> str:
    """Return why this system can't limit threads, or an empty string."""
    if sys.platform != "linux":
        return f"Landlock requires Linux, but this system is {platform.system()}"
    return "" if _version() >= 2 else "the kernel doesn't provide Landlock (Linux 5.19 or later)"


def call(reach: Reach, function: Callable[..., _Result], *arguments: Any, **keywords: Any) -> _Result:
    """Call a function in a new thread that has only `reach`, and return its result.

    Without Landlock, calls it without limits. While this thread waits, it runs the jobs of `outside`.
    """
    if problem():
        return function(*arguments, **keywords)

    def run() -> _Result:
        restrict(reach)
        return function(*arguments, **keywords)

    thread = _Limited(_Job(run))
    try:
        thread.start()
        while other := thread.jobs.get():
            other.run()
    except BaseException:
        thread.is_interrupted = True
        for stop in thread.stops:
            stop()
        if thread.ident:
            thread.join(_SECONDS)  # until it removed its files
        raise
    result: _Result = thread.job.result()
    return result


def confine(writes: Iterable[str | os.PathLike[str]]) -> None:
    """Let this thread write only to `writes`, until it ends. Does nothing without Landlock."""
    global _outside
    if _outside is None and not problem():
        started = _Outside()
        restrict(Reach([*writes]))
        _outside = started


def outside(function: Callable[..., _Result], *arguments: Any, **keywords: Any) -> _Result:
    """Call a function without the limits of `call` and `confine`, and return its result.

    Its arguments must not be paths that an untrusted document determines.
    """
    thread = threading.current_thread()
    if isinstance(thread, _Limited):
        job = _Job(lambda: outside(function, *arguments, **keywords))
        thread.jobs.put(job)
    elif _outside and thread is not _outside:
        job = _Job(lambda: function(*arguments, **keywords))
        _outside.jobs.put(job)
    else:
        return function(*arguments, **keywords)
    result: _Result = job.result()
    return result


def on_interrupt(stop: Callable[[], object]) -> None:
    """Call a function if the thread that waits for this one is interrupted. It ends what this thread waits for."""
    thread = threading.current_thread()
    if isinstance(thread, _Limited):
        thread.stops.append(stop)
        if thread.is_interrupted:
            stop()


class _Job:
    """A call in another thread."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self._function = function
        self._result: Any = None
        self._error: BaseException | None = None
        self._ended = threading.Event()

    def run(self) -> None:
        try:
            self._result = self._function()
        except BaseException as error:
            self._error = error
        finally:
            self._ended.set()

    def result(self) -> Any:
        """Wait for the end of the call, and return its result, or raise its error."""
        self._ended.wait()
        if self._error:
            raise self._error
        return self._result


class _Limited(threading.Thread):
    """A thread that runs one job with limits. `jobs` are for the thread that started it."""

    def __init__(self, job: _Job) -> None:
        super().__init__(daemon=True)
        self.job = job
        self.jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self.stops: list[Callable[[], object]] = []
        self.is_interrupted = False

    def run(self) -> None:
        self.job.run()
        self.jobs.put(None)


class _Outside(threading.Thread):
    """A thread that runs jobs without limits, one after the other, until the process ends."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.jobs: SimpleQueue[_Job] = SimpleQueue()
        self.start()

    def run(self) -> None:
        while True:
            self.jobs.get().run()


_outside: _Outside | None = None  # of this process, if its main thread is confined


def restrict(reach: Reach) -> None:
    """Limit this thread, and what it starts. Raises BentoError if the system can't."""
    libc, version = _libc(), _version()
    handled = _RIGHTS.get(version, (1 << 15) - 1)
    if reach.reads is None:
        handled &= ~_READ
    network = _TCP if version >= 4 and not reach.has_network else 0
    scopes = _SCOPES if version >= 6 and reach.reads is not None else 0
    attributes = struct.pack("=QQQ", handled, network, scopes)[: {2: 8, 3: 8, 4: 16, 5: 16}.get(version, 24)]
    rules = libc.syscall(_CREATE, attributes, ctypes.c_size_t(len(attributes)), 0)
    _check(rules < 0, "Landlock")
    try:
        for paths, rights in ((reach.writes, handled), (reach.reads or (), handled & _READ), (_DEVICES, 0b0110)):
            for path in paths:
                _allow(libc, rules, path, rights & handled)
        _check(libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0), "dropping privileges")
        _check(libc.syscall(_RESTRICT, rules, 0), "Landlock")
    finally:
        os.close(rules)


def _allow(libc: Any, rules: int, path: str | os.PathLike[str], rights: int) -> None:
    with suppress(OSError):  # a missing path
        file = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            rights &= _OF_FILES if not stat.S_ISDIR(os.fstat(file).st_mode) else ~0
            if rights:
                failed = libc.syscall(_ADD, rules, _BENEATH, struct.pack("=Qi", rights, file), 0)
                _check(failed, f"Landlock: {os.fspath(path)}")
        finally:
            os.close(file)


def _version() -> int:
    return int(_libc().syscall(_CREATE, None, ctypes.c_size_t(0), _GET_VERSION))


def _libc() -> Any:
    return ctypes.CDLL(None, use_errno=True)


def _check(failed: int, what: str) -> None:
    if failed:
        raise BentoError(f"{what}: {os.strerror(ctypes.get_errno())}.")
