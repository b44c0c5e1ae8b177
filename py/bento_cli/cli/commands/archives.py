"""Implements `bento import`, `export`, `bundle`, and `unbundle`, which read and write archives."""

from __future__ import annotations

import sys
from pathlib import Path

from rules_bento.bento.kinds import BENTO
from rules_bento.errors import BentoError
from rules_bento.typing_lite import TYPE_CHECKING, Any

from bento_cli.cli import arguments, show, status

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from rules_bento.archives.unpack import Form
    from rules_bento.bento.kinds import Kind

    from bento_cli.library import Entry, Store
    from bento_cli.store.import_session import Imported


def _add_format(parser: ArgumentParser) -> None:
    from rules_bento.archives.unpack import FORMS

    parser.add_argument(
        "--format", choices=FORMS, help="Set the archive format (default: determined by the file suffix)"
    )


def add_import_arguments(parser: ArgumentParser, kind: Kind) -> None:
    parser.add_argument(
        "paths", metavar="PATH", nargs="+", help="Import this archive, directory, or URL (- for standard input)"
    )
    _add_format(parser)
    if kind is BENTO:
        arguments.add_no_models(parser)
    parser.add_argument(
        "--sha256", metavar="HEX", default="", help="Fail unless the downloaded archive has this SHA-256 digest"
    )
    arguments.add_flag(parser, "--force", help=arguments.force_help(kind))
    arguments.add_import_options(parser)
    show.add_output(parser, "text", "json", "yaml", "path")
    parser.epilog = (
        "The suffix determines the format: .gz, .bz2, .zst, .tar, or .zip. A file with any other suffix must be a tar "
        f"archive compressed with xz. Without --force, the import fails if the {kind.noun} already exists. URL "
        "schemes: s3, gs, az, ftp, ftps, sftp, http, https, and others that fsspec supports. The command reads "
        "credentials from the configuration files of each service's standard tools, or from ~/.netrc."
    )


def run_import(options: Namespace, store: Store, kind: Kind) -> int:
    if options.sha256 and len(options.paths) > 1:
        raise BentoError("--sha256 can be used with only one archive. Import the archives one at a time.")
    section, importing = store.section(kind), arguments.import_options(options)
    results = []
    for text in options.paths:
        if text == "-":
            with show.progress("Importing") as progress:
                imported = section.import_archive(sys.stdin.buffer, options.format, importing, progress)
        else:
            total = _check_source(text, kind)
            with show.transfer("Downloading", text) as counter, show.progress("Importing", total) as progress:
                imported = section.import_archive(
                    text, options.format, importing, progress, sha256=options.sha256, counter=counter
                )
        for note in imported.notes:
            show.note(note)
        if options.output in ("text", "path"):
            show.out(str(imported.entry.path) if options.output == "path" else _describe(imported))
        if options.output == "text" and kind is BENTO:
            show.next_steps(f"serve {imported.entry.tag}")
        results.append(_fields(imported))
    show.data(results if len(results) > 1 else results[0], options.output)
    return status.OK


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


def _describe(imported: Imported) -> str:
    models = ", ".join(str(model.tag) for model in imported.models)
    name = f"{imported.entry.kind.noun} {imported.entry.tag}"
    return f"Imported {name}{models and f' with {models}'}{show.already_present(imported.known)}."


def _fields(imported: Imported) -> dict[str, Any]:
    return {
        "tag": str(imported.entry.tag),
        "path": str(imported.entry.path),
        "models": [str(model.tag) for model in imported.models],
        "known_models": [str(tag) for tag in imported.known],
        "notes": list(imported.notes),
    }


def add_export_arguments(parser: ArgumentParser, kind: Kind) -> None:
    parser.add_argument(
        "tag", metavar="TAG", help=f"Export this {kind.noun} (NAME:VERSION, or NAME for the latest version)"
    )
    parser.add_argument(
        "out",
        metavar="PATH",
        nargs="?",
        default="",
        help="Write to this file, directory, or URL (- for standard output; default: the current directory)",
    )
    _add_format(parser)
    if kind is BENTO:
        arguments.add_no_models(parser)
    arguments.add_no_verify(parser)
    arguments.add_flag(parser, "--no-clobber", help="Fail if the file exists (default: overwrite the file)")
    show.add_output(parser, "text", "json", "yaml", "path")
    parser.epilog = (
        f"If PATH is a directory, the file name is NAME-VERSION.{kind.extension}. The suffix determines the format: "
        f".{kind.extension} or .xz (tar compressed with xz), .gz, .bz2, .zst, .tar, or .zip. If the name has another "
        f"suffix, the command appends .{kind.extension}. BentoML can import all formats except .zst. URL schemes: s3, "
        "gs, az, ftp, ftps, sftp, and others that fsspec supports. The command reads credentials from the "
        "configuration files of each service's standard tools, or from ~/.netrc."
    )


