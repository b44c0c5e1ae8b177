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
    """Run the verb that `argv` begins with; returns the exit status."""
    verb = _find(argv[0] if argv else "")
    if verb is None:
        sys.stderr.write(f"usage: main.py VERB [@FILE | --FLAG VALUE...]...\nverbs: {', '.join(_all())}\n")
        return 2
    if not gc.isenabled():  # main.py: what is imported stays, and need not be looked through
        gc.freeze()
        gc.enable()
    target = ""
    try:
        arguments = Arguments(argv[1:], verb.FLAGS)
        target = arguments.optional("--target")
        # A verb that takes flags of whoever runs it behind `--` says which.
        if {"-h", "--help"}.intersection(arguments.rest) and hasattr(verb, "HELP"):
            sys.stdout.write(f"bazel run {target} -- [FLAG VALUE]...\n\n{verb.HELP}")
            return 0
        status: int | None = verb.run(arguments)
    except (BentoError, OSError) as error:
        sys.stderr.write(f"{_named(target, error)}\n")
        return 1
    return status or 0


def _find(verb: str) -> Any:
    """Import the module of a verb; return None if there is none."""
    for package in PACKAGES if verb.isidentifier() else ():
        name = f"{package}.{verb}"
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name != name:
                raise
    return None


def _all() -> list[str]:
    import pkgutil

    packages = (importlib.import_module(package) for package in PACKAGES)
    return sorted(module.name for package in packages for module in pkgutil.iter_modules(package.__path__))


def _named(target: str, error: Exception) -> str:
    message = str(error)
    return message if not target or message.startswith(target) else f"{target}: {message}"
