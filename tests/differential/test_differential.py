"""Generated projects, built by the real BentoML (unlocked, in another process) and by us: the same tree, the same
bento.yaml, but for what docs/compatibility.md lists.

A nightly run takes more of them: `RULES_BENTO_EXAMPLES=500 pytest tests/differential`.
"""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

import pytest
import yaml
from bento_cli.projects.from_directory import ExtraOptions, build_bentofile
from hypothesis import HealthCheck, Phase, event, given, note, settings
from rules_bento.base.errors import BentoError

from tests.differential.generated import ONLY_OURS, REFUSALS, Project, as_it_should_be, carried, projects
from tests.helpers.golden_bentos import comparable, known_tree, our_tree, requirements, store_of
from tests.helpers.projects import document_of, real_builder, tree_of_directory, write_project

EXAMPLES = int(os.environ.get("RULES_BENTO_EXAMPLES", "20"))


@pytest.fixture(scope="module")
def real():
    # Not where Bazel keeps what tests write: BentoML refuses files below a folder whose name begins with a dot.
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="rules_bento-") as temporary:
        builder = real_builder(Path(temporary))
        store_of(builder.home / "models")
        for directory in (builder.home / "models").iterdir():
            [version] = [path.name for path in directory.iterdir()]
            (directory / "latest").write_text(version)
        yield builder
        builder.close()


@given(project=projects())
@settings(
    max_examples=EXAMPLES,
    suppress_health_check=list(HealthCheck),
    derandomize="RULES_BENTO_EXAMPLES" not in os.environ,
    database=None,
    phases=[Phase.generate, Phase.shrink],
)
def test_as_the_real_one(real, project: Project):
    with tempfile.TemporaryDirectory(dir=real.home.parent) as temporary:
        directory = write_project(Path(temporary, "project"), {"files": project.files(), "links": project.links()}, "")
        note("\n".join(f"--- {path}\n{text}" for path, text in project.files().items() if path in WRITTEN))
        theirs = real.build(directory, ["--version", "v1", *project.arguments()])
        try:
            ours = build(directory, project, real)
        except BentoError as error:
            compare_refusal(str(error), theirs, project)
            return
        if theirs["folder"] is None:
            event("only BentoML refuses")
            assert any(reason(project) for reason in ONLY_OURS), f"only BentoML refuses:\n{theirs['log']}"
            return
        compare(ours, theirs["folder"], project, real.python_version)


WRITTEN = ("service.py", "bentofile.yaml", "pyproject.toml")


def build(directory: Path, project: Project, real):
    return build_bentofile(
        build_ctx=directory,
        name=project.cli.get("name"),
        labels=project.cli.get("label"),
        args=project.cli.get("arg"),
        version="v1",
        extra=ExtraOptions(
            bentoml_version=real.version,
            python_version=real.python_version,
            store=real.home / "models",
            python=real.python if project.legacy else None,
        ),
    )


def compare_refusal(message: str, theirs: dict, project: Project) -> None:
    """A refusal is BentoML's, too, or one that we chose, and then its reason is there."""
    note(message)
    event("refused by both" if theirs["folder"] is None else "refused by us alone")
    message = message.partition("\n  ")[0]  # patterns that match nothing follow
    assert "\n" not in message.strip() and message.endswith((".", "?")), message
    if re.search("requires service.py|excludes service.py", message) and theirs["folder"] is not None:
        assert not (theirs["folder"] / "src/service.py").exists()
    chosen = [reason for text, reason in REFUSALS if text in message]
    if theirs["folder"] is not None or chosen:
        assert chosen, f"only we refuse: {message}"
        assert any(reason(project) for reason in chosen), f"for no reason: {message}"


def kinds(tree: dict[str, str]) -> dict[str, str]:
    """The tree with one bit of each file's mode: the others are those of BentoML's own files, and of the umask."""
    return {path: kind if kind.startswith("-> ") else str(int(kind, 8) & 0o100) for path, kind in tree.items()}


def compare(ours, real_directory: Path, project: Project, python: str) -> None:
    tree = known_tree(tree_of_directory(real_directory))
    if project.image and "run_script" in [call[0] for call in project.image[1:]]:
        tree["env/docker/script__"] = "0o755"  # Bug: BentoML does not copy the scripts of a service's image
    event(f"compared: spec {2 if ours.bento.files.get('env/python/requirements.in') else 1}")
    event(f"compared: {'with' if project.image else 'without'} an image")
    assert kinds(known_tree(our_tree(ours))) == kinds(tree)
    document = document_of((real_directory / "bento.yaml").read_text("utf-8"))
    expected = as_it_should_be(document, project, python)
    mine = document_of(ours.bento.files["bento.yaml"])
    assert list(mine) == list(expected)
    assert comparable(mine) == comparable(expected)
    for path in ("env/python/requirements.in", "env/python/requirements.txt"):
        if (real_directory / path).exists():
            text = (real_directory / path).read_text("utf-8") + carried(project)
            assert requirements(ours.bento.files[path].decode()) == requirements(text)
    if "src/bentofile.yaml" in ours.bento.files:
        record = as_recorded((real_directory / "src/bentofile.yaml").read_text("utf-8"), project.cli.get("arg", {}))
        own = yaml.safe_load(ours.bento.files["src/bentofile.yaml"])
        for one in (own, record):  # as in bento.yaml, where they were compared
            del one["envs"], one["docker"]["env"]
        assert own == record
    environment = real_directory / "env/conda/environment.yml"
    if environment.exists():
        assert yaml.safe_load(ours.bento.files["env/conda/environment.yml"]) == yaml.safe_load(environment.read_text())
    readme = (real_directory / "README.md").read_text()
    if ours.bento.files["README.md"].decode() != readme:
        assert readme.startswith(ours.bento.files["README.md"].decode().strip()), "the title is all that is ours"
    for path, content in ours.bento.files.items():
        if path.startswith("env/docker/script__") or path == "env/docker/setup_script":
            assert content in (b"#!/bin/sh\necho s\n", b"#!/usr/bin/env python3\nprint('s')\n")


