"""Runs subcommands of the helper as actions do: in an execution root, isolated, with the arguments in a file."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Union

HELPER = Path("py/main.py").absolute()
# As private/helper.bzl has them; tests/analysis holds the rules to the same list.
FLAGS = ("-I", "-S", "-B", "-X", "utf8")
LABEL = "//svc:bento"
TIME = "1980-01-01T00:00:00+00:00"
SERVICE = """\
import bentoml

@bentoml.service
class Service:
    @bentoml.api
    def ask(self, text: str) -> str:
        return text
"""


class Outcome(NamedTuple):
    """Describes the result of a subcommand."""

    code: int
    errors: str
    outputs: dict[str, bytes]  # by the flag that named it


Source = Union[str, "tuple[str, str]"]  # the path of a file, or its path and what Bazel calls its short path


def label_of(path: str) -> str:
    """Return a possible label for a file."""
    package, _, name = path.rpartition("/")
    return f"//{package}:{name}"


def described(flag: str, source: Source) -> list[str]:
    """Return the arguments with which a rule passes a file to the helper."""
    path, short_path = source if isinstance(source, tuple) else (source, source)
    return [flag, path, short_path, label_of(short_path)]


def packages(*names: str) -> list[Path]:
    """Return the directories of the locked wheels that contain these modules."""
    roots = [Path(root) for root in os.environ["RULES_BENTO_ROOTS"].split(os.pathsep)]
    return [root for root in roots if any((root / name).exists() for name in names)]


class Actions:
    """Creates an execution root with files, and runs the actions that the rules would register."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.variables: dict[str, str] = {}
        (root / "bazel-out").mkdir()

    def write(self, path: str, content: str | bytes = "") -> str:
        """Write a file, and return its path."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def link(self, path: str, target: str) -> None:
        """Replace a file with a symbolic link."""
        (self.root / path).unlink(missing_ok=True)
        (self.root / path).symlink_to(target)

    def run(self, verb: str, arguments: list[str], outputs: dict[str, str]) -> Outcome:
        """Run a subcommand with a parameter file that has one argument per line, and return the existing outputs."""
        paths = {flag: f"bazel-out/{verb}.{name}" for flag, name in outputs.items()}
        words = [*arguments, *(word for pair in paths.items() for word in pair)]
        self.write(f"bazel-out/{verb}.params", os.fsencode("".join(f"{word}\n" for word in words)))
        names = ("blake3", "jinja2", "markupsafe", "packaging", "pathspec", "tomli", "yaml", "zlib_ng")
        given = [word for root in packages(*names) for word in ("--packages", str(root))]
        done = subprocess.run(
            [sys.executable, *FLAGS, str(HELPER), *given, verb, f"@bazel-out/{verb}.params"],
            cwd=self.root,
            env=self.variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="surrogateescape",
            check=False,
        )
        assert not done.stdout
        files = {flag: self.root / path for flag, path in paths.items()}
        return Outcome(
            done.returncode, done.stderr, {flag: path.read_bytes() for flag, path in files.items() if path.exists()}
        )

    def snapshot(
        self,
        *,
        srcs: Sequence[Source] = (),
        data: Sequence[str] = (),
        deps: Sequence[str] = (),
        service: str = "service:Service",
        more: Sequence[str] = (),
    ) -> Outcome:
        """Run the snapshot of the package `svc`."""
        arguments = ["--target", LABEL, "--service", service]
        arguments += ["--build-ctx", "svc"] if "--build-ctx" not in more else []
        arguments += ["--include", "*"] if "--include" not in more else []
        for source in srcs or [self.write("svc/service.py", SERVICE)]:
            arguments += described("--source", source)
        for flag, paths in (("--data", data), ("--dependency", deps)):
            arguments += [word for path in paths for word in described(flag, path)]
        outputs = {
            "--manifest": "sources.json",
            "--service-info": "service.json",
            "--part": "part",
            "--unused": "unused",
        }
        return self.run("snapshot", [*arguments, *more], outputs)

    def package(
        self, *more: str, srcs: Sequence[Source] = (), options: Mapping[str, object] | None = None, **attributes: object
    ) -> Outcome:
        """Run BentoPackage on the snapshot of one service. `options` has the form of a bentofile."""
        at = more.index("--bentofile") if "--bentofile" in more else len(more)
        snapshot = self.snapshot(srcs=srcs, more=more[at : at + 3])
        assert snapshot.code == 0, snapshot.errors
        arguments = ["--target", LABEL, "--creation-time", TIME, "--attributes", json.dumps(attributes)]
        arguments += ["--options", json.dumps({"service": "service:Service"} | dict(options or {}))]
        arguments += ["--bentoml-version", "1.4.39", "--python-version", "3.11"]
        arguments += ["--sources", self.write("bazel-out/sources.json", snapshot.outputs["--manifest"])]
        arguments += ["--service-info", self.write("bazel-out/service.json", snapshot.outputs["--service-info"])]
        names = ("part", "bento-yaml", "manifest", "digest", "imports", "tag")
        return self.run("package", [*arguments, *more], {f"--{name}": name for name in names})

    def model(self, *more: str, srcs: Sequence[Source] = ()) -> Outcome:
        """Run BentoModel."""
        arguments = ["--target", "//svc:model", "--package", "svc", "--module", ""]
        arguments += ["--strip-prefix", "", "--creation-time", TIME]
        arguments += [] if "--tag" in more else ["--tag", "weights"]
        for source in srcs or [self.write("svc/weights.bin", b"weights")]:
            arguments += described("--source", source)
        names = ("part", "description", "manifest")
        return self.run("model", [*arguments, *more], {f"--{name}": name for name in names})


def refused(outcome, target, *words):
    """Hold that a verb refused, for a reason that has all of the words in this order."""
    assert outcome.code == 1, outcome
    assert outcome.outputs == {}
    assert "Traceback" not in outcome.errors
    assert outcome.errors.startswith(f"{target}: ")
    assert outcome.errors.count("\n") == 1, "one line"
    assert re.search(".*".join(map(re.escape, words)), outcome.errors), outcome.errors
