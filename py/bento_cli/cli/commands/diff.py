"""`bento diff`: compares two entries or archives."""

from __future__ import annotations

from rules_bento.typing_lite import TYPE_CHECKING, Any

from bento_cli.cli import show, status

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from rules_bento.bento.kinds import Kind
    from rules_bento.sources.manifest import TreeEntry as File

    from bento_cli.library import Store
    from bento_cli.store.diff import Difference


def add_arguments(parser: ArgumentParser, kind: Kind) -> None:
    """Add the arguments for the two entries, and the output."""
    parser.add_argument("one", metavar="TAG", help=f"the first {kind.noun}, or the path of an archive")
    parser.add_argument("other", metavar="TAG", help=f"the second {kind.noun}, or the path of an archive")
    show.add_output(parser, "text", "json", "yaml")
    parser.epilog = f"The exit status is {status.FOUND} if they differ."


def run(options: Namespace, store: Store, kind: Kind) -> int:
    """Compare two entries, and print the differences."""
    difference = store.diff(options.one, options.other, kind)
    if not show.data(_data(difference), options.output):
        _print(difference)
    return status.FOUND if difference else status.OK


def _print(difference: Difference) -> None:
    for key, before, after in difference.fields:
        show.out(show.plain(f"{key}: {_short(before)} -> {_short(after)}"))
    for tag in difference.models_removed:
        show.out(show.bad(f"- model {tag}"))
    for tag in difference.models_added:
        show.out(show.good(f"+ model {tag}"))
    for file in difference.removed:
        show.out(show.bad(f"- {_file(file)}"))
    for file in difference.added:
        show.out(show.good(f"+ {_file(file)}"))
    for before, after in difference.changed:
        show.out(show.changed(f"~ {show.plain(before.path)}  {_change(before, after)}"))


def _short(value: Any) -> str:
    if value is None:
        return "nothing"
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _file(file: File) -> str:
    return f"{show.plain(file.path)}  {show.size(file.size) if file.link is None else f'-> {show.plain(file.link)}'}"


def _change(before: File, after: File) -> str:
    if before.link != after.link:
        return f"-> {before.link} became -> {after.link}" if before.link and after.link else "became another kind"
    facts = [] if before.blake3 == after.blake3 else [f"{show.size(before.size)} -> {show.size(after.size)}"]
    if before.mode != after.mode:
        facts.append("now executable" if after.mode & 0o100 else "no longer executable")
    return ", ".join(facts)


def _data(difference: Difference) -> dict[str, Any]:
    return {
        "fields": [{"field": key, "before": before, "after": after} for key, before, after in difference.fields],
        "models": {"added": list(difference.models_added), "removed": list(difference.models_removed)},
        "files": {
            "added": [{"path": file.path, "size": file.size} for file in difference.added],
            "removed": [{"path": file.path, "size": file.size} for file in difference.removed],
            "changed": [
                {"path": before.path, "before": before.size, "after": after.size}
                for before, after in difference.changed
            ],
        },
    }
