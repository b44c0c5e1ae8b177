"""Joins the parts of a Bento and its models to a `.bento`, or writes them in another form."""

from __future__ import annotations

from pathlib import Path

from rules_bento.archives.assembling import assemble
from rules_bento.typing_lite import cast

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

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
    form = cast("Form | None", arguments.optional("--form") or None)
    write(Path(arguments.required("--output")), arguments.repeated("--part"), arguments.tuples("--model"), form)


def write(out: Path, parts: Iterable[str], models: Sequence[Sequence[str]], form: Form | None = None) -> None:
    """Write a Bento of the paths of its parts, and of those of each model: the description and the archive part.

    Without a `form` it is a `.bento`. Raises BentoError for what does not fit together, and OSError.
    """
    parts_of_models, newest = _in_order(models) if models else ([], {})
    assemble(out, [Path(part) for part in parts] + parts_of_models, newest, form)


def _in_order(models: Iterable[Sequence[str]]) -> tuple[list[Path], dict[str, str]]:
    """Return the parts of models by their tags, and the latest version of each name."""
    from rules_bento.models.model import ModelDescription, latest_versions

    by_tag = {
        description.tag: (description, Path(part))
        for path, part in models
        for description in [ModelDescription.loads(Path(path).read_text("utf-8"))]
    }
    ordered = [by_tag[tag] for tag in sorted(by_tag, key=str)]
    return [part for _, part in ordered], latest_versions(description for description, _ in ordered)
