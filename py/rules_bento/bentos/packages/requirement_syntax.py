"""Parses requirements and versions (PEP 508, PEP 440) with `packaging`, and the lines of requirements files.

Functions import `packaging` only when they parse a requirement, because each action pays for its imports.
"""

from __future__ import annotations

import codecs
import json
import posixpath
import re
from contextlib import contextmanager

from rules_bento.base.dataclasses_lite import NamedTuple, dataclass, field
from rules_bento.base.display import without_credentials
from rules_bento.base.errors import BentoError
from rules_bento.base.formats import split_lines
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Callable, Iterable, Iterator, Mapping, Sequence
from rules_bento.bentos.packages.platforms import PLATFORMS, marker_environment, system_and_machine

if TYPE_CHECKING:
    from packaging import requirements as pep508
    from packaging.version import Version

_HASH = r"\s+--hash[= ]sha256:([0-9a-f]{64})"
_BYTE_ORDER_MARKS = ((codecs.BOM_UTF8, "UTF-8"), (codecs.BOM_UTF16_LE, "UTF-16-LE"), (codecs.BOM_UTF16_BE, "UTF-16-BE"))
# pip ends a line at some of these characters, uv at none.
_NUMBER = "[0-9]{1,18}"
_PLAIN_PIN = (
    r"([A-Za-z0-9](?:[-._A-Za-z0-9]*[A-Za-z0-9])?)=="
    rf"({_NUMBER}(?:\.{_NUMBER})*(?:(?:a|b|rc){_NUMBER})?(?:\.post{_NUMBER})?(?:\.dev{_NUMBER})?(?:\+[a-z0-9]+)?)"
)
_CONTROL = r"[\x00-\x08\x0b-\x1f\x7f\x85\u2028\u2029]"
_REFERENCE = r"(?:(-[rc])\s*[=\s]?\s*|(--requirement|--constraint)[=\s]\s*)(\S+)\s*"
# A path or URL without a package name, which pip and uv also accept.
_ADDRESS = r"(\.{1,2}|[A-Za-z0-9./~][^\s@;<>=!\[]*/[^\s;]*)(\s*;.*)?"
_ARCHIVE = re.compile(r"\.(whl|zip|tar|tgz|tbz|tlz|txz|tar\.(gz|bz2|lz|lzma|xz|zst))")
_URL = re.compile(r"(?!(\w+\+)?file:)[\w+]{2,}:", re.IGNORECASE)  # of a server
_WORD, _MORE = r"[^-\s]\S*", r"(\s+-.*)?"  # more options
# Patterns of the values of options that uv accepts in requirements files.
FILE_OPTIONS = {
    **dict.fromkeys(("-i", "--index-url", "--extra-index-url"), rf"(\S+://|/)\S*{_MORE}"),
    **dict.fromkeys(("-f", "--find-links", "--trusted-host", "--use-feature"), _WORD + _MORE),
    **dict.fromkeys(("--no-binary", "--only-binary"), r":all:|:none:|[A-Za-z0-9]([-._A-Za-z0-9]*[A-Za-z0-9])?"),
    **dict.fromkeys(("--no-index", "--pre", "--prefer-binary", "--require-hashes"), "(-.*)?"),
}
LOCAL_REMEDY = "Add the repository's code to deps, and declare the repository's wheels with bento_wheel."
_ARCHIVES = (".whl", ".zip", ".tar.gz")
INCLUDE_FLAGS = frozenset({"-r", "--requirement"})
CONSTRAINT_FLAGS = frozenset({"-c", "--constraint"})
INDEX_OPTIONS = {"-i", "-f", "--index-url", "--extra-index-url", "--find-links", "--no-index", "--trusted-host"}
_IGNORED_FLAGS = frozenset({"--only-binary", "--prefer-binary", "--require-hashes", "--use-feature"})
_SINGLE_FILE = "A lock must be a single file. To include the requirements of other files, run `uv pip compile`."
EXPORT_REMEDY = "`uv export --no-emit-workspace` omits the project."
_DIRECTORY = f"The option installs a directory. {LOCAL_REMEDY} {EXPORT_REMEDY}"
_REMEDIES = {
    **dict.fromkeys(INCLUDE_FLAGS, _SINGLE_FILE),
    **dict.fromkeys(CONSTRAINT_FLAGS, "A lock doesn't need constraints. Remove the line."),
    **dict.fromkeys(("-e", "--editable"), _DIRECTORY),
    "--no-binary": "Only releases without a wheel are built from source. Remove the line.",
    "--pre": "To allow pre-releases of a package, replace the line with a requirement such as 'name>=1.0rc1'.",
}

