"""Follows the symbolic links of a tree as the operating system does, through all other links."""

from __future__ import annotations

from rules_bento.errors import BentoError
from rules_bento.typing_lite import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_MAX_HOPS = 40  # links on the path to a file, as on Linux
_MAX_STEPS = 4_000_000  # path components of all links together


def check_links(links: Mapping[str, str], where: str) -> None:
    """Raise BentoError if a link (target by path) leads outside the common root, or if links form a cycle.

    Follows each link through all other links on its path.
    """
    steps = 0
    for path, text in links.items():
        refused = f"{where}: {path!r}: the link target {text!r}"
        if text.startswith("/"):
            raise BentoError(f"{refused} is absolute. Replace the link by a copy.")
        place: list[str] = []
        pending = path.split("/")[::-1]
        hops = 0
        while pending:
            part = pending.pop()
            steps += 1
            if part == ".." and not place:
                raise BentoError(f"{refused} is outside the archive. Replace the link by a copy.")
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
                raise BentoError(f"{where}: its symbolic links have more than {_MAX_STEPS} components. Remove links.")
            if hops > _MAX_HOPS:
                raise BentoError(f"{refused} is part of a cycle. Remove the link.")
