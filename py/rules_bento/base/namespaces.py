"""Shows a process other files, processes, and network interfaces in Linux namespaces, without root privileges.

The functions raise NamespaceError if the system doesn't allow user namespaces, or mounts in user namespaces.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
import resource  # not later: after `change_root`, files of the new root would be imported
import select
import shutil
import signal
import struct
import sys
from contextlib import suppress
from pathlib import Path

from rules_bento.base.dataclasses_lite import NamedTuple
from rules_bento.base.errors import BentoError, problem_of
from rules_bento.base.typing_lite import Any, Callable, Container, Iterable, Iterator, Mapping, Sequence

# <sched.h>, <sys/mount.h>, <net/if.h>, <linux/sockios.h>, <sys/prctl.h>, <linux/capability.h>
_NEW_MOUNTS, _NEW_HOST_NAME, _NEW_IPC, _NEW_USERS = 0x20000, 0x4000000, 0x8000000, 0x10000000
_NEW_PROCESSES, _NEW_NETWORK = 0x20000000, 0x40000000
READ_ONLY, BIND, RECURSIVE = 0x1, 0x1000, 0x4000
_REMOUNT, _PRIVATE, _DETACHED = 0x20, 0x40000, 2
NO_SETUID, NO_DEVICES, NO_PROGRAMS = 2, 4, 8
_SIGNAL_OF_PARENTS_END, _DROP_CAPABILITY, _NO_NEW_PRIVILEGES, _MAX_CAPABILITIES = 1, 24, 38, 64
_CAPABILITIES_VERSION = 0x20080522
_GET_FLAGS, _SET_FLAGS, _IS_UP = 0x8913, 0x8914, 1
_JOIN_SESSION_KEYRING = 1
# Numbers of the system call keyctl, which the C library has no function for, by machine. Others have the generic one.
_KEYCTL = {"x86_64": 250, "i386": 288, "i686": 288, "armv7l": 311, "ppc64le": 271, "s390x": 280}
_GENERIC_KEYCTL = 219
# AUDIT_ARCH_* in <linux/audit.h>, and the numbers of seccomp, socket, and socketpair in <asm/unistd.h>, by machine.
_CALLS = {"aarch64": (0xC00000B7, 277, 198, 199), "x86_64": (0xC000003E, 317, 41, 53)}
# Flags that an unprivileged remount must not clear.
_FLAGS = {"ro": 1, "nosuid": 2, "nodev": 4, "noexec": 8, "noatime": 0x400, "nodiratime": 0x800, "relatime": 0x200000}

_DEVICES = ("null", "zero", "full", "random", "urandom")
_LINKS = {"fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2"}
_HIDDEN = ("keys", "key-users")  # files in /proc that describe the user's keys
# The programs and libraries of the system.
_SYSTEM = (
    *("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store", "/gnu/store"),
    *("/home/linuxbrew/.linuxbrew", "/etc/alternatives", "/etc/ld.so.cache"),
)
_SMALL, _SCRATCH = "mode=755,size=64m", "mode=755,size=1g"
_MAX_FILES = 2_000_000  # in a visible directory whose links are followed
_STREAMS = (0, 1, 2)
_SIGNALED = 128  # the exit status of a process that a signal ended, without the signal's number, as in a shell


class NamespaceError(BentoError):
    """Raised if the system doesn't allow namespaces or mounts. The error names the rejected operation."""


def die_with_parent(number: int = signal.SIGKILL) -> None:
    """Send this process a signal when the thread that started it ends. Does nothing outside of Linux."""
    if sys.platform == "linux":
        _libc().prctl(_SIGNAL_OF_PARENTS_END, number)


def is_closed(pipe: int) -> bool:
    """Return whether the other end of a pipe is closed, as it is when the only process with that end has ended.

    A process that calls `die_with_parent` too late gets no signal, and must then look for its parent. A pipe also works
    for the first process of a PID namespace, where `os.getppid` is always 0.
    """
    waiting = select.poll()
    waiting.register(pipe, 0)
    return bool(waiting.poll(0))


