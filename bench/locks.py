"""Compares subsets of a lock for a service with uv and BentoML, and measures the downloads for a large wheel.

    python bench/locks.py [--uv UV] [--bentoml COMMAND] [--runs N] [--large]

The first table has a row for each size of lock (seconds, median of the runs): the subset by the helper with uv and
without a cache; `uv pip compile` with its cache; and `bentoml build` of an empty service, with
lock_packages, which resolves over the network, and without. All tools resolve the same requirements; the results of the
helper and uv must be equal. `--large` builds a Bento that requires torch, with Bazel and an empty repository cache,
and prints the time of the extension and the size of the downloads. Requires a package index.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import packaging

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPOSITORY / "py"), str(REPOSITORY / "e2e")]


LOCKS = {
    20: ["flask", "httpx", "rich"],
    100: ["bentoml==1.4.39", "scikit-learn", "django", "sqlalchemy", "celery", "pytest", "ipython"],
    300: [
        "bentoml==1.4.39", "scikit-learn", "jupyterlab", "dask[complete]", "django", "scrapy", "celery[redis]",
        "mlflow", "fastapi[standard]", "matplotlib", "sphinx", "google-cloud-storage", "streamlit", "polars",
        "statsmodels", "sqlalchemy[asyncio]", "nltk", "black", "poetry", "ansible-core", "kubernetes", "twine",
    ],
}  # fmt: skip
PACKAGES = ["--packages", str(Path(packaging.__file__).parents[1])]
HELPER = [sys.executable, "-I", "-S", "-B", "-X", "utf8", str(REPOSITORY / "py/main.py"), *PACKAGES]
MINOR = ".".join(str(part) for part in sys.version_info[:2])
VERSION = ".".join(str(part) for part in sys.version_info[:3])
PLATFORM = f"linux_{os.uname().machine}"
SERVICE = "import bentoml\n\n\n@bentoml.service\nclass Service:\n    pass\n"


def seconds(command: list[str], runs: int, directory: Path | None = None, **variables: str) -> float:
    """Return the median wall time of a command, which must succeed."""
    used = []
    for _ in range(runs):
        began = time.perf_counter()
        done = subprocess.run(
            command, cwd=directory, env=os.environ | variables, check=False, capture_output=True, text=True
        )
        used.append(time.perf_counter() - began)
        if done.returncode:
            raise SystemExit(f"{' '.join(command[:8])} failed:\n{done.stderr[-2000:]}")
    return statistics.median(used)


def make_lock(directory: Path, requirements: list[str], uv: str) -> list[Path]:
    """Lock requirements over the network. Return the files that a package hub contains for this platform."""
    (directory / "r.in").write_text("".join(f"{line}\n" for line in requirements), "utf-8")
    command = [*HELPER, "update_requirements", "--target", "bench", "--lock", "lock.json", "--uv", uv]
    command += ["--requires-python", f"=={MINOR}.*", "--source", str(directory / "r.in"), "r.in"]
    command += ["--platform", PLATFORM]
    seconds(command, 1, BUILD_WORKSPACE_DIRECTORY=str(directory))
    lock = json.loads((directory / "lock.json").read_text("utf-8"))
    names = [package["name"] for package in lock["packages"]]
    pins = [
        f"{package['name']}=={package['version']}\n"
        for package in lock["packages"]
        if names.count(package["name"]) == 1
    ]
    (directory / "constraints.txt").write_text("".join(pins), "utf-8")
    paths = []
    for package in lock["packages"]:
        paths.append(directory / f"{package['name']}=={package['version']}.json")
        paths[-1].write_text(json.dumps(package), "utf-8")
    return paths


def subset_command(directory: Path, paths: list[Path], requirements: list[str], uv: str) -> list[str]:
    """Return the command that writes a subset of a lock."""
    lines = ["--target", "bench", "--platform", PLATFORM, "--python-version", VERSION, "--glibc", "2.28", "--uv", uv]
    lines += ["--python", sys.executable, "--output", str(directory / "locked")]
    lines += [word for line in requirements for word in ("--requirement", line)]
    lines += [word for path in paths for word in ("--locked", str(path))]
    arguments = directory / "arguments"
    arguments.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return [*HELPER, "lock", f"@{arguments}"]


def compile_command(directory: Path, uv: str) -> list[str]:
    """Return uv's command that resolves over the network, with its cache, and writes hashes as in a lock."""
    command = [uv, "pip", "compile", "--quiet", "--no-header", "--no-annotate", "--strip-extras", "--generate-hashes"]
    command += ["--python", sys.executable, "--python-platform", f"{os.uname().machine}-manylinux_2_28"]
    command += ["--constraints", str(directory / "constraints.txt")]
    return [*command, "--output-file", str(directory / "compiled"), str(directory / "r.in")]


