"""A service serves whose image names a file, wherever Bazel's folders are."""

from __future__ import annotations


def test_it_serves(client):
    assert client.hello() == "hello"