def enter(user: tuple[int, int]) -> None:  # writes: exempt, files of the kernel
    """Enter new user, UTS, IPC, network, and PID namespaces. The user's IDs become `user`. Enables the loopback device.

    This process doesn't become a member of the PID namespace, but its next child does. Keys of the user's session, such
    as Kerberos tickets, and the name of the machine aren't available in the namespaces.
    """
    import fcntl
    import socket

    if sys.platform != "linux":
        raise NamespaceError(f"namespaces require Linux, but this system is {sys.platform}.")
    ids = os.getuid(), os.getgid()
    _check(_libc().unshare(_NEW_USERS | _NEW_HOST_NAME | _NEW_IPC | _NEW_NETWORK), "user namespaces")
    _leave_keyring()
    try:
        _map_user(user, ids)
        # A nested one would give all privileges. A filter of system calls can't read the flags of `clone3`.
        Path("/proc/sys/user/max_user_namespaces").write_text("0", "ascii")
        socket.sethostname("localhost")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
            request = struct.pack("16sH14s", b"lo", 0, b"")
            flags = struct.unpack("16sH14s", fcntl.ioctl(control, _GET_FLAGS, request))[1]
            fcntl.ioctl(control, _SET_FLAGS, struct.pack("16sH14s", b"lo", flags | _IS_UP, b""))
    except OSError as error:
        raise NamespaceError(f"user namespaces: {error.strerror}.") from None
    # After everything that can fail, because this process can't start threads until its next child is the namespace's.
    _check(_libc().unshare(_NEW_PROCESSES), "process namespaces")


def _map_user(user: tuple[int, int], ids: tuple[int, int]) -> None:  # writes: exempt, files of the kernel
    Path("/proc/self/setgroups").write_text("deny", "ascii")
    for name, inner, outer in zip(("uid_map", "gid_map"), user, ids, strict=True):
        Path("/proc/self", name).write_text(f"{inner} {outer} 1", "ascii")


def _leave_keyring() -> None:
    """Join a new session keyring. Does nothing if the system allows no process to use keys."""
    number = _KEYCTL.get(os.uname().machine, _GENERIC_KEYCTL)
    failed = _libc().syscall(ctypes.c_long(number), ctypes.c_long(_JOIN_SESSION_KEYRING), None) < 0
    _check(failed and ctypes.get_errno() not in (errno.ENOSYS, errno.EPERM), "a session keyring")


def separate_mounts() -> None:
    """Enter a new mount namespace. Later mounts aren't visible outside of it."""
    _check(_libc().unshare(_NEW_MOUNTS), "private mounts")
    mount("none", Path("/"), "", RECURSIVE | _PRIVATE)


def mount(source: str, target: Path, form: str, flags: int, options: str = "") -> None:
    """Mount a file system of the type `form` at `target`, or, with the flag BIND, the file or directory `source`."""
    words = os.fsencode(source), os.fsencode(target), form.encode(), ctypes.c_ulong(flags), os.fsencode(options)
    _check(_libc().mount(*words), f"mount {target}")


def mount_system(processes: Path, devices: Path) -> None:  # writes: own, constant names in new file systems
    """Mount a file system of processes, and one of the usual pseudo-devices."""
    mount("proc", processes, "proc", READ_ONLY | NO_SETUID | NO_DEVICES | NO_PROGRAMS)
    for name in _HIDDEN:
        if (processes / name).exists():
            mount("/dev/null", processes / name, "", BIND)
    mount("tmpfs", devices, "tmpfs", 0, _SMALL)
    for name in _DEVICES:
        (devices / name).touch()
        mount(f"/dev/{name}", devices / name, "", BIND)
    for name, target in _LINKS.items():
        (devices / name).symlink_to(target)
    (devices / "shm").mkdir()
    (devices / "shm").chmod(0o1777)


def change_root(root: Path) -> None:
    """Make `root`, which must be a mount point, the root directory, and unmount the old one."""
    libc = _libc()
    os.chdir(root)
    # The old root is then mounted over the new one: see pivot_root(2).
    _check(libc.pivot_root(b".", b".") or libc.umount2(b".", _DETACHED), "the root directory")
    os.chdir("/")


def limit_resources(limits: Mapping[str, int]) -> None:
    """Limit this process and its children. `limits` maps names in the module `resource` to the limits."""
    for name, most in limits.items():
        of = getattr(resource, name)
        hard = resource.getrlimit(of)[1]
        limit = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(of, (limit, limit))


