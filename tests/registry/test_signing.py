"""What is signed here and by cosign: keys, files, layouts and what registries have; by hand, cosign itself is the judge."""

import hashlib
import json
import re
import sys
from base64 import b64decode, b64encode
from contextlib import nullcontext
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from bento_cli.cli import main, status
from cryptography.hazmat.primitives import serialization as pem
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from nacl.secret import SecretBox
from rules_bento.actions import subcommands
from rules_bento.base.dataclasses_lite import replace
from rules_bento.base.errors import BentoError
from rules_bento.images.artifacts import artifact, signatures
from rules_bento.images.artifacts.signatures import InLayout, InRegistry
from rules_bento.images.registry import RegistryError
from rules_bento.images.registry import descriptor as oci
from rules_bento.images.registry.blob_sources import Pushable
from rules_bento.images.registry.descriptor import Descriptor, Manifest
from rules_bento.images.registry.layout import Layout
from rules_bento.images.registry.push_to_registry import push
from rules_bento.images.registry.reference import Reference
from rules_bento.images.signing import SignatureError, cosign, provenance, signature_policy, to_json, verification
from rules_bento.images.signing.keys import PASSWORD, PrivateKey, read_private, read_public, sha256_digest

from tests.registry import servers
from tests.registry.images import image_contents, make_image, make_index

COSIGN = json.loads(Path("tests/registry/cosign.json").read_text("utf-8"))
BUILDER = "https://ci.example.com/builders/1"


def private_pem(key, form=pem.PrivateFormat.PKCS8) -> bytes:
    return key.private_bytes(pem.Encoding.PEM, form, pem.NoEncryption())


def public_pem(key) -> bytes:
    return key.public_key().public_bytes(pem.Encoding.PEM, pem.PublicFormat.SubjectPublicKeyInfo)


def encrypted_pem(key, password: bytes, kind: str, cost: int = 1 << 15, rounds: int = 8) -> bytes:
    """The form that cosign writes."""
    salt, nonce = bytes(32), bytes(24)
    secret = hashlib.scrypt(password, salt=salt, n=cost, r=rounds, p=1, maxmem=256 << 20, dklen=32)
    der = key.private_bytes(pem.Encoding.DER, pem.PrivateFormat.PKCS8, pem.NoEncryption())
    document = {
        "kdf": {"name": "scrypt", "params": {"N": cost, "r": rounds, "p": 1}, "salt": b64encode(salt).decode()},
        "cipher": {"name": "nacl/secretbox", "nonce": b64encode(nonce).decode()},
        "ciphertext": b64encode(SecretBox(secret).encrypt(der, nonce).ciphertext).decode(),
    }
    return b"-----BEGIN %s-----\n%s\n-----END %s-----\n" % (kind.encode(), b64encode(to_json(document)), kind.encode())


@pytest.fixture
def keys(tmp_path):
    """Files with two pairs of keys: k.key and k.pub, other.key and other.pub."""
    directory = tmp_path / "keys"
    directory.mkdir()
    for name in ("k", "other"):
        key = ec.generate_private_key(ec.SECP256R1())
        (directory / f"{name}.key").write_bytes(private_pem(key))
        (directory / f"{name}.pub").write_bytes(public_pem(key))
    return directory


@pytest.fixture
def key(keys):
    return read_private("k.key", keys)


@pytest.fixture
def other(keys):
    return read_private("other.key", keys)


@pytest.fixture
def layout(tmp_path):
    """A layout with an image."""
    made = make_image(tmp_path / "image")
    layout = Layout.create(tmp_path / "layout")
    for source in made.sources.values():
        layout.add(source.path.read_bytes())
    layout.add_manifest(made.root, "v1")
    return layout


def subject_of(digest: str) -> Descriptor:
    return Descriptor(oci.MANIFEST, digest, 1)


def verified_provenance(place, digest: str, key) -> dict:
    return signatures.verify_attestation(place, digest, [provenance.PREDICATE], "provenance", key)


# Keys


def test_an_encrypted_key_without_the_package_is_an_error(tmp_path, monkeypatch):
    key = ec.generate_private_key(ec.SECP256R1())
    (tmp_path / "k").write_bytes(encrypted_pem(key, b"pass word", "ENCRYPTED SIGSTORE PRIVATE KEY"))
    monkeypatch.setenv(PASSWORD, "pass word")
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.kdf.scrypt", None)
    with pytest.raises(BentoError, match="Signing requires cryptography and pynacl"):
        read_private("k", tmp_path)


@pytest.mark.parametrize(
    "form", [pem.PrivateFormat.PKCS8, pem.PrivateFormat.TraditionalOpenSSL], ids=["PKCS 8", "traditional"]
)
@pytest.mark.parametrize(
    "made", [ec.generate_private_key(ec.SECP256R1()), rsa.generate_private_key(65537, 2048)], ids=["P-256", "RSA"]
)
def test_unencrypted_keys_sign(tmp_path, made, form):
    parameters = b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"  # of openssl ecparam
    (tmp_path / "k").write_bytes(
        (parameters if isinstance(made, ec.EllipticCurvePrivateKey) else b"") + private_pem(made, form)
    )
    (tmp_path / "p").write_bytes(public_pem(made))
    signature = read_private("k", tmp_path).sign(sha256_digest(b"x"))
    public = read_public("p", tmp_path)
    assert public.verifies(signature, sha256_digest(b"x"))
    assert not public.verifies(signature, sha256_digest(b"y"))
    assert not public.verifies(b"", sha256_digest(b"x"))


