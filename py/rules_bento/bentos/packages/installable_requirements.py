"""Checks whether installers can install the requirements of a Bento. The reference implementation is uv.

uv rejects a complete requirements file because of one line that it can't read, and pip accepts more lines than uv.
"""

from __future__ import annotations

import posixpath
import re

from rules_bento.base.display import without_credentials
from rules_bento.base.errors import BentoError
from rules_bento.base.typing_lite import TYPE_CHECKING, Callable, Iterable, Sequence
from rules_bento.bentos.packages.platforms import PLATFORMS, PYTHON_VERSIONS, supported_targets
from rules_bento.bentos.packages.requirement_syntax import (
    Line,
    address_name,
    check_characters,
    normalize_name,
    parse_requirement,
    plain_pin,
    requirement_name,
    without_hashes,
)

if TYPE_CHECKING:
    from packaging.requirements import Requirement
    from packaging.specifiers import SpecifierSet

# Options that uv accepts in requirements files, and the kinds of their values. uv ignores the last five options.
FILE_OPTIONS = {
    **dict.fromkeys(("-i", "--index-url", "--extra-index-url", "-f", "--find-links"), "URL"),
    **dict.fromkeys(("--no-binary", "--only-binary"), "package"),
    "--no-index": "",
    "--pre": "",
    "--prefer-binary": "",
    "--require-hashes": "",
    "--trusted-host": "host",
    "--use-feature": "feature",
}
# Keys of `python` in a bentofile.
OPTIONS_OF_BENTOFILE = {
    **dict.fromkeys(("-i", "--index-url"), "index_url"),
    **dict.fromkeys(("-f", "--find-links"), "find_links"),
    "--extra-index-url": "extra_index_url",
    **dict.fromkeys(("-r", "--requirement"), "requirements_txt"),
    "--no-index": "no_index",
    "--trusted-host": "trusted_host",
}
# A path or URL without a package name, which pip and uv also accept.
_ADDRESS = r"(\.{1,2}|[A-Za-z0-9./~][^\s@;<>=!\[]*/[^\s;]*)(\s*;.*)?"
# A version in the syntax of conda.
_SINGLE_EQUALS = r"[A-Za-z0-9][-.\w]*\s*(\[[^\]]*\])?\s*=(?!=)"
_OPTION = re.compile(r"\s(-[A-Za-z]|--[A-Za-z][A-Za-z-]*)(?=[=\s]|$)")  # in a line with a requirement
_ARCHIVE = re.compile(r"\.(whl|zip|tar|tgz|tbz|tlz|txz|tar\.(gz|bz2|lz|lzma|xz|zst))")
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
                f"can't install {line.text!r}, because the image doesn't contain the project's sources when packages "
                "are installed",
                place=line.place,
                remedy="List the project's dependencies instead.",
            )
        if line.reference:
            remedy = "Run `uv pip compile`, and use the result as the requirements file."
            raise BentoError(f"a Bento can't refer to the file {line.reference[1]!r}", place=line.place, remedy=remedy)
        if line.flag:
            _check_options(line)
        elif line.text:
            check_requirement(line.text, line.place)


def _check_options(line: Line) -> None:
    words = line.text.split()
    while words:
        flag, equals, value = words.pop(0).partition("=")
        if flag not in FILE_OPTIONS:
            raise BentoError(
                f"uv doesn't support {without_credentials(flag)!r} in a requirements file",
                place=line.place,
                remedy="Remove the option, or correct it. Write the value of an option after a space.",
            )
        kind = FILE_OPTIONS[flag]
        if kind and not equals:
            value = words.pop(0) if words else ""
        if kind == "package":  # to the end of the line
            value, words = " ".join([value, *words]), []
        problem = _value_problem(flag, kind, value)
        if problem or (equals and not kind):
            raise BentoError(problem or f"{flag} has no value", place=line.place, remedy="Correct the option.")


def _value_problem(flag: str, kind: str, value: str) -> str:
    """Return what is wrong with the value of an option, or an empty string."""
    if kind == "URL" and re.match(r"~(/|$)|(\./)*\.\.(/|$)", value):
        return f"can't use {f'{flag} {value}'!r}, because the Bento doesn't contain the directory. Use a URL"
    is_path = flag in ("-f", "--find-links") and value[:1] not in ("", "-")
    if kind == "URL" and "://" not in value and not value.startswith("/") and not is_path:
        return f"{flag} requires a URL, got {without_credentials(value)!r}"
    if kind == "package" and not re.fullmatch(r":all:|:none:|[A-Za-z0-9]([-._A-Za-z0-9]*[A-Za-z0-9])?", value):
        return f"{flag} requires the name of one package, or :all:, got {value!r}"
    return ""


def check_requirement(text: str, place: str) -> None:
    """Raise BentoError unless pip and uv accept `text` in the requirements of a Bento. Ignores comments and hashes."""
    text = without_hashes(re.sub(r"(^|\s)#.*", "", text))
    if plain_pin(text):
        return
    if option := _OPTION.search(text):
        raise BentoError(_inline_option(text, option), place=place)
    if re.match(_SINGLE_EQUALS, text):
        raise BentoError(
            f"invalid requirement {text!r} (PEP 508)",
            place=place,
            remedy="Write '==' instead of conda's '='.",
        )
    try:
        requirement = parse_requirement(text)
        address, name = requirement.url, requirement.name
    except ValueError:
        if not re.fullmatch(_ADDRESS, text):
            raise BentoError(
                f"invalid requirement {text!r} (PEP 508)",
                place=place,
                remedy="Use a requirement such as 'torch>=2.0'.",
            ) from None
        address, name = text.partition(";")[0].rstrip(), ""
    if address and _is_outside(address):
        raise BentoError(f"can't install {text!r}, {_NOT_IN_BENTO}", place=place)
    if address and (problem := _url_problem(address, name)):
        shown = without_credentials(text)
        raise BentoError(f"can't install {shown!r}, because {problem}", place=place, remedy="Correct the URL.")


