"""Compares layers as files with layers as recipes: what caches store, what machines transfer, and the CPU time.

    python bench/recipes.py

Builds and pushes a gzip image of examples/iris (numpy, scipy, and scikit-learn) from two checkouts with nginx as their
remote cache, to docker-registry, and builds the image on buildbox-casd. Each step begins on a machine that has the base
and the Bento, but no layers of wheels. "MB" is what the cache (of a remote executor, including uploaded wheels) stores
in addition, or what the machine fetches from the cache. "CPU" is the user and system time of actions and programs.
"""

from __future__ import annotations

import argparse
import resource
import sys
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "e2e"), str(ROOT)]

from cache_server import CacheServer  # noqa: E402
from execution_server import ExecutionServer  # noqa: E402
from registry_server import RegistryServer  # noqa: E402
from remote_cache import FROM_CACHE, GZIP_IMAGE, LAYOUT, PUSH, PUSHED_GZIP_IMAGE  # noqa: E402
from workbench import Workbench  # noqa: E402

if TYPE_CHECKING:
    from workbench import Checkout

FORMS = ("files", "recipes")
BEFORE = ("//tests/images:gzip_base", "//examples/iris:iris_bento")  # built before each step
MINIMAL, ALL = "--remote_download_minimal", "--remote_download_outputs=all"
REMOTE = ("--spawn_strategy=remote", "--strategy=Genrule=linux-sandbox")


class Machine:
    """Runs Bazel in a checkout, with the form of layers and a remote cache, and measures the CPU time."""

    def __init__(self, checkout: Checkout, form: str, *options: str) -> None:
        """Set the options of all commands."""
        self._checkout = checkout
        self._options = (f"--@rules_bento//rules:wheel_layers={form}", *options)

    def prepare(self) -> None:
        """Remove all outputs, and build or fetch everything except the image and the layers of wheels."""
        self._checkout.bazel("clean").succeeded()
        self._checkout.build(*BEFORE, ALL, *self._options)

    def run(self, command: str, *arguments: str) -> float:
        """Run a command. Returns the CPU seconds of its actions and of the program that it starts."""
        [pid] = self._checkout.bazel("info", "server_pid").succeeded().output.split()
        before = self._seconds(pid)
        self._checkout.bazel(command, *self._options, *arguments).succeeded()
        return self._seconds(pid) - before

    @staticmethod
    def _seconds(pid: str) -> float:
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        return sum(map(int, fields[13:15])) / 100 + ended.ru_utime + ended.ru_stime


def stored(directory: Path) -> int:
    """Return the bytes of the files below a directory."""
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file() and not path.is_symlink())


def fetched(cache: CacheServer) -> int:
    """Return the bytes of blobs that were downloaded since the last call."""
    return sum(transfer.sent for transfer in cache.transfers() if (transfer.method, transfer.kind) == ("GET", "cas"))


def measure(form: str, bench: Workbench, checkouts: list[Checkout]) -> dict[str, tuple[int, float]]:
    """Return the bytes and the CPU seconds of each step."""
    steps: dict[str, tuple[int, float]] = {}
    directory = bench.directory / form
    directory.mkdir()
    with CacheServer(directory / "cache") as cache:
        remote = f"--remote_cache={cache.url}"
        first, second = (Machine(checkout, form, remote) for checkout in checkouts)
        kept = directory / "cache/kept/cas"
        first.prepare()
        before = stored(kept)
        seconds = first.run("build", PUSHED_GZIP_IMAGE)
        steps["cold: the cache stores"] = stored(kept) - before, seconds

        def on_second(step: str, command: str, *arguments: str) -> None:
            second.prepare()
            fetched(cache)
            seconds = second.run(command, *arguments)
            steps[step] = fetched(cache), seconds

        on_second("warm: a build fetches", "build", GZIP_IMAGE, MINIMAL)
        for name, options in (("", ()), (" with push_from=cache", (FROM_CACHE,))):
            with RegistryServer(directory / f"registry{len(name)}") as registry:
                host = f"127.0.0.1:{registry.port}"
                behind = ("--", "--insecure", host, "--repository", f"{host}/iris", *((remote,) if options else ()))
                for which in ("a first", "an unchanged"):
                    step = f"{which} push{name} fetches"
                    on_second(step, "run", PUSHED_GZIP_IMAGE, MINIMAL, *options, *behind)
        before = stored(kept)
        seconds = first.run("build", GZIP_IMAGE, LAYOUT)
        steps["first oci_layout: the cache stores"] = stored(kept) - before, seconds
        on_second("oci_layout on another machine fetches", "build", GZIP_IMAGE, LAYOUT)
        second.prepare()
        fetched(cache)
        seconds = second.run("build", GZIP_IMAGE, LAYOUT, "--remote_cache=", "--repository_disable_download")
        steps["oci_layout, offline"] = fetched(cache), seconds
    with ExecutionServer(directory / "executor") as server:
        machine = Machine(checkouts[0], form, server.option, *REMOTE)
        machine.prepare()
        before = stored(directory / "executor/kept")
        seconds = machine.run("build", PUSHED_GZIP_IMAGE, MINIMAL)
        steps["remote execution: the CAS stores"] = stored(directory / "executor/kept") - before, seconds
    return steps


def main() -> None:
    """Print the table. The CPU time of recipes is relative to files."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    with Workbench() as bench:
        checkouts = [bench.checkout(name) for name in ("one", "two")]
        for checkout in checkouts:
            checkout.write("tests/pushed/BUILD.bazel", PUSH)
        files, recipes = (measure(form, bench, checkouts) for form in FORMS)
    print("| step | MB, files | MB, recipes | CPU s, files | CPU, recipes to files |\n|---|---|---|---|---|")
    for step, (size, seconds) in files.items():
        others = recipes[step]
        ratio = others[1] / seconds if seconds else 0
        print(f"| {step} | {size / 1e6:.1f} | {others[0] / 1e6:.1f} | {seconds:.2f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
