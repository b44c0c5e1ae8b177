"""Packs a CPython interpreter into few files: `pack_python.py [--checked] INTERPRETER PROGRAM [LIBRARIES...]`.

All files of an interpreter are inputs of each action, and sandboxes and remote workers create each of them. Therefore,
this program packs the standard library into a zip of bytecode, at the path where Python expects it. INTERPRETER is
`PREFIX/bin/…` of the version that runs this program, and PROGRAM is `OUTPUT/bin/python3`. The files in OUTPUT:

    bin/python3
    lib/pythonXY.zip
    lib/pythonX.Y/os.py            the file by which Python detects the directory
    lib/pythonX.Y/lib-dynload/*    compiled modules
    lib/*                          shared libraries of these files, from PREFIX/lib and the directories LIBRARIES

The bytecode is in unchecked mode, and contains no path of this machine. With `--checked`, INTERPRETER must run this
program, which tests the packed interpreter. If modules are missing, it copies PREFIX/lib instead.
"""

import contextlib
import marshal
import os
import shutil
import struct
import subprocess
import sys
import zipfile
from importlib import import_module
from importlib.util import MAGIC_NUMBER
from pathlib import Path

_UNCHECKED = struct.pack("<I", 1) + bytes(8)
# Excluded, because no action imports them: other programs, tests, and modules that need a terminal or a window.
_NO_MODULES = {"__pycache__", "dist-packages", "ensurepip", "idlelib", "lib-dynload", "site-packages", "tkinter"}
_NO_MODULES |= {"lib2to3", "test", "tests", "turtledemo", "venv"}
_NO_EXTENSIONS: tuple[str, ...] = ("_ctypes_test", "_curses", "_dbm", "_gdbm", "_test", "_tkinter", "_xx", "nis")
_NO_EXTENSIONS += ("ossaudiodev", "readline", "xx")
# Modules of machine code in every layout, and modules that need them.
_MODULES = ("bz2", "ctypes", "hashlib", "lzma", "mmap", "ssl", "unicodedata", "zipfile", "zlib")
_CHECK = """\
import importlib, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
print(*{module.__file__ for module in [*sys.modules.values()] if getattr(module, "__file__", None)}, sep="\\n")
"""


def main() -> None:
    """Pack the interpreter that the arguments specify."""
    arguments = sys.argv[1:]
    checked = arguments[0] == "--checked"
    interpreter, program, *others = (Path(argument) for argument in arguments[checked:])
    output = program.parent.parent
    library = interpreter.parent.parent / "lib/python{}.{}".format(*sys.version_info)
    program.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(interpreter, program)
    names = _pack(library, output, others)
    if checked and (problem := _missing(output, names)):
        sys.stderr.write(f"{interpreter}: cannot be packed, so actions use all of its files: {problem}\n")
        _copy_all(library.parent, output / "lib")
        if problem := _missing(output, names):
            raise SystemExit(
                f"{interpreter}: doesn't run from another directory, as actions require: {problem}\n"
                "Use another interpreter: bento_tools.python(interpreter = ...) or (debian_lock = ...) in MODULE.bazel."
            )


def _pack(library: Path, output: Path, others: list[Path]) -> list[str]:
    """Pack all files of an interpreter except its program. Returns the names of its extension modules."""
    packed = output / "lib" / library.name
    extensions = packed / "lib-dynload"
    extensions.mkdir(parents=True)
    shutil.copyfile(library / "os.py", packed / "os.py")
    _pack_modules(library, output / "lib/python{}{}.zip".format(*sys.version_info))
    names = []
    dynamic = library / "lib-dynload"
    for extension in sorted(dynamic.iterdir()) if dynamic.is_dir() else []:
        if not extension.name.startswith(_NO_EXTENSIONS):
            shutil.copyfile(extension, extensions / extension.name)
            names += [extension.name.partition(".")[0]] if extension.suffix == ".so" else []
    if not any(extensions.iterdir()):
        # Python requires the directory, and caches store no empty directories.
        (extensions / "README").write_text("All compiled modules are in the program.\n")
    _copy_libraries([library.parent, *others], output)
    return names


