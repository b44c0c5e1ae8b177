"""Compares archives of Bentos with `bentoml export` and tar with xz, and measures `bentoml import` of each archive.

    python bench/archive.py [--bentoml COMMAND] [--megabytes N] [--runs N] [--slow]

Prints one table: for each kind of content, each tool packs a Bento with this content in src/ (median of the runs).
"cpu" is the user and system time in seconds of the process and its children, "peak" the largest resident size of one
process. Tools that compress weights with liblzma need minutes for large weights, and run only with --slow. Without a
BentoML command, its rows and the import column are empty.
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
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PACKAGE = Path(__file__).resolve().parents[1] / "py"
PIECE = 1 << 20


class Used(NamedTuple):
    """Holds the resources of a command: wall seconds, CPU seconds, and peak memory in MB."""

    wall: float
    cpu: float
    peak: float


def run(command: Sequence[str | Path], **variables: str) -> Used:
    """Run a command. Exits if the command fails."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env={**os.environ, **variables})
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command[0]} failed: {process.returncode}")
    unit = 1 << 10 if sys.platform == "linux" else 1 << 20
    return Used(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / unit)


def median(used: Sequence[Used]) -> Used:
    """Return the median of each figure."""
    return Used(*(statistics.median(values) for values in zip(*used, strict=True)))


def write_sources(directory: Path, megabytes: int) -> None:
    """Write a tree of Python sources: part of the standard library."""
    library = Path(os.__file__).parent
    for name in ("asyncio", "email", "encodings", "json", "multiprocessing", "unittest", "xml"):
        shutil.copytree(library / name, directory / name, ignore=shutil.ignore_patterns("__pycache__"))


def write_json(directory: Path, megabytes: int) -> None:
    """Write records of short strings and numbers."""
    chance = random.Random(1)
    with (directory / "records.jsonl").open("w") as file:
        for number in range(megabytes * 11_000):
            text = " ".join(chance.choices(["the", "quick", "brown", "fox", "jumps", "over"], k=6))
            file.write(json.dumps({"id": number, "score": chance.random(), "text": text}) + "\n")


def write_forest(directory: Path, megabytes: int) -> None:
    """Write data similar to a pickled forest: arrays of nodes with small integers and repeated thresholds."""
    chance = random.Random(2)
    with (directory / "forest.pkl").open("wb") as file:
        for _ in range(megabytes):
            thresholds = [chance.randbytes(8) for _ in range(500)]
            node = (chance.choice(thresholds) + chance.randrange(4000).to_bytes(8, "little") for _ in range(65_536))
            file.write(b"".join(node))


def write_weights(directory: Path, megabytes: int) -> None:
    """Write 32-bit floats similar to a trained layer: any mantissa, few exponents."""
    chance = random.Random(3)
    exponents = bytes(chance.choices([0x3A, 0x3B, 0x3C, 0xBA, 0xBB, 0xBC], weights=[1, 3, 5, 1, 3, 5], k=256))
    with (directory / "model.safetensors").open("wb") as file:
        for _ in range(megabytes):
            data = bytearray(chance.randbytes(PIECE))
            data[3::4] = data[3::4].translate(exponents)
            file.write(data)


def write_random(directory: Path, megabytes: int) -> None:
    """Write incompressible bytes."""
    with (directory / "model.bin").open("wb") as file:
        for _ in range(megabytes):
            file.write(os.urandom(PIECE))


KINDS: dict[str, Callable[[Path, int], None]] = {
    "python sources": write_sources,
    "json": write_json,
    "forest": write_forest,
    "weights": write_weights,
    "random": write_random,
}
LARGE = ("weights", "random")


