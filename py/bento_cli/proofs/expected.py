"""Compares the members of an image's layers with the members that trusted inputs imply."""

from __future__ import annotations

from rules_bento.base.dataclasses_lite import NamedTuple
from rules_bento.base.typing_lite import Iterable, Literal, Mapping

Kind = Literal["file", "hard link", "link", "directory"]


class LayerMember(NamedTuple):
    """A member of a layer. `content` is kept for files that the reader's caller selects."""

    layer: int
    path: str
    kind: Kind
    mode: int
    uid: int
    gid: int
    size: int
    digest: str = ""  # SHA-256 of a file
    link: str = ""
    content: bytes | None = None


class Expected(NamedTuple):
    """A member that an image must have, and what implies it."""

    source: str  # what implies the member: a column of the report, such as `wheels`
    origin: str  # the name of a file, or of a package
    kind: Kind
    mode: int  # permissions
    owner: tuple[int, int]  # UID and GID
    digest: str = ""  # SHA-256 of a file; empty: the content isn't proven
    link: str = ""  # target of a symbolic link

    def difference(self, member: LayerMember) -> str:
        """Return a clause that describes how a member differs, or ""."""
        if member.kind != self.kind:
            return f"is a {member.kind}, but {self.origin} has a {self.kind}"
        if member.mode != self.mode:
            return f"has the mode {member.mode:o} instead of {self.mode:o}"
        if (member.uid, member.gid) != self.owner:
            return f"belongs to {member.uid}:{member.gid} instead of {self.owner[0]}:{self.owner[1]}"
        if member.link != self.link:
            return f"links to {member.link} instead of {self.link}"
        if self.digest and member.digest != self.digest:
            return f"has other contents than in {self.origin}"
        return ""


class Finding(NamedTuple):
    """What is wrong with an image. `layer` is the position of a layer, or None for the config and the manifest."""

    layer: int | None
    path: str  # of a file, or the name of a setting
    problem: str  # a clause

    def __str__(self) -> str:
        place = "" if self.layer is None else f"layer {self.layer}: "
        return f"{place}{self.path}: {self.problem}"


class Unproven(NamedTuple):
    """A file or setting that nothing implies, and that isn't wrong."""

    layer: int | None
    path: str
    size: int
    reason: str


def directories(
    paths: Iterable[str], owners: Mapping[str, tuple[int, int]], source: str, origin: str
) -> dict[str, Expected]:
    """Return the directories above members. `owners` has the owner of directories by prefix; root owns the others."""
    found: dict[str, Expected] = {}
    for path in paths:
        while (path := path.rpartition("/")[0]) and path not in found:
            owner = next((each for top, each in owners.items() if f"{path}/".startswith(f"{top}/")), (0, 0))
            found[path] = Expected(source, origin, "directory", 0o755, owner)
    return found