_SOURCES = ("workspace", "path", "git", "url")  # in tool.uv.sources, other than indexes

Locked = Mapping[str, dict[str, Any]]  # entries of a lock, by normalized name
WHEELS = "wheels"  # the directory of `src/` for the wheels that a Bento includes, as BentoML names it


@dataclass(frozen=True)
class LockedRequirements:
    """The packages of a lock subset. `roots` contains the direct requirements, as lines of a requirements file.

    `pins` contains pairs of an exact requirement and the SHA-256 of its files. `links` contains `--find-links` lines
    for packages that aren't in the default index. `--extra-index-url` isn't sufficient, because uv uses only the first
    index that contains a package. `modules` has the top-level modules of the packages whose files are known, by name.
    """

    roots: str
    pins: tuple[tuple[str, tuple[str, ...]], ...]
    links: str = ""
    modules: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def dumps(self) -> str:
        """Return the requirements as JSON that `loads` accepts."""
        return json.dumps(vars(self), ensure_ascii=False, indent=1) + "\n"

    @classmethod
    def loads(cls, text: str) -> LockedRequirements:
        """Parse JSON that `dumps` returned."""
        fields = json.loads(text)
        pins = tuple((pin, tuple(hashes)) for pin, hashes in fields["pins"])
        return cls(fields["roots"], pins, fields["links"], fields["modules"])

    @property
    def pinned(self) -> str:
        """The text of a requirements file without hashes."""
        return self.links + "".join(f"{pin}\n" for pin, _ in self.pins)

    @property
    def pinned_with_hashes(self) -> str:
        """The text of a requirements file with hashes."""
        lines = [
            " \\\n".join([pin, *(f"    --hash=sha256:{sha256}" for sha256 in hashes)]) for pin, hashes in self.pins
        ]
        return self.links + "".join(f"{line}\n" for line in lines)

    @property
    def wheels(self) -> set[str]:
        """The normalized names of the wheels in the Bento, such as `acme` for `./wheels/acme-1.0-py3-none-any.whl`."""
        return {normalize_name(pin.rpartition("/")[2].partition("-")[0]) for pin, _ in self.pins if pin[:2] == "./"}


