"""Lists the readers of server responses: a script of valid responses for each reader, and a connection that plays it.

A script is a JSON list of `[text, status, headers, body]`. The first entry whose text is in the head of a request is
the response. A body is text, or JSON. `@N` and `"#N"` represent the digest and the size of the body of an earlier entry
N; `base64:` precedes bytes. Any other input is sent unchanged as the response to each request.
"""

import base64
import hashlib
import importlib
import io
import json
import logging
import os
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bento_cli.sharing import registry_cache
from bento_cli.sharing.registry.pull_entry import pull as pull_entry
from bento_cli.store.home import Home
from bento_cli.transports import download
from bento_cli.transports.address import parse
from h2.config import H2Configuration
from h2.connection import H2Connection
from rules_bento.base.archives import tarstream, xz
from rules_bento.base.errors import BentoError
from rules_bento.base.net import ConnectionLostError, host_settings, transfers, transport
from rules_bento.base.net.transfers import Progress
from rules_bento.bentos.assembly.kinds import BENTO, MODEL
from rules_bento.images.artifacts import artifact
from rules_bento.images.registry.blob_sources import BytesSource
from rules_bento.images.registry.client import Registries
from rules_bento.images.registry.descriptor import Manifest
from rules_bento.images.registry.layout import Layout
from rules_bento.images.registry.pull_from_registry import pull
from rules_bento.images.registry.push_to_registry import upload
from rules_bento.images.registry.reference import Reference
from rules_bento.run import remote_cache

from tests.hostile.readers import (
    CONFIG,
    DAY,
    INDEX,
    MANIFEST,
    POOL,
    SHA,
    Reader,
    bento_document,
    bento_files,
    layer_notes,
    planned_layer,
    seed,
)

_HOST = "registry.example"


class Script:
    """Holds responses by path."""

    def __init__(self, data: bytes) -> None:
        self._entries: list[tuple[str, bytes]] = []
        self._bodies: list[bytes] = []
        try:
            for path, status, headers, body in json.loads(data):
                answer = self._filled(status, dict(headers), body)
                self._entries.append((self._put_in(str(path)), answer))
        except (ValueError, TypeError, RecursionError):
            self._entries = [("", data)]

    def _filled(self, status: Any, headers: dict[str, Any], body: Any) -> bytes:
        text = body if isinstance(body, str) else json.dumps(body)
        if text.startswith("base64:"):
            content = base64.b64decode(text[7:])
        else:
            content = self._put_in(text).encode("utf-8", "surrogatepass")
        self._bodies.append(content)
        told = {"Content-Length": len(content), **headers}
        lines = [f"HTTP/1.1 {status} Said", *(f"{name}: {self._put_in(str(told[name]))}" for name in told), "", ""]
        return "\r\n".join(lines).encode("utf-8", "surrogatepass") + content

    def _put_in(self, text: str) -> str:
        for number, body in enumerate(self._bodies):
            text = text.replace(f"@{number}@", f"sha256:{hashlib.sha256(body).hexdigest()}")
            text = text.replace(f'"#{number}#"', str(len(body)))
        return text

    def answer(self, request: bytes) -> bytes:
        """Return the bytes of the response to a request."""
        head = request.partition(b"\r\n\r\n")[0].decode("latin-1")
        missing = b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"
        return next((answer for known, answer in self._entries if known in head), missing)


