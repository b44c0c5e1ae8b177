"""Signatures by identities: recorded ones of real services, also tampered with, policies, and services on loopback."""

import copy
import json
import os
import subprocess
import sys
from base64 import b64decode, b64encode
from datetime import datetime, timezone
from pathlib import Path

import pytest
from bento_cli.cli import main, shared_options, status
from bento_cli.cli.groups import COMMANDS
from cryptography.hazmat.primitives import serialization as pem
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from rules_bento.actions import subcommands
from rules_bento.base.errors import BentoError
from rules_bento.images.artifacts import signatures
from rules_bento.images.artifacts.signatures import InRegistry
from rules_bento.images.registry.layout import Layout
from rules_bento.images.registry.push_to_registry import push
from rules_bento.images.signing import SignatureError, cosign, keyless
from rules_bento.images.signing.keyless import Identity, IdentitySigner, read_trusted_root

from tests.registry import servers
from tests.registry.images import image_contents, make_image
from tests.registry.sigstore_services import ISSUER, Services, token

SOURCES = str(Path("py").absolute())
RECORDED = json.loads(Path("tests/registry/keyless.json").read_text("utf-8"))
WHO = ["--certificate-identity", RECORDED["identity"], "--certificate-oidc-issuer", RECORDED["issuer"]]
ROOT = ["--trusted-root", "root.json"]


@pytest.fixture(autouse=True)
def directory(tmp_path, monkeypatch):
    """The working directory, with the recorded file and trusted root, and a pair of keys."""
    monkeypatch.chdir(tmp_path)
    Path("file").write_text(RECORDED["file"])
    Path("root.json").write_text(json.dumps(RECORDED["trusted_root"]))
    key = ec.generate_private_key(ec.SECP256R1())
    form = pem.PrivateFormat.PKCS8
    Path("k.key").write_bytes(key.private_bytes(pem.Encoding.PEM, form, pem.NoEncryption()))
    public = key.public_key().public_bytes(pem.Encoding.PEM, pem.PublicFormat.SubjectPublicKeyInfo)
    Path("k.pub").write_bytes(public)
    return tmp_path


def bundled(bundle: dict) -> None:
    Path("file.sigstore.json").write_text(json.dumps(bundle))


@pytest.fixture(params=["bento", "cosign"])
def layout(request):
    """A layout with the recorded image, and with the signatures by one of the two tools."""
    made = Layout.create(Path("layout"))
    made.add(RECORDED["config"].encode())
    made.add(RECORDED["manifest"].encode())
    for item in RECORDED[request.param]:
        made.add(item["bundle"].encode())
        made.add(item["manifest"].encode())
    entry = {"mediaType": json.loads(RECORDED["manifest"])["mediaType"], "digest": RECORDED["digest"]}
    index = {"schemaVersion": 2, "manifests": [{**entry, "size": len(RECORDED["manifest"])}]}
    Path("layout/index.json").write_text(json.dumps(index))
    return made


# Recorded signatures


@pytest.mark.parametrize("tool", ["bento", "cosign"])
def test_a_file_has_the_signature_of_an_identity(tool, capsys):
    bundled(RECORDED["file_bundles"][tool])
    assert main(["verify", *WHO, *ROOT, "file"]) == status.OK
    for words, message in (
        (["--certificate-identity", "x@example.com", *WHO[2:]], "SANs do not match x@example.com"),
        ([*WHO[:3], "https://other.example.com"], "OIDCIssuerV2 does not match"),
        ([*WHO[:2], "--certificate-oidc-issuer", RECORDED["issuer"] + "/"], "OIDCIssuerV2 does not match"),
    ):
        assert main(["verify", *words, *ROOT, "file"]) == status.FOUND
        assert message in capsys.readouterr().out
    assert main(["verify", "--key", "k.pub", "file"]) == status.FOUND
    Path("file").write_text("another")
    assert main(["verify", *WHO, *ROOT, "file"]) == status.FOUND


def flipped(text: str, at: int = -8) -> str:
    content = bytearray(b64decode(text))
    content[at] ^= 1
    return b64encode(content).decode()


