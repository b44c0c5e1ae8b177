"""Runs a program in an image's file system and in separate namespaces, without a container engine or root privileges.

The program sees only the image's files, its own processes, a loopback interface, read-only /proc and /sys, /tmp, and
pseudo-devices such as /dev/null. When the program ends, all processes that it started also end.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from rules_bento.dataclasses_lite import NamedTuple
from rules_bento.errors import BentoError
from rules_bento.images import rootfs
from rules_bento.typing_lite import TYPE_CHECKING, Any, Callable, Mapping, NoReturn, Sequence

if TYPE_CHECKING:
    Use = Callable[[Callable[[], os.waitid_result | None]], None]

# <sched.h>, <sys/mount.h>, <net/if.h>, <linux/sockios.h>, <sys/prctl.h>
_NEW_MOUNTS, _NEW_USERS, _NEW_PROCESSES, _NEW_NETWORK = 0x20000, 0x10000000, 0x20000000, 0x40000000
_BIND, _RECURSIVE, _PRIVATE, _DETACHED = 0x1000, 0x4000, 0x40000, 2
_TO_READ = 1 | 2 | 4 | 8  # read-only, without programs and devices
_SIGNAL_OF_PARENTS_END = 1
_DROP_CAPABILITY, _MAX_CAPABILITIES = 24, 64
# Capabilities for files, users, signals and ports, as engines give them to root. CAP_SYS_ADMIN, which mounts, would
# allow writing to /proc.
_CAPABILITIES = (0, 1, 3, 4, 5, 6, 7, 10, 18)
_GET_FLAGS, _SET_FLAGS, _IS_UP = 0x8913, 0x8914, 1

_DEVICES = ("null", "zero", "full", "random", "urandom")
_LINKS = {"fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2"}
_REMEDY = "Check that this machine allows mounts in user namespaces."
_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_STOPPING_SECONDS = 30
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

    The container writes its output to `log`. `use` runs in a separate process. The argument of `use` is a function that
    returns the exit status (`si_status`) of the container, or None if the container hasn't ended. Raises BentoError if
    `use` or the startup fails, or if the system doesn't allow user namespaces.
    """
    receive, send = os.pipe()
    parent = os.getpid()
    process = os.fork()
    if not process:
        os.close(receive)
        _child(container, log, use, send, parent)
    os.close(send)
    try:
        with os.fdopen(receive, "rb") as pipe:
            message = pipe.read().decode()
    except BaseException:
        _ignore_signals()
        os.kill(process, signal.SIGTERM)
        raise
    finally:
        _, status = os.waitpid(process, 0)
    if status:
        raise BentoError(message or f"the process that runs the container ended with status {status}")


def _ignore_signals() -> None:
    """Ignore the signals that would interrupt the cleanup."""
    for number in _STOPPING:
        signal.signal(number, signal.SIG_IGN)


def _child(container: Container, log: Path, use: Use, send: int, parent: int) -> NoReturn:
    """Run the container in the child process, and exit. Reports errors to the parent process."""
    status = 1
    for number in _STOPPING:
        signal.signal(number, lambda *_: sys.exit(1))
    try:
        libc: Any = ctypes.CDLL(None, use_errno=True)
        _enter(libc, container)
        libc.prctl(_SIGNAL_OF_PARENTS_END, signal.SIGTERM)
        if os.getppid() != parent:  # the parent has ended already
            sys.exit(1)
        first = _start(libc, container, log)
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
    os.write(pipe, str(error).encode("utf-8", "replace"))


