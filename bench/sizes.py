#!/usr/bin/env python3
"""Counts the sizes of the repository: `python bench/sizes.py [--raise | --write] [--commits RANGE]`.

The program prints the sizes that exceed bench/sizes.json. A commit that raises sizes changes the file (`--raise`), and
names the increases in its body:

    sizes: py +120, starlark bytes +310, because requirements need hashes.

`--commits` checks the commits of a range for this line. `tests/lint/test_sizes.py` compares the sizes, and the e2e
scenario `lint` does both. `--write` replaces the file, and also counts the cases that pytest collects. Nothing compares
this number, because the collection needs more than a few seconds.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FILE = "bench/sizes.json"
MAX_COLUMNS = 120
MAX_LINES = 60
sys.path.append(str(ROOT / "tools"))

from declarations import PUBLIC, Repository, Rule  # noqa: E402


def count(root: Path = ROOT) -> dict[str, int]:
    """Return the sizes of a checkout by name, without the collected cases."""
    sizes = Counter({"py functions over 60 lines": 0, "starlark transitions": 0, "starlark lines over 120 columns": 0})
    listed = _git(root, "ls-files", "--cached", "--others", "--exclude-standard", "-z").split("\0")
    for path in map(Path, listed):
        top = path.parts[0] if path.parts else ""
        if path.suffix not in (".bzl", ".md", ".py") or not (root / path).is_file():
            continue
        text = (root / path).read_text("utf-8", errors="replace")
        lines = text.splitlines()
        if path.suffix == ".md":
            is_user_page = path.name == "README.md" if len(path.parts) == 1 else path.parts[:-1] == ("docs",)
            sizes["words of user pages"] += len(text.split()) if is_user_page and path.name != "reference.md" else 0
        elif path.suffix == ".bzl" and top not in ("e2e", "examples", "tests"):
            sizes["starlark lines"] += len(lines)
            sizes["starlark bytes"] += len(text.encode())
            sizes["starlark lines over 120 columns"] += sum(len(line) > MAX_COLUMNS for line in lines)
            sizes["starlark transitions"] += len(re.findall(r"\btransition\(", text))
        elif path.suffix == ".py" and top == "py":
            sizes["py " + "/".join(path.parts[1:3] if len(path.parts) > 3 else path.parts[1:2])] += len(lines)
            sizes["py functions over 60 lines"] += sum(lines > MAX_LINES for lines in _function_lengths(text))
        elif path.suffix == ".py" and top in ("bench", "e2e", "tests"):
            sizes[f"{top} lines"] += len(lines)
            if top == "tests":
                sizes["tests functions"] += len(re.findall(r"(?m)^ *(?:async )?def test_", text))
    return dict(sizes) | public_names(root)


def _function_lengths(text: str) -> list[int]:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return [each.end_lineno - each.lineno + 1 for each in ast.walk(ast.parse(text)) if isinstance(each, kinds)]


def public_names(root: Path = ROOT) -> dict[str, int]:
    """Return the numbers of public rules and of their attributes.

    The macros count as the rules that they declare; bento_service repeats attributes of its rules.
    """
    files = [Repository(root).load(f"//rules:{name}.bzl") for name in PUBLIC if (root / f"rules/{name}.bzl").is_file()]
    public = {name: value for file in files for name, value in file.items() if name[0] != "_"}
    counts = {name: sum(key[0] != "_" for key in each.attrs) for name, each in public.items() if isinstance(each, Rule)}
    for name in public.keys() & {"bento_debs", "bento_requirements"}:
        counts[name] = len(inspect.signature(public[name]).parameters.keys() - {"name", "kwargs"})
    return {"public rules": len(counts.keys() | {"bento_service"}), "public attributes": sum(counts.values())}


def increases(committed: dict[str, int], counted: dict[str, int]) -> list[str]:
    """Return a line for each size that exceeds the committed one."""
    return [
        f"{name}: {size}, at most {committed.get(name, 0)} in {FILE}"
        for name, size in sorted(counted.items())
        if size > committed.get(name, 0)
    ]


def unexplained(root: Path, commits: str) -> list[str]:
    """Return the commits of a range that raise committed sizes without a line `sizes:` that names each of them."""
    found = []
    for commit in _git(root, "log", "--no-merges", "--format=%h", commits, "--", FILE).split():
        before, after = _committed(root, f"{commit}^"), _committed(root, commit)
        if not before:  # the commit that adds the file, or the oldest of a shallow clone
            continue
        line = re.search(r"(?ms)^sizes: (.*?), because \S", _git(root, "show", "-s", "--format=%b", commit))
        named = re.split(r",\s+", line[1]) if line else []
        wrong = [each for name, more in raised(before, after).items() if (each := f"{name} +{more}") not in named]
        found += [f"{commit}: the body needs the line `sizes: {', '.join(wrong)}, because …`"] if wrong else []
    return found


def raised(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    """Return the increases by name. Packages of py/ count together."""
    changes: Counter[str] = Counter()
    for name in before.keys() | after.keys():
        group = "py" if name.startswith("py ") and "functions" not in name else name
        changes[group] += after.get(name, 0) - before.get(name, 0)
    return {name: change for name, change in sorted(changes.items()) if change > 0}


def _committed(root: Path, revision: str) -> dict[str, int]:
    text = _git(root, "show", f"{revision}:{FILE}", check=False)
    return dict(json.loads(text)) if text else {}


def _git(root: Path, *arguments: str, check: bool = True) -> str:
    command = ["git", "-C", str(root), *arguments]
    return subprocess.run(command, capture_output=True, encoding="utf-8", check=check).stdout


def main() -> int:
    """Compare or write the sizes, or check commits."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--raise", action="store_true", dest="raises", help="write sizes of kinds that rise")
    parser.add_argument("--write", action="store_true", help="write all sizes")
    parser.add_argument("--commits", metavar="RANGE", help="check commits, such as main..HEAD")
    options = parser.parse_args()
    counted, committed = count(), _committed(ROOT, "HEAD")
    if options.raises or options.write:
        if options.write:
            command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "tests"]
            output = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", check=True).stdout
            counted["tests cases"] = int(re.findall(r"(\d+) tests collected", output)[0])
        else:
            kinds = {name.split()[0] for name, size in counted.items() if size > committed.get(name, 0)}
            counted = committed | {name: size for name, size in counted.items() if name.split()[0] in kinds}
        (ROOT / FILE).write_text(json.dumps(counted, indent=1, sort_keys=True) + "\n", "utf-8")
        print("sizes:", ", ".join(f"{name} +{more}" for name, more in raised(committed, counted).items()))
        return 0
    found = increases(json.loads((ROOT / FILE).read_text("utf-8")), counted)
    found += unexplained(ROOT, options.commits) if options.commits else []
    print("\n".join(found) or f"no size exceeds {FILE}")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
