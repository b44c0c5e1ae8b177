"""Imports archives from URLs into the store, and exports entries to URLs."""

from __future__ import annotations

from contextlib import contextmanager
from io import BufferedReader, FileIO

from rules_bento.archives.unpack import form_from_name
from rules_bento.bento.kinds import BENTO, Kind
from rules_bento.errors import BentoError
from rules_bento.net.transfers import Progress
from rules_bento.typing_lite import TYPE_CHECKING, Iterator

from bento_cli import transports
from bento_cli.store import export
from bento_cli.store.entry_store import Entry, models_of
from bento_cli.store.home import Home, staging_lock, unique
from bento_cli.store.import_session import Imported, Options, import_archive

if TYPE_CHECKING:
    from pathlib import Path

    from rules_bento.archives.unpack import Advance, Form

    from bento_cli.store.export import Exported
    from bento_cli.transports.address import Address


def receive(
    home: Home,
    kind: Kind,
    address: Address,
    form: Form | None = None,
    options: Options | None = None,
    *,
    sha256: str = "",
    counter: Progress | None = None,
    progress: Advance | None = None,
) -> Imported:
    """Import an archive from a URL. If `sha256` is set, verifies the archive's digest.

    Raises BentoError if the transfer fails, the archive is invalid, or the entry exists and `options.replace` isn't
    set.
    """
    form = form or form_from_name(address.name)
    if form == "folder":
        remedy = "Use an archive format, such as xz."
        raise BentoError("directories can't be imported from a URL", place=str(address), remedy=remedy)
    with _temporary(home) as path:
        transports.download(address, path, counter or Progress(), sha256)
        with FileIO(path) as raw, BufferedReader(raw) as file:
            raw.name = str(address)  # for messages
            return import_archive(home, kind, file, form, options, progress)


def send(
    home: Home,
    kind: Kind,
    entry: Entry,
    address: Address,
    form: Form | None = None,
    *,
    models: bool = True,
    check: bool = True,
    counter: Progress | None = None,
    progress: Advance | None = None,
) -> Exported:
    """Export an entry to a URL atomically, in any archive format that `store.export.export` supports.

    If the path of the URL is empty or ends with a slash, adds the file name `NAME-VERSION` with a suffix. Raises
    BentoError if the format is `folder`, the entry is damaged, or the upload fails.
    """
    if form == "folder":
        remedy = "Use an archive format, such as xz."
        raise BentoError("directories can't be exported to a URL", place=str(address), remedy=remedy)
    transports.check(address)
    name, form = export.file_name(kind, entry.tag, address.name, form)
    address = address.with_name(name)
    taken = models_of(home, entry) if models and kind is BENTO else []
    members = export.checked_members(home, entry, taken, progress, check=check)
    with _temporary(home) as path:
        with path.open("wb") as file:
            export.write(file, form, members)
        transports.upload(address, path, counter or Progress())
    return export.exported(entry, address, taken)


@contextmanager
def _temporary(home: Home) -> Iterator[Path]:
    """Yield a new path in the staging directory, and remove the file after the `with` block."""
    with staging_lock(home):  # if this process is killed, a later one removes the file
        home.staging.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = unique(home.staging)
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)
