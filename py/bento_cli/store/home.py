"""Names the directories of a store: BentoML's, and the directory that only rules_bento uses.

BENTOML_HOME/bentos/NAME/VERSION/...     BENTOML_HOME/models/NAME/VERSION/...     as BentoML has them
BENTOML_HOME/{bentos,models}/NAME/latest                     a pointer: a file that contains a version
BENTOML_HOME/.rules_bento/                                   of rules_bento; can be removed without loss
    pool/AB/CDEF...[-x]       contents by BLAKE3 digest (executable files separately), shared with the entries by links
    records/bentos/NAME/VERSION   manifests of imported entries, for `bento verify`
    summaries/bentos          parsed descriptors, for fast listings
    downloads/    partial blobs by digest, to resume a pull
    uploads/      uploaded parts, to resume a push
    staging/  trash/          entries before they are added, and after they are removed
    transfers/    partial archives of URLs, to resume a download
    lock  commit.lock
"""

from __future__ import annotations

import os
from pathlib import Path

from rules_bento.dataclasses_lite import dataclass
from rules_bento.typing_lite import TYPE_CHECKING

if TYPE_CHECKING:
    from rules_bento.bento.kinds import Kind


def unique(folder: Path) -> Path:
    """Return a path in a directory that no other process uses."""
    return folder / f"{os.getpid()}-{os.urandom(6).hex()}"


@dataclass(frozen=True)
class Home:
    """Names the paths in a home. None of them must exist."""

    root: Path
    durable: bool = True  # flush to the disk, so that changes survive a power failure

    @staticmethod
    def find(root: str | Path | None = None, *, durable: bool = True) -> Home:
        """Find the home: the given directory, else BENTOML_HOME, else `~/bentoml`.

        Expands `~` and variables as BentoML does.
        """
        chosen = str(root or os.environ.get("BENTOML_HOME") or Path("~") / "bentoml")
        return Home(Path(os.path.expandvars(chosen)).expanduser().absolute(), durable)

    def entries_dir(self, kind: Kind) -> Path:
        """The directory of all entries of a kind."""
        return self.root / kind.folder

    @property
    def own(self) -> Path:
        """The directory that only rules_bento uses."""
        return self.root / ".rules_bento"

    @property
    def pool(self) -> Path:
        """The directory of contents, each named by its digest."""
        return self.own / "pool"

    @property
    def downloads(self) -> Path:
        """The directory of partial pulls."""
        return self.own / "downloads"

    @property
    def uploads(self) -> Path:
        """The directory of records of partial uploads."""
        return self.own / "uploads"

    @property
    def staging(self) -> Path:
        """The directory of entries that aren't in the store yet."""
        return self.own / "staging"

    @property
    def trash(self) -> Path:
        """The directory of entries that were removed from the store."""
        return self.own / "trash"

    @property
    def transfers(self) -> Path:
        """The directory of partial downloads of URLs."""
        return self.own / "transfers"

    def records(self, kind: Kind) -> Path:
        """The directory of manifests of imported entries, by name and version."""
        return self.own / "records" / kind.folder

    def summaries(self, kind: Kind) -> Path:
        """The file of parsed descriptors."""
        return self.own / "summaries" / kind.folder
