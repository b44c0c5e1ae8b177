"""Parses tags of Bentos and models in the form `name:version`."""

from __future__ import annotations

import re

from rules_bento.base.dataclasses_lite import NamedTuple
from rules_bento.base.errors import BentoError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

_WORD = re.compile(r"[a-z0-9]([-._a-z0-9]*[a-z0-9])?")
_MAX_LENGTH = 63
LATEST = "latest"
"""The version in a tag that means the newest version, and the name of the file that contains the newest version."""
_MAX_POINTER = 256  # bytes


class Tag(NamedTuple):
    """The name and version of a Bento or model. The version is empty until it is resolved."""

    name: str
    version: str = ""

    def __str__(self) -> str:
        return f"{self.name}:{self.version}" if self.version else self.name

    @staticmethod
    def parse(text: str, attribute: str) -> Tag:
        """Parse `name` or `name:version`. Raises BentoError for an invalid tag. The message begins with `attribute`."""
        name, colon, version = text.partition(":")
        check_word(name, f"{attribute}: the name in {text!r}")
        if colon:
            check_version(version, f"{attribute}: the version in {text!r}")
        return Tag(name, version)


def read_latest(directory: Path) -> str:
    """Return the version in the file `latest` of a directory of versions, or "" if the file or version is missing."""
    try:
        if (pointer := directory / LATEST).is_file():
            with pointer.open("rb") as file:
                version = file.read(_MAX_POINTER).decode().strip()
            if _WORD.fullmatch(version) and (directory / version).exists():
                return version
    except (OSError, UnicodeDecodeError):
        pass
    return ""


def check_word(word: str, what: str) -> str:
    """Return `word` if it is a valid name or version. Otherwise, raises BentoError. The message begins with `what`."""
    if not _WORD.fullmatch(word) or len(word) > _MAX_LENGTH:
        remedy = f"Use at most {_MAX_LENGTH} characters: lowercase letters, digits, '.', '-', and '_'. Start and "
        remedy += f"end with a letter or digit. Example: {similar_word(word) or 'v1'!r}."
        raise BentoError(f"{what} is {f'invalid: {word!r}' if word else 'empty'}", remedy=remedy)
    return word


def similar_word(text: str) -> str:
    """Return a valid name or version that resembles `text`, or "" if `text` has no letter or digit."""
    return re.sub(r"[^-._a-z0-9]+", "-", text.lower())[:_MAX_LENGTH].strip("-._")


def check_version(version: str, what: str) -> str:
    """Return `version` if it is valid. Otherwise, raises BentoError. The message begins with `what`.

    `latest` isn't valid, because BentoML reserves it for the newest version.
    """
    if version == LATEST:
        remedy = "Specify another version, or omit the version."
        raise BentoError(f"{what} is 'latest', which BentoML reserves for the newest version", remedy=remedy)
    return check_word(version, what)
