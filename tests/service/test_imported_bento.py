"""A Bento of imported fields is the one that `bentoml build` makes; and one of read fields is compared with it."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import pytest
import yaml
from bento_cli.projects.from_directory import ExtraOptions, build, build_bentofile
from rules_bento.base.errors import BentoError

from tests.helpers.golden_bentos import BENTO_PROJECTS, BENTOML, BENTOS, comparable, store_of
from tests.helpers.projects import document_of, write_project
from tests.service import import_support
from tests.service.forked import follow_links_once, fork_imports
from tests.service.import_support import Build, real

__all__ = ["real"]

# As BentoVLLM and its like have it: arguments, a file beside it, and conditions decide what the service is.
COMPUTED = """\
import os
import pathlib

import bentoml
import pydantic
import yaml


class Arguments(pydantic.BaseModel):
    model: str = "small"
    gpus: int = 1


arguments = bentoml.use_arguments(Arguments)
config = yaml.safe_load((pathlib.Path(__file__).parent / "models.yaml").read_text())[arguments.model]
image = bentoml.images.Image(lock_python_packages=False).system_packages("curl")
image = image.requirements_file("requirements.txt")
for line in config["post"]:
    image = image.run(line)
if os.environ.get("QUANTIZED"):
    config["name"] += "-awq"


@bentoml.service
class Inner:
    pass


def decorate(cls):
    made = type(cls.__name__, (cls,), {"inner": bentoml.depends(Inner)} if config["inner"] else {})
    return bentoml.service(
        name=config["name"],
        image=image,
        labels={"owner": "team", "gpus": arguments.gpus},
        envs=[{"name": name} for name in sorted(config["envs"])] + [{"name": "MODEL", "value": arguments.model}],
        traffic={"timeout": 300},
        resources={"gpu": arguments.gpus},
        description="file:about.md",
    )(made)


@decorate
class Svc:
    @bentoml.api(route="/v1/chat/completions")
    def chat(self, prompt: str = "x") -> str:
        return prompt

    @bentoml.task
    def batch(self, items: list[int]) -> list[int]:
        return items
"""
PROJECT = {
    "files": {
        "service.py": COMPUTED,
        "models.yaml": "small: {name: Small, post: [], envs: [TOKEN], inner: false}\n"
        "large: {name: large, post: [echo a, echo b], envs: [TOKEN, A], inner: true}\n",
        "requirements.txt": "idna==3.10\n",
        "about.md": "# Of a model\n",
    }
}
READ = {
    "files": {"service.py": "import bentoml\n\n\n@bentoml.service(labels={'a': 'b'}, traffic={'timeout': 3})\nclass Svc:\n    @bentoml.api\n    def ask(self) -> str: ...\n"},
}  # fmt: skip


@pytest.fixture
def forked(tmp_path, monkeypatch):
    """Where BentoML is imported already."""
    fork_imports(monkeypatch, tmp_path / "home")


@pytest.mark.parametrize(
    ("arguments", "variables"),
    [({}, {}), ({"model": "large", "gpus": "4"}, {"QUANTIZED": "1"})],
    ids=["defaults", "stated"],
)
def test_a_bento_of_imported_metadata_is_bentomls(tmp_path, real, arguments, variables):
    build = Build(tmp_path, PROJECT)
    build.snapshot("--skip-service")
    options = ["--options", json.dumps({"args": arguments})]
    pairs = [word for pair in variables.items() for word in ("--variable", *map(json.dumps, pair))]
    mine = build.package(build.imported(*options, *pairs), real, *options)
    declared = [word for key, value in arguments.items() for word in ("--arg", f"{key}={value}")]
    with tempfile.TemporaryDirectory() as directory:  # BentoML takes no file below one whose name begins with a dot
        project = shutil.copytree(build.project, Path(directory, "project"))
        theirs = real.build(project, ["--version", "v1", "service:Svc", *declared], variables)
        assert theirs["folder"], theirs["log"]
        expected = yaml.safe_load((theirs["folder"] / "bento.yaml").read_text("utf-8"))
    del expected["image"]["commands"][0]  # Bug: BentoML has the distribution's own command twice
    assert mine["schema"] == expected["schema"]
    assert comparable(document_of(yaml.safe_dump(mine))) == comparable(document_of(yaml.safe_dump(expected)))
    assert list(mine) == list(expected)
    [declared_packages] = json.loads(Path(build.path("imported")).read_text("utf-8"))["packages"]
    assert declared_packages["requirements"] == ["idna==3.10"]


@pytest.fixture
def legacy(tmp_path, real, monkeypatch) -> ExtraOptions:
    """Options for the import of a legacy service, with the models of the golden Bentos."""
    follow_links_once(monkeypatch)
    store = store_of(tmp_path / "models")
    for path in store.iterdir():
        (path / "latest").write_text(next(path.iterdir()).name, "utf-8")
    return ExtraOptions(bentoml_version=BENTOML, store=store, python=real.python)


def test_a_legacy_bento_is_bentomls(tmp_path, legacy):
    directory = write_project(tmp_path / "p", BENTO_PROJECTS["iris_legacy"], "")
    mine = document_of(build_bentofile(build_ctx=directory, version="v1", extra=legacy).bento.files["bento.yaml"])
    expected = document_of((BENTOS / "iris_legacy.bento.yaml").read_text("utf-8")) | {"version": "v1"}
    assert comparable(mine) == comparable(expected)
    assert list(mine) == list(expected)


def test_an_alias_of_a_legacy_service(tmp_path, legacy):
    source = "import bentoml\n\nm = bentoml.models.get('short')\nsvc = bentoml.legacy.Service('al', models=[m])\n"
    made = build(
        "service:svc",
        build_ctx=write_project(tmp_path / "p", {}, source),
        models=[{"tag": "iris_clf", "alias": "short"}],
        extra=legacy,
    )
    [model] = document_of(made.bento.files["bento.yaml"])["models"]
    assert model["tag"].startswith("iris_clf:")
    assert model["alias"] == "short"


def test_the_same_bytes_each_time(tmp_path):
    texts = []
    for name in ("one", "other"):
        build = Build(tmp_path / name, PROJECT)
        build.snapshot("--skip-service")
        texts.append(Path(build.imported()).read_bytes())
    assert texts[0] == texts[1]
    assert str(tmp_path).encode() not in texts[0]


def test_what_was_read_is_what_is_imported(tmp_path, real):
    build = Build(tmp_path, READ)
    build.package(build.snapshot(), real)
    imported = build.imported()
    assert build.compared(imported) == ""
    data = json.loads(Path(imported).read_text("utf-8"))
    data["service"]["services"][0]["doc"] = "A text.\n\nDedented."  # as Python 3.13 compiles it
    Path(imported).write_text(json.dumps(data), "utf-8")
    data = json.loads(Path(build.path("snapshot")).read_text("utf-8"))
    data["service"]["services"][0]["doc"] = "A text.\n\n    Dedented.\n    "
    Path(build.path("snapshot")).write_text(json.dumps(data), "utf-8")
    assert build.compared(imported) == ""


@pytest.mark.parametrize(
    ("before", "after", "line"),
    [
        ("'timeout': 3", "'timeout': 4", 'services.0.config.traffic.timeout is 3 in the Bento, and 4 by importing the service'),
        ("'a': 'b'", "'c': 'b'", 'labels.a is "b" in the Bento, and nothing by importing the service'),
        ("class Svc", "class Svd", 'entry_service is "Svc" in the Bento, and "Svd" by importing the service'),
        ("def ask", "def say", 'services.0.apis.0.name is "ask" in the Bento, and "say" by importing the service'),
        ("labels=", "envs=[{'name': 'X'}], labels=", "envs is [] in the Bento"),
        ("labels=", "image=bentoml.images.Image().run('true'), labels=", "image.commands is "),
    ],
)  # fmt: skip
def test_a_difference_is_reported_by_field_values_file_and_line(forked, tmp_path, real, before, after, line):
    """The source changes behind the reader's back, as if the reader had read it wrong."""
    build = Build(tmp_path / "read", READ)
    build.package(build.snapshot(), real)
    text = READ["files"]["service.py"].replace(before, after)
    other = Build(tmp_path / "other", {"files": {"service.py": text}})
    name = "Svd" if after == "class Svd" else "Svc"
    other.snapshot("--service", f"service:{name}", "--skip-service")
    report = build.compared(other.imported())
    assert f"service.py:5: {line}" in report, report


