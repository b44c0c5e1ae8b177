"""BentoCloud and Yatai: beside the real client of BentoML, both ways round, and over all that goes wrong."""

from __future__ import annotations

import json
import re
import stat
import time

import pytest
import yaml
from bento_cli.cli import status
from bento_cli.library import MODEL, Options, Store
from bento_cli.sharing.cloud import documents
from bento_cli.sharing.cloud.contexts import Contexts, make
from bento_cli.store import durable
from rules_bento.base.errors import BentoError

from tests.helpers.store_support import bento_files, in_children, model_files, real, tree, write_archive
from tests.sharing.cloud_server import TOKEN, Cloud
from tests.sharing.cloud_support import STRATEGIES, cloud, login, one_cloud, pull_from, push_to
from tests.sharing.support import FORCE, Totals, bento, documents_read, nobody, other, progress, same, store

__all__ = ["bento", "cloud", "documents_read", "nobody", "one_cloud", "other", "progress", "real", "store"]

# ---- Both ways round ----------------------------------------------------------------------------------------------


def test_what_we_push_bentoml_pulls(cloud, store, real, progress):
    done = push_to(cloud, store, "hi:v2", progress)
    assert done.main.sent
    assert {str(sent.tag) for sent in done.models if sent.sent} == {"clf:v1", "clf:v2"}
    assert cloud.status("bento", "hi:v2") == cloud.status("model", "clf:v1") == "success"
    login(real, cloud)
    real.run("pull", "hi:v2", "--with-models")
    theirs = Store(real.home)
    files = tree(store.bentos.get("hi:v2").path)
    assert tree(theirs.bentos.get("hi:v2").path).keys() == files.keys()
    for path, (data, _) in tree(theirs.bentos.get("hi:v2").path).items():
        assert path == "bento.yaml" or data == files[path][0]
    for model in "clf:v1", "clf:v2":
        found = tree(theirs.models.get(model).path)
        assert found["weights.bin"][0] == tree(store.models.get(model).path)["weights.bin"][0]


def test_what_bentoml_pushes_we_pull(cloud, store, real, other, progress, tmp_path):
    for version in "v1", "v2":
        real.run("import", str(tmp_path / f"{version}.bento"))
    login(real, cloud)
    real.run("push", "hi:v2")
    done = pull_from(cloud, other, "hi:v2", progress)
    assert (done.new, {str(model.tag) for model in done.models}) == (True, {"clf:v1", "clf:v2"})
    theirs = Store(real.home)
    assert tree(other.bentos.get("hi:v2").path) == tree(theirs.bentos.get("hi:v2").path)
    for model in "clf:v1", "clf:v2":
        assert tree(other.models.get(model).path) == tree(theirs.models.get(model).path)
    assert other.verify().damages == ()


def test_totals_are_known_before_a_transfer(cloud, store, other):
    """A pull has the sizes in the documents, of which it counts shares. Archives are a little larger."""
    pushed, again, pulled, known = Totals(), Totals(), Totals(), Totals()
    push_to(cloud, store, "clf:v1", again, "models")
    push_to(cloud, store, "hi:v2", pushed)
    assert pushed.totals[-1] == pushed._total == pushed._done  # one model is already there
    pull_from(cloud, other, "clf:v1", known, MODEL)
    pull_from(cloud, other, "hi:v2", pulled)
    assert {*pulled.totals} == {pulled._total} != {0}
    assert pulled.totals[-1] == pulled._total == pulled._done
    assert known.totals == [known._done] * len(known.totals)
    push_to(cloud, store, "hi:v2", once_more := Totals())
    assert once_more._total == once_more._done > 0


def test_we_ask_what_bentoml_asks(cloud, store, real, progress, tmp_path):
    """The same requests with the same documents, but for the label that is ours."""
    for version in "v1", "v2":
        real.run("import", str(tmp_path / f"{version}.bento"))
    login(real, cloud)
    talks = []
    for push_it in (lambda: real.run("push", "hi:v2"), lambda: push_to(cloud, store, "hi:v2", progress)):
        for state in (cloud.repositories, cloud.versions, cloud.blobs, cloud.parts, cloud.requests):
            state.clear()
        push_it()
        first = sorted(cloud.requests[:], key=lambda request: request[1].split("/", 6)[:6])
        # And once more, when an upload has failed.
        cloud.requests.clear()
        cloud.versions["bento", "hi", "v2"]["upload_status"] = "failed"
        push_it()
        talks.append([*_plain(first), *_plain(cloud.requests)])
    theirs, ours = talks
    assert ours == theirs
    assert len(ours) > 15


