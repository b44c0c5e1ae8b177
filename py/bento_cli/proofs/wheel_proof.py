"""Lists the files that follow from a wheel, by PyPA's "Binary distribution format" and RECORD's specification.

Reads wheels with the standard library, and not with the modules that install them.
"""

from __future__ import annotations

import base64
import configparser
import csv
import io
import posixpath
import re
import zipfile
from hashlib import new, sha256

from rules_bento.base.dataclasses_lite import NamedTuple
from rules_bento.base.errors import BentoError
from rules_bento.base.typing_lite import TYPE_CHECKING, Collection, Iterator, Sequence

from bento_cli.proofs.expected import Expected

if TYPE_CHECKING:
    from pathlib import Path

_PIECE = 1 << 20
_MAX_TEXT = 1 << 26  # bytes of a file of metadata, or of a script
_INSTALLED = {"INSTALLER": b"uv", "REQUESTED": b""}
_MADE = ("RECORD", *_INSTALLED)
_TARGET = re.compile(r"\s*([\w.]+)\s*:\s*([\w.]+)\s*(?:\[.*\])?\s*")
_LAUNCHER = """\
#!{python}
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


class Environment(NamedTuple):
    """A virtual environment in an image."""

    prefix: str  # without a leading slash
    minor: int  # of Python 3
    owner: tuple[int, int]

    @property
    def site_packages(self) -> str:
        """The directory of packages, without a leading slash."""
        return f"{self.prefix}/lib/python3.{self.minor}/site-packages"


class WheelFiles(NamedTuple):
    """What a wheel implies: members by path, the places of its files in the wheel, and its own directories."""

    members: dict[str, Expected]
    places: dict[str, str]
    directories: tuple[str, ...]


def wheel_files(path: Path, environment: Environment, excluded: Collection[str] = ()) -> WheelFiles:
    """Return what the installation of a verified wheel writes, without `excluded` files (names in the wheel).

    Raises BentoError for a wheel that can't be installed.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return _Installation(archive, path.name, environment, excluded).run()
    except (zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError, ValueError, configparser.Error, EOFError) as e:
        raise BentoError(f"cannot read the wheel: {e}", place=path.name, remedy="Use another wheel.") from None


