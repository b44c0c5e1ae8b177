"""The command line: arguments, output, and exit status."""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bento_proof.model import InvalidError, UnableError
from bento_proof.proof import prove

OK, ERROR, FOUND, UNPROVEN = 0, 1, 3, 5


def main(arguments: Sequence[str] | None = None) -> int:
    """Prove an image, and return the exit status: 0 proven, 3 findings, 5 something isn't proven, 1 an error."""
    options = parser().parse_args(arguments)
    try:
        with tempfile.TemporaryDirectory(prefix="bento-proof-") as work:
            reports = prove(options, Path(work).resolve(), lambda _: None)
    except Exception as error:  # also a fault of this program, which proves nothing
        is_known = isinstance(error, UnableError | InvalidError | OSError)
        text = str(error) if is_known else f"{error!r}. Report this fault."
        sys.stderr.write(f"error: {ascii(text)[1:-1]}\n")  # names in an image can contain any characters
        return ERROR
    sys.stdout.write(json.dumps([vars(each) for each in reports], indent=1) + "\n")
    if any(each.findings for each in reports):
        return FOUND
    left = [each.unproven_bytes for each in reports if each.unproven]
    return UNPROVEN if left and sum(left) > options.allow_unproven else OK


def parser() -> argparse.ArgumentParser:
    """Return the parser of the arguments."""
    made = argparse.ArgumentParser("bento-proof", description="Prove what is in an image of rules_bento.")
    many: dict[str, Any] = {"action": "append", "default": []}
    add = made.add_argument
    add("image", help="oci:DIR, which `skopeo copy` writes")
    add("--base", required=True, help="the base that you trust, in the same form")
    add("--lock", type=Path, required=True, help="the packages and their hashes, which `uv export` writes")
    add("--wheel", type=Path, **many, help="the wheel of your project, which you built")
    add("--exclude", **many, help="a file in site-packages that the image doesn't have")
    add("--file", nargs=2, **many, metavar=("SOURCE", "PATH"), help="a file or directory, such as . /app/_main")
    add("--user-file", nargs=2, **many, metavar=("SOURCE", "PATH"), help="the same, owned by the image's user")
    add("--sums", type=Path, help="the output of sha256sum for files of models, by their paths in the image")
    add("--writable", **many, metavar="PATH", help="a directory, as of `bento image`")
    add("--apt", type=Path, **many, metavar="DIR", help="a directory into which `dpkg-deb -x` unpacked packages")
    add("--expect", type=Path, help="a file with the settings that you reviewed")
    add("--python", default="", metavar="PROGRAM", help="a Python of the base's version, in place of the base's own")
    add("--uv", default="uv", metavar="PROGRAM", help="a program uv")
    add("--target", default="", help="of `uv pip --python-platform`; default: manylinux_2_28")
    add("--platform", default="", metavar="OS/ARCHITECTURE", help="prove only the image for this platform")
    add("--allow-unproven", type=int, default=-1, metavar="BYTES", help="exit with 0 up to so many bytes")
    return made
