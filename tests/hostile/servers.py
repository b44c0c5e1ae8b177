"""What reads the answers of servers: for each reader a script of sound answers, and a connection that plays it.

A script is a JSON list of `[text, status, headers, body]`: the first whose text is in the head of a request answers. A
body is text, or JSON that is sent as such. `@N` and `"#N"` stand for digest and size of the body of entry N, which
comes before; `base64:` begins bytes. What is no such list is sent as it is, as the answer to each request.
"""

import base64
import hashlib
import http.client
import io
import json
import os
import socket
import ssl
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bento_cli.library import Store
from bento_cli.sharing.cloud import pulling, pushing
from bento_cli.sharing.cloud.client import Cloud
from bento_cli.sharing.cloud.contexts import make
from bento_cli.sharing.huggingface import pin
from bento_cli.sharing.registry.pulling import pull as pull_entry
from bento_cli.sharing.urls import NullCounter
from bento_cli.store.entry_store import EntryStore
from bento_cli.store.home import Home
from bento_cli.transports import sftp, source
from bento_cli.transports.address import parse
from bento_cli.transports.download import downloaded
from h2.config import H2Configuration
from h2.connection import H2Connection
from readers import CONFIG, DAY, INDEX, MANIFEST, POOL, SHA, Reader, bento_document, bento_files, packed, tar_of
from rules_bento.archives import tarstream, xz
from rules_bento.artifacts import artifact
from rules_bento.bento.kinds import BENTO, MODEL
from rules_bento.errors import BentoError
from rules_bento.net import ConnectionLostError, host_settings, transfers
from rules_bento.registry.client import Registries
from rules_bento.registry.descriptor import Manifest
from rules_bento.registry.layout import Layout
from rules_bento.registry.pull import pull
from rules_bento.registry.push import upload
from rules_bento.registry.pushable import BytesSource
from rules_bento.registry.reference import Reference
from rules_bento.run import push_cache

_HOST = "registry.example"


class Script:
    """Answers by path."""

    def __init__(self, data: bytes) -> None:
        self._entries: list[tuple[str, bytes]] = []
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

    @property
    def _bodies(self) -> list[bytes]:
        return self.__dict__.setdefault("bodies", [])

    def _put_in(self, text: str) -> str:
        for number, body in enumerate(self._bodies):
            text = text.replace(f"@{number}@", f"sha256:{hashlib.sha256(body).hexdigest()}")
            text = text.replace(f'"#{number}#"', str(len(body)))
        return text

    def answer(self, request: bytes) -> bytes:
        """Give the bytes that answer a request."""
        head = request.partition(b"\r\n\r\n")[0].decode("latin-1")
        missing = b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"
        return next((answer for known, answer in self._entries if known in head), missing)


class Wire(socket.socket):
    """A connection at whose other end a script is."""

    def __init__(self, script: Script) -> None:
        super().__init__(socket.AF_UNIX)
        self._script = script
        self._sent = b""

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Keep the beginning of the request."""
        if len(self._sent) < 1 << 16:
            self._sent += bytes(data)

    def sendfile(self, file: Any, offset: int = 0, count: int | None = None) -> int:
        """Say that all is gone."""
        rest = os.fstat(file.fileno()).st_size - offset
        return max(0, rest if count is None else min(count, rest))

    def makefile(self, *_: Any, **__: Any) -> Any:
        """Give the answer to what was sent."""
        answer, self._sent = self._script.answer(self._sent), b""
        return io.BufferedReader(io.BytesIO(answer))


@contextmanager
def playing(data: bytes, out: Path) -> Iterator[None]:
    """Let all connections of HTTP play a script, with nobody waiting and nobody's credentials."""
    script = Script(data)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

    def connect(connection: Any) -> None:
        connection.sock = Wire(script)

    kept = (http.client.HTTPConnection.connect, http.client.HTTPSConnection.connect, host_settings.tls_context)
    http.client.HTTPConnection.connect = http.client.HTTPSConnection.connect = connect  # type: ignore[method-assign]
    host_settings.tls_context = lambda _host: context
    transfers.Retry.__init__.__defaults__ = (_no_wait,)
    os.environ.update(HOME=str(out), NETRC=str(out / "netrc"), DOCKER_CONFIG=str(out), XDG_CONFIG_HOME=str(out))
    try:
        yield
    finally:
        http.client.HTTPConnection.connect, http.client.HTTPSConnection.connect, host_settings.tls_context = kept  # type: ignore[method-assign]


