"""Does what maintainer scripts would do to a root file system, as far as a Python service needs it.

Users and groups, the bundle of certificates, folders that everyone may write to, the name service: all from declared
inputs, in any order of packages the same.
"""

from __future__ import annotations

from rules_bento.errors import BentoError
from rules_bento.typing_lite import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rules_bento.debian.rootfs import Rootfs

CERTIFICATES = "usr/share/ca-certificates/"
_LOCAL_CERTIFICATES = "usr/local/share/ca-certificates/"
_BUNDLE = "etc/ssl/certs/ca-certificates.crt"
_NSSWITCH = ("usr/share/libc-bin/nsswitch.conf", "usr/share/base-files/nsswitch.conf")
_NOLOGIN = "/usr/sbin/nologin"

# As base-passwd has them: those that files of packages belong to, and nobody.
_GROUPS = {
    "root": 0, "daemon": 1, "bin": 2, "sys": 3, "adm": 4, "tty": 5, "disk": 6, "mail": 8, "shadow": 42, "utmp": 43,
    "staff": 50, "users": 100, "nogroup": 65534,
}  # fmt: skip
_USERS = {"daemon": (1, 1, "/usr/sbin"), "bin": (2, 2, "/bin"), "nobody": (65534, 65534, "/nonexistent")}
_LAST_ID = 65533

_FOLDERS = {
    "dev": 0o755, "etc": 0o755, "home": 0o755, "proc": 0o755, "root": 0o700, "run": 0o755, "run/lock": 0o1777,
    "sys": 0o755, "tmp": 0o1777, "usr/local/bin": 0o755, "usr/local/lib": 0o755, "var/tmp": 0o1777,
}  # fmt: skip
_MERGED = {"bin": "usr/bin", "lib": "usr/lib", "sbin": "usr/sbin"}

MADE_LINKS = {"var/lock": "/run/lock", "var/run": "/run"}
"""Folders of packages that scripts turn into links."""


def is_needed(path: str) -> bool:
    """Return whether files are made from the contents of a package's file."""
    return path in _NSSWITCH or (path.startswith(CERTIFICATES) and path.endswith(".crt"))


def folders(root: Rootfs) -> Iterator[bytes]:
    """Yield the folders that every system has."""
    for path, mode in _FOLDERS.items():
        yield from root.folder(path, mode)
    for target in _MERGED.values():
        yield from root.folder(target)
    links = _MERGED | ({"lib64": "usr/lib64"} if root.has("usr/lib64") else {}) | MADE_LINKS
    for path, target in links.items():
        if not root.has(path):
            yield from root.link(path, target)


def users(root: Rootfs, ids: Mapping[str, int]) -> Iterator[bytes]:
    """Yield `/etc/passwd`, `/etc/group` and the homes of the given users, each with a group of its own.

    Raises BentoError for a number that a user cannot have.
    """
    taken = {number: name for name, number in _GROUPS.items()} | {
        number: name for name, (number, _, _) in _USERS.items()
    }
    passwd = ["root:x:0:0:root:/root:/bin/sh\n"]
    passwd += [f"{name}:x:{uid}:{gid}:{name}:{home}:{_NOLOGIN}\n" for name, (uid, gid, home) in _USERS.items()]
    group = [f"{name}:x:{gid}:\n" for name, gid in _GROUPS.items()]
    for name, number in sorted(ids.items(), key=lambda item: item[1]):
        if number in taken or not 0 < number <= _LAST_ID:
            raise BentoError(f"users: {name} cannot have the number {number}, {_reason(number, taken)}")
        taken[number] = name
        passwd.append(f"{name}:x:{number}:{number}:{name}:/home/{name}:{_NOLOGIN}\n")
        group.append(f"{name}:x:{number}:\n")
        yield from root.folder(f"home/{name}", 0o755, number, number)
    yield from root.file("etc/passwd", "".join(passwd).encode())
    yield from root.file("etc/group", "".join(group).encode())


def _reason(number: int, taken: Mapping[int, str]) -> str:
    return f"which is that of {taken[number]}" if number in taken else f"for it is not one of 1 to {_LAST_ID}"


def name_service(root: Rootfs) -> Iterator[bytes]:
    """Yield the member `/etc/nsswitch.conf` as Debian has it, unless a layer below has one."""
    files = [root.kept[path] for path in _NSSWITCH if path in root.kept]
    if files and not root.has("etc/nsswitch.conf"):
        yield from root.file("etc/nsswitch.conf", files[0])


def certificates(root: Rootfs, own: Sequence[tuple[str, bytes]]) -> Iterator[bytes]:
    """Yield the members for the bundle of `ca-certificates` and of given certificates, where OpenSSL looks for it.

    Raises BentoError for what is no certificate, and where a layer below has the bundle.
    """
    if own and root.has(_BUNDLE):
        raise BentoError("certificates: the bundle is in a layer below. Give them to that one.")
    mozilla = {path: data for path, data in root.kept.items() if path.startswith(CERTIFICATES)}
    bundle = b""
    for name, data in own:
        path = _LOCAL_CERTIFICATES + name.rpartition("/")[2].rpartition(".")[0] + ".crt"
        if b"-----BEGIN CERTIFICATE-----" not in data:
            raise BentoError(f"{name}: not a certificate in PEM form. Convert it with `openssl x509 -inform der`.")
        yield from root.file(path, data)
    for data in [*(data for _, data in sorted(mozilla.items())), *(data for _, data in own)]:
        bundle += data if data.endswith(b"\n") else data + b"\n"
    if not bundle:
        return
    listing = "".join(f"{path.removeprefix(CERTIFICATES)}\n" for path in sorted(mozilla))
    yield from root.file("etc/ca-certificates.conf", listing.encode())
    yield from root.file(_BUNDLE, bundle)
    for path, target in {"usr/lib/ssl/cert.pem": f"/{_BUNDLE}", "usr/lib/ssl/certs": "/etc/ssl/certs"}.items():
        if not root.has(path):
            yield from root.link(path, target)
