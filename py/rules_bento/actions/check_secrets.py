"""Looks for secrets in what a Bento has of its sources, data and settings."""

from __future__ import annotations

from pathlib import Path

from rules_bento.archives import archive
from rules_bento.audit import secrets
from rules_bento.sources.manifest import Manifest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from rules_bento.arguments import Arguments

FLAGS = {
    "--allowed": 1,  # path in the Bento of a file that may have some
    "--manifest": 1,  # of all files of the Bento: allowed ones that it has not are refused, once
    "--output": 1,
    "--part": 1,  # of the archive
    "--target": 1,
}


def run(arguments: Arguments) -> None:
    """Write nothing, or raise BentoError with all that was found."""
    findings: list[secrets.Finding] = []
    seen: list[str] = []
    for item in archive.items([Path(part) for part in arguments.many("--part")]):
        seen.append(item.path)
        if item.contents is not None:
            findings += secrets.look(item.path, _beginning(item.contents))
    allowed = set(arguments.texts("--allowed"))
    manifest = arguments.optional("--manifest")
    if manifest:
        # What the Bento has elsewhere, in its data, is for the action that reads them.
        entries = Manifest.from_json(Path(manifest).read_text("utf-8"), manifest).entries
        allowed -= {entry.path for entry in entries} - set(seen)
    else:
        allowed &= set(seen)
    words = secrets.Words("allowed_secrets", "check_secrets = False")
    secrets.check(findings, allowed, seen, words)
    Path(arguments.one("--output")).write_text("", "utf-8")


def _beginning(pieces: Iterable[bytes | memoryview]) -> bytes:
    beginning = bytearray()
    for piece in pieces:
        beginning += piece
        if len(beginning) >= secrets.MOST_BYTES:
            break
    return bytes(beginning)
