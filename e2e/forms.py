"""Reads locks of real projects: all formats create the same package hub, and hubs contain what uv resolves."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

from monorepo import external_directory
from workbench import CONSUMER, with_python_here

if TYPE_CHECKING:
    from pathlib import Path

    from workbench import Checkout, Workbench

SETS = {
    "scientific": "numpy scipy pandas scikit-learn matplotlib jupyterlab xarray[io] dask[complete]",
    "web": "django fastapi[standard] celery[redis] sqlalchemy[asyncio] gunicorn httpx[http2] scrapy",
    "llm": "torch transformers[torch,sentencepiece] accelerate bitsandbytes sentence-transformers peft",
    "markers": "bentoml[aws,grpc,tracing]==1.4.39 ipython uvicorn[standard] pydantic[email] keyring black[d]",
    "sources": "hydra-core omegaconf docopt wget langdetect rouge-score feedparser pyyaml",
}
PLATFORMS = {"linux_amd64": "x86_64-manylinux_2_28", "darwin_arm64": "aarch64-apple-darwin"}
PYTHONS = ("3.11", "3.13")
FORMS = {"of_requirements": "requirements.txt", "of_pylock": "pylock.toml", "of_uv": "uv.lock"}
PROJECT = """\
[project]
name = "project"
version = "0"
requires-python = "==3.12.*"
dependencies = ["bentoml==1.4.39", "scikit-learn"]
[tool.uv]
package = false
environments = ["sys_platform == 'linux'", "sys_platform == 'darwin'"]
"""
MODULE = """\
module(name = "forms")
bazel_dep(name = "rules_bento", version = "0.1.0")
local_path_override(module_name = "rules_bento", path = "../..")
bento = use_extension("@rules_bento//toolchains:extensions.bzl", "bento")
"""
PACKAGES = ("packaging", "tomli")  # of the helper, to lock
USED = 'use_repo(bento_tools, "bento_tools", "bento_uv")\n'
HUB = """
bento.pypi(
    name = "{name}",
    lock = "//:{lock}",
    platforms = {platforms},
    python_version = "{python}",
)
use_repo(bento, "{name}")
"""


def lock_formats_create_equal_hubs(bench: Workbench) -> str:
    """Compare targets, dependencies, wheels, and hashes of the formats, also for a Python that isn't installed."""
    checkout = workspace(bench)
    write_locks(checkout)
    platforms = ["linux_arm64", "linux_amd64", "darwin_arm64"]
    declare(checkout, [(name, lock, platforms, "3.12") for name, lock in FORMS.items()])
    first, *others = [files_of(checkout, name) for name in FORMS]
    assert len(first) > 100, f"{len(first)} files"
    for name, other in zip(list(FORMS)[1:], others, strict=True):
        different = [path for path in first | other if first.get(path) != other.get(path)]
        assert not different, f"{name} differs in {', '.join(sorted(different)[:20])}"
    packages = sum(path.startswith("__lock/packages/") for path in first)
    return f"{packages} packages on three platforms, the same in all forms"


def hubs_match_uv(bench: Workbench) -> str:
    """Compare large package hubs with what uv resolves for each platform, without downloading wheels."""
    checkout = workspace(bench)
    cases = [(name, platform, python) for name in SETS for platform, python in zip(PLATFORMS, PYTHONS, strict=True)]
    for name, requirements in SETS.items():
        checkout.write(f"{name}.in", "".join(f"{line}\n" for line in requirements.split()))
        lock(checkout, name)
    declare(checkout, [(hub_of(*case), f"{case[0]}.json", [case[1]], case[2]) for case in cases])
    sizes = []
    for case in cases:
        [root] = external_directory(checkout, CONSUMER).glob(f"*bento~{hub_of(*case)}__lock")
        packages = {path.stem: json.loads(path.read_text("utf-8")) for path in root.glob("packages/*.json")}
        ours = {(name, version) for name, package in packages.items() for version in package["locked"]}
        theirs = resolved(checkout, *case)
        assert ours == theirs, f"{case}: only the hub has {sorted(ours - theirs)}, only uv {sorted(theirs - ours)}"
        sizes.append(len(ours))
    fetched = [
        path.name
        for path in external_directory(checkout, CONSUMER).iterdir()
        if "_x86_64" in path.name and "__" in path.name
    ]
    wheels = [name for name in fetched if re.search(r"(llm|web|scientific)\w*__(?!lock\b)", name)]
    assert not wheels, f"fetched: {wheels}"
    return f"{len(SETS)} sets, {len(cases)} closures of {min(sizes)} to {max(sizes)} packages, each what uv resolves"


def workspace(bench: Workbench) -> Checkout:
    """Return a workspace without hubs, which has fetched what locks are made with."""
    checkout = bench.consumer()
    checkout.write("MODULE.bazel", with_python_here(MODULE) + USED)
    checkout.write("BUILD.bazel", "")
    checkout.build("@bento_uv//:uv", *(f"@bento_tools//{package}" for package in PACKAGES))
    return checkout


