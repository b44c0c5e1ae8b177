"""Lists the packages of a Bento or an image, and what their wheels state about licences."""

from __future__ import annotations

from pathlib import Path

from rules_bento.archives.archive import requirements_of
from rules_bento.audit import inventory
from rules_bento.formats import read_file
from rules_bento.formats.json import read_object

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_bento.arguments import Arguments

FLAGS = {
    "--locked": 1,  # what the lock has of a package
    "--output": 1,
    "--part": 1,  # of the archive, the one with the environment, where no lock is at hand
    "--target": 1,
    "--wheel": 1,
}


def run(arguments: Arguments) -> None:
    """Write the list."""
    packages = inventory.of_lock(read_object(read_file(path), path) for path in arguments.repeated("--locked"))
    for path in arguments.repeated("--part"):
        packages += inventory.of_requirements(*requirements_of(Path(path)))
    if wheels := arguments.repeated("--wheel"):
        from rules_bento.images.wheels.licenses import stated_by

        packages = inventory.with_licenses(packages, dict(map(stated_by, wheels)))
    Path(arguments.required("--output")).write_text(inventory.dumps(packages), "utf-8")
