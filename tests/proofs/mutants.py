"""Random changes of images."""

import gzip
import hashlib
import io
import json
import tarfile

import zstandard

from tests.hostile.mutations import changed_value, mutate
from tests.proofs.image_attacks import INDEX, packed
from tests.sharing.image_support import blob

_TYPE = "application/vnd.oci.image.layer.v1.tar"
_PACK = {"": bytes, "+gzip": packed, "+zstd": zstandard.compress}
_UNPACK = {
    "": bytes,
    "+gzip": gzip.decompress,
    "+zstd": lambda data: zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True).read(),
}


def change(image, random):
    """Make one random change of an image: of a layer, a compressed layer, a document, or an index that lists it."""
    kind = random.choices(("tar", "blob", "config", "manifest", "index", "sbom"), (8, 4, 3, 3, 2, 1))[0]
    at, suffix = random.randrange(1, len(image.layers)), random.choice([*_PACK])
    if kind in ("config", "sbom"):
        setattr(image, kind, changed_value(getattr(image, kind), random))
    elif kind == "manifest":
        image.on_manifest.append(lambda document: replace(document, changed_value(document, random)))
    elif kind == "index":
        image.on_layout.append(lambda directory, entry: listed(directory, entry, random))
    else:
        tar = image.unpacked(image.manifest["layers"][at]["digest"])
        if kind == "tar":
            tar = mutate("tar", [tar], random)
            image.on_tar[at] = lambda _: tar
        data = _PACK[suffix](tar)
        image.on_blob[at] = lambda _: data if kind == "tar" else mutate("binary", [data], random)
        image.manifest["layers"][at]["mediaType"] = _TYPE + suffix
    return kind


def listed(directory, entry, random):
    """Write a changed index that lists an image, and return its descriptor."""
    document = {"manifests": [entry | {"platform": {"os": "linux", "architecture": "amd64"}}]}
    document = changed_value({"schemaVersion": 2, "mediaType": INDEX} | document, random)
    return blob(directory, json.dumps(document).encode(), INDEX)


def replace(document, other):
    document.clear()
    document.update(other)


def is_same(kind, image, before, layout):
    """Whether an image has the SBOM, the fields, the settings, or the files of another."""
    if kind == "sbom":  # without serial number and time
        for each in (image, before):
            each.sbom["serialNumber"] = each.sbom["metadata"]["timestamp"] = ""
        return json.dumps(image.sbom) == json.dumps(before.sbom)
    if kind == "index":  # without annotations, and the version of the form
        [root] = json.loads((layout / "index.json").read_bytes())["manifests"]
        document = json.loads((layout / "blobs" / root["digest"].replace(":", "/")).read_bytes())
        manifests = [each | {"annotations": 0} for each in document["manifests"]]
        return len(manifests) > 0 and all(each == manifests[0] for each in manifests)
    if kind == "manifest":
        for each in (image, before):
            each.manifest["config"] = each.manifest["config"]["mediaType"]
        return image.manifest == before.manifest
    if kind == "config":  # without the names of layers
        return image.config | {"history": 0} == before.config | {"history": 0}
    found, right = files_of(image, layout), files_of(before, before.case.out)
    # Without bytecode, containers only start slower.
    return found == {path: each for path, each in right.items() if path in found or "/__pycache__" not in path}


def files_of(image, layout):
    """What tarfile extracts from the layers in turn: kinds, modes, owners, targets, other attributes, and contents."""
    found = {}
    for entry in image.manifest["layers"]:
        data = (layout / "blobs" / entry["digest"].replace(":", "/")).read_bytes()
        data = _UNPACK[entry["mediaType"].removeprefix(_TYPE)](data)
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
            for info in tar:
                content = hashlib.sha256(tar.extractfile(info).read() if info.isfile() else b"").digest()
                if not info.isdir():
                    found = {path: each for path, each in found.items() if not path.startswith(f"{info.name}/")}
                others = info.pax_headers.keys() - {"path", "linkpath"}
                found[info.name] = info.type, info.mode, info.uid, info.gid, info.linkname, content, len(others)
    return found
