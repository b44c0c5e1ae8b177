"""Each transport against a server: what is exported comes back the same, and nothing else is left there."""

from __future__ import annotations

import hashlib
import json
import lzma

import pytest
from bento_cli.cli import main
from bento_cli.transports.address import MissingError
from rules_bento.base.errors import BentoError
from rules_bento.base.net.transfers import Progress

from tests.helpers.store_support import tar
from tests.transports.support import KINDS, TAG, WRITABLE, empty, same


@pytest.mark.parametrize("kind", WRITABLE)
def test_what_is_exported_comes_back(kind, serve, store, other):
    server = serve(kind)
    done = store.bentos.export(TAG, server.url("releases/hi.bento"))
    assert str(done.path) == server.url("releases/hi.bento")
    assert server.names() == ["releases/hi.bento"]
    assert lzma.decompress(server.get("releases/hi.bento"))
    found = other.bentos.import_archive(server.url("releases/hi.bento"))
    assert [str(model.tag) for model in found.models] == ["clf:v1"]
    assert same(store, other)
    assert not list(other.home.staging.iterdir())


@pytest.mark.parametrize("kind", WRITABLE)
def test_an_export_replaces_what_exists(kind, serve, store, other):
    server = serve(kind)
    server.put("hi.bento", b"old")
    store.bentos.export(TAG, server.url("hi.bento"))
    other.bentos.import_archive(server.url("hi.bento"))
    assert same(store, other)
    assert server.names() == ["hi.bento"]


@pytest.mark.parametrize(
    ("kind", "suffix"), [("s3", "zip")] + [("ftp", form) for form in ("zip", "tar", "tar.gz", "tar.zst")]
)
def test_every_form_travels(kind, suffix, serve, store, other, tmp_path, quick):
    server = serve(kind)
    path = store.bentos.export(TAG, str(tmp_path / f"x.{suffix}")).path
    server.put(f"x.{suffix}", path.read_bytes())
    other.bentos.import_archive(server.url(f"x.{suffix}"))
    assert same(store, other)
    if server.writable:
        store.bentos.export(TAG, server.url(f"y.{suffix}"))
        assert server.get(f"y.{suffix}") == path.read_bytes()


@pytest.mark.parametrize("kind", WRITABLE)
def test_models_travel(kind, serve, store, other):
    server = serve(kind)
    store.models.export("clf:v1", server.url("clf.bentomodel"))
    assert str(other.models.import_archive(server.url("clf.bentomodel")).entry.tag) == "clf:v1"


@pytest.mark.parametrize("kind", ["s3", "ftp"])
@pytest.mark.parametrize(
    ("url", "name"),
    [("", "hi-v1.bento"), ("a/b/", "a/b/hi-v1.bento"), ("a/x", "a/x.bento"), ("x.y", "x.y.bento"), ("x.tar", "x.tar")],
)
def test_names_are_those_of_bentoml(kind, url, name, serve, store):
    server = serve(kind)
    done = store.bentos.export(TAG, server.url(url))
    assert server.names() == [name]
    assert str(done.path) == server.url(name)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_there(kind, serve, other):
    url = serve(kind).url("nothing.bento")
    with pytest.raises(MissingError) as error:
        other.bentos.import_archive(url)
    assert str(error.value).startswith(f"{url}: not found.")
    assert empty(other)


def test_no_bucket(serve, store):
    serve("s3")
    for scheme in ("s3", "gs"):
        serve(scheme)
        with pytest.raises(MissingError, match=f"{scheme}://elsewhere/x.bento: not found"):
            store.bentos.export(TAG, f"{scheme}://elsewhere/x.bento")


@pytest.mark.parametrize("kind", KINDS)
def test_a_known_digest_is_held(kind, serve, other, files):
    server = serve(kind)
    data = tar(files)
    server.put("x.tar", data)
    url = server.url("x.tar")
    with pytest.raises(BentoError, match="the sha256 digest is"):
        other.bentos.import_archive(url, sha256="0" * 64)
    assert empty(other)
    other.bentos.import_archive(url, sha256=hashlib.sha256(data).hexdigest().upper())


def test_the_command(serve, store, other, capsys, monkeypatch):
    server = serve("ftp")
    monkeypatch.setenv("BENTOML_HOME", str(store.home.root))
    assert main(["export", TAG, server.url("d/"), "-o", "json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert made == {"tag": TAG, "path": server.url("d/hi-v1.bento"), "models": ["clf:v1"]}
    monkeypatch.setenv("BENTOML_HOME", str(other.home.root))
    assert main(["import", server.url("d/hi-v1.bento")]) == 0
    assert capsys.readouterr().out == f"Imported Bento {TAG} with clf:v1.\n"
    assert main(["import", server.url("d/hi-v1.bento")]) == 0
    assert capsys.readouterr().out == f"Bento {TAG} is already in the store.\n"
    assert main(["models", "export", "clf:v1", server.url("m/"), "-o", "path"]) == 0
    assert capsys.readouterr().out == server.url("m/clf-v1.bentomodel") + "\n"
    assert main(["import", "--sha256", "0" * 64, "a.bento", "b.bento"]) == 1
    assert "--sha256 can be used with only one archive" in capsys.readouterr().err


def test_functions_take_urls(serve, store, other):
    server = serve("http")
    server.put("hi.bento", store.bentos.export(TAG, str(store.home.root / "hi.bento")).path.read_bytes())
    assert str(other.bentos.import_archive(server.url("hi.bento")).entry.tag) == TAG


def test_directories_stay_here(serve, store, other):
    server = serve("ftp")
    with pytest.raises(BentoError, match="directories can't be exported to a URL"):
        store.bentos.export(TAG, server.url("x"), "folder")
    with pytest.raises(BentoError, match="directories can't be imported from a URL"):
        other.bentos.import_archive(server.url("x"), "folder")


@pytest.mark.parametrize("kind", KINDS)
def test_progress_counts_every_byte(kind, serve, store, other):
    class Counter(Progress):
        expected = done = 0

        def expect(self, size):
            self.expected += size

        def advance(self, size, **_):
            self.done += size

    server = serve(kind)
    sent, received = Counter(), Counter()
    data = store.bentos.export(TAG, str(store.home.root / "x.tar")).path.read_bytes()
    if server.writable:
        store.bentos.export(TAG, server.url("x.tar"), counter=sent)
        assert sent.expected == sent.done == len(data)
    else:
        server.put("x.tar", data)
    other.bentos.import_archive(server.url("x.tar"), counter=received)
    assert received.expected == received.done == len(data)


def test_any_scheme_of_fsspec(store, other):
    assert str(store.bentos.export(TAG, "memory://a/").path) == "memory://a/hi-v1.bento"
    other.bentos.import_archive("memory://a/hi-v1.bento")
    assert same(store, other)
    with pytest.raises(MissingError, match="memory://a/none.bento: not found"):
        other.bentos.import_archive("memory://a/none.bento")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("nothing://a/b", "nothing://: unknown URL scheme. Use s3, gs, .*or another scheme that fsspec supports"),
        ("gdrive://a/b", "gdrive://: a package is missing: .*gdrive_fs"),
        ("https://host/b", "https://host/b: exports to https URLs aren't supported"),
    ],
)
def test_schemes_without_an_export(url, said, store, monkeypatch):
    monkeypatch.setattr("bento_cli.store.export.write", None)  # the error precedes the slow part
    with pytest.raises(BentoError, match=said):
        store.bentos.export(TAG, url)