def normalize_name(name: str) -> str:
    """Return the normalized form of a package name (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def requirement_name(requirement: str) -> str:
    """Return the normalized package name in a requirement (PEP 508)."""
    return normalize_name(re.split(r"[^-._A-Za-z0-9]", requirement, maxsplit=1)[0])


def plain_pin(text: str) -> tuple[str, str] | None:
    """Return the normalized name and the version in a line of a lock, such as `idna==3.10`, with or without hashes.

    Returns None for lines in other forms. Unlike `parse_requirement`, doesn't import `packaging`.
    """
    match = re.fullmatch(_PLAIN_PIN, without_hashes(text))
    return (normalize_name(match[1]), match[2]) if match else None


def parse_requirement(text: str) -> pep508.Requirement:
    """Parse a requirement (PEP 508). Raises ValueError for an invalid or too deeply nested requirement."""
    from packaging.requirements import Requirement as Pep508

    try:
        return Pep508(text)
    except RecursionError:
        raise ValueError("the marker is nested too deeply") from None


def direct(name: str, source: Mapping[str, str]) -> str:
    """Return the requirement for a package from a URL or a git commit."""
    address = source.get("url") or f"git+{source['git']}@{source['commit']}"
    directory = f"#subdirectory={source['subdirectory']}" if "subdirectory" in source else ""
    return f"{name} @ {address}{directory}"


def exact_version(requirement: pep508.Requirement) -> str:
    """Return the version that a requirement specifies, as in `name==1.0`, or an empty string for a range."""
    exact = [clause.version for clause in requirement.specifier if clause.operator in ("==", "===")]
    return next((version for version in exact if not version.endswith("*")), "")


def lowest_version(requirement: pep508.Requirement) -> str:
    """Return a version in a requirement that satisfies the requirement, or an empty string."""
    allowed = requirement.specifier
    versions = (clause.version for clause in allowed if not clause.version.endswith("*"))
    return next((version for version in versions if allowed.contains(version, prereleases=True)), "")


def address_name(address: str) -> str:
    """Return the normalized package name in a path or URL of a wheel or source archive, or an empty string."""
    return address_pin(address)[0]


def address_pin(address: str) -> tuple[str, str]:
    """Return the normalized package name and the version in a path or URL. Values that it doesn't contain are empty."""
    from packaging.utils import InvalidSdistFilename, InvalidWheelFilename, parse_sdist_filename, parse_wheel_filename

    path, _, fragment = address.partition("#")
    file = path.partition("?")[0].rpartition("/")[2].replace("%2B", "+")
    egg = re.search(r"(?:^|&)egg=([-._A-Za-z0-9]+)", fragment)
    if egg or path.startswith("git+"):
        return normalize_name(egg[1] if egg else re.sub(r"(\.git)?(@.*)?$", "", file)), ""
    for parser in (parse_wheel_filename, parse_sdist_filename):
        try:
            name, version = parser(file)[:2]
        except (InvalidSdistFilename, InvalidWheelFilename):
            continue
        return name, str(version)
    return "", ""


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
        raise BentoError(f"{text!r} is a local path", place=place, remedy=LOCAL_REMEDY)
    if requirement is None and "://" in text.partition("@")[0]:
        raise BentoError(f"the URL {text!r} requires a package name", place=place, remedy=f"Write 'name @ {text}'.")
    if requirement is None:
        raise BentoError(f"invalid requirement {text!r} (PEP 508): {reason}.", place=place)
    return requirement


def _is_local(address: str) -> bool:
    """Return whether an address or requirement is a local path."""
    return address.startswith((".", "/", "~", "file:")) or ("/" in address and "://" not in address)


def reject_option(option: Line) -> None:
    """Raise BentoError for an option that is neither supported nor safe to ignore."""
    if option.flag in INDEX_OPTIONS or option.flag in _IGNORED_FLAGS:
        return
    remedy = _REMEDIES.get(option.flag, "A lock doesn't need this option. Remove the line.")
    raise BentoError(f"unsupported option {option.flag}", place=option.place, remedy=remedy)


def decode(content: bytes, origin: str) -> str:
    """Decode UTF-8, or UTF-16 with a byte order mark, as uv does. Raises BentoError for invalid bytes."""
    mark, encoding = next((entry for entry in _BYTE_ORDER_MARKS if content.startswith(entry[0])), (b"", "UTF-8"))
    body = content[len(mark) :]
    try:
        return body.decode(encoding)
    except UnicodeDecodeError as error:
        line = body[: error.start].decode(encoding, "replace").count("\n") + 1
        raise BentoError(f"{origin}:{line}: invalid {encoding}", remedy="Save the file as UTF-8.") from None


