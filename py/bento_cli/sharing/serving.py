"""Serves a Bento of the store with real BentoML, from an environment that has the Bento's packages."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from rules_bento.dataclasses_lite import NamedTuple
from rules_bento.errors import BentoError
from rules_bento.programs import IMPORT_PATH, which
from rules_bento.typing_lite import TYPE_CHECKING

from bento_cli.store.export import models_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bento_cli.store.entry_store import Entry
    from bento_cli.store.home import Home


# What `bentoml` of the environment runs: `-m bentoml` would run a bentoml.py of the current directory.
_SERVE = IMPORT_PATH + "import runpy; runpy.run_module('bentoml', run_name='__main__', alter_sys=True)"


class ServerCommand(NamedTuple):
    """Describes a program to run: its arguments and its environment."""

    command: list[str]
    variables: dict[str, str]


def server(home: Home, entry: Entry, options: Sequence[str] = (), python: str = "") -> ServerCommand:
    """Return the command that serves an entry with options of `bentoml serve`; `python` is as in `interpreter`.

    The command names the Bento by its directory, because BentoML first searches for a module with the name of a tag in
    the current directory. Raises BentoError for a missing model, and if no BentoML is found.
    """
    models_of(home, entry)
    chosen = interpreter(python)
    variables = {**os.environ, "BENTOML_HOME": str(home.root)}
    # Programs that a service starts come from its environment.
    variables["PATH"] = os.pathsep.join([str(chosen.parent), os.environ.get("PATH", os.defpath)])
    return ServerCommand([str(chosen), "-c", _SERVE, "serve", str(entry.path), *options], variables)


def interpreter(asked: str = "") -> Path:
    """Return the Python that has BentoML: the given interpreter, or the interpreter of the given environment.

    Default: VIRTUAL_ENV, then the `bentoml` on PATH, then the running interpreter. Raises BentoError if none has
    BentoML.
    """
    if asked:
        path = Path(asked)
        if path.is_dir():
            path = path / "bin" / "python"
        elif path.name == asked:  # a program of PATH, not a file of the current directory
            path = Path(which(asked) or os.devnull)
        if not _has_bentoml(path):
            raise BentoError(
                f"{asked}: BentoML isn't installed. Install the Bento's requirements, or pass another --python."
            )
        return path
    command = which("bentoml")
    candidates = [
        Path(os.environ["VIRTUAL_ENV"], "bin", "python") if os.environ.get("VIRTUAL_ENV") else None,
        Path(command).parent / "python" if command else None,
        Path(sys.executable),
    ]
    for candidate in filter(None, candidates):
        if _has_bentoml(candidate):
            return candidate
    raise BentoError(
        "BentoML is not installed. Activate an environment that has the Bento's packages ("
        "env/python/requirements.txt), or pass it with --python."
    )


def _has_bentoml(python: Path) -> bool:
    """Check whether an interpreter can import BentoML, by running it, because its path can be set in many ways.

    A directory named bentoml, such as the store in a home, doesn't count: Python imports it as a package without an
    origin.
    """
    import subprocess

    code = (
        IMPORT_PATH
        + "import importlib.util as i; found = i.find_spec('bentoml'); sys.exit(not (found and found.origin))"
    )
    try:
        return subprocess.run([python, "-c", code], check=False, capture_output=True).returncode == 0
    except OSError:
        return False
