"""Compares pushes to a real registry on this machine with skopeo, crane, and oras.

    python bench/push.py --registry DOCKER_REGISTRY [--layers N] [--megabytes N] [--runs N] [--jobs N,N,...]

Pushes an image with N incompressible layers of the given size three times to a new registry: first, again, and after a
change of one layer. Tools that aren't on PATH are omitted. "seconds" is the best elapsed time of the runs, from the
start of the program; "cpu" is the user and system time of the program in seconds, and "peak" its largest resident size.
The registry does the same work for all tools. "writes" are requests except HEAD and GET, and "MB" is the uploaded data
for an image with layers of one megabyte; a relay counts both in separate runs.
"""

from __future__ import annotations

import argparse
import compileall
import hashlib
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import urllib3

ROOT = Path(__file__).resolve().parents[1]
# Packages that a push imports.
PACKAGES = ("--packages", str(Path(urllib3.__file__).parents[1]))
sys.path[:0] = [str(ROOT)]

from tests.registry import servers  # noqa: E402
from tests.registry.relay import Relay  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

PIECE = 1 << 20
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


class Used(NamedTuple):
    """Holds the resources of a command: wall seconds, CPU seconds, and peak memory in MB."""

    wall: float
    cpu: float
    peak: float


def run(command: list[str]) -> Used:
    """Run a command. Exits if the command fails."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        assert process.stderr is not None
        raise SystemExit(f"{command[0]} failed: {process.stderr.read().decode()}")
    unit = 1 << 10 if sys.platform == "linux" else 1 << 20
    return Used(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / unit)


def write_layout(directory: Path, layers: int, size: int, earlier: Path | None = None) -> None:
    """Write an OCI layout of an image. With `earlier`, only the last layer, which is small, differs from `earlier`."""
    blobs = directory / "blobs/sha256"
    blobs.mkdir(parents=True)

    def put(pieces: Iterable[bytes]) -> dict[str, object]:
        # In pieces, because the memory of this process would count as the peak of its child processes.
        digest, unfinished = hashlib.sha256(), blobs / "unfinished"
        with unfinished.open("wb") as file:
            for piece in pieces:
                digest.update(piece)
                file.write(piece)
        size = unfinished.stat().st_size
        unfinished.rename(blobs / digest.hexdigest())
        return {"digest": f"sha256:{digest.hexdigest()}", "size": size}

    def noise() -> dict[str, object]:
        return put(os.urandom(min(PIECE, size - at)) for at in range(0, size, PIECE))

    if earlier:
        index = json.loads((earlier / "index.json").read_bytes())
        manifest = json.loads((earlier / "blobs/sha256" / index["manifests"][0]["digest"][7:]).read_bytes())
        found = [{"digest": layer["digest"], "size": layer["size"]} for layer in manifest["layers"][:-1]]
        for layer in found:
            os.link(earlier / "blobs/sha256" / layer["digest"][7:], blobs / layer["digest"][7:])
        found.append(put([os.urandom(100_000)]))
    else:
        found = [noise() for _ in range(layers)]
    rootfs = {"type": "layers", "diff_ids": [layer["digest"] for layer in found]}
    config = put([json.dumps({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": rootfs}).encode()])
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", **config},
        "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", **layer} for layer in found],
    }
    entry = {"mediaType": MANIFEST, **put([json.dumps(document).encode()])}
    entry["annotations"] = {"org.opencontainers.image.ref.name": "v1"}
    (directory / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    (directory / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))


def commands(package: Path, jobs: list[int]) -> dict[str, Callable[[Path, str], list[str]]]:
    """Return for each tool a function that creates the command to push a layout to a name."""
    main = [sys.executable, "-I", "-S", "-B", str(package / "main.py"), *PACKAGES, "push"]
    skopeo = ["skopeo", "--insecure-policy", "copy", "--quiet", "--preserve-digests", "--dest-tls-verify=false"]
    found: dict[str, Callable[[Path, str], list[str]]] = {
        "skopeo": lambda layout, name: [*skopeo, f"oci:{layout}:v1", f"docker://{name}:v1"],
        "crane": lambda layout, name: ["crane", "push", "--insecure", str(layout), f"{name}:v1"],
        "oras": lambda layout, name: [
            *("oras", "cp", "--no-tty", "--from-oci-layout", f"{layout}:v1"),
            *("--to-plain-http", f"{name}:v1"),
        ],
    }
    found = {tool: command for tool, command in found.items() if shutil.which(tool)}
    for count in jobs:
        flags = ["--jobs", str(count), "--tag", "v1", "--repository"]
        found[f"rules_bento, {count} at once"] = lambda layout, name, flags=flags: [  # type: ignore[misc]
            *(*main, "--layout", str(layout), *flags, name)
        ]
    return found


def measure(binary: str, command: Callable[[Path, str], list[str]], first: Path, second: Path) -> list[Used]:
    """Measure the three pushes to a new registry."""
    with tempfile.TemporaryDirectory() as directory, servers.serve(binary, Path(directory)) as server:
        name = f"{server.host}/bench/app"
        return [run(command(layout, name)) for layout in (first, first, second)]


def count(binary: str, command: Callable[[Path, str], list[str]], first: Path, second: Path) -> list[tuple[int, float]]:
    """Count the write requests and the sent megabytes of the three pushes."""
    found = []
    with tempfile.TemporaryDirectory() as directory, servers.serve(binary, Path(directory)) as server:
        for layout in (first, first, second):
            with Relay(server.port) as relay:
                run(command(layout, f"{relay.host}/bench/app"))
                writes = [line for line in relay.requests if not line.startswith(("HEAD", "GET"))]
                found.append((len(writes), relay.carried("up") / 1e6))
    return found


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--registry", default="docker-registry")
    parser.add_argument("--layers", type=int, default=10)
    parser.add_argument("--megabytes", type=int, default=100)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--jobs", default="6")
    options = parser.parse_args()
    binary = shutil.which(options.registry)
    if not binary:
        raise SystemExit(f"{options.registry}: not found. Install Debian's package docker-registry.")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with tempfile.TemporaryDirectory() as directory:
        first, second, small, changed = (Path(directory, name) for name in ("first", "second", "small", "changed"))
        write_layout(first, options.layers, options.megabytes * 1_000_000)
        write_layout(second, options.layers, 0, first)
        write_layout(small, options.layers, 100_000)
        write_layout(changed, options.layers, 0, small)
        shutil.copytree(ROOT / "py", Path(directory, "py"))
        compileall.compile_dir(Path(directory, "py"), quiet=2)  # as in the toolchain
        tools = commands(Path(directory, "py"), [int(number) for number in options.jobs.split(",")])
        runs: dict[str, list[list[Used]]] = {tool: [] for tool in tools}
        for _ in range(options.runs):  # in turn, so that other work affects all tools
            for tool, command in tools.items():
                runs[tool].append(measure(binary, command, first, second))
        print("| tool | push | seconds | cpu | peak MB | writes | MB |\n|---|---|---|---|---|---|---|")
        for tool, command in tools.items():
            counted = count(binary, command, small, changed)
            for number, push in enumerate(("cold", "again", "one layer changed")):
                wall, cpu, peak = (min(values) for values in zip(*(used[number] for used in runs[tool]), strict=True))
                writes, megabytes = counted[number]
                print(f"| {tool} | {push} | {wall:.2f} | {cpu:.2f} | {peak:.0f} | {writes} | {megabytes:.2f} |")


if __name__ == "__main__":
    main()
