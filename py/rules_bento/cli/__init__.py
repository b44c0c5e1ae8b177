"""The `bento` command: parses its words and runs the command that they name.

    bento [--home FOLDER] COMMAND ...

`commands` has the table of all commands. The status is one of `status`; docs/cli.md lists them. A command imports
what it needs when it runs, so that each of them answers fast.
"""

from __future__ import annotations

import os
import sys

from rules_bento.cli import status
from rules_bento.errors import BentoError
from rules_bento.hints import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

TRACEBACK = "BENTO_TRACEBACK"
"""The environment variable that lets an error of the program itself come out as one."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns its status, and raises nothing but SystemExit for a wrong command line."""
    from rules_bento.cli.parsing import parse

    try:
        command, options = parse(list(sys.argv[1:] if argv is None else argv))
        result = command.run(options)
        sys.stdout.flush()
        return result
    except BrokenPipeError:
        # Who reads has seen enough. Python would write to the pipe once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return status.PIPE
    except KeyboardInterrupt:
        return _fail("interrupted", status.INTERRUPTED)
    except BentoError as error:
        return _fail(str(error), status.of(error))
    except OSError as error:
        return _fail(f"{error.filename or 'the system'}: {error.strerror or error}.", status.ERROR)
    except Exception as error:
        if os.environ.get(TRACEBACK):
            raise
        text = f"an error of this program: {type(error).__name__}: {error}. {TRACEBACK}=1 shows where."
        return _fail(text, status.ERROR)


def _fail(text: str, code: int) -> int:
    from rules_bento.cli.show import err

    err(text)
    return code