def test_an_import_that_fails_writes_nothing(forked, tmp_path):
    build = Build(tmp_path, {"files": {"service.py": "import bentoml\nraise OSError('no')\n"}})
    build.snapshot("--skip-service")
    with pytest.raises(BentoError, match=r"service\.py:2: raise OSError"):
        build.imported()
    assert not Path(build.path("imported")).exists() and not Path(build.path("stated")).exists()


def test_packages_of_another_platform(tmp_path):
    build = Build(tmp_path, READ)
    build.snapshot("--skip-service")
    told = "the packages are for windows_arm, but the service is imported on "
    with pytest.raises(BentoError, match=f"{told}.* Build for the platform of this machine"):
        build.imported("--platform", "windows_arm")


@pytest.mark.parametrize(
    ("versions", "words", "problem"),
    [
        ({"bentoml": "1.3.5"}, [], "requires BentoML 1.3.6 or later, but the lock contains BentoML 1.3.5"),
        ({"bentoml": "1.4.8", "fs": "2.4.16", "setuptools": "84.2.1"}, [], "BentoML 1.4.8 can't be imported with setuptools 84.2.1, .* Add `setuptools<82`"),
        # These reach the service info, which does not exist.
        ({"bentoml": "1.4.8", "fs": "2.4.16", "setuptools": "81.0.0"}, [], "snapshot"),
        ({"bentoml": "1.4.40", "setuptools": "84.2.1"}, [], "snapshot"),
        ({"bentoml": "1.4.7"}, ["--options", '{"args": {"model": "small"}}'], r"requires BentoML 1\.4\.8 or later, but the lock contains BentoML 1\.4\.7"),
    ],
)  # fmt: skip
def test_versions_that_cannot_be_imported(tmp_path, monkeypatch, versions, words, problem):
    for name, version in versions.items():
        (tmp_path / "site" / f"{name}-{version}.dist-info").mkdir(parents=True)
    (tmp_path / "site" / "bentoml").mkdir()
    monkeypatch.setattr(import_support, "locked_wheels", lambda: [tmp_path / "site"])
    build = Build(tmp_path, PROJECT)
    if words:
        build.snapshot("--skip-service")
    with pytest.raises((BentoError, FileNotFoundError), match=problem):
        build.imported(*words)
