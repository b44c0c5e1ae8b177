"""What is read of an answer is bounded, in bytes and in seconds, and what is no answer is a message."""

import itertools
import re
import time
from pathlib import Path

import pytest
from rules_bento.base.errors import BentoError
from rules_bento.base.net import limits
from rules_bento.base.net.transport import Transport
from rules_bento.base.net.urls import Origin, display_url, resolve

from tests.net.liar import liar, reply


def test_the_table_of_the_docs_has_these_bounds():
    table = (
        Path("docs/contributing/architecture.md")
        .read_text("utf-8")
        .partition("## Limits of server answers")[2]
        .partition("\n## ")[0]
    )
    units = {"KiB": 1 << 10, "MiB": 1 << 20, "TiB": 1 << 40, "s": 1, "": 1}
    told = {name: int(number) * units[unit] for name, number, unit in re.findall(r"`([A-Z]+)` (\d+) ?(\w*)", table)}
    assert told == {name: value for name, value in vars(limits).items() if name.isupper()}


def ask(url: str, headers=None, most: int = 1000, patience: float = 5):
    transport = Transport(patience)
    try:
        with transport.exchange("GET", url, headers or {}) as response:
            return response.status, response.headers, response.read(most)
    finally:
        transport.close()


def lines(line: bytes, count: int):
    return itertools.chain([b"HTTP/1.1 200 OK\r\n"], itertools.repeat(line, count), [b"\r\n"])


@pytest.mark.parametrize(
    "answer",
    [
        lambda _: lines(b"Link: " + b"a" * limits.HEADER + b"\r\n", 1),
        lambda _: lines(b"X: " + b"a" * 7_000 + b"\r\n", 50),
        lambda _: lines(b"X: a\r\n" + b" b" * 3_000 + b"\r\n", 50),
        lambda _: itertools.repeat(b"HTTP/1.1 100 Continue\r\n\r\n", 1_000_000),
        lambda _: b"HTTP/1.1 200 " + b"a" * 9_000 + b"\r\n\r\n",
        lambda _: lines(b"X: a\r\n", 150),
    ],
    ids=["a long header", "many bytes", "folded ones", "no end of interim answers", "a long status", "many headers"],
)
def test_a_head_is_bounded(answer):
    with liar(answer) as server, pytest.raises(BentoError, match="127.0.0.1:.*response headers are too large"):
        ask(server.url)
    assert len(server.requests) == 1


def test_trailers_are_bounded():
    def answer(_):
        yield b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n"
        yield from itertools.repeat(b"X: y\r\n", 1_000_000)

    with liar(answer) as server, pytest.raises(BentoError, match="response headers are too large"):
        ask(server.url)


def test_a_body_in_many_chunks_is_read():
    chunks = b"".join(b"1;%s\r\nx\r\n" % (b"e" * 100) for _ in range(5_000)) + b"0\r\n\r\n"
    with liar(lambda _: reply(headers={"Transfer-Encoding": "chunked"}, body=chunks)) as server:
        assert ask(server.url, most=5_000)[2] == b"x" * 5_000


@pytest.mark.parametrize("headers", [{}, {"Transfer-Encoding": "chunked"}])
def test_a_body_is_bounded(headers):
    body = b"a" * 1001
    if headers:
        body = b"3e9\r\n" + body + b"\r\n0\r\n\r\n"
    with liar(lambda _: reply(headers=headers, body=body)) as server:
        assert len(ask(server.url, most=1001)[2]) == 1001
        with pytest.raises(BentoError, match=r"the response exceeds the limit of 1000 bytes"):
            ask(server.url)


def test_of_an_answer_that_says_no_the_beginning_is_read():
    with liar(lambda _: reply(500, body=b"a" * 1_000_000)) as server:
        assert len(ask(server.url)[2]) == limits.REFUSAL


