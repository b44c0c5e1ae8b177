"""`--cache-from` and `--cache-to`: layers of packages in a registry, and the notes that describe the layers."""

import base64
import gzip
import json
import re
import socket
from contextlib import nullcontext
from pathlib import Path

import pytest
from bento_cli.cli import status
from bento_cli.sharing import native_project, registry_cache
from bento_cli.sharing.image_options import read_options
from bento_cli.sharing.native_base import BaseImageContents
from bento_cli.sharing.registry_cache import CachedLayer
from rules_bento.base.errors import BentoError
from rules_bento.base.formats.oci import MANIFEST, Layer, digest_of
from rules_bento.base.net.transfers import Progress
from rules_bento.images.layers.layer import MEDIA_TYPES
from rules_bento.images.plan import PlannedLayer, PlannedWheel
from rules_bento.images.registry.blob_sources import BytesSource, RemoteSource
from rules_bento.images.registry.client import Registries
from rules_bento.images.registry.descriptor import Descriptor, Manifest
from rules_bento.images.registry.layout import Layout
from rules_bento.images.registry.push_to_registry import upload
from rules_bento.images.registry.reference import Reference
from rules_bento.images.signing import cosign
from rules_bento.images.signing.keys import read_private
from rules_bento.images.system_packages import InstalledPackage, SystemFiles
from rules_bento.images.wheels.declared_license import DeclaredLicense
from rules_bento.images.wheels.elf import Elf
from rules_bento.images.wheels.libraries import Libraries, Linked

from tests.helpers.loopback import Handler, running
from tests.helpers.made_layers import LAYOUT
from tests.sharing.cache_support import get_notes, has_base, push_base, put_note
from tests.sharing.image_support import add, locked, read_facts

ALL = [f"{name}-1.0-py3-none-any.whl" for name in ("acme_tools", "bentoml", "large", "tiny")]


def test_a_machine_without_wheels_gets_the_same_image_from_the_registry(machines, name, tmp_path):
    cache = f"{machines.host}/{name}"
    digest, downloaded, _ = machines.build("--cache-to", cache)
    assert downloaded == ALL
    for tag in ("web:v2", f"{name}-other:v1"):
        assert machines.build("--cache-from", cache, tag=tag)[:2] == (digest, [])
    assert not [*(tmp_path / "cache-3").rglob("*.whl")]
    assert len([*(tmp_path / "cache-3").rglob("blob")]) == 2, "the environment, and the program"
    found, downloaded, told = machines.build("--cache-from", f"{machines.host}/{name}-absent")
    assert (found, downloaded) == (digest, ALL)
    assert "--cache-from has 0 of 2 layers of packages." in told
    copy = f"{machines.host}/{name}-copy"
    assert machines.build("--cache-from", cache, "--cache-to", copy)[:2] == (digest, [])
    assert get_notes(machines.host, f"{name}-copy") == get_notes(machines.host, name)


def test_a_machine_without_wheels_needs_no_layers_of_the_base(machines, name, second_server, tmp_path):
    cache, copy = (f"{machines.host}/{name}{end}" for end in ("", "-copy"))
    _, layer = push_base(machines, name)
    digest, *_ = machines.build("--cache-to", cache)
    assert has_base(machines, layer)
    assert machines.build("--cache-from", cache, "--cache-to", copy)[:2] == (digest, [])
    assert not has_base(machines, layer)
    [pulled] = machines.cache.glob("bases/*/index.json")
    before = pulled.stat().st_ino, pulled.stat().st_mtime_ns
    assert machines.build("--cache-from", cache, new=False)[:2] == (digest, [])
    assert (pulled.stat().st_ino, pulled.stat().st_mtime_ns) == before
    assert get_notes(machines.host, f"{name}-copy") == get_notes(machines.host, name)
    assert len(get_notes(machines.host, name)) == 3
    # The layers are streamed to another registry.
    machines.host, host = second_server.host, machines.host
    assert machines.build("--cache-from", cache, tag=f"{name}:v1")[:2] == (digest, [])
    assert not has_base(machines, layer)
    with Registries() as registries:
        pushed = registries.repository(Reference.parse(f"{machines.host}/{name}"))
        assert all(pushed.has_blob(each.digest, each.size) for each in pushed.get_manifest("v1").layers())
    machines.host = host
    # A local image contains the layers, and a build without the option reads them.
    for words, new in ((["--cache-from", cache, "--output", f"oci:{tmp_path / 'out'}"], True), ([], False)):
        assert machines.build(*words, new=new)[0] == digest
        assert has_base(machines, layer)