def paths_of(value, path=()):
    """The paths of all strings in a document."""
    if isinstance(value, dict):
        return [found for key, inner in value.items() for found in paths_of(inner, (*path, key))]
    if isinstance(value, list):
        return [found for key, inner in enumerate(value) for found in paths_of(inner, (*path, key))]
    return [path]


# No signature covers the identifier of the log, which only selects a key, and, without a promise, the log's time.
UNSIGNED = {"keyId", "integratedTime"}


@pytest.mark.parametrize("tool", ["bento", "cosign"])
def test_a_bundle_that_was_tampered_with_does_not_hold(tool):
    bundle = RECORDED["file_bundles"][tool]
    paths = paths_of(bundle)
    assert len(paths) > 10
    holding = set()
    for path in paths:
        changed = copy.deepcopy(bundle)
        inner = changed
        for key in path[:-1]:
            inner = inner[key]
        value = inner[path[-1]]
        is_base64 = isinstance(value, str) and len(value) > 40 and "\n" not in value
        for other in (None, flipped(value) if is_base64 else "x"):
            if other is None:
                del inner[path[-1]]
            elif isinstance(inner, list):
                inner.insert(path[-1], other)
            else:
                inner[path[-1]] = other
            bundled(changed)
            if main(["verify", *WHO, *ROOT, "file"]) == status.OK:
                holding.add(path[-1])
    assert holding <= UNSIGNED


@pytest.mark.parametrize("part", ["tlogs", "ctlogs", "certificateAuthorities", "timestampAuthorities"])
def test_each_part_of_the_trusted_root_is_required(part):
    bundled(RECORDED["file_bundles"]["cosign"])
    root = copy.deepcopy(RECORDED["trusted_root"])
    [service] = root[part]
    root[part] = []
    Path("root.json").write_text(json.dumps(root))
    assert main(["verify", *WHO, *ROOT, "file"]) == status.FOUND
    root[part] = [service]
    services = Services()
    services.close()
    other = services.trusted_root()
    if part != "timestampAuthorities":
        root[part] = other[part]
    else:
        service["validFor"] = {"start": "2020-01-01T00:00:00Z", "end": "2021-01-01T00:00:00Z"}
    Path("root.json").write_text(json.dumps(root))
    assert main(["verify", *WHO, *ROOT, "file"]) == status.FOUND


@pytest.mark.parametrize("part", ["tlogs", "ctlogs", "certificateAuthorities"])
@pytest.mark.parametrize(
    ("valid_for", "is_signed"),
    [
        ({"start": "2019-01-01T00:00:00Z", "end": "2020-01-01T00:00:00Z"}, False),
        ({"start": "2200-01-01T00:00:00Z"}, False),
        ({"start": "2019-01-01T00:00:00Z", "end": "2200-01-01T00:00:00Z"}, True),
    ],
)
def test_retired_services_sign_nothing(part, valid_for, is_signed, layout, capsys):
    """A trusted root keeps the keys of a retired service, because older signatures stay valid."""
    root = copy.deepcopy(RECORDED["trusted_root"])
    for service in root[part]:
        service.get("publicKey", service)["validFor"] = valid_for
    Path("root.json").write_text(json.dumps(root))
    for bundle in RECORDED["file_bundles"].values():
        bundled(bundle)
        assert main(["verify", *WHO, *ROOT, "file"]) == (status.OK if is_signed else status.FOUND)
    assert main(["verify", *WHO, *ROOT, "layout"]) == (status.OK if is_signed else status.FOUND)
    assert is_signed or "has no valid signature by the identity" in capsys.readouterr().out


