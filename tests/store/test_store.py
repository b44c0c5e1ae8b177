"""The store: what is in it, that BentoML sees the same, and that nothing is ever half there."""

from __future__ import annotations

import datetime as dt
import errno
import json
import os
import random
import re
import shutil
import time
import tracemalloc
from itertools import count
from pathlib import Path

import pytest
import yaml
from bento_cli.cli import main, show, status
from bento_cli.library import BENTO, MODEL, Limits, NotFoundError, Options, Store
from bento_cli.sharing.registry import layouts
from bento_cli.store import delete, import_manifests, shared_contents, verification
from bento_cli.store.entry_store import Summary
from bento_cli.store.home import commit_lock, staging_lock
from bento_cli.store.import_session import import_session
from hypothesis import given, settings
from hypothesis import strategies as st
from rules_bento.base.errors import BentoError
from rules_bento.base.tag import Tag
from rules_bento.bentos.assembly import bento_yaml as descriptors

from tests.helpers.store_support import (
    DAY_1,
    DAY_2,
    DAY_3,
    WRITING,
    Conversation,
    ask,
    bento,
    bento_files,
    bento_yaml,
    copy_of,
    expected,
    forked,
    in_children,
    killed_at,
    model_files,
    model_yaml,
    run_command,
    tree,
    write_archive,
)

__all__ = ["bento"]

CLF = {"clf:v1": model_files()}
BOTH = {**CLF, "clf:v2": model_files("clf:v2", DAY_2, b"other weights" * 300)}


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "home", durable=False)


def no_reflink(*_, **__):
    raise OSError(errno.EOPNOTSUPP, "not here")


@pytest.fixture
def linked(monkeypatch):
    """For what is so where files are shared by hard links; some file systems have something better."""
    monkeypatch.setattr(shared_contents, "_clone", no_reflink)


def put(store, tag="hi:v1", created=DAY_1, models=(), options=None, **extra):
    """Import a Bento."""
    files = bento_files(tag, created, models, **extra)
    path = write_archive(store.home.root.parent / f"{tag.replace(':', '-')}.bento", files)
    return store.bentos.import_archive(path, options=options)


def put_directory(store, files=(), links=()):
    """Import a folder with a bento.yaml."""
    directory = store.home.root.parent / "hi"
    (directory / "src").mkdir(parents=True, exist_ok=True)
    (directory / "bento.yaml").write_bytes(bento_yaml())
    for path in files:
        (directory / path).write_text("same")
    for path, target in dict(links).items():
        (directory / path).symlink_to(target)
    return store.bentos.import_archive(directory).entry


def inodes(entry):
    files = (path for path in entry.path.rglob("*") if path.is_file())
    return {path.relative_to(entry.path).as_posix(): path.stat().st_ino for path in files}


def pooled(store):
    return [path for path in store.home.pool.rglob("*") if path.is_file()]


# ---- Import, list, get, delete ----------------------------------------------------------------------------------


def test_an_archive_becomes_entries(store):
    done = put(store, models=BOTH)
    assert str(done.entry.tag) == "hi:v1"
    assert [str(model.tag) for model in done.models] == ["clf:v1", "clf:v2"]
    assert tree(done.entry.path) == expected(bento_files()) | {"bento.yaml": (bento_yaml(models=BOTH), False)}
    assert tree(store.models.get("clf:v1").path) == expected(CLF["clf:v1"])
    assert store.bentos.get("hi").path == store.home.root / "bentos/hi/v1"
    assert (store.home.root / "bentos/hi/latest").read_text() == "v1"
    assert (store.home.root / "models/clf/latest").read_text() == "v2"
    assert done.entry.path.stat().st_mode & 0o777 == 0o700, "as BentoML's"
    assert not list(store.home.staging.iterdir())


OTHER = [
    {"clf:v1": model_files(payload=b"changed")},
    {"clf:v1": model_files() | {"more": b""}},
    {"clf:v1": model_files(payload=b"") | {"weights.bin": b""}},
]


@pytest.mark.parametrize("other", OTHER)
@pytest.mark.parametrize("has_manifest", [True, False])
def test_another_model_with_the_same_tag_is_an_error(store, other, has_manifest):
    """A Bento with a verified digest must not use another model."""
    put(store, models=CLF)
    if not has_manifest:  # as for a model that BentoML built
        (store.home.records(MODEL) / "clf/v1").unlink()
    done = put(store, "hi:v2", models=CLF)
    assert (done.models, done.known, done.notes) == ((), (Tag("clf", "v1"),), ())
    with pytest.raises(BentoError, match=r"hi-v3.bento: the store contains another model clf:v1. .* add --force"):
        put(store, "hi:v3", models=other)
    assert tree(store.models.get("clf:v1").path) == expected(CLF["clf:v1"])
    assert not store.bentos.list("hi:v3")
    done = put(store, "hi:v3", models=other, options=Options(replace=True))
    assert done.notes == ("The model clf:v1 in the store was replaced.",)
    assert tree(store.models.get("clf:v1").path) == expected(other["clf:v1"])
    done = put(store, "hi:v4", models=other, options=Options(replace=True))
    assert (done.models, done.known, done.notes) == ((), (Tag("clf", "v1"),), ())
    assert not store.verify().damages


def test_another_model_that_was_imported_meanwhile_is_an_error(store):
    """Two archives in one session."""
    with import_session(store.home, Options()) as session:
        staged = []
        for version, models in (("v1", CLF), ("v2", OTHER[0])):
            path = write_archive(store.home.root.parent / version, bento_files(f"hi:{version}", DAY_1, models))
            staged.append(session.stage(BENTO, path, "xz"))
        with pytest.raises(BentoError, match="v2: the store contains another model clf:v1"):
            session.commit(staged)
    assert store.models.list() == store.bentos.list() == ()


def test_latest_is_the_newest_by_creation_time(store):
    put(store, "hi:b", DAY_2)
    put(store, "hi:a", DAY_1)
    assert str(store.bentos.get("hi").tag) == "hi:b"
    put(store, "hi:c", DAY_2)
    assert str(store.bentos.get("hi:latest").tag) == "hi:c", "equal is new enough"
    store.bentos.delete("hi:c")
    assert str(store.bentos.get("hi").tag) == "hi:b"
    (store.home.root / "bentos/hi/latest").write_text("gone")
    assert str(store.bentos.get("hi").tag) == "hi:b"
    assert (store.home.root / "bentos/hi/latest").read_text() == "b"


def test_the_latest_pointer_is_never_incomplete(store, full_disk):
    """It is put right by who reads it, whose disk may be full: BentoML takes an empty one, or `v1` of `v12`, for it."""
    put(store, "hi:v12", DAY_1)
    pointer = store.home.root / "bentos/hi/latest"
    for there in ("gone", ""):
        pointer.write_text(there)
        with full_disk(2):
            assert str(store.bentos.get("hi").tag) == "hi:v12"
        assert pointer.read_text() == there
    pointer.unlink()
    with full_disk(0):
        assert str(store.bentos.get("hi").tag) == "hi:v12"
    assert not pointer.exists()


def test_a_prefix_is_enough_if_only_one_has_it(store):
    for version in "abc1", "abd1", "abd":
        put(store, f"hi:{version}")
    assert str(store.bentos.get("hi:abc").tag) == "hi:abc1"
    assert str(store.bentos.get("HI:ABD").tag) == "hi:abd"
    with pytest.raises(BentoError, match="multiple versions match: abc1, abd, abd1"):
        store.bentos.get("hi:ab")
    for text in "hi:x", "ho", "ho:v1":
        with pytest.raises(NotFoundError, match=text):
            store.bentos.get(text)
    for text in "hi:", "a/b", "", "hi:a+b":
        with pytest.raises(BentoError):
            store.bentos.get(text)


