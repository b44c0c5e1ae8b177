"""fsspec's filesystem for SFTP, which trusts only known hosts, and reads OpenSSH's configuration.

paramiko finds keys in `~/.ssh` and in the agent.
"""

from __future__ import annotations

import getpass
from pathlib import Path

import paramiko
from fsspec.callbacks import DEFAULT_CALLBACK, Callback
from fsspec.implementations.sftp import SFTPFileSystem
from rules_bento.base.net import limits
from rules_bento.base.typing_lite import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bento_cli.transports.address import Address

_PIECE = 1 << 15  # bytes of a request, the maximum of servers
_WINDOW = 32 << 20  # bytes that are requested at once
_KNOWN_HOSTS = ("~/.ssh/known_hosts", "/etc/ssh/ssh_known_hosts")


class Sftp(SFTPFileSystem):  # type: ignore[misc]
    """Files on an SFTP server."""

    def _connect(self) -> None:
        self.client = paramiko.SSHClient()
        for file in (Path(name).expanduser() for name in _KNOWN_HOSTS):
            if file.is_file():
                self.client.load_system_host_keys(str(file))
        self.client.set_missing_host_key_policy(paramiko.RejectPolicy())
        self.client.connect(self.host, **self.ssh_kwargs)
        self.ftp = self.client.open_sftp()
        self.ftp.get_channel().settimeout(limits.PATIENCE)

    def get_file(self, rpath: str, lpath: str, callback: Callback = DEFAULT_CALLBACK, **_: Any) -> None:
        size = self.ftp.stat(rpath).st_size
        if size is None:
            raise ValueError("the server doesn't report the size of the file")
        callback.set_size(size)
        with self.ftp.open(rpath, "rb") as source, Path(lpath).open("wb") as file:  # writes: own, a new file
            for start in range(0, size, _WINDOW):
                # paramiko lists the requests for all bytes at once, and the server chooses the size.
                requests = [(at, min(_PIECE, size - at)) for at in range(start, min(start + _WINDOW, size), _PIECE)]
                for request, piece in zip(requests, source.readv(requests), strict=True):
                    file.write(piece)
                    callback.relative_update(len(piece))
                    if len(piece) < request[1]:  # the file ends; paramiko would wait for more
                        return

    def put_file(self, lpath: str, rpath: str, callback: Callback = DEFAULT_CALLBACK, **_: Any) -> None:
        self.ftp.put(lpath, rpath, lambda done, _: callback.absolute_update(done))

    def close(self) -> None:
        self.client.close()


def open_sftp(address: Address) -> tuple[Sftp, str]:
    """Return the filesystem and the path of an address. Settings in the URL override `~/.ssh/config`."""
    user, password = address.login()
    file = Path("~/.ssh/config").expanduser()
    config = paramiko.SSHConfig.from_path(str(file)) if file.is_file() else None
    try:
        configured = config.lookup(address.host) if config else {}
        user = user or configured.get("user") or getpass.getuser()
    except (KeyError, OSError):  # the error depends on Python's version
        raise address.failed("the name of this user is unknown", "Set the environment variable USER.") from None
    proxy = configured.get("proxycommand")
    fs = Sftp(
        configured.get("hostname", address.host),
        port=address.port or int(configured.get("port", 22)),
        username=user,
        password=password or None,
        key_filename=configured.get("identityfile"),
        sock=paramiko.ProxyCommand(proxy) if proxy else None,
        **dict.fromkeys(("timeout", "banner_timeout", "auth_timeout", "channel_timeout"), limits.PATIENCE),
        skip_instance_cache=True,
    )
    return fs, address.path
