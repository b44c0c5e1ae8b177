"""Compiles the modules of a wheel to bytecode, which is stored in a separate layer part, and of a base.

The result is the same as with `uv pip install --compile-bytecode`, except that the bytecode contains hashes of the
sources (PEP 552) instead of timestamps, and that modules in directories named `tests` have none: they are half of the
modules of large packages, and Python compiles them if a program imports them. A module's bytecode is in the directory
`__pycache__` next to the module. RECORD doesn't list the bytecode. Sources that can't be compiled are skipped, and also
modules that only extend `__path__`: packages can have different ones at one path, so bytecode could be of another one.
"""

from __future__ import annotations

import os
import select
import signal
import struct
import subprocess
import time
from contextlib import suppress
from queue import SimpleQueue

from rules_bento.base.errors import BentoError
from rules_bento.base.landlock import outside
from rules_bento.base.python_source import slowness
from rules_bento.base.threads import default_threads, ordered_map
from rules_bento.base.typing_lite import TYPE_CHECKING, Iterable, Iterator, Sequence
from rules_bento.bentos.packages import namespace_modules
from rules_bento.images.layers.parts import PartListing, write_files_part
from rules_bento.images.wheels.install import InstallLayout, installed_files

if TYPE_CHECKING:
    from pathlib import Path

    from rules_bento.images.layers.layer import Compression
    from rules_bento.images.wheels.wheel import Wheel

_LENGTHS = struct.Struct(">2L")
_LENGTH = struct.Struct(">L")
# No site-packages, and no bytecode of its own. The variable, which -I would ignore, fixes the order of sets, which
# Python 3.10 writes unsorted. The import path starts with the directory of the program, which has only our modules.
_FLAGS = ("-s", "-S", "-B", "-X", "utf8")
# A module's bytecode has at most this many bytes, and this many times the bytes of the source. Others are skipped.
_MAX_BYTES, _GROWTH = 1 << 20, 100
_MAX_STARTUP, _MAX_ERRORS = 100, 1 << 16  # bytes
_SECONDS, _BYTES_PER_SECOND = 600.0, 10_000  # for all answers; not of the CPU, which a hostile interpreter needn't use
_VARIABLES = {"PYTHONHASHSEED": "0"}
_ENOUGH = 1 << 20  # bytes of sources for each further interpreter, whose startup would otherwise take longer


