"""Compiles modules for images: `bytecode.py INVALIDATION_MODE`, run by a Python of the image's version.

Reads requests from standard input until the input ends. A request consists of two lengths (big-endian 32-bit numbers),
the module's path in the image, and the source. Each response consists of a length and the contents of the file in
`__pycache__` (PEP 552). Length 0 means that the source can't be compiled: for example, the source is a template or
code for Python 2. The first response is the cache tag. INVALIDATION_MODE is `checked-hash` or `unchecked-hash`.

The output is reproducible: the same requests and interpreter produce the same bytecode. marshal marks objects that have
several references, including references that the compiler holds. To remove the compiler's references, the code is
marshaled, loaded, and marshaled again. Strings that earlier modules interned can also have additional references.
Therefore, each process compiles the modules of only one wheel, in a fixed order.
"""

import importlib.util
import marshal
import struct
import sys
import warnings
from typing import BinaryIO

_LENGTHS = struct.Struct(">2L")
_LENGTH = struct.Struct(">L")
_FLAGS = {"checked-hash": 0b11, "unchecked-hash": 0b01}


def main() -> None:
    """Process requests until standard input ends."""
    flags = struct.pack("<L", _FLAGS[sys.argv[1]])
    warnings.simplefilter("ignore")
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    _answer(answers, (sys.implementation.cache_tag or "").encode())
    while lengths := requests.read(_LENGTHS.size):
        path, source = (requests.read(length) for length in _LENGTHS.unpack(lengths))
        _answer(answers, _compiled(path.decode(), source, flags))


def _answer(answers: BinaryIO, content: bytes) -> None:
    answers.write(_LENGTH.pack(len(content)) + content)
    answers.flush()


def _compiled(path: str, source: bytes, flags: bytes) -> bytes:
    try:
        code = compile(source, path, "exec", dont_inherit=True, optimize=0)
    except Exception:
        return b""
    header = importlib.util.MAGIC_NUMBER + flags + importlib.util.source_hash(source)
    first = marshal.dumps(code)
    del code
    return header + marshal.dumps(marshal.loads(first))


if __name__ == "__main__":
    main()
