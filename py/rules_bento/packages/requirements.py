"""Requirements files, as pip and uv write and read them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from rules_bento.errors import BentoError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_HASH = re.compile(r"\s+--hash[= ]sha256:([0-9a-f]{64})")
_PIN = re.compile(r"(?P<name>[A-Za-z0-9][-._A-Za-z0-9]*)\s*(\[[^]]*])?\s*===?\s*(?P<version>[^\s;*]+)")


WHEELS = "wheels"
"""The folder of `src/` with the wheels that a Bento carries; requirements name them as BentoML's packed archives."""


@dataclass(frozen=True)
class Requirement:
    """One requirement of a file: its text without options, the hashes behind it, and its line (from 1)."""

    text: str
    hashes: tuple[str, ...]  # SHA-256, hexadecimal
    line: int

    @property
    def name(self) -> str:
        """The normalized name (PEP 503)."""
        return name_of(self.text)

    @property
    def pin(self) -> tuple[str, str] | None:
        """Normalized name and version, if exactly one version is asked for."""
        found = _PIN.match(self.text)
        return (normalized(found["name"]), found["version"]) if found else None

    @property
    def is_direct(self) -> bool:
        """Whether it names an address (PEP 508, `name @ address`)."""
        return re.match(r"[-._A-Za-z0-9]+\s*(\[[^]]*])?\s*@", self.text) is not None

    @property
    def is_commit(self) -> bool:
        """Whether it names a commit of a git repository, whose hash says which files are meant."""
        return self.is_direct and re.search(r"git\+[^;\s]*@[0-9a-f]{40}(#|\s|$)", self.text) is not None


@dataclass(frozen=True)
class Option:
    """One option line of a file, such as `--index-url URL`: the flag, its value, and its line (from 1)."""

    flag: str
    value: str
    line: int


def normalized(name: str) -> str:
    """A package's name as PEP 503 has it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def name_of(requirement: str) -> str:
    """The normalized name of a requirement (PEP 508)."""
    return normalized(re.split(r"[^-._A-Za-z0-9]", requirement, maxsplit=1)[0])


def parse(text: str, origin: str) -> tuple[list[Requirement], list[Option]]:
    """Read a requirements file. Raises BentoError, naming `origin` and line, for what no requirement can be."""
    requirements, options = [], []
    for number, line in _logical_lines(text):
        if line.startswith("-"):
            flag, _, value = re.sub(r"[=\s]+", " ", line, count=1).partition(" ")
            options.append(Option(flag, value.strip(), number))
            continue
        requirement = _HASH.sub("", line).strip()
        if not re.match(r"[A-Za-z0-9.]", requirement) or " --" in requirement:
            raise BentoError(f"{origin}:{number}: {requirement!r} is not a requirement (PEP 508). Correct the line.")
        requirements.append(Requirement(requirement, tuple(_HASH.findall(line)), number))
    return requirements, options


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines with their continuations joined and their comments gone, with the number of the first."""
    start, collected = 0, ""
    for number, raw in enumerate(text.splitlines(), 1):
        start = start or number
        line = re.sub(r"(^|\s)#.*", "", raw)
        if raw.rstrip().endswith("\\") and line.rstrip().endswith("\\"):
            collected += line.rstrip()[:-1] + " "
            continue
        collected = (collected + line).strip()
        if collected:
            yield start, collected
        start, collected = 0, ""
    if collected.strip():
        yield start, collected.strip()
