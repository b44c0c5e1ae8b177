"""The environment for editors: of the wheels that are named, with modules of the source tree, and nobody else's folder."""

import json
import os
import subprocess
import sys
import zipfile

import pytest
from rules_bento.base.errors import BentoError
from rules_bento.base.subcommand_arguments import decode
from rules_bento.run import test as bento_test
from rules_bento.run import venv

from tests.helpers.made_wheels import Maker


class Target:
    """A `bento_venv` of two wheels, in a source tree with a service."""

    def __init__(self, directory):
        self.directory = directory
        self.runfiles = directory / "runfiles"
        self.workspace = directory / "work space"
        self.environment = self.workspace / "svc/.venv"
        self.interpreter = sys.executable
        self.wheels = {}
        self.runfiles.mkdir()
        for path, text in {"svc/service.py": "VALUE = 1\n", "lib/src/helper.py": "", "top/inner.py": ""}.items():
            (self.workspace / path).parent.mkdir(parents=True)
            (self.workspace / path).write_text(text)
        self.settings = {
            "build_ctx": "svc",
            "directory": "svc/.venv",
            "import_roots": ["_main/lib/src", "other/lib"],
            "platform": "",
            "python_version": f"{sys.version_info[0]}.{sys.version_info[1]}",
            "repository": "_main",
        }

    def add(self, name, version="1.0", text=""):
        wheel = Maker(name, version).add({f"{name}.py": text}).write(self.runfiles)
        self.wheels[name] = wheel.name
        return wheel

    def run(self, *words):
        settings = self.directory / "settings.json"
        settings.write_text(json.dumps(self.settings | {"wheels": self.wheels}), "utf-8")
        flags = {"--python": self.interpreter, "--settings": settings, "--target": "//svc:venv"}
        flags |= {"--uv": os.environ["RULES_BENTO_UV"], "--runfiles": self.runfiles}
        argv = [str(word) for pair in flags.items() for word in pair]
        venv.run(decode(venv.run, [*argv, "--", *words]))

    def python(self, code):
        command = [self.environment / "bin/python", "-c", code]
        done = subprocess.run(command, cwd=self.directory, check=False, capture_output=True, text=True)
        return done.stdout.strip() or done.stderr


@pytest.fixture
def target(tmp_path, monkeypatch):
    made = Target(tmp_path)
    monkeypatch.setenv("BUILD_WORKSPACE_DIRECTORY", str(made.workspace))
    monkeypatch.setenv("BUILD_WORKING_DIRECTORY", str(made.workspace / "lib"))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    made.add("first", text="WHO = 'first'\n")
    made.add("second")
    return made


def test_wheels_are_installed_and_modules_are_those_of_the_source_tree(target, capfd):
    target.run()
    assert "first 1.0" in target.python(
        "import first; from importlib.metadata import version as v; print(first.WHO, v('first'))"
    )
    assert target.python("import second, helper, top.inner, service; print(service.VALUE)") == "1"
    (target.workspace / "svc/service.py").write_text("VALUE = 22\n")  # byte code knows its source by second and size
    assert target.python("import service; print(service.VALUE)") == "22", "an edit is seen at once"
    assert "other: modules of other repositories aren't in the environment" in capfd.readouterr().err


REFUSED = (
    "one and two: both packages install shared.py, with different contents. Remove one of the packages from the "
    "requirements, or keep two: add \"one ; sys_platform == 'never'\" to a file of overrides of bento.pypi, and update "
    "the lock, or keep one: add \"two ; sys_platform == 'never'\" to a file of overrides of bento.pypi, and update the "
    "lock."
)


def test_packages_with_different_files_at_one_path_are_an_error(target):
    for name in ("one", "two"):
        wheel = Maker(name).add({"shared.py": name, "equal.py": "", f"{name}.py": ""}).write(target.runfiles)
        target.wheels[name] = wheel.name
    with pytest.raises(BentoError) as caught:
        target.run()
    assert str(caught.value) == REFUSED
    assert not target.environment.exists()


@pytest.mark.parametrize("second", ["one", "two"])
def test_a_test_rejects_such_packages_too(tmp_path, monkeypatch, second):
    """But not two versions of a package: Python imports the first one."""
    monkeypatch.setenv("TEST_TMPDIR", str(tmp_path))
    roots = []
    for number, name in enumerate(("one", second)):
        maker = Maker(name, f"{number}").add({"shared.py": f"{number}", "equal.py": ""})
        with zipfile.ZipFile(maker.write(tmp_path)) as wheel:
            wheel.extractall(tmp_path / f"{number}.site-packages")
        roots.append(str(tmp_path / f"{number}.site-packages"))
    (tmp_path / "settings").write_text(json.dumps({"roots": roots}))
    with pytest.raises((BentoError, KeyError)) as caught:  # without the error, the run goes on, and needs more settings
        bento_test.run(decode(bento_test.run, ["--settings", str(tmp_path / "settings")]))
    assert (str(caught.value) == REFUSED) == (second == "two")


