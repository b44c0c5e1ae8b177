"""Measures how containerd and SOCI pull an image with several layers, and the same files as one layer.

    python bench/pull.py [--forms layers gzip zstd stored] [--runs N] [--soci] [--directory DIRECTORY] LAYOUT

LAYOUT is an OCI layout with one image, such as `bento image --output oci:LAYOUT` writes. "layers" is this
image. The other forms have all of its files in one layer: compressed with `gzip -6` or `zstd -3`, or stored in gzip, as
the rules store weights. containerd pulls each form from a registry on this machine. "pull" is the time (median) with 1
and 2 unpackers, and "cpu" are user and system seconds of containerd with 1. "SOCI" is the time with 2 unpackers of the
parallel mode of soci-snapshotter. "unpack" is the time with 1 unpacker and fetched layers. For 4 and 8, it is computed
from the time of each layer, for as many free cores.

Requires Linux, root, docker-registry, containerd and ctr 2.2 or later, and for `--soci` soci-snapshotter-grpc on PATH.
DIRECTORY needs space for the fetched and the unpacked layers, and the parent directory of LAYOUT for a form. All data
is removed.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import heapq
import json
import os
import re
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
import zlib
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import zstandard
from lazy import REGISTRY, registry, run, started, unmount

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "py")]

from rules_bento.base.formats.oci import digest_of  # noqa: E402
from rules_bento.images.registry.descriptor import MANIFEST, Manifest  # noqa: E402
from rules_bento.images.registry.layout import Layout  # noqa: E402

FORMS = ("layers", "gzip", "zstd", "stored")
UNITS = {"": 1.0, "m": 1e-3, "µ": 1e-6, "n": 1e-9}
PARTS = {"h": 3600, "m": 60, "s": 1}
SETTINGS = """version = 3
disabled_plugins = ["io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime", "io.containerd.grpc.v1.cri"]
root = "{0}/root"
state = "{0}/state"
[grpc]
address = "{0}/socket"
[ttrpc]
address = "{0}/ttrpc"
[debug]
level = "debug"
[proxy_plugins.soci]
type = "snapshot"
address = "{0}/soci.sock"
[proxy_plugins.soci.exports]
enable_remote_snapshot_annotations = "true"
[plugins."io.containerd.transfer.v1.local"]
max_concurrent_unpacks = {1}
[[plugins."io.containerd.transfer.v1.local".unpack_config]]
platform = "{2}"
snapshotter = "{3}"
"""
SOCI_SETTINGS = """[content_store]
type = "containerd"
containerd_address = "{0}/socket"
[pull_modes.parallel_pull_unpack]
enable = true
max_concurrent_unpacks_per_image = {1}
"""


class Pull(NamedTuple):
    """Holds the measurements of a pull."""

    seconds: float
    cpu: float
    layers: list[float]  # seconds of unpacking each layer, if the layers were fetched before


class Packer:
    """A file for a tar, which is written as a gzip or zstd layer."""

    def __init__(self, path: Path, form: str) -> None:
        self.file, self.size, self.raw, self.packed = path.open("wb"), 0, hashlib.sha256(), hashlib.sha256()
        self.packer: Any = (
            zstandard.ZstdCompressor(3).compressobj()
            if form == "zstd"
            else zlib.compressobj(6 if form == "gzip" else 0, wbits=31)
        )

    def write(self, data: bytes) -> int:
        """Add bytes of the tar."""
        self.raw.update(data)
        self._write(self.packer.compress(data))
        return len(data)

    def close(self) -> None:
        """Write the end of the layer."""
        self._write(self.packer.flush())
        self.file.close()

    def _write(self, data: bytes) -> None:
        self.packed.update(data)
        self.size += self.file.write(data)


def one_layer(layout: Layout, directory: Path, form: str) -> Layout:
    """Write a layout whose image has all files of another image in one layer: `gzip`, `zstd`, or `stored`."""
    image = layout.find()
    config = json.loads(layout.blob(image.config.digest).read_bytes())
    made = Layout.create(directory / "layout")
    packer = Packer(directory / "layer", form)
    with tarfile.open(fileobj=packer, mode="w|", format=tarfile.PAX_FORMAT, bufsize=1 << 20) as joined:
        for layer in image.layers():
            path, is_zstd = layout.blob(layer.digest), layer.media_type.endswith("zstd")
            with path.open("rb") as packed, ExitStack() as stack:
                data = (
                    zstandard.ZstdDecompressor().stream_reader(packed, read_across_frames=True) if is_zstd else packed
                )
                if layer.media_type.endswith("gzip"):
                    data = stack.enter_context(gzip.GzipFile(fileobj=packed))
                tar = stack.enter_context(tarfile.open(fileobj=data, mode="r|", bufsize=1 << 20))
                for member in tar:
                    joined.addfile(member, tar.extractfile(member) if member.isreg() else None)
    packer.close()
    config |= {"rootfs": {"type": "layers", "diff_ids": [f"sha256:{packer.raw.hexdigest()}"]}, "history": []}
    content, layer_digest = json.dumps(config).encode(), f"sha256:{packer.packed.hexdigest()}"
    made.add(content)
    (directory / "layer").rename(made.blob(layer_digest))
    descriptors = [
        {"mediaType": f"application/vnd.oci.image.{kind}", "digest": digest, "size": size}
        for kind, digest, size in (
            ("config.v1+json", digest_of(content), len(content)),
            (f"layer.v1.tar+{'zstd' if form == 'zstd' else 'gzip'}", layer_digest, packer.size),
        )
    ]
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": descriptors[0], "layers": descriptors[1:]}
    made.add_manifest(Manifest.read(json.dumps(manifest).encode(), MANIFEST, "the image"))
    return made


def store(layout: Layout, storage: Path) -> None:
    """Write the storage of a registry that has a layout's image as bench:v1, without copies of blobs."""
    image = layout.find()
    root, digest = storage / "docker/registry/v2", image.descriptor.digest
    links = {"_manifests/tags/v1/current": digest, f"_manifests/revisions/{digest.replace(':', '/')}": digest}
    for blob in (image.config, *image.layers()):
        links[f"_layers/{blob.digest.replace(':', '/')}"] = blob.digest
    for name, target in links.items():
        (root / "repositories/bench" / name).mkdir(parents=True)
        (root / "repositories/bench" / name / "link").write_text(target)
        place = root / "blobs/sha256" / target[7:9] / target[7:]
        place.mkdir(parents=True, exist_ok=True)
        if not (place / "data").is_symlink():
            (place / "data").symlink_to(layout.blob(target).resolve())


