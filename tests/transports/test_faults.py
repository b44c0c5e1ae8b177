"""Transports over connections that fail: what comes in the end is whole, or nothing came."""

from __future__ import annotations

import hashlib

import pytest
from bento_cli.transports import dropbox, gcs, object_store
from relay import Fault, Relay
from rules_bento.errors import BentoError
from rules_bento.net import ConnectionLostError
from rules_bento.net.transfers import Progress
from store_support import tar
from support import KINDS, TAG, WRITABLE, archive, empty, files, other, quick, running, same, serve, store

__all__ = ["archive", "files", "other", "quick", "running", "serve", "store"]

HTTP = ["s3", "gs", "http", "dropbox"]
CUTS = [0, 1, 5_000, 100_000, 600_000]
WRITABLE_HTTP = ["s3", "gs", "dropbox"]


@pytest.fixture(autouse=True)
def quickly(quick):
    pass


@pytest.fixture
def packed(archive):
    """The archive of the Bento."""
    return archive.read_bytes()


@pytest.mark.parametrize("kind", KINDS)
def test_a_download_goes_on_after_cuts(kind, serve, store, other, packed):
    serve(kind).put("hi.bento", packed)
    with Relay(serve(kind).port, *(Fault(cut_down=cut) for cut in CUTS)) as relay:
        server = serve(kind, relay.port)
        other.bentos.import_archive(server.url("hi.bento", relay.port))
        # Some make another connection for the rest, so that not all of the faults are met.
        assert relay.met >= 2
    assert same(store, other)


@pytest.mark.parametrize("kind", WRITABLE)
def test_an_upload_goes_on_after_cuts(kind, serve, store, packed):
    server = serve(kind)
    with Relay(server.port, *(Fault(cut_up=cut) for cut in CUTS[1:])) as relay:
        serve(kind, relay.port)
        store.bentos.export(TAG, server.url("hi.bento", relay.port))
        assert relay.met >= 1
    assert server.get("hi.bento") == packed
    assert server.names() == ["hi.bento"]