def drop_capabilities(kept: Iterable[int] = ()) -> None:
    """Drop all capabilities that aren't `kept`, for the programs that this process starts.

    If none is kept, this process also loses its own, gets no others from programs, and has a filter of system calls.
    """
    libc = _libc()
    for capability in set(range(_MAX_CAPABILITIES)).difference(kept):
        libc.prctl(_DROP_CAPABILITY, capability, 0, 0, 0)  # fails for capabilities that the kernel doesn't have
    if not kept:
        header, none = (ctypes.c_uint32 * 2)(_CAPABILITIES_VERSION, 0), (ctypes.c_uint32 * 6)()
        _check(libc.capset(header, none), "dropping capabilities")
        _check(libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0), "dropping privileges")
        filter_system_calls()


def filter_system_calls() -> None:
    """Let system calls that namespaces don't isolate fail as on a system without them."""
    machine = os.uname().machine
    architecture, seccomp, *calls = _CALLS.get(machine, (0, -1, 0, 0))  # on others, fails with ENOSYS
    # <linux/bpf_common.h>: a comparison has the numbers of instructions to skip if it is true, and if it is false.
    load, equal, at_least, end = 0x20, 0x15, 0x35, 0x06
    fail, allow = (end, 0, 0, 0x50000 | errno.ENOSYS), (end, 0, 0, 0x7FFF0000)  # <linux/seccomp.h>
    unsupported = (end, 0, 0, 0x50000 | errno.EAFNOSUPPORT)
    # Other ABIs have other numbers: 32-bit programs, and x32, which sets a bit. io_uring (425 to 427) creates sockets.
    program = [(load, 0, 0, 4), (equal, 1, 0, architecture), fail, (load, 0, 0, 0)]
    program += [(at_least, 0, 3, 425), (at_least, 0, 1, 428), (at_least, 0, 1, 1 << 30), fail]
    # Sockets that are in no network namespace, such as AF_VSOCK, which reaches the host of a virtual machine
    program += [(equal, 2, 0, calls[0]), (equal, 1, 0, calls[1]), allow, (load, 0, 0, 16)]
    # AF_UNIX, AF_INET, AF_INET6, and AF_NETLINK with NETLINK_ROUTE, by which the C library lists network interfaces
    program += [each for family in (1, 2, 10) for each in ((equal, 0, 1, family), allow)]
    program += [(equal, 0, 3, 16), (load, 0, 0, 32), (equal, 0, 1, 0), allow, unsupported]
    buffer = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *each) for each in program))
    header = struct.pack("@HP", len(program), ctypes.addressof(buffer))
    # SECCOMP_SET_MODE_FILTER with SECCOMP_FILTER_FLAG_SPEC_ALLOW, without which Linux before 5.16 is slower
    _check(_libc().syscall(*map(ctypes.c_long, (seccomp, 1, 4)), header), "a filter of system calls")


class View(NamedTuple):
    """What an isolated process sees, in addition to the system's programs. Only `directory` and /tmp are writable.

    `directory` contains only `src` and an empty `home`. What the process writes is private, in memory, and discarded.
    """

    visible: Iterable[str]  # files and directories
    source: Path  # a directory, whose contents `src` has
    models: Path  # a directory, which `home` gets as `models` if it exists
    directory: Path
    mount_point: Path  # an empty directory


def isolate(view: View) -> None:  # writes: own, a new file system in memory
    """Continue in a new process that sees only `view`, without privileges, in the directory `home`.

    The old process closes its files, and ends with the exit status of the new process, or 128 and the number of the
    signal that ended it. NamespaceError and OSError can be raised in either process.
    """
    root = Path(os.path.realpath(view.mount_point))
    enter((os.getuid(), os.getgid()))
    _continue_in_child()  # in the first process of the namespace, which ignores signals
    separate_mounts()
    mount("tmpfs", root, "tmpfs", NO_SETUID | NO_DEVICES, _SMALL)
    for name in ("dev", "etc", "proc", "tmp"):
        (root / name).mkdir()
    mount_system(root / "proc", root / "dev")
    mount("tmpfs", root / "tmp", "tmpfs", NO_SETUID | NO_DEVICES, _SMALL)
    home = view.directory / "home"
    entry = f"{view.directory.name}:x:{os.getuid()}:{os.getgid()}::{home}:/bin/sh\n"
    (root / "etc/passwd").write_text(entry, "utf-8")
    (root / "etc/hosts").write_text("127.0.0.1 localhost\n", "ascii")
    for path in [*filter(os.path.exists, _SYSTEM), *sorted(set(view.visible))]:
        _show(root, os.path.realpath(path), path)
    directory = Path(f"{root}{view.directory}")
    directory.mkdir(parents=True, exist_ok=True)  # which a visible directory can contain
    mount("tmpfs", directory, "tmpfs", NO_SETUID | NO_DEVICES, _SCRATCH)
    (directory / "home").mkdir()
    if view.models.is_dir():
        _show(root, os.path.realpath(view.models), f"{home}/models")
    _make_writable(view.source, directory)
    # `directory` covers `root` in a visible directory that contains it.
    _make_read_only(
        root, except_for=[f"{root}/dev", f"{root}/tmp", f"{directory}", f"{directory}/src", f"{directory}/root/"]
    )
    change_root(root)
    _continue_in_child()  # only the first process keeps its privileges, so that nothing can trace it
    os.chdir(home)
    drop_capabilities()


