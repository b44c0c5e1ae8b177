"""`bento list`, `bento models list`: lists entries of the store."""

from __future__ import annotations

from rules_bento.bento.kinds import BENTO, MODEL
from rules_bento.typing_lite import TYPE_CHECKING

from bento_cli.cli import show, status

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from rules_bento.bento.kinds import Kind

    from bento_cli.library import Store
    from bento_cli.store.entries import Entry


def add_arguments(parser: ArgumentParser, kind: Kind) -> None:
    """Add the arguments for the name and the output."""
    parser.add_argument(
        "tag", metavar="TAG", nargs="?", default="", help=f"list only this {kind.noun}, or the versions of this name"
    )
    show.add_output(parser, "table", "json", "yaml", "path")
    parser.epilog = (
        "Columns and fields are those of BentoML; JSON and YAML also have sizes in bytes and times with a zone.\n"
        "Unreadable directories are reported and skipped."
    )


def run(options: Namespace, store: Store, kind: Kind) -> int:
    """List the entries of the store."""
    listing = store.section(kind).entry_store.list(options.tag)
    for problem in listing.problems:
        show.note(problem)
    # Python sorts the equal ones in their order, backwards too.
    entries = sorted(listing.entries, key=lambda entry: entry.summary.moment, reverse=True)
    if options.output == "path":
        for entry in entries:
            show.out(str(entry.path))
        return status.OK
    rows = _bentos(entries, store) if kind is BENTO else _models(entries)
    if not show.data(rows, options.output):
        _table(rows, kind)
    return status.OK


def _table(rows: list[dict[str, str | int]], kind: Kind) -> None:
    header = (
        ("Tag", "Size", "Model Size", "Creation Time") if kind is BENTO else ("Tag", "Module", "Size", "Creation Time")
    )
    right = (1, 2) if kind is BENTO else (2,)
    show.table(header, [[str(value) for value in list(row.values())[:4]] for row in rows], right)


def _bentos(entries: list[Entry], store: Store) -> list[dict[str, str | int]]:
    known: dict[str, int] = {}
    rows: list[dict[str, str | int]] = []
    for entry in entries:
        size, models = entry.size(), sum(_model_size(entry, tag, store, known) for tag in entry.summary.models)
        rows.append(
            {
                "tag": str(entry.tag),
                "size": show.size(size),
                "model_size": show.size(models),
                "creation_time": show.time(entry.creation_time),
                "size_bytes": size,
                "model_size_bytes": models,
                "created_at": entry.creation_time.isoformat(),
            }
        )
    return rows


def _models(entries: list[Entry]) -> list[dict[str, str | int]]:
    return [
        {
            "tag": str(entry.tag),
            "module": entry.summary.module,
            "size": show.size(size := entry.size()),
            "creation_time": show.time(entry.creation_time),
            "size_bytes": size,
            "created_at": entry.creation_time.isoformat(),
        }
        for entry in entries
    ]


def _model_size(entry: Entry, tag: str, store: Store, known: dict[str, int]) -> int:
    """Return bytes of a model that a Bento needs; none if it is missing, or in the Bento and counted there."""
    from bento_cli.store.entries import NotFoundError, tree_size

    name, _, version = tag.partition(":")
    if (entry.path / MODEL.folder / name / version).is_dir():
        return 0
    if tag not in known:
        try:
            entries = store.models.entry_store
            known[tag] = tree_size(entries.path(entries.find(tag)))
        except NotFoundError:
            show.note(f"{entry.tag}: the model {tag} is missing.")
            known[tag] = 0
    return known[tag]
