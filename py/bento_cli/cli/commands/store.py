"""Implements `bento list`, `get`, `delete`, and `gc`, which manage the entries of the store."""

from __future__ import annotations

import sys

from rules_bento.bento.kinds import BENTO, MODEL
from rules_bento.errors import BentoError
from rules_bento.typing_lite import TYPE_CHECKING

from bento_cli.cli import arguments, show, status

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from rules_bento.bento.kinds import Kind

    from bento_cli.library import Store
    from bento_cli.store.entry_store import Entry


def add_list_arguments(parser: ArgumentParser, kind: Kind) -> None:
    parser.add_argument(
        "tag",
        metavar="TAG",
        nargs="?",
        default="",
        help=f"List only the {kind.noun} with this tag, or all versions of this name",
    )
    show.add_output(parser, "table", "json", "yaml", "path")
    parser.epilog = (
        "The columns and fields are the same as in BentoML. The JSON and YAML output also contains the sizes in bytes, "
        "and times with a time zone."
    )


def run_list(options: Namespace, store: Store, kind: Kind) -> int:
    listing = store.section(kind).entry_store.list(options.tag)
    for problem in listing.problems:
        show.note(problem)
    # The sort is stable, also in reverse.
    entries = sorted(listing.entries, key=lambda entry: entry.moment, reverse=True)
    if options.output == "path":
        for entry in entries:
            show.out(str(entry.path))
        return status.OK
    rows = _bento_rows(entries, store) if kind is BENTO else _model_rows(entries)
    if not show.data(rows, options.output):
        header = ("Tag", "Size", "Model Size") if kind is BENTO else ("Tag", "Module", "Size")
        right = (1, 2) if kind is BENTO else (2,)
        show.table(
            (*header, "Creation Time"), [[str(value) for value in list(row.values())[:4]] for row in rows], right
        )
    return status.OK


def _bento_rows(entries: list[Entry], store: Store) -> list[dict[str, str | int]]:
    cache: dict[str, int] = {}
    rows: list[dict[str, str | int]] = []
    for entry in entries:
        size, models = entry.size(), sum(_model_size(entry, tag, store, cache) for tag in entry.models)
        rows.append(
            {
                "tag": str(entry.tag),
                "size": show.size(size),
                "model_size": show.size(models),
                "creation_time": show.local_time(entry.creation_time),
                "size_bytes": size,
                "model_size_bytes": models,
                "created_at": entry.creation_time.isoformat(),
            }
        )
    return rows


def _model_rows(entries: list[Entry]) -> list[dict[str, str | int]]:
    return [
        {
            "tag": str(entry.tag),
            "module": entry.summary.module,
            "size": show.size(size := entry.size()),
            "creation_time": show.local_time(entry.creation_time),
            "size_bytes": size,
            "created_at": entry.creation_time.isoformat(),
        }
        for entry in entries
    ]


def _model_size(entry: Entry, tag: str, store: Store, cache: dict[str, int]) -> int:
    """Return the size of the model `tag` in bytes. Returns 0 if the model is in the Bento or isn't in the store."""
    from bento_cli.store.entry_store import NotFoundError, tree_size

    name, _, version = tag.partition(":")
    if (entry.path / MODEL.directory / name / version).is_dir():
        return 0
    if tag not in cache:
        try:
            entries = store.models.entry_store
            cache[tag] = tree_size(entries.path(entries.find(tag)))
        except NotFoundError:
            show.note(f"{entry.tag}: the model {tag} isn't in the store.")
            cache[tag] = 0
    return cache[tag]


def add_get_arguments(parser: ArgumentParser, kind: Kind) -> None:
    parser.add_argument(
        "tag",
        metavar="TAG",
        help=f"Print the metadata of this {kind.noun} (NAME:VERSION, or NAME for the latest version)",
    )
    show.add_output(parser, "yaml", "json", "path")


def run_get(options: Namespace, store: Store, kind: Kind) -> int:
    entry = store.section(kind).get(options.tag)
    if options.output == "path":
        show.out(str(entry.path))
    else:
        show.data(entry.description.document, options.output)
    return status.OK


def add_delete_arguments(parser: ArgumentParser, kind: Kind) -> None:
    parser.add_argument(
        "tags",
        metavar="TAG",
        nargs="+",
        help=f"Delete this {kind.noun} (NAME:VERSION), or all versions of NAME; separate several tags with commas",
    )
    arguments.add_flag(parser, "-y", "--yes", "--assume-yes", help="Don't prompt for confirmation")
    if kind is MODEL:
        arguments.add_flag(parser, "--force", help="Delete the model even if a Bento uses it")
    show.add_output(parser, "text", "json", "yaml")


def run_delete(options: Namespace, store: Store, kind: Kind) -> int:
    section = store.section(kind)
    entries: dict[str, Entry] = {}
    for tag in ",".join(options.tags).replace(",", " ").split():
        selected = [section.get(tag)] if ":" in tag else section.list(tag)
        entries |= {f"{entry.path.parent.name}:{entry.path.name}": entry for entry in selected}
    if not entries:
        raise BentoError("TAG: the argument is empty. Specify a tag or a name.")
    deleted = []
    for tag in entries:
        if options.yes or _confirmed(f"Delete {kind.noun} {tag}?"):
            section.delete(tag, force=getattr(options, "force", False))
            deleted.append(tag)
            if options.output == "text":
                show.out(f"Deleted {kind.noun} {tag}.")
    show.data(deleted, options.output)
    return status.OK


def _confirmed(question: str) -> bool:
    if not sys.stdin.isatty():
        raise BentoError(
            "Can't prompt for confirmation, because standard input isn't a terminal. Add --yes to skip the prompt."
        )
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def add_gc_arguments(parser: ArgumentParser, kind: Kind) -> None:
    arguments.add_flag(parser, "-n", "--dry-run", help="Report what would be removed, without removing anything")
    show.add_output(parser, "text", "json", "yaml")
    parser.epilog = (
        "The command removes files of entries that BentoML deleted, and partial downloads of interrupted commands. "
        "Bentos and models remain unchanged."
    )


def run_gc(options: Namespace, store: Store, kind: Kind) -> int:
    removed = store.gc(
        dry_run=options.dry_run, waiting=lambda: show.note("Waiting for another bento process to finish.")
    )
    if not show.data({"files": removed.files, "size": removed.size, "records": removed.records}, options.output):
        verb = "Would remove" if options.dry_run else "Removed"
        files = f"{show.count(removed.files, 'file')} ({show.size(removed.size)})"
        show.out(f"{verb} {files} and {show.count(removed.records, 'record')}.")
    return status.OK
