"""Finds the interpreter that compiles and parses the modules of an image: of the base's version of Python.

All interpreters of the exact version write the same bytecode. Compiling doesn't run the modules.
"""

from __future__ import annotations

import os
import platform
import sys
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from pkgutil import get_data

import rules_bento
from rules_bento.base.archives.atomic import write_error
from rules_bento.base.errors import BentoError, problem_of
from rules_bento.base.own_files import digest_path, remove
from rules_bento.base.typing_lite import TYPE_CHECKING, Callable, Iterator
from rules_bento.bentos.packages import uv
from rules_bento.bentos.packages.platforms import ARCHITECTURES
from rules_bento.images import unpack_image
from rules_bento.images.plan import PlannedBytecode
from rules_bento.images.standard_library import UNUSED, is_library_file
from rules_bento.images.wheels.bytecode import Compiler

from bento_cli.projects.project_reach import confined
from bento_cli.sharing.native_cache import read_directory, read_record

if TYPE_CHECKING:
    from rules_bento.base.archives.tarread import TarMember

    from bento_cli.sharing.native_base import BaseImageContents, Build

_PROGRAM = "bytecode_program.py"
_FORMAT = 5  # of the files of an interpreter in the cache
_MAX_LIBRARY = 1 << 26  # bytes
_MAX_UNPACKED, _OVERHEAD = 4 << 30, 8 << 10  # bytes of all files, and additional bytes for each file
_MOUNTS = ("dev", "proc")
_LIBRARIES = ("lib", "lib64", "usr/lib", "usr/lib64")
# Starts the command in the arguments in another root directory. Nothing of the project affects this interpreter.
_START = (
    "import os, sys; sys.path[:] = [path for path in sys.path if path]; sys.path.append(sys.argv[1]); "
    "from pathlib import Path; from rules_bento.base.namespaces import die_with_parent, enter_root; die_with_parent(); "
    "enter_root(Path(sys.argv[2]), sys.argv[4]); "
    "os.execve(sys.argv[4], sys.argv[4:], {**os.environ, 'LD_LIBRARY_PATH': sys.argv[3]})"
)


class NoInterpreterError(BentoError):
    """Raised if a layer with bytecode needs an interpreter that this machine lacks."""


def plan_bytecode(build: Build, base: BaseImageContents) -> PlannedBytecode | None:
    """Return the bytecode of an image, unless the user disabled it, or nothing here has the base's version of Python.

    If a layer needs an interpreter and this machine has none of this version, `compiler` raises NoInterpreterError.
    """
    if "no-bytecode" in build.settings:
        return None
    release = base.python_release or _ask(build, base)
    if not release:
        note = f"The image has no bytecode: {base.name} specifies no exact version of Python, and can't run here."
        build.notes.append(note)
        return None
    is_trusted = "bytecode-python" in build.settings or not _runs_here(base)
    # The user's files, which aren't compared with bytecode, can replace modules.
    is_library_changed = any(is_library_file(each.path.lstrip("/")) for each in build.values("replace"))
    layers = base.layers if base.uncompiled and not is_library_changed else None
    return PlannedBytecode(release, cache(partial(find, build, base, release)), is_trusted, layers)


def _ask(build: Build, base: BaseImageContents) -> str:
    """Return the exact version of the user's or the base's interpreter, or "" if it can't run."""

    def read() -> str:
        with _start_in_base(build, base, "unchecked-hash") as compiler:
            return compiler.version

    for path in build.settings.get("bytecode-python", ()):
        with _start(path, build, "unchecked-hash") as compiler:
            return compiler.version
    with suppress(BentoError):
        if _runs_here(base):
            return str(read_record(digest_path(build.cache / "bases", base.image.digest, "-release.json"), read))
    return ""


def find(build: Build, base: BaseImageContents, version: str, mode: str) -> Compiler:
    """Start an interpreter of a version (X.Y.Z or X.Y): the user's, the base's, this one, or one that uv finds.

    All write the same bytecode, or, in mode `syntax`, parse equally. Raises NoInterpreterError without one.
    """
    own = ""
    for path in build.settings.get("bytecode-python", ()):
        compiler: Compiler = build.stack.enter_context(_start(path, build, mode))
        if _has_version(compiler.version, version):
            return compiler
        problem = f"{path} is Python {compiler.version}, but {base.name} has Python {version}"
        remedy = "Name an interpreter of this version, or add --no-bytecode."
        raise BentoError(problem, place="--bytecode-python", remedy=remedy)
    is_own = mode == "syntax" and _has_version(platform.python_version(), version)
    starts = [partial(_start, sys.executable, build, mode)] if is_own else []
    starts.append(partial(_start_of_uv, build, version, mode))
    if _runs_here(base):  # at the end if a note describes the base, whose layers the interpreter then requires
        is_local = all(base.layout.blob(layer.digest).is_file() for layer in base.image.layers)
        starts.insert(0 if is_local else len(starts), partial(_start_in_base, build, base, mode))
    for start in starts:
        try:
            compiler = build.stack.enter_context(start())
        except BentoError as error:
            if start.func is _start_in_base:
                own = f" (the base's interpreter doesn't run: {problem_of(error).splitlines()[-1]})"
            continue
        if _has_version(compiler.version, version):
            return compiler
    what = "the command's syntax" if mode == "syntax" else "bytecode"
    problem = f"{what} for {base.name} requires an interpreter of Python {version}, which this machine lacks{own}"
    remedy = f"Run `uv python install {version}`, or name an interpreter with --bytecode-python."
    raise NoInterpreterError(problem, remedy=remedy)


