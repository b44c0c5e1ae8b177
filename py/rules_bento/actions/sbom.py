"""Writes the software bill of materials of an image."""

from __future__ import annotations

import json
from pathlib import Path

from rules_bento import requirements
from rules_bento.model import ModelDescription
from rules_bento.sbom import Subject, make_sbom
from rules_bento.tag import Tag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_bento.actions.arguments import Arguments

FLAGS = {
    "--created": 1,
    "--digest": 1,  # file
    "--model": 1,  # description
    "--output": 1,
    "--requirements": 1,  # file, with hashes
    "--system": 1,  # file: a JSON array of CycloneDX components
    "--tag": 1,  # file
    "--target": 1,
}


def run(arguments: Arguments) -> None:
    """Write the bill."""
    tag = Tag.parse(_read(arguments.one("--tag")).strip(), "tag")
    packages = [
        requirement
        for path in arguments.many("--requirements")
        for requirement in requirements.parse(_read(path), path)[0]
    ]
    models = [ModelDescription.loads(_read(path)) for path in arguments.many("--model")]
    system = [component for path in arguments.many("--system") for component in json.loads(_read(path))]
    subject = Subject(tag.name, tag.version, _read(arguments.one("--digest")).strip(), arguments.one("--created"))
    Path(arguments.one("--output")).write_bytes(make_sbom(subject, packages, models, system))


def _read(path: str) -> str:
    return Path(path).read_text("utf-8")
