"""Implements `bento list`, `get`, `delete`, and `gc`, which manage the entries of the store."""

from __future__ import annotations

import re
import sys

import click
from click.core import ParameterSource
from rules_bento.base.errors import BentoError
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Sequence
from rules_bento.bentos.assembly.kinds import BENTO, MODEL

from bento_cli.cli import shared_options, show
from bento_cli.cli.command import Command, Tag, command

if TYPE_CHECKING:
    from rules_bento.bentos.assembly.kinds import Kind

    from bento_cli.library import Store
    from bento_cli.store.entry_store import Entry

_MAX_LINES, _MAX_LINE = 4, 60  # of strings that `get` prints to a terminal
_LIST = """List the {noun}s in the store, newest first.

The columns and fields are the same as in BentoML. The JSON and YAML output also contains the sizes in bytes, and times
with a time zone."""


def list_command(kind: Kind) -> Command:
    @command("", "iris -o json", help=_LIST.format(noun=kind.noun))
    @click.argument(
        "tag",
        type=Tag(kind),
        default="",
        help=f"List only the {kind.noun} with this tag, all versions of this name, or the tags in REGISTRY/REPOSITORY",
    )
    @shared_options.insecure
    @shared_options.output("table", "json", "yaml", "path")
    def run(store: Store, tag: str, insecure: Sequence[str], output: str) -> None:
        if "/" in tag:
            _list_repository(tag, insecure, output)
            return
        entry_store = store.section(kind).entry_store
        listing = entry_store.list(str(entry_store.find(tag)) if ":" in tag else tag)
        for problem in (*listing.problems, *listing.strays):
            show.note(problem)
        # The sort is stable, also in reverse.
        entries = sorted(listing.entries, key=lambda entry: entry.moment, reverse=True)
        if output == "path":
            for entry in entries:
                show.out(str(entry.path))
            return
        rows = _bento_rows(entries, store) if kind is BENTO else _model_rows(entries)
        if not show.data(rows, output):
            columns = ["Tag", "Size", "Model Size"] if kind is BENTO else ["Tag", "Module", "Size"]
            columns.append("Creation Time")
            values = [[str(value) for value in list(row.values())[:4]] for row in rows]
            if sys.stdout.isatty():
                values = [[*row, show.age(entry.creation_time)] for row, entry in zip(values, entries, strict=True)]
                columns.append("Age")
            show.table(columns, values, ("Size", "Model Size"), ("Creation Time", "Model Size", "Module", "Size"))

    return run


def _list_repository(name: str, insecure: Sequence[str], output: str) -> None:
    """Print the tags of a repository in a registry, with their creation times and digests."""
    from rules_bento.base.net.transfers import parallel_map
    from rules_bento.images.registry.reference import Reference

    reference = Reference.from_url(name)
    if reference.tag or reference.digest or output == "path":
        raise BentoError(f"{name}: expected REGISTRY/REPOSITORY without a tag, and another output than path.")
    with shared_options.connected(insecure, f"Listing {reference.name}") as (registries, _):
        repository = registries.repository(reference)
        # The other tags are lists of referrers, and signatures.
        listed = (reference.with_tag(tag).tag for tag in repository.tags())  # which rejects other strings
        tags = [tag for tag in listed if not re.fullmatch(r"sha256-[0-9a-f]{64}(\.\w+)?", tag)]
        found = parallel_map(repository.created, tags)
    rows = []
    for tag, (digest, created) in zip(tags, found, strict=True):
        rows.append({"tag": tag, "created_at": created, "digest": digest})
    rows.sort(key=lambda row: row["created_at"], reverse=True)
    if not show.data(rows, output):
        show.table(("Tag", "Creation Time", "Digest"), [list(row.values()) for row in rows], (), ("Creation Time",))


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