def hub_of(name: str, platform: str, python: str) -> str:
    return f"{name}_{platform}_py{python.replace('.', '')}"


def lock(checkout: Checkout, name: str) -> None:
    """Lock as `bazel run` with a bento_requirements target does."""
    directory = checkout.directory
    command = [sys.executable, "-I", "-S", checkout.root / "py/main.py"]
    for package in PACKAGES:
        [modules] = external_directory(checkout, CONSUMER).glob(f"*bento_tools__{package}__*_modules/site-packages")
        command += ["--packages", modules]
    command += ["update_requirements", "--target", name]
    command += ["--lock", f"{name}.json", "--uv", uv_of(checkout), "--requires-python", ">=3.11,<3.14"]
    command += ["--source", directory / f"{name}.in", f"{name}.in"]
    done = subprocess.run(
        [*map(str, command)],
        check=False,
        capture_output=True,
        text=True,
        env=os.environ | {"BUILD_WORKSPACE_DIRECTORY": str(directory)},
    )
    assert done.returncode == 0, done.stderr


def resolved(checkout: Checkout, name: str, platform: str, python: str) -> set[tuple[str, str]]:
    """Return what uv resolves with the locked versions as constraints."""
    directory = checkout.directory
    packages = json.loads((directory / f"{name}.json").read_text("utf-8"))["packages"]
    names = [package["name"] for package in packages]
    pins = [f"{package['name']}=={package['version']}\n" for package in packages if names.count(package["name"]) == 1]
    (directory / "constraints.txt").write_text("".join(pins), "utf-8")
    command = [uv_of(checkout), "pip", "compile", "--quiet", "--no-header", "--no-annotate", "--strip-extras"]
    command += ["--python-version", python, "--python-platform", PLATFORMS[platform], "--no-python-downloads"]
    command += ["--constraints", "constraints.txt", f"{name}.in"]
    # By default, uv resolves for macOS 13, but a package hub supports any version.
    variables = os.environ | {"MACOSX_DEPLOYMENT_TARGET": "30.0"}
    words = [*map(str, command)]
    done = subprocess.run(words, cwd=directory, check=False, capture_output=True, text=True, env=variables)
    assert done.returncode == 0, f"{name} {platform} {python}: {done.stderr}"
    lines = [line.partition(" ")[0].split("==") for line in done.stdout.splitlines() if line]
    return {(name.replace("-", "_").replace(".", "_"), version) for name, version in lines}


def declare(checkout: Checkout, hubs: list[tuple[str, str, list[str], str]]) -> None:
    """Add package hubs (name, lock, platforms, Python) to the workspace, and fetch them."""
    text = "".join(
        HUB.format(name=name, lock=lock, platforms=json.dumps(platforms), python=python)
        for name, lock, platforms, python in hubs
    )
    checkout.write("MODULE.bazel", checkout.read("MODULE.bazel") + text)
    targets = " + ".join(f"@{name}//..." for name, *_ in hubs)
    checkout.bazel("query", targets).succeeded()


def uv_of(checkout: Checkout) -> Path:
    [found] = external_directory(checkout, CONSUMER).glob("*bento_uv/uv")
    return found


def write_locks(checkout: Checkout) -> None:
    directory = checkout.directory
    (directory / "pyproject.toml").write_text(PROJECT, "utf-8")
    program = uv_of(checkout)
    # uv requires an interpreter of the project's version. To read only the lock, a wrong version is sufficient.
    run = [program, "lock", "--quiet"]
    wide = PROJECT.replace("==3.12.*", ">=3.8").replace("'linux'", "'linux' and python_version == '3.12'")
    wide = wide.replace("'darwin'", "'darwin' and python_version == '3.12'")
    (directory / "pyproject.toml").write_text(wide, "utf-8")
    subprocess.run([*map(str, run)], cwd=directory, check=True)
    for form, file in (("requirements-txt", "requirements.txt"), ("pylock.toml", "pylock.toml")):
        export = [program, "export", "--quiet", "--frozen", "--no-annotate", "--format", form, "--output-file", file]
        subprocess.run([*map(str, export)], cwd=directory, check=True)
    (directory / "pyproject.toml").unlink()  # uv would use this file for other locks


def files_of(checkout: Checkout, hub: str) -> dict[str, str]:
    """Return the files of a package hub and the packages of its lock by path, without the name of the hub."""
    found = {}
    own = re.compile(rf"{hub}\b|{hub}(?=__)")
    for kind in ("", "__lock"):
        [root] = external_directory(checkout, CONSUMER).glob(f"*bento~{hub}{kind}")
        for path in root.rglob("*"):
            if path.suffix in (".bazel", ".json", ".bzl"):
                name = f"{kind}/{path.relative_to(root).as_posix()}"
                found[own.sub("HUB", name)] = own.sub("HUB", path.read_text("utf-8"))
    return found
