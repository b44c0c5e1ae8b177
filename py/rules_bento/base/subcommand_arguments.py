"""Decodes the arguments of subcommands, which programs generate, into requests.

In an arguments file, each line is one argument. Strings that can contain line breaks are JSON.
"""

from __future__ import annotations

import os

from rules_bento.base.errors import BentoError
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Callable, Literal, Sequence

if TYPE_CHECKING:
    from pathlib import Path
    from typing import TypeVar

    _Arguments = TypeVar("_Arguments", bound="Arguments")

    # Types of options with several values, and of repeatable options.
    JsonObject = dict[str, Any]
    JsonPairs = dict[str, str]  # each key and each value is JSON
    JsonStrings = tuple[str, ...]  # each value is JSON
    Pairs = tuple[tuple[str, str], ...]
    Paths = tuple[Path, ...]
    Strings = tuple[str, ...]
    Triples = tuple[tuple[str, str, str], ...]
else:
    JsonObject = JsonPairs = JsonStrings = Pairs = Paths = Strings = Triples = tuple

THEN = "--then"

_COUNTS = {"bool": 0, "JsonPairs": 2, "Pairs": 2, "Triples": 3}  # values of each use of an option; default: 1
_MULTIPLE = ("bool", "JsonPairs", "JsonStrings", "Pairs", "Paths", "Strings", "Triples")


class Arguments:
    """Decoded arguments. Each annotation of a subclass declares the option of that name and its type.

    Types are `bool` (an option without a value), `int`, `float`, `Path`, the types above, and strings. An option
    without a default is required, except for a `bool` or a repeatable option. `rest` contains all arguments after `--`,
    and `next_subcommand` all arguments after `--then`: another subcommand with its arguments.
    """

    rest: Sequence[str]
    next_subcommand: Sequence[str]

    def __init__(self, argv: Sequence[str]) -> None:
        """Decode `argv`, in which options can't be abbreviated, and values can look like options.

        If `@FILE` is in the position of an option, replaces `@FILE` with the lines of the file. Raises BentoError for
        an unknown or missing option, or for an option with too few values.
        """
        kinds = self._kinds()
        given: dict[str, list[tuple[str, ...]]] = {name: [] for name in kinds}
        ends: dict[str, list[str]] = {"--": [], THEN: []}
        words = list(argv)
        at = 0
        while at < len(words):
            word = words[at]
            if word in ends:
                ends[word] = words[at + 1 :]
                break
            if word.startswith("@"):
                words[at : at + 1] = _lines(word[1:])
                continue
            name = word[2:].replace("-", "_")
            if name not in kinds or not word.startswith("--"):
                remedy = f"Valid arguments: {', '.join(map(_option, kinds))}."
                raise BentoError(f"unknown argument {word!r}", remedy=remedy)
            count = _COUNTS.get(kinds[name], 1)
            values = tuple(words[at + 1 : at + 1 + count])
            if len(values) < count:
                raise BentoError("expected a value.", place=word)
            given[name].append(values)
            at += 1 + count
        decoded = {name: _decode(kinds[name], uses) for name, uses in given.items() if uses or kinds[name] in _MULTIPLE}
        if missing := [name for name in kinds if name not in decoded and not hasattr(type(self), name)]:
            raise BentoError("a required argument is missing", remedy=f"Add {_option(missing[0])}.")
        vars(self).update(decoded, rest=ends["--"], next_subcommand=ends[THEN])

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"cannot assign to field {name!r}")

    @classmethod
    def _kinds(cls) -> dict[str, str]:
        """Return the type of each option by the name of its field."""
        classes = [each for each in reversed(cls.__mro__) if issubclass(each, Arguments) and each is not Arguments]
        return {name: kind.removesuffix(" | None") for each in classes for name, kind in each.__annotations__.items()}

    @classmethod
    def from_user(cls: type[_Arguments], words: Sequence[str]) -> _Arguments:
        """Decode arguments of a user, in which the value of an option can also follow `=`, as in `--option=value`."""
        kinds = cls._kinds()
        separate: list[str] = []
        for word in words:
            option, equals, value = word.partition("=")
            is_single = _COUNTS.get(kinds.get(option[2:].replace("-", "_"), "bool"), 1) == 1
            separate += [option, value] if equals and is_single else [word]
        return cls(separate)


class Request(Arguments):
    """The arguments of a subcommand."""

    usage = ""  # describes the options after `--`
    target: str = ""  # the label of the target

    def source_tree(self) -> str:
        """Return the root of the workspace. Raises BentoError if the program doesn't run under `bazel run`."""
        if root := os.environ.get("BUILD_WORKSPACE_DIRECTORY"):
            return root
        remedy = f"Run `bazel run {self.target}`."
        raise BentoError(f"{self.target} requires `bazel run`, because it writes into the source tree", remedy=remedy)


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def _decode(kind: str, uses: list[Any]) -> Any:
    """Return the value of a field from the values of each use of its option."""
    if kind.startswith("Json"):
        import json

        uses = [tuple(map(json.loads, use)) for use in uses]
    if kind == "bool":
        return bool(uses)
    if kind == "JsonPairs":
        return dict(uses)
    if kind in ("Pairs", "Triples"):
        return tuple(uses)
    values: tuple[Any, ...] = tuple(value for (value,) in uses)
    if kind in ("Path", "Paths"):
        from pathlib import Path

        values = tuple(map(Path, values))
    if kind in _MULTIPLE:
        return values
    return {"int": int, "float": float}.get(kind, lambda value: value)(values[-1])


Subcommand = Callable[[Any], "int | None"]  # a function with one parameter, its request


def decode(subcommand: Subcommand, argv: Sequence[str]) -> Request:
    """Return the request that `argv` contains for a subcommand. Raises the same errors as the constructor."""
    request: Request = subcommand.__globals__[subcommand.__annotations__["request"]](argv)
    return request


class LayerRequest(Request):
    """Arguments of each subcommand that writes a layer."""

    compression: Literal["zstd", "gzip", "none"]
    description: Path
    output: Path


def check_labels(labels: dict[str, str]) -> dict[str, str]:
    """Return `labels`. Raises BentoError if a key is blank."""
    if any(not key.strip() for key in labels):
        raise BentoError("a key is empty", place="labels", remedy="Specify a key for each label.")
    return labels


def _lines(path: str) -> list[str]:
    # Not splitlines(): names can contain the other line breaks that it splits at.
    with open(path, encoding="utf-8", errors="surrogateescape", newline="\n") as file:  # noqa: PTH123 - pathlib takes longer to import than all else
        return file.read().split("\n")[:-1]


def read_text(path: str) -> str:
    """Return the content of a UTF-8 file that another action wrote. Raises OSError if the file can't be read."""
    with open(path, encoding="utf-8") as file:  # noqa: PTH123 - as above
        return file.read()