def _plain(requests):
    """Requests as they are compared: of several models in the order of their names."""
    found = []
    for method, path, document in requests:
        if isinstance(document, dict) and "labels" in document:
            labels = [label for label in document["labels"] if label["key"] != documents.DIGEST_LABEL]
            document = document | {"labels": labels}
        text = json.dumps(document, sort_keys=True)
        # Which comes first is chance, and a tar by other hands is another one.
        text = re.sub(r'"(etag|upload_id)": "(\\"\w+\\"|up\d+)"', r'"\1": ""', text)
        found.append((path, method, text))
    models = [request for request in found if "model" in request[0]]
    rest = [request for request in found if "model" not in request[0]]
    return [*sorted(models), *rest]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_stand_in_is_asked_what_was_recorded(strategy, store, progress):
    """The recordings: which requests follow one another for one Bento that is new."""
    expected = {
        "proxy": ["start_upload", "upload"],
        "presigned_url": ["presign_upload_url", "start_upload", "blob", "finish_upload"],
        "multipart": [
            "start_upload",
            "start_multipart_upload",
            "presign_multipart_upload_url",
            "blob",
            "complete_multipart_upload",
            "finish_upload",
        ],
    }[strategy]
    with Cloud(strategy).serve() as cloud:
        push_to(cloud, store, "hi:v1", progress)
    asked = [(method, path) for method, path, _ in cloud.requests if "model" not in path]
    names = ["blob" if path.startswith("/blob") else path.rpartition("/")[2] for _, path in asked]
    assert names == ["hi", "bento_repositories", "v1", "bentos", *expected]


# ---- Nothing twice ------------------------------------------------------------------------------------------------


def test_a_round_trip_changes_nothing(cloud, store, other, progress):
    push_to(cloud, store, "hi:v1", progress)
    push_to(cloud, store, "hi:v2", progress)
    one = pull_from(cloud, other, "hi:v1", progress)
    two = pull_from(cloud, other, "hi", progress)
    assert (str(two.entry.tag), list(map(str, two.known))) == ("hi:v2", ["clf:v1"])
    assert [str(model.tag) for model in one.models] == ["clf:v1"]
    same(store, other, "hi:v1", "hi:v2")
    assert not pull_from(cloud, other, "hi:v1", progress).new


def test_what_exists_is_not_sent(cloud, store, progress):
    push_to(cloud, store, "hi:v1", progress)
    before = cloud.taken["up"]
    again = push_to(cloud, store, "hi:v1", progress)
    assert (again.main.sent, [sent.sent for sent in again.models]) == (False, [False])
    assert cloud.taken["up"] == before
    assert push_to(cloud, store, "hi:v1", progress, force=True).main.sent


def test_other_contents_under_a_tag_are_reported(one_cloud, store, other, progress, tmp_path):
    push_to(one_cloud, store, "clf:v1", progress, "models")
    other.models.import_archive(write_archive(tmp_path / "x.bentomodel", model_files(payload=b"others")))
    done = push_to(one_cloud, other, "clf:v1", progress, "models")
    assert not done.main.sent
    assert "has different contents for this tag" in done.main.notes[0]
    assert push_to(one_cloud, other, "clf:v1", progress, "models", force=True).main.notes == ()


def test_models_alone_and_those_that_are_missing(one_cloud, store, other, progress):
    push_to(one_cloud, store, "hi:v2", progress)
    assert pull_from(one_cloud, other, "clf:v1", progress, MODEL).new
    assert not pull_from(one_cloud, other, "clf:v1", progress, MODEL).new
    pull_from(one_cloud, other, "hi:v2", progress)
    other.models.delete("clf:v2", force=True)
    done = pull_from(one_cloud, other, "hi:v2", progress)
    assert (done.new, [str(model.tag) for model in done.models]) == (False, ["clf:v2"])
    assert pull_from(one_cloud, other, "hi:v2", progress, options=FORCE).new
    same(store, other, "hi:v2")


