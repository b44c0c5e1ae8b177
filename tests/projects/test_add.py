"""Bentos that a build adds to the store: the same as their archives, without a copy of a model, and never in part."""

from __future__ import annotations

import shutil
from itertools import count

import pytest
from bento_cli.cli import status
from bento_cli.library import MODEL, Limits, Options, Store
from bento_cli.projects.from_directory import ExtraOptions, build, build_bentofile
from bento_cli.store import durable
from rules_bento.base.errors import BentoError

from tests.conftest import post
from tests.helpers.golden_bentos import BENTO_PROJECTS, store_of
from tests.helpers.projects import write_project
from tests.helpers.store_support import (
    ask,
    copy_of,
    in_children,
    killed_at,
    model_files,
    run_command,
    tree,
    write_archive,
)

SERVICE = """\
import bentoml
from pathlib import Path


@bentoml.service
class Svc:
    weights = bentoml.models.BentoModel("clf:v1")

    @bentoml.api
    def length(self, text: str) -> list[int]:
        return [len(text), Path(self.weights.path_of("weights.bin")).stat().st_size]
"""
SIZE = 3 << 20
BENTOFILE = {"files": {"bentofile.yaml": 'service: "service:Svc"\nmodels: ["clf:v1"]\n'}}


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "ours", durable=False)


@pytest.fixture
def project(tmp_path, store):
    """A project whose model, of `SIZE` bytes, is in the store."""
    store.models.import_archive(write_archive(tmp_path / "m", model_files(payload=bytes(SIZE))))
    return write_project(tmp_path / "project", BENTOFILE, SERVICE)


def extra(store, **more):
    return ExtraOptions(store=store.home.entries_dir(MODEL), **more)


def hard(directory):
    """Add files with odd names, links, and scripts to a project."""
    for name in ("A.txt", "a.txt", "e\u0301", "\u00e9", "run.sh", "empty", "d/deep/file", "large"):
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes(b"#!/bin/sh\n" if name == "run.sh" else name.encode() * (name != "empty"))
    (directory / "large").write_bytes(bytes(2 << 20) + b"x")
    (directory / "link").symlink_to("d/deep/file")
    return directory


@pytest.mark.parametrize("name", ["iris_svc", "iris_svc_models_alias", "hard"])
def test_a_build_in_the_store_is_its_archive(tmp_path, store, name):
    if name == "hard":
        directory = hard(write_project(tmp_path / "project", {}, SERVICE.replace("clf:v1", "raw_model:v1")))
    elif name in BENTO_PROJECTS:
        directory = write_project(tmp_path / "project", BENTO_PROJECTS[name], "")
    else:
        pytest.skip(f"no project {name} here")
    shutil.copytree(store_of(tmp_path / "models"), store.home.root / "models")
    made = build_bentofile(build_ctx=directory, extra=extra(store))
    added = made.add(store.home)
    assert added.new
    other = Store(tmp_path / "other", durable=False)
    archive = made.archive(tmp_path / "a.bento")
    other.bentos.import_archive(archive, options=Options(limits=Limits(same_letters=True)))
    assert tree(added.entry.path) == tree(other.bentos.get(str(made.tag)).path)
    assert store.verify().damages == store.verify().changes == ()
    assert not list(store.home.staging.iterdir())
    assert not made.add(store.home).new


