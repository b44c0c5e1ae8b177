"""Creates Debian packages for tests."""

import gzip
import lzma
import tarfile

import zstandard

from tests.helpers import tar_files

COMPRESS = {"": bytes, ".gz": gzip.compress, ".xz": lzma.compress, ".zst": zstandard.ZstdCompressor().compress}


def member(path, *, data=None, mode=0o644, uid=0, gid=0, link=None, hard=None, kind=None):
    """Return a member of data.tar: a file if `data` is set, or a directory by default."""
    info = tarfile.TarInfo(f"./{path}")
    info.mode, info.uid, info.gid, info.mtime = mode, uid, gid, 1_700_000_000
    if data is not None:
        info.size = len(data)
    elif link is not None:
        info.type, info.linkname = tarfile.SYMTYPE, link
    elif hard is not None:
        info.type, info.linkname = tarfile.LNKTYPE, f"./{hard}"
    else:
        info.type, info.mode = kind or tarfile.DIRTYPE, 0o755 if mode == 0o644 else mode
    return info, data or b""


def tar_of(members):
    return tar_files.tar_of(members, format=tarfile.GNU_FORMAT)


def ar_of(members):
    parts = [b"!<arch>\n"]
    for name, data in members.items():
        parts.append(b"%-16s%-12d%-6d%-6d%-8s%-10d`\n" % (name.encode(), 0, 0, 0, b"100644", len(data)))
        parts.append(data + b"\n" * (len(data) % 2))
    return b"".join(parts)


def make_deb(
    directory, name, members, *, version="1.0", architecture="amd64", compression=".xz", fields="", control_files=()
):
    """Write a package. `fields` contains additional lines of the control file."""
    control = f"Package: {name}\nVersion: {version}\nArchitecture: {architecture}\n{fields}Description: of {name}\n"
    control_tar = tar_of([member("control", data=control.encode()), *control_files])
    path = directory / f"{name}_{version}_{architecture}.deb"
    tars = {"control.tar": control_tar, "data.tar": tar_of(members)}
    packed = {name + compression: COMPRESS[compression](data) for name, data in tars.items()}
    path.write_bytes(ar_of({"debian-binary": b"2.0\n", **packed}))
    return path
