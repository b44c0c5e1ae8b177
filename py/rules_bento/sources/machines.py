"""Tells which machine a file with machine code is for, by its first bytes.

System V ABI, chapter 4, for ELF; `mach-o/loader.h` and `mach-o/fat.h` for what macOS has in its place. Machines have
Go's names, as in images. What a system itself neither starts nor loads has none: objects, code of GPUs and of the
kernel.
"""

from __future__ import annotations

import re
import struct

from rules_bento.errors import BentoError
from rules_bento.hints import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

HEAD = 20
"""How many bytes are enough."""

_MACHINES = {
    (3, "<"): "386",
    (8, ">"): "mips64",
    (8, "<"): "mips64le",
    (21, ">"): "ppc64",
    (21, "<"): "ppc64le",
    (22, ">"): "s390x",
    (40, "<"): "arm",
    (62, "<"): "amd64",
    (183, "<"): "arm64",
    (243, "<"): "riscv64",
    (258, "<"): "loong64",
}
_ORDERS = {1: "<", 2: ">"}
_SYSTEMS = {"linux_aarch64": "arm64", "linux_x86_64": "amd64", "macos_arm64": "macOS", "macos_x86_64": "macOS"}
# Machines whose programs a 64-bit system starts, too.
ALSO = {"amd64": ("386",)}
_STARTED, _LOADED = 2, 3  # ET_EXEC, ET_DYN
_MACHO = {b"\xcf\xfa\xed\xfe": "<", b"\xce\xfa\xed\xfe": "<", b"\xfe\xed\xfa\xcf": ">", b"\xfe\xed\xfa\xce": ">"}
_MACHO_TYPES = (2, 6, 8)  # MH_EXECUTE, MH_DYLIB, MH_BUNDLE
_FAT = b"\xca\xfe\xba\xbe"
_FIRST_JAVA = 45  # a class of Java begins like a fat file, with its version in place of a number of machines
_MACOS = "macOS"
# The words by which the path of a file names its machine or system, and what separates words. They are compiled when
# they are needed: few packages and Bentos have such files, and each start would pay.
_WORDS = (
    r"(?i)(?<![a-z0-9])(?:x86[_-]64|amd64|x64|x86|i[3-6]86|aarch64|arm64|arm|armv[5-8][a-z]*|armhf|ppc64(?:le|el)?"
    r"|powerpc64(?:le)?|s390x|riscv64|loong(?:arch)?64|mips64(?:el|le)?|darwin|macos|macosx|osx|linux|gnu|musl)(?![a-z0-9])"
)
_BETWEEN = r"[-_.]+"
_MOST_SHOWN = 20


def machine_of(head: bytes) -> str:
    """Return the machine that a file with these first bytes is for; empty for a file without machine code."""
    if len(head) < HEAD:
        return ""
    if head[:4] == b"\x7fELF":
        order = _ORDERS.get(head[5], "")
        kind, machine = struct.unpack_from(f"{order or '<'}HH", head, 16)
        return _MACHINES.get((machine, order), "") if kind in (_STARTED, _LOADED) else ""
    if head[:4] == _FAT:
        return _MACOS if 0 < int.from_bytes(head[4:8], "big") < _FIRST_JAVA else ""
    order = _MACHO.get(head[:4], "")
    return _MACOS if order and struct.unpack_from(f"{order}I", head, 12)[0] in _MACHO_TYPES else ""


def refuse_foreign(files: Mapping[str, str], platform: str, unchecked: Sequence[str]) -> None:
    """Raise BentoError for files of a Bento (path to machine) that its platform can neither start nor load.

    `unchecked` are file names of those that are let be; one that no file has is refused, for what it stood for is gone.
    """
    own = _SYSTEMS.get(platform, "")
    wrong = foreign(files, (own, *ALSO.get(own, ()))) if own else {}
    names = {path: path.rpartition("/")[2] for path in files}
    # What has a name that only macOS loads is one of several on purpose.
    shown = [path for path in sorted(wrong) if names[path] not in unchecked and not path.endswith(".dylib")]
    lines = []
    if shown:
        lines.append(f"machine code that {platform} neither starts nor loads:")
        lines += [f"  {path}: is for {wrong[path]}" for path in shown[:_MOST_SHOWN]]
        lines += [f"  and {len(shown) - _MOST_SHOWN} more"] if len(shown) > _MOST_SHOWN else []
        listed = ", ".join(f'"{name}"' for name in sorted({names[path] for path in shown} | set(unchecked)))
        lines.append(
            f"Put files for {platform} in their place, with select() where there are several, leave them out "
            f"(exclude), or set platform. If the service takes them for data: ignore_libraries = [{listed}]"
        )
    for name in sorted(set(unchecked) - set(names.values())):
        lines.append(f"ignore_libraries has {name}, and no machine code in the Bento has that name. Remove it.")
    if lines:
        raise BentoError("\n".join(lines))


def foreign(files: Mapping[str, str], own: Iterable[str]) -> dict[str, str]:
    """Return those of `files` (path to machine) that no machine of `own` starts or loads.

    A file that comes once for each of several machines, which its path tells apart, is left out if one of them is for
    a machine of `own`.
    """
    taken = frozenset(own)
    there = {_unspecific(path) for path, machine in files.items() if machine in taken}
    return {
        path: machine
        for path, machine in files.items()
        if machine not in taken and not (re.search(_WORDS, path) and _unspecific(path) in there)
    }


def _unspecific(path: str) -> str:
    """Return a file's name without the words that name a machine or a system."""
    return re.sub(_BETWEEN, ".", re.sub(_WORDS, "", path.rpartition("/")[2]))