class Wire(socket.socket):
    """Represents a connection to a script."""

    def __init__(self, script: Script) -> None:
        super().__init__(socket.AF_UNIX)
        self._script = script
        self._sent = b""

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Store the beginning of the request."""
        if len(self._sent) < 1 << 16:
            self._sent += bytes(data)

    def makefile(self, *_: Any, **__: Any) -> Any:
        """Return the response to the sent request."""
        answer, self._sent = self._script.answer(self._sent), b""
        return io.BufferedReader(io.BytesIO(answer))


@contextmanager
def playing(data: bytes, out: Path) -> Iterator[None]:
    """Connect all HTTP connections to a script until the block ends, without waits and credentials."""
    script = Script(data)
    logging.disable()  # records of pytest keep connections open
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

    def connect(connection: Any) -> None:
        connection.sock = Wire(script)

    kinds = (transport._Connection, transport._TlsConnection)
    kept = ([kind.connect for kind in kinds], host_settings.tls_context)
    for kind in kinds:
        kind.connect = connect  # type: ignore[method-assign]
    host_settings.tls_context = lambda _host: context
    transfers.Retry.__init__.__defaults__ = (_no_wait,)
    os.environ.update(HOME=str(out), NETRC=str(out / "netrc"), DOCKER_CONFIG=str(out), XDG_CONFIG_HOME=str(out))
    try:
        yield
    finally:
        for kind, method in zip(kinds, kept[0], strict=True):
            kind.connect = method  # type: ignore[method-assign]
        host_settings.tls_context = kept[1]


def _no_wait(_seconds: float) -> None:
    pass


def _script(*entries: Any) -> bytes:
    return json.dumps(entries, indent=1).encode()


def _of_server(read: Callable[[Path], None]) -> Callable[[Path, Path], None]:
    def reading(path: Path, out: Path) -> None:
        with playing(path.read_bytes(), out), given_up():
            read(out)

    return reading


@contextmanager
def given_up() -> Iterator[None]:
    """Raise BentoError for a failed connection, as callers do after several attempts."""
    try:
        yield
    except ConnectionLostError as error:
        raise BentoError(str(error)) from None


def _bytes(data: bytes) -> str:
    return "base64:" + base64.b64encode(data).decode()


# Registries


def _registries() -> Any:
    return Registries(sleep=_no_wait, patience=5)


def _repository(registries: Any) -> Any:
    return registries.repository(Reference.parse(f"{_HOST}/a/b:v1"))


def _image_script() -> bytes:
    text = json.dumps(
        [
            ["/blobs/@config", 200, {}, CONFIG],
            ["/blobs/@layer", 200, {}, _bytes(b"layer")],
            ["/manifests/@manifest", 200, {"Content-Type": MANIFEST["mediaType"]}, MANIFEST],
            ["/manifests/v1", 200, {"Content-Type": INDEX["mediaType"]}, INDEX],
            ["/v2/", 200, {}, {}],
        ]
    )
    for number, name in enumerate(("config", "layer", "manifest")):
        text = text.replace(f"@{name}", f"@{number}@").replace(f'"#{name}"', f'"#{number}#"')
    return text.encode()


def _pull_image(out: Path) -> None:
    with _registries() as registries:
        layout = Layout.create(out / "layout")
        pull([Reference.parse(f"{_HOST}/a/b:v1")], layout, registries, Progress(), platforms=["linux/amd64"])


def _artifact_script(*, bento: bool) -> bytes:
    files = bento_files()
    models = {name: of for name, of in files.items() if name.startswith("models/clf/v1/")}
    described = {"tag": "clf:v1", "module": "bentoml.sklearn", "creation_time": DAY, "blake3": SHA, "size": 1}
    layers = [["layer", artifact.MODEL_PART, models]]
    config, types = described, (artifact.MODEL, artifact.MODEL_CONFIG)
    if bento:
        types = (artifact.BENTO, artifact.BENTO_CONFIG)
        config = {"bento": bento_document(), "digest": "blake3:" + SHA, "models": [described]}
        layers.append(["layer", artifact.BENTO_PART, {name: of for name, of in files.items() if name not in models}])
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST["mediaType"],
        "artifactType": types[0],
        "config": {"mediaType": types[1], "digest": "@0@", "size": "#0#"},
        "layers": [
            {"mediaType": kind, "digest": f"@{number}@", "size": f"#{number}#", "annotations": _annotations(kind)}
            for number, (_, kind, _) in enumerate(layers, 1)
        ],
    }
    return _script(
        ["/blobs/@0@", 200, {}, config],
        *([f"/blobs/@{n}@", 200, {}, _bytes(_part(of))] for n, (_, _, of) in enumerate(layers, 1)),
        ["/manifests/v1", 200, {"Content-Type": MANIFEST["mediaType"]}, manifest],
        ["/v2/", 200, {}, {}],
    )


def _annotations(kind: str) -> dict[str, str]:
    return {artifact.MODEL_ANNOTATION: "clf:v1"} if kind == artifact.MODEL_PART else {}


def _part(files: dict[str, bytes | str]) -> bytes:
    """Return a part of an archive in the form that registries store."""
    members = [
        tarstream.Member.symlink(name, of) if isinstance(of, str) else tarstream.Member.inline(name, of)
        for name, of in files.items()
    ]
    return b"".join(xz.stream(tarstream.stream(members), 1))


def _pull_entry(kind: str) -> Callable[[Path], None]:
    def read(out: Path) -> None:
        with _registries() as registries:
            chosen = BENTO if kind == "bento" else MODEL
            pull_entry(Home(out), chosen, Reference.parse(f"{_HOST}/a/b:v1"), registries, Progress())

    return read


def _list(_out: Path) -> None:
    with _registries() as registries:
        repository = _repository(registries)
        repository.referrers("sha256:" + SHA)


def _log_in(_out: Path) -> None:
    with _registries() as registries:
        _repository(registries).get_manifest("v1")


def _note_script() -> bytes:
    [note] = layer_notes()
    config = {"mediaType": registry_cache._CONFIG, "digest": "@0@", "size": len(note)}
    manifest = MANIFEST | {"config": config, "layers": []}
    return _script(
        ["GET /v2/a/b/blobs/", 200, {}, _bytes(note)],
        ["/manifests/", 200, {"Content-Type": MANIFEST["mediaType"]}, manifest],
        ["HEAD /v2/a/b/blobs/", 200, {"Content-Length": 1000}, ""],
        ["/v2/", 200, {}, {}],
    )


def _read_note(_out: Path) -> None:
    with _registries() as registries:
        cache = registry_cache.RegistryCache([f"{_HOST}/a/b"], [], registries, Progress())
        if not cache.read([planned_layer()], "gzip"):
            raise BentoError(next(iter(cache.problems.values()), "no note"))


def _push(_out: Path) -> None:
    content = b"content" * 10
    with _registries() as registries:
        repository = _repository(registries)
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        upload(repository, digest, len(content), BytesSource(content), Progress(), mount_from=["c/d"])
        manifest = json.dumps(MANIFEST | {"layers": [], "config": _descriptor(digest)}).encode()
        repository.put_manifest(Manifest.read(manifest, "", "x"), "v1")


def _descriptor(digest: str) -> dict[str, Any]:
    return {"mediaType": "a/b", "digest": digest, "size": 70}


# Addresses


def _download(address: str) -> Callable[[Path], None]:
    def read(out: Path) -> None:
        staged = out / "transfers"
        staged.mkdir(parents=True)
        try:
            download(parse(address), staged / "x", Progress(), form="xz")
        finally:
            (staged / "x").unlink(missing_ok=True)

    return read


def _read_cache(address: str, connect: Callable[[], socket.socket], *starts: int) -> None:
    found = remote_cache.settings(remote_cache.CacheOptions(["--remote_cache", address]))
    assert found
    kept, remote_cache.connect = remote_cache.connect, lambda *_: connect()
    try:
        with given_up():
            for start in starts:
                for _ in remote_cache.BuiltSource(Path("/nonexistent"), f"sha256:{SHA}", 7, found).pieces(start, 7):
                    pass
    finally:
        remote_cache.connect = kept


def _http_cache(path: Path, out: Path) -> None:
    data = path.read_bytes()
    with playing(data, out):
        _read_cache("http://cache.example/kept", lambda: Wire(Script(data)), 0, 3)


# Binary protocols: what a server says at once, whatever it is asked


class _Told(socket.socket):
    """Represents a connection that provides bytes and discards sent bytes."""

    def __init__(self, data: bytes) -> None:
        super().__init__(socket.AF_UNIX)
        self._data = memoryview(data)

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Discard the bytes."""

    def recv(self, size: int, flags: int = 0) -> bytes:
        """Return the remaining bytes."""
        taken, self._data = self._data[:size], self._data[size:]
        return bytes(taken)

    def recv_into(self, buffer: Any, size: int = 0, flags: int = 0) -> int:
        """Read the remaining bytes into the buffer."""
        taken = self.recv(size or len(buffer))
        buffer[: len(taken)] = taken
        return len(taken)