def _no_wait(_seconds: float) -> None:
    pass


def _counter() -> Any:
    return NullCounter()


def _script(*entries: Any) -> bytes:
    return json.dumps(entries, indent=1).encode()


def _of_server(read: Callable[[Path], None]) -> Callable[[Path, Path], None]:
    def reading(path: Path, out: Path) -> None:
        with playing(path.read_bytes(), out), given_up():
            read(out)

    return reading


@contextmanager
def given_up() -> Iterator[None]:
    """Raise BentoError for a connection that fails, as callers do after some attempts."""
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
        pull([Reference.parse(f"{_HOST}/a/b:v1")], layout, registries, _counter(), platforms=["linux/amd64"])


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
    """A part of an archive, as registries have them."""
    members = [
        tarstream.Member.symlink(name, of) if isinstance(of, str) else tarstream.Member.inline(name, of)
        for name, of in files.items()
    ]
    return b"".join(xz.stream(tarstream.stream(members), 1))


def _pull_entry(kind: str) -> Callable[[Path], None]:
    def read(out: Path) -> None:
        with _registries() as registries:
            chosen = BENTO if kind == "bento" else MODEL
            pull_entry(Home(out), chosen, Reference.parse(f"{_HOST}/a/b:v1"), registries, _counter())

    return read


_TOKEN = 'Bearer realm="https://auth.example/token",service="x",scope="repository:a/b:pull"'


def _list(_out: Path) -> None:
    with _registries() as registries:
        repository = _repository(registries)
        repository.tags()
        repository.referrers("sha256:" + SHA)


def _listing() -> list[bytes]:
    link = {"Link": '</v2/a/b/tags/list?last=v1>; rel="next"'}
    entry = {"mediaType": MANIFEST["mediaType"], "digest": "sha256:" + SHA, "size": 3, "artifactType": "a/b"}
    referrers = {"schemaVersion": 2, "mediaType": INDEX["mediaType"], "manifests": [entry]}
    return [
        _script(
            ["last=", 200, {}, {"name": "a/b", "tags": ["v2"]}],
            ["tags/list", 200, link, {"name": "a/b", "tags": ["v1", "latest"]}],
            ["referrers/", 200, {"OCI-Filters-Applied": "artifactType"}, referrers],
            ["/v2/", 200, {}, {}],
        )
    ]


def _log_in(_out: Path) -> None:
    with _registries() as registries:
        _repository(registries).get_manifest("v1")


def _tokens() -> list[bytes]:
    answers = ({"token": "a", "expires_in": 60, "issued_at": DAY}, {"access_token": "b", "refresh_token": "c"})
    denied = {"errors": [{"code": "UNAUTHORIZED", "message": "no", "detail": [{"Type": "repository"}]}]}
    return [
        _script(
            ["/token", 200, {}, answer],
            ["Authorization: Bearer", 200, {"Content-Type": INDEX["mediaType"]}, {**INDEX, "manifests": []}],
            ["/v2/", 401, {"WWW-Authenticate": _TOKEN}, denied],
        )
        for answer in answers
    ]


def _push(_out: Path) -> None:
    content = b"content" * 10
    with _registries() as registries:
        repository = _repository(registries)
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        upload(repository, digest, len(content), BytesSource(content), _counter(), mount_from=["c/d"])
        manifest = json.dumps(MANIFEST | {"layers": [], "config": _descriptor(digest)}).encode()
        repository.put_manifest(Manifest.read(manifest, "", "x"), "v1")


