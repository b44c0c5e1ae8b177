"""What the example builds, real BentoML imports, lists and serves."""

import json
import tarfile
from pathlib import Path

from tests.conftest import built, post

ARCHIVE = str(Path("examples/iris/iris_bento.bento").absolute())
TAG = built("examples/iris/iris_bento.tag").read_text("utf-8").strip()
FLOWERS = {"rows": [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]]}


def test_the_command_imports_lists_and_serves_it(bentoml):
    bentoml.run("import", ARCHIVE)
    assert [entry["tag"] for entry in bentoml.json("list")] == [TAG]
    with bentoml.serve(TAG) as address:
        assert post(f"{address}/classify", FLOWERS) == [0, 2]
        assert post(f"{address}/classify", {"rows": FLOWERS["rows"][:1]}) == [0]


def test_the_python_api_imports_it_and_get_shows_what_the_target_says(bentoml):
    script = f"import bentoml; print(bentoml.bentos.import_bento({ARCHIVE!r}).tag)"
    assert bentoml.ask(script).strip() == TAG
    shown = bentoml.json("get", TAG)
    name, version = TAG.split(":")
    assert (shown["name"], shown["version"]) == (name, version)
    assert shown["labels"] == {"stage": "example", "team": "botany"}
    assert shown["entry_service"] == "IrisClassifier"
    [service] = shown["services"]
    [model] = service["models"]
    assert model["tag"].startswith("iris_clf:")
    assert model["module"] == "bentoml.sklearn"
    directory = Path(bentoml.run("get", TAG, "-o", "path").strip())
    assert "iris_classifier" in (directory / "README.md").read_text("utf-8")


def test_the_model_is_in_the_store_and_its_framework_loads_it(bentoml):
    bentoml.run("import", ARCHIVE)
    script = "import bentoml; print(type(bentoml.sklearn.load_model('iris_clf:latest')).__name__)"
    assert bentoml.ask(script).strip() == "DecisionTreeClassifier"
    assert bentoml.json("models", "get", "iris_clf")["labels"] == {"data": "iris"}


def test_the_summary_agrees_with_the_archive():
    summary = json.loads(Path("examples/iris/iris_bento.summary.json").read_text("utf-8"))
    with tarfile.open(ARCHIVE) as archive:
        sizes = {member.name: member.size for member in archive if member.isfile()}
    bento = {path: size for path, size in sizes.items() if not path.startswith("./models/")}
    models = [size for path, size in sizes.items() if path.startswith("./models/") and not path.endswith("/latest")]
    assert summary["tag"] == TAG
    assert summary["digest"].startswith("blake3:")
    assert summary["archive_size"] == Path(ARCHIVE).stat().st_size
    assert (summary["files"], summary["size"]) == (len(bento), sum(bento.values()))
    assert [model["size"] for model in summary["models"]] == [sum(models)]
