"""Writes what is in a Bento, as JSON and as a page to look at."""

from __future__ import annotations

import json
from pathlib import Path

from rules_bento.archives.archive import requirements_of
from rules_bento.arguments import read_text
from rules_bento.errors import BentoError
from rules_bento.formats import FormatError, read_file
from rules_bento.formats.json import read_object
from rules_bento.models.model import ModelDescription
from rules_bento.reports import bento_page, bento_report
from rules_bento.sources.manifest import Manifest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rules_bento.arguments import Arguments

FLAGS = {
    "--against": 2,  # report of another build, name in messages
    "--archive": 1,
    "--digest": 1,  # file
    "--manifest": 1,
    "--model": 2,  # description, manifest
    "--output": 1,
    "--page": 1,
    "--part": 1,  # the one with the environment
    "--service-info": 1,
    "--tag": 1,  # file
    "--target": 1,
}


def run(arguments: Arguments) -> None:
    """Write the report of a Bento as JSON and as a page."""
    facts = json.loads(read_text(arguments.required("--service-info")))
    manifest = arguments.required("--manifest")
    report: dict[str, Any] = {
        "target": arguments.required("--target"),
        "tag": read_text(arguments.required("--tag")).strip(),
        "digest": read_text(arguments.required("--digest")).strip(),
        "archive_size": Path(arguments.required("--archive")).stat().st_size,
        "services": bento_report.services(facts["service"]),
        "models": [
            bento_report.model(ModelDescription.loads(read_text(path)), Manifest.from_json(read_text(files), files))
            for path, files in arguments.tuples("--model")
        ],
        "packages": bento_report.packages(requirements_of(Path(arguments.required("--part")))[0]),
        "files": bento_report.files(Manifest.from_json(read_text(manifest), manifest)),
    }
    for path, name in arguments.tuples("--against"):
        other = _other(path, name)
        report["against"] = {key: other[key] for key in ("tag", "digest")}
        report["changes"] = bento_report.changes(report, other)
    Path(arguments.required("--output")).write_text(json.dumps(report, ensure_ascii=False, indent=1) + "\n", "utf-8")
    Path(arguments.required("--page")).write_text(bento_page.page(report), "utf-8")


def _other(path: str, name: str) -> dict[str, Any]:
    try:
        other = read_object(read_file(path), name)
        bento_report.changes(other, other)
        if all(isinstance(other[key], str) for key in ("tag", "digest")):
            return other
    except (FormatError, ValueError, TypeError, KeyError, AttributeError):
        pass
    raise BentoError(f"report_against: {name} is no report of a Bento. Give the JSON of the output group `report`.")
