"""Reads the options of a target from attributes and an optional bentofile."""

from __future__ import annotations

from rules_bento.build_options import option_reader
from rules_bento.build_options.document import Document
from rules_bento.build_options.options import BuildOptions, merge
from rules_bento.errors import BentoError, nearest
from rules_bento.typing_lite import TYPE_CHECKING, Any, Container, Sequence

if TYPE_CHECKING:
    from rules_bento.sources.snapshot import Selection

_MAX_REPORTED = 20  # unmatched patterns


def read(attributes: dict[str, Any], bentofiles: Sequence[tuple[str, ...]], *, src_exists: bool) -> BuildOptions:
    """Return the options of a target, merged with an optional bentofile.

    `attributes` has the format of a bentofile. `bentofiles` is empty, or contains one pair: the path of a bentofile,
    and its name in messages. `src_exists` specifies whether the build context contains a directory `src`. Raises
    BentoError for invalid options.
    """
    options = option_reader.parse(Document("", attributes))
    for path, name in bentofiles:
        from rules_bento.build_options.bentofile import read as read_bentofile

        options = merge(options, read_bentofile(path, name, src_exists=src_exists))
    return options


def find_service(options: BuildOptions, sources: Container[str]) -> str:
    """Return the configured service, or the default `service` if service.py exists. Otherwise, raises BentoError."""
    if options.service is not None:
        return options.service
    if "service.py" not in sources:
        raise BentoError(
            "service: required, because the sources don't contain the default service.py. Set service to "
            "'module:Service', or check that include, exclude, and .bentoignore keep service.py."
        )
    return "service"


def unmatched_patterns(selection: Selection, options: BuildOptions, among: str) -> list[str]:
    """Return warnings about `include` patterns that match no file. `among` describes the searched files in messages."""
    notes = []
    for rule in selection.idle[:_MAX_REPORTED]:
        place = options.at(f"include[{rule.number - 1}]")
        known = {file.path.lower(): file.path for file in (*selection.kept, *selection.dropped)}
        near = known.get(nearest(rule.text.removeprefix(".").lstrip("/").lower(), known))
        hint = f" Did you mean {near!r}?" if near else ""
        notes.append(f"{place}: {rule.text!r} matches no file in {among}.{hint}")
    if selection.idle[_MAX_REPORTED:]:
        notes.append(f"{options.at('include')}: {len(selection.idle) - _MAX_REPORTED} more patterns match no file.")
    return notes