def test_an_image_has_signatures_and_attestations_of_an_identity(layout, capsys):
    verify = ["verify", *WHO, *ROOT, "-o", "json", "layout"]
    assert main([*verify, "--sbom"]) == status.OK
    (found,) = json.loads(capsys.readouterr().out)
    assert found["sboms"] == {RECORDED["digest"]: {"bomFormat": "CycloneDX", "specVersion": "1.6"}}
    has_provenance = len(RECORDED["cosign"]) == len(list(layout.referrers(RECORDED["digest"], cosign.BUNDLE_TYPE)))
    assert main([*verify, "--provenance"]) == (status.OK if has_provenance else status.FOUND)
    assert main(["verify", "--certificate-identity", "x", *WHO[2:], *ROOT, "layout"]) == status.FOUND
    assert "no signature of sha256:" in (said := capsys.readouterr().out)
    assert f"matches the identity x of {RECORDED['issuer']}" in said
    with pytest.raises(SignatureError, match="the signature is for a different digest"):
        signer = Identity(RECORDED["identity"], RECORDED["issuer"], read_trusted_root(Path("root.json")))
        item = RECORDED["cosign"][0]["bundle"].encode()
        cosign.read_statement(cosign.bundled_statement(item, signer), "sha256:" + "0" * 64)


def test_a_signature_of_a_key_is_none_of_an_identity(layout, capsys):
    for path in (*layout.directory.rglob("*"),):
        if path.is_file() and b"subject" in (content := path.read_bytes()) and b"bundle" in content:
            path.unlink()
    assert main(["sign", "--key", "k.key", "layout"]) == status.OK
    assert main(["sign", "--key", "k.key", "file"]) == status.OK
    for target in ("layout", "file"):
        assert main(["verify", "--key", "k.pub", target]) == status.OK
        assert main(["verify", *WHO, *ROOT, target]) == status.FOUND
        assert "has no valid signature by the identity" in capsys.readouterr().out


# Policies

SIGNER = {"identity": RECORDED["identity"], "issuer": RECORDED["issuer"]}


def verified(*rules: object, target: str = "layout") -> int:
    Path("policy").mkdir(exist_ok=True)
    Path("policy/key.pub").write_bytes(Path("k.pub").read_bytes())
    Path("policy/policy.yaml").write_text(json.dumps({"require": rules}))
    return main(["verify", "--policy", "policy/policy.yaml", *ROOT, target])


def test_all_rules_of_a_policy_must_hold(layout, capsys):
    sbom = {"type": "sbom", **SIGNER}
    assert verified(SIGNER) == verified(sbom) == verified(SIGNER, sbom) == status.OK
    assert verified({"type": cosign.CYCLONEDX, **SIGNER}) == status.OK
    assert verified({"type": cosign.SPDX, **SIGNER}) == status.FOUND
    assert verified(SIGNER, {"key": "key.pub"}) == status.FOUND
    assert verified({"any": [{"key": "key.pub"}, SIGNER]}, sbom) == status.OK
    assert verified({"any": [{"key": "key.pub"}, {**SIGNER, "issuer": "x"}]}) == status.FOUND
    capsys.readouterr()
    assert verified({"type": "sbom", "key": "key.pub"}) == status.FOUND
    assert "matches the key key.pub" in capsys.readouterr().out
    assert main(["sign", "--key", "k.key", "layout"]) == status.OK
    assert verified({"key": "key.pub"}, sbom) == verified(SIGNER, {"key": "key.pub"}) == status.OK


def test_a_policy_holds_for_a_file(capsys):
    bundled(RECORDED["file_bundles"]["cosign"])
    assert verified(SIGNER, target="file") == status.OK
    assert verified({"key": "key.pub"}, target="file") == status.FOUND
    assert verified(SIGNER, {"type": "sbom", **SIGNER}, target="file") == status.ERROR
    assert "file: archives have no signed SBOM." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("policy", "message"),
    {
        "": "expected a mapping",
        "[]": "expected a mapping",
        "require: []": "expected only the field 'require', with at least one rule",
        "requires: [{key: k.pub}]": "require is missing",
        "require: [{key: k.pub}]\nalso: 1": "expected only the field 'require'",
        "require: [{}]": "each rule must contain 'key', 'any', or both 'identity' and 'issuer'; got none",
        "require: [{any: []}]": "any: expected at least one signer",
        "require: [{any: [{}]}]": "got none",
        "require: [{key: k.pub, any: []}]": "got key, any",
        "require: [{any: [{key: k.pub, type: sbom}]}]": "got key, type",
        "require: [{tyep: sbom, key: k.pub}]": "got tyep, key",
        "require: [{identity: x}]": "got identity",
        "require: [{type: x, key: k.pub}]": "expected signature, provenance, sbom, verification, or a predicate URI, got 'x'",
        "require: [{key: 1}]": r"require\[0\].key: expected a string",
        "require: [{key: absent}]": "absent: cannot read the file",
        'require: [{key: "a\\0b"}]': "'a\\\\x00b': the path contains a NUL",
        "require: [{identity: x, issuer: y}]": "absent.json: No such file",
    }.items(),
)
def test_a_policy_that_means_nothing_is_rejected(policy, message, capsys):
    Path("policy.yaml").write_text(policy)
    assert main(["verify", "--policy", "policy.yaml", "--trusted-root", "absent.json", "file"]) == status.ERROR
    said = capsys.readouterr().err
    with pytest.raises(BentoError, match=message):
        raise BentoError(said)