def seconds_of(text: str) -> float:
    """Return the seconds of a duration that Go prints, such as 1m2.5s or 120.3ms."""
    total = 0.0
    for number, unit in re.findall(r"([0-9.]+)(h|ms|m|µs|ns|s)", text):
        total += float(number) * (PARTS[unit] if unit in PARTS else UNITS[unit[0]])
    return total


def pull(unpackers: int, options: argparse.Namespace, *, fetched: bool = False, with_soci: bool = False) -> Pull:
    """Pull the image with an empty containerd. If `fetched`, fetches the layers before the measurement."""
    snapshotter = "soci" if with_soci else "overlayfs"
    with tempfile.TemporaryDirectory(prefix="pull-", dir=options.directory) as held, ExitStack() as stack:
        directory = Path(held)
        stack.callback(unmount, directory)
        settings = SETTINGS.format(directory, unpackers, options.platform, snapshotter)
        (directory / "config.toml").write_text(settings)
        log = directory / "log"
        processes = [stack.enter_context(started(["containerd", "-c", str(directory / "config.toml")], log))]
        os.environ["CONTAINERD_ADDRESS"] = str(directory / "socket")
        while subprocess.run(["ctr", "version"], capture_output=True).returncode:
            if processes[0].poll() is not None:
                raise SystemExit(log.read_text())
            time.sleep(0.05)
        if with_soci:
            (directory / "soci.toml").write_text(SOCI_SETTINGS.format(directory, unpackers))
            places = ["--address", str(directory / "soci.sock"), "--root", str(directory / "soci")]
            command = ["soci-snapshotter-grpc", *places, "--config", str(directory / "soci.toml")]
            processes.append(stack.enter_context(started(command, directory / "soci.log")))
            while not (directory / "soci.sock").exists():
                if processes[1].poll() is not None:
                    raise SystemExit((directory / "soci.log").read_text())
                time.sleep(0.05)
        words = ["--plain-http", "--platform", options.platform, f"{REGISTRY}/bench:v1"]
        if fetched:
            run(["ctr", "content", "fetch", *words])
        before, began = sum(map(cpu_of, processes)), time.monotonic()
        run(["ctr", "images", "pull", "--snapshotter", snapshotter, *words])
        seconds, cpu = time.monotonic() - began, sum(map(cpu_of, processes)) - before
        found = re.findall(r'msg="layer unpacked" duration="?([0-9.hmsµn]+)', log.read_text())
        return Pull(seconds, cpu, [seconds_of(each) for each in found])


def cpu_of(process: subprocess.Popen[bytes]) -> float:
    """Return the user and system seconds of a process and its ended children."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def scheduled(layers: list[float], unpackers: int) -> float:
    """Return the time until all layers are unpacked."""
    free = [0.0] * unpackers
    for layer in layers:
        heapq.heapreplace(free, free[0] + layer)
    return max(free)


def measure(form: str, options: argparse.Namespace) -> None:
    """Measure pulls of a form of the image, and print a row."""
    with tempfile.TemporaryDirectory(prefix="pull-", dir=options.layout.parent) as held:
        directory, layout = Path(held), Layout.open(options.layout)
        if form != "layers":
            layout = one_layer(layout, directory, form)
        store(layout, directory / "storage")
        sizes = [layer.size / 1e6 for layer in layout.find().layers()]
        with registry(directory / "storage", directory):
            one, two = ([pull(count, options) for _ in range(options.runs)] for count in (1, 2))
            soci = [pull(2, options, with_soci=True) for _ in range(options.runs * options.soci)]
            layers = pull(1, options, fetched=True).layers
    cells = [statistics.median(each.cpu for each in one)]
    cells += [statistics.median(each.seconds for each in pulls) for pulls in (one, two, soci) if pulls]
    cells += [scheduled(layers, count) for count in (1, 4, 8)]
    values = [f"{each:.1f}" for each in cells]
    if not soci:
        values.insert(3, "")
    print(f"| {form} | {len(layers)} | {sum(sizes):.0f} | {max(sizes):.0f} | {' | '.join(values)} |", flush=True)


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--directory", type=Path, help="Store pulled data in this directory")
    parser.add_argument("--platform", default="linux/amd64")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--forms", nargs="+", choices=FORMS, default=FORMS)
    parser.add_argument("--soci", action="store_true", help="Pull also with soci-snapshotter's parallel mode")
    parser.add_argument("layout", type=Path)
    options = parser.parse_args()
    print(
        "| form | layers | MB | largest | cpu, s | pull, 1 | pull, 2 | SOCI, 2 | unpack, 1 | 4 computed | 8 computed |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for form in options.forms:
        measure(form, options)


if __name__ == "__main__":
    main()
