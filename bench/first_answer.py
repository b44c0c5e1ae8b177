"""Measures images from `podman run` to the first answer: `bento image` with and without bytecode, and uv's Dockerfile.

    python bench/first_answer.py [--runs N]

The project serves FastAPI, and imports pandas and scikit-learn, on one base of Debian packages. Prints user and system
seconds of the container's process, and seconds since `podman run` (medians of the runs, which alternate between the
images), and the size of the layers above the base. Requires buildah, mmdebstrap, podman, and runc.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from images import DOCKERFILE, call

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "e2e"), str(ROOT), str(ROOT / "py")]

from dockerfile import BASE, RUN, Engine  # noqa: E402
from rules_bento.images.registry.layout import Layout  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator

ADDRESS, NAME, SECONDS = "http://127.0.0.1:8000/", "first-answer", 300
PROJECT = """[project]
name = "api"
version = "1"
requires-python = ">=3.11"
dependencies = ["fastapi", "uvicorn", "pandas", "scikit-learn"]
"""
MAIN = """import fastapi
import pandas
import sklearn.ensemble

app = fastapi.FastAPI()


@app.get("/")
def rows() -> int:
    return len(pandas.DataFrame({"x": [1, 2]}))
"""
IMAGES = {"bento-image": (), "bento-image without bytecode": ("--no-bytecode",), "uv-guide": None}


def start(engine: Engine, image: str) -> tuple[float, float]:
    """Start a container, wait for its first answer, and return its CPU seconds and the seconds since the start."""
    began = time.monotonic()
    podman = engine.podman_command
    subprocess.run([*podman, "run", *RUN, "--detach", "--name", NAME, image], check=True, stdout=subprocess.DEVNULL)
    try:
        while True:
            try:
                urllib.request.urlopen(ADDRESS).read()
                break
            except OSError:
                if time.monotonic() - began > SECONDS:
                    raise
                time.sleep(0.02)
        wall = time.monotonic() - began
        process = subprocess.check_output([*podman, "inspect", "--format={{.State.Pid}}", NAME], text=True).strip()
        fields = Path(f"/proc/{process}/stat").read_text("utf-8").rpartition(")")[2].split()
        return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK"), wall
    finally:
        subprocess.run([*podman, "rm", "--force", "--time=2", NAME], check=True, stdout=subprocess.DEVNULL)


def build(engine: Engine, directory: Path) -> Iterator[tuple[str, str, float]]:
    """Yield the name of each image, its ID, and its size without the base in MB."""
    for path, text in {"guide": DOCKERFILE, "Dockerfile": f"FROM {BASE}\nRUN pip install --quiet uv\n"}.items():
        (directory / path).write_text(text, "utf-8")
    subprocess.run(engine.push_command(BASE, f"oci:{directory}/base", transport=""), check=True)
    engine.build(BASE, directory, directory / "Dockerfile")
    (project := directory / "tool" / "project").mkdir(parents=True)
    (project / "pyproject.toml").write_text(PROJECT, "utf-8")
    (project / "main.py").write_text(MAIN, "utf-8")
    call(project, "caches", "uv", "lock", "-q", "--python", sys.executable)
    for number, (name, options) in enumerate(IMAGES.items()):
        layout = f"oci:{directory}/out-{number}"
        if options is None:
            call(project, "caches", *engine.build_command("guide", project, directory / "guide"))
            call(project, "caches", *engine.push_command("guide", layout, transport=""))
            image = "guide"
        else:
            words = [sys.executable, "-m", "bento_cli", "image", "--base", f"oci:{directory}/base", *options]
            call(project, "caches", *words, "--output", layout)
            image = subprocess.check_output([*engine.podman_command, "pull", "--quiet", layout], text=True).strip()
        own = Layout.open(Path(layout.removeprefix("oci:"))).find().layers()[1:]
        yield name, image, sum(layer.size for layer in own) / 1e6


def main() -> None:
    """Build the images, start each of them several times, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5, metavar="N", help="Start each image N times (default: 5)")
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name, closing(Engine(Path(name))) as engine:
        engine.make_base()
        images = [*build(engine, Path(name))]
        times: dict[str, list[tuple[float, float]]] = {image: [] for _, image, _ in images}
        for _ in range(runs):
            for image, found in times.items():
                found.append(start(engine, image))
        print("| image | CPU, s | first answer, s | image without base, MB |\n|---|---|---|---|")
        for title, image, size in images:
            cpu, wall = (statistics.median(each) for each in zip(*times[image], strict=True))
            print(f"| {title} | {cpu:.2f} | {wall:.2f} | {size:.0f} |")


if __name__ == "__main__":
    main()
