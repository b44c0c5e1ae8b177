"""Opens files of projects, where anything may be at a path: a pipe, a device, gigabytes."""

from __future__ import annotations

import errno
import os
import stat

from rules_bento.errors import BentoError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO

MAX_BYTES = 16 << 20
"""Of a file that is read as text."""


def open_source(path: str) -> BinaryIO:
    """Open a file. Raises OSError, without waiting, for a pipe, a device or a directory, too."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise OSError(errno.EINVAL, "it is a directory, a pipe, or a device")
    return open(file, "rb")  # noqa: PTH123 - the caller closes it


def read_source(path: str, origin: str) -> bytes:
    """Return the bytes of a file of text. Raises OSError as `open_source`, and BentoError for more than a text has."""
    with open_source(path) as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise BentoError(f"{origin}: has more than {MAX_BYTES >> 20} MiB, which no text has. Exclude it.")
    return data