def parse_version(text: str, place: str) -> Version:
    """Parse a version (PEP 440). Raises BentoError for an invalid version. The message begins with `place`."""
    from packaging.version import InvalidVersion, Version

    try:
        return Version(text)
    except InvalidVersion:
        remedy = "Use a version such as '1.4.39'."
        raise BentoError(f"invalid version {text!r} (PEP 440)", place=place, remedy=remedy) from None


def is_same_version(one: str, other: str) -> bool:
    """Return whether two versions are equal (PEP 440: `1.0` equals `1`). Compares invalid versions as strings."""
    from packaging.version import InvalidVersion, Version

    try:
        return one == other or Version(one) == Version(other)
    except InvalidVersion:
        return False


def check_wheel(file: str, name: str, version: str, place: str, remedy: str) -> None:
    """Raise BentoError if a wheel's file name isn't of a release, or of a local version of it, which uv accepts."""
    if file.startswith(f"{name.replace('-', '_')}-{version}-"):
        return  # as nearly all
    own, _, rest = file.partition("-")
    built = rest.partition("-")[0]
    versions = (built, built.partition("+")[0])
    if normalize_name(own) != name or (version and not any(is_same_version(version, each) for each in versions)):
        problem = f"the lock has the wheel {file[:300]!r} for {name} {version}".rstrip()
        raise BentoError(problem, place=place, remedy=remedy)


def parse(text: str, origin: str) -> tuple[list[Line], list[Line]]:
    """Return the requirements and the options of a requirements file. Only `hashes` has the hashes of a requirement.

    Raises BentoError for an invalid line. Messages begin with `origin:<line>`.
    """
    with named_format(text, origin):
        return parse_lines(logical_lines(text, origin))


def installed(text: str, origin: str, python_version: str) -> list[Line]:
    """Return the requirements in a file of a Bento for a Python (`X.Y`) that are installed. See `parse`."""
    return [line for line in parse(text, origin)[0] if line.is_installed(python_version)]


def parse_lines(lines: Iterable[Line]) -> tuple[list[Line], list[Line]]:
    """Return the requirements and the options in lines. See `parse`."""
    requirements, options = [], []
    sha256 = re.compile(_HASH)
    for line in lines:
        if not line.text:
            continue
        check_characters(line)
        if line.flag:
            options.append(line)
            continue
        requirement = sha256.sub("", line.text).strip()
        if not re.match(r"[A-Za-z0-9.]", requirement) or " --" in requirement:
            remedy = "Use a requirement such as 'torch>=2.0'."
            raise BentoError(f"invalid requirement {requirement!r} (PEP 508)", place=line.place, remedy=remedy)
        requirements.append(line._replace(text=requirement, hashes=tuple(sha256.findall(line.text))))
    return requirements, options


