"""Changes of an API are told apart by what they mean for callers."""

from __future__ import annotations

import copy
import json

import pytest
from rules_bento.actions.subcommands import run
from rules_bento.bentos.service.api_changes import changes

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


def _inputs(route):
    return route["input"]["properties"]


def _top(route):
    return _inputs(route)["top"]


def _outputs(route):
    return route["output"]["properties"]


def test_the_same_schema_has_no_changes():
    assert changes(_SCHEMA, copy.deepcopy(_SCHEMA)) == []


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (lambda r: r.update(route="/v2"), ["breaking: /classify: the route is gone", "compatible: /v2: a new route"]),
        (lambda r: r.update(is_task=True), ["breaking: /classify: the API became a task"]),
        (
            lambda r: r["input"]["required"].append("top"),
            ["breaking: /classify input.top: the property became required"],
        ),
        (lambda r: r["input"]["required"].clear(), ["compatible: /classify input.rows: the property became optional"]),
        (lambda r: _inputs(r).pop("top"), ["breaking: /classify input.top: the property was removed"]),
        (
            lambda r: _inputs(r).update(seed={"type": "integer"}),
            ["compatible: /classify input.seed: a property was added"],
        ),
        (
            lambda r: _inputs(r)["rows"]["items"]["items"].update(type="integer"),
            ["breaking: /classify input.rows[][]: number became integer"],
        ),
        (lambda r: _top(r).update(type="number"), ["compatible: /classify input.top: integer became number"]),
        (
            lambda r: _inputs(r).update(top={"anyOf": [{"type": "integer"}, {"type": "null"}]}),
            [
                "compatible: /classify input.top: integer became integer or null",
                "compatible: /classify input.top: maximum 5 became nothing",
            ],
        ),
        (lambda r: _top(r).update(maximum=3), ["breaking: /classify input.top: maximum 5 became 3"]),
        (lambda r: _top(r).pop("maximum"), ["compatible: /classify input.top: maximum 5 became nothing"]),
        (lambda r: _outputs(r).pop("score"), ["breaking: /classify output.score: the property was removed"]),
        (
            lambda r: r["output"]["required"].clear(),
            ["breaking: /classify output.label: the property might be missing"],
        ),
        (
            lambda r: _outputs(r).update(score={"anyOf": [{"type": "number"}, {"type": "null"}]}),
            ["breaking: /classify output.score: number became null or number"],
        ),
        (lambda r: r["input"].update(title="Other"), []),
        (lambda r: r.update(batchable=True), []),
        (lambda r: r.update(name="tell"), ["breaking: /classify: BentoML clients must call tell instead of classify"]),
        (lambda r: _top(r).update(minimum=0), ["breaking: /classify input.top: minimum nothing became 0"]),
        (lambda r: _top(r).update(default=2), ["compatible: /classify input.top: default 1 became 2"]),
        (lambda r: r["output"].update(is_stream=True), ["breaking: /classify output: is_stream nothing became True"]),
        (lambda r: r["input"].update(root_input=True), ["breaking: /classify input: root_input nothing became True"]),
        (
            lambda r: r["input"].update(additionalProperties=False),
            ["breaking: /classify input.*: any others became no others"],
        ),
    ],
)
def test_api_changes_are_classified_by_their_effect_on_callers(edit, expected):
    assert _changed(edit) == expected


def _of(old, new, *, sent=True):
    """The changes of one value: whether they break, and what they are."""
    found = changes(*({"routes": [_route(value, sent)]} for value in (old, new)))
    return [(change.breaking, change.where.partition(" ")[2].partition(".")[2], change.what) for change in found]


def _route(value, sent):
    parts = [{"properties": {"x": value}}, {}]
    given, taken = parts if sent else parts[::-1]
    return {"name": "a", "route": "/a", "input": given, "output": taken}


def _any(*options):
    return {"anyOf": list(options)}


_NUMBERS, _TEXTS = ({"type": "array", "items": {"type": kind}} for kind in ("number", "string"))
_NONE = {"type": "null"}
_CAT, _DOG = (
    {"title": kind, "type": "object", "properties": {"kind": {"const": kind, "type": "string"}}}
    for kind in ("Cat", "Dog")
)