class Compiler:
    """A running Python interpreter that compiles modules for its own version. bytecode_program.py has the protocol."""

    def __init__(self, interpreter: str, program: str, mode: str, starter: Sequence[str] = ()) -> None:
        """Run a program in mode `checked-hash`, `unchecked-hash`, or `syntax`. Raises BentoError if startup fails.

        `program` is the path of bytecode_program.py, or `-c` with its text. `starter` is a command that starts the
        command in its arguments.
        """
        self._words = interpreter, program, mode, starter
        self._idle, self._others, self._bytes = SimpleQueue[Compiler](), list[Compiler](), 0
        self._idle.put(self)
        self._process = outside(
            lambda: subprocess.Popen(
                [
                    *starter,
                    interpreter,
                    *_FLAGS,
                    program,
                    mode,
                    str(_MAX_BYTES),
                    str(_GROWTH),
                ],  # without -I: see _FLAGS
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=_VARIABLES,
                start_new_session=True,  # signals of the interpreter to its process group don't end this process
            )
        )  # which can mount
        pipes = self._process.stdin, self._process.stdout, self._process.stderr
        self._requests, self._answers, self._errors = (pipe.fileno() for pipe in pipes if pipe)
        os.set_blocking(self._requests, False)
        self._seconds = _SECONDS
        try:
            answer = self._answer("the startup", _MAX_STARTUP)
            self.cache_tag, _, self.version = answer.decode("ascii", "replace").partition(" ")
        except BaseException:
            self.__exit__()
            raise

    def __enter__(self) -> Compiler:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(ProcessLookupError, PermissionError):  # on macOS, the second if all have ended
            os.killpg(self._process.pid, signal.SIGKILL)
        with self._process:
            pass
        for other in self._others:
            other.__exit__()

    def compile_all(self, requests: Iterable[tuple[str, bytes]], threads: int | None) -> Iterator[bytes]:
        """Yield the results of `compile` in order (`threads` is as for `ordered_map`).

        With enough sources, each thread has an interpreter. A module has the same bytecode after any others, so the
        result doesn't depend on the number of threads.
        """
        threads = threads or default_threads()

        def started() -> Iterator[tuple[str, bytes]]:
            for request in requests:
                # The kernel ends an interpreter in isolation with the thread that started it, so not a pool's thread.
                self._bytes += len(request[1])
                if self._idle.empty() and len(self._others) < min(threads - 1, self._bytes // _ENOUGH):
                    self._others.append(other := Compiler(*self._words))
                    self._idle.put(other)
                yield request

        return ordered_map(self._compile_idle, started(), threads)

    def _compile_idle(self, request: tuple[str, bytes]) -> bytes:
        compiler = self._idle.get()
        try:
            return compiler.compile(*request)
        finally:
            self._idle.put(compiler)

    def compile(self, path: str, source: bytes) -> bytes:
        """Return a module's bytecode or outline, or b"" if the source is skipped. `path` is the path in the image."""
        is_init = path.endswith("/__init__.py") and self._words[2] != "syntax"
        is_shared = is_init and namespace_modules.extension(source)
        if is_shared or slowness(source, has_slow_strings=self.version.startswith(("3.9.", "3.10.", "3.11."))):
            return b""
        name = path.encode()
        self._seconds += len(source) / _BYTES_PER_SECOND
        with suppress(BrokenPipeError):  # then the answer is empty
            rest = memoryview(_LENGTHS.pack(len(name), len(source)) + name + source)
            while rest and self._wait(self._requests):
                rest = rest[os.write(self._requests, rest) :]
        return self._answer(path, _MAX_BYTES + _GROWTH * len(source))

    def _answer(self, path: str, most: int) -> bytes:
        head = self._read(self._answers, _LENGTH.size)
        length = _LENGTH.unpack(head)[0] if len(head) == _LENGTH.size else -1
        content = self._read(self._answers, length) if 0 <= length <= most else b""
        if len(content) != length:
            self._seconds = 0.0  # reads only what was written before
            errors = self._read(self._errors, _MAX_ERRORS).decode(errors="replace").strip()
            errors = errors or "the interpreter gave no valid answer"
            remedy = 'Use another interpreter, or no bytecode (--no-bytecode, or bytecode = "none").'
            raise BentoError(f"cannot compile the module: {errors}", place=path, remedy=remedy)
        return content

    def _read(self, pipe: int, size: int) -> bytes:
        """Return the next bytes of a pipe, or fewer if the pipe or the time ends."""
        content = bytearray()
        while len(content) < size and self._wait(pipe) and (piece := os.read(pipe, size - len(content))):
            content += piece
        return bytes(content)

    def _wait(self, pipe: int) -> bool:
        """Return whether a pipe is ready before the time ends. A process that left the group could keep it open."""
        start, waiting = time.monotonic(), select.poll()
        waiting.register(pipe)
        is_ready = bool(waiting.poll(max(self._seconds, 0.0) * 1000))
        self._seconds -= time.monotonic() - start
        return is_ready


def write_bytecode_part(
    out: Path,
    wheel: Wheel,
    layout: InstallLayout,
    compression: Compression,
    compiler: Compiler,
    threads: int | None = 1,
) -> PartListing:  # writes: output, of the caller
    """Write a wheel's bytecode as a layer part, and return the part's listing. `threads` is as for `compile_all`.

    Raises BentoError if the compiler's Python version isn't the version in the image.
    """
    check_version(compiler, f"3.{layout.python_minor}")
    root = layout.site_packages[1:] + "/"
    modules = [
        file
        for file in installed_files(wheel, layout)
        if file.member and file.path.startswith(root) and file.path.endswith(".py")
        if "tests" not in file.path[len(root) :].split("/")[:-1]
    ]
    sources = wheel.chunks(module.member for module in modules if module.member)
    joined = (b"".join(chunk.data for chunk in chunks) for chunks in sources)
    files = compiled([module.path for module in modules], joined, compiler, threads)
    return write_files_part(out, wheel.name, files, layout, compression)._replace(python=compiler.version)


def check_version(compiler: Compiler, version: str) -> None:
    """Raise BentoError if a compiler isn't CPython of this version (X.Y)."""
    if compiler.cache_tag != f"cpython-{version.replace('.', '')}":
        problem = f"the image uses CPython {version}, but the bytecode compiler uses {compiler.cache_tag}"
        remedy = "Set a matching interpreter with bento_tools.python(interpreter = ...)."
        raise BentoError(problem, place="bytecode", remedy=remedy)


def compiled(
    paths: Sequence[str], sources: Iterable[bytes], compiler: Compiler, threads: int | None
) -> Iterator[tuple[str, bytes]]:
    """Yield the path and the contents of each file with bytecode. `paths` are the paths of modules in the image."""
    requests = zip((f"/{path}" for path in paths), sources, strict=True)
    for path, content in zip(paths, compiler.compile_all(requests, threads), strict=True):
        if content:
            yield bytecode_path(path, compiler.cache_tag), content


def bytecode_path(path: str, cache_tag: str) -> str:
    """Return the path of a module's bytecode.

    >>> bytecode_path("usr/lib/python3.13/os.py", "cpython-313")
    'usr/lib/python3.13/__pycache__/os.cpython-313.pyc'
    """
    directory, _, name = path.rpartition("/")
    return f"{directory}/__pycache__/{name.removesuffix('.py')}.{cache_tag}.pyc"
