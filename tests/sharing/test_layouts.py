"""Layouts of several Bentos: what goes in comes out, models once, and nothing of a layout that is not whole."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import tarfile
from types import SimpleNamespace

import pytest
from bento_cli.library import NotFoundError, Store
from bento_cli.sharing.registry import layouts
from bento_cli.store.import_session import Options
from hypothesis import given, settings
from hypothesis import strategies as st
from rules_bento.base.errors import BentoError
from rules_bento.bentos.assembly.kinds import BENTO, MODEL
from rules_bento.images.registry.layout import Layout

from tests.helpers.store_support import DAY_1, DAY_2, bento_files, expected, model_files, tree, write_archive

RANDOM = b"".join(hashlib.sha256(bytes([number])).digest() for number in range(128))
MODELS = {"clf:v1": model_files(), "big:v1": model_files("big:v1", payload=bytes(range(256)) * 9000)}
BENTOS = {
    "hi:v1": bento_files("hi:v1", DAY_1, MODELS),
    "hi:v2": bento_files("hi:v2", DAY_2, MODELS),
    "ho:v1": bento_files("ho:v1", DAY_1, {"clf:v1": MODELS["clf:v1"]}),
    "he:v1": bento_files("he:v1", src__random=RANDOM),
}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    directory = tmp_path_factory.mktemp("layouts")
    store = Store(directory / "home", durable=False)
    for tag, files in BENTOS.items():
        store.bentos.import_archive(write_archive(directory / f"{tag[:2]}.bento", files))
    return store


def push(store, target, *tags):
    return layouts.push(store.home, [store.bentos.get(tag) for tag in tags or BENTOS], target)


@pytest.fixture
def archive(store, tmp_path):
    push(store, f"oci-archive:{tmp_path}/all.tar")
    return tmp_path / "all.tar"


@pytest.fixture
def layout(store, tmp_path):
    push(store, f"oci:{tmp_path}/all")
    return Layout.open(tmp_path / "all")


def test_each_blob_is_in_it_once(store, archive, layout):
    with tarfile.open(archive) as members:
        names = [name.removeprefix("./") for name in members.getnames()]
    assert len(names) == len(set(names))
    files = {path.relative_to(layout.directory).as_posix() for path in layout.directory.rglob("*") if path.is_file()}
    assert files == set(names)
    manifests = {str(each.annotations["org.opencontainers.image.ref.name"]): each for each in layout.index()}
    assert [*manifests] == ["he:v1", "hi:v1", "hi:v2", "ho:v1"]
    layers = [
        {layer.annotations.get("rules-bento.model"): layer.digest for layer in layout.manifest(each.digest).layers()}
        for each in manifests.values()
    ]
    assert layers[1]["clf:v1"] == layers[2]["clf:v1"] == layers[3]["clf:v1"]
    assert layers[1]["big:v1"] == layers[2]["big:v1"]


@pytest.mark.parametrize("name", ["blobs", "blobs/sha256", "index.json"])
def test_a_push_follows_no_link_of_a_layout(store, layout, tmp_path, name):
    path = layout.directory / name
    path.rename(tmp_path / "outside")
    path.symlink_to(tmp_path / "outside")
    before = sorted(tmp_path.rglob("outside/**/*")), (tmp_path / "outside").stat().st_mtime_ns
    with pytest.raises(BentoError, match=f"{path}: the path is a symbolic link"):
        layouts.push(store.home, [store.models.get("clf:v1")], f"oci:{layout.directory}")
    assert (sorted(tmp_path.rglob("outside/**/*")), (tmp_path / "outside").stat().st_mtime_ns) == before


def test_the_same_bentos_give_the_same_bytes(store, archive, tmp_path):
    push(store, f"oci-archive:{tmp_path}/again.tar", *reversed(BENTOS))
    assert (tmp_path / "again.tar").read_bytes() == archive.read_bytes()


@pytest.mark.parametrize("form", ["directory", "archive", "standard input"])
def test_what_goes_in_comes_out(archive, layout, tmp_path, monkeypatch, form):
    other = Store(tmp_path / "other", durable=False)
    source = {"directory": f"oci:{layout.directory}", "archive": f"oci-archive:{archive}"}.get(form, "-")

    def pull():
        with archive.open("rb") as file:
            monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=file))
            return layouts.pull(other.home, BENTO, source)

    done = pull()
    assert [(str(each.entry.tag), [str(model.tag) for model in each.models], [*map(str, each.known)]) for each in done] == [
        ("he:v1", [], []),
        ("hi:v1", ["big:v1", "clf:v1"], []),
        ("hi:v2", [], ["big:v1", "clf:v1"]),
        ("ho:v1", [], ["clf:v1"]),
    ]  # fmt: skip
    for tag, files in BENTOS.items():
        assert tree(other.bentos.get(tag).path) == expected(files)
    for tag, files in MODELS.items():
        assert tree(other.models.get(tag).path) == expected(files)
    assert other.verify().damages == ()
    assert not list(other.home.staging.iterdir())
    again = pull()
    assert [each.new for each in again] == [False] * 4
    assert [each.models for each in again] == [()] * 4


def test_models_have_layouts_too(store, tmp_path):
    source = f"oci:{tmp_path}/models"
    layouts.push(store.home, [store.models.get(tag) for tag in MODELS], source)
    other = Store(tmp_path / "other", durable=False)
    with pytest.raises(BentoError, match="the layout contains no Bento. To pull models, use `bento models pull`"):
        layouts.pull(other.home, BENTO, source)
    assert [str(each.entry.tag) for each in layouts.pull(other.home, MODEL, source)] == ["big:v1", "clf:v1"]
    push(store, source, "ho:v1")
    assert [str(each.entry.tag) for each in layouts.pull(other.home, BENTO, source)] == ["ho:v1"]


def test_skopeo_copies_a_bento_of_an_archive(archive, tmp_path):
    if not shutil.which("skopeo"):
        pytest.skip("skopeo isn't installed")
    copy = ["skopeo", "copy", f"oci-archive:{archive}:hi:v1", f"oci:{tmp_path}/copied:hi"]
    subprocess.run(copy, check=True, stdout=subprocess.DEVNULL)
    other = Store(tmp_path / "other", durable=False)
    [done] = layouts.pull(other.home, BENTO, f"oci:{tmp_path}/copied")
    assert tree(done.entry.path) == expected(BENTOS["hi:v1"])


@pytest.mark.parametrize("kind", ["Bento", "model"])
def test_existing_entries_with_other_contents_are_an_error(archive, tmp_path, kind):
    other = Store(tmp_path / "other", durable=False)
    if kind == "Bento":
        files = bento_files("ho:v1", src__own=b"own")
    else:
        files = bento_files("other:v1", models={"clf:v1": model_files(payload=b"EVIL")})
    other.bentos.import_archive(write_archive(tmp_path / "a.bento", files))
    before = tree(other.home.root)
    tag = "ho:v1" if kind == "Bento" else "clf:v1"
    with pytest.raises(BentoError, match=f"the store contains another {kind} {tag}. To replace .*, add --force"):
        layouts.pull(other.home, BENTO, f"oci-archive:{archive}")
    after = {path: data for path, data in tree(other.home.root).items() if not path.startswith(".rules_bento")}
    assert after == {path: data for path, data in before.items() if not path.startswith(".rules_bento")}
    layouts.pull(other.home, BENTO, f"oci-archive:{archive}", Options(replace=True))
    assert tree(other.bentos.get("ho:v1").path) == expected(BENTOS["ho:v1"])
    assert tree(other.models.get("clf:v1").path) == expected(MODELS["clf:v1"])


def test_equal_entries_are_kept(store, archive, tmp_path):
    other = Store(tmp_path / "other", durable=False)
    other.bentos.import_archive(store.bentos.export("ho", tmp_path / "a.bento").path)
    inode = other.models.get("clf").path.stat().st_ino
    done = layouts.pull(other.home, BENTO, f"oci-archive:{archive}")
    assert [each.new for each in done] == [True, True, True, False]
    assert other.models.get("clf").path.stat().st_ino == inode
    assert other.verify().damages == ()


def test_missing_and_damaged_entries_are_not_pushed(store, tmp_path):
    copy = Store(tmp_path / "copy", durable=False)
    shutil.copytree(store.home.root, copy.home.root)
    shutil.rmtree(copy.home.root / "models/big")
    with pytest.raises(NotFoundError, match=r"hi:v1: the required model big:v1 isn't in the store"):
        push(copy, f"oci-archive:{tmp_path}/out", "hi:v1")
    (copy.bentos.get("he").path / "README.md").unlink()
    with pytest.raises(BentoError, match=r"Import the following entries again:\nBento he:v1: README\.md: is missing"):
        push(copy, f"oci-archive:{tmp_path}/out", "he")
    assert not (tmp_path / "out").exists()


def blobs(layout, tag):
    """The layers of a Bento: metadata, sources, models."""
    return layout.find(tag).layers()


def rewrite(layout, tag, change):
    """List another manifest of a Bento. `change` changes the JSON document of the manifest."""
    document = json.loads(layout.find(tag).content)
    change(document)
    content = json.dumps(document).encode()
    layout.add(content)
    index = json.loads((layout.directory / "index.json").read_text())
    [entry] = [each for each in index["manifests"] if tag in each["annotations"].values()]
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    entry.update(digest=digest, size=len(content))
    (layout.directory / "index.json").write_text(json.dumps(index))


def swap(layout):
    """Replace a blob by one of the same size, of another Bento with the same tag."""
    directory, blob = layout.directory.parent, blobs(layout, "he:v1")[1]
    other = Store(directory / "evil", durable=False)
    for start in range(1, 100):
        files = bento_files("he:v1", src__random=RANDOM[start:] + RANDOM[:start])
        other.bentos.import_archive(write_archive(directory / "evil.bento", files), options=Options(replace=True))
        push(other, f"oci:{directory}/layout-{start}", "he")
        evil = Layout.open(directory / f"layout-{start}")
        its = blobs(evil, "he:v1")[1]
        if its.size == blob.size:
            shutil.copy(evil.blob(its.digest), layout.blob(blob.digest))
            return
    raise AssertionError


CASES = {
    "no index": (lambda layout: (layout.directory / "index.json").unlink(), "cannot read the file"),
    "no blob": (lambda layout: layout.blob(blobs(layout, "ho:v1")[0].digest).unlink(), "missing blob"),
    "no manifest": (lambda layout: layout.blob(layout.index()[3].digest).unlink(), "missing manifest"),
    "a blob of another size": (lambda layout: layout.blob(blobs(layout, "ho:v1")[0].digest).write_bytes(b"x"), "missing blob"),
    "another blob": (swap, "the content doesn't match the digest"),
    "the layers of another Bento": (
        lambda layout: rewrite(
            layout, "ho:v1", lambda document: document.update(layers=json.loads(layout.find("he:v1").content)["layers"])
        ),
        "expected the tag ho:v1, but the archive contains he:v1",
    ),
    "the config of another Bento": (
        lambda layout: rewrite(
            layout, "ho:v1", lambda document: document.update(config=json.loads(layout.find("he:v1").content)["config"])
        ),
        "expected the tag he:v1, but the archive contains ho:v1",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_what_is_no_layout_leaves_nothing(layout, tmp_path, name):
    change, message = CASES[name]
    change(layout)
    other = Store(tmp_path / "other", durable=False)
    with pytest.raises(BentoError, match=message):
        layouts.pull(other.home, BENTO, f"oci:{layout.directory}")
    assert not other.bentos.list()
    assert not other.models.list()
    assert not other.home.staging.exists() or not list(other.home.staging.iterdir())


@given(st.data())
@settings(max_examples=40)
def test_damage_and_interruptions_leave_nothing(store, tmp_path_factory, data):
    directory = tmp_path_factory.mktemp("damaged")
    path = directory / "x"
    push(store, f"oci-archive:{path}", "he", "ho")
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        # The last of the zeros that end a tar are not needed.
        content = content[: min(place, len(content) - 600)]
    else:
        content[place] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content)
    other = Store(directory / "home", durable=False)
    try:
        layouts.pull(other.home, BENTO, f"oci-archive:{path}")
    except BentoError:
        assert not other.bentos.list()
        assert not other.models.list()
        return
    # Harmless places: times, owners and such of a header.
    for entry in other.bentos.list():
        assert tree(entry.path) == expected(BENTOS[str(entry.tag)])
    shutil.rmtree(directory)
