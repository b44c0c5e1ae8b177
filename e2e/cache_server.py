"""A real remote cache: nginx of Debian's package, which stores what it is sent (WebDAV), on the loopback interface."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

SECONDS_TO_START = 20
# Bazel asks for /ac/<digest of an action> and /cas/<digest of a content>.
SETTINGS = """\
{user}
worker_processes 2;
daemon off;
pid {folder}/pid;
error_log {folder}/error.log warn;
events {{ worker_connections 1024; }}
http {{
    log_format transfers '$request_method $uri $status $body_bytes_sent';
    access_log {folder}/access.log transfers;
    client_body_temp_path {folder}/temporary/body;
    proxy_temp_path {folder}/temporary/proxy;
    fastcgi_temp_path {folder}/temporary/fastcgi;
    uwsgi_temp_path {folder}/temporary/uwsgi;
    scgi_temp_path {folder}/temporary/scgi;
    client_max_body_size 0;
    keepalive_requests 100000;
    default_type application/octet-stream;
    server {{
        listen 127.0.0.1:{port};
        location ~ "^/(ac|cas)/[0-9a-f]{{64}}$" {{
            root {folder}/kept;
            dav_methods PUT;
            create_full_put_path on;
        }}
        location / {{ return 404; }}
    }}
}}
"""


@dataclass(frozen=True)
class Transfer:
    """A request that the server answered."""

    method: str
    kind: str  # ac or cas
    digest: str
    status: int
    sent: int  # bytes of the answer


class CacheServer:
    """The server, for the length of a `with`."""

    def __init__(self, folder: Path) -> None:
        """`folder` is for the program, its settings and what it keeps."""
        self._folder = folder
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> CacheServer:
        unpack_package("nginx", self._folder / "program")
        program = self._folder / "program/usr/sbin/nginx"
        (self._folder / "temporary").mkdir()
        (self._folder / "kept").mkdir()
        settings = self._folder / "nginx.conf"
        # A worker that is not root could not write what root has made.
        user = "user root;" if os.getuid() == 0 else ""
        settings.write_text(SETTINGS.format(folder=self._folder, port=self._port, user=user))
        errors = self._folder / "error.log"
        self._process = subprocess.Popen([program, "-p", self._folder, "-e", errors, "-c", settings])
        wait_for(self._port, self._process, errors)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process
        self._process.terminate()
        self._process.wait(SECONDS_TO_START)

    @property
    def option(self) -> str:
        """What tells Bazel of it."""
        return f"--remote_cache=http://127.0.0.1:{self._port}"

    def transfers(self) -> list[Transfer]:
        """All requests since the last call."""
        log = self._folder / "access.log"
        found = re.findall(r"^(\S+) /(ac|cas)/(\S+) (\d+) (\d+)$", log.read_text(), re.MULTILINE)
        os.truncate(log, 0)
        return [Transfer(method, kind, digest, int(status), int(sent)) for method, kind, digest, status, sent in found]

    def content(self, digest: str) -> Path:
        """The file that holds a content."""
        return self._folder / "kept/cas" / digest

    def evict_contents(self) -> None:
        """Forget all contents, and keep what is known of actions: as a cache does that is full."""
        shutil.rmtree(self._folder / "kept/cas")


def unpack_package(package: str, folder: Path) -> None:
    """Fetch a package of Debian's and unpack it; it is not installed by that."""
    folder.mkdir(parents=True, exist_ok=True)
    download = ["apt-get", "-qq", "-o", "APT::Sandbox::User=", "download", package]
    if subprocess.run(download, cwd=folder, check=False, capture_output=True).returncode:
        subprocess.run(["apt-get", "-qq", "update"], check=True, capture_output=True)
        subprocess.run(download, cwd=folder, check=True, capture_output=True)
    [archive] = folder.glob(f"{package}_*.deb")
    subprocess.run(["dpkg-deb", "--extract", archive, folder], check=True)


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until a server listens."""
    deadline = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert server.poll() is None, log.read_text()
        time.sleep(0.05)
    raise AssertionError(f"nothing listens on port {port}")
