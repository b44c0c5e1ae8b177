"""Imports archives from URLs into the store, and exports entries to URLs."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from io import BytesIO
from tempfile import TemporaryFile

from rules_bento.archives import unpack
from rules_bento.archives.unpack import form_from_name
from rules_bento.bento import descriptors
from rules_bento.bento.kinds import BENTO
from rules_bento.errors import BentoError
from rules_bento.typing_lite import TYPE_CHECKING

from bento_cli.store import export
from bento_cli.store.entry_store import EntryStore, models_of
from bento_cli.store.import_session import Options, import_archive
from bento_cli.transports.download import downloaded, upload

if TYPE_CHECKING:
    from rules_bento.archives.unpack import Form, Progress
    from rules_bento.bento.kinds import Kind
    from rules_bento.net.transfers import Counter

    from bento_cli.store.entry_store import Entry
    from bento_cli.store.export import Exported
    from bento_cli.store.home import Home
    from bento_cli.store.import_session import Imported
    from bento_cli.transports.address import Address


class NullCounter:
    """Counter that ignores all counts, for callers that don't show progress."""

    def expect(self, size: int) -> None:
        """Do nothing."""

    def advance(self, size: int) -> None:
        """Do nothing."""


def receive(
    home: Home,
    kind: Kind,
    address: Address,
    form: Form | None = None,
    options: Options | None = None,
    *,
    sha256: str = "",
    counter: Counter | None = None,
    progress: Progress | None = None,
) -> Imported:
    """Import an archive from a URL. If `sha256` is set, verifies the archive's digest.

    Raises BentoError if the transfer fails, the archive is invalid, or the entry exists and `options.replace` isn't
    set.
    """
    form = form or form_from_name(address.name)
    if form == "folder":
        raise BentoError(f"{address}: directories can't be imported from a URL. Use an archive format, such as xz.")
    options = options or Options()
    look = None if options.replace or form == "zip" else partial(_refuse_known, home, kind, address, form)
    with downloaded(address, home.transfers, counter or NullCounter(), sha256, look) as file:
        return import_archive(home, kind, file, form, options, progress)


def _refuse_known(home: Home, kind: Kind, address: Address, form: Form, head: bytes) -> None:
    """Raise BentoError if the store already contains an archive's entry. `head` is the beginning of the archive."""
    description = None
    with suppress(BentoError):  # reading the complete archive reports a better error
        for item, contents in unpack.read(BytesIO(head), form):
            if item.path == kind.descriptor:
                descriptors.check_size(item.size, str(address))
                description = descriptors.parse(kind, b"".join(contents), str(address))
                break
    if description and EntryStore(home, kind).has(description.tag):
        raise BentoError(
            f"{address}: {description.tag} is already in the store. To replace the existing version, add --force."
        )


def send(
    home: Home,
    kind: Kind,
    entry: Entry,
    address: Address,
    form: Form | None = None,
    *,
    models: bool = True,
    check: bool = True,
    counter: Counter | None = None,
    progress: Progress | None = None,
) -> Exported:
    """Export an entry to a URL atomically, in any archive format that `store.export.export` supports.

    If the path of the URL is empty or ends with a slash, adds the file name `NAME-VERSION` with a suffix. Raises
    BentoError if the format is `folder`, the entry is damaged, or the upload fails.
    """
    if form == "folder":
        raise BentoError(f"{address}: directories can't be exported to a URL. Use an archive format, such as xz.")
    name, form = export.file_name(kind, entry.tag, address.name, form)
    address = address.with_path(address.path[: len(address.path) - len(address.name)] + name)
    taken = models_of(home, entry) if models and kind is BENTO else []
    members = export.checked_members(home, entry, taken, progress, check=check)
    home.staging.mkdir(mode=0o700, parents=True, exist_ok=True)
    with TemporaryFile(dir=home.staging) as file:  # the file has no name, so the system removes it when it is closed
        export.write(file, form, members)
        upload(address, file, counter or NullCounter())
    return export.exported(entry, address, taken)
