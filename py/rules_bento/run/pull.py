"""Pulls an image from a registry into an OCI layout, for repository rules."""

from __future__ import annotations

import sys

from rules_bento.base.net.transfers import Progress
from rules_bento.base.subcommand_arguments import Request, Strings
from rules_bento.base.typing_lite import TYPE_CHECKING
from rules_bento.images.registry.client import Registries
from rules_bento.images.registry.layout import Layout
from rules_bento.images.registry.pull_from_registry import pull
from rules_bento.images.registry.reference import Reference

if TYPE_CHECKING:
    from pathlib import Path


class _PullRequest(Request):
    image: str  # registry/name[:tag][@digest]
    layout: Path  # directory of the OCI layout
    mirror: Strings  # registry/name of a mirror that is tried first, repeatable
    lenient: bool = False  # platforms can be missing in the index
    platform: Strings  # os/architecture[/variant] of an index, repeatable; default: all
    shallow: bool = False  # exclude layers


def run(request: _PullRequest) -> None:
    """Pull an image into a layout, and print the image's digest to standard output."""
    image = Reference.parse(request.image)
    mirrors = [Reference.parse(f"{mirror}@{image.digest}") for mirror in request.mirror if image.digest]
    with Registries() as registries, Progress(f"pulling {image}") as progress:
        root = pull(
            [*mirrors, image],
            Layout.create(request.layout),
            registries,
            progress,
            platforms=request.platform,
            lenient=request.lenient,
            shallow=request.shallow,
        )
    sys.stdout.write(f"{root.descriptor.digest}\n")
