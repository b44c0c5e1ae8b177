"""Runs a program in an image's file system and in separate namespaces, without a container engine or root privileges.

The program sees only the image's files, its own processes, a loopback interface, read-only /proc and /sys, /tmp, and
pseudo-devices such as /dev/null. When the program ends, all processes that it started also end. Only the beginning and
the end of a long output are kept.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

from rules_bento.base import namespaces
from rules_bento.base.dataclasses_lite import NamedTuple
from rules_bento.base.errors import BentoError
from rules_bento.base.own_files import remove
from rules_bento.base.typing_lite import TYPE_CHECKING, Callable, Mapping, NoReturn, Sequence
from rules_bento.images import unpack_image

if TYPE_CHECKING:
    Use = Callable[[Callable[[], os.waitid_result | None]], None]

# Capabilities for files, users, signals and ports, as engines give them to root. CAP_SYS_ADMIN, which mounts, would
# allow writing to /proc.
_CAPABILITIES = (0, 1, 3, 4, 5, 6, 7, 10, 18)
_NOT_ALLOWED = "running an image requires user namespaces and mounts in them, which this system doesn't allow"
_REMEDY = (
    "On Ubuntu, run `sysctl kernel.apparmor_restrict_unprivileged_userns=0`. In a container, start it with "
    "`--privileged`. Otherwise, run as root."
)
_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_STOPPING_SECONDS = 5
_MAX_LOG, _LOG_END = 32 << 20, 1 << 20  # bytes of the output, and of the end that is kept of a longer output
_TICK = 0.05


class Container(NamedTuple):
    """A container's root file system and process settings."""

    root: Path
    command: Sequence[str]
    variables: Mapping[str, str]
    working_dir: str
    user: tuple[int, int]  # uid, gid


def run(container: Container, log: Path, use: Use) -> None:
    """Start a container, call `use` in its network, and stop the container.

    Writes the container's output to `log`. `use` runs in a separate process. The argument of `use` is a function that
    returns the exit status (`si_status`) of the container, or None if the container hasn't ended. Raises BentoError if
    `use` or the startup fails, or if the system doesn't allow user namespaces.
    """
    receive, send = os.pipe()
    output, write = os.pipe()
    parent = os.getpid()
    process = os.fork()
    if not process:
        os.close(receive)
        os.close(output)
        _child(container, write, use, send, parent)
    os.close(send)
    os.close(write)
    reader = threading.Thread(target=_keep, args=(output, log))
    reader.start()
    try:
        with os.fdopen(receive, "rb") as pipe:
            message = pipe.read().decode()
    except BaseException:
        _ignore_signals()
        os.kill(process, signal.SIGTERM)
        raise
    finally:
        _, status = os.waitpid(process, 0)
        reader.join()  # all programs have ended
    if status:
        raise BentoError(message or f"the process that runs the container ended with status {status}")


def _ignore_signals() -> None:
    """Ignore the signals that would interrupt the cleanup."""
    for number in _STOPPING:
        signal.signal(number, signal.SIG_IGN)


def _child(container: Container, output: int, use: Use, send: int, parent: int) -> NoReturn:
    # writes: exempt, files of the kernel
    """Run the container in the child process, and exit. Reports errors to the parent process."""
    status = 1
    for number in _STOPPING:
        signal.signal(number, lambda *_: sys.exit(1))
    try:
        namespaces.enter(container.user)
        with suppress(OSError):  # as for container engines, any user can listen on any port
            Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").write_text("0", "ascii")
        namespaces.die_with_parent(signal.SIGTERM)
        if os.getppid() != parent:  # the parent has ended already
            sys.exit(1)
        first = _start(container, output)
        try:
            use(lambda: _exit_status(first))
        finally:
            _stop(first)
        status = 0
    except (BentoError, OSError, ValueError) as error:
        _tell(send, error)
    finally:
        os._exit(status)


def _tell(pipe: int, error: Exception) -> None:
    if isinstance(error, namespaces.NamespaceError):
        error = BentoError(f"{_NOT_ALLOWED} ({error}) {_REMEDY}")
    os.write(pipe, str(error).encode("utf-8", "replace"))


