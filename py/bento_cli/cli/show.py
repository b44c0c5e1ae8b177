"""Prints the output of commands: tables and colors for users, JSON and YAML for programs."""

from __future__ import annotations

import io
import os
import re
import sys
import time
from contextlib import contextmanager
from functools import partial

from rules_bento.base import exit_handling
from rules_bento.base.display import format_size as size
from rules_bento.base.display import printable as plain
from rules_bento.base.errors import BentoError
from rules_bento.base.formats.times import to_local
from rules_bento.base.net import terminal
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Callable, Iterable, Iterator, Sequence, TextIO

__all__ = ["plain", "size"]

if TYPE_CHECKING:
    import datetime as dt

    from rules_bento.base.archives.unpack import Advance
    from rules_bento.base.net.transfers import Progress
    from rules_bento.base.tag import Tag

_BOLD, _DIM, _RED, _GREEN, _YELLOW, _CYAN = "1", terminal.DIM, "31", "32", "33", terminal.CYAN
_settings = {"quiet": "", "json": ""}
_start = time.monotonic()  # of the program


def configure(
    *, color: Any = "auto", quiet: bool = False, no_progress: bool = False, verbosity: int = 0, json: bool = False
) -> None:
    """Apply the global options for output."""
    _settings.update(quiet="yes" * quiet, json="yes" * json)
    terminal.state.color, terminal.state.verbosity = color, verbosity
    terminal.state.shows_progress = not (quiet or no_progress)
    if verbosity:
        os.environ[exit_handling.TRACEBACK] = "1"


def progress_output() -> TextIO:
    """Return the stream for progress: standard error or, without progress, a buffer that is discarded."""
    return sys.stderr if terminal.state.shows_progress else io.StringIO()


def out(text: str = "") -> None:
    """Print a line to standard output."""
    sys.stdout.write(f"{text}\n")


def done(text: str) -> None:
    """Print the result of a command. A terminal also shows a check mark, and the time that the command needed."""
    if not sys.stdout.isatty():
        out(text)
        return
    seconds = f"{time.monotonic() - _start:.1f}\0s"  # no line ends at a null character
    mark = "✓" if terminal.has_unicode(sys.stdout) else "*"
    lines = _wrapped(f"{mark} {text}\0\0{seconds}", sys.stdout)
    end = seconds.replace("\0", " ")
    out(f"{good(mark)}{lines[1:].removesuffix(end)}{faint(end)}")


def err(error: str | BentoError, where: str = "bento") -> None:
    """Print an error to standard error: as JSON if the output is JSON, and on a terminal with the remedy on a line."""
    terminal.erase(sys.stderr)
    if _settings["json"]:
        fields = {key: getattr(error, key, "") for key in ("place", "problem", "remedy")}
        sys.stderr.write(_dumps({"error": {"message": str(error), **fields}}) + "\n")
        return
    text, remedy = str(error), error.remedy if isinstance(error, BentoError) else ""
    hint = ""
    if remedy and sys.stderr.isatty() and text.endswith(remedy):
        text = text.removesuffix(remedy).rstrip()
        hint = _titled(remedy, "hint:", _CYAN)
    sys.stderr.write(_titled(text, f"{where}:", _RED) + hint)


def note(text: str) -> None:
    """Print a note to standard error, unless `--quiet` is set."""
    if _settings["quiet"]:
        return
    terminal.erase(sys.stderr)
    sys.stderr.write(_titled(text, "note:", _YELLOW))


def _titled(text: str, title: str, style: str) -> str:
    """Return lines for standard error that begin with a colored title."""
    return f"{paint(title, style, sys.stderr)}{_wrapped(f'{title} {plain(text)}', sys.stderr).removeprefix(title)}\n"


def _wrapped(text: str, file: TextIO) -> str:
    """Break lines between words, and not in a command, if `file` is a terminal."""
    if not file.isatty():
        return text
    import textwrap

    kept = re.sub(r"`[^`\n]*`", lambda match: match[0].replace(" ", "\0"), text).replace("  ", "\0\0")
    settings: dict[str, Any] = {"break_long_words": False, "break_on_hyphens": False}
    lines = [textwrap.fill(line, max(terminal.columns(file) - 1, 20), **settings) for line in kept.split("\n")]
    return "\n".join(lines).replace("\0", " ")


def next_steps(*commands: str) -> None:
    """Print the next commands to try, unless `--quiet` is set or standard error isn't a terminal."""
    if not _settings["quiet"] and sys.stderr.isatty():
        sys.stderr.write(plain("\nNext steps:\n" + "".join(f"  bento {command}\n" for command in commands)))


def paint(text: str, code: str, file: TextIO | None = None) -> str:
    """Return text in the ANSI style `code` if colors are enabled for `file` (default: standard output)."""
    return terminal.paint(text, code, file or sys.stdout)