@pytest.mark.parametrize("kind", ["ENCRYPTED SIGSTORE PRIVATE KEY", "ENCRYPTED COSIGN PRIVATE KEY"])
def test_cosigns_keys_are_opened_by_their_password(tmp_path, monkeypatch, kind):
    made = ec.generate_private_key(ec.SECP256R1())
    (tmp_path / "k").write_bytes(encrypted_pem(made, b"pass word", kind))
    monkeypatch.delenv(PASSWORD, raising=False)
    with pytest.raises(BentoError, match="k: the key is encrypted. Set COSIGN_PASSWORD"):
        read_private("k", tmp_path)
    monkeypatch.setenv(PASSWORD, "another")
    with pytest.raises(BentoError, match="wrong password or damaged key") as caught:
        read_private("k", tmp_path)
    assert "another" not in str(caught.value)
    (tmp_path / "word").write_text("pass word\n")
    assert read_private("k", tmp_path, "word").sign(sha256_digest(b"x"))
    monkeypatch.setenv(PASSWORD, "pass word")
    monkeypatch.setenv("KEY", (tmp_path / "k").read_text())
    assert read_private("env://KEY", tmp_path).sign(sha256_digest(b"x"))


def test_what_cosign_wrote_is_a_key(tmp_path, monkeypatch):
    (tmp_path / "cosign.key").write_text(COSIGN["private_key"])
    (tmp_path / "cosign.pub").write_text(COSIGN["public_key"])
    monkeypatch.setenv(PASSWORD, COSIGN["password"])
    signature = read_private("cosign.key", tmp_path).sign(sha256_digest(b"x"))
    assert read_public("cosign.pub", tmp_path).verifies(signature, sha256_digest(b"x"))


def test_work_that_is_not_cosigns_is_not_done(tmp_path, monkeypatch):
    made = ec.generate_private_key(ec.SECP256R1())
    monkeypatch.setenv(PASSWORD, "")
    content = encrypted_pem(made, b"", "ENCRYPTED SIGSTORE PRIVATE KEY", cost=2, rounds=1)
    (tmp_path / "k").write_bytes(content)
    with pytest.raises(BentoError, match="unsupported encryption"):
        read_private("k", tmp_path)


@pytest.mark.parametrize(
    ("made", "name"),
    [
        (ed25519.Ed25519PrivateKey.generate(), "Ed25519"),
        (ec.generate_private_key(ec.SECP384R1()), "secp384r1"),
        (rsa.generate_private_key(65537, 1024), "RSA key of 1024 bits"),
    ],
    ids=["Ed25519", "P-384", "RSA 1024"],
)
def test_keys_that_cosigns_own_commands_do_not_agree_on_are_rejected(tmp_path, made, name):
    (tmp_path / "k").write_bytes(private_pem(made))
    (tmp_path / "p").write_bytes(public_pem(made))
    with pytest.raises(BentoError, match=rf"k: .*{name}.* isn't supported. Use an ECDSA P-256 key"):
        read_private("k", tmp_path)
    with pytest.raises(BentoError, match=rf"p: .*{name}.* isn't supported. Use an ECDSA P-256 key"):
        read_public("p", tmp_path)