def _descriptor(digest: str) -> dict[str, Any]:
    return {"mediaType": "a/b", "digest": digest, "size": 70}


def _uploads() -> list[bytes]:
    session = {"Location": "/v2/a/b/blobs/uploads/1?state=x", "Range": "0-69", "OCI-Chunk-Min-Length": "10"}
    return [
        _script(
            ["/blobs/uploads/1", 201, {"Location": "/v2/a/b/blobs/x"}, ""],
            ["/blobs/uploads/", 202, session, ""],
            ["/manifests/v1", 201, {"OCI-Subject": "sha256:" + SHA}, ""],
            ["/v2/a/b/blobs/", 404, {}, {"errors": [{"code": "BLOB_UNKNOWN", "message": "x"}]}],
            ["/v2/", 200, {}, {}],
        )
    ]


# Clouds


def _cloud() -> Any:
    return Cloud(make("x", "https://cloud.example", "t0ken"), sleep=_no_wait, patience=5)


def _pull_from_cloud(out: Path) -> None:
    with _cloud() as cloud:
        pulling.pull(Home(out), BENTO, "hi", cloud, _counter())


def _cloud_answers() -> list[bytes]:
    files = bento_files()
    bento = packed(tar_of({name: of for name, of in files.items() if not name.startswith("models/")}), "gz")
    prefix = "models/clf/v1/"
    model = packed(tar_of({name[len(prefix) :]: of for name, of in files.items() if name.startswith(prefix)}), "gz")
    document = bento_document()
    remote = {
        "uid": "1",
        "version": "v1",
        "upload_status": "success",
        "updated_at": DAY,
        "transmission_strategy": "presigned_url",
        "labels": [{"key": "a", "value": "b"}],
        "manifest": {"models": ["clf:v1"], "service": "x", "metadata": {"registry": ""}},
        "image": document["image"],
    }
    return [
        _script(
            ["/signed/m", 200, {}, _bytes(model)],
            ["/signed/b", 200, {}, _bytes(bento)],
            ["/models/v1/presign", 200, {}, {"presigned_download_url": "https://s3.example/signed/m?x=y"}],
            ["/models/v1", 200, {}, remote | {"manifest": {"module": "", "metadata": {}}}],
            ["/bentos/v1/presign", 200, {}, {"presigned_download_url": "https://s3.example/signed/b?x=y"}],
            ["/bentos/v1", 200, {}, remote],
            ["count=1", 200, {}, {"items": [remote], "total": 1}],
        )
    ]


def _push_to_cloud(out: Path) -> None:
    archive = out.with_name("x.tar")
    archive.write_bytes(tar_of({name: of for name, of in bento_files().items() if name != "src/link"}))
    store = Store(out)
    store.bentos.import_archive(archive)
    archive.unlink()
    with _cloud() as cloud:
        pushing.push(store.home, EntryStore(store.home, BENTO).get("hi:v1"), cloud, _counter())


def _cloud_uploads() -> list[bytes]:
    new = {"uid": "1", "version": "v1", "upload_status": "pending", "transmission_strategy": "presigned_url"}
    addresses = {
        "presigned_upload_url": "https://s3.example/signed?x=y",
        "presigned_multipart_upload_url": "https://s3.example/signed?x=y",
        "upload_id": "u",
    }
    return [
        _script(
            ["/signed", 200, {"ETag": '"e"'}, ""],
            ["/presign", 200, {}, addresses | new],
            ["multipart_upload", 200, {}, addresses | new],
            ["finish_upload", 200, {}, new | {"upload_status": "success"}],
            ["start_upload", 200, {}, new],
            ["s/v1", 404, {}, {"error": "record not found"}],
            ["s HTTP", 200, {}, new],
            ["/api/", 200, {}, {"uid": "2", "name": "hi"}],
        )
    ]


# Addresses


def _download(address: str) -> Callable[[Path], None]:
    def read(out: Path) -> None:
        with downloaded(parse(address), out / "transfers", _counter()) as file:
            file.read()

    return read


