"""Runs bento-proof in a Python that has nothing else: neither rules_bento nor bento_cli, nor other packages."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
import zstandard

SOURCE = Path("py/bento_proof").absolute()


def _missing() -> str:
    """Why bento-proof can't run here."""
    if importlib.util.find_spec("tomllib") is None:
        return "bento-proof requires Python 3.11"
    if not shutil.which("bwrap", path=f"{os.environ['PATH']}{os.pathsep}{os.defpath}"):
        return "bento-proof requires bubblewrap"
    words = ["bwrap", "--unshare-all", "--ro-bind", "/", "/", "true"]
    is_running = subprocess.run(words, capture_output=True, check=False).returncode == 0
    return "" if is_running else "bubblewrap can't make namespaces here, such as in a sandbox"


_MISSING = _missing()
if _MISSING and "TEST_SRCDIR" in os.environ and sys.platform == "linux":  # or CI would prove nothing, unnoticed
    raise RuntimeError(f"{_MISSING}. Install the package bubblewrap.")
requires_programs = pytest.mark.skipif(bool(_MISSING), reason=_MISSING)


def export(project):
    """A file with the packages of a project's lock, and their hashes."""
    path = project.parent / f"{project.name}.txt"
    if not path.exists():
        words = ["export", "-q", "--frozen", "--no-emit-project", "--project", project, "-o", path]
        subprocess.run([os.environ["RULES_BENTO_UV"], *words], check=True)
    return path


# Runs the command for lists of arguments, of which each is a line of JSON, so that a test needs no new process.
_SERVER = """\
import contextlib, io, json, os, sys
sys.path.insert(0, sys.argv[1])
from bento_proof.cli import main
for line in sys.stdin:
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        words, variables = json.loads(line)
        os.environ.clear()
        os.environ |= variables
        try:
            code = main(words)
        except SystemExit as error:
            code = error.code
        except Exception as error:
            code = f"{type(error).__name__}: {error}"
            import traceback
            traceback.print_exc(file=out)
    own = [name for name in sys.modules if name.partition(".")[0] in ("rules_bento", "bento_cli")]
    print(json.dumps([code, out.getvalue(), own]), flush=True)
"""


class Program:
    """A running Python with bento-proof."""

    def __init__(self, process: subprocess.Popen):
        self._process = process
        self._path = f"{os.environ['PATH']}{os.pathsep}{Path(os.environ['RULES_BENTO_UV']).parent}"

    def run(self, *words: object) -> tuple[int, str]:
        """The exit status, and the output."""
        self._process.stdin.write(json.dumps([[*map(str, words)], os.environ | {"PATH": self._path}]) + "\n")
        self._process.stdin.flush()
        code, text, own = json.loads(self._process.stdout.readline())
        assert not own
        assert isinstance(code, int), f"{code}\n{text}"
        return code, text


@contextmanager
def running(directory: Path):
    """Start the program from a directory that contains only its package."""
    (directory / "bento_proof").symlink_to(SOURCE)
    (directory / "zstandard").symlink_to(Path(zstandard.__file__).parent)  # its only dependency, before Python 3.14
    words = [sys.executable, "-I", "-S", "-c", _SERVER, str(directory)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Program(process)
        process.stdin.close()
