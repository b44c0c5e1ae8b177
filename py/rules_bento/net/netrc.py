"""Who asks: of the address, else of the file that NETRC names, or ~/.netrc."""

from __future__ import annotations

import netrc
import os
from pathlib import Path
from typing import TYPE_CHECKING

from rules_bento.errors import BentoError

if TYPE_CHECKING:
    from rules_bento.transports.address import Address


def login(address: Address) -> tuple[str, str]:
    """User and password for an address; empty if nobody says. Raises BentoError for a file that cannot be read."""
    if address.password:
        return address.user, address.password
    path = Path(os.environ.get("NETRC") or Path("~/.netrc").expanduser())
    if not path.is_file():
        return address.user, ""
    try:
        found = netrc.netrc(path).authenticators(address.host)
    except (OSError, netrc.NetrcParseError) as error:
        what = error.msg if isinstance(error, netrc.NetrcParseError) else error.strerror
        raise BentoError(f"{path}: cannot be read: {what}.") from None
    if found is None or (address.user and found[0] != address.user):
        return address.user, ""
    return found[0], found[2] or ""
