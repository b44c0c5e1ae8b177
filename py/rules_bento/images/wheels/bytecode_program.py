"""Compiles or parses modules for images: `bytecode_program.py MODE BYTES GROWTH`, run by the image's version of Python.

Reads requests from standard input until the input ends. A request consists of two lengths (big-endian 32-bit numbers),
the module's path in the image, and the source. Each response consists of a length and the contents of the file with
bytecode (PEP 552). Length 0 means that the source can't be compiled: for example, the source is a template or
code for Python 2, or the bytecode has more bytes than BYTES and GROWTH times the bytes of the source. The first
response is the cache tag and the version. MODE is `checked-hash` or `unchecked-hash`, or `syntax` for responses with a
module's statements that define or import names: lines with the first and last line number and a statement that Python
3.9 can parse. A response for invalid code is `!`, the line number, and the message.

The output is reproducible: the same request and version of Python produce the same bytecode, after any other requests.
marshal marks objects that have several references, including references of the compiler and of other modules.
Therefore, the code is marshaled, loaded, and marshaled again, while this program refers to all its objects.
"""

from __future__ import annotations

import importlib.util
import marshal
import struct
import sys
import warnings
from itertools import chain
from operator import attrgetter
from types import CodeType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any  # not imported, because an interpreter starts for each wheel

_LENGTHS = struct.Struct(">2L")
_LENGTH = struct.Struct(">L")
_FLAGS = {"checked-hash": 0b11, "unchecked-hash": 0b01}
_FIELDS = (
    *("co_cellvars", "co_code", "co_consts", "co_exceptiontable", "co_filename", "co_freevars", "co_linetable"),
    *("co_name", "co_names", "co_qualname", "co_varnames"),
)
# Functions that return the objects to which an object of a type refers.
_ITEMS: dict[type, Any] = {
    CodeType: attrgetter(*(name for name in _FIELDS if hasattr(CodeType, name))),
    slice: attrgetter("start", "stop", "step"),
} | dict.fromkeys((frozenset, tuple), tuple)


def main() -> None:
    """Process requests until standard input ends."""
    is_parser = sys.argv[1] == "syntax"
    if is_parser:
        import ast as ast  # before the first response, because a base can lack the module
    flags = struct.pack("<L", _FLAGS.get(sys.argv[1], 0))
    most, growth = map(int, sys.argv[2:])
    warnings.simplefilter("ignore")
    _intern_characters()
    _answer(f"{sys.implementation.cache_tag} {_version()}".encode())
    requests = sys.stdin.buffer
    while lengths := requests.read(_LENGTHS.size):
        path, source = (requests.read(length) for length in _LENGTHS.unpack(lengths))
        content = _parsed(source) if is_parser else _compiled(path.decode(), source, flags)
        _answer(content if len(content) <= most + growth * len(source) else b"")


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
    objects, containers = _objects(code)
    shared: dict[Any, Any] = {name: name for each in containers if "." in (name := getattr(each, "co_qualname", ""))}
    values = chain.from_iterable(each for each in containers if type(each) is tuple)
    has_names = any(value in shared for value in values if type(value) is str)
    sets = [each for each in containers if type(each) is frozenset]
    shared |= {_key(each): each for each in sets}
    if has_names or len(sets) > len({_key(each) for each in sets}):
        objects, _ = _objects(_with_shared(code, shared))
    return header + marshal.dumps(objects[0])


