"""Client for FTP and FTPS (explicit, or implicit on port 990), with credentials from the URL or netrc."""

from __future__ import annotations

import ftplib
import ssl
from contextlib import contextmanager, suppress

from rules_bento.errors import BentoError
from rules_bento.net import ConnectionLostError, host_settings, limits
from rules_bento.typing_lite import TYPE_CHECKING, Any, Iterator

from bento_cli.transports.remote import RenameUpload, Stat

if TYPE_CHECKING:
    import socket

    from bento_cli.transports.address import Address
    from bento_cli.transports.remote import Buffer
    from bento_cli.transports.source import Source

_BLOCK = 1 << 18
_IMPLICIT = 990
_UNKNOWN = ("500", "501", "502", "504")  # the server doesn't support the command


class Ftp(RenameUpload):
    """Client for a file on an FTP server. Consecutive reads use one transfer, whose data connection stays open."""

    def __init__(self, address: Address) -> None:
        super().__init__(address)
        self.guarded = address.scheme == "ftps"
        self._ftp: ftplib.FTP | None = None
        self._data: socket.socket | None = None
        self._at = 0

    def stat(self) -> Stat:
        path = self.address.path
        with self._errors():
            self._hang_up_data()
            ftp = self._connect()
            try:
                size = ftp.size(path)
            except ftplib.error_perm as error:
                if not str(error).startswith(_UNKNOWN):
                    raise self.missing() from None
                size = None
            changed = ""
            with suppress(ftplib.error_perm):
                changed = ftp.sendcmd(f"MDTM {path}")[4:].strip()
            return Stat(size, changed, ranges=size is not None)

    def read(self, stat: Stat, start: int, end: int | None) -> Iterator[Buffer]:
        yield from self.stream(self.address.path, start, end if end is not None else -1)

    def stream(self, path: str, start: int, end: int) -> Iterator[Buffer]:
        with self._errors():
            if self._data is None or self._at != start:
                self._hang_up_data()
                self._data = self._connect().transfercmd(f"RETR {path}", rest=start or None)
                self._at = start
            buffer = bytearray(_BLOCK)
            view = memoryview(buffer)
            while end < 0 or self._at < end:
                wanted = _BLOCK if end < 0 else min(_BLOCK, end - self._at)
                count = self._data.recv_into(view, wanted)
                if not count:
                    self._end()
                    return
                self._at += count
                yield view[:count]

    def append(self, path: str, source: Source, at: int) -> Iterator[int]:
        with self._errors():
            self._hang_up_data()
            ftp = self._connect()
            data = ftp.transfercmd(f"STOR {path}", rest=at or None)
            try:
                for piece in source.pieces(at, _BLOCK):
                    data.sendall(piece)
                    yield len(piece)
                if isinstance(data, ssl.SSLSocket):
                    with suppress(OSError):  # some servers close the connection immediately
                        data.unwrap()
            finally:
                data.close()
            ftp.voidresp()

    def size(self, path: str) -> int | None:
        with self._errors():
            self._hang_up_data()
            try:
                return self._connect().size(path)
            except ftplib.error_perm as error:
                if str(error).startswith(_UNKNOWN):
                    raise BentoError(
                        f"{self.address}: the server doesn't support the SIZE command, which uploads require. Use "
                        "another protocol, such as sftp."
                    ) from None
                return None

    def make_directory(self, path: str) -> None:
        with self._errors(), suppress(ftplib.error_perm):
            self._connect().mkd(path)

    def rename(self, path: str, target: str) -> None:
        with self._errors():
            self._hang_up_data()
            ftp = self._connect()
            try:
                ftp.rename(path, target)
            except ftplib.error_perm:  # some servers don't replace existing files
                if self.size(path) is None and self.size(target) is not None:
                    return  # the response to an earlier rename was lost
                ftp.delete(target)
                ftp.rename(path, target)

    def remove(self, path: str) -> None:
        with self._errors(), suppress(ftplib.error_perm):
            self._hang_up_data()
            self._connect().delete(path)

    def close(self) -> None:
        self._hang_up_data()
        if self._ftp:
            with suppress(OSError, EOFError, ftplib.Error):
                self._ftp.quit()
        self._hang_up()

    def _connect(self) -> ftplib.FTP:
        if self._ftp is None:
            user, password = self.address.login()
            ftp = _client(self.address)
            try:
                ftp.connect(self.address.host, self.address.port or 0, limits.PATIENCE)
                ftp.login(user, password)
                if isinstance(ftp, ftplib.FTP_TLS):
                    ftp.prot_p()
                ftp.voidcmd("TYPE I")
            except BaseException:
                ftp.close()
                raise
            self._ftp = ftp
        return self._ftp

    def _end(self) -> None:
        """Finish a transfer, and check the status in the server's final reply."""
        if self._data:
            self._data.close()
            self._data = None
        if self._ftp:
            self._ftp.voidresp()

    def _hang_up_data(self) -> None:
        """If a transfer is incomplete, close the control connection and the data connection."""
        if self._data:
            self._hang_up()

    def _hang_up(self) -> None:
        for connection in (self._data, self._ftp):
            if connection:
                connection.close()
        self._data = self._ftp = None

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except ssl.SSLCertVerificationError as error:
            self._hang_up()
            raise self.refused(
                f"the certificate isn't trusted: {error.verify_message}",
                "Add the certificate authority to the file in SSL_CERT_FILE.",
            ) from None
        except ftplib.error_perm as error:
            self._hang_up()
            login = str(error).startswith("53")
            remedy = (
                "Add the user and password for the host to ~/.netrc."
                if login
                else "Check the path, and the permissions of the user."
            )
            raise self.refused(error, remedy) from None
        except (
            OSError,
            EOFError,
            ftplib.Error,
            ValueError,
        ) as error:  # such as invalid numbers and strings that aren't UTF-8
            self._hang_up()
            raise ConnectionLostError(str(error) or type(error).__name__) from None
        except GeneratorExit:
            self._hang_up()
            raise


