"""Parses requirements files with the syntax that pip and uv accept."""

from __future__ import annotations

import codecs
import re

from rules_bento.dataclasses_lite import dataclass
from rules_bento.errors import BentoError
from rules_bento.typing_lite import TYPE_CHECKING, Any, Iterator, Mapping

if TYPE_CHECKING:
    from packaging import requirements as pep508

_HASH = r"\s+--hash[= ]sha256:([0-9a-f]{64})"
_BYTE_ORDER_MARKS = ((codecs.BOM_UTF8, "UTF-8"), (codecs.BOM_UTF16_LE, "UTF-16-LE"), (codecs.BOM_UTF16_BE, "UTF-16-BE"))
_CONTROL = r"[\x00-\x08\x0b-\x1f\x7f]"
LOCAL_REMEDY = "Add the repository's code to deps, and declare the repository's wheels with bento_wheel."
_ARCHIVES = (".whl", ".zip", ".tar.gz")
INCLUDE_FLAGS = frozenset({"-r", "--requirement"})
CONSTRAINT_FLAGS = frozenset({"-c", "--constraint"})
INDEX_OPTIONS = {"-i", "-f", "--index-url", "--extra-index-url", "--find-links", "--no-index", "--trusted-host"}
_IGNORED_FLAGS = frozenset({"--only-binary", "--prefer-binary", "--require-hashes", "--use-feature"})
_SINGLE_FILE = "A lock must be a single file. To include the requirements of other files, run `uv pip compile`."
_DIRECTORY = f"The option installs a directory. {LOCAL_REMEDY}"
_REMEDIES = {
    **dict.fromkeys(INCLUDE_FLAGS, _SINGLE_FILE),
    **dict.fromkeys(CONSTRAINT_FLAGS, "A lock doesn't need constraints. Remove the line."),
    **dict.fromkeys(("-e", "--editable"), _DIRECTORY),
    "--no-binary": "Only releases without a wheel are built from source. Remove the line.",
    "--pre": "To allow pre-releases of a package, replace the line with a requirement such as 'name>=1.0rc1'.",
}

Locked = Mapping[str, dict[str, Any]]  # entries of a lock, by normalized name
WHEELS = "wheels"  # the directory of `src/` for the wheels that a Bento includes, as BentoML names it


@dataclass(frozen=True)
class Requirement:
    """A requirement in a requirements file. `text` omits options such as `--hash`. `line` is the line number."""

    text: str
    hashes: tuple[str, ...]  # SHA-256, hexadecimal
    line: int

    @property
    def name(self) -> str:
        """The normalized name of the package (PEP 503)."""
        return requirement_name(self.text)

    @property
    def pin(self) -> tuple[str, str] | None:
        """The normalized name and the exact version, or None if the requirement is invalid or isn't exact."""
        try:
            requirement = parse_requirement(self.text)
        except ValueError:
            return None  # the resolver reports it
        exact = [clause.version for clause in requirement.specifier if clause.operator in ("==", "===")]
        return (self.name, exact[0]) if len(requirement.specifier) == len(exact) == 1 and "*" not in exact[0] else None

    @property
    def is_direct(self) -> bool:
        """Whether the requirement specifies a URL, as in `name @ URL` (PEP 508)."""
        return re.match(r"[-._A-Za-z0-9]+\s*(\[[^]]*])?\s*@", self.text) is not None

    @property
    def is_commit(self) -> bool:
        """Whether the requirement specifies a git commit. Like a hash, a commit identifies the files."""
        return self.is_direct and re.search(r"git\+[^;\s]*@[0-9a-f]{40}(#|\s|$)", self.text) is not None


@dataclass(frozen=True)
class Option:
    """An option, such as `--index-url URL`. `line` is 0 if the option isn't from a requirements file."""

    flag: str
    value: str
    line: int


