"""Clouds that fail, that are cut off, and that give other bytes than they got; processes that are killed meanwhile."""

from __future__ import annotations

import random
import threading
import time

import pytest
from bento_cli.library import MODEL, NotFoundError, Store
from bento_cli.sharing.cloud import upload_to_cloud
from bento_cli.sharing.cloud.client import Cloud as Client
from bento_cli.sharing.cloud.client import CloudError
from bento_cli.sharing.cloud.contexts import make
from bento_cli.sharing.cloud.push_to_cloud import push
from rules_bento.base.errors import BentoError

from tests.helpers.store_support import tree
from tests.sharing.cloud_server import TOKEN, Cloud, Fault
from tests.sharing.cloud_support import client, cloud, one_cloud, pull_from, push_to
from tests.sharing.support import FEW, cleared, killed, nobody, other, progress, relay, same, store, whole

__all__ = ["client", "cloud", "nobody", "one_cloud", "other", "progress", "store"]


def test_parts_go_side_by_side_and_are_resumed(store, other, progress, monkeypatch):
    monkeypatch.setattr(upload_to_cloud, "PART", 64 << 10)
    with Cloud("multipart").serve() as cloud:
        cloud.faults = [Fault(r"PUT .*partNumber=4&", status=400)]
        with pytest.raises(CloudError, match="400"):
            push_to(cloud, store, "clf:v1", progress, "models", jobs=1)
        assert cloud.status("model", "clf:v1") == "failed"
        [sent] = cloud.parts.values()
        assert {*sent} - {5} == {1, 2, 3}, "the next part might start before the error is known"
        push_to(cloud, store, "clf:v1", progress, "models", jobs=3)
        assert [request for request in cloud.requests if request[1].endswith("start_multipart_upload")][1:] == []
        assert [cloud.stored[number] for number in range(1, 5)] == [1, 1, 1, 1], "no part twice"
        assert list(store.home.uploads.glob("*")) == []
        # One that the cloud has forgotten is begun anew.
        cloud.faults = [Fault(r"PUT .*partNumber=2&", status=400)]
        with pytest.raises(CloudError):
            push_to(cloud, store, "clf:v1", progress, "models", jobs=1, force=True)
        cloud.parts.clear()
        push_to(cloud, store, "clf:v1", progress, "models", jobs=2, force=True)
        pull_from(cloud, other, "clf:v1", progress, MODEL)
    assert tree(other.models.get("clf:v1").path) == tree(store.models.get("clf:v1").path)


def test_what_passes_is_tried_again(cloud, store, other, progress):
    cloud.faults = [
        Fault("GET /api", 503),
        Fault("POST .*/models$", 502),
        Fault("POST .*/bentos$"),  # it is cut: perhaps it was done
        Fault("PATCH .*start_upload", 500, times=2),
        Fault("PUT ", 503),
        Fault("PUT ", after=1000),
        Fault("PATCH .*finish_upload", 504),
    ]
    push_to(cloud, store, "hi:v1", progress)
    cloud.faults += [Fault("GET .*(/download|/blob)", after=1000), Fault("GET .*(/download|/blob)", 503)]
    pull_from(cloud, other, "hi:v1", progress)
    same(store, other, "hi:v1")
    assert [fault for fault in cloud.faults if fault.times and "finish" not in fault.line] == []


def test_a_download_that_was_interrupted_is_resumed(cloud, store, other, progress):
    push_to(cloud, store, "clf:v1", progress, "models")
    size = len(cloud.blobs["model/clf/v1"])
    cloud.faults = [Fault("GET .*(/download|/blob)", after=200_000)]
    pull_from(cloud, other, "clf:v1", progress, MODEL)
    assert cloud.taken["down"] == size, "no byte twice"


def test_a_server_without_ranges_begins_again(one_cloud, store, other, progress):
    one_cloud.ranges = False
    push_to(one_cloud, store, "hi:v1", progress)
    one_cloud.faults = [Fault("GET /blob", after=5000)]
    pull_from(one_cloud, other, "hi:v1", progress)
    same(store, other, "hi:v1")


def test_addresses_whose_time_is_over_are_replaced(store, other, progress):
    for strategy in "presigned_url", "multipart":
        with Cloud(strategy).serve() as cloud:
            cloud.ended = {"1", "3"}
            push_to(cloud, store, "hi:v1", progress)
            cloud.ended = {str(cloud.signatures + 1), str(cloud.signatures + 2)}
            fresh = Store(other.home.root / strategy, durable=False)
            pull_from(cloud, fresh, "hi:v1", progress)
            same(store, fresh, "hi:v1")
            cloud.ended = {str(number) for number in range(1000)}
            with pytest.raises(CloudError, match="403"):
                push_to(cloud, store, "hi:v1", progress, force=True)
            assert cloud.status("model", "clf:v1") == "failed"
            assert "signature" not in cloud.versions["model", "clf", "v1"]["upload_finished_reason"]


