"""Locks Debian packages over the network, and writes the lock into the source tree, by `bazel run`."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from rules_bento.actions.debian import REQUEST_FLAGS, read_request
from rules_bento.archives.atomic import replace_file
from rules_bento.debian import apt
from rules_bento.errors import BentoError
from rules_bento.formats import decode_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_bento.arguments import Arguments

FLAGS = REQUEST_FLAGS | {
    "--lock": 1,  # path from the root of the workspace
}
_USAGE = "bazel run %s [-- --mirror URL]"


def run(arguments: Arguments) -> None:
    """Resolve with apt, and replace the lock on success."""
    target = arguments.required("--target")
    root = os.environ.get("BUILD_WORKSPACE_DIRECTORY")
    if not root:
        raise BentoError(f"This target writes into the source tree. Start it with `{_USAGE % target}`.")
    mirror = _mirror(arguments.rest, target)
    output = Path(root, arguments.required("--lock"))
    before = apt.loads(decode_text(output.read_bytes(), str(output)), str(output)) if output.exists() else None
    with tempfile.TemporaryDirectory() as folder:
        mirrors = apt.expand_mirror(mirror) if mirror else apt.host_mirrors()
        lock = apt.resolve(read_request(arguments), mirrors, Path(folder))
    replace_file(output, apt.dumps(lock).encode())
    counts = ", ".join(f"{len(packages)} packages for {name}" for name, packages in lock["packages"].items())
    sys.stderr.write(f"{arguments.required('--lock')}: {counts}, {'as before' if lock == before else 'written'}\n")


def _mirror(words: list[str], target: str) -> str:
    rest = list(words)
    mirror = ""
    while rest:
        word, _, value = rest.pop(0).partition("=")
        if word != "--mirror" or not (value or rest):
            raise BentoError(f"unknown or incomplete argument {word!r}. Run `{_USAGE % target}`.")
        mirror = value or rest.pop(0)
    return mirror
