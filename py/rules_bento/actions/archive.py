"""Joins the parts of a Bento and its models to a `.bento`, or writes them in another form."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from rules_bento.archives.archive import join, transcode, write_part
from rules_bento.archives.tarstream import Member
from rules_bento.models.model import ModelDescription, latest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from rules_bento.actions.arguments import Arguments
    from rules_bento.archives.archive import Form

FLAGS = {
    "--form": 1,  # default: a `.bento`
    "--model": 2,  # description, archive part
    "--output": 1,
    "--part": 1,
    "--target": 1,
}


def run(arguments: Arguments) -> None:
    """Write the archive: the Bento's own parts, the models', and the pointers to the latest model of each name."""
    output = Path(arguments.one("--output"))
    models = {
        description.tag: (description, Path(part))
        for path, part in arguments.records("--model")
        for description in [ModelDescription.loads(Path(path).read_text("utf-8"))]
    }
    parts = [Path(part) for part in arguments.many("--part")] + [part for _, part in models.values()]
    if models:
        pointers = output.with_name(output.name + ".latest")
        write_part(pointers, _pointers(description for description, _ in models.values()), threads=1)
        parts.append(pointers)
    if form := arguments.optional("--form"):
        transcode(output, parts, cast("Form", form))
    else:
        join(output, parts)
    if models:
        pointers.unlink()


def _pointers(models: Iterable[ModelDescription]) -> list[Member]:
    return [Member.inline(f"models/{name}/latest", version.encode()) for name, version in latest(models).items()]
