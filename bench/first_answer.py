"""Measures images of one Bento from `podman pull` to the first answer.

    python bench/first_answer.py [--runs N]

The service imports pandas and scikit-learn. Compared are `bento image` with and without bytecode, and without bytecode
of the standard library, the Dockerfile that `bentoml containerize` renders for the same Bento, and the Dockerfile of
uv's guide with the same lock. All are on one base: Debian's Python with the name of Docker Hub's image, and like it
without bytecode of the standard library.
BentoML's Dockerfile is unchanged. The one of uv's guide copies uv from an image that this script builds, and runs
`bentoml serve`.

A run pulls an image from a registry on this machine to an empty store, imports the service's packages in a container,
and starts another one. Runs alternate between the images. Prints medians, and in parentheses the lowest and highest
value, of the user and system seconds of `podman pull`, of the Python process that imports, and of all processes of the
container; and of the seconds of `podman pull`, and from `podman run` to the first answer. The sum is pull and first
answer, which includes the import. Requires buildah, docker-registry, mmdebstrap, podman, runc, and uv.
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
import urllib.request
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import NamedTuple

from images import DOCKERFILE, call
from native import measure
from uv import find_uv_bin

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "e2e"), str(ROOT)]

from dockerfile import BASE, RUN, VERSION, Engine  # noqa: E402

from tests.registry import servers  # noqa: E402
from tests.registry.relay import DOWN, Relay  # noqa: E402

ADDRESS, NAME, SECONDS = "http://127.0.0.1:3000/rows", "first-answer", 300
PROJECT = """[project]
name = "api"
version = "1"
requires-python = ">=3.11"
dependencies = ["bentoml==1.4.39", "pandas", "scikit-learn"]
"""
SERVICE = """import bentoml
import pandas
import sklearn.ensemble


@bentoml.service
class Rows:
    @bentoml.api
    def rows(self) -> int:
        return len(pandas.DataFrame({"x": [1, 2]}))
"""
BENTOFILE = f"""service: service:Rows
include: [service.py]
python: {{requirements_txt: requirements.txt, lock_packages: false}}
docker: {{python_version: "{VERSION}"}}
"""
COMMAND, COPY = 'CMD ["bentoml", "serve", "service:Rows"]\n', "COPY --from=localhost/uv /uv /bin/\n"
IMPORT = "import bentoml, pandas, sklearn.ensemble, time; print(time.process_time())"
BENTOML, UV = "BentoML's Dockerfile", "Dockerfile of uv's guide"
OPTIONS = {
    "`bento image`": (),
    # The layer with bytecode of the standard library isn't for modules that the user replaces.
    "`bento image` without this layer": (f"--replace=/usr/lib/python{VERSION}/os.py",),
    "`bento image --no-bytecode`": ("--no-bytecode",),
}


class Times(NamedTuple):
    """Holds the measurements of a run in seconds."""

    pull_cpu: float
    import_cpu: float
    answer_cpu: float
    cpu: float  # of pull and first answer
    pull: float
    answer: float


def processes_cpu(process: str) -> float:
    """Return the user and system seconds of all processes in the PID namespace of a process."""
    own, ticks = Path(f"/proc/{process}/ns/pid").readlink(), 0
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if (path / "ns/pid").readlink() == own:
                fields = (path / "stat").read_text("utf-8").rpartition(")")[2].split()
                ticks += sum(map(int, fields[11:15]))
        except OSError:  # the process ended
            continue
    return ticks / os.sysconf("SC_CLK_TCK")


def answer(podman: list[str], image: str) -> tuple[float, float]:
    """Start a container, wait for its first answer, and return its CPU seconds and the seconds since the start."""
    began = time.monotonic()
    subprocess.run([*podman, "run", *RUN, "--detach", "--name", NAME, image], check=True, stdout=subprocess.DEVNULL)
    try:
        while True:
            try:
                request = urllib.request.Request(ADDRESS, b"{}", {"Content-Type": "application/json"})
                urllib.request.urlopen(request).read()
                break
            except OSError:
                if time.monotonic() - began > SECONDS:
                    subprocess.run([*podman, "logs", NAME], check=False)
                    raise
                time.sleep(0.02)
        wall = time.monotonic() - began
        process = subprocess.check_output([*podman, "inspect", "--format={{.State.Pid}}", NAME], text=True).strip()
        return processes_cpu(process), wall
    finally:
        subprocess.run([*podman, "rm", "--force", "--time=10", NAME], check=True, stdout=subprocess.DEVNULL)


def start(image: str, relay: Relay) -> tuple[Times, int]:
    """Pull and start an image. Returns its times, and the bytes from the registry."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as store, closing(Engine(Path(store))) as engine:
        podman, before = engine.podman_command, relay.carried(DOWN)
        pull = [*podman, "pull", "--quiet", "--tls-verify=false", image]
        seconds, cpu, _ = measure(lambda: subprocess.run(pull, check=True, stdout=subprocess.DEVNULL), relay)
        pulled = relay.carried(DOWN) - before
        command = [*podman, "run", *RUN, "--rm", "--entrypoint=python", image, "-c", IMPORT]
        imported = float(subprocess.check_output(command, text=True))
        answer_cpu, wall = answer(podman, image)
    return Times(cpu, imported, answer_cpu, cpu + answer_cpu, seconds, wall), pulled


