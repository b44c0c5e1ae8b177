"""Prints the versions of tests/requirements.lock.json as a constraints file of pip.

    python3 tools/constraints.py > constraints.txt

A package that has several versions, for several Pythons, gets a range.
"""

import json
import sys
from pathlib import Path

LOCK = Path(__file__).resolve().parents[1] / "tests/requirements.lock.json"


def constraints(packages: list[dict[str, str]]) -> list[str]:
    """Return the lines, in the order of the lock, which is by name and version."""
    versions: dict[str, list[str]] = {}
    for package in packages:
        versions.setdefault(package["name"], []).append(package["version"])
    return [
        f"{name}=={found[0]}" if len(found) == 1 else f"{name}>={found[0]},<={found[-1]}"
        for name, found in versions.items()
    ]


if __name__ == "__main__":
    sys.stdout.write("".join(f"{line}\n" for line in constraints(json.loads(LOCK.read_bytes())["packages"])))
