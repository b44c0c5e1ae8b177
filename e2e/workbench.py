"""Creates checkouts of this repository, and runs Bazel in them."""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from enter import provisioned_root

if TYPE_CHECKING:
    from collections.abc import Sequence

REPOSITORY = Path(__file__).resolve().parent.parent
ENTER = Path(__file__).resolve().parent / "enter.py"
# Files that aren't a part of a commit.
LEFT_OUT = shutil.ignore_patterns(".git", ".*_cache", ".hypothesis", "__pycache__", "bazel-*", "user.bazelrc")
TIME_LIMIT = 3600
# The workspace of scenarios that write all its files.
CONSUMER = "e2e/consumer"
_NOT_SPACE = re.compile(r"\S")
# Beginning of the part of e2e/smoke/MODULE.bazel that Debian's rules_python doesn't support.
NEWER_RULES_PYTHON = "# The rest requires rules_python 1.0"
EXAMPLES_WITH_MODELS = ("examples/iris/BUILD.bazel", "examples/studio/BUILD.bazel")
# A test has thousands of links in its sandbox, which take ten times as long on a disk as in memory.
IN_MEMORY, ENOUGH = Path("/dev/shm"), 4 << 30  # bytes
PYTHON_HERE = """
bento_tools = use_extension("@rules_bento//toolchains:extensions.bzl", "bento_tools")
bento_tools.python(interpreter = "python3")
"""


class SkippedError(Exception):
    """The machine lacks what a scenario requires. The message is the reason."""


@dataclass(frozen=True)
class Surroundings:
    """Describes properties of a machine that a build must not depend on."""

    variables: dict[str, str] = field(default_factory=dict)
    clock: str = ""  # as faketime reads it: `+400d`
    host_name: str = ""
    network: bool = True
    umask: int = 0o022
    user: int = 0  # user ID; 0 for the caller

    def enter(self, command: list[str], scratch: Path) -> list[str]:
        """Return the command that runs another one in this environment. `scratch` has files to change the clock."""
        if not (self.clock or self.host_name or self.user) and self.network:
            return command
        given = {"host_name": self.host_name, "network": self.network, "clock": self.clock, "scratch": str(scratch)}
        given["user"] = self.user
        user = [] if os.getuid() == 0 else ["--map-root-user"]
        net = [] if self.network else ["--net"]
        namespaces = ["unshare", *user, *net, "--mount", "--uts", "--"]
        return [*namespaces, sys.executable, str(ENTER), json.dumps(given), *command]


ELSEWHERE = Surroundings(
    variables={
        "HOME": "/tmp",
        "LANG": "tr_TR.UTF-8",
        "LC_ALL": "tr_TR.UTF-8",
        "LOGNAME": "nobody",
        "TZ": "Pacific/Kiritimati",
        "USER": "nobody",
    },
    clock="+1000d",
    host_name="elsewhere",
    umask=0o077,
    user=4242,
)


@dataclass(frozen=True)
class Spawn:
    """Describes a process that Bazel ran for an action."""

    mnemonic: str
    target: str
    runner: str
    action: str  # digest of the action for a remote cache, or empty
    inputs: dict[str, int]  # path to bytes
    outputs: dict[str, str]  # path to digest
    sizes: dict[str, int]  # digest of an output to bytes
    seconds: float  # from the start of execution until the outputs exist

    @property
    def written(self) -> int:
        """The bytes of the outputs."""
        return sum(self.sizes[digest] for digest in self.outputs.values() if digest in self.sizes)


@dataclass(frozen=True)
class Result:
    """Holds the result of a command."""

    command: list[str]
    code: int
    output: str
    errors: str
    spawns: list[Spawn]

    @property
    def ran(self) -> list[str]:
        """The sorted mnemonics of the actions that Bazel executed."""
        return sorted(spawn.mnemonic for spawn in self.spawns)

    @property
    def seconds(self) -> float:
        """The elapsed time that Bazel reports for the command."""
        found = re.search(r"Elapsed time: ([0-9.]+)s", self.errors)
        return float(found[1]) if found else 0.0

    def succeeded(self) -> Result:
        """Return this result. Raises AssertionError if the command failed."""
        assert self.code == 0, f"exit code {self.code}\n{self.told()}"
        return self

    def failed(self, *messages: str) -> Result:
        """Return this result. Raises AssertionError if the command succeeded, or if its errors lack a message."""
        assert self.code != 0, self.told()
        missing = [message for message in messages if message not in self.errors]
        assert not missing, f"no {missing}\n{self.told()}"
        return self

    def told(self) -> str:
        """Return the command and the end of its output."""
        return f"$ {' '.join(self.command)}\n{self.output[-2000:]}{self.errors[-6000:]}"