def test_a_second_run_does_nothing(target, monkeypatch, capfd):
    target.run()
    with monkeypatch.context() as patch:
        patch.setattr(venv.uv, "start", None)
        target.run()
    assert "2 packages, unchanged" in capfd.readouterr().err


def test_what_the_lock_no_longer_has_goes_and_what_it_has_again_comes(target):
    target.run()
    del target.wheels["second"]
    target.add("third")
    target.add("first", "2.0", "WHO = 'newer'\n")
    target.run()
    assert target.python("import first, third; print(first.WHO)") == "newer"
    assert "No module named 'second'" in target.python("import second")


def test_a_wheel_that_is_built_again_is_installed_again(target):
    target.run()
    wheel = target.add("first", text="WHO = 'again'\n")
    os.utime(wheel, ns=(1, 1))
    target.run()
    assert target.python("import first; print(first.WHO)") == "again"


def test_a_run_that_was_interrupted_is_done_again(target, monkeypatch):
    def cut(*_words):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(venv._Environment, "_install", cut)
        with pytest.raises(KeyboardInterrupt):
            target.run()
    target.run()
    assert target.python("import first; print(first.WHO)") == "first"


def test_an_environment_without_its_interpreter_is_made_again(target):
    target.run()
    python = target.environment / "bin/python"
    python.unlink()
    python.symlink_to(target.directory / "gone")
    target.run()
    assert target.python("import first; print(first.WHO)") == "first"


@pytest.mark.parametrize("found", ["file", "folder", "environment", "stamp"])
def test_a_directory_of_another_process_is_left_alone(target, found):
    directory = target.environment
    if found == "file":
        directory.write_text("mine")
    elif found == "folder":
        directory.mkdir()
        (directory / "notes").write_text("mine")
    elif found == "environment":
        subprocess.run([os.environ["RULES_BENTO_UV"], "venv", "-q", "--python", sys.executable, directory], check=True)
    else:
        directory.mkdir()
        (directory / "rules_bento.json").write_text("[not ours]")
    before = sorted(target.workspace.rglob("*"))
    with pytest.raises(BentoError, match="but this target didn't create it"):
        target.run()
    assert sorted(target.workspace.rglob("*")) == before


def test_another_directory_is_named_from_where_bazel_was_started(target):
    target.run("--directory", "env")
    target.environment = target.workspace / "lib/env"
    assert target.python("import first; print(first.WHO)") == "first"


def test_it_is_for_a_source_tree(target, monkeypatch):
    monkeypatch.delenv("BUILD_WORKSPACE_DIRECTORY")
    with pytest.raises(BentoError, match="bazel run //svc:venv"):
        target.run()


def test_packages_for_another_machine_are_rejected(target):
    target.settings["platform"] = "plan9_mips"
    with pytest.raises(BentoError, match=r"for plan9_mips, .* is imported on \w+\. Omit --platforms"):
        target.run()
    assert not target.environment.exists()


def test_an_interpreter_of_another_version_is_rejected(target):
    target.settings["python_version"] = "2.7"
    with pytest.raises(BentoError, match=r"packages require Python 2\.7.*-- --python 2\.7"):
        target.run()


def test_another_interpreter_is_taken_where_one_is_named(target):
    target.interpreter = target.directory / "gone"
    target.run("--python", os.path.realpath(sys.executable))
    assert target.python("import first; print(first.WHO)") == "first"


def test_an_environment_that_was_interrupted_as_it_was_removed_is_still_ours(target, monkeypatch):
    target.run()
    (target.environment / "bin/python").unlink()

    def cut_off(_path):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(venv, "remove", cut_off)
        with pytest.raises(KeyboardInterrupt):
            target.run()
    stamp = (target.environment / "rules_bento.json").read_bytes()
    os.link(target.environment / "rules_bento.json", target.directory / "before")
    target.run()
    assert (target.directory / "before").read_bytes() == stamp, "it is replaced, and never half of one"
    assert target.python("import first; print(first.WHO)") == "first"


def test_a_link_in_the_place_of_the_directory_stays_one(target):
    target.run()
    elsewhere = target.directory / "elsewhere"
    target.environment.rename(elsewhere)
    target.environment.symlink_to(elsewhere)
    (target.environment / "bin/python").unlink()
    target.run()
    assert target.environment.is_symlink()
    assert target.python("import first; print(first.WHO)") == "first"