class Line(NamedTuple):
    """A logical line of a requirements file: a requirement, an option, or neither.

    `text` omits comments, and joins continuation lines. `written` is the original text, without the last line end.
    """

    origin: str
    number: int  # of the first physical line; 0 if the line isn't from a file
    text: str
    written: str
    hashes: tuple[str, ...] = ()  # SHA-256, hexadecimal; if `parse` returned the line

    @property
    def place(self) -> str:
        """The location, for the beginning of a message."""
        return f"{self.origin}:{self.number}" if self.number else self.origin

    @property
    def flag(self) -> str:
        """The name of the option, such as `--index-url`. Empty if the line isn't an option."""
        return re.split(r"[=\s]", self.text, maxsplit=1)[0] if self.text.startswith("-") else ""

    @property
    def value(self) -> str:
        """The value of the option."""
        return re.sub(r"^[=\s]+", "", self.text[len(self.flag) :])

    @property
    def reference(self) -> tuple[str, str] | None:
        """The flag and the path in a line that includes another file, or None."""
        match = re.fullmatch(_REFERENCE, self.text) if self.text[:1] == "-" else None
        return (match[1] or match[2], match[3]) if match else None

    @property
    def name(self) -> str:
        """The normalized name of the package (PEP 503)."""
        return requirement_name(self.text)

    @property
    def pin(self) -> tuple[str, str] | None:
        """The normalized name and the exact version, or None if the requirement is invalid or isn't exact."""
        if pin := plain_pin(self.text):
            return pin
        try:
            requirement = parse_requirement(self.text)
        except ValueError:
            return None  # the resolver reports it
        exact = exact_version(requirement)
        return (self.name, exact) if exact and len(requirement.specifier) == 1 else None

    @property
    def package(self) -> tuple[str, str]:
        """The normalized name, and the exact version if the requirement specifies one, also of a path or URL."""
        if pin := self.pin:
            return pin
        address = re.sub(r"^[-._A-Za-z0-9]+\s*(\[[^]]*])?\s*@\s*", "", without_hashes(self.text)).partition(" ;")[0]
        name, version = address_pin(address) if "/" in address else ("", "")
        return self.name if self.is_direct else name or self.name, version

    def is_installed(self, python_version: str) -> bool:
        """Return whether Linux, on amd64 or arm64, installs the requirement for a Python (`X.Y`; any if empty)."""
        requirement = None if plain_pin(self.text) or not python_version else self.parse()
        if requirement is None or requirement.marker is None:
            return True
        targets = [system_and_machine(platform) for platform in PLATFORMS if platform.startswith("linux")]
        try:
            return any(requirement.marker.evaluate(marker_environment(*target, python_version)) for target in targets)
        except (KeyError, ValueError):  # a comparison without a meaning
            return True

    @property
    def is_direct(self) -> bool:
        """Whether the requirement specifies a URL, as in `name @ URL` (PEP 508)."""
        return re.match(r"[-._A-Za-z0-9]+\s*(\[[^]]*])?\s*@", self.text) is not None

    @property
    def is_commit(self) -> bool:
        """Whether the requirement specifies a git commit. Like a hash, a commit identifies the files."""
        return self.is_direct and re.search(r"git\+[^;\s]*@[0-9a-f]{40}(#|\s|$)", self.text) is not None

    def parse(self) -> pep508.Requirement | None:
        """Return the requirement without hashes, or None for other lines, and for addresses without a name."""
        try:
            return parse_requirement(without_hashes(self.text)) if self.text[:1] not in "-." else None
        except ValueError:
            return None


def logical_lines(text: str, origin: str = "") -> Iterator[Line]:
    """Yield each logical line of a requirements file, including blank lines and comments."""
    number, joined, written = 1, "", list[str]()
    for raw in split_lines(text):
        line = re.sub(r"(^|\s)#.*", "", raw)
        # pip would end a comment at these characters.
        shown = (line + re.sub(_CONTROL, " ", raw[len(line) :])).rstrip()
        written.append(raw if shown.endswith("\\") and not raw.endswith("\\") and line == raw else shown)
        if raw.endswith("\\") and line.endswith("\\"):
            joined += line[:-1] + " "
            continue
        yield Line(origin, number, (joined + line).strip(" \t"), "\n".join(written))
        number, joined, written = number + len(written), "", []
    if written:  # a backslash at the end would join the next file's first line
        yield Line(origin, number, joined.strip(" \t"), "\n".join(written)[:-1].rstrip())


def visit_lines(
    path: str,
    read: Callable[[str, str], str],
    visit: Callable[[Line, bool], None],
    place: str = "",
    within: tuple[str, ...] = (),
    *,
    is_limit: bool = False,
) -> None:
    """Call `visit` with each line of a requirements file and of its includes, and whether the line is a constraint.

    `read` returns the text of the file at a normalized path that a line at a place names. Raises BentoError for an
    include that is circular or remote, and the errors of the functions.
    """
    if path in within:
        problem = f"{path} includes itself through {', '.join(within)}"
        raise BentoError(problem, place=place, remedy="Remove the circular include.")
    text = read(path, place)
    for line in logical_lines(text, path):
        if not line.reference:
            with named_format(text, path):
                visit(line, is_limit)
            continue
        flag, name = line.reference
        if "://" in name:
            problem = f"the remote file {name!r} can't be included"
            raise BentoError(problem, place=line.place, remedy="Include a local copy.")
        nested = posixpath.normpath(posixpath.join(posixpath.dirname(path), name))
        is_nested_limit = is_limit or flag in CONSTRAINT_FLAGS
        visit_lines(nested, read, visit, line.place, (*within, path), is_limit=is_nested_limit)


