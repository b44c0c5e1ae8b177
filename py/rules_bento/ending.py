"""Ends a program on an unexpected error or signal, with one message and no traceback."""

from __future__ import annotations

import errno
import os
import sys

TRACEBACK = "BENTO_TRACEBACK"
"""The environment variable that lets an error of the program itself come out as one."""

INTERRUPTED = 130
"""The status after Ctrl-C."""

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def open_streams() -> None:
    """Give the program each of the three streams that it was started without.

    Else its prints fail, and the next file that it opens is what others take for one of the three.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            opened = os.open(os.devnull, os.O_RDWR)
            os.dup2(opened, number)
            if opened != number:
                os.close(opened)
            setattr(sys, name, open(number, "w" if number else "r", encoding="utf-8"))  # noqa: PTH123, SIM115


def drop_output() -> None:
    """Leave out what standard output does not take, or Python writes it once more at its end, and complains."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def of_system(error: OSError) -> str:
    """Return what people are told of an error of the system: what it was doing that with, and what would help."""
    names = [os.fsdecode(name) for name in (error.filename, error.filename2) if isinstance(name, str | bytes)]
    reason = error.strerror or str(error)
    if error.errno not in _FULL:
        return f"{' -> '.join(names) or 'the system'}: {reason}."
    place = names[-1] if names else "where it writes, which may be the folder for temporary files (TMPDIR), too"
    return f"{reason}: {place}. Make room there, and start it again."


def unexpected(error: Exception) -> str:
    """Return what people are told of an error that no part of the program has a message for.

    Raises it where the environment asks for tracebacks.
    """
    if os.environ.get(TRACEBACK):
        raise error
    place, step = "", error.__traceback__
    while step:
        file = step.tb_frame.f_code.co_filename
        place = f" ({file.rpartition('rules_bento/')[2]}:{step.tb_lineno})" if "rules_bento/" in file else place
        step = step.tb_next
    return f"an error of this program: {type(error).__name__}: {error}{place}. {TRACEBACK}=1 shows where."
