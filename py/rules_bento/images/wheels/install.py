"""Decides where the files of a wheel are installed, before any of them is unpacked.

The rules are those of PyPA's "Binary distribution format" (spread, scripts, RECORD) and "Recording installed
projects" (INSTALLER, REQUESTED); where these leave room, the choice is that of `uv pip install --no-compile`, so
that an image holds the tree that its users know. RECORD is true: every file that is installed, with its digest
and size, sorted, and nothing else. Byte code is not made here (`bytecode`).
"""

from __future__ import annotations

import posixpath

from rules_bento.errors import BentoError
from rules_bento.hints import TYPE_CHECKING
from rules_bento.images.wheels.imported import check_parents, twice
from rules_bento.images.wheels.record import SIGNATURES
from rules_bento.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rules_bento.images.wheels.record import Member
    from rules_bento.images.wheels.wheel import EntryPoint, Wheel

_PLACEHOLDER = b"#!python"
_LONGEST_INTERPRETER = 124  # with "#!" and a line feed: what old kernels read of a first line

_LAUNCHER = """\
{interpreter}
# -*- coding: utf-8 -*-
import sys
from {module} import {first}
if __name__ == "__main__":
    if sys.argv[0].endswith("-script.pyw"):
        sys.argv[0] = sys.argv[0][:-11]
    elif sys.argv[0].endswith(".exe"):
        sys.argv[0] = sys.argv[0][:-4]
    sys.exit({function}())
"""


class Layout(NamedTuple):
    """Describes where an environment lies in the image, and who owns it. Paths are absolute paths in the image."""

    prefix: str  # what the wheel calls data goes there; owned from here on downwards
    site_packages: str
    scripts: str
    headers: str  # each distribution has a folder in it
    interpreter: str  # for the first line of scripts
    python_minor: int  # of Python 3
    uid: int = 0
    gid: int = 0
    installer: str = "rules_bento"  # what INSTALLER says
    requested: bool = False  # whether there is a file REQUESTED

    @classmethod
    def venv(cls, prefix: str, python_minor: int, *, uid: int = 0, gid: int = 0) -> Layout:
        """Return the layout of a virtual environment at `prefix`, whose interpreter is in its bin/."""
        version = f"python3.{python_minor}"
        return cls(
            prefix=prefix,
            site_packages=f"{prefix}/lib/{version}/site-packages",
            scripts=f"{prefix}/bin",
            headers=f"{prefix}/include/site/{version}",
            interpreter=f"{prefix}/bin/python",
            python_minor=python_minor,
            uid=uid,
            gid=gid,
        )


class Installed(NamedTuple):
    """Describes a file of an installed wheel: a member as it is, or bytes that are made here."""

    path: str  # in the image, without the slash before it
    executable: bool
    member: Member | None
    data: bytes = b""

    @property
    def size(self) -> int:
        """Return the size of the file in bytes."""
        return self.member.size if self.member else len(self.data)

    @property
    def digest(self) -> tuple[str, bytes]:
        """Return the algorithm and the digest of the contents."""
        import hashlib

        if self.member:
            return self.member.algorithm, self.member.digest
        return "sha256", hashlib.sha256(self.data).digest()


def installed_files(wheel: Wheel, layout: Layout) -> list[Installed]:
    """Return the files, by path, RECORD among them.

    Reads of the contents only what an installer changes. Raises BentoError for a wheel whose files cannot be
    placed: a scheme nobody knows, two files at one place, a script with the name of the interpreter.
    """
    files: dict[str, Installed] = {}
    launchers = {point.name: point for point in _with_pip(wheel.entry_points, layout.python_minor)}
    for file in (*_spread(wheel, layout, launchers.keys()), *_made(wheel, layout, launchers.values())):
        if file.path in files:
            raise BentoError(twice(wheel, file.path))
        if f"/{file.path}" in (layout.interpreter, f"{layout.prefix}/pyvenv.cfg"):
            raise BentoError(f"{wheel.name}: would replace {file.path}, the environment's own. Leave that package out.")
        files[file.path] = file
    check_parents(wheel, files)
    root = _inside(layout.site_packages)
    record = wheel.member(f"{wheel.dist_info}/RECORD")
    path = f"{root}/{record.path}"
    text = _record(sorted(files.items()), root, path)
    files[path] = Installed(path, record.executable, member=None, data=text)
    return [file for _, file in sorted(files.items())]


def installed_folders(wheel: Wheel, layout: Layout) -> list[str]:
    """Return the folders that the wheel lists, by path in the image: some may be without files.

    Raises BentoError for a prefix that is no absolute, plain path.
    """
    data_folder = wheel.data_folder
    schemes = _schemes(wheel, layout)
    root = _inside(layout.site_packages)
    folders = set()
    for folder in wheel.folders:
        if not f"{folder}/".startswith(data_folder):
            folders.add(f"{root}/{folder}")
            continue
        scheme, _, path = folder[len(data_folder) :].partition("/")
        if path and scheme in schemes and scheme != "scripts":
            folders.add(f"{schemes[scheme]}/{path}")
    return sorted(folders)


def _inside(path: str) -> str:
    if not path.startswith("/") or path[1:2] in ("", "/") or posixpath.normpath(path) != path:
        raise BentoError(f"{path!r}: not an absolute, plain path in an image. Write it as /app/.venv.")
    return path[1:]


