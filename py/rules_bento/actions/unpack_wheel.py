"""Unpacks the modules of a wheel."""

from __future__ import annotations

import re
import shutil
import zipfile
from pathlib import Path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_bento.actions.arguments import Arguments

FLAGS = {
    "--output": 1,
    "--wheel": 1,
}


def run(arguments: Arguments) -> None:
    """Write what an interpreter imports, and the metadata; scripts, headers and data are left out."""
    folder = Path(arguments.one("--output"))
    with zipfile.ZipFile(arguments.one("--wheel")) as wheel:
        for entry in wheel.infolist():
            name = re.sub(r"^[^/]+\.data/(purelib|platlib)/", "", entry.filename)
            if entry.is_dir() or re.match(r"[^/]+\.data/", name):
                continue
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with wheel.open(entry) as source, path.open("wb") as target:
                shutil.copyfileobj(source, target)
