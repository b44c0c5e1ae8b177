"""The store as functions and one class: what `rules_bento.store` offers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rules_bento.archives.unpack import form_of
from rules_bento.errors import BentoError
from rules_bento.store.home import BENTO, MODEL, Home
from rules_bento.store.shelf import Shelf

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO

    from rules_bento.archives.unpack import Form, Progress
    from rules_bento.registry.progress import Counter
    from rules_bento.store.checking import Verified
    from rules_bento.store.comparing import Difference
    from rules_bento.store.entries import Entry
    from rules_bento.store.exporting import Exported
    from rules_bento.store.garbage import Collected
    from rules_bento.store.home import Kind
    from rules_bento.store.importing import Imported, Options

    Source = str | Path | BinaryIO
    """An archive: a path, a URL, or an open file (seekable, for a zip)."""


class Section:
    """The Bentos, or the models, of one store. Errors are BentoError; NotFoundError if nothing has the tag."""

    def __init__(self, home: Home, kind: Kind) -> None:
        self.home = home
        self.kind = kind
        self.shelf = Shelf(home, kind)

    def list(self, tag: str = "") -> tuple[Entry, ...]:
        """All entries by name and version, those of a name, or the one of a tag.

        Folders that are no entries are passed over; `shelf.list` tells of them.
        """
        return self.shelf.list(tag).entries

    def get(self, tag: str) -> Entry:
        """The entry of a tag, of the beginning of one, or the latest of a name."""
        return self.shelf.get(tag)

    def delete(self, tag: str, *, force: bool = False) -> tuple[Entry, ...]:
        """Delete the entry that `get` gives for a tag with a version, all entries of a name without one.

        A model that a Bento needs is not deleted without `force`. Returns what was deleted.
        """
        from rules_bento.store.deleting import delete
        from rules_bento.tag import Tag

        entries = (self.get(tag),) if ":" in tag else self.list(tag)
        for entry in entries:
            delete(self.home, self.kind, Tag(entry.path.parent.name, entry.path.name), force=force)
        return entries

    def import_archive(
        self,
        source: Source,
        form: Form | None = None,
        options: Options | None = None,
        progress: Progress | None = None,
        *,
        sha256: str = "",
        counter: Counter | None = None,
    ) -> Imported:
        """Take an archive in; its name says its form unless one is given, and a folder is one.

        `progress` is told how many more bytes of the archive were read. What a URL names is brought here first, which
        `counter` is told of, and is held against `sha256` if that is given.
        """
        from rules_bento.store.importing import import_archive
        from rules_bento.transports.address import parse

        if isinstance(source, str):
            address = parse(source)
            if address:
                from rules_bento.store.transferring import receive

                return receive(
                    self.home, self.kind, address, form, options, sha256=sha256, counter=counter, progress=progress
                )
            source = local(source)
        if sha256:
            raise BentoError("A sha256 is for what comes from a URL. A file of this machine is read as it is.")
        return import_archive(self.home, self.kind, source, form or _form(source), options, progress)

    def export(
        self,
        tag: str,
        out: str | Path = "",
        form: Form | None = None,
        *,
        models: bool = True,
        check: bool = True,
        progress: Progress | None = None,
        counter: Counter | None = None,
    ) -> Exported:
        """Write an entry to a file, folder or URL as `bentoml export` does (`exporting.destination` says where).

        `models` are left out of a Bento if false, `check` reads all files first. `progress` is told bytes that are
        packed, `counter` those that are sent to a URL.
        """
        from rules_bento.store.exporting import export
        from rules_bento.transports.address import parse

        address = parse(out) if isinstance(out, str) else None
        if address:
            from rules_bento.store.transferring import send

            entry = self.get(tag)
            return send(
                self.home,
                self.kind,
                entry,
                address,
                form,
                models=models,
                check=check,
                counter=counter,
                progress=progress,
            )
        out = str(local(out)) + "/" * out.endswith("/") if isinstance(out, str) and out else str(out)
        return export(self.home, self.kind, self.get(tag), out, form, models=models, check=check, progress=progress)


class Store:
    """A BentoML home: `bentos` and `models`."""

    def __init__(self, home: str | Path | None = None, *, durable: bool = True) -> None:
        """The home is by default that of BentoML: BENTOML_HOME, else `~/bentoml`. It need not be there.

        A `durable` store waits for the disk, so that what is done outlives a power cut.
        """
        self.home = Home.find(home, durable=durable)
        self.bentos = Section(self.home, BENTO)
        self.models = Section(self.home, MODEL)

    def section(self, kind: Kind) -> Section:
        """The entries of a kind."""
        return self.bentos if kind is BENTO else self.models

    def verify(self, *entries: Entry, progress: Callable[[int], None] | None = None) -> Verified:
        """Hold entries against what was imported; without any, everything that is there."""
        from rules_bento.store.checking import verify, verify_all

        return verify(self.home, [*entries], progress) if entries else verify_all(self.home, progress)

    def gc(self, *, dry_run: bool = False, waiting: Callable[[], None] | None = None) -> Collected:
        """Remove what nothing uses any more; entries are never touched.

        `waiting` is called if another process makes entries, which has to end first.
        """
        from rules_bento.store.garbage import collect

        return collect(self.home, dry_run=dry_run, waiting=waiting)

    def diff(self, one: str, other: str, kind: Kind = BENTO) -> Difference:
        """How two of them differ: tags, or paths of archives."""
        from rules_bento.store.comparing import Side, compare, of_archive, of_entry

        def side(text: str) -> Side:
            path = is_archive(text)
            return of_archive(path, _form(path)) if path else of_entry(self.section(kind).get(text))

        return compare(side(one), side(other))


def is_archive(text: str) -> Path | None:
    """The path if the text is one (it has a slash, or a file is there), and not a tag."""
    path = Path(text)
    return path if "/" in text or path.is_file() else None


def local(text: str) -> Path:
    """A path of this machine. Raises BentoError for an address of another one."""
    scheme, colon, rest = text.partition("://")
    if not colon:
        return Path(text)
    if scheme in ("file", "osfs") and rest.startswith("/"):
        return Path(rest)
    raise BentoError(f"{text}: only files of this machine can be read and written here. Transfer it first.")


def _form(source: Path | BinaryIO) -> Form:
    if not isinstance(source, Path):
        return "xz"
    return "folder" if source.is_dir() else form_of(source.name)