def enter_root(root: Path, program: str) -> None:  # writes: own, a new file system in memory
    """Continue in a new process whose root directory is `root`, read-only, without a network and without privileges.

    `root` contains the empty directories `dev` and `proc`. The old process does the same as in `isolate`. The new one
    gets 4 GiB of memory and, unless root starts it, can't start others. `program` is the path of its program in `root`.
    """
    root = root.resolve()
    enter((os.getuid(), os.getgid()))
    _continue_in_child()  # in the first process of the namespace, which ignores signals
    separate_mounts()
    mount(str(root), root, "", BIND)
    mount_system(root / "proc", root / "dev")
    _make_read_only(root, except_for=[f"{root}/dev"])
    change_root(root)
    _continue_in_child()  # only the first process keeps its privileges
    # Arguments of the first process, and the mounts, would show paths of this machine, so the user's name.
    mount("tmpfs", Path("/proc"), "tmpfs", NO_SETUID | NO_DEVICES, _SMALL)
    Path("/proc/self").mkdir()
    Path("/proc/self/exe").symlink_to(os.path.realpath(program))  # for libraries at paths relative to the program
    limit_resources({"RLIMIT_CORE": 0, "RLIMIT_DATA": 4 << 30, "RLIMIT_FSIZE": 0, "RLIMIT_NPROC": 0})
    drop_capabilities()


def probe(directory: Path) -> str:
    """Return why this system doesn't allow processes to isolate themselves, or an empty string if it allows that.

    Isolates a process without files. `directory` contains the empty directories `home` and `root`.
    """
    return failure(isolate, View((), directory / "home", directory / "models", directory, directory / "root"))


def failure(function: Callable[..., object], *arguments: Any) -> str:
    """Call a function in a new process. Return why it raised BentoError or OSError, or an empty string."""
    receive, send = os.pipe()
    process = os.fork()
    if not process:
        status = 1
        try:
            function(*arguments)
            status = 0
        except (BentoError, OSError) as error:
            os.write(send, problem_of(error).encode("utf-8", "replace"))
        finally:
            os._exit(status)
    os.close(send)
    with os.fdopen(receive, encoding="utf-8", errors="replace") as pipe:
        reason = pipe.read()
    status = os.waitpid(process, 0)[1]
    return reason or (f"a process ended with status {status}" if status else "")


def targets(paths: Iterable[str], ignored: Container[str] = ()) -> Iterator[str]:
    """Yield the paths, and the files and directories to which links in directories lead.

    If a link's target ends with the link's path in the directory, as in Bazel's sandbox, yields the directory in which
    the target has this path instead. Doesn't follow links to directories that contain the link, or links below a name
    in `ignored`.
    """
    waiting, seen = [os.path.abspath(path) for path in paths], set()  # noqa: PTH100 - links are not resolved
    while waiting:
        path = waiting.pop()
        if path in seen or not Path(path).exists():
            continue
        seen.add(path)
        yield path
        real = os.path.realpath(path)
        waiting.append(real)
        for link, relative in links(real, ignored):
            target = os.path.join(os.path.dirname(link), os.readlink(link))  # noqa: PTH115, PTH118, PTH120 - fast
            base = os.path.normpath(target.removesuffix(f"/{relative}") or target)
            if not f"{link}/".startswith(f"{base.rstrip('/')}/"):
                waiting.append(base)


