"""Subcommands that install wheels into layers."""

from __future__ import annotations

import json
from pathlib import Path

from rules_bento.base.subcommand_arguments import LayerRequest, Pairs, Request
from rules_bento.base.typing_lite import TYPE_CHECKING, Literal
from rules_bento.images.layers import description

if TYPE_CHECKING:
    from rules_bento.images.layers.parts import PartListing


class _WheelLayerRequest(LayerRequest, description.EnvironmentRequest, description.WheelRequest):
    name: str
    recipe: bool = False  # write the recipe of the layer, not the layer


def wheel_layer(request: _WheelLayerRequest) -> None:
    """Write a wheel's layer, or its recipe with `--recipe`. With `--libraries`, also lists the shared libraries."""
    from rules_bento.images.layers.layer import write_wheel_layer, write_wheel_recipe

    layout = description.environment(request)
    wheel = description.read_wheel(request)
    scanner = description.library_scanner(request, wheel)
    watch = scanner.watch if scanner else None
    if request.recipe:
        info = write_wheel_recipe(request.output, wheel, layout, watch=watch)
    else:
        info = write_wheel_layer(request.output, wheel, layout, request.compression, watch=watch)
    description.describe(request, info, request.name, is_recipe=request.recipe)
    if request.libraries and scanner:
        request.libraries.write_text(scanner.libraries().dumps(), "utf-8")


class _AssembleLayerRequest(Request):
    description: str
    output: Path
    recipe: Path
    wheel: Path


def assemble_layer(request: _AssembleLayerRequest) -> None:
    """Write a layer from its recipe and the wheel, and verify the digest of the layer."""
    from rules_bento.base.archives.atomic import atomic_file
    from rules_bento.base.archives.recipe import assemble
    from rules_bento.base.formats import read_file
    from rules_bento.base.formats.json import read_object

    path = request.description
    described = read_object(read_file(path), path)
    with atomic_file(request.output) as file:
        file.writelines(assemble(request.recipe, request.wheel, described["digest"], described["size"]))


class _PartRequest(description.EnvironmentRequest, description.WheelRequest):
    compression: Literal["zstd", "gzip", "none"]
    listing: Path
    output: Path


def wheel_part(request: _PartRequest) -> None:
    """Write the layer part for a wheel, and its listing. With `--libraries`, also lists the shared libraries."""
    from rules_bento.images.layers.parts import write_wheel_part

    layout = description.environment(request)
    wheel = description.read_wheel(request)
    scanner = description.library_scanner(request, wheel)
    watch = scanner.watch if scanner else None
    listing = write_wheel_part(request.output, wheel, layout, request.compression, watch=watch)
    request.listing.write_text(listing.dumps(), "utf-8")
    if request.libraries and scanner:
        request.libraries.write_text(scanner.libraries().dumps(), "utf-8")


class _JoinLayersRequest(LayerRequest, description.EnvironmentRequest):
    name: str
    part: Pairs  # listing, part


def join_layers(request: _JoinLayersRequest) -> None:
    """Join the layer parts of several wheels into one layer."""
    from rules_bento.images.layers.parts import PartListing, WheelPart, join_parts

    parts = [
        WheelPart(PartListing.loads(Path(listing).read_text("utf-8")), Path(part)) for listing, part in request.part
    ]
    info = join_parts(request.output, parts, description.environment(request), request.compression)
    description.describe(request, info, request.name)


class _BytecodeRequest(description.EnvironmentRequest, description.WheelRequest):
    bytecode: str  # checked-hash or unchecked-hash
    compression: Literal["zstd", "gzip", "none"]
    interpreter: str  # the interpreter that compiles
    program: str  # the program that the interpreter runs


class _BytecodeLayerRequest(_BytecodeRequest, LayerRequest):
    name: str


class _BytecodePartRequest(_BytecodeRequest):
    listing: Path
    output: Path


def bytecode_layer(request: _BytecodeLayerRequest) -> None:  # writes: output, next to an output of the action
    """Compile the modules of a wheel to bytecode, and write the bytecode as a layer, as `join_layers` does."""
    from rules_bento.images.layers.parts import WheelPart, join_parts

    path = request.output.with_name(f"{request.output.name}.part")
    part = WheelPart(_compile(request, path), path)
    info = join_parts(request.output, [part], description.environment(request), request.compression)
    path.unlink()
    description.describe(request, info, request.name)


def bytecode_part(request: _BytecodePartRequest) -> None:
    """Compile the modules of a wheel to bytecode, and write the bytecode as a layer part with a listing."""
    request.listing.write_text(_compile(request, request.output).dumps(), "utf-8")


def _compile(request: _BytecodeRequest, out: Path) -> PartListing:
    from rules_bento.images.wheels.bytecode import Compiler, write_bytecode_part

    layout, wheel = description.environment(request), description.read_wheel(request)
    with Compiler(request.interpreter, request.program, request.bytecode) as compiler:
        return write_bytecode_part(out, wheel, layout, request.compression, compiler)  # writes: output, of the caller


class _OutputRequest(description.WheelRequest):
    output: Path


def wheel_libraries(request: _OutputRequest) -> None:
    """Write a JSON object that lists the shared libraries in a wheel, and the libraries that they require."""
    from rules_bento.images.wheels.libraries import Libraries

    request.output.write_text(Libraries.read(description.read_wheel(request)).dumps(), "utf-8")


def wheel_excluded(request: _OutputRequest) -> None:
    """Write the number and total size (in bytes) of the wheel's files that images omit because of exclude patterns."""
    wheel = description.read_unfiltered(request)
    kept = {member.path for member in description.without_excluded(request, wheel).members}
    sizes = [member.size for member in wheel.members if member.path not in kept]
    excluded = {"name": wheel.distribution, "version": wheel.metadata.version, "files": len(sizes), "size": sum(sizes)}
    request.output.write_text(json.dumps(excluded) + "\n", "utf-8")
