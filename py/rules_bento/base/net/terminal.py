"""Draws progress, and writes colors and steps, as the user's terminal and the environment allow."""

from __future__ import annotations

import os
import sys

from rules_bento.base.display import printable
from rules_bento.base.typing_lite import TYPE_CHECKING

if TYPE_CHECKING:
    from rules_bento.base.typing_lite import Literal, TextIO

CYAN, DIM = "36", "2"
_COLUMNS = 80  # of a terminal with an unknown width
_UNITS = (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1))
_TITLE, _MIN_BAR, _MAX_BAR, _MAX_AMOUNTS = 24, 6, 50, 50  # columns; the title doesn't depend on the amounts
_WIDE = 70  # columns of a terminal whose lines have the speed


class _State:
    """What the command line selects, and whether a progress line is visible."""

    color: Literal["auto", "always", "never"] = "auto"
    verbosity = 0  # 1: steps, 2: also requests
    shows_progress = True
    is_drawn = False


state = _State()


def is_colored(file: TextIO) -> bool:
    """Return whether text for a file is colored: the `--color` option, NO_COLOR, FORCE_COLOR, or a terminal."""
    if state.color != "auto":
        return state.color == "always"
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or (os.environ.get("TERM") != "dumb" and file.isatty())


def paint(text: str, code: str, file: TextIO) -> str:
    """Return text in the ANSI style `code` if `file` is colored."""
    return f"\x1b[{code}m{text}\x1b[0m" if text and is_colored(file) else text


def columns(file: TextIO) -> int:
    """Return the width of a terminal."""
    try:
        return os.get_terminal_size(file.fileno()).columns or _COLUMNS
    except (OSError, ValueError):
        return _COLUMNS


def step(text: str, level: int = 1) -> None:
    """Print a step of the program, or with level 2 a request, if the verbosity is at least `level`."""
    if state.verbosity >= level:
        erase(sys.stderr)
        sys.stderr.write(f"{paint('debug:' if level > 1 else 'step:', DIM, sys.stderr)} {printable(text)}\n")


def draw(line: str, file: TextIO) -> None:
    """Replace the progress line."""
    file.write(f"\r{line}\x1b[K")
    file.flush()
    state.is_drawn = True


def erase(file: TextIO) -> None:
    """Erase the progress line, so that other text can follow."""
    if state.is_drawn:
        file.write("\r\x1b[K")
        file.flush()
        state.is_drawn = False


def amounts(done: int, total: int, rate: float | None) -> list[str]:
    """Return the share, the amount, the speed, and the remaining time of a transfer. Omits what isn't known.

    `rate` is in bytes per second. If it is None, returns the number of items.
    """
    if rate is None:
        return [f"{done}/{total}"]
    unit, size = next((each for each in _UNITS if max(done, total) >= each[1]), _UNITS[-1])
    digits = 0 if size == 1 else 1
    name, scale = next((each for each in _UNITS if rate >= each[1]), _UNITS[-1])
    speed = [f"{rate / scale:.{0 if scale == 1 else 1}f} {name}/s"] if rate else []
    if not 0 < total >= done:
        return [f"{done / size:.{digits}f} {unit}", *speed] if done else []
    parts = [f"{100 * done // total} %", f"{done / size:.{digits}f}/{total / size:.{digits}f} {unit}", *speed]
    if not rate or done == total:
        return parts
    left = max(int((total - done) / rate), 1)  # at the end, no time is shown
    clock = f"{left // 3600}:{left // 60 % 60:02d}:{left % 60:02d}" if left >= 3600 else f"{left // 60}:{left % 60:02d}"
    return [*parts, clock]


def progress_line(title: str, done: int, total: int, rate: float | None, file: TextIO) -> str:
    """Return a line that is shorter than the terminal: the title, a bar if there is space, and the amounts."""
    width = columns(file) - 1
    parts = amounts(done, total, rate)
    if width < _WIDE:
        parts = [part for part in parts if not part.endswith("/s")]
    text = "  ".join(parts)
    space = max(width - len(text) - 2, 0)
    title = shorten(title, min(max(min(_TITLE, 3 * width // 8), width - _MAX_BAR - _MAX_AMOUNTS), space), file)
    bar = space - _columns_of(title) - 2
    if bar < _MIN_BAR or not 0 < total >= done:
        return f"{title}{' ' * max(space - _columns_of(title), 0)}  {text}"[:width]
    full, rest = ("━", "─") if has_unicode(file) else ("#", "-")
    filled = bar * done // total
    return f"{title}  {paint(full * filled, CYAN, file)}{paint(rest * (bar - filled), DIM, file)}  {text}"


def shorten(text: str, width: int, file: TextIO) -> str:
    """Omit the middle of a string that is wider than `width`."""
    text = printable(text).replace("\n", " ")
    if _columns_of(text) <= width:
        return text
    text = "".join(char if _columns_of(char) == 1 else "?" for char in text)
    mark = "…" if has_unicode(file) else "~"
    return f"{text[: width // 2]}{mark}{text[len(text) - (width - 1) // 2 :]}" if width > 2 else mark[:width]


def _columns_of(text: str) -> int:
    if text.isascii():
        return len(text)
    from unicodedata import east_asian_width

    return sum(2 if east_asian_width(char) in "WF" else 1 for char in text)


def has_unicode(file: TextIO) -> bool:
    """Return whether a file accepts all characters."""
    return "utf" in (getattr(file, "encoding", "") or "").lower()