def test_an_invalid_key_is_rejected(keys, monkeypatch):
    (keys / "none").write_text("x")
    (keys / "long").write_text("x" * 100_000)
    (keys / "two").write_bytes((keys / "k.key").read_bytes() * 2)
    (keys / "broken").write_text("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    (keys / "open").write_text("-----BEGIN PRIVATE KEY-----\n" * 2000)
    monkeypatch.delenv("NOTHING", raising=False)
    for name, message in {
        "none": "expected one key in PEM format, got 0",
        "long": "exceeds 65536 bytes",
        "two": "expected one key in PEM format, got 2",
        "broken": "invalid key",
        "open": "expected one key in PEM format, got 0",
        "absent": "cannot read the file: No such file",
        "k.pub": "expected a private key in PEM format, got 'PUBLIC KEY'",
        "env://NOTHING": "the variable isn't set",
    }.items():
        with pytest.raises(BentoError, match=message):
            read_private(name, keys)
    with pytest.raises(BentoError, match="expected a public key, got a private key"):
        read_public("k.key", keys)


def test_the_representation_of_a_key_contains_no_secret(key):
    assert "0x" not in repr(key)
    assert repr(key) == repr(replace(key)) == "PrivateKey(origin='k.key')"


# Files


def test_a_file_is_signed_next_to_it(keys, tmp_path, monkeypatch, capsys):
    signature = "x.bento.sigstore.json"
    monkeypatch.chdir(tmp_path)
    Path("x.bento").write_bytes(b"bento" * 1000)
    assert main(["sign", "--key", "keys/k.key", "x.bento"]) == status.OK
    assert main(["verify", "--key", "keys/k.pub", "x.bento"]) == status.OK
    assert main(["verify", "--key", "keys/other.pub", "x.bento"]) == status.FOUND
    assert (
        f"invalid  x.bento: {signature} isn't a signature of this file by the key keys/other.pub"
        in capsys.readouterr().out
    )
    Path("x.bento").write_bytes(b"Bento" * 1000)
    assert main(["verify", "--key", "keys/k.pub", "x.bento"]) == status.FOUND
    Path(signature).write_bytes(b"\xff" * 100)
    assert main(["verify", "--key", "keys/k.pub", "x.bento"]) == status.FOUND
    Path(signature).unlink()
    capsys.readouterr()
    assert main(["verify", "--key", "keys/k.pub", "-o", "json", "x.bento"]) == status.FOUND
    (found,) = json.loads(capsys.readouterr().out)
    assert found["signed"] is False
    assert (
        "cannot read the file: No such file or directory. Check the path and permissions. Create a signature with"
        in found["problem"]
    )


def test_what_cosign_signed_of_a_file_holds(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("cosign.pub").write_text(COSIGN["public_key"])
    Path("file").write_text(COSIGN["file"])
    Path("s").write_text(json.dumps(COSIGN["file_bundle"]))
    assert main(["verify", "--key", "cosign.pub", "--signature", "s", "file"]) == status.OK
    Path("file").write_text("another\n")
    assert main(["verify", "--key", "cosign.pub", "--signature", "s", "file"]) == status.FOUND


def test_what_has_no_signature_is_reported(keys, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    for words, message in {
        ("sign", "--key", "keys/k.key", "./folder"): "directories can't be signed",
        ("sign", "--key", "keys/k.key", "./absent"): "cannot read the file: No such file",
        (
            "sign",
            "--key",
            "no.key",
            "x",
        ): "Check the path and permissions, or create keys with `cosign generate-key-pair`.",
        ("verify", "--key", "keys/k.pub"): "no artifact is specified. Specify an archive",
        ("verify", "--key", "keys/k.pub", "iris:v1"): "Bentos and models in the store have no signatures",
        ("verify", "--signature", "x", "iris:v1"): "Add --key",
    }.items():
        assert main([*words]) in (status.ERROR, status.NOT_FOUND), words
        assert message in capsys.readouterr().err


# Layouts


def test_a_layout_is_signed_in_itself(layout, keys, capsys):
    words = ["--key", str(keys / "k.key")]
    assert main(["sign", *words, str(layout.directory)]) == status.OK
    files = sorted(path.name for path in layout.directory.rglob("*"))
    assert main(["sign", *words, str(layout.directory)]) == status.OK
    assert sorted(path.name for path in layout.directory.rglob("*")) == files, "it was signed already"
    assert main(["verify", "--key", str(keys / "k.pub"), str(layout.directory)]) == status.OK
    assert main(["verify", "--key", str(keys / "other.pub"), str(layout.directory)]) == status.FOUND
    assert [entry.annotations["kind"] for entry in layout.index()] == ["dev.cosignproject.cosign/image"]
    assert layout.pushable().root.content == layout.find("v1").content, "the signature is no second image"
    blob = layout.blob(layout.find().layers()[0].digest)
    blob.write_bytes(b"X" + blob.read_bytes()[1:])
    capsys.readouterr()
    assert main(["verify", "--key", str(keys / "k.pub"), str(layout.directory)]) == status.FOUND
    assert "content doesn't match the digest" in capsys.readouterr().out
    blob.unlink()
    assert main(["verify", "--key", str(keys / "k.pub"), str(layout.directory)]) == status.FOUND


def test_signing_again_adds_nothing_and_another_key_adds_one(layout, key, other):
    place, root = InLayout(layout), layout.find().descriptor
    assert signatures.sign(place, "n", root, key)
    before = (layout.directory / "index.json").read_bytes()
    assert not signatures.sign(place, "n", root, key)
    assert (layout.directory / "index.json").read_bytes() == before
    assert signatures.sign(place, "n", root, other)
    assert len([*place.referrers(root.digest)]) == 2
    for one in (key, other):
        assert signatures.verify(place, root.digest, one.public) == "n"


def saved_by_cosign(layout: Layout) -> str:
    """Have what cosign wrote beside its image in the layout; the image's digest."""
    for item in COSIGN["bundles"]:
        layout.add(item["blob"].encode())
        layout.add(to_json(item["manifest"]))
    return COSIGN["digest"]


def test_what_cosign_signed_of_an_image_holds(tmp_path, key):
    layout = Layout.create(tmp_path / "layout")
    digest = saved_by_cosign(layout)
    (tmp_path / "cosign.pub").write_text(COSIGN["public_key"])
    public, place = read_public("cosign.pub", tmp_path), InLayout(layout)
    assert signatures.verify(place, digest, public) == ""
    assert verified_provenance(place, digest, public)["runDetails"] == {"builder": {"id": "https://ci.example.com"}}
    with pytest.raises(SignatureError, match="the signature was created with a different key"):
        signatures.verify(place, digest, key.public)
    with pytest.raises(SignatureError, match="the signature was created with a different key"):
        verified_provenance(place, digest, key.public)


def test_a_bundle_is_as_cosign_writes_it(tmp_path, layout, monkeypatch):
    """Apart from the signature, the subject, which has a name here, and the time."""
    monkeypatch.setenv(PASSWORD, COSIGN["password"])
    (tmp_path / "cosign.key").write_text(COSIGN["private_key"])
    key, place, root = read_private("cosign.key", tmp_path), InLayout(layout), layout.find().descriptor
    assert signatures.sign(place, "n", root, key)
    assert not signatures.sign(place, "n", root, key), "it was signed already"
    [read] = place.referrers(root.digest)
    made, theirs = dict(read().document), COSIGN["bundles"][1]
    bundle, expected = json.loads(place.read(read().layers()[0])), json.loads(theirs["blob"])
    statements = [json.loads(b64decode(each["dsseEnvelope"].pop("payload"))) for each in (bundle, expected)]
    for each in (bundle, expected):
        [signature] = each["dsseEnvelope"].pop("signatures")
        assert signature.get("keyid", "") == ""
    assert bundle == expected
    subjects = [statement.pop("subject")[0]["digest"]["sha256"] for statement in statements]
    assert subjects == [digest.removeprefix("sha256:") for digest in (root.digest, COSIGN["digest"])]
    assert statements[0] == statements[1]
    expected = theirs["manifest"]
    assert made.pop("annotations") == {
        name: text for name, text in expected["annotations"].items() if not name.endswith("created")
    }
    for name in ("schemaVersion", "mediaType", "artifactType"):
        assert made[name] == expected[name]
    assert made["layers"][0]["mediaType"] == expected["layers"][0]["mediaType"]
    assert made["config"]["digest"] == expected["config"]["digest"]
    assert made["subject"]["digest"] == root.digest


def test_an_attestation_is_no_signature_and_other_statements_are_no_provenance(tmp_path, layout, key):
    place, digest = InLayout(layout), layout.find().descriptor.digest
    signatures.attest(place, "n", subject_of(digest), provenance.PREDICATE, {"runDetails": {}}, key)
    with pytest.raises(SignatureError, match="no signature of sha256:.* was found"):
        signatures.verify(place, digest, key.public)
    assert verified_provenance(place, digest, key.public) == {"runDetails": {}}
    bundles = Layout.create(tmp_path / "bundles")
    attested = saved_by_cosign(bundles)
    (tmp_path / "cosign.pub").write_text(COSIGN["public_key"])
    public = read_public("cosign.pub", tmp_path)
    for path in sorted(bundles.blob(attested).parent.iterdir()):
        content = path.read_bytes()
        if b"https://sigstore.dev/cosign/sign/v1" in content and b"subject" in content:
            path.unlink()  # the manifest of the signature: that of the provenance is left
        elif b"https://slsa.dev/provenance/v1" in content and b"subject" in content:
            # Not signed, so it must not matter.
            bundles.add(content.replace(b"https://slsa.dev/provenance/v1", b"https://sigstore.dev/cosign/sign/v1"))
    with pytest.raises(
        SignatureError, match="expected signature, got a statement of type https://slsa.dev/provenance/v1"
    ):
        signatures.verify(InLayout(bundles), attested, public)


def refer(place, subject: Descriptor, content: bytes, key=None, **changes) -> None:
    """Add a bundle of a statement, or of any content, as a referrer; with other fields of its layer or manifest."""
    if key:
        content = cosign.bundle_statement(content, key)
    layer = Descriptor.from_content(content, cosign.BUNDLE).to_json() | changes.pop("layer", {})
    package = artifact.refer(subject, Descriptor.from_content(content, cosign.BUNDLE), content, {})
    document = {**package.root.document, "layers": [layer], **changes}
    place.put(replace(package, root=Manifest.read(oci.to_bytes(document), oci.MANIFEST, "x")))


def envelope(key, document: dict) -> bytes:
    """Return a bundle with an envelope."""
    return cosign.make_bundle(key, b"", "", dsseEnvelope=document)


def hostile_bundles(digest: str, kind: str, key, other) -> dict[str, bytes]:
    """Map messages to bundles that aren't statements of type `kind` about `digest` by `key`."""
    statement = cosign.make_statement("n", digest, kind, {})
    sound = cosign.sign_statement(statement, key)
    made = {
        "the signature was created with a different key": cosign.bundle_statement(statement, other),
        "isn't a signed in-toto statement": envelope(key, {**sound, "payloadType": "text/plain"}),
        "a different key": envelope(key, {**sound, "signatures": []}),
        "more than 100 signatures": envelope(key, {**sound, "signatures": sound["signatures"] * 101}),
        "invalid base64": envelope(key, {**sound, "signatures": ["x"]}),
        "invalid JSON": b"{",
        "expected a JSON object": b"[]",
        "isn't a sigstore bundle with a dsseEnvelope": to_json({"dsseEnvelope": sound}),
        "levels of nesting": b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}",
    }
    for message, content in {
        "the signature is for a different digest": cosign.make_statement("n", "sha256:" + "0" * 64, kind, {}),
        "the signed document isn't an in-toto statement": b'{"_type": 1}',
        "got a statement of type": cosign.make_statement("n", digest, "x:y", {}),
        "duplicate key": statement[:-1] + b',"subject":[]}',
    }.items():
        made[message] = cosign.bundle_statement(content, key)
    return made


@pytest.mark.parametrize("kind", [cosign.SIGNED, provenance.PREDICATE])
def test_hostile_bundles_are_no_signatures_and_hide_no_other(layout, key, other, kind):
    place, root = InLayout(layout), layout.find().descriptor
    for message, content in hostile_bundles(root.digest, kind, key, other).items():
        alone = Layout.create(layout.directory.with_name(message[:20].replace(" ", "")))
        for at in (place, InLayout(alone)):
            refer(at, root, content)
        with pytest.raises(SignatureError, match=message):
            signatures.verify_attestation(InLayout(alone), root.digest, [kind], "statement", key.public)
    signatures.attest(place, "n", root, kind, {"a": 1}, key)
    assert signatures.verify_attestation(place, root.digest, [kind], "statement", key.public) == {"a": 1}


@pytest.mark.parametrize("is_layout", [True, False])
def test_unreadable_referrers_hide_no_signature(layout, key, is_layout, monkeypatch):
    """Anyone who can push to the repository can add them. The valid signature is the last."""
    root = layout.find().descriptor
    place, last = InLayout(layout), InLayout(Layout.create(layout.directory.with_name("last")))
    for number in range(30):
        annotations = {"annotations": {"n": str(number)}}
        refer(place, root, b"{}", layer={"size": 17 << 20}, **annotations)
        refer(place, root, b"{}", layer={"size": 1 << 20}, **annotations)
        refer(place, root, b"{}", layer={"digest": f"sha256:{'1' * 64}"}, **annotations)
        refer(place, root, b"{}", layers=[], **annotations)
        refer(
            place, root, b"{}", layers=[Descriptor.from_content(b"{}", cosign.BUNDLE).to_json()] * 1001, **annotations
        )
    assert signatures.sign(last, "n", root, key)
    with pytest.raises(SignatureError, match="expected one bundle, got 1001|128|131072|missing blob"):
        signatures.verify(place, root.digest, key.public)

    class Repository:
        """A repository with the API of referrers, which lists the manifests in order."""

        manifests = [read() for at in (place, last) for read in at.referrers(root.digest)]

        def get_manifest(self, target):
            [found] = [each for each in self.manifests if each.descriptor.digest == target]
            return found

        def referrers(self, _digest):
            return [replace(each.descriptor, artifact_type=cosign.BUNDLE) for each in self.manifests]

        def read_blob(self, blob):
            return (last if last._layout.has(blob) else place).read(blob)

    at = InRegistry.__new__(InRegistry)
    at._repository = Repository()
    if is_layout:
        for path in last._layout.directory.rglob("sha256/*"):
            layout.add(path.read_bytes())
        at = place
        found = at._layout.referrers
        valid = {each.descriptor.digest for each in last._layout.referrers(root.digest, cosign.BUNDLE_TYPE)}
        listed = sorted(found(root.digest, cosign.BUNDLE_TYPE), key=lambda each: each.descriptor.digest in valid)
        monkeypatch.setattr(at._layout, "referrers", lambda *_: listed)
    assert signatures.verify(at, root.digest, key.public) == "n"


def test_what_is_read_of_signatures_is_bounded(layout, key, monkeypatch):
    place, root = InLayout(layout), layout.find().descriptor
    for number in range(10):
        refer(place, root, b"{}", annotations={"n": f"{number}{'y' * 10_000}"})
    signatures.sign(place, "n", root, key)
    monkeypatch.setattr(signatures, "_MAX_SECONDS", -1)
    with pytest.raises(SignatureError, match="the search ended after 0 bytes. Remove invalid signatures"):
        signatures.verify(place, root.digest, key.public)
    monkeypatch.setattr(signatures, "_MAX_SECONDS", 100)
    monkeypatch.setattr(signatures, "_MAX_BYTES", 0)
    with pytest.raises(SignatureError, match=r"the search ended after \d+ bytes"):
        signatures.verify(place, root.digest, other_key().public)


def other_key():
    return PrivateKey(ec.generate_private_key(ec.SECP256R1()), "another")


def test_an_image_that_is_listed_as_an_index_is_rejected(tmp_path, layout, keys, capsys):
    """A signature holds a digest and no media type; an index has no blobs whose content is verified."""
    document = {key: value for key, value in layout.find().document.items() if key != "mediaType"}
    other = Layout.create(tmp_path / "other")
    other.add(to_json(document))
    signatures.sign(InLayout(other), "n", subject_of(oci.digest_of(to_json(document))), read_private("k.key", keys))
    entry = Descriptor.from_content(to_json(document), oci.INDEX).to_json()
    index = json.loads((other.directory / "index.json").read_bytes())
    index["manifests"].insert(0, entry)
    (other.directory / "index.json").write_bytes(to_json(index))
    assert main(["verify", "--key", str(keys / "k.pub"), str(other.directory)]) == status.ERROR
    assert "has the fields of both a manifest and an index" in capsys.readouterr().err


@pytest.mark.parametrize("broken", ["referrer", "absent referrer"])
def test_a_broken_manifest_of_a_registry_hides_no_good_signature(layout, key, broken):
    place, root = InLayout(layout), layout.find().descriptor
    signatures.sign(place, "n", root, key)
    [read] = place.referrers(root.digest)

    class Repository:
        """Has a broken manifest before the good one."""

        def get_manifest(self, target):
            if broken == "absent referrer" and target == "sha256:bad":
                raise RegistryError("is not there", 404)
            return Manifest.read(b"[]", oci.MANIFEST, target) if target == "sha256:bad" else read()

        def referrers(self, _digest):
            made = replace(read().descriptor, artifact_type=cosign.BUNDLE)
            return [replace(made, digest="sha256:bad"), made]

        def read_blob(self, blob):
            return layout.read(blob)

    registry = InRegistry.__new__(InRegistry)
    registry._repository = Repository()
    assert signatures.verify(registry, root.digest, key.public) == "n"


# Registries


def pushed_by_rule(
    directory: Path, reference: Reference, *words: str, index: bool = False, referrers: list | None = None
) -> tuple[Pushable, int]:
    """What `bazel run` of a bento_push with `signed = True` does; what it pushed, and its status."""
    made = make_index(directory) if index else make_image(directory)
    definition = {"buildType": "urn:rules-bento:build:image:v1", "externalParameters": {"target": "//a:b"}}
    (directory / "made_of.json").write_text(json.dumps(definition))
    if index:
        (directory / "index.json").write_bytes(made.root.content)
        contents = {"index": {"manifest": "index.json", "images": []}}
        for number, child in enumerate(made.children):
            part = directory / str(number)
            part.mkdir()
            item = image_contents(part, Pushable(child))
            for blob in item["blobs"]:
                blob["description"] = f"{number}/{blob['description']}"
            contents["index"]["images"].append(
                {**item, "manifest": f"{number}/manifest.json", "build_definition": "made_of.json"}
            )
    else:
        more = {"build_definition": "made_of.json", "referrers": referrers or []}
        contents = {"image": {**image_contents(directory, made), **more}}
    (directory / "contents.json").write_text(json.dumps(contents))
    return made, push_again(directory, reference, *words)


def push_again(directory: Path, reference: Reference, *words: str) -> int:
    rule = ["--target", "//x:push", "--signed", "--directory", str(directory), "--contents", "contents.json"]
    return subcommands.run(["push", *rule, "--repository", reference.name, "--tag", "v1", "--", *words])


def test_a_push_signs_and_attests(reference, registries, keys, tmp_path, capsys):
    directory = tmp_path / "runfiles"
    words = ["--sign-key", str(keys / "k.key"), "--builder-id", BUILDER, "--started-on", "2026-01-31T12:00:00Z"]
    made, code = pushed_by_rule(directory, reference, *words)
    said = capsys.readouterr()
    assert code == 0
    assert "PRIVATE" not in said.out + said.err
    address = f"oci://{reference.with_tag('v1')}"
    assert main(["verify", "--key", str(keys / "k.pub"), "--provenance", "-o", "json", address]) == status.OK
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["digest"], found["signed_as"]) == (made.root.descriptor.digest, reference.name)
    assert found["provenance"] == {
        "buildDefinition": {"buildType": "urn:rules-bento:build:image:v1", "externalParameters": {"target": "//a:b"}},
        "runDetails": {"builder": {"id": BUILDER}, "metadata": {"startedOn": "2026-01-31T12:00:00Z"}},
    }
    assert main(["verify", "--key", str(keys / "other.pub"), address]) == status.FOUND
    repository = registries.repository(reference)
    tag = made.root.descriptor.digest.replace(":", "-")
    assert servers.tags(reference) == [tag, "v1"]
    before = repository.get_manifest(tag)
    assert push_again(directory, reference, *words) == 0
    assert servers.tags(reference) == [tag, "v1"]
    assert before == repository.get_manifest(tag), "it was signed already"


SBOMS = {
    "cyclonedx": ("application/vnd.cyclonedx+json", {"bomFormat": "CycloneDX", "specVersion": "1.6"}),
    "spdx": ("application/spdx+json", {"spdxVersion": "SPDX-2.3", "name": "n"}),
}


@pytest.mark.parametrize("kind", SBOMS)
def test_a_push_attests_the_sbom(reference, registries, keys, tmp_path, capsys, kind):
    media_type, document = SBOMS[kind]
    directory = tmp_path / "runfiles"
    directory.mkdir()
    (directory / "sbom.json").write_text(json.dumps(document))
    listed = [{"media_type": media_type, "path": "sbom.json"}]
    words = ["--sign-key", str(keys / "k.key")]
    made, code = pushed_by_rule(directory, reference, *words, referrers=listed)
    assert code == 0
    address = f"oci://{reference.with_tag('v1')}"
    capsys.readouterr()
    assert main(["verify", "--key", str(keys / "k.pub"), "--sbom", "-o", "json", address]) == status.OK
    (found,) = json.loads(capsys.readouterr().out)
    assert found["sboms"] == {made.root.descriptor.digest: document}
    assert main(["verify", "--key", str(keys / "k.pub"), "--sbom", address]) == status.OK
    assert capsys.readouterr().out.endswith(", with an SBOM\n")
    assert main(["verify", "--key", str(keys / "other.pub"), "--sbom", address]) == status.FOUND
    assert main(["verify", "--key", str(keys / "k.pub"), "--provenance", address]) == status.FOUND
    repository = registries.repository(reference)
    before = {tag: repository.get_manifest(tag) for tag in servers.tags(reference) if tag != "v1"}
    assert push_again(directory, reference, *words) == 0
    assert {tag: repository.get_manifest(tag) for tag in before} == before, "it was attested already"
    kinds = sorted(entry.artifact_type for entry in repository.referrers(made.root.descriptor.digest))
    assert kinds == sorted([cosign.BUNDLE, cosign.BUNDLE, media_type])


@pytest.mark.parametrize("kind", SBOMS)
@pytest.mark.parametrize("place", ["registry", "layout"])
def test_an_sbom_without_a_signature_is_distinguished_from_none(
    place, kind, reference, layout, registries, progress, keys, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    media_type, document = SBOMS[kind]
    target, subject, where = str(layout.directory), layout.find().descriptor, InLayout(layout)
    if place == "registry":
        made = make_image(tmp_path / "image")
        push(made, [reference.with_tag("v1")], registries, progress)
        target, subject = f"oci://{reference.with_tag('v1')}", made.root.descriptor
        where = InRegistry(reference, registries)
    content = json.dumps(document).encode()
    where.put(artifact.refer(subject, Descriptor.from_content(content, media_type), content, {}))
    assert main(["sign", "--key", str(keys / "k.key"), target]) == status.OK
    verify = ["verify", "--key", str(keys / "k.pub"), "--sbom", target]
    capsys.readouterr()
    assert main(verify) == status.FOUND
    told = capsys.readouterr().out
    assert (
        f"the SBOM of {subject.digest} isn't signed. Run `bento sbom IMAGE > sbom.json`, and `bento sign --sbom" in told
    )
    Path("sbom.json").write_text(json.dumps(document))
    assert main(["sign", "--key", str(keys / "k.key"), "--sbom", "sbom.json", target]) == status.OK
    assert main(verify) == status.OK


def test_sboms_are_attested_by_sign(layout, keys, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name, (_, document) in SBOMS.items():
        Path(name).write_text(json.dumps(document))
    words = ["--key", str(keys / "k.key")]
    verify = ["verify", "--key", str(keys / "k.pub"), "--sbom", str(layout.directory)]
    assert main(["sign", *words, str(layout.directory)]) == status.OK
    assert main(verify) == status.FOUND
    assert "no SBOM of sha256:" in capsys.readouterr().out
    assert main(["sign", *words, "--sbom", "spdx", "--sbom", "cyclonedx", str(layout.directory)]) == status.OK
    assert main(verify) == status.OK
    for kind in cosign.SBOMS:
        place, digest = InLayout(layout), layout.find().descriptor.digest
        found = signatures.verify_attestation(place, digest, [kind], "SBOM", read_public("k.pub", keys))
        assert cosign.sbom_type(found, "") == kind
    Path("text").write_text('{"bomFormat": "x"}')
    for file, target, message in (
        ("text", str(layout.directory), "text: unsupported SBOM format"),
        ("absent", str(layout.directory), "--sbom: cannot read absent: No such file"),
        ("spdx", "./text", "archives have no attestations"),
    ):
        assert main(["sign", *words, "--sbom", file, target]) == status.ERROR
        assert message in capsys.readouterr().err


VEX = "https://openvex.dev/ns/v0.2.0"


def test_any_predicate_is_attested_by_sign(layout, keys, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("vex.json").write_text('{"statements": []}')
    words = ["sign", "--key", str(keys / "k.key"), str(layout.directory)]
    for more in (["--attest", "vex.json"], ["--type", VEX], ["--attest", "vex.json", "--type", "vex"]):
        assert main([*words, *more]) == status.ERROR
    assert "expected a URI such as" in capsys.readouterr().err
    assert main([*words, "--attest", "vex.json", "--type", VEX]) == status.OK
    Path("policy").write_text(f"require: [{{type: '{VEX}', key: {keys / 'k.pub'}}}]")
    assert main(["verify", "--policy", "policy", "-o", "json", str(layout.directory)]) == status.OK
    [item] = json.loads(capsys.readouterr().out.partition("\n")[2])
    assert item["attestations"] == {VEX: {"statements": []}}


NOW = datetime.now(timezone.utc)
SOURCE = "git+https://git.example.com/iris"


def summary(days: float = 0, **changed):
    """Return a verification summary from some days ago, with changed fields."""
    image = {"digest": "sha256:1", "unproven_bytes": 0, "unproven_files": 0}
    inputs = [{"uri": SOURCE, "digest": {"gitCommit": "c" * 40}}, {"uri": "uv.lock", "digest": {"sha256": "a" * 64}}]
    made = verification.summary("oci://registry.example.com/iris", [image], inputs, {"env": ["A=1"]}, {"uv": "0.9"})
    return made | {"timeVerified": f"{NOW - timedelta(days=days):%Y-%m-%dT%H:%M:%SZ}"} | changed


@pytest.mark.parametrize(
    ("conditions", "predicate", "problem"),
    [
        ({}, summary(), ""),
        ({"max_age": 30, "inputs": (SOURCE,)}, summary(29), ""),
        ({"inputs": (f"{SOURCE}@gitCommit:{'c' * 40}", f"uv.lock@sha256:{'a' * 64}")}, summary(), ""),
        ({"repository": "registry.example.com/iris"}, summary(), ""),
        ({"max_age": 30}, summary(31), "31 days old"),
        ({}, summary(-2), "in the future"),
        ({}, summary(timeVerified="yesterday"), "no time"),
        ({}, summary(timeVerified=[]), "no time"),
        ({}, summary(timeVerified="2026-01-01"), "no time"),
        ({"inputs": ("git+https://git.example.com/other",)}, summary(), "doesn't name the input git+https"),
        ({"inputs": (f"{SOURCE}@gitCommit:{'d' * 40}",)}, summary(), "doesn't name the input git+https"),
        ({"inputs": ("uv.lock",)}, summary(rules_bento_inputs={"uri": "uv.lock"}), "doesn't name the input"),
        ({"inputs": ("uv.lock",)}, summary(rules_bento_inputs=["uv.lock", None]), "doesn't name the input"),
        ({}, summary(verifiedLevels=[verification.PARTIAL]), f"lacks the level {verification.COMPLETE}"),
        ({}, summary(verifiedLevels=verification.COMPLETE), "lacks the level"),
        ({}, summary(verifiedLevels=[{}, verification.COMPLETE]), ""),
        ({"levels": ("SLSA_BUILD_LEVEL_3",)}, summary(), "lacks the level SLSA_BUILD_LEVEL_3"),
        ({}, summary(verificationResult="FAILED"), "didn't pass"),
        ({}, summary(verifier={"id": "https://example.com"}), "another program"),
        ({}, summary(verifier="urn:rules-bento:verify-rebuild:v1"), "another program"),
        ({}, summary(resourceUri="oci://registry.example.com/other"), "not oci://registry.example.com/iris"),
        ({"repository": "registry.example.com/staging"}, summary(), "not oci://registry.example.com/staging"),
    ],
)
def test_a_policy_decides_on_a_verification(conditions, predicate, problem):
    expected = pytest.raises(SignatureError, match=re.escape(problem)) if problem else nullcontext()
    with expected:
        verification.Conditions(**conditions).check(predicate, "registry.example.com/iris")


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ([(30, "k")], "30 days old; the policy allows 7"),
        ([(0, "other")], "was created with a different key"),
        ([(30, "k"), (0, "k")], ""),
        ([(0, "other"), (0, "k")], ""),
        ([], "Run `bento verify --rebuild --attest`"),
    ],
)
def test_one_sufficient_verification_is_enough(layout, keys, tmp_path, capsys, written, problem):
    subject = layout.find().descriptor
    for days, name in written:
        key = read_private(f"{name}.key", keys)
        signatures.attest(InLayout(layout), "iris", subject, verification.PREDICATE, summary(days), key)
    conditions = f"max-age: 7, levels: [{verification.COMPLETE}], inputs: ['{SOURCE}']"
    (tmp_path / "policy").write_text(f"require: [{{type: verification, key: {keys / 'k.pub'}, {conditions}}}]")
    code = main(["verify", "--policy", str(tmp_path / "policy"), str(layout.directory)])
    assert (code, problem in capsys.readouterr().out) == (status.FOUND if problem else status.OK, True)


def test_a_verification_holds_for_no_other_digest(tmp_path, layout, key):
    """As when someone copies a referrer to another image."""
    subject = layout.find().descriptor
    signatures.attest(InLayout(layout), "iris", subject, verification.PREDICATE, summary(), key)
    [bundle] = [each() for each in InLayout(layout).referrers(subject.digest)]
    other = subject_of("sha256:" + "0" * 64)
    content = layout.read(bundle.layers()[0])
    InLayout(layout).put(artifact.refer(other, bundle.layers()[0], content, {}))
    with pytest.raises(SignatureError, match="for a different digest"):
        signatures.verify_attestation(InLayout(layout), other.digest, [verification.PREDICATE], "", key.public)


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        ("{key: k.pub, max-age: 7}", "are only for the type verification"),
        ("{type: sbom, key: k.pub, levels: []}", "are only for the type verification"),
        ("{type: verification, key: k.pub, max-age: a}", "max-age: expected a number"),
        ("{type: verification, key: k.pub, inputs: uv.lock}", "inputs: expected a list"),
        ("{type: verification, key: k.pub, age: 7}", "each rule must contain 'key'"),
    ],
)
def test_conditions_of_a_policy_that_are_wrong(keys, rule, problem):
    (keys / "policy").write_text(f"require: [{rule}]")
    with pytest.raises(BentoError, match=re.escape(problem)):
        signature_policy.read_policy(keys / "policy", None)