def _grpc(path: Path, _out: Path) -> None:
    _read_cache("grpc://cache.example", lambda: _Told(path.read_bytes()), 0)


def _grpc_answers() -> list[bytes]:
    client, server = H2Connection(), H2Connection(H2Configuration(client_side=False))
    client.initiate_connection()
    client.send_headers(1, [(":method", "POST"), (":scheme", "http"), (":path", "/x"), (":authority", "x")])
    server.initiate_connection()
    server.receive_data(client.data_to_send())
    server.send_headers(1, [(":status", "200"), ("content-type", "application/grpc")])
    for data in (b"content", b"more"):
        message = bytes((0x52, len(data))) + data
        server.send_data(1, b"\0" + len(message).to_bytes(4, "big") + message)
    server.send_headers(1, [("grpc-status", "0"), ("grpc-message", "")], end_stream=True)
    return [server.data_to_send()]


# Other servers of files: what they say is known, and is sent when the client has asked


class _Channel:
    """Represents an SFTP channel, which sends a packet for each packet that it receives."""

    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data)
        self._sent = threading.Semaphore(0)
        self._rest = 0

    def send(self, data: bytes) -> int:
        """Receive a packet."""
        self._sent.release()
        return len(data)

    def recv(self, size: int) -> bytes:
        """Return bytes of the next packet, or no bytes at the end, or if no packet comes."""
        is_head = not self._rest
        if is_head and not self._sent.acquire(timeout=0.01):
            return b""
        taken, self._data = bytes(self._data[:size]), self._data[size:]
        self._rest = int.from_bytes(taken, "big") if is_head else self._rest - len(taken)
        return taken

    def get_name(self) -> str:
        """Return a name for logs."""
        return "x"

    def close(self) -> None:
        """Drop the remaining packets."""
        self._data = self._data[:0]


