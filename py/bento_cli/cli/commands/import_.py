"""`bento import`, `bento models import`: takes archives into the store."""

from __future__ import annotations

import sys

from rules_bento.bento.kinds import BENTO
from rules_bento.errors import BentoError
from rules_bento.typing_lite import TYPE_CHECKING, Any, cast

from bento_cli.cli import show, status
from bento_cli.cli.progress import progress, transfer

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from rules_bento.archives.unpack import Form
    from rules_bento.bento.kinds import Kind

    from bento_cli.library import Store
    from bento_cli.store.import_session import Imported, Options


def add_arguments(parser: ArgumentParser, kind: Kind) -> None:
    """Add the arguments for the archives, how they are taken in, and the output."""
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
    add_options(parser)
    show.add_output(parser, "text", "json", "yaml", "path")
    parser.epilog = (
        "Formats by suffix: .bento, .bentomodel, .xz, and unknown suffixes (tar in xz), .gz, .bz2, .zst,\n"
        f".tar, .zip. The import of an existing {kind.noun} fails. Supported URLs: s3, gs, az, ftp, ftps,\n"
        "sftp, http, https, dropbox. Credentials are read as by the tools of each service, or from\n"
        "~/.netrc. Interrupted downloads are resumed."
    )


def add_options(parser: ArgumentParser) -> None:
    """Add the options that all commands have that take archives in."""
    from rules_bento.archives.unpack import Limits

    limits = Limits()
    group = parser.add_argument_group("limits for untrusted archives")
    group.add_argument(
        "--max-size", type=_size, metavar="SIZE", default=limits.size, help="maximum size of all files (default: 256G)"
    )
    group.add_argument(
        "--max-files",
        type=int,
        metavar="N",
        default=limits.members,
        help=f"maximum number of files (default: {limits.members})",
    )
    group.add_argument(
        "--max-ratio",
        type=int,
        metavar="N",
        default=limits.ratio,
        help=f"maximum ratio of unpacked to packed bytes (default: {limits.ratio})",
    )
    group.add_argument(
        "--max-memory",
        type=_size,
        metavar="SIZE",
        default=limits.memory,
        help="maximum memory of the decompressor (default: 128M)",
    )
    parser.add_argument(
        "--same-letters",
        action="store_true",
        help="allow file names that differ only in case, which other systems than Linux don't support",
    )
    parser.add_argument(
        "--copy", action="store_true", help="share no files with other versions, so that all files are writable"
    )
    parser.add_argument(
        "--no-sync", action="store_true", help="don't wait for the disk; a power failure might lose the result"
    )


def options_of(options: Namespace) -> Options:
    """Return what `add_options` parsed."""
    from rules_bento.archives.unpack import Limits

    from bento_cli.store.import_session import Options

    return Options(
        limits=Limits(options.max_size, options.max_files, options.max_ratio, options.max_memory, options.same_letters),
        models=not getattr(options, "no_models", False),
        share=not options.copy,
    )


def run(options: Namespace, store: Store, kind: Kind) -> int:
    """Import one after the other."""
    if options.sha256 and len(options.paths) > 1:
        raise BentoError("--sha256: only supported for one archive. Import one at a time.")
    section = store.section(kind)
    done = []
    for text in options.paths:
        if text == "-":
            with progress("Importing") as tell:
                imported = section.import_archive(sys.stdin.buffer, _piped(options), options_of(options), tell)
        else:
            _check_folder(text, kind)
            with transfer("Downloading", text) as counter, progress("Importing", _total(text)) as tell:
                imported = section.import_archive(
                    text, options.format, options_of(options), tell, sha256=options.sha256, counter=counter
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


def _size(text: str) -> int:
    units = {"K": 10, "M": 20, "G": 30, "T": 40}
    number, shift = (text[:-1], units[text[-1].upper()]) if text[-1:].upper() in units else (text, 0)
    if not (number.isascii() and number.isdecimal() and len(number) < 20 and int(number)):
        from argparse import ArgumentTypeError

        raise ArgumentTypeError(f"invalid size {text!r}. Use a positive integer with an optional K, M, G, or T.")
    return int(number) << shift
