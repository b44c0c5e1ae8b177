"""Real registries for tests: Debian's docker-registry on loopback, plain, with passwords, with tokens, or with TLS."""

from __future__ import annotations

import base64
import hashlib
import http.client
import http.server
import json
import os
import shutil
import socket
import subprocess
import tarfile
import time
import urllib.parse
from contextlib import contextmanager
from pathlib import Path

from tests.helpers.loopback import Handler, running
from tests.helpers.tar_files import extract_all

USER, PASSWORD = "tester", "s3cret-p4ss"
_HTPASSWD = f"{USER}:$2b$04$g0bKJTtlYIon.OjWEX6Z7uq3hCHeJHLzRkzS23v3u.gJ9Knxt/15m\n"  # bcrypt of PASSWORD
_ISSUER, _SERVICE = "tests", "registry.tests"


def find_binary(directory: Path) -> str:
    """Return the path of the registry program from a .deb in the inputs or from the host, or an empty string."""
    for deb in Path("..").glob("*docker-registry*/docker-registry_*.deb"):
        return unpack(deb, directory)
    return shutil.which("docker-registry") or ""


def unpack(deb: Path, directory: Path) -> str:
    """Extract the registry program from a .deb to the directory. Returns the path of the program."""
    unpack_all(deb, directory)
    return str(directory / "usr/bin/docker-registry")


def unpack_all(deb: Path, directory: Path) -> None:
    """Extract all files of a .deb to the directory."""
    content = deb.read_bytes()
    at = 8
    while at < len(content):
        name, size = content[at : at + 16].decode().strip(), int(content[at + 48 : at + 58])
        if name.startswith("data.tar"):
            data = directory / name
            data.write_bytes(content[at + 60 : at + 60 + size])
            with tarfile.open(data) as tar:
                extract_all(tar, directory, "data")
            return
        at += 60 + size + size % 2
    raise AssertionError(f"{deb} has no files")


class Server:
    """Describes a running registry."""

    def __init__(self, host: str, storage: Path) -> None:
        self.host = host
        self.port = int(host.rpartition(":")[2])
        self.storage = storage

    def blobs(self) -> dict[str, Path]:
        """Return the stored blobs by digest, as named in the registry's directories."""
        found = (self.storage / "docker/registry/v2/blobs/sha256").glob("*/*/data")
        return {f"sha256:{path.parent.name}": path for path in found}

    def uploads(self, repository: str) -> list[str]:
        """Return the unfinished uploads of a repository."""
        directory = self.storage / "docker/registry/v2/repositories" / repository / "_uploads"
        return [path.parent.name for path in directory.glob("*/startedat")]  # an empty directory stays

    def assert_sound(self) -> None:
        """Check that the content of each stored blob matches its digest."""
        for digest, path in self.blobs().items():
            assert hashlib.sha256(path.read_bytes()).hexdigest() == digest.partition(":")[2]


@contextmanager
def serve(binary: str, directory: Path, *, htpasswd: bool = False, token: dict | None = None, tls: Tls | None = None):
    """Yield a registry, which runs until the block ends."""
    directory.mkdir(parents=True, exist_ok=True)
    port = free_port()
    settings: dict = {
        "version": 0.1,
        "log": {"level": "warn", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(directory / "storage")}, "delete": {"enabled": True}},
        "http": {"addr": f"127.0.0.1:{port}"},
    }
    if htpasswd:
        (directory / "htpasswd").write_text(_HTPASSWD)
        settings["auth"] = {"htpasswd": {"realm": "tests", "path": str(directory / "htpasswd")}}
    if token:
        settings["auth"] = {"token": token}
    if tls:
        settings["http"]["tls"] = {"certificate": str(tls.certificate), "key": str(tls.key)}
    (directory / "config.yml").write_text(json.dumps(settings))  # JSON is YAML
    variables = {"PATH": "/usr/bin:/bin", "OTEL_TRACES_EXPORTER": "none"}
    with (directory / "log").open("wb") as log:
        server = subprocess.Popen(
            [binary, "serve", str(directory / "config.yml")], env=variables, stdout=log, stderr=log
        )
    try:
        _wait(server, port, directory / "log")
        yield Server(f"127.0.0.1:{port}", directory / "storage")
    finally:
        server.kill()
        server.wait()


