"""Texts of attributes reach their files as they are, whatever is in them."""

import io
import json
import tarfile

import pytest
import yaml

from tests.actions.helper import Actions

TEXTS = ["# Title\n\n--version\n@file\n", "two\nlines", "é \u2028 \U0001f600", '"quoted" \\n', " ", "\ttab\r\n"]


@pytest.mark.parametrize("text", TEXTS)
def test_strings_of_a_bento(tmp_path, text):
    line = text.replace("\n", " ").replace("\r", " ")  # the value of a variable has to fit into a Dockerfile
    outcome = Actions(tmp_path).package(options={"description": text}, labels=[["key", text]], bento_env=[f"X={line}"])
    assert (outcome.code, outcome.errors) == (0, "")
    document = yaml.safe_load(outcome.outputs["--bento-yaml"])
    assert document["labels"] == {"key": text}
    assert document["envs"] == [{"name": "X", "value": line, "stage": "all"}]
    assert '"README.md"' in outcome.outputs["--manifest"].decode()


def test_fields_of_a_model(tmp_path):
    actions = Actions(tmp_path)
    fields = {
        "context": {"framework_versions": {"sklearn": "1.9"}},
        "metadata": {"of": TEXTS[0], "accuracy": 0.97},
        "options": {"task": "ranking"},
        "signatures": {"fit": {"batchable": False}, "rank": {"batchable": True, "batch_dim": [1, 0]}},
    }
    outcome = actions.model("--fields", actions.write("svc/fields.json", json.dumps(fields)), "svc/fields.json")
    assert (outcome.code, outcome.errors) == (0, "")
    with tarfile.open(fileobj=io.BytesIO(outcome.outputs["--part"]), mode="r:xz") as archive:
        [name] = [name for name in archive.getnames() if name.endswith("/model.yaml")]
        document = yaml.safe_load(archive.extractfile(name))
    assert {field: document[field] for field in ("metadata", "options", "signatures")} == {
        field: fields[field] for field in ("metadata", "options", "signatures")
    }
    assert document["context"]["framework_versions"] == {"sklearn": "1.9"}
    assert (document["context"]["framework_name"], document["api_version"]) == ("", "v1")
