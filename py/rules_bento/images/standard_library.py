"""Compiles the standard library of a base, of which many bases have no bytecode, to a layer.

The layer has only what the base lacks, so all images on this base share it. Modules that services don't import have no
bytecode. The bytecode that a base has isn't compared with its sources: Python does this.
"""

from __future__ import annotations

import re

from rules_bento.base.archives.tarstream import Member, directories_above
from rules_bento.base.errors import BentoError
from rules_bento.base.typing_lite import TYPE_CHECKING, Collection, Iterable, Iterator
from rules_bento.images.layers import contents
from rules_bento.images.layers.layer import write_files_layer
from rules_bento.images.wheels.bytecode import bytecode_path, check_version, compiled

if TYPE_CHECKING:
    from pathlib import Path

    from rules_bento.base.archives.tarread import TarMember
    from rules_bento.base.formats.oci import Layer
    from rules_bento.images.layers.layer import Compression
    from rules_bento.images.wheels.bytecode import Compiler

# Directories without bytecode.
UNUSED = frozenset(
    ("dist-packages", "ensurepip", "idlelib", "lib2to3", "site-packages", "test", "tests", "tkinter", "turtledemo")
)
# A module or its bytecode. Names of other forms can't be imported, and a layer can't contain some of them.
_FILE = re.compile(
    r"(?:.*/)?lib(?:64)?/python3\.[0-9]{1,3}/((?:\w+/)*)[\w-]+(?:\.py|\.cpython-[0-9]{2,4}\.pyc)", re.ASCII
)
_MAX_SIZE = 1 << 26  # bytes of all modules and paths, which are kept in memory


def is_library_file(path: str) -> bool:
    """Return whether a path of an image can be of a used module of a standard library, or of its bytecode."""
    match = _FILE.fullmatch(path)
    return match is not None and UNUSED.isdisjoint(match[1].split("/"))


def uncompiled(files: Collection[str], python: str, version: str) -> list[str]:
    """Return the modules of an interpreter's standard library that have no bytecode, sorted by path.

    `files` are paths in the image, `python` is the path of the interpreter, and `version` its version (X.Y).

    >>> uncompiled(["usr/lib/python3.13/os.py", "usr/lib/python3.12/os.py"], "/usr/bin/python3", "3.13")
    ['usr/lib/python3.13/os.py']
    """
    tag = f"cpython-{version.replace('.', '')}"
    own = (path for path in files if path.startswith(_roots(python, version)) and path.endswith(".py"))
    return sorted(path for path in own if is_library_file(path) and bytecode_path(path, tag) not in files)


def _roots(python: str, version: str) -> tuple[str, ...]:
    prefix = python.rpartition("/bin/")[0]
    return tuple(f"{prefix}/{name}/python{version}/".lstrip("/") for name in ("lib", "lib64"))


def write_library_layer(
    out: Path,
    layers: Iterable[tuple[Path, str, str]],
    python: str,
    version: str,
    compiler: Compiler,
    compression: Compression,
) -> Layer:
    """Atomically write a layer with bytecode of the modules that `uncompiled` finds in the layers of a base.

    A layer of the base has a blob, a media type, and a diff ID. Raises BentoError if the compiler has another version.
    """
    check_version(compiler, version)
    found = _read(layers, _roots(python, version))

    # A directory of this layer would replace them.
    others = {path for path, member in found.items() if not (member and member.is_directory)}
    modules = {
        path: member.data
        for path in uncompiled(found, python, version)
        if (member := found[path]) and member.data is not None
        if others.isdisjoint(directories_above([bytecode_path(path, compiler.cache_tag)]))
    }
    bytecode = [Member.inline(path, data) for path, data in compiled([*modules], modules.values(), compiler, None)]
    # Directories keep mode and owner of the base, because the topmost layer determines them.
    above = [found.get(path) or Member.directory(path) for path in directories_above(each.path for each in bytecode)]
    layer = write_files_layer(out, [*above, *bytecode], compression)  # writes: output, of the caller
    return layer._replace(python=compiler.version)


def _read(layers: Iterable[tuple[Path, str, str]], roots: tuple[str, ...]) -> dict[str, Member | None]:
    """Return what is below `roots`, and above, by path. What is neither a directory nor a module is None."""
    left = _MAX_SIZE

    def value(path: str, member: TarMember, pieces: Iterator[bytes | memoryview]) -> tuple[Member | None] | None:
        nonlocal left
        if not (path.startswith(roots) or any(root.startswith(f"{path}/") for root in roots)):
            return None
        is_module = member.kind == "file" and path.endswith(".py") and is_library_file(path)
        left -= len(path) + (member.size if is_module else 0)
        if left < 0:
            remedy = 'Use another base image, or no bytecode (--no-bytecode, or bytecode = "none").'
            raise BentoError("the standard library exceeds the size limit", place="base", remedy=remedy)
        if member.kind == "folder":
            return (Member.directory(path, mode=member.mode & 0o7777, uid=member.uid, gid=member.gid),)
        return (Member.inline(path, b"".join(pieces)) if is_module else None,)

    return {path: each for path, (each,) in contents.merge(layers, value).items()}