def test_listing(store):
    assert store.bentos.list() == ()
    for tag in "hi:v1", "hi:v2", "ho:v1":
        put(store, tag)
    tags = lambda text="": [str(entry.tag) for entry in store.bentos.list(text)]  # noqa: E731
    assert (tags(), tags("hi")) == (["hi:v1", "hi:v2", "ho:v1"], ["hi:v1", "hi:v2"])
    assert (tags("hi:v2"), tags("hi:v"), tags("hi:latest")) == (["hi:v2"], [], ["hi:v2"])
    assert not store.bentos.entry_store.list("hi:latest").problems
    with pytest.raises(NotFoundError):
        store.bentos.list("he")


def test_directories_that_are_no_entries_are_reported_and_passed_over(store):
    put(store)
    (store.home.root / "bentos/hi/half").mkdir()
    (store.home.root / "bentos/bad/v1").mkdir(parents=True)
    (store.home.root / "bentos/bad/v1/bento.yaml").write_text("- no mapping")
    listing = store.bentos.entry_store.list()
    assert [str(entry.tag) for entry in listing.entries] == ["hi:v1"]
    assert len(listing.problems) == 2
    assert str(store.bentos.get("hi").tag) == "hi:v1"


@pytest.mark.parametrize("place", ["bentos", "bentos/hi"])
def test_files_and_links_among_the_entries_are_reported_and_passed_over(store, capsys, place):
    """BentoML ignores them."""
    put(store, models=CLF)
    directory = store.home.root / place
    (directory / "loop").symlink_to("loop")
    (directory / "dangling").symlink_to("nowhere")
    os.mkfifo(directory / "pipe")
    (directory / "file").write_text("x")
    (directory / ".DS_Store").write_text("x")
    names = ["dangling", "file", "loop", "pipe"]
    strays = [f"{directory / name} isn't a directory. Remove the file or link from the store." for name in names]
    listing = store.bentos.entry_store.list()
    assert ([str(entry.tag) for entry in listing.entries], listing.problems) == (["hi:v1"], ())
    assert list(listing.strays) == strays
    run_command(store, "list", "-o", "path")
    assert capsys.readouterr() == (
        f"{directory.parents[place.count('/')]}/bentos/hi/v1\n",
        "".join(f"note: {text}\n" for text in strays),
    )
    for name in names:
        for tag in (f"{name}:v1", name, f"{name}:latest", f"hi:{name}"):
            run_command(store, "get", tag, code=status.NOT_FOUND)
            assert "contains no Bento with this" in capsys.readouterr().err
    assert store.verify().damages == ()
    assert store.gc().files == 0
    assert store.models.delete("clf", force=True)


@pytest.mark.parametrize("name", ["bento.yaml", "latest"])
def test_a_pipe_in_an_entry_blocks_nothing(store, name):
    put(store, "hi:v1")
    put(store, "ho:v1")
    for kind in ("hi", "ho"):  # with a manifest, and without
        place = store.home.root / "bentos" / kind / ("v1" if name == "bento.yaml" else "") / name
        place.unlink()
        os.mkfifo(place)
    (store.home.records(BENTO) / "ho/v1").unlink()
    put(store, "hu:v1")
    listing = store.bentos.entry_store.list()
    assert len(listing.problems) == (2 if name == "bento.yaml" else 0)
    assert all("cannot read bento.yaml (not a regular file)" in text for text in listing.problems)
    assert "hu:v1" in [str(entry.tag) for entry in listing.entries]
    run_command(store, "get", "hi", code=status.ERROR if name == "bento.yaml" else 0)
    run_command(store, "verify", code=status.FOUND if name == "bento.yaml" else 0)
    run_command(store, "gc")
    run_command(store, "delete", "hi:v1", "-y", code=status.ERROR if name == "bento.yaml" else 0)
    put(store, "hi:v2")
    assert str(store.bentos.get("hi").tag) == "hi:v2"


def test_a_directory_that_cannot_be_read_is_reported_and_passed_over(store, monkeypatch):
    put(store, "hi:v1")
    put(store, "ho:v1")
    scandir = os.scandir

    def denied(path):
        if Path(path) == store.home.root / "bentos/ho":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", denied)
    listing = store.bentos.entry_store.list()
    assert [str(entry.tag) for entry in listing.entries] == ["hi:v1"]
    assert "bentos/ho: cannot read the directory: Permission denied. Check its permissions." in listing.strays[0]


def test_sizes_are_those_of_bentoml_if_links_are_odd(store, real):
    put(Store(real.home, durable=False))
    source = real.home / "bentos/hi/v1/src"
    (source / "loop").symlink_to("loop")
    (source / "dangling").symlink_to("nowhere")
    (source / "same").symlink_to("service.py")
    (source / "up").symlink_to("..")
    os.mkfifo(source / "pipe")
    [row] = real.json("list")
    assert show.size(Store(real.home).bentos.get("hi").size()) == row["size"]


def test_deleting(store):
    put(store, "hi:v1", DAY_1, CLF)
    put(store, "hi:v2", DAY_2, CLF)
    put(store, "ho:v1")
    with pytest.raises(BentoError, match=r"clf:v1: the model is in use by hi:v1, hi:v2\."):
        store.models.delete("clf:v1")
    assert [str(entry.tag) for entry in store.bentos.delete("hi")] == ["hi:v1", "hi:v2"]
    assert not (store.home.root / "bentos/hi").exists()
    store.models.delete("clf:v1")
    assert not (store.home.root / "models/clf").exists()
    with pytest.raises(NotFoundError):
        store.bentos.delete("hi:v1")
    assert [str(entry.tag) for entry in store.bentos.list()] == ["ho:v1"]
    assert not list(store.home.trash.iterdir())


def test_a_tag_of_an_entry_is_accepted_as_its_text(store, tmp_path):
    put(store, models=CLF)
    tag = store.bentos.get("hi:v1").tag
    assert store.bentos.export(tag, str(tmp_path / "x.bento")).path == tmp_path / "x.bento"
    assert [each.tag for each in store.bentos.list(tag)] == [tag]
    assert [each.tag for each in store.bentos.delete(tag)] == [tag]


def test_a_deletion_is_complete_or_not_at_all(store):
    put(store, "hi:v1", DAY_1, BOTH)
    for tag in "hi:v2", "hi:v3", "ho:v1":
        put(store, tag, DAY_2)
    with pytest.raises(NotFoundError):
        store.bentos.delete("ho", "hi:v2", "hi:v9")
    store.models.get("clf:v2")
    with pytest.raises(BentoError, match="clf:v1: the model is in use by hi:v1"):
        store.models.delete("clf:v2", "clf:v1")
    assert (len(store.bentos.list()), len(store.models.list())) == (4, 2)
    assert [str(entry.tag) for entry in store.bentos.delete("ho", "hi:v1", "hi:v2", "hi:v1")] == [
        "ho:v1",
        "hi:v1",
        "hi:v2",
    ]
    assert [str(entry.tag) for entry in store.bentos.list()] == ["hi:v3"]


def test_paths_and_addresses(store, tmp_path, monkeypatch):
    write_archive(tmp_path / "a.bento", bento_files())
    monkeypatch.chdir(tmp_path)
    store.bentos.import_archive("a.bento")
    assert store.bentos.export("hi", f"file://{tmp_path}/b.bento").path == tmp_path / "b.bento"
    with pytest.raises(BentoError, match="invalid or chained URL"):
        store.bentos.import_archive("simplecache::s3://a/b")