def test_layers_of_a_local_image_come_from_the_registry(machines, name, tmp_path):
    cache = f"{machines.host}/{name}"
    out = ["--output", f"oci:{tmp_path / 'out'}"]
    digest, *_ = machines.build("--cache-to", cache)
    assert machines.build("--cache-from", cache, *out, push=False)[:2] == (digest, [])
    assert Layout.open(tmp_path / "out").find().descriptor.digest == digest
    kept = [*(tmp_path / f"cache-{machines.number}").rglob("blob")]
    assert len(kept) == 4, "the environment, the large package, the small packages, and the program"
    for words in (["--cache-from", cache], []):
        assert machines.build(*words, *out, new=False, push=False)[:2] == (digest, [] if words else ALL)
    assert len({*(tmp_path / f"cache-{machines.number}").rglob("blob")} - {*kept}) == 2, "without trust"


def test_a_layer_that_the_registry_lost_is_built_and_written_again(machines, name, server):
    cache = f"{machines.host}/{name}"
    digest, *_ = machines.build("--cache-to", cache)
    note = max(get_notes(machines.host, name).values(), key=lambda note: note["size"])
    server.blobs()[note["digest"]].unlink()
    assert machines.build("--cache-from", cache, "--cache-to", cache)[:2] == (digest, ["large-1.0-py3-none-any.whl"])
    assert machines.build("--cache-from", cache)[:2] == (digest, [])


def test_a_layer_is_copied_if_it_cannot_be_mounted(machines, name, second_server):
    """From another registry."""
    cache = f"{second_server.host}/{name}"
    digest, *_ = machines.build("--cache-to", cache)
    machines.host, host = second_server.host, machines.host
    machines.build(tag=f"{name}:v1")  # with the base
    machines.host = host
    assert machines.build("--cache-from", cache, tag=f"{name}:v1")[:2] == (digest, [])
    with Registries() as registries:
        pushed = registries.repository(Reference.parse(f"{host}/{name}"))
        assert all(pushed.has_blob(layer.digest, layer.size) for layer in pushed.get_manifest("v1").layers())


def test_a_login_is_sent_only_to_the_registry(machines, tmp_path, monkeypatch):
    """A cache that requires a login, and leads to another server."""
    seen = []

    class Other(Handler):
        def do_GET(self):
            seen.append(("other", self.headers.get("Authorization")))
            self.send(404)

        do_HEAD = do_GET

    with running(Other) as other:

        class Cache(Handler):
            def do_GET(self):
                login = self.headers.get("Authorization")
                seen.append(("cache", login))
                headers = {"Location": f"http://{other.host}{self.path}", "WWW-Authenticate": "" if login else "Basic"}
                self.send(307 if login else 401, headers=headers)

        with running(Cache) as cache:
            login = base64.b64encode(b"me:TOPSECRET").decode()
            (tmp_path / "docker").mkdir()
            (tmp_path / "docker/config.json").write_text(json.dumps({"auths": {cache.host: {"auth": login}}}))
            monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
            _, downloaded, told = machines.build("--cache-from", f"{cache.host}/cache")
    assert downloaded == ALL
    assert ("cache", f"Basic {login}") in seen
    assert {sent for place, sent in seen if place == "other"} == {None}
    assert "TOPSECRET" not in told


def test_sizes_of_the_lock_are_verified(machines, tmp_path):
    """The groups of small packages depend on them, also if no package is downloaded."""
    lock = tmp_path / "project/uv.lock"
    lock.write_text(re.sub(r"(large-1.0.*size = )\d+", r"\g<1>7", lock.read_text()))
    *_, told = machines.build(code=status.ERROR)
    assert "large-1.0-py3-none-any.whl: the lock or the index states 7 bytes, but the file has " in told


