"""Installs a Python interpreter of rules_python above Debian packages, at `/usr/local`.

The interpreter is a directory in the layout that `make install` creates, such as an archive of python-build-standalone.
Without files for development, tests, and windows, and without modules of `_OPTIONAL` whose libraries are missing.
"""

from __future__ import annotations

import hashlib
import re

from rules_bento.base.dataclasses_lite import NamedTuple
from rules_bento.base.errors import BentoError
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Collection, Iterable, Iterator, Mapping
from rules_bento.images.wheels.elf import Elf, read_elf

if TYPE_CHECKING:
    from pathlib import Path

    from rules_bento.images.debian.deb_rootfs import Rootfs

PREFIX = "usr/local"
_EXCLUDED = re.compile(
    r"lib/python[^/]+/(?:config-[^/]*|ensurepip|idlelib|site-packages|test|tkinter|turtledemo)/"
    r"|.*/(?:tests?|idle_test)/|.*\.(?:a|pyc)$|.*/lib-dynload/(?:_ctypes_test|_test|_tkinter|_xx|xx)[^/]*$"
)
# Modules for terminals and databases of other programs.
_OPTIONAL = re.compile(r".*/lib-dynload/(?:_curses|_dbm|_gdbm|nis|ossaudiodev|readline)[^/]*$")
_GLIBC = re.compile(r"GLIBC_(\d+)\.(\d+)")


class _Linked(NamedTuple):
    """A library that a module of the standard library requires, and that some interpreters link statically."""

    module: str
    name: str
    sonames: tuple[str, ...]  # beginnings of the names of the shared library
    license: str  # SPDX, as python-build-standalone declares it in pythonbuild/downloads.py; empty if versions differ
    version: str = ""  # pattern of the version in a binary; empty if no string contains it


_LINKED = (
    _Linked("_bz2", "bzip2", ("libbz2.",), "bzip2-1.0.6", r"(\d+\.\d+\.\d+), \d+-\w{3}-\d{4}\0"),
    _Linked("_ctypes", "libffi", ("libffi.",), "MIT"),
    _Linked("_curses", "ncurses", ("libncurses", "libtinfo"), "X11", r"ncurses (\d+\.\d+)\.\d{8}\0"),
    _Linked("_dbm", "berkeley-db", ("libdb-", "libgdbm"), "Sleepycat", r"Berkeley DB (\d+\.\d+\.\d+):"),
    _Linked("_decimal", "mpdecimal", ("libmpdec.",), "BSD-2-Clause"),
    _Linked("_lzma", "xz", ("liblzma.",), "", r"\0(5\.\d+\.\d+)\0"),
    _Linked("_sqlite3", "sqlite", ("libsqlite3.",), "blessing", r"(3\.[3-9]\d\.\d+)\0"),
    _Linked("_ssl", "openssl", ("libssl.", "libcrypto."), "", r"OpenSSL (\d+\.\d+\.\d+[a-z]*) +\d+ \w{3} \d{4}\0"),
    _Linked("_tkinter", "tcl", ("libtcl",), "TCL", r"\0(8\.6\.\d+)\0"),
    _Linked("_tkinter", "tk", ("libtk",), "TCL"),
    _Linked("_tkinter", "libx11", ("libX11.",), "MIT"),
    _Linked("_uuid", "libuuid", ("libuuid.",), "BSD-3-Clause"),
    _Linked("_zstd", "zstd", ("libzstd.",), "BSD-3-Clause", r"\0(1\.\d+\.\d+)\0"),
    _Linked("pyexpat", "expat", ("libexpat.",), "MIT", r"expat_(\d+\.\d+\.\d+)\0"),
    _Linked("readline", "libedit", ("libedit.", "libreadline."), "BSD-3-Clause"),
    _Linked("zlib", "zlib", ("libz.",), "Zlib", r"deflate (\d+\.\d+(?:\.\d+)*)[^\0]{0,20} Copyright"),
)


class Host(NamedTuple):
    """The image below an interpreter."""

    architecture: str  # as named in Go
    glibc: str  # X.Y
    libraries: Collection[str]  # file names