# ---- The pool ---------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("linked")
def test_two_versions_cost_one_copy(store):
    one = put(store, "hi:v1", models=CLF).entry
    other = put(store, "hi:v2", src__new=b"new").entry
    shared = {path for path, inode in inodes(one).items() if inodes(other).get(path) == inode}
    assert shared == {"README.md", "env/docker/entrypoint.sh", "src/service.py"}
    model = store.models.get("clf").path / "weights.bin"
    assert model.stat().st_nlink == 2, "in the pool"
    entries = import_manifests.read(store.home, MODEL, Tag("clf", "v1"), model.parent).entries
    [digest] = [file.blake3 for file in entries if file.path == "weights.bin"]
    assert (store.home.pool / digest[:2] / digest[2:]).samefile(model)


@pytest.mark.usefixtures("linked")
def test_what_bentoml_or_users_write_to_is_not_shared(store):
    entries = [put(store, f"hi:v{number}", DAY_1).entry for number in (1, 2)]
    for path in "bento.yaml", "env/docker/Dockerfile", "src/package/__init__.py":
        assert [(entry.path / path).stat().st_nlink for entry in entries] == [1, 1]
        assert entries[0].path.joinpath(path).stat().st_mode & 0o777 == 0o644
    shared = entries[0].path / "env/docker/entrypoint.sh"
    assert shared.stat().st_mode & 0o777 == 0o555
    assert (entries[0].path / "README.md").stat().st_mode & 0o777 == 0o444


@pytest.mark.usefixtures("linked")
def test_the_umask_of_an_import_changes_no_file_of_other_entries(store):
    large = {"src__large": b"large" * 300_000, "src__run.sh": b"#!/bin/sh\n"}
    modes = []
    for number, umask in enumerate((0o077, 0o022, 0, 0o027)):
        before = os.umask(umask)
        try:
            entry = put(store, f"hi:v{number}", **large).entry
        finally:
            os.umask(before)
        shared = ("src/service.py", "src/large", "src/run.sh")
        modes.append([entry.path.joinpath(path).stat().st_mode & 0o777 for path in shared])
    assert modes == [[0o444, 0o444, 0o555]] * 4
    assert inodes(store.bentos.get("hi:v0"))["src/large"] == inodes(entry)["src/large"]
    for path in pooled(store):  # as an earlier version wrote files
        path.chmod(0o400)
    entry = put(store, "hi:v4", **large).entry
    assert [entry.path.joinpath(path).stat().st_mode & 0o777 for path in shared] == modes[0]
    assert store.verify().damages == ()


@pytest.mark.usefixtures("linked")
def test_a_file_that_was_changed_in_place_enters_no_other_entry(store):
    """Its size is the same, so that only its time says that something else wrote to it."""
    one = put(store, "hi:v1", src__text=b"hello").entry.path / "src/text"
    one.chmod(0o644)
    with one.open("r+b") as file:
        file.write(b"HELLO")
    one.chmod(0o444)
    other = put(store, "hi:v2", src__text=b"hello").entry.path / "src/text"
    assert (one.read_bytes(), other.read_bytes()) == (b"HELLO", b"hello")


def test_executable_and_plain_files_of_one_content_are_apart(store, tmp_path):
    (tmp_path / "hi").mkdir()
    for name, mode in (("a", 0o644), ("b", 0o755)):
        (tmp_path / "hi" / name).write_text("same")
        (tmp_path / "hi" / name).chmod(mode)
    entry = put_directory(store)
    assert [bool((entry.path / name).stat().st_mode & 0o100) for name in "ab"] == [False, True]
    assert store.verify().changes == ()


LINK = os.link


def no_link(*names, **directories):
    """Only a new file of `atomic_file` gets its name."""
    if directories:
        return LINK(*names, **directories)
    raise PermissionError(errno.EPERM, "not here")


def test_where_nothing_can_be_shared_files_are_copied(store, monkeypatch):
    monkeypatch.setattr(shared_contents, "_clone", no_reflink)
    monkeypatch.setattr(os, "link", no_link)
    one, other = (put(store, f"hi:v{number}", models=CLF).entry for number in (1, 2))
    assert not set(inodes(one).values()) & set(inodes(other).values())
    assert not pooled(store)
    assert tree(one.path)["src/service.py"] == (b"import bentoml\n", False)
    assert (one.path / "README.md").stat().st_mode & 0o777 == 0o644
    assert store.verify().damages == ()
    store.bentos.delete("hi:v1")
    assert store.gc().files == 0


def clone(source, target, digest, *, executable):
    """What stands for a copy that shares blocks, where the file system has none."""
    shared_contents.write(target, [Path(source).read_bytes()], executable=executable)


def test_blocks_are_shared_where_the_file_system_can(store, monkeypatch):
    monkeypatch.setattr(shared_contents, "_clone", clone)
    one, other = (put(store, f"hi:v{number}", models=CLF, src__big=b"big" * 500_000).entry for number in (1, 2))
    assert not set(inodes(one).values()) & set(inodes(other).values())
    assert pooled(store)
    assert (one.path / "README.md").stat().st_mode & 0o777 == 0o644, "writable: it is the entry's own"
    (one.path / "README.md").write_text("changed")
    assert [finding.path for finding in store.verify().damages] == ["README.md"]
    before = len(pooled(store))
    store.bentos.delete("hi:v1")
    assert len(pooled(store)) == before
    assert store.gc().files == 1, "what only the first had"
    assert store.verify().damages == ()
    store.bentos.delete("hi:v2")
    store.models.delete("clf")
    store.gc()
    assert not pooled(store)


def test_entries_can_have_files_of_their_own(store):
    put(store)
    other = put(store, "hi:v2", options=Options(share=False)).entry
    assert {path.stat().st_nlink for path in other.path.rglob("*") if path.is_file()} == {1}
    (other.path / "README.md").write_text("changed")
    assert (store.bentos.get("hi:v1").path / "README.md").read_text() == "# hi\n"


@pytest.mark.usefixtures("linked")
def test_a_file_with_too_many_names_gets_another_place(store, monkeypatch):
    put(store, "hi:v1")
    link = os.link

    def full(source, target, **directories):
        if not directories and Path(source).stat().st_nlink > 1 and not Path(target).is_relative_to(store.home.pool):
            raise OSError(errno.EMLINK, "too many links")
        link(source, target, **directories)

    monkeypatch.setattr(os, "link", full)
    second = put(store, "hi:v2").entry
    monkeypatch.undo()
    third = put(store, "hi:v3").entry
    assert inodes(second)["src/service.py"] == inodes(third)["src/service.py"]
    assert store.verify().damages == ()


@pytest.mark.usefixtures("linked")
def test_delete_and_gc_keep_what_others_use(store):
    for number, created in enumerate((DAY_1, DAY_2, DAY_3)):
        put(store, f"hi:v{number}", created, CLF, src__own=f"{number}".encode(), src__shared=b"shared")
    files = len(pooled(store))
    store.bentos.delete("hi:v1")
    assert len(pooled(store)) == files - 2, "its own file, and the table that names it"
    assert store.gc() == store.gc(dry_run=True)
    shutil.rmtree(store.home.root / "bentos/hi/v2")  # as BentoML deletes
    assert store.gc(dry_run=True).files == 2
    collected = store.gc()
    assert (collected.files, collected.records) == (2, 1)
    assert store.verify().damages == ()
    assert tree(store.bentos.get("hi:v0").path)["src/own"] == (b"0", False)
    store.bentos.delete("hi:v0")
    store.models.delete("clf")
    assert not pooled(store)
    assert not list(store.home.records(BENTO).iterdir())


def test_every_earlier_version_stays_exact(store):
    versions = {}
    chance = random.Random(5)
    for number in range(6):
        extra = {f"src__f{n}": f"{chance.randrange(3)}".encode() * 50 for n in range(8)}
        entry = put(store, f"hi:v{number}", **extra).entry
        versions[str(entry.tag)] = tree(entry.path)
        for tag, files in versions.items():
            assert tree(store.bentos.get(tag).path) == files
        if number % 2:
            gone = chance.choice(sorted(versions))
            store.bentos.delete(gone)
            del versions[gone]
            store.gc()
    assert store.verify().damages == ()


