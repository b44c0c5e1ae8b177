"""Prints the output of commands: tables and colors for users, JSON and YAML for programs."""

from __future__ import annotations

import io
import os
import sys
from contextlib import contextmanager
from functools import partial

from rules_bento import exit_handling
from rules_bento.formats.times import to_local
from rules_bento.typing_lite import TYPE_CHECKING, Any, Iterable, Iterator, Sequence, TextIO

if TYPE_CHECKING:
    import datetime as dt

    from rules_bento.archives.unpack import Advance
    from rules_bento.net.transfers import Progress
    from rules_bento.tag import Tag

_BOLD, _DIM, _RED, _GREEN, _YELLOW = "1", "2", "31", "32", "33"
_settings = {"color": "auto", "quiet": ""}


def configure(*, color: str, quiet: bool, verbose: bool) -> None:
    """Apply the global options for output."""
    _settings.update(color=color, quiet="yes" if quiet else "")
    if verbose:
        os.environ[exit_handling.TRACEBACK] = "1"


def progress_output() -> TextIO:
    """Return the stream for progress: standard error or, with `--quiet`, a buffer that is discarded."""
    return io.StringIO() if _settings["quiet"] else sys.stderr


def out(text: str = "") -> None:
    """Print a line to standard output."""
    sys.stdout.write(f"{text}\n")


def err(text: str, where: str = "bento") -> None:
    """Print an error to standard error."""
    sys.stderr.write(f"{paint(f'{where}:', _RED, sys.stderr)} {plain(text)}\n")


def note(text: str) -> None:
    """Print a note to standard error, unless `--quiet` is set."""
    if _settings["quiet"]:
        return
    sys.stderr.write(f"{paint('note:', _YELLOW, sys.stderr)} {plain(text)}\n")


def next_steps(*commands: str) -> None:
    """Print the next commands to try, unless `--quiet` is set or standard error isn't a terminal."""
    if progress_output().isatty():
        sys.stderr.write(plain("\nNext steps:\n" + "".join(f"  bento {command}\n" for command in commands)))


def paint(text: str, code: str, file: TextIO | None = None) -> str:
    """Return text in the ANSI style `code` if colors are enabled for `file` (default: standard output)."""
    file = file or sys.stdout
    automatic = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb" and file.isatty()
    is_painted = automatic if _settings["color"] == "auto" else _settings["color"] == "always"
    return f"\x1b[{code}m{text}\x1b[0m" if is_painted else text


good = partial(paint, code=_GREEN)  # succeeded, or was added
bad = partial(paint, code=_RED)  # failed, or was removed
changed = partial(paint, code=_YELLOW)
faint = partial(paint, code=_DIM)


def plain(text: str) -> str:
    """Escape control characters, except for line breaks, in text that might come from an untrusted archive."""
    return "".join(char if char.isprintable() or char == "\n" else ascii(char)[1:-1] for char in text)


def size(count: float) -> str:
    """Format a number of bytes, such as `17.00 KiB`, as BentoML does."""
    unit = "B"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB", "PiB"):
        if count < 1024 or unit == "PiB":
            break
        count /= 1024
    return f"{count:.2f} {unit}"


def count(number: int, noun: str) -> str:
    """Format a number and a noun, such as `1 file` or `2 files`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def already_present(tags: Iterable[Tag]) -> str:
    """Return a message suffix that lists `tags`, the existing entries. Returns "" if `tags` is empty."""
    names = ", ".join(map(str, tags))
    return f" (already present: {names})" if names else ""


def local_time(moment: dt.datetime) -> str:
    """Format a time in the local time zone, as BentoML does."""
    return to_local(moment).strftime("%Y-%m-%d %H:%M:%S")


def table(header: Sequence[str], rows: Iterable[Sequence[str]], right: Iterable[int] = ()) -> None:
    """Print a table. `right` contains the indexes of right-aligned columns."""
    cells = [[plain(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(header, *cells, strict=True)]
    right_aligned = set(right)
    for number, row in enumerate([list(header), *cells]):
        padded = [
            cell.rjust(width) if column in right_aligned else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        line = "  ".join(padded).rstrip()
        out(line if number else paint(line, _BOLD))


def json(value: Any) -> None:
    """Print a value as JSON, with control characters escaped."""
    from json import dumps

    text = dumps(value, indent=2, ensure_ascii=False, default=_simple)
    # Only strings can contain these characters, so JSON's escapes are valid for them.
    out("".join(char if char.isprintable() or char == "\n" else dumps(char)[1:-1] for char in text))


def yaml(value: Any) -> None:
    """Print a value as YAML, with control characters escaped."""
    from yaml import safe_dump

    text = safe_dump(value, sort_keys=False, allow_unicode=True)
    if not text.replace("\n", "").isprintable():
        text = safe_dump(value, sort_keys=False)
    sys.stdout.write(text)


def data(value: Any, output: str) -> bool:
    """Print a value if `output` is "json" or "yaml". Returns whether the value was printed."""
    if output == "json":
        json(value)
    elif output == "yaml":
        yaml(value)
    return output in ("json", "yaml")


def _simple(value: Any) -> str:
    return str(value.isoformat() if hasattr(value, "isoformat") else value)


@contextmanager
def progress(verb: str, total: int = 0) -> Iterator[Advance | None]:
    """Yield a function that advances a progress display, or None if `--quiet` is set or the output isn't a terminal."""
    if not progress_output().isatty():
        yield None
        return
    from rules_bento.net.transfers import Progress

    with Progress(verb, total, progress_output()) as counter:
        yield counter.advance


@contextmanager
def transfer(verb: str, url: str) -> Iterator[Progress | None]:
    """Yield a counter that displays the progress of a transfer, or None if `url` is a local file."""
    from bento_cli.transports.address import parse

    address = parse(url) if "://" in url else None
    if address is None:
        yield None
        return
    from rules_bento.net.transfers import Progress

    if address.password:
        note("Other users of this machine can see the password in the URL. Store the password in ~/.netrc instead.")
    with Progress(verb, out=progress_output(), is_single=True) as counter:
        yield counter
