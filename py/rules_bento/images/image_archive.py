"""Writes images to files: an OCI image layout (a directory), or an archive that `docker load` accepts."""

from __future__ import annotations

import json
import shutil

from rules_bento.base.archives import tarstream
from rules_bento.base.formats.oci import CONTAINERD_NAME, INDEX, LAYOUT, MANIFEST, REFERENCE, blob_path, digest_of
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Iterator, Sequence
from rules_bento.images.oci_image import OciImage, descriptor

if TYPE_CHECKING:
    from pathlib import Path


def write_layout(
    directory: Path,
    image: OciImage,
    blobs: dict[str, Path],
    reference: str,
    index: bytes = b"",
    contents: Sequence[bytes] = (),
) -> None:  # writes: output that follows links, of the caller, and digests
    """Write an OCI layout that lists one image with the name `reference`. `blobs` maps digests to layer files.

    If `index` isn't empty, the layout lists this OCI index instead of the image. The index must refer to the image.
    `contents` contains additional blobs.
    """
    (directory / "blobs" / "sha256").mkdir(parents=True)
    for content in (image.config, image.manifest, *filter(None, (index, *contents))):
        (directory / blob_path(digest_of(content))).write_bytes(content)
    for digest, path in blobs.items():
        shutil.copyfile(path, directory / blob_path(digest))
    (directory / "oci-layout").write_bytes(LAYOUT)
    (directory / "index.json").write_bytes(_index(image, reference, index))


def docker_archive(image: OciImage, blobs: dict[str, Path], reference: str) -> Iterator[bytes]:
    """Yield the bytes of a tar that `docker load` and `podman load` accept, and that is also an OCI archive."""
    layers = [layer["digest"] for layer in json.loads(image.manifest)["layers"]]
    names = [blob_path(digest) for digest in layers]
    manifest = [{"Config": blob_path(digest_of(image.config)), "RepoTags": [reference], "Layers": names}]
    members = [
        tarstream.Member.inline("oci-layout", LAYOUT),
        tarstream.Member.inline("index.json", _index(image, reference)),
        tarstream.Member.inline("manifest.json", json.dumps(manifest, separators=(",", ":")).encode()),
        *(tarstream.Member.inline(blob_path(digest_of(each)), each) for each in (image.config, image.manifest)),
        *(tarstream.Member.file(blob_path(digest), str(path)) for digest, path in sorted(blobs.items())),
    ]
    yield from tarstream.stream(members)
    yield tarstream.END


def _index(image: OciImage, reference: str, index: bytes = b"") -> bytes:
    config: dict[str, Any] = json.loads(image.config)
    entry = descriptor(INDEX, index) if index else descriptor(MANIFEST, image.manifest)
    if index:
        pass  # the index lists the platform
    elif artifact := json.loads(image.manifest).get("artifactType"):
        entry["artifactType"] = artifact
    else:
        entry["platform"] = {"architecture": config["architecture"], "os": config["os"]}
    entry["annotations"] = {REFERENCE: reference.rpartition(":")[2], CONTAINERD_NAME: reference}
    return json.dumps({"schemaVersion": 2, "manifests": [entry]}, separators=(",", ":")).encode()
