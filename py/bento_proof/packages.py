"""The files of packages: as uv installs the lock's wheels, by hash, at the image's path. No code of a package runs."""

import csv
import glob
import hashlib
import os
import re
import shutil
import sys
from argparse import Namespace
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from bento_proof import box
from bento_proof.base import Base
from bento_proof.model import ENVIRONMENT, USER, Expected, Member, UnableError

_MINE = sys.version_info.minor  # of the Python that uv installs for; only paths depend on it
_INSTALL = """pip install --no-config --no-deps --only-binary :all: --link-mode copy --no-compile-bytecode
    --index-strategy unsafe-best-match --python /app/.venv/bin/python --python-version"""


@dataclass
class Environment:
    """What uv installed."""

    members: dict[str, Expected] = field(default_factory=dict)
    directories: list[str] = field(default_factory=list)  # also empty ones
    modules: dict[str, Path] = field(default_factory=dict)  # sources, by path in the image
    packages: set[tuple[str, str]] = field(default_factory=set)  # names and versions
    own: set[str] = field(default_factory=set)  # files of the user's projects


def normal(name: str) -> str:
    """Return the normalized name of a package."""
    return re.sub(r"[-_.]+", "-", name).lower()


def install(options: Namespace, base: Base, work: Path) -> Environment:
    """Return what uv installs of a lock, and of wheels of the user, without excluded files of site-packages."""
    top, own = work / "app/.venv", os.path.realpath(sys.executable)
    (top / "bin").mkdir(parents=True)
    (top / "bin/python").symlink_to(own)
    (top / "pyvenv.cfg").write_text(f"home = {os.path.dirname(own)}\n")
    # A cache of its own, where no earlier program can have written.
    words = [options.uv, "--quiet", "--cache-dir", str(work / "cache"), *_INSTALL.split(), f"3.{base.minor}"]
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(str(base.image.config.get("architecture")))
    words += ["--python-platform", options.target or f"{machine}-manylinux_2_28"]
    jobs = [["--require-hashes", "-r", str(options.lock)]]
    # By name, because an image doesn't state that a wheel was a file.
    jobs += [["--no-index", "--find-links", str(w.parent), "==".join(w.name.split("-")[:2])] for w in options.wheel]
    for job in jobs:
        box.run([*words, *job], None, {str(work): work, "/app": work / "app"}, network=True)
    if os.readlink(top / "bin/python") != own:
        raise UnableError("a wheel replaces bin/python, which no image has.")
    excluded = (f"lib/python3.{_MINE}/site-packages/{each}" for each in options.exclude)
    own_state = top.glob("lib/*/site-packages/*.dist-info/uv_cache.json")
    for name in (".lock", "pyvenv.cfg", "bin/python", *excluded, *map(str, own_state)):
        (top / name).unlink(missing_ok=True)
    for each in [*top.rglob("__pycache__")]:  # images have their own bytecode
        shutil.rmtree(each)
    return _read(top, work / "cache", {normal(each.name.partition("-")[0]) for each in options.wheel}, base)


def _read(top: Path, cache: Path, projects: set[str], base: Base) -> Environment:
    """Return the installed tree. `projects` are the packages of the user."""
    found, listed = Environment(), defaultdict[str, list[tuple[str, str, str]]](list)

    def rename(path: str) -> str:  # also a script of pip
        return re.sub(rf"\b((lib|include/site)/python|bin/pip)3\.{_MINE}(?=/|$)", rf"\g<1>3.{base.minor}", path)

    for record in sorted(top.glob("lib/*/site-packages/*.dist-info/RECORD")):
        site, (name, _, version) = record.parent.parent, record.parent.name.removesuffix(".dist-info").partition("-")
        found.packages.add((normal(name), version))
        with record.open(newline="") as file:
            rows = [row for row in csv.reader(file) if (site / row[0]).is_file()]  # without excluded files
        stated = "".join(each.read_text("utf-8") for each in cache.glob(f"archive-v*/*/{record.parent.name}/RECORD"))
        for row in rows:
            if (path := site / row[0]) == record:
                row[1:] = ["", ""]
            elif not row[1]:  # wheels can omit what images have
                digest = urlsafe_b64encode(hashlib.sha256(path.read_bytes()).digest()).rstrip(b"=").decode()
                row[1:] = [f"sha256={digest}", str(path.stat().st_size)]
            made = "" if row[0] in stated else row[1]  # uv writes and lists scripts of entry points, not the wheel
            listed[os.path.normpath(site / row[0])].append((name, version, made))
        with record.open("w", newline="") as out:
            csv.writer(out, lineterminator="\n").writerows(sorted([rename(path), *others] for path, *others in rows))
    found.directories = [f"{ENVIRONMENT}/{rename(os.path.relpath(path, top))}" for path in top.rglob("*/")]
    for path in sorted(each for each in top.rglob("*") if not each.is_dir()):
        place = f"{ENVIRONMENT}/{rename(os.path.relpath(path, top))}"
        packages = listed[str(path)] or [("", "", "")]  # wheels don't list signatures of RECORD
        name, version, _ = packages[-1]
        mode = 0o755 if path.stat().st_mode & 0o100 else 0o644
        # uv keeps one of several packages' files with one path. Images can have another. uv's cache has all wheels.
        inside = re.sub(r"lib/python[^/]*/site-packages/", "", os.path.relpath(path, top), count=1)
        wheels = cache.glob(f"archive-v*/*/{glob.escape(inside)}") if len(packages) > 1 else ()
        hashes = frozenset(hashlib.sha256(each.read_bytes()).hexdigest() for each in wheels)
        hashes |= {urlsafe_b64decode(f"{each[7:]}==").hex() for *_, each in packages if each and len(packages) > 1}
        is_own = normal(name) in projects
        is_made = path.parent == top / "bin" or path.name in ("RECORD", "INSTALLER", "REQUESTED")
        source = "metadata" if is_made else "sources" if is_own else "wheels"
        member = Member("file", mode, USER, hashlib.sha256(path.read_bytes()).hexdigest())
        found.members[place] = Expected(member, source, f"{name}-{version} of the lock", hashes)
        found.modules |= {place: path} if path.suffix == ".py" and len(hashes) < 2 else {}
        found.own |= {place} if is_own else set()
    return found
