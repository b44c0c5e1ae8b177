"""Runs the tests of a Bento and its server, for `bento_test`."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

from rules_bento.actions.archives import write_bento
from rules_bento.base.errors import BentoError
from rules_bento.base.own_files import own_directory
from rules_bento.base.subcommand_arguments import Request
from rules_bento.base.typing_lite import Any, Iterator, Sequence
from rules_bento.bentos.packages.requirement_syntax import normalize_name
from rules_bento.bentos.packages.shared_files import PackageFiles, check_shared_files, files_of_record, override_in_hub
from rules_bento.bentos.packages.virtualenv import make_environment


class _TestRequest(Request):
    settings: Path  # JSON, paths relative to the current directory: see rules/bento_test.bzl


def run(request: _TestRequest) -> int:
    """Unpack a Bento, create its environment, and run pytest with the arguments after `--`. Returns the exit status."""
    if shards := os.environ.get("TEST_SHARD_STATUS_FILE"):
        Path(shards).touch()  # writes: output that follows links, reports support for sharding to Bazel
    settings = json.loads(request.settings.read_text("utf-8"))
    directory = Path(os.environ["TEST_TMPDIR"], "bento_test")
    roots = [Path(root).absolute() for root in settings["roots"]]
    check_shared_files(_package_files(roots), override_in_hub)
    python = make_environment(directory / "environment", roots)
    sys.path[:0] = [*(str(Path(root).absolute()) for root in settings["imports"]), *map(str, roots)]
    bytecode = str(directory / "bytecode")  # the wheels are read-only: compile once for tests and servers
    sys.pycache_prefix, sys.dont_write_bytecode = bytecode, False
    # Processes that tests start, such as `bentoml.serve`, also find the wheels, and write nowhere else.
    sys.executable = str(python)
    os.environ |= {
        "BENTOML_DO_NOT_TRACK": "true",
        "BENTOML_HOME": str(directory / "home"),
        "HOME": str(directory),
        "PATH": f"{python.parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "PYTHONPYCACHEPREFIX": bytecode,
    }
    # On a timeout, Bazel sends SIGTERM before SIGKILL: stop the servers.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    # BentoML rejects files below hidden directories, and Bazel's test directory is in `~/.cache`.
    with own_directory("bento-") as scratch:
        bento = scratch / "bento"
        write_bento(bento, settings["parts"], settings["models"], "folder")
        return _run_pytest(settings, python, bento, directory, request.rest)


def _package_files(roots: list[Path]) -> Iterator[PackageFiles]:
    """Yield the files of each package. If a package is in several roots, Python imports it from the first one."""
    records: dict[str, Path] = {}
    for root in roots:
        for record in root.glob("*.dist-info/RECORD"):
            records.setdefault(normalize_name(record.parent.name.partition("-")[0]), record)
    return (files_of_record(name, record.read_text("utf-8")) for name, record in records.items())


def _run_pytest(settings: dict[str, Any], python: Path, bento: Path, directory: Path, rest: Sequence[str]) -> int:
    try:
        import pytest
    except ImportError:
        raise BentoError("pytest is missing", place="requirements", remedy="Add pytest from the package hub.") from None
    from rules_bento.run.testing import pytest_plugin, real_service
    from rules_bento.run.testing.line_coverage import recording

    record = recording(settings, bento, directory / "recording")
    [packages] = python.parent.parent.glob("lib/python*/site-packages")
    real_service.install(packages)
    setting = pytest_plugin.Setting(
        bento=pytest_plugin.Bento(Path(settings["tag"]).read_text("utf-8").strip(), bento),
        python=python,
        directory=directory,
        startup_timeout_seconds=float(os.environ.get("TEST_TIMEOUT", "300")) * 0.8,
    )
    options = ["-p", "no:cacheprovider", "--rootdir=.", f"--basetemp={directory / 'pytest'}"]
    if report := os.environ.get("XML_OUTPUT_FILE"):
        options.append(f"--junitxml={report}")
    if chosen := os.environ.get("TESTBRIDGE_TEST_ONLY"):
        options += ["-k", chosen]
    if record:
        record.start(python)
    status = pytest.main([*options, *rest, *settings["tests"]], plugins=[pytest_plugin, pytest_plugin.Servers(setting)])
    if record:
        record.finish(Path(os.environ["COVERAGE_OUTPUT_FILE"]))
    if status == pytest.ExitCode.NO_TESTS_COLLECTED and os.environ.get("TEST_TOTAL_SHARDS"):
        return 0  # more shards than tests
    return int(status)
