"""Servers of archives that lie about what they have: what comes is right, or there is a message and nothing else."""

import base64
import hashlib
import itertools
import socket
import threading
from contextlib import contextmanager, suppress

import pytest
from bento_cli.transports.address import parse
from bento_cli.transports.download import downloaded
from liar import liar, reply
from rules_bento.errors import BentoError
from rules_bento.net import limits, transfers
from rules_bento.net.transfers import Progress

CONTENT = b"content" * 100  # 700 bytes


@pytest.fixture(autouse=True)
def quickly(monkeypatch):
    monkeypatch.setattr(transfers, "_FIRST_WAIT", 0.001)
    monkeypatch.setenv("NETRC", "/nowhere")


def fetch(url, directory):
    with downloaded(parse(url), directory, Progress("test")) as file:
        return file.read()


def ranges(headers, size: object = 700):
    def answer(request):
        first, _, last = request.headers["range"].partition("=")[2].partition("-")
        end = min(int(last) + 1, len(CONTENT))
        told = {"Content-Range": f"bytes {first}-{end - 1}/{size}", "ETag": '"1"', **headers}
        return reply(206, told, CONTENT[int(first) : end])

    return answer


def encoded(name, digest):
    return f"{name}=:{base64.b64encode(digest).decode()}:"


@pytest.mark.parametrize(
    "headers",
    [
        {"Repr-Digest": "sha-256=:a:"},
        {"Repr-Digest": "sha-256=:YQ==:"},
        {"Repr-Digest": "sha-256=:" + "A" * 5000 + ":"},
        {"Repr-Digest": encoded("sha-256", hashlib.sha512(b"").digest())},
        {"Repr-Digest": encoded("sha-256", hashlib.sha256(CONTENT).digest())},
        {"X-Goog-Hash": "md5=a"},
        {"X-Goog-Hash": "crc32c=AAAA, md5=YQ=="},
        {"X-Checksum-Sha256": "\u00b2" * 64},
    ],
)
def test_a_digest_that_is_none_counts_as_none(tmp_path, headers):
    with liar(ranges(headers)) as server:
        assert fetch(f"{server.url}/x.bento", tmp_path) == CONTENT


@pytest.mark.parametrize(
    "headers", [{"Repr-Digest": encoded("sha-256", bytes(32))}, {"X-Goog-Hash": f"md5={'A' * 22}=="}]
)
def test_a_digest_of_something_else_is_told(tmp_path, headers):
    with liar(ranges(headers)) as server, pytest.raises(BentoError, match="attempts failed: the "):
        fetch(f"{server.url}/x.bento", tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("size", ["9" * 5000, "\u00b2", "*", "-5", "", "0"])
def test_a_size_that_is_none(tmp_path, size):
    with liar(ranges({}, size)) as server, pytest.raises(BentoError, match="doesn't report the size"):
        fetch(f"{server.url}/x.bento", tmp_path)


@pytest.mark.parametrize("size", [limits.BODY + 1, 1 << 50, 10**17])
def test_a_size_that_is_not_taken(tmp_path, size):
    with liar(ranges({}, size)) as server, pytest.raises(BentoError, match=f"exceeds the limit of {limits.BODY} bytes"):
        fetch(f"{server.url}/x.bento", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_body_without_a_size_has_an_end(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "BODY", 1000)
    chunked = reply(200, {"Transfer-Encoding": "chunked"}, b"3e8\r\n" + b"a" * 1000 + b"\r\n" + b"1\r\na\r\n0\r\n\r\n")
    with (
        liar(lambda _: chunked) as server,
        pytest.raises(BentoError, match="the file exceeds the limit of 1000 bytes"),
    ):
        fetch(f"{server.url}/x.bento", tmp_path)


@pytest.mark.parametrize("tag", ['"\u00fc"', '"a\r\n b"', '"a\tb"'])
def test_a_validator_that_cannot_be_sent_back(tmp_path, tag):
    with liar(ranges({"ETag": tag})) as server:
        try:
            assert fetch(f"{server.url}/x.bento", tmp_path) == CONTENT
        except BentoError as error:
            assert "invalid characters in the header If-Range" in str(error)


@pytest.mark.parametrize("location", ["http://[", "ftp://x/", "http://x:99999/", "//a b/", "http://\u00fc..x/"])
def test_a_redirect_to_no_address(tmp_path, location):
    with liar(lambda _: reply(302, {"Location": location})) as server, pytest.raises(BentoError, match="invalid URL"):
        fetch(f"{server.url}/x.bento", tmp_path)
    assert len(server.requests) == 1


def test_an_address_with_blanks_and_letters_is_fetched(tmp_path):
    with liar(ranges({})) as server:
        assert fetch(f"{server.url}/für mich.bento", tmp_path) == CONTENT
    assert {request.path for request in server.requests} == {"/f%C3%BCr%20mich.bento"}


@contextmanager
def ftp(replies):
    """A server of FTP that says these, one to a command, and the last of them to all others."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve():
        with suppress(OSError):
            while True:
                channel, _ = listening.accept()
                with channel, channel.makefile("rb") as commands, suppress(OSError):
                    for reply_ in itertools.chain(replies, itertools.repeat(replies[-1])):
                        for piece in [reply_] if isinstance(reply_, bytes) else reply_():
                            channel.sendall(piece)
                        if not commands.readline():
                            break

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"ftp://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()


HELLO = [b"220 hello\r\n", b"230 come in\r\n", b"200 binary\r\n"]


@pytest.mark.parametrize(
    "replies",
    [
        [lambda: itertools.repeat(b"220-hello\r\n")],
        [b"220-hello\r\n" + b"a" * 9000 + b"\r\n"],
        [b"\xff\xfe\r\n"],
        [b"hello\r\n"],
        [*HELLO, "213 \u00b2\r\n".encode()],
        [*HELLO, b"213 " + b"9" * 5000 + b"\r\n"],
        [*HELLO, b"213 five\r\n"],
    ],
    ids=["no end", "a long line", "no letters", "no code", "\u00b2", "too many digits", "no number"],
)
def test_replies_of_ftp_that_are_none(tmp_path, replies):
    with ftp(replies) as url, pytest.raises(BentoError, match="the transfer failed repeatedly"):
        fetch(f"{url}/x.bento", tmp_path)


@pytest.mark.parametrize("size", [b"-5", b"%d" % (limits.BODY + 1), b"9" * 30])
def test_sizes_of_ftp_that_are_not_taken(tmp_path, size):
    with ftp([*HELLO, b"213 " + size + b"\r\n"]) as url, pytest.raises(BentoError, match="invalid file size|the limit"):
        fetch(f"{url}/x.bento", tmp_path)
