"""Runs the helper as a persistent worker of Bazel: Python starts once for many actions of the same kind.

Requests and responses are lines of JSON. The process that communicates with Bazel imports only the modules of the
subcommand. Each request runs in a forked process, so changes to environment variables, the working directory, caches,
and open files end with the request.

A `reusable` subcommand leaves no state, so its process also accepts the next request. Reuse avoids memory copies and
repeated initialization, and makes short subcommands such as `snapshot` and `package` about twice as fast. Such a
process still ends after a request that failed, imported a module, or changed the process (see `_surroundings`).
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib
import json
import os
import select
import sys
import traceback

from rules_bento.arguments import THEN
from rules_bento.subcommands import find
from rules_bento.typing_lite import Any, Callable, NoReturn

_INVALID_REQUEST = "a worker of rules_bento received an invalid request, and stops: "
_MAX_REQUESTS = 500  # per fork, so that memory of large requests is released
_CHUNK = 1 << 16


def serve(run: Callable[[list[str]], int], words: list[str]) -> int:
    """Process work requests until the input ends. Inserts `words` before the arguments of each request.

    The output of `run` is part of the response, so standard output contains only responses. Returns 1 after an invalid
    request, because no response is possible. Bazel then starts another worker.
    """
    responses = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)
    for subcommand in words[:1]:
        with contextlib.suppress(ImportError):
            find(subcommand)
    fork: _Fork | None = None
    for line in sys.stdin.buffer:
        try:
            request = json.loads(line)
            arguments, number = [str(word) for word in request["arguments"]], int(request.get("requestId", 0))
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            sys.stderr.write(f"{_INVALID_REQUEST}{error!r}\n")
            return 1
        if fork is None or fork.is_gone():
            fork = _Fork(run)
        status, output, imported = fork.execute([*words, *arguments])
        json.dump({"exitCode": status, "output": output, "requestId": number}, responses)
        print(file=responses, flush=True)
        if fork.ended:
            fork = None
        # After the answer, so that Bazel doesn't wait: later forks inherit the imports of this request.
        _import(imported)
    return 0


def _import(names: list[str]) -> None:
    for name in names:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)


class _Fork:
    """A forked process that runs requests until it can't be reused."""

    ended = False

    def __init__(self, run: Callable[[list[str]], int]) -> None:
        """Fork a process that waits for requests."""
        (asked, self._requests), (self._output, output), (self._answers, answers), (lifeline, self._life) = (
            os.pipe() for _ in range(4)
        )
        parent = os.getpid()
        self._process = os.fork()
        if not self._process:
            for fd in (self._requests, self._output, self._answers, self._life):
                os.close(fd)
            _die_with(parent, lifeline)
            _run_requests(run, asked, output, answers)
        for fd in (asked, output, answers, lifeline):
            os.close(fd)
        os.set_blocking(self._output, False)

    def execute(self, words: list[str]) -> tuple[int, str, list[str]]:
        """Run a request. Returns its exit status, its output, and the names of newly imported modules."""
        _write(self._requests, json.dumps(words).encode() + b"\n")
        printed, answer = bytearray(), bytearray()
        waiting = select.poll()
        for fd in (self._output, self._answers):
            waiting.register(fd, select.POLLIN)
        while not answer.endswith(b"\n"):
            ready = dict(waiting.poll())
            if self._output in ready and not _read_available(self._output, printed):
                waiting.unregister(self._output)
            if self._answers in ready and not _read_available(self._answers, answer):
                break  # the fork ended without an answer
        # All output precedes the answer.
        while _read_available(self._output, printed):
            pass
        result: dict[str, Any] = json.loads(answer) if answer.endswith(b"\n") else {}
        text = printed.decode("utf-8", "replace")
        if result.get("reusable"):
            return result["status"], text, []
        code = self._end()
        if code < 0:
            return -code, f"{text}the process was ended by signal {-code}\n", []
        if not result:
            return code or 1, f"{text}the process ended without an answer\n", []
        return result["status"], text, result["imported"]

    def is_gone(self) -> bool:
        """Return whether the process has ended since its last response, for example because it was killed."""
        ended, _ = os.waitpid(self._process, os.WNOHANG)
        if ended:
            self._close()
        return bool(ended)

    def _end(self) -> int:
        """Wait until the process ends. Returns the exit code, which is negative after a signal."""
        _, status = os.waitpid(self._process, 0)
        self._close()
        return os.waitstatus_to_exitcode(status)

    def _close(self) -> None:
        self.ended = True
        for fd in (self._requests, self._output, self._answers, self._life):
            os.close(fd)