def _parsed(source: bytes) -> bytes:
    """Return the outline of a module. Statements in a statement are in one block, and other expressions are `0`.

    In a block, `if 0: ` precedes statements that conditions, loops, or handlers of errors can skip.
    """
    import ast

    lines: list[str] = []
    definitions = (ast.AsyncFunctionDef, ast.ClassDef, ast.FunctionDef)
    try:
        tree: Any = compile(source, "", "exec", ast.PyCF_ONLY_AST, dont_inherit=True)
        compile(tree, "", "exec", dont_inherit=True)
    except Exception as error:
        text = getattr(error, "msg", str(error) or type(error).__name__)
        return f"!{getattr(error, 'lineno', 0) or 0} {text}".encode("ascii", "backslashreplace")
    try:
        for node in tree.body:
            inner: list[tuple[Any, str]] = [(node, "")]
            for each, guard in inner:  # which grows
                below = guard if each is node or isinstance(each, definitions) else "if 0: "
                inner += [(child, below) for child in ast.iter_child_nodes(each) if not isinstance(child, ast.expr)]
            kinds = (ast.Import, ast.ImportFrom) if isinstance(node, definitions) else ast.stmt
            inner = [(each, guard) for each, guard in inner[1:] if isinstance(each, kinds)]
            names: set[str] = set()
            if isinstance(node, ast.FunctionDef):
                names = {getattr(each, "id", getattr(each, "attr", "")) for each in ast.walk(node)} - {""}
            place, text = f"{node.lineno} {node.end_lineno} ", _statement(node)
            if text or inner or isinstance(node, ast.FunctionDef):
                lines += [place + text] if text else [f"{place}{_head(node)}:", f"{place} pass"]
            lines += [
                f"{each.lineno} {each.end_lineno}  {guard}{text}" for each, guard in inner if (text := _statement(each))
            ]
            lines += [f"{place} {name}" for name in sorted(names) if name.isascii()]
    except RecursionError:
        lines.clear()
    return "".join(f"{line}\n" for line in lines).encode()


def _statement(node: Any) -> str:
    """Return an import, an assignment to a name, or a call, or an empty string."""
    kind = type(node).__name__
    if kind in ("Import", "ImportFrom"):
        names = ", ".join(each.name + (f" as {each.asname}" if each.asname else "") for each in node.names)
        text = f"from {'.' * node.level}{node.module or ''} import {names}" if kind[6:] else f"import {names}"
        return text if text.isascii() else ""
    targets = getattr(node, "targets", None) or [getattr(node, "target", None)]
    if kind in ("AnnAssign", "Assign") and [type(each).__name__ for each in targets] == ["Name"]:
        return f"{_expression(targets[0])} = {_expression(node.value)}"
    return _expression(node.value) if kind == "Expr" and type(node.value).__name__ in ("Await", "Call") else ""


def _head(node: Any) -> str:
    kind = type(node).__name__
    if kind == "With":
        return f"with {', '.join(_expression(each.context_expr) for each in node.items)}"
    if kind == "FunctionDef":
        return f"def {_ascii(node.name)}()"
    if kind in ("AsyncFunctionDef", "ClassDef"):
        return "class _"
    return "while 0" if kind in ("For", "While") else f"if {_expression(node.test) if kind == 'If' else '0'}"


def _expression(node: Any) -> str:
    kind = type(node).__name__
    if kind == "Attribute":
        left = _expression(node.value)
        return f"{'_' if left == '0' else left}.{_ascii(node.attr)}"
    if kind == "Call":
        return f"{_expression(node.func)}()"
    if kind == "Compare":
        return f"{_expression(node.left)} == 0"
    return _expression(node.value) if kind == "Await" else _ascii(node.id) if kind == "Name" else "0"


def _ascii(name: str) -> str:
    return name if name.isascii() else "_"  # another version of Python can know fewer letters


def _objects(code: CodeType) -> tuple[list[Any], list[Any]]:
    """Return all objects of a module, beginning with `code`, and those that contain others."""
    found: list[Any] = [code]
    containers = found.copy()
    for each in containers:  # which grows
        items = _ITEMS[type(each)](each)
        found += items
        containers += [item for item in items if type(item) in _ITEMS]
    return found, containers


def _key(value: Any) -> Any:
    return (frozenset, *sorted(map(repr, value))) if type(value) is frozenset else value


def _with_shared(value: Any, shared: dict[Any, Any]) -> Any:
    """Return code with the values of `shared` as constants.

    Strings of an earlier module replace equal names, and split sets that several functions share.
    """
    if isinstance(value, CodeType):
        return value.replace(co_consts=_with_shared(value.co_consts, shared))
    if type(value) is tuple:
        return tuple([_with_shared(each, shared) for each in value])
    return shared.get(_key(value), value) if type(value) in (frozenset, str) else value


if __name__ == "__main__":
    main()
