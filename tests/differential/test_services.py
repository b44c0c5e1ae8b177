"""Generated services, imported by the real BentoML and read by us: the same bento.yaml, or a refusal by line.

A longer run takes more of them: `RULES_BENTO_EXAMPLES=500 pytest tests/differential/test_services.py`.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path

import pytest
from bento_cli.projects.from_directory import ExtraOptions, build_bentofile
from hypothesis import HealthCheck, Phase, event, given, note, settings
from rules_bento.errors import BentoError

from tests.differential.generated_services import Program, programs
from tests.helpers.golden_bentos import comparable, store_of
from tests.helpers.projects import document_of, real_builder, write_project

EXAMPLES = int(os.environ.get("RULES_BENTO_EXAMPLES", "20"))


@pytest.fixture(scope="module")
def real():
    # Not where Bazel keeps what tests write: BentoML refuses files below a folder whose name begins with a dot.
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="rules_bento-") as temporary:
        builder = real_builder(Path(temporary))
        store_of(builder.home / "models")
        add_models(builder.home / "models")
        yield builder
        builder.close()


def add_models(store: Path) -> None:
    """Models of the names that programs use, made of one that is there."""
    [version] = [path for path in (store / "iris_clf").iterdir() if path.is_dir()]
    for tag in ("iris_clf:v1", "scaler:v2"):
        name, _, new = tag.partition(":")
        directory = store / name / new
        directory.mkdir(parents=True)
        for path in version.rglob("*"):
            if path.is_file():
                (directory / path.relative_to(version)).write_bytes(path.read_bytes())
        text = (directory / "model.yaml").read_text()
        text = re.sub(r"^name: .*$", f"name: {name}", text, flags=re.MULTILINE)
        (directory / "model.yaml").write_text(re.sub(r"^version: .*$", f"version: {new}", text, flags=re.MULTILINE))
    shutil.rmtree(version)
    for directory in store.iterdir():
        [only] = [path.name for path in directory.iterdir() if path.is_dir()]
        (directory / "latest").write_text(only)


@given(program=programs())
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize="RULES_BENTO_EXAMPLES" not in os.environ,
    database=None,
    phases=[Phase.generate, *([] if "RULES_BENTO_EXAMPLES" in os.environ else [Phase.shrink])],
)
def test_as_importing_says_or_rejected_by_line(real, program: Program):
    with tempfile.TemporaryDirectory(dir=real.home.parent) as temporary:
        directory = write_project(Path(temporary, "project"), {"files": program.files()}, program.files()["service.py"])
        note(program.files()["service.py"])
        note(program.files()["bentofile.yaml"] + str(program.environment))
        theirs = real.build(directory, ["--version", "v1"], program.environment)
        if theirs["folder"] is None:
            event("BentoML refuses")
            return
        document = document_of((theirs["folder"] / "bento.yaml").read_text("utf-8"))
        try:
            ours = build(directory, real)
        except BentoError as error:
            note(str(error))
            event("refused")
            assert re.search(r"\b(service|base|wrappers)\.py:\d+: ", str(error)), "refused without a line"
            return
        event("equal")
        assert fields(document_of(ours.bento.files["bento.yaml"])) == fields(document)


@pytest.mark.parametrize("endpoint", ["", "endpoint=None", "endpoint=''", "endpoint='http://127.0.0.1:9/hub/'"])
def test_a_hugging_face_snapshot_has_the_tag_of_bentoml(real, monkeypatch, endpoint):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9/mirror")  # of whoever builds
    model = f"HuggingFaceModel('Org/Bert', revision='{'0123456789' * 4}', {endpoint})"
    service = f"import bentoml\n\n@bentoml.service\nclass Svc:\n    m = bentoml.models.{model}\n"
    with tempfile.TemporaryDirectory(dir=real.home.parent) as temporary:
        bentofile = "service: service:Svc\npython:\n  lock_packages: false\n"
        directory = write_project(Path(temporary, "project"), {"files": {"bentofile.yaml": bentofile}}, service)
        theirs = document_of((real.build(directory)["folder"] / "bento.yaml").read_text("utf-8"))
        made = document_of(build(directory, real).bento.files["bento.yaml"])
    assert fields(made)["services"] == fields(theirs)["services"]
    assert made["services"][0]["models"][0]["metadata"]["endpoint"]


def fields(document: dict) -> dict:
    """What a service says of itself; in which order and words an image installs packages is test_differential's."""
    document = comparable(document)
    for model in (model for row in document["services"] for model in row["models"] if "registry" in model):
        del model["creation_time"]  # BentoML's is the time of asking
    image = document.pop("image")
    packages = [line for line in image["python_requirements"] if not line.startswith("bentoml")]
    return {**document, "image": [image["python_version"], packages]}


def build(directory: Path, real):
    extra = ExtraOptions(bentoml_version=real.version, python_version=real.python_version, store=real.home / "models")
    return build_bentofile(build_ctx=directory, version="v1", extra=extra)
