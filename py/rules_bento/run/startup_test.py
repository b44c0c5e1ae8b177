"""Tests the startup of an image: the files read, the CPU time, and the imported modules."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import MappingProxyType

from rules_bento.base.archives.tarstream import is_utf8
from rules_bento.base.dataclasses_lite import NamedTuple
from rules_bento.base.errors import BentoError
from rules_bento.base.exit_handling import exit_on_signals
from rules_bento.base.formats.oci import Layer
from rules_bento.base.own_files import OwnDirectory, own_directory
from rules_bento.base.subcommand_arguments import Pairs, Request, Strings
from rules_bento.base.typing_lite import Any, Callable, Iterable, Mapping
from rules_bento.images import unpack_image
from rules_bento.run import container
from rules_bento.run.load import blobs_of
from rules_bento.run.testing import bentoml_server, real_service

_SHARE = 0.8  # of a test's timeout, so that the test can report the failure
_READ = 1 << 20  # bytes that are read from the end of the log
_LOG_SHOWN = 4000  # characters of the log in an error
_LATER = 1 << 30  # seconds since 1970: later than the times of unpacked files, earlier than every access
_SHOWN = 15  # packages and files in the report
# A line of `PYTHONPROFILEIMPORTTIME`: the microseconds of a module without and with its imports, and the name.
_IMPORT = re.compile(r"^import time:\s+(\d+) \|\s+\d+ \|\s*(\S+)$", re.MULTILINE)


class _StartupTestRequest(Request):
    contents: str  # JSON, see run/push_description.py
    directory: Path  # directory that its paths are relative to
    port: int = 0  # of the server; 0: the lowest exposed port
    ready: str  # URL path that answers when the container is ready; empty: when the port accepts connections
    request: Pairs  # URL path, body as JSON
    max_megabytes: int  # 0: no limit
    forbidden_import: Strings  # module that no process imports (repeatable)


def run(request: _StartupTestRequest) -> int:
    """Start a container, and print a report.

    Returns 1 if the startup exceeds a limit or imports a forbidden module, or if the service differs from bento.yaml.
    """
    startup = start(request, {"PYTHONPROFILEIMPORTTIME": "1"})
    imports = [(name, int(microseconds)) for microseconds, name in _IMPORT.findall(startup.log)]
    forbidden = request.forbidden_import
    if forbidden and not imports:
        remedy = "Start Python without -E and -I."
        raise BentoError("the image's Python reported no imports", place="forbidden_imports", remedy=remedy)
    size = sum(startup.files.values())
    differences = real_service.problems(startup.log)
    problems = [f"forbidden_imports: the startup imports {name}" for name in _imported(forbidden, imports)]
    if 0 < request.max_megabytes < size / 1e6:
        problems.append(f"max_megabytes: the startup uses {size / 1e6:.1f}, but the limit is {request.max_megabytes}")
    largest = sorted(startup.files.items(), key=lambda item: (-item[1], item[0]))[:_SHOWN]
    report = [
        f"files read: {len(startup.files)}, {size / 1e6:.1f} MB",
        f"CPU: {startup.cpu_seconds:.2f} s",
        "seconds of imports, by package:",
        *(f"{seconds:10.3f}  {name}" for name, seconds in _by_package(imports)[:_SHOWN]),
        "bytes of the largest files:",
        *(f"{count:10}  /{path}" for path, count in largest),
        *(f"{request.target}: {problem}. Change the service, or the attribute." for problem in problems),
        *(f"{request.target}: {difference}" for difference in differences),
        *([real_service.REMEDY] if differences else []),
    ]
    sys.stdout.write("\n".join(report) + "\n")
    return int(bool(problems or differences))


def _imported(forbidden: Iterable[str], imports: Iterable[tuple[str, int]]) -> list[str]:
    """Return the forbidden modules that were imported, directly or through a submodule."""
    names = {name for name, _ in imports}
    return [module for module in forbidden if any(f"{name}.".startswith(f"{module}.") for name in names)]


def _by_package(imports: Iterable[tuple[str, int]]) -> list[tuple[str, float]]:
    """Return the import time in seconds of each top-level package, summed over all processes, slowest first."""
    seconds: dict[str, float] = {}
    for name, microseconds in imports:
        package = name.partition(".")[0]
        seconds[package] = seconds.get(package, 0) + microseconds / 1e6
    return sorted(seconds.items(), key=lambda item: (-item[1], item[0]))


class Startup(NamedTuple):
    """Measurements until the container has responded to all requests. `files` maps accessed files to their sizes."""

    files: dict[str, int]  # sizes of the files that were read, by path in the image
    cpu_seconds: float  # user and system time of all processes
    log: str


def start(request: _StartupTestRequest, variables: Mapping[str, str] = MappingProxyType({})) -> Startup:
    """Start a container, send the requests, measure the startup, and stop the container.

    `variables` are additional environment variables. Raises BentoError if the container doesn't respond. The message
    contains the end of the log.
    """
    if sys.platform != "linux":
        raise BentoError("starting an image requires Linux", remedy="Run the target on Linux.")
    exit_on_signals()
    deadline = time.monotonic() + float(os.environ.get("TEST_TIMEOUT", "inf")) * _SHARE
    with own_directory("rules_bento-start-") as scratch:
        root = scratch / "root"
        root.mkdir()
        _check_times(root)
        settings, user = _unpack(request, root, scratch)
        for path in [path for path, _ in unpack_image.files(root) if path.endswith("/bentoml/__init__.py")]:
            with suppress(OSError):  # the directory is read-only
                real_service.install((root / path).parents[1])
        exposed = [int(port.partition("/")[0]) for port in settings["ExposedPorts"]]
        port = request.port or min(exposed, default=3000)
        log, cpu = scratch / "log", scratch / "cpu"
        use = partial(_use, request, f"http://127.0.0.1:{port}", cpu, deadline)
        try:
            container.run(_container(settings, user, variables, root), log, use)
        except BentoError as error:
            raise BentoError(f"{error}{_end_of(log)}") from None
        finally:
            unpack_image.make_accessible(root)
        read = {
            path: status.st_size
            for path, status in unpack_image.files(root)
            if status.st_atime > _LATER > status.st_mtime  # skip files that the container wrote
            and is_utf8(path)  # the report can't name other files
        }
        return Startup(read, float(cpu.read_text()), log.read_text("utf-8", "replace"))


def _check_times(directory: OwnDirectory) -> None:
    """Raise BentoError if the file system doesn't record access times."""
    probe = directory / "probe"
    probe.write_bytes(b"probe")
    os.utime(probe, (0, 0))
    probe.read_bytes()
    if probe.stat().st_atime < _LATER:
        remedy = "Set TMPDIR to a directory on another file system, such as /dev/shm."
        problem = "the file system doesn't record access times (noatime)"
        raise BentoError(problem, place=str(directory.parent), remedy=remedy)
    probe.unlink()


