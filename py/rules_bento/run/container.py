"""A program in the file system of an image, without a container engine: in namespaces of its own, as a user's process.

It has a network of its own, of the loopback interface alone, /proc, /dev and /sys of the machine, and a /tmp.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

from rules_bento.errors import BentoError
from rules_bento.hints import TYPE_CHECKING, Any, NoReturn
from rules_bento.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Use = Callable[[Callable[[], bool]], None]

# <sched.h>, <sys/mount.h>, <net/if.h>, <linux/sockios.h>
_NEW_MOUNTS, _NEW_USERS, _NEW_NETWORK = 0x20000, 0x10000000, 0x40000000
_BIND, _RECURSIVE, _PRIVATE = 0x1000, 0x4000, 0x40000
_GET_FLAGS, _SET_FLAGS, _IS_UP = 0x8913, 0x8914, 1

_SHARED = ("proc", "dev", "sys")
_STOPPING_SECONDS = 30


class Container(NamedTuple):
    """What runs, and in what."""

    root: Path
    command: Sequence[str]
    variables: Mapping[str, str]
    working_dir: str
    user: tuple[int, int]  # uid, gid


def run(container: Container, log: Path, use: Use) -> None:
    """Start a container, which writes to `log`, call `use` in its network, and stop it.

    `use` is called in a process of its own, with a function that says whether the container has ended. Raises
    BentoError for what it or the start raises, and where the system has no namespaces for the user.
    """
    receive, send = os.pipe()
    process = os.fork()
    if not process:
        os.close(receive)
        _child(container, log, use, send)
    os.close(send)
    with os.fdopen(receive, "rb") as pipe:
        message = pipe.read().decode()
    _, status = os.waitpid(process, 0)
    if status:
        raise BentoError(message or f"the process that runs the container ended with status {status}")


def _child(container: Container, log: Path, use: Use, send: int) -> NoReturn:
    """Do it, tell what went wrong, and end without what the parent has to do at its end."""
    status = 1
    try:
        _enter(container)
        with log.open("wb") as output:
            server = subprocess.Popen(
                container.command,
                env=dict(container.variables),
                preexec_fn=lambda: _chroot(container),
                start_new_session=True,
                stderr=output,
                stdin=subprocess.DEVNULL,
                stdout=output,
            )
        try:
            use(lambda: server.poll() is not None)
        finally:
            _stop(server)
        status = 0
    except (BentoError, OSError, subprocess.SubprocessError) as error:
        os.write(send, str(error).encode())
    finally:
        os._exit(status)


def _enter(container: Container) -> None:
    uid, gid = os.getuid(), os.getgid()
    libc: Any = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_NEW_USERS | _NEW_MOUNTS | _NEW_NETWORK):
        raise BentoError(
            f"this system lets nobody make namespaces ({os.strerror(ctypes.get_errno())}), and the image runs in some. "
            "Record on another machine, or as root; on Ubuntu, `sysctl kernel.apparmor_restrict_unprivileged_userns=0`."
        )
    Path("/proc/self/setgroups").write_text("deny", "ascii")
    Path("/proc/self/uid_map").write_text(f"{container.user[0]} {uid} 1", "ascii")
    Path("/proc/self/gid_map").write_text(f"{container.user[1]} {gid} 1", "ascii")
    _mount(libc, "none", "/", "", _RECURSIVE | _PRIVATE)
    for name in _SHARED:
        place = container.root / name
        place.mkdir(exist_ok=True)
        _mount(libc, f"/{name}", str(place), "", _BIND | _RECURSIVE)
    temporary = container.root / "tmp"
    temporary.mkdir(exist_ok=True)
    _mount(libc, "tmpfs", str(temporary), "tmpfs", 0)
    _mount(libc, str(_hosts(container.root, temporary)), str(container.root / "etc/hosts"), "", _BIND)
    _loopback()


def _hosts(root: Path, temporary: Path) -> Path:
    """Write what an engine gives to containers as /etc/hosts, and have a place for it."""
    hosts = temporary / "hosts"
    hosts.write_text("127.0.0.1 localhost\n", "ascii")
    place = root / "etc" / "hosts"
    if not place.exists():
        place.parent.mkdir(exist_ok=True)
        place.touch()
        os.utime(place, (0, 0))
    return hosts


def _mount(libc: Any, source: str, target: str, form: str, flags: int) -> None:
    if libc.mount(source.encode(), target.encode(), form.encode(), ctypes.c_ulong(flags), None):
        raise BentoError(
            f"{target}: could not be mounted ({os.strerror(ctypes.get_errno())}). Record on another machine."
        )


def _loopback() -> None:
    """Bring the interface up, which a new network has down."""
    import fcntl
    import socket
    import struct

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sH14s", b"lo", 0, b"")
        flags = struct.unpack("16sH14s", fcntl.ioctl(control, _GET_FLAGS, request))[1]
        fcntl.ioctl(control, _SET_FLAGS, struct.pack("16sH14s", b"lo", flags | _IS_UP, b""))


def _chroot(container: Container) -> None:
    os.chroot(container.root)
    os.chdir(container.working_dir)


def _stop(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    with suppress(subprocess.TimeoutExpired):
        server.wait(_STOPPING_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGKILL)
    server.wait()
