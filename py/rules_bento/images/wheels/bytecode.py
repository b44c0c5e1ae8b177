"""Byte code of the modules of a wheel, as a part of layers of its own beside those of the wheels.

It is what `uv pip install --compile-bytecode` makes of them, but bound to the sources by their hashes (PEP 552), not by
times: in `__pycache__` beside each module, not listed in RECORD, and missing for what cannot be compiled.
"""

from __future__ import annotations

import struct
import subprocess
from pathlib import PurePosixPath

from rules_bento.errors import BentoError
from rules_bento.hints import TYPE_CHECKING
from rules_bento.images.layers import headers, layer
from rules_bento.images.layers.parts import Listing
from rules_bento.images.wheels.install import installed_files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import IO

    from rules_bento.images.layers.gzip import Piece
    from rules_bento.images.layers.layer import Compression
    from rules_bento.images.wheels.install import Installed, Layout
    from rules_bento.images.wheels.wheel import Wheel

_LENGTHS = struct.Struct(">2L")
_LENGTH = struct.Struct(">L")
# No site-packages, no byte code of its own. Its one variable fixes the order of sets, which 3.10 writes as they are.
_FLAGS = ("-s", "-S", "-B", "-X", "utf8")
_VARIABLES = {"PYTHONHASHSEED": "0"}


class Compiler:
    """Runs a Python that compiles modules for others of its version; `py/bytecode.py` has the protocol."""

    def __init__(self, interpreter: str, program: str, mode: str) -> None:
        """Start the compiler; `mode` is `checked-hash` or `unchecked-hash`."""
        self._process = subprocess.Popen(
            [interpreter, *_FLAGS, program, mode],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=_VARIABLES,
        )
        try:
            self.cache_tag = self._answer("its start").decode()
        except BentoError:
            self.__exit__()
            raise

    def __enter__(self) -> Compiler:
        """Return the compiler itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the compiler's process."""
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            _open(pipe).close()
        self._process.wait()

    def compile(self, path: str, source: bytes) -> bytes:
        """Return the byte code of the module that lies at `path` in the image; empty if it cannot be compiled."""
        name = path.encode()
        requests = _open(self._process.stdin)
        try:
            requests.write(_LENGTHS.pack(len(name), len(source)) + name + source)
            requests.flush()
        except BrokenPipeError:
            raise self._broken(path) from None
        return self._answer(path)

    def _answer(self, path: str) -> bytes:
        answers = _open(self._process.stdout)
        length = answers.read(_LENGTH.size)
        content = answers.read(_LENGTH.unpack(length)[0]) if len(length) == _LENGTH.size else b""
        if len(length) < _LENGTH.size or len(content) < _LENGTH.unpack(length)[0]:
            raise self._broken(path)
        return content

    def _broken(self, path: str) -> BentoError:
        errors = _open(self._process.stderr).read().decode(errors="replace").strip()
        return BentoError(
            f"{path}: no byte code, for the interpreter ended: {errors}. Leave out bytecode of the image."
        )


def write_bytecode_part(
    out: Path, wheel: Wheel, layout: Layout, compression: Compression, compiler: Compiler
) -> Listing:
    """Write the byte code of a wheel's modules to `out`, which is there only when it is whole.

    Raises as `layer.write_wheel_layer`, and if the compiler is of another version than the layout.
    """
    if compiler.cache_tag != f"cpython-3{layout.python_minor}":
        raise BentoError(
            f"byte code is for CPython 3.{layout.python_minor}, but its interpreter is {compiler.cache_tag}. "
            "Name another one, bento_tools.compiler(interpreter = ...)."
        )
    root = layout.site_packages[1:] + "/"
    modules = [
        file
        for file in installed_files(wheel, layout)
        if file.member and file.path.startswith(root) and file.path.endswith(".py")
    ]
    files: dict[str, str] = {}
    entries = layer.write_part(out, _tar(wheel, modules, layout, compiler, files), compression)
    folders = {folder.as_posix() for path in files for folder in PurePosixPath(path).parents} - {"."}
    return Listing(wheel.name, tuple(sorted(folders)), files, entries)


def _tar(
    wheel: Wheel, modules: list[Installed], layout: Layout, compiler: Compiler, files: dict[str, str]
) -> Iterator[Piece]:
    """Yield the tar members of the byte code, without folders, and store the digests in `files`."""
    import hashlib

    sources = wheel.chunks(module.member for module in modules if module.member)
    for module, chunks in zip(modules, sources, strict=True):
        source = b"".join(chunk.data for chunk in chunks)
        content = compiler.compile(f"/{module.path}", source)
        if content:
            folder, _, name = module.path.rpartition("/")
            path = f"{folder}/__pycache__/{name.removesuffix('.py')}.{compiler.cache_tag}.pyc"
            files[path] = f"sha256:{hashlib.sha256(content).hexdigest()}"
            header = headers.header(path, headers.REGULAR, 0o644, layout.uid, layout.gid, len(content))
            yield layer.contents(header + content + headers.padding(len(content)))


def _open(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe  # all three are asked for
    return pipe
