"""Counts the services of projects that can be analyzed statically, and compares the results with real imports.

    python bench/public_services.py DIRECTORY [--import PYTHON] [--verbose]

Each subdirectory of DIRECTORY is a project. PYTHON is an interpreter that has BentoML. Services that require packages
that PYTHON doesn't have aren't compared. The program only prints a table.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "py"))

from rules_bento.errors import BentoError
from rules_bento.service import ServiceInfo, SourceTree, read_service

_MENTION = re.compile(r"(@|= ?)bentoml\.service\b")
_NAMES = (
    re.compile(r"@bentoml\.service\b(?:.|\n)*?^class (\w+)", re.MULTILINE),
    re.compile(r"^(\w+) ?= ?bentoml\.service\(", re.MULTILINE),
)
_MARKERS = ("bentofile.yaml", "bentofile.yml", "pyproject.toml")
_IMPORT = """
import importlib, json, os, sys
root, module, name = sys.argv[1:]
sys.path.insert(0, root)
os.chdir(root)
service = importlib.import_module(module)
for part in name.split("."):
    service = getattr(service, part)
row = lambda one: {
    "name": one.name, "config": one.config, "apis": sorted(route["route"] for route in one.schema()["routes"]),
    "dependencies": [each.on.name if each.on else None for each in one.dependencies.values()],
    "models": len(one.models),
}
image = service.image and [service.image.base_image, service.image.python_version]
print("\\n" + json.dumps({
    "services": [row(one) for one in service.all_services().values()],
    "labels": {key: str(value) for key, value in service.labels.items()},
    "envs": [[env.name, env.value, env.stage] for env in service.envs],
    "description": service.description, "image": image,
}, default=str))
"""


def services_of(directory: Path) -> list[tuple[Path, str, str]]:
    """Return the services in a directory: the project directory, the module, and the name of each service."""
    found = []
    for file in sorted(directory.rglob("*.py")):
        text = file.read_text(errors="replace")
        if file.is_relative_to(directory / "BentoML/src") or not _MENTION.search(text):
            continue
        root = next(one for one in file.parents if one == directory or any((one / name).exists() for name in _MARKERS))
        if root == directory or root.name == "BentoML":
            root = file.parent
        module = file.relative_to(root).as_posix()[:-3].replace("/", ".")
        names = [name for pattern in _NAMES for name in pattern.findall(text)]
        found += [(root, module, name) for name in dict.fromkeys(names)]
    return found


def fields(info: ServiceInfo) -> dict[str, object]:
    """Return the compared metadata of a statically analyzed service."""
    rows = [
        {
            "name": one.name,
            "config": one.config,
            "apis": sorted(api.route for api in one.apis),
            "dependencies": [each.service for each in one.dependencies],
            "models": len(one.models),
        }
        for one in info.services
    ]
    labels = {key: value for key, value in info.labels.items() if key != "openai_endpoint"}
    given = info.image.arguments if info.image else {}
    return {
        "services": rows,
        "labels": labels,
        "envs": [[env.name, env.value, env.stage] for env in info.envs],
        "description": info.description,
        "image": info.image and [given.get("base_image"), given.get("python_version")],
    }


def imported(python: str, root: Path, module: str, name: str) -> dict[str, object] | None:
    """Return the same metadata from an import, or None if the import fails."""
    done = subprocess.run(
        [python, "-c", _IMPORT, str(root), module, name], capture_output=True, text=True, check=False, timeout=120
    )
    return json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else None


def differing(ours: dict[str, object], theirs: dict[str, object]) -> list[str]:
    """Return the names of the differing fields."""
    if isinstance(theirs["labels"], dict):
        theirs["labels"].pop("openai_endpoint", None)
        given = ours["labels"]
        assert isinstance(given, dict)
        given.pop("openai_endpoint", None)
    image = ours["image"]
    if isinstance(image, list) and isinstance(theirs["image"], list):  # BentoML sets defaults
        theirs["image"] = [own and one for own, one in zip(image, theirs["image"], strict=True)]
    ours = json.loads(json.dumps(ours))
    return [f"{key}: {ours[key]!r} is not {theirs[key]!r}" for key in ours if ours[key] != theirs[key]]


def main() -> None:
    """Count the services, and print the rejected services."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directories", type=Path, nargs="+")
    parser.add_argument("--import", dest="python", help="Compare with imports by this interpreter")
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    counts = dict.fromkeys(["static", "rejected", "compared", "different"], 0)
    spent = 0.0
    for root, module, name in [each for directory in options.directories for each in services_of(directory)]:
        files = {
            path.relative_to(root).as_posix(): path
            for path in root.rglob("*")
            if path.is_file() and ".git" not in path.parts
        }
        tree = SourceTree(files.keys(), lambda path, files=files: files[path].read_bytes())  # type: ignore[misc]
        start = time.process_time()
        try:
            info = read_service(f"{module}:{name}", tree)
            why = "; ".join(f"{one.path}:{one.line}: {one.what}" for one in info.unknowns)
        except BentoError as error:
            why = str(error)
        spent += time.process_time() - start
        counts["rejected" if why else "static"] += 1
        if why:
            print(f"{root}: {module}:{name}: {why[:400]}")
            continue
        theirs = imported(options.python, root, module, name) if options.python else None
        if theirs:
            different = differing(fields(info), theirs)
            counts["compared"] += 1
            counts["different"] += bool(different)
            for line in different:
                print(f"{root}: {module}:{name}: DIFFERS: {line}")
        elif options.verbose and options.python:
            print(f"{root}: {module}:{name}: not imported")
    print(counts, f"{spent:.2f} s")


if __name__ == "__main__":
    main()
