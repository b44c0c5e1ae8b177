"""Writes the folder that an image is built from: a Bento, its models, and the Dockerfile; the same for all builders.

Nothing in it depends on when and by whom it was written: modes are 0644 and 0755, and all times are one.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path

from rules_bento.errors import BentoError
from rules_bento.hints import TYPE_CHECKING
from rules_bento.store import verification
from rules_bento.store.export import contents, models_of, write_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rules_bento.store.entries import Entry
    from rules_bento.store.home import Home

DOCKERFILE = "env/docker/Dockerfile"
_TIME = 315532800  # seconds: 1980-01-01, the first that a zip knows
_FOLDERS = ("models", "hf-models")  # which BentoML's own Dockerfiles may copy


@contextmanager
def context(home: Home, entry: Entry, features: Sequence[str] = (), *, check: bool = True) -> Iterator[Path]:
    """Yield the folder, while the block lasts. With `check` all files are first held against what was imported.

    Raises BentoError for a model that is missing, and for a Bento without a Dockerfile.
    """
    models = models_of(home, entry)
    if check:
        verification.require_intact(home, [entry, *models])
    with tempfile.TemporaryDirectory(prefix="bento-context-") as scratch:
        # Below it, for builders that read it as another user; nobody else sees it.
        folder = Path(scratch, "bento")
        write_folder(folder, contents(entry, models))
        for name in _FOLDERS:
            if not (folder / name).is_dir() and os.path.lexists(folder / name):
                raise BentoError(
                    f"{entry.tag}: has a {name} that is no folder, which its Dockerfile may copy. Rename it."
                )
            (folder / name).mkdir(exist_ok=True)
        dockerfile = folder / DOCKERFILE
        if not dockerfile.is_file():
            raise BentoError(
                f"{entry.tag}: has no {DOCKERFILE}, so no builder can make an image of it. Build it again."
            )
        if features:
            _add_features(dockerfile, features, str(entry.describe().document["bentoml_version"]))
        _even_out(folder)
        yield folder


def _add_features(dockerfile: Path, features: Sequence[str], version: str) -> None:
    """Install extras of BentoML beside the packages, before the user becomes one who may not."""
    lines = dockerfile.read_text("utf-8").splitlines(keepends=True)
    last = [number for number, line in enumerate(lines) if line.split(" ")[0].upper() in ("USER", "ENTRYPOINT")]
    stages = [number for number, line in enumerate(lines) if line.split(" ")[0].upper() == "FROM"]
    if not stages:
        raise BentoError(f"{DOCKERFILE}: has no FROM. Build the Bento again.")
    after = [number for number in last if number > stages[-1] and not lines[number].startswith("USER 0")]
    at = after[-2] if len(after) > 1 and lines[after[-2]].upper().startswith("USER") else (after or [len(lines)])[-1]
    pinned = f"=={version}" if version else ""
    command = f'RUN uv pip install "bentoml[{",".join(features)}]{pinned}"\n'
    dockerfile.write_text("".join([*lines[:at], command, *lines[at:]]), "utf-8")


def _even_out(folder: Path) -> None:
    """Set the same time on all files; their modes are right already."""
    for name, folders, files in os.walk(folder, topdown=False):
        for entry in (*files, *folders):
            os.utime(Path(name, entry), (_TIME, _TIME), follow_symlinks=False)
        Path(name).chmod(0o755)
        os.utime(name, (_TIME, _TIME))
