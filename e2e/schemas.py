"""Validates the documents of images against the official schemas, and their signatures with cosign."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import distribution
from container import call

from tests.registry import servers

if TYPE_CHECKING:
    from pathlib import Path

    from workbench import Workbench

JUDGES = ("cyclonedx-python-lib[json-validation]==11.12.0", "modelpack-client==0.1.0", "spdx-tools==0.8.5")
BUILD = """\
load("//rules:defs.bzl", "bento_image", "bento_image_index", "bento_model", "bento_model_image", "bento_push")

[
    bento_image(
        name = form,
        base = "//examples/base:python",
        bento = "//examples/iris:iris_bento",
        layers = [":" + name for name in ["hub", "site", "registry"]],
        sbom_format = form,
        stamp = 1,
        annotations = {"org.opencontainers.image.revision": "{STABLE_REVISION}"},
    )
    for form in ["cyclonedx", "spdx"]
]

bento_image_index(name = "index", image = ":spdx", platforms = ["//toolchains/platforms:linux_amd64"])

bento_push(name = "push", src = ":spdx")

[
    bento_push(name = "push_signed_" + form, src = form, signed = True)
    for form in ["cyclonedx", "index"]
]

[
    bento_model(
        name = name,
        srcs = ["one.pt"],
        fields_file = name + ".json",
        labels = {"license": license},
        tag = name + ":v1",
    )
    for name, license in {"hub": "apache-2.0", "site": "llama3", "registry": "mit or apache-2.0"}.items()
]

bento_model(name = "weights", srcs = ["one.pt", "sub/names.json"], tag = "weights:v1")

bento_model_image(
    name = "modelpack",
    annotations = {"org.opencontainers.image.licenses": "MIT"},
    format = "modelpack",
    model = ":weights",
)

bento_push(name = "push_model", src = ":modelpack")
"""
ORIGINS = {
    "hub": {"hugging_face": "acme/tiny@" + "0" * 40},
    "site": {"origin": "https://models.example.com/site"},
    "registry": {"origin": "oci://registry.example.com/models/registry@sha256:" + "0" * 64},
}
STATUS = "#!/bin/sh\necho STABLE_REVISION {}\n"
DIRECTORY = "bazel-bin/tests/documents"
SCHEMAS = {
    "spdx.config.json": "config-schema.json",
    "spdx.manifest.json": "image-manifest-schema.json",
    "index.index.json": "image-index-schema.json",
    "spdx.oci/index.json": "image-index-schema.json",
    "spdx.oci/oci-layout": "image-layout-schema.json",
}
# Runs with the packages of reference implementations: DOCUMENTS SCHEMAS, and pairs of a document and its schema.
JUDGE = """
import json, sys
from pathlib import Path
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from jsonschema import Draft4Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT4
from spdx_tools.spdx.parser.parse_anything import parse_file
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

documents, schemas = Path(sys.argv[1]), Path(sys.argv[2])
found = {path.name: json.loads(path.read_text()) for path in schemas.glob("*.json")}
registry = Registry(retrieve=lambda uri: Resource(found[uri.rpartition("/")[2]], DRAFT4))
for document, schema in (pair.split("=") for pair in sys.argv[3:]):
    content = json.loads((documents / document).read_text())
    errors = list(Draft4Validator(found[schema], registry=registry).iter_errors(content))
    assert not errors, f"{document}: {errors}"
    content["schemaVersion" if "schemaVersion" in content else "architecture"] = []
    broken = list(Draft4Validator(found[schema], registry=registry).iter_errors(content))
    assert broken or "layout" in schema, f"{schema} accepts an invalid document"
bill = (documents / "cyclonedx.cdx.json").read_text()
assert not JsonStrictValidator(SchemaVersion.V1_6).validate_str(bill)
assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(bill.replace('"library"', '"thing"'))
messages = validate_full_spdx_document(parse_file(str(documents / "spdx.spdx.json")))
assert not messages, messages[:5]
"""


# Pulls a model with a reference implementation: the name of the artifact, and a directory for its files.
JUDGE_OF_MODELS = """
import sys
from pathlib import Path
from jsonschema import Draft202012Validator
from modelpack_client import ModelPackClient
from modelpack_client.schema import CONFIG_SCHEMA

