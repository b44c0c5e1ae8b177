"""Converts a project's uv.lock to requirements with `uv export`, offline."""

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
    """Return the requirements of uv.lock and pyproject.toml in the build context, for `Image.uv_lock()`.

    `python` is an interpreter; uv finds one by default. Raises BentoError if uv fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        for name in ("pyproject.toml", "uv.lock"):
            Path(folder, name).write_bytes(files.read(name, "uv_lock()"))
        command = [str(Path(uv).absolute()), "export", *_FLAGS, *(["--python", python] if python else [])]
        try:
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        except OSError as error:
            raise BentoError(f"uv_lock(): cannot run {uv}: {error.strerror}. Specify the path of uv.") from None
    if done.returncode:
        errors = re.sub(r"\s+", " ", done.stderr.replace(folder, ".")).strip()
        raise BentoError(f"uv.lock: uv rejects the lock: {errors}. Run `uv lock` again.")
    return done.stdout
