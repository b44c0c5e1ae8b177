"""Finds Python modules among the files of a Bento's src/, and parses them."""

from __future__ import annotations

import ast
import re
import sys
import warnings
from functools import lru_cache
from itertools import islice

from rules_bento.errors import BentoError
from rules_bento.records import dataclass
from rules_bento.service.metadata import SourceTree
from rules_bento.service.python.budget import spend

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

# A module that people write is far below both. Parsing takes some 500 bytes for each word or sign.
MAX_BYTES = 8 << 20
MAX_WORDS = 400_000
_KEPT = 32  # files that are held, since each module is looked at several times
_TREES = 4  # likewise: that of the service's module is read twice
_WORDS = re.compile(rb"\w+|[^\w\s]")
# Whatever src/ holds, these are loaded before it gets onto sys.path.
_ALWAYS_OUTSIDE = frozenset({"bentoml", "_bentoml_sdk", "_bentoml_impl", "builtins"})


@dataclass(frozen=True)
class Moved:
    """Says where code changes `sys.path`; `first` where a folder may come before the sources."""

    path: str
    line: int
    first: bool


class Sources:
    """Finds the modules of src/ as Python does with src/ first on its path."""

    def __init__(self, files: Mapping[str, bytes] | SourceTree) -> None:
        tree = files if isinstance(files, SourceTree) else SourceTree(files.keys(), files.__getitem__)
        self.paths = frozenset(tree.paths)
        self._read = lru_cache(_KEPT)(tree.read)
        self._tree = lru_cache(_TREES)(_tree)
        self._folders = frozenset(_folders(self.paths))
        self._modules: frozenset[str] | None = None
        self._below: frozenset[str] | None = None
        self.moved: Moved | None = None
        self.reached: dict[str, frozenset[bytes]] | None = None  # words of the modules that a service may import

    def find(self, module: str) -> str | None:
        """Return the file of a dotted module; for a package without `__init__.py`, its folder and a slash."""
        if not self.holds(module):
            return None
        base = module.replace(".", "/")
        for path in (f"{base}/__init__.py", f"{base}.py"):
            if path in self.paths:
                return path
        return f"{base}/" if base in self._folders else None

    def found_elsewhere(self, module: str) -> Moved | None:
        """Return what changes `sys.path` so that a module may come from a folder of the sources; else None."""
        top = module.partition(".")[0]
        if self.moved is None or (self.holds(module) and not self.moved.first):
            return None
        if top in _ALWAYS_OUTSIDE or in_standard_library(top):  # loaded before
            return None
        if self._below is None:
            files = (path for path in self.paths if path.endswith(".py") and "/" in path)
            names = {path.rpartition("/")[2][:-3] for path in files}
            names.update(folder.rpartition("/")[2] for folder in self._folders if "/" in folder)
            self._below = frozenset(names)
        return self.moved if top in self._below else None

    def holds(self, module: str) -> bool:
        """Return whether a module would come from here, if it exists."""
        top = module.partition(".")[0]
        return top not in _ALWAYS_OUTSIDE and (
            top in self._folders or f"{top}.py" in self.paths or f"{top}/__init__.py" in self.paths
        )

    def modules(self) -> frozenset[str]:
        """Return the dotted names of all modules, packages with an `__init__.py` among them."""
        if self._modules is None:
            names = (
                path[:-3].removesuffix("/__init__").replace("/", ".") for path in self.paths if path.endswith(".py")
            )
            self._modules = frozenset(name for name in names if self.find(name))
        return self._modules

    def content(self, module: str) -> bytes:
        """Return the bytes of a module of these, however large."""
        path = self.find(module)
        return b"" if path is None or path.endswith("/") else self._read(path)

    def is_package(self, path: str) -> bool:
        """Return whether the file that `find` gave makes a package."""
        return path.endswith(("/", "/__init__.py")) or path == "__init__.py"

    def mentions(self, path: str, word: bytes) -> bool:
        """Return whether a file has a word in it at all, in a code or a comment."""
        return not path.endswith("/") and word in self._read(path)

    def first_mention(self, word: bytes) -> tuple[str, int] | None:
        """Return file and line where a word stands first in any Python file, in a code or a comment."""
        for path in sorted(self.paths):
            before, keyword, _ = self._read(path).partition(word) if path.endswith(".py") else (b"", b"", b"")
            if keyword:
                return path, before.count(b"\n") + 1
        return None

    def bytes(self, path: str) -> bytes:
        """Return the bytes of one file.

        Raises:
            BentoError: it is too large for a Python source.

        """
        data = self._read(path)
        if len(data) > MAX_BYTES:
            raise BentoError(
                f"{path} has {len(data)} bytes, more than a Python source can have here ({MAX_BYTES}). "
                "Keep data in a file of its own, not in a module."
            )
        words = len(data) // 4
        if words > MAX_WORDS // 4:
            words = sum(1 for _ in islice(_WORDS.finditer(data), MAX_WORDS + 1))
        if words > MAX_WORDS:
            raise BentoError(
                f"{path} has more words and signs than a Python source can have here ({MAX_WORDS}). "
                "Keep data in a file of its own, not in a module."
            )
        spend(words)
        return data

    def parse(self, path: str) -> ast.Module:
        """Parse one file to its syntax tree, decoded as Python does (cookie, byte order mark).

        Raises:
            BentoError: it is no Python; names file and line.

        """
        if path.endswith("/"):
            return ast.Module(body=[], type_ignores=[])
        data = self.bytes(path)
        try:
            return self._tree(path, data)
        except SyntaxError as error:
            line = f":{error.lineno}" if error.lineno else ""
            raise BentoError(
                f"{path}{line}: {error.msg}. Python {_version()}, which reads it, takes it for no Python; "
                "correct the file, or register a newer interpreter if it uses newer syntax."
            ) from None
        except (ValueError, LookupError) as error:  # a NUL byte, an unknown encoding
            raise BentoError(f"{path}: {error}. It is no Python source; correct the file.") from None
        except (RecursionError, MemoryError):
            raise BentoError(
                f"{path}: an expression in it is nested too deeply to be read. Keep data in a file of its own."
            ) from None


def _tree(path: str, data: bytes) -> ast.Module:
    with warnings.catch_warnings():
        # `"\d"` is a matter between the author and Python, not of this build.
        warnings.simplefilter("ignore")
        return ast.parse(data, filename=path)


def in_standard_library(module: str) -> bool:
    """Return whether a module's top-level name is the standard library's."""
    return module.partition(".")[0] in sys.stdlib_module_names or module.startswith("builtins")


def _folders(paths: frozenset[str]) -> set[str]:
    """Return all folders that hold a Python file at any depth."""
    folders: set[str] = set()
    for path in paths:
        if not path.endswith(".py"):
            continue
        folder = path.rpartition("/")[0]
        while folder and folder not in folders:
            folders.add(folder)
            folder = folder.rpartition("/")[0]
    return folders


def _version() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"