pulled = ModelPackClient(insecure=True).pull(*sys.argv[1:])
files = {str(path.relative_to(sys.argv[2])): path.read_text() for path in pulled.files}
assert files == {"one.pt": "one", "sub/names.json": "{}"}, files
assert list(Draft202012Validator(CONFIG_SCHEMA).iter_errors({**pulled.config, "modelfs": []}))
"""


def documents_follow_their_schemas(bench: Workbench) -> str:
    """Validate with OCI's schemas and the libraries of CycloneDX and SPDX, and signatures with cosign.

    A stamped revision changes no layer.
    """
    checkout = bench.plain
    checkout.write("tests/documents/BUILD.bazel", BUILD)
    checkout.write("tests/documents/one.pt", "one")
    checkout.write("tests/documents/sub/names.json", "{}")
    for name, origin in ORIGINS.items():
        checkout.write(f"tests/documents/{name}.json", json.dumps(origin))
    checkout.write("tests/documents/status.sh", STATUS.format("one"))
    (checkout.root / "tests/documents/status.sh").chmod(0o755)
    status = f"--workspace_status_command={checkout.root}/tests/documents/status.sh"
    targets = [f"//tests/documents:{name}" for name in ("cyclonedx", "spdx", "index")]
    checkout.build(status, "--output_groups=+oci_layout,+sbom", *targets)
    directory = (checkout.root / DIRECTORY).resolve()
    (bench.directory / "image-spec").mkdir()
    servers.unpack_all(
        distribution.locked_deb(bench, "golang-github-opencontainers-image-spec-dev"), bench.directory / "image-spec"
    )
    [schemas] = {path.parent for path in (bench.directory / "image-spec").rglob("image-manifest-schema.json")}
    subprocess.run([sys.executable, "-m", "venv", bench.directory / "judges"], check=True)
    python = bench.directory / "judges/bin/python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", *JUDGES], check=True, stdin=subprocess.DEVNULL)
    documents = SCHEMAS | referrers(bench, status, python)
    cosign_and_bento_agree(bench, status)
    pairs = [f"{document}={schema}" for document, schema in documents.items()]
    command = [python, "-c", JUDGE, directory, schemas, *pairs]
    judged = subprocess.run(list(map(str, command)), check=False, capture_output=True, text=True)
    assert judged.returncode == 0, judged.stderr
    components = json.loads((directory / "cyclonedx.cdx.json").read_text())["components"]
    purls = {entry.get("purl", "") for entry in components}
    assert any(purl.startswith("pkg:deb/debian/python3") for purl in purls), sorted(purls)
    [numpy] = [entry for entry in components if entry.get("purl", "").startswith("pkg:pypi/numpy@")]
    assert numpy["licenses"], numpy
    assert revision(directory) == "one"

    checkout.write("tests/documents/status.sh", STATUS.format("two"))
    again = checkout.build(status, targets[1])
    assert revision(directory) == "two"
    assert set(again.ran) <= {"BentoImage", "BentoSbom", "BentoSystemCheck"}, again.ran
    judged_by = f"{len(documents)} documents, two bills of materials, a model that its tool pulled"
    return f"{judged_by}; a new revision reran {', '.join(again.ran)}"


def referrers(bench: Workbench, status: str, python: Path) -> dict[str, str]:
    """Push an image, and return the files of the attached manifest and of the referrers list, with their schemas.

    Also pushes a model, and pulls it with a reference implementation.
    """
    directory = bench.directory / "referrers"
    directory.mkdir()
    digest = bench.plain.read(f"{DIRECTORY}/spdx.digest").strip()
    with servers.serve(distribution.registry_program(bench), bench.directory / "documents") as server:
        name = f"{server.host}/documents/spdx"
        bench.plain.bazel("run", status, "//tests/documents:push", "--", "--repository", name).succeeded()
        index = servers.get(server, f"/v2/documents/spdx/manifests/{digest.replace(':', '-')}")[1]
        [entry] = json.loads(index)["manifests"]
        manifest = servers.get(server, f"/v2/documents/spdx/manifests/{entry['digest']}")[1]
        model = f"{server.host}/documents/model"
        bench.plain.bazel("run", "//tests/documents:push_model", "--", "--repository", model, "--tag", "v1").succeeded()
        command = [python, "-c", JUDGE_OF_MODELS, f"{model}:v1", directory / "model"]
        judged = subprocess.run(list(map(str, command)), check=False, capture_output=True, text=True)
        assert judged.returncode == 0, judged.stderr
    (directory / "index.json").write_bytes(index)
    (directory / "manifest.json").write_bytes(manifest)
    schemas = {"index.json": "image-index-schema.json", "manifest.json": "image-manifest-schema.json"}
    return {f"{directory}/{name}": schema for name, schema in schemas.items()}


class Cosign:
    """Runs Debian's cosign 3, without a network but loopback."""

    def __init__(self, bench: Workbench, name: str, variables: dict[str, str]) -> None:
        """Fetch the program unless another scenario did, and create a directory."""
        root, self.directory = bench.directory / "cosign", bench.directory / f"cosign_{name}"
        self.directory.mkdir()
        self.program = root / "usr/bin/cosign"
        if not root.exists():
            distribution.need("mmdebstrap")
            fetched = ["--quiet", "--mode=root", "--variant=extract", "--include=cosign", "sid", str(root)]
            call("mmdebstrap", '--aptopt=Acquire::Check-Valid-Until "false"', *fetched)
        offline = {"HOME": str(self.directory), "HTTPS_PROXY": "http://127.0.0.1:9", "NO_PROXY": ""}
        self._variables = {**os.environ, **variables, **offline}

    def __call__(self, *arguments: str | Path, fails: bool = False) -> None:
        """Run a command, which fails or not as expected."""
        command = [self.program, *arguments]
        done = subprocess.run(
            command, cwd=self.directory, env=self._variables, check=False, capture_output=True, text=True
        )
        assert (done.returncode != 0) == fails, f"{arguments}: {done.stdout}{done.stderr}"


