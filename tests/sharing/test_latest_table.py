"""Which version is the latest after each act: a table of BentoML's answers, and ours."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
from bento_cli.cli import main
from bento_cli.library import Store
from bento_cli.programs import serve
from bento_cli.sharing.registry import layouts
from rules_bento.base.subcommand_arguments import decode

from tests.helpers.loopback import Handler, running
from tests.sharing.latest_table import CELLS, DOORS, EPOCHS, MORE, SERVICE, STATES, TIMES, Sources, prepare
from tests.sharing.support import own_home

__all__ = ["own_home"]

TABLE = Path(__file__).with_name("latest_table.json")
RECORDED = json.loads(TABLE.read_text())
BUILD = """import bentoml
options = {"name": "hi", "build_ctx": ".", "python": {"lock_packages": False}}
print("=" + bentoml.bentos.build("service:Hi", **options).tag.version)"""
BENTOML_IS_WRONG = {"build new in-the-past": "a clock was wrong; the user's last build is meant"}


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    return Sources(tmp_path_factory.mktemp("sources"))


@pytest.fixture
def project(tmp_path):
    (tmp_path / "project").mkdir()
    (tmp_path / "project/service.py").write_text(SERVICE)
    return tmp_path / "project"


def answer(pointer, version):
    """Whether the act made `version` the latest."""
    latest = pointer.read_text()
    assert latest in (version, "x")
    return "named" if latest == version else "other"


def compared(cell):
    """The time that the names of a cell's versions contain."""
    time = cell.rpartition(" ")[2]
    return time if time in TIMES else "older"


def test_the_table_has_the_answers_of_bentoml(real, sources, project):
    real.directory, found = project, {}
    real.variables["PATH"] += f":{Path(os.environ['RULES_BENTO_UV']).absolute().parent}"  # for builds of BentoML
    for number, cell in enumerate([*CELLS, *MORE]):
        door, state, _ = cell.rsplit(" ", 2)
        home = project.parent / f"theirs-{number}"
        act, pointer = prepare(home, cell)
        real.variables |= {"BENTOML_HOME": str(home), "SOURCE_DATE_EPOCH": EPOCHS[compared(cell)]}
        before = pointer.read_text() if pointer.exists() else ""
        try:
            if door == "build":
                # BentoML's versions are always new, so the state means that the project was built before.
                for again in range(1 if state == "new" else 2):
                    version = re.search(r"^=(\S+)$", real.ask(BUILD), re.MULTILINE)[1]
                    if not again and state == "known":
                        pointer.write_text("x")
                found[cell] = answer(pointer, version)
            else:
                real.run(*act.format(**sources.words[compared(cell)]).split())
                found[cell] = answer(pointer, "y")
        except AssertionError as error:
            assert "already exists" in str(error), error
            assert pointer.read_text() == before
            found[cell] = "refused"
    found |= {cell: answer for cell, answer in RECORDED.items() if cell.startswith("pull ")}
    if found != RECORDED:
        TABLE.with_suffix(".new.json").write_text(json.dumps(found, indent=1) + "\n")
    assert found == RECORDED


# Doors of ours by the door of BentoML that they are compared with. BentoML can't do the others.
OURS = {
    **{door: (door, words) for door, words in DOORS.items()},
    "import --force": ("import", "import {archive} --force"),
    "import of a layout": ("import", "import oci:{layouts}/{time}"),
    "pull from a layout": ("pull", "pull oci:{layouts}/{time}"),
    "pull from a registry": ("pull", "pull {registry}/{time}:y"),
    "bazel run -- import": ("", ""),
}


@pytest.fixture(scope="module")
def places(sources, tmp_path_factory):
    """Layouts and a registry with the Bentos."""
    directory = tmp_path_factory.mktemp("layouts")
    for time, words in sources.words.items():
        layouts.push(sources.store.home, [sources.store.bentos.get(words["bento"])], f"oci:{directory}/{time}")
    with running(type("Served", (_Layouts,), {"directory": directory})) as server:
        yield {"layouts": str(directory), "registry": f"127.0.0.1:{server.server_port}"}


class _Layouts(Handler):
    """A registry that contains layouts."""

    directory: Path

    def do_GET(self):
        _, _, layout, what, name = (*self.path.split("/"), "", "", "")[:5]
        place = self.directory / layout
        if what == "manifests":
            [name] = [each["digest"] for each in json.loads((place / "index.json").read_text())["manifests"]]
        data = (place / "blobs" / name.replace(":", "/")).read_bytes() if what else b""
        self.send(200, data, {"Content-Type": json.loads(data)["mediaType"]} if what == "manifests" else {})