def normalize_name(name: str) -> str:
    """Return the normalized form of a package name (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def requirement_name(requirement: str) -> str:
    """Return the normalized package name in a requirement (PEP 508)."""
    return normalize_name(re.split(r"[^-._A-Za-z0-9]", requirement, maxsplit=1)[0])


def parse_requirement(text: str) -> pep508.Requirement:
    """Parse a requirement (PEP 508). Raises ValueError for an invalid or too deeply nested requirement."""
    from packaging.requirements import Requirement as Pep508

    try:
        return Pep508(text)
    except RecursionError:
        raise ValueError("the marker is nested too deeply") from None


def check(text: str, place: str) -> pep508.Requirement:
    """Parse a requirement. Raises BentoError for an invalid `text` or a local path. The message begins with `place`."""
    requirement, reason = None, ""
    try:
        requirement = parse_requirement(text)
    except ValueError as error:
        reason = str(error).partition("\n")[0].rstrip(".")
    address = requirement.url if requirement else text
    is_archive = requirement and not requirement.specifier and requirement.name.endswith(_ARCHIVES)
    if is_archive or (address and _is_local(address)):
        raise BentoError(f"{place}: {text!r} is a local path. {LOCAL_REMEDY}")
    if requirement is None and "://" in text.partition("@")[0]:
        raise BentoError(f"{place}: the URL {text!r} requires a package name. Write 'name @ {text}'.")
    if requirement is None:
        raise BentoError(f"{place}: invalid requirement {text!r} (PEP 508): {reason}.")
    return requirement


def _is_local(address: str) -> bool:
    """Return whether an address or requirement is a local path."""
    return address.startswith((".", "/", "~", "file:")) or ("/" in address and "://" not in address)


def reject_option(option: Option, origin: str) -> None:
    """Raise BentoError for an option that is neither supported nor safe to ignore."""
    if option.flag in INDEX_OPTIONS or option.flag in _IGNORED_FLAGS:
        return
    remedy = _REMEDIES.get(option.flag, "A lock doesn't need this option. Remove the line.")
    raise BentoError(f"{origin}:{option.line}: unsupported option {option.flag}. {remedy}")


def decode(content: bytes, origin: str) -> str:
    """Decode UTF-8, or UTF-16 with a byte order mark, as uv does. Raises BentoError for invalid bytes."""
    mark, encoding = next((entry for entry in _BYTE_ORDER_MARKS if content.startswith(entry[0])), (b"", "UTF-8"))
    body = content[len(mark) :]
    try:
        return body.decode(encoding)
    except UnicodeDecodeError as error:
        line = body[: error.start].decode(encoding, "replace").count("\n") + 1
        raise BentoError(f"{origin}:{line}: invalid {encoding}. Save the file as UTF-8.") from None


def parse(text: str, origin: str) -> tuple[list[Requirement], list[Option]]:
    """Parse a requirements file. Raises BentoError for an invalid line. Messages begin with `origin:<line>`."""
    requirements, options = [], []
    control, sha256 = re.compile(_CONTROL), re.compile(_HASH)
    for number, line in logical_lines(text):
        if control.search(line):
            raise BentoError(f"{origin}:{number}: {line!r} contains a control character. Remove the character.")
        if line.startswith("-"):
            flag, _, value = re.sub(r"[=\s]+", " ", line, count=1).partition(" ")
            options.append(Option(flag, value.strip(), number))
            continue
        requirement = sha256.sub("", line).strip()
        if not re.match(r"[A-Za-z0-9.]", requirement) or " --" in requirement:
            raise BentoError(
                f"{origin}:{number}: invalid requirement {requirement!r} (PEP 508). Use a requirement such as "
                "'torch>=2.0'."
            )
        requirements.append(Requirement(requirement, tuple(sha256.findall(line)), number))
    return requirements, options


def logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield the number and the text of each logical line. Joins continuation lines, and removes comments."""
    start, collected = 0, ""
    # Not str.splitlines, which splits at characters that uv doesn't treat as line ends.
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
