"""Writes the build context of an image: a Bento, its models, and the Dockerfile; the same for all builders.

The context doesn't depend on the time and the user: modes are 0644 and 0755, and all files have one modification time.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path

from rules_bento.errors import BentoError
from rules_bento.typing_lite import TYPE_CHECKING

from bento_cli.store import verification
from bento_cli.store.export import contents, models_of, write_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bento_cli.store.entries import Entry
    from bento_cli.store.home import Home

DOCKERFILE = "env/docker/Dockerfile"
_TIME = 315532800  # seconds: 1980-01-01, the first time that zip archives support
_FOLDERS = ("models", "hf-models")  # directories that BentoML's own Dockerfiles might copy


@contextmanager
def context(home: Home, entry: Entry, features: Sequence[str] = (), *, check: bool = True) -> Iterator[Path]:
    """Yield the directory, until the block ends. With `check`, all files are first compared with the manifest.

    Raises BentoError for a missing model, and for a Bento without a Dockerfile.
    """
    models = models_of(home, entry)
    if check:
        verification.require_intact(home, [entry, *models])
    with tempfile.TemporaryDirectory(prefix="bento-context-") as scratch:
        # The parent protects the context from other users, although builders read it as another user.
        folder = Path(scratch, "bento")
        write_folder(folder, contents(entry, models))
        for name in _FOLDERS:
            if not (folder / name).is_dir() and os.path.lexists(folder / name):
                raise BentoError(
                    f"{entry.tag}: {name} must be a directory, because its Dockerfile might copy it. Rename the file."
                )
            (folder / name).mkdir(exist_ok=True)
        dockerfile = folder / DOCKERFILE
        if not dockerfile.is_file():
            raise BentoError(f"{entry.tag}: no {DOCKERFILE}, which builders require. Build the Bento again.")
        if features:
            _add_features(dockerfile, features, str(entry.describe().document["bentoml_version"]))
        _even_out(folder)
        yield folder


def _add_features(dockerfile: Path, features: Sequence[str], version: str) -> None:
    """Install extras of BentoML next to the packages, before the Dockerfile switches to an unprivileged user."""
    lines = dockerfile.read_text("utf-8").splitlines(keepends=True)
    last = [number for number, line in enumerate(lines) if line.split(" ")[0].upper() in ("USER", "ENTRYPOINT")]
    stages = [number for number, line in enumerate(lines) if line.split(" ")[0].upper() == "FROM"]
    if not stages:
        raise BentoError(f"{DOCKERFILE}: no FROM. Build the Bento again.")
    after = [number for number in last if number > stages[-1] and not lines[number].startswith("USER 0")]
    at = after[-2] if len(after) > 1 and lines[after[-2]].upper().startswith("USER") else (after or [len(lines)])[-1]
    pinned = f"=={version}" if version else ""
    command = f'RUN uv pip install "bentoml[{",".join(features)}]{pinned}"\n'
    dockerfile.write_text("".join([*lines[:at], command, *lines[at:]]), "utf-8")


def _even_out(folder: Path) -> None:
    """Set one modification time on all files; their modes are already correct."""
    for name, folders, files in os.walk(folder, topdown=False):
        for entry in (*files, *folders):
            os.utime(Path(name, entry), (_TIME, _TIME), follow_symlinks=False)
        Path(name).chmod(0o755)
        os.utime(name, (_TIME, _TIME))
