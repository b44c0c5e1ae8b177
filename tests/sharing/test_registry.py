"""Entries of the store to registries and back: whole, nothing twice, and taken up where a pull was cut."""

from __future__ import annotations

import fcntl
import gzip
import hashlib
import io
import json
import os
import pty
import random
import re
import shutil
import struct
import subprocess
import tarfile
import termios
import urllib.request

import pytest
from bento_cli import library
from bento_cli.cli import main, status
from bento_cli.library import BENTO, MODEL, Options, Store
from bento_cli.projects.from_directory import ExtraOptions, build_bentofile
from bento_cli.sharing.registry import packing, pull_entry
from bento_cli.sharing.registry.layouts import write_directory
from bento_cli.sharing.registry.pull_entry import pull
from bento_cli.sharing.registry.push_entry import push
from bento_cli.store import durable
from cryptography.hazmat.primitives import serialization as pem
from cryptography.hazmat.primitives.asymmetric import ec
from rules_bento.base.archives import sha256_of
from rules_bento.base.archives.archive import write_part
from rules_bento.base.archives.tarstream import Member
from rules_bento.base.errors import BentoError
from rules_bento.base.net import terminal
from rules_bento.base.net.transfers import Progress
from rules_bento.bentos.assembly.write_bento import members
from rules_bento.images.artifacts import artifact, signatures
from rules_bento.images.layers.layer import write_files_layer
from rules_bento.images.registry import RegistryError
from rules_bento.images.registry import descriptor as oci
from rules_bento.images.registry.blob_sources import BytesSource, FileSource, Pushable, ResumedSource
from rules_bento.images.registry.client import Registries
from rules_bento.images.registry.push_to_registry import push as push_package
from rules_bento.images.registry.reference import Reference
from rules_bento.images.signing.keys import read_private

from tests.helpers.golden_bentos import BENTO_PROJECTS, store_of
from tests.helpers.projects import write_project
from tests.helpers.store_support import DAY_1, bento_files, model_files, tree, write_archive
from tests.registry import servers
from tests.sharing.support import FORCE, POINTS, cleared, killed, own_home, relay, same, whole

__all__ = ["own_home"]


def test_what_a_rule_has_pushed_is_known(tmp_path, registries, reference, progress, other, monkeypatch):
    directory = write_project(tmp_path / "svc", BENTO_PROJECTS["iris_svc"], "")
    made = build_bentofile(build_ctx=str(directory), extra=ExtraOptions(store=store_of(other.home.root / "models")))
    other.bentos.import_archive(made.archive(tmp_path / "built.bento"))
    [model] = made.models
    write_part(tmp_path / "metadata", members(made.bento))
    write_part(tmp_path / "sources", made.sources)
    write_part(tmp_path / "model", model.members())
    package = artifact.pack_bento(
        made.bento.files["bento.yaml"],
        made.digest,
        [artifact.Part.from_file(tmp_path / "metadata"), artifact.Part.from_file(tmp_path / "sources")],
        [(model.entry.description, artifact.Part.from_file(tmp_path / "model"))],
    )
    push_package(package, [reference.with_tag("rule")], registries, progress)
    entry = other.bentos.get(str(made.tag))
    # Its model is the same blob.
    [new] = push(other.home, entry, [reference.with_tag("new")], registries, progress)
    assert (new.blobs, new.sent) == (4, 2), "config and model are there"
    # And it is not packed again where the tag stands for it.
    monkeypatch.setattr("bento_cli.sharing.registry.packing.write_part", lambda *_: pytest.fail("packed again"))
    [done] = push(other.home, entry, [reference.with_tag("rule")], registries, progress)
    assert done.reference.digest == package.root.descriptor.digest


def test_a_round_trip_changes_nothing(store, other, registries, reference, progress):
    for tag in "hi:v1", "hi:v2":
        push(store.home, store.bentos.get(tag), [reference], registries, progress)
    assert servers.tags(reference) == ["v1", "v2"]
    one = pull(other.home, BENTO, reference.with_tag("v1"), registries, progress)
    assert (one.new, [str(model.tag) for model in one.models], one.known) == (True, ["clf:v1"], ())
    two = pull(other.home, BENTO, reference.with_tag("v2"), registries, progress)
    assert ([str(model.tag) for model in two.models], list(map(str, two.known))) == (["clf:v2"], ["clf:v1"])
    same(store, other, "hi:v1", "hi:v2")
    again = pull(other.home, BENTO, two.reference, registries, progress)
    assert (again.new, again.entry.path) == (False, two.entry.path)


def test_only_what_is_new_is_sent(store, registries, reference, progress):
    first, second = (store.bentos.get(tag) for tag in ("hi:v1", "hi:v2"))
    [one] = push(store.home, first, [reference], registries, progress)
    assert (one.blobs, one.sent) == (4, 4)
    [two] = push(store.home, second, [reference], registries, progress)
    assert (two.blobs, two.sent) == (5, 4), "the model that both have is there"
    [three] = push(store.home, second, [reference, reference.with_tag("latest")], registries, progress)
    assert (three.sent, three.tags) == (0, ("v2", "latest"))


def test_what_exists_is_not_even_packed(store, server, registries, reference, progress, monkeypatch):
    entry = store.bentos.get("hi:v1")
    [done] = push(store.home, entry, [reference], registries, progress)
    monkeypatch.setattr("bento_cli.sharing.registry.packing.write_part", lambda *_: pytest.fail("packed again"))
    assert push(store.home, entry, [reference], registries, progress)[0].reference == done.reference
    # Another Bento under the tag is no reason to leave ours away.
    monkeypatch.undo()
    moved = reference.with_tag("v1")
    push(store.home, store.bentos.get("hi:v2"), [moved], registries, progress)
    assert push(store.home, entry, [moved], registries, progress)[0].reference == done.reference


