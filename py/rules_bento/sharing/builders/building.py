"""Builds one image: makes the context, runs the builder, and tells what became of it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path

from rules_bento.errors import BentoError
from rules_bento.hints import IO, TYPE_CHECKING
from rules_bento.records import dataclass
from rules_bento.sharing.builders.backends import LOADERS, loader
from rules_bento.sharing.builders.command import Job, words
from rules_bento.sharing.builders.context import DOCKERFILE, context

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rules_bento.sharing.builders.backends import Backend
    from rules_bento.sharing.builders.command import Options
    from rules_bento.store.entries import Entry
    from rules_bento.store.home import Home

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_STANDARD_ERROR = 2  # the process's own, whatever Python's is
_STOPPING = (signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class Containerized:
    """Tells which image was built: its names, and the program that runs it (empty if nothing here does)."""

    entry: Entry
    backend: Backend
    names: tuple[str, ...]
    runner: str


def containerize(
    home: Home,
    entry: Entry,
    backend: Backend,
    names: Sequence[str] = (),
    options: Options | None = None,
    *,
    features: Sequence[str] = (),
    as_root: bool = False,
    check: bool = True,
) -> Containerized:
    """Build an image of a Bento under the names, or else its tag; what the builder says goes to the standard error.

    Raises BentoError where it fails. Nothing is left of the context, nor of secrets, also where it is interrupted.
    """
    names = tuple(names) or (str(entry.tag),)
    settings = dict(options or {})
    variables = {**backend.variables, **os.environ}
    secret_options = settings.pop("secret", None)
    with (
        context(home, entry, features, check=check) as folder,
        _secrets(entry, secret_options if isinstance(secret_options, list) else []) as secrets,
    ):
        dockerfile = folder / DOCKERFILE
        if variables.get("DOCKER_BUILDKIT") == "0" and backend.buildkit and "--mount=" in dockerfile.read_text("utf-8"):
            raise BentoError(f"DOCKER_BUILDKIT=0: the Dockerfile of {entry.tag} needs BuildKit. Unset the variable.")
        if secrets:
            settings["secret"] = secrets
        if not backend.buildkit:
            settings.pop("progress", None)  # which BentoML leaves out, too
        command = [backend.program, *words(backend, Job(folder, dockerfile, names, settings))]
        command = ["sudo", *command] if as_root else command
        if backend.name == "buildctl" and "output" not in settings:
            runner = _run_and_load(command, variables)
        else:
            _run(command, variables)
            runner = _runner(backend)
    return Containerized(entry, backend, names, runner)


@contextmanager
def _secrets(entry: Entry, asked: Sequence[str]) -> Iterator[list[str]]:
    """Yield the builder's secrets: those that were asked for, and the Bento's variables of the stage `build`.

    A Bento is somebody's: it names variables, but which of ours its Dockerfile gets to see is ours to say. So a value
    comes from our environment where `--secret id=NAME` asks for it, and else from the Bento. Values lie in files that
    only we can read, numbered, for names are the Bento's too; they are there while the builder runs.

    Raises BentoError for a variable whose name is none, or that has no value.
    """
    secrets = list(asked)
    with tempfile.TemporaryDirectory(prefix="bento-secrets-") as folder:
        for number, (name, value) in enumerate(_build_variables(entry).items()):
            of_ours = [secret for secret in secrets if secret.split(",") == [f"id={name}"]]
            if any(f"id={name}" in secret.split(",") and secret not in of_ours for secret in secrets):
                continue  # the builder reads it from where it was told to
            value = os.environ.get(name, "") if of_ours else value
            if not value:
                raise BentoError(
                    f"{name}: is needed to build the image of {entry.tag}, and has no value. "
                    + ("Set the variable." if of_ours else f"To give it that of your environment: --secret id={name}.")
                )
            path = Path(folder, str(number))
            with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="utf-8") as file:
                file.write(value)
            secrets = [secret for secret in secrets if secret not in of_ours] + [f"id={name},src={path}"]
        yield secrets


def _build_variables(entry: Entry) -> dict[str, str]:
    variables = {env["name"]: env["value"] for env in entry.describe().document["envs"] if env["stage"] == "build"}
    for name in variables:
        if not _VARIABLE.fullmatch(name):
            raise BentoError(f"{entry.tag}: {name!r} is no name of a variable, and no image is built with it.")
    return variables


def _run(command: list[str], variables: dict[str, str]) -> None:
    with _started(command, variables, None) as process:
        _judge(command, process.wait())


def _run_and_load(command: list[str], variables: dict[str, str]) -> str:
    """Let the image go to the first program that loads it, as it comes; returns that."""
    runner = loader()
    if not runner:
        raise BentoError(
            f"buildctl: nothing here loads the image that it builds: {', '.join(LOADERS)} do. Install or start one, or "
            "say where to write it: `--opt output=type=oci,dest=image.tar`."
        )
    with (
        _started(command, variables, subprocess.PIPE) as process,
        _started([runner, "load"], variables, None, process.stdout) as loading,
    ):
        if process.stdout:
            process.stdout.close()  # it is the loader's alone, so that the builder sees when that ends
        built, loaded = process.wait(), loading.wait()
        if built != -signal.SIGPIPE:  # else it is the loader that did not want more
            _judge(command, built)
        _judge([runner, "load"], loaded)
        _judge(command, built)
    return runner


@contextmanager
def _started(
    command: list[str], variables: dict[str, str], stdout: int | None, stdin: IO[bytes] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Yield a process that is told when we are to stop, and never outlives the block."""
    to_people = _STANDARD_ERROR if stdout is None else stdout
    try:
        process = subprocess.Popen(command, env=variables, stdout=to_people, stdin=stdin)
    except OSError as error:
        raise BentoError(f"{command[0]}: cannot be started: {error.strerror}.") from None
    before = {number: signal.signal(number, _interrupt) for number in _STOPPING} if _in_main_thread() else {}
    try:
        yield process
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if process.poll() is None:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(10)
            process.kill()
            process.wait()


def _interrupt(number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _in_main_thread() -> bool:
    import threading

    return threading.current_thread() is threading.main_thread()


def _judge(command: list[str], status: int) -> None:
    if status:
        program = " ".join(command[:2])
        raise BentoError(f"{program}: ended with status {status}; what it says is above. No image was made.")


def _runner(backend: Backend) -> str:
    if backend.name in ("docker", "buildx"):
        return "docker"
    if backend.name in ("podman", "buildah"):
        return "podman" if shutil.which("podman") else ""
    return "" if backend.name == "buildctl" else backend.name
