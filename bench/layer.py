"""Compares layers of wheels with `uv pip install` + `tar` + a compressor, and with the limits of this machine.

    python bench/layer.py DIRECTORY [--runs N] [--uv COMMAND] [--img COMMAND]

All methods run on one core, except for the rows "2 cores". DIRECTORY contains wheels for the Python that runs this
program. "cpu" is the user and system time in seconds of a method with all its processes (median of the runs); MB/s are
unpacked bytes per CPU second, which other work on the machine hardly affects; "wall" is the elapsed time. "size" is
relative to `gzip -6` or `zstd -3`, and "peak" the largest resident size of one process.

The methods with uv neither verify RECORD nor compute digests, and start with an empty cache. "uv" links files from its
cache, as by default, and "uv copy" copies files with `--link-mode copy`. `img` is the tool of
rules_img, which creates a layer with digests from the packages that uv installed. Each method writes to an empty
directory, whose removal isn't measured. The modules of rules_bento are compiled before the measurement, and use zlib-ng
if it is installed, as in actions; the first line reports this. The limits decompress all files in memory, compress them
(zstd in the frames of a layer, gzip not at all), and compute SHA-256 of both. "limit, RECORD" also computes SHA-256 of
each file, which is necessary to verify RECORD. The limits write no files.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

PACKAGE = Path(__file__).resolve().parents[1] / "py"

ALONE = 128 << 10  # as in private/wheel_groups.bzl
_TWO_CORES = "2 cores"


class Used(NamedTuple):
    """Holds the resources of a method: wall seconds, CPU seconds, peak memory in MB, and the size of the layer."""

    wall: float
    cpu: float
    peak: float
    size: int


def write_layer(kind: str, wheels: Sequence[Path], out: Path) -> None:
    """Write a layer in the measured process as the actions do: large wheels directly, the others from parts."""
    from rules_bento.images.layers.layer import write_wheel_layer
    from rules_bento.images.layers.parts import WheelPart, join_parts, write_wheel_part
    from rules_bento.images.wheels.install import InstallLayout
    from rules_bento.images.wheels.wheel import Wheel

    layout = InstallLayout.venv("/app/.venv", sys.version_info[1])
    parts, large = [], 0
    for wheel in wheels:
        path = out.with_name(wheel.name)
        if wheel.stat().st_size >= ALONE:
            large += write_wheel_layer(path, Wheel.read(wheel), layout, kind).size  # type: ignore[arg-type]
        else:
            parts.append(WheelPart(write_wheel_part(path, Wheel.read(wheel), layout, kind), path))  # type: ignore[arg-type]
    join_parts(out, parts, layout, kind)  # type: ignore[arg-type]
    os.truncate(out, out.stat().st_size + large)  # the total size, including large wheels


def limit(kind: str, wheels: Sequence[Path]) -> None:
    """Only decompress, hash, and compress the files, which is the minimum for any method."""
    import hashlib

    from rules_bento.base.archives.zipread import DEFLATED, fast_zlib
    from rules_bento.images.layers.layer import ZSTD_FRAME
    from rules_bento.images.layers.zstd import frames
    from rules_bento.images.wheels.wheel import Wheel

    compression, _, record = kind.partition("+")
    inflater, compress = fast_zlib(), frames(storing=False)
    diff, digest = hashlib.sha256(), hashlib.sha256()
    for file in wheels:
        members = Wheel.read(file).members
        with file.open("rb", buffering=0) as zip_file:
            waiting = bytearray()
            for member in members:
                zip_file.seek(member.offset)
                header = zip_file.read(30)
                begin = (
                    member.offset
                    + 30
                    + int.from_bytes(header[26:28], "little")
                    + int.from_bytes(header[28:30], "little")
                )
                zip_file.seek(begin)
                inflate = inflater.decompressobj(-15) if member.method == DEFLATED else None
                own = hashlib.sha256()
                left = member.packed_size
                while left:
                    packed = zip_file.read(min(left, 1 << 18))
                    left -= len(packed)
                    data = inflate.decompress(packed) if inflate else packed
                    diff.update(data)
                    if record:
                        own.update(data)
                    if compression == "gzip":
                        digest.update(packed)
                    else:
                        waiting += data
                while len(waiting) >= ZSTD_FRAME:
                    digest.update(compress(bytes(waiting[:ZSTD_FRAME])))
                    del waiting[:ZSTD_FRAME]
            if waiting:
                digest.update(compress(bytes(waiting)))


def restrict(cores: int) -> None:
    """Restrict this process and its children to the last available cores."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-cores:])


def run(command: Sequence[str | Path], out: Path, cores: int = 1) -> Used:
    """Run a method in an empty directory. Exits if the method fails."""
    shutil.rmtree(out.parent, ignore_errors=True)
    out.parent.mkdir()
    before = os.times()
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, preexec_fn=lambda: restrict(cores))
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command[0]} failed: {process.returncode}")
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    unit = 1 << 10 if sys.platform == "linux" else 1 << 20
    return Used(wall, cpu, usage.ru_maxrss / unit, out.stat().st_size if out.exists() else 0)


