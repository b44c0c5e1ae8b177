"""Virtual environments over unpacked wheels: nothing is copied, nothing is installed.

An environment is a folder as PEP 405 has it: `pyvenv.cfg`, `bin/python`, a `.pth` file that names the folder of each
wheel's modules, and a script for each console entry point. It is made in milliseconds whatever the wheels' size, and
holds neither packages of the host nor of its user.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from rules_bento.errors import BentoError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

# The remedy in messages of what can only be made for the machine that runs it.
OMIT_PLATFORMS = "Leave --platforms out, or run this on a machine of that kind."

_INTERPRETER = re.compile(r"pythonw?|python3(\.[0-9]+)?")
_NAME = re.compile(r"(?!\.\.?\Z)[^/\\\x00-\x1f\x7f]+")
_TARGET = re.compile(r"([\w.]+)\s*:\s*([\w.]+)\s*(?:\[.*\]\s*)?")
_SCRIPT = """\
#!{python}
import sys
from {module} import {name}
sys.exit({call}())
"""


def make_environment(folder: Path, roots: Sequence[Path]) -> Path:
    """Make an environment of this interpreter's version in an empty or missing `folder`.

    `roots` are the folders that hold the wheels' modules, `site-packages` of each. Returns its interpreter. Raises
    BentoError for a wheel with a console script that is none, or that would replace the interpreter.
    """
    # The program itself: in a virtual environment sys.executable is a link to it.
    interpreter = Path(os.path.realpath(sys.executable))
    python = folder / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(interpreter)
    settings = f"home = {interpreter.parent}\ninclude-system-site-packages = false\nversion = {_version(3)}\n"
    (folder / "pyvenv.cfg").write_text(settings, "utf-8")
    packages = folder / "lib" / f"python{_version(2)}" / "site-packages"
    packages.mkdir(parents=True)
    (packages / "wheels.pth").write_text("".join(f"{root.absolute()}\n" for root in roots), "utf-8")
    scripts = {name: (module, attribute) for name, module, attribute in _console_scripts(roots)}
    for name, (module, attribute) in scripts.items():
        text = _SCRIPT.format(python=python.absolute(), module=module, name=attribute.partition(".")[0], call=attribute)
        _write_script(python.with_name(name), text)
    return python


def check_platform(platforms: Iterable[str], remedy: str) -> None:
    """Raise BentoError, with `way_out`, for a platform (`<os>_<machine>`) whose wheels this machine cannot import."""
    this_platform = f"{'macos' if sys.platform == 'darwin' else sys.platform}_{os.uname().machine}"
    for platform in platforms:
        if platform != this_platform:
            raise BentoError(
                f"the packages are for {platform}, but the service that needs them is imported on {this_platform}. "
                f"{remedy}"
            )


def is_interpreter(name: str) -> bool:
    """Return whether a script of that name would replace the interpreter of an environment."""
    return bool(_INTERPRETER.fullmatch(name))


def _write_script(script: Path, text: str) -> None:
    """Write a script where nothing is: a link there would be followed, and on macOS names may differ in case."""
    try:
        with os.fdopen(os.open(script, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o777), "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise BentoError(
            f"the console script {script.name!r} of a wheel cannot be written: {error.strerror}. Leave it out."
        ) from None


def _version(parts: int) -> str:
    return ".".join(str(part) for part in sys.version_info[:parts])


def _console_scripts(roots: Iterable[Path]) -> Iterator[tuple[str, str, str]]:
    """Yield name, module and attribute of each console script of the wheels."""
    for root in roots:
        for file in root.glob("*.dist-info/entry_points.txt"):
            for name, target in _entry_points(file):
                match = _TARGET.fullmatch(target)
                if not _NAME.fullmatch(name) or not match:
                    raise BentoError(
                        f"{file.parent.name}: its console script {name!r} is {target!r}, not a command and "
                        f"MODULE:FUNCTION. Leave that package out."
                    )
                if is_interpreter(name):
                    raise BentoError(
                        f"{file.parent.name}: its console script {name!r} would replace the interpreter. Leave that "
                        f"package out."
                    )
                yield name, match[1], match[2]


def _entry_points(file: Path) -> list[tuple[str, str]]:
    import configparser

    parser = configparser.ConfigParser(delimiters="=", interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    try:
        parser.read_string(file.read_text("utf-8"))
    except (configparser.Error, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise BentoError(f"{file.parent.name}: its entry_points.txt cannot be read: {reason}") from None
    return parser.items("console_scripts") if parser.has_section("console_scripts") else []