def _read_available(fd: int, into: bytearray) -> bool:
    """Append the available data of `fd` to `into`. Returns whether data was available."""
    try:
        chunk = os.read(fd, _CHUNK)
    except BlockingIOError:
        return False
    into += chunk
    return bool(chunk)


def _write(fd: int, data: bytes) -> None:
    """Write all data to `fd`. Ignores a closed pipe, because the caller detects the missing response."""
    with contextlib.suppress(BrokenPipeError):
        while data:
            data = data[os.write(fd, data) :]


def _run_requests(run: Callable[[list[str]], int], asked: int, output: int, answers: int) -> NoReturn:
    """Run requests in the forked process until the process can't be reused, and then end the process."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for fd, place in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(fd, place)
    os.close(output)
    os.close(nothing)
    requests = os.fdopen(asked, "rb")
    before = _surroundings()
    for number, line in enumerate(requests, 1):
        known = set(sys.modules)
        words = json.loads(line)
        try:
            status = run(words)
        except BaseException:  # every error must reach Bazel
            traceback.print_exc()
            status = 1
        sys.stdout.flush()
        sys.stderr.flush()
        imported = [name for name in sys.modules if name not in known]
        reusable = _is_reusable(words) and not status and not imported and number < _MAX_REQUESTS
        reusable = reusable and _surroundings() == before
        _write(answers, json.dumps({"status": status, "imported": imported, "reusable": reusable}).encode() + b"\n")
        if not reusable:
            break
    os._exit(0)


def _is_reusable(words: list[str]) -> bool:
    """Return whether all subcommands of a request are reusable. Treats each argument `--then` as a separator."""
    subcommands = [words[at] for at in range(len(words)) if not at or words[at - 1] == THEN]
    return bool(subcommands) and all(
        subcommand is not None and subcommand.reusable for subcommand in map(find, subcommands)
    )


def _surroundings() -> list[Any]:
    """Return the state of the process that could affect a later subcommand, such as its environment variables."""
    umask = os.umask(0o077)
    os.umask(umask)
    directory = os.stat(".")  # noqa: PTH116 - as in subcommands, no pathlib before a subcommand needs it
    fds: list[str] = []
    with contextlib.suppress(OSError):  # a sandbox might not have this directory
        fds = sorted(os.listdir("/dev/fd"))  # noqa: PTH208 - as above
    warnings, threading, signal, locale = map(sys.modules.get, ("warnings", "threading", "signal", "locale"))
    return [
        umask,
        (directory.st_dev, directory.st_ino),
        dict(os.environ),
        list(sys.path),
        list(sys.argv),
        fds,
        list(warnings.filters) if warnings else [],
        threading.active_count() if threading else 1,
        list(map(signal.getsignal, signal.valid_signals())) if signal else [],
        locale.setlocale(locale.LC_ALL) if locale else "",
        sys.getrecursionlimit(),
    ]


def _die_with(parent: int, lifeline: int) -> None:
    """End this process when its parent ends, so that a canceled request writes nothing.

    Only the parent has the other end of the pipe `lifeline`, so the pipe closes when the parent ends. The kernel then
    sends SIGIO. This process has no handler for SIGIO, so the signal ends this process.
    """
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)
    if os.getppid() != parent:
        os._exit(1)
