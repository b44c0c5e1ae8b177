"""Says of a wheel what a lock says of its packages, as its own metadata has it."""

from __future__ import annotations

import json
import re
from pathlib import Path

from rules_bento.archives.digests import sha256_of
from rules_bento.errors import BentoError
from rules_bento.images.wheels.wheel import Wheel
from rules_bento.packages.requirements import normalize_name
from rules_bento.typing_lite import Any

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_bento.arguments import Arguments

FLAGS = {
    "--output": 1,
    "--target": 1,
    "--wheel": 1,
}

_REQUIREMENT = re.compile(r"([A-Za-z0-9][-._A-Za-z0-9]*)\s*(?:\[([^]]*)])?\s*\(?([^;)]*)\)?\s*(?:;(.*))?")


def run(arguments: Arguments) -> None:
    """Write name, version, edges and hash."""
    package = describe(Path(arguments.required("--wheel")), arguments.required("--target"))
    Path(arguments.required("--output")).write_text(json.dumps(package, indent=1) + "\n", "utf-8")


def describe(path: Path, label: str) -> dict[str, Any]:
    """Return the entry of a lock (`rules_bento.packages.lock`), without extras.

    Raises BentoError for what is no wheel.
    """
    wheel = Wheel.read(path)
    edges = [_edge(text, wheel.name) for text in wheel.metadata.requires]
    return {
        "name": wheel.distribution,
        "version": wheel.metadata.version,
        "dependencies": [edge for edge in edges if not re.search(r"\bextra\s*==", edge.get("marker", ""))],
        "files": {wheel.name: sha256_of(path)},
        "source": {"wheel": wheel.name, "label": label},
    }


def _edge(text: str, name: str) -> dict[str, Any]:
    match = _REQUIREMENT.fullmatch(text)
    if not match or "@" in text.partition(";")[0]:
        raise BentoError(f"{name} requires {text!r}, which is no package of an index. Build it with one that is.")
    distribution, extras, specifier, marker = match.groups()
    edge: dict[str, Any] = {"name": normalize_name(distribution)}
    if extras:
        edge["extras"] = [extra.strip() for extra in extras.split(",")]
    if specifier.strip():
        edge["specifier"] = specifier.replace(" ", "")
    if marker:
        edge["marker"] = marker.strip()
    return edge
