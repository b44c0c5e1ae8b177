"""Provides the public Python API: the store as a class.

    from bento_cli.library import Store

    store = Store()
    store.bentos.import_archive("iris.bento")
    for bento in store.bentos.list("iris"):
        print(bento.tag, bento.size())

The API uses the same directories as BentoML (see `bento_cli.store.home`). You can use the API and BentoML at the same
time. Methods report errors as BentoError.
"""

from __future__ import annotations

import io
import sys
from contextlib import contextmanager
from pathlib import Path

from rules_bento.base.archives.streams import detect_form
from rules_bento.base.archives.unpack import Limits as Limits
from rules_bento.base.archives.unpack import form_from_name
from rules_bento.base.dataclasses_lite import replace
from rules_bento.base.errors import BentoError
from rules_bento.base.tag import Tag
from rules_bento.base.typing_lite import (
    TYPE_CHECKING,
    Any,
    BinaryIO,
    Callable,
    Collection,
    Iterator,
    Sequence,
    TextIO,
    cast,
)
from rules_bento.bentos.assembly.kinds import BENTO as BENTO
from rules_bento.bentos.assembly.kinds import MODEL as MODEL
from rules_bento.bentos.assembly.kinds import Kind as Kind

from bento_cli.store.entry_store import EntryStore, models_of
from bento_cli.store.entry_store import NotFoundError as NotFoundError
from bento_cli.store.home import Home as Home
from bento_cli.store.home import staged_directory

if TYPE_CHECKING:
    import subprocess

    from rules_bento.base.archives.unpack import Advance, Form
    from rules_bento.base.net.transfers import Progress
    from rules_bento.images.artifacts.signatures import Signing
    from rules_bento.images.registry.client import Registries
    from rules_bento.images.registry.push_to_registry import PushResult

    from bento_cli.sharing.backends import Containerized
    from bento_cli.sharing.backends import Options as BackendOptions
    from bento_cli.sharing.registry.pull_entry import Pulled
    from bento_cli.store.delete import Collected
    from bento_cli.store.diff import Difference
    from bento_cli.store.entry_store import Entry as Entry
    from bento_cli.store.export import Exported
    from bento_cli.store.import_session import Imported
    from bento_cli.store.import_session import Options as Options
    from bento_cli.store.verification import Verified

    Source = str | Path | BinaryIO
    """An archive: a path, a URL, or an open file (seekable, for a zip)."""


