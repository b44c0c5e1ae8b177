"""Checks an image without running it: its packages against its base and each other, its layers against its base."""

from __future__ import annotations

import json
import re
from pathlib import Path

from rules_bento.arguments import read_text
from rules_bento.errors import BentoError
from rules_bento.formats import read_file
from rules_bento.formats.json import read_object
from rules_bento.images import image_checks
from rules_bento.images.wheels.libraries import Libraries

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_bento.arguments import Arguments

FLAGS = {
    "--allowed-glibc": 1,  # what hubs let a wheel ask for, X.Y, where the base's is not known
    "--base": 1,  # its label
    "--base-config": 1,
    "--base-libraries": 1,  # what base_contents wrote, of a base that is not made of Debian packages
    "--glibc": 1,  # of the base, X.Y
    "--index": 1,  # of Debian packages in the base or in a layer; with none of both, system libraries are not known
    "--libraries": 1,  # of a wheel
    "--machines": 1,  # what base_contents wrote of further layers
    "--output": 1,  # what parts need that nobody loads by default
    "--python-version": 1,  # of the base, X.Y
    "--target": 1,
    "--unchecked": 1,  # file name of a library
    "--wheel": 1,  # file name
}
_VERSION = re.compile(r"([0-9]{1,4})\.([0-9]{1,4})")


def run(arguments: Arguments) -> None:
    """Write what optional parts lack, or raise BentoError with all problems."""
    indexes = [json.loads(read_text(path)) for path in arguments.repeated("--index")]
    below = [json.loads(read_text(path)) for path in arguments.repeated("--base-libraries")]
    libraries = {name for names in below for name in names} | {
        path.rpartition("/")[2] for index in indexes for path in (*index["files"], *index["links"]) if ".so" in path
    }
    architecture = read_object(read_file(arguments.required("--base-config")), "the base's config")["architecture"]
    base = image_checks.Base(
        arguments.required("--base"),
        architecture,
        _glibc(arguments),
        libraries if indexes or below else None,
        arguments.required("--python-version"),
        max((_version(text) for text in arguments.repeated("--allowed-glibc")), default=None),
    )
    packages = [Libraries.loads(read_text(path)) for path in arguments.repeated("--libraries")]
    machines = json.loads(read_text(path)) if (path := arguments.optional("--machines")) else {}
    wheels, unchecked = arguments.repeated("--wheel"), arguments.repeated("--unchecked")
    problems = image_checks.check(base, wheels, packages, unchecked, machines)
    if problems.problems:
        raise BentoError("\n".join(problems.problems))
    Path(arguments.required("--output")).write_text("".join(f"{note}\n" for note in problems.notes), "utf-8")


def _glibc(arguments: Arguments) -> tuple[int, int] | None:
    """Return the version of the base's C library, if it is known. Raises BentoError for what is none."""
    text = arguments.optional("--glibc")
    if not text:
        return None
    if not _VERSION.fullmatch(text):
        raise BentoError(
            f"{arguments.required('--base')}: its glibc is {text!r}. Write X.Y, such as 2.36, or leave it out."
        )
    return _version(text)


def _version(text: str) -> tuple[int, int]:
    major, _, minor = text.partition(".")
    return int(major), int(minor)
