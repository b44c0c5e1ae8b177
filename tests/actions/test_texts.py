"""Texts of attributes reach their files as they are, whatever is in them."""

from __future__ import annotations

import json

import pytest
import yaml
from actions.verbs import Actions

TEXTS = ["# Title\n\n--version\n@file\n", "two\nlines", "é \u2028 \U0001f600", '"quoted" \\n', " ", "\ttab\r\n"]


@pytest.mark.parametrize("text", TEXTS)
def test_texts_of_a_bento(tmp_path, text):
    word = json.dumps(text, ensure_ascii=False)
    line = text.replace("\n", " ").replace("\r", " ")  # the value of a variable has to fit into a Dockerfile
    outcome = Actions(tmp_path).package(
        "--description", word, "--label", '"key"', word, "--env", json.dumps(f"X={line}")
    )
    assert (outcome.code, outcome.errors) == (0, "")
    document = yaml.safe_load(outcome.outputs["--bento-yaml"])
    assert document["labels"] == {"key": text}
    assert document["envs"] == [{"name": "X", "value": line, "stage": "all"}]
    assert '"README.md"' in outcome.outputs["--manifest"].decode()


def test_json_of_a_model_may_have_several_lines(tmp_path):
    outcome = Actions(tmp_path).model("--metadata", json.dumps('{\n "accuracy": 0.97\n}'))
    assert (outcome.code, outcome.errors) == (0, "")
