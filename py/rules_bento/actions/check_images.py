"""Subcommands that check the libraries, system packages, and size of an image before Bazel builds the image."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from rules_bento.base.errors import BentoError
from rules_bento.base.formats import read_file
from rules_bento.base.formats.yaml import read_mapping
from rules_bento.base.subcommand_arguments import JsonStrings, Pairs, Request, Strings, read_text
from rules_bento.images.system_packages import SystemFiles, read_dpkg
from rules_bento.images.validation import all_checks, bento_requirements
from rules_bento.images.validation.remedies import Remedies


class _CheckImageRequest(Request):
    allowed_glibc: Strings  # X.Y, largest glibc that package hubs allow, if the base's is unknown
    base: str  # label
    base_config: str
    command: Strings  # of a container, without the environment's own program
    directory: str = ""  # of a program's files
    environment: str = ""  # directory of the virtual environment in the image
    base_libraries: Strings  # output of base_contents, for a base that isn't built from Debian packages
    file: Strings  # in `directory`; a directory ends with a slash
    glibc: str = ""  # of the base, X.Y
    gpu: Strings  # of the hosts
    gpus: Strings  # output of check_system
    hub: str = ""  # of Debian packages, for a base that is built from them
    imports: Path | None = None  # modules that packages must provide, an output of `package`
    index: Strings  # of Debian packages in the base or in a layer
    libraries: Strings  # of a wheel
    machines: str = ""  # output of base_contents for further layers
    own: Strings  # file name of a wheel that the build writes, or that the repository contains
    output: Path  # libraries that optional parts need and that are missing
    python_version: str  # of the base, X.Y
    ignore_library: Strings  # file name of a library
    wheel: Strings  # file name
    working_dir: str = ""


def check_image(request: _CheckImageRequest) -> None:
    """Raise BentoError if wheels can't run on a base image, contradict each other, or lack what they or `command` run.

    Otherwise, writes notes on missing optional libraries.
    """
    from rules_bento.base.formats.json import read_object
    from rules_bento.bentos.service.loaded_modules import MissingModule
    from rules_bento.images.entrypoint import ContainerCommand
    from rules_bento.images.validation import base_compatibility, gpus, package_needs
    from rules_bento.images.wheels.libraries import Libraries

    indexes = [json.loads(read_text(path)) for path in request.index]
    below = [json.loads(read_text(path)) for path in request.base_libraries]
    libraries = {name for names in below for name in names} | {
        path.rpartition("/")[2]
        for index in indexes
        for path in (*index["files"], *index["links"])
        if package_needs.is_provided(path)
    }
    config = read_object(read_file(request.base_config), "the base's config")
    base = base_compatibility.Base(
        request.base,
        config["architecture"],
        _glibc(request),
        libraries if indexes or below else None,  # unknown without any of them
        request.python_version,
        max((_parse_version(text) for text in request.allowed_glibc), default=None),
    )
    packages = [Libraries.loads(read_text(path)) for path in request.libraries]
    machines = json.loads(read_text(path)) if (path := request.machines) else {}
    remedies = Remedies(request.target.rpartition(":")[2], request.hub, base.name)
    files = request.file if request.directory else None
    env = config.get("env", {})
    command = ContainerCommand(request.command, request.environment, env, request.working_dir, request.directory, files)
    notes = all_checks.check_packages(
        base, request.wheel, packages, request.ignore_library, remedies, machines, command, request.own
    )
    imports = [MissingModule(*row) for row in json.loads(request.imports.read_text("utf-8"))] if request.imports else ()
    if missing := all_checks.missing_modules(imports, env, lambda: packages):
        raise BentoError(missing)
    request.output.write_text("".join(f"{note}\n" for note in notes), "utf-8")
    hosts = [gpus.Gpu.parse(name, path) for path in request.gpus for name in read_text(path).splitlines()]
    hosts += [gpus.Gpu.parse(name, "--@rules_bento//rules:gpu") for name in request.gpu]
    cuda = bento_requirements.cuda_versions(env, request.wheel)
    found = gpus.check(hosts, lambda: packages, cuda, request.ignore_library, remedies)
    for note in (*found, *all_checks.bytecode_notes(packages)):
        sys.stderr.write(f"{request.target}: {note}\n")


def _glibc(request: _CheckImageRequest) -> tuple[int, int] | None:
    """Return the glibc version of the base, or None without `--glibc`. Raises BentoError for an invalid version."""
    text = request.glibc
    if not text:
        return None
    if not re.fullmatch(r"[0-9]{1,4}\.[0-9]{1,4}", text):
        remedy = "Set glibc to a version such as 2.36, or remove the attribute."
        raise BentoError(f"invalid glibc version {text!r}", place=request.base, remedy=remedy)
    return _parse_version(text)


def _parse_version(text: str) -> tuple[int, int]:
    major, _, minor = text.partition(".")
    return int(major), int(minor)


class _CheckSizeRequest(Request):
    layer: Strings  # description
    output: Path
    size_limit: int  # in bytes


def check_size(request: _CheckSizeRequest) -> None:
    """Raise BentoError if the total size of an image's layers exceeds the limit. Otherwise, writes an empty file."""
    from rules_bento.base.formats.oci import Layer

    layers = [Layer.loads(Path(path).read_text("utf-8")) for path in request.layer]
    all_checks.check_size(layers, request.size_limit, Remedies())
    request.output.write_text("", "utf-8")


class _CheckSystemRequest(Request):
    base: str  # label
    base_config: str
    base_system: Path | None = None  # output of base_contents
    bento_yaml: str
    hub: str = ""  # of Debian packages, for a base that is built from them
    image: str  # name of the target
    index: Strings  # of Debian packages in the base or in a layer
    lower: str = ""  # label of the base
    output: Path
    provided: JsonStrings  # requirement that the base provides or the service doesn't need, according to the target
    wheel: Pairs  # file name, size in bytes


def check_system(request: _CheckSystemRequest) -> None:
    """Raise BentoError if an image lacks the distribution, system packages, or CUDA version that its Bento requires.

    Otherwise, writes the GPUs of the services.
    """
    from rules_bento.images.validation.gpus import Gpu

    remedies = Remedies(request.image, request.hub, request.lower)
    sizes = [(name, int(size)) for name, size in request.wheel]
    bento = read_mapping(read_file(request.bento_yaml), request.bento_yaml)
    found, notes = Gpu.of_services(bento)
    for note in (all_checks.check_system(bento, _image_system(request), request.provided, sizes, remedies), *notes):
        sys.stderr.write(f"{request.target}: {note}\n" if note else "")
    request.output.write_text("".join(f"{gpu.name}\n" for gpu in found), "utf-8")


def _image_system(request: _CheckSystemRequest) -> bento_requirements.ImageSystem:
    """Return the distribution and system packages of an image, and the CUDA versions of its base and wheels."""
    indexes = [json.loads(Path(path).read_text("utf-8")) for path in request.index]
    config = json.loads(Path(request.base_config).read_text("utf-8"))
    below = request.base_system
    base = SystemFiles.loads(below.read_text("utf-8")) if below else SystemFiles((), None)
    packages = [*(base.packages or ()), *(package for index in indexes for package in read_dpkg(index["status"]))]
    return bento_requirements.ImageSystem(
        base=request.base,
        ids=base.ids or (("debian",) if request.hub else ()),
        packages=tuple(packages),
        is_known=bool(request.hub) or base.packages is not None,
        cuda=bento_requirements.cuda_versions(config.get("env", {}), (name for name, _ in request.wheel)),
    )