class EntryCollection:
    """The Bentos or models in a store. `get`, `delete`, and `export` raise NotFoundError if no entry matches."""

    def __init__(self, home: Home, kind: Kind) -> None:
        self.home = home
        self.kind = kind
        self.entry_store = EntryStore(home, kind)

    def list(self, tag: str | Tag = "") -> tuple[Entry, ...]:
        """Return the entries sorted by tag. If `tag` is set, returns only the entries with this name or tag.

        Skips invalid entries. For an unknown name, raises NotFoundError. For an unknown tag, returns an empty tuple.
        """
        return self.entry_store.list(str(tag)).entries

    def get(self, tag: str | Tag) -> Entry:
        """Return an entry. `tag` is `NAME:VERSION`, `NAME:` and a prefix of a version, or `NAME` (latest version)."""
        return self.entry_store.get(str(tag))

    def delete(self, *tags: str | Tag, force: bool = False) -> tuple[Entry, ...]:
        """Delete the entry that each tag identifies, or all versions if a tag is a name. Returns the deleted entries.

        See `get` for the syntax. Unless `force` is true, raises BentoError, and deletes nothing, if a Bento requires a
        model.
        """
        from bento_cli.store.delete import delete

        entries = {entry.path: entry for tag in tags for entry in self.list(tag) or [self.get(tag)]}
        delete(self.home, self.kind, [Tag(path.parent.name, path.name) for path in entries], force=force)
        return tuple(entries.values())

    def import_archive(
        self,
        source: Source,
        form: Form | None = None,
        options: Options | None = None,
        progress: Advance | None = None,
        *,
        sha256: str = "",
        counter: Progress | None = None,
    ) -> Imported:
        """Import an archive or a directory. Detects the format unless `form` is set.

        Calls `progress` with the number of bytes read. For a URL, downloads the archive first: `counter` counts the
        downloaded bytes, and `sha256`, if set, must match the download. Raises BentoError if the archive is invalid,
        the digest is wrong, or the entry already exists.
        """
        from bento_cli.store.import_session import import_archive
        from bento_cli.transports.address import parse

        address = parse(source) if isinstance(source, str) else None
        if address is None:
            source = local(source) if isinstance(source, str) else source
            if sha256:
                remedy = "Import the file without the digest."
                raise BentoError("a SHA-256 digest is supported only for URLs", place=str(source), remedy=remedy)
            return import_archive(self.home, self.kind, source, form_of(source, form), options, progress)
        from rules_bento.base.net.transfers import Progress

        from bento_cli import transports

        form = form or form_from_name(address.name)
        if form == "folder":
            remedy = "Use an archive format, such as xz."
            raise BentoError("directories can't be imported from a URL", place=str(address), remedy=remedy)
        with staged_directory(self.home) as directory:
            path = directory / "archive"
            # A tar can have as many bytes of headers and padding as of files.
            most = 2 * (options.limits if options else Limits()).size
            transports.download(address, path, counter or Progress(), sha256, form=form, most=most)
            with io.FileIO(path) as raw, io.BufferedReader(raw) as file:
                raw.name = str(address)  # for messages
                return import_archive(self.home, self.kind, file, form, options, progress)

    def export(
        self,
        tag: str | Tag,
        out: str | Path = "",
        form: Form | None = None,
        *,
        models: bool = True,
        check: bool = True,
        progress: Advance | None = None,
        counter: Progress | None = None,
    ) -> Exported:
        """Export an entry to a file, directory, or URL. See `store.export.destination` for the path of the output.

        If `models` is false, excludes a Bento's models. If `check` is true, verifies all files first. Calls `progress`
        with the number of bytes packed. `counter` counts the bytes sent to a URL. If the path of a URL is empty or ends
        with a slash, adds the file name `NAME-VERSION` with a suffix. Raises BentoError if the entry is damaged, or if
        the destination can't be written.
        """
        from bento_cli import transports
        from bento_cli.store import export, verification
        from bento_cli.transports.address import parse

        entry = self.get(tag)
        address = parse(out) if isinstance(out, str) else None
        if address is None:
            out = str(local(out)) + "/" * out.endswith("/") if isinstance(out, str) and out else str(out)
            path, form = export.destination(self.kind, entry.tag, out, form)
        elif form == "folder":
            remedy = "Use an archive format, such as xz."
            raise BentoError("directories can't be exported to a URL", place=str(address), remedy=remedy)
        else:
            transports.check(address)
            name, form = export.file_name(self.kind, entry.tag, address.name, form)
            address = address.with_name(name)
        taken = models_of(self.home, entry) if models and self.kind is BENTO else []
        if check:
            verification.require_intact(self.home, [entry, *taken])
        members = export.counted(export.contents(entry, taken), progress)
        if address:
            from rules_bento.base.net.transfers import Progress

            with staged_directory(self.home) as directory:
                copy = directory / "archive"
                with copy.open("wb") as file:
                    export.write(file, form, members)
                transports.upload(address, copy, counter or Progress())
        elif form == "folder":
            export.write_directory(path, members)
        else:
            with export.whole(path) as file:
                export.write(file, form, members)
        references = entry.description.models if self.kind is BENTO else ()
        excluded = tuple(model.tag for model in references if model.registry == "huggingface")
        return export.Exported(entry, address or path, tuple(model.tag for model in taken), excluded)

    def push(
        self,
        tag: str | Tag,
        *targets: str,
        insecure: Collection[str] = (),
        out: TextIO | None = None,
        check: bool = True,
        jobs: int = 0,
        signing: Signing | None = None,
        form: str = "artifact",
    ) -> Sequence[PushResult]:
        """Push an entry and a Bento's models to registry references such as `oci://registry/repository:tag`.

        Shows progress on `out` (default: standard error). See `sharing.registry.push_entry.push` for the other options.
        """
        from rules_bento.base.net.transfers import JOBS
        from rules_bento.images.registry.reference import Reference

        from bento_cli.sharing.registry.push_entry import push

        entry, references = self.get(tag), [Reference.from_url(target) for target in targets]
        options: dict[str, Any] = {"check": check, "jobs": jobs or JOBS, "signing": signing, "form": form}
        with connected(insecure, f"Pushing {entry.tag}", out) as connection:
            return push(self.home, entry, references, *connection, **options)

    def pull(
        self,
        source: str,
        *,
        force: bool = False,
        options: Options | None = None,
        insecure: Collection[str] = (),
        out: TextIO | None = None,
    ) -> Pulled:
        """Pull an entry from a registry into the store. For a Bento, also pulls the models that the store lacks."""
        from rules_bento.images.registry.reference import Reference

        from bento_cli.sharing.registry.pull_entry import pull
        from bento_cli.store.import_session import Options

        reference = Reference.from_url(source)
        with connected(insecure, f"Pulling {reference}", out) as connection:
            importing = replace(options or Options(), replace=force, act="pull")
            return pull(self.home, self.kind, reference, *connection, importing)


