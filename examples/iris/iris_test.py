"""The service answers as the README says."""

from __future__ import annotations

import json
import urllib.request


def test_it_tells_the_species(client):
    assert client.classify(rows=[[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]]) == [0, 2]


def test_it_speaks_json_over_http(url):
    body = json.dumps({"rows": [[5.9, 3.0, 4.2, 1.5]]}).encode()
    request = urllib.request.Request(f"{url}/classify", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as response:
        assert json.load(response) == [1]


def test_its_tag_is_its_content(bento):
    name, version = bento.tag.split(":")
    assert name == "iris_classifier"
    assert len(version) == 32
    assert (bento.path / "src" / "service.py").exists()
