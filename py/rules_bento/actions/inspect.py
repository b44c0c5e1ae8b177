"""Imports a service with real BentoML, in an environment of its wheels, and writes its API; the build never does."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

import rules_bento
from rules_bento.actions import archive
from rules_bento.errors import BentoError
from rules_bento.packages.virtualenv import LEAVE_PLATFORMS, check_platform, make_environment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_bento.arguments import Arguments

FLAGS = {
    "--derived": 1,
    "--model": 2,  # description, archive part
    "--openapi": 1,
    "--part": 1,  # of the archive: metadata, sources, data
    "--platform": 1,  # of the wheels, `<os>_<machine>`
    "--root": 1,  # folder of a wheel's modules
    "--schema": 1,
    "--target": 1,
}

# Our code is found behind the wheels: it is no part of the environment, and must not hide modules of that.
_START = (
    "import sys; sys.path.append(sys.argv[1]); "
    "from rules_bento.service.imported import main; sys.exit(main(sys.argv[2:]))"
)


def run(arguments: Arguments) -> None:
    """Write openapi.yaml, schema.json, and the parts of bento.yaml that come of importing."""
    check_platform(arguments.many("--platform"), LEAVE_PLATFORMS)
    with tempfile.TemporaryDirectory(prefix="rules_bento-inspect-") as scratch:
        bento, problem = Path(scratch, "bento"), Path(scratch, "problem")
        archive.write(bento, arguments.many("--part"), arguments.records("--model"), "folder")
        python = make_environment(Path(scratch, "environment"), [Path(root) for root in arguments.many("--root")])
        outputs = [Path(arguments.one(flag)).absolute() for flag in ("--openapi", "--schema", "--derived")]
        ours = Path(rules_bento.__file__).parent.parent.absolute()
        variables = {
            "BENTOML_DO_NOT_TRACK": "true",
            "BENTOML_HOME": f"{scratch}/home",
            "HOME": scratch,
            "LC_ALL": "C.UTF-8",
            "PATH": f"{python.parent}:/usr/bin:/bin",
            "PYTHONHASHSEED": "0",
            "TMPDIR": scratch,
        }
        done = subprocess.run(
            [str(python), "-c", _START, str(ours), str(bento), *map(str, outputs), str(problem)],
            check=False,
            cwd=bento / "src",
            env=variables,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise BentoError(problem.read_text("utf-8") if problem.exists() else f"importing failed:\n{done.stderr}")