def test_options_that_do_not_go_together_are_rejected(capsys):
    Path("policy.yaml").write_text("require: [{key: k.pub}]")
    for words, message in (
        (["verify", *WHO[:2], "file"], "must be used together"),
        (["verify", *WHO[2:], "file"], "must be used together"),
        (["verify", *ROOT, "file"], "--trusted-root require a signer"),
        (["verify", "--policy", "policy.yaml", "--sbom", "file"], "add rules of type provenance or sbom to the policy"),
        (["verify", "--policy", "absent", "file"], "absent: cannot read the file"),
        (["verify", *WHO, "--trusted-root", "file", "file"], "file: 1 validation error for TrustedRoot"),
        (["sign", "--key", "k.key", "--identity-token", "x", "file"], "--identity-token requires --keyless. Use"),
        (["push", "x:y", "--sign-keyless"], ""),
    ):
        assert main(words) not in (status.OK, status.FOUND), words
        assert message in capsys.readouterr().err
    for words in (["sign", "file"], ["sign", "--keyless", "--key", "k.key", "file"], ["verify", "--key", "k", *WHO]):
        assert main(words) == status.USAGE
    with pytest.raises(BentoError, match="--trust-config requires --sign-key or --sign-keyless. Add one"):
        shared_options.signing("sign-", **parsed("push x:y --trust-config x"))


def parsed(line):
    """The values of a command's options for signing."""
    name, _, options = line.partition(" x:y")
    params = dict(COMMANDS.walk())[name].make_context(name, ["x:y", *options.split()]).params
    return {option: params[option] for option in shared_options.SIGNING}


# Signing


@pytest.fixture
def services(directory, monkeypatch):
    made = Services()
    monkeypatch.setenv("BUILD_WORKING_DIRECTORY", str(directory))
    Path("config.json").write_text(json.dumps(made.trust_config()))
    Path("services.json").write_text(json.dumps(made.trusted_root()))
    Path("token").write_text(token("me@example.com") + "\n")
    yield made
    made.close()


SIGN = ["--identity-token", "token", "--trust-config", "config.json"]
ME = [
    *("--certificate-identity", "me@example.com", "--certificate-oidc-issuer", ISSUER, "--trusted-root"),
    "services.json",
]


def test_a_file_is_signed_by_an_identity(services, monkeypatch, capsys):
    assert main(["sign", "--keyless", *SIGN, "./file"]) == status.OK
    assert main(["verify", *ME, "file"]) == status.OK
    assert main(["verify", *ME[:2], *WHO[2:], *ME[4:], "file"]) == status.FOUND
    assert main(["verify", *ME[:4], *ROOT, "file"]) == status.FOUND, "other services"
    raw = Path("token").read_text()
    monkeypatch.setenv("TOKEN", raw)
    assert main(["sign", "--keyless", "--identity-token", "env://TOKEN", *SIGN[2:], "./file"]) == status.OK
    assert raw.strip() not in "".join(capsys.readouterr())


