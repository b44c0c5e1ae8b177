"""Measures complete and lazy pulls of images by containerd over a slow link, until a service responds.

    python bench/lazy.py --storage DIRECTORY [--megabytes N] [--request PATH BODY] [--idle] NAME...

`--storage` is a directory of docker-registry that contains the images; a NAME is REPOSITORY:TAG. containerd and
soci-snapshotter, without any cached data, pull each image completely, and also lazily if it has a SOCI index, and start
it. "ready" is the time in seconds from the start of the
pull until /readyz responds, "answer" until the request is answered; "read" is the data that the registry had sent by
then, in MB and as a share of the image's layers; "requests" are the requests that it had answered. `--idle` prevents
the snapshotter from fetching data in the background.

Requires Linux, root, and docker-registry, containerd, ctr, runc, ctr-remote, and
soci-snapshotter-grpc on PATH. All processes run in separate namespaces, whose loopback interface is the link that `tc`
slows down. All data is removed.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

REGISTRY = "127.0.0.1:5000"
SERVICE = "http://127.0.0.1:3000"
SECONDS = 600
ALONE = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
WAYS = {  # name to the command that pulls, and the snapshotter
    "whole": (["ctr", "images", "pull"], "overlayfs"),
    "soci": (["ctr-remote", "images", "rpull", "--use-containerd-labels"], "soci"),
}
SNAPSHOTTERS = {  # name to the program and its settings
    "soci": (
        "soci-snapshotter-grpc",
        '[background_fetch]\ndisable = {idle}\n[content_store]\ncontainerd_address = "{socket}"\n',
    ),
}
SOCI = "com.amazon.soci.index-digest"
KINDS = [f"application/vnd.oci.image.{kind}.v1+json" for kind in ("index", "manifest")]


class Row(NamedTuple):
    """Holds the measurements of a container start."""

    pulled: float
    ready: float
    answer: float
    read: float
    requests: int


def answered(log: Path) -> tuple[int, int]:
    """Return the number of requests that the registry has answered, and the bytes that it has sent."""
    answers = [line for line in log.read_text().splitlines() if 'msg="response completed"' in line]
    sizes = [int(line.rpartition("http.response.written=")[2]) for line in answers if "method=GET" in line]
    return len(answers), sum(sizes)


def read(url: str, body: str = "") -> bytes:
    """Return the response of a service. Retries until the service responds."""
    end = time.monotonic() + SECONDS
    asked = urllib.request.Request(url, body.encode() or None, {"Content-Type": "application/json"})
    while True:
        try:
            with urllib.request.urlopen(asked, timeout=SECONDS) as answer:
                return bytes(answer.read())
        except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
            if isinstance(error, urllib.error.HTTPError) and error.code != http.HTTPStatus.SERVICE_UNAVAILABLE:
                raise SystemExit(f"{url}: {error}") from None
            if time.monotonic() > end:
                raise SystemExit(f"{url}: {error}") from None
            time.sleep(0.01)


@contextmanager
def started(command: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server until the block ends."""
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file)
        try:
            yield process
        finally:
            process.terminate()
            process.wait()


@contextmanager
def registry(storage: Path, directory: Path) -> Iterator[None]:
    """Run the registry until the block ends. The registry logs requests to `registry.log` in the directory."""
    settings = {
        "version": 0.1,
        "log": {"level": "info", "accesslog": {"disabled": False}},
        "storage": {"filesystem": {"rootdirectory": str(storage)}},
        "http": {"addr": REGISTRY},
    }
    (directory / "registry.yml").write_text(json.dumps(settings))
    with started(["docker-registry", "serve", str(directory / "registry.yml")], directory / "registry.log"):
        read(f"http://{REGISTRY}/v2/")
        yield


@contextmanager
def engine(directory: Path, snapshotter: str, *, is_idle: bool) -> Iterator[None]:
    """Run an empty containerd until the block ends, with a lazy snapshotter if it is selected."""
    socket, lazy = directory / "containerd.sock", directory / "lazy.sock"
    (directory / "containerd.toml").write_text(
        'version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
        f'root = "{directory}/root"\nstate = "{directory}/state"\n[grpc]\naddress = "{socket}"\n'
        + "".join(f'[proxy_plugins.{name}]\ntype = "snapshot"\naddress = "{lazy}"\n' for name in SNAPSHOTTERS)
    )
    options = ["--address", str(lazy), "--root", str(directory / "lazy"), "--config", str(directory / "lazy.toml")]
    with ExitStack() as stack:
        if snapshotter in SNAPSHOTTERS:
            program, settings = SNAPSHOTTERS[snapshotter]
            (directory / "lazy.toml").write_text(settings.format(idle=str(is_idle).lower(), socket=socket))
            stack.enter_context(started([program, *options], directory / "lazy.log"))
            while not lazy.exists():
                time.sleep(0.05)
        command = ["containerd", "-c", str(directory / "containerd.toml")]
        stack.enter_context(started(command, directory / "containerd.log"))
        os.environ["CONTAINERD_ADDRESS"] = str(socket)
        while subprocess.run(["ctr", "version"], capture_output=True).returncode:
            time.sleep(0.05)
        yield


