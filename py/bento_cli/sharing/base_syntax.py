"""Parses modules as the Python of a base does, whose version decides which syntax a container can run.

So the Python that runs the command decides nothing about an image. The results are cached.
"""

from __future__ import annotations

import ast
import hashlib
import re
from contextlib import suppress
from functools import cached_property

from rules_bento.base.display import some
from rules_bento.base.errors import BentoError
from rules_bento.base.landlock import outside
from rules_bento.base.own_files import digest_path
from rules_bento.base.python_source import parse
from rules_bento.base.typing_lite import TYPE_CHECKING, Iterator, Sequence
from rules_bento.bentos.service.loaded_modules import imported, package_of
from rules_bento.bentos.service.modules import PythonFiles
from rules_bento.bentos.service.reader import module_of

from bento_cli.sharing.native_bytecode import find, program
from bento_cli.sharing.native_cache import read_record

if TYPE_CHECKING:
    from rules_bento.bentos.service.metadata import SourceTree
    from rules_bento.images.wheels.bytecode import Compiler

    from bento_cli.sharing.native_base import BaseImageContents, Build

_LINE = re.compile(r"([0-9]{1,9}) ([0-9]{1,9}) ([ -~]*)")
_ERROR = re.compile(r"!([0-9]{1,9}) ([ -~]{0,1000})")
_MAX_SOURCE = 1 << 20


class BaseSyntax:
    """The syntax of a base's Python. An interpreter starts for the first module that isn't in the cache."""

    def __init__(self, build: Build, base: BaseImageContents) -> None:
        self._build, self._base = build, base

    @cached_property
    def _interpreter(self) -> Compiler:
        return find(self._build, self._base, self._base.python_version, "syntax")

    def parse(self, source: bytes, path: str = "<unknown>") -> ast.Module:
        """Return a module's statements that define or import names, with their lines, or no statements of a large file.

        Raises SyntaxError as `ast.parse`, and NoInterpreterError.
        """
        digest = hashlib.sha256(hashlib.sha256(program()).digest() + self._base.image.digest.encode() + source)
        record = digest_path(self._build.cache / "syntax", digest.hexdigest(), ".json")

        def ask() -> str:
            return self._interpreter.compile(path, source).decode("ascii", "replace") if source else ""

        text = str(outside(read_record, record, ask)) if len(source) <= _MAX_SOURCE else ""
        if error := _ERROR.fullmatch(text):
            raise SyntaxError(error[2], (path, int(error[1]), None, None))
        rows = [_LINE.fullmatch(line) for line in text.splitlines()]
        # The base's interpreter can answer anything, and this one parses it.
        statements = "\n".join(row[3] for row in rows if row)
        if len(text) > 1000 + 6 * len(source) or not all(rows):
            raise BentoError("the base's Python gives no valid syntax", place=path, remedy="Use another base image.")
        try:
            tree: ast.Module = parse(statements, path)
        except (RecursionError, MemoryError):  # limits of this version
            return ast.Module([], [])
        for node in ast.walk(tree):
            if isinstance(node, (ast.stmt, ast.expr)) and (row := rows[node.lineno - 1]):
                node.lineno, node.end_lineno = int(row[1]), int(row[2])
        return tree


def check(modules: Sequence[str], tree: SourceTree, version: str) -> list[str]:
    """Raise BentoError for invalid syntax in what `modules` can import. Returns a note on other files, if there are.

    `version` is the version of the base's Python, which parses `tree`.
    """
    invalid: dict[str, SyntaxError] = {}
    for path in sorted(path for path in tree.paths if path.endswith(".py")):
        try:
            tree.parse(tree.read(path), path)
        except SyntaxError as error:
            invalid[path] = error
    if path := next((path for path in _importable(modules, tree) if path in invalid), "") if invalid else "":
        raise syntax_error(invalid[path], path, version)
    lines = [f"{path}:{error.lineno}" for path, error in invalid.items()]
    return [f"Python {version} can't compile {some(lines)}."] if invalid else []


def syntax_error(error: SyntaxError, path: str, version: str) -> BentoError:
    """Return the error for a module that the base's Python can't compile."""
    remedy = "Correct the code, or, if another version of Python supports it, use a base with this version."
    problem = f"Python {version}, which the base has, can't compile this line ({error.msg})"
    return BentoError(problem, place=f"{path}:{error.lineno}", remedy=remedy)


def _importable(modules: Sequence[str], tree: SourceTree) -> Iterator[str]:
    """Yield the files that importing modules (a.b), or running files (a/b.py), imports, unless guarded, also later."""
    files, names, seen = PythonFiles(tree), list[str](), set[str]()
    beside = {each.rpartition("/")[0].replace("/", ".") for each in modules if each.endswith(".py")} - {""}
    for each in modules:
        with suppress(BentoError):  # an invalid name, which the program reports
            names.append(module_of(each))
    for name in names:  # which grows
        path = files.find(name)
        if name in seen or path is None:
            continue
        seen.add(name)
        names += [name.rpartition(".")[0]]
        if path.endswith("/"):
            continue
        yield path
        with suppress(SyntaxError):
            for node in _unguarded(tree.parse(tree.read(path), path)):
                found = [each for group in imported(node, package_of(name, path)) for each in group]
                names += [*found, *(f"{directory}.{each}" for directory in beside for each in found)]


def _unguarded(*nodes: ast.stmt | ast.Module) -> Iterator[ast.Import | ast.ImportFrom]:
    """Yield the imports of an outline, also those in functions, that no condition or handler of errors can skip."""
    for node in nodes:
        match node:
            case ast.Import() | ast.ImportFrom():
                yield node
            case (
                ast.Module()
                | ast.FunctionDef()
                | ast.ClassDef()
                | ast.If(test=ast.Compare(left=ast.Name(id="__name__")))
            ):
                yield from _unguarded(*node.body)
