"""`bento export`, `bento models export`: writes an entry of the store as an archive."""

from __future__ import annotations

import sys
from pathlib import Path

from rules_bento.bento.kinds import BENTO
from rules_bento.errors import BentoError
from rules_bento.typing_lite import TYPE_CHECKING

from bento_cli.cli import show, status
from bento_cli.cli.progress import progress, transfer

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from rules_bento.bento.kinds import Kind

    from bento_cli.library import EntryCollection, Store


def add_arguments(parser: ArgumentParser, kind: Kind) -> None:
    """Add the arguments for the tag, the archive and its form, and the output."""
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


def run(options: Namespace, store: Store, kind: Kind) -> int:
    """Export an entry to an archive."""
    models = not getattr(options, "no_models", False)
    if options.out == "-":
        return _to_standard_output(options, store.section(kind), models=models)
    with transfer("Uploading", options.out) as counter, progress("Exporting") as tell:
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
    with tempfile.TemporaryDirectory() as scratch, progress("Exporting") as tell:
        path = Path(scratch, "archive")
        section.export(
            options.tag, path, options.format or "xz", models=models, check=not options.no_verify, progress=tell
        )
        with path.open("rb") as file:
            shutil.copyfileobj(file, sys.stdout.buffer)
    return status.OK
