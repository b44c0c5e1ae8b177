"""Creates wheels for tests: valid wheels with unusual features, and wheels that must be rejected."""

from __future__ import annotations

import base64
import hashlib
import struct
import zipfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

METADATA = "Metadata-Version: 2.1\nName: {}\nVersion: {}\n"
WHEEL = "Wheel-Version: 1.0\nGenerator: a test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def record_line(path: str, data: bytes, algorithm: str = "sha256") -> str:
    digest = base64.urlsafe_b64encode(hashlib.new(algorithm, data).digest()).rstrip(b"=").decode()
    quoted = '"' + path.replace('"', '""') + '"' if "," in path or '"' in path else path
    return f"{quoted},{algorithm}={digest},{len(data)}"


class Maker:
    """Builds a wheel. Change the attributes before you call `write`."""

    def __init__(self, name: str = "odd", version: str = "1.0") -> None:
        self.name, self.version = name, version
        self.dist_info = f"{name}-{version}.dist-info"
        self.data = f"{name}-{version}.data"
        self.files: dict[str, bytes] = {
            f"{self.dist_info}/METADATA": METADATA.format(name, version).encode(),
            f"{self.dist_info}/WHEEL": WHEEL.encode(),
        }
        self.stored: set[str] = set()
        self.modes: dict[str, int] = {}
        self.directories: list[str] = []
        self.record: bytes | None = None  # made of the files, if it is not given

    def add(self, files: Mapping[str, bytes | str], *, mode: int = 0o644, stored: bool = False) -> Maker:
        for path, data in files.items():
            self.files[path] = data.encode() if isinstance(data, str) else data
            self.modes[path] = mode
            if stored:
                self.stored.add(path)
        return self

    def entry_points(self, text: str) -> Maker:
        return self.add({f"{self.dist_info}/entry_points.txt": text})

    def lines(self) -> list[str]:
        return [record_line(path, data) for path, data in self.files.items() if path[-1] != "/"] + [
            f"{self.dist_info}/RECORD,,"
        ]

    def write(self, directory: Path, *, order=list, date=(2020, 2, 2, 2, 2, 2), file_name=None, level=None) -> Path:
        wheel = directory / (file_name or f"{self.name}-{self.version}-py3-none-any.whl")
        record = "\n".join([*self.lines(), ""]).encode() if self.record is None else self.record
        with zipfile.ZipFile(wheel, "w") as archive:
            for path in self.directories:
                archive.writestr(zipfile.ZipInfo(f"{path}/", date), b"")
            for path, data in order([*self.files.items(), (f"{self.dist_info}/RECORD", record)]):
                self.put(archive, path, data, date, level)
        return wheel

    def put(self, archive: zipfile.ZipFile, path: str, data: bytes, date, level) -> None:
        info = zipfile.ZipInfo(path, date)
        info.create_system = 3
        info.external_attr = (0o100000 | self.modes.get(path, 0o644)) << 16
        info.compress_type = zipfile.ZIP_STORED if path in self.stored else zipfile.ZIP_DEFLATED
        archive.writestr(info, data, compresslevel=level)


def central(data: bytes, name: str) -> int:
    """Return the offset of a member's entry in the directory of a zip."""
    end = data.rindex(b"PK\5\6")
    at = struct.unpack_from("<L", data, end + 16)[0]
    while not data[at + 46 :].startswith(name.encode()):
        lengths = struct.unpack_from("<3H", data, at + 28)
        at += 46 + sum(lengths)
    return at


def local(data: bytes, name: str) -> int:
    """Return the offset of a member's header in a zip."""
    return struct.unpack_from("<L", data, central(data, name) + 42)[0]


def patched(wheel: Path, name: str, *, in_central=(), in_local=()) -> Path:
    """Change fields of a member in the wheel: (offset, format, value). Returns the wheel."""
    data = bytearray(wheel.read_bytes())
    for at, changes in ((central(data, name), in_central), (local(data, name), in_local)):
        for offset, form, value in changes:
            struct.pack_into(form, data, at + offset, value)
    wheel.write_bytes(data)
    return wheel


def renamed(wheel: Path, name: str, other: str) -> Path:
    """Replace a name in the wheel with another name of the same length, at each occurrence. Returns the wheel."""
    assert len(name.encode()) == len(other.encode())
    wheel.write_bytes(wheel.read_bytes().replace(name.encode(), other.encode()))
    return wheel
