"""Determines the paths of library files (`deps`) in a Bento's ``src/``, so that imports work as in a `py_test`.

In a test, Python finds a module at its path in the repository, and below each import root (`PyInfo.imports`); the
module's files are at the path in the repository. BentoML adds only ``src/`` to the import path. So ``src/`` contains
each library file at its path in the repository, below the repository's name if the repository isn't the Bento's, and a
loader, which Python runs instead of the first file of the service. The loader adds import roots and repositories to
`sys.path` after ``src/``, as after the directory of a test's main file. For the runfiles library, it creates a
temporary directory of links to the repositories: `bentoml import` can't read a Bento with links to directories.
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
_RUNFILES = "/python/runfiles/runfiles.py"  # the runfiles library of rules_python
# `_initializing` is set, because other threads can import the module at the same time. A reload executes the module in
# the same namespace. A process inherits RUNFILES_DIR from its parent, and `bazel run` sets it. BentoML can
# remove src from the path, but not src/.
_LOADER = '''"""Loads a module of src/ that is in another file. Written by rules_bento."""


def {function}(names):
    import atexit
    import os
    import shutil
    import sys
    import tempfile
    from importlib.machinery import SourceFileLoader
    from importlib.util import module_from_spec, spec_from_file_location

    name, own = names["__name__"], os.path.dirname(os.path.abspath(names["__file__"]))
    src = os.path.normpath(os.path.join(own, {up!r}))
    path = [os.path.join(src, each) for each in {path!r}]
    at = sys.path.index(src) + 1 if src in sys.path else 0
    sys.path[at:at] = [each for each in path if each not in sys.path]
    own_runfile = os.path.join(os.environ.get("RUNFILES_DIR", os.devnull), {runfile!r})
    if {repositories!r} and not os.path.exists(own_runfile):
        try:
            runfiles = tempfile.mkdtemp(prefix="runfiles-")
            atexit.register(shutil.rmtree, runfiles, ignore_errors=True)
            for repository, place in {repositories!r}:
                os.symlink(os.path.join(src, place), os.path.join(runfiles, repository))
            os.environ["RUNFILES_DIR"] = runfiles
            os.environ.pop("RUNFILES_MANIFEST_FILE", None)
        except OSError:  # no writable directory
            pass
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
    for is_in, (source, repository, path, label) in zip(inside, places, strict=True):
        origin, own = _ORIGIN + label, relative_path(path, context) if is_in else ""
        if not is_in or context:
            yield DeclaredFile(_place(repository, path, home), source, origin, filtered=is_in, context_path=own)
        if is_in:
            is_loaded = bool(context) and elsewhere and own.endswith(".py") and own != "__init__.py"
            yield DeclaredFile(own, source, origin, loaded_from=path if is_loaded else "")


class ImportPath:
    """The directories of src/ that are on the import path after src/, in the order of a test."""

    def __init__(self, import_roots: Iterable[str], repositories: Iterable[str], build_ctx: str) -> None:
        """``import_roots`` are ``<repository>/<directory>``. ``repositories`` contain the libraries."""
        self.home, self.context = context_directory(build_ctx)
        roots = [root.partition("/") for root in import_roots]
        places = (_place(repository, path, self.home) for repository, _, path in roots)
        self.roots = [place for place in dict.fromkeys(places) if place]
        self.repositories = sorted({*repositories} - {self.home})


def importable(kept: Sequence[DeclaredFile], path: ImportPath) -> tuple[list[DeclaredFile], dict[str, DeclaredFile]]:
    """Return the files that the Bento includes, and the file at each path where an import finds one.

    Raises BentoError for two modules of one name, if the Bento can't contain both.
    """
    found = _without_hidden(kept)
    _check_own_files(found)
    libraries = [file for file in found if file.origin.startswith(_ORIGIN) and not (path.context and file.in_context)]
    modules = {_module(file.path): file for file in found if file.path.endswith(_MODULES)}
    aliases: dict[str, DeclaredFile] = {}
    for root in [*path.roots, *path.repositories]:
        for file in libraries:
            relative = relative_path(file.path, root) if is_below(file.path, root) else ""
            name = relative.partition("/")[0].partition(".")[0]
            if not relative.endswith(_MODULES) or not name.isidentifier() or name == "__init__":
                continue
            taken = modules.get(name) or modules.get(_module(relative))
            is_library = taken and taken.origin.startswith(_ORIGIN) and not taken.in_context
            if is_library and root not in path.repositories:  # it precedes, unlike in a test
                remedy = f"Rename one of them, or change the import root {root} of the library."
                raise BentoError(f"{taken} and {file} are the same Python module: {name}", remedy=remedy)
            if not taken:
                aliases.setdefault(relative, file)
    return found, aliases | readable(found)


def add_loaders(
    found: Sequence[DeclaredFile], sources: Mapping[str, DeclaredFile], path: ImportPath, service: str
) -> list[DeclaredFile]:
    """Return the files to write, with loaders. The other arguments are results and arguments of `importable`.

    ``service`` is an import string, or a path. Python runs the first file of the service before all others: the
    outermost package, otherwise the module, which a package of the same name precedes.
    """
    needs_runfiles = any(f"/{file.path}".endswith(_RUNFILES) for file in found)
    repositories = [(path.home, ""), *((name, name) for name in path.repositories)] if needs_runfiles else []

    def loader(file: DeclaredFile, at: str, code: str, place: str) -> DeclaredFile:
        """Return a loader at a path of src/, which runs the code of a module whose `__file__` is ``place``."""
        text = _LOADER.format(
            function=LOADER_FUNCTION,
            up="/".join([".."] * at.count("/")) or ".",
            path=["", *path.roots, *path.repositories],
            repositories=repositories,
            runfile=next((each.path for each in found if f"/{each.path}".endswith(_RUNFILES)), ""),
            code=code,
            file=place,
            is_package=place.endswith(_PACKAGE),
        )
        return replace(file, path=at, content=text.encode())

    written = {
        file.path: loader(file, file.path, file.loaded_from, file.loaded_from) if file.loaded_from else file
        for file in found
    }
    parts = service.partition(":")[0].removesuffix(".py").replace(".", "/").split("/")
    packages = ["/".join(parts[:number]) + _PACKAGE for number in range(1, len(parts) + 1)]
    for name in [*packages, "/".join(parts) + ".py"]:
        if name in sources:
            file, start = sources[name], name if name in packages else loaded_path(name)
            place = code = file.loaded_from or file.path
            if place == start:
                code = loaded_path(place)
                written[code] = replace(file, path=code)
            written[start] = loader(file, start, code, place)
            break
    return list(written.values())


def _place(repository: str, path: str, home: str) -> str:
    """Return the path in src/ of a path in a repository. The Bento's repository is src/ itself."""
    return path if repository == home else f"{repository}/{path}".rstrip("/")


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
            problem = f"{module} and {file} are the same Python module in the Bento: {module.source} and {file.source}"
            remedy = "Rename one of them, or change the imports of the library that contains it."
            raise BentoError(problem, remedy=remedy)
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
