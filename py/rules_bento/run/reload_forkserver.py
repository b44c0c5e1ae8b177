"""Forks the workers of a server that follows edits from a process that keeps the packages in memory.

BentoML's own supervisor starts a worker as it always does. The interpreter of that process imports this module before
it runs anything (`install`), and `begin` forks: the child goes on as the worker, and never notices. The parent imports
what the worker has imported of packages, stops it when there is an edit, and forks again. So an edit costs the import
of the service's own modules, and not that of BentoML and of all packages.

What the worker sees is what a new process would see: its variables, its descriptors, its folder. Where packages in
memory could make a difference (`_difference`), the parent starts over without them, and says so.
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

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from importlib.machinery import ModuleSpec
    from types import FrameType, ModuleType

NO_PRELOAD = "RULES_BENTO_NO_PRELOAD"
"""The variable with which packages are imported again for each edit."""

_EDITS = "RULES_BENTO_EDITS"  # the file that changes with each edit
_WORKER = "RULES_BENTO_WORKER"  # the process that a parent has, which starts over
_MODULES = ("_bentoml_impl.worker.", "bentoml_cli.worker.")  # what BentoML starts workers by
_STARTUP = "wheels_worker.pth"  # behind those that name folders, for the parent imports from them
# site reads the file twice in a virtual environment.
_START = "import os; {edits!r} in os.environ and exec({program!r})\n"
_PROGRAM = (
    "import sys; sys.path.append({place!r}); import rules_bento.run.reload_forkserver as server; "
    "sys.path.pop(); server.maybe_fork()"
)
_TICK = 0.05  # seconds
_QUIET = 1.0  # seconds without an import, after which a worker has started
_TO_STOP = 5.0  # seconds that a worker has for the requests that it is at
_READ = 1 << 16
# Handlers of signals that a new process begins with.
_HANDLERS: Mapping[signal.Signals, Callable[[int, FrameType | None], object] | signal.Handlers] = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGTERM: signal.SIG_DFL,
}


def install(python: Path, edits: Path) -> dict[str, str]:
    """Let workers of the environment of `python` begin here; returns the variables of the server.

    `edits` is a file; whenever it is written, all workers start again.
    """
    program = _PROGRAM.format(place=str(Path(__file__).parents[2]))  # the archive or the folder of this module
    [packages] = python.parent.parent.glob("lib/python*/site-packages")
    (packages / _STARTUP).write_text(_START.format(edits=_EDITS, program=program), "utf-8")
    return {_EDITS: str(edits)}


def maybe_fork() -> None:
    """Return where the process should go on as usual: in one that is no worker, and in each worker forked from here."""
    edits = os.environ.get(_EDITS)
    words = sys.orig_argv[1:3]
    if edits and words[:1] == ["-m"] and words[1].startswith(_MODULES):
        _Parent(Path(edits)).attend()


class _Parent:
    """Starts a worker of the server, and starts it again when sources change."""

    def __init__(self, edits: Path) -> None:
        self._variables = dict(os.environ)
        del os.environ[_EDITS]
        self._folder = os.getcwd()  # noqa: PTH109 - a text
        self._edits = edits
        self._edit = _written(edits)
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
        """Have a worker until it is told to stop, a new one for each edit; returns in each worker alone."""
        for number in _HANDLERS:
            signal.signal(number, self._stop)
        if not self._worker and self._forks():
            return
        while True:
            ended = self._wait()
            if ended is not None and (self._is_stopping or self._is_first or ended < 0):
                _end_as(ended)
            if ended is not None:
                sys.stderr.write("the service did not start (see above). Waiting for another edit\n")
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
        """Start a worker; returns whether this is its process."""
        reports, report = os.pipe()
        if self._reports >= 0:
            os.close(self._reports)
        # Until each process knows which one it is, a signal waits.
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
        os.chdir(self._folder)  # there may be another of its name
        # Python tells stale byte code by the time of the source in whole seconds, so an edit in the same second would
        # not be seen.
        sys.dont_write_bytecode = not self._is_first
        if not self._no_preload:
            os.set_blocking(report, False)
            sys.meta_path.insert(0, _Recorder(report))
        for name in [name for name in sys.modules if name.partition(".")[0] == "rules_bento"]:
            del sys.modules[name]
        return True

    def _wait(self) -> int | None:
        """Wait for what the worker does; returns its status once it has ended."""
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
        """End the worker, which may have a request to answer, but not for long."""
        if not self._worker:
            return
        os.kill(self._worker, signal.SIGTERM)
        deadline = time.monotonic() + _TO_STOP
        while self._ended() is None:
            if time.monotonic() > deadline:
                os.kill(self._worker, signal.SIGKILL)
            time.sleep(_TICK / 5)

    def _read(self) -> bool:
        """Read which modules the worker imports; returns whether there may be more."""
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
        """Import what the worker has imported of packages, where the variables are those that it had."""
        imported, self._imported = self._imported, []
        for name, variables in imported:
            package = name.rpartition(".")[0]
            if (
                name in sys.modules.keys() | self._before
                or (package and package not in sys.modules)
                or variables != _variables()
            ):
                continue
            with suppress(Exception, SystemExit):  # what it needs may be what the service does
                importlib.import_module(name)
            if why := _difference(self._own - self._before):
                sys.stderr.write(f"{name}: {why}, so packages are imported again after each edit\n")
                environment = self._variables | {NO_PRELOAD: "1", _WORKER: str(self._worker)}
                os.execve(sys.executable, sys.orig_argv, environment)


class _Recorder:
    """Records, before all other finders, which modules are found, and where."""

    def __init__(self, report: int) -> None:
        self._pipe = report
        self._packages = tuple(path + os.sep for path in sys.path if Path(path).name == "site-packages")
        self._standard = tuple(path + os.sep for path in sys.path if path and Path(path).name != "site-packages")

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Return what the other finders find."""
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
        with suppress(OSError):  # it is imported again the next time
            os.write(self._pipe, line.encode())


def _difference(own: set[str]) -> str:
    """Return why a worker that is forked from this process would not be what a new process is.

    Empty if nothing is known.
    """
    if shadowed := sorted(own & sys.modules.keys()):
        return f"imports {shadowed[0]}, which the service has itself"
    threading = sys.modules.get("threading")
    if threading and threading.active_count() > 1:
        return "starts threads"
    for descriptor in Path("/proc/self/fd").glob("*"):
        with suppress(OSError):
            if str(descriptor.readlink()).startswith("/dev/nvidia"):
                return "opens a GPU"
    return ""


def _variables() -> int:
    """Return what tells the variables of a process from those of its parent: names and values, hashed with one seed."""
    return hash(frozenset(os.environ.items()))


def _written(edits: Path) -> int:
    with suppress(OSError):  # the server is about to end
        return edits.stat().st_mtime_ns
    return 0


def _end_as(status: int) -> None:
    """End as the worker did."""
    if status < 0:
        with suppress(OSError):  # SIGKILL has no handler
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    os._exit(max(status, 0))
