"""Runs programs in bubblewrap: without a network, unless uv downloads. Without bubblewrap, nothing runs."""

import os
import shutil
import subprocess
from pathlib import Path

from bento_proof.model import UnableError


def run(
    words: list[str], root: Path | None, places: dict[str, Path], *, network: bool = False, data: bytes = b""
) -> bytes:
    """Return the output of a program, which reads `data`. Raises UnableError if it fails.

    It runs in the root `root`, or reads this machine's. `places` are directories that it can write, by path inside.
    """
    program = shutil.which("bwrap", path=f"{os.environ.get('PATH', '')}{os.pathsep}{os.defpath}")
    if not program:
        raise UnableError("bwrap: not found. Install the package bubblewrap.")
    made = [program, "--unshare-all", "--die-with-parent", "--new-session", *(["--share-net"] if network else [])]
    made += ["--tmpfs", "/"] if root is None else ["--ro-bind", str(root), "/"]
    for entry in os.scandir("/") if root is None else ():
        if entry.path not in ("/proc", "/dev", *places):
            link = ["--symlink", os.readlink(entry.path)] if entry.is_symlink() else ["--ro-bind", entry.path]
            made += [*link, entry.path]
    made += ["--proc", "/proc", "--dev", "/dev", *(["--ro-bind-try", "/dev/shm", "/dev/shm"] if root is None else [])]
    for path, place in places.items():
        made += ["--bind", str(place), path]
    done = subprocess.run([*made, "--", *words], input=data, capture_output=True, env={**os.environ} if network else {})
    if done.returncode:
        message = done.stderr.decode("utf-8", "replace").strip() or f"exit status {done.returncode}"
        raise UnableError(f"{Path(words[0]).name}: {message[-2000:]}")
    return done.stdout
