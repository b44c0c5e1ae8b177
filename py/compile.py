"""Packs the helper into one program: `compile.py OUTPUT MAIN MODULE...`, a zip of byte code that Python runs.

Actions start it thousands of times: compiling the sources at each start would take longer than all else, and
a hundred inputs have to be laid out where one will do. The zip is stored, ordered and without times; the byte code is
of the kind that is not checked against its sources, which do not travel along.
"""

import marshal
import struct
import sys
import zipfile
from importlib.util import MAGIC_NUMBER

_UNCHECKED = struct.pack("<I", 1) + bytes(8)
_EPOCH = (1980, 1, 1, 0, 0, 0)


def main() -> None:
    """Compile and pack."""
    output, program, *modules = sys.argv[1:]
    folder = program.rpartition("/")[0]
    members = {"__main__.pyc": program}
    for module in modules:
        members[module[len(folder) + 1 :] + "c"] = module
    with zipfile.ZipFile(output, "w") as archive:
        for name in sorted(members):
            with open(members[name], "rb") as source:  # noqa: PTH123 - no more than it needs, for it runs before all else
                code = compile(source.read(), name[:-1], "exec", dont_inherit=True, optimize=0)
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), MAGIC_NUMBER + _UNCHECKED + marshal.dumps(code))


if __name__ == "__main__":
    main()