def test_only_notes_with_a_signature_of_the_key_are_used(machines, name, keys):
    key, public, other, _ = keys
    signed, unsigned = (f"{machines.host}/{name}-{end}" for end in ("signed", "unsigned"))
    digest, *_ = machines.build("--cache-to", signed, "--sign-key", key)
    assert machines.build("--cache-from", signed, "--cache-key", public, "--cache-to", unsigned)[:2] == (digest, [])
    for cache, trusted, message in (
        (unsigned, public, "a note isn't signed. Push with --cache-to and --sign-key."),
        (signed, other, "the signature was created with a different key"),
    ):
        found, downloaded, told = machines.build("--cache-from", cache, "--cache-key", trusted)
        assert (found, downloaded) == (digest, ALL)
        assert f"--cache-from {cache}: {message}" in told
    # The signature of another layer, and of another kind of statement.
    with Registries() as registries:
        place = registries.repository(Reference.parse(signed))
        one, two = (place.get_manifest(tag) for tag in place.tags())
        for config, bundle in ((one.config, two.layers()[1]), (one.config, other_kind(place, one.config, key))):
            layers = [one.layers()[0].to_json(), bundle.to_json()]
            document = {**one.document, "layers": layers}
            place.put_manifest(Manifest.read(json.dumps(document).encode(), MANIFEST, "x"), place.tags()[0])
            config_of_first = json.loads(gzip.decompress(place.read_blob(config)))
            _, downloaded, told = machines.build("--cache-from", signed, "--cache-key", public)
            assert len(downloaded) == len(config_of_first["packages"])
            assert f"--cache-from {signed}: the signature is" in told


def test_a_key_signs_no_note_that_it_cannot_verify(machines, name, keys):
    key, public, other, other_key = keys
    push_base(machines, name)
    open_to_all, signed = (f"{machines.host}/{name}-{end}" for end in ("open", "signed"))
    digest, *_ = machines.build("--cache-to", open_to_all)
    words = ["--cache-from", open_to_all, "--cache-to", signed, "--sign-key", key]
    message = "--sign-key: the key would sign layers of --cache-from that no key verified. Add --cache-key, or remove"
    assert message in machines.build(*words, code=1)[2]
    # An identity signs as a key does here.
    machines.monkeypatch.setattr(
        native_project, "read_options", lambda options, names, _, table: read_options(options, names, table=table)
    )
    here = machines.host.replace("127.0.0.1", "localhost")
    for target in (signed, open_to_all.replace(machines.host, here)):
        words[3] = target
        assert machines.build(*words)[:2] == (digest, [])
        found, downloaded, told = machines.build("--cache-from", target, "--cache-key", public)
        assert (found, downloaded) == (digest, ALL)
        assert "--cache-from has 0 of 2 layers of packages." in told
    # What a machine writes or verifies is signed, also the note of the base.
    with Registries() as registries:
        place = registries.repository(Reference.parse(open_to_all))
        lost = max(get_notes(machines.host, f"{name}-open").items(), key=lambda item: item[1].get("size", 0))
        place.put_manifest(place.get_manifest(min({*place.tags()} - {lost[0]})), lost[0])  # now invalid
    words[3] = signed
    assert machines.build(*words)[:2] == (digest, ["large-1.0-py3-none-any.whl"])
    assert get_notes(machines.host, f"{name}-signed").keys() == {lost[0]}
    machines.build("--cache-to", signed, "--sign-key", other_key)
    machines.monkeypatch.setenv("COSIGN_PRIVATE_KEY", key.read_text())
    words = ["--cache-from", signed, "--cache-key", other, "--cache-to", f"{signed}-2"]
    words += ["--sign-key", "env://COSIGN_PRIVATE_KEY"]
    assert machines.build(*words)[:2] == (digest, [])
    assert machines.build("--cache-from", f"{signed}-2", "--cache-key", public)[:2] == (digest, [])
    assert len(get_notes(machines.host, f"{name}-signed-2")) == 3


