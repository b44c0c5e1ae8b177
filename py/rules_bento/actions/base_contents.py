"""Writes down what layers have: shared libraries, machine code, packages of a distribution."""

from __future__ import annotations

import json
from pathlib import Path

from rules_bento.images.layers.contents import read_files
from rules_bento.images.oci_image import Layer
from rules_bento.images.system_packages import SystemFiles
from rules_bento.sources.cpu_arch import machine_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_bento.arguments import Arguments

FLAGS = {
    "--layer": 2,  # description, blob or OCI layout that has it; from the lowest up
    "--libraries": 1,  # output, a JSON list of file names
    "--machines": 1,  # output, for which machine each file with machine code is, a JSON object by paths
    "--system": 1,  # output, what SystemFiles writes
    "--target": 1,
}


def run(arguments: Arguments) -> None:
    """Read each layer once."""
    layers = [_layer(description, Path(place)) for description, place in arguments.tuples("--layer")]
    is_wanted = _is_code if arguments.optional("--machines") else _is_library
    files = read_files(((blob, layer.media_type) for layer, blob in layers), is_wanted, SystemFiles.has)
    names = {path.rpartition("/")[2] for path in files if _is_library(path)}
    Path(arguments.required("--libraries")).write_text(json.dumps(sorted(names), indent=0) + "\n", "utf-8")
    kept = {path: data for path, data in files.items() if SystemFiles.has(path)}
    Path(arguments.required("--system")).write_text(SystemFiles.from_files(kept).dumps(), "utf-8")
    if output := arguments.optional("--machines"):
        machines = {path: machine for path, data in sorted(files.items()) if (machine := machine_of(data))}
        Path(output).write_text(json.dumps(machines, indent=0) + "\n", "utf-8")


def _layer(description: str, place: Path) -> tuple[Layer, Path]:
    layer = Layer.loads(Path(description).read_text("utf-8"))
    if not place.is_dir():
        return layer, place
    from rules_bento.registry.layout import Layout

    return layer, Layout(place).blob(layer.digest)


def _is_library(path: str, _head: bytes = b"") -> bool:
    return ".so" in path.rpartition("/")[2]


def _is_code(path: str, head: bytes) -> bool:
    return _is_library(path) or bool(machine_of(head))
