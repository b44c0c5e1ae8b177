"""HTTP servers that lie about an archive: the archive is right, or there is a message and nothing else."""

import pytest
from bento_cli.transports import download
from bento_cli.transports.address import parse
from rules_bento.errors import BentoError
from rules_bento.net import transfers

from tests.net.liar import liar, reply

CONTENT = b"content" * 100  # 700 bytes


@pytest.fixture(autouse=True)
def quickly(monkeypatch):
    monkeypatch.setattr(transfers, "_FIRST_WAIT", 0.001)
    monkeypatch.setenv("NETRC", "/nowhere")


def fetch(url, directory):
    download(parse(url), directory / "file", transfers.Progress())
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
