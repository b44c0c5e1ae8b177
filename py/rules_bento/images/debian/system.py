"""Makes the changes that maintainer scripts of Debian packages usually make. Omits changes that services don't need.

Creates users and groups, the certificate bundle, world-writable directories, and the name service configuration from
declared inputs. The result doesn't depend on the order of packages.
"""

from __future__ import annotations

import re
from posixpath import dirname, join, normpath

from rules_bento.base.errors import BentoError
from rules_bento.base.typing_lite import TYPE_CHECKING, Iterator, Mapping, Sequence
from rules_bento.images.wheels.bytecode import compiled

if TYPE_CHECKING:
    from rules_bento.images.debian.deb_rootfs import Rootfs
    from rules_bento.images.wheels.bytecode import Compiler

CERTIFICATES = "usr/share/ca-certificates/"
_LOCAL_CERTIFICATES = "usr/local/share/ca-certificates/"
_BUNDLE = "etc/ssl/certs/ca-certificates.crt"
_NSSWITCH = ("usr/share/libc-bin/nsswitch.conf", "usr/share/base-files/nsswitch.conf")
_NOLOGIN = "/usr/sbin/nologin"

# From base-passwd: the owners of packaged files, and nobody.
_GROUPS = {
    "root": 0, "daemon": 1, "bin": 2, "sys": 3, "adm": 4, "tty": 5, "disk": 6, "mail": 8, "shadow": 42, "utmp": 43,
    "staff": 50, "users": 100, "nogroup": 65534,
}  # fmt: skip
_USERS = {"daemon": (1, 1, "/usr/sbin"), "bin": (2, 2, "/bin"), "nobody": (65534, 65534, "/nonexistent")}
_MAX_ID = 65533

_DIRECTORIES = {
    "dev": 0o755, "etc": 0o755, "home": 0o755, "proc": 0o755, "root": 0o700, "run": 0o755, "run/lock": 0o1777,
    "sys": 0o755, "tmp": 0o1777, "usr/local/bin": 0o755, "usr/local/lib": 0o755, "var/tmp": 0o1777,
}  # fmt: skip
_MERGED = {"bin": "usr/bin", "lib": "usr/lib", "sbin": "usr/sbin"}

# Directories of packages that maintainer scripts replace with links.
GENERATED_LINKS = {"var/lock": "/run/lock", "var/run": "/run"}

_MODULE = re.compile(r"usr/(?:local/)?lib/python3(\.\d+)?/.*\.py")


def is_captured(path: str) -> bool:
    """Return whether `bytecode`, `certificates`, or `name_service` needs the content of the file at `path`."""
    is_certificate = path.startswith(CERTIFICATES) and path.endswith(".crt")
    return path in _NSSWITCH or is_certificate or _MODULE.fullmatch(path) is not None


def directories(root: Rootfs) -> Iterator[bytes]:
    """Yield the tar members of directories and links that every system requires."""
    for path, mode in _DIRECTORIES.items():
        yield from root.directory(path, mode)
    for target in _MERGED.values():
        yield from root.directory(target)
    links = _MERGED | ({"lib64": "usr/lib64"} if root.has("usr/lib64") else {}) | GENERATED_LINKS
    for path, target in links.items():
        if not root.has(path):
            yield from root.link(path, target)


def users(root: Rootfs, ids: Mapping[str, int]) -> Iterator[bytes]:
    """Yield the tar members of `/etc/passwd`, `/etc/group`, and home directories. Raises BentoError for invalid IDs."""
    taken = {*_GROUPS.values(), *(number for number, _, _ in _USERS.values())}
    passwd = ["root:x:0:0:root:/root:/bin/sh\n"]
    passwd += [f"{name}:x:{uid}:{gid}:{name}:{home}:{_NOLOGIN}\n" for name, (uid, gid, home) in _USERS.items()]
    group = [f"{name}:x:{gid}:\n" for name, gid in _GROUPS.items()]
    for name, number in sorted(ids.items(), key=lambda item: item[1]):
        if number in taken or not 0 < number <= _MAX_ID:
            problem = f"{name}: ID {number} is reserved or in use"
            raise BentoError(problem, place="users", remedy=f"Use another ID from 1 to {_MAX_ID}.")
        taken.add(number)
        passwd.append(f"{name}:x:{number}:{number}:{name}:/home/{name}:{_NOLOGIN}\n")
        group.append(f"{name}:x:{number}:\n")
        yield from root.directory(f"home/{name}", 0o755, number, number)
    yield from root.file("etc/passwd", "".join(passwd).encode())
    yield from root.file("etc/group", "".join(group).encode())


def name_service(root: Rootfs) -> Iterator[bytes]:
    """Yield the tar member of `/etc/nsswitch.conf`, or nothing if the file exists or no package contains a template."""
    files = [root.captured[path] for path in _NSSWITCH if path in root.captured]
    if files and not root.has("etc/nsswitch.conf"):
        yield from root.file("etc/nsswitch.conf", files[0])


def certificates(root: Rootfs, own: Sequence[tuple[str, bytes]]) -> Iterator[bytes]:
    """Yield the tar members for a certificate bundle, which contains the packages' certificates and `own`.

    Raises BentoError if a certificate in `own` isn't in PEM format. If a lower layer already contains the bundle, `own`
    must be empty.
    """
    if own and root.has(_BUNDLE):
        problem = "a lower layer already contains the certificate bundle"
        raise BentoError(problem, place="certificates", remedy="Set certificates on that layer instead.")
    mozilla = {path: data for path, data in root.captured.items() if path.startswith(CERTIFICATES)}
    bundle = b""
    for name, data in own:
        path = _LOCAL_CERTIFICATES + name.rpartition("/")[2].rpartition(".")[0] + ".crt"
        if b"-----BEGIN CERTIFICATE-----" not in data:
            remedy = "Convert the certificate with `openssl x509 -inform der`."
            raise BentoError(f"{name} isn't in PEM format", place="certificates", remedy=remedy)
        yield from root.file(path, data)
    for data in [*(data for _, data in sorted(mozilla.items())), *(data for _, data in own)]:
        bundle += data if data.endswith(b"\n") else data + b"\n"
    if not bundle:
        return
    listing = "".join(f"{path.removeprefix(CERTIFICATES)}\n" for path in sorted(mozilla))
    yield from root.replace("etc/ca-certificates.conf", listing.encode())
    yield from root.replace(_BUNDLE, bundle)
    for path, target in {"usr/lib/ssl/cert.pem": f"/{_BUNDLE}", "usr/lib/ssl/certs": "/etc/ssl/certs"}.items():
        if not root.has(path):
            yield from root.link(path, target)


def bytecode(root: Rootfs, compiler: Compiler) -> Iterator[bytes]:
    """Yield the tar members of the bytecode of Python's modules in this layer, and of links to them.

    Debian's packages also compile a link to a file in /etc (sitecustomize.py), which users can change.
    """
    minor = compiler.version.removeprefix("3").rpartition(".")[0]
    links = {path: normpath(join(dirname(path), target)) for path, target in root.links.items()}
    modules = map(_MODULE.fullmatch, sorted([*root.captured, *links]))
    paths = [module[0] for module in modules if module and module[1] in (None, minor)]
    sources = {path: source for path in paths if (source := root.captured.get(links.get(path, path))) is not None}
    for path, content in compiled(list(sources), sources.values(), compiler, 1):
        if not root.has(path):
            yield from root.file(path, content)