def run_ours(monkeypatch, home, *words):
    monkeypatch.setenv("BENTOML_HOME", str(home))
    assert main([*words]) == 0


@pytest.mark.parametrize("cell", [*(f"{door} {s} {t}" for door in OURS for s in STATES for t in TIMES), *MORE[1:]])
def test_ours_is_the_answer_of_bentoml_or_the_last_act(cell, sources, places, tmp_path, monkeypatch, real, capsys):
    door, state, time = cell.rsplit(" ", 2)
    theirs, words = OURS[door]
    expected = RECORDED.get(f"{theirs} {state} {time}", "refused")
    expected = "named" if expected == "refused" else expected
    if door == "import --force" and state != "new":
        expected = "named"
    _, pointer = prepare(tmp_path / "home", cell)
    there = sources.words[compared(cell)]
    if door == "bazel run -- import":
        monkeypatch.setenv("BENTOML_HOME", str(tmp_path / "home"))
        request = ["--target", "//:t", "--archive", there["archive"], "--uv", "uv", "--python", "p", "--", "import"]
        assert serve.run(decode(serve.run, request)) == 0
    else:
        run_ours(monkeypatch, tmp_path / "home", *words.format(**there, **places, time=compared(cell)).split())
    assert answer(pointer, "y") == expected
    is_noted = f"{pointer.parent.name}:latest is still {pointer.parent.name}:x." in capsys.readouterr().err
    assert is_noted == (expected == "other" and "of a model" not in door)
    real.variables["BENTOML_HOME"] = str(tmp_path / "home")
    words = ["models"] if pointer.parents[1].name == "models" else []
    assert real.json(*words, "get", pointer.parent.name)["version"] == pointer.read_text()


@pytest.mark.parametrize("cell", [cell for cell in (*CELLS, *MORE) if cell.startswith("build ")])
@pytest.mark.parametrize("option", [True, False])
def test_the_last_build_is_the_latest(cell, option, project, monkeypatch):
    home = project.parent / "ours"
    _, state, _ = cell.rsplit(" ", 2)
    _, pointer = prepare(home, cell)
    time = ["--creation-time", TIMES[compared(cell)]] if option else []
    if not option:
        monkeypatch.setenv("SOURCE_DATE_EPOCH", EPOCHS[compared(cell)])
    for again in range(1 if state == "new" else 2):
        run_ours(monkeypatch, home, "build", str(project), *time)
        [version] = {path.name for path in pointer.parent.iterdir() if path.is_dir()} - {"x"}
        if not again and state == "known":
            pointer.write_text("x")
    assert answer(pointer, version) == ("named" if cell in BENTOML_IS_WRONG else RECORDED[cell])


def test_a_reverted_change_is_the_latest_for_both(project, real, monkeypatch):
    """And an entry that isn't the latest can be deleted."""
    texts, built = [SERVICE, SERVICE + "# changed\n", SERVICE + "# again\n", SERVICE], []
    for text in texts:
        (project / "service.py").write_text(text)
        run_ours(monkeypatch, real.home, "build", str(project))
        built.append((real.home / "bentos/hi/latest").read_text())
    assert built[3] == built[0]
    assert len({*built}) == 3
    run_ours(monkeypatch, real.home, "delete", f"hi:{built[1]}", "--yes")
    assert real.json("get", "hi")["version"] == built[0]
    assert str(Store(real.home).bentos.get("hi").tag) == f"hi:{built[0]}"
    run_ours(monkeypatch, real.home, "delete", f"hi:{built[0]}", "--yes")
    assert real.json("get", "hi")["version"] == built[2], "as BentoML, the newest of the rest"


@pytest.mark.parametrize("words", [["--archive", "out.bento"], ["--version", "x"]])
def test_acts_that_add_nothing_leave_the_latest(words, project, monkeypatch):
    home = project.parent / "ours"
    _, pointer = prepare(home, "build new older")
    monkeypatch.chdir(project.parent)
    monkeypatch.setenv("BENTOML_HOME", str(home))
    assert main(["build", str(project), *words]) == ("--version" in words)
    assert pointer.read_text() == "x"


def test_several_bentos_of_a_layout_leave_the_latest(tmp_path, sources, monkeypatch):
    """The user names no version."""
    _, pointer = prepare(tmp_path / "home", "import known newer")
    store = Store(tmp_path / "home")
    layouts.push(store.home, store.bentos.list(), f"oci:{tmp_path}/layout")
    for verb in "import", "pull":
        run_ours(monkeypatch, tmp_path / "home", verb, f"oci:{tmp_path}/layout")
        assert pointer.read_text() == "x"
