"""Forks the workers of a reloading server from a process that keeps imported packages in memory.

BentoML's supervisor starts a worker as usual. The interpreter of the worker imports this module first (`install`), and
`maybe_fork` forks the process. The child continues as the worker, and the parent imports the packages that the worker
imports. After an edit, the parent stops the worker and forks again. Therefore, an edit reloads only the service's
modules.

A worker has the same environment variables, file descriptors, and working directory as a new process. If the preloaded
packages might change the behavior of a worker (`_difference`), the parent reports the reason, and restarts without
preloaded packages.
"""

from __future__ import annotations

import importlib
import os
import select
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

# rules_bento isn't importable in a worker.
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from importlib.machinery import ModuleSpec
    from types import FrameType, ModuleType

NO_PRELOAD = "RULES_BENTO_NO_PRELOAD"
"""The variable that makes each edit import the packages again."""

_EDITS = "RULES_BENTO_EDITS"  # the file that changes with each edit
_WORKER = "RULES_BENTO_WORKER"  # the running worker if the parent restarts
_EDIT = "RULES_BENTO_EDIT"  # the edit that this worker has seen, in nanoseconds
_MODULES = ("_bentoml_impl.worker.", "bentoml_cli.worker.")  # modules of BentoML that run workers
_STARTUP = "wheels_worker.pth"  # sorts after the files that add directories
# site reads the file twice in a virtual environment.
_START = "import os; {edits!r} in os.environ and exec({program!r})\n"
_PROGRAM = (
    "import sys; sys.path.append({place!r}); import bento_cli.programs.reload_forkserver as server; "
    "sys.path.pop(); server.maybe_fork()"
)
_TICK = 0.05  # seconds
_QUIET = 1.0  # seconds without an import until a worker counts as started
_TO_STOP = 5.0  # seconds for a worker to finish its requests
_READ = 1 << 16
# Signal handlers of a new process.
_HANDLERS: Mapping[signal.Signals, Callable[[int, FrameType | None], object] | signal.Handlers] = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGTERM: signal.SIG_DFL,
}


def install(python: Path, edits: Path) -> dict[str, str]:  # writes: own, a constant name in the environment
    """Set up the environment of `python` so that this module starts the workers of a server.

    Returns the environment variables for the server. All workers restart after each write to the file `edits`.
    """
    program = _PROGRAM.format(place=str(Path(__file__).parents[2]))  # the archive or the directory of this module
    [packages] = python.parent.parent.glob("lib/python*/site-packages")
    (packages / _STARTUP).write_text(_START.format(edits=_EDITS, program=program), "utf-8")
    return {_EDITS: str(edits)}


def maybe_fork() -> None:
    """Fork this process if it was started as a worker. Returns only in the child, or if this process isn't a worker."""
    edits = os.environ.get(_EDITS)
    words = sys.orig_argv[1:3]
    if edits and words[:1] == ["-m"] and words[1].startswith(_MODULES):
        _Parent(Path(edits)).attend()


