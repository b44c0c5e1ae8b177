"""Compares one push of many images to many repositories with a push for each image, and with crane.

    python bench/push_all.py --registry DOCKER_REGISTRY [--images N] [--shared N] [--megabytes N] [--runs N]

Each image has the shared layers and one additional layer. Pushes each image to a separate repository of a new registry:
first, again, and after a change of one image's layer. "seconds" is the elapsed time, and "cpu" the user and system time
of all started programs. "requests" and "MB" (the uploaded data) are counted by a relay in a separate run. Tools that
aren't on PATH are omitted. Each number is the best of the runs.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "bench")]

from push import MANIFEST, PACKAGES, run  # noqa: E402

from tests.registry import servers  # noqa: E402
from tests.registry.relay import Relay  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

    Commands = Callable[[list[Path], list[str]], list[list[str]]]

MAIN = [sys.executable, "-I", "-S", "-B", str(ROOT / "py/main.py"), *PACKAGES, "push"]


def write_image(directory: Path, shared: list[Path], own: bytes) -> None:
    """Write an OCI layout of an image from the files of the shared layers and the content of the additional layer."""
    blobs = directory / "blobs/sha256"
    blobs.mkdir(parents=True)

    def put(content: bytes) -> dict[str, object]:
        digest = hashlib.sha256(content).hexdigest()
        (blobs / digest).write_bytes(content)
        return {"digest": f"sha256:{digest}", "size": len(content)}

    layers = [put(own)]
    for file in shared:
        os.link(file, blobs / file.name)
        layers.append({"digest": f"sha256:{file.name}", "size": file.stat().st_size})
    rootfs = {"type": "layers", "diff_ids": [layer["digest"] for layer in layers]}
    config = put(json.dumps({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": rootfs}).encode())
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", **config},
        "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", **layer} for layer in layers],
    }
    entry = {"mediaType": MANIFEST, **put(json.dumps(document).encode())}
    (directory / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    (directory / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))


def push_all(layouts: list[Path], names: list[str]) -> list[list[str]]:
    """Return the command that pushes all images."""
    directory = layouts[0].parent
    pushes = [
        ["--layout", str(layout), "--repository", name, "--tag", "v1"]
        for layout, name in zip(layouts, names, strict=True)
    ]
    (directory / "pushes.json").write_text(json.dumps({"pushes": pushes}))
    return [[*MAIN, "--directory", str(directory), "--pushes", "pushes.json"]]


def push_each(layouts: list[Path], names: list[str]) -> list[list[str]]:
    """Return the commands that push one image each."""
    return [
        [*MAIN, "--layout", str(layout), "--repository", name, "--tag", "v1"]
        for layout, name in zip(layouts, names, strict=True)
    ]


def crane(layouts: list[Path], names: list[str]) -> list[list[str]]:
    """Return crane's commands for one image each."""
    return [
        ["crane", "push", "--insecure", str(layout), f"{name}:v1"] for layout, name in zip(layouts, names, strict=True)
    ]


def measure(binary: str, commands: Commands, rounds: list[list[Path]]) -> list[tuple[float, float, int, float]]:
    """Return seconds, CPU seconds, requests, and uploaded megabytes of each round, in two new registries."""
    times, counts = [], []
    for counted in (False, True):
        with tempfile.TemporaryDirectory() as directory, servers.serve(binary, Path(directory)) as server:
            os.environ["HOME"] = directory  # no history of earlier pushes
            for layouts in rounds:
                with Relay(server.port) as relay:
                    host = relay.host if counted else server.host
                    names = [f"{host}/bench/service{number}" for number in range(len(layouts))]
                    used = [run(command) for command in commands(layouts, names)]
                    if counted:
                        counts.append((len(relay.requests), relay.carried("up") / 1e6))
                    else:
                        times.append((sum(one.wall for one in used), sum(one.cpu for one in used)))
    return [(*time, *count) for time, count in zip(times, counts, strict=True)]


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--registry", default="docker-registry")
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--shared", type=int, default=20)
    parser.add_argument("--megabytes", type=int, default=5)
    parser.add_argument("--runs", type=int, default=1)
    options = parser.parse_args()
    tools: dict[str, Commands] = {"bento_push_all": push_all, "bento_push for each": push_each}
    if shutil.which("crane"):
        tools["crane push for each"] = crane
    with tempfile.TemporaryDirectory() as text:
        directory = Path(text)
        shared = []
        for _ in range(options.shared):
            content = os.urandom(options.megabytes << 20)
            shared.append(directory / hashlib.sha256(content).hexdigest())
            shared[-1].write_bytes(content)
        layouts = [directory / f"image{number}" for number in range(options.images)]
        for layout in layouts:
            write_image(layout, shared, os.urandom(100_000))
        changed = directory / "changed"
        write_image(changed, shared, os.urandom(100_000))
        rounds = [layouts, layouts, [changed, *layouts[1:]]]
        print(f"{'':24}{'':10}{'seconds':>9}{'cpu':>9}{'requests':>10}{'MB':>9}")
        for name, commands in tools.items():
            results = [measure(options.registry, commands, rounds) for _ in range(options.runs)]
            for label, *columns in zip(("first", "again", "change"), *results, strict=True):
                seconds, cpu, requests, sent = (min(values) for values in zip(*columns, strict=True))
                print(f"{name:24}{label:10}{seconds:9.2f}{cpu:9.2f}{requests:10}{sent:9.1f}")


if __name__ == "__main__":
    main()
