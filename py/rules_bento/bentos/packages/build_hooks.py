"""Lets uv call hooks of build back ends (PEP 517), for dynamic projects and source distributions, without their code.

uv creates an environment with the build requirements, and runs a script with the environment's interpreter. This
interpreter is a link to the one that uv uses: a stand-in, which asks this process for what the script would write. So
the lock is uv's own, and only an isolated process, which this process starts, runs code of packages. The formats of the
script and of the interpreter's description are the formats of uv 0.5 to 0.13.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import socket
import threading
from contextlib import contextmanager, suppress
from pathlib import Path

from rules_bento.base import landlock
from rules_bento.base.dataclasses_lite import NamedTuple
from rules_bento.base.errors import BentoError
from rules_bento.base.formats.json import read_json
from rules_bento.base.typing_lite import TYPE_CHECKING, Callable, Iterator

if TYPE_CHECKING:
    from rules_bento.base.own_files import OwnDirectory
    from rules_bento.bentos.packages.virtualenv import Interpreter

_SOCKET = "hooks"
_BYTES = r'"(?:[^"\\]|\\.)*"'
_PATH = rf'(?:__import__\("os"\)\.fsdecode\(b{_BYTES}\)|{_BYTES})'
# The end of a script is uv's own, and what precedes it can contain anything that a pyproject.toml does.
_END = re.compile(
    rf"(?:\((?P<output>{_PATH}), [^\n]*?(?:, (?P<metadata>{_PATH}))?\)\n(?:else:\n    dirname = None\n)?\s*)?"
    rf'with open\((?P<result>{_PATH}), "w"\) as fp:\n    [^\n]+\s*\Z'
)
_STAND_IN = """\
import json, os, socket, subprocess, sys
path, version, directory = {settings}
if "get_interpreter_info" in sys.argv[-1]:
    info = json.loads(subprocess.run([sys.executable, *sys.argv[1:]], stdout=subprocess.PIPE).stdout)
    minor = ".".join(version.split(".")[:2])
    info["markers"].update(python_full_version=version, implementation_version=version, python_version=minor)
    scheme = dict.fromkeys(("platlib", "purelib"), "packages")
    scheme.update(include="include", scripts="packages/bin", data="data")
    info.update(sys_executable=path, sys_base_executable=path, virtualenv=scheme)
    print(json.dumps(info))
    sys.exit()
request = [os.getcwd(), os.environ["VIRTUAL_ENV"], sys.argv[-1]]
os.chdir(directory)  # the path of a socket has at most 107 bytes
with socket.socket(socket.AF_UNIX) as client:
    client.connect({socket!r})
    client.sendall(json.dumps(request).encode() + b"\\n")
    with client.makefile("rb") as answer:
        result, text, output = json.loads(answer.readline())
        content = answer.read()
if not result:
    sys.exit(text)
if output:
    os.makedirs(os.path.dirname(output), exist_ok=True)
    with open(output, "wb") as file:
        file.write(content)
with open(result, "w", encoding="utf-8") as file:
    file.write(text)
"""


class Hook(NamedTuple):
    """A call of a hook: the directory of the project, an environment of build requirements, and uv's script."""

    directory: Path
    environment: Path
    script: str

    @property
    def packages(self) -> Path:
        """The directory of the build requirements."""
        return self.environment / "packages"

    @property
    def _end(self) -> re.Match[str]:
        if match := _END.search(self.script):
            return match
        raise BentoError("unknown version of uv", remedy="Install uv 0.13, for example with `pip install uv==0.13.*`.")

    @property
    def result(self) -> str:
        """The path of the file to which the script writes what the hook returns."""
        return _path(self._end["result"])

    def output(self, text: str) -> str:
        """Return the path of the metadata or wheel that the hook wrote, if `text` names it, or an empty string."""
        directory = _path(self._end["output"] or '""')
        name = text if text.endswith(".whl") else f"{text}/METADATA"
        return f"{directory}/{name}" if directory and text else ""

    def moved(self, output: str, result: str) -> str:
        """Return the script with other paths, and without metadata of an earlier call."""
        end, script = self._end, self.script
        for name, text in (("result", repr(result)), ("metadata", "None"), ("output", repr(output))):  # the last first
            if end[name]:
                script = script[: end.start(name)] + text + script[end.end(name) :]
        return script


Call = Callable[[Hook], "tuple[str, bytes]"]
"""Returns what a hook returns as text, and the metadata or the wheel. Raises BentoError."""


def _path(literal: str) -> str:
    """Return the path in a literal of Python: a string, or bytes in which all but ASCII is escaped."""
    is_bytes = literal.startswith("__import__")
    text = literal.removeprefix('__import__("os").fsdecode(b').rstrip(")")[1:-1]
    if is_bytes:
        return os.fsdecode(text.encode().decode("unicode_escape").encode("latin-1"))
    return re.sub(r"\\(.)", r"\1", text)


def write_stand_in(directory: OwnDirectory, version: str, python: Interpreter) -> Path:
    """Write a program that uv accepts as Python `version` (X.Y.Z), and return its path. Its platform is `python`'s."""
    path, program = directory / "python", directory / "stand_in.py"
    code = _STAND_IN.format(settings=(str(path), version, str(directory)), socket=_SOCKET)
    program.write_text(code, "utf-8")
    words = map(shlex.quote, [str(python.path), "-I", "-S", "-B", str(program)])
    path.write_text(f'#!/bin/sh\nexec {" ".join(words)} "$@"\n', "utf-8")
    path.chmod(0o755)
    return path


@contextmanager
def answering(directory: OwnDirectory, call: Call) -> Iterator[None]:
    """Answer the stand-in in a directory until the block ends, one hook after the other."""
    place = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(f"/proc/self/fd/{place}/{_SOCKET}")
    finally:
        os.close(place)
    listener.listen()
    landlock.outside(threading.Thread(target=_answer, args=[listener, call], daemon=True).start)
    try:
        yield
    finally:
        with suppress(OSError):  # of a thread that has failed
            listener.shutdown(socket.SHUT_RDWR)


def _answer(listener: socket.socket, call: Call) -> None:
    with listener, suppress(OSError):  # at the end
        while True:
            connection, _ = listener.accept()
            with connection, suppress(BrokenPipeError), connection.makefile("rwb") as file:
                directory, environment, script = read_json(file.readline(), "the call of a hook")
                hook, content = Hook(Path(directory), Path(environment), script), b""
                try:
                    text, content = call(hook)
                    header = [hook.result, text, hook.output(text) if content else ""]
                except (BentoError, OSError, ValueError) as error:
                    header = ["", str(error), ""]
                file.write(json.dumps(header).encode() + b"\n" + content)
