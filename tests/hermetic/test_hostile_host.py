"""A host that does its worst changes no output: variables, PATH, locale, mode of new files, startup modules."""

import json
import os
import subprocess
import sys

import pytest

from tests.actions.helper import LABEL, TIME, Actions

MODULES = ("blake3", "json", "sitecustomize", "usercustomize", "yaml")
PROGRAMS = ("bash", "env", "git", "python", "python3", "sh", "tar", "uv", "xz")


class Host:
    """A host whose every folder holds traps: who runs one leaves a trace, and fails."""

    def __init__(self, directory) -> None:
        self.trace = directory / "trace"
        self.home, self.modules, self.programs = directory / "home", directory / "modules", directory / "programs"
        user = self.home / f"site/lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
        for place in (self.modules, user):
            place.mkdir(parents=True)
            self.set_traps(place)
        self.programs.mkdir()
        for name in PROGRAMS:
            trap = self.programs / name
            trap.write_text(f"#!/bin/sh\necho {name} >> {self.trace}\nexit 1\n")
            trap.chmod(0o755)

    def set_traps(self, place) -> None:
        for name in MODULES:
            (place / f"{name}.py").write_text(
                f"open({str(self.trace)!r}, 'a').write(__file__)\nraise SystemExit('{name}')\n"
            )

    def variables(self) -> dict[str, str]:
        return {
            "HOME": str(self.home),
            "LANG": "tr_TR.ISO-8859-9",
            "LANGUAGE": "tr",
            "LC_ALL": "tr_TR.ISO-8859-9",
            "PATH": str(self.programs),
            "PYTHONCOERCECLOCALE": "0",
            "PYTHONHASHSEED": "1",
            "PYTHONIOENCODING": "ascii",
            "PYTHONOPTIMIZE": "2",
            "PYTHONPATH": str(self.modules),
            "PYTHONSTARTUP": str(self.modules / "sitecustomize.py"),
            "PYTHONUSERBASE": str(self.home / "site"),
            "PYTHONUTF8": "0",
            "SOURCE_DATE_EPOCH": "1",
            "TZ": "Pacific/Kiritimati",
            "USER": "ğüşi",
            "UV_CONFIG_FILE": str(self.home / "none.toml"),
            "UV_INDEX_URL": "http://127.0.0.1:1/simple",
            "UV_PYTHON": str(self.programs / "python3"),
        }


@pytest.fixture
def host(tmp_path):
    return Host(tmp_path)


def snapshot(actions):
    """BentoSnapshot with letters that Turkish has, in texts and in names."""
    source = "# é ğ\nimport bentoml\n\n@bentoml.service(name='ISIL', labels={'I': 'é'})\nclass Service:\n    pass\n"
    return actions.snapshot(srcs=[actions.write("svc/service.py", source), actions.write("svc/é ğ.txt", "ğ")])


def resolving(actions):
    """Flags of what asks uv for one package."""
    package = {"name": "demo", "version": "1.0", "files": {"demo-1.0-py3-none-any.whl": "a" * 64}}
    arguments = ["--target", LABEL, "--requirement", "demo", "--platform", "linux_amd64", "--python-version", "3.11"]
    arguments += ["--glibc", "2.28", "--locked", actions.write("demo.json", json.dumps(package))]
    return [*arguments, "--uv", os.environ["RULES_BENTO_UV"], "--python", sys.executable]


def lock(actions):
    """BentoLock of one package, which asks uv itself."""
    return actions.run("lock", resolving(actions), {"--output": "locked"})


def archive(actions):
    """BentoArchive of a Bento and a model."""
    model, bento = actions.model(), actions.package()
    arguments = ["--target", LABEL, "--part", actions.write("bento.part", bento.outputs["--part"])]
    description = actions.write("model.json", model.outputs["--description"])
    arguments += ["--model", description, actions.write("model.part", model.outputs["--part"])]
    return actions.run("archive", arguments, {"--output": "bento"})


VERBS = {
    "archive": archive,
    "lock": lock,
    "model": lambda actions: actions.model("--creation-time", TIME, "--label", '"ğ"', '"İ"'),
    "package": lambda actions: actions.package(labels=[["ğ", "İ"]], options={"description": "é"}),
    "resolve": lambda actions: actions.run("resolve", resolving(actions), {"--output": "answer"}),
    "snapshot": snapshot,
}


@pytest.mark.parametrize("verb", VERBS)
def test_no_output_changes(verb, host, tmp_path):
    (tmp_path / "friendly").mkdir()
    expected = VERBS[verb](Actions(tmp_path / "friendly"))
    assert (expected.code, expected.errors) == (0, "")
    (tmp_path / "hostile").mkdir()
    actions = Actions(tmp_path / "hostile")
    actions.variables = host.variables()
    host.set_traps(actions.root)
    mask = os.umask(0o077)
    try:
        found = VERBS[verb](actions)
    finally:
        os.umask(mask)
    assert not host.trace.exists(), host.trace.read_text()
    assert (found.code, found.errors) == (0, "")
    assert found.outputs == expected.outputs


def test_the_traps_work(host):
    """Without the flags of actions, and in a shell, each kind of trap is run into."""
    for command in ([sys.executable, "-c", "import yaml"], ["/bin/sh", "-c", "uv"]):
        subprocess.run(command, env=host.variables(), capture_output=True, check=False)
        assert host.trace.exists(), command
        host.trace.unlink()
