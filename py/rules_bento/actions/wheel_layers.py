"""Subcommands that install wheels into layers."""

from __future__ import annotations

import json
from pathlib import Path

from rules_bento.arguments import Arguments, Subcommand
from rules_bento.images.layers import description


@Subcommand(
    description.FLAGS
    | description.ENVIRONMENT
    | description.WHEEL_FLAGS
    | {
        "--libraries": 1,  # output, as wheel_libraries
        "--name": 1,
        "--recipe": 0,  # write the recipe of the layer, not the layer
    }
)
def wheel_layer(arguments: Arguments) -> None:
    """Write a wheel's layer, or its recipe with `--recipe`. With `--libraries`, also lists the shared libraries."""
    from rules_bento.images.layers.layer import write_wheel_layer, write_wheel_recipe

    layout = description.environment(arguments)
    out, compression = description.output(arguments)
    wheel = description.read_wheel(arguments)
    scanner = description.library_scanner(arguments, wheel)
    watch = scanner.watch if scanner else None
    is_recipe = arguments.has("--recipe")
    if is_recipe:
        info = write_wheel_recipe(out, wheel, layout, watch=watch)
    else:
        info = write_wheel_layer(out, wheel, layout, compression, watch=watch)
    description.describe(arguments, info, arguments.required("--name"), is_recipe=is_recipe)
    if scanner:
        Path(arguments.required("--libraries")).write_text(scanner.libraries().dumps(), "utf-8")


@Subcommand({"--description": 1, "--output": 1, "--recipe": 1, "--wheel": 1})
def assemble_layer(arguments: Arguments) -> None:
    """Write a layer from its recipe and the wheel, and verify the digest of the layer."""
    from rules_bento.archives.atomic import atomic_file
    from rules_bento.archives.recipe import assemble
    from rules_bento.formats import read_file
    from rules_bento.formats.json import read_object

    path = arguments.required("--description")
    described = read_object(read_file(path), path)
    recipe, wheel = Path(arguments.required("--recipe")), Path(arguments.required("--wheel"))
    with atomic_file(Path(arguments.required("--output"))) as file:
        file.writelines(assemble(recipe, wheel, described["digest"], described["size"]))


@Subcommand(
    description.ENVIRONMENT
    | description.WHEEL_FLAGS
    | {
        "--compression": 1,
        "--libraries": 1,  # output, as wheel_libraries
        "--listing": 1,
        "--output": 1,
    }
)
def wheel_part(arguments: Arguments) -> None:
    """Write the layer part for a wheel, and its listing. With `--libraries`, also lists the shared libraries."""
    from rules_bento.images.layers.parts import write_wheel_part

    layout = description.environment(arguments)
    out, compression = description.output(arguments)
    wheel = description.read_wheel(arguments)
    scanner = description.library_scanner(arguments, wheel)
    listing = write_wheel_part(out, wheel, layout, compression, watch=scanner.watch if scanner else None)
    Path(arguments.required("--listing")).write_text(listing.dumps(), "utf-8")
    if scanner:
        Path(arguments.required("--libraries")).write_text(scanner.libraries().dumps(), "utf-8")


@Subcommand(
    description.FLAGS
    | description.ENVIRONMENT
    | {
        "--name": 1,
        "--part": 2,  # listing, part
    }
)
def join_layers(arguments: Arguments) -> None:
    """Join the layer parts of several wheels into one layer."""
    from rules_bento.images.layers.parts import PartListing, WheelPart, join_parts

    parts = [
        WheelPart(PartListing.loads(Path(listing).read_text("utf-8")), Path(part))
        for listing, part in arguments.tuples("--part")
    ]
    out, compression = description.output(arguments)
    info = join_parts(out, parts, description.environment(arguments), compression)
    description.describe(arguments, info, arguments.required("--name"))


@Subcommand(
    description.ENVIRONMENT
    | description.WHEEL_FLAGS
    | {
        "--bytecode": 1,  # checked-hash or unchecked-hash
        "--compression": 1,
        "--interpreter": 1,  # the interpreter that compiles
        "--listing": 1,
        "--output": 1,
        "--program": 1,  # the program that the interpreter runs
    }
)
def bytecode_part(arguments: Arguments) -> None:
    """Compile the modules of a wheel to bytecode, and write the bytecode as a layer part with a listing."""
    from rules_bento.images.wheels.bytecode import Compiler, write_bytecode_part

    layout = description.environment(arguments)
    out, compression = description.output(arguments)
    words = [arguments.required(flag) for flag in ("--interpreter", "--program", "--bytecode")]
    with Compiler(*words) as compiler:
        listing = write_bytecode_part(out, description.read_wheel(arguments), layout, compression, compiler)
    Path(arguments.required("--listing")).write_text(listing.dumps(), "utf-8")


@Subcommand(description.WHEEL_FLAGS | {"--output": 1})
def wheel_libraries(arguments: Arguments) -> None:
    """Write a JSON object that lists the shared libraries in a wheel, and the libraries that they require."""
    from rules_bento.images.wheels.libraries import Libraries

    Path(arguments.required("--output")).write_text(Libraries.read(description.read_wheel(arguments)).dumps(), "utf-8")


@Subcommand(description.WHEEL_FLAGS | {"--output": 1})
def wheel_excluded(arguments: Arguments) -> None:
    """Write the number and total size (in bytes) of the wheel's files that images omit because of exclude patterns."""
    wheel = description.read_unfiltered(arguments)
    kept = {member.path for member in description.without_excluded(arguments, wheel).members}
    sizes = [member.size for member in wheel.members if member.path not in kept]
    excluded = {"name": wheel.distribution, "version": wheel.metadata.version, "files": len(sizes), "size": sum(sizes)}
    Path(arguments.required("--output")).write_text(json.dumps(excluded) + "\n", "utf-8")
