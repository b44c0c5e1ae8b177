"""What a terminal and a log show of commands with slow servers: no value falls, no total changes, no line breaks."""

import fcntl
import io
import json
import os
import pty
import random
import re
import struct
import sys
import termios
import threading
from urllib.parse import urlsplit

import pytest
from bento_cli.cli import main
from rules_bento.base.formats.oci import INDEX
from rules_bento.images.registry.layout import Layout
from rules_bento.images.registry.push_to_registry import push

from tests.helpers.loopback import Handler, running
from tests.helpers.store_support import DAY_1, bento_files, model_files, write_archive
from tests.registry import relay
from tests.sharing.image_support import add, blob, index, locked, make_base
from tests.sharing.support import own_home

__all__ = ["own_home"]
RATE = 6_000_000  # bytes/s
AMOUNT = re.compile(r"(?:(\d+) %)?\s*([\d.]+)(?:/([\d.]+))?(?: (B|KiB|MiB|GiB))?(?:\s+[\d.]+ \w+/s)?\s*([\d:]+)?")
UNITS = {None: 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


class Screen:
    """Standard error: a terminal of a width, or without a width a log."""

    def __init__(self, columns, monkeypatch):
        self.columns, self._shown = columns, b""
        monkeypatch.setattr("rules_bento.base.net.transfers._INTERVAL", 0)
        monkeypatch.setattr("rules_bento.base.net.transfers._LOG_INTERVAL", 0)
        monkeypatch.setenv("NO_COLOR", "1")
        self._monkeypatch = monkeypatch

    def _read(self, end):
        while piece := os.read(end, 1 << 16):
            self._shown += piece
            if self._shown.endswith(b"\0"):
                return

    def run(self, store, *words):
        """Run a command, and return what it shows: a title and the values of each frame."""
        words = ["--home", store.home.root, *words]
        if not self.columns:
            with self._monkeypatch.context() as patched:
                patched.setattr(sys, "stderr", log := io.StringIO())
                assert main([*map(str, words)]) == 0, log.getvalue()
            lines = [line for line in log.getvalue().splitlines() if not line.startswith("note: ")]
            values = [re.fullmatch(r"(.*?)(?:: (\d.*))?", line).groups("") for line in lines]
            return [read_frame(title, of_title.replace(", ", "  ")) for title, of_title in values]
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, self.columns, 0, 0))
        self._shown = b""
        reader = threading.Thread(target=self._read, args=(ours,))
        reader.start()
        with self._monkeypatch.context() as patched, os.fdopen(theirs, "w", encoding="utf-8") as out:
            patched.setattr(sys, "stderr", out)
            code = main([*map(str, words)])
            out.write("\0")
            out.flush()
            reader.join()
        os.close(ours)
        assert code == 0, self._shown.decode()
        return [*self._frames(self._shown.decode())]

    def _frames(self, shown):
        drawn = [frame for frame in shown.split("\r") if frame.endswith("\x1b[K") and frame != "\x1b[K"]
        for frame in drawn:
            line = frame.removesuffix("\x1b[K")
            assert len(line) < self.columns
            assert line.isprintable()
            title, _, values = re.sub("[━─]+", " ", line).partition("  ")
            yield read_frame(title, values.strip())


def read_frame(title, values):
    """The title, the share, the amount, the total, and the remaining time."""
    if not values:
        return (title, None, 0, None, None)
    found = AMOUNT.fullmatch(values)
    assert found, (title, values)
    share, amount, total, unit, clock = found.groups()
    scale = UNITS[unit]
    return (title, int(share) if share else None, float(amount) * scale, float(total) * scale if total else None, clock)


def check(frames):
    """No title comes again, and below a title no value falls, the total stays, and no time is 0:00."""
    titles = [title for number, (title, *_) in enumerate(frames) if number == 0 or frames[number - 1][0] != title]
    assert len(titles) == len({*titles}), titles
    for title in titles:
        of_title = [values for each, *values in frames if each == title]
        for values in zip(*of_title, strict=True):
            known = [value for value in values if value is not None and not isinstance(value, str)]
            assert known == sorted(known), (title, known)
        assert len({total for _, _, total, _ in of_title if total}) <= 1, (title, of_title)
        assert {"0:00", "0"}.isdisjoint(clock for *_, clock in of_title if clock), title
        assert not any(clock for _, amount, total, clock in of_title if amount == total and not clock), title
    return titles


@pytest.fixture(params=[60, 80, None])
def screen(request, monkeypatch):
    return Screen(request.param, monkeypatch)


def make_base_of_two(directory):
    """A base for two platforms."""
    entries = []
    for architecture in ("amd64", "arm64"):
        make_base(directory, architecture=architecture)
        [entry] = json.loads((directory / "index.json").read_text())["manifests"]
        entries.append(entry | {"platform": {"os": "linux", "architecture": architecture}})
    listing = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}).encode()
    (directory / "index.json").write_text(json.dumps({"manifests": [blob(directory, listing, INDEX)]}))
    return directory


