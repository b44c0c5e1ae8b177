"""Measures the time from a one-line change of a service to the first response with the change.

    python bench/reload.py [--edits N]

Compares `--reload` of rules_bento with BentoML. Both serve examples/iris with the same wheels: rules_bento serves the
Bento that Bazel built, and BentoML serves the source tree in the environment that `iris_venv` creates. They run in
turn. The time is the elapsed time in seconds from writing the file to a response with the change; a client sends
requests continuously. The benchmark uses a separate checkout.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import statistics
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "e2e")]

from server import free_port  # noqa: E402
from workbench import Checkout, Workbench  # noqa: E402

if TYPE_CHECKING:
    import subprocess

TARGET = "//examples/iris:iris"
SERVICE = "examples/iris/service.py"
ROWS = {"rows": [[5.1, 3.5, 1.4, 0.2]]}
# The interpreter of the environment runs where Bazel's programs do.
INSIDE = """\
load("@rules_python//python:defs.bzl", "py_binary")

py_binary(name = "inside", srcs = ["inside.py"])
"""
PROGRAM = "import os, sys\nos.chdir(sys.argv[1])\nos.execv(sys.argv[2], sys.argv[2:])\n"
SECONDS_TO_START = 180
# Seconds to wait before each edit, as between the edits of a person.
PAUSE = 3.0


class Server(NamedTuple):
    """Describes a server that reloads a file."""

    name: str
    source: Path
    port: int
    log: Path

    def answer(self) -> int:
        """Return the species of a flower, to which each edit adds its number."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/classify", json.dumps(ROWS).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as response:
            return int(json.load(response)[0])

    def seconds_until(self, number: int, limit: float) -> float:
        """Return the time until the response has this number."""
        began = time.monotonic()
        while True:
            try:
                if self.answer() == number:
                    return time.monotonic() - began
            except (urllib.error.URLError, OSError):
                pass
            if time.monotonic() - began > limit:
                raise SystemExit(f"{self.log.read_text('utf-8')}\n{self.name}: no expected response after {limit} s")
            time.sleep(0.01)

    def edit(self, number: int) -> float:
        """Replace a line atomically, as editors do. Return the seconds until the change is served."""
        text = self.source.read_text("utf-8")
        start = text.index("return [int(species)")
        end = text.index(" for species", start)
        changed = self.source.with_suffix(".changed")
        changed.write_text(f"{text[:start]}return [int(species) + {number}{text[end:]}", "utf-8")
        changed.rename(self.source)
        return self.seconds_until(number, SECONDS_TO_START)


def ours(checkout: Checkout, log: Path) -> tuple[Server, subprocess.Popen[bytes]]:
    """Serve the Bento that Bazel built."""
    port = free_port()
    process = checkout.start(TARGET, "--reload", "--port", str(port), "--host", "127.0.0.1", log=log)
    return Server("bazel run -- --reload", checkout.root / SERVICE, port, log), process


def stock(checkout: Checkout, directory: Path, log: Path) -> tuple[Server, subprocess.Popen[bytes]]:
    """Serve a copy of the same sources with BentoML and the same packages."""
    environment = directory / "venv"
    home = {"BENTOML_HOME": str(directory / "home")}
    checkout.bazel("run", f"{TARGET}_venv", "--", "--directory", str(environment)).succeeded()
    checkout.bazel("run", TARGET, "--", "import", **home).succeeded()
    tree = directory / "tree"
    shutil.copytree(checkout.root / "examples/features", tree / "examples/features")
    tree.joinpath("service.py").write_text(checkout.read(SERVICE), "utf-8")
    port = free_port()
    checkout.write("inside/BUILD.bazel", INSIDE)
    checkout.write("inside/inside.py", PROGRAM)
    command = [
        str(tree),
        f"{environment}/bin/bentoml",
        "serve",
        "service:IrisClassifier",
        "--reload",
        "--port",
        str(port),
    ]
    process = checkout.start("//inside", *command, "--host", "127.0.0.1", log=log, **home)
    return Server("bentoml serve --reload", tree / "service.py", port, log), process


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--edits", type=int, default=10)
    edits = parser.parse_args().edits
    with Workbench() as bench:
        checkout = bench.plain
        made = [stock(checkout, bench.directory / "stock", bench.directory / "stock.log")]
        made.append(ours(checkout, bench.directory / "ours.log"))
        try:
            for server, _ in made:
                server.seconds_until(0, SECONDS_TO_START)
            found: dict[str, list[float]] = {server.name: [] for server, _ in made}
            for number in range(1, edits + 1):
                for server, _ in made:
                    time.sleep(PAUSE)
                    found[server.name].append(server.edit(number))
        finally:
            for _, process in made:
                process.send_signal(signal.SIGINT)
                process.wait(60)
    print(f"| {edits} edits each, seconds | median | best | worst |\n|---|---|---|---|")
    for name, seconds in found.items():
        print(f"| `{name}` | {statistics.median(seconds):.2f} | {min(seconds):.2f} | {max(seconds):.2f} |")
    print(f"load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
