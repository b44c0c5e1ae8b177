"""Serves a Bento of the store with real BentoML, of an environment that has what the Bento needs."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from rules_bento.errors import BentoError
from rules_bento.hints import TYPE_CHECKING
from rules_bento.records import NamedTuple
from rules_bento.store.export import models_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rules_bento.store.entries import Entry
    from rules_bento.store.home import Home


class Server(NamedTuple):
    """Describes a program to run: its words and its environment."""

    command: list[str]
    variables: dict[str, str]


def server(home: Home, entry: Entry, options: Sequence[str] = (), python: str = "") -> Server:
    """Return the command that serves an entry, with options of `bentoml serve`; `python` is as `interpreter` takes it.

    The Bento is named by its folder: by a tag, BentoML would first look for a module of that name in the current one.
    Raises BentoError for a model that is missing and where there is no BentoML.
    """
    models_of(home, entry)
    chosen = interpreter(python)
    variables = {**os.environ, "BENTOML_HOME": str(home.root)}
    # Programs that a service starts are those of its environment.
    variables["PATH"] = os.pathsep.join([str(chosen.parent), os.environ.get("PATH", os.defpath)])
    return Server([str(chosen), "-m", "bentoml", "serve", str(entry.path), *options], variables)


def interpreter(asked: str = "") -> Path:
    """Return the Python that has BentoML: the one asked for, or of the environment asked for.

    Else that of VIRTUAL_ENV, of the `bentoml` on PATH, or the one that this runs in. Raises BentoError if none has.
    """
    if asked:
        path = Path(asked)
        path = path / "bin" / "python" if path.is_dir() else Path(shutil.which(asked) or path)
        if not _has_bentoml(path):
            raise BentoError(f"{asked}: has no BentoML. Install the requirements of the Bento there, or name another.")
        return path
    command = shutil.which("bentoml")
    candidates = [
        Path(os.environ["VIRTUAL_ENV"], "bin", "python") if os.environ.get("VIRTUAL_ENV") else None,
        Path(command).parent / "python" if command else None,
        Path(sys.executable),
    ]
    for candidate in filter(None, candidates):
        if _has_bentoml(candidate):
            return candidate
    raise BentoError(
        "No BentoML is here to serve with. Activate an environment that has what the Bento needs (its "
        "env/python/requirements.txt), or name it with --python."
    )


def _has_bentoml(python: Path) -> bool:
    """Return whether an interpreter can import BentoML: asked of it, for its path may be made in many ways.

    A folder of that name here, such as the store in a home, is none: Python takes it for a package without an origin.
    """
    import subprocess

    code = "import importlib.util as i, sys; found = i.find_spec('bentoml'); sys.exit(not (found and found.origin))"
    try:
        return subprocess.run([python, "-c", code], check=False, capture_output=True).returncode == 0
    except OSError:
        return False
