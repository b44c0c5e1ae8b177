"""Lines are recorded in this process and in those that it starts, under the paths that Bazel knows."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from rules_bento.base.errors import BentoError
from rules_bento.bentos.packages.virtualenv import make_environment
from rules_bento.bentos.sources.library_paths import _LOADER
from rules_bento.run.testing.line_coverage import recording

SOURCE = "def double(x):\n    return 2 * x\n\n\ndef idle():\n    return None\n"


@pytest.fixture
def bento(tmp_path):
    directory = tmp_path / "bento [odd]"
    for path in ("src/service.py", "src/lib/src/shop/prices.py", "src/never.py", "src/app/__init__/__init__.py"):
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_text(SOURCE, "utf-8")
    (directory / "src/app/__init__.py").write_text(_LOADER, "utf-8")  # loads the code of the package
    yield directory
    sys.modules.pop("service", None)


def record(monkeypatch, tmp_path, bento, names):
    manifest = tmp_path / "manifest"
    manifest.write_text("".join(f"{name}\n" for name in names), "utf-8")
    monkeypatch.setenv("COVERAGE", "1")
    monkeypatch.setenv("COVERAGE_MANIFEST", str(manifest))
    settings = {"build_ctx": "svc"}
    return recording(settings, bento, tmp_path / "recording")


def lines_of(report: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in report.read_text("utf-8").splitlines():
        if line.startswith("SF:"):
            lines = found.setdefault(line[3:], [])
        elif line.startswith("DA:"):
            lines.append(line[3:])
    return found


def test_coverage_names_files_by_their_path_in_the_workspace(monkeypatch, tmp_path, bento):
    names = [
        "svc/service.py",
        "bazel-out/k8-fastbuild/bin/lib/src/shop/prices.py",
        "svc/never.py",
        "svc/app/__init__.py",
        "other/elsewhere.py",
    ]
    found = record(monkeypatch, tmp_path, bento, [*names, "svc/notes.txt"])
    python = make_environment(
        tmp_path / "environment", [Path(root) for root in sys.path if root.endswith("site-packages")]
    )
    monkeypatch.setitem(os.environ, "COVERAGE_PROCESS_START", "")
    found.start(python)
    code = "import sys; sys.path.insert(0, 'src/lib/src'); import shop.prices; shop.prices.double(1)"
    subprocess.run([python, "-c", code], cwd=bento, check=True)
    monkeypatch.syspath_prepend(str(bento / "src"))
    import service

    assert service.double(2) == 4
    found.finish(tmp_path / "report")
    ran, idle, never = (["1,1", "2,1", "5,1", "6,0"], ["1,1", "2,1", "5,1", "6,0"], ["1,0", "2,0", "5,0", "6,0"])
    assert lines_of(tmp_path / "report") == dict(zip(names, (ran, idle, never, never), strict=False))


def test_other_commands_record_nothing(monkeypatch, tmp_path, bento):
    monkeypatch.delenv("COVERAGE", raising=False)
    assert recording({}, bento, tmp_path / "recording") is None
    assert record(monkeypatch, tmp_path, bento, ["other/elsewhere.py", "svc/notes.txt"]) is None


def test_a_missing_package_is_named(monkeypatch, tmp_path, bento):
    monkeypatch.setitem(sys.modules, "coverage", None)
    with pytest.raises(BentoError, match="requirements: coverage is missing"):
        record(monkeypatch, tmp_path, bento, ["svc/service.py"])
