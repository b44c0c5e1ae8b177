#!/usr/bin/env python3
"""Writes docs/bentofile.schema.json, a JSON schema of bentofile.yaml for editors, from the tables of the reader."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "py"))

from rules_bento.bentos.build_options import distros, options  # noqa: E402

OUTPUT = ROOT / "docs" / "bentofile.schema.json"
_SCALAR: dict[str, Any] = {"type": ["string", "number", "boolean"]}
_ITEMS: dict[str, Any] = {"type": "array", "items": {"type": "string"}}
_MAPPING: dict[str, Any] = {"type": "object", "additionalProperties": _SCALAR}
_KINDS: dict[str, dict[str, Any]] = {
    "str | None": _SCALAR,
    "bool | None": {"type": "boolean"},
    "tuple[str, ...] | None": _ITEMS,
    "dict[str, str]": _MAPPING,
    "dict[str, str] | None": {"anyOf": [_MAPPING, _ITEMS, {"type": "string"}]},
    "dict[str, Any]": {"type": "object"},
    "tuple[str | dict[str, list[str]], ...] | None": {"type": "array"},
    "str": _SCALAR,
}
_ONE_OR_MANY = ("trusted_host", "find_links", "extra_index_url")


def schema() -> dict[str, Any]:
    """Return the schema. Unset values can be null."""
    top = _table(options.BuildOptions, options.TOP)
    models = {"anyOf": [{"type": "string"}, _table(options.ModelChoice, required=("tag",))]}
    own = {
        "docker": _table(options.Docker, options.DOCKER),
        "python": _table(options.Python, options.PYTHON),
        "conda": _table(options.Conda, options.CONDA),
        "models": {"type": "array", "items": models},
        "envs": {"type": "array", "items": _table(options.EnvVariable, required=("name",))},
    }
    top["properties"] |= {key: _optional(value) for key, value in own.items()}
    docker = own["docker"]["properties"]
    docker["distro"] = _optional({"enum": list(distros.NAMES)})
    return {"$schema": "http://json-schema.org/draft-07/schema#", "title": "bentofile.yaml of BentoML 1.4", **top}


def _table(of: type, names: tuple[str, ...] = (), required: tuple[str, ...] = ()) -> dict[str, Any]:
    kinds = {name: str(kind) for name, kind in of.__annotations__.items()}
    properties = {name: _optional(_kind(name, kinds[name])) for name in names or kinds}
    found = {"type": "object", "properties": properties, "additionalProperties": False}
    return found | ({"required": list(required)} if required else {})


def _kind(name: str, kind: str) -> dict[str, Any]:
    if name in _ONE_OR_MANY:
        return {"anyOf": [_ITEMS, {"type": "string"}]}
    return _KINDS.get(kind, {})  # `schema` describes the others


def _optional(kind: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [*(kind["anyOf"] if set(kind) == {"anyOf"} else [kind]), {"type": "null"}]}


if __name__ == "__main__":
    OUTPUT.write_text(json.dumps(schema(), indent=1) + "\n", "utf-8")
