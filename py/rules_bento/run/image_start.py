"""Starts an image without a container engine, and measures its startup, for `bento_startup_test` and `bento image`."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import sys
import time
from contextlib import suppress
from functools import cache, partial
from itertools import islice
from pathlib import Path
from posixpath import dirname, join, normpath, splitext

from rules_bento.base import namespaces
from rules_bento.base.archives.tarstream import is_utf8
from rules_bento.base.dataclasses_lite import NamedTuple
from rules_bento.base.errors import BentoError
from rules_bento.base.exit_handling import exit_on_signals, os_error_message
from rules_bento.base.own_files import OwnDirectory, own_directory
from rules_bento.base.typing_lite import Any, Callable, Iterator, Mapping, Sequence
from rules_bento.images import unpack_image
from rules_bento.run import container
from rules_bento.run.testing import bentoml_server, real_service

_READ = 1 << 20  # bytes that are read from the end of the log
_LOG_SHOWN, _LINE_SHOWN = 4000, 300  # characters of the log, and of its line with the cause, in an error
_ENDED = "before it was ready"
_EXCEPTION = re.compile(r"^[A-Za-z_][\w.]*(?:Error|Exception)\b.*$", re.MULTILINE)
_MAX_UNPACKED, _OVERHEAD = 64 << 30, 128 << 10  # bytes of all files, and additional bytes for each file
_MAX_COMPARED, _MAX_PORTS = 8, 32  # installations of BentoML, and ports, to which requests are sent
_GRACE, _MAX_SECONDS = 1, 1 << 30  # of a timer
_HOST = "127.0.0.1"
_LISTENS = "0A"  # the state of a socket in /proc/net/tcp
_PEAK = re.compile(r"^VmHWM:\s+(\d+) kB$", re.MULTILINE)
_LATER = 1 << 30  # seconds since 1970: later than the access times of unpacked files, earlier than every access
_NO_NETWORK = re.compile(  # what programs print if another server doesn't respond
    r"connection refused|connection attempts failed|connect call failed|network (is )?unreachable|no route to host|"
    r"name (or service not known|resolution|does not resolve)|could not translate host name|getaddrinfo|econnrefused|"
    r"max retries exceeded|failed to establish a new connection|cannot connect to host",
    re.IGNORECASE,
)
_NOT_WRITABLE = re.compile(  # the path, or "" for a database of SQLite
    r"(?:permission denied|read-only file system): ['\"]([^'\"\n]+)|"
    r"(?:unable to open database file|attempt to write a readonly database)",
    re.IGNORECASE,
)

_UNLISTED = re.compile(r"uid not found|local user with ID \d+ does not exist|no user exists for uid", re.IGNORECASE)


class Conditions(NamedTuple):
    """When an image has started, and the remedies if it doesn't start."""

    ready: str  # URL path that answers; empty: a port accepts connections
    seconds: float  # since the start of the container
    if_ended: str  # remedy
    if_late: str  # remedy
    variables: Mapping[str, str]
    port: int = 0  # 0: each port on which the container listens; without `ready`, the end with status 0 is a start too
    requests: Sequence[tuple[str, str]] = ()  # URL paths and JSON bodies
    deadline: float = float("inf")  # of `time.monotonic`
    if_unwritable: str = "use files in its home directory"  # remedy, with {} for a directory
    if_rejected: str = "Allow the host localhost, as in ALLOWED_HOSTS of Django, or correct readiness_path."
    if_unlisted: str = "Use a base with this user."  # remedy


class Startup(NamedTuple):
    """Measurements until the container has responded to all requests."""

    files: dict[str, int]  # sizes of the files that were read, by path in the image
    layers: list[list[int]]  # bytes of the files of each layer, and of those that were read
    ready: str  # the URL that responded, or how the container ended
    seconds: float
    cpu_seconds: float  # user and system time of all processes
    memory: int  # bytes: the sum of the peaks of all processes
    log: str  # without a part of a long log


def main() -> None:
    """Start the image that the JSON on standard input describes, and print the result as JSON."""
    namespaces.die_with_parent(signal.SIGTERM)
    layers, config, conditions = json.load(sys.stdin)
    try:
        startup = start([(Path(path), *rest) for path, *rest in layers], config, Conditions(**conditions))
        found = real_service.problems(startup.log)
        found += [real_service.REMEDY] * bool(found)
        answer = startup._asdict() | {"differences": found, "files": {}, "log": ""}
    except (BentoError, OSError) as error:
        answer = {"error": os_error_message(error) if isinstance(error, OSError) else str(error)}
    sys.stdout.write(json.dumps(answer))


