"""The verbs of the helper, one to a module: each is one kind of action (or one run target).

A verb's module has `FLAGS`, the number of values that each of its flags takes, and `run(arguments)`.
"""

from __future__ import annotations

import importlib
import sys

from rules_bento.actions.arguments import Arguments
from rules_bento.errors import BentoError

_PREFIX = "rules_bento.actions."


def run(argv: list[str]) -> int:
    """Run the verb that `argv` begins with; returns the exit status."""
    try:
        verb = importlib.import_module(_PREFIX + (argv[0] if argv else ""))
    except ModuleNotFoundError as error:
        if error.name is None or not error.name.startswith(_PREFIX):
            raise
        sys.stderr.write(f"usage: main.py VERB [@FILE | --FLAG VALUE...]...\nverbs: {', '.join(_verbs())}\n")
        return 2
    target = ""
    try:
        arguments = Arguments(argv[1:], verb.FLAGS)
        target = arguments.optional("--target")
        status: int | None = verb.run(arguments)
    except (BentoError, OSError) as error:
        sys.stderr.write(f"{_named(target, error)}\n")
        return 1
    return status or 0


def _verbs() -> list[str]:
    import pkgutil

    return sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name != "arguments")


def _named(target: str, error: Exception) -> str:
    message = str(error)
    return message if not target or message.startswith(target) else f"{target}: {message}"
