"""Defines the exception whose message users see."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TypeVar

    _Error = TypeVar("_Error", bound="BentoError")


_MAX_NAMES = 5000  # names to compare: a project can have many files


class BentoError(Exception):
    """Raised for an error that users can fix. The message states where the error is, what is wrong, and what to do.

    The command line prints the message without a traceback, and exits with the status `code`. `problem` can be a
    complete message, such as "name: the value is empty. Set name.".
    """

    def __init__(self, problem: str, *, place: str = "", remedy: str = "", code: int = 1) -> None:
        super().__init__(problem)
        self.problem, self.place, self.remedy, self.code = problem, place, remedy, code

    def __str__(self) -> str:
        """Return the message: `<place>: <problem>. <remedy>`."""
        stop = "." if self.remedy and not self.problem.endswith((".", "?")) else ""
        message = f"{self.problem}{stop} {self.remedy}" if self.remedy else self.problem
        return f"{self.place}: {message}" if self.place else message

    def at(self: _Error, place: str) -> _Error:
        """Prepend `place` to the place unless the message begins with it, and return the error."""
        if not str(self).startswith(place):
            self.place = f"{place}: {self.place}" if self.place else place
        return self

    def below(self, place: str) -> str:
        """Return the message without `place` at its beginning, for output that shows the place separately."""
        return str(self).removeprefix(f"{place}: ")

    def with_remedy(self: _Error, remedy: str) -> _Error:
        """Replace the remedy, and return the error."""
        self.remedy = remedy
        return self


def missing_package(purpose: str, *packages: str) -> BentoError:
    """Return the error for a `purpose` that requires packages (names for pip), of which at least one is missing."""
    import shlex
    import sys

    command = shlex.join([sys.executable, "-m", "pip", "install", *packages])  # for people, so without -I
    return BentoError(
        f"{purpose} requires {' and '.join(packages)}, which this Python doesn't have",
        remedy=f"Run `{command}`. With Bazel, set --@rules_bento//rules:transports, or run "
        "@rules_bento//tools:bento_with_transports.",
    )


def page(name: str) -> str:
    """Return how messages refer to a page of the documentation, which isn't part of an installation."""
    return f"{name} in the documentation of rules_bento"


def problem_of(error: Exception) -> str:
    """Return the message of an error, without the place and the remedy of a BentoError, and without a period."""
    return (error.problem if isinstance(error, BentoError) else str(error)).rstrip(".")


def nearest(word: str, names: Iterable[str], cutoff: float = 0.6) -> str:
    """Return the name most similar to `word`, or an empty string if no name is similar."""
    import difflib
    from itertools import islice

    return next(iter(difflib.get_close_matches(word, islice(names, _MAX_NAMES), 1, cutoff)), "")
