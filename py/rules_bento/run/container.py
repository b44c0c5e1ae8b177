"""A program in the file system of an image, without a container engine: in namespaces of its own, as a user's process.

It has a network of its own, of the loopback interface alone, /proc, /dev and /sys of the machine, and a /tmp.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from rules_bento.errors import BentoError
from rules_bento.hints import TYPE_CHECKING, Any, NoReturn
from rules_bento.images import unpacked
from rules_bento.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Use = Callable[[Callable[[], bool]], None]

# <sched.h>, <sys/mount.h>, <net/if.h>, <linux/sockios.h>, <sys/prctl.h>
_NEW_MOUNTS, _NEW_USERS, _NEW_NETWORK = 0x20000, 0x10000000, 0x40000000
_BIND, _RECURSIVE, _PRIVATE = 0x1000, 0x4000, 0x40000
_SIGNAL_OF_PARENTS_END = 1
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
    try:
        with os.fdopen(receive, "rb") as pipe:
            message = pipe.read().decode()
    except BaseException:
        os.kill(process, signal.SIGTERM)
        raise
    finally:
        _, status = os.waitpid(process, 0)
    if status:
        raise BentoError(message or f"the process that runs the container ended with status {status}")


def _child(container: Container, log: Path, use: Use, send: int) -> NoReturn:
    """Do it, tell what went wrong, and end without what the parent has to do at its end."""
    status = 1
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
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
    except (BentoError, OSError, ValueError, subprocess.SubprocessError) as error:  # ValueError: a NUL in what is run
        os.write(send, str(error).encode())
    finally:
        os._exit(status)


def _enter(container: Container) -> None:
    uid, gid = os.getuid(), os.getgid()
    # All places before anything of the machine is mounted at one: what is made, is made in the folder.
    shared = {f"/{name}": unpacked.folder(container.root, name) for name in _SHARED}
    temporary = unpacked.folder(container.root, "tmp")
    hosts = unpacked.folder(container.root, "etc") / "hosts"
    if hosts.is_symlink() or not hosts.is_file():
        unpacked.remove(hosts)
        hosts.touch()
        os.utime(hosts, (0, 0))
    libc: Any = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_NEW_USERS | _NEW_MOUNTS | _NEW_NETWORK):
        raise BentoError(
            f"this system lets nobody make namespaces ({os.strerror(ctypes.get_errno())}), and the image runs in some. "
            "Record on another machine, or as root; on Ubuntu, `sysctl kernel.apparmor_restrict_unprivileged_userns=0`."
        )
    Path("/proc/self/setgroups").write_text("deny", "ascii")
    Path("/proc/self/uid_map").write_text(f"{container.user[0]} {uid} 1", "ascii")
    Path("/proc/self/gid_map").write_text(f"{container.user[1]} {gid} 1", "ascii")
    _mount(libc, "none", Path("/"), "", _RECURSIVE | _PRIVATE)
    libc.prctl(_SIGNAL_OF_PARENTS_END, signal.SIGTERM)
    for of_machine, place in shared.items():
        _mount(libc, of_machine, place, "", _BIND | _RECURSIVE)
    _mount(libc, "tmpfs", temporary, "tmpfs", 0)
    written = temporary / "hosts"
    written.write_text("127.0.0.1 localhost\n", "ascii")
    _mount(libc, str(written), hosts, "", _BIND)
    _loopback()


def _mount(libc: Any, source: str, target: Path, form: str, flags: int) -> None:
    if libc.mount(source.encode(), os.fsencode(target), form.encode(), ctypes.c_ulong(flags), None):
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
    os.chdir("/")  # a relative one would lead out of the root
    os.chdir(container.working_dir)


def _stop(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    with suppress(subprocess.TimeoutExpired):
        server.wait(_STOPPING_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGKILL)
    server.wait()
