"""Compares builds by the rules with `bentoml build` of the same projects.

    python bench/build.py --bentoml COMMAND [--files N ...] [--megabytes N] [--export-megabytes N]

The tables contain CPU seconds (user and system) of all processes that a build starts. For the rules, they are the
seconds of the actions and, after the plus, of Bazel's server and client. "first" is a build from scratch (BentoML: with
an empty cache of uv), "again" a build after the outputs were removed (BentoML: a second build), "no-op" a build without
changes, and "one line" a build after a one-line change of the service. `tools/bazel` builds a scratch workspace; its
server is started before the measurement. The last table contains archives of one incompressible file. The archive of
`bentoml export` is smaller, because BentoML spends half a second on each megabyte.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

REPOSITORY = Path(__file__).resolve().parents[1]
SERVICE = """\
import bentoml


@bentoml.service
class Hello:
    @bentoml.api
    def greet(self, name: str) -> str:
        return f"Hello {name}"
"""
MODULE = """\
module(name = "bench")

bazel_dep(name = "rules_bento", version = "0.1.0")
local_path_override(module_name = "rules_bento", path = "{repository}")

bento = use_extension("@rules_bento//toolchains:extensions.bzl", "bento")
bento.pypi(name = "pypi", lock = "//:requirements.lock.json")
use_repo(bento, "pypi")

bento_tools = use_extension("@rules_bento//toolchains:extensions.bzl", "bento_tools")
bento_tools.python(debian_lock = "@rules_bento//debian:python.lock.json")
"""
BUILD = """\
load("@rules_bento//rules:defs.bzl", "bento_package")

[bento_package(
    name = name,
    srcs = glob(["**"], exclude = ["BUILD.bazel", "bentofile.yaml", "data.bin"]),
    data = glob(["data.bin"], allow_empty = True),
    requirements = requirements,
    service = "service:Hello",
) for name, requirements in {"locked": ["@pypi//bentoml"], "unlocked": []}.items()]
"""
UNIT = os.sysconf("SC_CLK_TCK")


class Used(NamedTuple):
    """Holds the CPU seconds of the compared work, and of Bazel's server and client."""

    work: float
    around: float = 0

    def __str__(self) -> str:
        """Format both figures, or only the first if the second is zero."""
        return f"{self.work:.2f}" + (f" + {self.around:.2f}" if self.around else "")


def run(command: list[str], directory: Path, **variables: str) -> float:
    """Run a command, and return its CPU seconds. Exits if the command fails."""
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command, cwd=directory, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=os.environ | variables
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            sys.exit(
                f"{' '.join(command)}, in {directory}: exit code {process.returncode}\n{output.read().decode()[-3000:]}"
            )
    return usage.ru_utime + usage.ru_stime


class Rules:
    """Runs builds in a scratch workspace, and measures its Bazel server."""

    def __init__(self, directory: Path) -> None:
        """Create the workspace, without packages."""
        self.root = directory
        directory.mkdir()
        (directory / "MODULE.bazel").write_text(MODULE.format(repository=REPOSITORY))
        (directory / "BUILD.bazel").write_text("")
        # With a hermetic /tmp, actions couldn't read a checkout in /tmp.
        (directory / ".bazelrc").write_text("build --noincompatible_sandbox_hermetic_tmp\n")
        shutil.copy(REPOSITORY / "e2e/smoke/requirements.lock.json", directory)

    def bazel(self, command: str, *arguments: str) -> float:
        """Run a Bazel command, and return the CPU seconds of the client."""
        return run([str(REPOSITORY / "tools/bazel"), command, "--noshow_progress", *arguments], self.root)

    def start(self, target: str) -> float:
        """Fetch the dependencies of a target. Return the CPU seconds of a new server for a build without actions."""
        self.bazel("build", target)
        self.bazel("shutdown")
        client = self.bazel("build", target)
        command = [str(REPOSITORY / "tools/bazel"), "info", "server_pid"]
        asked = subprocess.run(command, cwd=self.root, check=True, capture_output=True, text=True)
        self._stat = Path(f"/proc/{asked.stdout.strip()}/stat")
        return client + sum(self._spent())

    def build(self, target: str) -> Used:
        """Build a target."""
        server, actions = self._spent()
        client = self.bazel("build", target)
        server_after, actions_after = self._spent()
        return Used(actions_after - actions, server_after - server + client)

    def _spent(self) -> tuple[float, float]:
        """Return the CPU seconds of the server and of the processes that it waited for."""
        fields = [int(field) for field in self._stat.read_text().rpartition(") ")[2].split()[11:15]]
        return sum(fields[:2]) / UNIT, sum(fields[2:]) / UNIT


