"""Transports over connections that fail: what arrives is complete, or nothing arrives."""

from __future__ import annotations

import tracemalloc

import pytest
from bento_cli.store.import_session import Options
from rules_bento.base.archives.unpack import Limits
from rules_bento.base.errors import BentoError
from rules_bento.base.net.transfers import Progress

from tests.transports.relay import Fault, Relay
from tests.transports.support import KINDS, TAG, WRITABLE, empty, same

RELAYED = [kind for kind in KINDS if kind != "dropbox"]  # the address of Dropbox is fixed
CLOUDS = ["s3", "gs"]
# After the handshake of SSH, which isn't repeated. Of FTPS, the relay reaches only the first connection.
CUTS = dict.fromkeys(RELAYED, (2_500, 5_000, 300_000)) | {"sftp": (20_000, 300_000), "ftps": (200, 1_000)}


@pytest.fixture(autouse=True)
def quickly(quick):
    pass


@pytest.fixture
def packed(archive):
    """Return the archive of the Bento."""
    return archive.read_bytes()


@pytest.mark.parametrize("kind", RELAYED)
def test_a_download_succeeds_after_interruptions(kind, serve, store, other, packed):
    serve(kind).put("hi.bento", packed)
    with Relay(serve(kind).port, *map(Fault, CUTS[kind])) as relay:
        server = serve(kind, relay.port)
        other.bentos.import_archive(server.url("hi.bento", relay.port))
        assert relay.met >= 1
    assert same(store, other)


@pytest.mark.parametrize("kind", [kind for kind in WRITABLE if kind in RELAYED])
def test_an_upload_succeeds_after_interruptions(kind, serve, store, packed):
    server = serve(kind)
    with Relay(server.port, *(Fault(cut_up=size) for size in CUTS[kind])) as relay:
        serve(kind, relay.port)
        store.bentos.export(TAG, server.url("hi.bento", relay.port))
        assert relay.met >= 1
    assert server.get("hi.bento") == packed
    assert [name for name in server.names() if not name.endswith(".part")] == ["hi.bento"]


@pytest.mark.parametrize("kind", RELAYED)
def test_an_import_that_always_fails_leaves_nothing(kind, serve, other, packed):
    serve(kind).put("hi.bento", packed)
    with Relay(serve(kind).port, forever=Fault(cut_down=20)) as relay:
        server = serve(kind, relay.port)
        with pytest.raises(BentoError, match=r"hi\.bento: the transfer failed") as error:
            other.bentos.import_archive(server.url("hi.bento", relay.port))
        assert str(error.value).startswith(server.url("hi.bento", relay.port))
    assert empty(other)


@pytest.mark.parametrize("kind", [kind for kind in WRITABLE if kind in RELAYED])
def test_an_export_that_always_fails_leaves_the_old_file(kind, serve, store):
    server = serve(kind)
    server.put("hi.bento", b"old")
    # The relay cannot read the encrypted address of a data connection of FTPS.
    with Relay(server.port, forever=Fault(cut_up=200 if kind == "ftps" else 100_000)) as relay:
        serve(kind, relay.port)
        with pytest.raises(BentoError, match=r"hi\.bento: the transfer failed"):
            store.bentos.export(TAG, server.url("hi.bento", relay.port))
    assert server.get("hi.bento") == b"old"
    if kind in CLOUDS:
        assert not server.uploads()


def test_a_download_from_dropbox_that_fails_leaves_nothing(serve, other, packed, monkeypatch):
    server = serve("dropbox")
    server.put("hi.bento", packed)
    monkeypatch.setattr(server, "truncates", True)
    with pytest.raises(BentoError, match="hi.bento"):
        other.bentos.import_archive(server.url("hi.bento"))
    assert empty(other)


@pytest.mark.parametrize("kind", [*CLOUDS, "http"])
def test_a_busy_server_is_retried(kind, serve, store, other, packed):
    serve(kind).put("hi.bento", packed)
    with Relay(serve(kind).port, *[Fault(status=503)] * 2) as relay:
        server = serve(kind, relay.port)
        other.bentos.import_archive(server.url("hi.bento", relay.port))
        assert relay.met == 2
    assert same(store, other)


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_archive_leaves_nothing(kind, serve, other, packed):
    server = serve(kind)
    server.put("hi.bento", packed[:400_000] + bytes([packed[400_000] ^ 1]) + packed[400_001:])
    with pytest.raises(BentoError):
        other.bentos.import_archive(server.url("hi.bento"))
    assert empty(other)