def test_bytes_in_a_bento_are_rejected_by_their_place(store, registries, reference, progress):
    place = store.bentos.get("hi:v1").path / "bento.yaml"
    place.write_bytes(place.read_bytes() + b"args: {key: [!!binary QQ==]}\n")
    with pytest.raises(
        BentoError, match=r"bento.yaml: args: key\[0\]: `!!binary` values can't be stored in a registry"
    ):
        push(store.home, store.bentos.get("hi:v1"), [reference], registries, progress, check=False)


def test_a_bento_is_signed_before_a_tag_stands_for_it(store, registries, reference, progress, tmp_path, monkeypatch):
    made = ec.generate_private_key(ec.SECP256R1())
    encoding = (pem.Encoding.PEM, pem.PrivateFormat.PKCS8, pem.NoEncryption())
    (tmp_path / "k").write_bytes(made.private_bytes(*encoding))
    key = read_private("k", tmp_path)
    entry, repository = store.bentos.get("hi:v1"), registries.repository(reference)
    with monkeypatch.context() as patched, pytest.raises(BentoError, match="no push"):
        patched.setattr("bento_cli.sharing.registry.push_entry.push_package", refuse)
        push(store.home, entry, [reference], registries, progress, signing=key)
    [signature] = servers.tags(reference)
    [done] = push(store.home, entry, [reference], registries, progress, signing=key)
    place = signatures.InRegistry(reference, registries)
    assert signatures.verify(place, done.reference.digest, key.public) == reference.name
    assert f"sha256-{done.reference.digest[7:]}" == signature
    # What is there already is signed, too.
    again = ["push", "hi:v2", f"oci://{reference}"]
    assert main(["--home", str(store.home.root), *again]) == status.OK
    assert main(["--home", str(store.home.root), *again, "--sign-key", str(tmp_path / "k")]) == status.OK
    digest = repository.get_manifest("v2").descriptor.digest
    assert signatures.verify(place, digest, key.public)


def refuse(*_: object, **__: object) -> None:
    raise BentoError("no push")


def test_a_cloud_keeps_no_signature(store, capsys):
    assert main(["--home", str(store.home.root), "push", "hi:v1", "--sign-key", "k"]) == status.ERROR
    assert "--sign-key: BentoML's client for BentoCloud and Yatai has no such option." in capsys.readouterr().err


def test_a_large_model_is_never_written(store, other, server, registries, name, progress, monkeypatch):
    """The same blob as from a file, also after cuts at any byte."""
    [written] = push(store.home, store.models.get("clf:v1"), [at(server, name, "file")], registries, progress)
    monkeypatch.setattr(packing, "LARGE", 100_000)
    monkeypatch.setattr(packing, "write_part", lambda *_: pytest.fail("it was written"))
    [sent] = push(store.home, store.models.get("clf:v1"), [at(server, name, "stream")], registries, progress)
    assert sent.reference.digest == written.reference.digest
    chance = random.Random(10)
    for point in range(POINTS):
        cuts = [relay.Cut(relay.UP, chance.randrange(320_000), reset=chance.random() < 0.5) for _ in range(2)]
        with relay.Relay(server.port, cuts) as way:
            push(store.home, store.models.get("clf:v1"), [at(way, name, str(point))], registries, progress)
    pull(other.home, MODEL, at(server, name, "0").with_tag("v1"), registries, progress)
    assert tree(other.models.get("clf:v1").path) == tree(store.models.get("clf:v1").path)
    compressible = write_archive(
        other.home.root.parent / "x.bentomodel", model_files("text:v1", payload=b"a" * 200_000)
    )
    monkeypatch.undo()
    store.models.import_archive(compressible)
    monkeypatch.setattr(packing, "LARGE", 100_000)
    monkeypatch.setattr(packing.StreamedPart, "pieces", lambda *_: pytest.fail("it was made twice"))
    push(store.home, store.models.get("text:v1"), [at(server, name, "text")], registries, progress)


def at(server, name, point):
    """A repository of its own, reached by a server or a relay."""
    return Reference.parse(f"{server.host}/t/{name}/{point}")


def test_a_model_that_changes_on_its_way_is_reported(store, server, name, registries, progress, monkeypatch):
    monkeypatch.setattr(packing, "LARGE", 100_000)
    entry = store.models.get("clf:v1")
    measure = packing.StreamedPart.measure

    def change(part):
        found = measure(part)
        weights = entry.path / "weights.bin"
        weights.chmod(0o644)
        weights.write_bytes(b"x" + weights.read_bytes()[1:])
        return found

    monkeypatch.setattr(packing.StreamedPart, "measure", change)
    with pytest.raises(BentoError, match="changed during the push"):
        push(store.home, entry, [at(server, name, "x")], registries, progress)
    assert registries.repository(at(server, name, "x")).manifest_digest("v1") == ""


def test_damage_does_not_travel(store, registries, reference, progress):
    entry = store.bentos.get("hi:v1")
    file = entry.path / "src/package/data.csv"
    file.chmod(0o644)
    file.write_bytes(b"x" + file.read_bytes()[1:])
    with pytest.raises(BentoError, match=r"src/package/data.csv: the contents changed"):
        push(store.home, entry, [reference], registries, progress)
    assert registries.repository(reference).manifest_digest("v1") == ""


def test_models_travel_alone(store, other, registries, reference, progress):
    push(store.home, store.models.get("clf:v1"), [reference], registries, progress)
    done = pull(other.home, MODEL, reference.with_tag("v1"), registries, progress)
    assert tree(done.entry.path) == tree(store.models.get("clf:v1").path)
    with pytest.raises(BentoError, match="expected a Bento, got"):
        pull(other.home, BENTO, reference.with_tag("v1"), registries, progress)
    push(store.home, store.bentos.get("hi:v1"), [reference.with_tag("b")], registries, progress)
    with pytest.raises(BentoError, match="the artifact isn't a model"):
        pull(other.home, MODEL, reference.with_tag("b"), registries, progress)
    without = pull(other.home, BENTO, reference.with_tag("b"), registries, progress, Options(models=False, act="pull"))
    assert without.models == ()


