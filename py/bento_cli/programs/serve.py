"""Serves a Bento that Bazel built, in a temporary environment with the Bento's packages.

With the argument `tree`, prints the contents of the Bento instead. With `--reload`, the server reloads after edits in
the workspace. Under ibazel, the server reloads after builds. A reload restarts only the workers (`reload_forkserver`).
Watchers notify a running server of edits, or of builds that ibazel reports.
"""

from __future__ import annotations

import filecmp
import os
import select
import signal
import subprocess
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path

from rules_bento.base.archives.archive import transcode
from rules_bento.base.errors import BentoError
from rules_bento.base.own_files import own_directory
from rules_bento.base.subcommand_arguments import Pairs, Request, Strings
from rules_bento.base.tree_walk import GENERATED, walk
from rules_bento.base.typing_lite import TYPE_CHECKING, Callable, Sequence
from rules_bento.run.testing import real_service

from bento_cli.programs import reload_forkserver

if TYPE_CHECKING:
    from types import FrameType


# BentoML's commands that serve. The second is for legacy services that require the extra `grpc`.
_COMMANDS = ("serve", "serve-grpc")
_PATHS = ("--arg-file", "--ssl-certfile", "--ssl-keyfile", "--ssl-ca-certs")  # options that name a file
_RELOAD = ("--reload", "--reload=cold")
_TICK = 0.1  # seconds
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _ServeRequest(Request):
    archive: Path
    model: Pairs  # a model that isn't in the archive: description, archive part
    python: str
    source_root: Strings  # a directory in the workspace with files of `src/`; the first match is used
    uv: str


def run(request: _ServeRequest) -> int:
    """Unpack the Bento, install its packages, and run the server. Returns the server's exit status.

    The arguments after `--` are a command (default: `serve`) and options for BentoML. The command can also be `tree` or
    one of `SUBCOMMANDS`.
    """
    words = request.rest
    if words[:1] == ["tree"]:
        return _tree(request)
    if words and words[0] in SUBCOMMANDS:
        subcommand, *words = request.rest
        if not request.model:
            return deliver(request.archive, subcommand, words)
        with own_directory("rules_bento-whole-") as directory:
            _unpack(request, directory / "bento")
            return deliver(directory / "bento", subcommand, words)
    command, options = (words[0], words[1:]) if words and words[0] in _COMMANDS else ("serve", words)
    reload = [option for option in options if option in _RELOAD]
    options = [option for option in options if option not in _RELOAD]
    if reload and not _is_notified() and "BUILD_WORKSPACE_DIRECTORY" not in os.environ:
        remedy = f"Start the server with `bazel run {request.target}`."
        raise BentoError(f"{reload[-1]} requires a workspace", remedy=remedy)
    for number in _SIGNALS:  # raise an exception, so that the files are removed
        signal.signal(number, lambda received, _frame: sys.exit(128 + received))
    # Services use sockets in this directory, and a socket's path has at most 103 characters.
    with own_directory("b-") as home:
        bento, environment = home / "bento", home / "environment"
        _unpack(request, bento)
        watcher = _watcher(request, home) if reload or _is_notified() else None
        _install(request, bento, environment)
        variables = {"BENTOML_HOME": f"{home}/home", "BENTOML_DO_NOT_TRACK": "true", "TMPDIR": str(home)}
        if watcher:
            variables |= reload_forkserver.install(environment / "bin" / "python", watcher.edits)
            if reload[-1:] == ["--reload=cold"]:
                variables[reload_forkserver.NO_PRELOAD] = "1"
        program = str(environment / "bin" / "bentoml")
        command_line = [program, command, str(bento), *from_caller(options)]
        return _run_until_signal(command_line, os.environ | variables, str(home), watcher)


def _is_notified() -> bool:
    """Return whether ibazel started this program and notifies it of builds."""
    return os.environ.get("IBAZEL_NOTIFY_CHANGES") == "y"


def _watcher(request: _ServeRequest, home: Path) -> Watcher:
    """Return a watcher for builds if ibazel runs this program, otherwise a watcher for sources in the workspace."""
    if _is_notified():
        return BuildWatcher(home / "bento", home / "edits", partial(_unpack, request))
    roots = [Path(os.environ["BUILD_WORKSPACE_DIRECTORY"], root) for root in request.source_root]
    watcher = SourceWatcher(home / "bento", home / "edits", roots)
    sys.stderr.write(f"Watching {watcher.summary()}\n")
    return watcher


def from_caller(options: Sequence[str]) -> list[str]:
    """Make paths in options absolute. Relative paths refer to the directory where Bazel was started."""
    directory = Path(os.environ.get("BUILD_WORKING_DIRECTORY", Path.cwd()))
    missing: list[str] = []
    for option in options:
        name, equals, value = option.partition("=")
        if name in _PATHS and equals:
            missing.append(f"{name}={directory / value}")
        else:
            missing.append(str(directory / option) if missing and missing[-1] in _PATHS else option)
    return missing