# ---- Verifying --------------------------------------------------------------------------------------------------


def damage(path, change):
    mode, times = path.lstat().st_mode, path.lstat()
    if change == "flip":
        path.chmod(0o644)
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 4
        with path.open("r+b") as file:
            file.write(data)
        path.chmod(mode)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))  # as a disk does it
    elif change == "remove":
        path.unlink()
    elif change == "grow":
        path.chmod(0o644)
        with path.open("ab") as file:
            file.write(b"x")
    elif change == "folder":
        path.unlink()
        path.mkdir()


@pytest.mark.parametrize(
    ("change", "problem"),
    [("flip", "contents changed"), ("remove", "is missing"), ("grow", "bytes, not"), ("folder", "is no longer a file")],
)
@pytest.mark.parametrize("path", ["src/package/data.csv", "bento.yaml", "env/docker/Dockerfile"])
def test_damage_is_found_and_named(store, change, problem, path):
    put(store, "hi:v1", models=CLF)
    put(store, "hi:v2", models=CLF)
    entry = store.bentos.get("hi:v2")
    damage(entry.path / path, change)
    found = store.verify(entry)
    assert [(finding.noun, finding.tag, finding.path) for finding in found.damages] == [("Bento", "hi:v2", path)]
    assert problem in found.damages[0].problem
    assert store.verify(store.bentos.get("hi:v1"), store.models.get("clf")).damages == ()
    with pytest.raises(BentoError, match=r"damaged|bento\.yaml"):
        store.bentos.export("hi:v2", store.home.root / "out.bento")


def test_damage_in_the_pool_alone_is_found_and_collected(store):
    put(store, src__only=b"only here")
    [place] = [path for path in pooled(store) if path.read_bytes() == b"only here"]
    shutil.rmtree(store.home.root / "bentos/hi")
    damage(place, "flip")
    assert [finding.noun for finding in store.verify().damages] == ["pool"]
    store.gc()
    assert store.verify().damages == ()


def test_changes_that_lose_nothing_are_distinguished(store):
    entry = put(store).entry
    (entry.path / "src/__pycache__").mkdir()
    (entry.path / "src/__pycache__/service.cpython-311.pyc").write_bytes(b"x")
    (entry.path / "src/new").write_bytes(b"x")
    (entry.path / "README.md").chmod(0o755)
    found = store.verify()
    assert (found.damages, found.unknown) == ((), ())
    changes = {finding.path: finding.problem for finding in found.changes}
    assert changes == {"src/new": "was added", "README.md": "is now executable"}


def test_links_are_verified(store):
    entry = put_directory(store, links={"src/a": "b"})
    assert store.verify().damages == ()
    (entry.path / "src/a").unlink()
    (entry.path / "src/a").symlink_to("c")
    assert [finding.problem for finding in store.verify().damages] == ["is a link to 'c', not to 'b'"]
    (entry.path / "src/a").unlink()
    (entry.path / "src/a").write_text("b")
    assert [finding.problem for finding in store.verify().damages] == ["is no longer a link"]


def test_what_another_program_made_is_unknown_and_not_damaged(store):
    entry = put(store).entry
    shutil.copytree(entry.path, store.home.root / "bentos/hi/v1x")
    (store.home.root / "bentos/hi/v1x/bento.yaml").write_bytes(bento_yaml("hi:v1x"))
    assert store.verify().unknown == ("hi:v1x",)
    shutil.rmtree(entry.path)
    shutil.copytree(store.home.root / "bentos/hi/v1x", entry.path, copy_function=shutil.copy)  # as BentoML copies
    (entry.path / "bento.yaml").write_bytes(bento_yaml(created=DAY_3))
    assert store.verify().unknown == ("hi:v1", "hi:v1x"), "deleted and made anew"
    store.gc()
    assert not list(store.home.records(BENTO).glob("*"))


@pytest.mark.parametrize("action", ["delete", "replace", "partly delete", "delete from the pool"])
def test_other_commands_damage_nothing_that_is_verified(store, monkeypatch, action):
    """Each action happens after the entries are listed, and before a file is read."""
    put(store, models=CLF)
    store.models.delete("clf:v1", force=True)
    if action == "partly delete":  # as BentoML deletes, file by file
        (store.bentos.get("hi:v1").path / "bento.yaml").unlink()
    if action == "delete from the pool":
        shared_contents.Pool(store.home.pool, store.home.staging, "link").put(
            b"unused", str(store.home.root / "x"), executable=False
        )
        (store.home.root / "x").unlink()
    done = []

    def act(*_):
        if not done:
            done.append(1)
            if action == "delete":
                store.bentos.delete("hi:v1")
            elif action == "replace":
                put(store, options=Options(replace=True), src__service=b"another")
            elif action == "partly delete":
                shutil.rmtree(store.home.root / "bentos/hi/v1")

    def walk(directory, **options):
        for path, entry in real_walk(directory, **options):
            if action == "delete from the pool" and directory == store.home.pool and entry.is_file():
                Path(entry.path).unlink()
                done.append(1)
            yield path, entry

    real_walk, real_of, real_verify = verification.walk, verification._Digests.of, verification.verify
    monkeypatch.setattr(verification, "walk", walk)
    monkeypatch.setattr(verification._Digests, "of", lambda *arguments: (act(), real_of(*arguments))[1])
    if action == "partly delete":
        monkeypatch.setattr(
            verification, "verify", lambda *arguments, **settings: (act(), real_verify(*arguments, **settings))[1]
        )
    assert store.verify().damages == ()
    assert done


def test_a_damaged_record_is_reported_and_can_be_deleted(store):
    put(store)
    (store.home.records(BENTO) / "hi/v1").write_text("{")
    [finding] = store.verify().damages
    assert "cannot read the manifest" in finding.problem
    store.gc()
    assert len(store.bentos.list()) == 1
    store.bentos.delete("hi:v1")
    assert not store.bentos.list()


# ---- Summaries --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: b"\xff\xfe" + text,
        lambda text: b"\0" * 4096,
        lambda text: b"[" * 100_000,
        lambda text: b"[]",
        lambda text: text[:20],
        lambda text: text.replace(b'"hi:v1"', b"5"),
        lambda text: text.replace(b'"hi:v1"', b'"Not A Name"'),
        lambda text: text.replace(b"2026-", b"999999-"),
        lambda text: text.replace(b'"2026-', b'2026,"'),
        lambda text: text.replace(b'"hi:v1"', b'"h\\ud800"'),
    ],
)
def test_damaged_summaries_are_replaced(store, damage):
    put(store)
    put(store, "hi:v2")
    store.bentos.list()
    place = store.home.summaries(BENTO)
    whole = place.read_bytes()
    place.write_bytes(damage(whole))
    assert [str(entry.tag) for entry in Store(store.home.root).bentos.list()] == ["hi:v1", "hi:v2"]
    assert place.read_bytes() == whole


def test_a_store_that_is_read_only_is_listed(store, monkeypatch):
    put(store)
    (store.home.root / "bentos/hi/latest").unlink()

    def read_only(*_):
        raise PermissionError(errno.EROFS, "read-only")

    real_open = os.open
    monkeypatch.setattr(
        os, "open", lambda path, flags, *mode: read_only() if flags & WRITING else real_open(path, flags)
    )
    monkeypatch.setattr(Path, "write_text", read_only)
    assert len(store.bentos.list()) == 1
    assert str(store.bentos.get("hi").tag) == "hi:v1"


# ---- Descriptors, beside BentoML --------------------------------------------------------------------------------