good = partial(paint, code=_GREEN)  # succeeded, or was added
bad = partial(paint, code=_RED)  # failed, or was removed
changed = partial(paint, code=_YELLOW)
faint = partial(paint, code=_DIM)


def count(number: int, noun: str) -> str:
    """Format a number and a noun, such as `1 file` or `2 files`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def already_present(tags: Iterable[Tag]) -> str:
    """Return a message suffix that lists `tags`, the existing entries. Returns "" if `tags` is empty."""
    names = ", ".join(map(str, tags))
    return f" (already present: {names})" if names else ""


def age(moment: dt.datetime) -> str:
    """Format how long ago a time was, such as `3 min ago`."""
    seconds = int(time.time() - to_local(moment).timestamp())
    for unit, length in (("y", 31_557_600), ("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length} {unit} ago"
    return "now" if seconds >= 0 else "in the future"


def dimmed_version(tag: str) -> str:
    """Return a tag with a dim version."""
    name, colon, version = tag.partition(":")
    return name + faint(colon + version)


def local_time(moment: dt.datetime) -> str:
    """Format a time in the local time zone, as BentoML does."""
    return to_local(moment).strftime("%Y-%m-%d %H:%M:%S")


def table(
    header: Sequence[str], rows: Iterable[Sequence[str]], right: Iterable[str] = (), optional: Iterable[str] = ()
) -> None:
    """Print a table. `right` contains the names of right-aligned columns.

    A narrow terminal omits the columns in `optional`, in this order, and then the ends of versions.
    """
    table = {name: [plain(cell) for cell in cells] for name, *cells in zip(header, *rows, strict=True)}
    widest = terminal.columns(sys.stdout) if sys.stdout.isatty() else None

    def widths() -> dict[str, int]:
        return {name: max(map(len, (name, *cells))) for name, cells in table.items()}

    def fits() -> bool:
        return widest is None or sum(widths().values()) + 2 * (len(table) - 1) <= widest

    for name in optional:
        if not fits():
            table.pop(name, None)
    short = [re.sub(r"(:.{12}).*", r"\1", tag) for tag in table.get("Tag", ())]
    if not fits() and len({*short}) == len({*table["Tag"]}):  # these are prefixes, which commands accept
        table["Tag"] = short
    aligned = {
        name: [cell.rjust(width) if name in right else cell.ljust(width) for cell in (name, *table[name])]
        for name, width in widths().items()
    }
    for number, row in enumerate(zip(*aligned.values(), strict=True)):
        line = "  ".join(row).rstrip()
        if number and header[0] == "Tag":
            line = dimmed_version(row[0].rstrip()) + line[len(row[0].rstrip()) :]
        out(line if number else paint(line, _BOLD))


def _dumps(value: Any) -> str:
    from json import dumps

    text = dumps(value, indent=2, ensure_ascii=False, default=_simple)
    # Only strings can contain these characters, so JSON's escapes are valid for them.
    return "".join(char if char.isprintable() or char == "\n" else dumps(char)[1:-1] for char in text)


def data(value: Any, output: str) -> bool:
    """Print a value if `output` is "json" or "yaml", and return whether it was printed. Escapes control characters."""
    if output == "json":
        out(_dumps(value))
    elif output == "yaml":
        from yaml import safe_dump

        text = safe_dump(value, sort_keys=False, allow_unicode=True)
        if not text.replace("\n", "").isprintable():
            text = safe_dump(value, sort_keys=False)
        sys.stdout.write(text)
    return output in ("json", "yaml")


def _simple(value: Any) -> str:
    return str(value.isoformat() if hasattr(value, "isoformat") else value)


@contextmanager
def on_interrupt(kept: str | Callable[[], str]) -> Iterator[None]:
    """Add what remains to the message of an interruption, unless an inner block has added it."""
    try:
        yield
    except KeyboardInterrupt as error:
        text = kept if isinstance(kept, str) else kept()
        raise KeyboardInterrupt(str(error) or (f"interrupted. {text}" if text else "")) from None


@contextmanager
def progress(verb: str, total: int = 0) -> Iterator[Advance | None]:
    """Yield a function that advances a progress display, or None if progress isn't displayed."""
    if not terminal.state.shows_progress:
        yield None
        return
    from rules_bento.base.net.transfers import Progress

    with Progress(verb, total, sys.stderr) as counter:
        yield counter.advance


@contextmanager
def transfer(verb: str, url: str) -> Iterator[Progress | None]:
    """Yield a counter that displays the progress of a transfer, or None if `url` is a local file."""
    from bento_cli.transports.address import parse

    address = parse(url) if "://" in url else None
    if address is None:
        yield None
        return
    from rules_bento.base.net.transfers import Progress

    if address.password:
        note("Other users of this machine can see the password in the URL. Store the password in ~/.netrc instead.")
    with Progress(verb, out=progress_output(), is_single=True) as counter:
        yield counter