class Store:
    """The store in a BentoML home, with the collections `bentos` and `models`."""

    def __init__(self, home: str | Path | None = None, *, durable: bool = True) -> None:
        """Open the store in `home` (default: BENTOML_HOME, otherwise `~/bentoml`). The directory doesn't need to exist.

        If `durable` is set, flushes changes to disk, so that the changes survive a power failure.
        """
        self.home = Home.find(home, durable=durable)
        self.bentos = EntryCollection(self.home, BENTO)
        self.models = EntryCollection(self.home, MODEL)

    def section(self, kind: Kind) -> EntryCollection:
        """Return the collection for a kind: `bentos` or `models`."""
        return self.bentos if kind is BENTO else self.models

    def verify(self, *entries: Entry, progress: Callable[[int], None] | None = None) -> Verified:
        """Compare the contents of entries (default: all) with the contents at import, and return the differences."""
        from bento_cli.store.verification import verify, verify_all

        return verify(self.home, [*entries], progress) if entries else verify_all(self.home, progress)

    def gc(self, *, dry_run: bool = False, waiting: Callable[[], None] | None = None) -> Collected:
        """Remove data that no entry uses. If `dry_run` is true, only counts the data.

        Calls `waiting` before waiting for another process that adds entries.
        """
        from bento_cli.store.delete import collect

        return collect(self.home, dry_run=dry_run, waiting=waiting)

    def diff(self, one: str, other: str, kind: Kind = BENTO) -> Difference:
        """Compare two entries or archives. `one` and `other` are tags of entries of `kind`, or paths of archives."""
        from bento_cli.store.diff import Side, compare, of_archive, of_entry

        def side(text: str) -> Side:
            archive = archive_of(text)
            return of_archive(*archive) if archive else of_entry(self.section(kind).get(text))

        return compare(side(one), side(other))

    def containerize(
        self,
        tag: str,
        *,
        backend: str = "",
        names: Sequence[str] = (),
        options: BackendOptions | None = None,
        features: Sequence[str] = (),
    ) -> Containerized:
        """Build an image of a Bento with the container builder `backend` (default: the first available builder)."""
        from bento_cli.sharing.backends import choose
        from bento_cli.sharing.containers import containerize

        return containerize(self.home, self.bentos.get(tag), choose(backend), names, options, features=features)

    def serve(self, tag: str, *options: str, python: str = "") -> subprocess.Popen[bytes]:
        """Start BentoML's server for a Bento. Passes `options` to `bentoml serve`. The caller must stop the process."""
        import subprocess

        from bento_cli.sharing.serving import server

        command, variables = server(self.home, self.bentos.get(tag), options, python)
        return subprocess.Popen(command, env=variables)


@contextmanager
def connected(
    insecure: Collection[str], title: str, out: TextIO | None = None
) -> Iterator[tuple[Registries, Progress]]:
    """Yield a registry client, and a progress display on `out` (default: standard error)."""
    from rules_bento.base.net.transfers import Progress
    from rules_bento.base.own_files import user_cache_directory
    from rules_bento.images.registry.client import Registries
    from rules_bento.images.registry.push_records import InterruptedUploads

    client = Registries(insecure, interrupted=InterruptedUploads(user_cache_directory()))
    with client as registries, Progress(title, out=out or sys.stderr) as progress:
        yield registries, progress


def is_archive(text: str) -> Path | None:
    """Return `text` as a path if it has a slash or an archive suffix, or is a file. Returns None otherwise."""
    path = Path(text)
    return path if "/" in text or path.suffix in (".bento", ".bentomodel") or path.is_file() else None


def local(text: str) -> Path:
    """Convert a path or a file URL to a local path. Raises BentoError for other URLs."""
    scheme, colon, rest = text.partition("://")
    if not colon:
        return Path(text)
    if scheme in ("file", "osfs") and rest.startswith("/"):
        return Path(rest)
    raise BentoError("expected a local path, got a URL", place=text, remedy="Specify a local path.")


def archive_of(text: str) -> tuple[Path | BinaryIO, Form] | None:
    """Return an archive and its format, or None if `text` is a tag. For `-`, the archive is standard input."""
    source = sys.stdin.buffer if text == "-" else is_archive(text)
    return (source, form_of(source)) if source else None


def form_of(source: Path | BinaryIO, form: Form | None = None) -> Form:
    """Return the format of an archive. If `form` is None, determines the format from the name or the content.

    Raises BentoError for a zip archive in a pipe, because the index of a zip archive is at the end.
    """
    if isinstance(source, Path):
        return form or ("folder" if source.is_dir() else form_from_name(source.name))
    first = source.peek(512) if isinstance(source, io.BufferedReader) else b""
    form = form or (cast("Form", detect_form(first)) if first else "xz")
    if form == "zip" and not source.seekable():
        remedy = "Redirect a file instead: `< FILE`"
        raise BentoError("standard input: zip archives can't be read from a pipe", remedy=remedy)
    return form


def __getattr__(name: str) -> object:
    """Import `Options` on first use, because few commands need the class."""
    if name != "Options":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from bento_cli.store.import_session import Options

    return Options
