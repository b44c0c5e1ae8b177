"""Runs the helper as a persistent worker of Bazel: Python starts once for many actions of the same kind.

Requests and responses are lines of JSON. A forked process runs a request, so changes to environment variables, the
working directory, caches, and open files end with the request. After the subcommands in `REUSABLE`, which leave no
state, the process also runs the next request. It then needs no copies of memory, and no decoded lock twice.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib
import json
import os
import sys
import tempfile
import traceback

from rules_bento.actions.subcommands import find
from rules_bento.base.subcommand_arguments import THEN
from rules_bento.base.typing_lite import Any, BinaryIO, Callable, NoReturn

REUSABLE = {"lock", "package", "snapshot"}

_INVALID_REQUEST = "a worker of rules_bento received an invalid request, and stops: "
_MAX_REQUESTS = 500  # of one process, so that memory of large requests is released


def serve(run: Callable[[list[str]], int], words: list[str]) -> int:
    """Process work requests until the input ends. Inserts `words` before the arguments of each request.

    The output of `run` is part of the response, so standard output contains only responses. Returns 1 if no response is
    possible: after an invalid request, or if a request ended its process. Bazel then starts another worker.
    """
    requests, responses = os.fdopen(os.dup(0), "rb"), os.dup(1)
    os.dup2(2, 1)
    for subcommand in words[:1]:
        with contextlib.suppress(ImportError):
            find(subcommand)
    while True:
        status, imported = _fork(run, words, requests, responses)
        if status is not None:
            return status
        # Later processes inherit the imports of this one.
        for name in imported:
            with contextlib.suppress(ImportError):
                importlib.import_module(name)


def _fork(
    run: Callable[[list[str]], int], words: list[str], requests: BinaryIO, responses: int
) -> tuple[int | None, list[str]]:
    """Run requests in a forked process. Returns the status of the worker, or None for another fork, and new modules."""
    (result, writing), (lifeline, life) = os.pipe(), os.pipe()
    parent = os.getpid()
    process = os.fork()
    if not process:
        try:
            os.close(result)
            os.close(life)
            _die_with(parent, lifeline)
            _run_requests(run, words, requests, responses, writing)
        finally:
            os._exit(1)
    os.close(writing)
    os.close(lifeline)
    with os.fdopen(result, "rb") as file:
        line = file.readline()
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    os.close(life)
    if not line.endswith(b"\n"):
        end = f"was ended by signal {-code}" if code < 0 else f"ended with status {code}"
        sys.stderr.write(f"a process of a worker of rules_bento {end}\n")
        return 1, []
    status, imported = json.loads(line)
    return status, imported


def _run_requests(
    run: Callable[[list[str]], int], words: list[str], requests: BinaryIO, responses: int, result: int
) -> NoReturn:
    """Run requests in the forked process until another process must run the next request, and end the process.

    Bazel sends a request only after the previous response, so the buffer of `requests` is empty at the end.
    """
    known = set(sys.modules)
    status: int | None = 0
    log, nothing, output = os.dup(2), os.open(os.devnull, os.O_RDWR), tempfile.TemporaryFile()  # noqa: SIM115 - open until the end
    for fd, place in ((nothing, 0), (output.fileno(), 1), (output.fileno(), 2)):
        os.dup2(fd, place)
    for number, line in enumerate(requests, 1):
        try:
            request = json.loads(line)
            arguments, identifier = [str(word) for word in request["arguments"]], int(request.get("requestId", 0))
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            os.write(log, f"{_INVALID_REQUEST}{error!r}\n".encode())
            status = 1
            break
        code = _run(run, [*words, *arguments])
        response = {"exitCode": code, "output": _taken(output), "requestId": identifier}
        _write(responses, json.dumps(response).encode() + b"\n")
        if code or number == _MAX_REQUESTS or not _is_reusable([*words, *arguments]):
            status = None
            break
    imported = [name for name in sys.modules if name not in known]
    _write(result, json.dumps([status, imported]).encode() + b"\n")
    os._exit(0)


def _run(run: Callable[[list[str]], int], words: list[str]) -> int:
    try:
        status = run(words)
    except BaseException:  # every error must reach Bazel
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return status


def _is_reusable(words: list[str]) -> bool:
    """Return whether all subcommands of a request are reusable. Treats each argument `--then` as a separator."""
    return REUSABLE.issuperset(word for at, word in enumerate(words) if not at or words[at - 1] == THEN)


def _taken(output: Any) -> str:
    """Return the text of a file, to which standard output and standard error refer, and empty the file."""
    output.seek(0)
    text: bytes = output.read()
    output.seek(0)
    output.truncate()
    return text.decode("utf-8", "replace")


def _write(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


def _die_with(parent: int, lifeline: int) -> None:
    """End this process when its parent ends, so that a canceled request writes nothing.

    Only the parent has the other end of the pipe `lifeline`, so the pipe closes when the parent ends. The kernel then
    sends SIGIO. This process has no handler for SIGIO, so the signal ends this process.
    """
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)
    if os.getppid() != parent:
        os._exit(1)
