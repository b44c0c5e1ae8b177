"""Serves a built Bento with real BentoML, in an environment of its own requirements, and leaves nothing behind.

`tree` in the place of `serve` says what is in it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from rules_bento.actions import deliver
from rules_bento.errors import BentoError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_bento.actions.arguments import Arguments

FLAGS = {
    "--archive": 1,
    "--model": 2,  # one that is not in the archive: description, archive part
    "--python": 1,
    "--target": 1,
    "--uv": 1,
}


def run(arguments: Arguments) -> int:
    """Unpack, install, serve until a signal; returns the exit status. `bentoml serve` gets what follows `--`.

    If that begins with `tree` or one of `deliver.VERBS`, this is done in its place.
    """
    if arguments.rest[:1] == ["tree"]:
        return _tree(arguments)
    if arguments.rest and arguments.rest[0] in deliver.VERBS:
        return deliver.deliver(Path(arguments.one("--archive")), arguments.rest[0], arguments.rest[1:])
    options = [word for word in arguments.rest if word != "serve"]
    with tempfile.TemporaryDirectory(prefix="rules_bento-serve-") as home:
        bento, environment = Path(home, "bento"), Path(home, "environment")
        for part in [arguments.one("--archive"), *(part for _, part in arguments.records("--model"))]:
            with tarfile.open(part, "r:xz") as archive:
                _extract(archive, bento)
        _install(arguments, bento, environment)
        command = [str(environment / "bin" / "bentoml"), "serve", str(bento), *options]
        variables = os.environ | {"BENTOML_HOME": f"{home}/home", "BENTOML_DO_NOT_TRACK": "true"}
        return _run_until_signal(command, variables, home)


def _tree(arguments: Arguments) -> int:
    from rules_bento.cli import tree
    from rules_bento.models.model import ModelDescription

    models = [
        ModelDescription.loads(Path(description).read_text("utf-8")) for description, _ in arguments.records("--model")
    ]
    return tree.of_built(arguments.one("--target"), Path(arguments.one("--archive")), models, arguments.rest[1:])


def _extract(archive: tarfile.TarFile, folder: Path) -> None:
    # What we packed needs no filter, but some versions of Python warn where none is chosen.
    if hasattr(tarfile, "data_filter"):
        archive.extractall(folder, filter="data")
    else:
        archive.extractall(folder)


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
                "its requirements could not be installed (see above). Serving fetches them; the build does not."
            )


def _run_until_signal(command: list[str], variables: dict[str, str], home: str) -> int:
    """Run BentoML and pass signals on, once each: a session of its own keeps those of the terminal from it."""
    server = subprocess.Popen(command, env=variables, cwd=home, start_new_session=True)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda received, _frame: server.send_signal(received))
    return server.wait()
