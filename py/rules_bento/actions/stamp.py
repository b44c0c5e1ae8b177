"""Puts the labels of a stamped build into the part of an archive that holds bento.yaml.

They are no part of the Bento's identity: its version, its digest and its images are those without them.
"""

from __future__ import annotations

from pathlib import Path

from rules_bento.archives.archive import items, write_part
from rules_bento.archives.tarstream import Member
from rules_bento.formats.yaml_writer import dump_yaml
from rules_bento.workspace_status import all_filled, read_status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from rules_bento.arguments import Arguments

FLAGS = {
    "--label": 2,  # key, and a text in which {KEY} stands for a value of the workspace status
    "--output": 1,
    "--part": 1,
    "--status": 1,
    "--target": 1,
}


def run(arguments: Arguments) -> None:
    """Write the part again, with more labels."""
    status = read_status(Path(path) for path in arguments.repeated("--status"))
    labels = all_filled(arguments.pairs("--label"), status, "stamped_labels")
    write_part(Path(arguments.required("--output")), _members(arguments.required("--part"), labels), threads=1)


def _members(part: str, labels: dict[str, str]) -> Iterator[Member]:
    for item in items([Path(part)]):
        content = b"".join(item.contents or ())
        yield Member.inline(
            item.path, _labelled(content, labels) if item.path == "bento.yaml" else content, mode=item.mode
        )


def _labelled(content: bytes, labels: dict[str, str]) -> bytes:
    from rules_bento.formats.yaml import read_mapping

    document = read_mapping(content, "bento.yaml")
    document["labels"] |= labels
    return dump_yaml(document)