def test_an_answer_that_drips_is_rejected_and_not_asked_for_again(monkeypatch):
    monkeypatch.setattr(limits, "ANSWER", 0.5)

    completed = []

    def drip(beginning):
        yield beginning
        for _ in range(1200):
            time.sleep(0.05)
            yield b"a"
        completed.append(beginning)

    for beginning in (b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\nContent-Length: 1500\r\n\r\n"):
        with (
            liar(lambda _, sent=beginning: drip(sent)) as server,
            pytest.raises(BentoError, match="took more than 0 s"),
        ):
            ask(server.url, patience=limits.PATIENCE)
    assert not completed


@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_a_head_that_drips_is_rejected_and_not_asked_for_again(monkeypatch, method):
    """Each line comes soon, and there are few of them."""
    monkeypatch.setattr(limits, "PATIENCE", 0.5)

    def drip(_):
        yield b"HTTP/1.1 200 OK\r\n"
        for _ in range(90):
            time.sleep(0.1)
            yield b"X: a\r\n"
        yield b"Content-Length: 0\r\n\r\n"

    transport = Transport(5)
    with (
        liar(drip) as server,
        pytest.raises(BentoError, match=r"127.0.0.1:.* too slow \(.*65536 bytes and 0 s in total"),
        transport.exchange(method, server.url, {}, b"x" if method == "PUT" else None) as response,
    ):
        response.read(1000)
    transport.close()
    assert len(server.requests) == 1


def test_a_body_whose_chunks_drip_is_read(monkeypatch):
    monkeypatch.setattr(limits, "PATIENCE", 1)

    def drip(_):
        yield b"HTTP/1.1 100 Continue\r\n\r\n"
        time.sleep(1.2)
        yield b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        for _ in range(12):
            time.sleep(0.1)
            yield b"1\r\nx\r\n"
        yield b"0\r\n\r\n"

    with liar(drip) as server:
        assert ask(server.url)[2] == b"x" * 12


def test_addresses_of_users_may_have_blanks_and_letters():
    with liar(lambda _: reply()) as server:
        ask(f"{server.url}/für mich/%20.bento?ü=a b")
    assert server.requests[0].path == "/f%C3%BCr%20mich/%20.bento?%C3%BC=a%20b"


def test_bytes_of_a_location_stay_what_they_are():
    base = "https://host/a/b"
    assert resolve(base, "/für".encode().decode("latin-1")) == "https://host/f%C3%BCr"
    assert resolve(base, "c d") == "https://host/a/c%20d"


@pytest.mark.parametrize(
    "url",
    ["http://[", "http://a b/", "http://a..b/", "http://x:99999/", "http://x:²/", "ftp://x/", "http://", "http:///x",
     "http://x/\x00", "http://x/a\r\nb", f"http://{'a' * 64}.test/", "http://ü\ud800/", "//", "file:///etc/passwd"],
)  # fmt: skip
def test_what_is_not_an_address(url):
    with pytest.raises(BentoError, match="invalid URL"):
        Origin.from_url(url)


@pytest.mark.parametrize(
    "location",
    ["http://[", "http://a b/", "http://a..b/", "http://x:99999/", "//x:\u00b2/", "ftp://x/", "file:///etc/passwd"],
)
def test_where_no_server_can_send_us(location):
    with pytest.raises(BentoError, match="invalid URL"):
        resolve("http://base/", location)


def test_addresses_are_shown_without_secrets():
    assert display_url("https://me:s3cret@host/x?signature=1") == "https://host/x"
    assert display_url("https://host/\x1b[2J") == "https://host/?[2J"


@pytest.mark.parametrize("value", ["a\nb", "a\r\nX: y", "\u2026", "\ud800"])
def test_what_a_server_gave_and_no_header_has_is_not_sent(value):
    with (
        liar(lambda _: reply()) as server,
        pytest.raises(BentoError, match="invalid characters in the header Authorization"),
    ):
        ask(server.url, {"Authorization": f"Bearer {value}"})
    assert not server.requests


@pytest.mark.parametrize("length", ["²", "9" * 5000, "-1"])
def test_a_length_that_is_none_is_not_believed(length):
    with liar(lambda _: reply(headers={"Content-Length": length}, body=b"abc")) as server:
        assert ask(server.url)[2] == b"abc"
