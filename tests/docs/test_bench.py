"""Programs of bench/: `--help` starts no work, and documents name existing programs with their options."""

import contextlib
import io
import re
import runpy
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
