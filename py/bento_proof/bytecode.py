"""Bytecode: what the base's Python compiles of proven sources. No Python loads the image's bytecode."""

import io
import re
from collections.abc import Sequence

from bento_proof import box
from bento_proof.base import Base
from bento_proof.model import UnableError

_CACHED = re.compile(r"(.+)/__pycache__/([^/]+)\.cpython-3([0-9]+)\.pyc")
_FLAGS = b"\1\0\0\0", b"\3\0\0\0"  # of PEP 552: unchecked, and checked
# Reads sizes and contents of path, source, and flags; writes sizes and contents. The first answer is the version.
# Marshal marks what has several references, and other modules have some: code is loaded again, all of it is held, and
# equal sets and names are made one object, so that the result depends only on the source.
_PROGRAM = r"""\
import importlib.util, marshal, sys, warnings
warnings.simplefilter("ignore")
for number in range(256):
    sys.intern(chr(number))
get = lambda: sys.stdin.buffer.read(int.from_bytes(sys.stdin.buffer.read(4), "big"))
put = lambda data: sys.stdout.buffer.write(len(data).to_bytes(4, "big") + data)
CODE = type(get.__code__)
FIELDS = {slice: ("start", "stop", "step"), CODE: [n for n in dir(CODE) if n.startswith("co_") and n not in {
    "co_lnotab", "co_lines", "co_positions", "co_branches", "co_argcount", "co_flags"}]}
KINDS = tuple, frozenset
parts = lambda each: each if type(each) in KINDS else [getattr(each, name) for name in FIELDS.get(type(each), ())]
def all_of(code):
    found = [code]
    for each in found:
        found += parts(each)
    return found
key = lambda value: (frozenset, *sorted(map(repr, value))) if type(value) is frozenset else value
def shared(value, known):
    if type(value) is CODE:
        return value.replace(co_consts=shared(value.co_consts, known))
    if type(value) is tuple:
        return tuple([shared(each, known) for each in value])
    return known.get(key(value), value) if type(value) in (frozenset, str) else value
def compiled(code):
    first = marshal.dumps(code)
    del code
    held = all_of(marshal.loads(first))
    known = {name: name for each in held if "." in (name := getattr(each, "co_qualname", ""))}
    in_tuples = any(type(name) is str and name in known for each in held if type(each) is tuple for name in each)
    sets = [each for each in held if type(each) is frozenset]
    known |= {key(each): each for each in sets}
    if in_tuples or len(sets) > len({*map(key, sets)}):
        held = all_of(shared(held[0], known))
    return marshal.dumps(held[0])
version = "%d.%d.%d" % sys.version_info[:3]
more = "" if sys.version_info[3] == "final" else "%s%d" % sys.version_info[3:]
put((version + more + getattr(sys, "abiflags", "")).encode())
while path := get().decode():
    source, flags = get(), get()
    try:
        code = compiled(compile(source, path, "exec", dont_inherit=True, optimize=0))
        code = importlib.util.MAGIC_NUMBER + flags + importlib.util.source_hash(source) + code
    except Exception:
        code = b""
    put(code)
"""


def module_of(path: str, minor: int) -> str:
    """Return the path of the module whose bytecode is at a path, or ""."""
    match = _CACHED.fullmatch(path)
    return f"{match[1]}/{match[2]}.py" if match and match[3] == str(minor) else ""


def compile_all(base: Base, program: str, jobs: Sequence[tuple[str, bytes, bool]]) -> tuple[str, list[bytes]]:
    """Return the version of the base's Python, or of a program, and files with bytecode: b"" for an invalid source.

    A job is a module, its source, and whether bytecode compares itself with the source. Raises UnableError.
    """
    parts = [part for path, source, checked in jobs for part in (f"/{path}".encode(), source, _FLAGS[checked])]
    data = b"".join(len(each).to_bytes(4, "big") + each for each in parts) + bytes(4)
    words = [program or base.python, "-I", "-S", "-B", "-X", "utf8", "-c", _PROGRAM]
    answers = io.BytesIO(box.run(words, None if program else base.root, {}, data=data))
    found = [answers.read(int.from_bytes(size, "big")) for size in iter(lambda: answers.read(4), b"")]
    version = found[0].decode() if found else ""
    if len(found) != len(jobs) + 1 or not version.startswith(f"3.{base.minor}."):
        raise UnableError(f"the base's Python: version {version!r}, {len(found)} answers")
    return version, found[1:]
