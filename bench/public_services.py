"""Counts the services of projects that can be analyzed statically, and compares the results with real imports.

    python bench/public_services.py DIRECTORY... [--import PYTHON] [--verbose] [--list FILE [--write COMMITS]]

Each subdirectory of DIRECTORY is a project. PYTHON is an interpreter that has BentoML; modules that it doesn't have are
replaced by modules that contain any name.

`--list bench/public_services.json` compares the results with a list, and prints each service with another result. For
the list, a subdirectory `OWNER+NAME` is the commit of this repository that the list names. Python code blocks of
`docs/source` of BentoML's repository are services, too. `--write COMMITS` writes the list; COMMITS is a JSON object
with the commit of each repository.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
import textwrap
import time
from pathlib import Path
from typing import TYPE_CHECKING

sys.path[:0] = [str(Path(__file__).parents[1] / "py"), str(Path(__file__).parents[1])]

from rules_bento.base.errors import BentoError  # noqa: E402
from rules_bento.bentos.service import SourceTree, read_service  # noqa: E402

from tests.differential.comparison import Imports, differences, fields  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator

_MENTION = re.compile(r"(@|= ?)bentoml\.service\b")
_NAMES = (
    re.compile(r"@bentoml\.service\b(?:.|\n)*?^class (\w+)", re.MULTILINE),
    re.compile(r"^(\w+) ?= ?bentoml\.service\(", re.MULTILINE),
)
_BLOCK = re.compile(r"^( *)\.\. code-block:: python\n(?:\1 +:.*\n)*((?:\1 +\S.*\n|\s*\n)+)", re.MULTILINE)
_MARKERS = ("bentofile.yaml", "bentofile.yml", "pyproject.toml")


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


def tree_of(root: Path) -> SourceTree:
    """Return the files of a project."""
    paths = (path for path in root.rglob("*") if path.is_file() and ".git" not in path.parts)
    files = {path.relative_to(root).as_posix(): path for path in paths}
    return SourceTree(files.keys(), lambda path: files[path].read_bytes())


def cases_of(project: Path, scratch: Path) -> Iterator[tuple[str, Path, str, str]]:
    """Yield the address, the root directory, the module, and the name of each service of a project."""
    for root, module, name in services_of(project):
        yield f"{(root / module).relative_to(project).as_posix()}:{name}", root, module, name
    for number, (address, code, name) in enumerate(blocks_of(project / "docs/source")):
        root = scratch / str(number)
        root.mkdir()
        (root / "service.py").write_text(code)
        yield f"{address}:{name}", root, "service", name


class Counting:
    """Analyzes services, and counts the results."""

    def __init__(self, imports: Imports | None, *, verbose: bool) -> None:
        self.counts = dict.fromkeys(["services", "static", "rejected", "compared", "different", "not imported"], 0)
        self.spent = 0.0
        self._imports, self._verbose = imports, verbose

    def result(self, place: str, root: Path, module: str, name: str) -> str:
        """Return `static` or `rejected`. Prints differences from an import."""
        tree, why, start = tree_of(root), "", time.process_time()
        try:
            info = read_service(f"{module}:{name}", tree)
            why = "; ".join(f"{one.path}:{one.line}: {one.what}" for one in getattr(info, "unknowns", ()))
        except BentoError as error:
            why = str(error)
        self.spent += time.process_time() - start
        result = "rejected" if why else "static"
        self.counts["services"] += 1
        self.counts[result] += 1
        if why and self._verbose:
            print(f"{place}: {why[:400]}")
        if not why and self._imports:
            self._compare(place, root, f"{module}:{name}", fields(info))
        return result

    def _compare(self, place: str, root: Path, service: str, ours: dict[str, object]) -> None:
        theirs = self._imports.ask(root.resolve(), service, ours, {}, packages=True)
        self.counts["not imported" if "problem" in theirs else "compared"] += 1
        if "problem" in theirs:
            print(f"{place}: not imported: {theirs['problem'][:200]}")
        elif different := differences(ours, theirs):
            self.counts["different"] += 1
            print(f"{place}: DIFFERS: {'; '.join(different)}")


def compare(results: dict[str, dict[str, str]], path: Path, commits: Path | None) -> None:
    """Print the services whose result isn't that of the list. If `commits` is given, write the list instead."""
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
    """Count the services, and print those that differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directories", type=Path, nargs="+")
    parser.add_argument("--import", dest="python", help="Compare with imports by this interpreter")
    parser.add_argument("--verbose", action="store_true", help="Print why services are rejected")
    parser.add_argument("--list", type=Path, help="Compare with the results in this file")
    parser.add_argument("--write", type=Path, metavar="COMMITS", help="Write the file of --list")
    options = parser.parse_args()
    counting = Counting(Imports(options.python) if options.python else None, verbose=options.verbose)
    results: dict[str, dict[str, str]] = {}
    for project in sorted(each for directory in options.directories for each in directory.iterdir() if each.is_dir()):
        with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
            rows = {
                address: counting.result(f"{project.name}: {address}", root, module, name)
                for address, root, module, name in cases_of(project, Path(scratch))
            }
        results |= {project.name.replace("+", "/"): rows} if rows else {}
    if options.list:
        compare(results, options.list, options.write)
    print(counting.counts, f"{counting.spent:.2f} s")
    sys.exit(counting.counts["different"] > 0)


if __name__ == "__main__":
    main()
