"""The one error type that reaches people."""

from __future__ import annotations


class BentoError(Exception):
    """Reports input that cannot be built from: what is wrong, where, and what to do about it.

    The command line prints the message and exits with 1; it never shows a traceback for it.
    """