def _enter(libc: Any, container: Container) -> None:
    """Enter new user, network, and PID namespaces. Raises BentoError if the system doesn't permit namespaces."""
    import fcntl
    import socket
    import struct

    uid, gid = os.getuid(), os.getgid()
    if libc.unshare(_NEW_USERS | _NEW_PROCESSES | _NEW_NETWORK):
        raise BentoError(
            "running an image requires user namespaces, which this system doesn't allow "
            f"({os.strerror(ctypes.get_errno())}). Run as root, or, on Ubuntu, run `sysctl "
            "kernel.apparmor_restrict_unprivileged_userns=0`."
        )
    Path("/proc/self/setgroups").write_text("deny", "ascii")
    Path("/proc/self/uid_map").write_text(f"{container.user[0]} {uid} 1", "ascii")
    Path("/proc/self/gid_map").write_text(f"{container.user[1]} {gid} 1", "ascii")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:  # enable the loopback interface
        request = struct.pack("16sH14s", b"lo", 0, b"")
        flags = struct.unpack("16sH14s", fcntl.ioctl(control, _GET_FLAGS, request))[1]
        fcntl.ioctl(control, _SET_FLAGS, struct.pack("16sH14s", b"lo", flags | _IS_UP, b""))


def _start(libc: Any, container: Container, log: Path) -> int:
    """Start the container's first process, and return the process ID. Raises BentoError if the program can't start."""
    receive, send = os.pipe()
    first = os.fork()
    if not first:
        os.close(receive)
        _first(libc, container, log, send)
    os.close(send)
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


def _first(libc: Any, container: Container, log: Path, send: int) -> NoReturn:
    """Run the image's program, and forward stop signals to the program. Writes startup errors to `send`.

    Exits with the program's exit status, or with 128 and the number of the signal that ended the program.
    """
    status = 1
    try:
        os.setsid()
        libc.prctl(_SIGNAL_OF_PARENTS_END, signal.SIGKILL)
        with log.open("wb") as output:
            for descriptor in (1, 2):
                os.dup2(output.fileno(), descriptor)
        _move(libc, container.root)
        for capability in set(range(_MAX_CAPABILITIES)).difference(_CAPABILITIES):
            libc.prctl(_DROP_CAPABILITY, capability, 0, 0, 0)  # fails for capabilities that the kernel doesn't have
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


def _move(libc: Any, root: Path) -> None:
    """Change the root to the image's directory, and mount /proc, /sys, /dev, and /tmp. Raises BentoError on failure."""
    # Create all mount points before the first mount, so that they are in the image's directory.
    processes, devices, system, temporary = (
        rootfs.create_directory(root, name) for name in ("proc", "dev", "sys", "tmp")
    )
    hosts = rootfs.create_directory(root, "etc") / "hosts"
    if hosts.is_symlink() or not hosts.is_file():
        rootfs.remove(hosts)
        hosts.touch()
        os.utime(hosts, (0, 0))
    if libc.unshare(_NEW_MOUNTS):
        raise _refusal("file systems privately")
    _mount(libc, "none", Path("/"), "", _RECURSIVE | _PRIVATE)
    _mount(libc, str(root), root, "", _BIND)
    _mount(libc, "proc", processes, "proc", _TO_READ)
    _mount(libc, "sysfs", system, "sysfs", _TO_READ)
    _mount(libc, "tmpfs", devices, "tmpfs", 0)
    _mount(libc, "tmpfs", temporary, "tmpfs", 0)
    for name in _DEVICES:
        (devices / name).touch()
        _mount(libc, f"/dev/{name}", devices / name, "", _BIND)
    for name, target in _LINKS.items():
        (devices / name).symlink_to(target)
    (devices / "shm").mkdir()
    written = temporary / "hosts"
    written.write_text("127.0.0.1 localhost\n", "ascii")
    _mount(libc, str(written), hosts, "", _BIND)
    os.chdir(root)
    # Replace the root, and unmount the old one, which is then on top: see pivot_root(2).
    if libc.pivot_root(b".", b".") or libc.umount2(b".", _DETACHED):
        raise _refusal("the image's root")
    os.chdir("/")


def _mount(libc: Any, source: str, target: Path, form: str, flags: int) -> None:
    if libc.mount(os.fsencode(source), os.fsencode(target), form.encode(), ctypes.c_ulong(flags), None):
        raise _refusal(str(target))


def _refusal(what: str) -> BentoError:
    return BentoError(f"cannot mount {what}: {os.strerror(ctypes.get_errno())}. {_REMEDY}")


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
