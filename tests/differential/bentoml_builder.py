"""Runs the real `bentoml build` repeatedly in BentoML's interpreter: `bentoml_builder.py`. Orders are JSON lines.

An order is {"project": directory, "home": directory, "arguments": [...], "environment": {...}}. The response is
{"status", "log", "folder"}: the exit status, the output, and the directory of the Bento. BentoML is imported once. Each
order runs in a forked child process, so that builds don't affect each other.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import traceback
from pathlib import Path


def main() -> None:
    """Process orders until the input ends."""
    import bentoml_cli.cli  # noqa: F401
    import sklearn.base  # noqa: F401 - what runners of models of scikit-learn import

    gc.freeze()  # else the first collection of each child copies all of it
    for line in sys.stdin:
        order = json.loads(line)
        log = Path(order["home"], "log.txt")
        child = os.fork()
        if child == 0:
            run(order, log)
        _, code = os.waitpid(child, 0)
        text = log.read_text("utf-8", "replace")
        directory = [word for word in text.split() if word.startswith("__tag__:")]
        answer = {"status": os.waitstatus_to_exitcode(code), "log": text, "folder": None}
        if answer["status"] == 0 and directory:
            name, version = directory[-1].split(":")[1:]
            answer["folder"] = str(Path(order["home"], "bentos", name, version))
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def run(order: dict, log: Path) -> None:
    """Run `bentoml build` in this process. Never returns."""
    status = 1
    with log.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    try:
        os.chdir(order["project"])
        os.environ.update({"BENTOML_HOME": order["home"], **order.get("environment", {})})
        sys.path[:0] = [order["project"], *order.get("environment", {}).get("PYTHONPATH", "").split(":")]
        from bentoml.models import HuggingFaceModel
        from bentoml_cli.cli import create_bentoml_cli

        HuggingFaceModel.commit_hash = property(lambda self: self.revision)  # no hub is asked
        create_bentoml_cli().main(["build", "-o", "tag", *order["arguments"]], standalone_mode=False)
        status = 0
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    main()
