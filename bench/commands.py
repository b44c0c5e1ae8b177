"""Compares the command of this checkout with another commit's: `python bench/commands.py --base COMMIT [--pairs N]`.

Runs `bento --version`, `list`, `build` beside a large uv.lock, and `image`, all without a change, in the same
environment and in pairs of changing order. CPU seconds are of all processes, isolated ones included. The program also
counts what the command's own process imports, opens, and lists. It fails if minimum and median of the CPU seconds
exceed FACTOR of the other commit's, or a count FACTOR and FEW. It needs the packages of both commits, uv, and an index.
"""

from __future__ import annotations

import argparse
import ctypes
import hashlib
import io
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tarfile
import tempfile
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FACTOR, FEW = 1.1, 5
PROJECT = '[project]\nname = "shop"\nversion = "1"\nrequires-python = ">=3.11"\ndependencies = {}\n'
FILES = {
    "image/pyproject.toml": PROJECT.format('["boto3", "starlette", "uvicorn"]'),
    "bento/pyproject.toml": PROJECT.format(
        '["bentoml==1.4.39", "boto3", "fastapi", "pandas", "scikit-learn", "sqlalchemy"]'
    ),
    "bento/service.py": "import bentoml\n\n\n@bentoml.service\nclass Shop: ...\n",
}
IMAGE = "image image --base oci:base --output oci:out -t shop:1 --entrypoint uvicorn"
COMMANDS = {"--version": "--version", "list": "list", "build": "build bento", "image": IMAGE}
COUNTS = ("modules", "open", "os.scandir", "subprocess.Popen")
COUNT = f"""\
import sys
counts = dict.fromkeys({COUNTS[1:]}, 0)
sys.addaudithook(lambda event, _: event in counts and counts.update({{event: counts[event] + 1}}))
from bento_cli.cli import main
main()
print(len(sys.modules), *counts.values(), file=sys.stderr)
"""
_BECOME_SUBREAPER = 36  # <sys/prctl.h>


class Commit:
    """The command of a commit, with its own projects, caches, and store."""

    def __init__(self, directory: Path, modules: Path) -> None:
        """Write the projects, and run each command, so that nothing changes later."""
        self._directory = directory
        names = ("HOME", "TMPDIR", "XDG_CACHE_HOME", "BENTOML_HOME", "PYTHONPYCACHEPREFIX")
        self._variables = {**os.environ, **{name: str(directory / name) for name in names}}
        self._variables |= {"PYTHONPATH": str(modules), "PYTHONDONTWRITEBYTECODE": "", "PYTHONSAFEPATH": "1"}
        for name in names:
            (directory / name).mkdir(parents=True)
        write_inputs(directory)
        for command in [*COMMANDS, *COMMANDS]:
            self.run(command)

    def run(self, command: str, *start: str) -> tuple[float, str]:
        """Run a command. Returns its CPU seconds, and the last line that it writes to standard error."""
        words = [sys.executable, *(start or ("-m", "bento_cli")), *COMMANDS[command].split()]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(
            words, cwd=self._directory, env=self._variables, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise SystemExit(f"{self._variables['PYTHONPATH']}: {done.stdout}{done.stderr}")
        with suppress(ChildProcessError):  # processes of ended namespaces, which become children of this process
            while os.waitid(os.P_ALL, 0, os.WEXITED):
                pass
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return seconds, done.stderr.rpartition("\n")[0].rpartition("\n")[2]


def write_inputs(directory: Path) -> None:
    """Write the projects, their locks, and a base image that looks as if it had this Python."""
    for name, text in FILES.items():
        (directory / name).parent.mkdir(exist_ok=True)
        (directory / name).write_text(text, "utf-8")
    for name in ("image", "bento"):
        subprocess.run(["uv", "lock", "-q", "--python", sys.executable], cwd=directory / name, check=True)
    (blobs := directory / "base/blobs/sha256").mkdir(parents=True)

    def blob(content: bytes, kind: str) -> dict[str, object]:
        digest = hashlib.sha256(content).hexdigest()
        (blobs / digest).write_bytes(content)
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": f"sha256:{digest}", "size": len(content)}

    with tarfile.open(fileobj=(layer := io.BytesIO()), mode="w") as tar:
        for version in ("3", "{}.{}".format(*sys.version_info)):
            (entry := tarfile.TarInfo(f"usr/local/bin/python{version}")).mode = 0o755
            tar.addfile(entry)
    layers = [blob(layer.getvalue(), "layer.v1.tar")]
    settings = {"Env": ["PATH=/usr/local/bin:/usr/bin", f"PYTHON_VERSION={platform.python_version()}"]}
    rootfs = {"type": "layers", "diff_ids": [layers[0]["digest"]]}
    config = {"architecture": "amd64", "os": "linux", "config": settings, "rootfs": rootfs}
    manifest = {"schemaVersion": 2, "config": blob(json.dumps(config).encode(), "config.v1+json"), "layers": layers}
    index = {"schemaVersion": 2, "manifests": [blob(json.dumps(manifest).encode(), "manifest.v1+json")]}
    (directory / "base/index.json").write_text(json.dumps(index), "utf-8")
    (directory / "base/oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}', "utf-8")


def compare(base: Commit, head: Commit, pairs: int) -> list[str]:
    """Print a row for each command. Returns the figures of `head` that exceed their limit."""
    worse = []
    print(f"| command | base, CPU s | head | median | minimum | {' | '.join(COUNTS)} |\n{'|---' * (len(COUNTS) + 5)}|")
    for command in COMMANDS:
        times: dict[Commit, list[float]] = {base: [], head: []}
        for number in range(pairs):
            for commit in (base, head) if number % 2 else (head, base):
                times[commit].append(commit.run(command)[0])
        ratios = [of(times[head]) / of(times[base]) for of in (statistics.median, min)]
        cells = [command, *(f"{min(each):.3f}" for each in times.values()), *(f"{ratio:.2f}" for ratio in ratios)]
        worse += [f"{command}: CPU seconds: {min(ratios):.2f} of before"] if min(ratios) > FACTOR else []
        counts = [map(int, commit.run(command, "-c", COUNT)[1].split()) for commit in (base, head)]
        for name, before, after in zip(COUNTS, *counts, strict=True):
            cells.append(str(after) if before == after else f"{before} -> {after}")
            worse += [f"{command}: {name}: {before} -> {after}"] if after > FACTOR * before + FEW else []
        print(f"| {' | '.join(cells)} |", flush=True)
    return worse


def main() -> int:
    """Compare the commits."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", required=True, metavar="COMMIT", help="Compare with this commit")
    parser.add_argument("--pairs", type=int, default=15, metavar="N", help="Number of runs of each commit")
    options = parser.parse_args()
    ctypes.CDLL(None).prctl(_BECOME_SUBREAPER, 1)
    with tempfile.TemporaryDirectory() as name:
        tree = subprocess.run(["git", "archive", options.base, "py"], cwd=ROOT, check=True, capture_output=True).stdout
        with tarfile.open(fileobj=io.BytesIO(tree)) as tar:
            tar.extractall(name, filter="data")
        base, head = Commit(Path(name, "base"), Path(name, "py")), Commit(Path(name, "head"), ROOT / "py")
        worse = compare(base, head, options.pairs)
    print("\n".join(worse) or "no figure exceeds its limit")
    return int(bool(worse))


if __name__ == "__main__":
    sys.exit(main())
