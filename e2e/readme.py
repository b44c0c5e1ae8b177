"""Follows the two starts in README.md: saves the code blocks in an empty directory, and runs the commands."""

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
from tutorial import WORKSPACE, Walk, response_to

from tests.helpers.documents import blocks

if TYPE_CHECKING:
    from workbench import Checkout, Workbench

    from tests.helpers.documents import Block

PAGE = "README.md"
PUSHED_TO = "registry.example.com"
PARSED, UNKNOWN = "## Start with pip.parse", "## Start without Bazel knowledge"
# What a reader of the first start has: the hub, the Python, and the lock that the page names.
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


def readme_works(bench: Workbench) -> str:
    """Go from an empty directory to a Bento, its test, its image, and a push, with `pip.parse` and with a lock."""
    checkout = bench.checkout("readme")
    text = checkout.read(PAGE)
    steps, service = 0, ""
    [curl] = re.findall(r"^\$ (curl .*)\n(.*)$", text, re.MULTILINE)
    with RegistryServer(bench.directory / "readme_registry") as registry:
        for heading in (PARSED, UNKNOWN):
            begin = text.index(heading)
            lines = [text[:place].count("\n") + 1 for place in (begin, text.index("\n## ", begin + 1))]
            walk = Walk(checkout, text, {PUSHED_TO: f"localhost:{registry.port}"}, partial(adapted, checkout))
            if heading == PARSED:
                checkout.write(f"{WORKSPACE}/MODULE.bazel", adapted(checkout, None, READERS))
                shutil.copy(
                    checkout.root / TEAMS / "requirements.txt", checkout.root / WORKSPACE / "requirements_lock.txt"
                )
            else:
                [paragraph] = re.findall(r"^In the directory, create .*?\n\n", text, re.MULTILINE | re.DOTALL)
                assert "`service.py` from above" in paragraph
                checkout.write(f"{WORKSPACE}/service.py", service)
                [line] = re.findall(r"`requirements\.in` with the line `(.*?)`", paragraph)
                checkout.write(f"{WORKSPACE}/requirements.in", f"{line}\n")
            for block in blocks(checkout.root / PAGE):
                if lines[0] < block.line < lines[1]:
                    walk.take(block)
            if heading == PARSED:
                assert walk.served(shlex.split(curl[0])) == [curl[1]]
                service = checkout.read(f"{WORKSPACE}/service.py")
                pythons = images_serve(checkout, bench)
            steps += walk.steps
    return f"{steps} commands; images with Python {', '.join(pythons)} serve as user {USER[0]}"


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
    """Build the image of the first start with each Python, and run it as an unprivileged user. Returns the versions."""
    files = {path: checkout.read(f"{WORKSPACE}/{path}") for path in ("BUILD.bazel", "MODULE.bazel")}
    pythons = ["3.12", "3.11", "3.13"]
    for version in pythons:
        for path, text in files.items():
            checkout.write(f"{WORKSPACE}/{path}", VERSION.sub(f'"{version}"', text))
        provide_modules(checkout, WORKSPACE, version)
        checkout.build("//:hello_image", "--output_groups=+oci_layout,+sbom", workspace=WORKSPACE)
        outputs = checkout.root / WORKSPACE / "bazel-bin"
        sbom = json.loads((outputs / "hello_image.cdx.json").read_text("utf-8"))
        [python] = [each for each in sbom["components"] if each["name"] == "python"]
        assert python["version"].startswith(f"{version}."), python
        with tempfile.TemporaryDirectory(prefix="readme-", dir=bench.directory) as scratch:
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