@pytest.mark.parametrize("has_label", [True, False])
@pytest.mark.parametrize("has_manifest", [True, False])
def test_a_pulled_bento_uses_no_other_model(one_cloud, store, other, progress, tmp_path, has_label, has_manifest):
    """BentoML's own pushes have no digest in the labels, so the model is downloaded and compared."""
    push_to(one_cloud, store, "hi:v1", progress)
    strip_labels(one_cloud, has_label)
    evil = {"clf:v1": model_files(payload=b"EVIL")}
    other.bentos.import_archive(write_archive(tmp_path / "evil.bento", bento_files("other:v1", models=evil)))
    if not has_manifest:
        (other.home.records(MODEL) / "clf/v1").unlink()
    message = r"model clf:v1 of http://\S+: the store contains another model clf:v1. To replace it, add --force."
    with pytest.raises(BentoError, match=message):
        pull_from(one_cloud, other, "hi:v1", progress)
    assert [str(entry.tag) for entry in other.bentos.list()] == ["other:v1"]
    assert (other.models.get("clf:v1").path / "weights.bin").read_bytes() == b"EVIL"
    with pytest.raises(BentoError, match=message):
        pull_from(one_cloud, other, "clf:v1", progress, MODEL)
    done = pull_from(one_cloud, other, "hi:v1", progress, options=FORCE)
    assert [str(model.tag) for model in done.models] == ["clf:v1"]
    same(store, other, "hi:v1")


@pytest.mark.parametrize("has_label", [True, False])
def test_another_bento_with_the_same_tag_is_an_error(one_cloud, store, other, progress, tmp_path, has_label):
    push_to(one_cloud, store, "hi:v1", progress)
    strip_labels(one_cloud, has_label)
    other.bentos.import_archive(write_archive(tmp_path / "a.bento", bento_files("hi:v1", src__own=b"own")))
    with pytest.raises(
        BentoError, match="Bento hi:v1 of .*: the store contains another Bento hi:v1. To replace it, add"
    ):
        pull_from(one_cloud, other, "hi:v1", progress)
    assert (other.bentos.get("hi").path / "src/own").read_bytes() == b"own"
    assert other.models.list() == ()
    assert pull_from(one_cloud, other, "hi:v1", progress, options=FORCE).new
    same(store, other, "hi:v1")


@pytest.mark.parametrize("has_label", [True, False])
def test_equal_contents_are_kept(one_cloud, store, other, progress, tmp_path, has_label):
    push_to(one_cloud, store, "hi:v2", progress)
    strip_labels(one_cloud, has_label)
    other.bentos.import_archive(store.bentos.export("hi:v2", tmp_path / "a.bento").path)
    inodes = [entry.path.stat().st_ino for entry in (*other.bentos.list(), *other.models.list())]
    done = pull_from(one_cloud, other, "hi:v2", progress)
    assert (done.new, done.models, [str(tag) for tag in done.known]) == (False, (), ["clf:v1", "clf:v2"])
    assert (one_cloud.taken["down"] == 0) == has_label
    assert [entry.path.stat().st_ino for entry in (*other.bentos.list(), *other.models.list())] == inodes
    same(store, other, "hi:v2")


def strip_labels(cloud, has_label):
    for version in cloud.versions.values():
        version["labels"] = version["labels"] if has_label else []


def test_two_pulls_at_once_succeed(one_cloud, store, other, progress, monkeypatch):
    push_to(one_cloud, store, "hi:v2", progress)
    results = []
    flush = durable.flush_trees

    def pulling(*arguments):
        if not results:
            results.append(None)
            results[0] = pull_from(one_cloud, other, "hi:v2", progress)
        flush(*arguments)

    monkeypatch.setattr(durable, "flush_trees", pulling)
    done = pull_from(one_cloud, other, "hi:v2", progress)
    assert (results[0].new, done.new) == (True, False)
    assert (done.models, [str(tag) for tag in done.known]) == ((), ["clf:v1", "clf:v2"])
    same(store, other, "hi:v2")


def test_a_model_that_is_replaced_during_a_pull_is_an_error(one_cloud, store, other, progress, tmp_path, monkeypatch):
    push_to(one_cloud, store, "hi:v1", progress)
    pull_from(one_cloud, other, "clf:v1", progress, MODEL)
    evil = write_archive(tmp_path / "evil.bentomodel", model_files(payload=b"EVIL"))
    flush = durable.flush_trees

    def replaced(*arguments):
        monkeypatch.setattr(durable, "flush_trees", flush)
        other.models.import_archive(evil, options=Options(replace=True))
        flush(*arguments)

    monkeypatch.setattr(durable, "flush_trees", replaced)
    with pytest.raises(BentoError, match="clf:v1: the model was deleted or replaced meanwhile. Run the command again."):
        pull_from(one_cloud, other, "hi:v1", progress)
    assert other.bentos.list() == ()


