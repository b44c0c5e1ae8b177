"""Reads base images for the native backend: the config, the layers, the interpreter, and the system packages."""

from __future__ import annotations

import json
import re
from pathlib import Path

from rules_bento.actions.bases import is_library
from rules_bento.archives.atomic import replace_file
from rules_bento.dataclasses_lite import NamedTuple
from rules_bento.errors import BentoError
from rules_bento.formats.json import read_object
from rules_bento.images.layers.contents import read_files
from rules_bento.images.system_packages import SystemFiles
from rules_bento.registry.base_images import BaseImage, check_layers, find_images
from rules_bento.registry.layout import Layout
from rules_bento.registry.pull import find_manifest, pull
from rules_bento.registry.reference import Reference
from rules_bento.typing_lite import TYPE_CHECKING, Any, Collection

if TYPE_CHECKING:
    from rules_bento.net.transfers import Counter
    from rules_bento.registry.client import Registries

LAYOUT = "oci:"
"""The prefix of options that specify a directory with an OCI layout."""

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PYTHON = re.compile(r"(?:(.*)/)?(?:bin/python(?:3|(3\.\d+))|lib/python(3\.\d+)/os\.py)")


class BaseImageContents(NamedTuple):
    """A base image, with the interpreter and the system packages that it contains."""

    name: str  # the reference with its digest, or the layout
    origin: str  # registry/repository; empty for a layout
    image: BaseImage
    layout: Layout
    python: str  # absolute path
    python_version: str  # X.Y
    system: SystemFiles
    libraries: tuple[str, ...]  # file names of shared libraries

    @property
    def machine(self) -> str:
        """The name of the architecture in wheel tags, such as `x86_64`."""
        architecture: str = self.image.config["architecture"]
        return {"amd64": "x86_64", "arm64": "aarch64"}.get(architecture, architecture)

    @property
    def glibc(self) -> tuple[int, int] | None:
        """The version of the GNU C library: (0, 0) for musl, or None if the packages include neither C library."""
        versions = {package.name: package.version for package in self.system.packages or ()}
        if match := re.match(r"(\d+)\.(\d+)", versions.get("libc6", "")):
            return int(match[1]), int(match[2])
        return (0, 0) if "musl" in versions else None


def read_base(text: str, platform: str, cache: Path, registries: Registries, counter: Counter) -> BaseImageContents:
    """Read the base image for a platform (`OS/ARCHITECTURE`). `text` is the value of `--base`.

    Pulls an image from a registry to `cache`, if necessary. Raises BentoError for an image without Python.
    """
    if text.startswith(LAYOUT):
        name, origin, layout = text, "", Layout.open(Path(text.removeprefix(LAYOUT)))
    else:
        reference = Reference.parse(text)
        _, root = find_manifest([reference], registries)
        reference = reference.with_digest(root.descriptor.digest)
        name, origin = str(reference), reference.name
        directory = cache / "bases" / f"{root.descriptor.digest.partition(':')[2]}-{platform.replace('/', '-')}"
        layout = Layout.create(directory)
        if not layout.index():  # the last file that `pull` writes
            pull([reference], layout, registries, counter, platforms=[platform])
    remedy = "Use another base image or another --platform."
    [image] = find_images(layout, [platform], f"--base: {name}", remedy).values()
    if text.startswith(LAYOUT):
        check_layers(layout, [image])
    record = cache / "bases" / f"{image.digest.partition(':')[2]}-contents.json"
    if not record.exists():
        record.parent.mkdir(parents=True, exist_ok=True)
        replace_file(record, json.dumps(_inspect(layout, image, name)).encode())
    known = read_object(record.read_bytes(), str(record))
    system = SystemFiles.loads(known["system"])
    libraries = tuple(known["libraries"])
    return BaseImageContents(name, origin, image, layout, known["python"], known["version"], system, libraries)


def _inspect(layout: Layout, image: BaseImage, name: str) -> dict[str, Any]:
    """Return a base image's interpreter, its version, the shared libraries, and the system packages as JSON."""
    layers = ((layout.blob(layer.digest), layer.media_type) for layer, _ in image.layers)
    files = read_files(layers, lambda path, _: bool(is_library(path) or _PYTHON.fullmatch(path)), SystemFiles.has)
    system = SystemFiles.from_files({path: data for path, data in files.items() if SystemFiles.has(path)})
    python, version = _find_python(files, image.config["env"], name)
    libraries = sorted({path.rpartition("/")[2] for path in files if is_library(path)})
    return {"python": python, "version": version, "system": system.dumps(), "libraries": libraries}


def _find_python(files: Collection[str], env: dict[str, str], name: str) -> tuple[str, str]:
    """Return the path and version of the first `python3` on the image's PATH.

    Determines the version from the files of the interpreter and the image's variable PYTHON_VERSION.
    """
    matches = [match for file in files if (match := _PYTHON.fullmatch(file))]
    variable = ".".join(env.get("PYTHON_VERSION", "").split(".")[:2])
    for directory in env.get("PATH", _PATH).split(":"):
        path = f"{directory.strip('/')}/python3"
        prefixes = [match[1] for match in matches if match[0] == path]
        if not prefixes:
            continue
        near = [match for match in matches if match[1] in prefixes]
        for found in ({match[2] for match in near}, {match[3] for match in near}, {variable}):
            versions = found - {None, ""}
            if variable in versions or len(versions) == 1:
                return f"/{path}", variable if variable in versions else min(versions)
        raise BentoError(
            f"--base: cannot determine the version of /{path} in {name}. Use a base image that sets PYTHON_VERSION."
        )
    raise BentoError(f"--base: {name} has no python3 on PATH. Use a base image with python3 on PATH.")
