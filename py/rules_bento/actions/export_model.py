"""Writes an entry of the model store as the archive that `bentoml models import` takes."""

from __future__ import annotations

from pathlib import Path

from rules_bento.actions import model
from rules_bento.archives.archive import write_archive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_bento.arguments import Arguments

FLAGS = model.FLAGS | {"--output": 1}


def run(arguments: Arguments) -> None:
    """Write the model of the arguments as a `.bentomodel`."""
    with model.read_model(arguments) as stored:
        write_archive(Path(arguments.required("--output")), stored.own_members())
