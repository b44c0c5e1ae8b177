"""Mutated zips: where Python's zipfile or uv reads another name, size, or content than we do, we reject the zip.

`RULES_BENTO_EXAMPLES` is the number of zips, `RULES_BENTO_SEED` begins the random numbers, and
`RULES_BENTO_ZIP_PYTHON` is the command of the Python whose zipfile is compared (default: the newest one on the path).
"""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import subprocess
import sys
from random import Random

import pytest
from rules_bento.base.archives import unpack
from rules_bento.base.errors import BentoError
from rules_bento.images.wheels.wheel import Locked, RecordError, Wheel

from tests.differential.zip_cases import FILES, INFO, Zipfile, make_zip

EXAMPLES = int(os.environ.get("RULES_BENTO_EXAMPLES", "400"))
SEED = os.environ.get("RULES_BENTO_SEED", "1")
INSTALLED = {f"{INFO}/{name}" for name in ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json")}


def newest_python():
    """Return the newest Python on the path that starts, or this one."""
    paths = [path for minor in range(20, sys.version_info[1], -1) if (path := shutil.which(f"python3.{minor}"))]
    starts = (
        path for path in paths if not subprocess.run([path, "-c", ""], capture_output=True, check=False).returncode
    )
    return next(starts, sys.executable)


@pytest.fixture(scope="module")
def zipfile():
    judge = Zipfile(*(shlex.split(os.environ.get("RULES_BENTO_ZIP_PYTHON", "")) or [newest_python()]))
    yield judge
    judge.close()


def entry(name, data):
    return name, len(data), hashlib.sha256(data).hexdigest()


def read_wheel(path):
    """Return the files of a wheel, whatever its RECORD contains, or None if we reject the wheel."""
    try:
        try:
            wheel = Wheel.read(path)
            contents = [b"".join(chunk.data for chunk in chunks) for chunks in wheel.chunks(wheel.members)]
        except RecordError:
            wheel = Wheel.read(path, Locked("0" * 64, allow_record_mismatch=True))
            contents = [b"".join(chunk.data for chunk in chunks) for chunks in wheel.chunks(wheel.members)]
    except BentoError:
        return None
    return sorted(entry(member.path, data) for member, data in zip(wheel.members, contents, strict=True))


def read_archive(path):
    """Return the files of an archive of a Bento, or None if we reject the archive."""
    try:
        return sorted(
            entry(member.path, b"".join(contents))
            for member, contents in unpack.read(path, "zip")
            if member.kind == "file"
        )
    except BentoError:
        return None


def installed(path, directory):
    """Return the files that uv installs from a wheel, or None if uv rejects the wheel."""
    target = directory / "target"
    command = [os.environ["RULES_BENTO_UV"], "pip", "install", "--quiet", "--no-deps", "--no-index", "--offline"]
    command += ["--python", sys.executable, "--cache-dir", str(directory / "cache"), "--target", str(target), str(path)]
    done = subprocess.run(command, capture_output=True, check=False)
    files = [file for file in target.rglob("*") if file.is_file()] if target.exists() else []
    found = sorted(entry(file.relative_to(target).as_posix(), file.read_bytes()) for file in files)
    for name in ("target", "cache"):
        shutil.rmtree(directory / name, ignore_errors=True)
    return None if done.returncode else [entry for entry in found if entry[0] not in INSTALLED and entry[0] != ".lock"]


@pytest.mark.parametrize("kind", ["wheel", "archive"])
def test_no_accepted_zip_has_other_contents_for_other_readers(tmp_path, zipfile, kind):
    random, path = Random(f"{kind} {SEED}"), tmp_path / "ho-1.0-py3-none-any.whl"
    accepted = agreed = by_uv = 0
    for number in range(EXAMPLES):
        data = make_zip(random, FILES)
        path.write_bytes(data)
        ours = read_wheel(path) if kind == "wheel" else read_archive(path)
        if ours is None:
            continue
        accepted += 1
        theirs = zipfile.read(path)
        if theirs is not None:
            normal = [
                ("/".join(part for part in name.split("/") if part not in ("", ".")), *rest) for name, *rest in theirs
            ]
            assert sorted(normal) == ours, f"zipfile, {number}: {data.hex()}"
        of_uv = installed(path, tmp_path) if kind == "wheel" else None
        if of_uv is not None:
            mine = [entry for entry in ours if entry[0] not in INSTALLED]
            assert of_uv == mine, f"uv, {number}: {data.hex()}"
        agreed += theirs is not None
        by_uv += of_uv is not None
    print(f"{kind}: {EXAMPLES} zips, {accepted} accepted, {agreed} also by zipfile, {by_uv} by uv")  # noqa: T201 - figures of a long run
    assert EXAMPLES // 10 < agreed <= accepted < EXAMPLES
    assert by_uv or kind == "archive"