def test_a_machine_signs_only_notes_that_the_registry_lacks(machines, name, keys, tmp_path, server):
    cache, signed, sign = f"{machines.host}/{name}", [], cosign.bundle_statement
    machines.monkeypatch.setattr(cosign, "bundle_statement", lambda *words: signed.append(words) or sign(*words))
    key, _, public, other = keys
    push_base(machines, name)

    def build(key):
        signed.clear()
        assert machines.build("--cache-to", cache, "--sign-key", key, new=False)[0] == digest
        kinds = [json.loads(statement)["predicateType"] for statement, _ in signed]
        with Registries() as registries:
            place = registries.repository(Reference.parse(cache))
            return kinds.count(registry_cache.NOTE), {tag: place.manifest_digest(tag) for tag in place.tags()}

    digest, *_ = machines.build()
    (count, first), again = build(key), build(key)
    assert (count, again) == (3, (0, first))
    count, second = build(other)
    assert (count, second.keys() & first.keys(), [*second.values()] == [*first.values()]) == (3, first.keys(), False)
    # A blob that the registry lost is written again, and a note that another user replaced is signed again.
    server.blobs()[
        max(get_notes(machines.host, name).values(), key=lambda note: note.get("size", 0))["digest"]
    ].unlink()
    assert build(other) == (0, second)
    with Registries() as registries:
        place = registries.repository(Reference.parse(cache))
        place.put_manifest(place.get_manifest(max(second)), min(second))
    assert build(other)[0] == 1
    assert machines.build("--cache-from", cache, "--cache-key", public)[:2] == (digest, [])


def other_kind(place, config, key):
    """A signature of a config, as of an image."""
    statement = cosign.make_statement("x", config.digest, cosign.SIGNED, {})
    content = cosign.bundle_statement(statement, read_private(str(key), Path()))
    upload(place, digest_of(content), len(content), BytesSource(content), Progress())
    return Descriptor.from_content(content, cosign.BUNDLE)


def test_a_registry_that_fails_is_reported_once_and_not_used(machines, name):
    digest, *_ = machines.build()
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{closed.getsockname()[1]}"
        found, downloaded, told = machines.build("--cache-from", f"{host}/cache")
    assert (found, downloaded) == (digest, ALL)
    assert told.count(f"--cache-from {host}/cache: ") == 1


@pytest.mark.parametrize("value", ["cache", "registry.example/cache:tag", "type=registry,ref=registry.example/cache"])
def test_a_cache_is_a_repository(value):
    with pytest.raises(BentoError, match=f"--cache-from: expected HOST/NAME, got '{value}'."):
        read_options({"cache-from": [value], "push": True}, ["registry.example/web:v1"])


def test_a_bento_uses_the_layers_of_a_project(machines, name, bento, store, wheels, tmp_path, monkeypatch):
    """With wheels of equal names, sizes, and digests."""
    cache = f"{machines.host}/{name}"
    machines.build("--cache-to", cache)
    add(store, tmp_path, locked(wheels))
    words = ["containerize", "nat", "--backend", "native", "--base", f"oci:{machines.base}", "-o", "json", "--push"]
    words += ["-t", f"{machines.host}/nat:v1"]
    digests = []
    for number, option in enumerate(["--cache-from", "--cache-to"]):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / f"bento-{number}"))
        machines.downloaded.clear()
        digests.append(read_facts(bento(*words, option, cache))["digest"])
        assert sorted(machines.downloaded) == (ALL if number else [])
    assert digests[0] == digests[1]


def test_a_machine_that_needs_no_wheels_does_not_ask_uv_again(machines, name, bento, store, wheels, tmp_path, local):
    """Addresses of wheels can expire before a build needs the wheels."""
    cache = f"{machines.host}/{name}"
    add(store, tmp_path, locked(wheels))
    words = ["containerize", "nat", "--backend", "native", "--base", f"oci:{machines.base}", "-o", "json", "--push"]
    words += ["-t", f"{machines.host}/nat:v1"]

    def build(*more, code=0):
        machines.downloaded.clear()
        told = bento(*words, *more, code=code)
        return (told, *machines.downloaded) if code else (read_facts(told)["digest"], *sorted(machines.downloaded))

    machines.monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "first"))
    digest, *downloaded = build("--cache-to", cache)
    assert downloaded == ALL
    machines.monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "second"))
    assert build("--cache-from", cache) == (digest,)
    (local / "uv").rename(local / "absent")
    assert build("--cache-from", cache) == (digest,)
    machines.expired.append(1)
    machines.monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "other-uv"))
    assert "uv, which finds" in build(code=status.ERROR)[0]
    (local / "absent").rename(local / "uv")
    assert build() == (digest, *ALL)
    assert build() == (digest,)


