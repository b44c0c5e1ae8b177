"""Subcommand that writes layers for Python programs."""

from __future__ import annotations

from pathlib import Path

from rules_bento.actions import secret_scan
from rules_bento.arguments import LayerRequest, Strings, Triples
from rules_bento.errors import BentoError
from rules_bento.images.layers import description
from rules_bento.images.layers.members import program_members
from rules_bento.typing_lite import TYPE_CHECKING

if TYPE_CHECKING:
    from rules_bento.sources.manifest import TreeManifest

_MAX_FILE = 16 << 30


class _ProgramLayerRequest(LayerRequest, secret_scan.SecretsRequest):
    dependency: Triples  # path to read, Bazel short path, label
    digest: Path  # output
    directory: str  # of the program, in the image
    ignore_library: Strings  # file name of a library
    name: str
    platform: str = ""
    tag: Path  # output


def program_layer(request: _ProgramLayerRequest) -> None:
    """Write the layer of a program's own files, the digest of the files, and the program's tag.

    The tag's version is derived from the digest. As in runfiles, paths begin with a repository's name, or with `_main`.
    """
    from rules_bento.audit.secrets import MAX_BYTES
    from rules_bento.sources import snapshot
    from rules_bento.sources.manifest import content_version
    from rules_bento.tag import Tag, similar_word

    declared = [
        snapshot.DeclaredFile(snapshot.runfiles_path(short_path), source, f"binary {label}", filtered=False)
        for source, short_path, label in request.dependency
    ]
    kept = snapshot.select(declared).kept
    snapshot.check_followed(kept)
    for file in kept:
        if Path(file.source).stat().st_size > _MAX_FILE:
            remedy = "Add the file to a tar file in layers."
            raise BentoError(f"the file exceeds the limit of {_MAX_FILE >> 30} GiB", place=file.path, remedy=remedy)
    manifest, members = program_members(kept, request.directory)
    if request.scan_secrets:
        contents = snapshot.read_prefixes(kept, MAX_BYTES)
        # No other action has files of the target, so this one rejects unknown allowed paths.
        secret_scan.check_contents(request, ((path.removeprefix("src/"), data) for path, data in contents), ())
    _check_architectures(request, manifest)
    description.write_files(request, members, "program")
    identity = manifest.identity()
    tag = Tag(similar_word(request.name) or "program", content_version(identity))
    request.digest.write_text(f"blake3:{identity.hex()}\n", "utf-8")
    request.tag.write_text(f"{tag}\n", "utf-8")


def _check_architectures(request: _ProgramLayerRequest, manifest: TreeManifest) -> None:
    """Raise BentoError for machine code that isn't for the image's platform."""
    files = {entry.path: entry.machine for entry in manifest.entries if entry.machine}
    if files:
        from rules_bento.sources.cpu_arch import reject_wrong_architecture

        # The wheels of the image can have the other libraries.
        names = {path.rpartition("/")[2] for path in files}
        unchecked = [name for name in request.ignore_library if name in names]
        reject_wrong_architecture(files, request.platform, unchecked)
