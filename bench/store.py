"""Compares the `bento` command with `bentoml`, on stores with the same content.

    python bench/store.py [--bentoml COMMAND] [--runs N] [--megabytes N] [--entries N ...] [--slow]

Prints one table: for each operation, the tools (median of the runs). "cpu" is the user and system time in seconds of
the process and its children, "peak" the largest resident size of one process. `bentoml export` of large files spends
minutes in liblzma, and runs only with --slow. Without a BentoML command, its rows are omitted. "no sync" doesn't wait
for the disk, as `bentoml` never does. `tar` unpacks the archive, and `cp` copies the files, as the least work.
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import BinaryIO

PACKAGE = Path(__file__).resolve().parents[1] / "py"
OURS = [sys.executable, "-c", "import sys; from bento_cli.cli import main; sys.exit(main())"]


_ONE = "service7:v57"


class Used(NamedTuple):
    """Holds the resources of a command: wall seconds, CPU seconds, and peak memory in MB."""

    wall: float
    cpu: float
    peak: float


class Row(NamedTuple):
    """Describes an operation of a tool: its command, and the function that prepares the store before each run."""

    operation: str
    tool: str
    command: list[str]
    home: Callable[[], Path]


def run(command: Sequence[str], home: Path) -> Used:
    """Run a command. Exits if the command fails."""
    variables = {**os.environ, "BENTOML_HOME": str(home), "BENTOML_DO_NOT_TRACK": "true", "PYTHONPATH": str(PACKAGE)}
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=variables)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed: {process.returncode}")
    unit = 1 << 10 if sys.platform == "linux" else 1 << 20
    return Used(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / unit)


def show(row: Row, runs: int) -> None:
    """Measure a row and print it."""
    used = [run(row.command, row.home()) for _ in range(runs)]
    middle = Used(*(statistics.median(values) for values in zip(*used, strict=True)))
    print(f"{row.operation:36} {row.tool:26} {middle.wall:8.2f} {middle.cpu:8.2f} {middle.peak:6.0f}", flush=True)


def descriptor(tag: str, day: int) -> bytes:
    """Return a bento.yaml of the usual size, with a schema."""
    name, version = tag.split(":")
    routes = [
        {"name": f"api{n}", "route": f"/api{n}", "input": {"properties": {"x": {"type": "array"}}}} for n in range(6)
    ]
    document = {
        "service": "service:Hi",
        "name": name,
        "version": version,
        "bentoml_version": "1.4.40",
        "creation_time": f"2026-01-{1 + day % 28:02}T00:{day % 60:02}:00+00:00",
        "labels": {"team": "bench"},
        "entry_service": "Hi",
        "services": [{"name": "Hi", "service": "", "models": [], "dependencies": [], "config": {"workers": 1}}],
        "schema": {"name": "Hi", "type": "service", "routes": routes},
        "spec": 2,
        "image": {"base_image": "python:3.11-slim", "python_version": "3.11"},
    }
    import yaml

    text: str = yaml.safe_dump(document, sort_keys=False)
    return text.encode()


def fill(home: Path, numbers: Iterable[int]) -> None:
    """Add Bentos to a store as `bentoml build` does: ten files for each Bento."""
    files = ["README.md", "apis/openapi.yaml", "apis/schema.json", "env/docker/Dockerfile", "env/docker/entrypoint.sh"]
    files += ["env/python/requirements.in", "env/python/requirements.txt", "src/bentofile.yaml", "src/service.py"]
    for number in numbers:
        tag = f"service{number % 50}:v{number}"
        directory = home / "bentos" / tag.replace(":", "/")
        for path in files:
            (directory / path).parent.mkdir(parents=True, exist_ok=True)
            (directory / path).write_text(f"{path} {number}\n" * 20)
        (directory / "bento.yaml").write_bytes(descriptor(tag, number))
    (home / "models").mkdir(exist_ok=True)


def pack(path: Path, tag: str, files: Iterator[tuple[str, int, BinaryIO]]) -> None:
    """Write an archive as `bentoml export` does, but much faster."""
    from rules_bento.base.archives import xz

    text = descriptor(tag, 1)
    plain = path.with_suffix(".tar")
    with tarfile.open(plain, mode="w") as archive:
        for name, size, file in [("bento.yaml", len(text), io.BytesIO(text)), *files]:
            info = tarfile.TarInfo(f"./{name}")
            info.size = size
            archive.addfile(info, file)
    with plain.open("rb") as tar, path.open("wb") as out:
        out.writelines(xz.stream(iter(lambda: tar.read(xz.BLOCK), b"")))
    plain.unlink()


def small_files(version: int) -> Iterator[tuple[str, int, BinaryIO]]:
    """Yield 10,000 files; one hundred of them differ between versions."""
    for number in range(10_000):
        text = f"# {number} {version if number % 100 == 0 else ''}\n".encode() * (1 + number % 40)
        yield f"src/package{number % 40}/module{number}.py", len(text), io.BytesIO(text)


class Noise(io.RawIOBase):
    """Provides an endless file that is incompressible, as weights are."""

    def read(self, size: int = -1) -> bytes:
        """Return random bytes."""
        return os.urandom(size)


def large_file(megabytes: int) -> Iterator[tuple[str, int, BinaryIO]]:
    """Yield one large file."""
    yield "src/weights.bin", megabytes << 20, cast("BinaryIO", Noise())


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bentoml", default=os.environ.get("RULES_BENTO_BENTOML") or shutil.which("bentoml"))
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--megabytes", type=int, default=500)
    parser.add_argument("--entries", type=int, nargs="*", default=[200, 5000])
    parser.add_argument("--slow", action="store_true")
    options = parser.parse_args()
    sys.path.insert(0, str(PACKAGE))
    print(f"{'operation':36} {'tool':26} {'wall s':>8} {'cpu s':>8} {'MB':>6}")
    for entries in options.entries:
        with tempfile.TemporaryDirectory() as name:
            listing(Path(name), entries, options)
    for title, contents in (
        ("10,000 files", small_files),
        (f"{options.megabytes} MB", lambda _: large_file(options.megabytes)),
    ):
        with tempfile.TemporaryDirectory() as name:
            moving(Path(name), title, contents, options)


def listing(directory: Path, entries: int, options: argparse.Namespace) -> None:
    """Measure `--help`, `list` of many Bentos, and commands for one Bento."""
    fill(directory, range(entries))

    def anew() -> Path:
        shutil.rmtree(directory / ".rules_bento", ignore_errors=True)
        return directory

    def complete() -> Path:
        fill(directory, [57])
        return directory

    one, commands = f"one of {entries}", {"bento": OURS, "bentoml": [options.bentoml]}
    of_one = {"list NAME": ["list", "service7"], "get": ["get", _ONE], "delete": ["delete", "-y", _ONE]}
    ours = {"tree": ["tree", _ONE], "verify": ["verify", _ONE]}
    rows = [
        Row(f"list {entries}, the first time", "bento", [*OURS, "list"], anew),
        Row(f"list {entries}", "bento", [*OURS, "list"], lambda: directory),
        Row(f"list {entries}", "bentoml", [options.bentoml, "list"], lambda: directory),
        *(Row("--help", tool, [*command, "--help"], lambda: directory) for tool, command in commands.items()),
        *(
            Row(f"{operation}, {one}", tool, [*command, *words], complete)
            for operation, words in of_one.items()
            for tool, command in commands.items()
        ),
        *(Row(f"{operation}, {one}", "bento", [*OURS, *words], complete) for operation, words in ours.items()),
    ]
    for row in rows:
        if row.command[0]:
            show(row, options.runs)


def moving(
    directory: Path,
    title: str,
    contents: Callable[[int], Iterator[tuple[str, int, BinaryIO]]],
    options: argparse.Namespace,
) -> None:
    """Measure imports and exports."""
    first, second, out = directory / "v1.bento", directory / "v2.bento", directory / "out.bento"
    many = contents is small_files
    pack(first, "hi:v1", contents(1))
    if many:
        pack(second, "hi:v2", contents(2))
    # Each run has a separate store, which is removed only at the end, because ext4 creates files slowly in places
    # where many files were just removed.
    numbers = count()

    def empty() -> Path:
        home = directory / f"home{next(numbers)}"
        (home / "bentos").mkdir(parents=True)
        (home / "models").mkdir()
        return home

    def with_first() -> Path:
        home = empty()
        run([*OURS, "import", "--no-sync", str(first)], home)
        return home

    full = with_first()
    rows = [
        Row(f"import {title}", "bento", [*OURS, "import", str(first)], empty),
        Row(f"import {title}", "bento, no sync", [*OURS, "import", "--no-sync", str(first)], empty),
        Row(f"import {title}", "bentoml", [options.bentoml, "import", str(first)], empty),
        Row(f"import {title}", "tar", ["sh", "-c", 'tar -xf "$1" -C "$BENTOML_HOME"', "sh", str(first)], empty),
    ]
    if many:
        rows += [
            Row(f"import {title}, next version", "bento", [*OURS, "import", str(second)], with_first),
            Row(f"import {title}, next version", "bentoml", [options.bentoml, "import", str(second)], with_first),
        ]
    rows.append(Row(f"export {title}", "bento", [*OURS, "export", "hi:v1", str(out)], lambda: full))
    for more in (["--no-verify"], ["--no-verify", "--format", "tar"]):
        rows.append(Row(f"export {title}", " ".join(more), [*OURS, "export", "hi:v1", str(out), *more], lambda: full))
    copied = ["sh", "-c", 'cp -r "$1" "$BENTOML_HOME"', "sh", str(full / "bentos/hi/v1")]
    rows.append(Row(f"export {title}", "cp", copied, empty))
    if options.slow or many:
        rows.append(Row(f"export {title}", "bentoml", [options.bentoml, "export", "hi:v1", str(out)], lambda: full))
    rows.append(Row(f"verify {title}", "bento", [*OURS, "verify"], lambda: full))
    for row in rows:
        if row.command[0]:
            show(row, options.runs)


if __name__ == "__main__":
    main()
