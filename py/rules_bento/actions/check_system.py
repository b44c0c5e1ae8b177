"""Checks whether an image has what its Bento asks for: packages of the distribution, the distribution, CUDA."""

from __future__ import annotations

import json
from pathlib import Path

from rules_bento.errors import BentoError
from rules_bento.formats import read_file
from rules_bento.images import image_requirements
from rules_bento.images.system_packages import SystemFiles, read_dpkg

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rules_bento.arguments import Arguments

FLAGS = {
    "--base": 1,  # its label
    "--base-config": 1,
    "--base-system": 1,  # what base_contents wrote
    "--bento-yaml": 1,
    "--hub": 1,  # of Debian packages, for a base that is made of them
    "--image": 1,  # name of the target
    "--index": 1,  # of Debian packages in the base or in a layer
    "--lower": 1,  # label of the uppermost layer of Debian packages
    "--output": 1,
    "--provided": 1,  # what the target says that the base has, or the service does without
    "--target": 1,
    "--wheel": 1,  # file name
}


def run(arguments: Arguments) -> None:
    """Write that all is there, or raise BentoError with all that is not."""
    requirements = image_requirements.read_requirements(_document(arguments.required("--bento-yaml")))
    hint = image_requirements.DebLayerHint(
        arguments.required("--image"), arguments.optional("--hub"), arguments.optional("--lower")
    )
    problems = list(
        image_requirements.problems(requirements, _system(arguments), hint, arguments.json_strings("--provided"))
    )
    if problems:
        raise BentoError("\n".join(problems))
    Path(arguments.required("--output")).write_text("", "utf-8")


def _document(path: str) -> dict[str, Any]:
    from rules_bento.formats.yaml import read_mapping

    return read_mapping(read_file(path), path)


def _system(arguments: Arguments) -> image_requirements.ImageSystem:
    """Return what is known of base and layers."""
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
        cuda=(*([cuda] if cuda else []), *image_requirements.cuda_of_wheels(arguments.repeated("--wheel"))),
    )
