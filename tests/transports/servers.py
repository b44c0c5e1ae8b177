"""Servers for each protocol in this process: third-party servers, and fake servers for the other protocols."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.helpers import loopback

USER, PASSWORD = "ann", "s3cr3t-w0rd"


class Server:
    """Describes a running server. `port` can be the port of a relay in front of the server."""

    port = 0
    writable = True

    def url(self, name: str, port: int = 0) -> str:
        """Return the URL of an archive."""
        raise NotImplementedError

    def environment(self, port: int = 0) -> dict[str, str]:
        """Return the environment variables that a client needs in addition to the URL."""
        return {}

    def put(self, name: str, data: bytes) -> None:
        raise NotImplementedError

    def get(self, name: str) -> bytes | None:
        raise NotImplementedError

    def names(self) -> list[str]:
        """Return the names of all files, including hidden files."""
        raise NotImplementedError

    def clear(self) -> None:
        raise NotImplementedError

    def close(self) -> None:
        pass


class S3(Server):
    """An S3 server: moto."""

    def __init__(self, directory: Path) -> None:
        import botocore.session
        from moto.s3 import models
        from moto.server import ThreadedMotoServer

        models.S3_UPLOAD_PART_MIN_SIZE = 1  # so that small archives have parts

        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self._server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
        self._server.start()
        self.port = self._server.get_host_and_port()[1]
        self._client = botocore.session.Session().create_client(
            "s3",
            region_name="us-east-1",
            endpoint_url=f"http://127.0.0.1:{self.port}",
            aws_access_key_id=USER,
            aws_secret_access_key=PASSWORD,
        )
        self._client.create_bucket(Bucket="bucket")

    def url(self, name, port=0):
        return f"s3://bucket/{name}"

    def environment(self, port=0):
        return {
            "AWS_ACCESS_KEY_ID": USER,
            "AWS_SECRET_ACCESS_KEY": PASSWORD,
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port or self.port}",
        }

    def put(self, name, data):
        self._client.put_object(Bucket="bucket", Key=name, Body=data)

    def get(self, name):
        return self._client.get_object(Bucket="bucket", Key=name)["Body"].read() if name in self.names() else None

    def names(self):
        return [found["Key"] for found in self._client.list_objects_v2(Bucket="bucket").get("Contents", [])]

    def uploads(self):
        """Return the multipart uploads that were neither completed nor aborted."""
        return self._client.list_multipart_uploads(Bucket="bucket").get("Uploads", [])

    def clear(self):
        for name in self.names():
            self._client.delete_object(Bucket="bucket", Key=name)
        for upload in self.uploads():
            self._client.abort_multipart_upload(Bucket="bucket", Key=upload["Key"], UploadId=upload["UploadId"])

    def close(self):
        self._server.stop()


class Gcs(S3):
    """moto as a server for the XML API of Google Cloud Storage, which obstore uses and gcp-storage-emulator lacks."""

    def __init__(self, directory: Path) -> None:
        from moto.moto_server.werkzeug_app import DomainDispatcherApplication as Dispatcher

        infer = Dispatcher.infer_service_region_host

        def signed(self, environ, path):
            if not environ.get("HTTP_AUTHORIZATION", "").startswith("AWS"):
                environ["HTTP_AUTHORIZATION"] = f"AWS {USER}:signature"  # moto accepts only signatures of AWS
            return infer(self, environ, path)

        Dispatcher.infer_service_region_host = signed
        super().__init__(directory)

    def url(self, name, port=0):
        return f"gs://bucket/{name}"

    def environment(self, port=0):
        return {"STORAGE_EMULATOR_HOST": f"http://127.0.0.1:{port or self.port}"}


class Directory(Server):
    """A server for the files in a directory."""

    def __init__(self, directory: Path) -> None:
        self.root = directory / "root"
        self.root.mkdir(parents=True)

    def put(self, name, data):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)  # a server that is still at the file goes on in the one that was there
        path.write_bytes(data)

    def get(self, name):
        path = self.root / name
        return path.read_bytes() if path.is_file() else None

    def names(self):
        return [str(path.relative_to(self.root)) for path in self.root.rglob("*") if path.is_file()]

    def clear(self):
        for name in self.names():
            (self.root / name).unlink()


class Ftp(Directory):
    """An FTP server: pyftpdlib."""

    scheme = "ftp"

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        from pyftpdlib.authorizers import DummyAuthorizer
        from pyftpdlib.handlers import FTPHandler
        from pyftpdlib.ioloop import IOLoop
        from pyftpdlib.servers import FTPServer

        logging.getLogger("pyftpdlib").setLevel(logging.CRITICAL)
        authorizer = DummyAuthorizer()
        authorizer.add_user(USER, PASSWORD, str(self.root), perm="elradfmwMT")
        self._loop = IOLoop()
        self.handler = type("Handler", (self._handler(directory, FTPHandler),), {"authorizer": authorizer})
        self._server = FTPServer(("127.0.0.1", 0), self.handler, ioloop=self._loop)
        self.port = self._server.address[1]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._netrc = directory / "netrc"
        self._netrc.write_text(
            "".join(f"machine {host} login {USER} password {PASSWORD}\n" for host in ("127.0.0.1", "localhost"))
        )
        self._netrc.chmod(0o600)

    def _handler(self, directory, handler):
        return handler

    def _run(self):
        while not self._stop.is_set():
            self._server.serve_forever(timeout=0.02, blocking=False)
        self._server.close_all()

    def url(self, name, port=0):
        return f"{self.scheme}://127.0.0.1:{port or self.port}/{name}"

    def environment(self, port=0):
        return {"NETRC": str(self._netrc)}

    def close(self):
        self._stop.set()
        self._thread.join(5)


class Ftps(Ftp):
    """An FTP server (pyftpdlib) that rejects unencrypted connections."""

    scheme = "ftps"

    def _handler(self, directory, handler):
        from pyftpdlib.handlers import TLS_FTPHandler

        self.certificate = certificate(directory)
        return type(
            "Tls",
            (TLS_FTPHandler,),
            {"certfile": str(directory / "both.pem"), "tls_control_required": True, "tls_data_required": True},
        )

    def environment(self, port=0):
        return {**super().environment(port), "SSL_CERT_FILE": str(self.certificate)}


class Sftp(Directory):
    """An SFTP server (asyncssh), with a home directory that has the key of the user and the key of the host."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        import asyncssh

        self._home = directory / "home"
        (self._home / ".ssh").mkdir(parents=True, mode=0o700)
        host = asyncssh.generate_private_key("ssh-ed25519")
        mine = asyncssh.generate_private_key("ssh-ed25519")
        mine.write_private_key(str(self._home / ".ssh" / "id_ed25519"))
        (self._home / ".ssh" / "id_ed25519").chmod(0o600)
        self._host_key = host.export_public_key().decode()
        authorized = directory / "authorized"
        authorized.write_bytes(mine.export_public_key())

        class Login(asyncssh.SSHServer):
            def begin_auth(self, username):
                return True

            def password_auth_supported(self):
                return True

            def validate_password(self, username, password):
                return (username, password) == (USER, PASSWORD)

        async def listen():
            logging.getLogger("asyncssh").setLevel(logging.CRITICAL)
            return await asyncssh.create_server(
                Login,
                "127.0.0.1",
                0,
                server_host_keys=[host],
                authorized_client_keys=str(authorized),
                sftp_factory=partial(asyncssh.SFTPServer, chroot=str(self.root).encode()),
            )

        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self._server = asyncio.run_coroutine_threadsafe(listen(), self._loop).result(30)
        self.port = self._server.sockets[0].getsockname()[1]

    def url(self, name, port=0):
        return f"sftp://{USER}@127.0.0.1:{port or self.port}/{name}"

    def environment(self, port=0):
        known = f"[127.0.0.1]:{port or self.port} {self._host_key}"
        (self._home / ".ssh" / "known_hosts").write_text(known)
        return {"HOME": str(self._home), "SSH_AUTH_SOCK": "", "NETRC": "/nowhere"}

    def close(self):
        self._loop.call_soon_threadsafe(self._server.close)
        self._loop.call_soon_threadsafe(self._loop.stop)


