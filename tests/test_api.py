"""Changes of an API are told apart by what they mean for callers."""

from __future__ import annotations

import copy

import pytest
from rules_bento.api import changes

_SCHEMA = {
    "name": "Iris",
    "type": "service",
    "routes": [
        {
            "name": "classify",
            "route": "/classify",
            "batchable": False,
            "input": {
                "properties": {
                    "rows": {"items": {"items": {"type": "number"}, "type": "array"}, "title": "Rows", "type": "array"},
                    "top": {"default": 1, "type": "integer", "maximum": 5},
                },
                "required": ["rows"],
                "title": "Input",
                "type": "object",
            },
            "output": {
                "properties": {"label": {"type": "string"}, "score": {"type": "number"}},
                "required": ["label"],
                "type": "object",
            },
            "is_task": False,
        }
    ],
    "paths": {"/classify": {"mounted": False}},
}


def _changed(edit):
    new = copy.deepcopy(_SCHEMA)
    edit(new["routes"][0])
    return [str(change) for change in changes(_SCHEMA, new)]


def test_the_same_schema_has_no_changes():
    assert changes(_SCHEMA, copy.deepcopy(_SCHEMA)) == []


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (lambda r: r.update(route="/v2"), ["breaking: /classify: the route is gone", "compatible: /v2: a new route"]),
        (lambda r: r.update(is_task=True), ["breaking: /classify: it is a task now"]),
        (lambda r: r["input"]["required"].append("top"), ["breaking: /classify input.top: callers must send it now"]),
        (lambda r: r["input"]["required"].clear(), ["compatible: /classify input.rows: it need not be sent any more"]),
        (lambda r: r["input"]["properties"].pop("top"), ["breaking: /classify input.top: it is gone"]),
        (
            lambda r: r["input"]["properties"].update(seed={"type": "integer"}),
            ["compatible: /classify input.seed: a new one"],
        ),
        (
            lambda r: r["input"]["properties"]["rows"]["items"]["items"].update(type="integer"),
            ["breaking: /classify input.rows[][]: number became integer"],
        ),
        (
            lambda r: r["input"]["properties"]["top"].update(type="number"),
            ["compatible: /classify input.top: integer became number"],
        ),
        (
            lambda r: r["input"]["properties"].update(top={"anyOf": [{"type": "integer"}, {"type": "null"}]}),
            ["compatible: /classify input.top: integer became integer or null"],
        ),
        (
            lambda r: r["input"]["properties"]["top"].update(maximum=3),
            ["breaking: /classify input.top: maximum 5 became 3"],
        ),
        (
            lambda r: r["input"]["properties"]["top"].pop("maximum"),
            ["compatible: /classify input.top: maximum 5 became nothing"],
        ),
        (lambda r: r["output"]["properties"].pop("score"), ["breaking: /classify output.score: it is gone"]),
        (lambda r: r["output"]["required"].clear(), ["breaking: /classify output.label: it may be missing now"]),
        (
            lambda r: r["output"]["properties"].update(score={"anyOf": [{"type": "number"}, {"type": "null"}]}),
            ["breaking: /classify output.score: number became null or number"],
        ),
        (lambda r: r["input"].update(title="Other"), []),
    ],
)
def test_a_change_is_told_by_what_it_means_for_callers(edit, expected):
    assert _changed(edit) == expected
