"""Builds packages without a wheel: a source archive of the public index, and a commit of a git repository."""

from __future__ import annotations

import subprocess
from hashlib import sha256
from typing import TYPE_CHECKING

from workbench import CONSUMER, Surroundings, with_python_here

if TYPE_CHECKING:
    from pathlib import Path

    from workbench import Checkout, Workbench

MODULE = """\
module(name = "built")
bazel_dep(name = "rules_bento", version = "0.1.0")
local_path_override(module_name = "rules_bento", path = "../..")
bazel_dep(name = "rules_python", version = "0.40.0")
bento = use_extension("@rules_bento//toolchains:extensions.bzl", "bento")
bento.pypi(
    name = "pypi",
    build_lock = "//:build.lock.json",
    lock = "//:requirements.lock.json",
)
use_repo(bento, "pypi")
"""
BUILD = """\
load("@rules_bento//rules:defs.bzl", "bento_requirements")
load("@rules_python//python:defs.bzl", "py_test")

bento_requirements(name = "requirements", srcs = ["requirements.in"])

bento_requirements(name = "build", srcs = ["build.in"])
"""
TEST = """
py_test(
    name = "imports_test",
    srcs = ["imports_test.py"],
    deps = ["@pypi//acme_git", "@pypi//antlr4_python3_runtime"],
)
"""
WHEELS = ("@pypi//acme_git:whl", "@pypi//antlr4_python3_runtime:whl")
PROJECT = """\
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
[project]
name = "acme-git"
version = "1.0"
[tool.setuptools]
py-modules = ["acme_git"]
"""


def wheels_are_built_from_locked_sources(bench: Workbench) -> str:
    """Build the same bytes in two environments, without a network. Errors name missing packages."""
    checkout = bench.consumer()
    address, commit = repository(bench.directory / "git")
    write_workspace(checkout, f"acme-git @ git+{address}@{commit}\nantlr4-python3-runtime==4.9.3\n")
    for target in ("//:requirements.update", "//:build.update"):
        checkout.bazel("run", target).succeeded()
    lock = checkout.read("requirements.lock.json")
    assert f'"commit": "{commit}"' in lock, lock
    checkout.write("BUILD.bazel", BUILD + TEST)
    checkout.bazel("test", "//...").succeeded()
    first = built(checkout)

    later = Surroundings({"LC_ALL": "tr_TR.UTF-8", "TZ": "Pacific/Kiritimati"}, umask=0o077)
    second = bench.checkout("built-elsewhere/deeper", surroundings=later, workspace=CONSUMER)
    write_workspace(second, checkout.read("requirements.in"))
    for name in ("BUILD.bazel", "requirements.lock.json", "build.lock.json"):
        second.write(f"{name}", checkout.read(f"{name}"))
    assert built(second) == first, "two places build different wheels"

    checkout.write("build.lock.json", checkout.read("../smoke/requirements.lock.json"))
    failed = checkout.bazel("build", WHEELS[1])
    expected = "To build from source, add setuptools to the requirements of "
    assert failed.code != 0 and expected in failed.errors, failed.told()
    return f"a commit and a source archive, {len(first)} wheels of the same bytes in two places"


def built(checkout: Checkout) -> list[str]:
    """Build the wheels, and return their digests."""
    checkout.build(*WHEELS)
    listed = checkout.bazel("cquery", f"set({' '.join(WHEELS)})", "--output=files").succeeded()
    root = checkout.bazel("info", "execution_root").succeeded().output.strip()
    files = [checkout.root.__class__(root, line) for line in listed.output.split()]
    assert len(files) == len(WHEELS), listed.told()
    return sorted(sha256(file.read_bytes()).hexdigest() for file in files)


def write_workspace(checkout: Checkout, requirements: str) -> None:
    checkout.write("MODULE.bazel", with_python_here(MODULE))
    checkout.write("BUILD.bazel", BUILD)
    checkout.write("requirements.in", requirements)
    checkout.write("build.in", "setuptools\nwheel\n")
    checkout.write("imports_test.py", "import acme_git\nimport antlr4\n\nassert acme_git.X == 7\n")


def repository(directory: Path) -> tuple[str, str]:
    """Create a repository. Returns its address, and a commit that no branch points to.

    uv supports https, ssh, and file.
    """
    work = directory / "acme"
    work.mkdir(parents=True)
    git(work, "init", "--quiet", "--initial-branch=main")
    (work / "pyproject.toml").write_text(PROJECT, "utf-8")
    (work / "acme_git.py").write_text("X = 7\n", "utf-8")
    git(work, "add", ".")
    git(work, "commit", "--quiet", "--message=first")
    commit = git(work, "rev-parse", "HEAD").strip()
    (work / "acme_git.py").write_text("X = 8\n", "utf-8")
    git(work, "commit", "--quiet", "--all", "--message=second")
    return work.as_uri(), commit


def git(directory: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=e2e", "-c", "user.email=e2e@example.invalid"]
    done = subprocess.run(["git", *identity, *arguments], cwd=directory, check=True, capture_output=True, text=True)
    return done.stdout
