"""Runs the tests of a Bento beside a server of it; `bento_test` starts it."""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
from pathlib import Path

from rules_bento.actions import archive
from rules_bento.errors import BentoError
from rules_bento.hints import Any
from rules_bento.packages.virtualenv import make_environment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_bento.arguments import Arguments

FLAGS = {
    "--settings": 1,  # JSON, paths relative to the current folder: see rules/bento_test.bzl
    "--target": 1,
}


def run(arguments: Arguments) -> int:
    """Unpack the Bento, make an environment of the wheels, run pytest; what follows `--` goes to pytest."""
    if shards := os.environ.get("TEST_SHARD_STATUS_FILE"):
        Path(shards).touch()  # tells Bazel that tests are shared out
    settings = json.loads(Path(arguments.one("--settings")).read_text("utf-8"))
    folder = Path(os.environ["TEST_TMPDIR"], "bento_test")
    roots = [Path(root).absolute() for root in settings["roots"]]
    python = make_environment(folder / "environment", roots)
    sys.path[:0] = [*(str(Path(root).absolute()) for root in settings["imports"]), *map(str, roots)]
    bytecode = str(folder / "bytecode")  # of wheels, which are read-only: compiled once for tests and servers
    sys.pycache_prefix, sys.dont_write_bytecode = bytecode, False
    # What tests start finds the wheels, too, and writes nowhere else: `bentoml.serve` and the like.
    sys.executable = str(python)
    os.environ |= {
        "BENTOML_DO_NOT_TRACK": "true",
        "BENTOML_HOME": str(folder / "home"),
        "HOME": str(folder),
        "PATH": f"{python.parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "PYTHONPYCACHEPREFIX": bytecode,
    }
    # On a time-out Bazel asks before it kills: servers are stopped, and nothing is left.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    # BentoML refuses files below hidden folders, and Bazel's own folder for tests is in `~/.cache`.
    with tempfile.TemporaryDirectory(prefix="bento-") as scratch:
        bento = Path(scratch, "bento")
        archive.write(bento, settings["parts"], settings["models"], "folder")
        return _run_pytest(settings, python, bento, folder, arguments.rest)


def _run_pytest(settings: dict[str, Any], python: Path, bento: Path, folder: Path, rest: list[str]) -> int:
    try:
        import pytest
    except ImportError:
        raise BentoError(
            "requirements: pytest is missing, which runs the tests. Add the hub's package of it."
        ) from None
    from rules_bento.testing import plugin
    from rules_bento.testing.recording import recording

    record = recording(settings, bento, folder / "recording")
    setting = plugin.Setting(
        bento=plugin.Bento(Path(settings["tag"]).read_text("utf-8").strip(), bento),
        python=python,
        folder=folder,
        start_seconds=float(os.environ.get("TEST_TIMEOUT", "300")) * 0.8,
        options=tuple(settings["serve_options"]),
    )
    options = ["-p", "no:cacheprovider", "--rootdir=.", f"--basetemp={folder / 'pytest'}"]
    if report := os.environ.get("XML_OUTPUT_FILE"):
        options.append(f"--junitxml={report}")
    if chosen := os.environ.get("TESTBRIDGE_TEST_ONLY"):
        options += ["-k", chosen]
    if record:
        record.start(python)
    status = pytest.main([*options, *rest, *settings["tests"]], plugins=[plugin, plugin.Servers(setting)])
    if record:
        record.finish(Path(os.environ["COVERAGE_OUTPUT_FILE"]))
    if status == pytest.ExitCode.NO_TESTS_COLLECTED and os.environ.get("TEST_TOTAL_SHARDS"):
        return 0  # there are more shards than tests
    return int(status)