def test_models_of_a_hub_are_named_and_not_sent(one_cloud, store, other, progress, tmp_path):
    reference = {
        "tag": "org--model:0123",
        "module": None,
        "creation_time": "2026-01-01T00:00:00+00:00",
        "registry": "huggingface",
        "metadata": {"model_id": "org/model", "revision": "0" * 40},
    }
    files = bento_files("ho:v1")
    fields = yaml.safe_load(files["bento.yaml"])
    fields["services"][0]["models"] = [reference]
    files["bento.yaml"] = yaml.safe_dump(fields, sort_keys=False).encode()
    store.bentos.import_archive(write_archive(tmp_path / "ho.bento", files))
    push_to(one_cloud, store, "ho:v1", progress)
    assert one_cloud.versions["model", "org--model", "0123"]["manifest"]["metadata"]["registry"] == "huggingface"
    done = pull_from(one_cloud, other, "ho:v1", progress)
    assert (done.models, str(done.entry.tag)) == ((), "ho:v1")


# ---- Contexts and commands ----------------------------------------------------------------------------------------


@pytest.fixture
def ours(tmp_path):
    return Store(tmp_path / "home", durable=False)


def test_contexts_are_those_of_bentoml(one_cloud, bento, real, monkeypatch):
    home = Store(real.home, durable=False)
    monkeypatch.setattr("sys.stdin.readline", lambda: f"{TOKEN}\n", raising=False)
    out = bento("cloud", "login", "--endpoint", one_cloud.address, "--api-token", "-", home=home)
    assert f"Logged in to {one_cloud.address} as tester@example.com of tests (context default)." in out
    real.run("cloud", "login", "--endpoint", one_cloud.address, "--api-token", TOKEN)
    assert json.loads(real.run("cloud", "current-context"))["api_token"] == TOKEN
    bento("cloud", "login", "--endpoint", one_cloud.address, "--api-token", TOKEN, "--context", "second", home=home)
    assert json.loads(real.run("cloud", "list-context")) == ["default", "second"]
    assert json.loads(bento("cloud", "list-context", home=home)) == ["default", "second"]
    real.run("cloud", "update-current-context", "second")
    shown = bento("cloud", "current-context", home=home)
    assert json.loads(shown) == {"name": "second", "endpoint": one_cloud.address, "email": "tester@example.com"}
    bento("cloud", "update-current-context", "default", home=home)
    assert json.loads(real.run("cloud", "current-context"))["name"] == "default"
    assert TOKEN not in out + shown
    assert stat.S_IMODE((real.home / ".yatai.yaml").stat().st_mode) == 0o600


def test_contexts_that_are_saved_at_the_same_time_are_all_kept(ours):
    def save(number):
        contexts = Contexts(ours.home)
        time.sleep(0.2)  # as long as a server needs
        contexts.save(make(f"c{number}", "https://cloud.example", "token"))

    assert all(in_children(*[lambda number=number: save(number) for number in range(8)]))
    assert sorted(context.name for context in Contexts(ours.home).contexts) == [f"c{number}" for number in range(8)]
    before = Contexts(ours.home)
    Contexts(ours.home).set_current("c3")
    before.save(make("c8", "https://cloud.example", "token"))
    assert Contexts(ours.home).current_name == "c3"


def test_the_file_keeps_what_else_it_has(ours):
    ours.home.root.mkdir()
    file = ours.home.root / ".yatai.yaml"
    file.write_text("contexts:\n- {name: a, endpoint: 'http://a/', api_token: t, more: 1}\nother: 2\n")
    contexts = Contexts(ours.home)
    assert contexts.save(make("b", "https://b/", "u")) is False
    assert contexts.save(make("a", "https://a", "v", "me@x")) is True
    found = yaml.safe_load(file.read_text())
    assert found["other"] == 2
    assert found["contexts"][0] == {"name": "a", "endpoint": "https://a", "api_token": "v", "more": 1, "email": "me@x"}
    assert "'v'" not in repr(contexts.contexts)
    assert [path.name for path in ours.home.root.iterdir()] == [".yatai.yaml"]


@pytest.mark.parametrize("text", ["[", "- a", "contexts: 1", "contexts: [1]", "contexts: [{name: a}]", "\tsecret: x"])
def test_a_broken_file_is_reported_without_its_tokens(ours, bento, text):
    ours.home.root.mkdir()
    (ours.home.root / ".yatai.yaml").write_text(text)
    out = bento("cloud", "list-context", home=ours, code=status.ERROR)
    assert ".yatai.yaml: " in out
    assert "secret" not in out


