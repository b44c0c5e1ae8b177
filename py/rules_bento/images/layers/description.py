"""Writes layer descriptions: small JSON files that are read instead of the layers when an image is assembled."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from rules_bento.typing_lite import TYPE_CHECKING, Iterable

if TYPE_CHECKING:
    from rules_bento.archives.tarstream import Member
    from rules_bento.arguments import Arguments
    from rules_bento.images.layers import layer
    from rules_bento.images.layers.layer import Compression
    from rules_bento.images.wheels.install import InstallLayout
    from rules_bento.images.wheels.libraries import Watched
    from rules_bento.images.wheels.wheel import Wheel
    from rules_bento.sources.manifest import TreeEntry


# Flags of each subcommand that writes a layer.
FLAGS = {
    "--compression": 1,  # zstd, gzip, or none
    "--description": 1,
    "--output": 1,
}

# Flags of each subcommand that installs wheels.
ENVIRONMENT = {
    "--prefix": 1,  # of the environment, in the image
    "--python-version": 1,  # X.Y
    "--user": 1,  # uid or uid:gid
}


# The extended attribute with a layer's SHA-256, 32 bytes. If Bazel is configured to use it, Bazel doesn't read the
# layer to compute the digest (docs/ci.md).
DIGEST_ATTRIBUTE = "user.rules_bento.sha256"


def output(arguments: Arguments) -> tuple[Path, Compression]:
    """Return the path and compression of the layer that an action writes."""
    compression: Compression = arguments.required("--compression")  # type: ignore[assignment]
    return Path(arguments.required("--output")), compression


def write_files(arguments: Arguments, members: Iterable[Member], name: str) -> None:
    """Write a layer with `members`, and its description. Raises BentoError for an invalid path in the layer."""
    from rules_bento.images.layers.layer import write_files_layer

    out, compression = output(arguments)
    describe(arguments, write_files_layer(out, members, compression), name)


def describe(
    arguments: Arguments,
    info: layer.LayerInfo,
    name: str,
    compression: Compression | None = None,
    *,
    is_recipe: bool = False,
) -> None:
    """Write the description of a layer.

    On Linux file systems with extended attributes, also stores the layer's digest in an extended attribute of the
    output file, unless `is_recipe` is true.
    """
    text = dumps(info, name, compression or output(arguments)[1])
    Path(arguments.required("--description")).write_text(text, "utf-8")
    if sys.platform == "linux" and not is_recipe:
        from contextlib import suppress

        with suppress(OSError):  # not all file systems have such attributes
            os.setxattr(arguments.required("--output"), DIGEST_ATTRIBUTE, bytes.fromhex(info.digest.rpartition(":")[2]))


def dumps(info: layer.LayerInfo, name: str, compression: Compression) -> str:
    """Return the description of a layer as JSON, which `Layer.loads` parses."""
    from rules_bento.images.layers import layer

    fields = {
        "media_type": layer.MEDIA_TYPES[compression],
        "digest": info.digest,
        "size": info.size,
        "diff_id": info.diff_id,
        "uncompressed_size": info.uncompressed_size,
        "name": name,
    }
    return json.dumps(fields, indent=1) + "\n"


def environment(arguments: Arguments) -> InstallLayout:
    """Return the layout of the virtual environment that the flags specify."""
    from rules_bento.images.wheels.install import InstallLayout

    minor = int(arguments.required("--python-version").split(".")[1])
    whose = owner(arguments.required("--user"))
    return InstallLayout.venv(arguments.required("--prefix"), minor, uid=whose["uid"], gid=whose["gid"])


def owner(user: str) -> dict[str, int]:
    """Parse `uid` or `uid:gid` into a dict with both IDs. The default gid is the uid."""
    uid, _, gid = user.partition(":")
    return {"uid": int(uid), "gid": int(gid or uid)}


def home_directory(bento: str, whose: dict[str, int]) -> Member:
    """Return the tar member for the home directory, the parent of `bento`. `whose` contains the owner's IDs."""
    from rules_bento.archives.tarstream import Member

    return Member.directory(bento.rpartition("/")[0] or bento, **whose)


def place(directory: str, file: TreeEntry) -> str:
    """Return the path of a weights file in the image, in the form `<directory>/<digest>/<file name>`."""
    return f"{directory.strip('/')}/{file.blake3}/{file.path.rpartition('/')[2]}"


WHEEL_FLAGS = {
    "--exclude": 1,  # pattern of excluded files
    "--exclude-option": 1,  # option of a command that specifies `--exclude`, for messages
    "--exclude-preset": 1,  # pattern of files that a preset excludes
    "--locked": 1,  # the SHA-256 of the wheel in a lock
    "--allow-record-mismatch": 0,  # accept a wrong RECORD
    "--wheel": 1,
}


def read_wheel(arguments: Arguments) -> Wheel:
    """Return the wheel that the flags specify, without its excluded files."""
    return without_excluded(arguments, read_unfiltered(arguments))


def read_unfiltered(arguments: Arguments) -> Wheel:
    """Return the complete wheel that the flags specify. Raises BentoError for an invalid wheel."""
    from rules_bento.images.wheels.wheel import Locked, Wheel

    locked = Locked(arguments.optional("--locked"), allow_record_mismatch=arguments.has("--allow-record-mismatch"))
    return Wheel.read(Path(arguments.required("--wheel")), locked)


def without_excluded(arguments: Arguments, wheel: Wheel) -> Wheel:
    """Return `wheel` without the files that the flags exclude. Raises the same errors as `exclude.without`."""
    own, preset = arguments.json_strings("--exclude"), arguments.json_strings("--exclude-preset")
    if not own and not preset:
        return wheel
    from rules_bento.images.wheels.exclude import Exclude, without

    return without(wheel, Exclude(own, preset, arguments.optional("--exclude-option")))


def library_scanner(arguments: Arguments, wheel: Wheel) -> Watched | None:
    """Return a scanner that finds libraries while a wheel is installed, or None if `--libraries` isn't set."""
    if not arguments.optional("--libraries"):
        return None
    from rules_bento.images.wheels.libraries import Watched

    return Watched(wheel)
