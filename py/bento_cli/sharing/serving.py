"""Serves a Bento from the store with BentoML, in an environment that contains the Bento's packages."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from rules_bento.base.archives.archive import REQUIREMENTS
from rules_bento.base.errors import BentoError
from rules_bento.base.programs import IMPORT_PATH, which
from rules_bento.base.typing_lite import TYPE_CHECKING, Callable, Sequence

from bento_cli.store.entry_store import Entry, models_of

if TYPE_CHECKING:
    from bento_cli.store.home import Home


# The code of the environment's `bentoml` program. `-m bentoml` could run a bentoml.py in the current directory.
_SERVE = IMPORT_PATH + "import runpy; runpy.run_module('bentoml', run_name='__main__', alter_sys=True)"


def server(home: Home, entry: Entry, options: Sequence[str] = (), python: str = "") -> tuple[list[str], dict[str, str]]:
    """Return a command that serves a Bento, and its environment variables.

    `options` are for `bentoml serve`, and `python` selects the interpreter.

    The command contains the Bento's directory instead of the Bento's tag. For a tag, BentoML first searches the current
    directory for a module with the same name. Raises BentoError if a model or BentoML is missing.
    """
    models_of(home, entry)
    version = entry.description.python_version
    commands = f"`uv venv{version and f' --python {version}'}`, `uv pip install -r {entry.path / REQUIREMENTS[1]}`"
    chosen = interpreter(python, f"the Bento's packages (run {commands})")
    variables = {**os.environ, "BENTOML_HOME": str(home.root)}
    # Services find programs of their environment on PATH.
    variables["PATH"] = os.pathsep.join([str(chosen.parent), os.environ.get("PATH", os.defpath)])
    return [str(chosen), "-c", _SERVE, "serve", str(entry.path), *options], variables


def interpreter(
    requested: str = "",
    packages: str = "the Bento's packages",
    has_bentoml: Callable[[Path], bool] | None = None,
) -> Path:
    """Return the absolute path of an interpreter with BentoML.

    `requested` is the path or name of an interpreter, or the directory of a virtual environment. By default, tries the
    environment in VIRTUAL_ENV, then the environment of `bentoml` on PATH, then the running interpreter. Raises
    BentoError if BentoML isn't installed. `packages` is what errors advise to install. `has_bentoml` returns whether an
    interpreter can import BentoML; by default, the interpreter runs.
    """
    has_bentoml = has_bentoml or _has_bentoml
    if requested:
        path = Path(requested).absolute()  # not resolved: a link is the interpreter of its own environment
        if path.is_dir():
            path = path / "bin" / "python"
        elif "/" not in requested:  # the name of a program on PATH, not a file in the current directory
            path = Path(which(requested) or os.devnull)
        if not path.exists() or path == Path(os.devnull):
            remedy = "Specify an interpreter or a virtual environment."
            what = "contains no bin/python" if Path(requested).is_dir() else "doesn't exist"
            raise BentoError(f"{requested} {what}", place="--python", remedy=remedy)
        if not has_bentoml(path):
            remedy = f"Install {packages}, or specify another environment."
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
    remedy = f"Activate an environment with {packages}, or specify an environment with --python."
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
        return subprocess.run([python, "-c", code], check=False, capture_output=True).returncode == 0
    except OSError:
        return False