def start(layers: Sequence[tuple[Path, str, str]], config: Mapping[str, Any], conditions: Conditions) -> Startup:
    """Start a container, send the requests, measure the startup, and stop the container.

    `layers` has blobs, media types, and diff IDs, lowest first, and `config` the settings of the image. Raises
    BentoError if the container doesn't respond. The message contains the end of the log.
    """
    if sys.platform != "linux":
        raise BentoError("starting an image requires Linux", remedy="Run the command or test on Linux.")
    exit_on_signals()
    user, _, group = config.get("User", "0:0").partition(":")
    if not (user.isdecimal() and (group or user).isdecimal()):
        remedy = 'Set user on the bento_image to numeric IDs, such as "1034:1034".'
        raise BentoError(f"expected a numeric UID:GID, got {config['User']!r}", place="user", remedy=remedy)
    ids = int(user), int(group or user)
    with own_directory("rules_bento-start-") as scratch:
        root, log, result = scratch / "root", scratch / "log", scratch / "result"
        for directory in (root, scratch / "removed"):
            directory.mkdir()
        top = os.path.realpath(root)
        _check_times(root)
        try:
            paths = unpack_image.unpack(layers, root, ids, unpack_image.Limit("the image", _MAX_UNPACKED, _OVERHEAD))
            modules = (f"{top}/{path}" for path in paths if path.endswith("/bentoml/__init__.py"))
            for path in islice(modules, _MAX_COMPARED):
                with suppress(OSError):  # the directory is read-only
                    if os.path.realpath(path) == path:  # no link of a later layer leads elsewhere
                        real_service.install(Path(path).parents[1])
            isolated = container.Container(
                root=root,
                command=[*config.get("Entrypoint", ()), *config.get("Cmd", ())],
                variables={**dict(each.partition("=")[::2] for each in config.get("Env", ())), **conditions.variables},
                working_dir=config.get("WorkingDir", "/"),
                user=ids,
            )
            began = time.time()
            try:
                container.run(isolated, log, partial(_use, conditions, result))
            except BentoError as error:
                raise BentoError(_with_log(error, log, isolated.working_dir, conditions)) from None
            files, sums = _files_read(top, paths, [[0, 0] for _ in layers], began)
        finally:
            unpack_image.remove_image(root, scratch / "removed")
        return Startup(files, sums, **json.loads(result.read_text("utf-8")), log=log.read_text("utf-8", "replace"))


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


def _files_read(
    top: str, paths: Mapping[str, int], sums: list[list[int]], began: float
) -> tuple[dict[str, int], list[list[int]]]:
    """Return the sizes of the files that were read, and `sums` with the sizes of all and of read files of each layer.

    Ignores files that the container wrote.
    """
    resolve = cache(os.path.realpath)
    files: dict[str, int] = {}
    for path, layer in paths.items():
        place, directory = f"{top}/{path}", f"{top}/{path}".rpartition("/")[0]
        with suppress(OSError):
            status = os.lstat(place)
            if not stat.S_ISREG(status.st_mode) or status.st_mtime > began or resolve(directory) != directory:
                continue
            sums[layer][0] += status.st_size
            if status.st_atime > _LATER:
                sums[layer][1] += status.st_size
                files |= {path: status.st_size} if is_utf8(path) else {}  # the report can't name other files
    return files, sums


def _use(conditions: Conditions, result: OwnDirectory, exit_status: Callable[[], os.waitid_result | None]) -> None:
    """Wait for the container, send the requests, and write measurements to `result`. Raises BentoError on failure."""
    began, usage = time.monotonic(), _Usage()
    seconds = max(min(conditions.seconds, conditions.deadline - began), 0)
    signal.signal(signal.SIGALRM, _expire)  # because a server can write a byte before each timeout of a socket
    signal.setitimer(signal.ITIMER_REAL, min(seconds, _MAX_SECONDS) + _GRACE)
    try:
        url = _wait(conditions, seconds, usage, exit_status)
        for path, body in conditions.requests:
            bentoml_server.post(f"http://{_HOST}:{conditions.port}{path}", body)
    except bentoml_server.ServerError as error:
        remedy = f"Check the body of the request to {path}, and the container's log."
        raise BentoError(f"the server {error}", place="requests", remedy=remedy) from None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    usage.update()
    result.write_text(json.dumps({"ready": url, "seconds": time.monotonic() - began, **vars(usage)}), "utf-8")


