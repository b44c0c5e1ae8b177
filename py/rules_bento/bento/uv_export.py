"""Converts a project's uv.lock to requirements by `uv export`, without a network."""

from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path

from rules_bento.errors import BentoError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_bento.build_options.project import ProjectFiles

_FLAGS = (
    *("--frozen", "--no-header", "--no-annotate", "--no-hashes", "--no-emit-project"),
    *("--offline", "--no-cache", "--no-config", "--no-python-downloads", "--quiet"),
)


def export(files: ProjectFiles, uv: str, python: str | None = None) -> str:
    """Return the requirements of uv.lock and pyproject.toml in the build context, as `Image.uv_lock()` takes them.

    `python` is an interpreter; uv looks for one otherwise. Raises BentoError for files that uv refuses.
    """
    with tempfile.TemporaryDirectory() as folder:
        for name in ("pyproject.toml", "uv.lock"):
            Path(folder, name).write_bytes(files.read(name, "uv_lock()"))
        command = [str(Path(uv).absolute()), "export", *_FLAGS, *(["--python", python] if python else [])]
        try:
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        except OSError as error:
            raise BentoError(f"uv_lock(): {uv} cannot be run: {error.strerror}. Name uv's program.") from None
    if done.returncode:
        errors = re.sub(r"\s+", " ", done.stderr.replace(folder, ".")).strip()
        raise BentoError(f"uv.lock: uv refuses it: {errors}. Write it again with `uv lock`.")
    return done.stdout
