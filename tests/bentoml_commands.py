"""The real command `bentoml` over and over: `bentoml_commands.py` in BentoML's interpreter, orders as JSON lines.

An order is {"arguments", "environment", "folder", "out", "err"}: what the command is given, its whole environment, the
folder that it runs in, and the files of what it prints. The answer is its exit status. BentoML is imported once, which is
most of what a command takes; each runs in a forked child, so that none sees what another one left behind.
"""

import gc
import json
import os
import sys
import traceback
from pathlib import Path


def main() -> None:
    """Answer orders until there are none."""
    import bentoml_cli.cli  # noqa: F401

    gc.freeze()  # else the first collection of each child copies all of it
    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if child == 0:
            run(order)
        _, code = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(code)}\n")
        sys.stdout.flush()


def run(order: dict) -> None:
    """Become `bentoml`; never returns."""
    status = 1
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # not the orders
    for descriptor, path in ((1, order["out"]), (2, order["err"])):
        with Path(path).open("wb") as file:
            os.dup2(file.fileno(), descriptor)
    try:
        os.chdir(order["folder"])
        os.environ.clear()
        os.environ.update(order["environment"])
        sys.argv = ["bentoml", *order["arguments"]]
        from bentoml_cli.cli import create_bentoml_cli

        create_bentoml_cli().main(prog_name="bentoml")
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    main()
