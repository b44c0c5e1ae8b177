"""Counts the services of projects that can be analyzed statically, and compares the results with real imports.

    python bench/public_services.py DIRECTORY [--import PYTHON] [--verbose] [--list FILE [--write COMMITS]]

Each subdirectory of DIRECTORY is a project. PYTHON is an interpreter that has BentoML. Services that require packages
that PYTHON doesn't have aren't compared.

`--list bench/public_services.json` compares the results with a list, and prints each service with another result. For
the list, a subdirectory `OWNER+NAME` is the commit of this repository that the list names. Python code blocks of
`docs/source` of BentoML's repository are services, too. `--write COMMITS` writes the list; COMMITS is a JSON object
with the commit of each repository.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import textwrap
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
_BLOCK = re.compile(r"^( *)\.\. code-block:: python\n(?:\1 +:.*\n)*((?:\1 +\S.*\n|\s*\n)+)", re.MULTILINE)
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


def blocks_of(directory: Path) -> list[tuple[str, str, str]]:
    """Return the services in code blocks of reStructuredText files: an address, the code, and the name of each."""
    found = []
    for file in sorted(directory.rglob("*.rst")):
        for number, block in enumerate(_BLOCK.finditer(file.read_text(errors="replace"))):
            code = textwrap.dedent(block[2])
            names = [name for pattern in _NAMES for name in pattern.findall(code)]
            address = f"{file.relative_to(directory).as_posix()}#{number}"
            found += [(address, code, name) for name in dict.fromkeys(names)]
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


def results_of(directory: Path) -> dict[str, dict[str, str]]:
    """Map each repository to its services, and each service to `static` or `rejected`."""
    results: dict[str, dict[str, str]] = {}
    for project in sorted(directory.iterdir()):
        rows = results.setdefault(project.name.replace("+", "/"), {})
        for root, module, name in services_of(project):
            rows[f"{(root / module).relative_to(project).as_posix()}:{name}"] = result_of(tree_of(root), module, name)
        for address, code, name in blocks_of(project / "docs/source") if project.name == "bentoml+BentoML" else ():
            files = {"service.py": code.encode()}
            rows[f"{address}:{name}"] = result_of(SourceTree(files.keys(), files.__getitem__), "service", name)
    return {repository: rows for repository, rows in results.items() if rows}


def tree_of(root: Path) -> SourceTree:
    """Return the files of a project."""
    paths = (path for path in root.rglob("*") if path.is_file() and ".git" not in path.parts)
    files = {path.relative_to(root).as_posix(): path for path in paths}
    return SourceTree(files.keys(), lambda path: files[path].read_bytes())


def result_of(tree: SourceTree, module: str, name: str) -> str:
    """Return whether a service is analyzed statically, as `static` or `rejected`."""
    try:
        return "rejected" if read_service(f"{module}:{name}", tree).unknowns else "static"
    except BentoError:
        return "rejected"


def compare(directory: Path, path: Path, commits: Path | None) -> None:
    """Print the services whose result isn't that of the list. If `commits` is given, write the list instead."""
    results = results_of(directory)
    if commits:
        named = json.loads(commits.read_text())
        rows = [{"repository": name, "commit": named[name], "services": each} for name, each in results.items()]
        path.write_text(json.dumps(rows, indent=1) + "\n")
    counts = dict.fromkeys(("services", "static", "still static"), 0)
    for row in json.loads(path.read_text()):
        for service, recorded in row["services"].items():
            result = results.get(row["repository"], {}).get(service, "missing")
            counts["services"] += 1
            counts["static"] += recorded == "static"
            counts["still static"] += recorded == result == "static"
            if result != recorded:
                print(f"{row['repository']}: {service}: {result}, {recorded} in the list")
    print(counts)


def main() -> None:
    """Count the services, and print the rejected services."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directories", type=Path, nargs="+")
    parser.add_argument("--import", dest="python", help="Compare with imports by this interpreter")
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("--list", type=Path, help="Compare with the results in this file")
    parser.add_argument("--write", type=Path, metavar="COMMITS", help="Write the file of --list")
    options = parser.parse_args()
    if options.list:
        compare(options.directories[0], options.list, options.write)
        return
    counts = dict.fromkeys(["static", "rejected", "compared", "different"], 0)
    spent = 0.0
    for root, module, name in [each for directory in options.directories for each in services_of(directory)]:
        tree = tree_of(root)
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