def _wait(
    conditions: Conditions, seconds: float, usage: _Usage, exit_status: Callable[[], os.waitid_result | None]
) -> str:
    """Return the URL that responded, or how the container ended. Raises BentoError if it isn't ready."""

    def has_ended() -> object:
        usage.update()
        return exit_status()

    url, problem, urls, began = "", "no response", partial(_urls, conditions), time.monotonic()
    with suppress(TimeoutError):
        url, problem = bentoml_server.wait(urls, seconds, has_ended)
    if not url and (ended := exit_status()):
        if not (ended.si_status or conditions.ready or conditions.port):
            return "ended with status 0"
        problem = f"the container exited with status {ended.si_status} {_ENDED}"
        raise BentoError(problem, remedy=conditions.if_ended)
    if not url:
        place = next(iter(urls()), "")
        remedy = conditions.if_rejected if problem.endswith("status 400") else conditions.if_late
        problem = (
            f"not ready within {time.monotonic() - began:.0f} s ({problem if place else 'it listens on no TCP port'})"
        )
        raise BentoError(problem, place=place, remedy=remedy)
    return url


def _expire(*_: object) -> None:
    raise TimeoutError


def _urls(conditions: Conditions) -> list[str]:
    """Return the URLs that can answer: of the port, or of each port on which the container listens."""
    places = [f"{_HOST}:{conditions.port}"] if conditions.port else dict.fromkeys(_listening())
    return [
        f"{'http' if conditions.ready else 'tcp'}://{each}{conditions.ready}" for each in islice(places, _MAX_PORTS)
    ]


def _listening() -> Iterator[str]:
    """Yield the addresses on which programs of this network can listen."""
    for name, hosts in (("tcp", [_HOST]), ("tcp6", ["[::1]", _HOST])):
        with suppress(OSError), Path("/proc/self/net", name).open(encoding="ascii") as file:
            for _, local, _, state, *_ in map(str.split, file):
                if state == _LISTENS:
                    yield from (f"{host}:{int(local.rpartition(':')[2], 16)}" for host in hosts)


class _Usage:
    """The CPU time and the memory of the container's processes, which are descendants of this process."""

    def __init__(self) -> None:
        self.cpu_seconds = 0.0
        self.memory = 0  # bytes

    def update(self) -> None:
        """Measure again. The first process of the container isn't the image's, and its memory doesn't count."""
        # By process: its parent, and the ticks of the process and its ended children.
        times: dict[int, tuple[int, int]] = {}
        for file in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):  # the process has ended
                fields = file.read_text("utf-8", "replace").rpartition(")")[2].split()
                times[int(file.parent.name)] = (int(fields[1]), sum(map(int, fields[11:15])))
        ticks, memory, pending = 0, 0, [os.getpid()]
        while pending:
            parent = pending.pop()
            children = [process for process, (of, _) in times.items() if of == parent]
            ticks += sum(times[process][1] for process in children)
            for process in children if parent != os.getpid() else ():
                with suppress(OSError):
                    found = _PEAK.search(Path(f"/proc/{process}/status").read_text("utf-8", "replace"))
                    memory += int(found[1]) << 10 if found else 0
            pending += children
        self.cpu_seconds, self.memory = ticks / os.sysconf("SC_CLK_TCK"), max(self.memory, memory)


def _with_log(error: BentoError, log: Path, working_dir: str, conditions: Conditions) -> str:
    """Return a message with the end of the log, and for a program that ended, with the cause before the remedy."""
    if not log.exists():
        return str(error)
    with log.open("rb") as file:
        file.seek(max(file.seek(0, os.SEEK_END) - _READ, 0))
        lines = file.read(_READ).decode("utf-8", "replace").splitlines(keepends=True)
    # Lines of PYTHONPROFILEIMPORTTIME, which a test sets, would hide the others.
    end = "".join(line for line in lines if not line.startswith("import time:"))[-_LOG_SHOWN:]
    network = "\nThe container has no network: connections to databases and other servers fail."
    place = _unwritable(end, working_dir)
    files = f"\nThe program can't write to {place}: {conditions.if_unwritable.format(place)}, or mount a volume."
    user = f"\nThe program requires its user in /etc/passwd. {conditions.if_unlisted}"
    shown = f"\nThe log of the container ends with:\n{end}" if end else "\nThe log of the container has no messages."
    found = [(network, _NO_NETWORK.search(end)), (files, place), (user, _UNLISTED.search(end))]
    causes = _EXCEPTION.findall(end) or [line for line in end.splitlines() if line.strip()]
    cause = f"{_ENDED}: {causes[-1].strip()[:_LINE_SHOWN].rstrip('.')}" if causes else _ENDED
    return "".join([str(error).replace(_ENDED, cause, 1), *(text for text, is_found in found if is_found), shown])


def _unwritable(end: str, working_dir: str) -> str:
    """Return the program's directory in which, by the end of its log, it can't create a file or directory, or ""."""
    found = _NOT_WRITABLE.findall(end)[-1:]
    path = normpath(join(working_dir, *found))
    if not found or not (found[0][:1] != "/" or path.startswith((f"{working_dir}/", "/app/"))):
        return ""
    return (dirname(path) if splitext(path)[1] else path).rstrip("/")  # names of files have a suffix