def test_empty_directories_and_links_travel(store, other, registries, reference, progress, tmp_path):
    directory = tmp_path / "made"
    files = bento_files("ho:v1")
    for path, data in files.items():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_bytes(data)
    (directory / "apis").mkdir()
    (directory / "src/link").symlink_to("package/data.csv")
    store.bentos.import_archive(directory)
    push(store.home, store.bentos.get("ho:v1"), [reference], registries, progress)
    entry = pull(other.home, BENTO, reference.with_tag("v1"), registries, progress).entry
    assert (entry.path / "apis").is_dir()
    assert (entry.path / "src/link").readlink().as_posix() == "package/data.csv"


def test_what_nothing_continues_with_is_collected(store, other, server, registries, reference, progress, name):
    push(store.home, store.bentos.get("hi:v1"), [reference], registries, progress)
    # Cut so often that it gives up, with a part of the model on the disk.
    cuts = [relay.Cut(relay.DOWN, 150_000 + number) for number in range(50)]
    with relay.Relay(server.port, cuts) as way, pytest.raises(BentoError, match="all attempts"):
        through = Reference.parse(f"{way.host}/{reference.repository}:v1")
        pull(other.home, BENTO, through, registries, progress)
    [*parts] = other.home.downloads.iterdir()
    kept = sum(part.stat().st_size for part in parts)
    assert kept > 100_000
    assert other.gc(dry_run=True).size == kept
    assert (other.gc().size, other.home.downloads.exists()) == (kept, False)
    pull(other.home, BENTO, reference.with_tag("v1"), registries, progress)
    same(store, other, "hi:v1")


def test_force_replaces_what_the_store_has(store, other, registries, reference, progress, tmp_path):
    push(store.home, store.bentos.get("hi:v1"), [reference], registries, progress)
    other.bentos.import_archive(write_archive(tmp_path / "x.bento", bento_files("hi:v1", src__other=b"mine")))
    with pytest.raises(BentoError, match=r"the store contains another Bento hi:v1. To replace it, add --force\."):
        pull(other.home, BENTO, reference.with_tag("v1"), registries, progress)
    assert (other.bentos.get("hi:v1").path / "src/other").exists()
    assert pull(other.home, BENTO, reference.with_tag("v1"), registries, progress, FORCE).new
    same(store, other, "hi:v1")


def test_a_pulled_bento_uses_no_other_model(store, other, registries, reference, progress, tmp_path):
    """The store has another model with the same tag, with or without a manifest."""
    push(store.home, store.bentos.get("hi:v2"), [reference], registries, progress)
    model = store.bentos.get("hi:v2").models[0]
    files = bento_files("other:v1", DAY_1, {model: model_files(payload=b"EVIL")})
    other.bentos.import_archive(write_archive(tmp_path / "other.bento", files))
    for has_manifest in (True, False):
        if not has_manifest:
            (other.home.records(MODEL) / model.replace(":", "/")).unlink()
        with pytest.raises(BentoError, match=rf"the store contains another model {model}\. .* add --force"):
            pull(other.home, BENTO, reference.with_tag("v2"), registries, progress)
        assert not (other.home.root / "bentos/hi").exists()
    done = pull(other.home, BENTO, reference.with_tag("v2"), registries, progress, FORCE)
    assert model in [str(each.tag) for each in done.models]
    same(store, other, "hi:v2")
    assert not pull(other.home, BENTO, reference.with_tag("v2"), registries, progress).new
    models = Reference.parse(f"{reference}-model")
    push(store.home, store.models.get(model), [models], registries, progress)
    other.models.delete(model, force=True)
    other.bentos.import_archive(write_archive(tmp_path / "again.bento", files), options=Options(replace=True))
    with pytest.raises(BentoError, match=f"the store contains another model {model}. To replace it, add --force"):
        pull(other.home, MODEL, models.with_tag("v1"), registries, progress)


def test_a_bento_without_its_models_is_compared_too(store, other, registries, reference, progress, tmp_path):
    push(store.home, store.bentos.get("hi:v1"), [reference], registries, progress)
    other.bentos.import_archive(write_archive(tmp_path / "x.bento", bento_files("hi:v1", src__service=b"EVIL")))
    with pytest.raises(BentoError, match=r"the store contains another Bento hi:v1. To replace it, add --force\."):
        pull(other.home, BENTO, reference.with_tag("v1"), registries, progress)
    pull(other.home, BENTO, reference.with_tag("v1"), registries, progress, FORCE)
    other.models.delete("clf:v1", force=True)
    done = pull(other.home, BENTO, reference.with_tag("v1"), registries, progress)
    assert (done.new, [str(model.tag) for model in done.models]) == (False, ["clf:v1"])
    same(store, other, "hi:v1")


@pytest.mark.parametrize("kind", [BENTO, MODEL])
def test_two_pulls_at_once_succeed(store, other, registries, reference, progress, monkeypatch, kind):
    push(store.home, store.section(kind).get("hi:v2" if kind is BENTO else "clf:v2"), [reference], registries, progress)
    results = []
    flush = durable.flush_trees

    def pulling(*arguments):
        if not results:
            results.append(None)
            results[0] = pull(other.home, kind, reference.with_tag("v2"), registries, progress)
        flush(*arguments)

    monkeypatch.setattr(durable, "flush_trees", pulling)
    done = pull(other.home, kind, reference.with_tag("v2"), registries, progress)
    assert (results[0].new, done.new, done.models) == (True, False, ())
    assert other.verify().damages == ()


