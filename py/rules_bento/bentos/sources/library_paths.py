"""Determines the paths of library files (`deps`) in a Bento's ``src/``, so that imports work as in a `py_test`.

In a test, Python finds a module at its path in the repository, and below each import root (`PyInfo.imports`); the
module's files are at the path in the repository. BentoML adds only ``src/`` to the import path. So ``src/`` contains
each library file at its path in the repository, and a loader, which Python runs instead of the first file of the
service. The loader adds the import roots to `sys.path` after ``src/``, as after the directory of a test's main file.
"""

from __future__ import annotations

from rules_bento.base.dataclasses_lite import replace
from rules_bento.base.errors import BentoError
from rules_bento.base.python_source import LOADER_FUNCTION
from rules_bento.base.typing_lite import TYPE_CHECKING, Iterable, Iterator, Mapping, Sequence
from rules_bento.bentos.sources.snapshot import (
    DEPENDENCIES,
    DeclaredFile,
    content,
    context_directory,
    is_below,
    readable,
    relative_path,
    split_short_path,
)

if TYPE_CHECKING:
    from pathlib import Path

_ORIGIN = f"{DEPENDENCIES} "  # followed by the label of the library
_MODULES = (".py", ".so", ".pyd", ".pyc")
_PACKAGE = "/__init__.py"
# `_initializing` is set, because other threads can import the module at the same time. A reload executes the module in
# the same namespace.
_LOADER = '''"""Loads a module of src/ that is in another file. Written by rules_bento."""


def {function}(names):
    import os
    import sys
    from importlib.machinery import SourceFileLoader
    from importlib.util import module_from_spec, spec_from_file_location

    name, own = names["__name__"], os.path.dirname(os.path.abspath(names["__file__"]))
    src = os.path.normpath(os.path.join(own, {up!r}))
    roots = [os.path.join(src, each) for each in {roots!r}]
    at = sys.path.index(src) + 1 if src in sys.path else 0
    sys.path[at:at] = [each for each in roots if each not in sys.path]
    file, code = os.path.join(src, {file!r}), SourceFileLoader(name, os.path.join(src, {code!r})).get_code(name)
    packages = list(dict.fromkeys([os.path.dirname(file), own])) if {is_package} else None
    spec = spec_from_file_location(name, file, submodule_search_locations=packages)
    names.update(vars(module_from_spec(spec)))
    names.pop({function!r}, None)
    names.pop("__path__", None) if packages is None else None
    spec._initializing = True
    try:
        exec(code, names)
    finally:
        spec._initializing = False


{function}(globals())
'''


def declare_libraries(files: Sequence[tuple[str, str, str]], build_ctx: str) -> Iterator[DeclaredFile]:
    """Yield a file for the path in the repository of each library file, and for its path relative to the build context.

    Items of ``files`` are the path to read, Bazel's short path, and the label of the file. Patterns apply to files in
    the build context, and to their other paths. Raises BentoError if a path or the build context is absolute or leaves
    its repository.

    Modules in the build context are copies, beside which they find the Bento's own files. If libraries have data
    elsewhere, which modules can find only from their paths in the repository, they are loaded from there.
    """
    home, context = context_directory(build_ctx)
    places = [(source, *split_short_path(path, DEPENDENCIES, label), label) for source, path, label in files]
    inside = [repository == home and is_below(path, context) for _, repository, path, _ in places]
    elsewhere = any(
        not is_in and not path.endswith(".py") for is_in, (_, _, path, _) in zip(inside, places, strict=True)
    )
    for is_in, (source, _, path, label) in zip(inside, places, strict=True):
        origin, own = _ORIGIN + label, relative_path(path, context) if is_in else ""
        if not is_in or context:
            yield DeclaredFile(path, source, origin, filtered=is_in, context_path=own)
        if is_in:
            is_loaded = bool(context) and elsewhere and own.endswith(".py") and own != "__init__.py"
            yield DeclaredFile(own, source, origin, loaded_from=path if is_loaded else "")


def importable(
    kept: Sequence[DeclaredFile], import_roots: Iterable[str], build_ctx: str
) -> tuple[list[DeclaredFile], dict[str, DeclaredFile]]:
    """Return the files that the Bento includes, and the file at each path where an import finds one.

    Items of ``import_roots`` are in the order of Python's import path, with the repository's name (``_main/lib/src``).
    Raises BentoError for two modules of one name, if the Bento can't contain both.
    """
    found = _without_hidden(kept)
    _check_own_files(found)
    context = context_directory(build_ctx)[1]
    libraries = [file for file in found if file.origin.startswith(_ORIGIN) and not (context and file.in_context)]
    modules = {_module(file.path): file for file in found if file.path.endswith(_MODULES)}
    aliases: dict[str, DeclaredFile] = {}
    for root in _directories(import_roots):
        for file in libraries:
            relative = relative_path(file.path, root) if is_below(file.path, root) else ""
            name = relative.partition("/")[0].partition(".")[0]
            if not relative.endswith(_MODULES) or not name.isidentifier() or name == "__init__":
                continue
            taken = modules.get(name) or modules.get(_module(relative))
            if taken and taken.origin.startswith(_ORIGIN) and not taken.in_context:  # it precedes, unlike in a test
                raise BentoError(
                    f"{taken} and {file} are the same Python module: {name}",
                    remedy=f"Rename one of them, or change the import root {root} of the library.",
                )
            if not taken:
                aliases.setdefault(relative, file)
    return found, aliases | readable(found)


