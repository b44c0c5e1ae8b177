"""Reads Bazel's workspace status, and replaces `{KEY}` in strings with status values."""

from __future__ import annotations

import re

from rules_bento.base.errors import BentoError
from rules_bento.base.formats import decode_text
from rules_bento.base.typing_lite import TYPE_CHECKING, Iterable, Mapping

if TYPE_CHECKING:
    from pathlib import Path

_KEY = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")


def read_status(files: Iterable[Path]) -> dict[str, str]:
    """Return the values in status files, by key. Each line is `KEY value`. Raises BentoError for invalid UTF-8."""
    status = {}
    for file in files:
        # Not splitlines(): values can contain the other line breaks that it splits at.
        for line in decode_text(file.read_bytes(), f"the workspace status, {file.name}").split("\n"):
            key, _, value = line.partition(" ")
            if key:
                status[key] = value
    return status


def substitute(text: str, status: Mapping[str, str], attribute: str) -> str:
    """Replace each `{KEY}` in `text`. Raises BentoError for a missing key. The message begins with `attribute`."""
    for key in _KEY.findall(text):
        if not status:
            remedy = "Build with --stamp, or set stamp = 1."
            raise BentoError(f"{text!r} uses {{{key}}}, but the build isn't stamped", place=attribute, remedy=remedy)
        if key not in status:
            valid = ", ".join(sorted(status))
            problem = f"{text!r} contains the unknown key {{{key}}}"
            raise BentoError(problem, place=attribute, remedy=f"Valid keys: {valid}.")
    return _KEY.sub(lambda match: status[match[1]], text)


def substitute_all(texts: Mapping[str, str], status: Mapping[str, str], attribute: str) -> dict[str, str]:
    """Apply `substitute` to each value of `texts`."""
    return {name: substitute(text, status, attribute) for name, text in texts.items()}