def test_modes_of_files_make_no_other_model(real, other, registries, reference, progress):
    """A model that BentoML saved on a file system without modes, where each file is executable."""
    theirs = Store(real.home, durable=False)
    files = bento_files(models={"clf:v1": model_files(payload=b"data")})
    theirs.bentos.import_archive(write_archive(real.directory / "hi.bento", files))
    path = theirs.models.get("clf").path / "weights.bin"
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content)
    path.chmod(0o755)
    (theirs.home.records(MODEL) / "clf/v1").unlink()
    push(theirs.home, theirs.models.get("clf"), [reference], registries, progress)
    for new in (True, False):
        assert pull(other.home, MODEL, reference.with_tag("v1"), registries, progress).new == new
    exported = real.directory / "theirs.bento"
    real.run("export", "hi:v1", str(exported))
    with tarfile.open(exported) as archive:
        assert archive.getmember("./models/clf/v1/weights.bin").mode & 0o100
    assert [str(tag) for tag in other.bentos.import_archive(exported).known] == ["clf:v1"]


def test_bentoml_serves_from_the_store_what_was_pulled(store, real, registries, reference, progress):
    push(store.home, store.bentos.get("hi:v2"), [reference], registries, progress)
    pull(Store(real.home).home, BENTO, reference.with_tag("v2"), registries, progress)
    assert [row["tag"] for row in real.json("list")] == ["hi:v2"]
    assert {row["tag"] for row in real.json("models", "list")} == {"clf:v1", "clf:v2"}


def test_wrong_bytes_never_come_in(store, other, server, registries, reference, progress):
    push(store.home, store.bentos.get("hi:v1"), [reference], registries, progress)
    with relay.Relay(server.port, [relay.Flip(relay.DOWN, 200_000)]) as way:
        through = Reference.parse(f"{way.host}/{reference.repository}:v1")
        pull(other.home, BENTO, through, registries, progress)
    assert way.happened
    same(store, other, "hi:v1")


def test_wrong_bytes_of_a_large_layer_never_come_in(
    store, other, registries, reference, progress, monkeypatch, tmp_path
):
    """Not even a valid archive of the same size, all of which is unpacked before its last byte is known."""
    monkeypatch.setattr(pull_entry, "LARGE", 1)
    entry = store.models.get("clf:v1")
    push(store.home, entry, [reference], registries, progress)
    (entry.path / "weights.bin").chmod(0o644)
    (entry.path / "weights.bin").write_bytes(b"x" + (entry.path / "weights.bin").read_bytes()[1:])
    changed = packing.EntryArtifact(store.home, entry, [])._members(entry, "models/clf/v1/")
    write_part(tmp_path / "part", changed)
    pieces = ResumedSource.pieces
    monkeypatch.setattr(ResumedSource, "pieces", lambda *_: iter([(tmp_path / "part").read_bytes()]))
    with pytest.raises(BentoError, match="the content doesn't match"):
        pull(other.home, MODEL, reference.with_tag("v1"), registries, progress)
    assert not other.models.list()
    monkeypatch.setattr(ResumedSource, "pieces", pieces)
    pull(other.home, MODEL, reference.with_tag("v1"), registries, progress)


def test_a_reference_is_complete(reference):
    assert Reference.from_url(f"oci://{reference}:v1") == reference.with_tag("v1")
    assert Reference.from_url("oci://registry/name").registry == "registry", "no name of a hub is guessed"
    assert Reference.from_url(f"{reference}:v1") == reference.with_tag("v1"), "as docker accepts it"
    for text in (
        "registry/name",
        "./registry/name",
        "s3://h.io/x",
        "oci://registry",
        "oci://",
        "oci://-/name",
        "oci://registry/Name",
        "s3://bucket/x",
    ):
        with pytest.raises(BentoError):
            Reference.from_url(text)


def test_what_is_wrong_is_said(store, other, registries, reference, progress):
    with pytest.raises(RegistryError, match="404"):
        pull(other.home, BENTO, reference.with_tag("gone"), registries, progress)
    with pytest.raises(BentoError, match="expected a tag, got a digest"):
        push(store.home, store.bentos.get("hi:v1"), [reference.with_digest("sha256:" + "0" * 64)], registries, progress)


# ---- The command --------------------------------------------------------------------------------------------------


def test_the_command_pushes_and_pulls(bento, other, store, reference):
    address = f"oci://{reference}"
    assert "as v2: 5 of 5 blobs uploaded" in bento("push", "hi", address)
    [fields] = json.loads(bento("push", "hi:v1", f"{address}:one", "-o", "json"))
    assert (fields["tag"], fields["tags"], fields["blobs"]) == ("hi:v1", ["one"], 4)
    assert bento("pull", f"{address}:v2", home=other) == "Pulled Bento hi:v2 with clf:v1, clf:v2.\n"
    assert bento("pull", f"{address}:v2", home=other) == "Bento hi:v2 is already in the store.\n"
    pulled = json.loads(bento("pull", fields["reference"], "-o", "json", home=other))
    assert (pulled["tag"], pulled["known_models"]) == ("hi:v1", ["clf:v1"])
    bento("models", "push", "clf:v1", f"{address}/models")
    pulled = bento("models", "pull", f"{address}/models:v1", home=other)
    assert pulled == "model clf:v1 is already in the store.\nnote: clf:latest is still clf:v2.\n"
    same(store, other, "hi:v1", "hi:v2")
    assert "no Bento" in bento("push", "gone", address, code=status.NOT_FOUND)
    assert "invalid reference" in bento("push", "hi", "registry/name", code=status.ERROR)


def test_as_functions(store, other, reference):
    [done] = store.bentos.push("hi:v2", f"oci://{reference}")
    assert done.tags == ("v2",)
    pulled = other.bentos.pull(f"oci://{done.reference}")
    assert (pulled.new, str(pulled.entry.tag)) == (True, "hi:v2")
    store.models.push("clf:v1", f"oci://{reference}/clf")
    assert not other.models.pull(f"oci://{reference}/clf:v1").new
    same(store, other, "hi:v2")


