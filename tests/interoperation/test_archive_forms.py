"""Each form of the example's archive, made on request, is to real BentoML what its `.bento` is."""

import shutil
from pathlib import Path

import pytest

from tests.conftest import built, post

NAME = Path("examples/iris/iris_bento").absolute()
TAG = built("examples/iris/iris_bento.tag").read_text("utf-8").strip()
FLOWERS = {"rows": [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]]}
IMPORT = "import bentoml, sys; print(bentoml.bentos.import_bento(*sys.argv[1:]).tag)"


def imported(bentoml, *arguments: str) -> dict[str, bytes]:
    """All files of a store into which BentoML imported a Bento, by path; it is empty again then."""
    assert bentoml.ask(IMPORT, *arguments).strip() == TAG
    assert [entry["tag"] for entry in bentoml.json("list")] == [TAG]
    entries = [path for path in bentoml.home.glob("*/*") if path.parent.name in ("bentos", "models")]
    files = {
        str(path.relative_to(bentoml.home)): path.read_bytes()
        for entry in entries
        for path in entry.rglob("*")
        if path.is_file()
    }
    shutil.rmtree(bentoml.home)
    return files


@pytest.mark.parametrize("suffix", ["tar", "tar.gz", "zip"])
def test_bentoml_imports_the_other_files(bentoml, suffix):
    expected = imported(bentoml, f"{NAME}.bento")
    assert any(path.startswith("models/iris_clf/") for path in expected)
    bentoml.run("import", f"{NAME}.{suffix}")
    shutil.rmtree(bentoml.home)
    assert imported(bentoml, f"{NAME}.{suffix}") == expected


@pytest.fixture
def directory(tmp_path):
    """The folder as Bazel leaves it, with files where a sandbox has links."""
    return shutil.copytree(f"{NAME}.folder", tmp_path / "folder", copy_function=shutil.copyfile)


def test_bentoml_imports_the_directory(bentoml, directory):
    expected = imported(bentoml, f"{NAME}.bento")
    assert imported(bentoml, str(directory), "folder") == expected


def test_bentoml_serves_the_directory_as_it_lies(bentoml, directory):
    """Its models are in it, so the store may be empty."""
    with bentoml.serve(str(directory)) as address:
        assert post(f"{address}/classify", FLOWERS) == [0, 2]