class Checkout:
    """Holds a copy of this repository with a separate Bazel server."""

    def __init__(
        self,
        directory: Path,
        cache: Path,
        surroundings: Surroundings,
        source: Path = REPOSITORY,
        workspace: str = ".",
    ) -> None:
        """Copy `source`. `cache` is Bazel's download cache.

        Paths are relative to `workspace`, the default workspace of commands.
        """
        self.root = directory / "rules_bento"
        self.directory = self.root / workspace
        self._scratch = directory / "scratch"
        self._scratch.mkdir(parents=True)
        # Sandboxes of different checkouts have different paths.
        self._sandboxes = sandboxes_of(directory)
        if shutil.disk_usage(IN_MEMORY).free > ENOUGH:
            self._sandboxes.mkdir(parents=True)
        self._cache = cache
        self._surroundings = surroundings
        self._startup = [f"--output_user_root={self._scratch}/output", "--max_idle_secs=300"]
        self._served: set[str] = set()
        shutil.copytree(source, self.root, symlinks=True, ignore=LEFT_OUT)
        for module in self.root.glob("e2e/*/MODULE.bazel"):
            module.write_text(with_python_here(module.read_text("utf-8").partition(NEWER_RULES_PYTHON)[0]), "utf-8")
        shutil.rmtree(self.root / "e2e/smoke/presubmit", ignore_errors=True)
        self._mask()

    def _mask(self) -> None:
        """Set the modes of the files for a checkout with this umask."""
        for path in [self.root, *self.root.rglob("*")]:
            if not path.is_symlink():
                path.chmod((0o777 if path.stat().st_mode & 0o100 else 0o666) & ~self._surroundings.umask)

    def write(self, path: str, text: str) -> None:
        """Create or replace a file."""
        (self.directory / path).parent.mkdir(parents=True, exist_ok=True)
        (self.directory / path).write_text(text, "utf-8")

    def edit(self, path: str, old: str, new: str) -> None:
        """Replace a string that must occur in a file."""
        text = self.read(path)
        assert old in text, f"{path} has no {old!r} any more"
        self.write(path, text.replace(old, new))

    def read(self, path: str) -> str:
        """Return the content of a file."""
        return (self.directory / path).read_text("utf-8")

    def clear(self, workspace: str = "") -> None:
        """Remove the files of a workspace. Its server and output base remain."""
        directory = self.root / workspace if workspace else self.directory
        directory.mkdir(exist_ok=True)
        for path in directory.iterdir():
            if path.name.startswith("bazel-"):
                continue
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()

    def train(self) -> None:
        """Undo `untrained`."""
        for path in EXAMPLES_WITH_MODELS:
            self.write(path, (REPOSITORY / path).read_text("utf-8"))

    def forget(self) -> None:
        """Remove all outputs. Unlike `clean`, this keeps what the server loaded and analyzed."""
        for directory in self.directory.glob("bazel-out/*/bin"):
            remove(directory)

    def digest(self, path: str) -> str:
        """Return the SHA-256 digest of a file."""
        return sha256((self.directory / path).read_bytes()).hexdigest()

    def bazel(
        self, command: str, *arguments: str, workspace: str = "", startup: Sequence[str] = (), **variables: str
    ) -> Result:
        """Run a Bazel command in a workspace of the checkout."""
        log = self._scratch / "spawns.json"
        log.unlink(missing_ok=True)
        options = [f"--repository_cache={self._cache}"]
        if command in ("build", "run", "test"):
            options += [f"--execution_log_json_file={log}", "--spawn_strategy=linux-sandbox", "--noshow_progress"]
            options += [f"--sandbox_base={self._sandboxes}"] if self._sandboxes.is_dir() else []
        if command == "test":
            options.append("--test_output=errors")
        program = [str(self.root / "tools/bazel"), *self._startup, *startup]
        done = subprocess.run(
            self._surroundings.enter([*program, command, *options, *arguments], self._scratch / "clock"),
            cwd=self.root / workspace if workspace else self.directory,
            env=self._variables | variables,
            umask=self._surroundings.umask,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TIME_LIMIT,
            check=False,
        )
        if "--batch" not in startup:
            self._served.add(workspace)
        spawns = read_spawns(log) if log.exists() else []
        return Result(["tools/bazel", command, *arguments], done.returncode, done.stdout, done.stderr, spawns)

    def start(
        self, target: str, *arguments: str, log: Path, workspace: str = ".", **variables: str
    ) -> subprocess.Popen[bytes]:
        """Run a target without waiting. The target replaces the process of Bazel's client."""
        program = [str(self.root / "tools/bazel"), *self._startup, "run", f"--repository_cache={self._cache}"]
        with log.open("wb") as output:
            return subprocess.Popen(
                [*program, "--noshow_progress", target, "--", *arguments],
                cwd=self.root / workspace,
                env=self._variables | variables,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    def build(self, *arguments: str, workspace: str = "", **variables: str) -> Result:
        """Build, and check that the build succeeds."""
        return self.bazel("build", *arguments, workspace=workspace, startup=(), **variables).succeeded()

    def close(self) -> None:
        """Stop the servers."""
        for workspace in sorted(self._served):
            self.bazel("shutdown", workspace=workspace)
        self._served.clear()

    @property
    def _variables(self) -> dict[str, str]:
        # Bazel is provisioned only once, for all values of HOME.
        pinned = {"XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache"))}
        return os.environ | pinned | self._surroundings.variables


