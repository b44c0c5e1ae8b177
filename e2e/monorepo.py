"""Builds a workspace of three services with different packages, one lock, and one library."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from container import wait
from server import SECONDS, free_port

if TYPE_CHECKING:
    from workbench import Checkout, Workbench

WORKSPACE = "e2e/monorepo"
SERVICES = ("classify", "render", "report")
BENTOS = tuple(f"//{name}" for name in SERVICES)  # the target of the library includes its packages
ANSWERS = {"classify": "high", "render": "0.0 0.5 1.0", "report": "0.0\n0.5\n1.0\n"}
HERE = ".".join(str(part) for part in sys.version_info[:2])
LOCK = "requirements.lock.json"
PYTHON = 'python_version = "3.11"'


def a_monorepo_builds_without_a_wheel(bench: Workbench) -> str:
    """Compare subsets of the lock with uv's; install Bentos by hashes in new environments, and serve them."""
    checkout = bench.monorepo
    module = checkout.read(f"{WORKSPACE}/MODULE.bazel")
    # The interpreter for the wheels of this scenario's servers.
    checkout.edit(f"{WORKSPACE}/MODULE.bazel", PYTHON, f'python_version = "{HERE}"')
    checkout.build(*BENTOS, workspace=WORKSPACE)
    checkout.bazel("test", "//:requirements_test", workspace=WORKSPACE).succeeded()
    fetched = [path.name for path in wheels_of(checkout)]
    assert not fetched, f"the build of Bentos fetched {', '.join(fetched)}"
    for service in SERVICES:
        lock_subset_matches_uv(checkout, service)
    seconds = [real_bentoml_serves(checkout, service, bench.directory / f"venv-{service}") for service in SERVICES]
    checkout.write(f"{WORKSPACE}/MODULE.bazel", module)
    return f"{len(SERVICES)} Bentos, no wheel fetched; installed, imported and served in {max(seconds):.0f} s at most"


def changes_update_only_dependents(bench: Workbench) -> str:
    """Change a locked package and the packages of a service. Check what is fetched, rerun, and evaluated again."""
    checkout = bench.monorepo
    module = checkout.read(f"{WORKSPACE}/MODULE.bazel")
    checkout.write(f"{WORKSPACE}/MODULE.bazel", f'{module}bento.pypi(name = "other", lock = "//:{LOCK}")\n')
    first = evaluations(checkout, "first")
    again = evaluations(checkout, "again")
    checkout.write(f"{WORKSPACE}/MODULE.bazel", module)
    assert first >= 1, "the profile shows no evaluation of the extension"
    assert again == 0, "the extension was evaluated without a change"
    checkout.edit(f"{WORKSPACE}/report/BUILD.bazel", '"@pypi//rich",', '"@pypi//jinja2",\n        "@pypi//rich",')
    built = checkout.build(*BENTOS, workspace=WORKSPACE)
    # The metadata of the package was already fetched for another service.
    assert {spawn.target for spawn in built.spawns} == {"//report:report"}, built.spawns
    assert built.ran == ["BentoPackage"], built.ran
    a_changed_line_of_the_lock(checkout)
    return "a new package reruns an action of one service; a changed line of the lock fetches one package"


def a_changed_line_of_the_lock(checkout: Checkout) -> None:
    wanted = ["@pypi//jinja2:whl", "@pypi//rich:whl"]
    checkout.build(*wanted, workspace=WORKSPACE)
    before = {path.name: (path / "BUILD.bazel").stat().st_mtime_ns for path in wheels_of(checkout)}
    assert len(before) == len(wanted), before
    text = checkout.read(f"{WORKSPACE}/{LOCK}")
    # Remove the source archive from the lock. The wheel doesn't change.
    shorter = re.sub(r',\n\s*"rich-[^"]*\.tar\.gz": "[0-9a-f]{64}"', "", text)
    assert shorter != text
    checkout.write(f"{WORKSPACE}/{LOCK}", shorter)
    checkout.build(*wanted, workspace=WORKSPACE)
    after = {path.name: (path / "BUILD.bazel").stat().st_mtime_ns for path in wheels_of(checkout)}
    changed = [name for name in after if after[name] != before.get(name)]
    assert len(changed) == 1, f"fetched again: {changed}"
    assert "__rich__" in changed[0], changed


def wheels_of(checkout: Checkout) -> list[Path]:
    """Return the fetched wheel repositories of the workspace's package hub."""
    external = external_directory(checkout)
    return sorted(path for path in external.iterdir() if re.search(r"pypi__\w+__linux_", path.name) and path.is_dir())


