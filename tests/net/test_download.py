"""Servers that lie about a download: the content is right, or there is an error and no file."""

import threading
from functools import partial

import pytest
from rules_bento.base.errors import BentoError
from rules_bento.base.net import limits
from rules_bento.base.net.download import Download, open_partial
from rules_bento.base.net.transfers import Progress, Retry
from rules_bento.base.net.transport import Transport

from tests.net.liar import liar, reply

CONTENT = b"content" * 100  # 700 bytes
DIGEST = "sha256:e9cbaac74dab4a8af5c2ba43cb4ea4bf9a5a3c7d6e9d3d5d8a1e4c4f0b6e6a77"


def fetch(url, path, **options):
    """Download a file as clients do."""
    transport = Transport(5)

    def request(at):
        return transport.exchange("GET", url, {"Range": f"bytes={at}-"} if at else {})

    with open_partial(path) as file:
        if file:
            retry = Retry(sleep=lambda _: None)
            Download("file", request, file, Progress(), retry, **options).run(lambda cut: BentoError(f"lost: {cut}"))


def interrupted(status, headers, body):
    """Return an answer whose connection is closed after 300 bytes, and then the answer to the request for the rest."""

    def answer(request):
        if "range" in request.headers:
            return reply(status, headers, body)
        return reply(200, {"Content-Length": "700"}, CONTENT[:300])

    return answer


@pytest.mark.parametrize(
    ("status", "part", "body"),
    [(200, "", CONTENT), (206, "bytes 300-699/700", CONTENT[300:]), (206, "bytes 300-699/*", CONTENT[300:])],
)
def test_the_rest_is_added_to_the_beginning(tmp_path, status, part, body):
    with liar(interrupted(status, {"Content-Range": part}, body)) as server:
        fetch(server.url, tmp_path / "m")
    assert (tmp_path / "m").read_bytes() == CONTENT
    assert [request.headers.get("range") for request in server.requests] == [None, "bytes=300-"]


@pytest.mark.parametrize("status", [416, 204, 206])
@pytest.mark.parametrize(
    "part", ["bytes 100-699/700", "bytes 300-500/700", "bytes 0-699/700", "bytes 0-6/7", "bytes 0-9/\u00b2", "x", ""]
)
def test_another_range_than_the_rest_is_an_error(tmp_path, status, part):
    answer = interrupted(status, {"Content-Range": part}, CONTENT[:201])
    with liar(answer) as server, pytest.raises(BentoError, match="lost: "):
        fetch(server.url, tmp_path / "m")
    assert len(server.requests) < 30
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize("total", [11, 20, limits.BODY])
def test_a_download_without_progress_ends(tmp_path, total):
    def answer(request):
        if "range" in request.headers:
            return reply(416)
        return reply(206, {"Content-Range": f"bytes 0-9/{total}"}, b"x" * 10)

    with liar(answer) as server, pytest.raises(BentoError, match="lost: "):
        fetch(server.url, tmp_path / "m")
    assert len(server.requests) < 30


@pytest.mark.parametrize("size", [limits.BODY + 1, 1 << 50, 10**17])
@pytest.mark.parametrize("status", [200, 206])
def test_a_size_beyond_the_limit_is_an_error(tmp_path, size, status):
    headers = {"Content-Length": str(size), "Content-Range": f"bytes 0-{size - 1}/{size}"}
    with (
        liar(lambda _: reply(status, headers, b"x")) as server,
        pytest.raises(BentoError, match=f"exceeds the limit of {limits.BODY} bytes"),
    ):
        fetch(server.url, tmp_path / "m")


def test_a_body_without_a_size_is_limited(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "BODY", 1000)
    chunked = reply(200, {"Transfer-Encoding": "chunked"}, b"3e8\r\n" + b"a" * 1000 + b"\r\n" + b"1\r\na\r\n0\r\n\r\n")
    with liar(lambda _: chunked) as server, pytest.raises(BentoError, match="exceeds the limit of 1000 bytes"):
        fetch(server.url, tmp_path / "m")


def test_a_body_longer_than_its_range_is_an_error(tmp_path):
    answer = reply(206, {"Content-Range": "bytes 0-9/10", "Content-Length": "20"}, b"x" * 20)
    with liar(lambda _: answer) as server, pytest.raises(BentoError, match="lost: the response has more than 10 bytes"):
        fetch(server.url, tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_other_content_than_the_digest_is_an_error(tmp_path):
    with (
        liar(lambda _: reply(200, {}, CONTENT)) as server,
        pytest.raises(BentoError, match="file: the content doesn't match the digest"),
    ):
        fetch(server.url, tmp_path / "m", size=700, digest=DIGEST)
    assert not (tmp_path / "m").exists()


def test_parallel_downloads_of_a_file_request_the_file_once(tmp_path):
    begun, go_on = threading.Event(), threading.Event()

    def answer(_):
        begun.set()
        go_on.wait(20)
        return reply(200, {}, CONTENT)

    with liar(answer) as server:
        threads = [threading.Thread(target=partial(fetch, server.url, tmp_path / "m")) for _ in range(3)]
        for thread in threads:
            thread.start()
            begun.wait(20)
        go_on.set()
        for thread in threads:
            thread.join()
        fetch(server.url, tmp_path / "m")
    assert [path.name for path in tmp_path.iterdir()] == ["m"]
    assert len(server.requests) == 1
