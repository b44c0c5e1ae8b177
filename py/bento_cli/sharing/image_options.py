"""The options of `bento containerize` and `bento image`: their help, and the values that the native backend accepts.

`read_options` alone splits strings of the user into the parts of values. A table has these parts. All other modules get
values.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from rules_bento.base.dataclasses_lite import NamedTuple
from rules_bento.base.errors import BentoError
from rules_bento.base.formats.oci import SBOM_TYPES
from rules_bento.base.programs import LOADERS, find_loader
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Callable, Sequence
from rules_bento.bentos.packages.platforms import ARCHITECTURES
from rules_bento.images.registry.reference import Reference, has_registry

from bento_cli.sharing.backends import BUILDER_REMEDY

if TYPE_CHECKING:
    from rules_bento.images.artifacts.signatures import Signing

    from bento_cli.projects.image_table import ImageTable
    from bento_cli.sharing.backends import Options

    Settings = dict[str, list[Any]]
    """Values of options by name: strings, or the objects of their parts."""

LAYOUT = "oci:"
_TARGETS = "linux/amd64|linux/arm64"
NO_SBOM = "none"
READS_LAYERS = frozenset(("load", "output", "start"))
"""Options for which this machine needs the layers of an image."""
_REPOSITORY = "[^/@=,]*[.:][^/@=,]*/[^:@]+"  # with a registry, and without a tag
_LINE, _TEXT = r"[^\0-\x1f\x7f]+", r"[^\0]*"
_PATH = r"(?!/(?:dev|proc|sys)(?:/|\Z))(?:/(?!\.{1,2}(?:/|\Z))[^/\0-\x1f\x7f]+)+/?"  # in an image
_PATH_REMEDY = "Write an absolute path without '.' and '..' that isn't in /dev, /proc, or /sys."
_SUBJECTS = {"env": "name", "file": "path", "hugging-face": "repository", "writable": "path"}  # parts of values
_VARIABLE, _LABEL = ("[A-Za-z_][A-Za-z0-9_]*", "=", _TEXT), (r"[^=\0-\x1f\x7f]+", "=", _TEXT)
_FILE, _EXCLUDE = (r"[^\0]+", "=(?!.*=)", _PATH), (r"[^:\0-\x1f\x7f]+", ":", _LINE)
# The first separator exists only after a model.
_HUB = (r"(?:[^=\0-\x1f\x7f]+(?==))?", "(?:(?<=.)=)?", r"(?!.*\.\.)\w[\w.-]*/\w[\w.-]*", "@", "[0-9a-f]{40}")


class Pair(NamedTuple):
    """A variable, a label, or a package and a pattern of its files."""

    name: str
    value: str
    place: str  # for messages, as in the other classes: the option, or the key of a table


class AddedFile(NamedTuple):
    """A file or directory of this machine, and its path in the image."""

    source: str
    path: str
    place: str
    top: str = ""  # the root of the project if its table names the source, which is then in the project


class ImagePath(NamedTuple):
    """A path in the image."""

    path: str
    place: str


class HubModel(NamedTuple):
    """A commit of the Hugging Face Hub, and the model of a Bento whose origin it is, or ""."""

    model: str
    repository: str
    commit: str
    place: str


class Option(NamedTuple):
    """An option. Without a help text for builders, it is an option of the native backend, and of both commands."""

    builder: str = ""  # help of `bento containerize`, which passes the option to the builder
    image: str = ""  # help of `bento image`
    value: str = "VALUE"  # the value in the help of `bento image`; "": a flag
    # Of the values for the native backend. A tuple: of their parts, with a separator after each. None: not supported.
    pattern: str | tuple[str, ...] | None = None
    is_repeatable: bool = False  # for the native backend
    kind: Callable[..., Any] = Pair  # what the parts become


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
    "file": Option("", "Add this file or directory at an absolute path", "SOURCE=PATH", _FILE, True, AddedFile),
    "replace": Option("", "Let --file replace this file of the base or of the code", "PATH", (_PATH,), True, ImagePath),
    "writable": Option(
        *("", "Let the program write to this directory, which is new or has its files", "PATH"),
        *((_PATH,), True, ImagePath),
    ),
    "env": Option("", "Set a variable of the image", "NAME=VALUE", _VARIABLE, True),
    "bytecode-python": Option("", "Compile bytecode with this Python of the base's version", "PATH", ".+"),
    "no-bytecode": Option("", "Don't add bytecode, so the image is smaller and starts slower", "", ""),
    "size-limit": Option("", "Fail if the layers are larger", "MEGABYTES", "[1-9][0-9]{0,8}"),
    "exclude": Option("", "Exclude these files of a package", "PACKAGE:PATTERN", _EXCLUDE, True),
    "gpu": Option("", "Check that packages have code for this GPU, such as H100 or 9.0", "GPU", ".+", True),
    "ignore-library": Option("", "Ignore this missing library or program in checks", "NAME", ".+", True),
    "label": Option(
        "Set a label of the image, as KEY=VALUE (repeatable)", "Set a label of the image", "KEY=VALUE", _LABEL, True
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
        )
    ),
    "start-env": Option("", "Set a variable for --start only", "NAME=VALUE", _VARIABLE, True),
    "start-timeout": Option("", "Wait this long for --start (default: 120)", "SECONDS", "[1-9][0-9]{0,4}"),
    "dry-run": Option(
        "", "Print the base, command, packages, files, and layers of a project's image without building them", "", ""
    ),
    "locked": Option("", "Reject a base that is a tag, and packages without a current lock", "", ""),
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
    "base": Option(value="IMAGE or oci:DIR", pattern=_LINE),
    "hugging-face": Option(
        *("", "Add this model to a project, or set the origin of MODEL of a Bento", "[MODEL=]ORGANIZATION/NAME@COMMIT"),
        *(_HUB, True, HubModel),
    ),
    "ignore-requirement": Option("", "Ignore this system requirement of a Bento", "NAME", ".+", True),
    "insecure": Option(value="HOST[:PORT]", pattern=".+", is_repeatable=True),
    "progress": Option(pattern=".*"),
    "quiet": Option("Suppress the builder's output", value="", pattern=""),
    **dict.fromkeys(("enable-features", "run-as-root"), Option()),
    "secret": Option("Expose a secret to the build, such as id=NAME (repeatable)"),
}
NATIVE_OPTIONS = [name for name, each in OPTIONS.items() if each.image and not each.builder and name != "dry-run"]
NATIVE_OPTIONS += ["base", "insecure"]
"""The options that only the native backend supports."""


def read_options(
    options: Options,
    names: Sequence[str],
    signing: Signing | None = None,
    *,
    table: ImageTable | None = None,
    is_delivered: bool = True,
) -> Settings:
    """Return the values of each option of the native backend, including defaults and the values in a project's table.

    For one package, variable, model, or path, the user's value wins. The value of `load` is the container engine, which
    loads the image without another destination and explanation. Raises BentoError for an invalid or unsupported
    option. Messages begin with the option, or with the key of the table.
    """
    machine = os.uname().machine
    settings = {"compression": ["gzip"], "platform": [f"linux/{ARCHITECTURES.get(machine, machine)}"]}
    settings |= {"sbom": [next(iter(SBOM_TYPES))]}
    for name, value in sorted(options.items()):
        texts = [""] if value is True else [*(value or ())]
        if texts:
            settings[name] = [_read_value(name, text, f"--{name}") for text in texts]
        if len(texts) > 1 and not OPTIONS[name].is_repeatable:
            raise BentoError(f"--{name}: expected one value, got {len(texts)}. Specify --{name} only once.")
    if table:
        _add_table(settings, table)
    for path in (Path(text.removeprefix(LAYOUT)) for text in settings.get("output", ())):
        if path.exists() and not path.is_dir():
            raise BentoError(f"--output: {path} isn't a directory. Specify a new or empty directory, as {LAYOUT}DIR.")
    for name in names:
        Reference.parse(name)
        for option in sorted(settings.keys() & {"explain", "push"}):
            if not has_registry(name):
                raise BentoError(f"--{option}: the image name {name} has no registry. Use -t HOST/REPOSITORY:TAG.")
    if (is_delivered and not settings.keys() & {"dry-run", "explain", "output", "push"}) or "load" in settings:
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


def _read_value(name: str, given: str | Sequence[str], place: str) -> Any:
    """Return a value of an option, of which a table can have the parts. Raises BentoError for an invalid value."""
    known = OPTIONS.get(name, Option())
    if known.pattern is None:
        raise BentoError(f"the option {name} isn't supported by the native backend", remedy=BUILDER_REMEDY)
    groups = [f"({each})" for each in ((known.pattern,) if isinstance(known.pattern, str) else known.pattern)]
    if isinstance(given, str):
        checked = [("".join(groups), given, known.value)]
    else:
        checked = [*zip(groups[::2], given, known.value.split("="), strict=True)]
    parts: list[str] = []
    for pattern, text, form in checked:
        match = re.fullmatch(pattern, text, re.DOTALL | re.ASCII)
        if not match:
            choices = known.pattern.split("|") if isinstance(known.pattern, str) and "|" in known.pattern else [form]
            problem = f"expected {' or '.join(choices) or 'no value'}, got {text!r}."
            raise BentoError(problem, place=place, remedy=_PATH_REMEDY if _PATH in pattern else "")
        parts += match.groups()[::2]
    return given if isinstance(known.pattern, str) else known.kind(*parts, place=place)


def _add_table(settings: Settings, table: ImageTable) -> None:
    """Add the values of a table, except for subjects of which the user has a value."""
    for name, given in table.options.items():
        own = [_read_value(name, each, table.place(name)) for each in given]
        own = [each._replace(top=table.root) for each in own] if name == "file" else own
        chosen = settings.get(name, [])
        named = {_subject(name, each) for each in chosen}
        if not chosen or OPTIONS[name].is_repeatable:
            settings[name] = [*(each for each in own if _subject(name, each) not in named), *chosen]


def _subject(name: str, value: Any) -> str:
    """Return the package, variable, model, or path of the image that a value is about."""
    return str(getattr(value, _SUBJECTS[name]) if name in _SUBJECTS else value.partition("=")[0])


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
