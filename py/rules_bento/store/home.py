"""Names the folders of a store: BentoML's, and beside them those that only this package needs.

BENTOML_HOME/bentos/NAME/VERSION/...     BENTOML_HOME/models/NAME/VERSION/...     as BentoML has them
BENTOML_HOME/{bentos,models}/NAME/latest                     a pointer: the text of a version
BENTOML_HOME/.rules_bento/                                   ours; without it the store is as good
    pool/AB/CDEF...[-x]       contents by BLAKE3 (executable files apart), shared with the entries by links
    records/bentos/NAME/VERSION   what was imported, to verify against
    summaries/bentos          descriptors that were parsed before, so that listing need not
    downloads/    parts of what is being pulled, by digest, so that a pull that was cut goes on
    uploads/      which parts of an upload are there, so that a push that was cut goes on
    staging/  trash/          what is not yet, or no longer, in the store
    transfers/    what came of an archive at a URL before it was cut
    lock  commit.lock
"""

from __future__ import annotations

import os
from pathlib import Path

from rules_bento.records import dataclass


def unique(folder: Path) -> Path:
    """Return a name in a folder that no process has."""
    return folder / f"{os.getpid()}-{os.urandom(6).hex()}"


@dataclass(frozen=True)
class Kind:
    """Describes one of the two kinds of entries: Bentos and models."""

    noun: str  # in messages
    folder: str  # of the home
    descriptor: str  # the file that makes a folder one
    extension: str  # of an archive in the default format, without a dot


BENTO = Kind("Bento", "bentos", "bento.yaml", "bento")
MODEL = Kind("model", "models", "model.yaml", "bentomodel")


@dataclass(frozen=True)
class Home:
    """Names the paths below a home, none of which need to exist."""

    root: Path
    durable: bool = True  # wait for the disk, so that what is done outlives a power cut

    @staticmethod
    def find(root: str | Path | None = None, *, durable: bool = True) -> Home:
        """Return the given folder, else BENTOML_HOME's, else `~/bentoml`.

        `~` and variables are replaced as BentoML does.
        """
        chosen = str(root or os.environ.get("BENTOML_HOME") or Path("~") / "bentoml")
        return Home(Path(os.path.expandvars(chosen)).expanduser().absolute(), durable)

    def entries_dir(self, kind: Kind) -> Path:
        """Return the folder of all names of a kind."""
        return self.root / kind.folder

    @property
    def own(self) -> Path:
        """Return the folder that only this package uses."""
        return self.root / ".rules_bento"

    @property
    def pool(self) -> Path:
        """Return the folder of contents, each named by its digest."""
        return self.own / "pool"

    @property
    def downloads(self) -> Path:
        """The folder of unfinished pulls."""
        return self.own / "downloads"

    @property
    def uploads(self) -> Path:
        """The folder of notes on unfinished uploads in parts."""
        return self.own / "uploads"

    @property
    def staging(self) -> Path:
        """Return the folder of entries that are not yet in the store."""
        return self.own / "staging"

    @property
    def trash(self) -> Path:
        """Return the folder of entries that are no longer in the store."""
        return self.own / "trash"

    @property
    def transfers(self) -> Path:
        """Return the folder of unfinished downloads of URLs."""
        return self.own / "transfers"

    def records(self, kind: Kind) -> Path:
        """Return the folder of records: manifests of what was imported, by name and version."""
        return self.own / "records" / kind.folder

    def summaries(self, kind: Kind) -> Path:
        """Return the file of parsed descriptors."""
        return self.own / "summaries" / kind.folder