@pytest.mark.parametrize("endpoint", ["cloud.example.com", "ftp://x", "https://", "https://u:p@x", "https://x?a=b"])
def test_an_endpoint_is_an_address(endpoint, bento, ours):
    assert "invalid endpoint" in bento(
        "cloud", "login", "--endpoint", endpoint, "--api-token", "t", home=ours, code=status.ERROR
    )


def test_a_token_without_encryption_is_reported():
    assert make("a", "http://yatai.example.com", "t").is_open
    assert not make("a", "https://yatai.example.com", "t").is_open
    assert not make("a", "http://127.0.0.1:3000", "t").is_open


def test_a_wrong_login_is_not_kept(one_cloud, bento, store, ours, monkeypatch):
    words = ["cloud", "login", "--endpoint", one_cloud.address]
    assert "Log in again" in bento(*words, "--api-token", "wrong", home=ours, code=status.ERROR)
    assert not (ours.home.root / ".yatai.yaml").exists()
    assert "the API token is missing" in bento(*words, home=ours, code=status.ERROR)
    monkeypatch.setenv("BENTO_CLOUD_API_ENDPOINT", one_cloud.address)
    assert f"{one_cloud.address} responded" in bento(
        "cloud", "login", "--api-token", "wrong", home=ours, code=status.ERROR
    )
    missing = "bento: the registry is missing, and no login to BentoCloud or Yatai exists. For a registry, run `bento "
    for words, example in {
        "pull hi:v1": "pull registry.example.com/hi:v1",
        "push hi:v1": "push hi:v1 registry.example.com/hi",
        "models pull clf": "models pull registry.example.com/clf",
        "models push clf": "models push clf registry.example.com/clf",
    }.items():
        err = bento(*words.split(), home=store if "push" in words else ours, code=status.ERROR)
        note = f"note: --home: {ours.home.root} doesn't exist, so the store is empty.\n" if "pull" in words else ""
        assert err == f"{note}{missing}{example}`. For BentoCloud or Yatai, run `bento cloud login`.\n"


def test_the_command_pushes_and_pulls(one_cloud, bento, store, other, monkeypatch):
    monkeypatch.setenv("BENTO_CLOUD_API_KEY", TOKEN)
    monkeypatch.setenv("BENTO_CLOUD_API_ENDPOINT", one_cloud.address)
    assert re.match(r"Pushed Bento hi:v1 with clf:v1 to http://\S+: \d+\.\d\d KiB\.$", bento("push", "hi:v1"))
    fields = json.loads(bento("push", "hi:v2", "-o", "json", "-t", "2"))
    assert (fields["sent"], fields["models"]) == (
        True,
        [{"tag": "clf:v1", "sent": False}, {"tag": "clf:v2", "sent": True}],
    )
    assert "Bento hi:v1 is already in" in bento("push", "hi:v1")
    assert bento("models", "push", "clf:v1").startswith("model clf:v1 is already in")
    assert bento("pull", "hi:v1", home=other) == "Pulled Bento hi:v1 with clf:v1.\n"
    assert bento("pull", "hi", home=other) == "Pulled Bento hi:v2 with clf:v2 (already present: clf:v1).\n"
    assert json.loads(bento("models", "pull", "clf:v1", "-o", "json", home=other))["new"] is False
    same(store, other, "hi:v1", "hi:v2")
    assert "not found in" in bento("pull", "gone", home=other, code=status.NOT_FOUND)


def test_the_models_of_a_bentofile_are_pulled(one_cloud, bento, store, other, tmp_path, monkeypatch):
    monkeypatch.setenv("BENTO_CLOUD_API_KEY", TOKEN)
    monkeypatch.setenv("BENTO_CLOUD_API_ENDPOINT", one_cloud.address)
    bento("push", "hi:v2")
    path = tmp_path / "bentofile.yaml"
    path.write_text("service: service:Svc\nmodels:\n- tag: clf:v1\n  alias: old\n- clf:v2\n")
    words = ("models", "pull", "-F", path)
    assert bento(*words, home=other) == "Pulled model clf:v1.\nPulled model clf:v2.\n"
    assert [each["new"] for each in json.loads(bento(*words, "--json", home=other))] == [False, False]
    path.write_text("service: service:Svc\n")
    assert "the file lists no models. Add the models to `models`." in bento(*words, home=other, code=status.ERROR)
    assert "specify either REFERENCE or --bentofile." in bento("models", "pull", home=other, code=2)