def build(engine: Engine, directory: Path, registry: str) -> dict[str, str]:
    """Build and push the images. Returns the reference of each."""
    (project := directory / "tool" / "project").mkdir(parents=True)
    subprocess.run(engine.push_command(BASE, f"oci:{directory}/base", transport=""), check=True)
    for name, text in {"pyproject.toml": PROJECT, "service.py": SERVICE, "bentofile.yaml": BENTOFILE}.items():
        (project / name).write_text(text, "utf-8")
    run_uv, run_bento = partial(call, project, "caches", "uv"), partial(call, project, "caches", sys.executable, "-m")
    run_uv("lock", "-q", "--python", sys.executable)
    run_uv("export", "-q", "--frozen", "--no-dev", "--no-emit-project", "-o", "requirements.txt")
    run_bento("bento_cli", "build")
    images = {name: f"{registry}/image-{number}:v1" for number, name in enumerate([*OPTIONS, BENTOML, UV])}
    for name, options in OPTIONS.items():
        words = ["--base", f"oci:{directory}/base", *options, "--push", "--insecure", registry, "-t", images[name]]
        run_bento("bento_cli", "image", "rows:latest", *words)
    # BentoML runs this builder.
    (tools := directory / "bin").mkdir()
    (tools / "buildah").write_text(f'#!/bin/sh\nfor context; do :; done\ncp -R "$context" {directory}/context\n')
    (tools / "buildah").chmod(0o755)
    path, command = f"PATH={tools}:{os.environ['PATH']}", ["bentoml", "containerize", "rows:latest"]
    call(project, "caches", "env", "-u", "PYTHONPATH", path, "uv", "run", "-q", *command, "--backend", "buildah")
    shutil.rmtree(project / ".venv")
    shutil.copy(find_uv_bin(), tools / "uv")
    guide = DOCKERFILE.replace("ENV", f"{COPY}ENV", 1).rpartition("CMD")[0] + COMMAND
    for name, text in {"guide": guide, "Dockerfile": "FROM scratch\nCOPY uv /\n"}.items():
        (directory / name).write_text(text, "utf-8")
    engine.build("uv", tools, directory / "Dockerfile")
    engine.build("bentoml", directory / "context", directory / "context/env/docker/Dockerfile")
    engine.build("guide", project, directory / "guide")
    for name, tag in ((BENTOML, "bentoml"), (UV, "guide")):
        subprocess.run(engine.push_command(tag, images[name]), check=True)
    return images


def main() -> None:
    """Build the images, start each of them several times, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5, metavar="N", help="Start each image N times (default: 5)")
    runs = parser.parse_args().runs
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(dir="/var/tmp")))
        registry = stack.enter_context(servers.serve("docker-registry", directory / "registry"))
        relay = stack.enter_context(Relay(registry.port))
        with closing(Engine(directory)) as engine:
            engine.make_base()
            images = build(engine, directory, relay.host)
        times: dict[str, list[Times]] = {name: [] for name in images}
        sizes = {}
        for _ in range(runs):
            for name, image in images.items():
                found, sizes[name] = start(image, relay)
                times[name].append(found)
    print("| image | MB | pull, CPU s | import | first answer | sum | pull, s | first answer, s |")
    print("|---|---|---|---|---|---|---|---|")
    for name, found in times.items():
        cells = [
            f"{statistics.median(each):.2f} ({min(each):.2f}-{max(each):.2f})" for each in zip(*found, strict=True)
        ]
        print(f"| {name} | {sizes[name] / 1e6:.0f} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