def _sftp_packets() -> list[bytes]:
    content = bytes(range(256)) * 200
    handle = struct.pack(">L1s", 1, b"h")
    packets = [struct.pack(">BL", 2, 3), struct.pack(">BLLQ", 105, 1, 1, len(content))]
    packets += [struct.pack(">BL", 102, 2) + handle]
    for number, at in enumerate(range(0, len(content), 1 << 15), 3):
        piece = content[at : at + (1 << 15)]
        packets.append(struct.pack(">BLL", 103, number, len(piece)) + piece)
    packets.append(struct.pack(">BLLL2sL", 101, len(packets), 0, 2, b"ok", 0))
    return [b"".join(struct.pack(">L", len(packet)) + packet for packet in packets)]


def _sftp(path: Path, out: Path) -> None:
    import paramiko
    from bento_cli.transports import sftp

    class Played(sftp.Sftp):
        def _connect(self) -> None:
            self.client = self.ftp = paramiko.SFTPClient(_Channel(path.read_bytes()))

    kept, sftp.open_sftp = sftp.open_sftp, lambda _: (Played("h", skip_instance_cache=True), "x")
    try:
        _transfer("sftp://files.example/x.bento", out)
    finally:
        sftp.open_sftp = kept


class _Reply(_Told):
    """Represents the control connection of an FTP server."""

    def makefile(self, *_: Any, **__: Any) -> Any:
        """Return all lines of the server."""
        return io.TextIOWrapper(io.BytesIO(self.recv(1 << 30)), "utf-8")

    def getpeername(self) -> Any:
        """Return the address of the server."""
        return "127.0.0.1", 21

    def settimeout(self, _seconds: object) -> None:
        """Ignore the time."""