def bentoml_builds(directory: Path, requirements: list[str], bentoml: str, runs: int) -> list[float]:
    """Measure `bentoml build` of an empty service, with and without lock_packages."""
    project = directory / "project"
    project.mkdir()
    (project / "service.py").write_text(SERVICE, "utf-8")
    used = []
    for lock in (True, False):
        python = {"packages": requirements, "lock_packages": lock}
        (project / "bentofile.yaml").write_text(json.dumps({"service": "service:Service", "python": python}), "utf-8")
        variables = {"BENTOML_HOME": str(directory / "home"), "BENTOML_DO_NOT_TRACK": "true"}
        used.append(seconds([bentoml, "build"], runs, project, **variables))
    return used


def compare(options: argparse.Namespace) -> None:
    """Print the first table."""
    columns = ("packages", "ours", "uv, warm", "bentoml build", "without lock")
    print("{:>8} {:>7} {:>8} {:>13} {:>13}   seconds".format(*columns))
    for requirements in LOCKS.values():
        with tempfile.TemporaryDirectory() as name:
            directory = Path(name)
            paths = make_lock(directory, requirements, options.uv)
            compile_seconds = seconds(compile_command(directory, options.uv), options.runs + 1)
            uvs_text = (directory / "compiled").read_text("utf-8")
            uvs = [line.partition(" ")[0] for line in uvs_text.splitlines() if "==" in line]
            # As in a package hub: only the transitive dependencies on this platform.
            paths = [path for path in paths if path.name.removesuffix(".json") in uvs]
            ours = seconds(subset_command(directory, paths, requirements, options.uv), options.runs)
            pins = [pin for pin, _ in json.loads((directory / "locked").read_text("utf-8"))["pins"]]
            if pins != uvs:
                raise SystemExit(f"uv and the helper differ: {sorted(set(uvs) ^ set(pins))}")
            peers: list[float | None] = [None, None]
            if options.bentoml:
                peers = [*bentoml_builds(directory, requirements, options.bentoml, options.runs)]
            shown = [f"{value:.2f}" if value is not None else "" for value in (ours, compile_seconds, *peers)]
            print("{:8} {:>7} {:>8} {:>13} {:>13}".format(len(uvs), *shown, *([""] * (4 - len(shown)))), flush=True)


def download(options: argparse.Namespace) -> None:
    """Build a Bento that requires torch from scratch, and print the size of the downloads."""
    from workbench import Workbench

    with Workbench() as bench:
        checkout = bench.checkout("large", cache=bench.directory / "downloads")
        directory = checkout.root / "e2e/smoke"
        make_lock(directory, ["bentoml==1.4.39", "torch"], options.uv)
        shutil.move(directory / "lock.json", directory / "requirements.lock.json")
        checkout.edit("e2e/smoke/MODULE.bazel", 'name = "pypi",', f'name = "pypi",\n    python_version = "{MINOR}",')
        checkout.edit("e2e/smoke/BUILD.bazel", '["@pypi//bentoml"]', '["@pypi//bentoml", "@pypi//torch"]')
        profile = bench.directory / "profile"
        built = checkout.build("//:hello", f"--profile={profile}", "--noslim_profile", workspace="e2e/smoke")
        events = json.loads(profile.read_text("utf-8"))["traceEvents"]
        evaluated = [
            event for event in events if "module extension" in event["name"].lower() and "bento" in event["name"]
        ]
        files = [path for path in (bench.directory / "downloads").rglob("*") if path.is_file()]
        lock = json.loads((directory / "requirements.lock.json").read_text("utf-8"))
        count = len(lock["packages"])
        print(f"\na Bento that requires torch, {count} packages in its lock, from nothing: {built.seconds:.0f} s")
        for event in evaluated:
            print(f"  {event['name']}: {event.get('dur', 0) / 1000:.0f} ms")
        size = sum(path.stat().st_size for path in files) / 1e6
        print(f"  downloaded: {len(files)} files, {size:.1f} MB, all of them tools")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--uv", default=shutil.which("uv"))
    parser.add_argument("--bentoml", default=os.environ.get("RULES_BENTO_BENTOML") or shutil.which("bentoml"))
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--large", action="store_true")
    options = parser.parse_args()
    if not options.uv:
        parser.error("no uv on PATH; name one with --uv")
    compare(options)
    if options.large:
        download(options)


if __name__ == "__main__":
    main()
