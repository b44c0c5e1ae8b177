"""The options of `bento containerize` and `bento image`: their help, and the values that the native backend accepts."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from rules_bento.base.dataclasses_lite import NamedTuple
from rules_bento.base.errors import BentoError
from rules_bento.base.formats.oci import SBOM_TYPES
from rules_bento.base.programs import LOADERS, find_loader
from rules_bento.base.typing_lite import TYPE_CHECKING, Sequence
from rules_bento.bentos.packages.platforms import ARCHITECTURES
from rules_bento.images.registry.reference import Reference, has_registry

from bento_cli.sharing.backends import BUILDER_REMEDY

if TYPE_CHECKING:
    from rules_bento.images.artifacts.signatures import Signing

    from bento_cli.sharing.backends import Options

    Settings = dict[str, list[str]]
    """Values of options by name."""

LAYOUT = "oci:"
_TARGETS = "linux/amd64|linux/arm64"
NO_SBOM = "none"
READS_LAYERS = frozenset(("load", "output", "start"))
"""Options for which this machine needs the layers of an image."""
_REPOSITORY = "[^/@=,]*[.:][^/@=,]*/[^:@]+"  # with a registry, and without a tag


class Option(NamedTuple):
    """An option. Without a help text for builders, it is an option of the native backend, and of both commands."""

    builder: str = ""  # help of `bento containerize`, which passes the option to the builder
    image: str = ""  # help of `bento image`
    value: str = "VALUE"  # the value in the help of `bento image`; "": a flag
    pattern: str | None = None  # of the values for the native backend; None: not supported
    is_repeatable: bool = False  # for the native backend


OPTIONS = {
    "compression": Option("", "Compress layers with gzip or zstd (default: gzip)", "FORMAT", "gzip|zstd"),
    "output": Option(
        "Write the result here, such as type=oci,dest=image.tar (repeatable)",
        *("Write an OCI layout to this directory", "oci:DIR", "oci:.+"),
    ),
    "sbom": Option(
        "Add an SBOM attestation, such as true or generator=IMAGE",
        *("Attach an SBOM: cyclonedx, spdx, or none (default: cyclonedx)", "FORMAT", "|".join((*SBOM_TYPES, NO_SBOM))),
    ),
    "apt": Option(
        *("", "Install this Debian package above the base, in the version of debian.lock.json", "NAME[=VERSION]"),
        *(r"[a-z0-9][a-z0-9+.-]+(=([0-9]+:)?[0-9A-Za-z][0-9A-Za-z.+~*-]*)?", True),
    ),
    "file": Option("", "Add this file or directory at an absolute path", "SOURCE=PATH", ".+", True),
    "replace": Option("", "Let --file replace this file of the base", "PATH", "/.+", True),
    "writable": Option(
        "", "Let the program write to this directory, which is new or has its files", "PATH", "/.+", True
    ),
    "env": Option("", "Set a variable of the image", "NAME=VALUE", "[A-Za-z_][A-Za-z0-9_]*=[^\0]*", True),
    "bytecode-python": Option("", "Compile bytecode with this Python of the base's version", "PATH", ".+"),
    "no-bytecode": Option("", "Don't add bytecode, so the image is smaller and starts slower", "", ""),
    "size-limit": Option("", "Fail if the layers are larger", "MEGABYTES", "[1-9][0-9]{0,8}"),
    "exclude": Option("", "Exclude these files of a package", "PACKAGE:PATTERN", "[^:]+:.*", True),
    "gpu": Option("", "Check that packages have code for this GPU, such as H100 or 9.0", "GPU", ".+", True),
    "ignore-library": Option("", "Ignore this missing library or program in checks", "NAME", ".+", True),
    "label": Option(
        "Set a label of the image, as KEY=VALUE (repeatable)", "Set a label of the image", "KEY=VALUE", "[^=]+=.*", True
    ),
    "platform": Option(
        "Set the target platform, such as linux/arm64",
        *("Build for this platform, such as linux/arm64 (default: this machine's)", "OS/ARCHITECTURE", _TARGETS, True),
    ),
    "start": Option(
        *(
            "",
            "Before the delivery, start the image without a network until this path answers or, if it is '', until a "
            "TCP port is open or the command ends",
            "/PATH",
            "(/[!-~]*)?",
        ),
    ),
    "start-env": Option("", "Set a variable for --start only", "NAME=VALUE", "[A-Za-z_][A-Za-z0-9_]*=[^\0]*", True),
    "start-timeout": Option("", "Wait this long for --start (default: 120)", "SECONDS", "[1-9][0-9]{0,4}"),
    "explain": Option(
        "", "Compare the image with the image that its tag has in the registry, and deliver only on request", "", ""
    ),
    "load": Option(
        "Load the image into the local image store",
        *("Load the image into docker, podman, or nerdctl (default)", "", ".*"),
    ),
    "push": Option("Push the image to the registry in its name", "Push the image to the registry in its name", "", ""),
    "cache-from": Option(
        "Import the build cache from this source (repeatable)",
        *("Use layers of packages that this repository contains", "HOST/NAME", _REPOSITORY, True),
    ),
    "cache-to": Option(
        "Export the build cache to this destination (repeatable)",
        *("Add the layers of packages to this repository", "HOST/NAME", _REPOSITORY, True),
    ),
    "cache-key": Option("", "Use only layers that --cache-to added with the key of this public key", "KEY", ".+"),
    "soci": Option("", "Add a SOCI index for lazy pulling", "", ""),
    "base": Option(value="IMAGE or oci:DIR", pattern=".+"),
    "hugging-face": Option(
        *("", "Add this model to a project, or set the origin of MODEL of a Bento", "[MODEL=]ORGANIZATION/NAME@COMMIT"),
        *(r"([^=]+=)?[\w.-]+/[\w.-]+@[0-9a-f]{40}", True),
    ),
    "ignore-requirement": Option("", "Ignore this system requirement of a Bento", "NAME", ".+", True),
    "insecure": Option(value="HOST[:PORT]", pattern=".+", is_repeatable=True),
    "progress": Option(pattern=".*"),
    "quiet": Option("Suppress the builder's output", value="", pattern=""),
    **dict.fromkeys(("enable-features", "run-as-root"), Option()),
    "secret": Option("Expose a secret to the build, such as id=NAME (repeatable)"),
}
NATIVE_OPTIONS = [name for name, option in OPTIONS.items() if option.image and not option.builder]
NATIVE_OPTIONS += ["base", "insecure"]
"""The options that only the native backend supports."""


def read_options(
    options: Options, names: Sequence[str], signing: Signing | None = None, *, is_delivered: bool = True
) -> Settings:
    """Return the values of each option of the native backend, including defaults.

    The value of `load` is the container engine, which loads the image without another destination and explanation.
    Raises BentoError for an invalid or unsupported option. Messages begin with the option.
    """
    machine = os.uname().machine
    settings = {"compression": ["gzip"], "platform": [f"linux/{ARCHITECTURES.get(machine, machine)}"]}
    settings |= {"sbom": [next(iter(SBOM_TYPES))]}
    settings |= {name: [""] if value is True else [*value] for name, value in sorted(options.items()) if value}
    for name, values in settings.items():
        known, option = OPTIONS.get(name, Option()), f"--{name}"
        if known.pattern is None:
            raise BentoError(f"the option {name} isn't supported by the native backend", remedy=BUILDER_REMEDY)
        for text in values:
            if not re.fullmatch(known.pattern, text, re.DOTALL):
                expected = " or ".join(known.pattern.split("|")) if "|" in known.pattern else known.value
                raise BentoError(f"{option}: expected {expected or 'no value'}, got {text!r}.")
        if len(values) > 1 and not known.is_repeatable:
            raise BentoError(f"{option}: expected one value, got {len(values)}. Specify {option} only once.")
    for path in (Path(text.removeprefix(LAYOUT)) for text in settings.get("output", ())):
        if path.exists() and not path.is_dir():
            raise BentoError(f"--output: {path} isn't a directory. Specify a new or empty directory, as {LAYOUT}DIR.")
    for name in names:
        Reference.parse(name)
        for option in sorted(settings.keys() & {"explain", "push"}):
            if not has_registry(name):
                raise BentoError(f"--{option}: the image name {name} has no registry. Use -t HOST/REPOSITORY:TAG.")
    if (is_delivered and not settings.keys() & {"explain", "output", "push"}) or "load" in settings:
        settings["load"] = [find_loader()]
    if settings.get("load") == [""]:
        raise BentoError(
            f"no running container engine found. Install or start {' or '.join(LOADERS)}, push the image with --push, "
            f"or write an OCI layout with --output {LAYOUT}DIR."
        )
    if "load" in settings and len(settings["platform"]) > 1:
        raise BentoError("--load: a container engine runs one platform. Specify --platform once, or use --push.")
    _check_start(settings, machine)
    if signing and "cache-from" in settings and "cache-key" not in settings:
        from rules_bento.images.signing.keys import PrivateKey

        if isinstance(signing, PrivateKey):  # no option selects layers that an identity signed
            problem = "the key would sign layers of --cache-from that no key verified"
            raise BentoError(problem, place="--sign-key", remedy="Add --cache-key, or remove --cache-from.")
    return settings


def _check_start(settings: Settings, machine: str) -> None:
    """Raise BentoError if this machine can't start the image, or if an option lacks `start`."""
    own = f"linux/{ARCHITECTURES.get(machine, machine)}"
    if "start" not in settings:
        for option in sorted(settings.keys() & {"start-env", "start-timeout"}):
            raise BentoError(f"--{option} requires --start. Add --start, or remove --{option}.")
    elif sys.platform != "linux" or settings["platform"] != [own]:
        problem = f"this machine ({sys.platform} {machine}) can't start an image for {', '.join(settings['platform'])}"
        remedy = "Build for the --platform of a Linux machine on that machine, or remove --start."
        raise BentoError(problem, place="--start", remedy=remedy)
