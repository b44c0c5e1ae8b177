"""Writes layer descriptions: small JSON files that are read instead of the layers when an image is assembled."""

from __future__ import annotations

import os
import sys

from rules_bento.base.subcommand_arguments import JsonStrings, LayerRequest, Request
from rules_bento.base.typing_lite import TYPE_CHECKING, Iterable

if TYPE_CHECKING:
    from pathlib import Path

    from rules_bento.base.archives.tarstream import Member
    from rules_bento.base.formats.oci import Layer
    from rules_bento.bentos.sources.tree_manifest import TreeEntry
    from rules_bento.images.wheels.install import InstallLayout
    from rules_bento.images.wheels.libraries import Watched
    from rules_bento.images.wheels.wheel import Wheel


class EnvironmentRequest(Request):
    """Arguments of each subcommand that installs wheels."""

    prefix: str  # of the environment, in the image
    python_version: str  # X.Y
    user: str  # uid or uid:gid


# The extended attribute with a layer's SHA-256, 32 bytes. If Bazel is configured to use it, Bazel doesn't read the
# layer to compute the digest (docs/ci.md).
DIGEST_ATTRIBUTE = "user.rules_bento.sha256"


def write_files(request: LayerRequest, members: Iterable[Member], name: str, *, one_member: bool = False) -> None:
    """Write a layer with `members`, and its description. Raises BentoError for an invalid path in the layer."""
    from rules_bento.images.layers.layer import write_files_layer

    describe(request, write_files_layer(request.output, members, request.compression, one_member=one_member), name)


def describe(request: LayerRequest, layer: Layer, name: str, *, is_recipe: bool = False) -> None:
    """Write the description of a layer.

    On Linux file systems with extended attributes, also stores the layer's digest in an extended attribute of the
    output file, unless `is_recipe` is true.
    """
    request.description.write_text(layer._replace(name=name).dumps(), "utf-8")
    if sys.platform == "linux" and not is_recipe:
        from contextlib import suppress

        with suppress(OSError):  # not all file systems have such attributes
            os.setxattr(request.output, DIGEST_ATTRIBUTE, bytes.fromhex(layer.digest.rpartition(":")[2]))


def environment(request: EnvironmentRequest) -> InstallLayout:
    """Return the layout of the virtual environment that the flags specify."""
    from rules_bento.images.wheels.install import InstallLayout

    minor = int(request.python_version.split(".")[1])
    whose = owner(request.user)
    return InstallLayout.venv(request.prefix, minor, uid=whose["uid"], gid=whose["gid"])


def owner(user: str) -> dict[str, int]:
    """Parse `uid` or `uid:gid` into a dict with both IDs. The default gid is the uid."""
    uid, _, gid = user.partition(":")
    return {"uid": int(uid), "gid": int(gid or uid)}


def home_directory(bento: str, whose: dict[str, int]) -> Member:
    """Return the tar member for the home directory, the parent of `bento`. `whose` contains the owner's IDs."""
    from rules_bento.base.archives.tarstream import Member

    return Member.directory(bento.rpartition("/")[0] or bento, **whose)


def place(directory: str, file: TreeEntry) -> str:
    """Return the path of a weights file in the image, in the form `<directory>/<digest>/<file name>`."""
    return f"{directory.strip('/')}/{file.blake3}/{file.path.rpartition('/')[2]}"


class WheelRequest(Request):
    """Arguments of each subcommand that reads a wheel."""

    exclude: JsonStrings  # pattern of excluded files
    exclude_option: str = ""  # option of a command that specifies `--exclude`, for messages
    exclude_preset: JsonStrings  # pattern of files that a preset excludes
    libraries: Path | None = None  # output, as wheel_libraries
    locked: str = ""  # the SHA-256 of the wheel in a lock
    allow_record_mismatch: bool = False  # accept a wrong RECORD
    wheel: Path


def read_wheel(request: WheelRequest) -> Wheel:
    """Return the wheel that the flags specify, without its excluded files."""
    return without_excluded(request, read_unfiltered(request))


def read_unfiltered(request: WheelRequest) -> Wheel:
    """Return the complete wheel that the flags specify. Raises BentoError for an invalid wheel."""
    from rules_bento.images.wheels.wheel import Locked, Wheel

    locked = Locked(request.locked, allow_record_mismatch=request.allow_record_mismatch)
    return Wheel.read(request.wheel, locked)


def without_excluded(request: WheelRequest, wheel: Wheel) -> Wheel:
    """Return `wheel` without the files that the flags exclude. Raises the same errors as `exclude.without`."""
    own, preset = request.exclude, request.exclude_preset
    if not own and not preset:
        return wheel
    from rules_bento.images.wheels.exclude import Exclude, without

    return without(wheel, Exclude(own, preset, request.exclude_option))


def library_scanner(request: WheelRequest, wheel: Wheel) -> Watched | None:
    """Return a scanner that finds libraries while a wheel is installed, or None if `--libraries` isn't set."""
    if not request.libraries:
        return None
    from rules_bento.images.wheels.libraries import Watched

    return Watched(wheel)
