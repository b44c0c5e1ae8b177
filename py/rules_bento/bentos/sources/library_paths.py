"""Determines the paths of library files (`deps`) in a Bento's ``src/``, so that imports work as in a `py_test`.

In a test, Python finds a module at its path in the repository, and below each import root (`imports`) of a library.
BentoML adds only ``src/`` to the import path, so ``src/`` contains a file at several paths. The files are copies,
because zip archives of Bentos can't contain links.
"""

from __future__ import annotations

import posixpath
import re
import sys

from rules_bento.base.dataclasses_lite import replace
from rules_bento.base.errors import BentoError
from rules_bento.base.typing_lite import Iterable, Iterator, Sequence
from rules_bento.bentos.sources.snapshot import (
    DEPENDENCIES,
    MAX_BYTES,
    DeclaredFile,
    context_directory,
    is_below,
    relative_path,
    split_short_path,
)
from rules_bento.bentos.sources.tree_manifest import open_source

_ORIGIN = f"{DEPENDENCIES} "  # followed by the label of the library
_PACKAGE = "__init__.py"
_IMPORTS = re.compile(  # the module and the names of `from a import b`, or the modules of `import a`
    r"^[ \t]*(?:from[ \t]+(\w[\w.]*)[ \t]+import[ \t]*([^#;\n]+)|import[ \t]+([^#;\n]+))", re.MULTILINE
).findall


def declare_libraries(
    files: Sequence[tuple[str, str, str]], import_roots: Iterable[tuple[str, str]], build_ctx: str
) -> Iterator[DeclaredFile]:
    """Yield a file for each path in the Bento of each library file. The origin is the label of the library.

    Items of ``files`` are the path to read, Bazel's short path, and the label of the library. Items of ``import_roots``
    are a label and an import root that this library declares (``_main/lib/src``, ``repo+``), or an empty string and an
    item of ``PyInfo.imports``, which any rule can declare. A file has these paths:

    - the path in its repository, or the path relative to the build context for a file that is in the build context, and
      in no import root,
    - the path relative to each import root that its own library declares,
    - the path relative to an import root of another library, if a library that declares the root has files in the same
      top-level directory there (otherwise, the package would be incomplete), or none has files there,
    - the path relative to the build context, unless its own import root below the build context contains the file.

    Patterns apply to files with a path relative to the build context, and to their other paths. Raises BentoError if a
    path or the build context is absolute or leaves its repository.
    """
    home, context = context_directory(build_ctx)
    paths = [split_short_path(short_path, DEPENDENCIES, label) for _, short_path, label in files]
    roots = _ImportRoots(zip(paths, (label for _, _, label in files), strict=True), import_roots)
    for (source, _, label), (repository, path) in zip(files, paths, strict=True):
        origin = _ORIGIN + label
        found = dict(roots.below(repository, path, label))
        others = dict.fromkeys([path, *(relative_path(path, root) for root in found)])
        in_context = repository == home and is_below(path, context)
        if not in_context or any(is_own and len(root) > len(context) for root, is_own in found.items()):
            for each in others:
                yield DeclaredFile(each, source, origin, filtered=False)
            continue
        own = relative_path(path, context)
        yield DeclaredFile(own, source, origin)
        for each in others if found else ():
            if each != own:
                yield DeclaredFile(each, source, origin, context_path=own)


def missing_roots(
    files: Sequence[tuple[str, str, str]], import_roots: Iterable[tuple[str, str]], kept: Sequence[DeclaredFile]
) -> list[tuple[str, str]]:
    """Return items to add to ``import_roots``: libraries that ``kept`` imports from import roots of other libraries.

    Ignores modules that ``kept`` contains, and names of the standard library.
    """
    paths = [split_short_path(short_path, DEPENDENCIES, label) for _, short_path, label in files]
    roots = _ImportRoots(zip(paths, (label for _, _, label in files), strict=True), import_roots)
    found: dict[str, dict[tuple[str, str], None]] = {}
    for (repository, path), (_, _, label) in zip(paths, files, strict=True):
        for root, relative in roots.others(repository, path, label):
            if relative.endswith(".py") and _top_module(relative) not in sys.stdlib_module_names:
                found.setdefault(_module(relative), {})[label, root] = None
    for file in kept if found else ():
        found.pop(_module(file.path), None)
    imported = _imported_modules(kept) if found else set()
    libraries = [libraries for name, libraries in found.items() if _is_imported(name, imported)]
    return list(dict.fromkeys(each for some in libraries for each in some))


def missing_copies(
    declared: Iterable[DeclaredFile], kept: Iterable[DeclaredFile], build_ctx: str
) -> list[DeclaredFile]:
    """Return copies, at their paths in the repository, of library files in the build context, if ``kept`` needs them.

    Without copies, only imports relative to the build context find these files. ``kept`` needs the copies if a source
    imports the directory of the build context, or modules in it, by the path in the repository.
    """
    _, context = context_directory(build_ctx)
    own = [file for file in declared if file.origin.startswith(_ORIGIN) and file.in_context]
    if not context or not own or not _is_imported(context.replace("/", "."), _imported_modules(kept)):
        return []
    return [replace(file, path=f"{context}/{file.path}", context_path=file.path) for file in own]


