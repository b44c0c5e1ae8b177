"""Parses the arguments of a subcommand. They are for machines: flags in any order, any values, no abbreviations.

In an arguments file, each line is one argument. Strings, which can have several lines, are JSON there.
"""

from __future__ import annotations

import os

from rules_bento.errors import BentoError
from rules_bento.typing_lite import Callable, Mapping

THEN = "--then"


class Arguments:
    """Holds parsed flags. A flag has a fixed number of values, which can look like flags."""

    def __init__(self, argv: list[str], flags: Mapping[str, int]) -> None:
        """Parse `argv`. `@FILE` at the position of a flag is replaced by the file's lines.

        `flags` is the number of values by flag. Everything after `--` is `rest`. Everything after `--then` is
        `next_subcommand`: another subcommand with its arguments. Raises BentoError for an unknown flag, and for a flag
        with too few values.
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
                raise BentoError(f"{flag}: the value is missing. Add a value.")
            self._values[flag].append(values)
            at += 1 + flags[flag]

    def parse_rest(self, flags: Mapping[str, int]) -> Arguments:
        """Parse the caller's arguments, `rest`. There, a value can also follow `=`, as in `--flag=value`.

        `flags` is the number of values by flag. Raises the same errors as the constructor.
        """
        words: list[str] = []
        for word in self.rest:
            flag, equals, value = word.partition("=")
            words += [flag, value] if equals and flags.get(flag) == 1 else [word]
        return Arguments(words, flags)

    def source_tree(self) -> str:
        """Return the root of the workspace. Raises BentoError if `bazel run` didn't start the target."""
        if root := os.environ.get("BUILD_WORKSPACE_DIRECTORY"):
            return root
        target = self.required("--target")
        raise BentoError(f"the target writes into the source tree. Run `bazel run {target}`.")

    def has(self, flag: str) -> bool:
        """Return whether the arguments include a flag."""
        return bool(self._values[flag])

    def required(self, flag: str) -> str:
        """Return the value of a flag, the last one if it is repeated. Raises BentoError if the flag is missing."""
        if not self._values[flag]:
            raise BentoError(f"{flag} is missing. Add the flag.")
        return self._values[flag][-1][0]

    def optional(self, flag: str, default: str = "") -> str:
        """Return the value of a flag that can be missing (also from the subcommand's flags)."""
        value = self._values.get(flag)
        return value[-1][0] if value else default

    def repeated(self, flag: str) -> list[str]:
        """Return the values of a repeatable flag with one value."""
        return [values[0] for values in self._values[flag]]

    def json_strings(self, flag: str) -> list[str]:
        """Return the JSON strings of a repeatable flag."""
        import json

        return [json.loads(word) for word in self.repeated(flag)]

    def pairs(self, flag: str) -> dict[str, str]:
        """Return the JSON strings of a repeatable flag with a key and a value."""
        import json

        return {json.loads(key): json.loads(value) for key, value in self._values[flag]}

    def tuples(self, flag: str) -> list[tuple[str, ...]]:
        """Return the values of a repeatable flag with several values."""
        return self._values[flag]


class Subcommand:
    """A decorator: makes a function a subcommand of the helper.

    `flags` has the number of values by flag, in addition to `--target`, the label of the target, which each subcommand
    accepts. `usage` describes the flags that follow `--`. A `reusable` subcommand leaves no state in the process (see
    worker).
    """

    run: Callable[[Arguments], int | None]

    def __init__(self, flags: Mapping[str, int], *, usage: str = "", reusable: bool = False) -> None:
        self.flags = {**flags, "--target": 1}
        self.usage = usage
        self.reusable = reusable

    def __call__(self, run: Callable[[Arguments], int | None]) -> Subcommand:
        """Return the subcommand."""
        self.run = run
        return self


def check_labels(labels: dict[str, str]) -> dict[str, str]:
    """Return the labels. Raises BentoError for an empty key."""
    if any(not key.strip() for key in labels):
        raise BentoError("labels: a label has an empty key. Add the key.")
    return labels


def _lines(path: str) -> list[str]:
    # Not splitlines(): names can contain the other line breaks that it splits at.
    with open(path, encoding="utf-8", errors="surrogateescape", newline="\n") as file:  # noqa: PTH123 - pathlib takes longer to import than all else
        return file.read().split("\n")[:-1]


def read_text(path: str) -> str:
    """Read a UTF-8 file that another action wrote. Raises OSError if it can't be read."""
    with open(path, encoding="utf-8") as file:  # noqa: PTH123 - as above
        return file.read()
