"""Runs all commands with files that aren't valid input for any of them.

A case is JSON: the arguments, and the kind of file that the arguments name. The reader of a case runs the arguments in
this process. The reader returns on success, raises BentoError for a status and a message, and raises any other
exception that reached the caller.
"""

import contextlib
import io
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
from bento_cli import cli
from bento_cli.cli.groups import COMMANDS
from bento_cli.sharing import serving
from rules_bento.base.errors import BentoError

from tests.hostile.readers import Reader, tar_of, zip_of

# An error that no part of the program has a message for; it says the place in the program, not in what was given.
UNEXPECTED = "internal error"


def _file(data: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(data)


def _large(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 42)


_ZIP = zip_of({"a": b"x" * 200})
_TAR = tar_of({"bento.yaml": b""})

# What may stand in the place of a file.
KINDS: dict[str, Callable[[Path], object]] = {
    "absent": lambda path: None,
    "a folder": lambda path: path.mkdir(),
    "unreadable": lambda path: path.symlink_to("/proc/self/mem"),  # for a superuser, too: it fails at the first byte
    "a link to itself": lambda path: path.symlink_to(path.name),
    "empty": _file(b""),
    "garbage": _file(bytes(range(255, -1, -1)) * 20),
    "text": _file(b"{x: [\n"),
    "a list": _file(b"[1]\n"),
    "a mapping": _file(b'{"a": {"b": [null]}}\n'),
    "4 TiB": _large,
    "a zip that declares 4 GiB": _file(_ZIP[:18] + b"\xfe\xff\xff\xff" * 2 + _ZIP[26:]),
    "a tar that declares 8 EiB": _file(_TAR[:124] + b"\x80" + bytes(3) + b"\x40" + bytes(7) + _TAR[136:]),
}
BAD = "bad"


def of_commands() -> Iterator[dict[str, Any]]:
    """Yield cases for each command: all arguments with one kind of file, and each option with an invalid value."""
    for name, command in COMMANDS.walk():
        positional = [param for param in command.params if isinstance(param, click.Argument)]
        given = [BAD for param in positional for _ in range(1 if param.nargs == 1 else 2)]
        for kind in KINDS:
            for words in ([], given):
                yield {"words": [*name.split(), *words], "kind": kind}
        for param in set(command.params) - set(positional):
            if not param.is_flag and not isinstance(param.type, click.Choice):
                yield {"words": [*name.split(), *given, param.opts[-1], BAD], "kind": "a mapping"}


def read(path: Path, out: Path) -> None:
    """Run a case."""
    time.sleep = lambda _seconds: None  # before a server that is not there is asked again
    serving._has_bentoml = lambda _python: False  # it isn't tested here
    case = json.loads(path.read_bytes())
    out.mkdir()
    os.chdir(out)
    KINDS[case["kind"]](out / BAD)
    printed = io.StringIO()
    with contextlib.redirect_stdout(_Printed()), contextlib.redirect_stderr(printed):
        try:
            code = cli.main(case["words"])
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
    message = printed.getvalue()
    if code:
        raise BentoError(message or f"status {code}")


class _Printed(io.TextIOWrapper):
    """Collects the output of a program, as text and as bytes."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), "utf-8")


PROGRAM = Reader("", "case.json", list, read, "")