# ---- Kills and cuts -----------------------------------------------------------------------------------------------


def test_a_pull_killed_at_any_time_is_completed_by_the_next(store, server, registries, reference, progress, tmp_path):
    push(store.home, store.bentos.get("hi:v2"), [reference], registries, progress)
    chance = random.Random(5)
    cut = 0
    for point in range(POINTS):
        other = Store(tmp_path / f"killed-{point}", durable=False)
        # Slow enough that most are killed on their way.
        with relay.Relay(server.port, rate=1 << 20) as way:
            address = f"oci://{way.host}/{reference.repository}:v2"
            cut += killed(chance, way, "--home", other.home.root, "pull", address)
            whole(other, "hi:v2")
        pull(other.home, BENTO, reference.with_tag("v2"), registries, progress)
        same(store, cleared(other), "hi:v2")
    assert cut


def test_a_push_killed_at_any_time_is_completed_by_the_next(store, other, server, registries, name, progress):
    chance = random.Random(6)
    entry = store.bentos.get("hi:v2")
    cut = 0
    for point in range(POINTS):
        target = Reference.parse(f"{server.host}/t/{name}/{point}")
        with relay.Relay(server.port, rate=1 << 20) as way:
            address = f"oci://{way.host}/{target.repository}"
            cut += killed(chance, way, "--home", store.home.root, "push", "hi:v2", address)
        repository = registries.repository(target)
        if repository.manifest_digest("v2"):  # what has a tag is whole
            for blob in repository.get_manifest("v2").blobs():
                assert repository.has_blob(blob.digest, blob.size)
        push(store.home, entry, [target], registries, progress)
        fresh = Store(other.home.root / str(point), durable=False)
        pull(fresh.home, BENTO, target.with_tag("v2"), registries, progress)
        same(store, fresh, "hi:v2")
    assert cut


@pytest.mark.parametrize("large", [100_000, packing.LARGE])
@pytest.mark.parametrize("direction", [relay.UP, relay.DOWN])
def test_interruptions_at_any_byte_are_resumed(direction, large, store, server, name, progress, tmp_path, monkeypatch):
    """Also of a large layer, which is unpacked meanwhile, and never written."""
    monkeypatch.setattr(pull_entry, "LARGE", large)
    fetch = pull_entry.download

    def small(repository, blob, path, counter):
        assert blob.size < large
        fetch(repository, blob, path, counter)

    monkeypatch.setattr(pull_entry, "download", small)
    chance = random.Random(7)
    happened = 0
    for point in range(POINTS):
        target = f"t/{name}/{point}"
        fault = relay.Cut(direction, chance.randrange(310_000), reset=chance.random() < 0.5)
        with relay.Relay(server.port, [fault]) as way, Registries(sleep=lambda _: None) as registries:
            through = Reference.parse(f"{way.host}/{target}")
            push(store.home, store.bentos.get("hi:v2"), [through], registries, progress)
            other = Store(tmp_path / f"{point}", durable=False)
            pull(other.home, BENTO, through.with_tag("v2"), registries, progress)
            happened += len(way.happened)
        same(store, other, "hi:v2")
    assert happened > POINTS // 2


FORMS = ("artifact", "kserve", "modelpack")


def test_a_model_for_kserve_has_the_layers_of_the_rule(tmp_path, store, registries, reference, progress):
    """KServe mounts `/models` of an image. A second version sends only the shard that is another one."""
    entry = store.models.get("clf:v1")
    shards = {"a.pt": b"a" * 5000, "deep/b.pt": random.Random(7).randbytes(3 << 20)}
    for path, content in shards.items():
        (entry.path / path).parent.mkdir(exist_ok=True)
        (entry.path / path).write_bytes(content)
    [done] = push(store.home, entry, [reference], registries, progress, check=False, form="kserve")
    repository = registries.repository(reference)
    manifest = repository.get_manifest("v1")
    config = json.loads(repository.read_blob(manifest.config))
    found = {}
    for layer, diff_id in zip(manifest.document["layers"], config["rootfs"]["diff_ids"], strict=True):
        assert layer["mediaType"] == "application/vnd.oci.image.layer.v1.tar+gzip", "oci+fetch:// reads no zstd"
        with repository.open_blob(layer["digest"]) as response:
            blob = b"".join(map(bytes, response.pieces()))
        assert f"sha256:{hashlib.sha256(gzip.decompress(blob)).hexdigest()}" == diff_id
        with tarfile.open(fileobj=io.BytesIO(blob), mode="r|gz") as tar:
            found |= {
                member.name: (layer["digest"], tar.extractfile(member).read()) for member in tar if member.isfile()
            }
    files = {
        f"models/{path.relative_to(entry.path)}": path.read_bytes() for path in entry.path.rglob("*") if path.is_file()
    }
    assert {name: content for name, (_, content) in found.items()} == files
    digests = {name: digest for name, (digest, _) in found.items()}
    assert len({digests["models/a.pt"], digests["models/deep/b.pt"], digests["models/model.yaml"]}) == 3
    write_files_layer(
        tmp_path / "layer",
        [
            Member.directory("models", uid=1034, gid=1034),
            Member.file("models/a.pt", str(entry.path / "a.pt"), uid=1034, gid=1034),
        ],
        "gzip",
        one_member=True,
    )
    assert f"sha256:{sha256_of(tmp_path / 'layer')}" == digests["models/a.pt"]
    (entry.path / "a.pt").write_bytes(b"b")
    [again] = push(store.home, entry, [reference], registries, progress, check=False, form="kserve")
    assert (done.sent, again.sent) == (5, 2), "a shard and the config"
    words = ["models", "push", "clf:v1", "--format", "kserve", "--no-verify"]
    assert main(["--home", str(store.home.root), *words, f"oci://{reference}"]) == status.OK
    assert repository.get_manifest("v1").descriptor.digest == again.reference.digest
    assert main(["--home", str(store.home.root), *words]) == status.ERROR
    (entry.path / "link").symlink_to("a.pt")
    with pytest.raises(BentoError, match="models/link is a symbolic link, which KServe doesn't support"):
        push(store.home, entry, [reference], registries, progress, check=False, form="kserve")


