"""`bento verify`: looks for damage in the store or an archive, and verifies signatures."""

from __future__ import annotations

from rules_bento.errors import BentoError
from rules_bento.typing_lite import TYPE_CHECKING

from bento_cli.cli import registries, show, signing, status
from bento_cli.cli.progress import progress
from bento_cli.store.verification import Finding, Verified

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from pathlib import Path

    from rules_bento.bento.kinds import Kind

    from bento_cli.library import Store
    from bento_cli.store.entries import Entry


def add_arguments(parser: ArgumentParser, kind: Kind) -> None:
    """Add the arguments for what is verified, and the output."""
    parser.add_argument(
        "tags",
        metavar="TAG",
        nargs="*",
        help=f"check this {kind.noun} with its models, or this archive (default: all entries); with --key, also "
        f"{registries.ADDRESS}",
    )
    parser.add_argument("--key", metavar="KEY", help=f"verify signatures with this public key: {signing.KEY}")
    parser.add_argument(
        "--signature", metavar="FILE", help="read the signature of an archive from this file (default: ARCHIVE.sig)"
    )
    parser.add_argument("--provenance", action="store_true", help="also require signed provenance; requires --key")
    registries.add_arguments(parser)
    show.add_output(parser, "text", "json", "yaml")
    parser.epilog = (
        "Entries are compared with what was imported, so entries that BentoML built can't be verified. With\n"
        "--key, archives, OCI layouts, and artifacts of registries are verified by cosign's signatures.\n"
        f"Only the registry is contacted. The exit status is {status.FOUND} if something is damaged or isn't\n"
        "signed with the key."
    )


def run(options: Namespace, store: Store, kind: Kind) -> int:
    """Verify entries, and archives by reading them; with a key, their signatures alone."""
    from bento_cli.library import is_archive

    if options.key:
        from bento_cli.cli import signed

        return signed.run(options)
    if options.signature or options.provenance:
        raise BentoError("--signature, --provenance: require the public key. Add --key.")

    archives = [path for path in map(is_archive, options.tags) if path]
    tags = [tag for tag in options.tags if not is_archive(tag)]
    for path in archives:
        if not path.exists():
            raise BentoError(f"{path}: no such file. Check the path.")
    with progress("Verifying") as tell:
        entries = [entry for tag in tags for entry in _with_models(tag, store, kind)]
        verified = store.verify(*entries, progress=tell) if entries or not archives else Verified(0, 0, (), (), ())
        verified = _with_archives(verified, archives)
    if not show.data(_data(verified), options.output):
        _print(verified)
    return status.FOUND if verified.damages else status.OK


def _with_models(tag: str, store: Store, kind: Kind) -> list[Entry]:
    from bento_cli.store.export import models_of

    entry = store.section(kind).get(tag)
    return [entry, *models_of(store.home, entry)]


def _with_archives(verified: Verified, paths: list[Path]) -> Verified:
    from rules_bento.archives import unpack

    from bento_cli.store.diff import of_archive

    damages = list(verified.damages)
    files = verified.files
    for path in paths:
        try:
            files += len(of_archive(path, "folder" if path.is_dir() else unpack.form_from_name(path.name)).files)
        except BentoError as error:
            damages.append(Finding("archive", str(path), "", str(error).removeprefix(f"{path}: ")))
    return Verified(verified.entries + len(paths), files, tuple(damages), verified.changes, verified.unknown)


def _print(verified: Verified) -> None:
    for damage in verified.damages:
        show.out(f"{show.bad('damaged')}  {show.plain(str(damage))}")
    for change in verified.changes:
        show.out(f"{show.changed('changed')}  {show.plain(str(change))}")
    for tag in verified.unknown:
        show.out(f"{show.faint('unknown')}  {tag}: can't be verified: this command didn't import it")
    result = show.bad(f"{len(verified.damages)} damaged") if verified.damages else show.good("nothing damaged")
    entries = f"{verified.entries:,} {'entry' if verified.entries == 1 else 'entries'}"
    show.out(f"{entries}, {show.count(verified.files, 'file')}: {result}.")


def _data(verified: Verified) -> dict[str, object]:
    return {
        "entries": verified.entries,
        "files": verified.files,
        "damages": [_finding(finding) for finding in verified.damages],
        "changes": [_finding(finding) for finding in verified.changes],
        "unknown": list(verified.unknown),
    }


def _finding(finding: Finding) -> dict[str, str]:
    return {"kind": finding.noun, "tag": finding.tag, "path": finding.path, "problem": finding.problem}
