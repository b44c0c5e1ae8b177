"""Parses command-line arguments that programs generate. Flags can be in any order, but can't be abbreviated.

In an arguments file, each line is one argument. Strings that can contain line breaks are JSON.
"""

from __future__ import annotations

import os

from rules_bento.errors import BentoError
from rules_bento.typing_lite import Callable, Mapping

THEN = "--then"


class Arguments:
    """Parsed flags, each with a fixed number of values. A value can look like a flag."""

    def __init__(self, argv: list[str], flags: Mapping[str, int]) -> None:
        """Parse `argv`. If `@FILE` is in the position of a flag, replaces `@FILE` with the lines of the file.

        `flags` maps each flag to its number of values. `rest` contains all arguments after `--`. `next_subcommand`
        contains all arguments after `--then`: another subcommand with its arguments. Raises BentoError for an unknown
        flag, or for a flag with too few values.
        """
        self._values: dict[str, list[tuple[str, ...]]] = {flag: [] for flag in flags}
        self.rest: list[str] = []
        self.next_subcommand: list[str] = []
        words = list(argv)
        at = 0
        while at < len(words):
            flag = words[at]
            if flag == "--":
                self.rest = words[at + 1 :]
                return
            if flag == THEN:
                self.next_subcommand = words[at + 1 :]
                return
            if flag.startswith("@"):
                words[at : at + 1] = _lines(flag[1:])
                continue
            if flag not in flags:
                raise BentoError(f"unknown argument {flag!r}. Valid arguments: {', '.join(flags)}.")
            values = tuple(words[at + 1 : at + 1 + flags[flag]])
            if len(values) < flags[flag]:
                raise BentoError(f"{flag}: expected a value.")
            self._values[flag].append(values)
            at += 1 + flags[flag]

    def parse_rest(self, flags: Mapping[str, int]) -> Arguments:
        """Parse `rest`, the arguments after `--`. The value of a flag can also follow `=`, as in `--flag=value`.

        `flags` maps each flag to its number of values. Raises the same errors as the constructor.
        """
        words: list[str] = []
        for word in self.rest:
            flag, equals, value = word.partition("=")
            words += [flag, value] if equals and flags.get(flag) == 1 else [word]
        return Arguments(words, flags)

    def source_tree(self) -> str:
        """Return the root of the workspace. Raises BentoError if the program doesn't run under `bazel run`."""
        if root := os.environ.get("BUILD_WORKSPACE_DIRECTORY"):
            return root
        target = self.required("--target")
        raise BentoError(
            f"{target} requires `bazel run`, because it writes into the source tree. Run `bazel run {target}`."
        )

    def has(self, flag: str) -> bool:
        """Return whether the arguments include `flag`."""
        return bool(self._values[flag])

    def required(self, flag: str) -> str:
        """Return the last value of `flag`. Raises BentoError if the flag is missing."""
        if not self._values[flag]:
            raise BentoError(f"a required argument is missing. Add {flag}.")
        return self._values[flag][-1][0]

    def optional(self, flag: str, default: str = "") -> str:
        """Return the last value of `flag`, or `default` if the flag is missing or isn't declared."""
        value = self._values.get(flag)
        return value[-1][0] if value else default

    def repeated(self, flag: str) -> list[str]:
        """Return the values of a repeatable flag, in order. Each use of the flag has one value."""
        return [values[0] for values in self._values[flag]]

    def json_strings(self, flag: str) -> list[str]:
        """Return the values of a repeatable flag, each parsed from a JSON string."""
        import json

        return [json.loads(word) for word in self.repeated(flag)]

    def pairs(self, flag: str) -> dict[str, str]:
        """Return the key-value pairs of a repeatable flag, each parsed from two JSON strings."""
        import json

        return {json.loads(key): json.loads(value) for key, value in self._values[flag]}

    def tuples(self, flag: str) -> list[tuple[str, ...]]:
        """Return one tuple of values for each use of a repeatable flag, in order."""
        return self._values[flag]


class Subcommand:
    """Decorator that converts a function to a subcommand of the helper.

    `flags` maps each flag to its number of values. Each subcommand also accepts `--target`, the label of the target.
    `usage` describes the flags after `--`.
    """

    run: Callable[[Arguments], int | None]

    def __init__(self, flags: Mapping[str, int], *, usage: str = "") -> None:
        self.flags = {**flags, "--target": 1}
        self.usage = usage

    def __call__(self, run: Callable[[Arguments], int | None]) -> Subcommand:
        """Set the function that implements the subcommand, and return the subcommand."""
        self.run = run
        return self


def check_labels(labels: dict[str, str]) -> dict[str, str]:
    """Return `labels`. Raises BentoError if a key is blank."""
    if any(not key.strip() for key in labels):
        raise BentoError("labels: a key is empty. Specify a key for each label.")
    return labels


def _lines(path: str) -> list[str]:
    # Not splitlines(): names can contain the other line breaks that it splits at.
    with open(path, encoding="utf-8", errors="surrogateescape", newline="\n") as file:  # noqa: PTH123 - pathlib takes longer to import than all else
        return file.read().split("\n")[:-1]


def read_text(path: str) -> str:
    """Return the content of a UTF-8 file that another action wrote. Raises OSError if the file can't be read."""
    with open(path, encoding="utf-8") as file:  # noqa: PTH123 - as above
        return file.read()
