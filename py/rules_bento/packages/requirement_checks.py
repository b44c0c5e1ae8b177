"""Checks whether installers can install the requirements of a Bento."""

from __future__ import annotations

import posixpath
import re

from rules_bento.errors import BentoError
from rules_bento.packages.requirements import INDEX_OPTIONS, Line, check_characters, parse_requirement, without_hashes
from rules_bento.typing_lite import Iterable

# A path or URL without a package name, which pip and uv also accept.
_ADDRESS = r"[A-Za-z0-9./~][^\s@;<>=!\[]*/"
# A version in the syntax of conda.
_SINGLE_EQUALS = r"[A-Za-z0-9][-.\w]*\s*(\[[^\]]*\])?\s*=(?!=)"
_NOT_IN_BENTO = (
    "because the Bento doesn't contain the file. Use a version from a package index, or add a wheel to the Bento "
    "(wheels)."
)


def check_lines(lines: Iterable[Line]) -> None:
    """Raise BentoError for the first line that the requirements of a Bento can't contain."""
    for line in lines:
        check_characters(line)
        if line.flag in ("-e", "--editable"):
            raise BentoError(
                f"{line.place}: can't install {line.text!r}, because the image doesn't contain the project's sources "
                "when packages are installed. List the project's dependencies instead."
            )
        if line.reference:
            raise BentoError(
                f"{line.place}: a Bento can't refer to the file {line.reference[1]!r}. Run `uv pip compile`, and use "
                "the result as the requirements file."
            )
        if line.flag in INDEX_OPTIONS and re.match(r"~(/|$)|(\./)*\.\.(/|$)", line.value):
            raise BentoError(
                f"{line.place}: can't use {line.text!r}, because the Bento doesn't contain the directory. Use a URL."
            )
        if line.text and not line.flag:
            check_requirement(line.text, line.place)


def check_requirement(text: str, place: str) -> None:
    """Raise BentoError unless pip and uv accept `text` in the requirements of a Bento. Ignores comments and hashes."""
    text = without_hashes(re.sub(r"(^|\s)#.*", "", text))
    if re.match(_SINGLE_EQUALS, text):
        raise BentoError(f"{place}: invalid requirement {text!r} (PEP 508). Write '==' instead of conda's '='.")
    try:
        address = parse_requirement(text).url
    except ValueError:
        if not re.match(_ADDRESS, text):
            raise BentoError(
                f"{place}: invalid requirement {text!r} (PEP 508). Use a requirement such as 'torch>=2.0'."
            ) from None
        address = text
    if address and _is_outside(address):
        raise BentoError(f"{place}: can't install {text!r}, {_NOT_IN_BENTO}")


def _is_outside(address: str) -> bool:
    """Return whether an address is a `file:` URL, or a path outside the current directory."""
    address = re.sub(r"^[a-z]+\+", "", address.lower())
    if "://" in address or address.startswith("file:"):
        return address.startswith("file:")
    return re.match(r"[/\\]|[a-z]:[/\\]|(~|\.\.)(/|$)", posixpath.normpath(address)) is not None
