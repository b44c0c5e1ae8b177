"""Client for SFTP (version 3) that runs this machine's `ssh`, and sends many requests in parallel.

OpenSSH handles known hosts, `~/.ssh/config`, keys, the agent, and jump hosts. OpenSSH also encrypts the data, in its
own process, so that a transfer is as fast as with OpenSSH's `sftp`.
"""

from __future__ import annotations

import os
import socket
import struct
import subprocess
from collections import deque
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile

from rules_bento.dataclasses_lite import NamedTuple
from rules_bento.errors import BentoError
from rules_bento.net import ConnectionLostError, limits
from rules_bento.programs import which
from rules_bento.typing_lite import IO, TYPE_CHECKING, Iterator

from bento_cli.transports.remote import RenameUpload, Stat

if TYPE_CHECKING:
    from bento_cli.transports.address import Address
    from bento_cli.transports.remote import Buffer, Remote
    from bento_cli.transports.source import Source

_PATIENCE = 60  # seconds without progress
_LEAST = 1 << 15  # maximum bytes of a request that every server supports
_MOST = 1 << 18  # maximum bytes of a request if the server supports more
MAX_PENDING = 4 << 20
"""The maximum number of requested bytes without a response."""

_OPTIONS = {
    "BatchMode": "yes",
    "Ciphers": "^aes128-gcm@openssh.com,aes256-gcm@openssh.com",  # these need half the CPU time of the default
    "ClearAllForwardings": "yes",
    "ConnectTimeout": str(_PATIENCE),
    "ControlMaster": "no",
    "ForwardAgent": "no",
    "ForwardX11": "no",
    "PermitLocalCommand": "no",
    "ServerAliveInterval": "15",
    "StrictHostKeyChecking": "yes",
}

# Types of packets, flags, and codes of draft-ietf-secsh-filexfer-02.
_INIT, _VERSION, _OPEN, _CLOSE, _READ, _WRITE, _REMOVE, _MKDIR, _STAT, _RENAME = 1, 2, 3, 4, 5, 6, 13, 14, 17, 18
_STATUS, _HANDLE, _DATA, _ATTRIBUTES, _EXTENDED, _EXTENDED_REPLY = 101, 102, 103, 105, 200, 201
_FOR_READING, _FOR_WRITING, _CREATE, _TRUNCATE = 1, 2, 8, 16
_OK, _EOF, _NO_SUCH_FILE, _DENIED, _UNSUPPORTED = 0, 1, 2, 3, 8
_SIZE, _OWNERS, _MODE, _TIMES = 1, 2, 4, 8  # flags for attributes