def test_a_file_that_is_no_archive_is_recognized_by_its_beginning(serve, other):
    server, counter = serve("http"), Progress()
    server.put("hi.bento", b"<html>" * 4_000_000)
    with pytest.raises(BentoError, match=r"hi\.bento: the file isn't in xz format"):
        other.bentos.import_archive(server.url("hi.bento"), counter=counter)
    assert counter._done < 12_000_000
    assert empty(other)


@pytest.mark.parametrize("kind", KINDS)
def test_an_archive_that_is_too_large_is_not_downloaded(kind, serve, other, packed):
    server = serve(kind)
    server.put("hi.bento", packed)
    with pytest.raises(
        BentoError, match=r"hi\.bento: .*the (file exceeds the limit of 200000|size of the file is [0-9]+) bytes"
    ):
        other.bentos.import_archive(server.url("hi.bento"), options=Options(limits=Limits(size=100_000)))
    assert empty(other)


@pytest.mark.parametrize("kind", ["ftp", "sftp"])
def test_a_server_that_replaces_no_file(kind, serve, store, packed, monkeypatch):
    server = serve(kind)
    server.put("hi.bento", b"old")
    fs = {"ftp": "ftp.Ftp", "sftp": "sftp.Sftp"}[kind]
    real = __import__(f"bento_cli.transports.{kind}", fromlist=["x"])
    mv = getattr(real, fs.partition(".")[2]).mv

    def refusing(self, path, target):
        if self.exists(target):
            raise ValueError("the file exists")
        mv(self, path, target)

    monkeypatch.setattr(f"bento_cli.transports.{fs}.mv", refusing)
    store.bentos.export(TAG, server.url("hi.bento"))
    assert server.names() == ["hi.bento"]
    assert server.get("hi.bento") == packed


def test_an_http_download_continues_at_the_interruption(serve, store, other, packed):
    server = serve("http")
    server.put("hi.bento", packed)
    server.asked.clear()
    with Relay(server.port, Fault(cut_down=400_000)) as relay:
        other.bentos.import_archive(server.url("hi.bento", relay.port))
    first, second = server.asked
    assert "Range" not in first[1]
    assert int(second[1]["Range"].removeprefix("bytes=").rstrip("-")) > 300_000
    assert same(store, other)


def test_an_http_server_without_ranges_is_given_up(serve, other, packed, monkeypatch):
    server = serve("http")
    server.put("hi.bento", packed)
    monkeypatch.setattr(server, "ranges", False)
    with (
        Relay(server.port, forever=Fault(cut_down=400_000)) as relay,
        pytest.raises(BentoError, match=r"hi\.bento: the transfer failed"),
    ):
        other.bentos.import_archive(server.url("hi.bento", relay.port))
    assert empty(other)


def test_an_http_file_that_changes_is_downloaded_from_the_start(serve, store, other, packed):
    server = serve("http")
    server.put("hi.bento", packed[:500_000] + packed)

    def change(handler):
        if "Range" in handler.headers:
            server.put("hi.bento", packed)

    server.answer = change
    try:
        with Relay(server.port, Fault(cut_down=400_000)) as relay:
            other.bentos.import_archive(server.url("hi.bento", relay.port))
    finally:
        server.answer = None
    assert same(store, other)


def test_a_size_that_an_sftp_server_states_needs_no_memory(serve, other, packed, monkeypatch):
    import paramiko

    server, size = serve("sftp"), 64 << 30
    server.put("hi.bento", packed)
    stat = paramiko.SFTPClient.stat

    def stating(self, path):
        status = stat(self, path)
        status.st_size = size
        return status

    monkeypatch.setattr(paramiko.SFTPClient, "stat", stating)
    tracemalloc.start()
    try:
        with pytest.raises(BentoError, match=rf"received {len(packed)} of {size} bytes"):
            other.bentos.import_archive(server.url("hi.bento"))
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()
    assert empty(other)


def test_an_ftp_server_that_sends_more_than_it_states_is_given_up(serve, other, packed, monkeypatch):
    server = serve("ftp")
    server.put("hi.bento", packed)
    monkeypatch.setattr("bento_cli.transports.ftp.Ftp._size", lambda *_: 1000)
    with pytest.raises(BentoError, match="the file has more than 1000 bytes"):
        other.bentos.import_archive(server.url("hi.bento"))
    assert empty(other)