PARSE = """
import io, logging
logging.disable(logging.CRITICAL)
from bentoml._internal.bento.bento import BaseBentoInfo
from bentoml._internal.models.model import ModelInfo
def answer(question):
    kind, text = question
    try:
        document = (BaseBentoInfo if kind == "bentos" else ModelInfo).from_yaml_file(io.StringIO(text)).to_dict()
        return __import__("json").loads(__import__("json").dumps(document, default=str))
    except BaseException as error:
        return None
"""
SCALARS = st.sampled_from([None, "", "a", "1", 0, 1, 2, 1.5, True, "b:c", "2026-01-01", "2026-01-01T00:00:00Z", "x y"])
VALUE_KEYS = ["name", "service", "tag", "value", "stage", "module", "pip", "url", "foo"]
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(VALUE_KEYS), inner, max_size=3),
    max_leaves=5,
)
BENTO_KEYS = [
    *("service", "bentoml_version", "creation_time", "labels", "models", "entry_service", "services", "envs", "schema"),
    *("args", "spec", "image", "runners", "apis", "docker", "python", "conda", "tag", "foo"),
]
MODEL_KEYS = [
    *("module", "labels", "options", "metadata", "context", "signatures", "api_version", "creation_time", "foo")
]
PARTS = {
    "image": ["base_image", "python_version", "commands", "python_requirements", "post_commands", "build_include"],
    "docker": ["distro", "python_version", "cuda_version", "env", "system_packages", "base_image", "foo"],
    "python": ["requirements_txt", "packages", "no_index", "wheels", "lock_packages", "pip_args", "foo"],
    "conda": ["environment_yml", "channels", "dependencies", "pip"],
    "context": ["framework_name", "framework_versions", "bentoml_version", "python_version", "pip_dependencies"],
}


@st.composite
def documents(draw):
    kind = draw(st.sampled_from([BENTO, MODEL]))
    document = yaml.safe_load(bento_yaml() if kind is BENTO else model_yaml())
    if kind is BENTO:
        document["spec"] = draw(st.sampled_from([1, 2]))
    for key in draw(st.lists(st.sampled_from(BENTO_KEYS if kind is BENTO else MODEL_KEYS), min_size=1, max_size=2)):
        if draw(st.integers(0, 9)) == 0:
            document.pop(key, None)
        elif key in PARTS and draw(st.booleans()):
            document[key] = draw(st.dictionaries(st.sampled_from(PARTS[key]), VALUES, max_size=2))
        else:
            document[key] = draw(VALUES)
    return kind, document


# Texts and mappings where a list belongs, and such: taken apart by BentoML, and meant by nobody.
STRICTER = (
    *("expected a list", "expected a mapping", "expected a string", "expected two integers"),
    "BentoML doesn't allow null in metadata",
)


def without_times(document):
    """A document without what BentoML fills in from the clock, the machine and its own version."""
    text = json.dumps(document)
    for key in "creation_time", "bentoml_version", "python_version":
        text = re.sub(f'"{key}": ("[^"]*"|null)', f'"{key}": ""', text)
    return text


def test_descriptors_are_taken_as_bentoml_takes_them(real):
    asked = []

    @given(documents())
    @settings(max_examples=300, database=None, derandomize=True)
    def collect(question):
        asked.append(question)

    collect()
    texts = [yaml.safe_dump(document, sort_keys=False) for _, document in asked]
    answers = ask(real, PARSE, [[kind.directory, text] for (kind, _), text in zip(asked, texts, strict=True)])
    taken = 0
    for (kind, _), text, answer in zip(asked, texts, answers, strict=True):
        try:
            found = json.loads(json.dumps(descriptors.parse(kind, text.encode(), "here").document, default=str))
        except BentoError as error:
            assert answer is None or any(reason in str(error) for reason in STRICTER), (str(error), text)
            continue
        assert answer is not None, f"BentoML could not list the store any more:\n{text}"
        assert without_times(found) == without_times(answer), "in this order"
        taken += 1
    assert taken > 50


def test_a_tag_of_a_model_that_is_no_text_is_rejected_as_bentoml_rejects_it(real):
    tags = [True, 1, 1.5, None, dt.date(2026, 1, 1), ["a"], {"a": "b"}]
    forms = [["first:one", tag] for tag in tags]
    forms += [[{"tag": tag, "module": "m", "creation_time": "2026-01-01T00:00:00+00:00"}] for tag in tags]
    texts = [yaml.safe_dump(yaml.safe_load(bento_yaml()) | {"spec": 2, "models": models}) for models in forms]
    right, *answers = ask(real, PARSE, [[BENTO.directory, text] for text in [bento_yaml().decode(), *texts]])
    assert right
    assert answers == [None] * len(texts)
    for text in texts:
        with pytest.raises(BentoError, match=r"models\[.\]\.tag: expected a string, got .*\. Correct the value"):
            descriptors.parse(BENTO, text.encode(), "here")


# ---- Together with BentoML --------------------------------------------------------------------------------------

TALK = """
import bentoml, logging, os
logging.disable(logging.CRITICAL)
def shown(call):
    try:
        return call()
    except Exception as error:
        return ["error", type(error).__name__]
def answer(question):
    verb, *rest = question
    if verb == "import":
        return shown(lambda: str(bentoml.bentos.import_bento(*rest).tag))
    if verb == "export":
        return shown(lambda: bentoml.bentos.export_bento(*rest))
    if verb == "delete":
        return shown(lambda: bentoml.bentos.delete(*rest))
    if verb == "models":
        return sorted(str(model.tag) for model in bentoml.models.list())
    if verb == "get":
        return shown(lambda: str(bentoml.bentos.get(*rest).tag))
    bentos = bentoml.bentos.list()
    return [[str(bento.tag), bento.file_size, bento.total_size()] for bento in bentos]
"""


def listed(store):
    sizes = {str(model.tag): model.size() for model in store.models.list()}
    bentos = [(entry, sum(sizes.get(tag, 0) for tag in entry.models)) for entry in store.bentos.list()]
    return [[str(entry.tag), entry.size(), entry.size() + more] for entry, more in bentos]


def ours(call, argument):
    try:
        done = call(argument)
    except BentoError:
        return ["error"]
    return str(done.tag) if hasattr(done, "tag") else "done"


def test_both_work_on_one_store(real, tmp_path):
    store = Store(real.home, durable=False)
    chance = random.Random(8)
    archives = {}
    for version, day in zip("abcdef", (3, 1, 4, 1, 5, 2), strict=True):
        files = bento_files(f"hi:{version}x", f"2026-02-{day:02}T00:00:00+00:00", BOTH if version < "d" else CLF)
        archives[version] = write_archive(tmp_path / f"{version}.bento", files)
    with Conversation(real, TALK) as theirs:
        theirs.ask("list")
        for _ in range(70):
            version = chance.choice("abcdef")
            tag = f"hi:{version}x"
            verb, who = chance.choice(["import", "import", "delete", "export"]), chance.choice(["ours", "theirs"])
            there = store.bentos.entry_store.has(Tag("hi", f"{version}x"))
            if (verb, who) == ("import", "theirs"):
                assert (theirs.ask("import", str(archives[version])) == tag) != there
            elif (verb, who) == ("import", "ours"):
                assert store.bentos.import_archive(archives[version]).new != there
            elif (verb, who) == ("delete", "theirs"):
                assert (theirs.ask("delete", tag) is None) == there
            elif (verb, who) == ("delete", "ours"):
                assert (ours(store.bentos.delete, tag) == "done") == there
            elif there and who == "theirs":
                # What one writes the other reads, and nothing of it stays in the store.
                out = tmp_path / "theirs.bento"
                theirs.ask("export", tag, str(out))
                assert store.diff(tag, str(out)).changed == ()
            elif there:
                store.bentos.export(tag, tmp_path / "ours.bento")
            assert listed(store) == theirs.ask("list")
            assert store.verify().damages == ()
            assert [str(model.tag) for model in store.models.list()] == theirs.ask("models")
            for text in "hi", "hi:latest", f"hi:{version}", tag, "hi:", "ho", "hi:zz":
                answer = theirs.ask("get", text)
                assert ours(store.bentos.get, text) == (["error"] if isinstance(answer, list) else answer)


