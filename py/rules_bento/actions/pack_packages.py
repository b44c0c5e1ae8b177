"""Packs wheels that the helper imports: each becomes a zip of byte code, and a folder of what is machine code.

An action has all files of the packages that its verb imports as inputs, and each one is laid out, told and compared for
it: packaging, pathspec, PyYAML and blake3 are 178 files, and six of these.
"""

from __future__ import annotations

import marshal
import zipfile
from importlib.util import MAGIC_NUMBER
from pathlib import Path

from rules_bento.archives.zipread import Bounds, ZipOfFile
from rules_bento.errors import BentoError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_bento.arguments import Arguments

FLAGS = {
    "--packed": 3,  # wheel, the zip, and the folder for machine code or nothing
}

_UNCHECKED = (1).to_bytes(4, "little") + bytes(8)  # of byte code that is not compared with its source
_BOUNDS = Bounds(ratio=100, unpacked=64 << 20)
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
    """Pack each of the wheels. Raises BentoError for one without modules, and for machine code without a folder."""
    for wheel, packed, machine_code in arguments.tuples("--packed"):
        members = _members(wheel, machine_code)
        if not members:
            raise BentoError(f"{wheel}: has no module.")
        with zipfile.ZipFile(packed, "w") as archive:
            for name in sorted(members):
                archive.writestr(zipfile.ZipInfo(name, _EPOCH), members[name])


def _members(wheel: str, machine_code: str) -> dict[str, bytes]:
    """Write machine code, and return the members of the zip: a stub takes the place of a module of its name."""
    modules: dict[str, bytes] = {}
    stubs: dict[str, bytes] = {}
    with Path(wheel).open("rb") as file:
        archive = ZipOfFile(file, wheel, _BOUNDS)
        for member in archive.members():
            name = _module(member.path)
            if name.endswith(".py"):
                modules[f"{name}c"] = _compiled(b"".join(archive.contents(member)), name)
            elif name.endswith(".so"):
                if not machine_code:
                    raise BentoError(f"{wheel}: {name} is machine code, for which there is no folder.")
                if ".." in name.split("/") or name.startswith("/"):
                    raise BentoError(f"{wheel}: {name} is no name of a module.")
                copy = Path(machine_code, name)
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes(b"".join(archive.contents(member)))
                module = name.removesuffix(copy.name) + copy.name.partition(".")[0] + ".py"
                stubs[f"{module}c"] = _compiled(_STUB.format(path=f"/{name}").encode(), module)
    return modules | stubs


def _module(member: str) -> str:
    """Return where a member of a wheel is installed below `site-packages`; nothing, if it is not there."""
    first, _, rest = member.partition("/")
    if first.endswith(".data"):
        kind, _, name = rest.partition("/")
        return name if kind in ("purelib", "platlib") else ""
    return member


def _compiled(source: bytes, name: str) -> bytes:
    return MAGIC_NUMBER + _UNCHECKED + marshal.dumps(compile(source, name, "exec", dont_inherit=True, optimize=0))
