"""A changed line of a service, to its finished image and to a registry, for images of several sizes.

    python bench/change.py --registry DOCKER_REGISTRY [--megabytes N,N,...] [--runs N]

The image is that of examples/iris with a model of so many megabytes that do not compress. "seconds" is Bazel's elapsed
time for the build after the change, median of the runs, "actions" what ran in it, "written" the bytes of all that these
wrote. "pushed" is what `bento_push` then sends: requests that write, and bytes. In a checkout of its own.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "e2e"), str(ROOT / "tests/registry")]

import servers  # noqa: E402
from relay import UP, Relay  # noqa: E402
from workbench import Checkout, Workbench  # noqa: E402

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
    python_version = "3.13",
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
    """A package with a service and a model of that size; its label."""
    folder = f"bench/change_{megabytes}"
    checkout.write(f"{folder}/BUILD.bazel", BUILD)
    checkout.write(f"{folder}/service.py", SOURCE.format(0))
    with (checkout.root / folder / "weights.bin").open("wb") as file:
        for _ in range(megabytes):
            file.write(os.urandom(1_000_000))
    return f"//{folder}"


def push(checkout: Checkout, label: str, relay: Relay) -> None:
    """Push the image by the relay."""
    checkout.bazel("run", f"{label}:push", "--", "--repository", f"{relay.host}/bench/app", "--tag", "v1").succeeded()


def measure(checkout: Checkout, label: str, runs: int, server: servers.Server) -> str:
    """The rest of a row of the table."""
    checkout.build(f"{label}:image")
    with Relay(server.port) as relay:
        push(checkout, label, relay)
    seconds, written, actions = [], [], []
    for number in range(1, runs + 1):
        checkout.write(f"{label[2:]}/service.py", SOURCE.format(number))
        built = checkout.build(f"{label}:image")
        seconds.append(built.seconds)
        actions.append(len(built.spawns))
        outputs = {path for spawn in built.spawns for path in spawn.outputs}
        written.append(sum((checkout.root / path).stat().st_size for path in outputs))
    with Relay(server.port) as relay:
        push(checkout, label, relay)
        writes = [line for line in relay.requests if not line.startswith(("HEAD", "GET"))]
        sent = relay.carried(UP)
    cells = (
        f"{statistics.median(seconds):.2f}",
        str(max(actions)),
        f"{max(written) / 1e3:.0f} kB",
        str(len(writes)),
        f"{sent / 1e3:.0f} kB",
    )
    return " | ".join(cells)


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--registry", default="docker-registry")
    parser.add_argument("--megabytes", default="100,1000")
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    binary = shutil.which(options.registry)
    if not binary:
        raise SystemExit(f"{options.registry}: no such program; Debian's package docker-registry has it")
    print("| model, MB | seconds | actions | written | requests that write | pushed |\n|---|---|---|---|---|---|")
    with Workbench() as bench, tempfile.TemporaryDirectory() as folder, servers.serve(binary, Path(folder)) as server:
        for megabytes in map(int, options.megabytes.split(",")):
            label = write_workspace(bench.plain, megabytes)
            print(f"| {megabytes} | {measure(bench.plain, label, options.runs, server)} |", flush=True)


if __name__ == "__main__":
    main()
