"""Generates HTML pages for reports. Each page is a single file that adapts to the screen size and color scheme."""

from __future__ import annotations

from rules_bento.dataclasses_lite import NamedTuple
from rules_bento.typing_lite import Iterable, Literal, Sequence

VERSION = "0.1.0"
_UNSTAMPED = "1980-01-01"  # the date of builds that set no creation time


class Table(NamedTuple):
    """A table. `last` is the CSS class of the last column: `size` for numbers.

    If the title of the first column is "Kind", text in this column isn't wrapped.
    """

    titles: Sequence[str]
    rows: Sequence[Sequence[str]]
    last: str = "size"

    @property
    def classes(self) -> list[str]:
        """Return the CSS class of each column."""
        return ["kind" if self.titles[0] == "Kind" else "text", *["text"] * (len(self.titles) - 2), self.last]


class Section(NamedTuple):
    """A part of a page. Strings in `body` are paragraphs."""

    title: str
    body: Sequence[str | Table]
    state: Literal["open", "closed", "always"] = "closed"  # collapsible, or always visible


def document(
    title: str, summary: Iterable[str], sections: Iterable[Section], *, documentation: str, date: str | None = None
) -> str:
    """Return an HTML page. `documentation` is the page that explains the report.

    `summary` contains paragraphs. `date` is the creation time of the build's outputs.
    """
    import pkgutil

    from jinja2 import Environment, StrictUndefined

    source = pkgutil.get_data(__package__, "page.html.j2") or b""
    environment = Environment(autoescape=True, trim_blocks=True, undefined=StrictUndefined)
    stamp = [date] if date and not date.startswith(_UNSTAMPED) else []
    footer = " · ".join([f"rules_bento {VERSION}", *stamp, f"For an explanation of this report, see {documentation}."])
    return environment.from_string(source.decode()).render(
        title=title, summary=list(summary), sections=list(sections), footer=footer
    )


def size(count: int) -> str:
    """Format a number of bytes with a unit, such as `4.0 kB`, `12.3 MB`, or `2.00 GB`."""
    if count < 100_000:
        return f"{count / 1e3:.1f} kB"
    return f"{count / 1e6:.1f} MB" if count < 1_000_000_000 else f"{count / 1e9:.2f} GB"
