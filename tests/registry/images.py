"""Creates small images, indexes, and their parts for tests. A seed determines the bytes."""

import json
import os
import random
import struct
import subprocess
import sys
from pathlib import Path

from rules_bento.base.archives import archive
from rules_bento.base.archives.recipe import MAGIC
from rules_bento.base.archives.tarstream import Member
from rules_bento.bentos.models.model import ModelDescription
from rules_bento.images.artifacts.artifact import ModelPart, Part
from rules_bento.images.registry import descriptor as oci
from rules_bento.images.registry.blob_sources import FileSource, Pushable
from rules_bento.images.registry.descriptor import Descriptor, Manifest

MAIN = Path("py/main.py").absolute()
BENTO_YAML = """\
service: service:Iris
name: iris
version: v1
creation_time: '2026-01-01T00:00:00+00:00'
labels: {team: botany}
"""


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


def make_part(path, members: dict[str, bytes]):
    archive.write_part(path, [Member.inline(name, content) for name, content in members.items()])
    return Part.from_file(path)


def make_model(directory, tag: str, content: bytes, created: str = "2026-01-01") -> ModelPart:
    name = tag.replace(":", "/")
    part = make_part(directory / f"{tag.replace(':', '-')}.part", {f"models/{name}/model.bin": content})
    return ModelDescription(tag, "sklearn", created, "0" * 64, len(content)), part


def make_bento(directory, source: bytes = b"print()", version: str = "v1"):
    directory.mkdir(parents=True, exist_ok=True)
    text = BENTO_YAML.replace("v1", version).encode()
    parts = [
        make_part(directory / "metadata.part", {"bento.yaml": text}),
        make_part(directory / "sources.part", {"src/service.py": source}),
    ]
    models = [make_model(directory, "clf:a", bytes(300_000)), make_model(directory, "clf:b", b"new", "2026-02-01")]
    return text, parts, models


def expected_archive(directory, parts, models):
    pointers = make_part(directory / "pointers", {"models/clf/latest": b"b"})
    archive.join(
        directory / "expected.bento", [part.source.path for part in [*parts, *(part for _, part in models), pointers]]
    )
    return (directory / "expected.bento").read_bytes()


def pulled_archive(repository, target: str, directory):
    """The `.bento` that docs/registries.md has joined from the layers of an artifact."""
    parts = []
    for number, layer in enumerate(repository.get_manifest(target).layers()):
        parts.append(directory / f"pulled-{number}")
        parts[-1].write_bytes(repository.read_blob(layer))
    pointers = make_part(directory / "pulled-pointers", {"models/clf/latest": b"b"})
    archive.join(directory / "out.bento", [*parts, pointers.source.path])
    return (directory / "out.bento").read_bytes()


def run(
    verb: str, *arguments: object, home: Path, code: int = 0, path: str = "/usr/bin:/bin"
) -> subprocess.CompletedProcess[str]:
    packages = [word for path in sys.path if path.endswith("-packages") for word in ("--packages", path)]
    packages += [
        word
        for path in filter(None, os.environ.get("RULES_BENTO_ROOTS", "").split(":"))
        for word in ("--packages", path)
    ]
    command = [sys.executable, "-I", "-S", "-B", str(MAIN), *packages, verb, *map(str, arguments)]
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, env={"HOME": str(home), "PATH": path}, timeout=600
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done


def image_contents(directory: Path, image, below: str = "") -> dict:
    (directory / f"{below}manifest.json").write_bytes(image.root.content)
    blobs = []
    for number, layer in enumerate(image.root.layers()):
        description = directory / f"{below}{number}.layer.json"
        fields = {"media_type": layer.media_type, "digest": layer.digest, "size": layer.size, "diff_id": ""}
        description.write_text(json.dumps(fields | {"name": f"{number}"}))
        blobs.append({"path": layer.digest[7:], "description": f"{below}{description.name}"})
    return {"manifest": f"{below}manifest.json", "config": image.root.config.digest[7:], "blobs": blobs}