def package_lines(packages: Iterable[str], place: str) -> list[Line]:
    """Return packages, which are declared at `place`, as lines of a requirements file."""
    return [line._replace(number=0) for package in packages for line in logical_lines(package, place)]


def local_packages(pyproject: Mapping[str, Any], kinds: Iterable[str] = _SOURCES) -> dict[str, str]:
    """Map the normalized name of each package with a source of one of `kinds` in `tool.uv.sources` to the source."""
    table: Any = pyproject
    for key in ("tool", "uv", "sources"):
        table = table.get(key) if isinstance(table, dict) else None
    found = {}
    for name, source in (table if isinstance(table, dict) else {}).items():
        for each in source if isinstance(source, list) else [source]:
            for kind in kinds if isinstance(each, dict) else ():
                if each.get(kind):
                    found[normalize_name(name)] = (
                        "the uv workspace" if kind == "workspace" else f"{kind} {each[kind]!r}"
                    )
    return found


def join(lines: Iterable[Line]) -> str:
    """Return the text of a requirements file with the original text of `lines`.

    uv supports a backslash only before `--hash`, so this function joins other continuation lines.
    """
    return "".join(f"{_joined(line)}\n" for line in lines)


def _joined(line: Line) -> str:
    continuations = line.written.split("\n")[1:]
    is_plain = all(re.match(r"\s*(--hash[= ]|#|$)", text) for text in continuations)
    return line.written if is_plain or line.text.endswith("\\") else re.sub(r"\s+", " ", line.text)


def without_hashes(text: str) -> str:
    """Remove `--hash` options from a requirement."""
    return re.sub(r"\s+--hash[= ]\S+", "", text).strip()


def check_characters(line: Line) -> None:
    """Raise BentoError if a line contains a control character."""
    if re.search(_CONTROL, line.text):
        remedy = "Remove the character."
        raise BentoError(f"{line.text!r} contains a control character", place=line.place, remedy=remedy)


def check_lines(lines: Iterable[Line]) -> None:
    """Raise BentoError for the first line that the requirements of a Bento can't contain.

    uv reports conflicts, and URLs that it can't use.
    """
    for line in lines:
        check_characters(line)
        problem = remedy = ""
        if line.flag in ("-e", "--editable"):
            problem = f"can't install {line.text!r}, because the image has no sources when packages are installed"
            remedy = "List the project's dependencies instead."
        elif line.reference:
            problem = f"a Bento can't refer to the file {line.reference[1]!r}"
            remedy = "Run `uv pip compile`, and use the result as the requirements file."
        elif line.flag and line.flag not in FILE_OPTIONS:
            problem = f"uv doesn't support {without_credentials(line.flag)!r} in a requirements file"
            remedy = "Remove the option, or correct it. Write the value of an option after a space."
        elif line.flag and not re.fullmatch(FILE_OPTIONS[line.flag], line.value):
            problem = f"{line.flag} can't have the value {without_credentials(line.value)!r}"
            remedy = "Correct the option."
        elif line.text and not line.flag:
            check_requirement(line.text, line.place)
        if problem:
            raise BentoError(problem, place=line.place, remedy=remedy)


