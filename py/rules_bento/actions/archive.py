"""Joins the parts of a Bento and its models to a `.bento`, or writes them in another form."""

from __future__ import annotations

from pathlib import Path

from rules_bento.archives.assembling import assemble
from rules_bento.hints import cast
from rules_bento.models.model import ModelDescription, latest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_bento.archives.archive import Form
    from rules_bento.arguments import Arguments

FLAGS = {
    "--form": 1,  # default: a `.bento`
    "--model": 2,  # description, archive part
    "--output": 1,
    "--part": 1,
    "--target": 1,
}


def run(arguments: Arguments) -> None:
    """Write the archive: the Bento's own parts, and the models' by their tags."""
    models = {
        description.tag: (description, Path(part))
        for path, part in arguments.records("--model")
        for description in [ModelDescription.loads(Path(path).read_text("utf-8"))]
    }
    ordered = [models[tag] for tag in sorted(models, key=str)]
    assemble(
        Path(arguments.one("--output")),
        [Path(part) for part in arguments.many("--part")] + [part for _, part in ordered],
        latest(description for description, _ in ordered),
        cast("Form | None", arguments.optional("--form") or None),
    )
