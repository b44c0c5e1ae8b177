"""Defines the exit codes of the command."""

from __future__ import annotations

from rules_bento import exit_handling
from rules_bento.typing_lite import TYPE_CHECKING

if TYPE_CHECKING:
    from rules_bento.errors import BentoError

OK = 0
ERROR = 1  # it could not be done; the message says why
USAGE = 2  # a wrong command line; argparse's own
FOUND = 3  # `verify` found damage, `diff` found differences
NOT_FOUND = 4  # nothing in the store has the tag
INTERRUPTED = exit_handling.INTERRUPTED
PIPE = 141  # who reads the output has gone


def of(error: BentoError) -> int:
    """Return the exit code for an error."""
    from bento_cli.store.entries import NotFoundError

    return NOT_FOUND if isinstance(error, NotFoundError) else ERROR
