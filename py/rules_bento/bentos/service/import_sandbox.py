"""Isolates the import of a service, and starts the interpreter of the service's environment.

`import_twice` starts this program with `-I -S`, so that no file of the project, its packages, or its environment
affects the program. Only the isolated process reads such files. The program writes to a pipe why the system doesn't
allow isolated processes, as a line of JSON, and reads its order from the standard input. It then writes another line
only if the interpreter doesn't start. The pipe is closed before the interpreter starts.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

from rules_bento.base import namespaces
from rules_bento.base.errors import BentoError
from rules_bento.base.programs import IMPORT_PATH
from rules_bento.base.typing_lite import Any, NoReturn

GIGABYTES = 4
_LIMITS = {"RLIMIT_CORE": 0, "RLIMIT_DATA": GIGABYTES << 30, "RLIMIT_FSIZE": 1 << 30}
# The interpreter finds this package first, and all others where it finds them without this package.
_START = IMPORT_PATH + (
    "sys.path.insert(0, sys.argv[1]); from rules_bento.bentos.service.bentoml_import import main; del sys.path[0]; "
    "main(sys.argv[2:])"
)


def main(argv: list[str]) -> NoReturn:
    """Start an import. The arguments are the ID of the parent process, the directory, and the numbers of three pipes.

    The pipes are for the lines, for the result of the import, and for the stack trace after a crash.
    """
    parent, directory, report, answer, trace = argv
    os.set_inheritable(int(report), False)
    namespaces.die_with_parent()
    if os.getppid() != int(parent):  # which has ended already
        os._exit(1)
    _report(int(report), namespaces.probe(Path(directory)))
    try:
        _start(json.load(sys.stdin), Path(directory), [answer, trace])
    except (BentoError, OSError, ValueError) as error:  # ValueError: a NUL in a variable
        _report(int(report), str(error).rstrip("."))
    os._exit(1)


def _report(pipe: int, problem: str) -> None:
    os.write(pipe, json.dumps(problem).encode() + b"\n")


def _start(
    order: dict[str, Any], directory: Path, pipes: list[str]
) -> NoReturn:  # writes: own, constant names, and a view that is only its own
    """Isolate this process if the order requires it, and replace it with the interpreter."""
    source, models = Path(order["original"]), Path(order["models"])
    if order["is_isolated"]:
        view = namespaces.View(order["visible"], source, models, directory, directory / "root")
        namespaces.isolate(view)
    else:
        shutil.copytree(source, directory / "src", symlinks=True)
        if models.is_dir():
            (directory / "home" / "models").symlink_to(models)
        os.chdir(directory / "home")
    (directory / "order").write_text(json.dumps(order), "utf-8")
    namespaces.limit_resources(_LIMITS)  # if the system needs memory, it ends this process first
    # Without -I, because the service can read PYTHON* variables. Both programs begin with IMPORT_PATH.
    command = [order["python"], "-c", order["code"] or _START, order["helper"], str(directory / "order"), *pipes]
    os.execve(order["python"], command, order["variables"])