def get_command(kind: Kind) -> Command:
    @command("iris:latest", "iris -o json", help=f"Print the metadata ({kind.descriptor}) of a {kind.noun}.")
    @click.argument(
        "tag",
        type=Tag(kind, "Run `bento report IMAGE`."),
        help=f"Print the metadata of this {kind.noun} ({shared_options.TAG})",
    )
    @shared_options.output("yaml", "json", "path")
    def run(store: Store, tag: str, output: str) -> None:
        entry = store.section(kind).get(tag)
        if output == "path":
            show.out(str(entry.path))
        else:
            document = entry.description.document
            chosen = click.get_current_context().get_parameter_source("output")
            is_folded = sys.stdout.isatty() and chosen is ParameterSource.DEFAULT
            show.data(_folded(document) if is_folded else document, output)
            if kind is BENTO and output == "yaml" and not (entry.path / "apis").is_dir():
                show.note("The Bento has no description of its APIs (apis/, schema). To write it, build with --apis.")

    return run


def delete_command(kind: Kind) -> Command:
    tags = f"Delete this {kind.noun} (NAME:VERSION), or all versions of NAME; separate several tags with commas"
    force = shared_options.option("--force", "Delete the model even if a Bento uses it")

    @command("iris:v1", "iris --yes", help=f"Delete {kind.noun}s from the store.")
    @shared_options.many("tags", Tag(kind), "TAG", help=tags)
    @shared_options.option("-y, --yes, --assume-yes", "Don't prompt for confirmation")
    @(force if kind is MODEL else shared_options.combine())
    @shared_options.output("text", "json", "yaml")
    def run(store: Store, tags: Sequence[str], yes: bool, output: str, force: bool = False) -> None:
        section = store.section(kind)
        groups: list[tuple[str, list[str]]] = []  # a question, and the tags to delete
        for text in ",".join(tags).replace(",", " ").split():
            selected = section.list(text) or [section.get(text)]
            found = [f"{entry.path.parent.name}:{entry.path.name}" for entry in selected]
            what = f"all {len(found)} versions of {kind.noun} {text}" if len(found) > 1 else f"{kind.noun} {found[0]}"
            groups.append((f"Delete {what}?", found))
        if not groups:
            raise BentoError("TAG: the argument is empty. Specify a tag or a name.")
        confirmed = dict.fromkeys(tag for question, found in groups if yes or _confirmed(question) for tag in found)
        section.delete(*confirmed, force=force)
        for tag in confirmed if output == "text" else ():
            show.done(f"Deleted {kind.noun} {tag}.")
        show.data([*confirmed], output)

    return run


def _folded(value: Any) -> Any:
    """Return a document in which the numbers of lines replace long strings."""
    if isinstance(value, dict):
        return {key: _folded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_folded(item) for item in value]
    if isinstance(value, str) and value.count("\n") > _MAX_LINES:
        first, *others = value.rstrip("\n").split("\n")
        return f"{first[:_MAX_LINE]} (and {show.count(len(others), 'more line')}; to print all, add -o yaml)"
    return value


def _confirmed(question: str) -> bool:
    if not sys.stdin.isatty():
        remedy = "Add --yes to skip the prompt."
        raise BentoError("can't prompt for confirmation, because standard input isn't a terminal", remedy=remedy)
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


@command("--dry-run")
@shared_options.option("-n, --dry-run", "Report what would be removed, without removing anything")
@shared_options.output("text", "json", "yaml")
def gc_command(store: Store, dry_run: bool, output: str) -> None:
    """Remove unused files from the store.

    The command removes files of entries that BentoML deleted, and partial downloads of interrupted commands. Bentos and
    models remain unchanged.
    """
    removed = store.gc(dry_run=dry_run, waiting=lambda: show.note("Waiting for another bento process to finish."))
    if not show.data({"files": removed.files, "size": removed.size, "records": removed.records}, output):
        verb = "Would remove" if dry_run else "Removed"
        files = f"{show.count(removed.files, 'file')} ({show.size(removed.size)})"
        show.done(f"{verb} {files} and {show.count(removed.records, 'record')}.")
