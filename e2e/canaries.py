"""Checks that the user's secrets appear in no output, message, or log of a build."""

from __future__ import annotations

import lzma
import subprocess
from typing import TYPE_CHECKING

from remote_cache import EXAMPLES
from workbench import gunzip

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from workbench import Checkout, Workbench

CANARY = "canary7secret"
VARIABLES = (
    "AWS_SECRET_ACCESS_KEY",
    "BENTO_CLOUD_API_KEY",
    "GITHUB_TOKEN",
    "HF_TOKEN",
    "HUGGING_FACE_HUB_TOKEN",
    "HTTP_PROXY_PASSWORD",
    "PIP_INDEX_URL",
    "UV_INDEX_URL",
)
# The files in which clients of hubs, registries, and clouds store tokens, and the variables with their paths.
TOKEN_FILES = {
    "AWS_SHARED_CREDENTIALS_FILE": "",
    "BENTOML_HOME": ".yatai.yaml",
    "DOCKER_CONFIG": "config.json",
    "GOOGLE_APPLICATION_CREDENTIALS": "",
    "HF_HOME": "token",
    "HF_TOKEN_PATH": "",
}
# Without --action_env, which Bazel passes to the example's genrule.
SETTINGS = (f"--host_action_env=TOKEN={CANARY}", f"--define=token={CANARY}")
SERVICES = ("examples/iris/service.py", "examples/studio/service.py")
# Images with the other compression.
UNPACKED = "//tests/images:image"
GROUPS = "--output_groups=+bento_yaml,+manifest,+report,+sbom,+summary,+tar,+checked"
CHANGE = "\n# With secrets around.\n"
BROKEN = "import bentoml\n\n@bentoml.service(name=computed())\nclass Service:\n    pass\n"
BUILD = """\
load("//rules:defs.bzl", "bento_package")

bento_package(
    name = "broken",
    srcs = ["service.py"],
    bento_env = ["TOKEN=canary7secret", "canary7secret="],
    service = "service:Service",
)
"""


def secrets_do_not_leak(bench: Workbench) -> str:
    """Search outputs, layers, the execution log of examples, and the output of a failing build for secrets."""
    checkout = bench.plain
    given = dict.fromkeys(VARIABLES, f"https://me:{CANARY}@localhost/simple") | tokens(checkout)
    log = checkout.root / "canaries.json"
    # These actions run again with the secrets, even if an earlier scenario built the targets.
    for path in SERVICES:
        checkout.write(path, checkout.read(path) + CHANGE)
    built = checkout.build(*EXAMPLES, GROUPS, f"--execution_log_json_file={log}", **given)
    ran = log.read_text("utf-8")
    assert all(f"{path.rpartition('/')[0]}:" in ran for path in SERVICES), "no action of an example ran"
    for name in VARIABLES:
        assert CANARY not in built.output + built.errors, name
    layers_log = checkout.root / "canaries-of-layers.json"
    groups = ("--output_groups=oci_layout", f"--execution_log_json_file={layers_log}")
    layers = checkout.build(UNPACKED, *groups, *SETTINGS, **given)
    assert CANARY not in layers.output + layers.errors
    outputs = list(files_of(checkout.root / "bazel-bin/examples"))
    assert len(outputs) > 40, outputs
    blobs = list(files_of(checkout.root / "bazel-bin/tests/images"))
    for paths, is_packed in ((outputs, is_gzip), (blobs, is_zstd)):
        assert any(is_packed(path) and CHANGE.encode() in contents(path) for path in paths), "no layer with the sources"
    found = [path for path in [log, layers_log, *outputs, *blobs] if CANARY.encode() in contents(path)]
    assert found == [], found
    checkout.write("broken/BUILD.bazel", BUILD)
    checkout.write("broken/service.py", BROKEN)
    refused = checkout.bazel("build", "//broken", "--sandbox_debug", "--verbose_failures", **given)
    assert refused.code != 0
    said = [line for line in refused.errors.splitlines() if CANARY in line]
    assert said == [], said
    seen = f"{len(outputs)} files and {len(blobs)} of another image, layers unpacked"
    return f"{seen}, the logs and a failing build have none of {len(given) + len(SETTINGS)} secrets"


def tokens(checkout: Checkout) -> dict[str, str]:
    """Write files with a secret, and return the variables with their paths."""
    checkout.write("secrets/netrc", f"machine localhost login me password {CANARY}\n")
    places = {"NETRC": checkout.root / "secrets/netrc"}
    for variable, name in TOKEN_FILES.items():
        places[variable] = checkout.root / "secrets" / variable
        checkout.write(str(places[variable] / name), f"{CANARY}\n")
    return {variable: str(place) for variable, place in places.items()}


def files_of(directory: Path) -> Iterator[Path]:
    for path in sorted(directory.rglob("*")):
        if path.is_file() and not path.is_symlink():
            yield path


def is_gzip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def is_zstd(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"\x28\xb5\x2f\xfd"


def contents(path: Path) -> bytes:
    if is_zstd(path):
        return subprocess.run(["zstd", "-dcq", str(path)], check=True, capture_output=True).stdout
    data = path.read_bytes()
    if is_gzip(path):
        return gunzip(data)
    return lzma.decompress(data) if data.startswith(b"\xfd7zXZ") else data