def _imported_modules(files: Iterable[DeclaredFile]) -> set[str]:
    """Return the names in absolute imports of Python files, such as `a`, `a.b`, and `a.b.c` for `from a.b import c`.

    If the names of an import are on several lines, the result contains `a.b.*`.
    """
    found: set[str] = set()
    for file in files:
        if not file.path.endswith(".py") or file.link is not None:
            continue
        try:
            with open_source(file.source) as opened:
                text = opened.read(MAX_BYTES).decode("utf-8", "replace")
        except OSError:  # reported when the file is packed
            continue
        for source, names, modules in _IMPORTS(text):
            words = [words[0] for part in (names or modules).split(",") if (words := part.strip("()\\ \t").split())]
            words += ["*"] if "(" in names and ")" not in names else []
            found.update(f"{source}.{word}" if source else word for word in words)
    return found | {name[: dot.start()] for name in found for dot in re.finditer(r"\.", name)}


def _is_imported(module: str, names: set[str]) -> bool:
    """Return whether the result of `_imported_modules` contains a module, or all names of its parent."""
    return module in names or f"{module.rpartition('.')[0]}.*" in names


def without_hidden_copies(declared: Sequence[DeclaredFile]) -> list[DeclaredFile]:
    """Omit copies of files in the build context whose top-level module the build context already has.

    For example, a copy ``iris/__init__.py`` would hide the module ``iris.py`` of the build context ``iris``. In a test,
    the directory of the test precedes the repository on the import path.
    """
    names = {_top_module(file.path) for file in declared if file.in_context}
    return [file for file in declared if not file.context_path or _top_module(file.path) not in names]


def check_modules(kept: Iterable[DeclaredFile]) -> None:
    """Raise BentoError if a module and a package from different directories have the same name in the Bento."""
    modules = {file.path.removesuffix(".py"): file for file in kept if file.path.endswith(".py")}
    for name, package in modules.items():
        module = modules.get(name.removesuffix("/__init__"), package)
        is_same = module is package or _module(short_path_of(module.source)) == _module(short_path_of(package.source))
        if not is_same and (module.origin + package.origin).count(_ORIGIN):
            raise BentoError(
                f"{module.path} and {package.path} in the Bento are the same Python module: {module.source} (from "
                f"{module.origin}) and {package.source} (from {package.origin})",
                remedy="Rename one of them, or change the imports of the library that contains it.",
            )


def short_path_of(path: str) -> str:
    """Convert a path in Bazel's execution root to a short path."""
    parts = path.split("/")
    if parts[0] == "bazel-out":
        parts = parts[3:]
    if parts[0] == "external":
        parts[0] = ".."
    return "/".join(parts)


def possible_paths(short_path: str, import_roots: Iterable[str], build_ctx: str) -> list[str]:
    """Return all paths that a file can have in the Bento, without knowledge of its target. The most likely is first."""
    home, context = context_directory(build_ctx)
    repository, path = split_short_path(short_path, DEPENDENCIES, "")
    found = [relative_path(path, context), path] if repository == home and is_below(path, context) else [path]
    roots = {posixpath.normpath(root) for root in import_roots}
    return found + [relative_path(path, each) for each in _directories(path) if f"{repository}/{each}" in roots]


class _ImportRoots:
    """The import roots of all libraries, and the names in them."""

    def __init__(self, files: Iterable[tuple[tuple[str, str], str]], roots: Iterable[tuple[str, str]]) -> None:
        self._declared = {(label, posixpath.normpath(root)) for label, root in roots}
        self._all = {root for _, root in self._declared}
        # By root: top-level directories that contain files of libraries that declare the root ("" for other files).
        self._names: dict[str, set[str]] = {root: set() for root in self._all}
        used = set()
        for (repository, path), label in files if self._all else ():
            for root, relative in self._containing(repository, path):
                if (label, root) in self._declared:
                    used.add((label, root))
                    self._names[root].add(_top(relative))
        self._shared = {root for label, root in self._declared - used if label or not self._names[root]}

    def below(self, repository: str, path: str, label: str) -> Iterator[tuple[str, bool]]:
        """Yield each import root that applies to a file, as directory, and whether the file's library declares it."""
        for root, relative in self._containing(repository, path) if self._all else ():
            top = _top(relative)
            is_own = (label, root) in self._declared
            if is_own or root in self._shared or (top and top in self._names[root]):
                yield root.partition("/")[2], is_own

    def others(self, repository: str, path: str, label: str) -> Iterator[tuple[str, str]]:
        """Yield the import roots that contain a file, but don't apply to it, and the relative paths."""
        own = dict(self.below(repository, path, label))
        for root, relative in self._containing(repository, path) if self._all else ():
            if root.partition("/")[2] not in own:
                yield root, relative

    def _containing(self, repository: str, path: str) -> Iterator[tuple[str, str]]:
        for directory in _directories(path):
            relative = relative_path(path, directory)
            # Python doesn't import the __init__.py of an import root.
            if f"{repository}/{directory}" in self._all and relative != _PACKAGE:
                yield f"{repository}/{directory}", relative


def _directories(path: str) -> Iterator[str]:
    """Yield the parent directories of a path in a repository, except for the root of the repository."""
    directory = path.rpartition("/")[0]
    while directory:
        yield directory
        directory = directory.rpartition("/")[0]


def _module(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _top_module(path: str) -> str:
    return path.partition("/")[0].removesuffix(".py")


def _top(relative: str) -> str:
    return relative.partition("/")[0] if "/" in relative else ""