def ways(
    wheels: Sequence[Path], compiled: Path, uv: str | None, img: str | None, out: Path
) -> dict[str, list[str | Path]]:
    """Return the commands of the available methods by name. Bytecode is written to `compiled`."""
    options = ["-I", "-X", f"pycache_prefix={compiled}"]
    ours: list[str | Path] = [sys.executable, *options, Path(__file__), "--out", out, *wheels]
    found: dict[str, list[str | Path]] = {}
    for kind in ("gzip", "zstd", "none"):
        found[f"ours, {kind}"] = found[f"ours, {kind}, {_TWO_CORES}"] = [*ours, "--write", kind]
    for kind in ("gzip", "gzip+record", "zstd", "zstd+record"):
        found[f"limit, {kind.replace('+record', ', RECORD')}"] = [*ours, "--limit", kind]
    if not uv:
        return found
    install = f"{uv} pip install -q --no-deps --no-compile --offline --no-index --no-config --python {sys.executable}"
    target = out.with_name("target")
    prepare = f"set -e; {install} --cache-dir {target}/cache --target {target}/site"
    tar = f"tar -C {target} --sort=name --mtime=@0 --owner=0 --group=0 -c site"
    for compressor in ("gzip -6", "pigz -6", "zstd -3"):
        if shutil.which(compressor.split()[0]):
            for way, mode in (("uv", ""), ("uv copy", "--link-mode copy")):
                script = f'{prepare} {mode} "$@"; {tar} | {compressor} > {out}'
                found[f"{way}, tar, {compressor}"] = ["sh", "-c", script, "sh", *wheels]
    for kind in ("gzip", "zstd") if img else ():
        listed = f"(cd {target}; find site -type f -printf '%p\\0f{target}/%p\\n') > {target}/files"
        layer = f"GOMAXPROCS=1 {img} layer --format {kind} --compressor-jobs 1 --add-from-file {target}/files {out}"
        found[f"uv, img, {kind}"] = ["sh", "-c", f'{prepare} "$@"; {listed}; {layer}', "sh", *wheels]
    return found


def unpacked(wheels: Sequence[Path]) -> int:
    """Return the total unpacked size of all files."""
    from rules_bento.images.wheels.wheel import Wheel

    return sum(member.size for wheel in wheels for member in Wheel.read(wheel).members)


def median(used: Sequence[Used]) -> Used:
    """Return the median of each figure."""
    return Used(*(statistics.median(values) for values in zip(*used, strict=True)))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "wheels", type=Path, nargs="+", metavar="DIRECTORY", help="Pack these wheels, or this directory"
    )
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--uv", default=os.environ.get("RULES_BENTO_UV") or shutil.which("uv"))
    parser.add_argument("--img", help="Compare with this program of rules_img")
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--write", help=argparse.SUPPRESS)
    parser.add_argument("--limit", help=argparse.SUPPRESS)
    options = parser.parse_args()
    sys.path.insert(0, str(PACKAGE))
    wheels = [wheel for path in options.wheels for wheel in (sorted(path.glob("*.whl")) if path.is_dir() else [path])]
    if options.write:
        write_layer(options.write, wheels, options.out)
    elif options.limit:
        limit(options.limit, wheels)
    else:
        compare([wheel.resolve() for wheel in wheels], options)


def compare(wheels: Sequence[Path], options: argparse.Namespace) -> None:
    """Run all methods in turn, so that other work on the machine affects all of them."""
    from rules_bento.base.archives.zipread import fast_zlib

    size = unpacked(wheels)
    packed = sum(wheel.stat().st_size for wheel in wheels)
    inflater = fast_zlib().__name__
    print(f"{len(wheels)} wheels, {packed / 1e6:.0f} MB, {size / 1e6:.0f} MB unpacked; inflated by {inflater}")
    with tempfile.TemporaryDirectory() as name:
        out = Path(name) / "out" / "layer"
        commands = ways(wheels, Path(name) / "compiled", options.uv, options.img, out)
        run(commands["ours, zstd"], out)  # compiles all modules
        used: dict[str, list[Used]] = {way: [] for way in commands}
        for _ in range(options.runs):
            for way, command in commands.items():
                used[way].append(run(command, out, 2 if way.endswith(_TWO_CORES) else 1))
    show({way: median(figures) for way, figures in used.items()}, size)


def show(figures: dict[str, Used], size: int) -> None:
    """Print a row for each method, compared with the pipeline and the limit of the same kind."""
    columns = ("way", "MB/s", "cpu s", "wall s", "peak MB", "layer MB", "size", "x pipeline", "% of limit", "% RECORD")
    print("{:20} {:>6} {:>6} {:>7} {:>8} {:>9} {:>6} {:>11} {:>11} {:>9}".format(*columns))
    for way, used in figures.items():
        found = re.search("gzip|zstd", way.replace("pigz", "gzip"))
        kind = found[0] if found else ""
        pipeline = figures.get({"gzip": "uv, tar, gzip -6", "zstd": "uv, tar, zstd -3"}.get(kind, ""))
        limits = [figures.get(f"limit, {kind}"), figures.get(f"limit, {kind}, RECORD")]
        relative = f"{used.size / pipeline.size:.3f}" if pipeline and used.size else ""
        faster = f"{pipeline.cpu / used.cpu:.1f}" if pipeline else ""
        shares = [f"{100 * limit.cpu / used.cpu:.0f}" if limit else "" for limit in limits]
        print(
            f"{way:20} {size / 1e6 / used.cpu:6.0f} {used.cpu:6.2f} {used.wall:7.2f} {used.peak:8.0f} "
            f"{used.size / 1e6:9.1f} {relative:>6} {faster:>11} {shares[0]:>11} {shares[1]:>9}"
        )


if __name__ == "__main__":
    main()
