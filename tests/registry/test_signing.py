"""What is signed here and by cosign: keys, files, layouts and what registries have; by hand, cosign itself is the judge."""

import hashlib
import json
import os
import subprocess
import sys
from base64 import b64decode, b64encode
from pathlib import Path

import pytest
from bento_cli.cli import main, status
from cryptography.hazmat.primitives import serialization as pem
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from images import make_image, make_index
from nacl.secret import SecretBox
from rules_bento import subcommands
from rules_bento.artifacts import artifact, signatures
from rules_bento.artifacts.signatures import InLayout, InRegistry
from rules_bento.dataclasses_lite import replace
from rules_bento.errors import BentoError
from rules_bento.registry import descriptor as oci
from rules_bento.registry.client import Repository
from rules_bento.registry.descriptor import Descriptor, Manifest
from rules_bento.registry.errors import RegistryError
from rules_bento.registry.layout import Layout
from rules_bento.registry.push import push
from rules_bento.registry.pushable import BytesSource, Pushable
from rules_bento.registry.reference import Reference
from rules_bento.signing import SignatureError, cosign, provenance, to_json
from rules_bento.signing.keys import PASSWORD, read_private, read_public, sha256_digest
from test_programs import image_contents

COSIGN = json.loads(Path("tests/registry/cosign.json").read_text("utf-8"))
SIGNATURE = "dev.cosignproject.cosign/signature"
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


def sign_legacy(place, name: str, digest: str, key) -> bool:
    return signatures.sign(place, name, subject_of(digest), key, signatures.LEGACY)


def verified_provenance(place, digest: str, key) -> dict:
    return signatures.verify_attestation(place, digest, [provenance.PREDICATE], "provenance", key)


# Keys


def test_an_encrypted_key_without_the_package_is_an_error(tmp_path, monkeypatch):
    key = ec.generate_private_key(ec.SECP256R1())
    (tmp_path / "k").write_bytes(encrypted_pem(key, b"pass word", "ENCRYPTED SIGSTORE PRIVATE KEY"))
    monkeypatch.setenv(PASSWORD, "pass word")
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.kdf.scrypt", None)
    with pytest.raises(BentoError, match="signatures require the package cryptography"):
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
def test_keys_that_cosigns_own_commands_do_not_agree_on_are_refused(tmp_path, made, name):
    (tmp_path / "k").write_bytes(private_pem(made))
    (tmp_path / "p").write_bytes(public_pem(made))
    with pytest.raises(BentoError, match=rf"k: .*{name}.* isn't supported. Use an ECDSA P-256 key"):
        read_private("k", tmp_path)
    with pytest.raises(BentoError, match=rf"p: .*{name}.* isn't supported. Use an ECDSA P-256 key"):
        read_public("p", tmp_path)


def test_what_is_no_key_is_refused(keys, monkeypatch):
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


def test_a_key_does_not_show_itself(key):
    assert "0x" not in repr(key)
    assert repr(key) == repr(replace(key)) == "PrivateKey(origin='k.key')"


# Files


@pytest.mark.parametrize(
    ("words", "signature"), [((), "x.bento.sigstore.json"), (("--sign-format", "legacy"), "x.bento.sig")]
)
def test_a_file_is_signed_beside_it(keys, tmp_path, monkeypatch, capsys, words, signature):
    monkeypatch.chdir(tmp_path)
    Path("x.bento").write_bytes(b"bento" * 1000)
    assert main(["sign", "--key", "keys/k.key", *words, "x.bento"]) == status.OK
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


@pytest.mark.parametrize("form", ["file_signature", "file_bundle"])
def test_what_cosign_signed_of_a_file_holds(tmp_path, monkeypatch, form):
    monkeypatch.chdir(tmp_path)
    Path("cosign.pub").write_text(COSIGN["public_key"])
    Path("file").write_text(COSIGN["file"])
    signed = COSIGN[form]
    Path("s").write_text(signed if isinstance(signed, str) else json.dumps(signed))
    assert main(["verify", "--key", "cosign.pub", "--signature", "s", "file"]) == status.OK
    Path("file").write_text("another\n")
    assert main(["verify", "--key", "cosign.pub", "--signature", "s", "file"]) == status.FOUND