def _tree(request: _ServeRequest) -> int:
    from rules_bento.bentos.models.model import ModelDescription

    from bento_cli.cli.commands import contents

    models = [ModelDescription.loads(Path(description).read_text("utf-8")) for description, _ in request.model]
    return contents.of_built(request.target, request.archive, models, [*request.rest[1:]])


def _unpack(request: _ServeRequest, directory: Path) -> None:
    """Unpack the Bento and all its models into `directory`."""
    models = [Path(part) for _, part in request.model]
    transcode(directory, [*models, request.archive], "folder")  # writes: own, of the caller


def _install(request: _ServeRequest, bento: Path, environment: Path) -> None:
    from rules_bento.bentos.packages.uv import LAST_PARENT, Access, Run, start

    uv = request.uv
    directory = bento / "env" / "python"
    locked = directory / "requirements.lock.txt"
    requirements = locked if locked.exists() else directory / "requirements.txt"
    sys.stderr.write(f"Installing the packages of {request.target}\n")
    (bento.parent / "pyproject.toml").write_text(LAST_PARENT, "utf-8")  # writes: own, of the caller
    install = [uv, "pip", "install", "--quiet", "--python", str(environment), "--requirement", str(requirements)]
    for command, access, config in (
        ([uv, "venv", "--quiet", "--python", request.python, str(environment)], None, ""),
        (install, Access(builds=True), "directory"),
    ):
        if start(Run(command, access, bento / "src", config, is_shown=True)).returncode:
            remedy = "For packages in a private index, set UV_INDEX to NAME=https://USER:PASSWORD@HOST/PATH."
            raise BentoError("uv can't install the packages (see above)", remedy=remedy)
    for packages in environment.glob("lib/python*/site-packages"):
        real_service.install(packages)


def _run_until_signal(command: list[str], variables: dict[str, str], home: str, watcher: Watcher | None) -> int:
    """Run BentoML, and return the exit status. Forwards signals to BentoML, and polls the watcher."""
    stdin = subprocess.DEVNULL if _is_notified() else None
    server = subprocess.Popen(command, env=variables, cwd=home, start_new_session=True, stdin=stdin)
    try:
        for number in _SIGNALS:
            # BentoML's supervisor restarts all workers on SIGHUP.
            passed_on = signal.SIGTERM if number == signal.SIGHUP else number
            signal.signal(number, partial(_pass_on, server, passed_on))
        while watcher and server.poll() is None:
            watcher.poll()
            with suppress(subprocess.TimeoutExpired):
                server.wait(_TICK)
        status = server.wait()
    finally:
        for number in _SIGNALS:  # don't interrupt the cleanup
            signal.signal(number, signal.SIG_IGN)
        server.terminate()
        server.wait()
    return status if status >= 0 else 128 - status


def _pass_on(server: subprocess.Popen[bytes], number: signal.Signals, _received: int, _frame: FrameType | None) -> None:
    server.send_signal(number)


_CONTEXTS = ".yatai.yaml"  # BentoML's file of logins to clouds
SUBCOMMANDS = ("push", "containerize", "export", "import")
"""The commands that accept a built Bento."""


def deliver(archive: Path, subcommand: str, words: Sequence[str]) -> int:
    """Run a `bento` command on a Bento in an archive or a directory, and return the exit status.

    The command runs in the directory where Bazel was started. Raises BentoError if the command isn't in `SUBCOMMANDS`.
    """
    from bento_cli.cli import main
    from bento_cli.library import Store
    from bento_cli.store.home import Home

    archive = archive.absolute()
    directory = os.environ.get("BUILD_WORKING_DIRECTORY")
    if directory:
        os.chdir(directory)
    if subcommand == "import":
        return main([subcommand, "--built", str(archive), *words])
    if subcommand not in SUBCOMMANDS:
        raise BentoError(f"unknown command {subcommand!r}", remedy=f"Valid commands: {', '.join(SUBCOMMANDS)}.")
    with own_directory("rules_bento-deliver-") as scratch:
        store = Store(scratch, durable=False)
        contexts = Home.find().root / _CONTEXTS
        if contexts.is_file():
            (scratch / _CONTEXTS).symlink_to(contexts)
        entry = store.bentos.import_archive(archive, "folder" if archive.is_dir() else "xz").entry
        return main(["--home", str(scratch), subcommand, str(entry.tag), *words])


_BUILT = b"IBAZEL_BUILD_COMPLETED SUCCESS"
_READ = 1 << 16
_DESCRIPTION = "README.md"  # might be generated from a docstring; doesn't affect the server
_NEW_EACH_TIME = ("creation_time:", "version:")  # lines of bento.yaml


