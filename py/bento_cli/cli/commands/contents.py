"""Implements `bento tree` and `bento diff`, which show the contents and differences of entries and archives."""

from __future__ import annotations

import sys
from os.path import commonprefix

import click
from rules_bento.base.archives.tarstream import MAX_DEPTH
from rules_bento.base.dataclasses_lite import dataclass, field
from rules_bento.base.errors import BentoError
from rules_bento.base.net import terminal
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, BinaryIO, Iterator, Sequence

from bento_cli.cli import invoke, shared_options, show, status
from bento_cli.cli.command import Tag, command

if TYPE_CHECKING:
    from pathlib import Path

    from rules_bento.base.archives.unpack import Form
    from rules_bento.bentos.models.model import ModelDescription
    from rules_bento.bentos.sources.tree_manifest import TreeEntry as File

    from bento_cli.library import Store
    from bento_cli.store.diff import Difference
    from bento_cli.store.entry_store import Entry


_COMPARED = Tag(if_image="To compare two images, run `bento report IMAGE OTHER`.")
_WIDTH = 80  # characters of a value in a difference


@dataclass
class _Node:
    """A directory, file, or link in a tree. The size of a directory is the total size of its files in bytes."""

    size: int = 0
    note: str = ""
    children: dict[str, _Node] = field(default_factory=dict)

    def data(self, name: str) -> dict[str, Any]:
        fields: dict[str, Any] = {"name": name, "size": self.size}
        if self.note:
            fields["note"] = self.note
        if self.children:
            fields["children"] = [child.data(name) for name, child in self.children.items()]
        return fields


@command("iris:latest", "./iris.bento")
@click.argument(
    "tag",
    type=Tag(if_image="Run `bento report IMAGE`."),
    help="Show this Bento: a tag, an archive, or - for standard input",
)
@shared_options.output("text", "json", "yaml")
def tree_command(store: Store, tag: str, output: str) -> None:
    """Show the files and models of a Bento or an archive."""
    from bento_cli.library import archive_of

    archive = archive_of(tag)
    if archive:
        name, root = tag if tag == "-" else str(archive[0]), _of_archive(*archive)
    else:
        entry = store.bentos.get(tag)
        name, root = str(entry.tag), _of_entry(entry)
        _add_models(root, entry, store)
    _show(name, root, output)


def of_built(target: str, archive: Path, models: Sequence[ModelDescription], words: list[str]) -> int:
    """Print the tree of a built Bento. Includes `models`, which aren't in the archive. Returns the exit code.

    `words` contains the arguments after `tree`. Raises BentoError if directories are nested too deeply.
    """

    @click.command(help="Show the files and models of the Bento.")
    @shared_options.output("text", "json")
    def tree(output: str) -> None:
        root = _of_archive(archive, "xz")
        for model in models:
            _add(root, f"models/{model.tag.replace(':', '/')}", model.size, "not in the archive")
        _show(target, root, output)

    return invoke(tree, f"bazel run {target} -- tree", words)


def _show(name: str, root: _Node, output: str) -> None:
    if not show.data(root.data(name), output):
        lines = list(_lines(root, ""))
        first = show.dimmed_version(show.plain(name))
        if not sys.stdout.isatty():
            for branch, node in [(first, root), *lines]:
                details = show.faint("  ".join(filter(None, (show.size(node.size), show.plain(node.note)))))
                show.out(f"{branch}  {details}")
            return
        width = max(len(show.plain(name)), *(len(branch) for branch, _ in lines)) if lines else len(show.plain(name))
        show.out(f"{first}{' ' * (width - len(show.plain(name)))}  {show.size(root.size):>11}")
        narrow = width + len("  100.00 MiB  100.0 %  executable") > terminal.columns(sys.stdout)
        for branch, node in lines:
            share = f"  {100 * node.size / (root.size or 1):5.1f} %  {show.plain(node.note)}".rstrip()
            details = show.faint(f"{show.size(node.size):>11}{'' if narrow else share}")
            show.out(f"{branch:{width}}  {details}")


def _of_entry(entry: Entry) -> _Node:
    from bento_cli.store.export import walk

    root = _Node()
    for member in walk(entry.path, ""):
        if member.link is not None:
            _add(root, member.path, 0, f"-> {member.link}")
        elif not member.is_directory:
            _add(root, member.path, member.size, "executable" if member.mode & 0o100 else "")
    return root