def _with_pip(points: Iterable[EntryPoint], python_minor: int) -> Iterator[EntryPoint]:
    """Rename pip's versioned command (`pip3.11`) for this Python: a wheel of pip names the one that built it."""
    for point in points:
        if not (point.name.startswith("pip3.") and point.name[5:].isdecimal()):
            yield point
        if point.name == "pip3":
            yield point._replace(name=f"pip3.{python_minor}")


def _spread(wheel: Wheel, layout: Layout, launchers: Iterable[str]) -> Iterator[Installed]:
    """Yield the wheel's own files, in their places."""
    data_folder = wheel.data_folder
    made = {f"{wheel.dist_info}/{name}" for name in ("RECORD", "INSTALLER", "REQUESTED")}
    signatures = {f"{wheel.dist_info}/{name}" for name in SIGNATURES}
    schemes = _schemes(wheel, layout)
    root = _inside(layout.site_packages)
    scripts = []
    for member in wheel.members:
        if member.path.startswith(data_folder):
            scheme, _, path = member.path.removeprefix(data_folder).partition("/")
            if not path or scheme not in schemes or (scheme == "scripts" and "/" in path):
                raise BentoError(
                    f"{wheel.name}: {member.path!r}: no place for it in an environment. Take another wheel."
                )
            if scheme != "scripts":
                yield Installed(f"{schemes[scheme]}/{path}", member.executable, member)
            elif _command(path) not in launchers:
                scripts.append(member)
        elif member.path in signatures:
            yield Installed(f"{root}/{member.path}", member.executable, None, wheel.contents(member))
        elif member.path not in made:
            yield Installed(f"{root}/{member.path}", member.executable, member)
    for script in scripts:
        yield _script(wheel, script, f"{schemes['scripts']}/{script.path.rpartition('/')[2]}", layout)


def _schemes(wheel: Wheel, layout: Layout) -> dict[str, str]:
    root = _inside(layout.site_packages)
    return {
        "data": _inside(layout.prefix),
        "headers": f"{_inside(layout.headers)}/{wheel.distribution}",
        "platlib": root,
        "purelib": root,
        "scripts": _inside(layout.scripts),
    }


def _command(name: str) -> str:
    """Return the command for which a script was made by a build tool, if the wheel has an entry point for it, too."""
    for suffix in (".exe", "-script.py", ".pya"):
        if name.endswith(suffix):
            return name.removesuffix(suffix)
    return name


def _script(wheel: Wheel, member: Member, path: str, layout: Layout) -> Installed:
    if not wheel.starts_with(member, _PLACEHOLDER):
        return Installed(path, executable=True, member=member)
    _, _, rest = wheel.contents(member).partition(b"\n")
    first = _first_line(layout.interpreter).encode()
    return Installed(path, executable=True, member=None, data=first + b"\n" + rest)


def _check_name(wheel: Wheel, name: str) -> None:
    from rules_bento.packages.virtualenv import is_interpreter

    if is_interpreter(name):
        raise BentoError(
            f"{wheel.name}: its entry point {name!r} would replace the interpreter. Leave that package out."
        )


def _made(wheel: Wheel, layout: Layout, launchers: Iterable[EntryPoint]) -> Iterator[Installed]:
    """Yield the files that an installer adds, except RECORD."""
    folder = f"{_inside(layout.site_packages)}/{wheel.dist_info}"
    yield Installed(f"{folder}/INSTALLER", executable=False, member=None, data=layout.installer.encode())
    if layout.requested:
        yield Installed(f"{folder}/REQUESTED", executable=False, member=None)
    for point in launchers:
        _check_name(wheel, point.name)
        yield Installed(
            f"{_inside(layout.scripts)}/{point.name}",
            executable=True,
            member=None,
            data=_LAUNCHER.format(
                interpreter=_first_line(layout.interpreter),
                module=point.module,
                first=point.function.partition(".")[0],
                function=point.function,
            ).encode(),
        )


def _first_line(interpreter: str) -> str:
    """Return the line that makes a script start; a detour by the shell for what kernels cannot take."""
    if len(interpreter) <= _LONGEST_INTERPRETER and " " not in interpreter:
        return f"#!{interpreter}"
    quoted = interpreter.replace("'", "'\"'\"'")
    return f"#!/bin/sh\n'''exec' '{quoted}' \"$0\" \"$@\"\n' '''"


def _record(files: Iterable[tuple[str, Installed]], root: str, record: str) -> bytes:
    """RECORD's lines, sorted by the paths in it, which are relative to `root`; its own is without a digest."""
    lines = [(_relative(path, root), f"{_digest(file)},{file.size}") for path, file in files]
    lines.append((_relative(record, root), ","))
    return "".join([f"{_quoted(path)},{rest}\n" for path, rest in sorted(lines)]).encode()


def _relative(path: str, root: str) -> str:
    if path.startswith(f"{root}/"):
        return path[len(root) + 1 :]
    return posixpath.relpath(f"/{path}", f"/{root}")


def _digest(file: Installed) -> str:
    import binascii

    algorithm, digest = file.digest
    encoded = binascii.b2a_base64(digest, newline=False).translate(_URL_SAFE).rstrip(b"=")
    return f"{algorithm}={encoded.decode()}"


_URL_SAFE = bytes.maketrans(b"+/", b"-_")


def _quoted(path: str) -> str:
    if '"' in path or "," in path:
        return '"' + path.replace('"', '""') + '"'
    return path
