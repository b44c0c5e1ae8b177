"""Requirements files, as pip and uv write and read them."""

from __future__ import annotations

import codecs
import re

from rules_bento.dataclasses_lite import dataclass
from rules_bento.errors import BentoError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from packaging import requirements as pep508

_HASH = r"\s+--hash[= ]sha256:([0-9a-f]{64})"
_BYTE_ORDER_MARKS = ((codecs.BOM_UTF8, "UTF-8"), (codecs.BOM_UTF16_LE, "UTF-16-LE"), (codecs.BOM_UTF16_BE, "UTF-16-BE"))
_CONTROL = r"[\x00-\x08\x0b-\x1f\x7f]"
LOCAL_REMEDY = "Code of the repository belongs into deps of its targets; a wheel of your own becomes a bento_wheel"
_ARCHIVES = (".whl", ".zip", ".tar.gz")
INCLUDE_FLAGS = frozenset({"-r", "--requirement"})
CONSTRAINT_FLAGS = frozenset({"-c", "--constraint"})
INDEX_OPTIONS = frozenset(
    {"-i", "-f", "--index-url", "--extra-index-url", "--find-links", "--no-index", "--trusted-host"}
)
_IGNORED_FLAGS = frozenset({"--only-binary", "--prefer-binary", "--require-hashes", "--use-feature"})
_SINGLE_FILE = "a lock is one file. Write it again: `uv pip compile` puts what other files ask for into it"
_DIRECTORY = f"it installs a folder. {LOCAL_REMEDY}"
_REMEDIES = {
    **dict.fromkeys(INCLUDE_FLAGS, _SINGLE_FILE),
    **dict.fromkeys(CONSTRAINT_FLAGS, "each line of a lock is exact already. Take the line out"),
    **dict.fromkeys(("-e", "--editable"), _DIRECTORY),
    "--no-binary": "a wheel is taken where the release has one, and built where it has none. Take the line out",
    "--pre": "a requirement says itself that it takes pre-releases, as in 'name>=1.0rc1'. Take the line out",
}

WHEELS = "wheels"
"""The folder of `src/` with the wheels that a Bento carries; requirements name them as BentoML's packed archives."""


@dataclass(frozen=True)
class Requirement:
    """Describes a requirement of a file: its text without options, its hashes, and its line (from 1)."""

    text: str
    hashes: tuple[str, ...]  # SHA-256, hexadecimal
    line: int

    @property
    def name(self) -> str:
        """Return the normalized name (PEP 503)."""
        return requirement_name(self.text)

    @property
    def pin(self) -> tuple[str, str] | None:
        """Return the normalized name and the version, if exactly one version is allowed."""
        try:
            requirement = parse_requirement(self.text)
        except ValueError:
            return None  # whoever resolves it says what is wrong
        exact = [clause.version for clause in requirement.specifier if clause.operator in ("==", "===")]
        return (self.name, exact[0]) if len(requirement.specifier) == len(exact) == 1 and "*" not in exact[0] else None

    @property
    def is_direct(self) -> bool:
        """Return whether it names an address (PEP 508, `name @ address`)."""
        return re.match(r"[-._A-Za-z0-9]+\s*(\[[^]]*])?\s*@", self.text) is not None

    @property
    def is_commit(self) -> bool:
        """Return whether it names a commit of a git repository, whose hash says which files are meant."""
        return self.is_direct and re.search(r"git\+[^;\s]*@[0-9a-f]{40}(#|\s|$)", self.text) is not None


@dataclass(frozen=True)
class Option:
    """Describes an option line of a file, such as `--index-url URL`: flag, value, and line (from 1)."""

    flag: str
    value: str
    line: int