def _has_version(release: str, version: str) -> bool:
    return f"{release}.".startswith(f"{version}.")


def _runs_here(base: BaseImageContents) -> bool:
    machine = os.uname().machine
    config = base.image.config
    return sys.platform == "linux" and str(config["architecture"]) == ARCHITECTURES.get(machine, machine)


def _start(interpreter: str, build: Build, mode: str) -> Compiler:
    directory = build.scratch / "bytecode"  # the first directory of modules: it has no others
    directory.mkdir(exist_ok=True)
    (directory / _PROGRAM).write_bytes(program())
    try:
        return Compiler(interpreter, str(directory / _PROGRAM), mode)
    except OSError as error:
        raise BentoError(f"cannot run {interpreter}: {error.strerror}. Use another interpreter.") from None


def program() -> bytes:
    """Return the program that an interpreter runs."""
    return get_data("rules_bento.images.wheels", _PROGRAM) or b""


def _start_of_uv(build: Build, version: str, mode: str) -> Compiler:
    return _start(uv.find_python(version), build, mode)


def _start_in_base(build: Build, base: BaseImageContents, mode: str) -> Compiler:
    """Start the base's interpreter in isolation, with a part of the base's files.

    The files are cached, and compared with their digests. The program of this package isn't cached.
    """

    def write(directory: Path) -> None:  # writes: own, a new directory in the cache, and constant names
        nonlocal base
        base = base.complete()  # a note changes only this build
        root = directory / "root"
        root.mkdir()
        layers = base.layers()
        confined([each[0] for each in layers], unpack_image.unpack, layers, root, selects=_selection(base), copy=root)
        for name in _MOUNTS:
            remove(root / name)  # which can be a link to a file of this machine
            (root / name).mkdir()

    directory = digest_path(build.cache / "interpreters", base.image.digest, f"-{_FORMAT}")
    try:
        read_directory(directory, write)
    except OSError as error:
        raise write_error(directory, error) from None
    package = Path(rules_bento.__file__).parent.parent.absolute()
    starter = [sys.executable, "-I", "-S", "-B", "-X", "utf8", "-c", _START, str(package), str(directory / "root")]
    starter.append(base.image.config["env"].get("LD_LIBRARY_PATH", ""))
    return Compiler(base.python, f"-c{program().decode()}", mode, starter)


def _selection(base: BaseImageContents) -> Callable[[TarMember], bool]:
    """Return a function that selects files that the compiler needs. It raises BentoError if they are too large."""
    limit = unpack_image.Limit("the interpreter and its libraries", _MAX_UNPACKED, _OVERHEAD)
    return lambda member: _is_needed(base, member) and limit(member)


def _is_needed(base: BaseImageContents, member: TarMember) -> bool:
    """Return whether the compiler needs a file: the interpreter, a shared library, or a module of Python."""
    path = member.name.removeprefix("./").lstrip("/")
    directory, _, name = path.rpartition("/")
    prefix = base.python.rpartition("/bin/")[0].lstrip("/")
    if member.kind == "link" or name.startswith(".wh."):
        return True
    if directory == f"{prefix}/bin".lstrip("/"):
        return name.startswith("python3")
    if path == "etc/ld.so.cache":
        return member.size <= _MAX_LIBRARY
    modules = f"python{base.python_version}/"
    if path.startswith((f"{prefix}/lib/{modules}".lstrip("/"), f"{prefix}/lib64/{modules}".lstrip("/"))):
        return name.endswith((".py", ".so")) and UNUSED.isdisjoint(directory.split("/"))
    return member.size <= _MAX_LIBRARY and ".so" in name and any(_is_library_directory(base, directory, prefix))


def _is_library_directory(base: BaseImageContents, directory: str, prefix: str) -> Iterator[bool]:
    yield f"/{directory}" in base.image.config["env"].get("LD_LIBRARY_PATH", "").split(":")
    for each in (*_LIBRARIES, f"{prefix}/lib".lstrip("/"), f"{prefix}/lib64".lstrip("/")):
        yield directory == each or directory.rpartition("/")[0] == each
