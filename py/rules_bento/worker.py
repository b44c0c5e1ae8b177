"""Runs the helper as a persistent worker of Bazel: Python starts once for many actions of the same kind.

Requests and responses are lines of JSON. The process that communicates with Bazel imports only the modules of the
subcommand. Each request runs in a forked process, so changes to environment variables, the working directory, caches,
and open files end with the request.
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

from rules_bento.subcommands import find
from rules_bento.typing_lite import Any, Callable, NoReturn

_INVALID_REQUEST = "a worker of rules_bento received an invalid request, and stops: "
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
    for line in sys.stdin.buffer:
        try:
            request = json.loads(line)
            arguments, number = [str(word) for word in request["arguments"]], int(request.get("requestId", 0))
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            sys.stderr.write(f"{_INVALID_REQUEST}{error!r}\n")
            return 1
        status, output, imported = _execute(run, [*words, *arguments])
        json.dump({"exitCode": status, "output": output, "requestId": number}, responses)
        print(file=responses, flush=True)
        # After the answer, so that Bazel doesn't wait: later forks inherit the imports of this request.
        _import(imported)
    return 0


def _import(names: list[str]) -> None:
    for name in names:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)


def _execute(run: Callable[[list[str]], int], words: list[str]) -> tuple[int, str, list[str]]:
    """Run a request in a forked process. Returns its exit status, its output, and the names of imported modules."""
    (output, printing), (answers, answering), (lifeline, life) = (os.pipe() for _ in range(3))
    parent = os.getpid()
    process = os.fork()
    if not process:
        for fd in (output, answers, life):
            os.close(fd)
        _die_with(parent, lifeline)
        _run_request(run, words, printing, answering)
    for fd in (printing, answering, lifeline):
        os.close(fd)
    os.set_blocking(output, False)
    printed, answer = bytearray(), bytearray()
    waiting = select.poll()
    for fd in (output, answers):
        waiting.register(fd, select.POLLIN)
    while not answer.endswith(b"\n"):
        ready = dict(waiting.poll())
        if output in ready and not _read_available(output, printed):
            waiting.unregister(output)
        if answers in ready and not _read_available(answers, answer):
            break  # the process ended without an answer
    # All output precedes the answer.
    while _read_available(output, printed):
        pass
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    for fd in (output, answers, life):
        os.close(fd)
    text = printed.decode("utf-8", "replace")
    if code < 0:
        return -code, f"{text}the process was ended by signal {-code}\n", []
    if not answer.endswith(b"\n"):
        return code or 1, f"{text}the process ended without an answer\n", []
    result: dict[str, Any] = json.loads(answer)
    return result["status"], text, result["imported"]


def _read_available(fd: int, into: bytearray) -> bool:
    """Append the available data of `fd` to `into`. Returns whether data was available."""
    try:
        chunk = os.read(fd, _CHUNK)
    except BlockingIOError:
        return False
    into += chunk
    return bool(chunk)


def _run_request(run: Callable[[list[str]], int], words: list[str], output: int, answers: int) -> NoReturn:
    """Run a request in the forked process, and end the process."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for fd, place in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(fd, place)
    os.close(output)
    os.close(nothing)
    known = set(sys.modules)
    try:
        status = run(words)
    except BaseException:  # every error must reach Bazel
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    imported = [name for name in sys.modules if name not in known]
    with contextlib.suppress(OSError), os.fdopen(answers, "w", encoding="ascii") as file:
        print(json.dumps({"status": status, "imported": imported}), file=file)
    os._exit(0)


def _die_with(parent: int, lifeline: int) -> None:
    """End this process when its parent ends, so that a canceled request writes nothing.

    Only the parent has the other end of the pipe `lifeline`, so the pipe closes when the parent ends. The kernel then
    sends SIGIO. This process has no handler for SIGIO, so the signal ends this process.
    """
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)
    if os.getppid() != parent:
        os._exit(1)