@pytest.mark.parametrize("kind", WRITABLE)
def test_an_answer_that_is_lost_is_asked_for_again(kind, serve, store, packed):
    server = serve(kind)
    with Relay(server.port, *(Fault(cut_down=cut) for cut in (0, 40, 300, 1000))) as relay:
        serve(kind, relay.port)
        store.bentos.export(TAG, server.url("hi.bento", relay.port))
        assert relay.met >= 1
    assert server.get("hi.bento") == packed
    assert server.names() == ["hi.bento"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_that_always_cuts_is_given_up(kind, serve, other, packed):
    serve(kind).put("hi.bento", packed)
    with Relay(serve(kind).port, forever=Fault(cut_down=20)) as relay:
        server = serve(kind, relay.port)
        with pytest.raises(BentoError, match="the transfer failed repeatedly") as error:
            other.bentos.import_archive(server.url("hi.bento", relay.port))
        assert str(error.value).startswith(server.url("hi.bento", relay.port))
    assert empty(other)


@pytest.mark.parametrize("kind", WRITABLE)
def test_an_upload_that_always_fails_leaves_what_was_there(kind, serve, store):
    server = serve(kind)
    server.put("hi.bento", b"old")
    with Relay(server.port, forever=Fault(cut_up=100_000)) as relay:
        serve(kind, relay.port)
        # SFTP and FTP go on from where they were, so that a hundred kilobytes each time are enough in the end.
        try:
            store.bentos.export(TAG, server.url("hi.bento", relay.port))
        except BentoError as error:
            assert "the transfer failed repeatedly" in str(error)
            assert server.get("hi.bento") == b"old"
    if kind == "s3":
        assert not server.uploads()


@pytest.mark.parametrize("kind", HTTP)
@pytest.mark.parametrize("status", [503, 429])
def test_trouble_of_the_server_passes(kind, status, serve, store, other, packed):
    serve(kind).put("hi.bento", packed)
    with Relay(serve(kind).port, *[Fault(status=status)] * 3) as relay:
        server = serve(kind, relay.port)
        other.bentos.import_archive(server.url("hi.bento", relay.port))
        assert relay.met == 3
    assert same(store, other)


@pytest.mark.parametrize("kind", WRITABLE_HTTP)
@pytest.mark.parametrize("status", [500])
def test_trouble_of_the_server_passes_for_uploads(kind, status, serve, store, packed):
    server = serve(kind)
    with Relay(server.port, *[Fault(status=status)] * 3) as relay:
        serve(kind, relay.port)
        store.bentos.export(TAG, server.url("hi.bento"))
        assert relay.met == 3
    assert server.get("hi.bento") == packed


@pytest.mark.parametrize("kind", HTTP)
def test_trouble_that_does_not_pass_is_told(kind, serve, other, packed):
    serve(kind).put("hi.bento", packed)
    with Relay(serve(kind).port, forever=Fault(status=503)) as relay:
        server = serve(kind, relay.port)
        with pytest.raises(BentoError, match=r"(?s)hi\.bento: the transfer failed repeatedly.*503"):
            other.bentos.import_archive(server.url("hi.bento", relay.port))
    assert empty(other)


@pytest.mark.parametrize("kind", KINDS)
def test_a_slow_server_is_waited_for(kind, serve, store, other, packed):
    serve(kind).put("hi.bento", packed)
    with Relay(serve(kind).port, forever=Fault(pause=0.01)) as relay:
        server = serve(kind, relay.port)
        other.bentos.import_archive(server.url("hi.bento", relay.port))
        assert relay.met
    assert same(store, other)


@pytest.mark.parametrize("kind", HTTP)
@pytest.mark.parametrize("longer", [-1, 100])
def test_a_wrong_length_is_no_archive(kind, longer, serve, store, other, packed):
    serve(kind).put("hi.bento", packed)
    with Relay(serve(kind).port, Fault(longer=longer), Fault(longer=longer)) as relay:
        server = serve(kind, relay.port)
        try:
            other.bentos.import_archive(server.url("hi.bento", relay.port))
        except BentoError:
            assert empty(other)
        else:
            assert same(store, other)
        assert relay.met


@pytest.mark.parametrize("kind", ["s3", "gs", "http", "dropbox", "ftp"])
def test_wrong_bytes_are_noticed_in_any_form(kind, serve, store, other, files):
    """A plain tar has no checksum of its files, so what is noticed is so by the transport (or by --sha256)."""
    server = serve(kind)
    data = tar(files)
    if kind == "s3":  # as our own export leaves it
        store.bentos.export(TAG, server.url("x.tar"))
        data = server.get("x.tar")
    else:
        server.put("x.tar", data)
    digest = hashlib.sha256(data).hexdigest() if kind in ("http", "ftp") else ""
    with Relay(server.port, forever=Fault(flip_down=100_000)) as relay:
        serve(kind, relay.port)
        with pytest.raises(BentoError, match="attempts failed: the "):
            other.bentos.import_archive(server.url("x.tar", relay.port), sha256=digest)
    assert empty(other)
    assert not list(other.home.transfers.iterdir())
    serve(kind, server.port)
    other.bentos.import_archive(server.url("x.tar"), sha256=digest)


@pytest.mark.parametrize("kind", ["ftp", "http"])
def test_wrong_bytes_are_noticed_by_the_archive(kind, serve, other, packed):
    server = serve(kind)
    server.put("x.bento", packed)
    with Relay(server.port, forever=Fault(flip_down=100_000)) as relay, pytest.raises(BentoError):
        other.bentos.import_archive(server.url("x.bento", relay.port))
    assert empty(other)


@pytest.mark.parametrize("kind", ["ftps", "sftp"])
def test_wrong_bytes_break_what_is_encrypted(kind, serve, store, other, packed):
    serve(kind).put("x.bento", packed)
    with Relay(serve(kind).port, *[Fault(flip_down=size) for size in (700, 50_000, 400_000)]) as relay:
        server = serve(kind, relay.port)
        other.bentos.import_archive(server.url("x.bento", relay.port))
        assert relay.met
    assert same(store, other)


@pytest.mark.parametrize("kind", ["gs", "ftp"])
def test_wrong_bytes_of_an_upload_are_noticed(kind, serve, store):
    """The bytes are changed on their way there, each time."""
    server = serve(kind)
    with Relay(server.port, forever=Fault(flip_up=400_000)) as relay:
        serve(kind, relay.port)
        with pytest.raises(BentoError, match="MD5 hash|the uploaded file doesn't match the sent data"):
            store.bentos.export(TAG, server.url("x.tar", relay.port))
    assert server.names() == []


@pytest.mark.parametrize("kind", ["dropbox", "ftp", "ftps", "sftp"])
def test_wrong_bytes_of_an_upload_are_sent_again(kind, serve, store):
    server = serve(kind)
    data = store.bentos.export(TAG, str(store.home.root / "x.tar")).path.read_bytes()
    fault = Fault(flip_up=300_000, cut_up=1_050_000)
    with Relay(server.port, *[fault] * (2 if kind == "ftp" else 1)) as relay:
        serve(kind, relay.port)
        store.bentos.export(TAG, server.url("x.tar", relay.port))
        assert relay.met
    assert server.get("x.tar") == data
    assert server.names() == ["x.tar"]


@pytest.mark.parametrize("size", [1 << 15, 8 << 20])
def test_the_parts_of_s3_carry_their_digests(size, serve, store, monkeypatch):
    """moto does not look at them, S3 does."""
    import base64

    monkeypatch.setattr(object_store, "PART", size)
    server = serve("s3")
    seen = []
    with Relay(server.port) as relay:
        pump = relay._pump

        def spy(source, sink, cut, flip, fault, pair):
            if fault is None:
                original = source.recv

                class Source:
                    def recv(self, size):
                        data = original(size)
                        seen.append(data)
                        return data

                pump(Source(), sink, cut, flip, fault, pair)
            else:
                pump(source, sink, cut, flip, fault, pair)

        relay._pump = spy
        serve("s3", relay.port)
        store.bentos.export(TAG, server.url("x.tar"))
    sent = b"".join(seen)
    digest = base64.b64encode(hashlib.sha256(server.get("x.tar")[:size]).digest())
    assert b"x-amz-checksum-sha256: " + digest in sent


def test_another_version_in_the_middle_begins_anew(serve, store, other, packed):
    server = serve("http")
    server.put("x.bento", packed[:-1])
    asked = []

    def answer(handler):
        asked.append(handler.path)
        if len(asked) == 3:
            server.put("x.bento", packed)
        return False

    server.answer = answer
    try:
        other.bentos.import_archive(server.url("x.bento"))
    finally:
        server.answer = None
    assert same(store, other)


def test_a_server_without_ranges(serve, store, other, packed):
    server = serve("http")
    server.put("x.bento", packed)
    server.ranges = False
    try:
        with Relay(server.port, Fault(), Fault(cut_down=300_000), Fault(cut_down=900_000)) as relay:
            other.bentos.import_archive(server.url("x.bento", relay.port))
            assert relay.met == 2
    finally:
        server.ranges = True
    assert same(store, other)


def test_a_session_of_dropbox_whose_end_was_not_heard(serve, store, packed, monkeypatch):
    server = serve("dropbox")
    heard = dropbox.Dropbox._finish

    def deaf(self, session, size):
        heard(self, session, size)
        monkeypatch.setattr(dropbox.Dropbox, "_finish", heard)
        raise ConnectionLostError("gone")

    monkeypatch.setattr(dropbox.Dropbox, "_finish", deaf)
    store.bentos.export(TAG, server.url("x.bento"))
    assert server.get("x.bento") == packed


@pytest.mark.parametrize(("kind", "verb"), [("gs", "_send"), ("dropbox", "_append")])
def test_a_server_that_takes_nothing_is_given_up(kind, verb, serve, store, monkeypatch):
    server = serve(kind)
    cls = {"gs": gcs.Gcs, "dropbox": dropbox.Dropbox}[kind]
    monkeypatch.setattr(cls, verb, lambda *_: (0, None) if kind == "gs" else 0)
    with pytest.raises(BentoError, match="the server stopped accepting data"):
        store.bentos.export(TAG, server.url("x.bento"))


class Interrupted:
    """A counter that ends the transfer after so many bytes, as Ctrl-C does."""

    def __init__(self, after):
        self._left = after

    def expect(self, size):
        pass

    def advance(self, size):
        self._left -= size
        if self._left < 0:
            raise KeyboardInterrupt


class Counted:
    """A counter that remembers what it was told."""

    def __init__(self):
        self.told = []

    def expect(self, size):
        pass

    def advance(self, size):
        self.told.append(size)


@pytest.mark.parametrize("kind", KINDS)
def test_another_run_goes_on(kind, serve, store, other, packed):
    server = serve(kind)
    server.put("x.bento", packed)
    with pytest.raises(KeyboardInterrupt):
        other.bentos.import_archive(server.url("x.bento"), counter=Interrupted(600_000))
    assert empty(other)
    counter = Counted()
    other.bentos.import_archive(server.url("x.bento"), counter=counter)
    # What is there is told at once; of each of four spans a piece may have been lost.
    [there] = [size for size in counter.told if size][:1]
    assert 600_000 - 4 * (1 << 16) - (1 << 18) <= there <= len(packed)
    assert sum(counter.told) == len(packed)
    assert same(store, other)


@pytest.mark.parametrize("kind", ["ftp", "ftps", "sftp"])
def test_another_run_goes_on_with_an_upload(kind, serve, store, packed, monkeypatch):
    monkeypatch.setattr("bento_cli.transports.sftp.MAX_PENDING", 1 << 19)
    monkeypatch.setattr("bento_cli.transports.sftp.OpenSsh.window", 1 << 19)
    server = serve(kind)
    with pytest.raises(KeyboardInterrupt):
        store.bentos.export(TAG, server.url("x.bento"), counter=Interrupted(800_000))
    [left] = server.names()
    assert left.startswith(".x.bento.")
    server.put(left, packed[:700_000])  # how much is there after a hasty end is the server's affair
    counter = Counted()
    store.bentos.export(TAG, server.url("x.bento"), counter=counter)
    [there] = [size for size in counter.told if size][:1]
    assert there == 700_000 - ((1 << 19) if kind == "sftp" else 0)
    assert server.names() == ["x.bento"]
    assert server.get("x.bento") == packed


def test_what_an_upload_left_is_not_believed(serve, store, packed):
    server = serve("sftp")
    with pytest.raises(KeyboardInterrupt):
        store.bentos.export(TAG, server.url("x.bento"), counter=Interrupted(0))
    [left] = server.names()
    server.put(left, b"wrong" + packed[5:])
    store.bentos.export(TAG, server.url("x.bento"))
    assert server.get("x.bento") == packed
    assert server.names() == ["x.bento"]


def test_what_a_cut_download_left_is_collected(serve, other, packed):
    import fcntl

    server = serve("http")
    server.put("x.bento", packed)
    with pytest.raises(KeyboardInterrupt):
        other.bentos.import_archive(server.url("x.bento"), counter=Interrupted(500_000))
    [part] = other.home.transfers.glob("*.part")
    with part.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert other.gc().files == 0, "somebody is at it"
    assert other.gc(dry_run=True).files == 1
    assert part.exists()
    assert other.gc().files == 1
    assert not list(other.home.transfers.iterdir())


@pytest.mark.parametrize("kind", KINDS)
def test_progress_adds_up(kind, serve, store, other, packed):
    class Counter:
        expected = done = 0

        def expect(self, size):
            self.expected += size

        def advance(self, size):
            self.done += size

    server = serve(kind)
    server.put("x.bento", packed)
    with Relay(server.port, *(Fault(cut_down=cut) for cut in CUTS)) as relay:
        serve(kind, relay.port)
        counter = Counter()
        other.bentos.import_archive(server.url("x.bento", relay.port), counter=counter)
        assert counter.expected == counter.done == len(packed)
    if server.writable:
        with Relay(server.port, *(Fault(cut_up=cut) for cut in CUTS[2:])) as relay:
            serve(kind, relay.port)
            counter = Counter()
            store.bentos.export(TAG, server.url("y.bento", relay.port), counter=counter)
            assert counter.expected == counter.done == len(packed)
    assert Progress("x")


@pytest.fixture
def parts(monkeypatch):
    """Parts so small that an archive has several."""
    monkeypatch.setattr("bento_cli.transports.object_store.PART", PART)


PART = 1 << 15


@pytest.mark.parametrize("way", ["cut_up", "cut_down"])
def test_parts_go_on_after_cuts(way, parts, serve, store, packed):
    server = serve("s3")
    with Relay(server.port, *(Fault(**{way: cut}) for cut in (40, 300, 1000, 50_000, 100_000) * 2)) as relay:
        serve("s3", relay.port)
        store.bentos.export(TAG, server.url("x.bento"))
        assert relay.met >= 3
    assert server.get("x.bento") == packed


def test_parts_that_are_refused_say_why(parts, serve, store):
    serve("s3")
    with pytest.raises(BentoError, match=r"s3://elsewhere/x.bento: the request failed .'elsewhere' doesn't exist"):
        store.bentos.export(TAG, "s3://elsewhere/x.bento")