class _Parent:
    """The parent process of a worker. Replaces the worker after each edit."""

    def __init__(self, edits: Path) -> None:
        self._variables = dict(os.environ)
        del os.environ[_EDITS]
        self._directory = os.getcwd()  # noqa: PTH109 - a string is required
        self._edits = edits
        self._edit = int(os.environ.pop(_EDIT, "") or _written(edits))
        self._no_preload = bool(os.environ.pop(NO_PRELOAD, ""))
        self._worker = int(os.environ.pop(_WORKER, "0"))
        self._is_first = True
        self._is_stopping = False
        self._reports = -1
        self._quiet_since = 0.0
        self._imported: list[tuple[str, int]] = []
        self._own: set[str] = set()
        self._before = {*sys.modules, sys.orig_argv[2]}

    def attend(self) -> None:
        """Run a worker, and replace the worker after each edit. Returns only in workers, and exits in the parent."""
        for number in _HANDLERS:
            signal.signal(number, self._stop)
        if not self._worker and self._forks():
            return
        while True:
            ended = self._wait()
            if ended is not None and (self._is_stopping or self._is_first or ended < 0):
                _end_as(ended)
            if ended is not None:
                sys.stderr.write("The service didn't start (see above). Waiting for the next edit.\n")
            if _written(self._edits) != self._edit:
                self._edit = _written(self._edits)
                self._is_first = False
                self._end_worker()
                if self._is_stopping:  # while the worker ended
                    _end_as(0)
                if self._forks():
                    return

    def _stop(self, number: int, _frame: FrameType | None) -> None:
        self._is_stopping = True
        if not self._worker:
            os._exit(0)
        os.kill(self._worker, number)

    def _forks(self) -> bool:
        """Fork a worker. Returns True in the worker, and False in the parent."""
        reports, report = os.pipe()
        if self._reports >= 0:
            os.close(self._reports)
        # Block signals until each process has set its state.
        signal.pthread_sigmask(signal.SIG_BLOCK, _HANDLERS)
        worker = os.fork()
        if worker:
            os.close(report)
            self._reports, self._worker = reports, worker
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _HANDLERS)
            return False
        os.close(reports)
        for number, handler in _HANDLERS.items():
            signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _HANDLERS)
        os.chdir(self._directory)  # the directory might have been replaced
        # Python compares bytecode with the source's time in whole seconds, and would miss an edit in the same second.
        sys.dont_write_bytecode = not self._is_first
        if not self._no_preload:
            os.set_blocking(report, False)
            sys.meta_path.insert(0, _Recorder(report))
        for name in [name for name in sys.modules if name.partition(".")[0] == "rules_bento"]:
            del sys.modules[name]
        return True

    def _wait(self) -> int | None:
        """Wait briefly for reports. Returns the exit status if the worker has just exited, otherwise None."""
        reports = [self._reports] if self._reports >= 0 else []
        if select.select(reports, [], [], _TICK)[0]:
            self._quiet_since = time.monotonic()
            if not self._read():
                os.close(self._reports)
                self._reports = -1
        elif self._imported and time.monotonic() > self._quiet_since + _QUIET:
            self._import()
        return self._ended() if self._worker else None

    def _ended(self) -> int | None:
        process, status = os.waitpid(self._worker, os.WNOHANG)
        if not process:
            return None
        self._worker = 0
        return os.waitstatus_to_exitcode(status)

    def _end_worker(self) -> None:
        """Stop the worker. Kills the worker if it doesn't exit in time."""
        if not self._worker:
            return
        os.kill(self._worker, signal.SIGTERM)
        deadline = time.monotonic() + _TO_STOP
        while self._ended() is None:
            if time.monotonic() > deadline:
                os.kill(self._worker, signal.SIGKILL)
            time.sleep(_TICK / 5)

    def _read(self) -> bool:
        """Read the names of modules that the worker imported. Returns whether the worker can send more names."""
        data = os.read(self._reports, _READ)
        while data and not data.endswith(b"\n"):
            more = os.read(self._reports, _READ)
            data += more or b"\n"
        for line in data.decode().splitlines():
            name, _, variables = line.partition("\t")
            if variables:
                self._imported.append((name, int(variables)))
            elif name:
                self._own.add(name)
        return bool(data)

    def _import(self) -> None:
        """Preload the worker's packages. Restarts this process without preloading if a package might affect workers."""
        imported, self._imported = self._imported, []
        for name, variables in imported:
            package = name.rpartition(".")[0]
            if (
                name in sys.modules.keys() | self._before
                or (package and package not in sys.modules)
                or variables != _variables()
            ):
                continue
            with suppress(Exception, SystemExit):  # the import might depend on the service
                importlib.import_module(name)
            if why := _difference(self._own - self._before):
                sys.stderr.write(f"{name} {why}, so each edit reloads all packages\n")
                environment = self._variables | {NO_PRELOAD: "1", _WORKER: str(self._worker), _EDIT: str(self._edit)}
                os.execve(sys.executable, sys.orig_argv, environment)


class _Recorder:
    """A finder that reports imported modules to the parent process."""

    def __init__(self, report: int) -> None:
        self._pipe = report
        self._packages = tuple(path + os.sep for path in sys.path if Path(path).name == "site-packages")
        self._standard = tuple(path + os.sep for path in sys.path if path and Path(path).name != "site-packages")

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Return a module's spec from another finder, or None if no spec exists. Reports the module to the parent."""
        for finder in sys.meta_path:
            if finder is not self and (spec := finder.find_spec(name, path, target)):
                self._report_module(name, spec.origin)
                return spec
        return None

    def _report_module(self, name: str, origin: str | None) -> None:
        if origin and origin.startswith(self._packages):
            line = f"{name}\t{_variables()}\n"
        elif origin and os.sep in origin and not origin.startswith(self._standard):
            line = f"{name}\n"
        else:
            return
        with suppress(OSError):  # the next worker reports it again
            os.write(self._pipe, line.encode())


def _difference(own: set[str]) -> str:
    """Return why a forked worker might behave differently, or "" if no reason is known. `own` lists service modules."""
    if shadowed := sorted(own & sys.modules.keys()):
        return f"imports {shadowed[0]}, which is also a module of the service"
    threading = sys.modules.get("threading")
    if threading and threading.active_count() > 1:
        return "starts threads"
    for descriptor in Path("/proc/self/fd").glob("*"):
        with suppress(OSError):
            if str(descriptor.readlink()).startswith("/dev/nvidia"):
                return "opens a GPU"
    return ""


def _variables() -> int:
    """Return a hash of the environment variables. Hashes are comparable only between a process and its forks."""
    return hash(frozenset(os.environ.items()))


def _written(edits: Path) -> int:
    with suppress(OSError):  # the server is about to end
        return edits.stat().st_mtime_ns
    return 0


def _end_as(status: int) -> None:
    """End this process with the exit status or signal of the worker."""
    if status < 0:
        with suppress(OSError):  # SIGKILL has no handler
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    os._exit(max(status, 0))