def test_bentoml_imports_what_is_exported(real, tmp_path):
    store = Store(tmp_path / "ours", durable=False)
    put(store, "hi:v1", models=BOTH, src__data=b"data" * 9999)
    store.home.root.joinpath("bentos/hi/v1/src/empty").mkdir()
    with Conversation(real, TALK) as theirs:
        for name in ("a.bento", "a.xz", "a.gz", "a.tar.gz", "a.bz2", "a.tar", "a.zip", "a"):
            done = store.bentos.export("hi", str(tmp_path / name))
            assert [str(tag) for tag in done.models] == ["clf:v1", "clf:v2"]
            assert theirs.ask("import", str(done.path)) == "hi:v1", name
            here = {path: data for path, (data, _) in tree(store.bentos.get("hi").path).items()}
            assert {path: data for path, (data, _) in tree(real.home / "bentos/hi/v1").items()} == here
            assert theirs.ask("models") == ["clf:v1", "clf:v2"]
            assert (real.home / "bentos/hi/v1/src/empty").is_dir()
            shutil.rmtree(real.home / "bentos/hi")
            shutil.rmtree(real.home / "models/clf")
        directory = store.bentos.export("hi", tmp_path / "folder", "folder").path
        assert theirs.ask("import", str(directory), "folder") == "hi:v1"


NAMES = st.text(st.characters(exclude_characters="/\\\0:", exclude_categories=["Cs"]), min_size=1, max_size=40)
PATHS = st.lists(NAMES.filter(lambda name: name not in (".", "..")), min_size=1, max_size=3).map("/".join)
CONTENT = st.tuples(st.one_of(st.binary(max_size=400), st.sampled_from([b"", b"x" * 3_000_000])), st.booleans())


def apart(paths):
    """Those of the paths that can be files together, on any system."""
    kept = []
    for path in paths:
        folded = path.casefold()
        if not any(f"{other}/".startswith(f"{folded}/") or f"{folded}/".startswith(f"{other}/") for other in kept):
            kept.append(folded)
            yield path


@given(st.dictionaries(PATHS, CONTENT, max_size=5), st.sampled_from(["xz", "gz", "bz2", "zst", "tar", "zip", "folder"]))
@settings(max_examples=80)
def test_what_is_exported_comes_back_the_same(tmp_path_factory, files, form):
    directory = tmp_path_factory.mktemp("round")
    source = directory / "source"
    (source / "src/empty").mkdir(parents=True)
    (source / "bento.yaml").write_bytes(bento_yaml())
    for path in apart(files):
        (source / "src/x" / path).parent.mkdir(parents=True, exist_ok=True)
        (source / "src/x" / path).write_bytes(files[path][0])
        (source / "src/x" / path).chmod(0o755 if files[path][1] else 0o644)
    options = Options(limits=Limits(same_letters=True))
    one, other = Store(directory / "one", durable=False), Store(directory / "other", durable=False)
    entry = one.bentos.import_archive(source, options=options).entry
    done = one.bentos.export("hi", directory / "out", form)
    again = one.bentos.export("hi", directory / "again", form)
    copy = other.bentos.import_archive(done.path, form, options).entry
    assert tree(copy.path) == tree(entry.path) == tree(source)
    assert (copy.path / "src/empty").is_dir()
    assert other.verify().damages == ()
    if form != "folder":
        assert done.path.read_bytes() == again.path.read_bytes()
    shutil.rmtree(directory)


def test_links_travel_but_not_in_a_zip(store, tmp_path):
    put_directory(store, links={"src/a": "../bento.yaml"})
    other = Store(tmp_path / "other", durable=False)
    for form in "xz", "folder":
        out = store.bentos.export("hi", tmp_path / f"out-{form}", form).path
        assert tree(other.bentos.import_archive(out, form).entry.path) == tree(tmp_path / "hi")
        other.bentos.delete("hi")
    with pytest.raises(BentoError, match="src/a: `bentoml import` rejects"):
        store.bentos.export("hi", tmp_path / "out.zip")
    assert not (tmp_path / "out.zip").exists()


def test_exports_that_fail_leave_nothing(store, tmp_path, monkeypatch):
    put(store, models=CLF)
    before = sorted(tmp_path.iterdir())
    (store.home.root / "bentos/hi/v1/src/absolute").symlink_to("/etc/hosts")
    with pytest.raises(BentoError, match="src/absolute"):
        store.bentos.export("hi", tmp_path / "out.bento")
    (store.home.root / "bentos/hi/v1/src/absolute").unlink()
    gone = store.home.root / "bentos/hi/v1/src/service.py"
    gone.unlink()
    gone.symlink_to("/proc/nothing")
    for form in "xz", "folder":
        with pytest.raises(BentoError):
            store.bentos.export("hi", tmp_path / "out", form, check=False)
    store.models.delete("clf", force=True)
    with pytest.raises(NotFoundError, match="the required model .* isn't in the store"):
        store.bentos.export("hi", tmp_path / "out.bento", check=False)
    assert sorted(tmp_path.iterdir()) == before


SERVICE = b"""\
import bentoml
from pathlib import Path
@bentoml.service
class Hi:
    weights = bentoml.models.BentoModel("clf:v1")
    @bentoml.api
    def length(self, text: str) -> list[int]:
        return [len(text), Path(self.weights.path_of("weights.bin")).stat().st_size]
"""


def test_bentoml_serves_what_is_imported(real, tmp_path):
    from tests.conftest import post

    store = Store(real.home)
    files = bento_files(models=CLF) | {"src/service.py": SERVICE}
    store.bentos.import_archive(write_archive(tmp_path / "a.bento", files))
    with real.serve("hi:v1") as address:
        assert post(f"{address}/length", {"text": "hello"}) == [5, len(model_files()["weights.bin"])]
    assert store.verify().damages == ()


# ---- Killed at every step ---------------------------------------------------------------------------------------

VERSIONS = {"hi:v1": DAY_1, "hi:v2": DAY_2, "hi:v3": DAY_3}
FEW = {tag: {path: files[path] for path in ("model.yaml", "weights.bin")} for tag, files in BOTH.items()}
REQUIRED = {"hi:v1": ["clf:v1"], "hi:v2": ["clf:v1"], "hi:v3": ["clf:v1", "clf:v2"]}
CONTENTS = {
    tag: {
        path: data
        for path, data in bento_files(tag, created, {model: FEW[model] for model in REQUIRED[tag]}).items()
        if path.startswith(("bento.yaml", "env/docker/e", "src/s", "src/package/d", "models/"))
    }
    for tag, created in VERSIONS.items()
}
MODELS = {tag: expected(files) for tag, files in FEW.items()}


def check_whole(store, needed, possible):
    """That all that is needed is in the store, nothing but what is possible, each exact; and what `latest` is."""
    found = {str(entry.tag): tree(entry.path) for entry in store.bentos.list()}
    assert set(needed) <= set(found) <= set(possible)
    assert all(files == expected(CONTENTS[tag]) for tag, files in found.items())
    models = {str(entry.tag): tree(entry.path) for entry in store.models.list()}
    assert all(files == MODELS[tag] for tag, files in models.items())
    assert {model for tag in found for model in REQUIRED[tag]} <= models.keys()
    assert store.bentos.entry_store.list().problems == store.models.entry_store.list().problems == ()
    if found:
        newest = max(found, key=VERSIONS.get)
        pointer = store.home.root / "bentos/hi/latest"
        version = pointer.read_text() if pointer.exists() else ""
        assert f"hi:{version}" == newest or f"hi:{version}" not in found, "BentoML would take it for the newest"
        assert str(store.bentos.get("hi").tag) == newest
    verified = store.verify()
    assert (verified.damages, verified.changes, verified.unknown) == ((), (), ())