def _inline_option(text: str, option: re.Match[str]) -> str:
    """Return the error for an option that follows a requirement."""
    flag, requirement = option[1], without_credentials(text[: option.start()].rstrip())
    problem = f"{requirement!r} is followed by the option {flag}, which uv rejects."
    if key := OPTIONS_OF_BENTOFILE.get(flag):
        return f"{problem} Remove the option, and set python.{key}."
    if flag in FILE_OPTIONS:
        return f"{problem} Move the option to its own line of a requirements file."
    return f"{problem} Remove the option."


def _url_problem(address: str, name: str) -> str:
    """Return why uv rejects a URL, or an empty string. Ignores local paths."""
    scheme, separator, _ = address.partition("://")
    if not separator or scheme.lower().startswith("git+"):
        return ""
    if scheme.lower() not in ("http", "https"):
        return f"uv doesn't support {scheme}://"
    file = re.split("[?#]", address)[0].rpartition("/")[2]
    if not _ARCHIVE.search(file.lower()):
        return "the URL doesn't end in .whl or .tar.gz, or in another suffix of an archive"
    found = address_name(address) if file.endswith(".whl") else ""
    if file.endswith(".whl") and (not found or (name and normalize_name(name) != found)):
        return "the file name isn't the file name of a wheel" + (f" of {name}" if name else "")
    return ""


def _is_outside(address: str) -> bool:
    """Return whether an address is a `file:` URL, or a path outside the current directory."""
    address = re.sub(r"^[a-z]+\+", "", address.lower())
    if "://" in address or address.startswith("file:"):
        return address.startswith("file:")
    return re.match(r"[/\\]|[a-z]:[/\\]|(~|\.\.)(/|$)", posixpath.normpath(address)) is not None


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
    return posixpath.normpath(address) if address and not re.search(r"://|^\w+:", address) else ""


def check_local_paths(lines: Iterable[Line], is_provided: Callable[[str], bool], remedy: str) -> None:
    """Raise BentoError for a local file or directory that doesn't exist when an image build installs packages."""
    for line in lines:
        path = local_path(line.text) if not line.flag else ""
        if line.flag in ("-f", "--find-links") and "://" not in line.value and not line.value.startswith("/"):
            path = posixpath.normpath(line.value)
        if path and not is_provided(path):
            problem = f"can't install {line.text!r}, because {path} isn't in the image when packages are installed"
            raise BentoError(problem, place=line.place, remedy=remedy)


def check_conflicts(lines: Iterable[Line]) -> None:
    """Raise BentoError for two requirements that no version of a package satisfies.

    Ignores requirements that some target doesn't need, because of their markers.
    """
    by_name: dict[str, list[Line]] = {}
    for line in lines:
        if line.text and not line.flag:
            by_name.setdefault(requirement_name(line.text), []).append(line)
    for named in by_name.values():
        if len(named) == 1 and plain_pin(named[0].text):
            continue
        declared = [(line, requirement) for line in named if (requirement := line.parse())]
        if sum(len(requirement.specifier) + bool(requirement.url) for _, requirement in declared) > 1:
            _check_versions([each for each in declared if _is_always_required(each[1])])


def _check_versions(declared: Sequence[tuple[Line, Requirement]]) -> None:
    for at, (line, requirement) in enumerate(declared):
        if not _is_satisfiable(requirement.specifier):
            raise BentoError(f"no version satisfies {line.text!r}", place=line.place, remedy="Correct the versions.")
        for other, earlier in declared[:at]:
            differs = requirement.url and earlier.url and requirement.url != earlier.url
            if differs or not _is_satisfiable(requirement.specifier & earlier.specifier):
                problem = f"{_shown(line)} conflicts with {_shown(other)} ({other.place})"
                raise BentoError(problem, place=line.place, remedy="Remove one of the requirements.")


def _shown(line: Line) -> str:
    return repr(without_credentials(line.text))


def _is_always_required(requirement: Requirement) -> bool:
    """Return whether a requirement applies to all platforms and Python versions of Linux images."""
    if requirement.marker is None:
        return True
    linux = {(platform, version) for platform in PLATFORMS[2:] for version in PYTHON_VERSIONS}
    return linux <= supported_targets([str(requirement.marker)])


def _is_satisfiable(specifier: SpecifierSet) -> bool:
    """Return whether a version satisfies a specifier. Checks each version in it, and the next ones."""
    matches = [re.match(r"v?(\d+!)?\d+(\.\d+)*", clause.version) for clause in specifier]
    releases = [match[0] for match in matches if match]
    next_series = [re.sub(r"\d+$", lambda digits: str(int(digits[0]) + 1), release) for release in releases]
    candidates = ["0", *(f"{release}.0.0.0.1" for release in releases), *releases, *next_series]
    candidates += [clause.version.removesuffix(".*") for clause, match in zip(specifier, matches, strict=True) if match]
    return any(specifier.contains(version, prereleases=True) for version in candidates)
