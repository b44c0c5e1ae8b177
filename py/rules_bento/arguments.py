"""The arguments of a verb. Made for machines: flags in any order, values that may be anything, no abbreviations.

In a file of arguments each line is a word. Texts, which may have several lines, are JSON strings there.
"""

from __future__ import annotations

from rules_bento.errors import BentoError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


THEN = "--then"


class Arguments:
    """Parsed flags. A flag takes a fixed number of values, which may look like flags themselves."""

    def __init__(self, argv: list[str], flags: Mapping[str, int]) -> None:
        """Read `argv`, in which `@FILE` in the place of a flag stands for the lines of a file.

        `flags` is the number of values by flag. Everything behind `--` is `rest`, and behind `--then` `following`,
        another verb with its arguments. Raises BentoError for an unknown flag or one with too few values.
        """
        self._values: dict[str, list[tuple[str, ...]]] = {flag: [] for flag in flags}
        self.rest: list[str] = []
        self.following: list[str] = []
        words = list(argv)
        at = 0
        while at < len(words):
            flag = words[at]
            if flag == "--":
                self.rest = words[at + 1 :]
                return
            if flag == THEN:
                self.following = words[at + 1 :]
                return
            if flag.startswith("@"):
                words[at : at + 1] = _lines(flag[1:])
                continue
            if flag not in flags:
                raise BentoError(f"unknown argument {flag!r}; known are {', '.join(flags)}")
            values = tuple(words[at + 1 : at + 1 + flags[flag]])
            if len(values) < flags[flag]:
                raise BentoError(f"{flag} takes {flags[flag]} values, but {len(values)} follow it")
            self._values[flag].append(values)
            at += 1 + flags[flag]

    def one(self, flag: str) -> str:
        """Return the value of a flag, the last if it is there several times. Raises BentoError if it is missing."""
        if not self._values[flag]:
            raise BentoError(f"{flag} is missing")
        return self._values[flag][-1][0]

    def optional(self, flag: str, default: str = "") -> str:
        """Return the value of a flag that may be missing (from the verb's flags, too)."""
        value = self._values.get(flag)
        return value[-1][0] if value else default

    def many(self, flag: str) -> list[str]:
        """Return the values of a flag that takes one and may be repeated."""
        return [values[0] for values in self._values[flag]]

    def text(self, flag: str, default: str = "") -> str:
        """Return the text of a flag that may be missing."""
        values = self.texts(flag)
        return values[-1] if values else default

    def texts(self, flag: str) -> list[str]:
        """Return the texts of a flag that takes one and may be repeated."""
        import json

        return [json.loads(word) for word in self.many(flag)]

    def pairs(self, flag: str) -> dict[str, str]:
        """Return the texts of a flag that takes a key and a value and may be repeated."""
        import json

        return {json.loads(key): json.loads(value) for key, value in self._values[flag]}

    def labels(self) -> dict[str, str]:
        """Return the pairs of `--label`. Raises BentoError for one without a key."""
        labels = self.pairs("--label")
        if any(not key.strip() for key in labels):
            raise BentoError("labels: a label has an empty key. Give it a name.")
        return labels

    def records(self, flag: str) -> list[tuple[str, ...]]:
        """Return the values of a flag that takes several and may be repeated."""
        return self._values[flag]


def _lines(path: str) -> list[str]:
    # Not splitlines(): names may hold the other characters that it breaks at.
    with open(path, encoding="utf-8", errors="surrogateescape", newline="\n") as file:  # noqa: PTH123 - pathlib takes longer to import than all else
        return file.read().split("\n")[:-1]


def read_text(path: str) -> str:
    """Return the text of a file that another action wrote. Raises OSError for one that cannot be read."""
    with open(path, encoding="utf-8") as file:  # noqa: PTH123 - as above
        return file.read()