def test_no_pointer_of_git_lfs_is_built_or_pushed(tmp_path, bento, store, reference):
    """Nothing can load the weights."""
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 9999999\n"
    files = model_files("lfs:v1", payload=pointer)
    store.models.import_archive(write_archive(tmp_path / "lfs.bentomodel", files))
    project = tmp_path / "project"
    project.mkdir()
    (project / "service.py").write_text(
        "import bentoml\n@bentoml.service\nclass Svc:\n    model = bentoml.models.BentoModel('lfs:v1')\n"
    )
    push_words = [["models", "push", "lfs:v1", f"oci://{reference}", "--format", form] for form in FORMS]
    for words in (*push_words, ["models", "push", "lfs:v1", f"oci:{tmp_path}/dir"], ["build", project, "--no-lock"]):
        told = bento(*words, code=status.ERROR)
        message = "lfs:v1: weights.bin is a pointer of Git LFS, not the file. Run `git lfs pull`, or remove the file."
        assert message in told, words


def test_a_modelpack_artifact_has_a_layer_for_each_file(bento, store, registries, reference, progress):
    entry = store.models.get("clf:v1")
    (entry.path / "README.md").write_text("text")
    bento("models", "push", "clf:v1", f"oci://{reference}", "--format", "modelpack", "--no-verify")
    repository = registries.repository(reference)
    manifest = repository.get_manifest("v1")
    assert manifest.document["artifactType"] == "application/vnd.cncf.model.manifest.v1+json"
    found, kinds = {}, {}
    for layer in manifest.document["layers"]:
        path = layer["annotations"]["org.cncf.model.filepath"]
        kinds[path] = layer["mediaType"].removeprefix("application/vnd.cncf.model.")
        with repository.open_blob(layer["digest"]) as response:
            found[path] = b"".join(map(bytes, response.pieces()))
    files = {str(path.relative_to(entry.path)): path for path in entry.path.rglob("*") if path.is_file()}
    assert found == {path: file.read_bytes() for path, file in files.items()}
    assert kinds["README.md"] == "doc.v1.raw"
    assert kinds["weights.bin"] == "weight.v1.raw"
    [again] = push(store.home, entry, [reference], registries, progress, check=False, form="modelpack")
    assert again.sent == 0
    told = bento("models", "push", "clf:v1", "--format", "modelpack", code=status.ERROR)
    assert (
        "--format: BentoML's client for BentoCloud and Yatai has no such option. Remove the option, or specify" in told
    )


def test_an_image_for_kserve_has_the_modes_of_the_rule(store, registries, reference, progress):
    """Any user can read the files, also of a store that only its owner can read. Contents decide on execution."""
    entry = store.models.get("clf:v1")
    (entry.path / "deep").mkdir(0o700)
    for path, content, mode in (("a.pt", b"a", 0o600), ("run.sh", b"#!/bin/sh\n", 0o600), ("b", b"b", 0o700)):
        (entry.path / "deep" / path).write_bytes(content)
        (entry.path / "deep" / path).chmod(mode)
    push(store.home, entry, [reference], registries, progress, check=False, form="kserve")
    repository, modes = registries.repository(reference), dict[str, str]()
    for layer in repository.get_manifest("v1").document["layers"]:
        with repository.open_blob(layer["digest"]) as response:
            blob = b"".join(map(bytes, response.pieces()))
        with tarfile.open(fileobj=io.BytesIO(blob)) as tar:
            modes |= {member.name: f"{member.mode:o} {member.uid}" for member in tar}
    executable = ["models", "models/deep", "models/deep/run.sh", "models/folder"]
    assert {modes.pop(name) for name in executable} == {"755 1034"}
    assert set(modes.values()) == {"644 1034"}


def test_an_image_for_kserve_unpacks_to_the_model(tmp_path, store, registries, reference, progress):
    """skopeo verifies all digests, and umoci unpacks the layers, as runtimes do."""
    if not (shutil.which("skopeo") and shutil.which("umoci")):
        pytest.skip("skopeo or umoci is not here")
    entry = store.models.get("clf:v1")
    push(store.home, entry, [reference], registries, progress, form="kserve")
    for command in (
        f"skopeo copy --src-tls-verify=false docker://{reference.name}:v1 oci:{tmp_path}/layout:v1",
        f"umoci raw unpack --rootless --image {tmp_path}/layout:v1 {tmp_path}/root",
    ):
        subprocess.run(command.split(), check=True, capture_output=True, timeout=600)
    assert [path.name for path in (tmp_path / "root").iterdir()] == ["models"]
    unpacked = tmp_path / "root/models"
    files = {path.relative_to(entry.path): path.read_bytes() for path in entry.path.rglob("*") if path.is_file()}
    assert {path.relative_to(unpacked): path.read_bytes() for path in unpacked.rglob("*") if path.is_file()} == files


