"""Imports services in forked child processes of the tests, so that BentoML is imported only once.

A child process isolates itself, and has the same directory, environment, streams, and module paths as the process that
a build starts. The hash seed, the addresses, and the loaded modules are those that the tests have. Tests that depend on
these, or on the start of an interpreter, must start a separate process.
"""

from __future__ import annotations

import gc
import importlib
import os
import subprocess
import sys
import time
import traceback
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from types import SimpleNamespace

import rules_bento
from rules_bento.base import namespaces
from rules_bento.bentos.packages import interpreter_files
from rules_bento.bentos.packages.interpreter_files import PythonEnvironment, wheel_environment
from rules_bento.bentos.service import import_twice

from tests.conftest import locked_wheels

_SHARED = (
    "_bentoml_sdk.images",
    "_bentoml_sdk.service.factory",
    "bentoml._internal.service.loader",
    "bentoml._internal.service.openapi",
    "bentoml._internal.utils.args",
    "rules_bento.bentos.service.import_sandbox",
    "rules_bento.bentos.service.bentoml_import",
)


@cache
def visible_paths() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the paths that an import sees of the locked wheels, and of Python's own modules.

    Both are thousands of links in Bazel's sandbox, which are followed once. A directory of Bazel's with all wheels
    replaces those of each wheel, because each import mounts each path.
    """
    wheels = [os.path.normpath(each) for each in locked_wheels()]  # as in `targets`
    targets = map(Path, namespaces.targets(wheels))
    above = [
        str(path.parents[1] if path.name == "site-packages" else path) for path in targets if str(path) not in wheels
    ]
    return tuple(dict.fromkeys([*wheels, *above])), tuple(namespaces.targets(_LIBRARY))


def environment_of(python: Path, *wheels: Path) -> PythonEnvironment:
    """Return `wheel_environment` of an interpreter, these wheels, and the locked wheels, to which it has a `.pth` file."""
    environment = wheel_environment(python, wheels)
    visible = [*environment.visible, *visible_paths()[0]]
    return environment._replace(visible=visible, modules=[*wheels, *locked_wheels()])


def follow_links_once(monkeypatch) -> None:
    """Make all environments with the locked wheels see `visible_paths`."""
    linked, wheels = interpreter_files._linked, {Path(os.path.normpath(each)) for each in locked_wheels()}

    def others(directories):
        return [each for each in directories if Path(os.path.normpath(each)) not in wheels]

    def linked_once(directories):
        yield from linked(others(directories))
        yield from visible_paths()[0] if len(others(directories)) < len(directories) else ()

    visible_paths()
    monkeypatch.setattr(interpreter_files, "_linked", linked_once)
    monkeypatch.setattr(
        interpreter_files, "wheel_environment", lambda python, roots: environment_of(python, *others(roots))
    )


def links_followed() -> str:
    """Return lines of a program that do this for the locked wheels, which are all that its environment has."""
    of = "from rules_bento.bentos.packages import interpreter_files"
    return f"{of}\ninterpreter_files._linked = lambda _directories: {visible_paths()[0]!r}\n"


# Where Python's own modules are, in an archive or in folders: each interpreter has them under these names.
_VERSION = "{}.{}".format(*sys.version_info)
_NAMES = (f"python{_VERSION.replace('.', '')}.zip", f"python{_VERSION}", "lib-dynload")
_LIBRARY = [str(Path(path).absolute()) for path in sys.path if Path(path).name in _NAMES]


def fork_imports(monkeypatch, home: Path) -> None:
    """Make `import_service` fork this process, which has imported BentoML with the home `home`, for both imports."""
    monkeypatch.setenv("BENTOML_HOME", str(home))
    monkeypatch.setenv("BENTOML_DO_NOT_TRACK", "true")
    for module in _SHARED:
        importlib.import_module(module)
    follow_links_once(monkeypatch)
    gc.freeze()  # else the first collection of each child copies all of it
    names = {name: getattr(subprocess, name) for name in ("PIPE", "TimeoutExpired")}
    monkeypatch.setattr(import_twice, "subprocess", SimpleNamespace(Popen=Child, **names))


def write_bytecode(python: Path, directory: Path, **variables: str) -> None:
    """Make an interpreter import what each import of a service needs, so that it writes the bytecode of these modules."""
    modules = ", ".join(name for name in _SHARED if variables or not name.startswith("rules_bento"))
    program = f"import sys; sys.path.append(sys.argv[1]); import {modules}"
    command = [str(python), "-c", program, str(Path(rules_bento.__file__).parent.parent)]
    environment = {"HOME": str(directory), "BENTOML_DO_NOT_TRACK": "true"} | variables
    subprocess.run(command, cwd=directory, env=environment, check=True, capture_output=True, timeout=600)


class Child:
    """Replaces `subprocess.Popen` in `import_service`."""

    def __init__(self, command, *, cwd, env, stdin, stdout, stderr, pass_fds, start_new_session) -> None:
        assert (env, stdin, stderr, start_new_session) == ({}, subprocess.PIPE, stdout, True)
        self._status: int | None = None
        receive, send = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(send)
            _become(command, cwd, receive, stdout, pass_fds)
        os.close(receive)
        self.stdin = os.fdopen(send, "wb")

    def wait(self, timeout=float("inf")) -> int:
        """Return the exit status, which is negative for a signal."""
        until = time.monotonic() + timeout
        while self._status is None:
            process, code = os.waitpid(self.pid, os.WNOHANG)
            if process:
                self._status = os.waitstatus_to_exitcode(code)
            elif time.monotonic() > until:
                raise subprocess.TimeoutExpired("import", timeout)
            else:
                time.sleep(0.005)
        return self._status


def _become(command, cwd, stdin, stdout, pipes) -> None:
    """Run the program in this process as the interpreter would. Never returns."""
    try:
        os.setsid()
        for number, target in ((stdin, 0), (stdout, 1), (stdout, 2)):
            os.dup2(number, target)
        for file in [*Path("/proc/self/fd").iterdir()]:
            with suppress(OSError):  # of the list itself
                if int(file.name) not in (0, 1, 2, *pipes) and str(file.readlink()).startswith("pipe:"):
                    os.close(int(file.name))  # of the other import
        sys.stdin, sys.stdout, sys.stderr = (os.fdopen(number, "r" if number == 0 else "w") for number in range(3))
        os.chdir(cwd)
        os.environ.clear()
        sys.dont_write_bytecode = True
        os.execve = partial(_execute, pipes[0])
        isolate = namespaces.isolate
        namespaces.isolate = lambda view: isolate(view._replace(visible=[*view.visible, *visible_paths()[1]]))
        from rules_bento.bentos.service.import_sandbox import main

        main(command[command.index("-c") + 3 :])
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)


def _execute(report, python, command, variables) -> None:
    """Replaces `os.execve` in the isolated process."""
    os.close(report)
    os.environ.update(variables)
    time.tzset()
    # Without what pytest has there, which looks at each module.
    sys.meta_path[:] = [finder for finder in sys.meta_path if "pytest" not in type(finder).__module__]
    [wheels] = Path(python).parent.parent.glob("lib/*/site-packages/wheels.pth")
    sys.path[:] = [*_LIBRARY, *wheels.read_text("utf-8").splitlines()]
    from rules_bento.bentos.service.bentoml_import import main

    main(command[4:])