def start(name: str, way: str, options: argparse.Namespace) -> Row:
    """Pull and start an image without cached data."""
    pull, snapshotter = WAYS[way]
    image = f"{REGISTRY}/{name}"
    with tempfile.TemporaryDirectory(prefix="lazy-", dir=options.directory) as held, ExitStack() as stack:
        directory = Path(held)
        stack.callback(unmount, directory)
        stack.enter_context(registry(options.storage, directory))
        stack.enter_context(engine(directory, snapshotter, is_idle=options.idle))
        begin = time.monotonic()
        run([*pull, "--plain-http", "--snapshotter", snapshotter, image])
        pulled = time.monotonic() - begin
        run(["ctr", "run", "--detach", "--net-host", "--snapshotter", snapshotter, image, "service"])
        read(f"{SERVICE}/readyz")
        ready = time.monotonic() - begin
        requests, sent = answered(directory / "registry.log")
        path, body = options.request
        read(SERVICE + path, body)
        answer = time.monotonic() - begin
        if options.logs:
            subprocess.run(["cp", *directory.glob("*.log"), options.logs], check=True)
        run(["ctr", "task", "rm", "--force", "service"])
    return Row(pulled, ready, answer, sent / 1e6, requests)


def unmount(directory: Path) -> None:
    """Unmount everything below a directory, including file systems of stopped snapshotters."""
    places = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    for place in reversed([place for place in places if place.startswith(f"{directory}/")]):
        subprocess.run(["umount", "--lazy", place], check=True)


def run(command: list[str]) -> None:
    """Run a command. Exits if the command fails."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: {done.stderr}")


def size_of(name: str, options: argparse.Namespace) -> tuple[float, list[str]]:
    """Return the size of an image's layers in megabytes, and the ways to pull the image."""
    repository, _, tag = name.rpartition(":")
    with tempfile.TemporaryDirectory() as directory, registry(options.storage, Path(directory)):
        document: dict[str, Any] = {"manifests": [{"digest": tag}]}
        while "manifests" in document:
            url = f"http://{REGISTRY}/v2/{repository}/manifests/{document['manifests'][0]['digest']}"
            with urllib.request.urlopen(urllib.request.Request(url, headers={"Accept": ", ".join(KINDS)})) as answer:
                document = json.load(answer)
    layers = document["layers"]
    ways = ["whole"] + ["soci"] * (SOCI in document.get("annotations", {}))
    return sum(layer["size"] for layer in layers) / 1e6, [way for way in ways if way in options.ways]


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--storage", type=Path, required=True)
    parser.add_argument("--megabytes", type=int, default=100, help="Limit the link to N MB per second (default: 100)")
    parser.add_argument("--request", nargs=2, default=["/livez", ""], metavar=("PATH", "BODY"))
    parser.add_argument("--idle", action="store_true")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--directory", type=Path, help="Store pulled data in this directory")
    parser.add_argument("--logs", type=Path, help="Save the registry's log of the last start in this directory")
    parser.add_argument("names", nargs="+")
    options = parser.parse_args()
    if not os.environ.get("LAZY_ALONE"):
        os.execvp(ALONE[0], [*ALONE, "env", "LAZY_ALONE=1", sys.executable, *sys.argv])
    run(["mount", "-t", "tmpfs", "tmpfs", "/run"])
    run(["ip", "link", "set", "lo", "up"])
    rate = f"{options.megabytes * 8}mbit"
    run(["tc", "qdisc", "add", "dev", "lo", "root", "tbf", "rate", rate, "burst", "1mb", "latency", "100ms"])
    print("| image | MB | | pulled, s | ready, s | answer, s | read, MB | of it | requests |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name in options.names:
        size, ways = size_of(name, options)
        for way in ways:
            row = start(name, way, options)
            print(
                f"| {name} | {size:.0f} | {way} | {row.pulled:.1f} | {row.ready:.1f} | {row.answer:.1f} "
                f"| {row.read:.0f} | {row.read / size:.0%} | {row.requests} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
