"""`bento import`, `export`, `bundle`, and `unbundle`: read and write archives."""

from __future__ import annotations

import sys
from pathlib import Path

from rules_bento.bento.kinds import BENTO
from rules_bento.errors import BentoError
from rules_bento.typing_lite import TYPE_CHECKING, Any, cast

from bento_cli.cli import arguments, show, status

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from rules_bento.archives.unpack import Form
    from rules_bento.bento.kinds import Kind

    from bento_cli.library import EntryCollection, Store
    from bento_cli.store.import_session import Imported


def add_import_arguments(parser: ArgumentParser, kind: Kind) -> None:
    from rules_bento.archives.unpack import FORMS

    parser.add_argument(
        "paths", metavar="PATH", nargs="+", help="import this archive, directory, or URL; - is standard input"
    )
    parser.add_argument("--format", choices=FORMS, help="format of the archive (default: by the suffix)")
    if kind is BENTO:
        parser.add_argument("--no-models", action="store_true", help="exclude the models of the Bento")
    parser.add_argument(
        "--sha256", metavar="HEX", default="", help="reject an archive of a URL with another SHA-256 digest"
    )
    arguments.add_options(parser)
    show.add_output(parser, "text", "json", "yaml", "path")
    parser.epilog = (
        "Formats by suffix: .bento, .bentomodel, .xz, and unknown suffixes (tar in xz), .gz, .bz2, .zst,\n"
        f".tar, .zip. The import of an existing {kind.noun} fails. Supported URLs: s3, gs, az, ftp, ftps,\n"
        "sftp, http, https, dropbox. Credentials are read as by the tools of each service, or from\n"
        "~/.netrc. Interrupted downloads are resumed."
    )


def run_import(options: Namespace, store: Store, kind: Kind) -> int:
    if options.sha256 and len(options.paths) > 1:
        raise BentoError("--sha256: only supported for one archive. Import one at a time.")
    section = store.section(kind)
    done = []
    for text in options.paths:
        if text == "-":
            with show.progress("Importing") as tell:
                imported = section.import_archive(
                    sys.stdin.buffer, _piped(options), arguments.options_of(options), tell
                )
        else:
            _check_folder(text, kind)
            with show.transfer("Downloading", text) as counter, show.progress("Importing", _total(text)) as tell:
                imported = section.import_archive(
                    text, options.format, arguments.options_of(options), tell, sha256=options.sha256, counter=counter
                )
        for note in imported.notes:
            show.note(note)
        if options.output in ("text", "path"):
            show.out(str(imported.entry.path) if options.output == "path" else describe(imported))
        done.append(data(imported))
    show.data(done if len(done) > 1 else done[0], options.output)
    return status.OK


def _piped(options: Namespace) -> Form:
    """Return the form of standard input: what `--format` says, else what it begins with."""
    import io

    from rules_bento.archives import streams

    first = sys.stdin.buffer.peek(512) if isinstance(sys.stdin.buffer, io.BufferedReader) else b""
    form = cast("Form", options.format or (streams.detect_form(first) if first else "xz"))
    if form == "zip" and not sys.stdin.buffer.seekable():
        raise BentoError(
            "standard input: zip archives cannot be read from a pipe. Redirect a file: "
            "`bento import - --format zip < FILE`."
        )
    return form


def _check_folder(text: str, kind: Kind) -> None:
    """Raise BentoError for a directory that isn't an entry, before anything in it is looked at."""
    from bento_cli.library import local
    from bento_cli.transports.address import parse

    if not parse(text) and local(text).is_dir() and not (local(text) / kind.descriptor).exists():
        raise BentoError(f"{text} is not a {kind.noun}: no {kind.descriptor} found. Name the directory that has one.")


def describe(imported: Imported) -> str:
    """Return what happened, for people."""
    parts = [f"Imported {imported.entry.kind.noun} {imported.entry.tag}"]
    if imported.models:
        parts.append(f"with {', '.join(str(model.tag) for model in imported.models)}")
    if imported.known:
        parts.append(f"({', '.join(map(str, imported.known))} {'was' if len(imported.known) == 1 else 'were'} there)")
    return " ".join(parts) + "."


def data(imported: Imported) -> dict[str, Any]:
    """Return what happened, for programs."""
    return {
        "tag": str(imported.entry.tag),
        "path": str(imported.entry.path),
        "models": [str(model.tag) for model in imported.models],
        "known_models": [str(tag) for tag in imported.known],
        "notes": list(imported.notes),
    }


def _total(text: str) -> int:
    from bento_cli.library import local
    from bento_cli.transports.address import parse

    if parse(text):
        return 0
    path = local(text)
    return path.stat().st_size if path.is_file() else 0


def add_export_arguments(parser: ArgumentParser, kind: Kind) -> None:
    from rules_bento.archives.unpack import FORMS

    parser.add_argument("tag", metavar="TAG", help=f"export this {kind.noun}")
    parser.add_argument(
        "out",
        metavar="PATH",
        nargs="?",
        default="",
        help="write to this file, URL, or directory (file name there: "
        f"NAME-VERSION.{kind.extension}); - is standard output "
        "(default: the current directory)",
    )
    parser.add_argument("--format", choices=FORMS, help="format of the archive (default: by the suffix)")
    if kind is BENTO:
        parser.add_argument("--no-models", action="store_true", help="exclude the models of the Bento")
    parser.add_argument("--no-verify", action="store_true", help="don't check the files for damage first")
    show.add_output(parser, "text", "json", "yaml", "path")
    parser.epilog = (
        f"Formats by suffix: .{kind.extension} and .xz (tar in xz), .gz, .bz2, .zst, .tar, .zip. For other\n"
        f"names, .{kind.extension} is appended. BentoML can import all formats except .zst. Supported URLs:\n"
        "s3, gs, az, ftp, ftps, sftp, dropbox. Credentials are read as by the tools of each service, or\n"
        "from ~/.netrc."
    )


