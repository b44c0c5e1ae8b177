"""Clouds that lie: transfers end, nothing goes without encryption, and no text of this machine goes there."""

import json
import threading

import pytest
from bento_cli.sharing.cloud import pulling, uploading
from bento_cli.sharing.cloud.client import Cloud, CloudPaths
from bento_cli.sharing.cloud.contexts import make
from bento_cli.store.home import Home
from rules_bento.bento.kinds import MODEL
from rules_bento.errors import BentoError
from rules_bento.net import limits
from rules_bento.net.transfers import Progress
from rules_bento.tag import Tag

from tests.net.liar import liar, reply

PLACE = CloudPaths(MODEL, Tag("m", "v1"))


def cloud(endpoint):
    return Cloud(make("test", endpoint, "t0ken"), sleep=lambda _: None, patience=5)


def fetch(server, path, strategy="proxy"):
    with cloud(server.url) as client:
        pulling._Receiving(client, PLACE, {"transmission_strategy": strategy}, path, Progress("test")).run()


def ranged(total, first=b"x" * 10):
    """A server that gives some bytes of what it says is more, and then says that there are none."""

    def answer(request):
        if "range" in request.headers:
            return reply(416)
        return reply(206, {"Content-Range": f"bytes 0-{len(first) - 1}/{total}"}, first)

    return answer


@pytest.mark.parametrize("total", [11, 20, limits.BODY])
def test_a_download_without_progress_ends(tmp_path, total):
    with liar(ranged(total)) as server, pytest.raises(BentoError, match="failed repeatedly"):
        fetch(server, tmp_path / "m")
    assert len(server.requests) < 30
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize("given", ["bytes 0-9/²", f"bytes 0-9/{'9' * 5000}", "bytes 0-9/*", "bytes 5-9/10", "x", ""])
def test_a_range_that_cannot_be_read_ends_the_download(tmp_path, given):
    with (
        liar(lambda _: reply(206, {"Content-Range": given}, b"x" * 10)) as server,
        pytest.raises(BentoError, match="failed repeatedly"),
    ):
        fetch(server, tmp_path / "m")
    assert len(server.requests) < 30


def test_more_than_is_taken_is_refused(tmp_path):
    with liar(ranged(limits.BODY + 1)) as server, pytest.raises(BentoError, match=f"the limit is {limits.BODY}"):
        fetch(server, tmp_path / "m")


@pytest.mark.parametrize("length", [{"Content-Length": "10"}, {"Transfer-Encoding": "chunked"}])
def test_a_body_longer_than_it_says_is_not_kept(tmp_path, length, monkeypatch):
    monkeypatch.setattr(limits, "BODY", 10)

    def answer(_):
        if "Content-Length" in length:
            return reply(206, {"Content-Range": "bytes 0-9/10", "Content-Length": "20"}, b"x" * 20)
        return reply(200, length, b"14\r\n" + b"x" * 20 + b"\r\n0\r\n\r\n")

    with liar(answer) as server, pytest.raises(BentoError, match="failed repeatedly"):
        fetch(server, tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_who_waited_for_another_download_leaves_nothing_behind(tmp_path):
    begun, go_on = threading.Event(), threading.Event()

    def answer(_):
        begun.set()
        go_on.wait(20)
        return reply(body=b"x" * 10)

    with liar(answer) as server:
        threads = [threading.Thread(target=fetch, args=(server, tmp_path / "m")) for _ in range(3)]
        for thread in threads:
            thread.start()
            begun.wait(20)
        go_on.set()
        for thread in threads:
            thread.join()
        fetch(server, tmp_path / "m")
    assert [path.name for path in tmp_path.iterdir()] == ["m"]
    assert len(server.requests) == 1


class Signing(Cloud):
    """A cloud that signs an address."""

    def __init__(self, endpoint, address):
        super().__init__(make("test", endpoint, "t0ken"))
        self._address = address

    def ask(self, method, path, document=None, *, what):
        return {"presigned_upload_url": self._address, "presigned_download_url": self._address}


@pytest.mark.parametrize(
    ("endpoint", "address", "said"),
    [
        ("https://cloud.test", "http://store.test/x?signature=s3cret", "returned the unencrypted URL"),
        ("https://cloud.test", "HTTP://cloud.test/x?signature=s3cret", "returned the unencrypted URL"),
        ("https://cloud.test", "file:///etc/passwd", "invalid URL"),
        ("https://cloud.test", "/x", "invalid URL"),
        ("http://localhost", "ftp://store.test/", "invalid URL"),
    ],
)
def test_signed_addresses_that_are_refused(tmp_path, endpoint, address, said):
    with Signing(endpoint, address) as client:
        receiving = pulling._Receiving(
            client, PLACE, {"transmission_strategy": "presigned_url"}, tmp_path / "m", Progress("test")
        )
        addresses = uploading._addresses(client, PLACE, "upload", {})
        for ask in (receiving._address, lambda: next(addresses)):
            with pytest.raises(BentoError, match=said) as caught:
                ask()
            assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("endpoint", "address"), [("https://c.test", "https://s.test/x?s=1"), ("http://localhost:1", "http://s.test/x")]
)
def test_signed_addresses_that_are_taken(endpoint, address):
    with Signing(endpoint, address) as client:
        assert next(uploading._addresses(client, PLACE, "upload", {})) == address


class Lost:
    """A tarball whose file is gone."""

    size = 10

    def part(self, start, end, tally):
        return self

    def write_to(self, connection):
        raise BentoError("/home/someone/secret/models/m: cannot be read.")


def test_no_text_of_this_machine_is_sent_as_the_reason(tmp_path):
    def answer(request):
        return reply(body=json.dumps({"presigned_upload_url": f"{server.url}/store"}).encode())

    home = Home(tmp_path / "home", durable=False)
    with liar(answer) as server, cloud(server.url) as client, pytest.raises(BentoError, match="/home/someone"):
        uploading.upload(client, home, PLACE, Lost(), {}, "digest", Progress("test"), 1)
    [told] = [request for request in server.requests if request.path.endswith("finish_upload")]
    assert json.loads(told.body) == {"status": "failed", "reason": "the client couldn't send the file"}
    assert not any(b"someone" in request.body for request in server.requests)