def test_what_has_no_signature_is_told_of(keys, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    for words, message in {
        ("sign", "--key", "keys/k.key", "./folder"): "directories can't be signed",
        ("sign", "--key", "keys/k.key", "./absent"): "cannot read the file: No such file",
        ("verify", "--key", "keys/k.pub"): "No artifact is specified. Specify an archive",
        ("verify", "--key", "keys/k.pub", "iris:v1"): "Bentos and models in the store have no signatures",
        ("verify", "--signature", "x", "iris:v1"): "Add --key",
    }.items():
        assert main([*words]) in (status.ERROR, status.NOT_FOUND), words
        assert message in capsys.readouterr().err


# Layouts


@pytest.mark.parametrize("form", signatures.FORMS)
def test_a_layout_is_signed_in_itself(layout, keys, capsys, form):
    words = ["--key", str(keys / "k.key"), "--sign-format", form]
    assert main(["sign", *words, str(layout.directory)]) == status.OK
    files = sorted(path.name for path in layout.directory.rglob("*"))
    assert main(["sign", *words, str(layout.directory)]) == status.OK
    assert sorted(path.name for path in layout.directory.rglob("*")) == files, "it was signed already"
    assert main(["verify", "--key", str(keys / "k.pub"), str(layout.directory)]) == status.OK
    assert main(["verify", "--key", str(keys / "other.pub"), str(layout.directory)]) == status.FOUND
    kinds = sorted(entry.annotations["kind"] for entry in layout.index())
    assert kinds == ["dev.cosignproject.cosign/image", "dev.cosignproject.cosign/sigs"][: 2 if form == "legacy" else 1]
    assert layout.pushable().root.content == layout.find("v1").content, "the signature is no second image"
    blob = layout.blob(layout.find().layers()[0].digest)
    blob.write_bytes(b"X" + blob.read_bytes()[1:])
    capsys.readouterr()
    assert main(["verify", "--key", str(keys / "k.pub"), str(layout.directory)]) == status.FOUND
    assert "content doesn't match the digest" in capsys.readouterr().out
    blob.unlink()
    assert main(["verify", "--key", str(keys / "k.pub"), str(layout.directory)]) == status.FOUND


def test_signing_again_adds_nothing_and_another_key_adds_one(layout, key, other):
    place, digest = InLayout(layout), layout.find().descriptor.digest
    assert sign_legacy(place, "n", digest, key)
    before = (layout.directory / "index.json").read_bytes()
    assert not sign_legacy(place, "n", digest, key)
    assert (layout.directory / "index.json").read_bytes() == before
    assert sign_legacy(place, "n", digest, other)
    [read] = place.attached_manifests(signatures.SIGNATURES, digest)
    assert len(read().layers()) == 2
    for one in (key, other):
        assert signatures.verify(place, digest, one.public) == "n"


def saved_by_cosign(layout: Layout, *names: str) -> str:
    """Have what cosign wrote beside its image in the layout; the image's digest."""
    for name in names:
        for item in COSIGN[name] if name == "bundles" else [COSIGN[name]]:
            layout.add(item["blob"].encode())
            content = to_json(item["manifest"])
            layout.add(content)
            if name != "bundles":
                kind = {"sig": "sigs", "att": "atts"}[name]
                index = json.loads((layout.directory / "index.json").read_bytes())
                entry = Descriptor.from_content(
                    content, oci.MANIFEST, annotations={"kind": f"dev.cosignproject.cosign/{kind}"}
                )
                index["manifests"].append(entry.to_json())
                (layout.directory / "index.json").write_text(json.dumps(index))
    return COSIGN["digest"]


@pytest.mark.parametrize("names", [("sig", "att"), ("bundles",)], ids=["tags", "bundles"])
def test_what_cosign_signed_of_an_image_holds(tmp_path, key, names):
    layout = Layout.create(tmp_path / "layout")
    digest = saved_by_cosign(layout, *names)
    (tmp_path / "cosign.pub").write_text(COSIGN["public_key"])
    public, place = read_public("cosign.pub", tmp_path), InLayout(layout)
    assert signatures.verify(place, digest, public) == ("127.0.0.1:50107/golden/x" if "sig" in names else "")
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
    signatures.attest(place, "n", subject_of(digest), provenance.PREDICATE, {"runDetails": {}}, key, signatures.LEGACY)
    with pytest.raises(SignatureError, match="no signature of sha256:.* was found"):
        signatures.verify(place, digest, key.public)
    assert verified_provenance(place, digest, key.public) == {"runDetails": {}}
    bundles = Layout.create(tmp_path / "bundles")
    attested = saved_by_cosign(bundles, "bundles")
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


def attach(place, digest: str, layers: list[tuple[Descriptor, bytes]], kind: str = signatures.SIGNATURES) -> None:
    """Have layers of any kind where signatures are."""
    config = b"{}"
    document = {
        "schemaVersion": 2,
        "mediaType": oci.MANIFEST,
        "config": Descriptor.from_content(config, oci.CONFIG).to_json(),
        "layers": [layer.to_json() for layer, _ in layers],
    }
    sources = {layer.digest: BytesSource(content) for layer, content in layers} | {
        oci.digest_of(config): BytesSource(config)
    }
    place.put(Pushable(Manifest.read(oci.to_bytes(document), oci.MANIFEST, "x"), (), sources), digest, kind)


def layer(content: bytes, signature: str, media_type: str = cosign.PAYLOAD_TYPE) -> tuple[Descriptor, bytes]:
    return Descriptor.from_content(content, media_type, annotations={SIGNATURE: signature}), content


def signed(content: bytes, key) -> tuple[Descriptor, bytes]:
    return layer(content, b64encode(key.sign(sha256_digest(content))).decode())


def test_hostile_signatures_are_none_and_hide_no_other(layout, key):
    place, digest = InLayout(layout), layout.find().descriptor.digest
    good = cosign.make_payload("n", digest)
    another = cosign.make_payload("n", "sha256:" + "0" * 64)
    critical = json.loads(good)["critical"]
    hostile = {
        "the signature is for a different digest": signed(another, key),
        "invalid base64": layer(good, "%%%"),
        "the signature was created with a different key": layer(good, b64encode(bytes(64)).decode()),
        "invalid JSON": signed(b"{", key),
        "expected a JSON object": signed(b"[]", key),
        "the signed document doesn't describe an image": signed(
            to_json({"critical": {**critical, "type": "atomic container signature"}}), key
        ),
        "levels of nesting": signed(b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}", key),
    }
    for message, item in hostile.items():
        attach(place, digest, [item])
        with pytest.raises(SignatureError, match=message):
            signatures.verify(place, digest, key.public)
    attach(place, digest, [*hostile.values(), signed(good, key)])
    assert signatures.verify(place, digest, key.public) == "n"


def test_what_is_signed_twice_in_one_document_is_refused(layout, key):
    """JSON with a key that stands twice: readers take one or the other."""
    place, digest = InLayout(layout), layout.find().descriptor.digest
    twice = cosign.make_payload("n", digest)[:-1] + b',"critical":{}}'
    attach(place, digest, [signed(twice, key)])
    with pytest.raises(SignatureError, match="duplicate key"):
        signatures.verify(place, digest, key.public)


def test_what_is_read_of_signatures_is_bounded(layout, key):
    place, digest = InLayout(layout), layout.find().descriptor.digest
    described, content = signed(cosign.make_payload("n", digest), key)
    attach(place, digest, [(replace(described, size=1 << 30), content)])
    with pytest.raises(SignatureError, match="the signatures exceed 16777216 bytes"):
        signatures.verify(place, digest, key.public)
    attach(place, digest, [(described, content)] * 1001)
    with pytest.raises(SignatureError, match="more than 1000 signatures"):
        signatures.verify(place, digest, key.public)
    with pytest.raises(BentoError, match="the maximum that cosign supports"):
        sign_legacy(place, "m", digest, key)


def test_manifests_count_among_what_is_read_of_signatures(layout, key):
    """Each may be listed many times, or be one of thousands of blobs that refer to the image."""
    place, root = InLayout(layout), layout.find()
    subject = Descriptor(oci.MANIFEST, root.descriptor.digest, root.descriptor.size).to_json()
    config = Descriptor.from_content(b"{}", oci.EMPTY).to_json()
    bundled = {"mediaType": f"{cosign.BUNDLE_TYPE}.v0.3+json", "digest": f"sha256:{'1' * 64}", "size": 1}
    for number in range(20):
        document = {"schemaVersion": 2, "mediaType": oci.MANIFEST, "config": config, "layers": [bundled]}
        layout.add(to_json({**document, "subject": subject, "annotations": {"n": f"{number}{'y' * 1_000_000}"}}))
    with pytest.raises(SignatureError, match="the signatures exceed 16777216 bytes"):
        signatures.verify(place, root.descriptor.digest, key.public)


def test_signatures_that_a_layout_lists_twice_are_read_once(layout, key):
    place, digest = InLayout(layout), layout.find().descriptor.digest
    sign_legacy(place, "n", digest, key)
    index = json.loads((layout.directory / "index.json").read_bytes())
    index["manifests"] += index["manifests"][-1:] * 3
    (layout.directory / "index.json").write_bytes(to_json(index))
    [read] = place.attached_manifests(signatures.SIGNATURES, digest)
    assert len(read().layers()) == 1


def relisted(layout: Layout, change) -> None:
    """Have other entries in the index of a layout."""
    path = layout.directory / "index.json"
    index = json.loads(path.read_bytes())
    index["manifests"] = change(index["manifests"])
    path.write_bytes(to_json(index))


ABSENT = Descriptor.from_content(b"{}", oci.MANIFEST, annotations={"kind": "dev.cosignproject.cosign/sigs"}).to_json()


@pytest.mark.parametrize("broken", ["absent", "another digest", "no manifest", "a layer is none", "too many"])
def test_a_broken_entry_of_a_layout_hides_no_good_signature(layout, key, broken):
    place, digest = InLayout(layout), layout.find().descriptor.digest
    sign_legacy(place, "n", digest, key)
    [good] = place.attached_manifests(signatures.SIGNATURES, digest)
    sound = good().document
    content = {
        "no manifest": b"[]",
        "a layer is none": to_json({**sound, "layers": [*sound["layers"], {"digest": "x"}]}),
        "too many": to_json({**sound, "layers": sound["layers"] * 1001}),
    }.get(broken, b"{}")
    entry = Descriptor.from_content(content, oci.MANIFEST, annotations=ABSENT["annotations"]).to_json()
    if broken != "absent":
        layout.add(content)
    if broken == "another digest":
        layout.blob(entry["digest"]).write_bytes(b"[]")
    relisted(layout, lambda entries: [entry, *entries])
    if broken in ("absent", "another digest", "too many"):
        assert layout.find().descriptor.digest == digest
    assert signatures.verify(place, digest, key.public) == "n"
    relisted(layout, lambda entries: [one for one in entries if "sigs" not in str(one.get("annotations"))] + [entry])
    with pytest.raises(SignatureError, match=r"no signature of .* Problems found \(1\): .*") as caught:
        signatures.verify(place, digest, key.public)
    assert "\n" not in str(caught.value)


def _evil(layout: Layout, **fields) -> Descriptor:
    content = to_json({**layout.find().document, "annotations": {"evil": "1"}, **fields})
    layout.add(content)
    return Descriptor.from_content(content, fields.get("mediaType", oci.MANIFEST))


@pytest.mark.parametrize("kind", ["sigs", "atts", "sboms", "image", "imageIndex"])
@pytest.mark.parametrize("name", ["latest", "v1", "", f"sha256-{'0' * 64}.sig", f"sha256-{'0' * 64}.att"])
def test_an_unsigned_image_does_not_hide_as_a_signature(layout, keys, capsys, kind, name):
    """Programs that don't know cosign's mark load it by its name, or by its place in the index."""
    words = ["--key", str(keys / "k.key"), "--sign-format", "legacy"]
    assert main(["sign", *words, str(layout.directory)]) == status.OK
    entry = replace(
        _evil(layout),
        annotations={"kind": f"dev.cosignproject.cosign/{kind}", "org.opencontainers.image.ref.name": name},
    )
    relisted(layout, lambda entries: [entry.to_json(), *entries])
    capsys.readouterr()
    assert main(["verify", "--key", str(keys / "k.pub"), str(layout.directory)]) != status.OK
    assert "signed  " not in capsys.readouterr().out


def test_signatures_under_the_name_of_an_image_are_refused(layout, key):
    """The name then selects them, and not the image."""
    place, root = InLayout(layout), layout.find()
    sign_legacy(place, "n", root.descriptor.digest, key)
    [read] = place.attached_manifests(signatures.SIGNATURES, root.descriptor.digest)
    mixed = _evil(layout, layers=[*root.document["layers"], *read().document["layers"]])
    index = _evil(layout, mediaType=oci.INDEX, manifests=[root.descriptor.to_json()], layers=None)
    empty = _evil(layout, layers=[])
    for content, name in ((read().descriptor, "latest"), (mixed, ""), (index, ""), (empty, "")):
        annotations = {"kind": "dev.cosignproject.cosign/sigs", "org.opencontainers.image.ref.name": name}
        entry = replace(content, annotations=annotations).to_json()
        relisted(layout, lambda entries, entry=entry: [*entries[:2], entry])
        with pytest.raises(BentoError, match=r"is annotated as .*sigs, but isn't the manifest of a signature"):
            layout.find()


def test_an_image_that_is_listed_as_an_index_is_refused(tmp_path, layout, keys, capsys):
    """A signature holds a digest and no media type; an index has no blobs whose content is verified."""
    document = {key: value for key, value in layout.find().document.items() if key != "mediaType"}
    other = Layout.create(tmp_path / "other")
    other.add(to_json(document))
    sign_legacy(InLayout(other), "n", oci.digest_of(to_json(document)), read_private("k.key", keys))
    entry = Descriptor.from_content(to_json(document), oci.INDEX).to_json()
    relisted(other, lambda entries: [entry, *entries])
    assert main(["verify", "--key", str(keys / "k.pub"), str(other.directory)]) == status.ERROR
    assert "has the fields of both a manifest and an index" in capsys.readouterr().err


@pytest.mark.parametrize("broken", ["tag", "referrer", "absent referrer"])
def test_a_broken_manifest_of_a_registry_hides_no_good_signature(layout, key, broken):
    place, digest = InLayout(layout), layout.find().descriptor.digest
    sign_legacy(place, "n", digest, key)
    [good] = place.attached_manifests(signatures.SIGNATURES, digest)

    class Repository:
        """Has a broken manifest before the good one."""

        def get_manifest(self, target):
            if broken == "absent referrer" and target == "sha256:bad":
                raise RegistryError("is not there", 404)
            if target == "sha256:bad" or (broken == "tag" and not oci.is_digest(target)):
                return Manifest.read(b"[]", oci.MANIFEST, target)
            if not oci.is_digest(target):
                raise RegistryError("is not there", 404)
            return good()

        def referrers(self, _digest):
            made = Descriptor.from_content(
                good().content, oci.MANIFEST, artifact_type=f"{cosign.BUNDLE_TYPE}.v0.3+json"
            )
            return [replace(made, digest="sha256:bad"), made] if broken != "tag" else [made]

        def read_blob(self, blob):
            return layout.read(blob)

    registry = InRegistry.__new__(InRegistry)
    registry._repository = Repository()
    assert signatures.verify(registry, digest, key.public) == "n"


def test_hostile_envelopes_are_no_provenance(layout, key, other):
    place, digest = InLayout(layout), layout.find().descriptor.digest
    statement = cosign.make_statement("n", digest, "https://slsa.dev/provenance/v1", {})
    sound = cosign.sign_statement(statement, key)
    elsewhere = cosign.make_statement("n", "sha256:" + "0" * 64, "https://slsa.dev/provenance/v1", {})
    for message, document in {
        "the signature was created with a different key": cosign.sign_statement(statement, other),
        "the signature is for a different digest": cosign.sign_statement(elsewhere, key),
        "isn't a signed in-toto statement": {**sound, "payloadType": "text/plain"},
        "a different key": {**sound, "signatures": []},
        "more than 100 signatures": {**sound, "signatures": sound["signatures"] * 101},
        "invalid base64": {**sound, "signatures": ["x"]},
        "the signed document isn't an in-toto statement": cosign.sign_statement(b'{"_type": 1}', key),
        "expected provenance": cosign.sign_statement(cosign.make_statement("n", digest, "x:y", {}), key),
    }.items():
        item = layer(to_json(document), "", cosign.ENVELOPE_TYPE)
        attach(place, digest, [item], signatures.ATTESTATIONS)
        with pytest.raises(SignatureError, match=message):
            verified_provenance(place, digest, key.public)


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


@pytest.mark.parametrize("form", signatures.FORMS)
def test_a_push_signs_and_attests(reference, registries, keys, tmp_path, capsys, form):
    directory = tmp_path / "runfiles"
    words = ["--sign-key", str(keys / "k.key"), "--builder-id", BUILDER, "--started-on", "2026-01-31T12:00:00Z"]
    words += ["--sign-format", form] if form == signatures.LEGACY else []
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
    tags = [tag] if form == signatures.BUNDLE else [f"{tag}.att", f"{tag}.sig"]
    assert sorted(repository.tags()) == [*tags, "v1"]
    before = [repository.get_manifest(tag) for tag in tags]
    assert push_again(directory, reference, *words) == 0
    assert sorted(repository.tags()) == [*tags, "v1"]
    assert before == [repository.get_manifest(tag) for tag in tags], "it was signed already"
    assert artifact.versions(repository) == ["v1"]


SBOMS = {
    "cyclonedx": ("application/vnd.cyclonedx+json", {"bomFormat": "CycloneDX", "specVersion": "1.6"}),
    "spdx": ("application/spdx+json", {"spdxVersion": "SPDX-2.3", "name": "n"}),
}


@pytest.mark.parametrize("form", signatures.FORMS)
@pytest.mark.parametrize("kind", SBOMS)
def test_a_push_attests_the_sbom(reference, registries, keys, tmp_path, capsys, kind, form):
    media_type, document = SBOMS[kind]
    directory = tmp_path / "runfiles"
    directory.mkdir()
    (directory / "sbom.json").write_text(json.dumps(document))
    listed = [{"media_type": media_type, "path": "sbom.json"}]
    words = ["--sign-key", str(keys / "k.key"), "--sign-format", form]
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
    before = {
        tag: repository.get_manifest(tag) for tag in repository.tags() if form == signatures.LEGACY or tag != "v1"
    }
    assert push_again(directory, reference, *words) == 0
    assert {tag: repository.get_manifest(tag) for tag in before} == before, "it was attested already"
    if form == signatures.BUNDLE:
        kinds = sorted(entry.artifact_type for entry in repository.referrers(made.root.descriptor.digest))
        assert kinds == sorted([cosign.BUNDLE, cosign.BUNDLE, media_type])


@pytest.mark.parametrize("form", signatures.FORMS)
def test_sboms_are_attested_by_sign(layout, keys, tmp_path, monkeypatch, capsys, form):
    monkeypatch.chdir(tmp_path)
    for name, (_, document) in SBOMS.items():
        Path(name).write_text(json.dumps(document))
    words = ["--key", str(keys / "k.key"), "--sign-format", form]
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
        ("spdx", "./text", "--sbom isn't supported for archives"),
    ):
        assert main(["sign", *words, "--sbom", file, target]) == status.ERROR
        assert message in capsys.readouterr().err


