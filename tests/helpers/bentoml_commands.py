"""Runs the real `bentoml` command repeatedly in BentoML's interpreter: `bentoml_commands.py`. Orders are JSON lines.

An order is {"arguments", "code", "environment", "folder", "out", "err"}: the arguments, the code of a program that runs
instead of the command or "", the complete environment, the working directory, and the files for the output. The response is the exit status. BentoML is imported once, because the import
needs most of a command's time. Each order runs in a forked child process, so that commands don't affect each other.
"""

import gc
import json
import os
import sys
import traceback
from pathlib import Path


def main() -> None:
    """Process orders until the input ends."""
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
    """Run `bentoml`, or a program, in this process. Never returns."""
    status = 1
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # not the orders
    for descriptor, path in ((1, order["out"]), (2, order["err"])):
        with Path(path).open("wb") as file:
            os.dup2(file.fileno(), descriptor)
    try:
        os.chdir(order["folder"])
        os.environ.clear()
        os.environ.update(order["environment"])
        if order["code"]:
            sys.argv, sys.path[0] = ["-c", *order["arguments"]], ""
            exec(order["code"], {"__name__": "__main__"})
            status = 0
        else:
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
