"""Pulls from registries: an image into an OCI layout, one blob into a file, a Bento into a `.bento`."""

from __future__ import annotations

import sys
from pathlib import Path

from rules_bento.errors import BentoError
from rules_bento.net.headers import natural
from rules_bento.net.progress import Progress
from rules_bento.registry.client import Registries
from rules_bento.registry.descriptor import Descriptor, is_digest
from rules_bento.registry.download import download
from rules_bento.registry.layout import Layout
from rules_bento.registry.pull import pull
from rules_bento.registry.reference import Reference
from rules_bento.sharing.registry import artifact

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_bento.arguments import Arguments

FLAGS = {
    "--bento": 1,  # out: the image is a Bento, written as a .bento
    "--blob": 3,  # digest, size in bytes, out
    "--image": 1,  # registry/name[:tag][@digest]
    "--insecure": 1,  # host[:port] that may be reached without encryption
    "--layout": 1,  # out: folder of an OCI layout
    "--mirror": 1,  # registry/name that is asked first, may be repeated
    "--name": 1,  # in the layout
    "--lenient": 0,  # of the platforms, those that are there will do
    "--platform": 1,  # os/architecture[/variant] of an index, may be repeated; default: all
    "--shallow": 0,  # leave out layers
    "--target": 1,
}


def run(arguments: Arguments) -> None:
    """Pull an image or a Bento; standard output gets the digest of the image."""
    image = Reference.parse(arguments.one("--image"))
    mirrors = [Reference.parse(f"{mirror}@{image.digest}") for mirror in arguments.many("--mirror") if image.digest]
    with Registries(arguments.many("--insecure")) as registries, Progress(f"pulling {image}") as progress:
        repositories = [registries.repository(reference) for reference in (*mirrors, image)]
        for digest, size, out in arguments.records("--blob"):
            count = natural(size)
            if not is_digest(digest) or count is None:
                raise BentoError(f"--blob takes a digest, a size and a file, not {digest!r} and {size!r}.")
            download(repositories[-1], Descriptor("", digest, count), Path(out), progress)
        if arguments.optional("--bento"):
            artifact.pull_bento(repositories[-1], image.target, Path(arguments.one("--bento")), progress)
        if arguments.optional("--layout"):
            root = pull(
                [*mirrors, image],
                Layout.create(Path(arguments.one("--layout"))),
                registries,
                progress,
                platforms=arguments.many("--platform"),
                lenient=bool(arguments.records("--lenient")),
                shallow=bool(arguments.records("--shallow")),
                name=arguments.optional("--name"),
            )
            sys.stdout.write(f"{root.descriptor.digest}\n")
