"""Compares the API of a service with the one that is committed, and tells what a change means for callers."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from rules_bento.errors import BentoError
from rules_bento.formats import FormatError, read_file
from rules_bento.formats.json import read_json
from rules_bento.service.api_changes import changes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_bento.arguments import Arguments

FLAGS = {
    "--golden": 1,
    "--golden-path": 1,  # in the source tree
    "--schema": 1,
    "--target": 1,
}


def run(arguments: Arguments) -> int:
    """Compare; under `bazel run` with `--update` behind `--`, write what is committed instead."""
    golden, schema = Path(arguments.required("--golden")), Path(arguments.required("--schema"))
    if "--update" in arguments.rest:
        _update(arguments, schema)
        return 0
    try:
        committed = read_json(read_file(golden), arguments.required("--golden-path"))
    except FormatError as error:
        raise BentoError(f"golden: {error} {_remedy(arguments)}") from None
    made = json.loads(schema.read_text("utf-8"))
    if not made:
        raise BentoError(
            "api: the service is a legacy one, of which BentoML has no schema to compare. Remove the test."
        )
    try:
        differences = changes(committed, made)
    except (AttributeError, KeyError, TypeError, ValueError):
        raise BentoError(
            f"golden: {arguments.required('--golden-path')} is no schema of a service's API. {_remedy(arguments)}"
        ) from None
    for change in differences:
        sys.stderr.write(f"{change}\n")
    if differences:
        sys.stderr.write(f"The API differs from {arguments.required('--golden-path')}. {_remedy(arguments)}\n")
    return 1 if differences else 0


def _update(arguments: Arguments, schema: Path) -> None:
    from rules_bento.archives.atomic import replace_file

    root = os.environ.get("BUILD_WORKSPACE_DIRECTORY")
    if not root:
        raise BentoError(f"it writes into the source tree. {_remedy(arguments)}")
    replace_file(Path(root, arguments.required("--golden-path")), schema.read_bytes())


def _remedy(arguments: Arguments) -> str:
    return f"If that is wanted: bazel run {arguments.required('--target')} -- --update"
