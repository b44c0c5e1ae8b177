"""Layers that only the build's remote cache has, over both of its protocols: a push streams them from there.

The servers are stand-ins of a few lines, for what real ones do not do when asked; e2e `remote_cache` and
`remote_execution` push from real ones.
"""

import hashlib
import os
import socket
import threading
import time
from contextlib import contextmanager, nullcontext, suppress
from functools import partial

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, StreamEnded
from h2.exceptions import ProtocolError
from rules_bento.base.errors import BentoError
from rules_bento.base.net import ConnectionLostError, SourceLostError, limits
from rules_bento.base.net.transport import Transport
from rules_bento.images.registry.blob_sources import BodyPart
from rules_bento.images.registry.client import Registry
from rules_bento.images.registry.push_records import InterruptedUploads
from rules_bento.images.registry.reference import Reference
from rules_bento.run import remote_cache

from tests.net.liar import liar, reply

CONTENT = bytes(range(256)) * 5000  # more than a frame, and than a first window
DIGEST = hashlib.sha256(CONTENT).hexdigest()
SECRET = "s3cret-header"


def pushed(settings, start: int = 0, end: int = len(CONTENT), directory: str = "/nonexistent", count=bool) -> bytes:
    """What is sent to a registry."""
    source = remote_cache.BuiltSource(remote_cache.Path(directory, "layer"), f"sha256:{DIGEST}", len(CONTENT), settings)
    return b"".join(map(bytes, BodyPart(source, start, end, count)))


def settings(url: str, *more: str):
    return remote_cache.settings(remote_cache.CacheOptions.from_user([f"--remote_cache={url}", *more]))


@contextmanager
def http_cache(content: bytes, wanted: str = ""):
    def answer(request):
        if wanted and request.headers.get("x-key") != wanted:
            return reply(401)
        if request.path != f"/kept/cas/{DIGEST}":
            return reply(404)
        return reply(200, {"Content-Length": str(len(CONTENT))}, content)

    with liar(answer) as running:
        yield f"{running.url}/kept"