class _StatusError(Exception):
    """Raised for an error status from the server. Users never see this error."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class _Answer(NamedTuple):
    """A packet from the server: the type, and the content after the request number."""

    kind: int
    body: memoryview


class OpenSsh(RenameUpload):
    """Client for a file on an SFTP server. `program` is the path of `ssh`."""

    window = MAX_PENDING

    def __init__(self, address: Address, program: str) -> None:
        super().__init__(address)
        self._program = program
        self._session: _Session | None = None

    def stat(self) -> Stat:
        with self._errors():
            attributes = self._stat(self.address.path)
            if attributes is None:
                raise self.missing()
            size, changed = attributes
            return Stat(size, str(changed) if changed else "")

    def read(self, stat: Stat, start: int, end: int | None) -> Iterator[Buffer]:
        yield from self.stream(self.address.path, start, end if end is not None else stat.size or 0)

    def stream(self, path: str, start: int, end: int) -> Iterator[Buffer]:
        with self._errors():
            session = self._open()
            handle = session.open(path, _FOR_READING)
            yield from session.read(handle, start, end)
            session.ask(_CLOSE, _text(handle))

    def append(self, path: str, source: Source, at: int) -> Iterator[int]:
        with self._errors():
            session = self._open()
            handle = session.open(path, _FOR_WRITING | _CREATE | (0 if at else _TRUNCATE))
            yield from session.write(handle, source, at)
            if "fsync@openssh.com" in session.extensions:
                session.ask(_EXTENDED, _text(b"fsync@openssh.com") + _text(handle))
            session.ask(_CLOSE, _text(handle))

    def size(self, path: str) -> int | None:
        with self._errors():
            attributes = self._stat(path)
            return attributes[0] if attributes else None

    def make_directory(self, path: str) -> None:
        with self._errors():
            if self._stat(path) is None:
                with suppress(_StatusError):
                    self._open().ask(_MKDIR, _path(path) + struct.pack(">I", 0))

    def rename(self, path: str, target: str) -> None:
        with self._errors():
            if self._stat(path) is None and self._stat(target) is not None:
                return  # the response to an earlier rename was lost
            names = _path(path) + _path(target)
            if "posix-rename@openssh.com" in self._open().extensions:
                self._open().ask(_EXTENDED, _text(b"posix-rename@openssh.com") + names)
            else:
                self.remove(target)
                self._open().ask(_RENAME, names)

    def remove(self, path: str) -> None:
        with self._errors():
            try:
                self._open().ask(_REMOVE, _path(path))
            except _StatusError as error:
                if error.code != _NO_SUCH_FILE:
                    raise

    def close(self) -> None:
        if self._session:
            self._session.close()
            self._session = None

    def _stat(self, path: str) -> tuple[int, int] | None:
        """Return a file's size in bytes and modification time in seconds, or None if the file doesn't exist."""
        try:
            return _attributes(self._open().ask(_STAT, _path(path), _ATTRIBUTES))
        except _StatusError as error:
            if error.code != _NO_SUCH_FILE:
                raise
            return None

    def _open(self) -> _Session:
        if self._session is None:
            user, password = self.address.login()
            words = ["-l", user] if user else []
            words += ["-p", str(self.address.port)] if self.address.port else []
            self._session = _Session(self._program, [*words, "-s", "--", self.address.host, "sftp"], password)
            self._session.begin()
        return self._session

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except _StatusError as error:
            if error.code in (_NO_SUCH_FILE, _DENIED):
                raise self.refused(error, "Check the path, and the permissions of the user.") from None
            self.close()
            raise ConnectionLostError(str(error)) from None
        except (OSError, struct.error) as error:
            reason = self._session.end() if self._session else ""
            self.close()
            if "Host key verification failed" in reason:
                raise self.refused(
                    "the key of the host is unknown or changed",
                    "Check the key, and add the key to ~/.ssh/known_hosts, for example with `ssh "
                    f"{self.address.host}`.",
                ) from None
            last = reason.strip().rpartition("\n")[2].strip()
            if "Permission denied" in reason:
                raise self.refused(last, "Check the user, and the keys in ~/.ssh or the agent.") from None
            if "subsystem request failed" in reason:
                raise self.refused(last, "Enable the SFTP subsystem on the server.") from None
            reason = last if isinstance(error, ConnectionError) else ""
            raise ConnectionLostError(reason or str(error) or type(error).__name__) from None
        except GeneratorExit:
            self.close()  # some responses are still outstanding
            raise


class _Session:
    """SFTP session over a running `ssh`. Methods raise OSError if the connection fails."""

    def __init__(self, program: str, words: list[str], password: str) -> None:
        self._number = 0
        self._asked: set[int] = set()  # numbers of requests without a response
        self._early: dict[int, _Answer] = {}
        self._buffer = memoryview(bytearray(_MOST + 1024))
        self._piece = _LEAST
        self.extensions: set[str] = set()
        self._errors: IO[bytes] = TemporaryFile()  # noqa: SIM115 - open as long as the program runs
        self._secret = TemporaryDirectory() if password else None
        options = {**_OPTIONS}
        environment = dict(os.environ)
        if self._secret:
            options |= {"BatchMode": "no", "NumberOfPasswordPrompts": "1"}
            environment |= _askpass(Path(self._secret.name), password)
        self._socket, theirs = socket.socketpair()
        patience = struct.pack("ll", _PATIENCE, 0)
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            self._socket.setsockopt(socket.SOL_SOCKET, option, patience)
        try:
            self._process = subprocess.Popen(
                [program, *(f"-o{name}={value}" for name, value in options.items()), *words],
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=self._errors,
                env=environment,
            )
        finally:
            theirs.close()

    def begin(self) -> None:
        """Begin the session, and request the server's limits. Raises OSError if the server doesn't support SFTP."""
        self._send(struct.pack(">BI", _INIT, 3))
        body = self._receive()
        if body[0] != _VERSION:
            raise OSError("the server doesn't support SFTP")
        rest = body[5:]
        while rest:
            name, rest = _cut(rest)
            _, rest = _cut(rest)
            self.extensions.add(bytes(name).decode(errors="replace"))
        if "limits@openssh.com" in self.extensions:
            limits = self.ask(_EXTENDED, _text(b"limits@openssh.com"), _EXTENDED_REPLY)
            packet, reading, writing = struct.unpack_from(">QQQ", limits)
            known = [limit for limit in (packet - 1024, reading, writing) if limit > 0]
            self._piece = max(_LEAST, min(_MOST, *known)) if known else _LEAST

    def open(self, path: str, flags: int) -> bytes:
        """Open a file, and return its handle."""
        body = self.ask(_OPEN, _path(path) + struct.pack(">II", flags, 0), _HANDLE)
        return bytes(_cut(body)[0])

    def read(self, handle: bytes, start: int, end: int) -> Iterator[memoryview]:
        """Yield the bytes of a file from `start` to `end`, in order."""
        requests: deque[tuple[int, int, int]] = deque()
        most = max(2, MAX_PENDING // self._piece)

        def ask(at: int, size: int) -> tuple[int, int, int]:
            return self._request(_READ, _text(handle) + struct.pack(">QI", at, size)), at, size

        while requests or start < end:
            while start < end and len(requests) < most:
                requests.append(ask(start, min(self._piece, end - start)))
                start += requests[-1][2]
            number, at, size = requests.popleft()
            try:
                data, _ = _cut(self._answer(number, _DATA))
            except _StatusError as error:
                if error.code == _EOF:
                    raise OSError("the file is smaller than expected") from None
                raise
            if not 0 < len(data) <= size:
                raise OSError("the server returned the wrong number of bytes")
            if len(data) < size:
                requests.appendleft(ask(at + len(data), size - len(data)))
            yield data

    def write(self, handle: bytes, source: Source, at: int) -> Iterator[int]:
        """Write the source, from offset `at`, to the same offset of an open file. Yields the size of each piece."""
        sent: deque[tuple[int, int]] = deque()
        most = max(2, MAX_PENDING // self._piece)
        for data in source.pieces(at, self._piece):
            if len(sent) == most:
                yield self._confirmed(*sent.popleft())
            head = _text(handle) + struct.pack(">QI", at, len(data))
            sent.append((self._request(_WRITE, head, data), len(data)))
            at += len(data)
        while sent:
            yield self._confirmed(*sent.popleft())

    def ask(self, kind: int, body: bytes, wanted: int = _STATUS) -> memoryview:
        """Send one request, and return the body of the response. Raises _StatusError for an error status."""
        return self._answer(self._request(kind, body), wanted)

    def end(self) -> str:
        """Stop `ssh`, and return its error output."""
        self._socket.close()
        try:
            self._process.wait(2)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._errors.seek(max(0, self._errors.seek(0, os.SEEK_END) - limits.REFUSAL))
        return self._errors.read().decode(errors="replace")

    def close(self) -> None:
        """End the session, and remove temporary files."""
        self.end()
        self._errors.close()
        if self._secret:
            self._secret.cleanup()

    def _confirmed(self, number: int, size: int) -> int:
        self._answer(number, _STATUS)
        return size

    def _request(self, kind: int, body: bytes, data: bytes = b"") -> int:
        self._number = (self._number + 1) & 0xFFFFFFFF
        self._asked.add(self._number)
        self._send(struct.pack(">BI", kind, self._number) + body, data)
        return self._number

    def _send(self, head: bytes, data: bytes = b"") -> None:
        self._socket.sendall(struct.pack(">I", len(head) + len(data)) + head)
        if data:
            self._socket.sendall(data)

    def _answer(self, number: int, wanted: int) -> memoryview:
        """Return the body of the response to request `number`. The body is valid until the next call."""
        answer = self._early.pop(number, None)
        while answer is None:
            packet = self._receive()
            kind, answered = struct.unpack_from(">BI", packet)
            if answered not in self._asked:
                raise OSError("the server responded to an unknown request")
            self._asked.remove(answered)
            if answered == number:
                answer = _Answer(kind, packet[5:])
            else:  # servers can respond in any order
                self._early[answered] = _Answer(kind, memoryview(bytes(packet[5:])))
        if answer.kind == _STATUS:
            code = struct.unpack_from(">I", answer.body)[0]
            if code != _OK:
                reason = bytes(_cut(answer.body[4:])[0]).decode(errors="replace") if len(answer.body) > 4 else ""
                raise _StatusError(code, reason or f"status {code}")
        if answer.kind != wanted:
            raise OSError(f"the server sent a packet of unexpected type {answer.kind}")
        return answer.body

    def _receive(self) -> memoryview:
        (size,) = struct.unpack(">I", self._exactly(4))
        if not 5 <= size <= len(self._buffer):
            raise OSError(f"the server sent a packet with an invalid size ({size} bytes)")
        return self._exactly(size)

    def _exactly(self, size: int) -> memoryview:
        view = self._buffer[:size]
        while view:
            try:
                count = self._socket.recv_into(view, len(view), socket.MSG_WAITALL)
            except BlockingIOError:
                raise TimeoutError(f"the server didn't respond within {_PATIENCE} s") from None
            if not count:
                raise ConnectionResetError("the connection was closed")
            view = view[count:]
        return self._buffer[:size]


def _askpass(directory: Path, password: str) -> dict[str, str]:
    """Write a program that prints the password, and return the environment variables that make ssh run the program.

    The password is in a file that only the user can read, not in arguments or environment variables.
    """
    secret = directory / "password"
    secret.touch(0o600)
    secret.write_text(password + "\n")
    script = directory / "askpass"
    script.write_text('#!/bin/sh\nexec cat "${0%/*}/password"\n')
    script.chmod(0o700)
    return {"SSH_ASKPASS": str(script), "SSH_ASKPASS_REQUIRE": "force"}


def _text(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def _path(path: str) -> bytes:
    return _text(os.fsencode(path))


def _cut(body: memoryview) -> tuple[memoryview, memoryview]:
    """Split a body into its first string and the remaining bytes. Raises OSError for a truncated body."""
    (size,) = struct.unpack_from(">I", body)
    if 4 + size > len(body):
        raise OSError("the server sent a truncated packet")
    return body[4 : 4 + size], body[4 + size :]


def _attributes(body: memoryview) -> tuple[int, int]:
    """Parse file attributes. Returns the size in bytes and the modification time in seconds. Missing values are 0."""
    (flags,) = struct.unpack_from(">I", body)
    at, size, changed = 4, 0, 0
    if flags & _SIZE:
        (size,) = struct.unpack_from(">Q", body, at)
        at += 8
    at += (8 if flags & _OWNERS else 0) + (4 if flags & _MODE else 0)
    if flags & _TIMES:
        _, changed = struct.unpack_from(">II", body, at)
    return size, changed


def open(address: Address) -> Remote:  # noqa: A001 - the name is the same in all transports
    """Return a client for an address. Raises BentoError if `ssh` is missing."""
    program = which("ssh")
    if not program:
        raise BentoError(
            f"{address}: SFTP requires the OpenSSH client, but ssh isn't on PATH. Install openssh-client (Debian) or "
            "openssh-client-default (Alpine)."
        )
    return OpenSsh(address, program)
