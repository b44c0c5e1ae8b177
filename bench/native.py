"""Compares `bento containerize --backend native` with buildah, from a Bento to a registry.

    python bench/native.py [--registry DOCKER_REGISTRY] [--packages REQUIREMENT,...] [--runs N] [--no-buildah]

Both tools build the image of the same Bento on the same base of Debian's packages, and push it. buildah builds the
Dockerfile of the Bento, which installs the packages with uv.

"first" starts without layers. The packages are on disk: in the cache of the native backend, and in the cache of uv that
the Dockerfile mounts. "again" pushes the unchanged image, "change" a Bento with a one-line change; for native, it
includes `bento build`. "change" is the median of the runs. "cpu" are user and system seconds of all processes, also of
isolated ones, in a cgroup, which requires root. "sent" are the bytes to the registry. On a busy machine, start the
program with `chrt -r 20`: processes of others then don't delay it.

The machine needs Debian's buildah, docker-registry, mmdebstrap, podman, and skopeo, and space in /tmp for ten times the
packages.
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
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "e2e"), str(ROOT)]

from dockerfile import BASE, VERSION, Engine  # noqa: E402

from tests.registry import servers  # noqa: E402
from tests.registry.relay import UP, Relay  # noqa: E402

GROUPS = (Path("/sys/fs/cgroup/cpuacct"), Path("/sys/fs/cgroup"))  # of versions 1 and 2
SOURCE = """\
import bentoml


@bentoml.service
class Service:
    @bentoml.api
    def number(self) -> int:
        return {}
"""
BENTOFILE = f"""\
service: service:Service
include: [service.py]
python:
  requirements_txt: requirements.txt
  lock_packages: false
docker:
  python_version: "{VERSION}"
