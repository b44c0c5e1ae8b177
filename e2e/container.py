"""Runs the image of the example as unprivileged users with a read-only file system."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from server import SECONDS, free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from workbench import Workbench

TARGET = "//tests/images:gzip_image"
FLOWERS = [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]]
PYTHON = "/app/.venv/bin/python"
# What libraries use at their import or for their caches: the name of the user, the home directory, and time zones.
ANSWERS = """
import datetime, getpass, pathlib, zoneinfo
(pathlib.Path.home() / ".cache/library").mkdir(parents=True)
new_year = datetime.datetime(2026, 1, 1, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin"))
print(getpass.getuser(), new_year.utcoffset())
"""


def a_container_serves_a_prediction(bench: Workbench) -> str:
    """Read the layout, unpack it, and run it with real tools: skopeo, umoci, and runc.

    The users are the image's, and as in OpenShift, one without a name in the group root.
    """
    missing = [tool for tool in ("skopeo", "umoci", "runc") if not shutil.which(tool)]
    assert not missing, f"not installed: {', '.join(missing)}"
    bench.plain.build(TARGET, "--output_groups=+oci_layout").succeeded()
    layout = (bench.plain.root / "bazel-bin/tests/images/gzip_image.oci").resolve()
    inspected = json.loads(call("skopeo", "inspect", f"oci:{layout}:latest"))
    assert inspected["Digest"] == bench.plain.read("bazel-bin/tests/images/gzip_image.digest").strip()
    with tempfile.TemporaryDirectory(prefix="rules_bento-container-") as scratch:
        bundle = Path(scratch, "bundle")
        unpacked(layout, bundle)
        config = (bundle / "config.json").read_text("utf-8")
        assert json.loads(config)["process"]["user"]["uid"] == 1034
        for uid, gid in ((1002700000, 0), (1034, 1034)):
            (bundle / "config.json").write_text(config, "utf-8")
            seconds, taken = run(bundle, uid, gid)
    return f"{len(inspected['Layers'])} layers, ready after {seconds:.1f} s, {taken} modules from byte code"


def run(bundle: Path, uid: int, gid: int) -> tuple[float, int]:
    """Run the container until it predicts. Returns the seconds of its start, and the modules from bytecode."""
    with running(bundle, uid, gid) as container:
        assert post(f"{container.address}/classify") == [0, 2]
        assert call("runc", "exec", container.name, PYTHON, "-c", ANSWERS) == "bentoml 1:00:00\n"
        return container.seconds, byte_code(container.name)


class Container(NamedTuple):
    """A container that answers requests."""

    name: str
    address: str
    seconds: float  # until it was ready


@contextmanager
def running(bundle: Path, uid: int, gid: int) -> Iterator[Container]:
    """Run a container with a read-only root as a user, and wait until it is ready."""
    port = configure(bundle, uid, gid)
    name = f"{bundle.parent.name}-{uid}"
    log = bundle.parent / "log"
    with log.open("wb") as output:
        container = subprocess.Popen(["runc", "run", name], cwd=bundle, stdout=output, stderr=output)
    try:
        address = f"http://127.0.0.1:{port}"
        seconds = wait(f"{address}/readyz", lambda: container.poll() is None, log.read_text)
        assert user_of(name) == str(uid)
        yield Container(name, address, seconds)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{log.read_text()}") from None
    finally:
        subprocess.run(["runc", "kill", name, "TERM"], check=False, capture_output=True)
        container.wait(SECONDS)


def unpacked(layout: Path, bundle: Path) -> None:
    """Unpack an image in an OCI layout, as a bundle of runc."""
    call("umoci", "unpack", "--image", f"{layout}:latest", str(bundle))
    config = json.loads((bundle / "config.json").read_text("utf-8"))
    config["process"]["env"] = json.loads(call("skopeo", "inspect", f"oci:{layout}:latest"))[
        "Env"
    ]  # umoci replaces HOME
    (bundle / "config.json").write_text(json.dumps(config), "utf-8")


def configure(bundle: Path, uid: int, gid: int) -> int:
    """Make the container's file system read-only, and use the loopback interface of the host. Returns the port."""
    port = free_port()
    path = bundle / "config.json"
    config = json.loads(path.read_text("utf-8"))
    config["process"] |= {"terminal": False, "user": {"uid": uid, "gid": gid}}
    config["process"]["env"] = [*config["process"]["env"], f"PORT={port}"]
    config["root"]["readonly"] = True
    config["linux"]["namespaces"] = [kind for kind in config["linux"]["namespaces"] if kind["type"] != "network"]
    config["mounts"] += [
        {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev", "mode=1777"]},
        # Engines provide this file to containers, but runc doesn't.
        {"destination": "/etc/hosts", "type": "bind", "source": "/etc/hosts", "options": ["bind", "ro"]},
    ]
    path.write_text(json.dumps(config), "utf-8")
    return port


def wait(url: str, runs: Callable[[], bool], log: Callable[[], str]) -> float:
    """Return the seconds until the server responds."""
    began = time.monotonic()
    while time.monotonic() - began < SECONDS:
        assert runs(), log()
        try:
            with urllib.request.urlopen(url, timeout=SECONDS):
                return time.monotonic() - began
        except OSError:
            time.sleep(0.5)  # podman needs CPU to say whether the container runs
    raise AssertionError(f"no answer:\n{log()}")


def post(url: str, parameter: str = "rows") -> object:
    request = urllib.request.Request(
        url, json.dumps({parameter: FLOWERS}).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=SECONDS) as response:
        return json.load(response)


def user_of(name: str) -> str:
    """Return the host's user of the first process in a container."""
    state = json.loads(call("runc", "state", name))
    status = Path(f"/proc/{state['pid']}/status").read_text("utf-8")
    return next(line.split()[1] for line in status.splitlines() if line.startswith("Uid:"))


def byte_code(name: str) -> int:
    """Return the number of modules of packages with bytecode in the container, where no module is compiled."""
    told = ["runc", "exec", name, PYTHON, "-v", "-c", "import sklearn"]
    done = subprocess.run(told, check=True, capture_output=True, text=True)
    cache = "/__pycache__/"
    modules = [line for line in done.stderr.splitlines() if line.startswith("# code object from ")]
    packages = [line for line in modules if "/app/.venv/" in line]
    compiled = [line for line in modules if cache not in line]
    assert [line.rpartition("/")[2] for line in compiled] == ["sitecustomize.py"], compiled  # users change it in /etc
    assert packages
    return len(packages)


def call(*command: str) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout
