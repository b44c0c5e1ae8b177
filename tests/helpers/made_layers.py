"""Creates a wheel with all features that a wheel can have, and reads layers that contain the wheel."""

import csv
import gzip
import hashlib
import io
import os
import random
import tarfile
from base64 import urlsafe_b64encode

import pytest
import zstandard
from rules_bento.images.layers.layer import MEDIA_TYPES
from rules_bento.images.layers.parts import PartListing, WheelPart, write_wheel_part
from rules_bento.images.wheels.install import InstallLayout
from rules_bento.images.wheels.wheel import Wheel

from tests.helpers.made_wheels import Maker

CHANCE = random.Random(9)
LARGE = b"".join(CHANCE.randbytes(100) + bytes(900) for _ in range(3000))
LAYOUT = InstallLayout.venv("/app/.venv", 12, uid=1034, gid=1035)
SITE = "app/.venv/lib/python3.12/site-packages"
COMPRESSIONS = tuple(MEDIA_TYPES)


def required(command, purpose):
    if not command:
        (pytest.fail if "CI" in os.environ else pytest.skip)(f"no {purpose} here")
    return command


def unpacked(path, compression):
    """Return the tar in a layer. Python's gzip module reads concatenated members as one stream."""
    if compression == "gzip":
        with gzip.open(path) as file:
            return file.read()
    if compression == "zstd":
        with path.open("rb") as file:
            return zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True).read()
    return path.read_bytes()


def members(path, compression="none"):
    """Return the members of a layer in order, and the contents of files."""
    with tarfile.open(fileobj=io.BytesIO(unpacked(path, compression)), mode="r:") as tar:
        return {info.name: (info, tar.extractfile(info).read() if info.isfile() else None) for info in tar}


def odd_wheel():
    """Return a wheel with all features."""
    maker = Maker("Odd.Name", "1.0+x")
    maker.directories += ["odd", "odd/empty/sub", f"{maker.data}/data/var/odd", f"{maker.data}/scripts"]
    maker.add({"odd/__init__.py": "def main():\n    print('started')\n", "odd/größe.txt": "ü", "odd/empty.py": ""})
    maker.add({"odd/large.bin": LARGE, "odd/a,b.txt": "comma", "odd/" + "long" * 40 + "/x.py": "1"})
    maker.add({"odd/stored.bin": LARGE[:100_000], "odd/few": "abc"}, stored=True)
    maker.add({"odd/run.sh": "#!/bin/sh\n", "odd/lib.so": b"\x7fELF"}, mode=0o755)
    maker.add({"odd.pth": "import odd\n", f"{maker.dist_info}/licenses/LICENSE": "free"})
    maker.add({f"{maker.dist_info}/INSTALLER": "somebody", f"{maker.dist_info}/RECORD.jws": "{}"})
    maker.add({f"{maker.data}/data/share/odd/a.json": "{}", f"{maker.data}/headers/sub/odd.h": "int x;"})
    maker.add({f"{maker.data}/purelib/odd/pure.py": "2", f"{maker.data}/platlib/odd/plat.py": "3"})
    maker.add(
        {
            f"{maker.data}/scripts/tool": "#!python3 -E\nprint('tool')\n",
            f"{maker.data}/scripts/window": "#!pythonw\r\nprint()",
        }
    )
    maker.add({f"{maker.data}/scripts/shell": "#!/bin/sh\necho shell\n", f"{maker.data}/scripts/odd-script.py": "old"})
    return maker.entry_points("[console_scripts]\nodd = odd:main\n[gui_scripts]\nodd-window = odd:Some.thing\n")


def parts_of(directory, wheels, compression="gzip", layout=LAYOUT):
    parts = []
    for wheel in wheels:
        path = directory / f"{wheel.name}.part"
        listing = write_wheel_part(path, Wheel.read(wheel), layout, compression)
        parts.append(WheelPart(PartListing.loads(listing.dumps()), path))
    return parts


def two_wheels(directory):
    one = Maker("one").add({"shared/__init__.py": "", "shared/one.py": "1", "tests/a.py": "a"}).write(directory)
    two = Maker("two").add({"shared/__init__.py": "", "shared/two.py": "2", "tests/a.py": "a"}).write(directory)
    return [one, two]


def check_record(found, site, info):
    """Check that RECORD is sorted and lists each file with its digest and size, except RECORD itself."""
    record = f"{site}/{info}/RECORD"
    rows = list(csv.reader(io.StringIO(found[record].decode())))
    paths = [os.path.normpath(f"{site}/{row[0]}") for row in rows]
    assert [row[0] for row in rows] == sorted(row[0] for row in rows)
    assert sorted(paths) == sorted(found)
    for path, (_, digest, size) in zip(paths, rows, strict=True):
        if path == record:
            assert (digest, size) == ("", "")
            continue
        algorithm, _, encoded = digest.partition("=")
        expected = urlsafe_b64encode(hashlib.new(algorithm, found[path]).digest()).rstrip(b"=").decode()
        assert (encoded, size) == (expected, str(len(found[path])))
