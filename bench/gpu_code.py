"""Compares the GPU architectures that we read from wheels with those that NVIDIA's cuobjdump lists.

    python bench/gpu_code.py [--cuobjdump PROGRAM] [--write] [NAME==VERSION]...

Downloads each wheel with pip, and deletes the wheel after the comparison. Without arguments, compares the wheels in
bench/gpu_code.json, whose hashes must match. `--write` stores cuobjdump's architectures there. cuobjdump is in the
package nvidia-cuda-cuobjdump of the Python Package Index. The exit code is 1 if there is a difference.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "py")]

from rules_bento.images.wheels.elf import MAGIC  # noqa: E402 - the path stands above
from rules_bento.images.wheels.libraries import Libraries  # noqa: E402
from rules_bento.images.wheels.wheel import Locked, RecordError, Wheel  # noqa: E402

_RESULTS = Path(__file__).with_suffix(".json")
_LISTED = re.compile(r"^(?:ELF|PTX) file +\d+: .*\.sm_(\d+[af]?)\.(cubin|ptx)$", re.MULTILINE)
_KINDS = {"cubin": "sm", "ptx": "compute"}
_FAILED = "cuobjdump fails"
_GLIBC = 40  # minor version of the newest
_PLATFORMS = ["manylinux1_x86_64", "manylinux2010_x86_64", "manylinux2014_x86_64"]
_PLATFORMS += [f"manylinux_2_{minor}_x86_64" for minor in range(5, _GLIBC)]


def download(requirement: str, directory: Path) -> Path:
    """Download the wheel of a requirement for CPython 3.12, or an earlier version."""
    platforms = [word for platform in _PLATFORMS for word in ("--platform", platform)]
    for python in ("3.12", "3.11", "3.10", "3.9"):
        command = ["python3", "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:", "-d", str(directory)]
        command += ["--python-version", python, *platforms, requirement]
        if subprocess.run(command, check=False, stderr=subprocess.DEVNULL).returncode == 0:
            [path] = directory.iterdir()
            return path
    raise SystemExit(f"{requirement}: pip found no wheel")


def read_wheel(path: Path) -> Wheel:
    """Read a wheel, also with a wrong RECORD."""
    try:
        return Wheel.read(path, Locked(""))
    except RecordError:
        return Wheel.read(path, Locked("", allow_record_mismatch=True))


def dumped(wheel: Wheel, cuobjdump: str, scratch: Path) -> dict[str, list[str]]:
    """Return the architectures that cuobjdump lists for each ELF file of a wheel."""
    found: dict[str, list[str]] = {}
    for member in wheel.members:
        if not wheel.starts_with(member, MAGIC):
            continue
        file = scratch / "file"
        with file.open("wb") as out:
            for chunks in wheel.chunks([member]):
                out.writelines(chunk.data for chunk in chunks)
        names: set[str] = set()
        for option in ("--list-elf", "--list-ptx"):
            result = subprocess.run([cuobjdump, option, file], check=False, capture_output=True, text=True)
            names |= {f"{_KINDS[kind]}_{architecture}" for architecture, kind in _LISTED.findall(result.stdout)}
            if " fatal " in result.stderr:
                names.add(_FAILED)
        if names:
            found[member.path] = sorted(names)
    return found


def compare(requirement: str, cuobjdump: str, expected: dict[str, Any] | None) -> tuple[dict[str, Any], bool]:
    """Return the entry of a wheel in the results, and whether we read the same architectures as cuobjdump."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as scratch:
        downloads = Path(scratch) / "wheel"
        downloads.mkdir()
        path = download(requirement, downloads)
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        if expected and expected["sha256"] != sha256:
            raise SystemExit(f"{path.name}: the SHA-256 is {sha256}, not {expected['sha256']}")
        wheel = read_wheel(path)
        start = time.process_time()
        libraries = Libraries.read(wheel)
        seconds = time.process_time() - start
        ours = {file: sorted(elf.gpu_code) for file, elf in libraries.linked if elf.gpu_code}
        theirs = dumped(wheel, cuobjdump, Path(scratch))
        known = {file: names for file, names in theirs.items() if _FAILED not in names}
        same = known == {file: names for file, names in ours.items() if file in known or file not in theirs}
        print(
            f"{path.name}: {len(theirs)} libraries with code for GPUs, {seconds:.2f} CPU s, "
            f"{'same' if same else 'DIFFERENT'}",
            flush=True,
        )
        for file in sorted({*ours, *theirs} if not same else ()):
            if ours.get(file) != theirs.get(file):
                print(f"  {file}: ours {ours.get(file)}, cuobjdump {theirs.get(file)}")
        return {"wheel": path.name, "sha256": sha256, "libraries": theirs}, same


def main() -> int:
    """Compare the wheels, and report the number of equal ones."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("requirements", nargs="*", metavar="NAME==VERSION")
    parser.add_argument("--cuobjdump", default="cuobjdump", metavar="PROGRAM")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    stored: dict[str, Any] = json.loads(_RESULTS.read_text("utf-8")) if _RESULTS.exists() else {}
    different = 0
    for requirement in options.requirements or sorted(stored):
        entry, same = compare(requirement, options.cuobjdump, stored.get(requirement))
        different += not same or bool(stored.get(requirement) and stored[requirement] != entry)
        if options.write:
            stored[requirement] = entry
            _RESULTS.write_text(json.dumps(stored, indent=1, sort_keys=True) + "\n", "utf-8")
    print(f"{len(options.requirements or stored) - different} equal, {different} different")
    return bool(different)


if __name__ == "__main__":
    sys.exit(main())