def make_bento(home: Path, kind: str, megabytes: int) -> Path:
    """Create a Bento in the store at `home`, with content of the given kind in src/."""
    name = kind.replace(" ", "-")
    bento = home / "bentos" / name / "v1"
    (bento / "src").mkdir(parents=True)
    (bento / "bento.yaml").write_text(
        f"service: service:Hi\nname: {name}\nversion: v1\nbentoml_version: 1.4.40\nspec: 2\n"
        "creation_time: '2026-01-01T00:00:00+00:00'\nservices: [{name: Hi, service: ''}]\n"
    )
    KINDS[kind](bento / "src", megabytes if kind in LARGE else 8)
    return bento


def pack(directory: Path, out: Path, threads: int) -> None:
    """Pack in the measured process as the actions do: one part with all files, then the archive."""
    sys.path.insert(0, str(PACKAGE))
    from rules_bento.base.archives import archive
    from rules_bento.base.archives.tarstream import Member

    files = sorted(path for path in directory.rglob("*") if path.is_file())
    part = out.with_suffix(".part")
    members = (Member.file(path.relative_to(directory).as_posix(), str(path)) for path in files)
    archive.write_part(part, members, threads=threads or None)
    archive.join(out, [part])


def commands(bento: Path, out: Path, options: argparse.Namespace) -> dict[str, list[str | Path]]:
    """Return the commands of the installed tools, by name."""
    ours: list[str | Path] = [sys.executable, "-I", "-S", "-B", Path(__file__), "--pack", bento, "--out", out]
    tar: list[str | Path] = ["tar", "-C", bento, "-cf", out]
    found = {
        "ours": ours,
        "ours, 1 thread": [*ours, "--threads", "1"],
        "tar | xz -0 -T0": [*tar, "-I", "xz -0 -T0", "."],
    }
    if options.slow or bento.parent.name not in LARGE:
        found["tar | xz -6"] = [*tar, "-I", "xz -6", "."]
        if options.bentoml:
            found["bentoml export"] = [options.bentoml, "export", f"{bento.parent.name}:v1", out]
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bentoml", default=os.environ.get("RULES_BENTO_BENTOML") or shutil.which("bentoml"))
    parser.add_argument("--megabytes", type=int, default=500, help="Set the size of large contents, in MiB")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--slow", action="store_true")
    parser.add_argument("--pack", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--threads", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.pack:
        pack(options.pack, options.out, options.threads)
        return
    columns = ("content", "tool", "MB", "packed", "wall s", "cpu s", "MB/s", "peak", "import s")
    print("{:15} {:16} {:>7} {:>7} {:>7} {:>7} {:>6} {:>5} {:>8}".format(*columns))
    for kind in KINDS:
        with tempfile.TemporaryDirectory() as name:
            compare(kind, Path(name), options)


def compare(kind: str, directory: Path, options: argparse.Namespace) -> None:
    """Print the rows of one kind of content."""
    bento = make_bento(directory / "home", kind, options.megabytes)
    size = sum(path.stat().st_size for path in bento.rglob("*") if path.is_file()) / 1e6
    out = directory / "out.bento"
    for tool, command in commands(bento, out, options).items():
        used = []
        for _ in range(options.runs):
            out.unlink(missing_ok=True)
            used.append(run(command, BENTOML_HOME=str(directory / "home"), BENTOML_DO_NOT_TRACK="true"))
        middle = median(used)
        print(
            f"{kind:15} {tool:16} {size:7.1f} {out.stat().st_size / 1e6:7.1f} {middle.wall:7.2f} {middle.cpu:7.2f}"
            f" {size / middle.wall:6.0f} {middle.peak:5.0f} {import_seconds(out, directory, options):>8}",
            flush=True,
        )


def import_seconds(file: Path, directory: Path, options: argparse.Namespace) -> str:
    """Return the time that BentoML needs to import the file."""
    if not options.bentoml:
        return ""
    used = []
    for number in range(options.runs):
        home = directory / f"imported-{number}"
        command = [options.bentoml, "import", file]
        used.append(run(command, BENTOML_HOME=str(home), BENTOML_DO_NOT_TRACK="true"))
        shutil.rmtree(home)
    return f"{median(used).wall:.2f}"


if __name__ == "__main__":
    main()
