"""Text formats of others (YAML, JSON, TOML), read within bounds: one reader for each, and the bounds of all.

What is read here may come from anywhere. A reader returns plain values of Python or raises `FormatError`, which names
the file and, where it is known, the line; it takes time and memory in proportion to the text. docs/formats.md has the
bounds and what else is refused.
"""

from __future__ import annotations

from rules_bento.errors import BentoError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from os import PathLike

MAX_BYTES = 16 << 20
"""Of a text, as UTF-8."""

MAX_DEPTH = 100
"""Of lists and tables in each other: whoever walks a value may do so by calling itself."""

MAX_PARTS = 16
"""Of a dotted key of TOML, for which its readers take the square of the time."""

MAX_VALUES = 500_000
"""Lists, tables and what is in them, a table's keys among them; an alias counts as all that it stands for."""

MAX_CHARACTERS = 64 << 20
"""Of all texts in a document of YAML, where an alias counts as what it stands for."""

MAX_NUMBER = 250
"""Characters of a number: none is too large for a float then, nor for Python to write."""


class FormatError(BentoError):
    """Reports a text that is not valid in its format, or exceeds the bounds."""


def decoded(data: bytes | str, origin: str) -> str:
    """Return the text of a file, without a byte order mark. Raises FormatError for other than UTF-8, or too much."""
    if len(data) > MAX_BYTES:
        raise _too_large(origin)
    try:
        text = (data.encode() if isinstance(data, str) else data).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise FormatError(f"{origin}:{line}: is not UTF-8 text. Save it as UTF-8.") from None
    except UnicodeEncodeError as error:
        line = error.object.count("\n", 0, error.start) + 1
        raise FormatError(f"{origin}:{line}: has half of a surrogate pair. Write the character.") from None
    if text.startswith("\ufeff"):
        raise FormatError(f"{origin}:1: begins with two byte order marks. Keep one, or none.")
    return text


def read_file(path: str | PathLike[str], origin: str = "") -> bytes:
    """Return the bytes of a file that a reader shall take; `origin` names it in messages, else its path does.

    Raises FormatError for more than a reader takes, before it is read, and OSError for what cannot be read.
    """
    with open(path, "rb") as file:  # noqa: PTH123 - starts of actions do without pathlib
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise _too_large(origin or str(path))
    return data


def _too_large(origin: str) -> FormatError:
    return FormatError(f"{origin}: is larger than {MAX_BYTES >> 20} MiB, which cannot be meant. Make it smaller.")
