"""Finds files that several packages install at one path with different contents.

Installers let the last package win, and report nothing. For example, `opencv-python` and `opencv-python-headless` both
install `cv2`, so an environment with both contains a mixture.
"""

from __future__ import annotations

import re

from rules_bento.base.dataclasses_lite import NamedTuple
from rules_bento.base.errors import BentoError
from rules_bento.base.typing_lite import Callable, Iterable, Iterator, Mapping

_MAX_PATTERNS = 3  # patterns for single files in a message
_DATA = re.compile(r"^[^/]+\.data/(?:purelib|platlib)/")
_SCRIPT = re.compile(r"(?:\.\./)+bin/[^/]+")
_INERT = re.compile(
    r"(?:[^/]+/)*(?:py\.typed|(?:AUTHORS|CHANGE(?:LOG|S)|COPYING|LICEN[CS]E|NOTICE|README)(?:\.(?:md|rst|txt))?)", re.I
)
_METADATA = re.compile(r"[^/]+\.(?:dist-info|data)/")


class PackageFiles(NamedTuple):
    """The files that a package installs."""

    package: str  # normalized name
    files: Mapping[str, str]  # path to a digest of the contents, which starts with `<how> ` as in `file_digests`


def check_shared_files(packages: Iterable[PackageFiles], remedy: Callable[[str, list[str]], str]) -> None:
    """Raise BentoError if two packages install different contents at one path.

    Ignores files that nothing imports, modules that extend `__path__` in one way, and scripts that a package and its
    addition both install, such as `fastapi` of fastapi and fastapi-cli. `remedy` describes a setting that omits files,
    given a package and the patterns of files.
    """
    different: dict[tuple[str, str], list[str]] = {}
    for path, inert, *pair in _differences(packages):
        if not inert and not (_SCRIPT.fullmatch(path) and _general(*pair)):
            different.setdefault((pair[0], pair[1]), []).append(path)
    if different:
        raise BentoError("\n".join(_message(*pair, sorted(paths), remedy) for pair, paths in different.items()))


def inert_notes(packages: Iterable[PackageFiles]) -> list[str]:
    """Return a note for each file that two packages install with different contents, and that can't break a program."""
    problem = "with different contents. The image has the file of the last layer"
    found = (each for each in _differences(packages) if each[1])
    return [f"{one} and {other} install {path}, {problem}, {inert}." for path, inert, one, other in found]


def _differences(packages: Iterable[PackageFiles]) -> Iterator[tuple[str, str, str, str]]:
    """Yield each path where two packages install different contents, why either can be used ("" if not), and both."""
    owners: dict[str, tuple[str, str]] = {}
    for package, files in packages:
        for path, digest in files.items():
            owner, known = owners.setdefault(path, (package, digest))
            if known != digest:
                inert = "which no program imports" if _INERT.fullmatch(path) else ""
                how, is_namespace, _ = digest.partition(" ")
                if is_namespace and path.endswith("/__init__.py") and known.startswith(f"{how} "):
                    inert = "which only extends __path__, as the other"
                yield path, inert, owner, package


def _message(one: str, other: str, paths: list[str], remedy: Callable[[str, list[str]], str]) -> str:
    more = f" and {len(paths) - 1} more files" if len(paths) > 1 else ""
    text = f"{one} and {other}: both packages install {paths[0]}{more}, with different contents."
    if all(path.endswith("/__init__.py") for path in paths):
        text += " In a namespace package, __init__.py must be equal in all packages, or absent."
    patterns = _patterns(paths)
    general = _general(one, other)
    choices = [pair for pair in ((one, other), (other, one)) if patterns and general in ("", pair[0])]
    settings = "".join(f", or keep {kept}: {remedy(omitted, patterns)}" for omitted, kept in choices)
    return f"{text} Remove one of the packages from the requirements{settings}."


def _general(one: str, other: str) -> str:
    """Return which of two packages the other one replaces, or an empty string if the names don't show this.

    The name with more words is a deliberate choice, such as `onnxruntime-gpu`, `opencv-python-headless`, or
    `intel-tensorflow`, and other packages require the general name. `cpu` counts only against the general name.
    """
    words = [frozenset(name.split("-")) for name in (one, other)]
    for first, second in (words, [each - {"cpu"} for each in words]):
        if first < second:
            return one
        if second < first:
            return other
    return ""


def _patterns(paths: list[str]) -> list[str]:
    """Return patterns of scripts, and of files; for many files, of the top-level directories that contain them."""
    inside = [path for path in paths if not path.startswith("../")]
    scripts = [re.sub(r"^(\.\./)+", "/", path) for path in paths if _SCRIPT.fullmatch(path)]
    if len(inside) <= _MAX_PATTERNS:
        return [*(f"/{path}" for path in inside), *scripts]
    tops = dict.fromkeys(f"/{path.partition('/')[0]}/" if "/" in path else f"/{path}" for path in inside)
    return [*tops, *scripts]


def exclude_in_hub(package: str, patterns: list[str]) -> str:
    """Return the remedy for images: `exclude` of a package hub."""
    listed = ", ".join(f'"{pattern}"' for pattern in patterns)
    return f'set exclude = {{"{package}": [{listed}]}} of bento.pypi in MODULE.bazel'


def override_in_hub(package: str, _patterns: list[str]) -> str:
    """Return the remedy for tests and virtual environments, which contain complete packages: `overrides` of a hub."""
    return f"add \"{package} ; sys_platform == 'never'\" to a file of overrides of bento.pypi, and update the lock"


def files_of_record(package: str, record: str) -> PackageFiles:
    """Return the files in site-packages that the text of a RECORD lists with a digest, except for metadata."""
    import csv

    files: dict[str, str] = {}
    for row in csv.reader(record.split("\n")):
        path = _DATA.sub("", row[0].removeprefix("./")) if row else ""
        if len(row) > 1 and row[1] and not _METADATA.match(path):
            files[path] = row[1]
    return PackageFiles(package, files)
