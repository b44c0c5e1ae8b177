"""Compiles modules once for all tests: `compile_modules.py ARGUMENTS`, a file with one argument for each line.

A line `>DIRECTORY` is an output directory, `__pycache__`. The lines after it are the modules that it contains bytecode
of. The bytecode is unchecked (PEP 552), because the times of files aren't inputs of actions.
"""

import contextlib
import sys
from pathlib import Path
from py_compile import PycInvalidationMode, PyCompileError, compile  # noqa: A004


def main() -> None:
    """Compile all modules. A module with a syntax error has no bytecode: its import reports the error."""
    directory = Path()
    for line in Path(sys.argv[1]).read_text("utf-8").splitlines():
        if line.startswith(">"):
            directory = Path(line[1:])
        else:
            name = f"{Path(line).stem}.{sys.implementation.cache_tag}.pyc"
            with contextlib.suppress(PyCompileError):
                compile(line, str(directory / name), doraise=True, invalidation_mode=PycInvalidationMode.UNCHECKED_HASH)


if __name__ == "__main__":
    main()