class Workbench:
    """Creates checkouts in a temporary directory."""

    def __init__(self, *, keep: bool = False) -> None:
        """Create the directory. `keep` keeps it at the end."""
        self.directory = Path(tempfile.mkdtemp(prefix="rules_bento-e2e-"))
        self._keep = keep
        self._checkouts: list[Checkout] = []
        self.examples_here: list[Spawn] = []  # the processes that built the examples in `here`, after the build

    def another(self) -> Workbench:
        """Return a workbench without checkouts, for a scenario that runs again."""
        bench = Workbench(keep=self._keep)
        vars(bench)["downloads"] = self.downloads
        return bench

    def __enter__(self) -> Workbench:
        return self

    def __exit__(self, *_: object) -> None:
        for checkout in self._checkouts:
            checkout.close()
        remove(sandboxes_of(self.directory), wait=False)
        if self._keep:
            print(f"left: {self.directory}", flush=True)
        else:
            remove(self.directory, wait=False)

    def checkout(
        self,
        name: str,
        *,
        cache: Path | None = None,
        surroundings: Surroundings | None = None,
        source: Path = REPOSITORY,
        workspace: str = ".",
    ) -> Checkout:
        """Copy the repository, or another `source`, to `name` in the directory."""
        place, cache = self.directory / name, cache or self.downloads
        made = Checkout(place, cache, surroundings or Surroundings(), source, workspace)
        self._checkouts.append(made)
        return made

    @cached_property
    def plain(self) -> Checkout:
        """Return the checkout for scenarios that require an unchanged repository."""
        return self.checkout("plain")

    @cached_property
    def spare(self) -> Checkout:
        """Return the checkout for scenarios that work after changes of other scenarios."""
        return self.checkout("spare")

    @cached_property
    def here(self) -> Checkout:
        """Return the first of two checkouts to compare."""
        return untrained(self.checkout("here"))

    @cached_property
    def there(self) -> Checkout:
        """Return the second of two checkouts to compare: with another user, date, and machine."""
        return untrained(self.checkout("a/place/elsewhere/with/a/longer/path", surroundings=ELSEWHERE))

    @cached_property
    def readers(self) -> Checkout:
        """Return the checkout of scenarios that follow a page in a directory next to it."""
        return self.checkout("readers")

    def consumer(self) -> Checkout:
        """Return the checkout of scenarios that write a workspace, without the files of the previous one.

        The server, and what it fetched for the same tags, remain.
        """
        self._consumer.clear()
        return self._consumer

    @cached_property
    def _consumer(self) -> Checkout:
        return self.checkout("consumer", workspace=CONSUMER)

    @cached_property
    def monorepo(self) -> Checkout:
        """Return the checkout in which several scenarios change e2e/monorepo."""
        return self.checkout("monorepo")

    @cached_property
    def downloads(self) -> Path:
        """Return the download cache of this repository's Bazel, so that no download is repeated."""
        # With a separate Bazel server, because the repository's server might be busy.
        startup = ["--batch", f"--output_base={self.directory}/downloads"]
        command = [str(REPOSITORY / "tools/bazel"), *startup, "info", "repository_cache"]
        asked = subprocess.run(command, cwd=REPOSITORY, stdin=subprocess.DEVNULL, capture_output=True, check=True)
        return Path(os.fsdecode(asked.stdout).strip())