def test_each_image_of_an_index_needs_an_sbom(reference, registries, progress, keys, key, tmp_path, capsys):
    made, _ = pushed_by_rule(tmp_path / "runfiles", reference, "--sign-key", str(keys / "k.key"), index=True)
    place = InRegistry(reference, registries)
    verify = ["verify", "--key", str(keys / "k.pub"), "--sbom", f"oci://{reference.with_tag('v1')}"]
    for child in made.children:
        assert main(verify) == status.FOUND
        assert f"no SBOM of {child.descriptor.digest}" in capsys.readouterr().out
        signatures.attest(place, "n", child.descriptor, cosign.CYCLONEDX, {}, key)
    assert main(verify) == status.OK
    assert capsys.readouterr().out.endswith(f", with {len(made.children)} SBOMs\n")


def test_an_index_and_its_images_are_signed(reference, registries, progress, keys, key, tmp_path):
    words = ["--sign-key", str(keys / "k.key"), "--builder-id", BUILDER]
    made, _ = pushed_by_rule(tmp_path / "runfiles", reference, *words, index=True)
    place = InRegistry(reference, registries)
    for manifest in made.manifests():
        signatures.verify(place, manifest.descriptor.digest, key.public)
    predicate = verified_provenance(place, made.root.descriptor.digest, key.public)
    found = {f"sha256:{item['digest']['sha256']}" for item in predicate["buildDefinition"]["resolvedDependencies"]}
    assert found == {child.descriptor.digest for child in made.children}


