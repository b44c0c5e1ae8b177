"""Compares `bento image`, with and without bytecode, with the Dockerfile of uv's guide (buildah), pyoci, and hatch-oci.

    python bench/images.py [VENV]

Builds and pushes a FastAPI project on one base: first without any cache, then with another line in main.py (median of
three), and with another version of a small package. Then builds projects with data: first, again, and with another
line. Prints user and system seconds, bytes to the registry, whether a
copy of the project without caches has the same digest, and the layers above the base. VENV, with Python 3.13, has the
last two tools: `uv pip install pyoci hatch-oci`. Requires root, buildah, docker-registry, mmdebstrap, and openssl.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from native import ROOT, measure

sys.path[:0] = [str(ROOT / "e2e"), str(ROOT)]

from dockerfile import BASE, Engine  # noqa: E402

from tests.registry import servers  # noqa: E402
from tests.registry.relay import Relay  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Sequence

OTHERS = ("pyoci", "hatch-oci")
BYTECODE: dict[str, tuple[str, ...]] = {"bento-image": (), "no-bytecode": ("--no-bytecode",)}
DATA = {"10,000 files": (10_000, 400), "300 MB of CSV": (1, 300_000_000)}  # number and size
DOCKERFILE = f"""FROM {BASE}
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=0
WORKDIR /app
RUN --mount=type=cache,target=/root/.cache/uv --mount=type=bind,source=uv.lock,target=/app/uv.lock \\
  --mount=type=bind,source=pyproject.toml,target=/app/pyproject.toml uv sync --locked --no-install-project --no-dev
