"""Bundles: what goes in comes out, models once, and nothing of a bundle that is not whole."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import tarfile

import pytest
from bento_cli.library import NotFoundError, Options, Store
from bento_cli.sharing import bundle
from hypothesis import given, settings
from hypothesis import strategies as st
from rules_bento.archives.unpack import Limits
from rules_bento.errors import BentoError

from tests.helpers.store_support import DAY_1, DAY_2, ask, bento_files, expected, model_files, real, tree, write_archive

__all__ = ["real"]

MODELS = {"clf:v1": model_files(), "big:v1": model_files("big:v1", payload=bytes(range(256)) * 9000)}
BENTOS = {
    "hi:v1": bento_files("hi:v1", DAY_1, MODELS),
    "hi:v2": bento_files("hi:v2", DAY_2, MODELS),
    "ho:v1": bento_files("ho:v1", DAY_1, {"clf:v1": MODELS["clf:v1"]}),
    "he:v1": bento_files("he:v1"),
}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    directory = tmp_path_factory.mktemp("bundles")
    store = Store(directory / "home", durable=False)
    for tag, files in BENTOS.items():
        store.bentos.import_archive(write_archive(directory / f"{tag[:2]}.bento", files))
    return store


@pytest.fixture
def packed(store, tmp_path):
    path = tmp_path / "all.bentobundle"
    bundle.write(store.home, list(BENTOS), path)
    return path


def members(path):
    with tarfile.open(path) as archive:
        return [(member, archive.extractfile(member).read()) for member in archive]


def rewrite(path, change):
    """The bundle with other members: `change` takes and returns a list of (name, data)."""
    found = [(member.name, data) for member, data in members(path)]
    with tarfile.open(path, "w") as archive:
        for name, data in change(found):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


def test_models_are_in_it_once_and_first(store, tmp_path):
    path = tmp_path / "all.bentobundle"
    index = bundle.write(store.home, ["hi", "hi:v1", "ho:v1", "hi:v2"], path)
    found = members(path)
    assert [member.name for member, _ in found] == [
        "./models/big/v1.bentomodel",
        "./models/clf/v1.bentomodel",
        "./bentos/hi/v1.bento",
        "./bentos/hi/v2.bento",
        "./bentos/ho/v1.bento",
        "./bundle.json",
    ]
    assert json.loads(found[-1][1]) == index
    assert [part["models"] for part in index["bentos"]] == [["clf:v1", "big:v1"]] * 2 + [["clf:v1"]]
    assert not [name for name in tmp_path.iterdir() if name != path]


def test_the_same_bentos_give_the_same_bytes(store, packed, tmp_path):
    bundle.write(store.home, list(reversed(BENTOS)), tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == packed.read_bytes()


def test_what_goes_in_comes_out(packed, tmp_path):
    other = Store(tmp_path / "other", durable=False)
    done = bundle.read(other.home, packed, Options())
    assert [str(found.entry.tag) for found in done.imported] == ["big:v1", "clf:v1", "he:v1", "hi:v1", "hi:v2", "ho:v1"]
    assert done.known == ()
    for tag, files in BENTOS.items():
        assert tree(other.bentos.get(tag).path) == expected(files)
    for tag, files in MODELS.items():
        assert tree(other.models.get(tag).path) == expected(files)
    assert other.verify().damages == ()
    again = bundle.read(other.home, packed, Options())
    assert (again.imported, len(again.known)) == ((), 6)


@pytest.mark.parametrize("has_manifest", [True, False])
@pytest.mark.parametrize("kind", ["Bento", "model"])
def test_existing_entries_with_other_contents_are_an_error(store, packed, tmp_path, kind, has_manifest):
    other = Store(tmp_path / "other", durable=False)
    if kind == "Bento":
        files = bento_files("ho:v1", src__own=b"own")
    else:
        files = bento_files("other:v1", models={"clf:v1": model_files(payload=b"EVIL")})
    other.bentos.import_archive(write_archive(tmp_path / "a.bento", files))
    before = tree(other.home.root)
    if not has_manifest:
        shutil.rmtree(other.home.own / "records")
    tag, command = ("ho:v1", "bento delete ho:v1") if kind == "Bento" else ("clf:v1", "bento models delete clf:v1")
    message = f"the store contains another {kind} {tag}. To replace the {kind}, delete it first with `{command}`."
    with pytest.raises(BentoError, match=message):
        bundle.read(other.home, packed, Options())
    shutil.rmtree(other.home.own)
    assert tree(other.home.root) == {path: data for path, data in before.items() if not path.startswith(".rules_bento")}
    section = other.bentos if kind == "Bento" else other.models
    section.delete(tag, force=True)
    assert bundle.read(other.home, packed, Options()).known == ()


def test_equal_entries_are_kept(store, packed, tmp_path):
    other = Store(tmp_path / "other", durable=False)
    other.bentos.import_archive(store.bentos.export("ho", tmp_path / "a.bento").path)
    inode = other.models.get("clf").path.stat().st_ino
    done = bundle.read(other.home, packed, Options())
    assert done.known == ("clf:v1", "ho:v1")
    assert other.models.get("clf").path.stat().st_ino == inode
    assert other.verify().damages == ()


def test_bentoml_imports_what_is_in_it(packed, tmp_path, real):
    files = bundle.extract(packed, tmp_path / "parts", Limits())
    assert [path.relative_to(tmp_path / "parts").as_posix() for path in files] == [
        "models/big/v1.bentomodel",
        "models/clf/v1.bentomodel",
        "bentos/he/v1.bento",
        "bentos/hi/v1.bento",
        "bentos/hi/v2.bento",
        "bentos/ho/v1.bento",
    ]
    by_hand = tmp_path / "by hand"
    by_hand.mkdir()
    subprocess.run(["tar", "-x", "-f", packed, "-C", by_hand], check=True)
    assert {path: data for path, (data, _) in tree(by_hand).items() if path != "bundle.json"} == {
        path: data for path, (data, _) in tree(tmp_path / "parts").items()
    }
    script = "import bentoml\ndef answer(path):\n    models = path.endswith('model')\n"
    script += "    return str((bentoml.models.import_model if models else bentoml.bentos.import_bento)(path).tag)\n"
    assert ask(real, script, [str(path) for path in files]) == ["big:v1", "clf:v1", "he:v1", "hi:v1", "hi:v2", "ho:v1"]
    for tag, content in BENTOS.items():
        found = tree(real.home / "bentos" / tag.replace(":", "/"))
        assert {path: data for path, (data, _) in found.items()} == {
            path: data for path, (data, _) in expected(content).items()
        }


def test_a_directory_that_exists_is_not_written_to(packed, tmp_path):
    (tmp_path / "parts").mkdir()
    with pytest.raises(BentoError, match="already exists"):
        bundle.extract(packed, tmp_path / "parts", Limits())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["all.bentobundle", "parts"]


def test_missing_and_damaged_entries_are_not_bundled(store, tmp_path):
    with pytest.raises(NotFoundError):
        bundle.write(store.home, ["hi", "nothing"], tmp_path / "out")
    copy = Store(tmp_path / "copy", durable=False)
    shutil.copytree(store.home.root, copy.home.root)
    shutil.rmtree(copy.home.root / "models/big")
    with pytest.raises(NotFoundError, match=r"hi:v1: the required model big:v1 isn't in the store"):
        bundle.write(copy.home, ["hi:v1"], tmp_path / "out")
    (copy.bentos.get("he").path / "README.md").unlink()
    with pytest.raises(BentoError, match=r"Import the following entries again:\nBento he:v1: README\.md: is missing"):
        bundle.write(copy.home, ["he"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


CASES = {
    "no list": (lambda found: found[:-1], "bundle.json is missing"),
    "a list first": (lambda found: [found[-1], *found[:-1]], "unexpected member"),
    "a part too few": (lambda found: found[1:], "doesn't match bundle.json"),
    "the last part too few": (lambda found: [*found[:-2], found[-1]], r"contains 5 archives, but bundle.json lists 6"),
    "a part too many": (
        lambda found: [*found[:-1], ("bentos/hu/v1.bento", found[-2][1]), found[-1]],
        "expected the tag hu:v1, but the archive contains ho:v1",
    ),
    "parts exchanged": (
        lambda found: [*found[:3], (found[3][0], found[4][1]), (found[4][0], found[3][1]), *found[5:]],
        "expected the tag hi:v1, but the archive contains hi:v2",
    ),
    "another name": (lambda found: [*found, ("hello", b"")], "unexpected member"),
    "a name outside": (lambda found: [("bentos/../../x/v1.bento", b"x"), *found], "is outside the archive"),
    "no name": (lambda found: [("bentos/v1.bento", b"x"), *found], "unexpected member"),
    "no tag": (lambda found: [("bentos/a+b/v1.bento", b"x"), *found], "lowercase"),
    "a folder too deep": (lambda found: [("bentos/a/b/v1.bento", b"x"), *found], "the version"),
    "twice": (lambda found: [found[0], *found], "duplicate path"),
    "another format": (lambda found: [*found[:-1], ("bundle.json", b'{"format": "x"}')], "isn't in the format"),
    "no JSON": (lambda found: [*found[:-1], ("bundle.json", b"\xff")], "isn't in the format"),
    "a wrong list": (
        lambda found: [*found[:-1], ("bundle.json", b'{"format": "bentobundle/1", "models": [1], "bentos": []}')],
        "isn't in the format",
    ),
    "a part that is none": (lambda found: [(found[0][0], b"x"), *found[1:]], "isn't in xz format"),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_no_bundle_leaves_nothing(packed, tmp_path, name):
    change, message = CASES[name]
    rewrite(packed, change)
    other = Store(tmp_path / "other", durable=False)
    with pytest.raises(BentoError, match=message):
        bundle.read(other.home, packed, Options())
    assert not other.bentos.list()
    assert not other.models.list()
    assert not list(other.home.staging.iterdir())


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_damage_and_interruptions_leave_nothing(store, tmp_path_factory, data):
    directory = tmp_path_factory.mktemp("damaged")
    path = directory / "x"
    bundle.write(store.home, ["he", "ho"], path)
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
        bundle.read(other.home, path, Options())
    except BentoError:
        assert not other.bentos.list()
        assert not other.models.list()
        return
    # Harmless places: times, owners and such of a header.
    for tag in "he:v1", "ho:v1":
        assert tree(other.bentos.get(tag).path) == expected(BENTOS[tag])
    shutil.rmtree(directory)