def test_each_image_of_an_index_needs_an_sbom(reference, registries, progress, keys, key, tmp_path, capsys):
    made, _ = pushed_by_rule(tmp_path / "runfiles", reference, "--sign-key", str(keys / "k.key"), index=True)
    place = InRegistry(reference, registries, progress)
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
    place = InRegistry(reference, registries, progress)
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
            ("--sign-format", "legacy"): "--sign-key: required",
            ("--sign-key", str(keys / "k.key"), "--sign-format", "x"): "expected bundle or legacy, got 'x'",
            ("--sign-key", str(keys / "k.key"), "--builder-id", BUILDER, "--started-on", "now"): "expected a time",
            ("--sign-key", str(keys / "k.pub")): "expected a private key in PEM format",
        }.items()
    ):
        _, code = pushed_by_rule(tmp_path / str(number), reference, *words)
        assert code == 1
        assert message in capsys.readouterr().err
    with pytest.raises(BentoError, match="404"):
        registries.repository(reference).tags()


def test_bundles_in_a_list_of_cosign_are_found(reference, registries, progress, key, tmp_path):
    """For registries without the API of referrers, cosign lists the type of the config, and no annotations."""
    made = make_image(tmp_path / "image").root.descriptor
    place = InRegistry(reference, registries, progress)
    assert signatures.sign(place, reference.name, made, key)
    repository = registries.repository(reference)
    index = repository.referrers_tag(made.digest)
    listed = [replace(entry, artifact_type=oci.EMPTY, annotations={}).to_json() for entry in index]
    document = {"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": listed}
    repository.put_manifest(Manifest.read(to_json(document), oci.INDEX, "x"), made.digest.replace(":", "-"))
    assert signatures.verify(place, made.digest, key.public) == reference.name
    assert not signatures.sign(place, reference.name, made, key)


