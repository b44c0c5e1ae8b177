"""HTTP servers that lie about an archive: the archive is right, or there is a message and nothing else."""

import itertools
import tarfile
import threading

import pytest
from bento_cli.library import Store
from bento_cli.store.import_session import Options
from bento_cli.transports import download
from bento_cli.transports.address import parse
from rules_bento.base.archives.unpack import Limits
from rules_bento.base.errors import BentoError
from rules_bento.base.net import transfers

from tests.net.liar import liar, reply

CONTENT = b"\xfd7zXZ\0c" * 100  # 700 bytes, which begin as an archive does


@pytest.fixture(autouse=True)
def quickly(monkeypatch):
    monkeypatch.setattr(transfers, "_FIRST_WAIT", 0.001)
    monkeypatch.setenv("NETRC", "/nowhere")


def fetch(url, directory):
    download(parse(url), directory / "file", transfers.Progress(), form="xz")
    return (directory / "file").read_bytes()


def interrupted(rest):
    """Return an answer whose connection is closed after 300 bytes. `rest` answers the request for the rest."""

    def answer(request):
        if "range" in request.headers:
            return rest(request)
        return reply(200, {"Content-Length": "700", "ETag": '"1"'}, CONTENT[:300])

    return answer


@pytest.mark.parametrize(
    "rest",
    [
        lambda _: reply(200, {}, CONTENT),
        lambda _: reply(206, {"Content-Range": "bytes 300-699/700"}, CONTENT[300:]),
        lambda _: reply(206, {"Content-Range": "bytes 300-699/*"}, CONTENT[300:]),
    ],
    ids=["no range", "the rest", "unknown size"],
)
def test_the_rest_is_the_rest(tmp_path, rest):
    with liar(interrupted(rest)) as server:
        assert fetch(f"{server.url}/x.bento", tmp_path) == CONTENT
    assert [request.headers.get("range") for request in server.requests] == [None, "bytes=300-"]


@pytest.mark.parametrize("location", ["http://[", "ftp://x/", "http://x:99999/", "//a b/", "http://\u00fc..x/"])
def test_a_redirect_to_no_address(tmp_path, location):
    with liar(lambda _: reply(302, {"Location": location})) as server, pytest.raises(BentoError, match="invalid URL"):
        fetch(f"{server.url}/x.bento", tmp_path)
    assert len(server.requests) == 1


def test_an_address_with_blanks_and_letters_is_fetched(tmp_path):
    with liar(lambda _: reply(200, {}, CONTENT)) as server:
        assert fetch(f"{server.url}/für mich.bento", tmp_path) == CONTENT
    assert {request.path for request in server.requests} == {"/f%C3%BCr%20mich.bento"}


def endless(server_sent, first, headers=b""):
    """Return an answer without an end. Sets `server_sent` if the client reads 100 MB of it."""

    def answer(_):
        yield b"HTTP/1.1 200 OK\r\n" + headers + b"Connection: close\r\n\r\n" + first
        yield from itertools.repeat(bytes(1_000_000), 100)
        server_sent.set()

    return answer


@pytest.mark.parametrize(
    ("name", "first", "problem"),
    [
        ("x.bento", b"<html>", "the file isn't in xz format"),
        ("x", b"", "the file isn't in xz format"),
        ("x.tar", b"<html>", "a header has an invalid checksum|expected a nonnegative number for a checksum"),
        ("x.tar", b"", "a header has an invalid checksum"),
        ("x.zip", b"<html>", "the file isn't in zip format"),
        ("x.tar.zst", b"<html>", "the file isn't in zst format"),
        ("x.tar.gz", b"\xfd7zXZ\0", "the file name implies gz data, but the file contains xz data"),
    ],
)
def test_an_endless_answer_is_recognized_by_its_beginning(tmp_path, name, first, problem):
    store, sent = Store(tmp_path, durable=False), threading.Event()
    with liar(endless(sent, first)) as server, pytest.raises(BentoError, match=f"{name}: ({problem})"):
        store.bentos.import_archive(f"{server.url}/{name}")
    assert len(server.requests) == 1
    assert not sent.is_set()
    assert not [*store.home.staging.iterdir()]


@pytest.mark.parametrize("headers", [b"", b"Content-Length: 99999999\r\n"])
@pytest.mark.parametrize("name", ["x.bento", "x.tar", "x.zip", "x.tar.gz"])
def test_an_archive_without_an_end_is_bounded_by_the_size_of_its_files(tmp_path, name, headers):
    first = tarfile.TarInfo("bento.yaml").tobuf()
    firsts = {"x.bento": b"\xfd7zXZ\0", "x.tar": first, "x.zip": b"PK\3\4", "x.tar.gz": b"\x1f\x8b"}
    store, sent = Store(tmp_path, durable=False), threading.Event()
    limits = Limits(size=1 << 20)
    problem = rf"{name}: the file exceeds the limit of {2 << 20} bytes\. If you trust the file, increase the limit\."
    with liar(endless(sent, firsts[name], headers)) as server, pytest.raises(BentoError, match=problem):
        store.bentos.import_archive(f"{server.url}/{name}", options=Options(limits=limits))
    assert len(server.requests) == 1
    assert not sent.is_set()
    assert not [*store.home.staging.iterdir()]
