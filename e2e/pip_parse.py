"""Follows docs/pip-parse.md: saves the code blocks in an empty directory, and runs the commands."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import tempfile
import urllib.request
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import container
from registry_server import RegistryServer
from rules_python import OF_TOOLCHAIN, TEAMS, provide_modules, require_rules_python
from tutorial import START, WORKSPACE, Walk, response_to

if TYPE_CHECKING:
    from workbench import Checkout, Workbench

    from tests.helpers.documents import Block

PAGE = "docs/pip-parse.md"
PUSHED_TO = "registry.example.com"
# What a reader of the page has: the hub, the Python, and the lock that the page names.
READERS = """\
module(name = "readers")

bazel_dep(name = "rules_python", version = "2.3.2")
python = use_extension("@rules_python//python/extensions:python.bzl", "python")
python.toolchain(is_default = True, python_version = "3.12")

pip = use_extension("@rules_python//python/extensions:pip.bzl", "pip")
pip.parse(hub_name = "pip", python_version = "3.12", requirements_lock = "//:requirements_lock.txt")
use_repo(pip, "pip")

"""
VERSION = re.compile(r'(?<=python_version = )"(3\.\d+)"')
# The user of OpenShift, without a name, in the group root.
USER = (1002700000, 0)


def pip_parse_works(bench: Workbench) -> str:
    """Go from an empty directory to two Bentos, a test, their images, and a push, with `pip.parse`."""
    checkout = bench.readers
    with RegistryServer(bench.directory / "pip_parse_registry") as registry:
        walk = Walk(checkout, {PUSHED_TO: f"localhost:{registry.port}"}, partial(adapted, checkout))
        checkout.write(f"{WORKSPACE}/MODULE.bazel", adapted(checkout, None, READERS))
        shutil.copy(checkout.root / TEAMS / "requirements.txt", checkout.root / WORKSPACE / "requirements_lock.txt")
        walk.follow(PAGE, "", "A second service")
        [(curl, told)] = re.findall(r"^\$ (curl .*:3000/.*)\n(.*)$", checkout.read(START), re.MULTILINE)
        assert walk.served(shlex.split(curl)) == [told]
        pythons = images_serve(checkout, bench)
    return f"{walk.steps} commands; images with Python {', '.join(pythons)} serve as user {USER[0]}"


def adapted(checkout: Checkout, _: Block | None, text: str) -> str:
    """Return the text of a file. Replaces toolchains of rules_python with those that this machine provides."""
    toolchain = OF_TOOLCHAIN.search(text)
    if not toolchain:
        return text
    [version] = VERSION.findall(toolchain[0])
    if provide_modules(checkout, WORKSPACE, version):
        return text.replace(toolchain[0], 'include("//:python.MODULE.bazel")\n')
    checkout.write(f"{WORKSPACE}/MODULE.bazel", text)
    require_rules_python(checkout, WORKSPACE)
    return text


def images_serve(checkout: Checkout, bench: Workbench) -> list[str]:
    """Build the image of the page with each Python, and run it as an unprivileged user. Returns the versions."""
    files = {path: checkout.read(f"{WORKSPACE}/{path}") for path in ("BUILD.bazel", "MODULE.bazel")}
    pythons = ["3.12", "3.13"]
    for version in pythons:
        for path, text in files.items():
            checkout.write(f"{WORKSPACE}/{path}", VERSION.sub(f'"{version}"', text))
        provide_modules(checkout, WORKSPACE, version)
        checkout.build("//:hello_image", "--output_groups=+oci_layout,+sbom", workspace=WORKSPACE)
        outputs = checkout.root / WORKSPACE / "bazel-bin"
        sbom = json.loads((outputs / "hello_image.cdx.json").read_text("utf-8"))
        [python] = [each for each in sbom["components"] if each["name"] == "python"]
        assert python["version"].startswith(f"{version}."), python
        with tempfile.TemporaryDirectory(prefix="pip-parse-", dir=bench.directory) as scratch:
            bundle = Path(scratch, "bundle")
            container.unpacked((outputs / "hello_image.oci").resolve(), bundle)
            with container.running(bundle, *USER) as running:
                body = json.dumps({"name": "Ada"}).encode()
                headers = {"Content-Type": "application/json"}
                assert response_to(urllib.request.Request(f"{running.address}/greet", body, headers)) == "Hello, Ada!"
                program = "import sys; print(sys.version.split()[0], sys.base_prefix)"
                told = container.call("runc", "exec", running.name, container.PYTHON, "-c", program)
                assert told == f"{python['version']} /usr/local\n", told
    return pythons