COPY . /app
RUN --mount=type=cache,target=/root/.cache/uv uv sync --locked --no-dev
ENV PATH="/app/.venv/bin:$PATH"
CMD ["uvicorn", "main:app", "--host", "0.0.0.0"]
"""
PROJECT = """[project]
name = "api"
version = "1"
requires-python = ">=3.11"
dependencies = ["fastapi", "uvicorn", "pandas", "idna=={idna}"]
[tool.hatch.build]
targets.wheel.only-include = ["main.py"]
hooks.pyoci = {{ push = true, image-name = "{image}", base-image = "{base}" }}
"""


def build(name: str, project: Path, names: dict[str, str], engine: Engine, caches: str = "caches") -> None:
    """Build and push the image of a project with a tool, with the caches of this name."""
    python, base = f"{project.parents[1]}/venv/bin/python", ["--base", f"oci:{project.parents[1]}/base"]
    command = [python, "-m", "hatchling", "build", "-t", "wheel"]
    if name in OTHERS:
        call(project, caches, "uv", "sync", "-q", "--locked", "--no-install-project", "--python", python)
    if name == "pyoci":
        command[2:] = ["pyoci.cli", "build", "--include-deps", "--push", "--tag", names["image"]]
        command += ["--base-image", names["base"]]
    elif name == "uv-guide":
        more = "--layers" if caches == "caches" else "--no-cache"
        call(project, caches, *engine.build_command("bench", project, project.parents[1] / "guide", more))
        command = engine.push_command("bench", names["image"])
    elif name in BYTECODE:
        command = [sys.executable, "-m", "bento_cli", "image", "--push", "-t", names["image"], *base, *BYTECODE[name]]
    call(project, caches, *command)


def call(project: Path, caches: str, *command: str) -> None:
    """Run a command in the project, with the caches of this name."""
    variables = {**os.environ, "PYTHONPATH": str(ROOT / "py"), "PYTHONDONTWRITEBYTECODE": ""}
    variables |= {"PYTHONPYCACHEPREFIX": "/tmp/bench-images", "SSL_CERT_FILE": str(project.parents[1] / "trusted")}
    for variable in ("HOME", "TMPDIR", "UV_CACHE_DIR", "XDG_CACHE_HOME"):
        variables[variable] = str(project.with_name(caches) / variable)
        Path(variables[variable]).mkdir(parents=True, exist_ok=True)
    subprocess.run(command, cwd=project, env=variables, check=True, stdout=subprocess.DEVNULL)


def compare(name: str, directory: Path, relay: Relay, storage: Path, engine: Engine) -> str:
    """Return the row of a tool."""
    names, results = {"image": f"{relay.host}/{name}:v1", "base": f"{relay.host}/base:v1"}, []
    (project := directory / name / "project").mkdir(parents=True)
    for line, idna in [(0, "3.10"), (1, "3.10"), (2, "3.10"), (3, "3.10"), (3, "3.11")]:
        (project / "main.py").write_text(f"import fastapi\n\napp = fastapi.FastAPI(title='{line}')\n", "utf-8")
        (project / "pyproject.toml").write_text(PROJECT.format(idna=idna, **names), "utf-8")
        call(project, "caches", "uv", "lock", "-q", "--python", sys.executable)
        results.append(measure(lambda: build(name, project, names, engine), relay)[1:])
    results[1:4] = [(statistics.median(cpu for cpu, _ in results[1:4]), max(sent for _, sent in results[1:4]))]
    cells = [f"{cpu:.1f} s, {sent / 1e6:,.1f} MB" for cpu, sent in results]
    link = storage / f"repositories/{name}/_manifests/tags/v1/current/link"
    before, copied = link.read_text().rpartition(":")[2], shutil.ignore_patterns(".venv", "dist")
    shutil.copytree(project.rename(project.with_name("x")), project, ignore=copied, copy_function=shutil.copy)
    build(name, project, names, engine, "other-caches")
    layers = len(json.loads((storage / "blobs/sha256" / before[:2] / before / "data").read_text())["layers"]) - 1
    return f"| {name} | {' | '.join(cells)} | {'yes' if before in link.read_text() else 'no'} | {layers} |"


def compare_data(title: str, tool: str, directory: Path, relay: Relay, engine: Engine) -> str:
    """Return the row of a project with data."""
    names = {"image": f"{relay.host}/data:v1", "base": f"{relay.host}/base:v1"}
    (project := directory / f"data-{tool}-{len(title)}" / "project").mkdir(parents=True)
    (number, size), chance = DATA[title], random.Random(1)
    results: list[tuple[float, int]] = []
    words = [f"{chance.random():.6f}" for _ in range(20_000)]
    for each in range(number):
        (path := project / f"data/{each // 100}/{each}.csv").parent.mkdir(parents=True, exist_ok=True)
        with path.open("w") as file:
            for _ in range(max(1, size // 72_000)):
                file.write("".join(",".join(chance.choices(words, k=8)) + "\n" for _ in range(min(1000, size // 72))))
    (project / "pyproject.toml").write_text(PROJECT.format(idna="3.10", **names), "utf-8")
    call(project, "caches", "uv", "lock", "-q", "--python", sys.executable)
    for line in (1, 1, 2):
        if not results or line == 2:
            (project / "main.py").write_text(f"import fastapi\n\napp = fastapi.FastAPI(title='{line}')\n", "utf-8")
            time.sleep(3)  # as if the files had existed for longer
        results.append(measure(lambda: build(tool, project, names, engine), relay)[1:])
    cells = [f"{cpu:.1f} s, {sent / 1e6:,.1f} MB" for cpu, sent in results]
    return f"| {title}, {tool} | {' | '.join(cells)} |"


def run(directory: Path, engine: Engine, tools: Sequence[str]) -> None:
    """Print the rows of the tools."""
    tls = servers.Tls(directory / "tls")
    system = Path(os.environ.get("SSL_CERT_FILE", "/etc/ssl/certs/ca-certificates.crt")).read_bytes()
    (directory / "trusted").write_bytes(system + tls.authority.read_bytes())
    for path, text in {"guide": DOCKERFILE, "Dockerfile": f"FROM {BASE}\nRUN pip install --quiet uv\n"}.items():
        (directory / path).write_text(text, "utf-8")
    with servers.serve("docker-registry", directory / "registry", tls=tls) as registry, Relay(registry.port) as relay:
        for place in (f"oci:{directory}/base", f"docker://{relay.host}/base:v1"):
            subprocess.run(engine.push_command(BASE, place, transport=""), check=True)
        engine.build(BASE, directory, directory / "Dockerfile")
        print("| | first build | changed line | changed package | same digest | layers |\n|---|---|---|---|---|---|")
        for name in tools:
            print(compare(name, directory, relay, registry.storage / "docker/registry/v2", engine), flush=True)
        print("\n| | first build | again | changed line |\n|---|---|---|---|")
        for title, tool in product(DATA, [name for name in tools if name not in OTHERS]):
            print(compare_data(title, tool, directory, relay, engine), flush=True)


def main() -> None:
    """Compare the tools."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("venv", type=Path, nargs="?", metavar="VENV", help="Compare with the tools in this environment")
    venv = parser.parse_args().venv
    with tempfile.TemporaryDirectory() as name, closing(Engine(Path(name))) as engine:
        if venv:
            Path(name, "venv").symlink_to(venv.absolute())
        engine.make_base()
        run(Path(name), engine, (*BYTECODE, "uv-guide", *(OTHERS if venv else ())))


if __name__ == "__main__":
    main()
