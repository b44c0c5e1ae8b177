"""Imports services in forked child processes of the tests, so that BentoML is imported only once.

A child process has the same directory, environment, streams, and module paths as the process that a build starts. The
hash seed, the addresses, and the loaded modules are those that the tests have. Tests that depend on these must start a
separate process.
"""

from __future__ import annotations

import gc
import importlib
import os
import subprocess
import sys
import time
import traceback
from pathlib import Path
from types import SimpleNamespace

from rules_bento.service import import_runner

_SHARED = (
    "_bentoml_sdk.images",
    "_bentoml_sdk.service.factory",
    "bentoml._internal.service.loader",
    "bentoml._internal.service.openapi",
    "bentoml._internal.utils.args",
    "rules_bento.service.import_worker",
)

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
    gc.freeze()  # else the first collection of each child copies all of it
    names = {name: getattr(subprocess, name) for name in ("DEVNULL", "TimeoutExpired")}
    monkeypatch.setattr(import_runner, "subprocess", SimpleNamespace(Popen=Child, **names))


class Child:
    """Replaces `subprocess.Popen` in `import_service`."""

    def __init__(self, command, *, cwd, env, stdin, stdout, stderr, start_new_session) -> None:
        assert (stdin, stderr, start_new_session) == (subprocess.DEVNULL, stdout, True)
        self._status: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            _become(command, cwd, env, stdout)

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


def _become(command, cwd, env, stdout) -> None:
    """Run the program in this process as the environment's interpreter would. Never returns."""
    try:
        python, _, _, helper, order = command
        os.setsid()
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for descriptor in (1, 2):
            os.dup2(stdout.fileno(), descriptor)
        sys.stdin, sys.stdout, sys.stderr = (os.fdopen(number, "r" if number == 0 else "w") for number in range(3))
        os.chdir(cwd)
        os.environ.clear()
        os.environ.update(env)
        time.tzset()
        # Without what pytest has there, which looks at each module.
        sys.meta_path[:] = [finder for finder in sys.meta_path if "pytest" not in type(finder).__module__]
        [wheels] = Path(python).parent.parent.glob("lib/*/site-packages/wheels.pth")
        sys.path[:] = [*_LIBRARY, *wheels.read_text("utf-8").splitlines(), helper]
        from rules_bento.service.import_worker import main

        main([order])
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
