"""Measures how containerd pulls an image with several layers, and the same files as one layer.

    python bench/pull.py [--directory DIRECTORY] [--platform OS/ARCHITECTURE] [--runs N] LAYOUT

LAYOUT is an OCI layout with one image, such as `bento image --output oci:LAYOUT` writes. "layers" is this
image. "one" has all of its files in one layer: compressed with `gzip -6` or `zstd -3`, or stored in gzip, as the rules
store weights. containerd pulls each image from a registry on this machine. "pull" is the time (median) with 1 and 2
unpackers, and "cpu" are user and system seconds of containerd with 1. "unpack" is the time with 1 unpacker and fetched
layers. For 4 and 8, it is computed from the time of each layer, for as many free cores.

Requires Linux, root, docker-registry, and containerd and ctr 2.2 or later on PATH. All data is removed.
"""

from __future__ import annotations

import argparse
import gzip
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
from typing import NamedTuple

import zstandard
from lazy import REGISTRY, registry, run, unmount

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "py")]

from rules_bento.formats.oci import digest_of  # noqa: E402
from rules_bento.net.transfers import Progress  # noqa: E402
from rules_bento.registry.client import Registries  # noqa: E402
from rules_bento.registry.descriptor import MANIFEST, Manifest  # noqa: E402
from rules_bento.registry.layout import Layout  # noqa: E402
from rules_bento.registry.pushing import push  # noqa: E402
from rules_bento.registry.reference import Reference  # noqa: E402

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
[plugins."io.containerd.transfer.v1.local"]
max_concurrent_unpacks = {1}
"""


class Pull(NamedTuple):
    """Holds the measurements of a pull."""

    seconds: float
    cpu: float
    layers: list[float]  # seconds of unpacking each layer, if the layers were fetched before


def one_layer(layout: Layout, directory: Path, form: str) -> Layout:
    """Write a layout whose image has all files of another image in one layer: `gzip`, `zstd`, or `stored`."""
    image = layout.find()
    config = json.loads(layout.blob(image.config.digest).read_bytes())
    directory.mkdir()
    with tarfile.open(directory / "tar", "w", format=tarfile.PAX_FORMAT) as joined:
        for layer in image.layers():
            path, is_zstd = layout.blob(layer.digest), layer.media_type.endswith("zstd")
            with path.open("rb") as packed, ExitStack() as stack:
                data = (
                    zstandard.ZstdDecompressor().stream_reader(packed, read_across_frames=True) if is_zstd else packed
                )
                if layer.media_type.endswith("gzip"):
                    data = stack.enter_context(gzip.GzipFile(fileobj=packed))
                tar = stack.enter_context(tarfile.open(fileobj=data, mode="r|"))
                for member in tar:
                    joined.addfile(member, tar.extractfile(member) if member.isreg() else None)
    content = (directory / "tar").read_bytes()
    if form == "zstd":
        blob = zstandard.ZstdCompressor(3).compress(content)
    else:
        packer = zlib.compressobj(6 if form == "gzip" else 0, wbits=31)
        blob = packer.compress(content) + packer.flush()
    made = Layout.create(directory / "layout")
    config |= {"rootfs": {"type": "layers", "diff_ids": [digest_of(content)]}, "history": []}
    fields = {}
    for name, kind, data in (
        ("config", "config.v1+json", json.dumps(config).encode()),
        ("layer", f"layer.v1.tar+{'zstd' if form == 'zstd' else 'gzip'}", blob),
    ):
        made.add(data)
        fields[name] = {"mediaType": f"application/vnd.oci.image.{kind}", "digest": digest_of(data), "size": len(data)}
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": fields["config"],
        "layers": [fields["layer"]],
    }
    made.add_manifest(Manifest.read(json.dumps(manifest).encode(), MANIFEST, "the image"))
    (directory / "tar").unlink()
    return made


def seconds_of(text: str) -> float:
    """Return the seconds of a duration that Go prints, such as 1m2.5s or 120.3ms."""
    total = 0.0
    for number, unit in re.findall(r"([0-9.]+)(h|ms|m|µs|ns|s)", text):
        total += float(number) * (PARTS[unit] if unit in PARTS else UNITS[unit[0]])
    return total


def pull(name: str, unpackers: int, options: argparse.Namespace, *, fetched: bool = False) -> Pull:
    """Pull an image with an empty containerd. If `fetched`, fetches the layers before the measurement."""
    with tempfile.TemporaryDirectory(prefix="pull-", dir=options.directory) as held, ExitStack() as stack:
        directory = Path(held)
        stack.callback(unmount, directory)
        (directory / "config.toml").write_text(SETTINGS.format(directory, unpackers))
        log = directory / "log"
        with log.open("wb") as file:
            daemon = subprocess.Popen(["containerd", "-c", str(directory / "config.toml")], stdout=file, stderr=file)
        stack.callback(daemon.wait)
        stack.callback(daemon.terminate)
        os.environ["CONTAINERD_ADDRESS"] = str(directory / "socket")
        while subprocess.run(["ctr", "version"], capture_output=True).returncode:
            if daemon.poll() is not None:
                raise SystemExit(log.read_text())
            time.sleep(0.05)
        words = ["--plain-http", "--platform", options.platform, f"{REGISTRY}/{name}"]
        if fetched:
            run(["ctr", "content", "fetch", *words])
        before, began = cpu_of(daemon.pid), time.monotonic()
        run(["ctr", "images", "pull", *words])
        seconds, cpu = time.monotonic() - began, cpu_of(daemon.pid) - before
        found = re.findall(r'msg="layer unpacked" duration="?([0-9.hmsµn]+)', log.read_text())
        return Pull(seconds, cpu, [seconds_of(each) for each in found])


def cpu_of(process: int) -> float:
    """Return the user and system seconds of a process and its ended children."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def scheduled(layers: list[float], unpackers: int) -> float:
    """Return the time until all layers are unpacked."""
    free = [0.0] * unpackers
    for layer in layers:
        heapq.heapreplace(free, free[0] + layer)
    return max(free)


def measure(name: str, layout: Layout, options: argparse.Namespace) -> None:
    """Push the image, pull it, and print a row."""
    with Progress("") as progress, Registries([REGISTRY]) as registries:
        push(layout.pushable(), [Reference.parse(f"{REGISTRY}/bench:v1")], registries, progress)
    one, two = ([pull("bench:v1", count, options) for _ in range(options.runs)] for count in (1, 2))
    layers = pull("bench:v1", 1, options, fetched=True).layers
    size = sum(layer.size for layer in layout.find().layers())
    cells = [statistics.median(each.seconds for each in pulls) for pulls in (one, two)]
    cells += [scheduled(layers, count) for count in (1, 4, 8)]
    cpu = statistics.median(each.cpu for each in one)
    times = " | ".join(f"{each:.1f}" for each in cells)
    print(f"| {name} | {len(layers)} | {size / 1e6:.0f} | {cpu:.1f} | {times} |", flush=True)


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--directory", type=Path, help="Store pulled data in this directory")
    parser.add_argument("--platform", default="linux/amd64")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("layout", type=Path)
    options = parser.parse_args()
    print("| image | layers | MB | cpu, s | pull, 1 | pull, 2 | unpack, 1 | unpack, 4 computed | unpack, 8 computed |")
    print("|---|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(dir=options.directory) as held:
        directory = Path(held)
        given = Layout.open(options.layout)
        with registry(directory / "storage", directory):
            measure("layers", given, options)
            for form in ("gzip", "zstd", "stored"):
                measure(f"one, {form}", one_layer(given, directory / form, form), options)


if __name__ == "__main__":
    main()
