"""Runs BentoML of an environment on the store, and serves a Bento with it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from rules_bento.base.archives.archive import REQUIREMENTS
from rules_bento.base.errors import BentoError
from rules_bento.base.programs import IMPORT_PATH, which
from rules_bento.base.typing_lite import TYPE_CHECKING, Callable, Sequence
from rules_bento.bentos.service.known_metadata import IMPORT_BY_OPTION
from rules_bento.run.testing.real_service import program

from bento_cli.store.entry_store import Entry, models_of

if TYPE_CHECKING:
    from bento_cli.store.home import Home


# The code of the environment's `bentoml` program, without -I, because PYTHONPATH and packages in the home directory
# belong to the environment. `-m bentoml` could run a bentoml.py in the current directory.
_BENTOML = IMPORT_PATH + "import runpy; runpy.run_module('bentoml', run_name='__main__', alter_sys=True)"


def server(home: Home, entry: Entry, options: Sequence[str] = (), python: str = "") -> tuple[list[str], dict[str, str]]:
    """Return a command that serves a Bento, and its environment variables.

    `options` are for `bentoml serve`, and `python` selects the interpreter.

    The command contains the Bento's directory instead of the Bento's tag. For a tag, BentoML first searches the current
    directory for a module with the same name. Raises BentoError if a model or BentoML is missing.
    """
    models_of(home, entry)
    version = entry.description.python_version
    remedy = f"Run `uv venv{version and f' --python {version}'}`, `uv pip install --python .venv -r "
    remedy += f"{entry.path / REQUIREMENTS[1]}`, and `bento serve {entry.tag} --python .venv/bin/python`."
    code = program(f"Write constants in the source, or import the service. {IMPORT_BY_OPTION}\n")
    return bentoml(home, interpreter(python, remedy=remedy), ["serve", str(entry.path), *options], code)


def bentoml(home: Home, python: Path, words: Sequence[str], code: str = "") -> tuple[list[str], dict[str, str]]:
    """Return a command line of BentoML on a store with an interpreter, and its environment variables.

    The interpreter runs `code` first.
    """
    variables = {**os.environ, "BENTOML_HOME": str(home.root)}
    # Services find programs of their environment on PATH.
    variables["PATH"] = os.pathsep.join([str(python.parent), os.environ.get("PATH", os.defpath)])
    return [str(python), "-c", code + _BENTOML, *words], variables  # without -I: see _BENTOML


def check_port(entry: Entry, options: Sequence[str]) -> None:
    """Raise BentoError if the port of `bentoml serve` is in use, unless BentoML's configuration might select it."""
    import argparse
    import errno
    import socket

    configs = [service.get("config", {}) for service in entry.description.document.get("services", ())]
    if any("http" in config for config in configs) or any(name.startswith("BENTOML_CONFIG") for name in os.environ):
        return
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("-p", "--port", nargs="?", default=os.environ.get("BENTOML_PORT", "3000"))
    parser.add_argument("--host", nargs="?", default=os.environ.get("BENTOML_HOST", "0.0.0.0"))
    chosen, _ = parser.parse_known_args(options)
    try:
        with socket.socket(socket.AF_INET6 if ":" in chosen.host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((chosen.host, int(chosen.port)))
    except (OSError, OverflowError, TypeError, ValueError) as error:  # BentoML reports other problems
        if getattr(error, "errno", None) == errno.EADDRINUSE:
            remedy = "Stop the program that uses it, or select another port with --port."
            raise BentoError(f"port {chosen.port} is in use", remedy=remedy) from None


def interpreter(
    requested: str = "",
    packages: str = "the Bento's packages",
    has_bentoml: Callable[[Path], bool] | None = None,
    remedy: str = "",
) -> Path:
    """Return the absolute path of an interpreter with BentoML.

    `requested` is the path or name of an interpreter, or the directory of a virtual environment. By default, tries the
    environment in VIRTUAL_ENV, then the environment of `bentoml` on PATH, then the running interpreter. Raises
    BentoError if BentoML isn't installed. Errors advise `remedy`, or to install `packages`. `has_bentoml` returns
    whether an interpreter can import BentoML; by default, the interpreter runs.
    """
    has_bentoml = has_bentoml or _has_bentoml
    if requested:
        path = Path(requested).absolute()  # not resolved: a link is the interpreter of its own environment
        if path.is_dir():
            path = path / "bin" / "python"
        elif "/" not in requested:  # the name of a program on PATH, not a file in the current directory
            path = Path(which(requested) or os.devnull)
        if not path.exists() or path == Path(os.devnull):
            what = "contains no bin/python" if Path(requested).is_dir() else "doesn't exist"
            advice = "Specify an interpreter or a virtual environment."
            raise BentoError(f"{requested} {what}", place="--python", remedy=advice)
        if not has_bentoml(path):
            remedy = remedy or f"Install {packages}, or specify another environment."
            raise BentoError(f"{requested} can't import BentoML", place="--python", remedy=remedy)
        return path
    command = which("bentoml")
    candidates = [
        Path(os.environ["VIRTUAL_ENV"], "bin", "python") if os.environ.get("VIRTUAL_ENV") else None,
        Path(command).parent / "python" if command else None,
        Path(sys.executable),
    ]
    for candidate in filter(None, candidates):
        if has_bentoml(candidate.absolute()):
            return candidate.absolute()
    remedy = remedy or f"Activate an environment with {packages}, or specify an environment with --python."
    raise BentoError("BentoML isn't installed", remedy=remedy)


def _has_bentoml(python: Path) -> bool:
    """Return whether an interpreter can import BentoML. Runs the interpreter, because its settings affect `sys.path`.

    Ignores namespace packages, because Python can import any directory named bentoml, such as a store, as a package.
    """
    import subprocess

    code = (
        IMPORT_PATH
        + "import importlib.util as i; found = i.find_spec('bentoml'); sys.exit(not (found and found.origin))"
    )
    try:
        # Without -I: see _BENTOML.
        return subprocess.run([python, "-c", code], check=False, capture_output=True).returncode == 0
    except OSError:
        return False
