"""fsspec's filesystem for FTP and FTPS, with verified certificates, and in one command for each file."""

from __future__ import annotations

import ftplib
from pathlib import Path

from fsspec.callbacks import DEFAULT_CALLBACK, Callback
from fsspec.implementations.ftp import FTPFileSystem
from rules_bento.base.net import host_settings, limits
from rules_bento.base.typing_lite import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bento_cli.transports.address import Address

_UNSUPPORTED = ("500", "501", "502", "504")


class _Client(ftplib.FTP):
    """A connection whose replies are limited. ftplib limits only the lines, of which a reply has any number."""

    _received = 0

    def putline(self, line: str) -> None:
        self._received = 0
        super().putline(line)

    def getline(self) -> str:
        line = super().getline()
        self._received += len(line)
        if self._received > limits.HEAD:
            raise ftplib.Error(f"a reply of the server exceeds the limit of {limits.HEAD} bytes")
        return line


class _TlsClient(_Client, ftplib.FTP_TLS):
    pass


class Ftp(FTPFileSystem):  # type: ignore[misc]
    """Files on an FTP server, with explicit TLS for `ftps`."""

    def _connect(self) -> None:
        self.ftp = _TlsClient(context=host_settings.tls_context(self.host)) if self.tls else _Client()
        self.ftp.connect(self.host, self.port, limits.PATIENCE)
        self.ftp.login(*self.cred)
        if isinstance(self.ftp, ftplib.FTP_TLS):
            self.ftp.prot_p()

    def get_file(self, rpath: str, lpath: str, callback: Callback = DEFAULT_CALLBACK, **_: Any) -> None:
        callback.set_size(self._size(rpath))
        with Path(lpath).open("wb") as file:  # writes: own, the caller's new file

            def take(piece: bytes) -> None:
                file.write(piece)
                callback.relative_update(len(piece))

            self.ftp.retrbinary(f"RETR {rpath}", take, limits.PIECE)

    def put_file(self, lpath: str, rpath: str, callback: Callback = DEFAULT_CALLBACK, **_: Any) -> None:
        with Path(lpath).open("rb") as file:
            self.ftp.storbinary(f"STOR {rpath}", file, limits.PIECE, lambda piece: callback.relative_update(len(piece)))

    def _size(self, path: str) -> int | None:
        self.ftp.voidcmd("TYPE I")
        try:
            size: int | None = self.ftp.size(path)
        except ftplib.error_perm as error:
            if str(error).startswith(_UNSUPPORTED):
                return None
            raise FileNotFoundError(path) from None
        return size


def open_ftp(address: Address) -> tuple[Ftp, str]:
    """Return the filesystem and the path of an address."""
    user, password = address.login()
    return Ftp(address.host, address.port or 21, user, password, tls=address.scheme == "ftps"), address.path