def _ftp(path: Path, out: Path) -> None:
    replies, _, content = path.read_bytes().partition(b"\n\n")
    connections: list[_Reply] = []

    def connect(*_: object, **__: object) -> _Reply:
        connections.append(_Reply(content if len(connections) % 2 else replies.replace(b"\n", b"\r\n") + b"\r\n"))
        return connections[-1]

    kept, socket.create_connection = socket.create_connection, connect  # type: ignore[assignment]
    try:
        _transfer("ftp://files.example/x.bento", out)
    finally:
        socket.create_connection = kept


def _transfer(address: str, out: Path) -> None:
    kept, transfers.Retry.__init__.__defaults__ = transfers.Retry.__init__.__defaults__, (_no_wait,)
    logging.disable()
    os.environ["NETRC"] = str(out / "netrc")
    try:
        _download(address)(out)
    finally:
        transfers.Retry.__init__.__defaults__ = kept


# Hugging Face Hub, whose library has a client of its own


def _hub(path: Path, _out: Path) -> None:
    import huggingface_hub
    from bento_cli.sharing.huggingface import pin

    script = Script(path.read_bytes())
    web = importlib.import_module(type(huggingface_hub.get_session()).__module__.partition(".")[0])

    def answer(request: Any) -> Any:
        known = script.answer(f"{request.method} {request.url.raw_path.decode('latin-1')} ".encode("latin-1"))
        head, _, body = known.partition(b"\r\n\r\n")
        status, *headers = head.decode("latin-1").split("\r\n")
        try:
            pairs = [tuple(header.split(": ", 1)) for header in headers]
            return web.Response(int(status.split()[1]), headers=pairs, stream=web.ByteStream(body))
        except (ValueError, IndexError, TypeError) as error:
            raise web.RemoteProtocolError(str(error)) from None

    huggingface_hub.set_client_factory(lambda: web.Client(transport=web.MockTransport(answer), follow_redirects=True))
    os.environ.update(HF_TOKEN="hf_x", HF_HUB_DISABLE_TELEMETRY="1")
    pin("a/b", endpoint="http://localhost")


def _scripts(name: str) -> Callable[[], list[bytes]]:
    return lambda: [_script(*entries) for entries in json.loads(seed(f"{name}.json"))]


def _server(scripts: Callable[[], list[bytes]], read: Callable[[Path], None], kept: str = "-") -> Reader:
    return Reader("script", "script.json", scripts, _of_server(read), kept)


SERVERS: dict[str, Reader] = {
    "registry-image": _server(lambda: [_image_script()], _pull_image, ""),
    "registry-model": _server(lambda: [_artifact_script(bento=False)], _pull_entry("model"), POOL),
    "registry-bento": _server(lambda: [_artifact_script(bento=True)], _pull_entry("bento"), POOL),
    "registry-lists": _server(_scripts("registry-lists"), _list),
    "registry-token": _server(_scripts("registry-token"), _log_in),
    "registry-note": _server(lambda: [_note_script()], _read_note),
    "registry-push": _server(_scripts("registry-push"), _push),
    "url": _server(_scripts("url"), _download("https://files.example/x.bento"), "transfers/"),
    "hub": Reader("script", "script.json", _scripts("hub"), _hub),
    "ftp": Reader("text", "replies", lambda: [seed("ftp")], _ftp, "transfers/"),
    "sftp": Reader("packets", "packets", _sftp_packets, _sftp, "transfers/"),
    "cache-http": Reader("script", "script.json", _scripts("cache-http"), _http_cache),
    "cache-grpc": Reader("frames", "answer", _grpc_answers, _grpc),
}