def _keep(output: int, log: Path) -> None:  # writes: own, a constant name
    """Write the output to `log`. In the middle of a long output, omits a part."""
    with os.fdopen(output, "rb", buffering=0) as pipe, log.open("w+b") as file:
        while piece := pipe.read(1 << 16):
            with suppress(OSError):  # the disk is full
                if file.write(piece) and file.tell() > _MAX_LOG:
                    file.seek(-_LOG_END, os.SEEK_END)
                    end = file.read()
                    file.seek(_MAX_LOG // 2)
                    file.write(end)
                    file.truncate()


def _start(container: Container, output: int) -> int:
    """Start the container's first process, and return the process ID. Raises BentoError if the program can't start."""
    receive, send = os.pipe()
    first = os.fork()
    if not first:
        os.close(receive)
        _first(container, output, send)
    os.close(send)
    os.close(output)
    try:
        with os.fdopen(receive, "rb") as pipe:
            message = pipe.read().decode()
        if message:
            raise BentoError(message)
    except BaseException:
        os.kill(first, signal.SIGKILL)
        os.waitpid(first, 0)
        raise
    return first


def _first(container: Container, output: int, send: int) -> NoReturn:
    """Run the image's program, and forward stop signals to the program. Writes startup errors to `send`.

    Exits with the program's exit status, or with 128 and the number of the signal that ended the program.
    """
    status = 1
    try:
        os.setsid()
        namespaces.die_with_parent()
        if namespaces.is_closed(send):  # the parent has ended already
            os._exit(1)
        for descriptor in (1, 2):
            os.dup2(output, descriptor)
        os.close(output)  # the end of the last program must close the pipe
        _move(container.root)
        namespaces.filter_system_calls()
        namespaces.drop_capabilities(_CAPABILITIES)
        program = subprocess.Popen(
            container.command,
            env=dict(container.variables),
            cwd=Path("/", container.working_dir),
            stdin=subprocess.DEVNULL,
        )
        for number in _STOPPING:
            signal.signal(number, lambda *_: program.terminate())
        os.close(send)
        status = program.wait()
    except (BentoError, OSError, ValueError, subprocess.SubprocessError) as error:  # ValueError: a NUL in the command
        _tell(send, error)
    finally:
        os._exit(status if status >= 0 else 128 - status)


def _move(root: Path) -> None:  # writes: own, `create_directory` follows no link
    """Change the root to the image's directory, and mount /proc, /sys, /dev, and /tmp. Raises BentoError on failure."""
    # Create all mount points before the first mount, so that they are in the image's directory.
    places = {name: unpack_image.create_directory(root, name) for name in ("proc", "dev", "sys", "tmp", "etc")}
    hosts = places["etc"] / "hosts"
    if hosts.is_symlink() or not hosts.is_file():
        remove(hosts)
        hosts.touch()
        os.utime(hosts, (0, 0))
    namespaces.separate_mounts()
    namespaces.mount(str(root), root, "", namespaces.BIND)
    namespaces.mount_system(places["proc"], places["dev"])
    places["dev"].chmod(0o555)
    namespaces.mount("sysfs", places["sys"], "sysfs", namespaces.READ_ONLY)
    namespaces.mount("tmpfs", places["tmp"], "tmpfs", 0)
    written = places["tmp"] / "hosts"
    written.write_text("127.0.0.1 localhost\n", "ascii")
    written.chmod(0o444)
    namespaces.mount(str(written), hosts, "", namespaces.BIND)
    namespaces.change_root(root)


def _exit_status(process: int) -> os.waitid_result | None:
    return os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT)


def _stop(first: int) -> None:
    """Terminate the process `first`, and wait until it ends. After a timeout, kills all processes of the container."""
    _ignore_signals()
    os.kill(first, signal.SIGTERM)
    deadline = time.monotonic() + _STOPPING_SECONDS
    while not _exit_status(first) and time.monotonic() < deadline:
        time.sleep(_TICK)
    os.kill(first, signal.SIGKILL)
    os.waitpid(first, 0)