def test_the_tags_of_a_repository_are_listed(store, registries, reference, progress, capsys, monkeypatch):
    digests = {}
    for tag in "hi:v1", "hi:v2":
        [pushed] = push(store.home, store.bentos.get(tag), [reference], registries, progress)
        digests[tag] = pushed.reference.digest
    # A list of referrers isn't a tag of users.
    repository = registries.repository(reference)
    repository.put_manifest(repository.get_manifest("v1"), f"sha256-{'0' * 64}")
    assert main(["list", reference.name, "-o", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["tag"], row["digest"]) for row in rows] == [("v2", digests["hi:v2"]), ("v1", digests["hi:v1"])]
    assert all(row["created_at"].startswith("20") for row in rows)
    assert main(["list", f"oci://{reference.name}"]) == 0
    assert capsys.readouterr().out.split()[:4] == ["Tag", "Creation", "Time", "Digest"]
    assert main(["list", f"{reference.name}/none"]) == 1
    assert "404" in capsys.readouterr().err
    assert main(["list", f"{reference.name}:v1"]) == 1
    assert "expected REGISTRY/REPOSITORY without a tag" in capsys.readouterr().err
    monkeypatch.setattr(type(repository), "tags", lambda _: ["../../other/manifests/v1?x", "v1"])
    assert main(["list", reference.name]) == 1
    assert "invalid tag '../../other/manifests/v1?x'" in capsys.readouterr().err


def upload(reference, data: bytes, media_type: str) -> dict[str, object]:
    """Upload a blob, and return its descriptor."""
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    start = urllib.request.Request(
        f"http://{reference.registry}/v2/{reference.repository}/blobs/uploads/", method="POST"
    )
    with urllib.request.urlopen(start) as answer:
        place = answer.headers["Location"]
    finish = urllib.request.Request(f"{place}&digest={digest}", data=data, method="PUT")
    finish.add_header("Content-Type", "application/octet-stream")
    with urllib.request.urlopen(finish):
        return {"mediaType": media_type, "digest": digest, "size": len(data)}


def test_the_sbom_of_an_image_is_the_one_that_was_pushed_with_it(registries, reference, capsysbinary):
    config = upload(reference, b"{}", "application/vnd.oci.image.config.v1+json")
    repository = registries.repository(reference)

    def put(target: str, **fields) -> dict[str, object]:
        document = {"schemaVersion": 2, "mediaType": oci.MANIFEST, "config": config, "layers": []} | fields
        if "manifests" in fields:
            del document["config"], document["layers"]
        data = json.dumps(document).encode()
        manifest = oci.Manifest.read(data, document["mediaType"], "a test")
        repository.put_manifest(manifest, target or manifest.descriptor.digest)
        return {"mediaType": document["mediaType"], "digest": manifest.descriptor.digest, "size": len(data)}

    image = put("v1")
    put("index", mediaType=oci.INDEX, manifests=[image])
    assert main(["sbom", str(reference.with_tag("v1"))]) == 1
    assert b"the registry has no SBOM of this image." in capsysbinary.readouterr().err
    layers = [upload(reference, b'{"bomFormat": "CycloneDX"}', "application/vnd.cyclonedx+json")]
    referrer = put("", artifactType="application/vnd.cyclonedx+json", layers=layers, subject=image)
    digest = str(image["digest"]).replace(":", "-")
    entry = referrer | {"artifactType": "application/vnd.cyclonedx+json"}
    put(digest, mediaType=oci.INDEX, manifests=[entry])  # for a registry without the referrers API
    for tag in ("v1", "index"):
        assert main(["sbom", str(reference.with_tag(tag))]) == 0
        assert capsysbinary.readouterr().out == b'{"bomFormat": "CycloneDX"}'
    assert main(["sbom", str(reference.with_tag("v1")), "--format", "spdx"]) == 1


def test_the_sbom_of_a_bento_lists_its_models(store, capsysbinary):
    path = store.bentos.get("hi:v2").path / "env/python"
    path.mkdir(parents=True, exist_ok=True)
    (path / "requirements.txt").write_text("bentoml==1.4.39\n")
    assert main(["--home", str(store.home.root), "sbom", "hi:v2"]) == 0
    found = json.loads(capsysbinary.readouterr().out)["components"]
    assert [each["bom-ref"] for each in found] == ["model:clf:v1", "model:clf:v2", "pkg:pypi/bentoml@1.4.39"]


def test_a_build_pushes_what_it_built(store, other, registries, reference, progress, tmp_path, capsys, monkeypatch):
    directory = tmp_path / "svc"
    directory.mkdir()
    (directory / "service.py").write_text("import bentoml\n\n@bentoml.service\nclass Svc: ...\n")
    words = ["--home", str(store.home.root), "build", str(directory), "--version", "v9"]
    assert main([*words, "--push", str(reference), "--push", f"{reference}-more", "-o", "json"]) == 1
    assert "--push and --containerize can't be combined with --archive or -o." in capsys.readouterr().err
    assert main([*words, "--push", str(reference.with_tag("a")), "--push", str(reference.with_tag("b"))]) == 0
    assert "Pushed Bento svc:v9 to " in capsys.readouterr().out
    assert servers.tags(reference) == ["a", "b"]
    found = pull(other.home, BENTO, reference.with_tag("a"), registries, progress)
    assert found.entry.tag.version == "v9"
    seen, connected = [], library.connected
    monkeypatch.setattr(library, "connected", lambda hosts, *rest: seen.append(hosts) or connected(hosts, *rest))
    words[-1] = "v10"
    assert main([*words, "--push", str(reference.with_tag("c")), "--insecure", "a.test", "--insecure", "b.test"]) == 0
    assert seen == [("a.test", "b.test")]
    assert main([*words, "--insecure", "a.test"]) == 1
    assert "--insecure requires --push." in capsys.readouterr().err


