"""Pulls an image from a registry into an OCI layout, for repository rules."""

from __future__ import annotations

import sys
from pathlib import Path

from rules_bento.arguments import Arguments, Subcommand
from rules_bento.net.transfers import Progress
from rules_bento.registry.client import Registries
from rules_bento.registry.layout import Layout
from rules_bento.registry.pull import pull
from rules_bento.registry.reference import Reference


@Subcommand(
    {
        "--image": 1,  # registry/name[:tag][@digest]
        "--layout": 1,  # directory of the OCI layout
        "--mirror": 1,  # registry/name of a mirror that is tried first, repeatable
        "--lenient": 0,  # platforms can be missing in the index
        "--platform": 1,  # os/architecture[/variant] of an index, repeatable; default: all
        "--shallow": 0,  # exclude layers
    }
)
def run(arguments: Arguments) -> None:
    """Pull an image into a layout, and print the image's digest to standard output."""
    image = Reference.parse(arguments.required("--image"))
    mirrors = [Reference.parse(f"{mirror}@{image.digest}") for mirror in arguments.repeated("--mirror") if image.digest]
    with Registries() as registries, Progress(f"pulling {image}") as progress:
        root = pull(
            [*mirrors, image],
            Layout.create(Path(arguments.required("--layout"))),
            registries,
            progress,
            platforms=arguments.repeated("--platform"),
            lenient=arguments.has("--lenient"),
            shallow=arguments.has("--shallow"),
        )
    sys.stdout.write(f"{root.descriptor.digest}\n")
