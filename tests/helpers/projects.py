"""Small projects, the results of the real BentoML, and functions to compare Bentos."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import yaml
from rules_bento.bentos.packages.virtualenv import make_environment

from tests.conftest import bytecode_variables, locked_wheels

HERE = Path(__file__).parents[1]  # tests/
BUILDER = HERE / "differential" / "bentoml_builder.py"


def write_project(directory: Path, project: dict, service: str) -> Path:
    """Write a project: `files` by path, `links`, and `sizes` of large empty files."""
    files = {"service.py": service} | project.get("files", {})
    for path, text in files.items():
        target = directory / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, "utf-8")
        target.chmod(0o755 if text.startswith("#!") else 0o644)
    for path, target in project.get("links", {}).items():
        (directory / path).symlink_to(target)
    for path, size in project.get("sizes", {}).items():
        with (directory / path).open("wb") as file:
            file.truncate(size)
    return directory


@dataclass(frozen=True)
class Listing:
    """Describes a build by the real BentoML, as recorded in a golden file."""

    status: int
    messages: str
    tree: dict[str, str]  # path -> mode, `-> target` or `(empty)`
    document: dict  # bento.yaml without schema, creation_time, bentoml_version
    sections: dict[str, str]  # the others by title

    @staticmethod
    def read(path: Path) -> Listing:
        head, *rest = re.split(r"^--- (.*)\n", path.read_text("utf-8"), flags=re.MULTILINE)
        sections = dict(zip(rest[::2], rest[1::2], strict=True))
        document = next((text for title, text in sections.items() if title.startswith("bento.yaml")), "{}")
        tree = {}
        for line in sections.get("tree", "").splitlines():
            name, _, kind = line.partition(" ")
            tree[name] = kind
        return Listing(
            int(re.search(r"rc=(\d+)", head)[1]), sections["messages"], tree, yaml.safe_load(document), sections
        )


def mode_of(entry) -> str:
    return f"-> {entry.link}" if entry.link is not None else f"{entry.mode:#o}"


def tree_of_directory(directory: Path) -> dict[str, str]:
    tree = {}
    for path in sorted(directory.rglob("*")):
        name = path.relative_to(directory).as_posix()
        if path.is_symlink():
            tree[name] = f"-> {path.readlink()}"
        elif path.is_file():
            tree[name] = f"{path.stat().st_mode & 0o777:#o}"
        elif not any(path.iterdir()):
            tree[f"{name}/"] = "(empty)"
    return tree


class RealBuilder:
    """Runs the `bentoml build` of the real BentoML many times after one import."""

    def __init__(self, python: Path, directory: Path, uv: Path) -> None:
        self.home = directory / "home"
        self.home.mkdir(parents=True)
        programs = directory / "programs"
        programs.mkdir()
        (programs / "uv").symlink_to(uv)
        environment = {
            "BENTOML_DO_NOT_TRACK": "true",
            "COLUMNS": "1000",
            "HOME": str(directory),
            "LANG": "C.UTF-8",
            "PATH": f"{programs}:/usr/bin:/bin",
            **bytecode_variables(directory),
            "TMPDIR": str(directory),
        }
        self._process = subprocess.Popen(
            [str(python), str(BUILDER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self.python = python
        self.version, self.python_version = self._versions(python)

    def build(self, project: Path, arguments=(), environment=None) -> dict:
        """Return the response of one build.

        `folder` is the Bento's directory until the next build; None after a failure.
        """
        shutil.rmtree(self.home / "bentos", ignore_errors=True)
        order = {
            "project": str(project),
            "home": str(self.home),
            "arguments": list(arguments),
            "environment": environment or {},
        }
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        answer["folder"] = Path(answer["folder"]) if answer["folder"] else None
        return answer

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait(30)

    @staticmethod
    def _versions(python: Path) -> tuple[str, str]:
        """Return the versions of BentoML and Python (`X.Y`)."""
        program = (
            "import sys; from importlib import metadata; print(metadata.version('bentoml'), *sys.version_info[:2])"
        )
        done = subprocess.run([str(python), "-c", program], check=True, capture_output=True, text=True)
        bentoml, major, minor = done.stdout.split()
        return bentoml, f"{major}.{minor}"


def real_builder(directory: Path) -> RealBuilder:
    """Return a builder with BentoML from the locked wheels."""
    python = make_environment(directory / "environment", locked_wheels())
    return RealBuilder(python, directory, Path(os.environ["RULES_BENTO_UV"]))


def document_of(text: str | bytes) -> dict:
    """Return a bento.yaml without times, BentoML's version, and fields that only an import determines."""
    document = yaml.safe_load(text)
    for key in ("schema", "creation_time", "bentoml_version"):
        document.pop(key, None)
    return document
