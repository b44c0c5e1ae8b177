"""Creates virtual environments that refer to unpacked wheels, without copying or installing files.

An environment (PEP 405) has `pyvenv.cfg`, `bin/python`, a `.pth` file with the directories of the wheels, and a script
for each console entry point. Creating an environment needs only milliseconds, regardless of the size of the wheels.
An environment doesn't include packages of the host or the user.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from rules_bento.base.dataclasses_lite import NamedTuple
from rules_bento.base.errors import BentoError
from rules_bento.base.typing_lite import Iterable, Iterator, Sequence
from rules_bento.bentos.packages.platforms import this_platform

# The remedy if an environment is for another platform.
OMIT_PLATFORMS = "Omit --platforms, or run this on a machine of that platform."

_REMEDY = "Remove the package from the requirements, or use another version of the package."
_INTERPRETER = re.compile(r"pythonw?|python3(\.[0-9]+)?")
_NAME = re.compile(r"(?!\.\.?\Z)[^/\\\x00-\x1f\x7f]+")
_TARGET = re.compile(r"([\w.]+)\s*:\s*([\w.]+)\s*(?:\[.*\]\s*)?")
_SCRIPT = """\
#!{python}
import sys
from {module} import {name}
sys.exit({call}())
"""


class Interpreter(NamedTuple):
    """An interpreter, and its `sys.version`."""

    path: Path  # without links
    version: str

    def release(self, parts: int) -> str:
        """Return X.Y for two parts, and X.Y.Z for three."""
        return ".".join(re.findall("[0-9]+", self.version)[:parts])

    @staticmethod
    def own() -> Interpreter:
        """Return the interpreter of this process. In a virtual environment, sys.executable is a link to it."""
        return Interpreter(Path(os.path.realpath(sys.executable)), sys.version)


def make_environment(directory: Path, roots: Sequence[Path], python: Interpreter | None = None) -> Path:
    # writes: own, constant names
    """Create an environment for an interpreter, by default this one, and return the path of its `bin/python`.

    `directory` must be empty or missing. `roots` are the `site-packages` directories of the wheels. Raises BentoError
    if a console script is invalid, or has a name of the interpreter (such as `python3`).
    """
    interpreter = python or Interpreter.own()
    home, release = interpreter.path.parent, interpreter.release(3)
    program = directory / "bin" / "python"
    program.parent.mkdir(parents=True)
    program.symlink_to(interpreter.path)
    settings = f"home = {home}\ninclude-system-site-packages = false\nversion = {release}\n"
    (directory / "pyvenv.cfg").write_text(settings, "utf-8")
    packages = directory / "lib" / f"python{interpreter.release(2)}" / "site-packages"
    packages.mkdir(parents=True)
    (packages / "wheels.pth").write_text("".join(f"{root.absolute()}\n" for root in roots), "utf-8")
    scripts = {name: (module, attribute) for name, module, attribute in _console_scripts(roots)}
    for name, (module, attribute) in scripts.items():
        text = _SCRIPT.format(
            python=program.absolute(), module=module, name=attribute.partition(".")[0], call=attribute
        )
        _write_script(program.with_name(name), text)
    return program


def check_platform(platforms: Iterable[str], remedy: str) -> None:
    """Raise BentoError if any of `platforms` isn't this machine's platform. The message ends with `remedy`."""
    for platform in platforms:
        if platform != this_platform():
            reason = f"the packages are for {platform}, but the service is imported on {this_platform()}"
            raise BentoError(reason, remedy=remedy)


def is_interpreter(name: str) -> bool:
    """Return whether `name` is a name of an environment's interpreter, such as `python3`."""
    return bool(_INTERPRETER.fullmatch(name))


def _write_script(script: Path, text: str) -> None:  # writes: own, `_NAME` matches the name
    """Write a new script. Raises BentoError if the path exists or isn't writable."""
    try:
        with os.fdopen(os.open(script, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o777), "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        remedy = (
            "Check the permissions and the disk space, or remove the package with this script from the requirements."
        )
        raise BentoError(f"cannot write the console script {script.name!r}: {error.strerror}", remedy=remedy) from None


def _console_scripts(roots: Iterable[Path]) -> Iterator[tuple[str, str, str]]:
    """Yield the name, module, and attribute of each console script. Raises BentoError for an invalid script."""
    for root in roots:
        for file in root.glob("*.dist-info/entry_points.txt"):
            for name, target in _entry_points(file):
                match = _TARGET.fullmatch(target)
                problem = f"the console script {name!r} would replace the interpreter" if is_interpreter(name) else ""
                if not _NAME.fullmatch(name) or not match:
                    problem = f"invalid console script {name!r} = {target!r}. Expected MODULE:FUNCTION"
                if problem or not match:
                    raise BentoError(problem, place=file.parent.name, remedy=_REMEDY)
                yield name, match[1], match[2]


def _entry_points(file: Path) -> list[tuple[str, str]]:
    import configparser

    parser = configparser.ConfigParser(delimiters="=", interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    try:
        parser.read_string(file.read_text("utf-8"))
    except (configparser.Error, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise BentoError(f"invalid entry_points.txt: {reason}", place=file.parent.name, remedy=_REMEDY) from None
    return parser.items("console_scripts") if parser.has_section("console_scripts") else []