def test_a_process_killed_at_any_step_leaves_whole_entries(tmp_path, real):
    archives = {tag: write_archive(tmp_path / f"{tag[3:]}.bento", files) for tag, files in CONTENTS.items()}
    base = Store(tmp_path / "base", durable=False)
    for tag in "hi:v1", "hi:v2":
        base.bentos.import_archive(archives[tag])
    one = copy_of(base.home.root, tmp_path / "one")
    one.bentos.delete("hi:v2")
    garbage = copy_of(base.home.root, tmp_path / "garbage")
    shutil.rmtree(garbage.home.root / "bentos/hi/v2")
    empty = Store(tmp_path / "empty", durable=False)
    empty.home.root.mkdir()
    everything = copy_of(base.home.root, tmp_path / "everything")
    everything.bentos.import_archive(archives["hi:v3"])
    layout = f"oci-archive:{tmp_path}/all.tar"
    layouts.push(everything.home, everything.bentos.list(), layout)
    # Name, store before, work, entries after.
    cases = [
        ("import the newest", base, lambda store: store.bentos.import_archive(archives["hi:v3"]), {*VERSIONS}),
        ("import an older one", one, lambda store: store.bentos.import_archive(archives["hi:v2"]), {"hi:v1", "hi:v2"}),
        ("import the first", empty, lambda store: store.bentos.import_archive(archives["hi:v1"]), {"hi:v1"}),
        ("delete the newest", base, lambda store: store.bentos.delete("hi:v2"), {"hi:v1"}),
        ("delete an older one", base, lambda store: store.bentos.delete("hi:v1"), {"hi:v2"}),
        ("delete the last one", one, lambda store: store.bentos.delete("hi:v1"), set()),
        ("collect garbage", garbage, lambda store: store.gc(), {"hi:v1"}),
        ("pull", one, lambda store: layouts.pull(store.home, BENTO, layout), {*VERSIONS}),
    ]
    points = 0
    homes = []
    for name, before, work, after in cases:
        there = {str(entry.tag) for entry in before.bentos.list()}
        for step in count(1):
            store = copy_of(before.home.root, tmp_path / f"{name}-{step}")
            done = killed_at(step, lambda: work(store))
            check_whole(store, there & after, there | after)
            homes.append(str(store.home.root))
            points += 1
            # Again: either it is done already, or it is done now.
            try:
                work(store)
            except BentoError as error:
                assert {str(entry.tag) for entry in store.bentos.list()} == after, str(error)
            check_whole(store, after, after)
            store.gc()
            check_whole(store, after, after)
            assert not list(store.home.staging.iterdir())
            if done:
                break
    assert points >= 200, points
    script = "from bentoml._internal.bento import BentoStore\nfrom bentoml._internal.models import ModelStore\n"
    script += "import os\ndef answer(home):\n    os.makedirs(home + '/bentos', exist_ok=True)\n"
    script += "    os.makedirs(home + '/models', exist_ok=True)\n    bentos = BentoStore(home + '/bentos')\n"
    script += "    ModelStore(home + '/models').list()\n    found = [str(bento.tag) for bento in bentos.list()]\n"
    script += "    return [found, str(bentos.get('hi').tag) if found else '']\n"
    for home, (found, latest) in zip(homes, ask(real, script, homes), strict=True):
        assert found == [str(entry.tag) for entry in Store(home).bentos.list()]
        assert latest == (max(found, key=VERSIONS.get) if found else "")


@pytest.mark.parametrize("exchanges", [True, False])
def test_a_process_killed_while_it_replaces_leaves_one_or_the_other(exchanges, tmp_path, monkeypatch):
    if not exchanges:  # a system that cannot
        monkeypatch.setattr("bento_cli.store.durable.exchange", lambda *_: False)
    new = {**CONTENTS["hi:v2"], "src/service.py": b"# new\n"}
    archive = write_archive(tmp_path / "new.bento", new)
    base = Store(tmp_path / "base", durable=False)
    for tag in "hi:v1", "hi:v2":
        base.bentos.import_archive(write_archive(tmp_path / "old.bento", CONTENTS[tag]))
    one_or_other = [expected(CONTENTS["hi:v2"]), expected(new)]
    found = set()
    for step in count(1):
        store = copy_of(base.home.root, tmp_path / f"{step}")
        done = killed_at(step, lambda: store.bentos.import_archive(archive, options=Options(replace=True)))
        there = {str(entry.tag): tree(entry.path) for entry in store.bentos.list()}
        assert there["hi:v1"] == expected(CONTENTS["hi:v1"])
        if exchanges or "hi:v2" in there:
            found.add(one_or_other.index(there["hi:v2"]))
        assert store.verify().damages == ()
        store.bentos.import_archive(archive, options=Options(replace=True))
        assert {str(entry.tag): tree(entry.path) for entry in store.bentos.list()}["hi:v2"] == expected(new)
        verified = store.verify()
        assert (verified.damages, verified.changes, verified.unknown) == ((), (), ())
        assert str(store.bentos.get("hi").tag) == "hi:v2"
        if done:
            break
    assert found == {0, 1}


# ---- Several at once --------------------------------------------------------------------------------------------


def test_what_a_deletion_writes_is_not_cleared_away(store, tmp_path, monkeypatch):
    """Another process begins to make an entry just then, and clears what processes that died have left."""
    put(store)
    store.bentos.import_archive(write_archive(tmp_path / "a.bento", bento_files("hi:v2")))
    replace, replaced = os.replace, []

    def disturbed(source, target, **directories):
        with staging_lock(store.home):
            replaced.append(target)
            replace(source, target, **directories)

    monkeypatch.setattr(os, "replace", disturbed)
    store.bentos.delete("hi:v2")
    assert "latest" in replaced
    assert str(store.bentos.get("hi:latest").tag) == "hi:v1"


def test_writers_at_the_same_time_do_not_disturb_each_other(store, tmp_path):
    tags = [f"hi:v{number}" for number in range(6)]
    archives = [write_archive(tmp_path / f"{tag[3:]}.bento", bento_files(tag, models=BOTH)) for tag in tags]
    imports = [lambda path=path: store.bentos.import_archive(path) for path in archives]
    assert all(in_children(*imports, *[store.gc] * 3))
    assert [str(entry.tag) for entry in store.bentos.list()] == tags
    assert len(store.models.list()) == 2
    found = store.verify()
    assert (found.damages, found.unknown) == ((), ())
    another = write_archive(tmp_path / "n", bento_files("ho:v1"))
    deletions = [lambda tag=tag: store.bentos.delete(tag) for tag in tags[:3]]
    assert all(in_children(*deletions, *[store.gc] * 2, lambda: store.bentos.import_archive(another)))
    assert [str(entry.tag) for entry in store.bentos.list()] == [*tags[3:], "ho:v1"]
    assert store.verify().damages == ()


def test_gc_waits_for_who_makes_entries(store):
    put(store)
    told = []
    ready, go = os.pipe(), os.pipe()

    def work():
        with staging_lock(store.home):
            os.write(ready[1], b"x")
            os.read(go[0], 1)

    child = forked(work)
    os.read(ready[0], 1)
    assert store.gc(waiting=lambda: told.append(os.write(go[1], b"x"))).files == 0
    assert told == [1]
    os.waitpid(child, 0)


def test_only_one_of_several_gets_a_tag(store, tmp_path):
    archives = [write_archive(tmp_path / f"{n}.bento", bento_files(src__own=f"{n}".encode())) for n in range(5)]
    done = in_children(*(lambda path=path: store.bentos.import_archive(path) for path in archives))
    assert sum(done) == 1
    assert tree(store.bentos.get("hi").path)["src/own"][0] == f"{done.index(True)}".encode()
    assert store.verify().damages == ()


