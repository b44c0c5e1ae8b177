"""Packs a virtual environment without packages, and the home of the user who serves, into a layer."""

from __future__ import annotations

from rules_bento.images.layers import description
from rules_bento.images.layers.layer import LayerEntry, write_files_layer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_bento.arguments import Arguments

FLAGS = description.FLAGS | {
    "--home": 1,
    "--prefix": 1,
    "--python": 1,  # the base's interpreter
    "--python-version": 1,  # X.Y
    "--user": 1,
}

# BentoML makes these at its start; where they are there, it can start on a read-only file system.
_STORE = ("bentos", "envs", "models", "tmp")


def run(arguments: Arguments) -> None:
    """Write layer and description."""
    prefix, home = arguments.required("--prefix").strip("/"), arguments.required("--home").strip("/")
    python, version = arguments.required("--python"), arguments.required("--python-version")
    owner = description.owner(arguments.required("--user"))
    settings = f"home = {python.rpartition('/')[0]}\ninclude-system-site-packages = false\nversion = {version}\n"
    entries = [
        LayerEntry.folder(home, **owner),
        *(LayerEntry.folder(f"{home}/{folder}", **owner) for folder in _STORE),
        LayerEntry.folder(prefix, **owner),
        LayerEntry.inline(f"{prefix}/pyvenv.cfg", settings.encode(), **owner),
        LayerEntry.symlink(f"{prefix}/bin/python", python, **owner),
        LayerEntry.symlink(f"{prefix}/bin/python3", "python", **owner),
        LayerEntry.symlink(f"{prefix}/bin/python{version}", "python", **owner),
    ]
    out, compression = description.output(arguments)
    info = write_files_layer(out, entries, compression)
    description.describe(arguments, info, "environment")
