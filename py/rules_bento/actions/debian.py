"""Subcommands that check locks of Debian packages, and write layers with these packages."""

from __future__ import annotations

import json
import sys
from itertools import chain
from pathlib import Path

from rules_bento.base.display import printable
from rules_bento.base.errors import BentoError
from rules_bento.base.formats import decode_text
from rules_bento.base.subcommand_arguments import JsonPairs, LayerRequest, Pairs, Paths, Strings
from rules_bento.base.typing_lite import Iterator
from rules_bento.images.debian import alternatives, apt, startable, system
from rules_bento.images.debian.deb import Deb
from rules_bento.images.debian.deb_rootfs import PathFilter, Rootfs
from rules_bento.images.layers import description
from rules_bento.images.layers.layer import write_tar_layer
from rules_bento.images.wheels.bytecode import Compiler


class _CheckDebsRequest(apt.DebsRequest):
    lock: Pairs  # path, name
    update: str  # the target that updates the lock


def check_debs(request: _CheckDebsRequest) -> None:
    """Raise BentoError if a lock is inconsistent, or doesn't match the packages that a target requests."""
    [(path, name)] = request.lock
    lock = apt.loads(decode_text(Path(path).read_bytes(), name), name)
    problems = apt.find_problems(lock, request)
    if problems:
        listing = "".join(f"  {problem}\n" for problem in problems)
        update = f"To update the lock, run `bazel run {request.update}`."
        raise BentoError(f"{name} is stale:\n{listing}{update}")


# Installed first: this package creates the links of a merged /usr, and the directories with their modes.
_FIRST_PACKAGE = "base-files_"


class _CompiledLayerRequest(LayerRequest):
    compiler: Pairs  # interpreter of the layer's release, and the program that it runs; none for no bytecode


class _DebLayerRequest(_CompiledLayerRequest):
    architecture: str = ""  # Debian's name of it
    certificate: Strings
    deb: Strings
    exclude: Strings
    include: Strings
    index: Path
    lower: str = ""  # index of the layers below
    symlink: JsonPairs  # path in the image, target
    user: JsonPairs  # name, number


def deb_layer(request: _DebLayerRequest) -> None:
    """Install Debian packages into a layer, and write the layer's description and index. Runs no maintainer scripts."""
    lower = request.lower
    root = Rootfs(
        json.loads(Path(lower).read_text("utf-8")) if lower else None,
        PathFilter.from_patterns(request.exclude, request.include),
        system.is_captured,
        system.GENERATED_LINKS,
    )
    below = set(root.packages)
    info = write_tar_layer(request.output, _deb_tar(request, root, is_lowest=not lower), request.compression)
    added = list(root.packages.keys() - below)
    name = f"Debian package {added[0]}" if len(added) == 1 else f"{len(added)} Debian packages"
    description.describe(request, info, name)
    request.index.write_text(json.dumps(root.index(), indent=0) + "\n", "utf-8")
    for note in startable.notes(root):
        sys.stderr.write(f"{request.target}: {printable(note)}\n")


class _InterpreterLayerRequest(_CompiledLayerRequest):
    architecture: str  # Debian's name of it
    file: Paths  # of the interpreter
    glibc: str = ""  # of the layers below, X.Y
    index: Path
    lower: Path  # index of the layers below
    program: Path
    python_version: str  # X.Y


def interpreter_layer(request: _InterpreterLayerRequest) -> None:
    """Install an interpreter of rules_python into a layer, and write the layer's description and index."""
    from rules_bento.images.debian.interpreter import Host, Interpreter

    root = Rootfs(json.loads(request.lower.read_text("utf-8")), PathFilter.from_patterns((), ()), system.is_captured)
    libraries = {path.rpartition("/")[2] for path in (*root.files, *root.links)}
    host = Host(request.architecture, request.glibc, libraries)
    interpreter = Interpreter(request.program, request.file, request.python_version, host)
    tar = chain(interpreter.tar(root), _bytecode(request, root))
    info = write_tar_layer(request.output, tar, request.compression)
    description.describe(request, info, f"Python {request.python_version}")
    request.index.write_text(json.dumps(root.index(), indent=0) + "\n", "utf-8")


def _deb_tar(request: _DebLayerRequest, root: Rootfs, *, is_lowest: bool) -> Iterator[bytes]:
    debs = [Path(path) for path in dict.fromkeys(request.deb)]
    for path in sorted(debs, key=lambda path: (not path.name.startswith(_FIRST_PACKAGE), path.name)):
        yield from root.install(Deb(path), request.architecture)
    if is_lowest:
        yield from system.directories(root)
        yield from system.users(root, _user_ids(request.user))
        yield from system.name_service(root)
    certificates = [(path, Path(path).read_bytes()) for path in request.certificate]
    yield from system.certificates(root, certificates)
    for link, target in sorted(request.symlink.items()):
        yield from root.link(link.strip("/"), target)
    yield from alternatives.links(root, request.symlink.keys())
    yield from _bytecode(request, root)
    yield from root.database()


def _bytecode(request: _CompiledLayerRequest, root: Rootfs) -> Iterator[bytes]:
    for interpreter, program in request.compiler:
        with Compiler(interpreter, program, "unchecked-hash") as compiler:
            yield from system.bytecode(root, compiler)


def _user_ids(users: dict[str, str]) -> dict[str, int]:
    for name, number in users.items():
        if not number.isdecimal():
            raise BentoError(f"users: {name}: expected a decimal user ID, got {number!r}.")
    return {name: int(number) for name, number in users.items()}