def untrained(checkout: Checkout) -> Checkout:
    """Write a short text in place of the examples' models. Their training isn't an action of the rules."""
    for path in EXAMPLES_WITH_MODELS:
        text, found = re.subn(r'cmd = "\$\(execpath :.*', 'cmd = "echo weights > $@",', checkout.read(path))
        assert found, f"{path} trains no model any more"
        checkout.write(path, re.sub(r'(?m)^ +tools = \[":\w+"\],\n', "", text))
    return checkout


def with_python_here(module: str) -> str:
    """Change MODULE.bazel so that actions and package hubs use the Python that runs Bazel's programs.

    The interpreters of rules_python are downloaded from servers that not every machine can reach.
    """
    version = str((provisioned_root(REPOSITORY) / "usr/bin/python3").readlink()).removeprefix("python")
    module = module.replace('"3.11",  # the default of the hub', f'"{version}",')
    if not re.search(r"bento\.pypi\([^)]*\bpython_version = ", module):
        module = module.replace("bento.pypi(\n", f'bento.pypi(\n    python_version = "{version}",\n')
    return f"{module}{PYTHON_HERE}"


def read_spawns(log: Path) -> list[Spawn]:
    """Read Bazel's execution log, a sequence of JSON objects."""
    decoder, text, at = json.JSONDecoder(), log.read_text("utf-8"), 0
    spawns = []
    while begin := _NOT_SPACE.search(text, at):  # without a copy of the rest, which might be large
        entry, at = decoder.raw_decode(text, begin.start())
        inputs = {read["path"]: int(read.get("digest", {}).get("sizeBytes", 0)) for read in entry.get("inputs", [])}
        outputs = {output["path"]: digest_of(output) for output in entry.get("actualOutputs", [])}
        action, target = entry.get("digest", {}).get("hash", ""), entry.get("targetLabel", "")
        written = [output["digest"] for output in entry.get("actualOutputs", []) if "digest" in output]
        sizes = {str(digest.get("hash", "")): int(digest.get("sizeBytes", 0)) for digest in written}
        seconds = float(entry.get("metrics", {}).get("totalTime", "0s").removesuffix("s"))
        spawns.append(Spawn(entry["mnemonic"], target, entry["runner"], action, inputs, outputs, sizes, seconds))
    return spawns


def sandboxes_of(directory: Path) -> Path:
    """Return the directory in memory for the sandboxes of checkouts in `directory`."""
    return IN_MEMORY / directory.relative_to("/")


def digest_of(output: dict[str, Any]) -> str:
    return str(output.get("digest", {}).get("hash") or output.get("symlinkTargetPath", ""))


def gunzip(data: bytes) -> bytes:
    """Decompress a gzip file."""
    # `gzip.decompress` copies the rest of the data for each of the thousands of members of a layer.
    return gzip.GzipFile(fileobj=io.BytesIO(data)).read()


def remove(directory: Path, *, wait: bool = True) -> None:
    """Remove a directory tree. Bazel's outputs are read-only. On a busy disk, a large one takes minutes."""
    command = ["sh", "-c", 'chmod -R u+w "$0"; exec rm -rf "$0"', str(directory)]
    null = subprocess.DEVNULL  # a pipe of the caller ends with the caller
    removing = subprocess.Popen(command, stdin=null, stdout=null, stderr=null, start_new_session=True)
    if wait:
        removing.wait()