def test_an_image_shows_its_phases(
    screen, local, wheels, store, tmp_path, server, registries, reference, progress, monkeypatch
):
    """Without caches, with caches, and for two platforms. One index doesn't state sizes."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    push(Layout.open(make_base(tmp_path / "one")).pushable(), [reference.with_tag("one")], registries, progress)
    push(Layout.open(make_base_of_two(tmp_path / "two")).pushable(), [reference.with_tag("two")], registries, progress)
    with (
        index(wheels, has_sizes=screen.columns != 80) as (address, _),
        relay.Relay(urlsplit(address).port, rate=RATE) as pages,
        relay.Relay(server.port, rate=RATE) as way,
    ):
        image = f"127.0.0.1:{way.port}/{reference.repository}"
        requirements = locked(wheels, options=f"--index-url http://127.0.0.1:{pages.port}/simple")
        add(store, tmp_path, requirements)
        add(store, tmp_path, requirements, "nat:v2", {"bert:v1": model_files("bert:v1", payload=os.urandom(300_000))})

        def run(tag, *words):
            words = ["containerize", tag, "--backend", "native", "--push", "-t", f"{image}:v1", *words]
            return [title.partition("127")[0].rstrip() for title in check(screen.run(store, *words))]

        written = ["Checking packages", "Writing layers"]
        pushed = ["Pushing", "Pushing SBOM"]
        cold = run("nat:v1", "--base", f"{image}:one")
        assert cold == [
            "Pulling base (amd64)", "Reading base (amd64)", "Finding wheels", "Downloading 4 wheels", *written,
            *pushed,
        ]  # fmt: skip
        assert run("nat:v1", "--base", f"{image}:one") == ["Writing layers", *pushed]
        for path in (tmp_path / "cache").rglob("*.whl"):
            path.unlink()
        both = run("nat:v2", "--base", f"{image}:two", "--platform", "linux/amd64", "--platform", "linux/arm64")
        assert screen.columns == 60 or [re.sub("D.*ls", "Downloading", title) for title in both] == [
            "Pulling base (amd64)", "Pulling base (arm64)", "Reading base (arm64)",
            "amd64: Finding wheels", "amd64: Downloading", *(f"amd64: {phase}" for phase in written),
            "arm64: Finding wheels", *(f"arm64: {phase}" for phase in written), *pushed,
        ]  # fmt: skip


@pytest.mark.parametrize("kind", ["bento", "models"])
def test_transfers_show_their_phases(kind, screen, store, other, server, reference, tmp_path):
    """A push and a pull, again, and an import from a server."""
    verbs, tag = (["models"], "clf:v1") if kind == "models" else ([], "hi:v2")
    chance = random.Random(3).randbytes(400_000)
    for number in range(3) if kind == "bento" else ():
        models = {f"more{number}:v1": model_files(f"more{number}:v1", payload=chance[number:])}
        files = bento_files(f"hi:v{number + 3}", DAY_1, models, src__new=chance[: 200_000 + number])
        store.bentos.import_archive(write_archive(tmp_path / "more.bento", files))
    with relay.Relay(server.port, rate=RATE) as way:
        image = f"127.0.0.1:{way.port}/{reference.repository}:v1"
        pushed = check(screen.run(store, *verbs, "push", tag, image))
        assert [title.partition(":")[0] for title in pushed] == [
            f"{verb} {tag.partition(':')[0]}" for verb in ("Packing", "Pushing")
        ]
        pulled = check(screen.run(other, *verbs, "pull", image))
        assert [title.partition(" ")[0] for title in pulled] == ["Pulling", "Unpacking"]
        assert check(screen.run(other, *verbs, "pull", image)) == []
        if kind == "bento":
            check(screen.run(store, "push", "hi:v5", image))
            check(screen.run(other, "pull", image, "--force"))
    archive = tmp_path / ("out.bentomodel" if verbs else "out.bento")
    assert check(screen.run(store, *verbs, "export", tag, archive)) == ["Exporting"]

    class Files(Handler):
        def do_GET(self):
            self.send(200, archive.read_bytes())

    with running(Files) as files, relay.Relay(int(files.host.rpartition(":")[2]), rate=RATE) as way:
        url = f"http://127.0.0.1:{way.port}/{archive.name}"
        assert check(screen.run(other, *verbs, "import", "--force", url)) == ["Downloading", "Importing"]


def test_a_download_that_begins_again_shows_no_less(screen, store, other, server, reference):
    check(screen.run(store, "push", "hi:v2", f"{server.host}/{reference.repository}:v1"))
    with relay.Relay(server.port, [relay.Flip(relay.DOWN, 250_000), relay.Cut(relay.DOWN, 450_000)], RATE) as way:
        check(screen.run(other, "pull", f"127.0.0.1:{way.port}/{reference.repository}:v1"))
        assert len(way.happened) == 2