def test_a_layout_is_signed_once_by_an_identity(services, layout, capsys):
    Path("sbom").write_text('{"bomFormat": "CycloneDX"}')
    sign = ["sign", "--keyless", *SIGN, "--sbom", "sbom", "layout"]
    assert main(sign) == status.OK
    assert services.requests == ["/api/v2/signingCert"] + 2 * ["/api/v1/log/entries"], "one certificate for both"
    assert main(sign) == status.OK
    assert len(services.requests) == 3, "it was signed already"
    assert main(["verify", *ME, "--sbom", "layout"]) == status.OK
    assert main(["verify", *WHO, *ROOT, "--sbom", "layout"]) == status.OK, "the other signatures stay"
    Path("token").write_text(token("you@example.com"))
    assert main(sign) == status.OK
    assert main(["verify", *ME, "layout"]) == status.OK


def test_errors_of_signing_services_are_reported(services, capsys):
    for words, message in (
        (["--identity-token", "absent", *SIGN[2:]], "absent: cannot read the file: No such file"),
        (["--identity-token", "file", *SIGN[2:]], "file: Identity token is malformed"),
        (["--identity-token", "env://ABSENT", *SIGN[2:]], "env://ABSENT: the variable isn't set"),
        (SIGN[2:], "no OIDC token found in the CI environment"),
        ([*SIGN[:2], "--trust-config", "file"], "file: 1 validation error"),
        ([*SIGN[:2], "--trust-config", "absent"], "absent: cannot read the file: No such file"),
    ):
        assert main(["sign", "--keyless", *words, "./file"]) == status.ERROR
        assert message in capsys.readouterr().err
    Path("token").write_text(token("me@example.com", exp=1))
    assert main(["sign", "--keyless", *SIGN, "./file"]) == status.ERROR
    assert "token: Identity token is malformed" in capsys.readouterr().err
    Path("token").write_text(token("me@example.com"))
    services.status = 400
    assert main(["sign", "--keyless", *SIGN, "./file"]) == status.ERROR
    assert "keyless signing: 400 Client Error" in capsys.readouterr().err
    services.close()
    assert main(["sign", "--keyless", *SIGN, "./file"]) == status.ERROR
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.startswith("bento: keyless signing: ")
    assert not Path("file.sigstore.json").exists()


def test_a_certificate_of_an_unknown_log_is_not_used(services):
    config = services.trust_config()
    other = Services()
    config["trustedRoot"]["ctlogs"] = other.trusted_root()["ctlogs"]
    other.close()
    Path("config.json").write_text(json.dumps(config))
    signer = IdentitySigner("token", "config.json")
    with pytest.raises(BentoError, match="keyless signing: SCT verify failed"):
        signer.sign_digest(bytes(32))
    assert services.requests == ["/api/v2/signingCert"]
    assert "token" not in repr(signer)


def test_identities_sign_in_registries(services, reference, registries, progress):
    made = make_image(Path("image"))
    push(made, [reference.with_tag("v1")], registries, progress)
    address = f"oci://{reference.with_tag('v1')}"
    assert main(["sign", "--keyless", *SIGN, address]) == status.OK
    assert main(["verify", *ME, address]) == status.OK
    signer = IdentitySigner("token", "config.json")
    place = InRegistry(reference, registries)
    assert not signatures.sign(place, reference.name, made.root.descriptor, signer)
    assert signatures.verify(place, made.root.descriptor.digest, signer.public) == reference.name


def pushes(reference, *kinds: str, words: list[str]) -> tuple[list[str], int]:
    """What `bazel run` of a bento_push_all does, in another directory; returns the addresses, and the status."""
    directory, listed = Path("runfiles").absolute(), []
    for number, kind in enumerate(kinds):
        made = make_image(directory, [1000 + number])
        (directory / str(number)).mkdir(exist_ok=True)
        sbom = {"media_type": "application/vnd.cyclonedx+json", "path": "sbom.json"}
        more = {"build_definition": "definition.json", "referrers": [sbom]}
        image = {**image_contents(directory, made, f"{number}/"), **more}
        (directory / f"{number}.json").write_text(json.dumps({"image": image}))
        listed.append(
            ["--contents", f"{number}.json", "--repository", f"{reference.name}{number}", "--tag", "v1", *kind.split()]
        )
    (directory / "sbom.json").write_text('{"bomFormat": "CycloneDX"}')
    (directory / "definition.json").write_text('{"buildType": "urn:x"}')
    (directory / "pushes.json").write_text(json.dumps({"pushes": listed}))
    rule = ["--target", "//x:all", "--directory", str(directory), "--pushes", "pushes.json"]
    os.chdir("runfiles")
    code = subcommands.run(["push", *rule, "--", *words])
    os.chdir("..")
    return [f"oci://{reference.name}{number}:v1" for number in range(len(kinds))], code


