"""Builds images of Bentos: writes the build context, runs the builder, and returns the result."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
from contextlib import contextmanager, suppress
from pathlib import Path

from rules_bento.base.errors import BentoError
from rules_bento.base.landlock import outside
from rules_bento.base.own_files import own_directory
from rules_bento.base.programs import LOADERS, find_loader, which
from rules_bento.base.tree_walk import walk
from rules_bento.base.typing_lite import IO, TYPE_CHECKING, Iterator, Sequence

from bento_cli.sharing.backends import DOCKERFILE, NATIVE, Containerized, words
from bento_cli.sharing.image_options import NATIVE_OPTIONS
from bento_cli.store import verification
from bento_cli.store.entry_store import Entry, models_of
from bento_cli.store.export import contents, write_directory

if TYPE_CHECKING:
    from rules_bento.images.artifacts.signatures import Signing

    from bento_cli.sharing.backends import Backend, Options
    from bento_cli.store.home import Home

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_STANDARD_ERROR = 2  # standard error of the process, even if sys.stderr was replaced
_STOPPING = (signal.SIGTERM, signal.SIGHUP)


def containerize(
    home: Home,
    entry: Entry,
    backend: Backend,
    names: Sequence[str] = (),
    options: Options | None = None,
    *,
    arguments: Sequence[str] = (),
    features: Sequence[str] = (),
    as_root: bool = False,
    check: bool = True,
    signing: Signing | None = None,
) -> Containerized:
    """Build an image of a Bento, and tag the image with `names` (default: the Bento's tag).

    Passes `arguments` to the builder, which prints to standard error. Only the native backend uses `signing`. Raises
    BentoError if the build fails. Removes the build context and the files that contain secrets, even if the build
    fails.
    """
    names = tuple(names) or (str(entry.tag),)
    settings = dict(options or {})
    if settings.get("load") and settings.get("push"):
        raise BentoError("--load and --push can't be combined", remedy="Remove one of the two options.")
    if backend is NATIVE:
        if arguments:
            remedy = "Write options of the native backend before `--`."
            raise BentoError(f"no builder can get {arguments[0]} with --backend native", remedy=remedy)
        from bento_cli.sharing.native_image import build_image

        settings |= {"enable-features": features, "run-as-root": as_root}  # which the backend rejects, if set
        image = build_image(home, entry, names, settings, check=check, signing=signing)
        return Containerized(**vars(image), entry=entry, backend=backend)
    for name in (name for name in NATIVE_OPTIONS if settings.get(name)):
        raise BentoError(f"--{name} requires --backend native", remedy=f"Add --backend native, or remove --{name}.")
    variables = {**backend.variables, **os.environ}
    secret_options = settings.pop("secret", None)
    with (
        context(home, entry, features, check=check) as directory,
        _secrets(entry, secret_options if isinstance(secret_options, list) else []) as secrets,
    ):
        without_buildkit = variables.get("DOCKER_BUILDKIT") == "0" and backend.buildkit
        if without_buildkit and "--mount=" in (directory / DOCKERFILE).read_text("utf-8"):
            remedy = "Unset DOCKER_BUILDKIT."
            raise BentoError(f"DOCKER_BUILDKIT=0: the Dockerfile of {entry.tag} requires BuildKit", remedy=remedy)
        if secrets:
            settings["secret"] = secrets
        if not backend.buildkit:
            settings.pop("progress", None)  # BentoML also omits it
        command = [backend.program, *words(backend, directory, names, settings, arguments)]
        command = ["sudo", *command] if as_root else command
        if backend.name == "buildctl" and "output" not in settings:
            runner = _run_and_load(command, variables)
        else:
            _run(command, variables)
            runner = _runner(backend)
    return Containerized(names, runner, "", "", 0, 0, (), (), {}, entry, backend)


@contextmanager
def _secrets(entry: Entry, requested: Sequence[str]) -> Iterator[list[str]]:
    """Yield `--secret` arguments for the requested secrets, and for the Bento's variables of the stage `build`.

    By default, the value of a variable comes from the Bento. If `requested` contains `id=NAME`, the value of NAME comes
    from the user's environment. An untrusted Bento can't read other environment variables, even if the Bento declares
    their names. The value of each variable is in a file that only the user can read. The file exists only during the
    `with` block. The name of the file is a number, because the Bento controls the names of the variables.

    Raises BentoError if a variable has an invalid name or no value.
    """
    secrets = list(requested)
    with own_directory("bento-secrets-") as directory:
        for number, (name, value) in enumerate(_build_variables(entry).items()):
            of_ours = [secret for secret in secrets if secret.split(",") == [f"id={name}"]]
            if any(f"id={name}" in secret.split(",") and secret not in of_ours for secret in secrets):
                continue  # the builder reads it from the given source
            value = os.environ.get(name, "") if of_ours else value
            if not value:
                remedy = f"To use the value in your environment, add --secret id={name}."
                problem = f"the variable is empty, but building the image of {entry.tag} requires a value"
                raise BentoError(problem, place=name, remedy="Set the variable." if of_ours else remedy)
            path = directory / str(number)
            with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="utf-8") as file:
                file.write(value)
            secrets = [secret for secret in secrets if secret not in of_ours] + [f"id={name},src={path}"]
        yield secrets


def _build_variables(entry: Entry) -> dict[str, str]:
    variables = {env["name"]: env["value"] for env in entry.description.document["envs"] if env["stage"] == "build"}
    for name in variables:
        if not _VARIABLE.fullmatch(name):
            remedy = "Use letters, digits, and '_', and don't begin with a digit. Then build the Bento again."
            raise BentoError(f"invalid variable name {name!r} in envs", place=str(entry.tag), remedy=remedy)
    return variables


def _run(command: list[str], variables: dict[str, str]) -> None:
    with _started(command, variables, None) as process:
        _check_status(command, process.wait())


def _run_and_load(command: list[str], variables: dict[str, str]) -> str:
    """Run buildctl, and load the image into a container engine. Returns the engine's name."""
    runner = find_loader()
    if not runner:
        remedy = f"Install or start {' or '.join(LOADERS)}, or write the image to a file with "
        remedy += "`-- --output type=oci,dest=image.tar`."
        raise BentoError("--backend buildctl: no running container engine found", remedy=remedy)
    with (
        _started(command, variables, subprocess.PIPE) as process,
        _started([runner, "load"], variables, None, process.stdout) as loading,
    ):
        if process.stdout:
            process.stdout.close()  # keep only the loader's copy open, so that the builder fails if the loader exits
        built, loaded = process.wait(), loading.wait()
        if built != -signal.SIGPIPE:  # SIGPIPE means that the loader failed first
            _check_status(command, built)
        _check_status([runner, "load"], loaded)
        _check_status(command, built)
    return runner


@contextmanager
def _started(
    command: list[str], variables: dict[str, str], stdout: int | None, stdin: IO[bytes] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a process, and stop it at the end of the `with` block, even if a signal interrupts this program."""
    to_people = _STANDARD_ERROR if stdout is None else stdout
    program = which(command[0])
    if not program:
        remedy = f"Install {command[0]}, or use another --backend."
        raise BentoError("not found on PATH", place=command[0], remedy=remedy)
    try:
        process = outside(
            lambda: subprocess.Popen(command, executable=program, env=variables, stdout=to_people, stdin=stdin)
        )
    except OSError as error:
        remedy = f"Reinstall {command[0]}."
        raise BentoError(f"cannot start the program: {error.strerror}", place=program, remedy=remedy) from None
    is_main = threading.current_thread() is threading.main_thread()
    before = {number: signal.signal(number, signal.default_int_handler) for number in _STOPPING} if is_main else {}
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


def _check_status(command: list[str], status: int) -> None:
    if status:
        raise BentoError(f"`{' '.join(command[:2])}` failed with status {status}", remedy="Check the output above.")


def _runner(backend: Backend) -> str:
    program = {"buildah": "podman", "buildctl": "", "buildx": "docker"}.get(backend.name, backend.name)
    return program if which(program) else ""


_TIME = 315532800  # seconds: 1980-01-01, the first time that zip archives support
_DIRECTORIES = ("models", "hf-models")  # directories that BentoML's own Dockerfiles might copy


@contextmanager
def context(home: Home, entry: Entry, features: Sequence[str] = (), *, check: bool = True) -> Iterator[Path]:
    """Yield the build context, a directory that exists during the `with` block.

    If `check` is true, first verifies all files. Raises BentoError if a model or the Bento's Dockerfile is missing.
    """
    models = models_of(home, entry)
    if check:
        verification.require_intact(home, [entry, *models])
    with own_directory("bento-context-") as scratch:
        # The parent directory protects the context from other users, although builders read it as another user.
        directory = scratch / "bento"
        write_directory(directory, contents(entry, models))
        for name in _DIRECTORIES:
            if not (directory / name).is_dir() and os.path.lexists(directory / name):
                problem = f"the Dockerfile requires a directory {name}, but the Bento has a file with this name"
                raise BentoError(problem, place=str(entry.tag), remedy="Rename the file, and build the Bento again.")
            (directory / name).mkdir(exist_ok=True)
        dockerfile = directory / DOCKERFILE
        if not dockerfile.is_file():
            raise BentoError(f"the Bento has no {DOCKERFILE}", place=str(entry.tag), remedy="Build the Bento again.")
        if features:
            _add_features(dockerfile, features, str(entry.description.document["bentoml_version"]))
        _even_out(directory)
        yield directory


def _add_features(dockerfile: Path, features: Sequence[str], version: str) -> None:  # writes: own, a constant name
    """Insert an instruction that installs BentoML's extras as root. If `version` is set, pins this version."""
    lines = dockerfile.read_text("utf-8").splitlines(keepends=True)
    last = [number for number, line in enumerate(lines) if line.split(" ")[0].upper() in ("USER", "ENTRYPOINT")]
    stages = [number for number, line in enumerate(lines) if line.split(" ")[0].upper() == "FROM"]
    if not stages:
        remedy = "Fix the template in docker.dockerfile_template."
        raise BentoError("the FROM instruction is missing", place=DOCKERFILE, remedy=remedy)
    after = [number for number in last if number > stages[-1] and not lines[number].startswith("USER 0")]
    at = after[-2] if len(after) > 1 and lines[after[-2]].upper().startswith("USER") else (after or [len(lines)])[-1]
    pinned = f"=={version}" if version else ""
    command = f'RUN uv pip install "bentoml[{",".join(features)}]{pinned}"\n'
    dockerfile.write_text("".join([*lines[:at], command, *lines[at:]]), "utf-8")


def _even_out(directory: Path) -> None:  # writes: own, `walk` follows no link
    """Set constant modification times and directory modes, so that equal contexts have equal digests."""
    for _, entry in walk(directory):
        if entry.is_dir(follow_symlinks=False):
            Path(entry.path).chmod(0o755)
        os.utime(entry.path, (_TIME, _TIME), follow_symlinks=False)
    directory.chmod(0o755)
    os.utime(directory, (_TIME, _TIME))
