"""Finds the name and password for a server in the file that NETRC names, or in ~/.netrc."""

from __future__ import annotations

import netrc
import os
from pathlib import Path

from rules_bento.errors import BentoError


def login(host: str, user: str = "") -> tuple[str, str] | None:
    """Return user and password for a host, of its entry or else of `default`; None without one, or for another user.

    Raises BentoError for a file that cannot be read.
    """
    path = Path(os.environ.get("NETRC") or Path("~/.netrc").expanduser())
    if not path.is_file():
        return None
    try:
        entry = netrc.netrc(path).authenticators(host)
    except netrc.NetrcParseError as error:  # what it says of the line may be a password
        raise BentoError(f"{path}:{error.lineno or 1}: cannot be read as netrc. Repair it.") from None
    except (OSError, UnicodeDecodeError):
        raise BentoError(f"{path}: cannot be read. Let it be a text that you may read.") from None
    if entry is None or (user and entry[0] != user):
        return None
    return entry[0], entry[2] or ""