def as_recorded(text: str, args: dict) -> dict:
    """BentoML's record of options as ours has it: the same for a target as for its bentofile, however it is spelled."""
    record = yaml.safe_load(text)
    module, colon, attribute = record["service"].partition(":")
    record["service"] = module.removesuffix(".py") + colon + attribute
    record["name"] = record["name"] and record["name"].lower()
    record["args"] |= args
    return record


SERVICE = "import bentoml\n\n\n@bentoml.service(labels={'a': 'b'}, envs=[{'name': 'E', 'value': '1'}])\nclass Svc:\n    pass\n"
NOT_LOCKED = "python: {lock_packages: false}\n"
PROJECT = "[project]\nname = 'Proj_X'\nversion = '0'\n[tool.bentoml.build]\npython.lock_packages = false\n"
RECORDED = {
    "nothing but a project": {"pyproject.toml": PROJECT},
    "requirements": {"pyproject.toml": f"{PROJECT}python.requirements_txt = 'r.txt'\n", "r.txt": "idna\n"},
    "dependencies": {"pyproject.toml": PROJECT.replace("version =", "dependencies = ['attrs']\nversion =") + "python.requirements_txt = 'r.txt'\n", "r.txt": "idna\n"},
    "a src layout": {"pyproject.toml": f"{PROJECT}service = 'service:Svc'\n", "src/lib.py": ""},
    "spellings": {"bentofile.yaml": f"service: service.py:Svc\nname: MyName\nexclude: [bentofile.yaml]\n{NOT_LOCKED}"},
    "many": {
        "bentofile.yaml": "exclude: [bentofile.yaml]\nargs: {x: 1, y: [1, null]}\ndescription: 'file: D.md'\n"
        "docker: {python_version: '3.12', system_packages: [git]}\nenvs: [{name: F, value: 5}]\n"
        f"models: [iris_clf]\nlabels: {{c: 1}}\n{NOT_LOCKED}",
        "D.md": "# d\n",
    },
}  # fmt: skip


@pytest.mark.parametrize("case", RECORDED)
def test_the_record_of_options(real, case):
    """src/bentofile.yaml of a project that brings none, beside generated ones."""
    with tempfile.TemporaryDirectory(dir=real.home.parent) as temporary:
        directory = write_project(Path(temporary, "project"), {"files": RECORDED[case]}, SERVICE)
        theirs = real.build(directory, ["--version", "v1", "--arg", "of=cli"])
        beside = ExtraOptions(
            bentoml_version=real.version, python_version=real.python_version, store=real.home / "models"
        )
        ours = build_bentofile(build_ctx=directory, version="v1", args={"of": "cli"}, extra=beside)
        record = as_recorded((theirs["folder"] / "src/bentofile.yaml").read_text("utf-8"), {"of": "cli"})
    assert yaml.safe_load(ours.bento.files["src/bentofile.yaml"]) == record


@pytest.mark.parametrize("endpoint", ["", "endpoint=None", "endpoint=''", "endpoint='http://127.0.0.1:9/hub/'"])
def test_a_hugging_face_snapshot_has_the_tag_of_bentoml(real, monkeypatch, endpoint):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9/mirror")  # of the user who builds
    model = f"HuggingFaceModel('Org/Bert', revision='{'0123456789' * 4}', {endpoint})"
    service = f"import bentoml\n\n@bentoml.service\nclass Svc:\n    m = bentoml.models.{model}\n"
    with tempfile.TemporaryDirectory(dir=real.home.parent) as temporary:
        bentofile = f"service: service:Svc\n{NOT_LOCKED}"
        directory = write_project(Path(temporary, "project"), {"files": {"bentofile.yaml": bentofile}}, service)
        theirs = document_of((real.build(directory)["folder"] / "bento.yaml").read_text("utf-8"))
        beside = ExtraOptions(
            bentoml_version=real.version, python_version=real.python_version, store=real.home / "models"
        )
        ours = build_bentofile(build_ctx=directory, version="v1", extra=beside)
    made = document_of(ours.bento.files["bento.yaml"])
    [real_model], [model] = (comparable(each)["services"][0]["models"] for each in (theirs, made))
    del real_model["creation_time"], model["creation_time"]  # BentoML's is the time of the request
    assert model == real_model
    assert model["metadata"]["endpoint"]
