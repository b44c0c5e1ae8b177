"""Packs the helper into one program. `compile.py OUTPUT MAIN FILE...` writes a zip of bytecode, which Python can run.

Actions start the helper thousands of times. Without the zip, Python compiles the sources at each startup, which needs
most of the run time, and each source is an input of each action. The zip is uncompressed and sorted, and its timestamps
are constant. The bytecode is unchecked (PEP 552), because its sources aren't in the zip.
Templates, and programs for other versions of Python, are stored unchanged.
"""

import marshal
import struct
import sys
import zipfile
from importlib.util import MAGIC_NUMBER

_UNCHECKED = struct.pack("<I", 1) + bytes(8)
_PROGRAM = "_program.py"  # at the end of the name of a program for other versions of Python
_EPOCH = (1980, 1, 1, 0, 0, 0)


def main() -> None:
    """Compile the modules, and write the bytecode to the zip file."""
    output, program, *files = sys.argv[1:]
    directory = program.rpartition("/")[0]
    members = {"__main__.pyc": program}
    for file in files:
        name = file[len(directory) + 1 :]
        members[f"{name}c" if name.endswith(".py") and not name.endswith(_PROGRAM) else name] = file
    with zipfile.ZipFile(output, "w") as archive:
        for name in sorted(members):
            with open(members[name], "rb") as source:  # noqa: PTH123 - this program imports only what it needs
                content = source.read()
            if name.endswith(".pyc"):
                code = compile(content, name[:-1], "exec", dont_inherit=True, optimize=0)
                content = MAGIC_NUMBER + _UNCHECKED + marshal.dumps(code)
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), content)


if __name__ == "__main__":
    main()
