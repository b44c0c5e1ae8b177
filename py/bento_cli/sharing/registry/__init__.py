"""Transfers entries to and from OCI registries. docs/registries.md defines the format of the artifacts."""

from __future__ import annotations

import io
import sys
from pathlib import Path

from rules_bento.bentos.assembly.kinds import BENTO

OCI_DIRECTORY, OCI_ARCHIVE = "oci:", "oci-archive:"  # prefixes of OCI layouts
_FIRST = b"./oci-layout\0"  # the first bytes of an OCI archive that `bento push` writes


def is_layout(text: str) -> bool:
    """Return whether an argument is `oci:DIR`, `oci-archive:FILE`, or `-`."""
    return text == "-" or (text.startswith((OCI_DIRECTORY, OCI_ARCHIVE)) and not text.startswith("oci://"))


def find_layout(text: str) -> str:
    """Return the name of an OCI layout (see `is_layout`) for an argument of `import`. Returns "" for other contents."""
    path, first = Path(text), b""
    if text == "-":
        first = sys.stdin.buffer.peek(len(_FIRST)) if isinstance(sys.stdin.buffer, io.BufferedReader) else b""
    elif is_layout(text):
        return text
    elif (path / "oci-layout").is_file() and not (path / BENTO.descriptor).exists():
        return f"{OCI_DIRECTORY}{text}"
    elif path.is_file():
        with path.open("rb") as file:
            first = file.read(len(_FIRST))
    if not first.startswith(_FIRST):
        return ""
    return text if text == "-" else f"{OCI_ARCHIVE}{text}"
