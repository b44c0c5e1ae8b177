"""Reads METADATA in wheels, and compares it with a wheel's file name as uv does.

Sources: PyPA's "Core metadata", "Binary distribution format" (file names), and "Version specifiers" (PEP 440, for
comparing versions).
"""

from __future__ import annotations

import re

from rules_bento.base.dataclasses_lite import NamedTuple
from rules_bento.base.errors import BentoError
from rules_bento.images.wheels.declared_license import DeclaredLicense

_FILE_NAME = re.compile(r"([^-]+)-([^-]+)(?:-\d[^-]*)?-([^-]+)-([^-]+)-([^-]+)\.whl")
# PEP 440, appendix B.
_VERSION = r"""v?(?:([0-9]+)!)?([0-9]+(?:\.[0-9]+)*)
    (?:[-_.]?(alpha|a|beta|b|preview|pre|c|rc)[-_.]?([0-9]*))?
    (?:-([0-9]+)|[-_.]?(post|rev|r)[-_.]?([0-9]*))?
    (?:[-_.]?(dev)[-_.]?([0-9]*))?
    (?:\+([a-z0-9]+(?:[-_.][a-z0-9]+)*))?"""
_RELEASE = re.compile(r"[0-9]+(\.[0-9]+)*")  # the form of most versions
_PRE = {"alpha": "a", "beta": "b", "c": "rc", "pre": "rc", "preview": "rc"}
_LONGEST_VERSION = 1000  # characters; Python's int() rejects more than 4,300 digits


class FileName(NamedTuple):
    """The name and version in the file name of a wheel.

    >>> FileName.of("numpy-2.4.2-cp312-cp312-manylinux_2_28_x86_64.whl")
    FileName(name='numpy', version='2.4.2')
    """

    name: str
    version: str

    @staticmethod
    def of(text: str) -> FileName | None:
        """Parse a file name `NAME-VERSION-PYTHON-ABI-PLATFORM.whl`. Returns None for other names."""
        parts = _FILE_NAME.fullmatch(text)
        return FileName(parts[1], parts[2]) if parts and canonical_version(parts[2]) else None


class Metadata(NamedTuple):
    """The fields of METADATA that rules_bento uses."""

    name: str
    version: str
    requires: tuple[str, ...]  # Requires-Dist, unchanged
    license: DeclaredLicense = DeclaredLicense()

    @staticmethod
    def read(text: str, file: FileName) -> Metadata:
        """Parse METADATA. Raises BentoError if METADATA is incomplete or contradicts the wheel's file name."""
        fields = _fields(text)
        core = Metadata(
            next(iter(fields.get("name", ())), ""),
            next(iter(fields.get("version", ())), ""),
            tuple(fields.get("requires-dist", ())),
            DeclaredLicense.read(fields),
        )
        if not core.name or not core.version:
            raise BentoError("METADATA must specify Name and Version")
        if normalized(core.name) != normalized(file.name) or not _is_version(core.version, file.version):
            raise BentoError(
                f"METADATA specifies {core.name} {core.version}, but the file name specifies {file.name} {file.version}"
            )
        return core


def normalized(name: str) -> str:
    """Normalize the name of a distribution (PyPA's "Names and normalization")."""
    return re.sub(r"[-_.]+", "-", name).lower()


def canonical_version(text: str) -> str:
    """Return the canonical form of a version (PEP 440), without trailing zeros, or "" for an invalid version."""
    text = text.strip().lower()
    if len(text) > _LONGEST_VERSION:
        return ""
    if _RELEASE.fullmatch(text):
        return _canonical_release(text)
    parts = re.fullmatch(_VERSION, text, re.VERBOSE)  # compiled on first use, which takes a millisecond
    if not parts:
        return ""
    epoch, release, pre, pre_number, implicit, post, post_number, dev, dev_number, local = parts.groups()
    canonical = f"{int(epoch)}!" if epoch and int(epoch) else ""
    canonical += _canonical_release(release)
    if pre:
        canonical += f"{_PRE.get(pre, pre)}{int(pre_number or 0)}"
    if implicit or post:
        canonical += f".post{int(implicit or post_number or 0)}"
    if dev:
        canonical += f".dev{int(dev_number or 0)}"
    if local:
        segments = re.split(r"[-_.]", local)
        canonical += "+" + ".".join(str(int(segment)) if segment.isdigit() else segment for segment in segments)
    return canonical


def _canonical_release(text: str) -> str:
    numbers = [int(number) for number in text.split(".")]
    while len(numbers) > 1 and not numbers[-1]:
        numbers.pop()
    return ".".join(map(str, numbers))


def _is_version(declared: str, in_file_name: str) -> bool:
    """Return whether the version in METADATA matches the file name. METADATA can omit the local part (`+cu126`)."""
    own, wanted = canonical_version(declared), canonical_version(in_file_name)
    return bool(own) and own in (wanted, wanted.partition("+")[0])


def _fields(text: str) -> dict[str, list[str]]:
    """Return the values of each header by lowercase name. Joins continuation lines, and stops at an empty line."""
    fields: dict[str, list[list[str]]] = {}  # pieces are joined once: repeated concatenation takes quadratic time
    last: list[str] = []
    for line in text.replace("\r\n", "\n").partition("\n\n")[0].split("\n"):
        if line[:1] in (" ", "\t"):
            last.append(line.strip())
            continue
        key, _, value = line.partition(":")
        last = [value.strip()]
        fields.setdefault(key.strip().lower(), []).append(last)
    return {key: [" ".join(filter(None, pieces)) for pieces in values] for key, values in fields.items()}
