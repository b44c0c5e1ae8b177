"""Imports many services after one import of BentoML: `importing_all.py [RECORDER]`, in BentoML's interpreter.

Orders are JSON lines: {"order": the input of `bentoml_import`, "variables": environment}. Each order runs in a forked
child process; the response line is its exit status. RECORDER is `tests/services/record.py`, which creates the models
that the services use.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import importlib.util
import json
import os
import sys
import tempfile
from pathlib import Path

SHARED = (
    *("_bentoml_sdk", "bentoml._internal.service.loader", "bentoml.bentos", "fastapi", "pandas", "PIL.Image"),
    *("rules_bento.bentos.service.bentoml_import", "sklearn.linear_model"),
)


def main(recorder: str = "") -> None:
    with tempfile.TemporaryDirectory() as home:
        os.environ["BENTOML_HOME"] = home
        if recorder:
            spec = importlib.util.spec_from_file_location("record", recorder)
            record = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(record)
            record.prepare_store()
        for module in SHARED:
            with contextlib.suppress(ModuleNotFoundError):  # of an environment with stand-ins
                importlib.import_module(module)
        from rules_bento.base import namespaces

        readable = [*namespaces.targets([home, *sys.path])]  # Bazel's runfiles are links
        gc.freeze()  # else the first collection of each child copies all of it
        for line in sys.stdin:
            sys.stdout.write(f"{in_child(json.loads(line), home, readable)}\n")
            sys.stdout.flush()


def in_child(work: dict, home: str, readable: list[str]) -> int:
    child = os.fork()
    if child == 0:
        from rules_bento.bentos.service.bentoml_import import run

        os.dup2(os.open(os.devnull, os.O_RDWR), 1)
        os.environ.update(work["variables"])
        order = work["order"] | {"home": home}
        with Path(order["answer"]).open("w", encoding="utf-8") as answer, Path(order["trace"]).open("w") as trace:
            run(order, readable, answer, trace, is_isolated=False)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    main(*sys.argv[1:])