@pytest.mark.parametrize(
    ("old", "new", "sent", "read"),
    [
        # What lies in an optional value is looked into, whether it was optional before or not.
        (_any(_NUMBERS, _NONE), _any(_TEXTS, _NONE), True, True),
        (_NUMBERS, _any(_TEXTS, _NONE), True, True),
        (_NUMBERS, _any(_NUMBERS, _NONE), False, True),
        (_any(_NUMBERS, _NONE), _NUMBERS, True, False),
        ({"type": ["integer", "null"]}, {"type": "integer"}, True, False),
        # Several kinds of objects.
        (_any(_CAT), _any(_CAT, _DOG), False, True),
        (_any(_CAT, _DOG), _any(_DOG, _CAT), None, None),
        ({"oneOf": [_CAT, _DOG]}, {"oneOf": [_DOG]}, True, False),
        # Choices.
        ({"enum": ["a"]}, {"enum": ["a", "b"]}, False, True),
        ({"enum": ["a", "b"]}, {"enum": ["b"]}, True, False),
        ({"enum": ["a", "b"]}, {"enum": ["b", "c"]}, True, True),
        ({"const": "a"}, {"enum": ["a", "b"]}, False, True),
        ({"enum": ["a"]}, {}, False, True),
        # Bounds.
        ({"maxLength": 3}, {"maxLength": 4}, False, True),
        ({"minLength": 3}, {"minLength": 4}, True, False),
        ({}, {"maxItems": 3}, True, False),
        ({"exclusiveMinimum": 0}, {}, False, True),
        ({"pattern": "a"}, {"pattern": "b"}, True, True),
        # Dicts, tuples.
        ({"additionalProperties": {"type": "integer"}}, {"additionalProperties": {"type": "number"}}, False, True),
        ({"additionalProperties": {"type": "integer"}}, {}, False, True),
        ({}, {"additionalProperties": {"type": "integer"}}, True, False),
        ({"additionalProperties": False}, {}, False, False),
        ({"prefixItems": [{"type": "integer"}]}, {"prefixItems": [{"type": "string"}]}, True, True),
        ({"prefixItems": [{"type": "integer"}]}, {"prefixItems": [{"type": "integer"}] * 2}, True, True),
        # Arrays, frames and files, as BentoML describes them.
        ({"type": "tensor", "dtype": "float32"}, {"type": "tensor", "dtype": "float64"}, True, True),
        ({"type": "tensor", "dtype": "float32"}, {"type": "tensor"}, False, True),
        ({"type": "tensor", "dim": [2, 4]}, {"type": "tensor", "dim": [2, 5]}, True, True),
        ({"type": "dataframe", "columns": ["a"]}, {"type": "dataframe", "columns": ["b"]}, True, True),
        ({"type": "file", "content_type": "image/png"}, {"type": "file", "content_type": "image/gif"}, True, True),
        ({"type": "file", "format": "image"}, {"type": "string"}, True, True),
    ],
)
def test_a_value_that_is_sent_and_one_that_is_read(old, new, sent, read):
    for breaking, direction in ((sent, True), (read, False)):
        found = _of(old, new, sent=direction)
        assert bool(found) is (breaking is not None), found
        assert any(change[0] for change in found) is bool(breaking), found


def test_a_route_that_an_application_answers_now():
    old = {"routes": [{"name": "a", "route": "/a", "input": {}, "output": {}}]}
    new = {"routes": [], "paths": {"/a": {"mounted": True}}}
    assert [str(change) for change in changes(old, new)] == [
        "breaking: /a: the route became a route of a mounted application"
    ]
    assert [str(change) for change in changes(new, old)] == ["breaking: /a: the route became an API"]


def _check(tmp_path, golden, schema, *more):
    for name, text in (("golden.json", golden), ("schema.json", schema)):
        (tmp_path / name).write_text(text if isinstance(text, str) else json.dumps(text), "utf-8")
    (tmp_path / "report").write_text("")
    arguments = ["--golden", f"{tmp_path}/golden.json", "golden.json", "--report", f"{tmp_path}/report"]
    arguments += ["--schema", f"{tmp_path}/schema.json", "--target", "//svc:api_test"]
    return run(["check_api", *arguments, "--", *more])


def test_the_committed_api_passes(tmp_path, capsys):
    assert _check(tmp_path, _SCHEMA, _SCHEMA) == 0
    assert capsys.readouterr().err == ""


def test_another_api_fails_with_the_changes_and_what_to_do(tmp_path, capsys):
    changed = copy.deepcopy(_SCHEMA)
    changed["routes"][0]["input"]["required"].append("top")
    assert _check(tmp_path, _SCHEMA, changed) == 1
    assert capsys.readouterr().err.splitlines() == [
        "breaking: /classify input.top: the property became required",
        "The API differs from golden.json. To accept the change, run: bazel run //svc:api_test -- --update",
    ]


def test_another_service_than_the_imported_one_fails(tmp_path, capsys):
    (tmp_path / "report").write_text("service.py:4: a is 1 in the Bento, and 2 by importing the service.\n")
    assert run(["check_api", "--report", f"{tmp_path}/report", "--target", "//svc:api_test"]) == 1
    assert capsys.readouterr().out.startswith(
        "service.py:4: a is 1 in the Bento, and 2 by importing the service.\nWrite"
    )
    (tmp_path / "report").write_text("")
    assert run(["check_api", "--report", f"{tmp_path}/report", "--target", "//svc:api_test"]) == 0
    assert run(["check_api", "--report", f"{tmp_path}/report", "--target", "//svc:api_test", "--", "--update"]) == 1
    assert "//svc:api_test: --update requires golden. Set golden to a JSON file." in capsys.readouterr().err


def test_the_committed_file_is_written_on_demand(tmp_path, monkeypatch):
    monkeypatch.setenv("BUILD_WORKSPACE_DIRECTORY", str(tmp_path))
    assert _check(tmp_path, "", _SCHEMA, "--update") == 0
    assert json.loads((tmp_path / "golden.json").read_text("utf-8")) == _SCHEMA


def test_the_committed_file_is_unchanged_or_complete(tmp_path, monkeypatch, capsys, full_disk):
    assert _check(tmp_path, "old", _SCHEMA, "--update") == 1
    assert (
        "--update writes to the source tree, which requires `bazel run`. To accept the change, run: bazel run //svc:api_test"
        in capsys.readouterr().err
    )
    monkeypatch.setenv("BUILD_WORKSPACE_DIRECTORY", str(tmp_path))
    arguments = ["--golden", "none", "golden.json", "--schema", f"{tmp_path}/schema.json"]
    arguments += ["--report", f"{tmp_path}/report"]
    with full_disk(100):
        assert run(["check_api", *arguments, "--", "--update"]) == 1
    assert "golden.json: cannot write the file: File too large" in capsys.readouterr().err
    assert (tmp_path / "golden.json").read_text("utf-8") == "old"


def test_an_invalid_schema_is_rejected(tmp_path, capsys):
    assert _check(tmp_path, "# not yet", _SCHEMA) == 1
    assert "golden.json:1: invalid JSON" in capsys.readouterr().err
    assert _check(tmp_path, {}, {}) == 1
    assert "legacy services have no API schema" in capsys.readouterr().err
