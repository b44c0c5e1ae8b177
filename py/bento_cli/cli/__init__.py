"""Implements the `bento` command line: parsing, commands, and output.

`table` lists the commands, and `status` defines the exit codes. For a fast startup, each command imports its modules
only when the command runs.
"""

from __future__ import annotations

import os
import sys

from rules_bento import exit_handling
from rules_bento.errors import BentoError
from rules_bento.typing_lite import Sequence

from bento_cli.cli import status


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line, and return its exit code. Raises SystemExit for `--help` or an invalid command line."""
    if None in (sys.stdin, sys.stdout, sys.stderr):
        exit_handling.open_streams()
    try:
        from bento_cli.cli.parsing import parse

        try:
            command, options = parse(list(sys.argv[1:] if argv is None else argv))
        finally:
            sys.stdout.flush()  # print the help before SystemExit ends the process
        result = command.run(options)
        sys.stdout.flush()
        return result
    except BrokenPipeError:
        # The reader has closed the pipe. Without this, Python would write to it again when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return status.PIPE
    except KeyboardInterrupt:
        return _fail("interrupted", status.INTERRUPTED)
    except BentoError as error:
        from bento_cli.store.entry_store import NotFoundError

        return _fail(str(error), status.NOT_FOUND if isinstance(error, NotFoundError) else status.ERROR)
    except OSError as error:
        return _fail(exit_handling.os_error_message(error), status.ERROR)
    except Exception as error:
        return _fail(exit_handling.crash_message(error), status.ERROR)


def _fail(text: str, code: int) -> int:
    from bento_cli.cli.show import err

    exit_handling.drop_output()
    err(text)
    return code