def links(directory: str, ignored: Container[str] = ()) -> Iterator[tuple[str, str]]:
    """Yield each link in a directory: the path, and the path relative to the directory.

    Skips names in `ignored`, and directories that this process can't read. Raises BentoError for more than 2 million
    files.
    """
    is_system = f"{directory}/".startswith(tuple(f"{each}/" for each in _SYSTEM))
    waiting = [directory] if Path(directory).is_dir() and not is_system else []
    count = 0
    while waiting:
        with suppress(PermissionError), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                count += 1
                if entry.name in ignored:
                    continue
                if entry.is_symlink():
                    yield entry.path, entry.path[len(directory) + 1 :]
                elif entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                if count > _MAX_FILES:
                    problem = f"an import can't read a directory with more than {_MAX_FILES:,} files"
                    remedy = "Remove the reference to the directory from the Python environment."
                    raise BentoError(problem, place=directory, remedy=remedy)


def _show(root: Path, source: str, path: str) -> None:  # writes: own, `realpath` excludes links
    """Mount the file or directory `source` at `path` in `root`, unless `root` shows something there."""
    target = Path(f"{root}{path}")
    # A link in a directory that `root` shows could lead to a directory of the machine.
    if target.exists() or os.path.realpath(target.parent) != str(target.parent):
        return
    if Path(source).is_dir():
        target.mkdir(parents=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    mount(source, target, "", BIND | RECURSIVE)


def _make_writable(source: Path, directory: Path) -> None:  # writes: own, a new file system in memory
    """Show the contents of `source`, which contains no mounts, at `src` in `directory`, with changes in memory."""
    layers = [directory / ".layers" / name for name in ("lower", "upper", "work")]
    for each in (directory / "src", *layers):
        each.mkdir(parents=True)
    lower = layers[0]
    mount(os.path.realpath(source), lower, "", BIND)
    os.chdir(lower.parent)  # because the options can't contain every path
    try:
        mount("overlay", directory / "src", "overlay", 0, "lowerdir=lower,upperdir=upper,workdir=work,userxattr")
    except NamespaceError:  # the kernel (before Linux 5.11) or the file system doesn't support it
        try:
            shutil.copytree(lower, directory / "src", symlinks=True, dirs_exist_ok=True)
        except OSError as error:  # shutil.Error lists all files
            raise NamespaceError(f"copy {source} to memory: {error.strerror or error.args[0][0][-1]}.") from None


def _mounts(root: Path) -> list[tuple[Path, set[str]]]:
    """Return the mounts at and below `root`, the first one first, and their options."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text("utf-8", "surrogateescape").splitlines():
        fields = line.split(" ")
        path = re.sub(r"\\(\d{3})", lambda match: chr(int(match[1], 8)), fields[4])
        if f"{path}/".startswith(f"{root}/"):
            found.append((Path(path), {*fields[5].split(",")}))
    return found


def _make_read_only(root: Path, except_for: Sequence[str]) -> None:
    """Make `root`, and all mounts below it, read-only, without devices or programs of other users, except for /dev.

    If a path in `except_for` ends with a slash, ignores all mounts below it.
    """
    ignored = tuple(path for path in except_for if path.endswith("/"))
    for path, options in _mounts(root):
        if str(path) not in except_for and not f"{path}/".startswith(ignored):
            options |= {"ro", "nosuid", *([] if path.is_relative_to(root / "dev") else ["nodev"])}
            flags = sum(_FLAGS.get(option, 0) for option in options)
            mount("none", path, "", BIND | _REMOUNT | flags)


def _continue_in_child() -> None:
    """Fork. The parent process closes its files, waits for the child process, and exits with its status."""
    lifeline, life = os.pipe()
    files = {int(file.name) for file in Path("/proc/self/fd").iterdir()}  # before the child process changes /proc
    process = os.fork()
    if process:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # Python's handler would print a traceback
        for number in files.difference((*_STREAMS, life)):
            with suppress(OSError):  # of the list itself
                os.close(number)
        status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        os._exit(status if status >= 0 else _SIGNALED - status)
    os.close(life)
    die_with_parent()
    if is_closed(lifeline):
        os._exit(1)
    os.close(lifeline)


def _libc() -> Any:
    return ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result:
        raise NamespaceError(f"{what}: {os.strerror(ctypes.get_errno())}.")
