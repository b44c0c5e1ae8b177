"""Unpacks the modules of a wheel."""

from __future__ import annotations

from pathlib import Path

from rules_bento.archives.atomic import atomic_dir
from rules_bento.errors import BentoError
from rules_bento.images.wheels.importable import imported_files
from rules_bento.images.wheels.wheel import Wheel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_bento.arguments import Arguments

FLAGS = {
    "--output": 1,
    "--wheel": 1,
}


def run(arguments: Arguments) -> None:
    """Write what an interpreter imports, and the metadata; scripts, headers and data are left out."""
    wheel = Wheel.read(Path(arguments.required("--wheel")))
    with atomic_dir(Path(arguments.required("--output"))) as folder:
        _write(wheel, folder)


def _write(wheel: Wheel, folder: Path) -> None:
    files = imported_files(wheel)
    for path, chunks in zip(files, wheel.chunks(files.values()), strict=True):
        target = folder / path
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("wb") as file:
                file.writelines(chunk.data for chunk in chunks)
        except OSError as error:
            raise BentoError(f"{wheel.name}: {path!r} cannot be written: {error.strerror}.") from None
