"""Programs of bench/: `--help` starts no work, and documents name existing programs with their options."""

import contextlib
import io
import os
import re
import runpy
import subprocess
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from unittest import mock

import pytest

from tests.helpers.documents import documents, spans

ROOT = Path()  # of the runfiles


class Mocks:
    """Provides mocks for all modules outside of the standard library, so that a program can't do its work."""

    def find_spec(self, name, _path=None, _target=None):
        return ModuleSpec(name, self) if name.partition(".")[0] not in sys.stdlib_module_names else None

    def create_module(self, _spec):
        return mock.MagicMock(__path__=[], __file__="/package/module/file.py")

    def exec_module(self, module):
        pass


def printed_help(program: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return what a program prints with `--help`. Fails if the program doesn't exit at once."""
    monkeypatch.setattr("sys.argv", [str(program), "--help"])
    monkeypatch.setattr("sys.path", [*sys.path])
    monkeypatch.setattr("sys.meta_path", [Mocks(), *sys.meta_path])
    monkeypatch.setattr("subprocess.Popen", mock.Mock(side_effect=AssertionError("a process")))
    foreign = [name for name in sys.modules if name.partition(".")[0] not in sys.stdlib_module_names]
    with mock.patch.dict(sys.modules), contextlib.redirect_stdout(io.StringIO()) as out:
        for name in foreign:
            del sys.modules[name]
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(program), run_name="__main__")
    assert not end.value.code
    return out.getvalue()


def test_documents_name_programs_and_their_options(monkeypatch):
    named = set()
    for path in documents(ROOT):
        for span in spans(path):
            directory, name, options = re.fullmatch(r"(?:python3? )?(bench/)?(\w+\.py)?(.*)", span).groups()
            if name and (directory or path.name == "performance.md"):
                named.add((path.name, name, *re.findall(r"--[\w-]+", options)))
    assert len(named) > 15
    for page, name, *options in sorted(named):
        known = re.findall(r"--[\w-]+", printed_help(ROOT / "bench" / name, monkeypatch).rpartition("options:")[2])
        assert {*options} <= {*known}, (page, name)


NESTED = """\
import os, subprocess, sys
code = "import time; t = time.process_time()\\nwhile time.process_time() < t + 1: pass\\nprint(1, flush=True); time.sleep(99)"
with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as child:
    child.stdout.readline()
    os._exit(0)
"""


def test_measured_seconds_include_processes_that_are_killed_in_isolation(monkeypatch):
    """Which no process waits for: their times are in no `getrusage`."""
    monkeypatch.setattr("sys.path", ["bench", "e2e", "", *sys.path])
    native = runpy.run_path("bench/native.py")
    words = ["unshare", "--pid", "--kill-child", "--fork", sys.executable, "-c", NESTED]
    if (
        not any(os.access(group, os.W_OK) for group in native["GROUPS"])
        or subprocess.run([*words[:4], "true"]).returncode
    ):
        pytest.skip("requires root, a cgroup, and namespaces")
    relay = mock.Mock(carried=lambda _: 0)
    seconds, cpu, sent = native["measure"](lambda: subprocess.run(words, check=False), relay)
    assert 1 <= cpu < seconds + 1
    assert not sent