def test_reports_on_stored_bentos_archives_and_images(tmp_path, bento, store, registries, reference, server, capsys):
    assert main(["--home", str(store.home.root), "report", "hi:v1", "hi:v2", "-o", str(tmp_path / "a.json")]) == 0
    told = json.loads((tmp_path / "a.json").read_text())
    assert [(model["tag"], bool(model["files"])) for model in told["models"]] == [("clf:v1", True), ("clf:v2", True)]
    assert {"bento.yaml", "src/new"} <= {each["name"] for each in told["changes"]["files"]}
    assert [(each["before"], each["after"]) for each in told["changes"]["models"]] == [("v1", "v1, v2")]
    store.bentos.export("hi:v2", tmp_path / "hi.bento")
    for page in ("b", "c"):
        assert main(["report", str(tmp_path / "hi.bento"), "-o", str(tmp_path / page)]) == 0
    assert (tmp_path / "b").read_bytes() == (tmp_path / "c").read_bytes()

    def image_of(path, content):
        layer = write_files_layer(tmp_path / f"layer{len(path)}", [Member.inline(path, content)], "gzip")
        documents = {"architecture": "amd64", "os": "linux", "config": {"User": "0"}}
        documents["rootfs"] = {"type": "layers", "diff_ids": [layer.diff_id]}
        config = json.dumps(documents).encode()
        blobs = {oci.digest_of(config): BytesSource(config), layer.digest: FileSource(tmp_path / f"layer{len(path)}")}
        described = oci.Descriptor.from_content(config, oci.CONFIG).to_json()
        manifest = {"schemaVersion": 2, "mediaType": oci.MANIFEST, "config": described, "layers": [layer.descriptor]}
        return Pushable(oci.Manifest.read(oci.to_bytes(manifest), oci.MANIFEST, ""), (), blobs)

    image = image_of("opt/a", b"1" * 99)
    push_package(image, [reference.with_tag("v1")], registries, Progress())
    write_directory(tmp_path / "layout", {"": image}, None)
    for target in (str(reference.with_tag("v1")), f"oci:{tmp_path / 'layout'}"):
        words = ["report", target, "-o", str(tmp_path / "image.json"), "--platform", "linux/amd64"]
        assert main(words) == 0, capsys.readouterr().err
        told = json.loads((tmp_path / "image.json").read_text())
        assert (told["target"], told["user"], len(told["layers"])) == (target, "0", 1)
    write_directory(tmp_path / "other", {"": image_of("app/lib/python3.12/site-packages/a.pth", b"import a\n")}, None)
    both = [target, f"oci:{tmp_path / 'other'}"]
    for targets, noted in ((both, True), (both[::-1], False)):
        assert main(["report", *targets, "-o", str(tmp_path / "image.json"), "--platform", "linux/amd64"]) == 0
        told = capsys.readouterr().err
        assert ("New code that runs at each start of Python: a.pth of /app/lib. Read these files." in told) is noted
    assert main(["--home", str(store.home.root), "report", "hi:v1", target, "--platform", "linux/amd64"]) == 1
    assert "a Bento can't be compared with an image" in capsys.readouterr().err


@pytest.mark.parametrize("columns", [60, 80])
def test_a_transfer_is_one_line_of_a_terminal(tmp_path, server, monkeypatch, columns):
    """A slow server, and 14 names of 5 to 60 letters."""
    store = Store(tmp_path / "names", durable=False)
    names = [f"n{number:02}{'x' * (number * 55 // 39 + 2)}" for number in range(0, 40, 3)]
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    monkeypatch.setattr("rules_bento.base.net.transfers._INTERVAL", 0)
    monkeypatch.setattr(terminal.state, "color", "never")
    chance = random.Random(2)
    with relay.Relay(server.port, rate=4_000_000) as way, os.fdopen(theirs, "w", encoding="utf-8") as out:
        for name in names:
            files = bento_files(f"{name}:v1", DAY_1, src__weights=chance.randbytes(200_000))
            store.bentos.import_archive(write_archive(tmp_path / "archive.bento", files))
            store.bentos.push(f"{name}:v1", f"127.0.0.1:{way.port}/lines-{columns}/{name}", out=out)
            out.write("|\n")
            out.flush()
            shown = b""
            while not shown.endswith(b"|\r\n"):
                shown += os.read(ours, 1 << 16)
            *bars, end = [line for line in shown.decode().removesuffix("|\r\n").split("\r") if line]
            assert end == "\x1b[K"
            assert bars
            for bar in bars:
                line = bar.removesuffix("\x1b[K")
                assert line.startswith(("Packing n", "Pushing n"))
                assert len(line) < columns
                assert "\n" not in line
            assert any("/" in bar and " %  " in bar for bar in bars)
    os.close(ours)


def test_an_interrupted_pull_reports_what_is_kept(bento, other, reference, monkeypatch):
    bento("push", "hi:v1", str(reference.with_tag("v1")))
    fetched = pull_entry.download

    def stop(repository, blob, path, counter):
        if blob.size > 100_000:
            path.with_name(f".{path.name}.part").write_bytes(b"1" * 2048)
            raise KeyboardInterrupt
        fetched(repository, blob, path, counter)

    monkeypatch.setattr(pull_entry, "download", stop)
    shown = bento("pull", str(reference.with_tag("v1")), home=other, code=status.INTERRUPTED)
    assert re.search(r"interrupted. \d+\.\d\d KiB of \d+\.\d\d KiB are kept, and the next pull resumes.\n", shown)


def test_a_push_ends_with_the_digest_and_prints_requests_without_secrets(bento, store, reference, monkeypatch):
    monkeypatch.setenv("BENTO_TRACEBACK", "")  # -vv sets it
    target = str(reference.with_tag("v1"))
    digest = bento("push", "hi:v1", target).splitlines()[-1]
    assert re.fullmatch("Digest: sha256:[0-9a-f]{64}", digest)
    assert bento("push", "hi:v1", target).splitlines()[-1] == digest
    requests = bento("-vv", "push", "hi:v2", str(reference.with_tag("v2")))
    assert re.search(r"debug: PUT http://127.0.0.1:\d+/v2/.*: 201", requests)
    assert re.search(r"step: .*: sent blob sha256:[0-9a-f]{64} \([\d.]+ (KiB|B)\)", requests)
    assert "_state" not in requests
    assert "?" not in requests
