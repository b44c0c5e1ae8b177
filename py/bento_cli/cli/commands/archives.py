"""Implements `bento import` and `bento export`, which read and write archives."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from rules_bento.base.archives.unpack import FORMS
from rules_bento.base.errors import BentoError
from rules_bento.base.tag import LATEST, read_latest
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Sequence
from rules_bento.bentos.assembly.kinds import BENTO

from bento_cli.cli import shared_options, show
from bento_cli.cli.command import Command, File, Tag, command

if TYPE_CHECKING:
    from rules_bento.base.archives.unpack import Form
    from rules_bento.bentos.assembly.kinds import Kind

    from bento_cli.library import Entry, EntryCollection, Options, Store
    from bento_cli.store.export import Exported
    from bento_cli.store.import_session import Imported


_SUFFIXES = "The suffix determines the format: .gz, .bz2, .zst, .tar, or .zip, otherwise xz."
_BYTES = "The bytes of .xz and .bz2 depend on the versions of liblzma and libbz2, but the tag doesn't."
_URLS = "URLs can have the schemes s3, gs, az, ftp, ftps, sftp, and others of fsspec."
IMPORTED = "Complete {}s remain in the store. To remove partial data, run `bento gc`."
"""What remains after an interrupted import."""

_format = shared_options.option(
    "--format", "Set the archive format (default: by suffix)", name="form", type=click.Choice(FORMS)
)


def import_command(kind: Kind) -> Command:
    what = "Bentos and their models" if kind is BENTO else "models"

    @command(
        "iris.bento",
        "s3://bucket/iris.bento",
        kept=IMPORTED.format(kind.noun),
        help=f"Import {what} from archives and OCI layouts.\n\n{_SUFFIXES} Without --force, the import fails if the "
        f"store contains another {kind.noun} with the same tag. {_URLS}",
    )
    @shared_options.many(
        "paths", File(), "PATH", help="Import this archive, directory, URL, or OCI layout (- for standard input)"
    )
    @_format
    @shared_options.no_models(kind)
    @shared_options.option("--sha256 HEX", "Fail unless the download has this SHA-256 digest", default="")
    @shared_options.force(kind)
    @shared_options.import_options
    @shared_options.output("text", "json", "yaml", "path")
    @click.option("--built", "act", help="For `bazel run`", flag_value="build", default="import", hidden=True)
    def run(store: Store, paths: Sequence[str], form: Form | None, sha256: str, output: str, **options: Any) -> None:
        if sha256 and len(paths) > 1:
            raise BentoError("--sha256 can be used with only one archive. Import the archives one at a time.")
        importing = shared_options.imports(**options)
        imports = (each for path in paths for each in _import(store.section(kind), path, form, importing, sha256))
        results = [show_imported("Imported", imported, output) for imported in imports]
        show.data(results if len(results) > 1 else results[0], output)

    return run


def _import(
    section: EntryCollection, path: str, form: Form | None, importing: Options, sha256: str
) -> Sequence[Imported]:
    from bento_cli.sharing.registry import find_layout

    if not (sha256 or form) and (layout := find_layout(path)):
        from bento_cli.sharing.registry import layouts

        with show.progress("Importing") as progress:
            return layouts.pull(section.home, section.kind, layout, importing, progress)
    if path == "-":
        with show.progress("Importing") as progress:
            return [section.import_archive(sys.stdin.buffer, form, importing, progress)]
    total = _check_source(path, section.kind)
    with show.transfer("Downloading", path) as counter, show.progress("Importing", total) as progress:
        return [section.import_archive(path, form, importing, progress, sha256=sha256, counter=counter)]


def _check_source(text: str, kind: Kind) -> int:
    """Return the size in bytes of a local archive, or 0 for a URL or a directory.

    Raises BentoError if a directory isn't a Bento or model.
    """
    from bento_cli.library import local
    from bento_cli.transports.address import parse

    if parse(text):
        return 0
    path = local(text)
    if path.is_dir() and not (path / kind.descriptor).exists():
        raise BentoError(f"{path}: the directory isn't a {kind.noun}. Use a directory that contains {kind.descriptor}.")
    return path.stat().st_size if path.is_file() else 0


def show_imported(verb: str, imported: Imported, output: str) -> dict[str, Any]:
    """Print the result of an import or a pull, and return it as a JSON object."""
    entry, models = imported.entry, ", ".join(str(model.tag) for model in imported.models)
    for note in imported.notes:
        show.note(note)
    if output == "path":
        show.out(str(entry.path))
    elif output == "text":
        name = f"{entry.kind.noun} {entry.tag}"
        if imported.new:
            show.done(f"{verb} {name}{models and f' with {models}'}{show.already_present(imported.known)}.")
            if entry.kind is BENTO:
                show.next_steps(f"serve {entry.tag}")
        else:
            show.done(f"{name} is already in the store{models and f'; {verb.lower()} {models}'}.")
        if (latest := read_latest(entry.path.parent)) not in ("", entry.path.name):
            show.note(f"{entry.tag.name}:{LATEST} is still {entry.tag.name}:{latest}.")
    return {
        "tag": str(entry.tag),
        "path": str(entry.path),
        "new": imported.new,
        "models": [str(model.tag) for model in imported.models],
        "known_models": [str(tag) for tag in imported.known],
        "notes": list(imported.notes),
    }


def export_command(kind: Kind) -> Command:
    what = "Bento and its models" if kind is BENTO else "model"

    @command(
        "iris:latest",
        "iris:latest iris.tar.gz",
        help=f"Export a {what} to an archive.\n\nIf PATH is a directory, the file name is "
        f"NAME-VERSION.{kind.extension}. {_SUFFIXES} If the name has another suffix than .xz, the command appends "
        f".{kind.extension}. BentoML can import all formats except .zst. {_BYTES} {_URLS}",
    )
    @click.argument("tag", type=Tag(kind), help=f"Export this {kind.noun} ({shared_options.TAG})")
    @click.argument(
        "out",
        type=File(),
        metavar="[PATH]",
        default="",
        help="Write to this file, directory, or URL (- for standard output; default: the current directory)",
    )
    @_format
    @shared_options.no_models(kind)
    @shared_options.no_verify
    @shared_options.option("--no-clobber", "Fail if the file exists (default: overwrite the file)")
    @shared_options.output("text", "json", "yaml", "path")
    def run(
        store: Store,
        tag: str,
        out: str,
        form: Form | None,
        no_verify: bool,
        no_clobber: bool,
        output: str,
        no_models: bool = False,
    ) -> None:
        section = store.section(kind)
        if out.lower().startswith("memory://"):
            remedy = "Export to a file or server."
            raise BentoError("the archive would exist only until this command ends", place=out, remedy=remedy)
        settings: dict[str, Any] = {"models": not no_models, "check": not no_verify}
        if out == "-":
            _export_to_output(section, tag, form or "xz", output, settings)
            return
        if no_clobber:
            _check_absent(out, form, section.get(tag))
        kept = "The directory is incomplete." if form == "folder" else "No archive was written."
        with (
            show.on_interrupt(kept),
            show.transfer("Uploading", out) as counter,
            show.progress("Exporting") as progress,
        ):
            exported = section.export(tag, out, form, progress=progress, counter=counter, **settings)
        _show_exported(exported, output)

    return run


def _export_to_output(section: EntryCollection, tag: str, form: Form, output: str, settings: dict[str, Any]) -> None:
    if form == "folder":
        problem = "a directory can't be written to standard output"
        remedy = "Specify an output directory, or use an archive format."
        raise BentoError(problem, place="--format `folder`", remedy=remedy)
    with (
        show.on_interrupt("The archive is incomplete."),
        shared_options.output_path("-", output) as path,
        show.progress("Exporting") as progress,
    ):
        section.export(tag, path, form, progress=progress, **settings)


def _show_exported(exported: Exported, output: str) -> None:
    for tag in exported.excluded:
        show.note(f"{tag} isn't in the archive: BentoML downloads the model from the Hugging Face Hub at startup.")
    entry, path = exported.entry, exported.path
    models = list(map(str, exported.models))
    if output == "path":
        show.out(str(path))
    elif output == "text":
        with_models = f" with {', '.join(models)}" if models else ""
        show.done(f"Exported {entry.kind.noun} {entry.tag}{with_models} to {show.plain(str(path))}.")
    absolute = path.absolute() if isinstance(path, Path) else path
    show.data({"tag": str(entry.tag), "path": str(absolute), "models": models}, output)


def _check_absent(out: str, form: Form | None, entry: Entry) -> None:
    """Enforce `--no-clobber`: raise BentoError if the output of an export exists or is a URL."""
    from bento_cli.store.export import destination
    from bento_cli.transports.address import parse

    if parse(out):
        raise BentoError("--no-clobber isn't supported for URLs. Remove --no-clobber.")
    path, _ = destination(entry.kind, entry.tag, out, form)
    if path.exists():
        raise BentoError(f"{path}: the path already exists. Specify another path, or remove --no-clobber.")
