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
_MIN_BAR, _MAX_BAR, _MIN_TITLE = 6, 50, 24  # columns
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


def amounts(done: int, total: int, seconds: float) -> list[str]:
    """Return the share, the amount, the speed, and the remaining time of a transfer. Omits what isn't known."""
    unit, size = next((each for each in _UNITS if max(done, total) >= each[1]), _UNITS[-1])
    digits = 0 if size == 1 else 1
    rate = done / max(seconds, 0.001)
    name, scale = next((each for each in _UNITS if rate >= each[1]), _UNITS[-1])
    speed = f"{rate / scale:.{0 if scale == 1 else 1}f} {name}/s"
    if not 0 < total >= done:
        return [f"{done / size:.{digits}f} {unit}", speed]
    left = int((total - done) / rate) if rate else 0
    clock = f"{left // 3600}:{left // 60 % 60:02d}:{left % 60:02d}" if left >= 3600 else f"{left // 60}:{left % 60:02d}"
    amount = f"{done / size:.{digits}f}/{total / size:.{digits}f} {unit}"
    return [f"{100 * done // total} %", amount, speed, *([clock] if done else [])]


def progress_line(title: str, done: int, total: int, seconds: float, file: TextIO) -> str:
    """Return a line that is shorter than the terminal: the title, a bar if there is space, and the amounts."""
    width = columns(file) - 1
    parts = amounts(done, total, seconds)
    if width < _WIDE and len(parts) == 4:
        del parts[2]
    text = "  ".join(parts)
    space = max(width - len(text) - 2, 0)
    short = shorten(title, max(space // 2, space - _MAX_BAR, min(_MIN_TITLE, space - _MIN_BAR - 2)), file)
    bar = space - _columns_of(short) - 2
    if bar < _MIN_BAR or len(parts) < 3:
        title = shorten(title, space, file)
        return f"{title}{' ' * max(space - _columns_of(title), 0)}  {text}"[:width]
    full, rest = ("━", "─") if has_unicode(file) else ("#", "-")
    filled = bar * done // total
    return f"{short}  {paint(full * filled, CYAN, file)}{paint(rest * (bar - filled), DIM, file)}  {text}"


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
