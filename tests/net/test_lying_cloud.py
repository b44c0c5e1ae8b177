"""Clouds that lie: transfers end, nothing goes without encryption, and no text of this machine goes there."""

import json

import pytest
from bento_cli.sharing.cloud import pull_from_cloud, upload_to_cloud
from bento_cli.sharing.cloud.client import Cloud, CloudPaths
from bento_cli.sharing.cloud.contexts import make
from bento_cli.store.home import Home
from rules_bento.base.errors import BentoError
from rules_bento.base.net.transfers import Progress
from rules_bento.base.tag import Tag
from rules_bento.bentos.assembly.kinds import MODEL

from tests.net.liar import liar, reply

PLACE = CloudPaths(MODEL, Tag("m", "v1"))


def cloud(endpoint):
    return Cloud(make("test", endpoint, "t0ken"), sleep=lambda _: None, patience=5)


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
def test_signed_addresses_that_are_rejected(tmp_path, endpoint, address, said):
    with Signing(endpoint, address) as client:
        receiving = pull_from_cloud._Receiving(
            client, PLACE, {"transmission_strategy": "presigned_url"}, tmp_path / "m", Progress("test")
        )
        addresses = upload_to_cloud._addresses(client, PLACE, "upload", {})
        for ask in (receiving._next_address, lambda: next(addresses)):
            with pytest.raises(BentoError, match=said) as caught:
                ask()
            assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("endpoint", "address"), [("https://c.test", "https://s.test/x?s=1"), ("http://localhost:1", "http://s.test/x")]
)
def test_signed_addresses_that_are_accepted(endpoint, address):
    with Signing(endpoint, address) as client:
        assert next(upload_to_cloud._addresses(client, PLACE, "upload", {})) == address


class Lost:
    """A tarball whose file is gone."""

    size = 10

    def part(self, start, end, counter):
        return self

    def __iter__(self):
        raise BentoError("/home/someone/secret/models/m: cannot be read.")


def test_no_text_of_this_machine_is_sent_as_the_reason(tmp_path):
    def answer(request):
        return reply(body=json.dumps({"presigned_upload_url": f"{server.url}/store"}).encode())

    home = Home(tmp_path / "home", durable=False)
    with liar(answer) as server, cloud(server.url) as client, pytest.raises(BentoError, match="/home/someone"):
        upload_to_cloud.upload(client, home, PLACE, Lost(), {}, "digest", Progress("test"), 1)
    [told] = [request for request in server.requests if request.path.endswith("finish_upload")]
    assert json.loads(told.body) == {"status": "failed", "reason": "the client couldn't send the file"}
    assert not any(b"someone" in request.body for request in server.requests)
