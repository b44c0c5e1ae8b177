"""Locks from a private index with a password: pypiserver on the loopback interface, with a package of a public name."""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
import subprocess
import sys
from typing import TYPE_CHECKING

from server import Server
from workbench import with_python_here

from tests.helpers.made_wheels import Maker

if TYPE_CHECKING:
    from pathlib import Path

    from workbench import Checkout, Workbench

PASSWORD = secrets.token_hex(12)
# Bazel's download cache finds a file by its hash, so the wheels of each run differ.
RUN = secrets.token_hex(12)
# PyPI has higher versions of this name, so a request to PyPI would lock code of another author.
CONFUSED = "sampleproject"
MODULE = """\
module(name = "private")
bazel_dep(name = "rules_bento", version = "0.1.0")
local_path_override(module_name = "rules_bento", path = "../..")
bazel_dep(name = "rules_python", version = "0.40.0")
bento = use_extension("@rules_bento//toolchains:extensions.bzl", "bento")
bento.pypi(
    name = "pypi",
    explicit = {explicit},
    indexes = ["corp={address}"],
    lock = "//:requirements.lock.json",
)
use_repo(bento, "pypi")
"""
BUILD = """\
load("@rules_bento//rules:defs.bzl", "bento_requirements")
load("@rules_python//python:defs.bzl", "py_test")

bento_requirements(
    name = "requirements",
    srcs = ["requirements.in"],
    explicit = {explicit},
    indexes = ["corp={address}"],
)
"""
TEST = """
py_test(
    name = "ours_test",
    srcs = ["ours_test.py"],
    deps = ["@pypi//acme_iris"],
)
"""
EXPLICIT = {"acme-iris": "corp", CONFUSED: "corp"}


def private_index_keeps_its_password(bench: Workbench) -> str:
    """Lock with credentials of the environment, fetch with netrc, and fail with wrong credentials. Search outputs."""
    checkout = bench.consumer()
    with IndexServer(bench.directory / "index") as server:
        write_workspace(checkout, f"http://127.0.0.1:{server.port}/simple/")
        by_environment = {"UV_INDEX_CORP_USERNAME": "alice", "UV_INDEX_CORP_PASSWORD": PASSWORD}
        shown = [checkout.bazel("run", "//:requirements.update", **by_environment).succeeded()]
        lock = checkout.read("requirements.lock.json")
        assert '"sampleproject"' in lock
        assert '"0.0.1"' in lock, f"the public {CONFUSED} was locked:\n{lock}"
        assert not any(word in lock for word in ("127.0.0.1", "alice", "http")), lock

        checkout.write("BUILD.bazel", checkout.read("BUILD.bazel") + TEST)
        wrong = {"UV_INDEX_CORP_USERNAME": "alice", "UV_INDEX_CORP_PASSWORD": f"no-{PASSWORD}", "UV_NO_CACHE": "1"}
        failed = checkout.bazel("test", "//...", **wrong)
        assert failed.code != 0, "the index requires no password"
        assert "acme-iris==1.0" in failed.errors or "sampleproject==0.0.1" in failed.errors, failed.told()
        shown.append(failed)
        checkout.close()

        netrc = bench.directory / "netrc"
        netrc.write_text(f"machine 127.0.0.1 login alice password {PASSWORD}\n", "utf-8")
        netrc.chmod(0o600)
        tested = checkout.bazel("test", "//...", NETRC=str(netrc), UV_NO_CACHE="1").succeeded()
        shown.append(tested)
    leaks = [result.command for result in shown if PASSWORD in result.output + result.errors]
    assert not leaks, f"the password is shown by {leaks}"
    found = files_with(PASSWORD.encode(), checkout.root.parent)
    assert not found, f"the password is in {', '.join(map(str, found))}"
    return f"{CONFUSED} came from the private index; its password is in no file and no message"


def write_workspace(checkout: Checkout, address: str) -> None:
    explicit = str(EXPLICIT).replace("'", '"')
    module = MODULE.format(address=address, explicit=explicit)
    checkout.write("MODULE.bazel", with_python_here(module))
    checkout.write("BUILD.bazel", BUILD.format(address=address, explicit=explicit))
    checkout.write("requirements.in", "acme-iris\n")
    checkout.write("requirements.lock.json", "")
    checkout.write("ours_test.py", f"import {CONFUSED}\n\nassert {CONFUSED}.OURS\n")


def files_with(text: bytes, directory: Path) -> list[Path]:
    """Return the files in a directory that contain a string. Links aren't followed."""
    found = []
    for parent, _, names in os.walk(directory):
        for name in names:
            path = directory.__class__(parent, name)
            if (
                path.is_file()
                and not path.is_symlink()
                and path.stat().st_size < 50_000_000
                and text in path.read_bytes()
            ):
                found.append(path)
    return found


class IndexServer(Server):
    """Runs pypiserver, which requires a password."""

    def command(self) -> list[str]:
        """Write the packages, and install the server."""
        packages, python = self.directory / "packages", self.directory / "venv/bin/python"
        packages.mkdir()
        Maker(CONFUSED, "0.0.1").add({f"{CONFUSED}.py": f'OURS = True\nRUN = "{RUN}"\n'}).write(packages)
        iris = Maker("acme_iris").add({"acme_iris.py": f'RUN = "{RUN}"\n'})
        iris.files[f"{iris.dist_info}/METADATA"] += f"Requires-Dist: {CONFUSED}\n".encode()
        iris.write(packages)
        subprocess.run([sys.executable, "-m", "venv", self.directory / "venv"], check=True)
        install = [python, "-m", "pip", "install", "--quiet", "pypiserver==2.4.2", "passlib==1.7.4"]
        subprocess.run([*map(str, install)], check=True, stdin=subprocess.DEVNULL)
        passwords = self.directory / "htpasswd"
        digest = base64.b64encode(hashlib.sha1(PASSWORD.encode()).digest()).decode()
        passwords.write_text(f"alice:{{SHA}}{digest}\n", "utf-8")
        command = [str(python.with_name("pypi-server")), "run", "--interface", "127.0.0.1", "--port", str(self.port)]
        command += ["--passwords", str(passwords), "--authenticate", "update,download,list", "--disable-fallback"]
        return [*command, str(packages)]
