"""Generates zips whose parts contradict each other, and reads zips with Python's zipfile in another process."""

from __future__ import annotations

import json
import struct
import subprocess
import zlib
from pathlib import Path
from random import Random
from typing import Any

INFO = "ho-1.0.dist-info"
FILES = {
    "ho/": b"",
    "ho/__init__.py": b"print('EVIL!')\n",
    "ho/notes.txt": b"print('clean')\n" * 9,
    "ho/data.bin": bytes(range(256)) * 30,
    f"{INFO}/METADATA": b"Metadata-Version: 2.1\nName: ho\nVersion: 1.0\n",
    f"{INFO}/WHEEL": b"Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
}
FILES[f"{INFO}/RECORD"] = "".join(f"{name},,\n" for name in [*FILES, f"{INFO}/RECORD"] if name[-1] != "/").encode()
NAMES = (*FILES, "ho/other.py", "HO/__init__.py", "ho\\x.py", "ho/a\0.py", "ho/../ho/x.py", "ho//x.py", "/x", "ho", "é")
_MAX_32, _MAX_16 = 0xFFFFFFFF, 0xFFFF
_JUDGE = """
import hashlib, json, sys, warnings, zipfile
warnings.simplefilter("ignore")
for line in sys.stdin:
    try:
        with zipfile.ZipFile(line[:-1]) as archive:
            members = [(i.filename, i.file_size, archive.read(i)) for i in archive.infolist() if not i.is_dir()]
        answer = sorted((name, size, hashlib.sha256(data).hexdigest()) for name, size, data in members)
    except Exception as error:
        answer = repr(error)
    print(json.dumps(answer), flush=True)
"""