class _Files(loopback.Handler):
    """Serves files with ranges and entity tags (RFC 9110)."""

    def do_GET(self):
        owner = self.server.owner
        owner.asked.append((self.path, dict(self.headers)))
        if owner.answer and owner.answer(self):
            return
        data = owner.get(self.path.partition("?")[0].lstrip("/"))
        if data is None:
            self.send(404, b"not here")
            return
        headers = {"ETag": owner.tag or f'"{hash(data) & 0xFFFFFFFF:x}"', **owner.more(data)}
        asked = self.headers.get("Range", "")
        current = self.headers.get("If-Range") in (None, headers["ETag"])
        if not asked or not current or not owner.ranges:
            self.send(200, data, headers)
            return
        start, _, last = asked.removeprefix("bytes=").partition("-")
        if int(start) >= len(data):
            self.send(416, b"", {"Content-Range": f"bytes */{len(data)}"})
            return
        part = data[int(start) : int(last or len(data)) + 1]
        where = f"bytes {start}-{int(start) + len(part) - 1}/{len(data)}"
        self.send(206, part, {**headers, "Content-Range": where})

    do_POST = do_GET


class Http(Directory):
    """A fake HTTP server, because the server of the standard library doesn't support ranges."""

    writable = False
    scheme = "http"

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.answer = None  # what may answer a request in place of the files
        self.tag = ""
        self.ranges = True
        self.more: Callable[[bytes], dict[str, str]] = lambda data: {}
        server = loopback.Server(_Files)
        server.owner, self.port, self.close = self, server.server_port, server.close
        server.start()

    def url(self, name, port=0):
        return f"{self.scheme}://127.0.0.1:{port or self.port}/{name}"

    def environment(self, port=0):
        return {"NETRC": "/nowhere"}


def certificate(directory: Path) -> Path:
    """Write a self-signed certificate for this machine, and the certificate with its key in `both.pem`."""
    from datetime import datetime, timedelta, timezone
    from ipaddress import ip_address

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(timezone.utc)
    names = [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    public = made.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = directory / "certificate.pem"
    path.write_bytes(public)
    (directory / "both.pem").write_bytes(private + public)
    return path
