"""Handles unexpected errors, interrupts, and missing parts of the environment: standard streams and HOME."""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
from pathlib import Path

TRACEBACK = "BENTO_TRACEBACK"
"""The environment variable that requests tracebacks of unexpected errors."""

INTERRUPTED = 130
"""The exit status after Ctrl-C."""

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_DENIED = (errno.EROFS, errno.EACCES, errno.EPERM)


def open_streams() -> None:
    """Open each closed standard stream on the null device.

    Python represents a closed stream as None. If a stream stays closed, the next opened file gets its descriptor.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            opened = os.open(os.devnull, os.O_RDWR)
            os.dup2(opened, number)
            if opened != number:
                os.close(opened)
            setattr(sys, name, open(number, "w" if number else "r", encoding="utf-8"))  # noqa: PTH123, SIM115  # writes: exempt, a descriptor


def set_home() -> None:
    """Set HOME to `/`, as container engines do, if it isn't set and this user has no entry in the user database."""
    if "HOME" not in os.environ and not os.path.isabs(os.path.expanduser("~")):  # noqa: PTH111, PTH117 - without pathlib
        os.environ["HOME"] = "/"


def exit_on_signals() -> None:
    """Make SIGTERM and SIGHUP raise SystemExit, so that temporary files are removed and child processes end."""
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda received, _frame: sys.exit(128 + received))


def drop_output() -> None:
    """Flush standard output. If this fails, discards the output, so that Python doesn't fail again at exit."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def os_error_message(error: OSError) -> str:
    """Return the message for an OSError: the file, the reason, and a remedy for a full disk and for the cache."""
    names = [os.fsdecode(name) for name in (error.filename, error.filename2) if isinstance(name, str | bytes)]
    reason = error.strerror or str(error)
    if error.errno not in _FULL:
        from rules_bento.base.own_files import user_cache_directory

        cache = user_cache_directory() if error.errno in _DENIED else None
        is_of_cache = cache and any(Path(name).is_relative_to(cache.parent) for name in names)
        hint = " To use another cache, set XDG_CACHE_HOME." if is_of_cache else ""
        return f"{' -> '.join(names) or 'the system'}: {reason}.{hint}"
    place = names[-1] if names else "the output, the cache (XDG_CACHE_HOME), or the temporary directory (TMPDIR)"
    return f"{reason}: {place}. Free disk space, and run the command again."


def crash_message(error: Exception) -> str:
    """Return the message for an unexpected error.

    Raises the error if the environment variable `BENTO_TRACEBACK` is set.
    """
    if os.environ.get(TRACEBACK):
        raise error
    place, step = "", error.__traceback__
    while step:
        file = step.tb_frame.f_code.co_filename
        for package in ("rules_bento/", "bento_cli/"):
            place = f" ({file.rpartition(package)[2]}:{step.tb_lineno})" if package in file else place
        step = step.tb_next
    text = f"internal error: {type(error).__name__}: {error}{place}. Report the error with the traceback that "
    return text + f"{TRACEBACK}=1 prints."
