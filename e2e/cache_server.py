"""Runs a real remote cache on the loopback interface: Debian's nginx, which stores uploads (WebDAV)."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from server import Server, unpacked_package

if TYPE_CHECKING:
    from pathlib import Path

# Bazel requests /ac/DIGEST for an action, and /cas/DIGEST for a blob.
SETTINGS = """\
{user}
worker_processes 2;
daemon off;
pid {directory}/pid;
error_log {directory}/error.log warn;
events {{ worker_connections 1024; }}
http {{
    log_format transfers '$request_method $uri $status $body_bytes_sent';
    access_log {directory}/access.log transfers;
    client_body_temp_path {directory}/temporary/body;
    proxy_temp_path {directory}/temporary/proxy;
    fastcgi_temp_path {directory}/temporary/fastcgi;
    uwsgi_temp_path {directory}/temporary/uwsgi;
    scgi_temp_path {directory}/temporary/scgi;
    client_max_body_size 0;
    keepalive_requests 100000;
    default_type application/octet-stream;
    server {{
        listen 127.0.0.1:{port};
        location ~ "^/(ac|cas)/[0-9a-f]{{64}}$" {{
            root {directory}/kept;
            dav_methods PUT;
            create_full_put_path on;
        }}
        location / {{ return 404; }}
    }}
}}
"""


@dataclass(frozen=True)
class Transfer:
    """Describes a request that the server answered."""

    method: str
    kind: str  # ac or cas
    digest: str
    status: int
    sent: int  # bytes of the response


class CacheServer(Server):
    """Runs the server, which stores uploads in its directory."""

    def command(self) -> list[str]:
        """Unpack the server, and write its settings."""
        files = unpacked_package("nginx", self.directory.parent)
        (self.directory / "temporary").mkdir()
        (self.directory / "kept").mkdir()
        settings = self.directory / "nginx.conf"
        # A worker process that isn't root couldn't write to directories that root created.
        user = "user root;" if os.getuid() == 0 else ""
        settings.write_text(SETTINGS.format(directory=self.directory, port=self.port, user=user))
        program = f"{files}/usr/sbin/nginx"
        return [program, "-p", str(self.directory), "-e", f"{self.directory}/error.log", "-c", str(settings)]

    @property
    def url(self) -> str:
        """Return the URL of the cache."""
        return f"http://127.0.0.1:{self.port}"

    def transfers(self) -> list[Transfer]:
        """Return all requests since the last call."""
        log = self.directory / "access.log"
        found = re.findall(r"^(\S+) /(ac|cas)/(\S+) (\d+) (\d+)$", log.read_text(), re.MULTILINE)
        os.truncate(log, 0)
        return [Transfer(method, kind, digest, int(status), int(sent)) for method, kind, digest, status, sent in found]

    def content(self, digest: str) -> Path:
        """Return the path of the file that contains a blob."""
        return self.directory / "kept/cas" / digest

    def evict_contents(self) -> None:
        """Remove all blobs, but keep the action results, as a full cache might do."""
        shutil.rmtree(self.directory / "kept/cas")
