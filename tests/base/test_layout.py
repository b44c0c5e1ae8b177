"""The files that bento.base writes for a layout, against the layout itself."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def test_the_descriptions_are_those_of_the_blobs():
    for number in range(2):
        description = json.loads((HERE / f"amd64/linux_amd64.{number}.json").read_text())
        blob = (HERE / "layout/blobs" / description["digest"].replace(":", "/")).read_bytes()
        assert description["size"] == len(blob)
        assert description["digest"] == f"sha256:{hashlib.sha256(blob).hexdigest()}"
        assert description["diff_id"] == f"sha256:{hashlib.sha256(gzip.decompress(blob)).hexdigest()}"
        assert description["media_type"] == "application/vnd.oci.image.layer.v1.tar+gzip"


@pytest.mark.parametrize(("architecture", "more"), [("amd64", {}), ("arm64", {"variant": "v8"})])
def test_the_config_has_platform_and_environment(architecture, more):
    config = json.loads((HERE / architecture / f"linux_{architecture}.json").read_text())
    assert (HERE / "layout/blobs" / config.pop("digest").replace(":", "/")).exists()
    assert config.pop("origin") == ""
    history = [{"created_by": "a test"}]
    env = {"PATH": "/usr/local/bin:/usr/bin", "OPTS": "a=b"}
    assert config == {"architecture": architecture, "os": "linux", "env": env, "history": history} | more
