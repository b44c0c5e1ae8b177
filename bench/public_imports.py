"""Counts the services of public repositories that can be imported with BentoML, FastAPI, and stubs.

    public_imports.py CORPUS SITE_PACKAGES [--only TEXT]

CORPUS contains a clone of each repository; SITE_PACKAGES contains BentoML and its dependencies. Other packages in
SITE_PACKAGES are hidden. If a service requires a model of the store, an empty model with this name is provided. If a
message names a missing package, the service is imported again with this package.
"""

from __future__ import annotations

import argparse
import collections
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "py"), str(ROOT)]

from rules_bento.base.errors import BentoError  # noqa: E402
from rules_bento.bentos.packages.interpreter_files import PythonEnvironment, wheel_environment  # noqa: E402
from rules_bento.bentos.packages.virtualenv import make_environment  # noqa: E402
from rules_bento.bentos.service.import_twice import Subject, import_service  # noqa: E402

from tests.service.closures import closure, link_closure  # noqa: E402

MODEL = """\
name: {name}
version: v1
module: ''
labels: {{}}
options: {{}}
metadata: {{}}
signatures: {{}}
api_version: v1
context: {{framework_name: '', framework_versions: {{}}, bentoml_version: 1.4.39, python_version: '3.11'}}
creation_time: '2020-01-01T00:00:00+00:00'
"""


def cases(corpus: Path) -> Iterator[tuple[Path, Path, str]]:
    """Yield the project directory, the file, and the name of each service."""
    for file in sorted(corpus.rglob("*.py")):
        if file.relative_to(corpus).parts[:2] == ("BentoML", "src"):
            continue
        text = file.read_text("utf-8", "replace")
        if not re.search(r"(@|= ?)bentoml\.service\b", text):
            continue
        root = file.parent
        while root != corpus and not any(
            (root / name).exists() for name in ("bentofile.yaml", "bentofile.yml", "pyproject.toml")
        ):
            root = root.parent
        if root == corpus or (root.parent == corpus and root.name == "BentoML"):
            root = file.parent
        names = re.findall(r"@bentoml\.service\b(?:.|\n)*?^class (\w+)", text, re.M)
        names += re.findall(r"^(\w+) ?= ?bentoml\.service\(", text, re.M)
        for name in dict.fromkeys(names):
            yield root, file, name


def bento(directory: Path, root: Path, models: set[str]) -> Path:
    """Write the sources and the models of the Bento."""
    shutil.copytree(root, directory / "src", ignore=shutil.ignore_patterns(".git"), symlinks=True)
    for name in models:
        entry = directory / "models" / name / "v1"
        entry.mkdir(parents=True)
        (entry.parent / "latest").write_text("v1", "utf-8")
        (entry / "model.yaml").write_text(MODEL.format(name=name), "utf-8")
    return directory


class Environments:
    """Provides environments that contain BentoML, other packages, and their transitive dependencies."""

    def __init__(self, directory: Path, site_packages: Path) -> None:
        self._directory, self._site_packages = directory, site_packages
        self._made: dict[frozenset[str], PythonEnvironment] = {}

    def get(self, packages: frozenset[str]) -> PythonEnvironment:
        """Return the environment with BentoML and `packages`."""
        if packages not in self._made:
            directory = self._directory / str(len(self._made))
            site = link_closure(directory / "site", [self._site_packages], "bentoml", "fastapi", *packages)
            python = make_environment(directory / "environment", [site])
            self._made[packages] = wheel_environment(python, [site, self._site_packages])
        return self._made[packages]

    def has(self, package: str) -> bool:
        """Return whether SITE_PACKAGES contains the package."""
        return package in closure([self._site_packages], package)


def attempt(root: Path, service: str, environments: Environments) -> tuple[str, set[str]]:
    """Import a service with the models and packages that messages name. Return the problem and the packages."""
    models: set[str] = set()
    packages: set[str] = set()
    while True:
        environment = environments.get(frozenset(packages))
        with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
            directory = bento(Path(scratch, "bento"), root, models)
            subject = Subject(service, directory, seconds=60, packages=None, remedy="Import {}")
            try:
                import_service(subject, environment, Path(scratch, "imports"))
            except BentoError as error:
                model = re.search(
                    r"no Models with (?:name|tag) '([\w.-]+)|Model '([\w.-]+)(?::[\w.-]+)?' (?:is )?not found",
                    str(error),
                )
                name = model and (model[1] or model[2])
                package = re.search(r"^Import ([\w.-]+)\.$", str(error), re.M)
                if name and name not in models:
                    models.add(name)
                elif package and package[1] not in packages and environments.has(package[1]):
                    packages.add(package[1])
                else:
                    return str(error), packages
                continue
        return "", packages


def main() -> None:
    """Count the services, and print the result of each service."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("site_packages", type=Path)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    count: collections.Counter[str] = collections.Counter()
    corpus, site_packages = options.corpus.resolve(), options.site_packages.resolve()
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        environments = Environments(Path(scratch), site_packages)
        for root, file, name in cases(corpus):
            if options.only not in str(file):
                continue
            module = ".".join(file.relative_to(root).with_suffix("").parts)
            problem, packages = attempt(root, f"{module}:{name}", environments)
            result = "failed" if problem else "with import_requirements" if packages else "at once"
            count[result] += 1
            print(result, file.relative_to(corpus), name, *sorted(packages), flush=True)
            if problem:
                print("   ", problem.replace("\n", "\n    "), flush=True)
    print(dict(count), "of", count.total())


if __name__ == "__main__":
    main()
