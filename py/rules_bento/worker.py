"""The helper as a persistent worker of Bazel's: one start of Python for many actions of a kind.

Requests and responses are lines of JSON. Each request runs in a fork of a process that has imported what the verb
needs and done nothing else: what a verb does to variables, folders, caches or files that it opens ends with it.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib
import json
import os
import sys
import traceback

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

_VERBS = "rules_bento.actions."
_STOPPED = "a worker of rules_bento got a line that is no request, and stops: "


def serve(run: Callable[[list[str]], int], words: list[str]) -> int:
    """Answer requests until there are no more; `words` come before the arguments of each.

    Whatever `run` prints is the response's, so what Bazel reads has nothing else. Returns 1 if a line is no request:
    nobody could be answered, so Bazel is left to start another worker.
    """
    responses = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)
    _import([_VERBS + word for word in words[:1]])
    for line in sys.stdin.buffer:
        try:
            request = json.loads(line)
            arguments, number = [str(word) for word in request["arguments"]], int(request.get("requestId", 0))
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            sys.stderr.write(f"{_STOPPED}{error!r}\n")
            return 1
        status, output, imported = _in_a_fork(run, [*words, *arguments])
        json.dump({"exitCode": status, "output": output, "requestId": number}, responses)
        print(file=responses, flush=True)
        # Only now, while Bazel goes on: the next ones find imported what this one had to import.
        _import(imported)
    return 0


def _import(names: list[str]) -> None:
    for name in names:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)


def _in_a_fork(run: Callable[[list[str]], int], words: list[str]) -> tuple[int, str, list[str]]:
    """Run, and return the status, what was printed, and the names of the modules that were imported for it."""
    (printed, output), (learned, lesson), (lifeline, life) = os.pipe(), os.pipe(), os.pipe()
    parent = os.getpid()
    child = os.fork()
    if not child:
        for fd in (printed, learned, life):
            os.close(fd)
        _die_with(parent, lifeline)
        _run(run, words, output, lesson)
    for fd in (output, lesson, lifeline):
        os.close(fd)
    with os.fdopen(printed, "rb") as told, os.fdopen(learned, "rb") as modules:
        text, names = told.read().decode("utf-8", "replace"), modules.read().decode().split()
    _, status = os.waitpid(child, 0)
    os.close(life)
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        text += f"the process was ended by signal {-code}\n"
    return abs(code), text, names


def _run(run: Callable[[list[str]], int], words: list[str], output: int, lesson: int) -> NoReturn:
    """Run one request in the forked process, and end it with the status of the verb."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for fd, place in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(fd, place)
    os.close(output)
    known = set(sys.modules)
    try:
        status = run(words)
    except BaseException:  # whatever it is, Bazel has to be told
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    # The parent reads one after the other: until here it waits for the end of what is printed.
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)
    os.write(lesson, "\n".join(name for name in sys.modules if name not in known).encode())
    os._exit(status)


def _die_with(parent: int, lifeline: int) -> None:
    """Have the kernel end this process with its parent: a request that was given up must write nothing.

    The parent alone holds the other end of the pipe; when that closes, this one gets a SIGIO, which nobody handles.
    """
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)
    if os.getppid() != parent:
        os._exit(1)