class Project:
    """Holds the same files twice: as a package of the workspace, and as a BentoML project."""

    def __init__(self, name: str, rules: Rules, directory: Path, contents: dict[str, bytes]) -> None:
        """Write the files."""
        self.name = name
        self._rules = rules
        self._package = rules.root / name
        self._directory = directory / name
        for root in (self._package, self._directory):
            for path, data in {"service.py": SERVICE.encode(), **contents}.items():
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                (root / path).write_bytes(data)
        (self._package / "BUILD.bazel").write_text(BUILD)

    def ours(self, *, lock: bool) -> list[Used]:
        """Measure four builds by the rules: the first, again, without a change, and after a one-line change."""
        target = f"//{self.name}:{'locked' if lock else 'unlocked'}"
        measured = []
        for _ in ("first", "again"):
            self._rules.bazel("clean")
            measured.append(self._rules.build(target))
        measured.append(self._rules.build(target))
        self._change(self._package, lock)
        return [*measured, self._rules.build(target)]

    def theirs(self, bentoml: str, home: Path, *, lock: bool) -> list[Used]:
        """Measure four builds by BentoML: the first, again, without a change, and after a one-line change."""
        (self._directory / "bentofile.yaml").write_text(
            f"service: service:Hello\npython:\n  packages: ['bentoml==1.4.39']\n  lock_packages: {str(lock).lower()}\n"
        )
        variables = {
            "BENTOML_HOME": str(home),
            "BENTOML_DO_NOT_TRACK": "true",
            "PATH": f"{Path(bentoml).parent}:{os.environ['PATH']}",
            "UV_CACHE_DIR": str(home / f"uv-{self.name}"),
        }
        measured = []
        for moment in ("first", "again", "no-op", "one line"):
            if moment == "one line":
                self._change(self._directory, lock)
            measured.append(Used(run([bentoml, "build"], self._directory, **variables)))
            shutil.rmtree(home / "bentos")
        return measured

    @staticmethod
    def _change(root: Path, lock: bool) -> None:
        (root / "service.py").write_text(f"{SERVICE}# {lock}\n")


def small_files(count: int) -> dict[str, bytes]:
    """Return sources of a few lines, by path."""
    return {f"pkg{n % 40}/module{n}.py": f"# {n}\n".encode() * (1 + n % 40) for n in range(count)}


def show(project: Project, bentoml: str, home: Path) -> None:
    """Measure and print the rows of a project."""
    for lock in (True, False):
        locked = "locked" if lock else "unlocked"
        for tool, used in (("bentoml", project.theirs(bentoml, home, lock=lock)), ("ours", project.ours(lock=lock))):
            print(f"{project.name:14} {locked:9} {tool:8}" + "".join(f"{one!s:>16}" for one in used), flush=True)


def archives(rules: Rules, bentoml: str, home: Path, directory: Path, megabytes: int, exported: int) -> None:
    """Measure and print the cost of archives of one file."""
    print(f"\n{'archive of':14} {'tool':24} {'cpu s':>8} {'MB/cpu s':>9}")
    bento = home / "bentos/big/v1"
    (bento / "src").mkdir(parents=True)
    (bento / "bento.yaml").write_text(
        "service: service:Hello\nname: big\nversion: v1\nbentoml_version: 1.4.39\nspec: 2\n"
        "creation_time: '2026-01-01T00:00:00+00:00'\nservices: [{name: Hello, service: ''}]\n"
    )
    (bento / "src/data.bin").write_bytes(os.urandom(exported << 20))
    variables = {"BENTOML_HOME": str(home), "BENTOML_DO_NOT_TRACK": "true"}
    used = run([bentoml, "export", "big:v1", str(directory / "big.bento")], directory, **variables)
    print(f"{f'{exported} MB':14} {'bentoml export':24} {used:8.2f} {exported / used:9.0f}", flush=True)
    rules.bazel("clean")
    name = f"{megabytes}MB"
    spent = rules.build(f"//{name}:unlocked").work
    print(f"{f'{megabytes} MB':14} {'ours, with the build':24} {spent:8.2f} {megabytes / spent:9.0f}", flush=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bentoml", default=shutil.which("bentoml"), help="Use this bentoml command (version 1.4.39)")
    parser.add_argument("--files", type=int, nargs="*", default=[0, 1000, 10_000])
    parser.add_argument("--megabytes", type=int, default=500)
    parser.add_argument("--export-megabytes", type=int, default=50)
    options = parser.parse_args()
    if not options.bentoml:
        sys.exit("--bentoml: bentoml isn't on PATH. Specify the path of the command.")
    with tempfile.TemporaryDirectory(prefix="rules_bento-bench-") as name:
        scratch = Path(name)
        rules = Rules(scratch / "workspace")
        kinds = {f"{count}files": small_files(count) for count in options.files}
        kinds[f"{options.megabytes}MB"] = {"data.bin": os.urandom(options.megabytes << 20)}
        projects = [Project(kind, rules, scratch / "projects", contents) for kind, contents in kinds.items()]
        try:
            started = rules.start(f"//{projects[0].name}:locked")
            head = "".join(f"{moment:>16}" for moment in ("first", "again", "no-op", "one line"))
            print(f"{'project':14} {'lock':9} {'tool':8}{head}")
            for project in projects:
                show(project, options.bentoml, scratch / "home")
            print(f"A server of Bazel's that is new, once: {started:.2f}", flush=True)
            archives(rules, options.bentoml, scratch / "home", scratch, options.megabytes, options.export_megabytes)
        finally:
            rules.bazel("clean", "--expunge")


if __name__ == "__main__":
    main()