def _wait(server: subprocess.Popen, port: int, log: Path) -> None:
    deadline = time.monotonic() + 600
    while time.monotonic() < deadline:
        assert server.poll() is None, log.read_text()
        try:
            socket.create_connection(("127.0.0.1", port), 5).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise AssertionError(f"no answer:\n{log.read_text()}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Tls:
    """Creates an authority for a test, and a certificate for 127.0.0.1 and localhost."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.authority = directory / "ca.pem"
        self.certificate, self.key = directory / "server.pem", directory / "server.key"
        names = directory / "names"
        # Python 3.13 requires both identifiers of keys, and the use of the authority's key.
        names.write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\nauthorityKeyIdentifier=keyid\n")
        new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        authority = ["-subj", "/CN=test authority", "-addext", "keyUsage=critical,keyCertSign"]
        _openssl("req", "-x509", *new, "-keyout", directory / "ca.key", "-out", self.authority, *authority)
        _openssl("req", *new, "-keyout", self.key, "-out", directory / "request", "-subj", "/CN=127.0.0.1")
        signing = ["-CA", self.authority, "-CAkey", directory / "ca.key", "-CAcreateserial", "-extfile", names]
        _openssl("x509", "-req", "-in", directory / "request", *signing, "-out", self.certificate, "-days", "2")


def has_openssl() -> bool:
    return shutil.which("openssl") is not None


def _openssl(*arguments: str | Path, data: bytes | None = None) -> bytes:
    done = subprocess.run(["openssl", *map(str, arguments)], input=data, check=True, capture_output=True)
    return done.stdout


class TokenServer:
    """Issues tokens that docker-registry trusts, for the password or the refresh token.

    `asked` contains (method, fields, whether a username was sent) of each request. The first `fail_next` responses have
    the status 503.
    """

    REFRESH = "refresh-me-please"

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True)
        self._key, self.bundle = directory / "key.pem", directory / "bundle.pem"
        subject = ["-subj", "/CN=token signer", "-days", "2"]
        _openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", self._key, "-out", self.bundle, *subject)
        self.asked: list[tuple[str, dict[str, list[str]], bool]] = []
        self.fail_next = 0
        self.lifetime = 300
        self.anonymous = ("pull",)

    def settings(self, realm: str) -> dict:
        return {"realm": realm, "service": _SERVICE, "issuer": _ISSUER, "rootcertbundle": str(self.bundle)}

    @contextmanager
    def serve(self):
        """Yield the URL of the realm. The server runs until the block ends."""
        outer = self

        class Realm(Handler):
            def do_GET(self) -> None:
                outer._answer(self, urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query))

            def do_POST(self) -> None:
                outer._answer(self, urllib.parse.parse_qs(self.body().decode()))

        with running(Realm) as server:
            yield f"http://{server.host}/token"

    def _answer(self, request: Handler, fields: dict[str, list[str]]) -> None:
        shown = request.headers.get("Authorization", "")
        self.asked.append((request.command, fields, bool(shown)))
        pair = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        known = shown == f"Basic {pair}" or fields.get("refresh_token") == [self.REFRESH]
        if self.fail_next:
            self.fail_next -= 1
            request.send_error(503)
        elif (shown or "refresh_token" in fields) and not known:
            request.send_error(401)
        else:
            scopes = [scope for value in fields.get("scope", []) for scope in value.split()]
            name = "access_token" if request.command == "POST" else "token"
            body = json.dumps({name: self._token(scopes, known), "expires_in": self.lifetime}).encode()
            request.send(200, body)

    def _token(self, scopes: list[str], known: bool) -> str:
        """Return a JSON web token (RS256) with the signing certificate in its header."""
        access = []
        for scope in scopes:
            kind, name, actions = scope.split(":")
            allowed = [action for action in actions.split(",") if known or action in self.anonymous]
            access.append({"type": kind, "name": name, "actions": allowed})
        now = int(time.time())
        certificate = "".join(self.bundle.read_text().split("-----")[2].split())
        header = {"typ": "JWT", "alg": "RS256", "x5c": [certificate]}
        claims = {"iss": _ISSUER, "sub": USER, "aud": _SERVICE, "exp": now + self.lifetime, "nbf": now - 60, "iat": now}
        claims |= {"jti": os.urandom(8).hex(), "access": access}
        text = ".".join(_base64url(json.dumps(part).encode()) for part in (header, claims))
        signature = _openssl("dgst", "-sha256", "-sign", self._key, data=text.encode())
        return f"{text}.{_base64url(signature)}"


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def get(server: Server, path: str, method: str = "GET") -> tuple[int, bytes]:
    """Return the response of a registry without authentication. Doesn't use the code under test."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=600)
    accept = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json"
    connection.request(method, path, headers={"Accept": accept})
    response = connection.getresponse()
    return response.status, response.read()


def tags(reference) -> list[str]:
    """Return the sorted tags of a repository in a registry without authentication. Doesn't use the code under test."""
    connection = http.client.HTTPConnection(reference.registry, timeout=600)
    connection.request("GET", f"/v2/{reference.repository}/tags/list")
    return sorted(json.loads(connection.getresponse().read()).get("tags", ()))
