"""Subcommands that write Bento archives, and add stamped labels to archive parts."""

from __future__ import annotations

from pathlib import Path

from rules_bento.base.archives.archive import Form, assemble, items, write_part
from rules_bento.base.archives.tarstream import Member
from rules_bento.base.subcommand_arguments import JsonPairs, Pairs, Request, Strings
from rules_bento.base.typing_lite import Iterable, Iterator, Sequence


class _ArchiveRequest(Request):
    form: Form | None = None  # default: a `.bento`
    model: Pairs  # description, archive part
    output: Path
    part: Strings


def archive(request: _ArchiveRequest) -> None:
    """Write the archive of a Bento from the archive parts of the Bento and its models."""
    write_bento(request.output, request.part, request.model, request.form)


def write_bento(out: Path, parts: Iterable[str], models: Sequence[Sequence[str]], form: Form | None = None) -> None:
    """Write a Bento from archive parts. Each item of `models` contains the paths of a description and a part.

    If `form` is None, writes a `.bento` file. Raises BentoError for an invalid part, and OSError if writing fails.
    """
    parts_of_models, newest = _sorted_parts(models) if models else ([], {})
    assemble(out, [Path(part) for part in parts] + parts_of_models, newest, form)  # writes: output, of the caller


def _sorted_parts(models: Iterable[Sequence[str]]) -> tuple[list[Path], dict[str, str]]:
    """Return the archive parts of models, sorted by tag, and a dict that maps each model name to the latest version."""
    from rules_bento.bentos.models.model import ModelDescription, latest_versions

    by_tag = {
        description.tag: (description, Path(part))
        for path, part in models
        for description in [ModelDescription.loads(Path(path).read_text("utf-8"))]
    }
    ordered = [by_tag[tag] for tag in sorted(by_tag, key=str)]
    return [part for _, part in ordered], latest_versions(description for description, _ in ordered)


class _StampRequest(Request):
    label: JsonPairs  # key, and a string in which {KEY} is replaced by a value of the workspace status
    output: Path
    part: Path
    status: Strings


def stamp(request: _StampRequest) -> None:
    """Copy an archive part, and add labels with workspace status values to bento.yaml in the copy.

    These labels don't affect the version, the digest, or the images of the Bento.
    """
    from rules_bento.base.formats.workspace_status import read_status, substitute_all

    status = read_status(Path(path) for path in request.status)
    labels = substitute_all(request.label, status, "labels")
    write_part(request.output, _stamped_members(request.part, labels), threads=1)


def _stamped_members(part: Path, labels: dict[str, str]) -> Iterator[Member]:
    from rules_bento.base.formats.yaml import read_mapping
    from rules_bento.base.formats.yaml_writer import dump_yaml

    for item in items([part]):
        content = b"".join(item.contents or ())
        if item.path == "bento.yaml":
            document = read_mapping(content, "bento.yaml")
            document["labels"] |= labels
            content = dump_yaml(document)
        yield Member.inline(item.path, content, mode=item.mode)