def test_a_stored_model_is_not_copied(store, project, full_disk):
    with full_disk(SIZE // 2):
        run_command(store, "build", project, "--version", "v1")
    entry = store.bentos.get("svc:v1")
    assert entry.models == ("clf:v1",)
    assert entry.size() < 10_000


def test_case_and_form_of_names_are_those_of_the_project(store, project):
    """As in BentoML, and in `bento build --archive`. An import rejects such names without --same-letters."""
    hard(project)
    run_command(store, "build", project, "--version", "v1")
    names = {path.name for path in (store.bentos.get("svc:v1").path / "src").iterdir()}
    assert {"A.txt", "a.txt", "e\u0301", "\u00e9"} <= names


def test_models_of_bentoml_are_used_as_they_are(real, tmp_path):
    """With bytes in model.yaml that we would not write."""
    store = Store(real.home, durable=False)
    create = "import bentoml\nwith bentoml.models.create('clf:v1', labels={'a': 'b'}) as model:\n"
    real.ask(create + f"    open(model.path_of('weights.bin'), 'wb').write(bytes({SIZE}))\n")
    with (store.models.get("clf").path / "model.yaml").open("a") as file:
        file.write("# reviewed\n")
    project = write_project(tmp_path / "project", BENTOFILE, SERVICE)
    run_command(store, "build", project, "--version", "v1")
    assert [row["tag"] for row in real.json("list")] == ["svc:v1"]
    assert (store.models.get("clf").path / "model.yaml").read_text().endswith("# reviewed\n")
    with real.serve("svc:v1") as address:
        assert post(f"{address}/length", {"text": "hello"}) == [5, SIZE]
    run_command(store, "build", project, "--version", "v2")
    real.run("delete", "svc:v1", "--yes")
    assert [str(entry.tag) for entry in store.bentos.list()] == ["svc:v2"]
    assert store.verify().damages == ()


def test_a_tag_of_another_bento_is_an_error(store, project, capsys):
    """A computed version is the digest of the content."""
    version = build_bentofile(build_ctx=project, extra=extra(store, bentoml_version=None)).tag.version
    shutil.copytree(project, project.with_name("other"))
    (project.with_name("other") / "more.py").write_text("EVIL = True\n")
    run_command(store, "build", project.with_name("other"), "--version", version)
    run_command(store, "build", project, code=status.ERROR)
    message = capsys.readouterr().err
    assert f"bento: {project}: the store contains another Bento svc:{version}. To replace the Bento, delete" in message
    command = message.rpartition("`bento ")[2].partition("`")[0].split()
    run_command(store, *command, "--yes")
    run_command(store, "build", project)
    run_command(store, "build", project)
    assert "(already in the store)" in capsys.readouterr().out


def test_messages_are_about_the_project(store, project, monkeypatch):
    made = build(build_ctx=project, models=["clf:v1"], extra=extra(store))
    (project / "service.py").write_text((project / "service.py").read_text().replace("Path", "path"))
    with pytest.raises(BentoError, match=f"^{project}: a file changed during the build. Run the build again.$"):
        made.add(store.home)
    made = build(build_ctx=project, models=["clf:v1"], extra=extra(store))
    store.models.delete("clf:v1")
    with pytest.raises(BentoError, match="contains no model with this tag"):
        made.add(store.home)
    assert store.bentos.list() == ()
    assert not list(store.home.staging.iterdir())


def test_a_model_that_is_deleted_during_a_build_is_an_error(store, project, monkeypatch):
    made = build_bentofile(build_ctx=project, extra=extra(store))
    monkeypatch.setattr(durable, "flush_trees", lambda *_: store.models.delete("clf:v1"))
    with pytest.raises(BentoError, match="clf:v1: the model was deleted or replaced meanwhile. Run the command again."):
        made.add(store.home)
    assert store.bentos.list() == ()


def test_equal_builds_at_once_succeed(store, project):
    made = [build_bentofile(build_ctx=project, extra=extra(store)) for _ in range(4)]
    assert all(in_children(*(lambda one=one: one.add(store.home) for one in made), store.gc, store.gc))
    assert [str(entry.tag) for entry in store.bentos.list()] == [str(made[0].tag)]
    assert store.verify().damages == ()


def test_a_build_killed_at_any_step_leaves_a_whole_entry_or_none(real, tmp_path, store, project):
    hard(project)
    before = build_bentofile(build_ctx=project, version="v1", extra=extra(store)).add(store.home).entry
    (project / "more.py").write_text("x = 1\n")
    made = build_bentofile(
        build_ctx=project, version="v2", extra=extra(store, creation_time="2026-01-02T00:00:00+00:00")
    )
    files = {
        "svc:v1": tree(before.path),
        "svc:v2": tree(made.add(copy_of(store.home.root, tmp_path / "c").home).entry.path),
    }
    homes, found = [], set()
    for step in count(1):
        again = copy_of(store.home.root, tmp_path / f"{step}")
        done = killed_at(step, lambda: made.add(again.home))
        there = {str(entry.tag): tree(entry.path) for entry in again.bentos.list()}
        assert "svc:v1" in there
        assert all(content == files[tag] for tag, content in there.items())
        assert again.bentos.entry_store.list().problems == ()
        assert str(again.bentos.get("svc").tag) == max(there)
        assert again.verify().damages == ()
        assert made.add(again.home).new == ("svc:v2" not in there)
        found.add("svc:v2" in there)
        again.gc()
        assert {str(entry.tag): tree(entry.path) for entry in again.bentos.list()} == files
        assert not list(again.home.staging.iterdir())
        homes.append(str(again.home.root))
        if done:
            break
    assert found == {True, False}
    assert len(homes) > 30
    script = "from bentoml._internal.bento import BentoStore\ndef answer(home):\n"
    script += "    return [str(bento.tag) for bento in BentoStore(home + '/bentos').list()]\n"
    assert ask(real, script, homes) == [["svc:v1", "svc:v2"]] * len(homes)
