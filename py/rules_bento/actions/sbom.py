"""Writes the software bill of materials of an image."""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast

from rules_bento.images import sbom
from rules_bento.locks import requirements
from rules_bento.models.model import ModelDescription
from rules_bento.tag import Tag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_bento.actions.arguments import Arguments

FLAGS = {
    "--base-config": 1,
    "--bento-digest": 1,  # file
    "--created": 1,
    "--digest": 1,  # file
    "--format": 1,  # cyclonedx or spdx
    "--index": 1,  # of Debian packages in the base or in a layer
    "--model": 1,  # description
    "--output": 1,
    "--requirements": 1,  # file, with hashes
    "--tag": 1,  # file
    "--target": 1,
}


def run(arguments: Arguments) -> None:
    """Write the bill."""
    tag = Tag.parse(_read(arguments.one("--tag")).strip(), "tag")
    subject = sbom.Subject(tag.name, tag.version, _read(arguments.one("--digest")).strip(), arguments.one("--created"))
    architecture = json.loads(_read(arguments.one("--base-config")))["architecture"]
    components = [sbom.sources(subject, _read(arguments.one("--bento-digest")).strip())]
    for path in arguments.many("--requirements"):
        components += [
            sbom.python_package(package) for package in requirements.parse(_read(path), path)[0] if package.pin
        ]
    components += [sbom.model(ModelDescription.loads(_read(path))) for path in arguments.many("--model")]
    for path in arguments.many("--index"):
        components += sbom.debian_packages(json.loads(_read(path))["packages"], architecture)
    form = cast("sbom.Format", arguments.one("--format"))
    Path(arguments.one("--output")).write_bytes(sbom.make_sbom(subject, components, form))


def _read(path: str) -> str:
    return Path(path).read_text("utf-8")