class _Installation:
    """Computes the files of one wheel."""

    def __init__(self, archive: zipfile.ZipFile, name: str, environment: Environment, without: Collection[str]) -> None:
        self._archive, self._name, self._environment = archive, name, environment
        self._members: dict[str, Expected] = {}
        self._places: dict[str, str] = {}
        named = [(each.filename.removeprefix("./"), each) for each in archive.infolist()]
        listed = [(path, each) for path, each in named if "__pycache__" not in path.split("/")]
        if len({path for path, _ in listed}) != len(listed):
            raise ValueError("two members have one name")
        self._files = {path: each for path, each in listed if not each.is_dir() and path not in without}
        self._folders = [path.rstrip("/") for path, each in listed if each.is_dir()]
        infos = [path for path in self._files if path.count("/") == 1 and path.endswith(".dist-info/WHEEL")]
        if len(infos) != 1:
            raise ValueError("it doesn't have one *.dist-info directory")
        self._info = infos[0].rpartition("/")[0]
        self._data = self._info.removesuffix(".dist-info") + ".data/"
        distribution = re.sub(r"[-_.]+", "-", name.partition("-")[0]).lower()
        self._schemes = {
            "purelib": environment.site_packages,
            "platlib": environment.site_packages,
            "scripts": f"{environment.prefix}/bin",
            "data": environment.prefix,
            "headers": f"{environment.prefix}/include/site/python3.{environment.minor}/{distribution}",
        }

    def run(self) -> WheelFiles:
        launchers = dict(self._launchers())
        rows = {
            row[0].removeprefix("./").lstrip("/"): row[1]
            for row in csv.reader(io.StringIO(self._text("RECORD")))
            if len(row) == 3
        }
        listed = []
        for name, info in self._files.items():
            target = self._target(name)
            if name in {f"{self._info}/{each}" for each in _MADE}:
                continue
            is_script = target.startswith(f"{self._environment.prefix}/bin/") and name.startswith(self._data)
            command = re.sub(r"\.exe$|-script\.py$|\.pya$", "", target.rpartition("/")[2])
            if is_script and command in launchers:
                continue
            digest, size, text = self._hashed(info, is_script=is_script)
            is_executable = is_script or bool(info.external_attr >> 16 & 0o111)
            origin = self._name
            if text is None:
                self._places[target] = info.filename
            self._add(target, "wheels" if text is None else "metadata", origin, is_executable, digest)
            algorithm = rows.get(name, "").partition("=")[0] if text is None else "sha256"
            encoded = digest if algorithm in ("", "sha256") else self._digest(info, algorithm)
            listed.append((target, algorithm or "sha256", encoded, size))
        for command, text in launchers.items():
            listed.append(self._generate(f"{self._environment.prefix}/bin/{command}", text, executable=True))
        listed += [self._generate(f"{self._site}/{self._info}/{name}", text) for name, text in _INSTALLED.items()]
        record = f"{self._site}/{self._info}/RECORD"
        is_executable = bool(self._files[f"{self._info}/RECORD"].external_attr >> 16 & 0o111)
        self._generate(record, self._record(listed, record), executable=is_executable)
        folders = (self._target(name) for name in self._folders if f"{name}/" not in self._data or "/" in name)
        return WheelFiles(self._members, self._places, tuple(folders))

    @property
    def _site(self) -> str:
        return self._environment.site_packages

    def _target(self, name: str) -> str:
        """Return where a file of the wheel is installed."""
        parts = name.split("/")
        if {"", ".", ".."} & {*parts} or parts[-1].startswith(".wh."):
            raise ValueError(f"a member has the name {name!r}")
        if not f"{name}/".startswith(self._data):
            return f"{self._site}/{name}"
        _, scheme, *rest = [*parts, ""][: len(parts) + (len(parts) == 1)]
        if scheme and scheme not in self._schemes:
            raise ValueError(f"{name!r} is of an unknown scheme")
        return "/".join([self._schemes.get(scheme, self._site), *rest])

    def _add(self, path: str, source: str, origin: str, is_executable: bool, digest: str) -> None:
        if path in self._members:
            raise ValueError(f"two files would be installed as {path}")
        mode = 0o755 if is_executable else 0o644
        self._members[path] = Expected(source, origin, "file", mode, self._environment.owner, digest)

    def _generate(self, path: str, data: bytes, *, executable: bool = False) -> tuple[str, str, str, int]:
        digest = sha256(data).hexdigest()
        self._add(path, "metadata", self._name, executable, digest)
        return path, "sha256", digest, len(data)

    def _hashed(self, info: zipfile.ZipInfo, *, is_script: bool) -> tuple[str, int, bytes | None]:
        """Return the digest and the size of a file, and its contents if installation changes them."""
        with self._archive.open(name=info, mode="r") as file:
            if is_script and file.read(8) == b"#!python":
                rest = b"#!python" + file.read(_MAX_TEXT)
                text = f"#!/{self._environment.prefix}/bin/python\n".encode() + rest.partition(b"\n")[2]
                return sha256(text).hexdigest(), len(text), text
        return self._digest(info, "sha256"), info.file_size, None

    def _digest(self, info: zipfile.ZipInfo, algorithm: str) -> str:
        digest = new(algorithm)
        with self._archive.open(name=info, mode="r") as file:
            while piece := file.read(_PIECE):
                digest.update(piece)
        return digest.hexdigest()

    def _text(self, name: str) -> str:
        info = self._files[f"{self._info}/{name}"]
        if info.file_size > _MAX_TEXT:
            raise ValueError(f"{name} has {info.file_size} bytes")
        return self._archive.read(info).decode()

    def _launchers(self) -> Iterator[tuple[str, bytes]]:
        """Yield the scripts of the entry points, by name."""
        if f"{self._info}/entry_points.txt" not in self._files:
            return
        parser = configparser.ConfigParser(
            allow_no_value=True, default_section="", delimiters=("=",), interpolation=None, strict=False
        )
        parser.optionxform = str  # type: ignore[method-assign, assignment]  # names are case-sensitive
        parser.read_string(self._text("entry_points.txt"))
        for section in ("console_scripts", "gui_scripts"):
            for name, value in parser[section].items() if parser.has_section(section) else ():
                match = _TARGET.fullmatch(value or "")
                if not match or "/" in name:
                    raise ValueError(f"the entry point {name!r} is {value!r}")
                text = _LAUNCHER.format(
                    python=f"/{self._environment.prefix}/bin/python",
                    module=match[1],
                    first=match[2].partition(".")[0],
                    function=match[2],
                ).encode()
                if not re.fullmatch(r"pip3\.\d+", name):  # of the Python that built pip
                    yield name, text
                if name == "pip3":
                    yield f"pip3.{self._environment.minor}", text

    def _record(self, listed: Sequence[tuple[str, str, str, int]], record: str) -> bytes:
        """Return RECORD: the path relative to site-packages, the digest, and the size of each file, sorted."""
        rows = []
        for path, algorithm, digest, size in listed:
            encoded = base64.urlsafe_b64encode(bytes.fromhex(digest)).rstrip(b"=").decode()
            rows.append((posixpath.relpath(path, self._site), f"{algorithm}={encoded}", str(size)))
        rows.append((posixpath.relpath(record, self._site), "", ""))
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(sorted(rows))
        return text.getvalue().encode()
