"""Packs packages that the helper imports: each is a zip of byte code, and a folder of what is machine code.

An action has all files of the packages that its verb imports as inputs, and each one is laid out, told and compared for
it: packaging, pathspec, PyYAML and blake3 are 178 files, and six of these.
"""

from __future__ import annotations

import marshal
import os
import shutil
import sys
import zipfile
from importlib.util import MAGIC_NUMBER
from pathlib import Path

from rules_bento.errors import BentoError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from rules_bento.arguments import Arguments

FLAGS = {
    "--packed": 3,  # folder of a package, the zip, and the folder for machine code or nothing
}

_UNCHECKED = (1).to_bytes(4, "little") + bytes(8)  # of byte code that is not compared with its source
_HEADER = len(MAGIC_NUMBER) + len(_UNCHECKED)
_EPOCH = (1980, 1, 1, 0, 0, 0)
# Python imports no machine code out of a zip, so the module of that name in the zip brings it: from the folder beside
# the zip. In a sandbox and on another machine both lie somewhere else, but one beside the other.
_STUB = """\
from importlib._bootstrap import _load
from importlib.machinery import ExtensionFileLoader, ModuleSpec

_path = __loader__.archive.removesuffix(".zip") + {path!r}
_load(ModuleSpec(__name__, ExtensionFileLoader(__name__, _path), origin=_path))
"""


def run(arguments: Arguments) -> None:
    """Pack each of the packages. Raises BentoError for one that is not there, and for machine code without a folder."""
    for folder, packed, machine_code in arguments.records("--packed"):
        members = dict(_members(Path(folder), machine_code))
        if not members:
            raise BentoError(f"{folder}: has no module.")
        with zipfile.ZipFile(packed, "w") as archive:
            for name in sorted(members):
                archive.writestr(zipfile.ZipInfo(name, _EPOCH), members[name])


def _members(folder: Path, machine_code: str) -> Iterator[tuple[str, bytes]]:
    """Copy machine code, and yield the members of the zip, in the order in which the later one counts."""
    sources, compiled = [], []
    for place, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if name != "__pycache__" and not name.endswith(".dist-info")]
        sources += [Path(place, name) for name in names if name.endswith(".py")]
        compiled += [Path(place, name) for name in names if name.endswith(".so")]
    for path in sources:
        yield f"{path.relative_to(folder).as_posix()}c", _byte_code(path, folder)
    for path in compiled:
        if not machine_code:
            raise BentoError(f"{path}: is machine code, for which there is no folder.")
        copy = Path(machine_code) / path.relative_to(folder)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
        module = path.relative_to(folder).with_name(path.name.partition(".")[0] + ".py").as_posix()
        stub = _STUB.format(path=f"/{path.relative_to(folder).as_posix()}")
        yield f"{module}c", _compiled(stub.encode(), module)


def _byte_code(source: Path, folder: Path) -> bytes:
    """Return the byte code of a module: what lies beside it, if that is for this Python; else it is compiled."""
    beside = source.parent / "__pycache__" / f"{source.stem}.{sys.implementation.cache_tag}.pyc"
    if beside.is_file():
        content = beside.read_bytes()
        if content.startswith(MAGIC_NUMBER):
            return MAGIC_NUMBER + _UNCHECKED + content[_HEADER:]
    return _compiled(source.read_bytes(), source.relative_to(folder).as_posix())


def _compiled(source: bytes, name: str) -> bytes:
    return MAGIC_NUMBER + _UNCHECKED + marshal.dumps(compile(source, name, "exec", dont_inherit=True, optimize=0))
