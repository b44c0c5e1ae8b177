"""SFTP: by the machine's `ssh`, or by asyncssh where there is none.

Whom we believe and who we are is OpenSSH's to say, of either: known_hosts, `~/.ssh/config`, keys, the agent.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections import deque
from contextlib import contextmanager, suppress
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from rules_bento.net import netrc
from rules_bento.net.errors import CutError
from rules_bento.transports.beside import Files
from rules_bento.transports.openssh import OpenSsh
from rules_bento.transports.remote import Stat, needs

if TYPE_CHECKING:
    from collections.abc import Awaitable, Coroutine, Iterable, Iterator

    from rules_bento.transports.address import Address
    from rules_bento.transports.remote import Buffer, Remote
    from rules_bento.transports.upload import Source

_PATIENCE = 60.0  # seconds for one answer, or one block
_BLOCK = 1 << 20  # asyncssh asks for all of its pieces at once
_BLOCKS = 8  # under way at once, which hides the latency of a long way
_CIPHERS = "^aes128-gcm@openssh.com,aes256-gcm@openssh.com"  # half the processor time of chacha20, which is first else
_Result = TypeVar("_Result")


class AsyncSsh(Files):
    """One file. asyncssh is asynchronous inside, and is waited for here."""

    window = _BLOCK * _BLOCKS

    def __init__(self, address: Address) -> None:
        super().__init__(address)
        self._loop = asyncio.new_event_loop()
        self._connection: Any = None
        self._client: Any = None

    def stat(self) -> Stat:
        import asyncssh

        with self._errors():
            try:
                found = self._wait(self._sftp().stat(self.address.path))
            except (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath):
                raise self.missing() from None
            return Stat(found.size, f"{found.mtime}" if found.mtime else "")

    def read(self, stat: Stat, start: int, end: int | None) -> Iterator[Buffer]:
        yield from self.stream(self.address.path, start, end if end is not None else stat.size or 0)

    def stream(self, path: str, start: int, end: int) -> Iterator[Buffer]:
        with self._errors():
            file = self._wait(self._sftp().open(path, "rb"))
            try:
                asked = (file.read(min(_BLOCK, end - at), at) for at in range(start, end, _BLOCK))
                for data in self._in_order(asked):
                    start += len(data)
                    yield data
                    if start < end and len(data) < _BLOCK:
                        return
            finally:
                self._close(file)

    def append(self, path: str, source: Source, at: int) -> Iterator[int]:
        import asyncssh

        with self._errors():
            flags = asyncssh.FXF_WRITE | asyncssh.FXF_CREAT | (0 if at else asyncssh.FXF_TRUNC)
            file = self._wait(self._sftp().open(path, flags, encoding=None))
            try:
                offsets = range(at, source.size, _BLOCK)
                yield from self._in_order(file.write(source.read(offset, _BLOCK), offset) for offset in offsets)
                with suppress(asyncssh.SFTPError):  # not every server has it
                    self._wait(file.fsync())
            finally:
                self._close(file)

    def size(self, path: str) -> int | None:
        import asyncssh

        with self._errors():
            try:
                found = self._wait(self._sftp().stat(path))
            except (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath):
                return None
            return int(found.size)

    def make_folders(self, path: str) -> None:
        if path:
            with self._errors():
                self._wait(self._sftp().makedirs(path, exist_ok=True))

    def rename(self, path: str, target: str) -> None:
        import asyncssh

        with self._errors():
            sftp = self._sftp()
            if self.size(path) is None and self.size(target) is not None:
                return  # renamed before the answer was lost
            try:
                self._wait(sftp.posix_rename(path, target))
            except asyncssh.SFTPOpUnsupported:
                with suppress(asyncssh.SFTPNoSuchFile):
                    self._wait(sftp.remove(target))
                self._wait(sftp.rename(path, target))

    def remove(self, path: str) -> None:
        import asyncssh

        with self._errors(), suppress(asyncssh.SFTPNoSuchFile):
            self._wait(self._sftp().remove(path))

    def close(self) -> None:
        self._hang_up()
        self._loop.close()

    def _sftp(self) -> Any:
        if self._client is None:
            self._connection = self._wait(self._connect())
            self._client = self._wait(self._connection.start_sftp_client())
        return self._client

    def _connect(self) -> Awaitable[Any]:
        import asyncssh

        user, password = netrc.login(self.address)
        options: dict[str, Any] = {"connect_timeout": _PATIENCE, "encryption_algs": _CIPHERS, "keepalive_interval": 15}
        if self.address.port:
            options["port"] = self.address.port
        if user:
            options["username"] = user
        if password:
            options["password"] = password
        connection: Awaitable[Any] = asyncssh.connect(self.address.host, **options)
        return connection

    def _wait(self, work: Awaitable[_Result]) -> _Result:
        return self._loop.run_until_complete(asyncio.wait_for(work, _PATIENCE))

    def _in_order(self, works: Iterable[Coroutine[Any, Any, _Result]]) -> Iterator[_Result]:
        """The results of works, some of which are under way at once."""
        pending: deque[asyncio.Task[_Result]] = deque()
        rest = iter(works)
        try:
            while True:
                for work in islice(rest, _BLOCKS - len(pending)):
                    pending.append(self._loop.create_task(work))
                if not pending:
                    return
                yield self._wait(pending.popleft())
        finally:
            for task in pending:
                task.cancel()
            if pending:
                self._loop.run_until_complete(asyncio.wait(pending))

    def _close(self, file: Any) -> None:
        if self._client is not None:
            with suppress(Exception):
                self._wait(file.close())

    def _hang_up(self) -> None:
        connection, self._connection, self._client = self._connection, None, None
        if connection is not None:
            connection.abort()
            with suppress(Exception):
                self._wait(connection.wait_closed())

    @contextmanager
    def _errors(self) -> Iterator[None]:
        import asyncssh

        try:
            yield
        except asyncssh.HostKeyNotVerifiable:
            self._hang_up()
            raise self.refused(
                "the key of the host is not known, or another one",
                f"Connect once with `ssh {self.address.host}` and look at it, or add it to ~/.ssh/known_hosts.",
            ) from None
        except (asyncssh.PermissionDenied, asyncssh.KeyImportError) as error:
            self._hang_up()
            raise self.refused(error, "Look at the user, and at the keys of ~/.ssh or the agent.") from None
        except (asyncssh.SFTPPermissionDenied, asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath) as error:
            raise self.refused(error.reason, "Look at the path, and at what the user may do.") from None
        except (asyncssh.Error, asyncssh.packet.PacketDecodeError, OSError, asyncio.TimeoutError) as error:
            self._hang_up()
            raise CutError(str(error) or type(error).__name__) from None


def open(address: Address) -> Remote:  # noqa: A001 - each transport has it
    """What speaks to the address. Raises BentoError if there is no `ssh`, and asyncssh is not installed either."""
    program = shutil.which("ssh")
    if program:
        return OpenSsh(address, program)
    try:
        import asyncssh  # noqa: F401
    except ImportError:
        raise needs("asyncssh (or OpenSSH's program ssh)", "sftp") from None
    for name in ("asyncio", "asyncssh"):  # errors tell what went wrong; without a handler, logs would be printed
        logging.getLogger(name).addHandler(logging.NullHandler())
    return AsyncSsh(address)
