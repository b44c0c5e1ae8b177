"""A software bill of materials in CycloneDX 1.6 (JSON): the packages, models and sources of a Bento, and of its base.

Nothing in it is drawn by lot or by a clock: the serial number is a name-based UUID of the image that it belongs to.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rules_bento.model import ModelDescription
    from rules_bento.requirements import Requirement

SPECIFICATION = "1.6"
MEDIA_TYPE = "application/vnd.cyclonedx+json"


class Subject(NamedTuple):
    """What the bill is of."""

    name: str
    version: str
    digest: str  # sha256:<hex> of the image's manifest, or blake3:<hex> of the Bento
    created: str  # RFC 3339


def make_sbom(
    subject: Subject,
    packages: Iterable[Requirement],
    models: Iterable[ModelDescription],
    system: Iterable[dict[str, Any]],
) -> bytes:
    """The bill. `packages` are pinned requirements with hashes, `system` are components of the base as they stand."""
    components = [
        *(_package(requirement) for requirement in packages if requirement.pin),
        *(_model(model) for model in models),
        *system,
    ]
    components.sort(key=lambda component: str(component["bom-ref"]))
    root = {
        "type": "container" if subject.digest.startswith("sha256:") else "application",
        "bom-ref": subject.digest,
        "name": subject.name,
        "version": subject.version,
    }
    document = {
        "$schema": f"http://cyclonedx.org/schema/bom-{SPECIFICATION}.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": SPECIFICATION,
        "serialNumber": f"urn:uuid:{_uuid(subject.digest)}",
        "version": 1,
        "metadata": {
            "timestamp": subject.created,
            "tools": {"components": [{"type": "application", "name": "rules_bento"}]},
            "component": root,
        },
        "components": components,
        "dependencies": [
            {"ref": subject.digest, "dependsOn": [component["bom-ref"] for component in components]},
        ],
    }
    return (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode()


def _package(requirement: Requirement) -> dict[str, Any]:
    name, version = requirement.pin or ("", "")
    purl = f"pkg:pypi/{quote(name)}@{quote(version)}"
    component: dict[str, Any] = {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}
    # A release has several files; the bill says which one it is only where a single one can be meant.
    if len(requirement.hashes) == 1:
        component["hashes"] = [{"alg": "SHA-256", "content": requirement.hashes[0]}]
    return component


def _model(model: ModelDescription) -> dict[str, Any]:
    name, _, version = model.tag.partition(":")
    return {
        "type": "machine-learning-model",
        "bom-ref": f"model:{model.tag}",
        "name": name,
        "version": version,
        "hashes": [{"alg": "BLAKE3", "content": model.blake3}],
    }


def _uuid(digest: str) -> str:
    import uuid

    return str(uuid.uuid5(uuid.NAMESPACE_OID, digest))
