"""Interrupts imports and exports at random points: cuts connections, and kills processes.

    python killing.py --cuts 40 --kills 40 [--seed N] [--kind s3 ...]      (PYTHONPATH: py, tests, tests/transports)

Prints a table by transport and direction. After each interruption, the store must contain the complete Bento or no part
of the Bento, the destination must contain the new archive or the previous content, and the same command must complete
when it is run again.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from bento_cli.library import Store
from bento_cli.transports import download, object_store
from relay import Fault, Relay
from rules_bento.errors import BentoError
from rules_bento.net import transfers
from store_support import PACKAGE, bento_files, model_files, write_archive
from support import KINDS, TAG, empty, noise, same

_SMALL = 1 << 16


class Trial:
    """Holds a server, a store with a Bento, and the archive of the Bento."""

    def __init__(self, kind: str, directory: Path, seed: int) -> None:
        self.kind = kind
        self.random = random.Random(f"{kind} {seed}")
        self.directory = directory
        self.server = KINDS[kind](directory / "server")
        model = model_files("clf:v1", payload=noise(800_000))
        archive = write_archive(
            directory / "hi.bento", bento_files(TAG, models={"clf:v1": model}, src__data=noise(200_000, 2))
        )
        self.store = Store(directory / "home", durable=False)
        self.store.bentos.import_archive(archive)
        self.packed = self.store.bentos.export(TAG, str(directory / "packed.bento")).path.read_bytes()
        self.count = 0
        self._times: dict[str, float] = {}

    def other(self) -> Store:
        """Return an empty store."""
        self.count += 1
        return Store(self.directory / f"other{self.count}", durable=False)

    def cut_import(self) -> str:
        self.server.put("hi.bento", self.packed)
        store = self.other()
        outcome = "went on"
        with Relay(self.server.port, *self._cuts("down")) as relay, environment(self.server.environment(relay.port)):
            url = self.server.url("hi.bento", relay.port)
            while not succeeds(lambda: store.bentos.import_archive(url)):
                assert empty(store), "the store has a part"
                assert relay.met, "it fails although nothing is cut"
                outcome = "again"
        assert same(self.store, store)
        assert not list(store.home.transfers.iterdir()), "something is left"
        return outcome

    def cut_export(self) -> str:
        old = self._old()
        with Relay(self.server.port, *self._cuts("up")) as relay, environment(self.server.environment(relay.port)):
            url = self.server.url("hi.bento", relay.port)
            outcome = "went on"
            while not succeeds(lambda: self.store.bentos.export(TAG, url)):
                assert self.server.get("hi.bento") == old, "the target is neither old nor new"
                assert relay.met, "it fails although nothing is cut"
                outcome = "again"
        self._exported()
        return outcome

    def kill_import(self) -> str:
        self.server.put("hi.bento", self.packed)
        store = self.other()
        with environment(self.server.environment()):
            url = self.server.url("hi.bento")
            killed = self._kill("import", url, store)
            if not same_or_empty(store, self.store):
                raise AssertionError("the store has a part")
            if not store.bentos.list():
                store.bentos.import_archive(url)
        assert same(self.store, store)
        return killed

    def kill_export(self) -> str:
        old = self._old()
        with environment(self.server.environment()):
            url = self.server.url("hi.bento")
            killed = self._kill("export", url, self.store)
            assert self.server.get("hi.bento") in (old, self.packed), "the target is neither old nor new"
            self.store.bentos.export(TAG, url)
        self._exported()
        return killed

    def _old(self) -> bytes | None:
        self.server.clear()
        old = self.random.choice([None, b"old"])
        if old:
            self.server.put("hi.bento", old)
        return old

    def _exported(self) -> None:
        assert self.server.get("hi.bento") == self.packed
        assert self.server.names() == ["hi.bento"], self.server.names()

    def _cuts(self, way: str) -> list[Fault]:
        places = [
            int(self.random.triangular(0, len(self.packed) * 1.1, 20_000)) for _ in range(self.random.randint(1, 12))
        ]
        return [
            Fault(cut_down=place) if way == "down" or self.random.random() < 0.2 else Fault(cut_up=place)
            for place in places
        ]

    def _kill(self, verb: str, url: str, store: Store) -> str:
        """Run the command, and kill it at a random time before it would end."""
        if verb not in self._times:
            process, begin = self._start(verb, url, self.other() if verb == "import" else store), time.monotonic()
            assert process.wait() == 0
            self._times[verb] = time.monotonic() - begin
        with self._start(verb, url, store) as process:
            time.sleep(self.random.uniform(0, self._times[verb]))
            process.send_signal(signal.SIGKILL)
            return "killed" if process.wait() == -signal.SIGKILL else "finished"

    def _start(self, verb: str, url: str, store: Store) -> subprocess.Popen:
        """Start the command, and return the process after its imports."""
        words = ["import", url, "--no-sync"] if verb == "import" else ["export", TAG, url]
        code = (
            f"from bento_cli.transports import download, object_store; download.PIECE = object_store.PART = {_SMALL}\n"
            "import sys; from bento_cli.cli import main\n"
            f"import bento_cli.transports.{module(self.kind)}, bento_cli.sharing.urls\n"
            "print('ready', flush=True); sys.exit(main())"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", code, "--home", str(store.home.root), *words],
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(PACKAGE), *sys.path])},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        process.stdout.readline()
        return process


class environment:  # noqa: N801 - reads as a context
    """Sets environment variables until the block ends."""

    def __init__(self, variables: dict[str, str]) -> None:
        self._variables = variables

    def __enter__(self) -> None:
        self._before = dict(os.environ)
        os.environ.update(self._variables)

    def __exit__(self, *_: object) -> None:
        os.environ.clear()
        os.environ.update(self._before)


def succeeds(step: Callable[[], object]) -> bool:
    """Return whether a step ends without a BentoError."""
    try:
        step()
    except BentoError:
        return False
    return True


def module(kind: str) -> str:
    return {"gs": "gcs", "ftps": "ftp", "s3": "object_store", "az": "object_store"}.get(kind, kind)


def same_or_empty(store: Store, wanted: Store) -> bool:
    """Return whether a store lists the complete Bento, or nothing. Ignores staged files."""
    if store.bentos.list():
        return same(wanted, store)
    directories = [store.home.root / "bentos" / "hi", store.home.root / "models" / "clf"]
    # Models come before their Bento, and are whole by themselves; a pointer may stand alone.
    names = {path.name for entries in directories if entries.exists() for path in entries.iterdir()}
    return names <= {"latest", "v1"} and len(store.models.list()) == len([1 for name in names if name == "v1"])


def run(kind: str, points: dict[str, int], seed: int = 0) -> dict[str, Counter]:
    """Return the outcomes by action: `cut_import`, `cut_export`, `kill_import`, `kill_export`.

    Runs each action repeatedly.
    """
    transfers._FIRST_WAIT = 0.001
    download.PIECE = object_store.PART = _SMALL
    object_store.BACKOFF.update(init_backoff=timedelta(milliseconds=1), max_backoff=timedelta(milliseconds=10))
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
    with tempfile.TemporaryDirectory() as directory:
        trial = Trial(kind, Path(directory), seed)
        try:
            found = {}
            for what, times in points.items():
                if what.endswith("export") and not trial.server.writable:
                    continue
                found[what] = Counter(getattr(trial, what)() for _ in range(times))
            return found
        finally:
            trial.server.close()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cuts", type=int, default=40)
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", nargs="*", default=list(KINDS))
    options = parser.parse_args()
    points = dict.fromkeys(("cut_import", "cut_export"), options.cuts)
    points |= dict.fromkeys(("kill_import", "kill_export"), options.kills)
    total = 0
    for kind in options.kind:
        for what, outcomes in run(kind, points, options.seed).items():
            total += outcomes.total()
            said = ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items()))
            sys.stdout.write(f"| {kind} | {what.replace('_', ' ')} | {outcomes.total()} | {said} |\n")
            sys.stdout.flush()
    sys.stdout.write(f"{total} points\n")


if __name__ == "__main__":
    main()
