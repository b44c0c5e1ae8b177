"""Secrets that the caller has are in nothing that a build makes, says or notes."""

from __future__ import annotations

import gzip
import lzma
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from workbench import Workbench

CANARY = "canary7secret"
VARIABLES = (
    "AWS_SECRET_ACCESS_KEY",
    "BENTO_CLOUD_API_KEY",
    "GITHUB_TOKEN",
    "HF_TOKEN",
    "HTTP_PROXY_PASSWORD",
    "PIP_INDEX_URL",
    "UV_INDEX_URL",
)
EXAMPLES = "//examples/..."
SERVICES = ("examples/iris/service.py", "examples/studio/service.py")
# With layers that this Python can unpack, zstd it does not know.
UNPACKED = "//tests/images:gzip_image"
GROUPS = "--output_groups=+bento_yaml,+manifest,+report,+sbom,+layer_report,+summary,+tar,+checked"
CHANGE = "\n# With secrets around.\n"
BROKEN = "import bentoml\n\n@bentoml.service(name=computed())\nclass Service:\n    pass\n"
BUILD = """\
load("//rules:defs.bzl", "bento_package")

bento_package(
    name = "broken",
    srcs = ["service.py"],
    envs = ["TOKEN=canary7secret", "canary7secret="],
    service = "service:Service",
)
"""


def the_callers_secrets_go_nowhere(bench: Workbench) -> str:
    """Neither into outputs, images and execution log of all examples, nor into what a failing build says."""
    checkout = bench.plain
    checkout.write("netrc", f"machine localhost login me password {CANARY}\n")
    given = dict.fromkeys(VARIABLES, f"https://me:{CANARY}@localhost/simple") | {"NETRC": f"{checkout.root}/netrc"}
    log = checkout.root / "canaries.json"
    # Whatever an earlier scenario has built, these actions run with the secrets around them.
    for path in SERVICES:
        checkout.write(path, checkout.read(path) + CHANGE)
    built = checkout.build(EXAMPLES, GROUPS, f"--execution_log_json_file={log}", **given)
    ran = log.read_text("utf-8")
    assert all(f"{path.rpartition('/')[0]}:" in ran for path in SERVICES), "of an example nothing ran"
    for name in VARIABLES:
        assert CANARY not in built.output + built.errors, name
    layers_log = checkout.root / "canaries-of-layers.json"
    layers = checkout.build(UNPACKED, "--output_groups=oci_layout", f"--execution_log_json_file={layers_log}", **given)
    assert CANARY not in layers.output + layers.errors
    outputs = list(files_of(checkout.root / "bazel-bin/examples"))
    assert len(outputs) > 40, outputs
    blobs = list(files_of(checkout.root / "bazel-bin/tests/images"))
    assert any(is_gzip(path) and CHANGE.encode() in contents(path) for path in blobs), blobs
    found = [path for path in [log, layers_log, *outputs, *blobs] if CANARY.encode() in contents(path)]
    assert found == [], found
    checkout.write("broken/BUILD.bazel", BUILD)
    checkout.write("broken/service.py", BROKEN)
    refused = checkout.bazel("build", "//broken", "--sandbox_debug", "--verbose_failures", **given)
    assert refused.code != 0
    said = [line for line in refused.errors.splitlines() if CANARY in line]
    assert said == [], said
    seen = f"{len(outputs)} files, {len(blobs)} of an image with its layers unpacked"
    return f"{seen}, the logs and a failing build have none of {len(VARIABLES) + 1} secrets"


def files_of(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            yield path


def is_gzip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def contents(path: Path) -> bytes:
    data = path.read_bytes()
    if is_gzip(path):
        return gzip.decompress(data)
    return lzma.decompress(data) if data.startswith(b"\xfd7zXZ") else data
