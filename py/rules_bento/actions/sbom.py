"""Writes the software bill of materials of an image."""

from __future__ import annotations

import json
from pathlib import Path

from rules_bento.arguments import read_text
from rules_bento.formats import read_file
from rules_bento.formats.json import read_object
from rules_bento.images import sbom
from rules_bento.models.model import ModelDescription
from rules_bento.tag import Tag
from rules_bento.typing_lite import cast

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_bento.arguments import Arguments

FLAGS = {
    "--base-config": 1,
    "--built-wheel": 3,  # name, version, file
    "--bento-digest": 1,  # file
    "--created": 1,
    "--digest": 1,  # file
    "--excluded": 1,  # how much is left out of a wheel
    "--format": 1,  # cyclonedx or spdx
    "--index": 1,  # of Debian packages in the base or in a layer
    "--model": 1,  # description
    "--output": 1,
    "--allow-record-mismatch": 1,  # name of a package whose wheel is taken although its RECORD is wrong
    "--tag": 1,  # file
    "--target": 1,
    "--wheel": 3,  # name, version, SHA-256
}


def run(arguments: Arguments) -> None:
    """Write the bill of materials."""
    tag = Tag.parse(read_text(arguments.required("--tag")).strip(), "tag")
    subject = sbom.ImageSubject(
        tag.name, tag.version, read_text(arguments.required("--digest")).strip(), arguments.required("--created")
    )
    architecture = read_object(read_file(arguments.required("--base-config")), "the base's config")["architecture"]
    components = [sbom.sources(subject, read_text(arguments.required("--bento-digest")).strip())]
    remarks = _remarks(arguments)
    components += [
        sbom.python_package(name, version, sha256, remarks.get(name, ""))
        for name, version, sha256 in arguments.tuples("--wheel")
    ]
    for name, version, path in arguments.tuples("--built-wheel"):
        from rules_bento.archives.digests import sha256_of

        components.append(sbom.python_package(name, version, sha256_of(path), remarks.get(name, "")))
    components += [sbom.model(ModelDescription.loads(read_text(path))) for path in arguments.repeated("--model")]
    for path in arguments.repeated("--index"):
        components += sbom.debian_packages(json.loads(read_text(path))["packages"], architecture)
    form = cast("sbom.Format", arguments.required("--format"))
    Path(arguments.required("--output")).write_bytes(sbom.make_sbom(subject, components, form))


def _remarks(arguments: Arguments) -> dict[str, str]:
    """Return what is to be said of packages, by their names."""
    remarks = {name: [sbom.RECORD_MISMATCH] for name in arguments.repeated("--allow-record-mismatch")}
    for path in arguments.repeated("--excluded"):
        excluded = json.loads(read_text(path))
        if excluded["files"]:
            remarks.setdefault(excluded["name"], []).append(sbom.EXCLUDED_FILES.format_map(excluded))
    return {name: " ".join(texts) for name, texts in remarks.items()}
