"""Finds Python modules among the files of a Bento's src/, and parses them."""

from __future__ import annotations

import ast
import re
import sys
import warnings
from itertools import islice

from rules_bento.errors import BentoError
from rules_bento.service.metadata import SourceTree
from rules_bento.typing_lite import Collection, Mapping

# A module that people write is far below both. Parsing needs some 500 bytes for each word or sign.
MAX_BYTES = 8 << 20
MAX_WORDS = 400_000
_WORDS = re.compile(rb"\w+|[^\w\s]")
_NAMES = re.compile(rb"\w+")
# Whatever src/ holds, these are loaded before src/ is on sys.path.
_ALWAYS_OUTSIDE = frozenset({"bentoml", "_bentoml_sdk", "_bentoml_impl", "builtins"})


class PythonFiles:
    """Finds the modules of src/ as Python does with src/ first on its path."""

    def __init__(self, files: Mapping[str, bytes] | SourceTree) -> None:
        tree = files if isinstance(files, SourceTree) else SourceTree(files.keys(), files.__getitem__)
        self.paths = frozenset(tree.paths)
        self._read = tree.read
        self._trees: dict[str, ast.Module] = {}
        self._words: dict[str, frozenset[bytes]] = {}
        self._folders = _folders(self.paths)
        self._by_word: dict[bytes, list[str]] | None = None
        self._binary = {_stem(path): path for path in self.paths if path.endswith((".so", ".pyd"))}

    def find(self, module: str) -> str | None:
        """Return the file of a dotted module; for a package without `__init__.py`, its directory and a slash."""
        top, base = module.partition(".")[0], module.replace(".", "/")
        if top in _ALWAYS_OUTSIDE:
            return None
        for path in (f"{base}/__init__.py", f"{base}.py"):
            if path in self.paths:
                return path
        return f"{base}/" if base in self._folders else None

    def owns(self, module: str) -> bool:
        """Return whether a module would come from src/, if it exists."""
        return self.find(module.partition(".")[0]) is not None

    def is_package(self, path: str) -> bool:
        """Return whether the file that `find` gave makes a package."""
        return path.endswith(("/", "/__init__.py")) or path == "__init__.py"

    def words(self, path: str) -> frozenset[bytes]:
        """Return all names and words of a file, including comments."""
        if path not in self._words:
            self._words[path] = frozenset() if path.endswith("/") else frozenset(_NAMES.findall(self._read(path)))
        return self._words[path]

    def modules_named_in(self, path: str) -> list[str]:
        """Return the modules that a file may import: the last part of their names is a word of the file."""
        if self._by_word is None:
            self._by_word = {}
            for name in sorted(_module_of(path) for path in self.paths if path.endswith(".py")):
                self._by_word.setdefault(name.rpartition(".")[2].encode(), []).append(name)
        return [name for word in sorted(self.words(path) & self._by_word.keys()) for name in self._by_word[word]]

    def first_mention(self, word: bytes) -> tuple[str, int] | None:
        """Return file and line of the first mention of a word in any Python file, comments included."""
        for path in sorted(self.paths):
            before, keyword, _ = self._read(path).partition(word) if path.endswith(".py") else (b"", b"", b"")
            if keyword:
                return path, before.count(b"\n") + 1
        return None

    def parse(self, module: str, path: str) -> ast.Module:
        """Parse one file to its syntax tree, decoded as Python does (cookie, byte order mark).

        Raises:
            BentoError: it isn't Python, is too large, or a compiled module replaces it; names file and line.

        """
        base = module.replace(".", "/")
        binary = self._binary.get(base) or self._binary.get(f"{base}/__init__")
        if binary:
            raise BentoError(
                f"{binary}: Python imports this compiled module instead of {path}, and it has no source. "
                'Exclude it, or set service_metadata = "import" (`bento build --import --python ENV`).'
            )
        if path.endswith("/"):
            return ast.Module(body=[], type_ignores=[])
        if path not in self._trees:
            self._trees[path] = _tree(path, self._read(path))
        return self._trees[path]


def _tree(path: str, data: bytes) -> ast.Module:
    words = sum(1 for _ in islice(_WORDS.finditer(data), MAX_WORDS + 1)) if len(data) <= MAX_BYTES else 0
    if len(data) > MAX_BYTES or words > MAX_WORDS:
        raise BentoError(f"{path} exceeds {MAX_BYTES} bytes or {MAX_WORDS} tokens. Move data to a separate file.")
    try:
        with warnings.catch_warnings():
            # `"\d"` is a matter between the author and Python, not of this build.
            warnings.simplefilter("ignore")
            return ast.parse(data, filename=path)
    except SyntaxError as error:
        line = f":{error.lineno}" if error.lineno else ""
        raise BentoError(
            f"{path}{line}: {error.msg}. Python {sys.version_info.major}.{sys.version_info.minor} can't parse it; "
            "correct the file, or register a newer interpreter if it uses newer syntax."
        ) from None
    except (ValueError, LookupError) as error:  # a NUL byte, an unknown encoding
        raise BentoError(f"{path}: {error}. It isn't a Python source; correct the file.") from None
    except (RecursionError, MemoryError):
        raise BentoError(f"{path}: an expression is nested too deeply. Move data to a separate file.") from None


def _module_of(path: str) -> str:
    return path[:-3].removesuffix("/__init__").replace("/", ".")


def _stem(path: str) -> str:
    """Return `lib/service` of `lib/service.cpython-311-x86_64-linux-gnu.so`."""
    folder, slash, name = path.rpartition("/")
    return f"{folder}{slash}{name.partition('.')[0]}"


def _folders(paths: Collection[str]) -> frozenset[str]:
    """Return all directories with a Python file at any depth."""
    folders: set[str] = set()
    for path in paths:
        folder = path.rpartition("/")[0] if path.endswith(".py") else ""
        while folder and folder not in folders:
            folders.add(folder)
            folder = folder.rpartition("/")[0]
    return frozenset(folders)