class Watcher:
    """Base class of watchers. A watcher restarts a server's workers by writing to the file `edits`."""

    def __init__(self, edits: Path) -> None:
        self.edits = edits
        self._count = 0
        self._edit()

    def poll(self) -> None:
        """Apply changes since the last call, if any."""
        raise NotImplementedError

    def _edit(self) -> None:  # writes: own, a constant name
        self._count += 1
        self.edits.write_text(f"{self._count}\n", "utf-8")


class SourceWatcher(Watcher):  # writes: own, paths that `walk` found in the Bento
    """Watches the workspace files that the links in the Bento's `src/` point to."""

    def __init__(self, bento: Path, edits: Path, roots: Sequence[Path]) -> None:
        """Replace files in `src/` with links to identical files below `roots`. For `edits`, see `Watcher`."""
        super().__init__(edits)
        source = bento / "src"
        self._files: list[Path] = []
        self._others: list[str] = []
        files = [Path(path) for path, entry in walk(source, strict=False) if entry.is_file(follow_symlinks=False)]
        for path in sorted(files):
            file = source / path
            if original := next((root / path for root in roots if _is_same(root / path, file)), None):
                file.unlink()
                file.symlink_to(original)
                self._files.append(file)
            elif path.as_posix() != "bentofile.yaml":  # written by BentoML
                self._others.append(path.as_posix())
        self._seen = self._pending = self._states()

    def summary(self) -> str:
        """Return a message that lists the unwatched files in `src/`, and counts the watched files."""
        count = len(self._files)
        followed = f"{count} file{'' if count == 1 else 's'} of the workspace"
        return followed + (f"; not watched, as built: {', '.join(self._others)}" if self._others else "")

    def poll(self) -> None:
        """Report changes and request a reload, but only after an interval without further changes."""
        now = self._states()
        if now == self._pending and now != self._seen:
            changed = [path for path in now if now[path] != self._seen[path]]
            sys.stderr.write(f"{', '.join(changed)} changed\n")
            self._seen = now
            self._edit()
        self._pending = now

    def _states(self) -> dict[str, tuple[int, int, int] | None]:
        return {os.readlink(file): _state(file) for file in self._files}  # noqa: PTH115 - a string is required


class BuildWatcher(Watcher):
    """Watches for new builds of a Bento. ibazel reports the builds on standard input."""

    def __init__(self, bento: Path, edits: Path, unpack: Callable[[Path], None], notices: int = 0) -> None:
        """Read reports from the descriptor `notices`. `unpack` extracts a new Bento. For `edits`, see `Watcher`."""
        super().__init__(edits)
        self._bento = bento
        self._unpack = unpack
        self._notices = notices
        self._partial = b""
        self._is_open = True

    def poll(self) -> None:
        """Apply a new build, if any. Raises BentoError if the build requires a restart of the server."""
        if not self._is_open or not select.select([self._notices], [], [], 0)[0]:
            return
        read = os.read(self._notices, _READ)
        self._is_open = bool(read)
        *lines, self._partial = (self._partial + read).split(b"\n")
        if _BUILT in (line.strip() for line in lines):
            self._take()

    def _take(self) -> None:  # writes: own, paths of files in two own Bentos
        with own_directory("built-", self._bento.parent) as scratch:
            built = scratch / "bento"
            self._unpack(built)
            if other := _first_difference(self._bento, built):
                raise BentoError("the file changed", place=other, remedy="Restart the server to serve the new version.")
            before, after = _files(self._bento / "src"), _files(built / "src")
            changed = [
                path
                for path in sorted(before | after)
                if not _is_same(built / "src" / path, self._bento / "src" / path)
            ]
            for path in changed:
                place = self._bento / "src" / path
                place.parent.mkdir(parents=True, exist_ok=True)
                if path in after:
                    (built / "src" / path).replace(place)
                else:
                    place.unlink()
        if changed:
            sys.stderr.write(f"{', '.join(changed)} changed\n")
            self._edit()


def _files(directory: Path) -> set[str]:
    tree = walk(directory, without=GENERATED, strict=False)
    return {path for path, entry in tree if not entry.is_dir(follow_symlinks=False)}


def _first_difference(old: Path, new: Path) -> str:
    """Return the path of the first changed file that requires a restart, or "" if no restart is required."""
    for path in sorted(_files(old) | _files(new)):
        if path.startswith("src/") or path == _DESCRIPTION:
            continue
        if path == "bento.yaml" and _described(old / path) == _described(new / path):
            continue
        if not _is_same(old / path, new / path):
            return path
    return ""


def _described(file: Path) -> list[str]:
    return [line for line in file.read_text("utf-8").splitlines() if not line.startswith(_NEW_EACH_TIME)]


def _is_same(one: Path, other: Path) -> bool:
    filecmp.clear_cache()  # the cache compares times, which are equal in a Bento
    with suppress(OSError):
        return filecmp.cmp(one, other, shallow=False)
    return False


def _state(file: Path) -> tuple[int, int, int] | None:
    with suppress(OSError):
        status = file.stat()
        return status.st_mtime_ns, status.st_size, status.st_ino
    return None