@contextmanager
def grpc_cache(status: int = 0, wanted: str = "", most: int = len(CONTENT)):
    """ByteStream for one blob; ends after `most` bytes with the status."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                channel, _ = listening.accept()
            except OSError:
                return
            with channel, suppress(ConnectionError, ProtocolError):
                answer(channel, status, wanted, most)

    server = threading.Thread(target=serve, daemon=True)
    server.start()
    try:
        yield f"grpc://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        # Closed under the thread, the number could be another socket's before the thread waits on it again.
        listening.shutdown(socket.SHUT_RDWR)
        server.join()
        listening.close()


def answer(channel: socket.socket, status: int, wanted: str, most: int) -> None:
    http2 = H2Connection(config=H2Configuration(client_side=False, header_encoding="utf-8"))
    http2.initiate_connection()
    channel.sendall(http2.data_to_send())
    request = bytearray()
    headers: dict[str, str] = {}
    stream, ended, waiting = 0, False, b""
    while data := channel.recv(1 << 16):
        for event in http2.receive_data(data):
            headers |= dict(getattr(event, "headers", None) or ())
            if isinstance(event, DataReceived):
                request += event.data
            if isinstance(event, StreamEnded):
                stream = event.stream_id
                allowed = not wanted or headers.get("x-key") == wanted
                # resource_name is field 1, read_offset field 2: a number of groups of seven bits.
                name, _, offset = bytes(request[7:]).partition(str(len(CONTENT)).encode())
                assert name.endswith(f"main/blobs/{DIGEST}/".encode())
                start = sum((byte & 0x7F) << 7 * n for n, byte in enumerate(offset[1:]))
                waiting = b"" if not allowed or status else b"".join(map(message, pieces(start, most)))
                http2.send_headers(stream, [(":status", "200"), ("content-type", "application/grpc")])
                status = status if allowed else 16
        if stream and not ended:
            waiting = sent(http2, stream, waiting)
            if ended := not waiting:
                http2.send_headers(stream, [("grpc-status", str(status))], end_stream=True)
        channel.sendall(http2.data_to_send())


def sent(http2: H2Connection, stream: int, waiting: bytes) -> bytes:
    """Send what the window takes; the rest."""
    while waiting and (room := min(http2.local_flow_control_window(stream), http2.max_outbound_frame_size)):
        http2.send_data(stream, waiting[:room])
        waiting = waiting[room:]
    return waiting


def pieces(start: int, most: int) -> list[bytes]:
    return [CONTENT[at : min(at + 100_000, most)] for at in range(start, most, 100_000)]


def message(data: bytes) -> bytes:
    """`ReadResponse` of the data, with a length of three groups, as a message of gRPC."""
    length = len(data)
    body = bytes((0x52, length & 0x7F | 0x80, length >> 7 & 0x7F | 0x80, length >> 14)) + data
    return b"\0" + len(body).to_bytes(4, "big") + body


@pytest.mark.parametrize(("start", "end"), [(0, len(CONTENT)), (5, len(CONTENT)), (300_000, 900_001)])
@pytest.mark.parametrize("cache", [lambda: http_cache(CONTENT), grpc_cache])
def test_any_range_of_a_blob_is_streamed(cache, start, end):
    with cache() as url:
        assert pushed(settings(url, "--remote_instance_name=main"), start, end) == CONTENT[start:end]


def test_a_blob_that_was_downloaded_is_taken_from_there(tmp_path):
    (tmp_path / "layer").write_bytes(CONTENT)
    assert pushed(None, directory=str(tmp_path)) == CONTENT


def test_without_a_cache_it_says_what_to_give():
    with pytest.raises(BentoError, match=r"Pass the build's --remote_cache after `--`"):
        pushed(None)


@pytest.mark.parametrize(
    ("content", "wrong"),
    [(CONTENT, False), (CONTENT[:-1] + b"-", True), (CONTENT[:500_000], False)],
    ids=["right", "other bytes", "cut short, which is no proof"],
)
def test_bytes_that_a_registry_rejected_are_verified(content, wrong):
    with http_cache(content) as url:
        source = remote_cache.BuiltSource(
            remote_cache.Path("/nonexistent"), f"sha256:{DIGEST}", len(CONTENT), settings(url)
        )
        with pytest.raises(BentoError, match=r"http://.*: blob .* is corrupt") if wrong else nullcontext():
            source.check(f"sha256:{DIGEST}", len(CONTENT))


def test_a_cache_that_sends_for_ever_is_read_to_the_stated_size(monkeypatch):
    def endless(*_):
        yield CONTENT
        while True:
            yield bytes(1000)

    for read in ("_read_http", "_read_grpc"):
        monkeypatch.setattr(remote_cache, read, endless)
    for url in ("http://127.0.0.1:1", "grpc://127.0.0.1:1"):
        source = remote_cache.BuiltSource(
            remote_cache.Path("/nonexistent"), f"sha256:{DIGEST}", len(CONTENT), settings(url)
        )
        source.check(f"sha256:{DIGEST}", len(CONTENT))


def test_no_helper_is_found_in_a_relative_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for directory in ("relative", "absolute"):
        helper = tmp_path / directory / "helper"
        helper.parent.mkdir()
        helper.write_text(f"#!/bin/sh\ntouch {directory}.run\necho '{{\"headers\": {{}}}}'\n")
        helper.chmod(0o755)
    monkeypatch.setenv("PATH", f"relative:{tmp_path}/absolute:{os.environ['PATH']}")
    settings("http://127.0.0.1:1", "--credential_helper=helper")
    assert [path.name for path in tmp_path.glob("*.run")] == ["absolute.run"]


def test_a_cache_that_is_away_is_not_taken_for_the_registry():
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # and nobody listens
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        with pytest.raises(SourceLostError) as cut:
            pushed(settings(url))
        assert url in str(cut.value)
    reference = Reference.parse("registry.example.com/iris")
    registry = Registry(reference, Transport(), interrupted=InterruptedUploads(), insecure=False, sleep=time.sleep)
    told = str(registry.connection_error("blob", cut.value))
    assert url in told
    assert "registry" not in told


@pytest.mark.parametrize("cache", [lambda: http_cache(CONTENT), lambda: grpc_cache(status=5)])
def test_a_blob_that_the_cache_has_lost(cache):
    with cache() as url, pytest.raises(BentoError, match=r"isn't in the cache anymore\. Run `bazel clean`"):
        pushed(settings(url.replace("/kept", "/other"), "--remote_instance_name=main"))


@pytest.mark.parametrize("cache", [lambda: http_cache(CONTENT, SECRET), lambda: grpc_cache(wanted=SECRET)])
def test_headers_open_it_and_are_not_shown(cache):
    with cache() as url:
        assert pushed(settings(url, "--remote_instance_name=main", f"--remote_header=x-key={SECRET}")) == CONTENT
        wrong = settings(url, "--remote_instance_name=main", "--remote_header=x-key=an0ther")
        with pytest.raises(BentoError, match=r"pass the build's --remote_header") as refused:
            pushed(wrong)
    assert "an0ther" not in str(refused.value) + repr(wrong)


@pytest.mark.parametrize(
    "cache",
    [
        lambda: http_cache(CONTENT[:500_000]),
        lambda: grpc_cache(most=500_000),
        *(partial(grpc_cache, status=status) for status in [14, 13, 4, "\u00b2", "ok", "-1", "9" * 5000]),
    ],
)
def test_a_truncated_blob_and_a_cache_that_is_away_are_worth_another_try(cache):
    with cache() as url, pytest.raises(ConnectionLostError):
        pushed(settings(url, "--remote_instance_name=main"))


def test_a_cache_that_speaks_the_other_protocol():
    with grpc_cache() as url, pytest.raises(ConnectionLostError):
        pushed(settings(url.replace("grpc:", "http:")))
    with http_cache(CONTENT) as url, pytest.raises(ConnectionLostError):
        pushed(settings(url.replace("http:", "grpc:")))


@pytest.mark.parametrize(
    "head", [b"\1\0\0\0\5", b"\0\xff\xff\xff\xff", b"\0" + (limits.MESSAGE + 1).to_bytes(4, "big")]
)
def test_messages_that_are_compressed_or_too_long_are_rejected_by_their_head(head, monkeypatch):
    monkeypatch.setitem(globals(), "message", lambda data: head + data)
    with grpc_cache() as url, pytest.raises(BentoError, match=r"sent an? (.*compressed|message of \d+ bytes)"):
        pushed(settings(url, "--remote_instance_name=main"))


def test_numbers_in_messages_have_an_end(monkeypatch):
    monkeypatch.setitem(globals(), "message", lambda data: b"\0" + (1 << 20).to_bytes(4, "big") + b"\xff" * (1 << 20))
    begin = time.process_time()
    with grpc_cache() as url, pytest.raises(ConnectionLostError, match="sent an invalid message"):
        pushed(settings(url, "--remote_instance_name=main"))
    assert time.process_time() - begin < 5


def test_a_cache_that_sends_nothing_is_a_cut(monkeypatch):
    monkeypatch.setattr(limits, "PATIENCE", 0.5)
    monkeypatch.setitem(globals(), "message", lambda data: b"\0" * 5)
    monkeypatch.setitem(globals(), "pieces", lambda start, most: [b""] * 3_000_000)
    with grpc_cache() as url, pytest.raises(ConnectionLostError):
        pushed(settings(url, "--remote_instance_name=main"))


@pytest.mark.parametrize("size", [9_000, 200_000])
def test_the_size_of_response_headers_of_a_cache_is_limited(size):
    head = b"HTTP/1.1 200 OK\r\nX: " + b"a" * size + b"\r\n\r\n"
    with liar(lambda _: head) as server, pytest.raises(BentoError, match="response headers are too large"):
        pushed(settings(f"{server.url}/kept"))


def test_a_cache_without_a_server_is_reported():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(ConnectionLostError):
        pushed(settings(f"grpc://127.0.0.1:{port}"))


def test_a_credential_helper_gives_headers(tmp_path):
    helper = tmp_path / "helper"
    helper.write_text(f'#!/bin/sh\n[ "$1" = get ] && echo \'{{"headers": {{"x-key": ["{SECRET}"]}}}}\'\n')
    helper.chmod(0o755)
    with http_cache(CONTENT, SECRET) as url:
        assert pushed(settings(url, f"--credential_helper=127.0.0.1={helper}")) == CONTENT
        with pytest.raises(BentoError, match="returned no headers"):
            settings(url, f"--credential_helper={tmp_path / 'none'}")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["ftp://cache"], "--remote_cache"),
        (["grpc://"], "--remote_cache"),
        (["grpc://cache", "--remote_header=lonely"], "NAME=VALUE"),
    ],
)
def test_invalid_settings_of_a_cache(words, message):
    with pytest.raises(BentoError, match=message):
        settings(*words)


def test_where_the_files_of_a_build_are(monkeypatch, tmp_path):
    monkeypatch.setenv("BUILD_WORKSPACE_DIRECTORY", os.fspath(tmp_path))
    assert remote_cache.built_file("bazel-out/k8/bin/a.layer") == tmp_path / "bazel-out/k8/bin/a.layer"