def test_a_model_that_is_deleted_during_an_import_is_an_error(store, tmp_path, monkeypatch):
    put(store, "clf:v1")
    put(store, "hi:v1", models=CLF)
    store.bentos.delete("hi:v1")
    path = write_archive(tmp_path / "a.bento", bento_files("hi:v2", models=CLF))
    deletes = lambda *_: delete.delete(store.home, MODEL, [Tag("clf", "v1")])  # noqa: E731
    monkeypatch.setattr("bento_cli.store.durable.flush_trees", deletes)
    with pytest.raises(BentoError, match="clf:v1: the model was deleted or replaced meanwhile. Run the command again"):
        store.bentos.import_archive(path)
    assert [str(entry.tag) for entry in store.bentos.list()] == ["clf:v1"]


def test_what_is_done_is_on_the_disk(tmp_path, monkeypatch):
    flushed = []
    monkeypatch.setattr(os, "fsync", lambda file: flushed.append(str(Path(f"/proc/self/fd/{file}").readlink())))
    if not Path("/proc/self/fd").is_dir():
        pytest.skip("nothing tells what is flushed here")
    store = Store(tmp_path / "home")
    put(store, models=CLF)
    names = {Path(path).name for path in flushed}
    assert {"bento.yaml", "service.py", "package", "weights.bin", "hi", "bentos", "clf", "models"} <= names
    flushed.clear()
    put(Store(tmp_path / "other", durable=False))
    assert flushed == []


LAUGHS = "".join(f"\n    - k: &a{i} [" + ", ".join([f"*a{i - 1}" if i else "lol"] * 10) + "]" for i in range(9))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("args: {a: !!pairs [b: c]}", "tag 'tag:yaml.org,2002:pairs' isn't supported"),
        (f"args:\n  a:{LAUGHS}", "more than 500,000 values"),
        ("args: {a: " + "[" * 200_000 + "]" * 200_000 + "}", ""),
        ("args: {a: " + "[" * 900 + "]" * 900 + "}", "more than 100 levels of nesting"),
        ("args: {a: 1" + ":1" * 200_000 + "}", "is a base-60 number"),
        ("args: {a: 9999-99-99}", "month must be in 1..12"),
        ("args: {a: !!binary 'a'}", "failed to decode base64 data"),
        ("args: {a: !!bool x}", "tag 'tag:yaml.org,2002:bool' doesn't match 'x'"),
        ("args: {a: !!timestamp x}", "tag 'tag:yaml.org,2002:timestamp' doesn't match 'x'"),
        ("labels: {a: 0x" + "f" * 5000 + "}", "more than 250 characters"),
        ('labels: {a: "\\ud800"}', "invalid YAML"),
        ("labels: {a: b, a: c}", "duplicate key 'a'"),
        ("version: v2", "duplicate key 'version'"),
    ],
    ids=lambda value: value[:20],
)
def test_a_descriptor_beyond_the_bounds_is_rejected_by_its_line(store, tmp_path, more, message):
    text = b"service: a:B\nname: hi\nversion: v1\ncreation_time: 2026-01-01T00:00:00+00:00\n" + more.encode()
    started = time.process_time()
    with pytest.raises(BentoError, match=rf"bento.yaml:\d+: .*{re.escape(message)}"):
        store.bentos.import_archive(write_archive(tmp_path / "a.bento", {"bento.yaml": text}))
    assert time.process_time() - started < 10
    assert not list(store.bentos.list())


def test_bytes_are_taken_in_metadata_as_bentoml_writes_them():
    text = model_yaml(metadata={"table": b"\x00\xff", "when": dt.date(2026, 1, 1)})
    document = descriptors.parse(MODEL, text, "here").document
    assert document["metadata"] == {"table": b"\x00\xff", "when": dt.date(2026, 1, 1)}


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (BENTO, bento_yaml(runners=[{"name": "r", "runner_type": "R"}])),
        (BENTO, bento_yaml(spec=2.0, envs=[{"name": "A"}])),
        (MODEL, model_yaml(context={"framework_name": "f", "pip_dependencies": []}, signatures={"f": {}})),
    ],
)
def test_fields_of_a_descriptor_are_unchanged_by_an_import(kind, text):
    declared = yaml.safe_load(text)
    description = descriptors.parse(kind, text, "here")
    assert description.declared == declared
    assert description.document != declared


@pytest.mark.parametrize("look", ["import", "diff", "get"])
def test_a_large_descriptor_is_rejected_by_its_size(store, tmp_path, look):
    path = write_archive(tmp_path / "a.bento", {"bento.yaml": bytes(64 << 20)})
    asked = {
        "import": lambda: store.bentos.import_archive(path),
        "diff": lambda: store.diff(str(path), str(path)),
        "get": lambda: store.bentos.get("hi").description,
    }[look]
    if look == "get":
        put(store)
        with (store.bentos.get("hi").path / "bento.yaml").open("wb") as file:
            file.truncate(1 << 40)
    tracemalloc.start()
    try:
        with pytest.raises(BentoError, match=r"limit is 16777216|exceeds the limit of 16 MiB"):
            asked()
        assert tracemalloc.get_traced_memory()[1] < 40 << 20
    finally:
        tracemalloc.stop()


def test_a_large_descriptor_of_a_model_in_a_bento_is_rejected_by_its_size(store, tmp_path):
    files = {"models/clf/v1/model.yaml": bytes(20 << 20), **bento_files(models={"clf:v1": {}})}
    with pytest.raises(BentoError, match=r"models/clf/v1/model.yaml: the file has 20971520 bytes"):
        store.bentos.import_archive(write_archive(tmp_path / "a.bento", files))


def test_models_are_those_of_all_services():
    models = [{"tag": "b:2"}, {"tag": "a:1"}, {"tag": "h:3", "registry": "huggingface"}]
    text = bento_yaml(models=["a:1"], services=[{"name": "A", "service": "", "models": models}])
    description = descriptors.parse(BENTO, text, "here")
    assert [model.tag for model in description.models] == ["a:1", "b:2", "h:3"]
    assert Summary.of(description).models == ("a:1", "b:2")


def test_a_reader_leaves_the_pointer_to_a_process_that_writes_it(store):
    put(store)
    pointer = store.home.root / "bentos/hi/latest"
    pointer.write_text("v2")  # another process is about to add v2
    with commit_lock(store.home):
        assert str(store.bentos.get("hi").tag) == "hi:v1"
        assert pointer.read_text() == "v2"
    assert str(store.bentos.get("hi").tag) == "hi:v1"
    assert pointer.read_text() == "v1"


def test_builds_and_deletions_at_the_same_time_leave_a_valid_pointer(store, real, tmp_path):
    works = []
    for number in range(8):
        project = tmp_path / f"p{number}"
        (project / "lib").mkdir(parents=True)
        (project / "service.py").write_text("import bentoml\n\n\n@bentoml.service\nclass Hi:\n    pass\n")
        (project / "lib/number.py").write_text(f"NUMBER = {number}\n")
        words = ["--home", str(store.home.root), "build", str(project)]
        works.append(lambda words=words: main(words) and pytest.fail("no Bento"))
    put(store, "hi:kept")
    put(store, "hi:old")
    works += [lambda: [store.bentos.list("hi:latest") for _ in range(20)], lambda: store.bentos.delete("hi:old")]
    assert all(in_children(*works))
    latest = (store.home.root / "bentos/hi/latest").read_text()
    assert latest in {entry.tag.version for entry in store.bentos.list()}
    assert len(store.bentos.list()) == 9
    assert latest != "kept"
    real.variables["BENTOML_HOME"] = str(store.home.root)
    assert real.json("get", "hi")["version"] == latest
