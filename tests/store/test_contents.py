"""What belongs to an entry of the store, and which contents a tag stands for."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest
from bento_cli.library import MODEL, Options, Store
from rules_bento.base.errors import BentoError
from rules_bento.bentos.assembly.bento_yaml import content_identity
from rules_bento.bentos.models import model_store
from rules_bento.bentos.sources.tree_manifest import TreeManifest

from tests.helpers.store_support import DAY_3, bento_files, expected, model_files, model_yaml, tree, write_archive

CODE = {"clf:v1": model_files() | {"modeling.py": b"VALUE = 1\n"}}
FILES = bento_files(models=CODE)
GENERATED = {
    "src/__pycache__/service.cpython-311.pyc": b"EVIL",
    "src/.DS_Store": b"finder",
    "models/clf/v1/__pycache__/modeling.cpython-311.pyc": b"EVIL",
    "models/clf/v1/folder/.DS_Store/file": b"finder",
}


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "ours", durable=False)


@pytest.fixture
def other(tmp_path):
    return Store(tmp_path / "other", durable=False)


def use(*directories):
    """Import the modules of a model and a Bento, as a service does. Python writes bytecode next to them."""
    program = "import sys; sys.dont_write_bytecode = False; sys.path[:0] = sys.argv[1:]; import modeling, package"
    subprocess.run([sys.executable, "-E", "-c", program, *map(str, directories)], check=True)
    for directory in directories:
        (directory / ".DS_Store").write_bytes(b"finder")
        assert list(directory.glob("__pycache__/*.pyc")) or list(directory.glob("*/__pycache__/*.pyc"))


def used(store, tmp_path):
    """A store with a Bento that has been served."""
    store.bentos.import_archive(write_archive(tmp_path / "a.bento", FILES))
    use(store.models.get("clf").path, store.bentos.get("hi").path / "src")
    return store


@pytest.mark.parametrize(("form", "suffix"), [("xz", ".bento"), ("zip", ".zip"), ("folder", "")])
def test_bytecode_enters_no_export(store, other, tmp_path, form, suffix):
    before = store.bentos.import_archive(write_archive(tmp_path / "a.bento", FILES)).entry
    first = store.bentos.export("hi", tmp_path / f"first{suffix}", form).path
    use(store.models.get("clf").path, before.path / "src")
    second = store.bentos.export("hi", tmp_path / f"second{suffix}", form).path
    if form != "folder":
        assert first.read_bytes() == second.read_bytes()
    other.bentos.import_archive(second, form)
    assert tree(other.models.get("clf").path) == expected(CODE["clf:v1"])
    assert tree(other.bentos.get("hi").path) == expected(FILES)
    assert not store.diff("hi", str(first))
    assert store.verify().damages == store.verify().changes == ()


def test_bytecode_in_an_archive_is_not_imported(store, tmp_path):
    """An unchecked .pyc replaces its source, and the digests of a model don't contain it."""
    files = FILES | GENERATED
    store.bentos.import_archive(write_archive(tmp_path / "evil.bento", files))
    assert tree(store.models.get("clf").path) == expected(CODE["clf:v1"])
    assert tree(store.bentos.get("hi").path) == expected(FILES)
    directory = store.bentos.export("hi", tmp_path / "directory", "folder").path
    for path, data in GENERATED.items():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_bytes(data)
    store.bentos.import_archive(directory, options=Options(replace=True))
    assert tree(store.models.get("clf").path) == expected(CODE["clf:v1"])
    assert tree(store.bentos.get("hi").path) == expected(FILES)


@pytest.mark.parametrize("has_manifest", [True, False])
def test_bytecode_makes_no_other_model(store, real, tmp_path, has_manifest):
    """BentoML exports the bytecode that services have written."""
    used(store, tmp_path)
    theirs = Store(real.home, durable=False)
    theirs.bentos.import_archive(tmp_path / "a.bento")
    use(theirs.models.get("clf").path, theirs.bentos.get("hi").path / "src")
    exported = real.directory / "theirs.bento"
    real.run("export", "hi:v1", str(exported))
    store.bentos.delete("hi")
    if not has_manifest:
        (store.home.records(MODEL) / "clf/v1").unlink()
    done = store.bentos.import_archive(exported)
    assert [str(tag) for tag in done.known] == ["clf:v1"]
    assert not store.diff("hi", str(exported))


def test_a_model_is_built_without_bytecode(store, tmp_path):
    used(store, tmp_path)
    entry = store.models.get("clf")
    [clean, dirty] = [tmp_path / name for name in ("clean", "dirty")]
    for directory in (clean, dirty):
        shutil.copytree(entry.path, directory / "clf/v1")
    shutil.rmtree(clean / "clf/v1/__pycache__")
    (clean / "clf/v1/.DS_Store").unlink()
    read = [model_store.read(directory, "clf:v1").entry for directory in (clean, dirty)]
    assert read[0] == read[1]
    archive = write_archive(tmp_path / "m.bentomodel", CODE["clf:v1"] | {"__pycache__/a.pyc": b"EVIL"})
    unpacked = model_store.from_files(model_store.unpack_model(archive, archive.name, tmp_path / "u"), "m")
    assert unpacked.entry == read[0]


@pytest.mark.parametrize("has_manifest", [True, False])
def test_a_descriptor_in_another_form_is_the_same_model(store, tmp_path, has_manifest):
    """With a comment, with another creation time, or without permissions, as other tools and days write it."""
    store.bentos.import_archive(write_archive(tmp_path / "a.bento", FILES))
    if not has_manifest:
        (store.home.records(MODEL) / "clf/v1").unlink()
    for number, text in enumerate([model_yaml() + b"# reviewed\n", model_yaml(created=DAY_3)]):
        files = bento_files(f"hi:n{number}", models={"clf:v1": CODE["clf:v1"] | {"model.yaml": text}})
        done = store.bentos.import_archive(write_archive(tmp_path / "b.bento", files))
        assert [str(tag) for tag in done.known] == ["clf:v1"]
    files = bento_files("hi:x", models={"clf:v1": CODE["clf:v1"] | {"model.yaml": model_yaml(labels={"a": "b"})}})
    with pytest.raises(BentoError, match=r"b\.bento: the store contains another model clf:v1\. .* add --force"):
        store.bentos.import_archive(write_archive(tmp_path / "b.bento", files))
    assert (store.models.get("clf").path / "model.yaml").read_bytes() == CODE["clf:v1"]["model.yaml"]


def test_an_invalid_model_is_another_model_that_force_replaces(store, tmp_path):
    archive = write_archive(tmp_path / "a.bento", FILES)
    store.bentos.import_archive(archive)
    store.bentos.delete("hi")
    (store.models.get("clf").path / "model.yaml").unlink()
    with pytest.raises(BentoError, match=r"the store contains another model clf:v1"):
        store.bentos.import_archive(archive)
    store.bentos.import_archive(archive, options=Options(replace=True))
    assert tree(store.models.get("clf").path) == expected(CODE["clf:v1"])


def test_values_of_older_descriptors_have_an_identity():
    files = TreeManifest.of([])
    plain = content_identity({"models": ["a:1"], "services": [{"name": "S", "models": None}]}, files.entries, ())
    assert plain == content_identity({"models": ["a:1"], "services": [{"name": "S", "models": []}]}, files.entries, ())
    assert plain != content_identity({"models": ["a:2"]}, files.entries, ())
