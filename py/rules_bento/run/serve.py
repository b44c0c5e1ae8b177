"""Serves a built Bento with real BentoML, in an environment of its own requirements, and leaves nothing behind.

`tree` in the place of `serve` says what is in it. With `--reload` it follows edits of the workspace, and under ibazel
builds: `nursery` has workers that start anew in a moment.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from functools import partial
from pathlib import Path

from rules_bento.archives.archive import transcode
from rules_bento.errors import BentoError
from rules_bento.run import deliver, reload_forkserver
from rules_bento.run.watch import BuildWatcher, SourceWatcher

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

    from rules_bento.arguments import Arguments
    from rules_bento.run.watch import Watcher

FLAGS = {
    "--archive": 1,
    "--model": 2,  # one that is not in the archive: description, archive part
    "--python": 1,
    "--source-root": 1,  # a folder of the workspace that `src/` has files of, the first that has one
    "--target": 1,
    "--uv": 1,
}

# Commands of BentoML that serve. The second is for legacy services, whose requirements have its extra `grpc`.
_COMMANDS = ("serve", "serve-grpc")
_PATHS = ("--arg-file", "--ssl-certfile", "--ssl-keyfile", "--ssl-ca-certs")  # options with a file of the caller's
_RELOAD = ("--reload", "--reload=cold")
_TICK = 0.1  # seconds
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run(arguments: Arguments) -> int:
    """Unpack, install, serve until a signal; returns the exit status.

    Behind `--` stands a command, `serve` if there is none, and its options, which BentoML gets. With `tree` or one of
    `deliver.VERBS` this is done in its place.
    """
    words = arguments.rest
    if words[:1] == ["tree"]:
        return _tree(arguments)
    if words and words[0] in deliver.VERBS:
        return _deliver(arguments)
    command, options = (words[0], words[1:]) if words and words[0] in _COMMANDS else ("serve", words)
    reload = [option for option in options if option in _RELOAD]
    options = [option for option in options if option not in _RELOAD]
    if reload and not _is_notified() and "BUILD_WORKSPACE_DIRECTORY" not in os.environ:
        raise BentoError(f"{reload[-1]} is for a source tree: start it by `bazel run {arguments.one('--target')}`.")
    for number in _SIGNALS:  # by an exception, so that what was written is removed
        signal.signal(number, lambda received, _frame: sys.exit(128 + received))
    # Services of a Bento talk over sockets there, whose paths may have 103 characters.
    with tempfile.TemporaryDirectory(prefix="b-") as home:
        bento, environment = Path(home, "bento"), Path(home, "environment")
        _unpack(arguments, bento)
        watcher = _watcher(arguments, Path(home)) if reload or _is_notified() else None
        _install(arguments, bento, environment)
        variables = {"BENTOML_HOME": f"{home}/home", "BENTOML_DO_NOT_TRACK": "true", "TMPDIR": home}
        if watcher:
            variables |= reload_forkserver.install(environment / "bin" / "python", watcher.edits)
            if reload[-1:] == ["--reload=cold"]:
                variables[reload_forkserver.NO_PRELOAD] = "1"
        program = str(environment / "bin" / "bentoml")
        command_line = [program, command, str(bento), *from_caller(options)]
        return _run_until_signal(command_line, os.environ | variables, home, watcher)


def _is_notified() -> bool:
    """Return whether ibazel started this program, and tells it of builds."""
    return os.environ.get("IBAZEL_NOTIFY_CHANGES") == "y"


def _watcher(arguments: Arguments, home: Path) -> Watcher:
    """Make the server's sources those of the workspace, or of the builds that ibazel tells of."""
    if _is_notified():
        return BuildWatcher(home / "bento", home / "edits", partial(_unpack, arguments))
    roots = [Path(os.environ["BUILD_WORKSPACE_DIRECTORY"], root) for root in arguments.many("--source-root")]
    watcher = SourceWatcher(home / "bento", home / "edits", roots)
    sys.stderr.write(f"following {watcher.summary()}\n")
    return watcher


def from_caller(options: Sequence[str]) -> list[str]:
    """Return the options with files named from where Bazel was started: the server starts elsewhere."""
    folder = Path(os.environ.get("BUILD_WORKING_DIRECTORY", Path.cwd()))
    missing: list[str] = []
    for option in options:
        name, equals, value = option.partition("=")
        if name in _PATHS and equals:
            missing.append(f"{name}={folder / value}")
        else:
            missing.append(str(folder / option) if missing and missing[-1] in _PATHS else option)
    return missing


def _tree(arguments: Arguments) -> int:
    from rules_bento.cli.commands import tree
    from rules_bento.models.model import ModelDescription

    models = [
        ModelDescription.loads(Path(description).read_text("utf-8")) for description, _ in arguments.records("--model")
    ]
    return tree.of_built(arguments.one("--target"), Path(arguments.one("--archive")), models, arguments.rest[1:])


def _deliver(arguments: Arguments) -> int:
    """Return the Bento to another command, whole."""
    verb, *words = arguments.rest
    if not arguments.records("--model"):
        return deliver.deliver(Path(arguments.one("--archive")), verb, words)
    with tempfile.TemporaryDirectory(prefix="rules_bento-whole-") as folder:
        _unpack(arguments, Path(folder, "bento"))
        return deliver.deliver(Path(folder, "bento"), verb, words)


def _unpack(arguments: Arguments, folder: Path) -> None:
    """Unpack the Bento with all its models."""
    models = [Path(part) for _, part in arguments.records("--model")]
    transcode(folder, [*models, Path(arguments.one("--archive"))], "folder")


def _install(arguments: Arguments, bento: Path, environment: Path) -> None:
    uv = arguments.one("--uv")
    folder = bento / "env" / "python"
    locked = folder / "requirements.lock.txt"
    requirements = locked if locked.exists() else folder / "requirements.txt"
    sys.stderr.write(f"installing the requirements of {arguments.one('--target')}\n")
    for command in (
        [uv, "venv", "--quiet", "--no-config", "--python", arguments.one("--python"), str(environment)],
        [uv, "pip", "install", "--quiet", "--python", str(environment), "--requirement", str(requirements)],
    ):
        done = subprocess.run(command, check=False, cwd=bento / "src")
        if done.returncode:
            raise BentoError(
                "its requirements could not be installed (see above). Serving fetches them; the build does not. "
                "Name an index of your own in UV_INDEX, as NAME=https://..., with its credentials: no Bento names one."
            )


def _run_until_signal(command: list[str], variables: dict[str, str], home: str, watcher: Watcher | None) -> int:
    """Run BentoML and pass signals on, once each: a session of its own keeps those of the terminal from it."""
    stdin = subprocess.DEVNULL if _is_notified() else None
    server = subprocess.Popen(command, env=variables, cwd=home, start_new_session=True, stdin=stdin)
    try:
        for number in _SIGNALS:
            # Its supervisor takes a hang-up for the wish to start all workers again.
            passed_on = signal.SIGTERM if number == signal.SIGHUP else number
            signal.signal(number, partial(_pass_on, server, passed_on))
        while watcher and server.poll() is None:
            watcher.poll()
            with suppress(subprocess.TimeoutExpired):
                server.wait(_TICK)
        status = server.wait()
    finally:
        for number in _SIGNALS:  # the rest takes a moment, and is to be done
            signal.signal(number, signal.SIG_IGN)
        server.terminate()
        server.wait()
    return status if status >= 0 else 128 - status


def _pass_on(server: subprocess.Popen[bytes], number: signal.Signals, _received: int, _frame: FrameType | None) -> None:
    server.send_signal(number)
