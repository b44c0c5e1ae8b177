"""Finds the modules of the helper's subcommands, and runs them."""

from __future__ import annotations

import gc
import importlib
import sys

from rules_bento.arguments import Arguments
from rules_bento.errors import BentoError
from rules_bento.typing_lite import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

# Programs that Bazel runs in a sandbox, and programs of `bazel run` and `bazel test`.
PACKAGES = ("rules_bento.actions", "rules_bento.run")


def run(argv: list[str]) -> int:
    """Run the subcommand that `argv` begins with; return the exit status. Raises only SystemExit.

    Several subcommands, separated by `--then`, run in one process until one fails.
    """
    if None in (sys.stdin, sys.stdout, sys.stderr):
        from rules_bento.exit_handling import open_streams

        open_streams()
    while True:
        verb = _find(argv[0] if argv else "")
        if verb is None:
            sys.stderr.write(f"usage: main.py VERB [@FILE | --FLAG VALUE...]...\nverbs: {', '.join(every())}\n")
            return 2
        if not gc.isenabled():  # main.py: skip the garbage collection of imported objects
            gc.freeze()
            gc.enable()
        status, argv = _run_one(verb, argv[1:])
        if status or not argv:
            return status


def _run_one(verb: Any, words: list[str]) -> tuple[int, list[str]]:
    """Run one subcommand; return the exit status, and the next subcommand with its arguments."""
    target = ""
    try:
        arguments = Arguments(words, verb.FLAGS)
        target = arguments.optional("--target")
        # HELP describes the flags that follow `--`.
        if {"-h", "--help"}.intersection(arguments.rest) and hasattr(verb, "HELP"):
            sys.stdout.write(f"bazel run {target} -- [FLAG VALUE]...\n\n{verb.HELP}")
            return 0, []
        status: int | None = verb.run(arguments)
        sys.stdout.flush()
    except (Exception, KeyboardInterrupt) as error:
        return _fail(target, error), []
    return status or 0, arguments.next_verb


def _fail(target: str, error: Exception | KeyboardInterrupt) -> int:
    """Print the error in one line; return the exit status."""
    from rules_bento import exit_handling

    exit_handling.drop_output()
    if isinstance(error, KeyboardInterrupt):
        sys.stderr.write(f"{_named(target, 'interrupted')}\n")
        return exit_handling.INTERRUPTED
    sys.stderr.write(f"{_named(target, _told(error))}\n")
    return 1


def _told(error: Exception) -> str:
    from rules_bento import exit_handling

    if isinstance(error, BentoError):
        return str(error)
    return exit_handling.os_error_message(error) if isinstance(error, OSError) else exit_handling.crash_message(error)


def _find(verb: str) -> Any:
    """Import the module of a subcommand; return None if it doesn't exist."""
    for package in PACKAGES if verb.isidentifier() else ():
        name = f"{package}.{verb}"
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name != name:
                raise
        else:
            return module if _is_verb(module) else None
    return None


def _is_verb(module: Any) -> bool:
    """Return whether a module is a subcommand, and not shared code."""
    return hasattr(module, "FLAGS") and hasattr(module, "run")


def every() -> list[str]:
    """Return the names of all subcommands."""
    import pkgutil

    packages = (importlib.import_module(package) for package in PACKAGES)
    names = (module.name for package in packages for module in pkgutil.iter_modules(package.__path__))
    return sorted(name for name in names if _find(name))


def _named(target: str, message: str) -> str:
    return message if not target or message.startswith(target) else f"{target}: {message}"