def test_a_bundle_that_an_interrupted_copy_did_not_list_is_listed(
    server, second_server, reference, registries, progress, key, tmp_path
):
    """Registries without the API of referrers have a list, which is written after the manifest."""
    made = make_image(tmp_path / "image")
    place, digest = InRegistry(reference, registries, progress), made.root.descriptor.digest
    signatures.sign(place, reference.name, made.root.descriptor, key)
    push(made, [reference.with_tag("v1")], registries, progress)
    target = Reference.parse(f"{second_server.host}/{reference.repository}:v1")
    copied = ["copy", f"oci://{reference.with_tag('v1')}", f"oci://{target}"]
    assert main(copied) == status.OK
    repository, there = registries.repository(target), InRegistry(target, registries, progress)
    empty = to_json({"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": []})
    repository.put_manifest(Manifest.read(empty, oci.INDEX, "x"), digest.replace(":", "-"))
    with pytest.raises(SignatureError, match="no signature of"):
        signatures.verify(there, digest, key.public)
    assert main(copied) == status.OK
    assert signatures.verify(there, digest, key.public) == reference.name


def test_no_tag_of_a_copy_precedes_its_bundles(
    server, second_server, reference, registries, progress, key, tmp_path, monkeypatch
):
    made = make_image(tmp_path / "image")
    signatures.sign(InRegistry(reference, registries, progress), reference.name, made.root.descriptor, key)
    push(made, [reference.with_tag("v1")], registries, progress)
    target = Reference.parse(f"{second_server.host}/{reference.repository}:v1")
    written = []
    put = Repository.put_manifest
    monkeypatch.setattr(Repository, "put_manifest", lambda self, *rest: (written.append(rest[1]), put(self, *rest))[1])
    assert main(["copy", f"oci://{reference.with_tag('v1')}", f"oci://{target}"]) == status.OK
    digest = made.root.descriptor.digest
    assert written[0] == digest
    assert written.index("v1") == len(written) - 1 > written.index(digest.replace(":", "-"))
    assert signatures.verify(InRegistry(target, registries, progress), digest, key.public) == reference.name


