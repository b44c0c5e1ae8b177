"""Puts the labels of a stamped build into the part of an archive that holds bento.yaml.

They are no part of the Bento's identity: its version, its digest and its images are those without them.
"""

from __future__ import annotations

import tarfile
from pathlib import Path

from rules_bento.archive import write_part
from rules_bento.bento import dump_yaml
from rules_bento.errors import BentoError
from rules_bento.tarstream import Member

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from rules_bento.actions.arguments import Arguments

FLAGS = {
    "--label": 2,  # key, and the key of the workspace status that has its value
    "--output": 1,
    "--part": 1,
    "--status": 1,  # a file of lines: key, blank, value
    "--target": 1,
}


def run(arguments: Arguments) -> None:
    """Write the part again, with more labels."""
    status = _status(arguments.many("--status"))
    labels = {}
    for key, name in arguments.pairs("--label").items():
        if name not in status:
            raise BentoError(
                f"stamped_labels: {key!r} is to be {name!r}, which the workspace status has not. Let the program of "
                f"--workspace_status_command print it."
            )
        labels[key] = status[name]
    write_part(Path(arguments.one("--output")), _members(arguments.one("--part"), labels), threads=1)


def _status(paths: list[str]) -> dict[str, str]:
    lines = [line for path in paths for line in Path(path).read_text("utf-8").splitlines()]
    return {key: value for key, _, value in (line.partition(" ") for line in lines)}


def _members(part: str, labels: dict[str, str]) -> Iterator[Member]:
    with tarfile.open(part, "r:xz") as archive:
        for member in archive:
            file = archive.extractfile(member)
            content = file.read() if file else b""
            name = member.name.removeprefix("./")
            yield Member.inline(name, _labelled(content, labels) if name == "bento.yaml" else content, mode=member.mode)


def _labelled(content: bytes, labels: dict[str, str]) -> bytes:
    import yaml

    document = yaml.safe_load(content)
    document["labels"] |= labels
    return dump_yaml(document)
