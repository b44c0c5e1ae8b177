"""A Bento that leaves its models out: to real BentoML it is what it would be with them, once they are in the store."""

import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests.conftest import built, post

DIRECTORY = Path("tests/models").absolute()
TAG = built("tests/models/reference.tag").read_text("utf-8").strip()


def names(archive: Path) -> list[str]:
    with tarfile.open(archive) as tar:
        return [name for name in tar.getnames() if name.startswith("./models/")]


@pytest.mark.parametrize("suffix", ["bento", "tar"])
def test_the_models_are_not_in_the_archive(suffix):
    assert names(DIRECTORY / f"reference.{suffix}") == []
    assert any(name.endswith("/weights.txt") for name in names(DIRECTORY / "bundled.bento"))


def run(*words: str, **variables: str) -> str:
    """What `bazel run` of it prints."""
    options = ["--target", "//tests/models:reference", "--archive", str(DIRECTORY / "reference.bento")]
    options += ["--python", sys.executable, "--uv", "uv"]
    options += ["--model", str(DIRECTORY / "weights.model.json"), str(DIRECTORY / "weights.model.part")]
    packages = [word for root in os.environ["RULES_BENTO_ROOTS"].split(os.pathsep) for word in ("--packages", root)]
    command = [sys.executable, "-I", "-S", "py/main.py", *packages, "bento_cli.programs.serve", *options, "--", *words]
    return subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ | variables).stdout


def test_its_tree_shows_the_models_that_it_needs():
    text = run("tree")
    assert text.startswith("//tests/models:reference  ")
    [line] = [line for line in text.splitlines() if "not in the archive" in line]
    description = json.loads((DIRECTORY / "weights.model.json").read_text("utf-8"))
    assert description["tag"].partition(":")[2] in line
    assert f"{description['size']}.00 B" in line


def test_run_targets_hand_it_on_with_its_models(tmp_path):
    run("export", str(tmp_path / "exported.bento"))
    assert any(name.endswith("/weights.txt") for name in names(tmp_path / "exported.bento"))
    run("import", BENTOML_HOME=str(tmp_path / "home"))
    assert (tmp_path / "home/bentos" / TAG.replace(":", "/") / "bento.yaml").exists()
    [weights] = (tmp_path / "home/models/plain_weights").glob("*/weights.txt")
    assert weights.read_text("utf-8") == "seven\n"


def test_it_is_the_same_bento():
    """Another version would be another Bento to everyone who names it, and it is not one."""
    assert (DIRECTORY / "bundled.tag").read_text("utf-8").strip() == TAG
    assert (DIRECTORY / "bundled.bento.yaml").read_bytes() == (DIRECTORY / "reference.bento.yaml").read_bytes()


def test_bentoml_misses_the_model_by_its_name(bentoml):
    bentoml.run("import", str(DIRECTORY / "reference.bento"))
    assert [entry["tag"] for entry in bentoml.json("list")] == [TAG]
    command = [str(bentoml.python.parent / "bentoml"), "serve", TAG]
    done = subprocess.run(
        command, cwd=bentoml.directory, env=bentoml.variables, check=False, capture_output=True, text=True, timeout=600
    )
    assert done.returncode != 0
    assert "Model plain_weights:" in done.stderr + done.stdout


def test_bentoml_serves_it_with_the_model_of_the_store(bentoml):
    bentoml.run("models", "import", str(DIRECTORY / "weights.bentomodel"))
    bentoml.run("import", str(DIRECTORY / "reference.bento"))
    with bentoml.serve(TAG) as address:
        assert post(f"{address}/read", {}) == ["seven"]


def test_the_model_alone_is_what_a_bento_brings(bentoml):
    bentoml.run("import", str(DIRECTORY / "bundled.bento"))
    bundled = bentoml.json("models", "get", "plain_weights")
    shutil.rmtree(bentoml.home)
    bentoml.run("models", "import", str(DIRECTORY / "weights.bentomodel"))
    assert bentoml.json("models", "get", "plain_weights") == bundled
