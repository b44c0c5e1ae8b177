"""Installs wheels into a layer, without unpacking them to anywhere."""

from __future__ import annotations

from pathlib import Path

from rules_bento import layer_description
from rules_bento.install import Layout
from rules_bento.layer import write_wheel_layer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_bento.actions.arguments import Arguments

FLAGS = layer_description.FLAGS | {
    "--name": 1,
    "--prefix": 1,
    "--python-version": 1,  # X.Y
    "--user": 1,
    "--wheel": 1,
}


def run(arguments: Arguments) -> None:
    """Write layer and description."""
    minor = int(arguments.one("--python-version").split(".")[1])
    owner = layer_description.owner(arguments.one("--user"))
    layout = Layout.venv(arguments.one("--prefix"), minor, uid=owner["uid"], gid=owner["gid"])
    out, compression = layer_description.output(arguments)
    wheels = [Path(wheel) for wheel in arguments.many("--wheel")]
    info = write_wheel_layer(out, wheels, layout, compression)
    layer_description.describe(arguments, info, arguments.one("--name"))
