"""Helpers for the tests of pushing, pulling, and containers: stores, registries, and killed commands."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import pytest
from bento_cli.library import Store
from bento_cli.store.home import staging_lock
from bento_cli.store.import_session import Options
from rules_bento.base.formats import yaml
from rules_bento.base.net.transfers import Progress
from rules_bento.bentos.sources.tree_manifest import TreeManifest

from tests.helpers.store_support import DAY_2, PACKAGE, bento_files, model_files, tree, write_archive
from tests.helpers.store_support import bento as bento
from tests.registry import registry_fixtures as _fixtures
from tests.registry import relay

own_home = _fixtures.home
registry_binary, server, second_server = _fixtures.registry_binary, _fixtures.server, _fixtures.second_server
registries, progress, name, reference = _fixtures.registries, _fixtures.progress, _fixtures.name, _fixtures.reference

WRITE_WEB = """
import os, zipfile
def write_web(directory, lines):
    with zipfile.ZipFile(os.path.join(directory, "web-1.0-py3-none-any.whl"), "w") as wheel:
        wheel.writestr("web/__init__.py", "")
        wheel.writestr("web/found", chr(10).join(lines))
        wheel.writestr("web-1.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: web\\nVersion: 1.0\\n")
        wheel.writestr("web-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr("web-1.0.dist-info/RECORD", "")
    return "web-1.0-py3-none-any.whl"
"""
"""The end of a back end: writes the wheel of the project `web`, which has a file with lines."""
SIZE = 300_000
"""Bytes of a model that nothing compresses; all else is small."""

CLF = {"clf:v1": model_files(payload=random.Random(1).randbytes(SIZE))}
FORCE = Options(replace=True, act="pull")
BOTH = {**CLF, "clf:v2": model_files("clf:v2", DAY_2)}

POINTS = int(os.environ.get("RULES_BENTO_POINTS", "8"))
"""How many random moments to kill or cut at, in each test that does; many more were run once (docs/registries.md)."""


@pytest.fixture
def store(tmp_path, request):
    """Return a store with two Bentos that share a model. It is empty for tests with wheels, which add their own."""
    made = Store(tmp_path / "ours", durable=False)
    made.home.root.mkdir()
    for number, models in () if "wheels" in request.fixturenames else ((1, CLF), (2, BOTH)):
        files = bento_files(f"hi:v{number}", f"2026-01-0{number}T00:00:00+00:00", models, src__new=b"%d" % number)
        made.bentos.import_archive(write_archive(tmp_path / f"v{number}.bento", files))
    return made


@pytest.fixture
def documents_read(monkeypatch):
    """Count the YAML files and the records of entries that are parsed, by the last three names of the path."""
    parse, load, counts = yaml.read_yaml, TreeManifest.from_json, Counter()

    def counted(read):
        def reading(text, origin, *rest, **options):
            counts["/".join(Path(origin).parts[-3:])] += 1
            return read(text, origin, *rest, **options)

        return reading

    monkeypatch.setattr(yaml, "read_yaml", counted(parse))
    monkeypatch.setattr(TreeManifest, "from_json", counted(load))
    return counts


@pytest.fixture
def other(tmp_path):
    """Return an empty store."""
    return Store(tmp_path / "other", durable=False)


# In a later year, and with this interpreter in place of a base's, which isn't one (see `image_support.start_own`).
_LATER = """
import sys, time
from bento_cli.sharing import base_syntax, native_bytecode
now = time.time
time.time = lambda: now() + 4e8
start = native_bytecode._start
base_syntax.find = lambda build, base, version, mode: build.stack.enter_context(start(sys.executable, build, mode))
from bento_cli.cli import main
sys.exit(main())
"""
_OTHER_USER = 65534


@contextmanager
def other_machine(*inputs):
    """Another user with copies of the inputs, another umask, time zone, locale, clock, and cache.

    Yields a function that runs a command with the inputs by name, and returns the digest of the image.
    """
    directory = Path(tempfile.mkdtemp(prefix="other-machine-"))  # the user can't enter pytest's directory
    variables = {name: value for name, value in os.environ.items() if name.startswith(("RULES_BENTO_", "UV_DEFAULT"))}
    variables |= {
        "PYTHONDONTWRITEBYTECODE": "1",
        "HOME": f"{directory}/home",
        "LC_ALL": "C",
        "TZ": "Asia/Tokyo",
        "UV_CACHE_DIR": f"{directory}/uv",
    }
    if "UV_FIND_LINKS" in os.environ:
        variables["UV_FIND_LINKS"] = f"{directory}/wheels"  # one of the inputs
    paths = ["py", *filter(None, sys.path)]
    variables |= {"PYTHONPATH": os.pathsep.join(map(os.path.abspath, paths)), "PATH": f"{directory}/bin"}
    options = {"cwd": directory, "env": variables, "umask": 0o077, "capture_output": True, "text": True}
    try:
        for path in inputs:
            shutil.copytree(path, directory / path.name, symlinks=True)
        for name in ("bin", "home", "uv"):
            (directory / name).mkdir()
        (directory / "bin/uv").symlink_to(Path(os.environ["RULES_BENTO_UV"]).resolve())
        if os.getuid() == 0:
            probe = [sys.executable, "-c", "import rules_bento, os; os.stat('bin/uv')"]
            options["user"] = _OTHER_USER
            try:
                for path in (directory, *directory.rglob("*")):
                    os.chown(path, _OTHER_USER, _OTHER_USER, follow_symlinks=False)
                subprocess.run(probe, check=True, **options)
            except (OSError, subprocess.CalledProcessError):  # a sandbox has one user, or only root can read Python
                del options["user"]

        def run(*words):
            if not any("bytecode-python" in word for word in words):
                words += ("--no-bytecode",)
            command = [sys.executable, "-c", _LATER, *words, "--output", "oci:out"]
            done = subprocess.run(command, check=False, **options)
            assert done.returncode == 0, done.stderr
            return re.search("Digest: (sha256:[0-9a-f]{64})", done.stdout + done.stderr)[1]

        yield run
    finally:
        shutil.rmtree(directory)


def same(one, other, *tags):
    """Check that entries and their models are equal in two stores, and that the other store has no damage."""
    for tag in tags:
        entry = other.bentos.get(tag)
        assert tree(entry.path) == tree(one.bentos.get(tag).path)
        for model in entry.models:
            assert tree(other.models.get(model).path) == tree(one.models.get(model).path)
    assert other.verify().damages == ()
    left = [path for directory in (other.home.staging, other.home.downloads) for path in directory.glob("**/*")]
    assert not left, left


def whole(store, *possible):
    """Check that a store contains only complete Bentos from `possible`, and their models."""
    assert {str(entry.tag) for entry in store.bentos.list()} <= set(possible)
    assert store.bentos.entry_store.list().problems == store.models.entry_store.list().problems == ()
    assert store.verify().damages == ()


def started(*words, program="import sys; from bento_cli.cli import main; sys.exit(main())", **variables):
    """Start our command in a separate process."""
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, words)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(PACKAGE), *filter(None, sys.path)]), **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def cleared(store):
    """Return the store after a write command has removed the files that killed commands left.

    A command that was killed after its last rename has done everything except this, so that the same command finds no
    work.
    """
    with staging_lock(store.home):
        return store


def killed(chance, way, *words, size=SIZE, **variables):
    """Run a command, and kill it at a random point of its transfer through a relay. Returns whether it was incomplete.

    The relayed bytes and a short random time determine the point, so that it doesn't depend on the speed of the
    machine.
    """
    process = started(*words, **variables)
    at = chance.randrange(size)
    while process.poll() is None and way.carried(relay.UP) + way.carried(relay.DOWN) < at:
        time.sleep(0.001)
    time.sleep(chance.uniform(0, 0.03))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return process.returncode != 0


class Totals(Progress):
    """Records the total at each transferred piece."""

    def __init__(self):
        super().__init__()
        self.is_shown = True
        self.totals = []

    def advance(self, size, **options):
        if size:
            self.totals.append(self._total)
        super().advance(size, **options)


STUB = """#!/bin/sh
case "$2" in *find_spec*) exit 0;; esac
shift 2
[ $1 = cloud ] && set -- "$@" "umask=$(umask)"
[ $1 = push ] && cat "$BENTOML_HOME/.yatai.yaml" >&2 2>/dev/null
echo "$@" ${BENTO_CLOUD_API_KEY:+KEY=$BENTO_CLOUD_API_KEY} ${NO_COLOR:+NO_COLOR=$NO_COLOR} "HOME=$BENTOML_HOME"
exit 7
"""


@pytest.fixture
def stub(tmp_path, monkeypatch):
    """An environment whose interpreter prints the arguments and variables of BentoML, and fails with status 7."""
    program = tmp_path / "environment/bin/python"
    program.parent.mkdir(parents=True)
    program.write_text(STUB)
    program.chmod(0o755)
    monkeypatch.setenv("VIRTUAL_ENV", str(tmp_path / "environment"))
    monkeypatch.setenv("BENTO_TRACEBACK", "1")  # which --verbose also sets
    for name in "BENTO_CLOUD_API_KEY", "NO_COLOR":
        monkeypatch.delenv(name, raising=False)
