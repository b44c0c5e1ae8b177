"""Tests the service with a real server."""

from __future__ import annotations

import json
import urllib.request


def test_the_client_returns_the_species(client):
    assert client.classify(rows=[[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]]) == [0, 2]


def test_the_server_accepts_json_over_http(url):
    body = json.dumps({"rows": [[5.9, 3.0, 4.2, 1.5]]}).encode()
    request = urllib.request.Request(f"{url}/classify", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as response:
        assert json.load(response) == [1]


def test_the_version_is_a_digest_of_the_content(bento):
    name, version = bento.tag.split(":")
    assert name == "iris_classifier"
    assert len(version) == 32
    assert (bento.path / "src" / "service.py").exists()
