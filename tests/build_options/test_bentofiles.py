"""Bentos of the rule from bentofiles and attributes: as real BentoML makes them, and as the functions do."""

from __future__ import annotations

import shutil
import tarfile
import tempfile
from pathlib import Path

import pytest
import yaml
from bento_cli.projects.from_directory import build_bentofile

from tests.conftest import built
from tests.helpers.golden_bentos import comparable, known_tree, nameless
from tests.helpers.projects import document_of, real_builder, tree_of_directory

HERE = built("tests/build_options/options.tag").parent
PROJECTS = ("conda", "image", "options", "pyproject", "template", "uv_lock")


def document(bento: str) -> dict:
    return yaml.safe_load((HERE / f"{bento}.bento.yaml").read_text("utf-8"))


def members(bento: str) -> dict[str, bytes]:
    with tarfile.open(HERE / f"{bento}.bento", "r:xz") as archive:
        return {
            member.name.removeprefix("./"): (archive.extractfile(member) or pytest.fail(member.name)).read()
            for member in archive
            if member.isfile()
        }


def copied(project: str, directory: Path) -> Path:
    """The project as plain files; runfiles are links."""
    return Path(shutil.copytree(HERE / project, directory / project))


@pytest.fixture
def directory():
    """Where real BentoML builds: it refuses what lies below a hidden folder, as caches do."""
    with tempfile.TemporaryDirectory(dir="/tmp") as path:
        yield Path(path)


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    builder = real_builder(tmp_path_factory.mktemp("real"))
    yield builder
    builder.close()


@pytest.mark.parametrize("project", PROJECTS)
def test_the_function_makes_the_same_bytes(project, tmp_path):
    service = "service:Imaged" if project == "image" else None
    made = build_bentofile(build_ctx=copied(project, tmp_path), service=service)
    assert (HERE / f"{project}.tag").read_text("utf-8").strip() == str(made.tag)
    archive = made.archive(tmp_path / "a.bento")
    assert archive.read_bytes() == (HERE / f"{project}.bento").read_bytes()


@pytest.mark.parametrize("project", PROJECTS)
def test_as_bentoml_makes_it(project, real, directory):
    directory = copied(project, directory)
    version = document(project)["version"]
    service = ["service:Imaged"] if project == "image" else []
    environment = {"PYTHONPATH": str(directory / "src")} if project == "pyproject" else {}
    theirs = real.build(directory, [*service, "--version", version], environment)
    assert theirs["folder"], theirs["log"]
    expected = document_of((theirs["folder"] / "bento.yaml").read_text("utf-8"))
    tree = known_tree(tree_of_directory(theirs["folder"]))
    if project == "uv_lock":  # Bugs: BentoML installs its packages twice, and forgets the lock
        del expected["image"]["commands"][0]
        expected["image"]["python_requirements"] = "idna==3.20\nbentoml==1.4.39\n"
    if project == "image":  # Bugs: BentoML installs its packages twice, and does not copy the scripts
        del expected["image"]["commands"][0]
        tree["env/docker/script__"] = "0o755"
    assert comparable(document_of(yaml.safe_dump(document(project)))) == comparable(expected)
    assert {nameless(path) for path in members(project)} == tree.keys()


def test_attributes_and_a_selected_bentofile_say_the_same():
    assert members("options_in_attributes") == members("options")


def test_attributes_win():
    mixed, options = document("mixed"), document("options")
    assert mixed["name"] == "mixed"
    assert mixed["labels"] == options["labels"] | {"stage": "attribute"}
    assert mixed["image"]["python_requirements"].splitlines()[1:] == ["six", "bentoml==1.4.39"]
    assert [(env["name"], env["value"]) for env in mixed["envs"]] == [("TOKEN", ""), ("MODE", "attribute")]
    assert not any(path.startswith("src/data") for path in members("mixed"))
    assert mixed["args"] == options["args"] == {"workers": 2}


def test_the_format_can_be_chosen():
    assert (document("spec_1")["spec"], "image" in document("spec_1")) == (1, False)
    assert (document("spec_2")["spec"], "docker" in document("spec_2")) == (2, False)


def test_what_a_bentofile_asks_for_is_locked():
    files = members("locked")
    asked = files["env/python/requirements.in"].decode().splitlines()
    assert asked == ["bentoml", "numpy", "numpy<99", "pywin32; sys_platform == 'win32'"]
    locked = files["env/python/requirements.txt"].decode().splitlines()
    assert {line.partition("==")[0] for line in locked} >= {"bentoml", "numpy"}
    assert not any("pywin32" in line for line in locked)
    assert files["env/python/requirements.lock.txt"].count(b"--hash=") >= len(locked)
    of_image = members("locked_image")
    assert of_image["env/python/requirements.in"] == b"bentoml\nnumpy\nnumpy<98\n"
    assert of_image["env/python/requirements.txt"] == files["env/python/requirements.txt"]
