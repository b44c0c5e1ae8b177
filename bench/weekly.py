"""Counts the bytes that a server pulls after weekly upgrades of a lock: `python bench/weekly.py [PACKAGE...]`.

Resolves the packages with uv as of 17 Mondays, for Linux on x86-64 and this Python. Compares the layers of `bento
image`, compressed as wheels are, with one layer of all packages, as in a Dockerfile with `uv sync`. Downloads only
metadata.
"""

import argparse
import datetime as dt
import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "py"), str(ROOT / "py/bento_cli")]

from rules_bento.base.formats.toml import read_toml  # noqa: E402 - from the source tree
from rules_bento.bentos.packages.wheel_choice import best_wheel  # noqa: E402
from rules_bento.images.plan import group_wheels  # noqa: E402

PYTHON = f"3.{sys.version_info.minor}"
WEEKS, END = 16, dt.date(2026, 11, 23)
PROJECT = """\
[project]
name = "weekly"
version = "0"
requires-python = "=={}.*"
dependencies = {}
[tool.uv]
environments = ["sys_platform == 'linux' and platform_machine == 'x86_64'"]
"""


def resolve(directory: Path, day: dt.date) -> dict[str, tuple[str, int]]:
    """Return the hash and the size of the wheel of each package, as of a day."""
    (directory / "uv.lock").unlink(missing_ok=True)
    subprocess.run(["uv", "lock", "-q", f"--exclude-newer={day}T00:00:00Z"], cwd=directory, check=True)
    found = {}
    for package in read_toml((directory / "uv.lock").read_bytes(), "uv.lock")["package"]:
        wheels = {wheel["url"].rpartition("/")[2]: wheel for wheel in package.get("wheels", ())}
        if name := best_wheel(wheels, "linux_amd64", PYTHON, "2.41"):
            found[package["name"]] = (wheels[name]["hash"], wheels[name]["size"])
    return found


def layers(packages: dict[str, tuple[str, int]]) -> dict[tuple[str, ...], int]:
    """Return the sizes of the layers, by the hashes of their wheels."""
    groups = group_wheels({name: size for name, (_, size) in sorted(packages.items())})
    return {tuple(packages[name][0] for name in group): sum(packages[name][1] for name in group) for group in groups}


def main() -> None:
    """Print the bytes of each week, and their sums."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packages", nargs="*", default=["fastapi", "uvicorn", "pandas", "scikit-learn"])
    names = parser.parse_args().packages
    before: dict[str, tuple[str, int]] = {}
    sums = [0, 0]
    with tempfile.TemporaryDirectory() as scratch:
        (Path(scratch) / "pyproject.toml").write_text(PROJECT.format(PYTHON, json.dumps(names)))
        for week in range(WEEKS, -1, -1):
            now = resolve(Path(scratch), END - dt.timedelta(weeks=week))
            old, new = layers(before), layers(now)
            pulled = [sum(size for key, size in new.items() if key not in old), sum(new.values()) * (now != before)]
            if before:
                sums = [total + more for total, more in zip(sums, pulled, strict=True)]
                day = END - dt.timedelta(weeks=week)
                print(f"{day}: {pulled[0] / 1e6:.1f} MB of layers, {pulled[1] / 1e6:.1f} MB of one")
            before = now
    print(f"{WEEKS} weeks: {sums[0] / 1e6:,.0f} MB with layers, {sums[1] / 1e6:,.0f} MB with one layer")


if __name__ == "__main__":
    main()