# What a liar writes into a note: changed fields, and a word of the message that ignores the note.
WHEEL = "large-1.0-py3-none-any.whl"
LIES = {
    "another wheel's key": ({"key": "0" * 64}, "wrong key"),
    "10 GB": ({"size": 10 << 30}, "wrong sizes"),
    "no bytes": ({"size": 0}, "wrong sizes"),
    "a negative size": ({"size": -1}, "wrong sizes"),
    "a bool": ({"size": True}, "size: expected a number"),
    "16 EB": ({"uncompressed_size": 1 << 64}, "wrong sizes"),
    "a digest of another algorithm": ({"digest": "sha512:" + "0" * 128}, "wrong digests"),
    "a path as the digest": ({"digest": "../../../canary"}, "wrong digests"),
    "a path as the diff ID": ({"diff_id": "sha256:" + "/" * 64}, "wrong digests"),
    "no wheels": ({"packages": []}, "wrong wheels"),
    "another wheel": ({"packages": [Libraries("tiny-1.0-py3-none-any.whl", "tiny", ()).dumps()]}, "wrong wheels"),
    "another package": ({"packages": [Libraries(WHEEL, "tiny", ()).dumps()]}, "wrong packages"),
    "another type": ({"packages": [Libraries(WHEEL, "large", (), requires=frozenset([1])).dumps()]}, "invalid properties"),
    "an object": ({"packages": [{"wheel": WHEEL}]}, "expected a string"),
    "a deep value": ({"packages": ["[" * 100_000]}, ""),
    "nothing": ({"packages": None}, "packages: expected a list"),
}  # fmt: skip


def planned_layer():
    wheel = PlannedWheel("large", "1.0", WHEEL, 3 << 20, "0" * 64, (), None, None)
    return PlannedLayer("large 1.0", [True, LAYOUT, [wheel.key]], None, (wheel,))


def honest_note():
    layer = Layer(MEDIA_TYPES["gzip"], "sha256:" + "a" * 64, 3 << 20, "sha256:" + "b" * 64, None, 3 << 20, "large 1.0")
    elf = Elf("amd64", "lib.so", ("libc.so.6",), ("GLIBC_2.28",), ("$ORIGIN",), ("large",), False, ("sm_90",))
    package = Libraries(
        WHEEL, "large", (Linked("large/lib.so", elf),), frozenset(["lib"]), (("large/lib.so", "amd64"),),
        frozenset(["large/lib.so"]), {"large/lib.so": "sha256:1"}, frozenset(["numpy"]),
        DeclaredLicense("MIT", "MIT", ("License ::",)),
    )  # fmt: skip
    return CachedLayer(layer, (package,), RemoteSource(None, layer.digest))


def test_a_note_has_all_that_a_build_needs():
    assert not [value for value in (*honest_note().packages[0], *registry_cache._EXAMPLE[:2]) if value == ()]
    planned, note = planned_layer(), honest_note()
    assert CachedLayer.loads(planned, "gzip", registry_cache.dumps(planned.shared_key("gzip"), note), None) == note


@pytest.mark.parametrize("lie", LIES)
def test_a_forged_note_is_ignored(lie):
    planned = planned_layer()
    fields = json.loads(gzip.decompress(registry_cache.dumps(planned.shared_key("gzip"), honest_note())))
    changed, message = LIES[lie]
    with pytest.raises(BentoError, match=f"the note of large 1.0.*{message}"):
        CachedLayer.loads(planned, "gzip", gzip.compress(json.dumps(fields | changed).encode()), None)


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{}", gzip.compress(b"[]"), gzip.compress(b"{}") + b"x", gzip.compress(b"{}")[:-1],
        gzip.compress(bytes(registry_cache._MAX_TEXT + 1)), gzip.compress(b"[" * 1_000_000),
    ],
    ids=len,
)  # fmt: skip
def test_a_note_is_compressed_json_of_a_limited_size(content):
    with pytest.raises(
        BentoError,
        match=r"^the note of large 1\.0: (.* gzip\. Build the image again with --cache-to\.|.*object\.|.*values\.)",
    ):
        CachedLayer.loads(planned_layer(), "gzip", content, None)