class Interpreter:
    """The files of an interpreter that an image needs. Error messages begin with `Python X.Y of rules_python`."""

    def __init__(self, program: Path, files: Iterable[Path], version: str, host: Host) -> None:
        """Select the files. Raises BentoError for an unsupported layout, or if they can't run on the host."""
        self._version = version
        self._place = f"Python {version} of rules_python"
        self._library = f"lib/python{version}"
        self._files = self._named(program, files)
        self._elfs: dict[str, Elf] = {}
        self._linked: dict[str, _Linked] = {}
        self._versions: dict[str, str] = {}
        self._digest = ""
        pending = [name for name in sorted(self._files) if not _is_shared_library(name)]
        kept: list[str] = []
        while pending:  # shared libraries of the interpreter follow the files that need them
            name = pending.pop(0)
            own = self._read(name, host)
            if own is None or self._has_libraries(name, own, host):
                kept.append(name)
                pending += [path for path in own or () if path not in kept and path not in pending]
        self._kept = sorted(kept)
        self._check_glibc(host)
        if not self._versions.get("python"):
            raise self._unsupported("no file contains its complete version")

    def tar(self, root: Rootfs) -> Iterator[bytes]:
        """Yield the tar members of the interpreter, and add its components to the index of the file system."""
        yield from root.directory(f"{PREFIX}/{self._library}/lib-dynload")  # Python expects the directory
        for name in self._kept:
            mode = 0o755 if name.startswith("bin/") else 0o644
            yield from root.file(f"{PREFIX}/{name}", self._files[name].read_bytes(), mode)
        for link, target in (("python3", f"python{self._version}"), ("python", "python3")):
            yield from root.link(f"{PREFIX}/bin/{link}", target)
        root.components += self._components()

    def _named(self, program: Path, files: Iterable[Path]) -> dict[str, Path]:
        """Return the files that an image might need, by their paths in the interpreter's directory."""
        directory = program.parent.parent
        named = {f"bin/python{self._version}": program}
        for file in files:
            name = file.relative_to(directory).as_posix() if directory in file.parents else ""
            module = name.startswith(f"{self._library}/") and not _EXCLUDED.match(name)
            if module or _is_shared_library(name) or name == f"lib/python{self._version.replace('.', '')}.zip":
                named[name] = file
        if program.parent.name != "bin" or f"{self._library}/os.py" not in named:
            raise self._unsupported(f"{self._library}/os.py is missing")
        return named

    def _unsupported(self, why: str) -> BentoError:
        return BentoError(
            f"the layout of the interpreter isn't supported: {why}",
            place=self._place,
            remedy="Use the interpreter of a python.toolchain of rules_python, or of Debian's package python3.",
        )

    def _read(self, name: str, host: Host) -> list[str] | None:
        """Read a binary, and return the interpreter's own libraries that it needs. Returns None for another file."""
        data = self._files[name].read_bytes() if name.startswith("bin/") or ".so" in name else b""
        elf = read_elf(data)
        if elf is None:
            return None
        if elf.machine != host.architecture:
            problem = f"{name} is for {elf.machine}, but the base is for {host.architecture}"
            remedy = "Set platform to one that python.toolchain and the lock of the Debian packages have."
            raise BentoError(problem, place=self._place, remedy=remedy)
        self._elfs[name] = elf
        if name.startswith("bin/"):
            self._digest = hashlib.sha256(data).hexdigest()
        if match := re.search(rf"(?<!\d)({re.escape(self._version)}\.\d+)(?:\+|[abrc]+\d+)?\0".encode(), data):
            self._versions.setdefault("python", match[1].decode())
        for linked in _LINKED:
            if linked.module in elf.modules and not any(need.startswith(linked.sonames) for need in _needed(elf)):
                self._linked[linked.name] = linked
                match = re.search(linked.version.encode(), data) if linked.version else None
                self._versions[linked.name] = match[1].decode() if match else ""
        return [f"lib/{need}" for need in _needed(elf) if f"lib/{need}" in self._files]

    def _has_libraries(self, name: str, own: Collection[str], host: Host) -> bool:
        """Return whether all libraries of a file exist. Raises BentoError if not, and the file isn't optional."""
        present = {*host.libraries, *(path.removeprefix("lib/") for path in own)}
        missing = [need for need in _needed(self._elfs[name]) if need not in present]
        if missing and not _OPTIONAL.match(name):
            problem = f"{name} requires {' and '.join(missing)}, which no Debian package of the base provides"
            remedy = (
                "Add the packages with these libraries to the packages of the bento_debs target and the bento_base."
            )
            raise BentoError(problem, place=self._place, remedy=remedy)
        return not missing

    def _check_glibc(self, host: Host) -> None:
        versions = {
            (int(match[1]), int(match[2])): name
            for name in self._kept
            for version in (self._elfs[name].versions if name in self._elfs else ())
            if (match := _GLIBC.match(version))
        }
        newest = max(versions, default=(0, 0))
        if not host.glibc or newest > tuple(map(int, host.glibc.split("."))):
            problem = f"{versions.get(newest, 'the program')} requires glibc {newest[0]}.{newest[1]}, but the Debian "
            problem += f"packages of the base have {host.glibc or 'no glibc'}"
            remedy = "Add libc6 to the packages, or lock packages of a newer Debian release."
            raise BentoError(problem, place=self._place, remedy=remedy)

    def _components(self) -> list[Mapping[str, Any]]:
        """Return what the SBOM lists: the interpreter, and the libraries that its files contain."""
        program = {"name": "python", "version": self._versions["python"], "license": "PSF-2.0"}
        linked = [
            {"name": name, "version": self._versions[name], "license": self._linked[name].license}
            for name in sorted(self._linked)
        ]
        shared = [
            {"name": name.removeprefix("lib/"), "version": "", "license": ""}
            for name in self._kept
            if _is_shared_library(name) and not name.startswith("lib/libpython")
        ]
        return [program | {"digest": f"sha256:{self._digest}"}, *linked, *shared]


def _is_shared_library(name: str) -> bool:
    return re.fullmatch(r"lib/[^/]+\.so[^/]*", name) is not None


def _needed(elf: Elf) -> list[str]:
    # The program of python-build-standalone needs `$ORIGIN/../lib/libpython3.11.so.1.0`.
    return [need.rpartition("/")[2] for need in elf.needed]