def test_targets_of_one_push_are_signed_by_identity_or_key(services, reference, monkeypatch, capsys):
    words = ["--sign-key", "k.key", "--builder-id", "https://ci.example.com", *SIGN]
    [mine, keyed, plain], code = pushes(reference, "--keyless", "--signed", "", words=words)
    assert code == 0
    logged = 3 * ["/api/v1/log/entries"] + 6 * ["/api/v2/log/entries"]
    assert services.requests == ["/api/v2/signingCert", *logged]
    all_of_it = ["--provenance", "--sbom"]
    assert main(["verify", *ME, *all_of_it, mine]) == main(["verify", "--key", "k.pub", *all_of_it, keyed]) == status.OK
    assert main(["verify", *ME, keyed]) == main(["verify", "--key", "k.pub", mine]) == status.FOUND
    assert main(["verify", "--key", "k.pub", plain]) == status.OK, "the options apply to all pushes"
    assert main(["verify", "--key", "k.pub", *ME[4:], *all_of_it, keyed]) == status.OK
    monkeypatch.setenv("TOKEN", Path("token").read_text())
    [again], code = pushes(reference, "--keyless", words=["--identity-token", "env://TOKEN", *SIGN[2:]])
    assert (again, code) == (mine, 0)
    assert len(services.requests) == 10, "it was signed already"


def test_a_keyless_target_pushes_nothing_without_a_token(services, reference, registries, capsys):
    key = ["--sign-key", "k.key"]
    for kinds, words, message in (
        (["--keyless"], SIGN[2:], "--identity-token: no OIDC token found in the CI environment"),
        (["--keyless"], ["--identity-token", "absent"], "absent: cannot read the file: No such file"),
        (["--keyless"], [*SIGN, *key], "targets with keyless = True don't support these options"),
        (["--keyless"], [*SIGN, "--started-on", "x"], "--builder-id: required"),
        (["--keyless", "--signed"], SIGN, "Pass the key with `-- --sign-key FILE`"),
        (["--keyless", ""], [*SIGN, "--sign-password-file", "x"], "--sign-key: required by the other signing options"),
        (["--signed"], [*SIGN, *key], "--identity-token: only targets with keyless = True support"),
        (["--signed"], SIGN[2:], "--sign-key: required by the other signing options"),
    ):
        addresses, code = pushes(reference, *kinds, words=words)
        assert code == 1, words
        assert message in capsys.readouterr().err
    assert services.requests == []
    for address in addresses:
        assert servers.tags(reference.from_url(address)) == []


# Keys with a log

LOGGED = ["--key", "k.key", "--trust-config", "config.json"]
KEY = ["verify", "--key", "k.pub", "--trusted-root", "services.json"]


@pytest.mark.parametrize("kind", ["file", "layout"])
def test_a_key_signs_with_an_entry_of_the_log(services, layout, kind, capsys):
    assert main(["sign", *LOGGED[:2], f"./{kind}"]) == status.OK
    assert main([*KEY[:3], kind]) == status.OK
    assert main([*KEY, kind]) == status.FOUND
    assert "the signature has no transparency log entry" in capsys.readouterr().out
    assert main(["sign", *LOGGED, f"./{kind}"]) == status.OK
    assert services.requests == ["/api/v2/log/entries"]
    assert main([*KEY, kind]) == main([*KEY[:3], kind]) == status.OK
    assert main([*KEY[:4], "root.json", kind]) == status.FOUND, "the log of other services"
    assert "the transparency log entry is invalid: checkpoint: " in capsys.readouterr().out
    policy = [{"key": "key.pub", "log": True}, {"any": [{"key": "key.pub", "log": True}]}]
    for rules, expected in ((policy, status.FOUND), ([{"key": "key.pub", "log": False}], status.OK)):
        assert verified(*rules, target=kind) == expected, "a policy names the root of other services"
    Path("root.json").write_bytes(Path("services.json").read_bytes())
    assert verified(*policy, target=kind) == status.OK


