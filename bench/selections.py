"""Compares the packages that we select from locks with those of `uv export --frozen`.

    python bench/selections.py DIRECTORY [--uv UV]

Each subdirectory of DIRECTORY is a uv project with a uv.lock. For up to six selections of extras and groups of each
project, the name and version of each package from an index, a file, or git must be equal on Linux and macOS, for each
Python that the lock supports.
"""

from __future__ import annotations

import argparse
import itertools
import re
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "py"))

from bento_cli.projects.uv_project import DIRECTORIES, UvProject
from packaging.markers import Marker
from packaging.specifiers import SpecifierSet
from rules_bento.base.errors import BentoError
from rules_bento.bentos.packages import uv_lock_conflicts
from rules_bento.bentos.packages.platforms import marker_environment
from rules_bento.bentos.packages.requirement_syntax import normalize_name
from rules_bento.bentos.packages.uv_lock_conflicts import PackageSelection

PLATFORMS = [("linux", "x86_64"), ("linux", "aarch64"), ("darwin", "arm64")]
PYTHONS = ["3.10", "3.11", "3.12", "3.13"]


def selections(project: UvProject) -> list[list[str]]:
    """Return up to six lists of options, of which the first is empty."""
    member = next(each for each in project.lock["package"] if each["name"] == project.name)
    extras = [f"--extra={name}" for name in uv_lock_conflicts.declared(member, "extra")]
    groups = [f"--group={name}" for name in uv_lock_conflicts.declared(member, "group")]
    only = [f"--only-group={each.removeprefix('--group=')}" for each in groups]
    one = [[each] for each in itertools.chain(*itertools.zip_longest(extras, groups, only)) if each]
    several = [["--all-extras"], [*extras[:1], *groups[:1]]] if extras else []
    return [*itertools.islice(filter(None, [["--no-dev"], *several, *one]), 6)]


def exported(uv: str, directory: Path, words: list[str]) -> list[tuple[str, str, str]] | None:
    """Return the name, version or place, and marker of each package; None where uv rejects the selection."""
    fixed = ["--frozen", "--no-hashes", "--no-header", "--no-annotate", "--no-emit-workspace", "--quiet"]
    fixed += [] if any("group=dev" in word for word in words) or "--no-dev" in words else ["--no-dev"]
    done = subprocess.run([uv, "export", *fixed, *words], cwd=directory, capture_output=True, text=True, check=False)
    if done.returncode:
        return None
    found = []
    for line in done.stdout.splitlines():
        requirement, _, marker = line.partition(" ; ")
        name, _, version = requirement.partition("==")
        name, _, place = name.partition(" @ ")
        found.append((normalize_name(name), version or place or "directory", marker))
    return found


def compare(uv: str, directory: Path) -> tuple[int, int]:
    """Compare the selections of a project; returns how many are equal, and how many were compared."""
    project = UvProject.read(directory, "")
    equal, known = 0, selections(project)
    supported = SpecifierSet(project.lock.get("requires-python", ""))
    for words in known:
        theirs = exported(uv, directory, words)
        pairs = [word.partition("=")[::2] for word in words]
        names = {option: tuple(name for each, name in pairs if each == option) for option, _ in pairs}
        extras, groups, only = (names.get(each, ()) for each in ("--extra", "--group", "--only-group"))
        chosen = PackageSelection(extras, groups, (), only, "--all-extras" in words)
        same = True
        for (system, cpu), python in itertools.product(PLATFORMS, PYTHONS):
            if not supported.contains(f"{python}.99"):
                continue
            environment = marker_environment(system, cpu, python)
            try:
                choice = chosen.choice(project.lock, project.name, project.default_groups)
                ours = {
                    key(each) for each, _ in uv_lock_conflicts.installed(project.lock, choice, "uv.lock", environment)
                }
            except BentoError as error:
                if "doesn't support the platform" in str(error):
                    continue
                same = theirs is None
                break
            expected = {
                (name, version)
                for name, version, marker in theirs or ()
                if version != "directory" and not version.startswith("file:")
                if not marker or Marker(marker).evaluate(dict(environment))
            }
            if {each for each in ours if each[1]} != {(name, shape(version)) for name, version in expected}:
                print(f"{directory.name} {words} {system} {cpu} {python}: {sorted(ours ^ expected)[:8]}")
                same = False
        equal += same
    return equal, len(known)


def shape(place: str) -> str:
    """Return a version, or the address without the fragment and the query."""
    return re.split(r"[#?]", place)[0].rpartition("@")[0] if place.startswith("git+") else place


def key(package: dict[str, object]) -> tuple[str, str]:
    """Return the name and the version of a package, or its address; the version is "" for directories."""
    source, name = package["source"], str(package["name"])
    assert isinstance(source, dict)
    if "git" in source:
        return name, "git+" + re.split(r"[#?]", source["git"])[0]
    if any(each in source for each in (*DIRECTORIES, "path")):
        return name, ""
    return name, source["url"] if "url" in source else str(package["version"])


def main() -> None:
    """Compare all projects of a directory."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--uv", default="uv")
    options = parser.parse_args()
    counts = [0, 0, 0]
    for directory in sorted(each for each in options.directory.iterdir() if (each / "uv.lock").is_file()):
        try:
            equal, count = compare(options.uv, directory)
        except BentoError as error:
            print(f"{directory.name}: {error}")
            continue
        counts = [counts[0] + 1, counts[1] + equal, counts[2] + count]
    print(f"{counts[0]} locks, {counts[1]} of {counts[2]} selections are equal")
    sys.exit(counts[1] != counts[2])


if __name__ == "__main__":
    main()
