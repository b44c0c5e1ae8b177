"""Creates small images, indexes, and their parts for tests. A seed determines the bytes."""

import json
import random
import struct
from pathlib import Path

from rules_bento.base.archives.recipe import MAGIC
from rules_bento.images.registry import descriptor as oci
from rules_bento.images.registry.blob_sources import FileSource, Pushable
from rules_bento.images.registry.descriptor import Descriptor, Manifest


def make_image(
    directory: Path,
    sizes=(300_000, 70_000, 1_000),
    seed: int = 0,
    *,
    extra: dict | None = None,
    architecture: str = "amd64",
) -> Pushable:
    """Return an image with layers of these sizes. The files are in `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    chance = random.Random(seed)
    layers = [_file(directory, chance.randbytes(size)) for size in sizes]
    diff_ids = [digest for digest, _ in layers]
    config = json.dumps(
        {"architecture": architecture, "os": "linux", "rootfs": {"type": "layers", "diff_ids": diff_ids}}
    )
    config_digest, config_path = _file(directory, config.encode())
    document = {
        "schemaVersion": 2,
        "mediaType": oci.MANIFEST,
        "config": Descriptor.from_content(config.encode(), oci.CONFIG).to_json(),
        "layers": [Descriptor(oci.TAR_LAYER, digest, path.stat().st_size).to_json() for digest, path in layers],
        **(extra or {}),
    }
    sources = {digest: FileSource(path) for digest, path in [*layers, (config_digest, config_path)]}
    return Pushable(Manifest.read(oci.to_bytes(document), oci.MANIFEST, "test"), (), sources)


def make_index(directory: Path) -> Pushable:
    """Return an index of images for two platforms. The images share a layer."""
    images = {"amd64": make_image(directory, seed=1), "arm64": make_image(directory, (300_000, 9), seed=1)}
    entries = [
        {**image.root.descriptor.to_json(), "platform": {"architecture": name, "os": "linux"}}
        for name, image in images.items()
    ]
    document = {"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": entries}
    sources = {digest: source for image in images.values() for digest, source in image.sources.items()}
    return Pushable(
        Manifest.read(oci.to_bytes(document), oci.INDEX, "test"), [image.root for image in images.values()], sources
    )


def _file(directory: Path, content: bytes) -> tuple[str, Path]:
    digest = oci.digest_of(content)
    path = directory / digest.partition(":")[2]
    path.write_bytes(content)
    return digest, path


def make_recipe(directory: Path, blob: dict) -> None:
    """Replace the file of a blob in a push description by a recipe, and a wheel that has the middle of the blob."""
    layer = (directory / blob.pop("path")).read_bytes()
    blob |= {"recipe": "layer.recipe", "wheel": "a.whl"}
    (directory / "a.whl").write_bytes(b"before" + layer[10:-10])
    segments = ((layer[:10], 6, len(layer) - 20), (layer[-10:], 0, 0))
    packed = [struct.pack("<IQQ", len(literal), *where) + literal for literal, *where in segments]
    (directory / "layer.recipe").write_bytes(b"".join((MAGIC, *packed)))
