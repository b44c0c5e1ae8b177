"""Defines the Linux distributions for which BentoML has images, and their package manager commands."""

from __future__ import annotations

import shlex

from rules_bento.base.dataclasses_lite import dataclass
from rules_bento.base.typing_lite import Sequence

DEFAULT = "debian"
PYTHON_VERSIONS = ("3.9", "3.10", "3.11", "3.12", "3.13", "3.14")

_CUDA = (
    *("12.8.1", "12.8.0", "12.6.3", "12.6.2", "12.6.1", "12.6.0", "12.1.1", "12.1.0", "12.0.1", "12.0.0"),
    *("11.8.0", "11.7.1", "11.6.2", "11.4.3", "11.2.2"),
)
# The values of `docker.cuda_version`, with the full version of each: for a short one, the newest.
_SHORT = ("12", "12.8", "12.6", "12.1", "12.0", "11", "11.8", "11.7", "11.6", "11.4", "11.2")
CUDA_VERSIONS = {version: version for version in _CUDA} | {"default": _CUDA[0]}
CUDA_VERSIONS |= {short: next(full for full in _CUDA if full.startswith(f"{short}.")) for short in _SHORT}


@dataclass(frozen=True)
class Distro:
    """The images of a distribution, and the commands of its package manager."""

    name: str
    python: str  # image, with {version} (X.Y) or {digits} (XY)
    packages: tuple[str, ...]  # installed in each image
    first_command: str  # of bento.yaml: installs `packages` and updates the package lists
    further_command: str  # of bento.yaml: installs {packages}
    install: str  # of a Dockerfile: prefix of a list of packages
    caches: tuple[str, ...]  # directories to mount as caches
    ignored_rules: str  # of hadolint: rules that require pinned versions, which these distributions don't keep
    setup: str = ""  # of a Dockerfile: commands of each image after its packages
    cuda: str = ""  # image, with {version}
    old_cuda: str = ""  # the same for versions before 12.6
    cuda_python: str = ""  # packages that create virtual environments, because images of CUDA have no Python
    conda_image: str = ""

    def image(self, python_version: str) -> str:
        """Return the name of the image for a Python version (X.Y)."""
        return self.python.format(version=python_version, digits=python_version.replace(".", ""))

    def cuda_image(self, version: str) -> str:
        """Return the name of the image for a CUDA version (X.Y.Z), or "" if the distribution has no CUDA images."""
        image = self.cuda if version.startswith(("12.8", "12.6")) else self.old_cuda
        return image.format(version=version)

    def command(self, packages: Sequence[str]) -> str:
        """Return the bento.yaml command that installs `packages`. This command runs after `first_command`."""
        return self.further_command.format(packages=" ".join(shlex.quote(package) for package in packages))


_DEBIAN = ("ca-certificates", "gnupg2", "bash", "build-essential", "git")
_ALPINE = ("bash", "gcc", "libc-dev", "shadow", "musl-dev", "build-base", "linux-headers", "g++", "git")
_UBI8 = ("ca-certificates", "gcc", "gcc-c++", "make", "bash", "shadow-utils", "git")
_AMAZON = ("amazon-linux-extras", *_UBI8, "tar", "gzip")
# The default Python of amazonlinux:2 is too old for uv, so an extra is installed.
_AMAZON_PYTHON = (
    "amazon-linux-extras install -y python3.8 && ln -sf /usr/bin/python3.8 /usr/local/bin/python3"
    " && ln -sf /usr/bin/pip3.8 /usr/local/bin/pip"
)

_DISTROS = {
    "debian": Distro(
        name="debian",
        python="python:{version}-slim",
        packages=_DEBIAN,
        first_command="apt-get update && apt-get install -q -y --no-install-recommends --allow-remove-essential "
        + " ".join(_DEBIAN),
        further_command="apt-get install -q -y -o Dpkg::Options::=--force-confdef {packages}",
        install="rm -f /etc/apt/apt.conf.d/docker-clean && apt-get update"
        " && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends",
        caches=("/var/cache/apt", "/var/lib/apt"),
        ignored_rules="DL3008",
        cuda="nvidia/cuda:{version}-cudnn-runtime-ubuntu24.04",
        old_cuda="nvidia/cuda:{version}-cudnn8-runtime-ubuntu22.04",
        cuda_python="python3-venv",
        conda_image="continuumio/miniconda3:latest",
    ),
    "alpine": Distro(
        name="alpine",
        python="python:{version}-alpine",
        packages=_ALPINE,
        first_command="apk add --update " + " ".join(_ALPINE),
        further_command="apk add --update {packages}",
        install="apk add --update",
        caches=("/var/cache/apk",),
        ignored_rules="DL3018,DL3019",
        conda_image="continuumio/miniconda3:4.10.3p0-alpine",
    ),
    "ubi8": Distro(
        name="ubi8",
        python="registry.access.redhat.com/ubi8/python-{digits}:1",
        packages=_UBI8,
        first_command="yum update -y && yum install -y " + " ".join(_UBI8),
        further_command="yum install -y {packages}",
        install="yum install -y",
        caches=("/var/cache/yum", "/var/cache/dnf"),
        ignored_rules="DL3032,DL3033",
        cuda="nvidia/cuda:{version}-cudnn8-runtime-ubi8",
        old_cuda="nvidia/cuda:{version}-cudnn8-runtime-ubi8",
        cuda_python="python3.11",
    ),
    "amazonlinux": Distro(
        name="amazonlinux",
        python="amazonlinux:2",
        packages=_AMAZON,
        first_command=f"yum update -y && yum install -y {' '.join(_AMAZON)} && {_AMAZON_PYTHON}",
        further_command="yum install -y {packages}",
        install="yum install -y",
        caches=("/var/cache/yum",),
        ignored_rules="DL3032,DL3033",
        setup=_AMAZON_PYTHON,
    ),
}

NAMES = tuple(_DISTROS)


def get(name: str) -> Distro:
    """Return the distribution named `name`, which must be in `NAMES`."""
    return _DISTROS[name]