def test_wrong_bytes_never_come_in(cloud, store, other, progress):
    push_to(cloud, store, "hi:v1", progress)
    right = cloud.blobs["model/clf/v1"]
    at = right.index(b"weights.bin") + 2048  # in a file, where no tar looks
    cloud.blobs["model/clf/v1"] = right[:at] + bytes([right[at] ^ 1]) + right[at + 1 :]
    with pytest.raises(BentoError, match="don't match the model's digest"):
        pull_from(cloud, other, "hi:v1", progress)
    assert (other.bentos.list(), other.models.list()) == ((), ())
    cloud.blobs["model/clf/v1"] = right[: len(right) // 2]
    with pytest.raises(BentoError):
        pull_from(cloud, other, "hi:v1", progress)
    assert (other.bentos.list(), other.models.list()) == ((), ())
    cloud.blobs["model/clf/v1"] = right
    pull_from(cloud, other, "hi:v1", progress)
    same(store, other, "hi:v1")


def test_what_is_not_whole_there_is_not_pulled(one_cloud, store, other, progress):
    one_cloud.faults = [Fault("PUT /blob/bento", 400, body="no")]
    with pytest.raises(CloudError, match=r"responded with 400 \(no\)"):
        push_to(one_cloud, store, "hi:v1", progress)
    with pytest.raises(BentoError, match="status: failed"):
        pull_from(one_cloud, other, "hi:v1", progress)
    with pytest.raises(NotFoundError, match="hi:v9: not found in"):
        pull_from(one_cloud, other, "hi:v9", progress)
    with pytest.raises(NotFoundError, match="not found in"):
        pull_from(one_cloud, other, "nothing", progress)


def test_a_wrong_token_is_reported_and_not_shown(one_cloud, store, progress):
    wrong = Client(make("test", one_cloud.address, "wrong-token-77"))
    with wrong, pytest.raises(CloudError, match="Log in again") as error:
        push(store.home, store.bentos.get("hi:v1"), wrong, progress)
    assert "wrong-token-77" not in str(error.value)
    one_cloud.faults = [Fault("GET", 400, body=f'{{"error": "the token {TOKEN} is odd"}}')]
    with pytest.raises(CloudError, match=r"the token \*\*\* is odd"):
        push_to(one_cloud, store, "hi:v1", progress)


# ---- Kills and cuts -----------------------------------------------------------------------------------------------


def slowly(cloud, chance, *words):
    """Kill a command on its slow way to a cloud, and wait until the cloud has done with what arrived."""
    others = {*threading.enumerate()}  # servers of other tests in this process
    with relay.Relay(cloud.port, rate=1 << 20) as way:
        address, cloud.address = cloud.address, f"http://{way.host}"  # signed addresses lead there, too
        done = killed(chance, way, *words, BENTO_CLOUD_API_KEY=TOKEN, BENTO_CLOUD_API_ENDPOINT=cloud.address)
    cloud.address = address
    while [thread for thread in {*threading.enumerate()} - others if "process_request" in thread.name]:
        time.sleep(0.01)
    return done


def test_a_push_or_pull_killed_at_any_time_is_completed_by_the_next(cloud, store, progress, tmp_path, other):
    chance = random.Random(8)
    push_to(cloud, store, "hi:v1", progress)
    cut = 0
    for point in range(FEW):
        for state in (cloud.repositories, cloud.versions, cloud.blobs):
            state.clear()
        fresh = Store(tmp_path / f"killed-{point}", durable=False)
        cut += slowly(cloud, chance, "--home", store.home.root, "push", "hi:v2")
        push_to(cloud, store, "hi:v2", progress)
        cut += slowly(cloud, chance, "--home", fresh.home.root, "pull", "hi:v2")
        whole(fresh, "hi:v2")
        pull_from(cloud, fresh, "hi:v2", progress)
        same(store, cleared(fresh), "hi:v2")
    assert cut


@pytest.mark.parametrize("direction", [relay.UP, relay.DOWN])
def test_interruptions_at_any_byte_are_resumed(cloud, direction, store, progress, tmp_path):
    chance = random.Random(9)
    happened = 0
    for point in range(FEW):
        for state in (cloud.repositories, cloud.versions, cloud.blobs):
            state.clear()
        fault = relay.Cut(direction, chance.randrange(320_000), reset=chance.random() < 0.5)
        with relay.Relay(cloud.port, [fault]) as way:
            address, cloud.address = cloud.address, f"http://{way.host}"  # signed addresses lead there, too
            fresh = Store(tmp_path / f"{direction}-{point}", durable=False)
            try:
                push_to(cloud, store, "hi:v2", progress)
                pull_from(cloud, fresh, "hi:v2", progress)
            finally:
                cloud.address = address
            happened += len(way.happened)
        same(store, fresh, "hi:v2")
    assert happened > FEW // 2