def add_loaders(
    found: Sequence[DeclaredFile], sources: Mapping[str, DeclaredFile], import_roots: Iterable[str], service: str
) -> list[DeclaredFile]:
    """Return the files to write, with loaders. The other arguments are results and arguments of `importable`.

    ``service`` is an import string, or a path. Python runs the first file of the service before all others: the
    outermost package, otherwise the module, which a package of the same name precedes.
    """
    written = {
        file.path: _with_loader(file, file.path, (), file.loaded_from) if file.loaded_from else file for file in found
    }
    parts = service.partition(":")[0].removesuffix(".py").replace(".", "/").split("/")
    packages = ["/".join(parts[:number]) + _PACKAGE for number in range(1, len(parts) + 1)]
    for path in [*packages, "/".join(parts) + ".py"]:
        if path in sources:
            file, start = sources[path], path if path in packages else loaded_path(path)
            place = code = file.loaded_from or file.path
            if place == start:
                code = loaded_path(place)
                written[code] = replace(file, path=code)
            written[start] = _with_loader(file, start, _directories(import_roots), code, place)
            break
    return list(written.values())


def _directories(import_roots: Iterable[str]) -> list[str]:
    """Return the directories of import roots in src/, without src/ itself."""
    return [root for root in dict.fromkeys(root.partition("/")[2] for root in import_roots) if root]


def _without_hidden(kept: Sequence[DeclaredFile]) -> list[DeclaredFile]:
    """Omit packages in the repository's root that a module of the build context hides: ``iris/iris.py``, as in a test.

    Raises BentoError for a module of the build context, and a package of a library elsewhere, with one name.
    """
    own = {_module(file.path): file for file in kept if file.in_context and file.path.endswith(".py")}
    hidden = set()
    for file in kept:
        module = own.get(_module(file.path)) if file.path.endswith(".py") and not file.in_context else None
        if not module or module.path == file.path:
            continue
        if not file.context_path:
            raise BentoError(
                f"{module} and {file} are the same Python module in the Bento: {module.source} and {file.source}",
                remedy="Rename one of them, or change the imports of the library that contains it.",
            )
        hidden.add(file.path)
    return [file for file in kept if file.path not in hidden]


def _check_own_files(files: Sequence[DeclaredFile]) -> None:
    """Raise BentoError if a module that is loaded from its path in the repository names a file that isn't there."""
    loaded = [file for file in files if file.loaded_from]
    own = {file.path.rpartition("/")[2]: file for file in files if loaded and not file.origin.startswith(_ORIGIN)}
    words = {name.encode(): file for name, file in own.items() if not name.endswith(".py")}
    for module in loaded if words else ():
        text = content(module)
        for name, file in words.items():
            if name in text:
                raise BentoError(
                    f"{module} names {file}, but the file isn't in the directory of the module: libraries in deps have "
                    "data outside of the build context, so their modules have the paths of the repository",
                    remedy="Add the file to data of the library, or the module to srcs.",
                )


def _with_loader(module: DeclaredFile, path: str, roots: Sequence[str], code: str, file: str = "") -> DeclaredFile:
    """Return a loader at a path of src/, which runs the code of a module. The module's `__file__` is ``file``."""
    up = "/".join([".."] * path.count("/")) or "."
    is_package = (file or code).endswith(_PACKAGE)
    text = _LOADER.format(
        function=LOADER_FUNCTION, up=up, roots=list(roots), code=code, file=file or code, is_package=is_package
    )
    return replace(module, path=path, content=text.encode())


def loaded_path(path: str) -> str:
    """Return the path of a package's code whose `__init__.py` is a loader, or of the loader that precedes a module."""
    return path.removesuffix(".py") + _PACKAGE


def is_loader(path: Path) -> bool:
    """Return whether the file at a path is a loader that `add_loaders` wrote."""
    start = _LOADER.partition("\n")[0].encode()
    with path.open("rb") as file:
        return file.read(len(start)) == start


def short_path_of(path: str) -> str:
    """Convert a path in Bazel's execution root to a short path."""
    parts = path.split("/")
    if parts[0] == "bazel-out":
        parts = parts[3:]
    if parts[0] == "external":
        parts[0] = ".."
    return "/".join(parts)


def possible_paths(short_path: str, build_ctx: str) -> list[str]:
    """Return the paths that a file can have in the Bento."""
    return [file.path for file in declare_libraries([("", short_path, "")], build_ctx)]


def _module(path: str) -> str:
    """Return the path of a module without `.py`, or of a package without `/__init__.py`."""
    directory, _, name = path.removesuffix(_PACKAGE).rpartition("/")
    return f"{directory}/{name.partition('.')[0]}".lstrip("/")