BASE = {
    "python": "/usr/local/bin/python3",
    "version": "3.12",
    "release": "3.12.4",
    "system": SystemFiles(("debian",), (InstalledPackage("libc6", "2.36-9", "amd64", (("libc", ""),)),)).dumps(),
    "libraries": ["libc.so.6"],
    "uncompiled": 0,
}
LIES_ON_BASES = {
    "another base": ({"key": "0" * 64}, "wrong key"),
    "no interpreter": ({"python": ""}, "wrong interpreter"),
    "an option as the release": ({"release": "3.12.4 --index-url http://x"}, "wrong interpreter"),
    "another release": ({"release": "3.13.1"}, "wrong interpreter"),
    "a huge version": ({"version": "3." + "9" * 5000, "release": ""}, "wrong interpreter"),
    "digits of another script": ({"version": "3.१२", "release": ""}, "wrong interpreter"),
    "codes for the terminal": ({"python": "/\x1b[2J/bin/python3"}, "wrong interpreter"),
    "a list": ({"python": ["/usr/local/bin/python3"]}, "python: expected a string"),
    "modules instead of their number": ({"uncompiled": ["os.py"]}, "uncompiled: expected a number"),
    "a library that is a number": ({"libraries": [1]}, r"libraries\[0\]: expected a string"),
    "no packages": ({"system": "{}"}, "invalid properties"),
    "packages of another type": ({"system": '{"ids": [], "packages": [[1, "", "", []]]}'}, "invalid properties"),
    "packages without fields": ({"system": '{"ids": [], "packages": [[]]}'}, "invalid properties"),
    "a deep value": ({"system": "[" * 100_000}, ""),
    "nothing": ({"system": None}, "system: expected a string"),
}


@pytest.mark.parametrize("lie", [None, *LIES_ON_BASES])
def test_a_forged_note_of_a_base_is_ignored(lie):
    changed, message = LIES_ON_BASES.get(lie, ({}, ""))
    fields = {"key": "1" * 64} | BASE | {"run": "touch x"} | changed
    content = gzip.compress(json.dumps(fields).encode())
    with pytest.raises(BentoError, match=f"the note of the base.*{message}") if lie else nullcontext():
        note = registry_cache.CachedBase.loads("1" * 64, content, "registry/cache")
        assert (note.fields, note.repositories) == (BASE, ["registry/cache"])


@pytest.mark.parametrize(("version", "glibc"), [("2.36-9", (2, 36)), ("2." + "9" * 5000, None), ("9" * 5000, None)])
def test_the_version_of_glibc_is_small(version, glibc):
    """For another value, the search for compatible tags would not end."""
    system = SystemFiles((), (InstalledPackage("libc6", version, "amd64"),))
    assert BaseImageContents(*[None] * 8, system, ()).glibc == glibc


def test_notes_of_a_liar_change_nothing(machines, name, tmp_path):
    """A user who can write the repository, but has no wheels: only complete and plausible notes are used."""
    canary = tmp_path / "canary"
    digest, *_ = machines.build("--cache-to", f"{machines.host}/{name}")
    notes = get_notes(machines.host, name)
    [large] = [key for key, note in notes.items() if note["size"] > 1 << 20]
    fields = notes[large] | {"path": str(canary), "run": f"touch {canary}", "name": f"../../../{canary}"}
    layer = b"not the layer"
    absent = fields | {"digest": "sha256:" + "0" * 64}
    forgeries = [
        (fields | {"size": 12}, False),
        (fields | {"digest": digest_of(layer), "size": 1 << 20}, False),
        (absent, False),
        (fields | {"size": 10 << 30}, True),
        ("x", True),
    ]
    for number, (content, is_reported) in enumerate(forgeries):
        cache = f"{name}-{number}"
        packed = gzip.compress(json.dumps(content).encode())
        put_note(machines.host, cache, large, packed, layer)
        found, downloaded, told = machines.build("--cache-from", f"{machines.host}/{cache}")
        assert (found, downloaded) == (digest, ALL)
        assert (f"--cache-from {machines.host}/{cache}: " in told) is is_reported, told
    assert not canary.exists()
