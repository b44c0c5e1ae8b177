"""Says of a wheel what a lock says of its packages, as its own metadata has it."""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
from email.parser import HeaderParser
from pathlib import Path
from typing import Any

from rules_bento.errors import BentoError
from rules_bento.packages.requirements import normalized

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_bento.actions.arguments import Arguments

FLAGS = {
    "--output": 1,
    "--target": 1,
    "--wheel": 2,  # path to read, file name
}

_REQUIREMENT = re.compile(r"([A-Za-z0-9][-._A-Za-z0-9]*)\s*(?:\[([^]]*)])?\s*\(?([^;)]*)\)?\s*(?:;(.*))?")


def run(arguments: Arguments) -> None:
    """Write name, version, edges and hash."""
    for path, name in arguments.records("--wheel"):
        package = describe(Path(path), name)
        Path(arguments.one("--output")).write_text(json.dumps(package, indent=1) + "\n", "utf-8")


def describe(wheel: Path, name: str) -> dict[str, Any]:
    """The entry of a lock (`rules_bento.packages.lock`), without extras. Raises BentoError for what is no wheel."""
    headers = HeaderParser().parsestr(_metadata(wheel, name))
    distribution, version = headers.get("Name", ""), headers.get("Version", "")
    parts = name.split("-")
    if (normalized(distribution), version.replace("-", "_")) != (normalized(parts[0]), parts[1]):
        raise BentoError(f"{name} has the metadata of {distribution} {version}. Give the file its own name.")
    edges = [_edge(text.strip(), name) for text in headers.get_all("Requires-Dist", [])]
    with wheel.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256") if hasattr(hashlib, "file_digest") else _digest(file.read())
    return {
        "name": normalized(distribution),
        "version": version,
        "dependencies": [edge for edge in edges if not re.search(r"\bextra\s*==", edge.get("marker", ""))],
        "files": {name: digest.hexdigest()},
        "source": {"wheel": name},
    }


def _digest(content: bytes) -> Any:
    return hashlib.sha256(content)


def _metadata(wheel: Path, name: str) -> str:
    try:
        with zipfile.ZipFile(wheel) as archive:
            found = [entry for entry in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", entry)]
            if len(found) == 1:
                return archive.read(found[0]).decode("utf-8").partition("\n\n")[0]
    except (OSError, zipfile.BadZipFile, UnicodeDecodeError) as error:
        raise BentoError(f"{name} is no wheel: {error}. Build it again.") from None
    raise BentoError(f"{name} is no wheel: it has no METADATA. Build it again.")


def _edge(text: str, name: str) -> dict[str, Any]:
    found = _REQUIREMENT.fullmatch(text)
    if not found or "@" in text.partition(";")[0]:
        raise BentoError(f"{name} requires {text!r}, which is no package of an index. Build it with one that is.")
    distribution, extras, specifier, marker = found.groups()
    edge: dict[str, Any] = {"name": normalized(distribution)}
    if extras:
        edge["extras"] = [extra.strip() for extra in extras.split(",")]
    if specifier.strip():
        edge["specifier"] = specifier.replace(" ", "")
    if marker:
        edge["marker"] = marker.strip()
    return edge
