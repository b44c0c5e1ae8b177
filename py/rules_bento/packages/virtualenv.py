"""Virtual environments over unpacked wheels: nothing is copied, nothing is installed.

An environment is a folder as PEP 405 has it: `pyvenv.cfg`, `bin/python`, a `.pth` file that names the folder of each
wheel's modules, and a script for each console entry point. It is made in milliseconds whatever the wheels' size, and
holds neither packages of the host nor of its user.
"""

from __future__ import annotations

import configparser
import os
import sys
from pathlib import Path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_SCRIPT = """\
#!{python}
import sys
from {module} import {name}
sys.exit({call}())
"""


def make_environment(folder: Path, roots: Sequence[Path]) -> Path:
    """Make an environment of this interpreter's version in an empty or missing `folder`.

    `roots` are the folders that hold the wheels' modules, `site-packages` of each. Returns its interpreter.
    """
    # The one that runs, not what a virtual environment calls it.
    interpreter = Path(os.path.realpath(sys.executable))
    python = folder / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(interpreter)
    settings = f"home = {interpreter.parent}\ninclude-system-site-packages = false\nversion = {_version(3)}\n"
    (folder / "pyvenv.cfg").write_text(settings, "utf-8")
    packages = folder / "lib" / f"python{_version(2)}" / "site-packages"
    packages.mkdir(parents=True)
    (packages / "wheels.pth").write_text("".join(f"{root.absolute()}\n" for root in roots), "utf-8")
    for name, module, attribute in _console_scripts(roots):
        script = python.with_name(name)
        text = _SCRIPT.format(python=python.absolute(), module=module, name=attribute.partition(".")[0], call=attribute)
        script.write_text(text, "utf-8")
        script.chmod(0o755)
    return python


def _version(parts: int) -> str:
    return ".".join(str(part) for part in sys.version_info[:parts])


def _console_scripts(roots: Iterable[Path]) -> Iterator[tuple[str, str, str]]:
    """Name, module and attribute of each console script of the wheels."""
    for root in roots:
        for file in root.glob("*.dist-info/entry_points.txt"):
            entry_points = configparser.ConfigParser(delimiters="=", interpolation=None)
            entry_points.optionxform = str  # type: ignore[assignment,method-assign]
            entry_points.read_string(file.read_text("utf-8"))
            if entry_points.has_section("console_scripts"):
                for name, target in entry_points.items("console_scripts"):
                    module, _, attribute = target.partition("[")[0].strip().partition(":")
                    yield name, module, attribute