@pytest.mark.parametrize("command", ["push x:y", "models push x:y", "containerize x:y"])
def test_each_command_that_signs_with_a_key_uses_the_log(services, command):
    key = shared_options.signing("sign-", **parsed(" ".join([command, "--sign-key", "k.key", *LOGGED[2:]])))
    assert key.log == services.url


def test_rsa_keys_sign_with_a_log(services):
    key = rsa.generate_private_key(65537, 2048)
    Path("k.key").write_bytes(key.private_bytes(pem.Encoding.PEM, pem.PrivateFormat.PKCS8, pem.NoEncryption()))
    public = key.public_key().public_bytes(pem.Encoding.PEM, pem.PublicFormat.SubjectPublicKeyInfo)
    Path("k.pub").write_bytes(public)
    assert main(["sign", *LOGGED, "./file"]) == main([*KEY, "file"]) == status.OK
    [entry] = json.loads(Path("file.sigstore.json").read_text())["verificationMaterial"]["tlogEntries"]
    record = json.loads(b64decode(entry["canonicalizedBody"]))["spec"]["hashedRekordV002"]
    assert record["signature"]["verifier"]["keyDetails"] == "PKIX_RSA_PKCS1V15_2048_SHA256"


def test_the_entry_of_a_key_is_verified(services, capsys):
    assert main(["sign", *LOGGED, "./file"]) == status.OK
    bundle = json.loads(Path("file.sigstore.json").read_text())
    Path("file").write_text("another")
    assert main(["sign", *LOGGED, "./file"]) == status.OK
    Path("file").write_text(RECORDED["file"])
    material = bundle["verificationMaterial"]
    [entry] = material["tlogEntries"]
    other = json.loads(Path("file.sigstore.json").read_text())["verificationMaterial"]["tlogEntries"]
    invalid = "the transparency log entry is invalid"
    for entries, message in (
        (other, "the transparency log entry belongs to a different signature"),
        ([], "the signature has no transparency log entry"),
        ([entry, entry], invalid),
        ([entry, *other], invalid),
        ([1], invalid),
        ("x", invalid),
        ([{**entry, "canonicalizedBody": other[0]["canonicalizedBody"]}], "contains invalid root hash"),
        ([{**entry, "inclusionProof": other[0]["inclusionProof"]}], "contains invalid root hash"),
        ([{**entry, "inclusionProof": None}], invalid),
    ):
        bundled({**bundle, "verificationMaterial": {**material, "tlogEntries": entries}})
        assert main([*KEY, "file"]) == status.FOUND, entries
        assert message in capsys.readouterr().out
    for path in paths_of(entry):
        changed = copy.deepcopy(entry)
        inner = changed
        for name in path[:-1]:
            inner = inner[name]
        inner[path[-1]] = flipped(text) if len(text := str(inner[path[-1]])) > 40 and "\n" not in text else "x"
        bundled({**bundle, "verificationMaterial": {**material, "tlogEntries": [changed]}})
        assert main([*KEY, "file"]) == status.FOUND or path[-1] in {*UNSIGNED, "kind", "version"}, path
    for content in ({**bundle, "verificationMaterial": 1}, {**bundle, "verificationMaterial": None}):
        bundled(content)
        assert main([*KEY, "file"]) == status.FOUND
    bundled(bundle)
    assert main([*KEY, "file"]) == status.OK


@pytest.mark.parametrize("kind", ["file", "layout"])
def test_the_entry_of_a_retired_log_is_invalid(services, layout, kind, capsys):
    """Without a timestamp, an entry of a retired log could be new."""
    target = "./file" if kind == "file" else "layout"
    assert main(["sign", *LOGGED, target]) == status.OK
    assert main([*KEY, target]) == status.OK
    root = services.trusted_root()
    for log in root["tlogs"]:
        log["publicKey"]["validFor"] = {"start": "2019-01-01T00:00:00Z", "end": "2020-01-01T00:00:00Z"}
    Path("services.json").write_text(json.dumps(root))
    capsys.readouterr()
    assert main([*KEY, target]) == status.FOUND
    assert "the transparency log entry is invalid: Did not find any Rekor keys" in capsys.readouterr().out


