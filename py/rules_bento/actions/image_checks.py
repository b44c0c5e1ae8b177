"""Subcommands that check the libraries, system packages, and size of an image before Bazel builds the image."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from rules_bento.arguments import Arguments, Subcommand, read_text
from rules_bento.errors import BentoError
from rules_bento.formats import read_file
from rules_bento.typing_lite import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rules_bento.images import image_requirements


@Subcommand(
    {
        "--allowed-glibc": 1,  # X.Y, largest glibc that package hubs allow, if the base's is unknown
        "--base": 1,  # label
        "--base-config": 1,
        "--base-libraries": 1,  # output of base_contents, for a base that isn't built from Debian packages
        "--glibc": 1,  # of the base, X.Y
        "--hub": 1,  # of Debian packages, for a base that is built from them
        "--index": 1,  # of Debian packages in the base or in a layer
        "--libraries": 1,  # of a wheel
        "--machines": 1,  # output of base_contents for further layers
        "--output": 1,  # libraries that optional parts need and that are missing
        "--python-version": 1,  # of the base, X.Y
        "--ignore-library": 1,  # file name of a library
        "--wheel": 1,  # file name
    }
)
def check_image(arguments: Arguments) -> None:
    """Raise BentoError if wheels can't run on a base image, contradict each other, or lack what they need to run.

    Otherwise, writes notes on missing optional libraries.
    """
    from rules_bento.formats.json import read_object
    from rules_bento.images import image_checks, needs
    from rules_bento.images.image_requirements import DebLayerHint
    from rules_bento.images.wheels.libraries import Libraries
    from rules_bento.packages.shared_files import PackageFiles, check_shared_files, exclude_in_hub

    indexes = [json.loads(read_text(path)) for path in arguments.repeated("--index")]
    below = [json.loads(read_text(path)) for path in arguments.repeated("--base-libraries")]
    libraries = {name for names in below for name in names} | {
        path.rpartition("/")[2]
        for index in indexes
        for path in (*index["files"], *index["links"])
        if needs.is_provided(path)
    }
    architecture = read_object(read_file(arguments.required("--base-config")), "the base's config")["architecture"]
    base = image_checks.Base(
        arguments.required("--base"),
        architecture,
        _glibc(arguments),
        libraries if indexes or below else None,  # unknown without any of them
        arguments.required("--python-version"),
        max((_parse_version(text) for text in arguments.repeated("--allowed-glibc")), default=None),
    )
    packages = [Libraries.loads(read_text(path)) for path in arguments.repeated("--libraries")]
    check_shared_files([PackageFiles(package.distribution, package.files) for package in packages], exclude_in_hub)
    machines = json.loads(read_text(path)) if (path := arguments.optional("--machines")) else {}
    wheels, unchecked = arguments.repeated("--wheel"), arguments.repeated("--ignore-library")
    result = image_checks.check(base, wheels, packages, unchecked, machines)
    image = arguments.required("--target").rpartition(":")[2]
    hint = DebLayerHint(image, arguments.optional("--hub"), base.name)
    need = needs.problem(packages, base.libraries, unchecked, hint) if base.libraries is not None else ""
    if problems := [*result.problems, *([need] if need else [])]:
        raise BentoError("\n".join(problems))
    Path(arguments.required("--output")).write_text("".join(f"{note}\n" for note in result.notes), "utf-8")


def _glibc(arguments: Arguments) -> tuple[int, int] | None:
    """Return the glibc version of the base, or None without `--glibc`. Raises BentoError for an invalid version."""
    text = arguments.optional("--glibc")
    if not text:
        return None
    if not re.fullmatch(r"[0-9]{1,4}\.[0-9]{1,4}", text):
        raise BentoError(
            f"{arguments.required('--base')}: invalid glibc version {text!r}. Set glibc to a version such as 2.36, "
            "or remove the attribute."
        )
    return _parse_version(text)


def _parse_version(text: str) -> tuple[int, int]:
    major, _, minor = text.partition(".")
    return int(major), int(minor)


@Subcommand(
    {
        "--layer": 1,  # description
        "--output": 1,
        "--size-limit": 1,  # in bytes
    }
)
def check_size(arguments: Arguments) -> None:
    """Raise BentoError if the total size of an image's layers exceeds the limit. Otherwise, writes an empty file."""
    from rules_bento.images.image_checks import too_large
    from rules_bento.images.oci_image import Layer

    layers = [Layer.loads(Path(path).read_text("utf-8")) for path in arguments.repeated("--layer")]
    for problem in too_large(layers, int(arguments.required("--size-limit"))):
        raise BentoError(problem)
    Path(arguments.required("--output")).write_text("", "utf-8")


@Subcommand(
    {
        "--base": 1,  # label
        "--base-config": 1,
        "--base-system": 1,  # output of base_contents
        "--bento-yaml": 1,
        "--hub": 1,  # of Debian packages, for a base that is built from them
        "--image": 1,  # name of the target
        "--index": 1,  # of Debian packages in the base or in a layer
        "--lower": 1,  # label of the base
        "--output": 1,
        "--provided": 1,  # requirement that the base provides or the service doesn't need, according to the target
        "--wheel": 2,  # file name, size in bytes
    }
)
def check_system(arguments: Arguments) -> None:
    """Raise BentoError if an image lacks the distribution, system packages, or CUDA version that its Bento requires."""
    from rules_bento.images import image_requirements

    requirements = image_requirements.read_requirements(_read_bento_yaml(arguments.required("--bento-yaml")))
    hint = image_requirements.DebLayerHint(
        arguments.required("--image"), arguments.optional("--hub"), arguments.optional("--lower")
    )
    provided = arguments.json_strings("--provided")
    problems = list(image_requirements.problems(requirements, _image_system(arguments), hint, provided))
    if problems:
        raise BentoError("\n".join(problems))
    sizes = [(name, int(size)) for name, size in arguments.tuples("--wheel")]
    if note := image_requirements.gpu_note(requirements, sizes, provided):
        sys.stderr.write(f"{arguments.required('--target')}: {note}\n")
    Path(arguments.required("--output")).write_text("", "utf-8")


def _read_bento_yaml(path: str) -> dict[str, Any]:
    from rules_bento.formats.yaml import read_mapping

    return read_mapping(read_file(path), path)


def _image_system(arguments: Arguments) -> image_requirements.ImageSystem:
    """Return the distribution and system packages of an image, and the CUDA versions of its base and wheels."""
    from rules_bento.images import image_requirements
    from rules_bento.images.system_packages import SystemFiles, read_dpkg

    indexes = [json.loads(Path(path).read_text("utf-8")) for path in arguments.repeated("--index")]
    config = json.loads(Path(arguments.required("--base-config")).read_text("utf-8"))
    below = arguments.optional("--base-system")
    base = SystemFiles.loads(Path(below).read_text("utf-8")) if below else SystemFiles((), None)
    packages = [*(base.packages or ()), *(package for index in indexes for package in read_dpkg(index["status"]))]
    cuda = config.get("env", {}).get("CUDA_VERSION", "")
    return image_requirements.ImageSystem(
        base=arguments.required("--base"),
        ids=base.ids or (("debian",) if arguments.optional("--hub") else ()),
        packages=tuple(packages),
        is_known=bool(arguments.optional("--hub")) or base.packages is not None,
        cuda=(
            *([cuda] if cuda else []),
            *image_requirements.cuda_of_wheels(name for name, _ in arguments.tuples("--wheel")),
        ),
    )