def _urls() -> list[bytes]:
    whole = {
        "Accept-Ranges": "bytes",
        "ETag": '"1"',
        "Repr-Digest": "sha-256=:7XACtDnprIRfIjV9giusFERzD722AW0+yUMil7nsn3M=:",
    }
    part = {"Content-Range": "bytes 0-6/7", "ETag": '"1"'}
    return [
        _script(["/x", 302, {"Location": "https://other.example/y.bento"}, ""], ["/y", 200, whole, "content"]),
        _script(["/x", 206, part | {"Last-Modified": "Sat, 01 Jan 2000 00:00:00 GMT"}, "content"]),
    ]


def _dropbox(out: Path) -> None:
    os.environ.update(DROPBOX_REFRESH_TOKEN="r", DROPBOX_APP_KEY="k")
    _download("dropbox:///x.bento")(out)


def _of_dropbox() -> list[bytes]:
    found = {
        ".tag": "file",
        "rev": "1",
        "size": 7,
        "content_hash": source.hash_of(source.DROPBOX, b"content"),
        "name": "x.bento",
    }
    return [
        _script(
            ["oauth2/token", 200, {}, {"access_token": "a", "expires_in": 14400}],
            ["get_metadata", 200, {}, found],
            ["files/download", 206, {"Content-Range": "bytes 0-6/7"}, "content"],
        )
    ]


def _gcs(out: Path) -> None:
    os.environ["STORAGE_EMULATOR_HOST"] = "http://gcs.example"
    _download("gs://bucket/x.bento")(out)


def _of_gcs() -> list[bytes]:
    found = {
        "name": "x.bento",
        "size": "7",
        "generation": "12",
        "md5Hash": base64.b64encode(hashlib.md5(b"content").digest()).decode(),
    }
    return [_script(["alt=media", 206, {"Content-Range": "bytes 0-6/7"}, "content"], ["/o/", 200, {}, found])]


def _of_hub() -> list[bytes]:
    files = [{"rfilename": "x/w.bin", "size": 3, "lfs": {"sha256": SHA, "size": 3}}, {"rfilename": "config.json"}]
    return [
        _script(
            ["/api/models", 200, {}, {"sha": "a" * 40, "siblings": files, "id": "a/b"}],
            ["/resolve/", 200, {"ETag": '"x"'}, "content"],
        )
    ]


def _cache_over_http(_out: Path) -> None:
    found = push_cache.settings({"--remote_cache": ["http://cache.example/kept"]})
    assert found
    connect, push_cache._connect = push_cache._connect, lambda *_: Wire(_current[0])
    try:
        for start in (0, 3):
            for _ in push_cache.open_cache(found).read(SHA, 7, start):
                pass
    finally:
        push_cache._connect = connect


_current: list[Script] = []


def _http_cache(path: Path, out: Path) -> None:
    _current[:] = [Script(path.read_bytes())]
    _of_server(_cache_over_http)(path, out)


# Binary protocols: what a server says at once, whatever it is asked


class _Told(socket.socket):
    """A connection over which bytes come, and whatever is sent is lost."""

    def __init__(self, data: bytes) -> None:
        super().__init__(socket.AF_UNIX)
        self._data = memoryview(data)

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Lose it."""

    def recv(self, size: int, flags: int = 0) -> bytes:
        """Give what is left."""
        taken, self._data = self._data[:size], self._data[size:]
        return bytes(taken)

    def recv_into(self, buffer: Any, size: int = 0, flags: int = 0) -> int:
        """The same."""
        taken = self.recv(size or len(buffer))
        buffer[: len(taken)] = taken
        return len(taken)


def _grpc(path: Path, _out: Path) -> None:
    found = push_cache.settings({"--remote_cache": ["grpc://cache.example"]})
    assert found
    connect, push_cache._connect = push_cache._connect, lambda *_: _Told(path.read_bytes())
    try:
        with given_up():
            for _ in push_cache.open_cache(found).read(SHA, 7, 0):
                pass
    finally:
        push_cache._connect = connect


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


class _Ssh:
    """A program that has said all that it will say."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def wait(self, *_: Any) -> int:
        """It has ended."""
        return 0

    def kill(self) -> None:
        """The same."""