"""


class Project:
    """Builds the Bento of a project, and its image with the native backend."""

    def __init__(self, directory: Path, packages: list[str], base: Path) -> None:
        """Write the project with locked packages."""
        self._directory, self._base = directory / "project", base
        self.home = directory / "home"
        self._environment = {
            **os.environ,
            # The installed command has bytecode.
            "PYTHONDONTWRITEBYTECODE": "",
            "PYTHONPYCACHEPREFIX": str(directory / "bytecode"),
            "PYTHONPATH": str(ROOT / "py"),
            "BENTOML_HOME": str(self.home),
            "XDG_CACHE_HOME": str(directory / "cache"),
        }
        self._directory.mkdir()
        (self._directory / "bentofile.yaml").write_text(BENTOFILE, "utf-8")
        (self._directory / "requirements.in").write_text("\n".join(packages), "utf-8")
        lock = ["uv", "pip", "compile", "--quiet", "--generate-hashes", "--python-version", VERSION]
        self._run(*lock, "requirements.in", "-o", "requirements.txt")
        self.requirements = self._directory / "requirements.txt"

    def build(self, number: int) -> str:
        """Build the Bento with this number in its source, and return its tag."""
        (self._directory / "service.py").write_text(SOURCE.format(number), "utf-8")
        return self._run(sys.executable, "-m", "bento_cli", "build", "-o", "ref").strip()

    def context(self, tag: str) -> Path:
        """Return the directory of a Bento in the store."""
        return self.home / "bentos" / tag.replace(":", "/")

    def push(self, tag: str, repository: str) -> None:
        """Build the image, and push it."""
        options = ("--backend", "native", "--base", f"oci:{self._base}", "-t", f"{repository}:v1", "--push", "-q")
        self._run(sys.executable, "-m", "bento_cli", "containerize", tag, *options)

    def forget_layers(self) -> None:
        """Delete the cached layers, and keep the wheels and the base image."""
        shutil.rmtree(self.home.parent / "cache/rules_bento/native/layers")

    def _run(self, *command: str) -> str:
        done = subprocess.run(
            command, cwd=self._directory, env=self._environment, check=False, capture_output=True, text=True
        )
        if done.returncode:
            raise SystemExit(done.stderr)
        return done.stdout


class Buildah:
    """Builds and pushes with buildah."""

    def __init__(self, engine: Engine) -> None:
        """Use the store of the engine."""
        self._engine = engine

    def push(self, context: Path, repository: str) -> None:
        """Build the image with the cache of earlier builds, and push it."""
        _call(self._engine.build_command("bench", context, context / "env/docker/Dockerfile", "--layers"))
        _call(self._engine.push_command("bench", f"{repository}:v1"))


def _call(command: list[str]) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)


def measure(action: Callable[[], object], relay: Relay) -> tuple[float, float, int]:
    """Return an action's seconds, CPU seconds of its processes, and bytes sent to the registry.

    Counts in a cgroup, which requires root: no process gets the times of those that end with a PID namespace, such as
    the compilers of bytecode.
    """
    root = next(path for path in GROUPS if (path / "cgroup.procs").exists())
    group, own = root / f"bench-{os.getpid()}", str(os.getpid())
    group.mkdir()
    try:
        (group / "cgroup.procs").write_text(own)
        sent, before, began = relay.carried(UP), time.process_time(), time.monotonic()
        action()
        seconds, sent, used = time.monotonic() - began, relay.carried(UP) - sent, time.process_time() - before
        while time.monotonic() - began < seconds + 5 and (group / "cgroup.procs").read_text().split() != [own]:
            time.sleep(0.01)  # killed processes end later
        return seconds, cpu_seconds(group) - used, sent
    finally:
        (root / "cgroup.procs").write_text(own)
        with suppress(OSError):  # a process continues
            group.rmdir()


def cpu_seconds(group: Path) -> float:
    """Return the CPU seconds of a cgroup."""
    if (old := group / "cpuacct.usage").exists():
        return int(old.read_text()) / 1e9
    return int(dict(line.split() for line in (group / "cpu.stat").read_text().splitlines())["usage_usec"]) / 1e6


def row(name: str, seconds: float, cpu: float, sent: int) -> None:
    """Print a row of the table."""
    print(f"| {name} | {seconds:.2f} | {cpu:.2f} | {sent / 1e3:,.0f} kB |", flush=True)


def median(values: list[tuple[float, float, int]]) -> tuple[float, float, int]:
    """Return the medians of seconds and CPU seconds, and the most bytes."""
    seconds, cpu, sent = zip(*values, strict=True)
    return statistics.median(seconds), statistics.median(cpu), max(sent)


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--registry", default="docker-registry")
    parser.add_argument("--packages", default="bentoml,scikit-learn")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--no-buildah", action="store_true")
    options = parser.parse_args()
    print("| | seconds | cpu | sent |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        engine = Engine(directory)
        try:
            engine.make_base()
            _call(engine.push_command(BASE, f"oci:{directory}/base", transport=""))
            project = Project(directory, options.packages.split(","), directory / "base")
            with servers.serve(options.registry, directory / "registry") as registry, Relay(registry.port) as relay:
                compare(project, engine, relay, options)
        finally:
            engine.close()


def compare(project: Project, engine: Engine, relay: Relay, options: argparse.Namespace) -> None:
    """Print the rows of both tools."""
    bentos = [project.build(number) for number in range(options.runs + 1)]
    project.push(bentos[0], f"{relay.host}/warm/native")  # downloads the wheels
    project.forget_layers()
    repository = f"{relay.host}/native"
    row("native, first", *measure(lambda: project.push(bentos[0], repository), relay))
    row("native, again", *measure(lambda: project.push(bentos[0], repository), relay))
    changes = [
        measure(lambda number=number: project.push(project.build(number), repository), relay)  # type: ignore[misc]
        for number in range(1000, 1000 + options.runs)
    ]
    row("native, change", *median(changes))
    if options.no_buildah:
        return
    buildah = Buildah(engine)
    contexts = [project.context(tag) for tag in bentos]
    buildah.push(contexts[0], f"{relay.host}/warm/buildah")  # downloads the wheels
    engine.remove("bench")
    repository = f"{relay.host}/buildah"
    row("buildah, first", *measure(lambda: buildah.push(contexts[0], repository), relay))
    row("buildah, again", *measure(lambda: buildah.push(contexts[0], repository), relay))
    changes = [
        measure(lambda context=context: buildah.push(context, repository), relay)  # type: ignore[misc]
        for context in contexts[1:]
    ]
    row("buildah, change", *median(changes))


if __name__ == "__main__":
    main()
