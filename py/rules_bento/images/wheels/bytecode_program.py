"""Compiles modules for images: `bytecode_program.py INVALIDATION_MODE`, run by a Python of the image's version.

Reads requests from standard input until the input ends. A request consists of two lengths (big-endian 32-bit numbers),
the module's path in the image, and the source. Each response consists of a length and the contents of the file with
bytecode (PEP 552). Length 0 means that the source can't be compiled: for example, the source is a template or
code for Python 2. The first response is the cache tag and the version. INVALIDATION_MODE is `checked-hash` or
`unchecked-hash`.

The output is reproducible: the same request and version of Python produce the same bytecode, after any other requests.
marshal marks objects that have several references, including references of the compiler and of other modules.
Therefore, the code is marshaled, loaded, and marshaled again, while this program refers to all its objects.
"""

import importlib.util
import marshal
import struct
import sys
import warnings
from types import CodeType
from typing import Any

_LENGTHS = struct.Struct(">2L")
_LENGTH = struct.Struct(">L")
_FLAGS = {"checked-hash": 0b11, "unchecked-hash": 0b01}
_FIELDS = (
    *("co_cellvars", "co_code", "co_consts", "co_exceptiontable", "co_filename", "co_freevars", "co_linetable"),
    *("co_name", "co_names", "co_qualname", "co_varnames"),
)


def main() -> None:
    """Process requests until standard input ends."""
    flags = struct.pack("<L", _FLAGS[sys.argv[1]])
    warnings.simplefilter("ignore")
    _intern_characters()
    _answer(f"{sys.implementation.cache_tag} {_version()}".encode())
    requests = sys.stdin.buffer
    while lengths := requests.read(_LENGTHS.size):
        path, source = (requests.read(length) for length in _LENGTHS.unpack(lengths))
        _answer(_compiled(path.decode(), source, flags))


def _version() -> str:
    """Return the version, such as `3.13.5`, with flags for variants: `t` for free threading, and `d` for debugging."""
    major, minor, micro, level, serial = sys.version_info
    return f"{major}.{minor}.{micro}" + (f"{level}{serial}" if level != "final" else "") + sys.abiflags


def _intern_characters() -> None:
    """Intern strings that all modules share, which another module can intern as a name."""
    for number in range(256):
        sys.intern(chr(number))


def _answer(content: bytes) -> None:
    sys.stdout.buffer.write(_LENGTH.pack(len(content)) + content)
    sys.stdout.buffer.flush()


def _compiled(path: str, source: bytes, flags: bytes) -> bytes:
    try:
        code = compile(source, path, "exec", dont_inherit=True, optimize=0)
    except Exception:
        return b""
    header = importlib.util.MAGIC_NUMBER + flags + importlib.util.source_hash(source)
    first = marshal.dumps(code)
    del code
    code = marshal.loads(first)
    objects = _objects(code)
    names = {name: name for each in objects if "." in (name := getattr(each, "co_qualname", ""))}
    if any(value in names for each in objects if isinstance(each, tuple) for value in each if type(value) is str):
        objects = _objects(_with_names(code, names))
    return header + marshal.dumps(objects[0])


def _objects(code: CodeType) -> list[Any]:
    """Return code objects, their constants, and their names, beginning with `code`."""
    found: list[Any] = [code]
    for value in found:  # which grows
        if isinstance(value, CodeType):
            found += [getattr(value, name, None) for name in _FIELDS]
        elif isinstance(value, (frozenset, tuple)):
            found += value
        elif isinstance(value, slice):
            found += (value.start, value.stop, value.step)
    return found


def _with_names(value: Any, names: dict[str, str]) -> Any:
    """Return code with the strings in `names` as constants, which differ if an earlier module has an equal name."""
    if isinstance(value, CodeType):
        return value.replace(co_consts=_with_names(value.co_consts, names))
    if type(value) is tuple:
        return tuple([_with_names(each, names) for each in value])
    return names.get(value, value) if type(value) is str else value


if __name__ == "__main__":
    main()