def _sftp(path: Path, _out: Path) -> None:
    address = parse("sftp://me@host.example/x.bento")
    assert address
    popen, pair = sftp.subprocess.Popen, sftp.socket.socketpair
    sftp.subprocess.Popen = _Ssh
    sftp.socket.socketpair = lambda: (_Told(path.read_bytes()), socket.socket(socket.AF_UNIX))
    remote = sftp.OpenSsh(address, "ssh")
    try:
        with given_up():
            stat = remote.stat()
            for _ in remote.read(stat, 0, min(stat.size or 0, 1 << 20)):
                pass
    finally:
        remote.close()
        sftp.subprocess.Popen, sftp.socket.socketpair = popen, pair


def _sftp_answers() -> list[bytes]:
    def text(data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + data

    limits = text(b"limits@openssh.com") + text(b"1")
    packets = [
        struct.pack(">BI", 2, 3) + limits + text(b"posix-rename@openssh.com") + text(b"1"),
        struct.pack(">BIQQQQ", 201, 1, 262144, 261120, 261120, 1000),
        struct.pack(">BIIQIIIII", 105, 2, 15, 7, 0, 0, 0o100644, 1, 2),
        struct.pack(">BI", 102, 3) + text(b"hand"),
        struct.pack(">BI", 103, 4) + text(b"cont"),
        struct.pack(">BI", 103, 5) + text(b"ent"),
        struct.pack(">BII", 101, 6, 0) + text(b"fine") + text(b""),
    ]
    plain = [packets[0][:5], struct.pack(">BIIQ", 105, 1, 1, 7), *packets[3:]]
    renumbered = [plain[0], plain[1], *(of[:1] + struct.pack(">I", n) + of[5:] for n, of in enumerate(plain[2:], 2))]
    return [b"".join(text(packet) for packet in given) for given in (packets, renumbered)]


SERVERS: dict[str, Reader] = {
    "registry-image": Reader("script", "script.json", lambda: [_image_script()], _of_server(_pull_image), ""),
    "registry-model": Reader(
        "script", "script.json", lambda: [_artifact_script(bento=False)], _of_server(_pull_entry("model")), POOL
    ),
    "registry-bento": Reader(
        "script", "script.json", lambda: [_artifact_script(bento=True)], _of_server(_pull_entry("bento")), POOL
    ),
    "registry-lists": Reader("script", "script.json", _listing, _of_server(_list)),
    "registry-token": Reader("script", "script.json", _tokens, _of_server(_log_in)),
    "registry-push": Reader("script", "script.json", _uploads, _of_server(_push)),
    "cloud-pull": Reader("script", "script.json", _cloud_answers, _of_server(_pull_from_cloud), POOL),
    "cloud-push": Reader("script", "script.json", _cloud_uploads, _of_server(_push_to_cloud), ""),
    "url": Reader("script", "script.json", _urls, _of_server(_download("https://files.example/x.bento")), "transfers/"),
    "dropbox": Reader("script", "script.json", _of_dropbox, _of_server(_dropbox), "transfers/"),
    "gcs": Reader("script", "script.json", _of_gcs, _of_server(_gcs), "transfers/"),
    "hub": Reader(
        "script",
        "script.json",
        _of_hub,
        _of_server(lambda _out: pin("a/b", endpoint="https://hub.example", exclude=["*.md"])),
    ),
    "cache-http": Reader(
        "script",
        "script.json",
        lambda: [_script(["/cas/", 206, {"Content-Range": "bytes 3-6/7"}, "content"])],
        _http_cache,
    ),
    "cache-grpc": Reader("frames", "answer", _grpc_answers, _grpc),
    "sftp": Reader("packets", "answer", _sftp_answers, _sftp),
}
