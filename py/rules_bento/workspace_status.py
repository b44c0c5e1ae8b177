"""Values of Bazel's workspace status in texts: `{KEY}` stands for one."""

from __future__ import annotations

import re

from rules_bento.errors import BentoError
from rules_bento.hints import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

_KEY = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")


def read_status(files: Iterable[Path]) -> dict[str, str]:
    """Return the values of status files, lines of `KEY value`. Raises BentoError for one that is not UTF-8."""
    from rules_bento.formats import decoded

    status = {}
    for file in files:
        # Not splitlines(): values may hold the other characters that it breaks at.
        for line in decoded(file.read_bytes(), f"the workspace status, {file.name}").split("\n"):
            key, _, value = line.partition(" ")
            status[key] = value
    return status


def filled(text: str, status: Mapping[str, str], attribute: str) -> str:
    """Return the text with its keys replaced. Raises BentoError, naming the attribute, for one that is not known."""
    for key in _KEY.findall(text):
        if key not in status:
            known = ", ".join(sorted(status)) or "none, for this build is not stamped: give --stamp, or set stamp = 1"
            raise BentoError(f"{attribute}: {text!r} has a {{{key}}}, but the workspace status has {known}.")
    return _KEY.sub(lambda match: status[match[1]], text)


def all_filled(texts: Mapping[str, str], status: Mapping[str, str], attribute: str) -> dict[str, str]:
    """Return texts by the same names with their keys replaced. Raises BentoError as `filled` does."""
    return {name: filled(text, status, attribute) for name, text in texts.items()}
