"""The verbs of the helper: where their modules are, and how one is run."""

from __future__ import annotations

import gc
import importlib
import sys

from rules_bento.arguments import Arguments
from rules_bento.errors import BentoError
from rules_bento.hints import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

# What Bazel runs in a sandbox, and what `bazel run` and `bazel test` start.
PACKAGES = ("rules_bento.actions", "rules_bento.run")


def run(argv: list[str]) -> int:
    """Run the verb that `argv` begins with; returns the exit status, and raises nothing but SystemExit.

    Behind `--then` stands the next one: several run in one process, until one fails.
    """
    if None in (sys.stdin, sys.stdout, sys.stderr):
        from rules_bento.ending import open_streams

        open_streams()
    while True:
        verb = _find(argv[0] if argv else "")
        if verb is None:
            sys.stderr.write(f"usage: main.py VERB [@FILE | --FLAG VALUE...]...\nverbs: {', '.join(every())}\n")
            return 2
        if not gc.isenabled():  # main.py: what is imported stays, and need not be looked through
            gc.freeze()
            gc.enable()
        status, argv = _run_one(verb, argv[1:])
        if status or not argv:
            return status


def _run_one(verb: Any, words: list[str]) -> tuple[int, list[str]]:
    """Run one verb; returns the exit status, and the next verb with its arguments."""
    target = ""
    try:
        arguments = Arguments(words, verb.FLAGS)
        target = arguments.optional("--target")
        # A verb that takes flags of whoever runs it behind `--` says which.
        if {"-h", "--help"}.intersection(arguments.rest) and hasattr(verb, "HELP"):
            sys.stdout.write(f"bazel run {target} -- [FLAG VALUE]...\n\n{verb.HELP}")
            return 0, []
        status: int | None = verb.run(arguments)
        sys.stdout.flush()
    except (Exception, KeyboardInterrupt) as error:
        return _fail(target, error), []
    return status or 0, arguments.following


def _fail(target: str, error: Exception | KeyboardInterrupt) -> int:
    """Say in a line what went wrong; returns the exit status."""
    from rules_bento import ending

    ending.drop_output()
    if isinstance(error, KeyboardInterrupt):
        sys.stderr.write(f"{_named(target, 'interrupted')}\n")
        return ending.INTERRUPTED
    sys.stderr.write(f"{_named(target, _told(error))}\n")
    return 1


def _told(error: Exception) -> str:
    from rules_bento import ending

    if isinstance(error, BentoError):
        return str(error)
    return ending.of_system(error) if isinstance(error, OSError) else ending.unexpected(error)


def _find(verb: str) -> Any:
    """Import the module of a verb; return None if there is none."""
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
    """Return whether a module is one, and not what some of them share."""
    return hasattr(module, "FLAGS") and hasattr(module, "run")


def every() -> list[str]:
    """Return the names of all verbs."""
    import pkgutil

    packages = (importlib.import_module(package) for package in PACKAGES)
    names = (module.name for package in packages for module in pkgutil.iter_modules(package.__path__))
    return sorted(name for name in names if _find(name))


def _named(target: str, message: str) -> str:
    return message if not target or message.startswith(target) else f"{target}: {message}"
