"""Copies archives with fsspec's filesystems.

obstore has the filesystems for S3, Google Cloud Storage, and Azure. Other schemes than these, FTP, FTPS, and SFTP have
the filesystem that fsspec finds, such as dropboxdrivefs for `dropbox`.
"""

from __future__ import annotations

import ftplib
import os
import ssl
import uuid
from contextlib import suppress

import fsspec
from fsspec.callbacks import Callback
from rules_bento.base.errors import BentoError
from rules_bento.base.net import limits
from rules_bento.base.net.transfers import Progress, Retry
from rules_bento.base.typing_lite import TYPE_CHECKING, Any, Callable

from bento_cli.transports.address import BUCKETS, Address

if TYPE_CHECKING:
    from pathlib import Path

    Opener = Callable[[Address], tuple[Any, str]]

_REMEDY = "Check the URL, the credentials, and the server."
_NAME_BYTES = 200  # of the archive's name in the temporary name
_FTP_CLOSED = ("421", "425", "426")  # a connection is closed (RFC 959)


def download(address: Address, path: Path, counter: Progress, most: int) -> None:
    """Copy the file at an address to a local file. Starts again after interruptions."""

    def copy(fs: Any, source: str, callback: Callback) -> None:
        fs.get_file(source, str(path), callback=callback)
        if callback.size not in (None, size := path.stat().st_size):
            raise ConnectionResetError(f"received {size} of {callback.size} bytes")

    _attempt(address, _Counting(address, counter, most), copy)


def upload(address: Address, path: Path, counter: Progress) -> None:
    """Copy a local file to an address: to an object in one step, otherwise to a temporary name, which is renamed."""
    size = path.stat().st_size

    def copy(fs: Any, target: str, callback: Callback) -> None:
        callback.set_size(size)
        if address.scheme in BUCKETS:
            fs.put_file(str(path), target, callback=callback)
            return
        directory, slash, name = target.rpartition("/")
        if directory:
            fs.makedirs(directory, exist_ok=True)
        temporary = f"{directory}{slash}.{name[:_NAME_BYTES]}.{uuid.uuid4().hex[:12]}.part"
        try:
            fs.put_file(str(path), temporary, callback=callback)
            fs.invalidate_cache()
            if (sent := fs.info(temporary)["size"]) != size:
                raise ConnectionResetError(f"the server received {sent} of {size} bytes")
            _rename(fs, temporary, target)
        except BaseException:
            with suppress(Exception):
                fs.rm_file(temporary)
            raise

    _attempt(address, _Counting(address, counter, limits.BODY), copy)


def _rename(fs: Any, path: str, target: str) -> None:
    try:
        fs.mv(path, target)
    except Exception as error:
        if _is_interruption(error) or not fs.exists(target):
            raise
        fs.rm_file(target)  # some servers don't replace existing files
        fs.mv(path, target)


def _attempt(address: Address, counting: _Counting, step: Callable[[Any, str, Callback], object]) -> None:
    """Call `step` with the filesystem and path of an address, and a callback. Starts again after interruptions."""
    retry = Retry()
    while True:
        fs = None
        try:
            fs, path = opener(address)(address)
            step(fs, path, counting)
            return
        except BentoError:
            raise
        except Exception as error:  # each filesystem has its own errors
            if isinstance(error, FileNotFoundError) or "not_found" in str(error):
                raise address.missing() from None
            if isinstance(error, ImportError):
                raise address.failed(f"a package is missing: {error}", "Install the package.") from None
            if not (_is_interruption(error) and retry.again()):
                raise address.failed(error, _REMEDY) from None
        finally:
            getattr(fs, "close", bool)()
        counting.absolute_update(0)


def _is_interruption(error: Exception) -> bool:
    # For a closed connection, paramiko raises OSError without a number, or SSHException.
    is_closed = (isinstance(error, OSError) and error.errno is None) or "connection dropped" in str(error)
    is_closed |= isinstance(error, ftplib.error_temp) and str(error).startswith(_FTP_CLOSED)
    return is_closed or isinstance(error, ConnectionError | TimeoutError | EOFError | ssl.SSLEOFError)


def opener(address: Address) -> Opener:
    """Return the function that returns the filesystem and the path of an address. The function is specific to a scheme.

    Raises ImportError for a missing package, and BentoError for an unknown scheme.
    """
    if address.scheme in BUCKETS:
        from bento_cli.transports.clouds import open_store

        return open_store
    if address.scheme == "sftp":
        from bento_cli.transports.sftp import open_sftp

        return open_sftp
    if address.scheme in ("ftp", "ftps"):
        from bento_cli.transports.ftp import open_ftp

        return open_ftp
    try:
        fsspec.get_filesystem_class(address.scheme)
    except ValueError:
        remedy = "Use s3, gs, az, ftp, ftps, sftp, http, https, or another scheme that fsspec supports."
        raise BentoError(f"{address.scheme}://: unknown URL scheme", remedy=remedy) from None
    if address.scheme == "dropbox":
        return _open_dropbox
    return lambda address: fsspec.core.url_to_fs(address.url, skip_instance_cache=True)


def _open_dropbox(address: Address) -> tuple[Any, str]:
    import dropbox

    names = ("access_token", "refresh_token", "app_key", "app_secret")
    access, refresh, key, secret = (os.environ.get(f"DROPBOX_{name.upper()}") or None for name in names)
    if not (access or (refresh and key)):
        remedy = "Set DROPBOX_ACCESS_TOKEN, or DROPBOX_REFRESH_TOKEN and DROPBOX_APP_KEY."
        raise BentoError("the credentials are missing", place=str(address), remedy=remedy)
    certificates = os.environ.get("SSL_CERT_FILE")
    client = dropbox.Dropbox(
        access, oauth2_refresh_token=refresh, app_key=key, app_secret=secret, ca_certs=certificates
    )
    fs = fsspec.filesystem("dropbox", client=client, skip_instance_cache=True)
    return fs, f"/{address.path.lstrip('/')}"


class _Counting(Callback):  # type: ignore[misc]
    """Passes the progress of a transfer to `counter`. Rejects a file that is too large."""

    def __init__(self, address: Address, counter: Progress, most: int) -> None:
        self._address = address
        self._counter = counter
        self._most = most
        self._expected = self._counted = 0
        super().__init__()

    def call(self, *_: Any, **__: Any) -> None:
        """Count the difference to the previous call."""
        size = self.size or 0
        if not 0 <= size <= self._most:
            raise self._address.failed(f"the size of the file is {size} bytes", "Use a smaller file.")
        if self.value > (self._most if self.size is None else size):
            raise self._address.failed(f"the file has more than {size or self._most} bytes", "Try again.")
        self._counter.expect(size - self._expected)
        self._counter.advance(self.value - self._counted)
        self._expected, self._counted = size, self.value