def run_export(options: Namespace, store: Store, kind: Kind) -> int:
    section = store.section(kind)
    models, check = not getattr(options, "no_models", False), not options.no_verify
    if options.out == "-":
        if options.format == "folder":
            raise BentoError(
                "--format `folder`: a directory can't be written to standard output. Specify an output directory, or "
                "use an archive format."
            )
        with arguments.output_path(options.out, options) as out, show.progress("Exporting") as progress:
            form: Form = options.format or "xz"
            section.export(options.tag, out, form, models=models, check=check, progress=progress)
        return status.OK
    if options.no_clobber:
        _check_absent(options, section.get(options.tag))
    with show.transfer("Uploading", options.out) as counter, show.progress("Exporting") as progress:
        exported = section.export(
            options.tag, options.out, options.format, models=models, check=check, progress=progress, counter=counter
        )
    for tag in exported.excluded:
        show.note(f"{tag} isn't in the archive: BentoML downloads the model from the Hugging Face Hub at startup.")
    path = exported.path
    if options.output == "path":
        show.out(str(path))
    elif options.output == "text":
        with_models = f" with {', '.join(map(str, exported.models))}" if exported.models else ""
        show.out(f"Exported {kind.noun} {exported.entry.tag}{with_models} to {show.plain(str(path))}.")
    fields = {
        "tag": str(exported.entry.tag),
        "path": str(path.absolute() if isinstance(path, Path) else path),
        "models": list(map(str, exported.models)),
    }
    show.data(fields, options.output)
    return status.OK


def _check_absent(options: Namespace, entry: Entry) -> None:
    """Enforce `--no-clobber`: raise BentoError if the output of an export exists or is a URL."""
    from bento_cli.store.export import destination
    from bento_cli.transports.address import parse

    if parse(options.out):
        raise BentoError("--no-clobber isn't supported for URLs. Remove --no-clobber.")
    path, _ = destination(entry.kind, entry.tag, options.out, options.format)
    if path.exists():
        raise BentoError(f"{path}: the path already exists. Specify another path, or remove --no-clobber.")


def add_bundle_arguments(parser: ArgumentParser, kind: Kind) -> None:
    parser.add_argument(
        "out", metavar="PATH", help="Write the bundle to this file, such as release.bentobundle (- for standard output)"
    )
    parser.add_argument(
        "tags", metavar="TAG", nargs="+", help="Include this Bento and its models (NAME:VERSION or NAME)"
    )
    show.add_output(parser, "text", "json", "yaml", "path")
    parser.epilog = (
        "A bundle is a tar file of .bento and .bentomodel archives, with each model only once. You can extract the "
        "archives with `tar -x`, and import the archives with BentoML."
    )


def run_bundle(options: Namespace, store: Store, kind: Kind) -> int:
    from bento_cli.library import local
    from bento_cli.sharing import bundle

    with arguments.output_path(options.out, options) as path, show.progress("Bundling") as progress:
        out = local(str(path))
        index = bundle.write(store.home, options.tags, out, progress)
    if options.out == "-":
        return status.OK
    if options.output == "path":
        show.out(str(out))
    elif not show.data(index, options.output):
        entries = f"{show.count(len(index['bentos']), 'Bento')} and {show.count(len(index['models']), 'model')}"
        show.out(f"Bundled {entries} to {show.plain(str(out))}.")
        show.next_steps(f"unbundle {out}")
    return status.OK


def add_unbundle_arguments(parser: ArgumentParser, kind: Kind) -> None:
    parser.add_argument("path", metavar="PATH", help="Import this bundle (- for standard input)")
    parser.add_argument(
        "--to", metavar="DIRECTORY", help="Extract the archives to this new directory instead of importing them"
    )
    arguments.add_import_options(parser)
    show.add_output(parser, "text", "json", "yaml")
    parser.epilog = (
        "The command verifies the complete bundle before it imports anything. Existing entries remain unchanged."
    )


def run_unbundle(options: Namespace, store: Store, kind: Kind) -> int:
    from rules_bento.archives import streams

    from bento_cli.library import local
    from bento_cli.sharing import bundle

    path = local(arguments.input_path(options.path))
    total = 0
    if path.is_file():
        total = path.stat().st_size
        with path.open("rb") as file:
            form = streams.detect_form(file.read(512))
        if form != "tar":
            raise BentoError(
                f"{path}: not a bundle (detected format: {form}). To import an archive, run `bento import {path}`."
            )
    importing = arguments.import_options(options)
    with show.progress("Unbundling", total) as progress:
        if options.to:
            files = bundle.extract(path, local(options.to), importing.limits, progress)
            if not show.data([str(file) for file in files], options.output):
                show.out(f"Extracted {show.count(len(files), 'archive')} to {show.plain(options.to)}.")
            return status.OK
        unbundled = bundle.read(store.home, path, importing, progress)
    for imported in unbundled.imported:
        for note in imported.notes:
            show.note(note)
    fields = {"imported": [_fields(imported) for imported in unbundled.imported], "known": list(unbundled.known)}
    if not show.data(fields, options.output):
        for imported in unbundled.imported:
            show.out(_describe(imported))
        for tag in unbundled.known:
            show.out(f"{tag} is already in the store.")
    return status.OK