def _pack_modules(library: Path, archive: Path) -> None:
    """Write the compiled modules of the standard library to a zip, uncompressed, sorted, and without times."""
    modules = [
        path
        for path in library.rglob("*.py")
        if _NO_MODULES.isdisjoint(path.relative_to(library).parts) and path.is_file()
    ]
    modules.sort()
    with zipfile.ZipFile(archive, "w") as packed:
        for path, bytecode in zip(modules, _compile_all(modules, library), strict=True):
            if bytecode:
                packed.writestr(zipfile.ZipInfo(path.relative_to(library).as_posix() + "c"), bytecode)


def _compile_all(modules: list[Path], library: Path) -> list[bytes]:
    """Return the bytecode of modules. A second process compiles half of them, because the first build waits for it."""
    half = len(modules) // 2
    reading, writing = os.pipe()
    if not (child := os.fork()):
        try:
            with os.fdopen(writing, "wb") as pipe:
                marshal.dump([_compile(path, library) for path in modules[half:]], pipe)
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(0)
    os.close(writing)
    compiled = [_compile(path, library) for path in modules[:half]]
    with os.fdopen(reading, "rb") as pipe:
        compiled += marshal.load(pipe)
    os.waitpid(child, 0)
    return compiled


def _compile(path: Path, library: Path) -> bytes:
    """Return the bytecode of a module, or no bytes for a template or a damaged file, which is never imported."""
    name = path.relative_to(library).as_posix()
    try:
        code = compile(path.read_bytes(), name, "exec", dont_inherit=True, optimize=0)
    except (SyntaxError, ValueError):
        return b""
    return MAGIC_NUMBER + _UNCHECKED + marshal.dumps(code)


def _copy_libraries(directories: list[Path], output: Path) -> None:
    """Copy the shared libraries to which programs and modules refer, directly or through other libraries."""
    available = {
        path.name: path
        for directory in directories
        for path in directory.iterdir()
        if (".so" in path.name or path.suffix == ".dylib") and path.is_file()
    }
    pending = [path for path in sorted(output.rglob("*")) if path.suffix == ".so" or path.name == "python3"]
    while pending:
        content = pending.pop().read_bytes()
        for name in [name for name in available if _mentions(content, name)]:
            copy = output / "lib" / name
            shutil.copyfile(available.pop(name), copy)
            pending.append(copy)


def _mentions(content: bytes, library: str) -> bool:
    """Return whether a program contains the name of a library, possibly after `$ORIGIN/…` or `@executable_path/…`."""
    return any(before + library.encode() + b"\0" in content for before in (b"\0", b"/"))


def _missing(output: Path, extensions: list[str]) -> str:
    """Start the packed interpreter, and return the error or the first module outside of it, or an empty string."""
    importable = []
    for name in (*extensions, *_MODULES):
        with contextlib.suppress(Exception):  # modules that this interpreter can't import aren't missing
            import_module(name)
            importable.append(name)
    command = [str(output.absolute() / "bin/python3"), "-I", "-S", "-B", "-X", "utf8", "-c", _CHECK, *importable]
    try:
        done = subprocess.run(command, check=False, capture_output=True, encoding="utf-8", errors="replace")
    except OSError as error:
        return str(error)
    if done.returncode:
        return (done.stderr.strip().splitlines() or [f"the exit code is {done.returncode}"])[-1]
    root = os.path.realpath(output) + os.sep
    outside = [path for path in sorted(done.stdout.splitlines()) if not os.path.realpath(path).startswith(root)]
    return f"the interpreter imports {outside[0]}" if outside else ""


def _copy_all(library: Path, copy: Path) -> None:
    """Replace the contents of `copy` by all files of `library`."""
    for entry in copy.iterdir():
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(library, copy, ignore=ignored, ignore_dangling_symlinks=True, dirs_exist_ok=True)


if __name__ == "__main__":
    main()
