"""Reads the license in a model card: the YAML at the beginning of README.md, between lines of `---`.

Model cards come from other people. A card that can't be read has no license, and never fails a build.
"""

from __future__ import annotations

import re
from pathlib import Path

from rules_bento.errors import BentoError
from rules_bento.typing_lite import Mapping

_CARD = "README.md"
_MAX_CARD = 1 << 17  # bytes to read; the YAML of known cards has less than 64 KiB
_MAX_LICENSE = 100  # characters of a name
_METADATA = re.compile(rb"(?:\xef\xbb\xbf)?\s*---[\r\n]+(.*?)[\r\n]+---(?:[\r\n]|$)", re.DOTALL)


def read_license(files: Mapping[str, str]) -> str:
    """Return the license in the model card, such as `apache-2.0`, or an empty string.

    `files` maps paths in the model to paths to read. The Hub's license `other` is replaced by `license_name`.
    """
    from rules_bento.formats.yaml import read_mapping

    if not files.get(_CARD):
        return ""
    with Path(files[_CARD]).open("rb") as file:
        match = _METADATA.match(file.read(_MAX_CARD))
    try:
        metadata = read_mapping(match[1], _CARD) if match else {}
    except BentoError:
        return ""
    declared = metadata.get("license")
    if declared == "other":
        declared = metadata.get("license_name") or declared
    names = declared if isinstance(declared, list) else [declared]
    text = ", ".join(" ".join(name.split()) for name in names if isinstance(name, str))
    return text if text.isprintable() and len(text) <= _MAX_LICENSE else ""
