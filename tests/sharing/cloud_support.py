"""Helpers for the tests of clouds: fake servers, and the clients of rules_bento and BentoML."""

from __future__ import annotations

import pytest
from bento_cli.library import BENTO
from bento_cli.sharing.cloud.client import Cloud as Client
from bento_cli.sharing.cloud.contexts import make
from bento_cli.sharing.cloud.pull_from_cloud import pull
from bento_cli.sharing.cloud.push_to_cloud import push

from tests.sharing.cloud_server import TOKEN, Cloud

STRATEGIES = ("proxy", "presigned_url", "multipart")


@pytest.fixture(params=STRATEGIES)
def cloud(request):
    with Cloud(request.param).serve() as running:
        yield running
    assert running.problems == []


@pytest.fixture
def one_cloud():
    """Yield a cloud for tests whose result is the same for all upload methods."""
    with Cloud("presigned_url").serve() as running:
        yield running
    assert running.problems == []


def client(cloud, address="", **options):
    return Client(make("test", address or cloud.address, TOKEN), sleep=lambda _: None, **options)


def push_to(cloud, store, tag, progress, section="bentos", **options):
    with client(cloud) as reached:
        return push(store.home, getattr(store, section).get(tag), reached, progress, **options)


def pull_from(cloud, store, tag, progress, kind=BENTO, **options):
    with client(cloud) as reached:
        return pull(store.home, kind, tag, reached, progress, **options)


def login(real, cloud):
    real.variables |= {"BENTO_CLOUD_API_KEY": TOKEN, "BENTO_CLOUD_API_ENDPOINT": cloud.address}
