"""Virtual environments over wheels: their console scripts, and what no wheel may put in the interpreter's place."""

import subprocess
import sys
from pathlib import Path

import pytest
from rules_bento.base.errors import BentoError
from rules_bento.bentos.packages.virtualenv import make_environment


def site(directory, text, name="x"):
    """The unpacked modules of a wheel, with entry points."""
    root = directory / f"site-{name}"
    (root / f"{name}-1.dist-info").mkdir(parents=True)
    (root / f"{name}-1.dist-info/entry_points.txt").write_bytes(text if isinstance(text, bytes) else text.encode())
    (root / f"{name}.py").write_text(f"class A:\n    @staticmethod\n    def main():\n        print({name!r})\n")
    return root


def test_console_scripts_run(tmp_path):
    text = "[console_scripts]\nGreet-it = x:A.main\nagain= x : A.main [extra]\n[gui_scripts]\nother = x:A\n"
    python = make_environment(tmp_path / "env", [site(tmp_path, text)])
    assert {path.name for path in python.parent.iterdir()} == {"python", "Greet-it", "again"}
    for name in ("Greet-it", "again"):
        assert subprocess.run([python.with_name(name)], check=True, capture_output=True).stdout == b"x\n"


@pytest.mark.parametrize("name", ["python", "python3", f"python3.{sys.version_info[1]}", "python3.99", "pythonw"])
def test_no_script_replaces_the_interpreter(tmp_path, monkeypatch, name):
    interpreter = tmp_path / "real"
    interpreter.write_text("the interpreter")
    monkeypatch.setattr(sys, "executable", str(interpreter))
    root = site(tmp_path, f"[console_scripts]\n{name} = x:A.main\n")
    with pytest.raises(BentoError, match=rf"x-1\.dist-info: the console script '{name}' would replace the interpreter"):
        make_environment(tmp_path / "env", [root])
    assert interpreter.read_text() == "the interpreter"


def test_nothing_is_written_through_what_exists(tmp_path, monkeypatch):
    """As on macOS, where a script `Python` would be the link to the interpreter."""
    interpreter = tmp_path / "real"
    interpreter.write_text("the interpreter")
    monkeypatch.setattr(sys, "executable", str(interpreter))
    with_name = Path.with_name
    monkeypatch.setattr(Path, "with_name", lambda path, name: with_name(path, name.lower()))
    with pytest.raises(BentoError, match="File exists"):
        make_environment(tmp_path / "env", [site(tmp_path, "[console_scripts]\nPython = x:A.main\n")])
    assert interpreter.read_text() == "the interpreter"


SCRIPTS = [
    *("../../x = x:A", ".. = x:A.main", "a/b = x:A.main", "run = x; import os", "run = x", "run = x:A\n  import os")
]


@pytest.mark.parametrize(
    "text",
    [*(f"[console_scripts]\n{script}\n" for script in SCRIPTS), "[console_scripts\n", "run = x:A\n", b"\xff\xfe"],
)
def test_what_is_no_console_script_is_reported(tmp_path, text):
    with pytest.raises(BentoError, match=r"x-1\.dist-info: invalid (console script|entry_points\.txt)"):
        make_environment(tmp_path / "env", [site(tmp_path, text)])
    assert [path.name for path in (tmp_path / "env/bin").iterdir()] == ["python"]
