"""Imports a service with real BentoML, in an environment of its wheels, and writes its API; the build never does."""

from __future__ import annotations

import os
import subprocess
import tarfile
import tempfile
from pathlib import Path

from rules_bento.environment import make_environment
from rules_bento.errors import BentoError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rules_bento.actions.arguments import Arguments

FLAGS = {
    "--archive": 1,
    "--openapi": 1,
    "--root": 1,  # folder of a wheel's modules
    "--schema": 1,
    "--target": 1,
}

# Runs in the environment: BentoML's own reading of the service, as `bentoml build` writes it to apis/.
_INSPECT = """
import json, sys, traceback
import yaml, bentoml
bento, openapi, schema = sys.argv[1:]
try:
    service = bentoml.load(bento)
    described = service.schema() if hasattr(service, "schema") else {}
    specification = service.openapi_spec
except BaseException as error:
    source = bento + "/src/"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith(source)]
    for frame in frames:
        print(f"  {frame.filename[len(source):]}:{frame.lineno}: {frame.line}", file=sys.stderr)
    print(f"  {type(error).__name__}: {error}", file=sys.stderr)
    sys.exit(1)
with open(openapi, "w", encoding="utf-8") as file:
    yaml.dump(specification, file, allow_unicode=True)
with open(schema, "w", encoding="utf-8") as file:
    json.dump(described, file, indent=2, ensure_ascii=False)
    file.write(chr(10))
"""


def run(arguments: Arguments) -> None:
    """Write openapi.yaml and schema.json."""
    with tempfile.TemporaryDirectory(prefix="rules_bento-inspect-") as scratch:
        bento = Path(scratch, "bento")
        with tarfile.open(arguments.one("--archive"), "r:xz") as archive:
            archive.extractall(bento, filter="data") if hasattr(tarfile, "data_filter") else archive.extractall(bento)
        python = make_environment(Path(scratch, "environment"), [Path(root) for root in arguments.many("--root")])
        outputs = [str(Path(arguments.one(flag)).absolute()) for flag in ("--openapi", "--schema")]
        variables = {"BENTOML_DO_NOT_TRACK": "true", "BENTOML_HOME": f"{scratch}/home", "HOME": scratch}
        variables |= {"PATH": f"{python.parent}{os.pathsep}/usr/bin:/bin", "TMPDIR": scratch, "LC_ALL": "C.UTF-8"}
        done = subprocess.run(
            [str(python), "-c", _INSPECT, str(bento), *outputs],
            check=False,
            cwd=bento / "src",
            env=variables | {"PYTHONHASHSEED": "0"},
            capture_output=True,
            text=True,
        )
    if done.returncode:
        explanation = "\n".join(line for line in done.stderr.splitlines() if line.startswith("  "))
        raise BentoError(f"the service cannot be imported:\n{explanation or done.stderr.strip()}")