def normalize_name(name: str) -> str:
    """Return a package's name as PEP 503 has it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def requirement_name(requirement: str) -> str:
    """Return the normalized name of a requirement (PEP 508)."""
    return normalize_name(re.split(r"[^-._A-Za-z0-9]", requirement, maxsplit=1)[0])


def parse_requirement(text: str) -> pep508.Requirement:
    """Parse a requirement. Raises ValueError for what is none, or has brackets in brackets without end."""
    from packaging.requirements import Requirement as Pep508

    try:
        return Pep508(text)
    except RecursionError:
        raise ValueError("its marker is nested too deeply") from None


def check(text: str, place: str) -> pep508.Requirement:
    """Parse a requirement of a package. Raises BentoError, which begins with `place`, for all others."""
    requirement, reason = None, ""
    try:
        requirement = parse_requirement(text)
    except ValueError as error:
        reason = str(error).partition("\n")[0].rstrip(".")
    address = requirement.url if requirement else text
    if (address and _is_local(address)) or (
        requirement and not requirement.specifier and requirement.name.endswith(_ARCHIVES)
    ):
        raise BentoError(f"{place}: {text!r} is a file or folder. {LOCAL_REMEDY}.")
    if requirement is None and "://" in text.partition("@")[0]:
        raise BentoError(f"{place}: {text!r} is an address without a name. Write 'name @ {text}'.")
    if requirement is None:
        raise BentoError(f"{place}: {text!r} is not a requirement (PEP 508): {reason}. Correct the line.")
    return requirement


def _is_local(address: str) -> bool:
    """Return whether an address, or what stands in the place of a requirement, leads to this machine."""
    return address.startswith((".", "/", "~", "file:")) or ("/" in address and "://" not in address)


def reject_option(option: Option, origin: str) -> None:
    """Raise BentoError for an option line that can neither be followed nor be left out."""
    if option.flag in INDEX_OPTIONS or option.flag in _IGNORED_FLAGS:
        return
    remedy = _REMEDIES.get(option.flag, "locks have no use for it. Take the line out")
    raise BentoError(f"{origin}:{option.line}: the option {option.flag} cannot be followed here: {remedy}.")


def decode(content: bytes, origin: str) -> str:
    """Read a file's text as uv does: UTF-8, or UTF-16 where it begins with a byte order mark.

    Raises BentoError, naming `origin` and line, for bytes that are no such text.
    """
    mark, encoding = next((entry for entry in _BYTE_ORDER_MARKS if content.startswith(entry[0])), (b"", "UTF-8"))
    body = content[len(mark) :]
    try:
        return body.decode(encoding)
    except UnicodeDecodeError as error:
        line = body[: error.start].decode(encoding, "replace").count("\n") + 1
        raise BentoError(f"{origin}:{line}: not {encoding} text. Save the file as UTF-8.") from None


def parse(text: str, origin: str) -> tuple[list[Requirement], list[Option]]:
    """Read a requirements file. Raises BentoError, naming `origin` and line, for what no requirement can be."""
    requirements, options = [], []
    control, sha256 = re.compile(_CONTROL), re.compile(_HASH)
    for number, line in logical_lines(text):
        if control.search(line):
            raise BentoError(f"{origin}:{number}: {line!r} has a control character. Take it out.")
        if line.startswith("-"):
            flag, _, value = re.sub(r"[=\s]+", " ", line, count=1).partition(" ")
            options.append(Option(flag, value.strip(), number))
            continue
        requirement = sha256.sub("", line).strip()
        if not re.match(r"[A-Za-z0-9.]", requirement) or " --" in requirement:
            raise BentoError(f"{origin}:{number}: {requirement!r} is not a requirement (PEP 508). Correct the line.")
        requirements.append(Requirement(requirement, tuple(sha256.findall(line)), number))
    return requirements, options


def logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield lines, joined at continuations and without comments, each with the number of its first line."""
    start, collected = 0, ""
    # Not splitlines: what it takes for the end of a line besides these, uv does not.
    for number, raw in enumerate(re.split(r"\r\n|\r|\n", text), 1):
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
