"""SFTP's packets: what servers may do that the one of the other tests does not."""

from __future__ import annotations

import sys
import time

import pytest
from bento_cli.transports import address, sftp
from bento_cli.transports.source import Source
from rules_bento.errors import BentoError
from rules_bento.net import transfers

# Version 3 without extensions. It gives a third of what is asked for at most, answers two reads in the wrong order, and
# renames only to a name that is free. The files are those of a directory.
SERVER = """
import os, struct, sys
root, how = os.environ["ROOT"], os.environ.get("HOW", "")
def take(size):
    data = b""
    while len(data) < size:
        more = os.read(0, size - len(data))
        if not more: sys.exit(0)
        data += more
    return data
def send(kind, number, body):
    packet = struct.pack(">BI", kind, number) + body
    os.write(1, struct.pack(">I", len(packet)) + packet)
def status(number, code, text=b""):
    send(101, number, struct.pack(">I", code) + struct.pack(">I", len(text)) + text + bytes(4))
def cut(body):
    size, = struct.unpack_from(">I", body)
    return body[4:4 + size], body[4 + size:]
if how == "noise":
    os.write(1, b"Welcome to this machine")
if how == "unasked":
    os.write(1, struct.pack(">IBI", 5, 2, 3))
    while True: send(103, 100000, bytes(250000))
if how == "silent":
    take(1 << 30)
waiting = []
while True:
    body = take(struct.unpack(">I", take(4))[0])
    kind, number = struct.unpack_from(">BI", body)
    body = body[5:]
    if kind == 1:
        os.write(1, struct.pack(">IBI", 5, 2, 3))
        continue
    first, rest = cut(body)
    path = root + first.decode()
    if kind == 3:
        flags, = struct.unpack_from(">I", rest)
        os.close(os.open(path, os.O_RDWR | (os.O_CREAT if flags & 8 else 0) | (os.O_TRUNC if flags & 16 else 0)))
        send(102, number, struct.pack(">I", len(first)) + first)
    elif kind == 5:
        at, size = struct.unpack(">QI", rest)
        data = open(path, "rb").read()[at:at + max(1, size // 3)]
        waiting.append((number, struct.pack(">I", len(data)) + data))
        if len(waiting) == 2 or size < 1 << 15:
            for number, data in reversed(waiting): send(103, number, data)
            waiting.clear()
    elif kind == 6:
        at, = struct.unpack_from(">Q", rest)
        with open(path, "r+b") as file:
            file.seek(at)
            file.write(cut(rest[8:])[0])
        status(number, 0)
    elif kind == 17 and not os.path.exists(path):
        status(number, 2)
    elif kind == 17:
        send(105, number, struct.pack(">IQ", 1, os.path.getsize(path)))
    elif kind == 18 and os.path.exists(root + cut(rest)[0].decode()):
        status(number, 4, b"it is there")
    elif kind in (13, 18):
        os.unlink(path) if kind == 13 else os.rename(path, root + cut(rest)[0].decode())
        status(number, 0)
    else:
        status(number, 0 if kind == 4 else 8)
"""


class Counted:
    done = 0

    def advance(self, size):
        self.done += size


@pytest.fixture
def remote(tmp_path, monkeypatch):
    """A file of a server that has it in a directory."""
    (tmp_path / "root").mkdir()
    (tmp_path / "server.py").write_text(SERVER)
    program = tmp_path / "ssh"
    program.write_text(f"#!/bin/sh\nexec {sys.executable} -I -S {tmp_path}/server.py\n")
    program.chmod(0o755)
    monkeypatch.setenv("ROOT", str(tmp_path / "root"))
    monkeypatch.setattr(transfers, "_FIRST_WAIT", 0.001)
    found = sftp.OpenSsh(address.parse("sftp://host/x"), str(program))
    yield found
    found.close()


def test_short_answers_in_any_order(remote, tmp_path):
    data = bytes(range(251)) * 2000
    (tmp_path / "root/x").write_bytes(data)
    stat = remote.stat()
    assert stat.size == len(data)
    assert b"".join(bytes(piece) for piece in remote.read(stat, 0, stat.size)) == data
    assert b"".join(bytes(piece) for piece in remote.read(stat, 1000, 200_001)) == data[1000:200_001]


def test_a_server_that_replaces_nothing(remote, tmp_path):
    data = bytes(range(251)) * 2000
    (tmp_path / "root/x").write_bytes(b"old")
    (tmp_path / "source").write_bytes(data)
    counter = Counted()
    with (tmp_path / "source").open("rb") as file:
        remote.write(Source(file), counter)
    assert counter.done == len(data)
    assert [path.name for path in (tmp_path / "root").iterdir()] == ["x"]
    assert (tmp_path / "root/x").read_bytes() == data


def test_what_is_no_sftp_is_told(remote, monkeypatch):
    monkeypatch.setenv("HOW", "noise")
    with pytest.raises(BentoError, match="sftp://host/x: the transfer failed repeatedly.*1466264675 bytes"):
        remote.attempt(remote.stat)


def test_answers_that_nobody_asked_for_are_not_kept(remote, monkeypatch):
    monkeypatch.setenv("HOW", "unasked")
    with pytest.raises(BentoError, match="responded to an unknown request"):
        remote.attempt(remote.stat)


def test_silence_counts_as_a_cut(remote, monkeypatch):
    monkeypatch.setenv("HOW", "silent")
    monkeypatch.setattr(sftp, "_PATIENCE", 1)
    begin = time.monotonic()
    with pytest.raises(Exception, match="didn't respond within 1 s"):
        remote.stat()
    assert time.monotonic() - begin < 10