def cosign_and_bento_agree(bench: Workbench, status: str) -> None:
    """Sign and attest with each tool, and verify with the other. cosign has no network but the registry."""
    secret, bazel = {"COSIGN_PASSWORD": "secret"}, bench.plain.bazel
    cosign = Cosign(bench, "keys", secret)
    directory = cosign.directory

    def verifies(name: str, *kinds: str, fails: bool = False) -> None:
        offline = ["--insecure-ignore-tlog", f"--key={directory}/cosign.pub", name]
        cosign("verify", *offline, fails=fails)
        for kind in kinds:
            cosign("verify-attestation", f"--type={kind}", *offline, fails=fails)

    cosign("generate-key-pair")
    words = ["--tag", "v1", "--sign-key", f"{directory}/cosign.key"]
    builder = ["--builder-id", "https://ci.example.com"]
    verify = ["//tools:bento_with_transports", "--", "verify", "--key", f"{directory}/cosign.pub", "--sbom"]
    with servers.serve(distribution.registry_program(bench), bench.directory / "signed") as server:
        for form in ("cyclonedx", "index"):
            name = f"{server.host}/signed/{form}"
            push = ["--", "--repository", name, *words, *builder]
            bazel("run", status, f"//tests/documents:push_signed_{form}", *push, **secret).succeeded()
            bazel("run", *verify, "--provenance", f"oci://{name}:v1").succeeded()
            image = bench.plain.read(f"{DIRECTORY}/{'spdx' if form == 'index' else form}.digest").strip()
            verifies(f"{name}:v1", "slsaprovenance1")
            verifies(f"{name}@{image}", "spdxjson" if form == "index" else form, "slsaprovenance1")
        name = f"{server.host}/signed/by_cosign"
        bazel("run", status, "//tests/documents:push", "--", "--repository", name, "--tag", "v1").succeeded()
        verifies(f"{name}:v1", fails=True)
        offline = [f"--key={directory}/cosign.key", "--use-signing-config=false", "--tlog-upload=false", f"{name}:v1"]
        cosign("sign", *offline)
        missing = bazel("run", *verify, f"oci://{name}:v1")
        assert "SBOM of sha256:" in missing.output, missing.told()
        bill = (bench.plain.root / DIRECTORY / "spdx.spdx.json").resolve()
        cosign("attest", "--type=spdxjson", f"--predicate={bill}", *offline)
        bazel("run", *verify, f"oci://{name}:v1").succeeded()
        cosign_decides_on_a_verification(bench, status, cosign, f"{server.host}/signed")


def cosign_decides_on_a_verification(bench: Workbench, status: str, cosign: Cosign, repository: str) -> None:
    """By the policy of docs/proofs.md: an old verification, and one of another source, are refused."""
    kind, source = "https://slsa.dev/verification_summary/v1", "git+https://git.example.com/api"
    page = (bench.plain.root / "docs/proofs.md").read_text()
    (cosign.directory / "rebuilt.rego").write_text(page.partition("```rego\n")[2].partition("```")[0])
    now = datetime.now(timezone.utc)
    for name, days, uri in (("new", 0, source), ("old", 31, source), ("other", 0, f"{source}-other")):
        predicate = {
            "verifier": {"id": "urn:rules-bento:verify-rebuild:v1"},
            "verificationResult": "PASSED",
            "verifiedLevels": ["RULES_BENTO_ALL_FILES_PROVEN"],
            "timeVerified": f"{now - timedelta(days):%Y-%m-%dT%H:%M:%SZ}",
            "rules_bento_inputs": [{"uri": uri}],
        }
        (cosign.directory / name).write_text(json.dumps(predicate))
        image = f"{repository}/{name}:v1"
        push = ["//tests/documents:push", "--", "--repository", image[:-3], "--tag", "v1"]
        bench.plain.bazel("run", status, *push).succeeded()
        attach = ["--key", f"{cosign.directory}/cosign.key", "--attest", f"{cosign.directory}/{name}", "--type", kind]
        words = ["run", "//tools:bento_with_transports", "--", "sign", *attach, f"oci://{image}"]
        bench.plain.bazel(*words, COSIGN_PASSWORD="secret").succeeded()
        trusted = ["--key=cosign.pub", "--insecure-ignore-tlog", "--policy=rebuilt.rego"]
        cosign("verify-attestation", f"--type={kind}", *trusted, image, fails=name != "new")


def revision(directory: Path) -> str:
    manifest = json.loads((directory / "spdx.manifest.json").read_text())
    found: str = manifest["annotations"]["org.opencontainers.image.revision"]
    return found