def check_requirement(text: str, place: str) -> None:
    """Raise BentoError unless `text` is a requirement (PEP 508), a path, or a URL. Ignores comments and hashes."""
    text = without_hashes(re.sub(r"(^|\s)#.*", "", text))
    if plain_pin(text) or re.fullmatch(_ADDRESS, text):
        return
    try:
        parse_requirement(text)
    except ValueError as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        is_option = re.search(r"\s--?[A-Za-z]", text)
        remedy = "Write the option as a line of its own." if is_option else "Use a requirement such as 'torch>=2.0'."
        problem = f"invalid requirement {without_credentials(text)!r} (PEP 508): {reason}"
        raise BentoError(problem, place=place, remedy=remedy) from None


def local_path(text: str) -> str:
    """Return the normalized path of a local file or directory in a requirement, or "" for other requirements."""
    text = without_hashes(re.sub(r"(^|\s)#.*", "", text))
    if not text or plain_pin(text):
        return ""
    try:
        requirement = parse_requirement(text)
        is_archive = not requirement.specifier and _ARCHIVE.search(requirement.name)
        address = requirement.url or (requirement.name if is_archive else "")
    except ValueError:
        address = re.sub(r"\[[^]]*\]$", "", text.partition(";")[0].rstrip())
        address = address if re.fullmatch(_ADDRESS, address) else ""
    address = address.partition("#")[0]
    return posixpath.normpath(address) if address and not _URL.match(address) else ""


def check_local_paths(lines: Iterable[Line], is_provided: Callable[[str], bool], remedy: str) -> None:
    """Raise BentoError for a local file or directory that doesn't exist when an image build installs packages."""
    for line in lines:
        path = local_path(line.text) if not line.flag else ""
        if line.flag in ("-f", "--find-links") and "://" not in line.value and not line.value.startswith("/"):
            path = posixpath.normpath(line.value)
        if path and not is_provided(path):
            problem = f"can't install {line.text!r}, because {path} isn't in the image when packages are installed"
            raise BentoError(problem, place=line.place, remedy=remedy)


_FREEZE = "Run `pip list --format=freeze > requirements.txt` in the environment"
_COMPILE = "Run `uv pip compile pyproject.toml --output-file requirements.txt`"
_EXPORT = "Run `uv export --no-emit-workspace --output-file requirements.txt`"
_PIPENV = "Run `pipenv requirements --hash > requirements.txt`"
# Patterns of a complete text, descriptions, and remedies. The first pattern that matches counts.
_FORMATS = (
    (r"^created-by = ", "a pylock.toml", "Name the file pylock.toml, and use it as the lock of bento.pypi."),
    (r"^lock-version = ", "a lock of Poetry", "Run `poetry export --output requirements.txt`"),
    (r"^lock_version = ", "a lock of PDM", "Run `pdm export --output requirements.txt`"),
    (r"^\[\[package\]\]", "a lock of uv", _EXPORT),
    (r'"_meta":\s*\{', "a lock of Pipenv", _PIPENV),
    (r"^\[(dev-)?packages\]", "a Pipfile", _PIPENV),
    (r"^\[(project|build-system|tool)\b", "a pyproject.toml", _COMPILE),
    (r"^(channels|dependencies):", "an environment of conda", "Set conda.environment_yml to the file."),
    (r"^(@EXPLICIT|# packages in environment at )", "a list of conda", _FREEZE),
    (r"^[\w.-]+=[^\s=<>]+=\w+$", "a list of `conda list --export`", _FREEZE),
    (r'^(Package\s+Version\b|\[\{"name":)', "a list of `pip list`", _FREEZE),
)


@contextmanager
def named_format(text: str, origin: str) -> Iterator[None]:
    """Replace a BentoError with an error that names the format of `text`, if it isn't a requirements file."""
    try:
        yield
    except BentoError:
        for pattern, description, remedy in _FORMATS:
            if re.search(pattern, text, re.MULTILINE):
                problem = f"the file is {description}, not a requirements file"
                end = "" if remedy.endswith(".") else ", and use the result."
                raise BentoError(problem, place=origin, remedy=remedy + end) from None
        raise