def test_a_target_that_signs_pushes_nothing_without_a_key(reference, registries, keys, tmp_path, capsys):
    for number, (words, message) in enumerate(
        {
            (): "Pass the key with `-- --sign-key FILE`",
            ("--builder-id", BUILDER): "--sign-key: required",
            ("--sign-key", str(keys / "k.key"), "--started-on", "x"): "--builder-id: required",
            ("--sign-key", str(keys / "k.key"), "--builder-id", "me"): "expected a URI",
            ("--sign-key", str(keys / "k.key"), "--builder-id", BUILDER, "--started-on", "now"): "expected a time",
            ("--sign-key", str(keys / "k.pub")): "expected a private key in PEM format",
        }.items()
    ):
        _, code = pushed_by_rule(tmp_path / str(number), reference, *words)
        assert code == 1
        assert message in capsys.readouterr().err
    assert servers.tags(reference) == []


def test_bundles_in_a_list_of_cosign_are_found(reference, registries, progress, key, tmp_path):
    """For registries without the API of referrers, cosign lists the type of the config, and no annotations."""
    made = make_image(tmp_path / "image").root.descriptor
    place = InRegistry(reference, registries)
    assert signatures.sign(place, reference.name, made, key)
    repository = registries.repository(reference)
    index = repository.referrers_tag(made.digest)
    listed = [replace(entry, artifact_type=oci.EMPTY, annotations={}).to_json() for entry in index]
    document = {"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": listed}
    repository.put_manifest(Manifest.read(to_json(document), oci.INDEX, "x"), made.digest.replace(":", "-"))
    assert signatures.verify(place, made.digest, key.public) == reference.name
    assert not signatures.sign(place, reference.name, made, key)
