"""What `bento_model` makes, as real BentoML sees it: imported, got, loaded by its framework's module."""

import json

from tests.conftest import built

IMPORT = "import bentoml, sys; print(bentoml.models.import_model(sys.argv[1]).tag)"
SEEN = """\
import bentoml, json, os, sys
model = bentoml.models.get(sys.argv[1])
info = model.info
print(json.dumps({
    "context": {"framework": info.context.framework_name, "versions": info.context.framework_versions},
    "custom_objects": model.custom_objects,
    "files": sorted(
        os.path.relpath(os.path.join(folder, name), model.path)
        for folder, _, names in os.walk(model.path)
        for name in names
    ),
    "labels": info.labels,
    "metadata": info.metadata,
    "module": info.module,
    "signatures": {name: [one.batchable, one.batch_dim] for name, one in info.signatures.items()},
}, default=str))
"""
PREDICT = """\
import bentoml
model = bentoml.sklearn.load_model("iris_clf:latest")
flowers = [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]]  # and the areas of their leaves, as examples/features has them
print([int(one) for one in model.predict([[*row, row[0] * row[1], row[2] * row[3]] for row in flowers])])
"""


def imported(bentoml, archive: str) -> str:
    return bentoml.ask(IMPORT, str(built(archive))).strip()


def seen(bentoml, tag: str) -> dict:
    return json.loads(bentoml.ask(SEEN, tag))


def test_a_generic_model_has_its_custom_objects_signatures_and_context(bentoml):
    tag = imported(bentoml, "tests/models/generic.bentomodel")
    found = seen(bentoml, tag)
    assert tag == "generic:v1"
    assert found["custom_objects"] == {"scale": 2}
    assert found["signatures"] == {"rank": [True, [0, 1]]}
    assert found["context"] == {"framework": "mine", "versions": {"mine": "1.0"}}
    assert (found["labels"], found["metadata"], found["module"]) == ({"stage": "prod"}, {"accuracy": 0.9}, "")


def test_a_snapshot_keeps_its_directories(bentoml):
    found = seen(bentoml, imported(bentoml, "tests/models/snapshot.bentomodel"))
    assert found["files"] == ["config.json", "model.yaml", "onnx/model.onnx"]
    assert found["custom_objects"] == {}


def test_a_model_of_scikit_learn_is_loaded_and_predicts(bentoml):
    imported(bentoml, "examples/iris/iris_clf.bentomodel")
    assert json.loads(bentoml.ask(PREDICT)) == [0, 2]
