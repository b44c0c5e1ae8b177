"""Compares transfers of a large Bento to and from a local registry with oras.

    python bench/travel.py [--registry DOCKER_REGISTRY] [--megabytes N] [--runs N]

Prints a line for each operation and tool: the median elapsed time of the runs, "cpu" of the program and its children,
and "peak", the largest resident size of one process. oras pushes and pulls a file of the same size, without a store.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from store import OURS, PACKAGE, Row, large_file, pack, run, show  # noqa: E402

from tests.registry import servers  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--registry", default=shutil.which("docker-registry"))
    parser.add_argument("--megabytes", type=int, default=500)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    sys.path.insert(0, str(PACKAGE))
    print(f"{'operation':36} {'tool':16} {'wall s':>8} {'cpu s':>8} {'MB':>6}")
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        home = directory / "home"
        archive = directory / "v1.bento"
        pack(archive, "hi:v1", large_file(options.megabytes))
        (home / "models").mkdir(parents=True)
        run([*OURS, "import", "--no-sync", str(archive)], home)
        title = f"{options.megabytes} MB"
        if options.registry:
            registry(directory, home, title, options)


def fresh(directory: Path, before: Callable[[], object]) -> Callable[[], Path]:
    """Return a function that calls `before` and creates an empty store."""

    def home() -> Path:
        before()
        made = Path(tempfile.mkdtemp(dir=directory))
        (made / "bentos").mkdir()
        (made / "models").mkdir()
        return made

    return home


def registry(directory: Path, home: Path, title: str, options: argparse.Namespace) -> None:
    """Measure a registry. Each push uses a new repository."""
    with servers.serve(options.registry, directory / "registry") as server:
        for number in range(options.runs):
            place = f"oci://{server.host}/bench/{number}"
            show(
                Row(f"registry: push {title}, {number + 1}", "bento", [*OURS, "push", "hi:v1", place], lambda: home), 1
            )
        show(
            Row(f"registry: push {title}, again", "bento", [*OURS, "push", "hi:v1", place], lambda: home), options.runs
        )
        pull = [*OURS, "pull", "--no-sync", f"{place}:v1"]
        show(Row(f"registry: pull {title}", "bento", pull, fresh(directory, lambda: None)), options.runs)
        oras = shutil.which("oras")
        if oras:
            shutil.copyfile(next((home / "bentos/hi/v1/src").glob("weights.bin")), directory / "weights.bin")
            for number in range(options.runs):
                words = [oras, "push", "--plain-http", f"{server.host}/oras/{number}:v1", "--disable-path-validation"]
                show(
                    Row(
                        f"registry: push {title}, {number + 1}",
                        "oras",
                        [*words, str(directory / "weights.bin")],
                        lambda: home,
                    ),
                    1,
                )
            words = [oras, "pull", "--plain-http", f"{server.host}/oras/0:v1", "-o", str(directory / "pulled")]
            show(Row(f"registry: pull {title}", "oras", words, lambda: home), options.runs)


if __name__ == "__main__":
    main()