def _unpack(request: _StartupTestRequest, root: Path, scratch: OwnDirectory) -> tuple[dict[str, Any], tuple[int, int]]:
    """Unpack the image to `root`. Returns the settings in the image's config, with defaults, and the UID and GID."""
    directory = request.directory
    image = json.loads((directory / request.contents).read_text("utf-8"))["image"]
    layers = [Layer.loads((directory / blob["description"]).read_text("utf-8")) for blob in image["blobs"]]
    blobs = blobs_of(image["blobs"], directory, scratch)
    settings: dict[str, Any] = json.loads((directory / image["config"]).read_text("utf-8"))["config"]
    settings = {"Cmd": [], "Env": [], "ExposedPorts": {}, "User": "0:0", "WorkingDir": "/"} | settings
    user, _, group = settings["User"].partition(":")
    group = group or user
    if not (user.isdecimal() and group.isdecimal()):
        remedy = 'Set user on the bento_image to numeric IDs, such as "1034:1034".'
        raise BentoError(f"expected a numeric UID:GID, got {settings['User']!r}", place="user", remedy=remedy)
    ids = int(user), int(group)
    unpack_image.unpack([(blobs[layer.digest], layer.media_type, layer.diff_id) for layer in layers], root, ids)
    return settings, ids


def _container(
    settings: dict[str, Any], user: tuple[int, int], variables: Mapping[str, str], root: Path
) -> container.Container:
    return container.Container(
        root=root,
        command=[*settings.get("Entrypoint", []), *settings["Cmd"]],
        variables={
            **{name: value for name, _, value in (variable.partition("=") for variable in settings["Env"])},
            **variables,
        },
        working_dir=settings["WorkingDir"],
        user=user,
    )


def _use(
    request: _StartupTestRequest,
    url: str,
    cpu: OwnDirectory,
    deadline: float,
    exit_status: Callable[[], os.waitid_result | None],
) -> None:
    """Wait for the container, send the requests, and write the CPU seconds to `cpu`. Raises BentoError on failure."""
    ready, seconds = url + request.ready, deadline - time.monotonic()
    if not request.ready:
        ready = url.replace("http:", "tcp:")
    if problem := bentoml_server.wait(ready, seconds, exit_status):
        if ended := exit_status():
            remedy = "Check the container's log."
            raise BentoError(f"the container exited with status {ended.si_status} before it was ready", remedy=remedy)
        remedy = "Check readiness_path and port, or increase timeout."
        raise BentoError(f"not ready within {max(seconds, 0):.0f} s ({problem})", place=ready, remedy=remedy)
    for path, body in request.request:
        try:
            bentoml_server.post(url + path, body)
        except bentoml_server.ServerError as error:
            remedy = f"Check the body of the request to {path}, and the container's log."
            raise BentoError(f"the server {error}", place="requests", remedy=remedy) from None
    cpu.write_text(str(_cpu_seconds()))


def _cpu_seconds() -> float:
    """Return the CPU time (user and system), in seconds, of all descendants of this process."""
    # By process: its parent, and the ticks of the process and its ended children.
    times: dict[int, tuple[int, int]] = {}
    for file in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # the process has ended
            fields = file.read_text("utf-8", "replace").rpartition(")")[2].split()
            times[int(file.parent.name)] = (int(fields[1]), sum(map(int, fields[11:15])))
    ticks, pending = 0, [os.getpid()]
    while pending:
        parent = pending.pop()
        children = [process for process, (of, _) in times.items() if of == parent]
        ticks += sum(times[process][1] for process in children)
        pending += children
    return ticks / os.sysconf("SC_CLK_TCK")


def _end_of(log: Path) -> str:
    if not log.exists():
        return ""
    with log.open("rb") as file:
        file.seek(max(file.seek(0, os.SEEK_END) - _READ, 0))
        lines = file.read(_READ).decode("utf-8", "replace").splitlines(keepends=True)
    # Lines of PYTHONPROFILEIMPORTTIME, which a test sets, would hide the others.
    end = "".join(line for line in lines if not line.startswith("import time:"))[-_LOG_SHOWN:]
    return f"\nThe log of the container ends with:\n{end}" if end else "\nThe log of the container has no messages."