def test_timestamps_determine_the_time_of_a_signature():
    bundle = RECORDED["file_bundles"]["cosign"]
    signature, root = b64decode(bundle["messageSignature"]["signature"]), read_trusted_root(Path("root.json"))
    [time] = keyless._timestamps(root, bundle["verificationMaterial"], signature)
    assert time.isoformat() == "2026-11-24T02:01:55+00:00"
    for material, signed in ((bundle["verificationMaterial"], b"x"), ({}, signature)):
        [time] = keyless._timestamps(root, material, signed)
        assert abs((datetime.now(timezone.utc) - time).total_seconds()) < 3600


def test_errors_of_the_log_are_reported(services, capsys):
    def config(**changes: object) -> str:
        document = services.trust_config()
        document["signingConfig"]["rekorTlogUrls"] = [{**document["signingConfig"]["rekorTlogUrls"][1], **changes}]
        Path("config.json").write_text(json.dumps(document))
        return "config.json"

    past = {"start": "2024-01-01T00:00:00Z", "end": "2025-01-01T00:00:00Z"}
    for file, message in (
        ("absent", "absent: cannot read the file: No such file"),
        ("k.pub", "k.pub:1: invalid JSON"),
        ("root.json", "root.json: signingConfig is missing. Specify a client trust configuration with a Rekor v2"),
        (lambda: config(majorApiVersion=1), "config.json: rekorTlogUrls contains no valid log with majorApiVersion 2"),
        (lambda: config(validFor=past), "config.json: rekorTlogUrls contains no valid log with majorApiVersion 2"),
        (lambda: config(validFor={"start": "9999-01-01T00:00:00Z"}), "contains no valid log"),
        (lambda: config(url=1), "rekorTlogUrls[0].url: expected a string, got a number"),
        (lambda: config(url="x"), "invalid URL"),
    ):
        name = file if isinstance(file, str) else file()
        assert main(["sign", "--key", "k.key", "--trust-config", name, "./file"]) == status.ERROR
        assert message in capsys.readouterr().err
    config()
    services.status = 400
    assert main(["sign", *LOGGED, "./file"]) == status.ERROR
    assert f"{services.url}: the transparency log returned 400. Check --trust-config" in capsys.readouterr().err
    services.close()
    assert main(["sign", *LOGGED, "./file"]) == status.ERROR
    assert "Check the connection to the transparency log, and sign again." in capsys.readouterr().err
    assert not Path("file.sigstore.json").exists()


def test_identities_need_a_package_that_keys_do_not(directory):
    """Without it there is a line, and nothing else imports it."""
    program = "import sys; sys.modules['sigstore'] = None; from bento_cli.cli import main; sys.exit(main())"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([SOURCES, *filter(None, sys.path)])}
    bundled(RECORDED["file_bundles"]["cosign"])
    for words in (["verify", *WHO, *ROOT, "file"], ["sign", "--keyless", "--identity-token", "file", "./file"]):
        done = subprocess.run(
            [sys.executable, "-c", program, *words], check=False, capture_output=True, text=True, env=environment
        )
        assert done.returncode == status.ERROR
        assert "bento: A keyless signature requires sigstore, which this Python doesn't have. Run `" in done.stderr
        assert " -m pip install sigstore`. With Bazel, set" in done.stderr
    for words in (["sign", "--key", "k.key", "./file"], ["verify", "--key", "k.pub", "file"]):
        done = subprocess.run([sys.executable, "-c", program, *words], check=False, env=environment)
        assert done.returncode == status.OK


def test_only_statements_are_attestations(services, monkeypatch):
    monkeypatch.setattr("sigstore.dsse.Envelope._TYPE", "text/plain")
    signer = IdentitySigner("token", "config.json")
    bundle = signer.sign_statement(cosign.make_statement("n", "sha256:" + "0" * 64, cosign.SIGNED, {}))
    with pytest.raises(SignatureError, match="the envelope isn't a signed in-toto statement"):
        signer.public.open_bundle(bundle)
