"""Implements the `bento` command line: commands, options, and output.

`groups` lists the commands, and `status` defines the exit codes. For a fast startup, each command imports its modules
only when the command runs.
"""

from __future__ import annotations

import gc
import os
import sys

from rules_bento.base import exit_handling, utf8_mode
from rules_bento.base.errors import BentoError
from rules_bento.base.typing_lite import TYPE_CHECKING, Sequence

from bento_cli.cli import status

if TYPE_CHECKING:
    import click


is_process = False
"""Whether this process runs only a command line, so that it can give up rights."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line, and return its exit code."""
    global is_process
    is_process = argv is None
    gc.set_threshold(100_000)  # most objects live until a command ends
    if None in (sys.stdin, sys.stdout, sys.stderr):
        exit_handling.open_streams()
    exit_handling.set_home()
    try:
        utf8_mode.restart() if argv is None else utf8_mode.require()
        result = _run(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()
        return result
    except BrokenPipeError:
        # The reader has closed the pipe. Without this, Python would write to it again when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return status.PIPE
    except KeyboardInterrupt as error:
        if sys.stderr.isatty():
            sys.stderr.write("\r\x1b[K")  # the terminal shows ^C
        return _fail(str(error) or "interrupted", status.INTERRUPTED)
    except BentoError as error:
        return _fail(error, error.code)
    except OSError as error:
        return _fail(exit_handling.os_error_message(error), status.ERROR)
    except Exception as error:
        return _fail(exit_handling.crash_message(error), status.ERROR)


def version() -> str:
    """Return the version of the installed command, from the name of its metadata.

    `importlib.metadata` finds the same, but its imports take three times as long as the rest of `bento --version`.
    """
    prefix, suffix = "rules_bento_cli-", ".dist-info"
    for directory in sys.path:
        try:
            names = os.listdir(directory or ".")  # noqa: PTH208 - pathlib is one of these imports
        except OSError:
            continue
        for name in names:
            if name.startswith(prefix) and name.endswith(suffix):
                return name[len(prefix) : -len(suffix)]
    return "(from sources)"


def _run(words: list[str]) -> int:
    if words in (["--version"], ["-V"]):
        sys.stdout.write(f"bento {version()}\n")
        return status.OK
    from bento_cli.cli.command import COMPLETE
    from bento_cli.cli.groups import COMMANDS
    from bento_cli.cli.show import configure

    configure(json="--json" in words)  # for errors before the command's options are known
    if instruction := os.environ.get(COMPLETE):
        from click.shell_completion import shell_complete

        import bento_cli.cli.commands.shell  # noqa: F401 - registers the completion for bash

        return shell_complete(COMMANDS, {}, "bento", COMPLETE, instruction)
    return invoke(COMMANDS, "bento", words)


def invoke(command: click.Command, name: str, words: list[str]) -> int:
    """Run a command line of a command called `name`. Returns the exit code, also for an invalid command line."""
    from click import UsageError
    from click.exceptions import Exit, NoArgsIsHelpError

    try:
        with command.make_context(name, words) as context:
            return command.invoke(context) or status.OK
    except Exit as error:
        return error.exit_code
    except NoArgsIsHelpError as error:
        error.show()
    except UsageError as error:
        from bento_cli.cli import show, usage

        path = error.ctx.command_path if error.ctx else name
        show.err(usage.describe(error, path, words), path)
    return status.USAGE


def _fail(error: str | BentoError, code: int) -> int:
    from bento_cli.cli.show import err

    exit_handling.drop_output()
    err(error)
    return code
