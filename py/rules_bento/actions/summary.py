"""Writes the few figures of a Bento or an image that dashboards show, as JSON."""

from __future__ import annotations

import json
from pathlib import Path

from rules_bento.arguments import read_text
from rules_bento.models.model import ModelDescription

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rules_bento.arguments import Arguments

FLAGS = {
    "--archive": 1,
    "--digest": 1,  # file
    "--image-manifest": 1,  # of an image, which the digest is then of
    "--manifest": 1,  # of a Bento
    "--model": 1,  # description
    "--output": 1,
    "--tag": 1,  # file
    "--target": 1,
}


def run(arguments: Arguments) -> None:
    """Write the summary; sizes are bytes."""
    manifest = arguments.optional("--image-manifest")
    figures = _of_image(json.loads(read_text(manifest))) if manifest else _of_bento(arguments)
    named = {key: read_text(arguments.required(f"--{key}")).strip() for key in ("tag", "digest")}
    Path(arguments.required("--output")).write_text(json.dumps(named | figures, indent=1) + "\n", "utf-8")


def _of_bento(arguments: Arguments) -> dict[str, Any]:
    files = json.loads(read_text(arguments.required("--manifest")))
    models = [ModelDescription.loads(read_text(path)) for path in arguments.repeated("--model")]
    return {
        "archive_size": Path(arguments.required("--archive")).stat().st_size,
        "files": len(files),
        "models": [{"size": model.size, "tag": model.tag} for model in models],
        "size": sum(file["size"] for file in files),
    }


def _of_image(manifest: dict[str, Any]) -> dict[str, Any]:
    layers = [{"digest": layer["digest"], "size": layer["size"]} for layer in manifest["layers"]]
    return {"layers": layers, "size": manifest["config"]["size"] + sum(layer["size"] for layer in layers)}
