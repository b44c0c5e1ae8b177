"""Gathers unpacked packages in one folder: to Bazel a single file, where their modules are a link each of runfiles."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from rules_bento.archives.whole import whole_folder
from rules_bento.errors import BentoError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_bento.arguments import Arguments

FLAGS = {
    "--output": 1,
    "--packages-folder": 1,
}


def run(arguments: Arguments) -> None:
    """Copy what the folders have. Raises BentoError for a file that two of them have."""
    with whole_folder(Path(arguments.one("--output"))) as output:
        for folder in arguments.many("--packages-folder"):
            _copy(Path(folder), output)


def _copy(folder: Path, output: Path) -> None:
    if not folder.is_dir():
        raise BentoError(f"{folder}: is no folder, so none of its modules would be there.")
    for place, _, names in os.walk(folder, onerror=_stop, followlinks=True):
        target = output / Path(place).relative_to(folder)
        target.mkdir(parents=True, exist_ok=True)
        for name in names:
            if (target / name).exists():
                raise BentoError(f"{folder}: {name!r} is in another package, too, and only one could be imported.")
            shutil.copyfile(Path(place, name), target / name)


def _stop(error: OSError) -> None:
    """Raise what `os.walk` would pass over: modules of a folder that cannot be read would not be there."""
    raise error