@pytest.mark.parametrize("form", signatures.FORMS)
def test_a_copy_has_its_signatures_and_keeps_those_of_the_target(
    server, second_server, reference, registries, progress, keys, key, other, tmp_path, form
):
    words = ["--sign-key", str(keys / "k.key"), "--builder-id", BUILDER, "--sign-format", form]
    made, _ = pushed_by_rule(tmp_path / "runfiles", reference, *words)
    digest = made.root.descriptor.digest
    target = Reference.parse(f"{second_server.host}/{reference.repository}:v1")
    place = InRegistry(target, registries, progress)
    push(make_image(tmp_path / "again"), [target], registries, progress)
    signatures.sign(place, target.name, made.root.descriptor, other, form)
    assert main(["copy", f"oci://{reference.with_tag('v1')}", f"oci://{target}"]) == status.OK
    assert signatures.verify(place, digest, key.public) == reference.name
    assert signatures.verify(place, digest, other.public) == target.name
    assert verified_provenance(place, digest, key.public)


def test_a_signature_under_the_tag_of_another_image_does_not_hold(reference, registries, progress, key, tmp_path):
    one = make_image(tmp_path / "one")
    place = InRegistry(reference, registries, progress)
    sign_legacy(place, reference.name, one.root.descriptor.digest, key)
    [read] = place.attached_manifests(signatures.SIGNATURES, one.root.descriptor.digest)
    another = "sha256:" + "1" * 64
    repository = registries.repository(reference)
    repository.put_manifest(read(), signatures.tag_of(signatures.SIGNATURES, another))
    with pytest.raises(SignatureError, match="the signature is for a different digest"):
        signatures.verify(place, another, key.public)


def test_signing_needs_packages_that_no_other_command_does(keys, tmp_path):
    """Without them there is a sentence, and nothing else imports them."""
    program = "import sys; sys.modules['cryptography'] = None; from bento_cli.cli import main; sys.exit(main())"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(["py", *filter(None, sys.path)])}
    (tmp_path / "x").write_bytes(b"x")
    done = subprocess.run(
        [sys.executable, "-c", program, "sign", "--key", str(keys / "k.key"), str(tmp_path / "x")],
        check=False, capture_output=True, text=True, env=environment,
    )  # fmt: skip
    assert done.returncode == status.ERROR
    assert "pip install 'rules-bento[signing]'" in done.stderr
