"""Opens project files safely: a path can also be a pipe, a device, or a huge file."""

from __future__ import annotations

import errno
import os
import stat

from rules_bento.errors import BentoError
from rules_bento.typing_lite import BinaryIO

MAX_BYTES = 16 << 20
"""The size limit of text files."""


def open_source(path: str) -> BinaryIO:
    """Open a file. Raises OSError, without waiting, also for a pipe, a device, or a directory."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise OSError(errno.EINVAL, "not a regular file")
    return open(file, "rb")  # noqa: PTH123 - the caller closes it


def read_source(path: str, origin: str) -> bytes:
    """Read a limited number of bytes. Raises OSError as `open_source`, and BentoError above the size limit."""
    with open_source(path) as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise BentoError(f"{origin}: larger than {MAX_BYTES >> 20} MiB, the limit of text files. Exclude it.")
    return data
