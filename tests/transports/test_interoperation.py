"""The real BentoML at the other end: what it puts at an address comes in, what we put there it takes."""

from __future__ import annotations

import pytest

from tests.transports.servers import PASSWORD, USER
from tests.transports.support import TAG, _tree


def url(server, kind, name):
    """With the password, for BentoML looks for it nowhere else."""
    return f"{kind}://{USER}:{PASSWORD}@127.0.0.1:{server.port}/{name}" if kind != "http" else server.url(name)


@pytest.mark.parametrize("kind", ["ftp", "sftp", "http"])
def test_bentoml_takes_what_we_export(kind, serve, store, real):
    server = serve(kind)
    if kind == "http":
        server.put("hi.bento", store.bentos.export(TAG, str(store.home.root / "x.bento")).path.read_bytes())
    else:
        store.bentos.export(TAG, server.url("hi.bento"))
    real.run("import", url(server, kind, "hi.bento"))
    assert [found["tag"] for found in real.json("list")] == [TAG]
    assert _tree(real.home / "bentos" / "hi" / "v1") == _tree(store.bentos.get(TAG).path)
    assert _tree(real.home / "models" / "clf" / "v1") == _tree(store.models.get("clf:v1").path)


@pytest.mark.parametrize("kind", ["ftp", "sftp"])
@pytest.mark.parametrize("name", ["hi.bento", "hi.tar", "folder/hi.zip"])
def test_we_take_what_bentoml_exports(kind, name, serve, store, other, real):
    server = serve(kind)
    packed = store.bentos.export(TAG, str(store.home.root / "x.bento")).path
    real.run("import", str(packed))
    real.run("export", TAG, url(server, kind, name))
    assert server.names() == [name]
    other.bentos.import_archive(server.url(name))
    assert _tree(other.bentos.get(TAG).path) == _tree(store.bentos.get(TAG).path)
    assert _tree(other.models.get("clf:v1").path) == _tree(store.models.get("clf:v1").path)