class _Bounded(ftplib.FTP):
    """FTP client that limits the length of the server's replies."""

    _size = 0

    def getmultiline(self) -> str:
        self._size = 0
        return super().getmultiline()

    def getline(self) -> str:
        line = super().getline()
        self._size += len(line) + 1
        if self._size > limits.HEAD:
            raise ftplib.error_proto(f"a reply exceeds {limits.HEAD} characters")
        return line


class _Tls(_Bounded, ftplib.FTP_TLS):
    """FTP client whose data connections resume the TLS session of the control connection, as many servers require."""

    def __init__(self, context: ssl.SSLContext, *, implicit: bool) -> None:
        super().__init__(context=context)
        self._implicit = implicit

    def connect(self, host: str = "", port: int = 0, timeout: Any = -999, source_address: Any = None) -> str:
        if not self._implicit:
            return super().connect(host, port, timeout, source_address)
        import socket

        self.host, self.port, self.timeout = host, port, timeout
        raw = socket.create_connection((host, port), timeout)
        self.af = raw.family
        self.sock = self.context.wrap_socket(raw, server_hostname=host)
        self.file = self.sock.makefile("r", encoding=self.encoding)
        self.welcome = self.getresp()
        return self.welcome

    def ntransfercmd(self, cmd: str, rest: int | str | None = None) -> tuple[Any, int | None]:
        data, size = ftplib.FTP.ntransfercmd(self, cmd, rest)
        session = self.sock.session if isinstance(self.sock, ssl.SSLSocket) else None
        return self.context.wrap_socket(data, server_hostname=self.host, session=session), size


def _client(address: Address) -> ftplib.FTP:
    if address.scheme == "ftp":
        return _Bounded()
    return _Tls(host_settings.tls_context(address.host), implicit=address.port == _IMPLICIT)
