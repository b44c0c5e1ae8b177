"""Measures the build and the push of images of several sizes after a one-line change of a service.

    python bench/change.py --registry DOCKER_REGISTRY [--megabytes N,N,...] [--runs N] [--no-buildah]

The image contains examples/iris and an incompressible model of the given size. "seconds" is Bazel's elapsed
time for the build after the change, "in actions" the wall time of its actions, "cpu" their user and system seconds, and
"written" the bytes that they wrote; all are medians of the runs. "pushed" is the number of write requests and bytes
that `bento_push` then sends. The benchmark uses a separate checkout.

buildah builds the Dockerfile of the same Bento with a warm cache, on a base of Debian's packages. Its "cpu" includes
all its processes, and "written" is the growth of its store. /tmp needs space for three times the largest model.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "e2e"), str(ROOT)]

from dockerfile import Engine  # noqa: E402
from workbench import Checkout, Workbench  # noqa: E402

from tests.registry import servers  # noqa: E402
from tests.registry.relay import UP, Relay  # noqa: E402

BUILD = """\
load("//rules:defs.bzl", "bento_image", "bento_model", "bento_package", "bento_push")

bento_model(
    name = "model",
    srcs = ["weights.bin"],
    tag = "weights",
)

bento_package(
    name = "bento",
    srcs = ["service.py"],
    models = [":model"],
    requirements = ["@pypi//bentoml", "@pypi//scikit_learn"],
    service = "service:Service",
)

bento_image(
    name = "image",
    base = "//examples/base:python",
    bento = ":bento",
)

bento_push(name = "push", src = ":image")
"""
SOURCE = """\
import bentoml


@bentoml.service
class Service:
    @bentoml.api
    def number(self) -> int:
        return {}
"""


def write_workspace(checkout: Checkout, megabytes: int) -> str:
    """Write a package with a service and a model of the given size, and return its label."""
    directory = f"bench/change_{megabytes}"
    checkout.write(f"{directory}/BUILD.bazel", BUILD)
    checkout.write(f"{directory}/service.py", SOURCE.format(0))
    with (checkout.root / directory / "weights.bin").open("wb") as file:
        for _ in range(megabytes):
            file.write(os.urandom(1_000_000))
    return f"//{directory}"


def push(checkout: Checkout, label: str, relay: Relay) -> None:
    """Push the image through the counting relay."""
    checkout.bazel("run", f"{label}:push", "--", "--repository", f"{relay.host}/bench/app", "--tag", "v1").succeeded()


def measure(checkout: Checkout, label: str, runs: int, binary: str) -> str:
    """Return the cells of a row for the rules' image."""
    checkout.build(f"{label}:image")
    server = Path("/proc", checkout.bazel("info", "server_pid").succeeded().output.strip(), "stat")
    with tempfile.TemporaryDirectory() as directory, servers.serve(binary, Path(directory)) as registry:
        with Relay(registry.port) as relay:
            push(checkout, label, relay)
        seconds, inside, cpu, written, actions = [], [], [], [], []
        for number in range(1, runs + 1):
            checkout.write(f"{label[2:]}/service.py", SOURCE.format(number))
            before = spent(server)
            built = checkout.build(f"{label}:image")
            cpu.append(spent(server) - before)
            seconds.append(built.seconds)
            inside.append(sum(spawn.seconds for spawn in built.spawns))
            actions.append(len(built.spawns))
            written.append(sum(spawn.written for spawn in built.spawns))
        with Relay(registry.port) as relay:
            push(checkout, label, relay)
            writes = [line for line in relay.requests if not line.startswith(("HEAD", "GET"))]
            sent = relay.carried(UP)
    cells = (
        f"{statistics.median(seconds):.2f}",
        f"{statistics.median(inside):.2f}, {max(actions)} actions",
        f"{statistics.median(cpu):.2f}",
        f"{max(written) / 1e3:.0f} kB",
        str(len(writes)),
        f"{sent / 1e3:.0f} kB",
    )
    return " | ".join(cells)


def spent(stat: Path) -> float:
    """Return the CPU seconds of the child processes that a process has waited for."""
    fields = stat.read_text("utf-8").rpartition(") ")[2].split()
    return (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")


class Buildah:
    """Builds images with buildah in a separate store. The context is a Bento."""

    def __init__(self, checkout: Checkout, directory: Path) -> None:
        """Create the base image, and unpack a Bento with an empty model."""
        self._store = directory / "images"
        self._engine = Engine(directory)
        self._engine.make_base()
        label = write_workspace(checkout, 0)
        checkout.build(f"{label}:bento")
        self._context = directory / "context"
        self._context.mkdir()
        archive = checkout.root / f"bazel-bin/{label[2:]}/bento.bento"
        subprocess.run(["tar", "-xJf", archive, "-C", self._context], check=True)
        [self._weights] = self._context.glob("models/weights/*/weights.bin")
        self._built = 0

    def measure(self, weights: Path, runs: int) -> str:
        """Return the cells of a row for a model with these weights."""
        self._weights.unlink()
        os.link(weights, self._weights)
        self._build()
        used = []
        for _ in range(runs):
            (self._context / "src/service.py").write_text(SOURCE.format(self._built), "utf-8")
            used.append(self._build())
        seconds, cpu, written = zip(*used, strict=True)
        return f"{statistics.median(seconds):.2f} | | {statistics.median(cpu):.2f} | {max(written) / 1e3:,.0f} kB | |"

    def _build(self) -> tuple[float, float, int]:
        """Build the image again and delete the previous image. Return the seconds, CPU seconds, and added bytes."""
        self._built += 1
        before = kept(self._store)
        dockerfile = self._context / "env/docker/Dockerfile"
        command = self._engine.build_command(f"app:{self._built}", self._context, dockerfile, "--layers")
        began = time.monotonic()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        assert process.stderr is not None
        told = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(told.decode())
        written = kept(self._store) - before
        if self._built > 1:
            self._engine.remove(f"app:{self._built - 1}")
        return seconds, usage.ru_utime + usage.ru_stime, written

    def close(self) -> None:
        """Unmount the file systems of the builds."""
        self._engine.close()


def kept(directory: Path) -> int:
    """Return the disk usage of the files in a directory."""
    return sum(path.lstat().st_blocks for path in directory.rglob("*")) * 512


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--registry", default="docker-registry")
    parser.add_argument("--megabytes", default="100,3000")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--no-buildah", action="store_true")
    options = parser.parse_args()
    binary = shutil.which(options.registry)
    if not binary:
        raise SystemExit(f"{options.registry}: not found. Install Debian's package docker-registry.")
    print("| model, MB | | seconds | in actions | cpu | written | requests that write | pushed |")
    print("|---|---|---|---|---|---|---|---|")
    with Workbench() as bench, tempfile.TemporaryDirectory() as directory:
        buildah = None if options.no_buildah else Buildah(bench.plain, Path(directory))
        try:
            for megabytes in map(int, options.megabytes.split(",")):
                label = write_workspace(bench.plain, megabytes)
                print(f"| {megabytes} | ours | {measure(bench.plain, label, options.runs, binary)} |", flush=True)
                bench.plain.bazel("clean").succeeded()
                weights = bench.plain.root / label[2:] / "weights.bin"
                if buildah:
                    print(f"| | buildah | {buildah.measure(weights, options.runs)} |", flush=True)
                weights.unlink()
        finally:
            if buildah:
                buildah.close()


if __name__ == "__main__":
    main()
