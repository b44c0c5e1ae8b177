"""Loads images into the first of docker, podman, and nerdctl that responds.

For an index, loads the image for the engine's platform, or for the platform that the user selects. Writes temporary
files only for layers that are downloaded from the base image's registry or assembled from recipes.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from rules_bento.base.archives.recipe import assemble
from rules_bento.base.errors import BentoError
from rules_bento.base.formats.oci import Layer
from rules_bento.base.landlock import outside
from rules_bento.base.net.transfers import Progress, parallel_map
from rules_bento.base.own_files import OwnDirectory, digest_path, own_directory
from rules_bento.base.programs import LOADERS, find_loader, which
from rules_bento.base.subcommand_arguments import Arguments, Request
from rules_bento.base.typing_lite import Any, Iterator
from rules_bento.bentos.packages.platforms import ARCHITECTURES
from rules_bento.images import image_archive, oci_image
from rules_bento.images.registry.client import Registries
from rules_bento.images.registry.descriptor import Descriptor
from rules_bento.images.registry.pull_from_registry import download
from rules_bento.images.registry.reference import Reference

HELP = """\
Loads the image into the first of docker, podman, and nerdctl that responds.

--backend ENGINE            docker, podman, or nerdctl (default: the first that responds)
--platform OS/ARCHITECTURE  load the image of an index for this platform (default: the engine's platform)
"""


class _LoadOptions(Arguments):
    backend: str = ""
    platform: str = ""


class _LoadRequest(Request):
    usage = HELP
    contents: str  # JSON, see run/push_description.py
    directory: Path  # directory that its paths are relative to
    reference: str


def run(request: _LoadRequest) -> int:
    """Stream an image archive to a container engine. Returns the engine's exit status."""
    options = _LoadOptions.from_user(request.rest)
    tool = _tool(options.backend)
    directory = request.directory
    document = json.loads((directory / request.contents).read_text("utf-8"))
    contents = document.get("image") or _chosen(document["index"]["images"], directory, tool, options.platform)
    config, manifest = ((directory / contents[key]).read_bytes() for key in ("config", "manifest"))
    image = oci_image.OciImage(config, manifest)
    if "artifactType" in json.loads(image.manifest):
        remedy = 'Push the artifact, or set format = "image" on the bento_model_image.'
        raise BentoError("container engines can't load OCI artifacts", place="image", remedy=remedy)
    with own_directory("rules_bento-load-") as scratch:
        blobs = blobs_of(contents["blobs"], directory, scratch)
        return load(tool, image_archive.docker_archive(image, blobs, request.reference))


def _chosen(images: list[dict[str, Any]], directory: Path, tool: str, wanted: str) -> dict[str, Any]:
    """Return the image for the platform `wanted` (default: the engine's). Raises BentoError if no image matches."""
    platform = wanted or _platform(tool)
    by_platform = {}
    for image in images:
        config = json.loads((directory / image["config"]).read_text("utf-8"))
        by_platform[f"{config['os']}/{config['architecture']}"] = image
    if platform in by_platform:
        return by_platform[platform]
    problem = f"{Path(tool).name} runs {platform or 'an unknown platform'}, but the index has images only for "
    problem += f"{', '.join(sorted(by_platform))}"
    raise BentoError(problem, remedy=f"Select a platform with `-- --platform {min(by_platform)}`.")


def _platform(tool: str) -> str:
    """Return an engine's platform in Go's notation (`os/architecture`), or "" if the platform is unknown."""
    form = "{{.Host.OS}}/{{.Host.Arch}}" if Path(tool).name == "podman" else "{{.OSType}}/{{.Architecture}}"
    done = outside(
        lambda: subprocess.run([tool, "info", "--format", form], check=False, capture_output=True, text=True)
    )
    system, _, machine = done.stdout.strip().partition("/")
    return f"{system}/{ARCHITECTURES.get(machine, machine)}" if done.returncode == 0 and machine else ""


def blobs_of(described: list[dict[str, Any]], directory: Path, scratch: OwnDirectory) -> dict[str, Path]:
    """Return the layer files by digest. Assembles or downloads missing layers into `scratch`."""
    blobs = {}
    elsewhere = []
    for blob in described:
        layer = Layer.loads((directory / blob["description"]).read_text("utf-8"))
        if not layer.size:  # no file of a program was in it
            continue
        blobs[layer.digest] = directory / blob["path"] if "path" in blob else digest_path(scratch, layer.digest)
        if "recipe" in blob:
            recipe, wheel = directory / blob["recipe"], directory / blob["wheel"]
            with blobs[layer.digest].open("wb") as file:  # writes: digest, a recipe has no path
                file.writelines(assemble(recipe, wheel, layer.digest, layer.size))
        elif "path" not in blob:
            elsewhere.append((Reference.parse(blob["from"]), Descriptor("", layer.digest, layer.size)))
    with Registries() as registries, Progress("fetching layers of the base") as progress:

        def fetch(item: tuple[Reference, Descriptor]) -> None:
            download(registries.repository(item[0]), item[1], blobs[item[1].digest], progress)

        progress.expect_all(sum(blob.size for _, blob in elsewhere))
        parallel_map(fetch, elsewhere)
    return blobs


def load(tool: str, archive: Iterator[bytes], *words: str, stdout: int | None = None) -> int:
    """Stream an image archive to a container engine, which prints to `stdout`. Returns the engine's exit status."""
    loading = outside(lambda: subprocess.Popen([tool, "load", *words], stdin=subprocess.PIPE, stdout=stdout))
    if loading.stdin is None:
        raise AssertionError
    try:
        with loading.stdin as pipe:
            pipe.writelines(archive)
    except BrokenPipeError:
        sys.stderr.write(f"{tool} exited before it read the complete image\n")
    return loading.wait()


def _tool(wanted: str) -> str:
    if tool := which(wanted or find_loader()):
        return tool
    remedy = "Install or start the container engine, or build the image with --output_groups=docker_archive."
    raise BentoError("not found, or not responding", place=str(wanted or " or ".join(LOADERS)), remedy=remedy)