def _of_archive(source: Path | BinaryIO, form: Form) -> _Node:
    from rules_bento.base.archives import unpack

    root = _Node()
    items = [item for item, _ in unpack.read(source, form)]
    for item in sorted(items, key=lambda item: item.path):
        if item.kind != "folder":
            note = f"-> {item.link}" if item.kind == "link" else "executable" if item.executable else ""
            _add(root, item.path, item.size, note)
    return root


def _add_models(root: _Node, entry: Entry, store: Store) -> None:
    """Add the models that a Bento requires to the Bento's tree, at their paths in an exported archive."""
    from bento_cli.store.entry_store import NotFoundError

    for tag in entry.models:
        try:
            model = store.models.get(tag)
            _add(root, f"models/{model.tag.name}/{model.tag.version}", model.size(), "in the model store")
        except NotFoundError:
            _add(root, f"models/{tag.replace(':', '/')}", 0, "missing")


def _add(root: _Node, path: str, size: int, note: str) -> None:
    if path.count("/") > MAX_DEPTH:
        raise BentoError(f"{path[:60]}...: the path has more than {MAX_DEPTH} nested directories. Reduce the nesting.")
    node = root
    node.size += size
    for part in path.split("/"):
        node = node.children.setdefault(part, _Node())
        node.size += size
    node.note = note


def _lines(node: _Node, indent: str) -> Iterator[tuple[str, _Node]]:
    """Yield the branch and the name of each node below a node."""
    last = len(node.children) - 1
    for number, (name, child) in enumerate(node.children.items()):
        branch, below = ("└── ", "    ") if number == last else ("├── ", "│   ")
        slash = "/" if child.children else ""
        yield f"{indent}{branch}{show.plain(name)}{slash}", child
        yield from _lines(child, indent + below)


@command("iris:v1 iris:v2")
@click.argument(
    "one", type=_COMPARED, metavar="TAG", help="Compare this Bento: a tag, an archive, or - for standard input"
)
@click.argument("other", type=_COMPARED, metavar="TAG", help="Compare with this Bento, in the same forms")
@shared_options.output("text", "json", "yaml")
def diff_command(store: Store, one: str, other: str, output: str) -> int:
    """Show the differences between two Bentos or archives.

    The exit code is 3 if there are differences.
    """
    difference = store.diff(one, other)
    if not show.data(_data(difference), output):
        _print(difference)
    return status.FOUND if difference else status.OK


def _print(difference: Difference) -> None:
    for key, before, after in difference.fields:
        if key == "image.python_requirements" and difference.packages:
            continue
        if before is None:
            show.out(show.good(show.plain(f"+ {key} = {_short(repr(after))}")))
        elif after is None:
            show.out(show.bad(show.plain(f"- {key} = {_short(repr(before))}")))
        else:
            # Long values begin shortly before the first difference.
            both = repr(before), repr(after)
            common = len(commonprefix(both))  # noqa: RUF071 - not paths
            start = max(0, common - 20) if max(map(len, both)) > _WIDTH else 0
            values = [f"{'...' if start else ''}{_short(text[start:])}" for text in both]
            show.out(show.changed(show.plain(f"~ {key} = {' -> '.join(values)}")))
    for each in sorted(difference.packages, key=lambda each: str(each["name"])):
        sign, style = {"added": ("+", show.good), "removed": ("-", show.bad)}.get(each["change"], ("~", show.changed))
        versions = " -> ".join(filter(None, (each["before"], each["after"])))
        show.out(style(show.plain(f"{sign} {each['name']} {versions}".rstrip())))
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


def _short(text: str) -> str:
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 3]}..."


def _file(file: File) -> str:
    return f"{show.plain(file.path)}  {show.size(file.size) if file.link is None else f'-> {show.plain(file.link)}'}"


def _change(before: File, after: File) -> str:
    if before.link != after.link:
        return f"-> {before.link} to -> {after.link}" if before.link and after.link else "changed between file and link"
    details = [] if before.blake3 == after.blake3 else [f"{show.size(before.size)} -> {show.size(after.size)}"]
    if before.mode != after.mode:
        details.append("now executable" if after.mode & 0o100 else "no longer executable")
    return ", ".join(details)


def _data(difference: Difference) -> dict[str, Any]:
    return {
        "packages": [{key: each[key] for key in ("change", "name", "before", "after")} for each in difference.packages],
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
