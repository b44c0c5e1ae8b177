"""Packs a CPython into few files: `pack_python.py PREFIX OUTPUT [LIBRARIES...]`, run by the interpreter of PREFIX.

An action has all files of its interpreter as inputs, and a sandbox or a remote worker lays each of them out. So the
standard library becomes one zip of byte code, where Python itself looks for it. OUTPUT gets

    bin/python3
    lib/pythonXY.zip
    lib/pythonX.Y/os.py            by which Python knows the folder
    lib/pythonX.Y/lib-dynload/*    compiled modules
    lib/*                          the shared libraries of all these, of PREFIX/lib and the folders LIBRARIES

The byte code is of the kind that is not checked against its sources, and names no path of this machine.
"""

import marshal
import shutil
import struct
import sys
import zipfile
from importlib.util import MAGIC_NUMBER
from pathlib import Path

_UNCHECKED = struct.pack("<I", 1) + bytes(8)
# What no action imports: other programs, tests, and what needs a terminal or a window.
_NO_MODULES = {"__pycache__", "dist-packages", "ensurepip", "idlelib", "lib-dynload", "site-packages", "tkinter"}
_NO_MODULES |= {"lib2to3", "test", "tests", "turtledemo", "venv"}
_NO_EXTENSIONS: tuple[str, ...] = ("_ctypes_test", "_curses", "_dbm", "_gdbm", "_test", "_tkinter", "_xx", "nis")
_NO_EXTENSIONS += ("ossaudiodev", "readline", "xx")


def main() -> None:
    """Pack."""
    prefix, output, *others = (Path(argument) for argument in sys.argv[1:])
    version = sys.version_info
    library = prefix / f"lib/python{version.major}.{version.minor}"
    packed = output / "lib" / library.name
    extensions = packed / "lib-dynload"
    extensions.mkdir(parents=True)
    (output / "bin").mkdir()
    shutil.copy(prefix / "bin" / library.name, output / "bin/python3")
    shutil.copyfile(library / "os.py", packed / "os.py")
    _pack_modules(library, output / f"lib/python{version.major}{version.minor}.zip")
    for extension in (library / "lib-dynload").iterdir():
        if not extension.name.startswith(_NO_EXTENSIONS):
            shutil.copyfile(extension, extensions / extension.name)
    _copy_libraries([prefix / "lib", *others], output)


def _pack_modules(library: Path, archive: Path) -> None:
    """Write the zip: stored, ordered and without times."""
    modules = [
        path
        for path in library.rglob("*.py")
        if _NO_MODULES.isdisjoint(path.relative_to(library).parts) and path.is_file()
    ]
    with zipfile.ZipFile(archive, "w") as packed:
        for path in sorted(modules):
            name = path.relative_to(library).as_posix()
            code = compile(path.read_bytes(), name, "exec", dont_inherit=True, optimize=0)
            packed.writestr(zipfile.ZipInfo(f"{name}c"), MAGIC_NUMBER + _UNCHECKED + marshal.dumps(code))


def _copy_libraries(folders: list[Path], output: Path) -> None:
    """Copy the shared libraries that programs and modules name, and those that these name, under that name."""
    there = {
        path.name: path for folder in folders for path in folder.iterdir() if ".so" in path.name and path.is_file()
    }
    pending = [path for path in sorted(output.rglob("*")) if path.suffix == ".so" or path.name == "python3"]
    while pending:
        content = pending.pop().read_bytes()
        for name in [name for name in there if b"\0" + name.encode() + b"\0" in content]:
            copy = output / "lib" / name
            shutil.copyfile(there.pop(name), copy)
            pending.append(copy)


if __name__ == "__main__":
    main()
