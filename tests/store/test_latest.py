"""Which version `latest` means, wherever a version is chosen."""

import random
import shutil
import time

import pytest
from bento_cli.library import Store
from bento_cli.projects.from_directory import ExtraOptions, build
from rules_bento.bentos.models import model_store
from rules_bento.bentos.models.model import latest_versions

from tests.helpers.projects import write_project
from tests.helpers.store_support import ask, bento_files, model_files, model_yaml, write_archive

# One moment in several zones, and others whose texts sort differently than their times.
TIMES = [
    "2026-03-01T09:30:00+00:00",
    "2026-03-01T23:30:00+14:00",
    "2026-03-01T00:30:00-09:00",
    "2026-03-01T12:00:00+00:00",
    "2026-03-01T13:00:00+02:00",
    "2026-02-28T23:00:00-12:00",
    "2026-03-01T09:30:00.5+00:00",
]
ASK = """
import os, shutil
from bentoml._internal.bento import BentoStore
from bentoml._internal.bento.bento import Bento
from bentoml._internal.models import ModelStore
def answer(question):
    home, archive = question
    models = ModelStore(home + "/models")
    if archive:
        os.makedirs(home + "/models"), os.makedirs(home + "/bentos")
        Bento.import_from(archive).save(BentoStore(home + "/bentos"), models)
    return [str(models.get(tag).tag) for tag in ("m", "m:latest")]
"""
SERVICE = """\
import bentoml


@bentoml.service
class Svc:
    m = bentoml.models.BentoModel("m:latest")
"""


def drawn(chance):
    """The creation times of models by version, and the content of the file `latest` (None without it)."""
    times = {version: chance.choice(TIMES) for version in chance.sample("abcdef", chance.randint(2, 5))}
    return times, chance.choice([None, "gone", *times])


def write_models(home, times, pointer):
    for version, created in times.items():
        for path, data in {"model.yaml": model_yaml(f"m:{version}", created), "w": b"w"}.items():
            (home / "models/m" / version).mkdir(parents=True, exist_ok=True)
            (home / "models/m" / version / path).write_bytes(data)
    if pointer is not None:
        (home / "models/m/latest").write_text(pointer)


def test_latest_is_the_version_that_bentoml_serves(real, tmp_path):
    chance = random.Random(7)
    cases = [drawn(chance) for _ in range(60)]
    project = write_project(tmp_path / "project", {}, SERVICE)
    homes = []
    for number, case in enumerate(cases):
        home = tmp_path / f"{number}"
        write_models(home, *case)
        shutil.copytree(home, f"{home}-theirs")
        homes.append(home)
    answers = ask(real, ASK, [[f"{home}-theirs", ""] for home in homes])
    for home, case, (tag, latest) in zip(homes, cases, answers, strict=True):
        assert tag == latest
        made = build(build_ctx=project, models=["m:latest"], extra=ExtraOptions(store=home / "models"))
        assert [str(model.entry.description.tag) for model in made.models] == [tag], case
        assert str(Store(home).models.get("m").tag) == tag, case
        assert (home / "models/m/latest").read_text() == tag[2:]


def test_a_wrong_pointer_is_ignored(tmp_path):
    """BentoML fails."""
    for number, pointer in enumerate([b"", b"\xff", b"a" * 10_000, b"../m/a"]):
        home = tmp_path / f"{number}"
        write_models(home, {"a": TIMES[0], "b": TIMES[3]}, None)
        (home / "models/m/latest").write_bytes(pointer)
        assert str(Store(home).models.get("m").tag) == "m:b"
    (home / "models/m/latest").unlink()
    (home / "models/m/latest").mkdir()
    assert str(Store(home).models.get("m").tag) == "m:b"


def test_an_archive_names_the_version_that_bentoml_makes_the_latest(real, tmp_path):
    chance = random.Random(9)
    questions, pointers = [], []
    for number in range(20):
        models = {f"m:{v}": model_files(f"m:{v}", created, b"w") for v, created in drawn(chance)[0].items()}
        store = Store(tmp_path / f"{number}", durable=False)
        store.bentos.import_archive(write_archive(tmp_path / "a.bento", bento_files(models=models)))
        archive = store.bentos.export("hi", tmp_path / f"{number}.bento").path
        directory = store.bentos.export("hi", tmp_path / f"{number}-files", "folder").path
        pointers.append((directory / "models/m/latest").read_text())
        read = [model_store.read(store.home.root / "models", tag).entry.description for tag in models]
        assert latest_versions(read) == {"m": pointers[-1]}
        assert str(store.models.get("m:latest").tag) == f"m:{pointers[-1]}"
        questions.append([str(tmp_path / f"{number}-theirs"), str(archive)])
    assert ask(real, ASK, questions) == [[f"m:{pointer}"] * 2 for pointer in pointers]


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/New_York"])
def test_a_time_without_a_zone_means_the_same_on_each_machine(tmp_path, monkeypatch, zone):
    write_models(tmp_path, {"a": "2026-03-01T12:00:00", "b": "2026-03-01T11:00:00+00:00"}, None)
    with monkeypatch.context() as patch:
        patch.setenv("TZ", zone)
        time.tzset()
        assert str(Store(tmp_path).models.get("m").tag) == "m:a"
    time.tzset()