def external_directory(checkout: Checkout, workspace: str = WORKSPACE) -> Path:
    done = checkout.bazel("info", "output_base", workspace=workspace).succeeded()
    return Path(done.output.strip()) / "external"


def evaluations(checkout: Checkout, name: str) -> int:
    """Return the number of evaluations of the extension `bento` in a build."""
    profile = checkout.root / f"{name}.profile"
    checkout.build(*BENTOS, f"--profile={profile}", "--noslim_profile", workspace=WORKSPACE)
    events = json.loads(profile.read_text("utf-8"))["traceEvents"]
    return sum("module extension" in event["name"].lower() and "bento" in event["name"] for event in events)


def lock_subset_matches_uv(checkout: Checkout, service: str) -> None:
    """Compare with what uv resolves over the network, from the metadata of the packages and the locked versions."""
    locked = locked_of(checkout, service)
    roots = checkout.root / "roots.in"
    roots.write_text(locked["roots"], "utf-8")
    lock = json.loads(checkout.read(f"{WORKSPACE}/{LOCK}"))
    constraints = checkout.root / "constraints.txt"
    versions: dict[str, list[str]] = {}
    for package in lock["packages"]:
        versions.setdefault(package["name"], []).append(package["version"])
    constraints.write_text("".join(f"{n}=={v[0]}\n" for n, v in versions.items() if len(v) == 1), "utf-8")
    done = subprocess.run(
        [uv(checkout), "pip", "compile", "--quiet", "--no-header", "--no-annotate", "--strip-extras",
         "--python-version", HERE, "--python-platform", "x86_64-manylinux_2_28", "--constraints", constraints,
         roots],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    ours = "".join(f"{pin}\n" for pin, _ in locked["pins"])
    assert ours == done.stdout, f"{service}: ours\n{ours}\nuv's\n{done.stdout}"


def locked_of(checkout: Checkout, service: str) -> dict[str, Any]:
    """Return the locked requirements of a Bento, and its direct requirements."""
    path = checkout.root / WORKSPACE / f"bazel-bin/{service}/{service}.locked.json"
    locked: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return locked


def real_bentoml_serves(checkout: Checkout, service: str, directory: Path) -> float:
    """Install by hashes in a new environment, import and serve the Bento, and send a request."""
    began = time.monotonic()
    bento = checkout.root / WORKSPACE / f"bazel-bin/{service}/{service}.bento"
    locked = directory.with_name(f"{directory.name}.requirements.lock.txt")
    pins = locked_of(checkout, service)["pins"]
    lines = [" ".join([pin, *(f"--hash=sha256:{sha256}" for sha256 in hashes)]) for pin, hashes in pins]
    locked.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    run([uv(checkout), "venv", "--quiet", "--python", sys.executable, directory])
    install = [uv(checkout), "pip", "install", "--quiet", "--require-hashes", "--requirement", locked]
    run([*install, "--python", directory / "bin/python"])
    home = {"BENTOML_HOME": str(directory / "home"), "BENTOML_DO_NOT_TRACK": "true"}
    run([directory / "bin/bentoml", "import", bento], **home)
    tag = (bento.with_suffix(".tag") if bento.with_suffix(".tag").exists() else bento).stem
    with served(directory, f"{tag}:latest", home) as address:
        body = json.dumps({"values": [2, 4, 6]}).encode()
        request = urllib.request.Request(f"{address}/answer", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=SECONDS) as response:
            answer = response.read().decode()
    assert answer == ANSWERS[service], f"{service} answers {answer!r}"
    return time.monotonic() - began


@contextmanager
def served(directory: Path, tag: str, variables: dict[str, str]):
    port = free_port()
    command = [directory / "bin/bentoml", "serve", tag, "--host", "127.0.0.1", "--port", str(port)]
    log = directory / "server.log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            [*map(str, command)], cwd=directory, env=os.environ | variables, stdout=output, stderr=output
        )
    try:
        wait(f"http://127.0.0.1:{port}/readyz", lambda: server.poll() is None, log.read_text)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(SECONDS)


def run(command: list[object], **variables: str) -> None:
    done = subprocess.run([*map(str, command)], env=os.environ | variables, check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


def uv(checkout: Checkout) -> Path:
    [found] = external_directory(checkout).glob("*bento_uv/uv")
    return found
