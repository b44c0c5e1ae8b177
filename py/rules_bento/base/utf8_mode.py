"""Makes the encoding of file names UTF-8, independently of the locale.

Otherwise, Python decodes the names in a project with the locale's encoding, and the names in archives and images, and
the version of a Bento, would depend on the locale. Actions and programs of Bazel start Python with `-X utf8`.
"""

from __future__ import annotations

import io
import os
import sys

from rules_bento.base.errors import BentoError

_TERMINAL = "bento_terminal"  # the -X option of a restarted program, with the encoding of the terminal


def restart() -> None:
    """Start this program again with `-X utf8` if the encoding of file names isn't UTF-8.

    Keeps options and arguments byte by byte. Terminals keep the locale's encoding, but files and pipes get UTF-8.
    """
    if terminal := sys._xoptions.get(_TERMINAL):
        for stream in (sys.stdin, sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper) and stream.isatty():
                stream.reconfigure(encoding=terminal, errors="backslashreplace")
    elif sys.getfilesystemencoding() != "utf-8":
        try:
            program = os.readlink(b"/proc/self/exe")  # noqa: PTH115 - `Path` has no bytes
            with open("/proc/self/cmdline", "rb") as file:  # noqa: PTH123 - importing pathlib takes longer
                name, *words = file.read().split(b"\0")[:-1]
            terminal = f"{_TERMINAL}={getattr(sys.stderr, 'encoding', 'utf-8')}"
            os.execv(program, [name, b"-X", b"utf8", b"-X", terminal.encode(), *words])
        except OSError:
            require()
    require()


def require() -> None:
    """Raise BentoError if the encoding of file names isn't UTF-8."""
    if (encoding := sys.getfilesystemencoding()) != "utf-8":
        remedy = "Set PYTHONUTF8=1, or a UTF-8 locale such as LC_ALL=C.UTF-8, before you start Python."
        raise BentoError(f"Python's encoding of file names is {encoding}, not UTF-8", remedy=remedy)
