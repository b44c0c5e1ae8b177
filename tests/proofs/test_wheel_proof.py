"""What the proof expects of a wheel is what its layer contains, though neither knows the other."""

import os
from pathlib import Path

import pytest
from bento_cli.proofs.layer_reader import LayerReader
from bento_cli.proofs.wheel_proof import Environment, wheel_files
from rules_bento.base.errors import BentoError
from rules_bento.images.layers.layer import write_wheel_layer
from rules_bento.images.wheels.install import InstallLayout
from rules_bento.images.wheels.wheel import Wheel

from tests.helpers.made_layers import odd_wheel
from tests.helpers.made_wheels import Maker

OWNER = (1034, 1034)
LAYOUT = InstallLayout.venv("/app/.venv", 11, uid=OWNER[0], gid=OWNER[1])
ENVIRONMENT = Environment("app/.venv", 11, OWNER)
REAL = sorted(Path(os.environ.get("RULES_BENTO_WHEELS", "/nowhere")).glob("*.whl"))  # tried by hand


def odd(tmp_path):
    return odd_wheel().write(tmp_path)


def pip(tmp_path):
    points = "[console_scripts]\npip = pip:main\npip3 = pip:main\npip3.9 = pip:main\n"
    return Maker("pip").add({"pip.py": "def main(): ...\n"}).entry_points(points).write(tmp_path)


def compiled(tmp_path):
    return Maker("old").add({"old.py": "", "__pycache__/old.cpython-39.pyc": "stale"}).write(tmp_path)


def flat(tmp_path):
    """As hatchling writes for `packages = ["."]`."""
    points = "[console_scripts]\nflat = flat:main\n"
    return Maker("flat").add({"./flat.py": "def main(): ...\n", "./x/a.py": ""}).entry_points(points).write(tmp_path)


def layer_of(wheel, tmp_path, compression):
    info = write_wheel_layer(tmp_path / "layer", Wheel.read(wheel), LAYOUT, compression)
    data = (tmp_path / "layer").read_bytes()
    pieces = (data[at : at + 1000] for at in range(0, len(data), 1000))
    return [*LayerReader(lambda _path, _size: False).members(3, pieces, info.media_type, info.diff_id)]


@pytest.mark.parametrize("compression", ["gzip", "zstd", "none"])
@pytest.mark.parametrize("make", [odd, pip, compiled, flat, *(lambda _, each=each: each for each in REAL)])
def test_a_layer_has_what_its_wheel_implies(make, compression, tmp_path):
    wheel = make(tmp_path)
    files = wheel_files(wheel, ENVIRONMENT)
    members = {each.path: each for each in layer_of(wheel, tmp_path, compression)}
    there = {path for path, each in members.items() if each.kind != "directory"}
    assert there == files.members.keys()
    assert [each.difference(members[path]) for path, each in files.members.items()] == [""] * len(there)
    assert {*files.directories} <= {path for path, each in members.items() if each.kind == "directory"}


@pytest.mark.parametrize(
    "name", ["../evil.py", "/evil.py", "a//b.py", "odd/.wh.a", "odd-1.0.data/other/a", "other-1.0.dist-info/WHEEL"]
)
def test_a_wheel_that_no_installer_accepts_is_refused(name, tmp_path):
    maker = Maker("odd", "1.0")
    maker.files[name] = b""
    with pytest.raises(BentoError, match="cannot read the wheel"):
        wheel_files(maker.write(tmp_path), ENVIRONMENT)


@pytest.mark.parametrize("text", ["a", "a = b", "../a = b:c"])
def test_a_wheel_with_an_invalid_entry_point_is_refused(text, tmp_path):
    wheel = Maker("odd").entry_points(f"[console_scripts]\n{text}\n").write(tmp_path)
    with pytest.raises(BentoError, match="the entry point"):
        wheel_files(wheel, ENVIRONMENT)


def test_two_files_at_one_place_are_refused(tmp_path):
    wheel = Maker("odd", "1.0").add({"a.py": "1", "odd-1.0.data/purelib/a.py": "2"}).write(tmp_path)
    with pytest.raises(BentoError, match="two files would be installed as"):
        wheel_files(wheel, ENVIRONMENT)
