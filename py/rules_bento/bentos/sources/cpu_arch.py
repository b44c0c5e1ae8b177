"""Detects the machine type (processor architecture) of machine code from the first bytes of a file.

The formats are ELF (System V ABI, chapter 4), and Mach-O (`mach-o/loader.h`, `mach-o/fat.h`). The machine type of an
ELF file is Go's name for the architecture, as in images. The machine type of a Mach-O file is `macOS`. Files that no
operating system can start or load, such as object files and GPU code, have no machine type.
"""

from __future__ import annotations

import re
import struct

from rules_bento.base.errors import BentoError
from rules_bento.base.typing_lite import Iterable, Mapping, Sequence

HEAD = 20  # required number of first bytes
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
_SYSTEMS = {"linux_arm64": "arm64", "linux_amd64": "amd64", "darwin_arm64": "macOS", "darwin_amd64": "macOS"}
# Machines whose programs a 64-bit system also starts.
COMPATIBLE = {"amd64": ("386",)}
_STARTED, _LOADED = 2, 3  # ET_EXEC, ET_DYN
_MACHO = {b"\xcf\xfa\xed\xfe": "<", b"\xce\xfa\xed\xfe": "<", b"\xfe\xed\xfa\xcf": ">", b"\xfe\xed\xfa\xce": ">"}
_MACHO_TYPES = (2, 6, 8)  # MH_EXECUTE, MH_DYLIB, MH_BUNDLE
_FAT = b"\xca\xfe\xba\xbe"
_FIRST_JAVA = 45  # Java classes begin like fat files, with a version, from 45, in place of the number of machines
_MACOS = "macOS"
# Words for machines and systems in a path, and their separators. Few packages and Bentos have such files, so the
# patterns are compiled on their first use.
_WORDS = (
    r"(?i)(?<![a-z0-9])(?:x86[_-]64|amd64|x64|x86|i[3-6]86|aarch64|arm64|arm|armv[5-8][a-z]*|armhf|ppc64(?:le|el)?"
    r"|powerpc64(?:le)?|s390x|riscv64|loong(?:arch)?64|mips64(?:el|le)?|darwin|macos|macosx|osx|linux|gnu|musl)(?![a-z0-9])"
)
_BETWEEN = r"[-_.]+"
_MAX_SHOWN = 20


def machine_of(head: bytes) -> str:
    """Return the machine type of a file that begins with `head`, or "" if the file has no known machine type."""
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


def reject_wrong_architecture(files: Mapping[str, str], platform: str, unchecked: Sequence[str]) -> None:
    """Raise BentoError if a Bento contains machine code that `platform` can't run.

    `files` maps paths to machine types. `unchecked` lists names of files to ignore. Each name must match a file.
    """
    own = _SYSTEMS.get(platform, "")
    wrong = wrong_architecture(files, (own, *COMPATIBLE.get(own, ()))) if own else {}
    names = {path: path.rpartition("/")[2] for path in files}
    # A file with a name that only macOS loads is a variant for macOS.
    shown = [path for path in sorted(wrong) if names[path] not in unchecked and not path.endswith(".dylib")]
    lines = []
    if shown:
        lines.append(f"machine code that {platform} can't run:")
        lines += [f"  {path}: is for {wrong[path]}" for path in shown[:_MAX_SHOWN]]
        lines += [f"  and {len(shown) - _MAX_SHOWN} more"] if len(shown) > _MAX_SHOWN else []
        listed = ", ".join(f'"{name}"' for name in sorted({names[path] for path in shown} | set(unchecked)))
        lines.append(
            f"Use files for {platform} (with select() for several platforms), exclude the files, "
            f"or set platform. If the service uses the files only as data, set ignore_libraries = [{listed}]"
        )
    for name in sorted(set(unchecked) - set(names.values())):
        lines.append(
            f"ignore_libraries contains {name}, but the Bento contains no machine code with this name. Remove the name."
        )
    if lines:
        raise BentoError("\n".join(lines))


def wrong_architecture(files: Mapping[str, str], own: Iterable[str]) -> dict[str, str]:
    """Return the files with a machine type that isn't in `own`. `files` maps paths to machine types.

    Omits a file that has a variant for a machine in `own`. For example, `a-amd64.so` is a variant of `a-arm64.so`.
    """
    supported = frozenset(own)
    variants = {_unspecific(path) for path, machine in files.items() if machine in supported}
    return {
        path: machine
        for path, machine in files.items()
        if machine not in supported and not (re.search(_WORDS, path) and _unspecific(path) in variants)
    }


def _unspecific(path: str) -> str:
    """Return the file name in `path` without the names of CPU architectures, operating systems, and C libraries."""
    return re.sub(_BETWEEN, ".", re.sub(_WORDS, "", path.rpartition("/")[2]))