def run_export(options: Namespace, store: Store, kind: Kind) -> int:
    models = not getattr(options, "no_models", False)
    if options.out == "-":
        return _to_standard_output(options, store.section(kind), models=models)
    with show.transfer("Uploading", options.out) as counter, show.progress("Exporting") as tell:
        done = store.section(kind).export(
            options.tag,
            options.out,
            options.format,
            models=models,
            check=not options.no_verify,
            progress=tell,
            counter=counter,
        )
    for tag in done.excluded:
        show.note(f"{tag} of Hugging Face Hub isn't in the archive. BentoML downloads it when it serves the Bento.")
    if options.output == "path":
        show.out(str(done.path))
    elif options.output == "text":
        what = "".join(f" with {tag}" if not number else f", {tag}" for number, tag in enumerate(done.models))
        show.out(f"Exported {kind.noun} {done.entry.tag}{what} to {show.plain(str(done.path))}.")
    path = str(done.path.absolute() if isinstance(done.path, Path) else done.path)
    facts = {"tag": str(done.entry.tag), "path": path, "models": list(map(str, done.models))}
    show.data(facts, options.output)
    return status.OK


def _to_standard_output(options: Namespace, section: EntryCollection, *, models: bool) -> int:
    """Write the archive to standard output once it is complete."""
    import shutil
    import tempfile

    if options.output != "text" or options.format == "folder" or sys.stdout.isatty():
        raise BentoError(
            "standard output: only an archive can be written there. Redirect it to a file or a pipe, and remove "
            "--output and --format folder."
        )
    with tempfile.TemporaryDirectory() as scratch, show.progress("Exporting") as tell:
        path = Path(scratch, "archive")
        section.export(
            options.tag, path, options.format or "xz", models=models, check=not options.no_verify, progress=tell
        )
        with path.open("rb") as file:
            shutil.copyfileobj(file, sys.stdout.buffer)
    return status.OK


def add_bundle_arguments(parser: ArgumentParser, kind: Kind) -> None:
    parser.add_argument("out", metavar="PATH", help="write the bundle to this file, such as release.bentobundle")
    parser.add_argument("tags", metavar="TAG", nargs="+", help="include this Bento and its models")
    show.add_output(parser, "text", "json", "yaml", "path")
    parser.epilog = (
        "A bundle is a tar of .bento and .bentomodel archives. `tar -x` unpacks them, and BentoML can\nimport them."
    )


def run_bundle(options: Namespace, store: Store, kind: Kind) -> int:
    from bento_cli.library import local
    from bento_cli.sharing import bundle

    out = local(options.out)
    with show.progress("Bundling") as tell:
        index = bundle.write(store.home, options.tags, out, tell)
    if options.output == "path":
        show.out(str(out))
    elif not show.data(index, options.output):
        what = f"{show.count(len(index['bentos']), 'Bento')} and {show.count(len(index['models']), 'model')}"
        show.out(f"Bundled {what} to {show.plain(str(out))}.")
    return status.OK


def add_unbundle_arguments(parser: ArgumentParser, kind: Kind) -> None:
    parser.add_argument("path", metavar="PATH", help="import this bundle")
    parser.add_argument(
        "--to",
        metavar="DIRECTORY",
        help="write archives, which BentoML can import, to this directory instead of the store",
    )
    arguments.add_options(parser)
    show.add_output(parser, "text", "json", "yaml")
    parser.epilog = (
        "Entries are added to the store only after the complete bundle was read. Existing entries aren't\nchanged."
    )


def run_unbundle(options: Namespace, store: Store, kind: Kind) -> int:
    from bento_cli.library import local
    from bento_cli.sharing import bundle

    path = local(options.path)
    total = path.stat().st_size if path.is_file() else 0
    taken = arguments.options_of(options)
    _check_form(path)
    with show.progress("Unbundling", total) as tell:
        if options.to:
            files = bundle.extract(path, local(options.to), taken.limits, tell)
            if not show.data([str(file) for file in files], options.output):
                show.out(f"Wrote {show.count(len(files), 'archive')} to {show.plain(options.to)}.")
            return status.OK
        done = bundle.read(store.home, path, taken, tell)
    for imported in done.imported:
        for note in imported.notes:
            show.note(note)
    facts = {"imported": [data(imported) for imported in done.imported], "known": list(done.known)}
    if not show.data(facts, options.output):
        for imported in done.imported:
            show.out(describe(imported))
        for tag in done.known:
            show.out(f"{tag} exists already.")
    return status.OK


def _check_form(path: Path) -> None:
    """Raise BentoError for an archive of another form, such as that of one Bento."""
    from rules_bento.archives import streams

    if path.is_file():
        with path.open("rb") as file:
            form = streams.detect_form(file.read(512))
        if form != "tar":
            raise BentoError(f"{path} is a {form} archive, not a bundle. To import it, run `bento import {path}`.")
