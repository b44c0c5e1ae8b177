"""Signs with local services of sigstore, by identities and keys, and verifies with cosign, in both directions."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import distribution
import sigstore_server
from schemas import Cosign
from sigstore_server import JOB

from tests.registry import servers

if TYPE_CHECKING:
    from workbench import Result, Workbench

BUILD = """\
load("//rules:defs.bzl", "bento_image", "bento_push")

bento_image(
    name = "image",
    base = "//examples/base:python",
    bento = "//examples/iris:iris_bento",
    sbom_format = "cyclonedx",
)

bento_push(name = "push", src = ":image")

bento_push(name = "push_keyless", src = ":image", keyless = True)

bento_push(name = "push_signed", src = ":image", signed = True)
"""
POLICY = """\
require:
- {{identity: {identity}, issuer: "{issuer}"}}
- {{type: sbom, identity: {identity}, issuer: "{issuer}"}}
- {{type: provenance, identity: {identity}, issuer: "{issuer}"}}
"""
KEY_POLICY = """\
require:
- {key: cosign.pub, log: true}
- {type: sbom, any: [{key: cosign.pub, log: true}]}
"""
DIRECTORY = "bazel-bin/tests/identities"
PERSON = "ada@example.com"


def keyless_signatures_are_compatible_with_cosign(bench: Workbench) -> str:
    """Sign with the token of a CI job, and verify with cosign; sign with cosign, and verify with the command."""
    secret = {"COSIGN_PASSWORD": "secret"}
    checkout, cosign = bench.plain, Cosign(bench, "identities", secret)
    checkout.write("tests/identities/BUILD.bazel", BUILD)
    sigstore_server.build_programs(bench.directory / "sigstore")
    here = cosign.directory
    running = sigstore_server.serve(bench.directory / "sigstore", cosign.program, here / "services")
    with running as services, servers.serve(distribution.registry_program(bench), here / "registry") as server:
        issuer, root = services.issuer.url, services.trusted_root

        def signer(identity: str, trusted_root: object = root) -> list[str]:
            who = [f"--certificate-identity={identity}", f"--certificate-oidc-issuer={issuer}"]
            return [*who, f"--trusted-root={trusted_root}"]

        def bento(*words: str, **variables: str) -> Result:
            return checkout.bazel("run", "//tools:bento_with_transports", "--", *words, **variables)

        def push(target: str, name: str, *words: str, **variables: str) -> Result:
            what = ["--", "--repository", f"{server.host}/{name}", "--tag", "v1"]
            return checkout.bazel("run", f"//tests/identities:{target}", *what, *words, **variables)

        # Signed with rules_bento, and verified with cosign.
        trust = ["--trust-config", str(services.trust_config)]
        builder = ["--builder-id", "https://ci.example.com"]
        missing = push("push_keyless", "ours", *trust, *builder)
        assert "--identity-token: no OIDC token found in the CI environment" in missing.errors, missing.told()
        push("push_keyless", "ours", *trust, *builder, **services.issuer.job()).succeeded()
        ours = f"{server.host}/ours:v1"
        attestations = ("slsaprovenance1", "cyclonedx")
        cosign("verify", *signer(JOB), ours)
        for kind in attestations:
            cosign("verify-attestation", f"--type={kind}", *signer(JOB), ours)
        (here / "policy.yaml").write_text(POLICY.format(identity=JOB, issuer=issuer))
        bento("verify", f"--policy={here}/policy.yaml", f"--trusted-root={root}", f"oci://{ours}").succeeded()
        (here / "token").write_text(services.issuer.token(PERSON))
        (here / "ours.txt").write_text("ours")
        signed = ["sign", "--keyless", f"--identity-token={here}/token", *trust, f"{here}/ours.txt"]
        bento(*signed).succeeded()
        cosign("verify-blob", "--bundle=ours.txt.sigstore.json", *signer(PERSON), "ours.txt")

        # Signed with cosign, and verified with the command.
        push("push", "theirs").succeeded()
        digest = checkout.read(f"{DIRECTORY}/image.digest").strip()
        theirs, address = f"{server.host}/theirs@{digest}", f"oci://{server.host}/theirs:v1"
        verify = ["verify", *signer(PERSON), "--sbom", address]
        assert "no signature of sha256:" in bento(*verify).output
        online = ["--identity-token=token", f"--signing-config={services.signing_config}", f"--trusted-root={root}"]
        cosign("sign", "--yes", *online, theirs)
        assert "SBOM of sha256:" in bento(*verify).output
        sbom = (checkout.root / DIRECTORY / "image.cdx.json").resolve()
        cosign("attest", "--yes", "--type=cyclonedx", f"--predicate={sbom}", *online, theirs)
        bento(*verify).succeeded()
        (here / "theirs.txt").write_text("theirs")
        cosign("sign-blob", "--yes", "--bundle=theirs.txt.sigstore.json", *online, "theirs.txt")
        bento("verify", *signer(PERSON), f"{here}/theirs.txt").succeeded()

        # Neither accepts another identity, or a service that isn't trusted.
        rejected = {f"another identity, {image}": (signer("eve@example.com"), image) for image in (ours, theirs)}
        for part in ("tlogs", "ctlogs", "certificateAuthorities", "timestampAuthorities"):
            document = json.loads(root.read_text())
            document[part] = []
            (here / f"{part}.json").write_text(json.dumps(document))
            rejected[f"no {part}"] = signer(JOB, here / f"{part}.json"), ours
        for why, (words, image) in rejected.items():
            cosign("verify", *words, image, fails=True)
            told = bento("verify", *words, f"oci://{image}")
            assert told.output.startswith("invalid  "), f"{why}: {told.told()}"

        # A key signs with a log. cosign accepts the signatures without --insecure-ignore-tlog.
        cosign("generate-key-pair")
        key, public = f"{here}/cosign.key", [f"--key={here}/cosign.pub", f"--trusted-root={root}"]
        push("push_signed", "keyed", "--sign-key", key, *trust, *builder, **secret).succeeded()
        keyed = f"{server.host}/keyed:v1"
        cosign("verify", *public, keyed)
        for kind in attestations:
            cosign("verify-attestation", f"--type={kind}", *public, keyed)
        bento("verify", *public, "--sbom", "--provenance", f"oci://{keyed}").succeeded()
        (here / "keys.yaml").write_text(KEY_POLICY)
        policy = ["verify", f"--policy={here}/keys.yaml", f"--trusted-root={root}"]
        bento(*policy, f"oci://{keyed}").succeeded()
        cosign("save", f"--dir={here}/layout", f"{server.host}/theirs@{digest}")
        files = [f"{here}/layout", f"{here}/ours.txt"]
        bento("sign", "--key", key, *trust, *files, **secret).succeeded()
        cosign("verify", "--local-image", *public, "layout")
        cosign("verify-blob", "--bundle=ours.txt.sigstore.json", *public, "ours.txt")
        for file in files:
            bento("verify", *public, file).succeeded()

        push("push", "by_cosign").succeeded()
        theirs = f"{server.host}/by_cosign@{digest}"
        verify = ["verify", *public, f"oci://{server.host}/by_cosign:v1"]
        log = ["--yes", f"--key={key}", *online[1:]]
        cosign("sign", *log, theirs)
        bento(*verify).succeeded()
        assert "SBOM of sha256:" in bento(*verify, "--sbom").output
        cosign("attest", "--type=cyclonedx", f"--predicate={sbom}", *log, theirs)
        bento(*verify, "--sbom").succeeded()
        cosign("sign-blob", "--bundle=theirs.txt.sigstore.json", *log, "theirs.txt")
        bento("verify", *public, f"{here}/theirs.txt").succeeded()

        # Neither accepts a signature without an entry, or with the entry of another signature.
        push("push_signed", "unlogged", "--sign-key", key, **secret).succeeded()
        unlogged = f"{server.host}/unlogged:v1"
        cosign("verify", *public, unlogged, fails=True)
        told = bento(*policy, f"oci://{unlogged}")
        assert "the signature has no transparency log entry" in told.output, told.told()
        ours = json.loads((here / "ours.txt.sigstore.json").read_text())
        other = json.loads((here / "theirs.txt.sigstore.json").read_text())
        ours["verificationMaterial"]["tlogEntries"] = other["verificationMaterial"]["tlogEntries"]
        (here / "ours.txt.sigstore.json").write_text(json.dumps(ours))
        cosign("verify-blob", "--bundle=ours.txt.sigstore.json", *public, "ours.txt", fails=True)
        told = bento("verify", *public, f"{here}/ours.txt")
        assert "the transparency log entry belongs to a different signature" in told.output, told.told()
        cosign("verify-blob", "--bundle=ours.txt.sigstore.json", "--insecure-ignore-tlog", public[0], "ours.txt")
        push("push_signed", "unlogged", "--sign-key", key, *trust, **secret).succeeded()
        cosign("verify", *public, unlogged)
    return f"{len(sigstore_server.PROGRAMS)} services; {len(rejected) + 2} signatures that neither tool accepts"