class Zipfile:
    """Reads zips with the `zipfile` of a Python."""

    def __init__(self, *python: str) -> None:
        self._process = subprocess.Popen(
            [*python, "-c", _JUDGE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def read(self, path: Path) -> list[tuple[str, int, str]] | None:
        """Return the name, the size, and the SHA-256 of each file, or None if zipfile rejects the zip."""
        self._process.stdin.write(f"{path}\n")  # type: ignore[union-attr]
        self._process.stdin.flush()  # type: ignore[union-attr]
        answer = json.loads(self._process.stdout.readline())  # type: ignore[union-attr]
        return None if isinstance(answer, str) else [tuple(entry) for entry in answer]

    def close(self) -> None:
        self._process.communicate()


class _Member:
    """The parts of a member. Attributes that begin with `local` are in the local header."""

    def __init__(self, name: str, data: bytes, random: Random) -> None:
        deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
        self.method = random.choice((0, 8)) if data else 0
        self.stream = deflate.compress(data) + deflate.flush() if self.method else data
        self.name = self.local_name = name.encode()
        self.size = self.local_size = len(data)
        self.packed = self.local_packed = len(self.stream)
        self.crc = self.local_crc = zlib.crc32(data)
        self.flags = self.local_flags = 0 if name.isascii() else 1 << 11
        self.mode, self.system = (0o040755 if name.endswith("/") else 0o100644), 3
        self.extra = self.local_extra = self.descriptor = self.after = self.comment = b""
        self.at: int | None = None
        self.local_method = self.method
        if random.random() < 0.1:
            self.flags = self.local_flags = self.flags | 1 << 3
            self.descriptor = random.choice((b"", b"PK\7\10")) + struct.pack("<3L", self.crc, self.packed, self.size)
            if random.random() < 0.8:
                self.local_crc = self.local_size = self.local_packed = 0
        if random.random() < 0.1:
            self.extra = struct.pack("<2H2Q", 1, 16, self.size, self.packed)
            self.size = self.packed = _MAX_32
        if random.random() < 0.1:
            self.local_extra = struct.pack("<2H2Q", 1, 16, self.local_size, self.local_packed)
            self.local_size = self.local_packed = _MAX_32

    def local(self) -> bytes:
        numbers = self.local_crc, self.local_packed, self.local_size, len(self.local_name), len(self.local_extra)
        head = struct.pack("<4s5H3L2H", b"PK\3\4", 20, self.local_flags, self.local_method, 0, 33, *numbers)
        return head + self.local_name + self.local_extra + self.stream + self.descriptor + self.after

    def central(self, at: int) -> bytes:
        numbers = self.crc, self.packed, self.size, len(self.name), len(self.extra), len(self.comment)
        head = struct.pack("<4s2B5H3L3H", b"PK\1\2", 20, self.system, 20, self.flags, self.method, 0, 33, *numbers)
        tail = struct.pack("<2H2L", 0, 0, self.mode << 16, at if self.at is None else self.at)
        return head + tail + self.name + self.extra + self.comment


def _field(random: Random, member: _Member) -> bytes:
    """Return an extra field that a reader might use: another name, other sizes, or a damaged field."""
    name = random.choice(NAMES).encode()
    numbers = [random.choice((member.size, member.packed, 0, 3, _MAX_32)) for _ in range(random.randrange(4))]
    kind, body = random.choice(
        (
            (0x7075, b"\1" + struct.pack("<L", zlib.crc32(random.choice((member.name, member.local_name)))) + name),
            (0x7075, b"\1" + struct.pack("<L", zlib.crc32(member.name)) + member.name),
            (0x7075, random.randbytes(3)),
            (0x6375, b"\1" + struct.pack("<L", zlib.crc32(member.comment)) + b"x"),
            (1, struct.pack(f"<{len(numbers)}Q", *numbers)),
            (1, b"1234"),
            (0x5455, b"\1" + bytes(4)),
            (0, b""),
        )
    )
    field = struct.pack("<2H", kind, len(body)) + body
    return random.choice((field, field, field + bytes(random.randrange(4)), field[: random.randrange(len(field))]))


def _change(members: list[_Member], random: Random) -> None:
    """Change a part of a member, in one or both headers."""
    member = random.choice(members)
    part = random.choice(
        ("name", "size", "packed", "crc", "flags", "method", "extra", "extra", "after", "descriptor", "mode", "system",
         "at", "comment", "stream", "twice", "swap")
    )  # fmt: skip
    both = random.random() < 0.4
    value: Any = None
    if part == "twice":
        members.insert(random.randrange(len(members)), _Member(member.name.decode(), b"other", random))
    elif part == "swap":
        other = random.choice(members)
        member.name, other.name = other.name, member.name
        if both:
            member.local_name, other.local_name = other.local_name, member.local_name
    elif part == "name":
        value = random.choice((*NAMES, "ho/data.py" if random.random() < 0.5 else "ho/x/")).encode()
    elif part in ("size", "packed", "crc"):
        old = getattr(member, part)
        value = random.choice((0, old ^ 1, min(old + 1, _MAX_32), max(0, old - 1), _MAX_32, random.randrange(1 << 16)))
    elif part == "flags":
        value = member.flags ^ 1 << random.randrange(16)
    elif part == "method":
        value = random.choice((0, 8, 8, 12, 93))
    elif part == "extra":
        value = _field(random, member) + random.choice((b"", b"", _field(random, member)))
    elif part == "after":
        hidden = _Member("ho/__init__.py", b"hidden", random)
        member.after = random.choice((b"\0" * random.choice((1, 12, 16)), hidden.local(), hidden.central(0)))
    elif part == "descriptor":
        member.descriptor = random.choice(
            (b"", b"PK\7\10" + bytes(12), struct.pack("<L2Q", member.crc, 1, 1), bytes(8))
        )
        value, part = random.choice((8, 0)), "flags"
    elif part == "mode":
        member.mode = random.choice((0, 0o120777, 0o100755, 0o040755, 0o060644))
    elif part == "system":
        member.system = random.choice((0, 7, 10, 19))
    elif part == "at":
        member.at = random.choice((0, 31, 60, random.randrange(400), _MAX_32))
    elif part == "comment":
        member.comment = random.choice((b"x", b"PK\5\6" + bytes(18), b"PK\1\2" * 12))
    elif member.stream:
        stream = bytearray(member.stream)
        stream[random.randrange(len(stream))] ^= 1 << random.randrange(8)
        member.stream = bytes(random.choice((stream, stream + b"\3\0", stream[:-1])))
    if value is not None:
        for prefix in ("", "local_") if both else (random.choice(("", "local_")),):
            setattr(member, prefix + part, value)


def make_zip(random: Random, files: dict[str, bytes]) -> bytes:
    """Return a zip of files, with up to three changes of members, of the directory, or of the end."""
    names = list(files)
    if random.random() < 0.3:
        random.shuffle(names)
    members = [_Member(name, files[name], random) for name in names]
    for _ in range(random.choice((0, 1, 1, 1, 2, 3))):
        _change(members, random)
    before = random.choice((*(b"",) * 30, b"#!x\n", members[0].local()))
    body, directory = bytearray(before), b""
    shift = random.choice((0, len(before))) if before else 0
    for member in members:
        directory += member.central(len(body) - shift)
        body += member.local()
    start, count = len(body) - shift, len(members)
    form = random.choice((*("plain",) * 8, "64", "64 only", "64 other", "two", "hidden", "numbers", "comment"))
    other = members[0].central(0)  # another directory, with one member
    if form in ("64", "64 only", "64 other", "hidden"):
        end_at = start + len(directory)
        numbers = [44, 45, 45, 0, 0, count, count, len(directory), start]
        if form in ("64 other", "hidden"):
            numbers[random.randrange(9)] = random.choice((0, 1, count - 1, len(other), end_at))
        record = struct.pack("<4sQ2H2L4Q", b"PK\6\6", *numbers)
        record += struct.pack(
            "<4sLQL", b"PK\6\7", 0, random.choice((end_at, end_at, end_at, 0)), random.choice((0, 1, 1, 2))
        )
        if form == "hidden":  # in the comment of the last member
            members[-1].comment = other + record
            last = members[-1].central(len(body) - shift - len(members[-1].local()))
            directory = directory[: -len(last) + len(other + record)] + last
        else:
            directory_end = directory + record
    body += directory if form in ("plain", "two", "hidden", "numbers", "comment") else directory_end
    plain = count, len(directory), start
    if form == "64 only":
        plain = _MAX_16, _MAX_32, _MAX_32
    elif form == "64 other":
        plain = random.choice(((_MAX_16, len(directory), start), (count, _MAX_32, start), plain))
    elif form == "numbers":
        plain = random.choice(
            ((count - 1, *plain[1:]), (_MAX_16, *plain[1:]), (count, plain[1] - 1, start), (count, plain[1], start + 1))
        )
    comment = b""
    if form == "comment":
        comment = random.choice(
            (
                b"x",
                b"PK\5\6",
                b"PK\5\6" + bytes(18),
                struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, len(other), start, 0),
            )
        )
    tail = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, plain[0], plain[0], *plain[1:], len(comment)) + comment
    if form == "two":
        first = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, len(other), start, random.choice((len(tail), 0)))
        tail = first + tail
    return bytes(body + tail + random.choice((*(b"",) * 30, b"\0", b"PK")))
