"""Follows the symbolic links of a tree as the system does, which is not always where their texts lead."""

from __future__ import annotations

from rules_bento.errors import BentoError
from rules_bento.typing_lite import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_MAX_HOPS = 40  # links on the way to a file, as Linux has it
_MAX_STEPS = 4_000_000  # names on the ways of all links together


def check_links(links: Mapping[str, str], where: str) -> None:
    """Raise BentoError if one of the links (texts of targets by path) leads out of their common root, or in a circle.

    A link is followed through all others on its way, which is not always where its text says.
    """
    steps = 0
    for path, text in links.items():
        refused = f"{where}: refused: {path!r}: a link to {text!r}, which"
        if text.startswith("/"):
            raise BentoError(f"{refused} is absolute. Put a copy in its place.")
        place: list[str] = []
        pending = path.split("/")[::-1]
        hops = 0
        while pending:
            part = pending.pop()
            steps += 1
            if part == ".." and not place:
                raise BentoError(f"{refused} leads outside. Put a copy in its place.")
            if part == "..":
                place.pop()
            elif part not in ("", "."):
                place.append(part)
                link = links.get("/".join(place))
                if link is not None:
                    place.pop()
                    pending += link.split("/")[::-1]
                    hops += 1
            if steps > _MAX_STEPS:
                raise BentoError(f"{where}: refused: its links have more than {_MAX_STEPS} names on their ways.")
            if hops > _MAX_HOPS:
                raise BentoError(f"{refused} leads in a circle. Remove it.")
